"""What additive fusion must leave alone, on recordings of people."""

from __future__ import annotations

import analysis
from analysis.separation import SeparationSettings


def test_gains_inside_an_utterance_are_zero_on_real_speech(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path))
    folder = str(shared_data / "autovot_1054")
    settings = SeparationSettings(vectors=("raw",), n_nulls=3, scale_free=())
    report = analysis.run(
        corpus=folder, alignments=folder, layers="last", min_tokens=2, threshold=0.8, oracle="none", keep_marked=True, separation=settings,
        audio=False, workers=1, write=False,
    )  # fmt: skip
    rows = report.separation
    assert (rows["variant"] == "wav2sem").any()
    inside = rows[(rows["split"] == "same_utterance") & rows["statistic"].isin(["gain", "net"])]
    inside = inside[inside["distance"].isin(["l2", "mse"]) & (inside["relation"] == "near_homophone")]
    assert len(inside) and (inside["n_token_pairs"] > 10).all()
    without = rows[(rows["split"] == "same_utterance") & (rows["variant"] == "without")]
    assert inside["estimate"].abs().max() <= 1e-12 * without["estimate"].max()
    across = rows[(rows["split"] == "different_text") & (rows["statistic"] == "gain") & (rows["variant"] == "wav2sem")]
    assert (across.loc[across["distance"] == "l2", "estimate"] > 0).any()
