"""The whole line: what a run leaves, that it repeats, and what it does with bad recordings."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf

import analysis
from analysis.errors import CorpusError, SeparationError, StrictError
from analysis.report.model import Report
from analysis.separation.settings import SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings

QUICK = DecoupleConfig(
    layers="last",
    audio=False,
    workers=1,
    separation=SeparationSettings(distances=("l2", "cosine"), vectors=("raw",), n_nulls=5),
    projection=ProjectionSettings(method="pca"),
)


@pytest.fixture(scope="module")
def report(demo_run) -> Report:
    return Report.read(demo_run)


def test_everything_that_was_promised_is_there(demo_run):
    for name in ("report.json", "report.html", "report.md", "separation.csv", "syllables.parquet"):
        assert (demo_run / name).stat().st_size > 500, name
    assert len(list((demo_run / "figures").glob("*.png"))) >= 2
    assert len(list((demo_run / "figures").glob("*.svg"))) >= 2


def test_the_console_shows_the_headline_and_says_synthetic(demo_run):
    said = (demo_run / "finished").read_text(encoding="utf-8")
    assert "synthetic" in said
    assert "net [95 % interval]" in said
    assert str(demo_run / "report.html") in said


def test_with_without_null_and_net_for_every_encoder_layer_distance_and_split(report):
    table = report.separation.query("relation == 'near_homophone' and vectors == 'raw' and average == 'macro'")
    assert set(table["encoder"]) == {"bundled"}
    assert set(table["layer"]) == {0, 1, 2, 3, 4}
    expected = {("without", "mean_distance"), ("wav2sem", "mean_distance"), ("oracle", "mean_distance")}
    expected |= {("wav2sem", "gain"), ("wav2sem", "net"), ("oracle", "net"), ("null:random", "gain"), ("null:shuffled", "gain")}
    for key, rows in table.groupby(["layer", "distance", "split"]):
        assert expected <= set(zip(rows["variant"], rows["statistic"], strict=True)), key
    assert {"l2", "l2_unit", "mse", "cosine"} <= set(table["distance"])
    assert {"same_utterance", "different_utterance"} <= set(table["split"])


def test_within_one_utterance_an_added_vector_changes_no_euclidean_distance(report):
    rows = report.separation.query(
        "split == 'same_utterance' and vectors == 'raw' and distance in ['l2', 'mse'] and statistic in ['gain', 'net'] "
        "and variant != 'null:frame_noise'"
    )
    assert len(rows) > 20
    assert np.abs(rows["estimate"]).max() < 1e-9


def test_between_utterances_the_raw_distance_rises_even_with_noise(report):
    rows = report.separation.query(
        "split == 'different_utterance' and vectors == 'raw' and distance == 'l2' and statistic == 'gain' "
        "and relation == 'near_homophone' and average == 'macro'"
    )
    assert set(rows["variant"]) >= {"wav2sem", "oracle", "null:random", "null:shuffled"}
    assert (rows["estimate"] > 0).all()


def test_the_page_asks_nobody_for_anything(demo_run):
    page = (demo_run / "report.html").read_text(encoding="utf-8")
    outside = r"""<(?:script|link|img|audio|source|iframe)[^>]+(?:src|href)\s*=\s*["']?\s*(?:https?:)?//"""
    assert not re.search(outside, page)
    assert "SYNTHETIC" in page.upper()


def test_tokens_and_vectors_are_readable_as_they_are(demo_run):
    table = pq.read_table(demo_run / "syllables.parquet")
    assert {"token", "utterance", "speaker", "type", "word", "start", "end", "bundled_layer_4"} <= set(table.column_names)
    assert table.schema.field("bundled_layer_4").type.list_size == 384
    assert pd.read_csv(demo_run / "separation.csv").shape[0] == len(Report.read(demo_run).separation)


def without_times(folder):
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for name in ("started", "finished", "command"):
        document["provenance"].pop(name)
    document["provenance"].pop("durations", None)
    document["configuration"].pop("out")
    return document


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(tmp_path):
    reports = {}
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        analysis.run(QUICK, seed=seed, out=str(tmp_path / name))
        reports[name] = without_times(tmp_path / name)
    assert reports["first"] == reports["second"]
    assert reports["first"]["tables"]["separation"] != reports["third"]["tables"]["separation"]


@pytest.fixture
def spoiled(tmp_path, demo):
    """A manifest of good utterances of the demo corpus with every kind of bad one among them."""
    folder = tmp_path / "spoiled"
    folder.mkdir()
    rows = []

    def add(name, audio, text, speaker="demo1"):
        rows.append({"path": audio, "transcript": text, "speaker": speaker, "id": name})

    for utterance in demo.utterances:
        shutil.copy(utterance.audio, folder / utterance.audio.name)
        add(utterance.id, utterance.audio.name, utterance.text, utterance.speaker)
    samples, rate = sf.read(demo.utterances[0].audio, dtype="float32")
    text = demo.utterances[0].text
    sf.write(folder / "stereo.wav", np.stack([samples, samples], 1), rate)
    add("stereo", "stereo.wav", text)
    import soxr

    for other in (8000, 44100):
        sf.write(folder / f"at{other}.wav", soxr.resample(samples, rate, other), other)
        add(f"at{other}", f"at{other}.wav", text)
    sf.write(folder / "unknown_word.wav", samples, rate)
    add("unknown_word", "unknown_word.wav", text.replace("goat", "goht"))
    add("no_text", "stereo.wav", "")
    sf.write(folder / "silent.wav", np.zeros(16000, dtype=np.float32), 16000)
    add("silent", "silent.wav", "Nothing is heard here.")
    (folder / "truncated.wav").write_bytes((folder / "stereo.wav").read_bytes()[:30])
    add("truncated", "truncated.wav", text)
    add("absent", "absent.wav", text)
    sf.write(folder / "other_text.wav", samples[: rate // 2], rate)
    add(
        "other_text",
        "other_text.wav",
        "These seventeen words were never spoken by anybody in half a second of sound, were they now?",
    )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def test_bad_recordings_are_rows_and_good_ones_beside_them_are_kept(spoiled, tmp_path):
    report = analysis.run(QUICK, corpus=str(spoiled), wav2sem="none", out=str(tmp_path / "out"))
    lost = set(report.failures.query("severity == 'error'")["item"].map(lambda item: item.split("/")[-1].removesuffix(".wav")))
    for name in ("silent", "truncated", "absent", "other_text"):
        assert name in lost, (name, lost)
    assert any("transcript" in reason.lower() for reason in report.failures["reason"])
    assert not {"stereo", "at8000", "at44100", "unknown_word"} & lost
    doubts = report.failures.query("severity == 'warning' and item == 'unknown_word'")
    assert "goht" in " ".join(doubts["reason"])
    assert (report.failures["reason"].str.len() > 10).all()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "truncated" in page


def test_strict_stops_at_the_first_failure(spoiled):
    with pytest.raises(StrictError, match=r"^corpus: "):
        analysis.run(QUICK, corpus=str(spoiled), strict=True, write=False)


def test_a_corpus_with_too_few_pairs_says_what_would_help(tmp_path, demo):
    folder = tmp_path / "few"
    folder.mkdir()
    for utterance in demo.utterances[:2]:
        shutil.copy(utterance.audio, folder / utterance.audio.name)
        (folder / f"{utterance.audio.stem}.txt").write_text(utterance.text, encoding="utf-8")
    with pytest.raises(SeparationError, match=r"Use a larger corpus, a lower --min_tokens or a higher --threshold\."):
        analysis.run(QUICK, corpus=str(folder), write=False)


def test_a_corpus_without_one_usable_utterance_is_an_error(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    (folder / "a.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(CorpusError):
        analysis.run(QUICK, corpus=str(folder), write=False)


def test_recordings_of_mixed_rates_and_formats(shared_data, tmp_path):
    report = analysis.run(QUICK, corpus=str(shared_data / "manifest.csv"), min_tokens=2, out=str(tmp_path))
    assert report.corpus["n_utterances"] > 40
    assert not report.corpus["synthetic"]
    assert (report.failures["remedy"].str.len() > 0).mean() > 0.5 if len(report.failures) else True


def test_existing_textgrids_are_used(shared_data, tmp_path):
    folder = str(shared_data / "autovot_1054")
    report = analysis.run(QUICK, corpus=folder, alignments=folder, min_tokens=1, out=str(tmp_path))
    assert "textgrid" in report.provenance["aligner"]
    assert report.corpus["n_utterances"] == 15
