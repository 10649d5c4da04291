"""The whole line with items that fail late: an utterance without a vector, no token, no vector, no traceback."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.decouple import main
from analysis.embeddings import SyllableEmbeddings
from analysis.embeddings.__main__ import main as embeddings_main
from analysis.errors import CorpusError, SemanticsError, SeparationError, StrictError
from analysis.separation.settings import SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings
from analysis.wav2sem.text import TextSemantics

QUICK = DecoupleConfig(
    layers="last",
    audio=False,
    workers=1,
    encoder=["mfcc"],
    wav2sem="none",
    separation=SeparationSettings(distances=("l2",), vectors=("raw",), n_nulls=5),
    projection=ProjectionSettings(method="pca"),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory, demo) -> str:
    rows = [[str(u.audio), u.text, u.speaker, u.id] for u in demo.utterances[:48]]
    path = tmp_path_factory.mktemp("small") / "manifest.csv"
    pd.DataFrame(rows, columns=["path", "transcript", "speaker", "id"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def forgetful(monkeypatch):
    """The text model breaks at the third utterance that it is asked for, alone or among others. Returns its id, once known."""
    bad: list[str] = []
    real = TextSemantics.semantics

    def semantics(self, utterances):
        if not bad:
            bad.append(utterances[2].id)
        if any(utterance.id == bad[0] for utterance in utterances):
            raise RuntimeError("the tokenizer panicked")
        return real(self, utterances)

    monkeypatch.setattr(TextSemantics, "semantics", semantics)
    return bad


def test_an_utterance_without_a_semantic_vector_is_a_row_and_its_tokens_are_left_out_throughout(small, forgetful, tmp_path):
    report = analysis.run(QUICK, corpus=small, dtw=True, out=str(tmp_path / "out"))
    (row,) = report.failures[report.failures["severity"] == "error"].itertuples()
    (bad,) = forgetful
    assert (row.stage, row.item, row.reason) == ("semantics", bad, "RuntimeError: the tokenizer panicked.")
    rows = pd.read_csv(small)
    rows[rows["id"] != bad].to_csv(tmp_path / "without.csv", index=False)
    without = analysis.run(QUICK, corpus=str(tmp_path / "without.csv"), dtw=True, write=False)
    means = [
        one.separation.query("statistic == 'mean_distance' and relation == 'near_homophone' and variant == 'without'")
        for one in (report, without)
    ]
    np.testing.assert_allclose(means[0]["estimate"].to_numpy(), means[1]["estimate"].to_numpy(), rtol=0.02)
    with pytest.raises(StrictError, match=f"^semantics: {bad}: RuntimeError: the tokenizer panicked"):
        analysis.run(QUICK, corpus=small, write=False, strict=True)


def test_a_module_that_gives_no_vector_stops_with_the_reason(small, monkeypatch):
    def semantics(self, utterances):
        raise SemanticsError("The text model is gone.")

    monkeypatch.setattr(TextSemantics, "semantics", semantics)
    with pytest.raises(SemanticsError, match=r"^The text model is gone\.$"):
        analysis.run(QUICK, corpus=small, write=False)
    monkeypatch.setattr(TextSemantics, "semantics", lambda self, utterances: np.full((len(utterances), 384), np.nan))
    with pytest.raises(SemanticsError) as caught:
        analysis.run(QUICK, corpus=small, write=False)
    assert str(caught.value).startswith("No utterance has a vector of every semantic module (oracle). The first failure, ")
    assert str(caught.value).endswith(
        ": The module oracle:mean gives a vector with NaN or infinite values. Check the module's weights, or leave the recording out."
    )


def test_no_token_at_all_stops_with_the_first_reason(small, monkeypatch, capsys, tmp_path):
    import analysis.phonology.tokens as tokens

    def broken(*arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(tokens, "_rows", broken)
    with pytest.raises(CorpusError) as caught:
        analysis.run(QUICK, corpus=small, write=False)
    first = pd.read_csv(small)["id"].iloc[0]
    assert str(caught.value).startswith(
        f"{small} gives no token of the unit syllable. The first failure, {first}: ZeroDivisionError: division by zero. "
    )
    assert main(["--corpus", small, "--encoder", "mfcc", "--wav2sem", "none", "--out", str(tmp_path / "out")]) == 2
    assert embeddings_main([small, "--encoder", "mfcc", "--out", str(tmp_path / "store")]) == 2
    told = capsys.readouterr().err
    assert told.count("ZeroDivisionError: division by zero.") == 2 and "Traceback" not in told


def test_features_of_another_rate_stop_both_commands_with_the_reason(small, tmp_path, capsys):
    folder = tmp_path / "features"
    folder.mkdir()
    for row in pd.read_csv(small).itertuples():
        np.save(folder / f"{row.id}.npy", np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    encoder = f"features:{folder}?rate=10"
    assert main(["--corpus", small, "--encoder", encoder, "--wav2sem", "none", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "gave not one vector. The first failure, " in told and "300 frames, 30.00 s at 10 frames per second" in told
    store = tmp_path / "store"
    assert embeddings_main([small, "--encoder", encoder, "--out", str(store)]) == 2
    assert "gave not one vector. The first failure, " in capsys.readouterr().err
    assert len((store / "failures.csv").read_text(encoding="utf-8").splitlines()) > 40
    assert len(SyllableEmbeddings.read(store)) == 0
    with pytest.raises(CorpusError, match=r"^The store holds not one vector\. The first failure, "):
        analysis.run(dataclasses.replace(QUICK, encoder=["bundled"]), corpus=small, vectors=str(store), write=False)


def features_of(folder, utterances):
    folder.mkdir()
    for number, one in enumerate(utterances):
        frames = np.random.default_rng(number).normal(size=(round(50 * one.duration), 8))
        np.save(folder / f"{one.id}.npy", frames.astype(np.float32))
    return [f"features:{folder}?rate=50"]


def test_pairs_of_one_utterance_alone_are_reported_without_a_headline(small, demo, tmp_path):
    encoder = features_of(tmp_path / "features", demo.utterances[:1])  # which says both words of a pair
    report = analysis.run(QUICK, corpus=small, encoder=encoder, out=str(tmp_path / "out"))
    assert len(report.tables["pairs"]) == 0 and "gain" in report.tables["pairs"].columns
    known = report.separation.query("relation == 'near_homophone' and statistic == 'mean_distance'").dropna(subset="estimate")
    assert set(known["split"]) == {"all", "same_utterance", "same_text"}
    assert (tmp_path / "out" / "report.html").is_file()


def test_what_failed_may_leave_no_pair():
    from analysis.embeddings.types import UtteranceFrames
    from analysis.errors import Failure, Ledger
    from analysis.pipeline import require_pairs

    def left(types):
        frames = UtteranceFrames(("u",), np.array([9]), np.ones((1, 1, 2)), np.ones((1, 1)))
        tokens = pd.DataFrame({"token": range(len(types)), "utterance": "u", "type": types})
        return SyllableEmbeddings(tokens, np.ones((len(types), 1, 2)), (0,), frames)

    pairs = pd.DataFrame(
        [["S IH", "SH IH", "near_homophone"], ["S IH", "B OW", "unrelated"]], columns=["type_a", "type_b", "relation"]
    )
    ledger = Ledger(strict=False, failures=[Failure("embeddings", "v", "It is too long.", "cut it")])
    require_pairs("mfcc", left(["S IH", "SH IH"]), pairs, 4, ledger)
    with pytest.raises(SeparationError) as caught:
        require_pairs("mfcc", left(["S IH", "B OW"]), pairs, 4, ledger)
    assert str(caught.value) == (
        "mfcc: no near-homophone pair has tokens of both sides left, as 2 of 4 tokens have no vector. The first failure, v: It is too "
        "long. What to do: cut it"
    )
