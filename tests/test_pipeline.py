"""The whole line: what a run leaves, that it repeats, and what it does with bad recordings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf

import analysis
from analysis.corpus.utterance import Corpus
from analysis.embeddings import SyllableEmbeddings
from analysis.errors import (
    ConfigurationError,
    CorpusError,
    EncoderError,
    Ledger,
    LexiconError,
    SemanticsError,
    SeparationError,
    StrictError,
)
from analysis.pipeline import tokens_of
from analysis.report.document import Report
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
    assert set(table["split"]) == {"all", "same_utterance", "same_text", "different_text"}


def test_within_one_utterance_an_added_vector_changes_no_euclidean_distance(report):
    rows = report.separation.query(
        "split == 'same_utterance' and vectors == 'raw' and distance in ['l2', 'mse'] and statistic in ['gain', 'net'] "
        "and variant != 'null:frame_noise'"
    )
    assert len(rows) > 20
    assert np.abs(rows["estimate"]).max() < 1e-9


def test_between_utterances_the_raw_distance_rises_even_with_noise(report):
    rows = report.separation.query(
        "split == 'different_text' and vectors == 'raw' and distance == 'l2' and statistic == 'gain' "
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


@pytest.fixture(scope="module")
def small(tmp_path_factory, demo) -> str:
    """A manifest of some utterances of two speakers of the demo corpus."""
    rows = [[str(u.audio), u.text, u.speaker, u.id] for u in demo.utterances[:64]]
    path = tmp_path_factory.mktemp("small") / "manifest.csv"
    pd.DataFrame(rows, columns=["path", "transcript", "speaker", "id"]).to_csv(path, index=False)
    return str(path)


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(small, tmp_path):
    reports = {}
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        analysis.run(QUICK, corpus=small, seed=seed, out=str(tmp_path / name))
        reports[name] = without_times(tmp_path / name)
    assert reports["first"] == reports["second"]
    assert reports["first"]["tables"]["separation"] != reports["third"]["tables"]["separation"]


def test_warped_frames_are_scored_as_if_every_frame_had_been_given(small, tmp_path, monkeypatch):
    """``--dtw``: only the frames that ABX looks at are kept, and the scores are those of the frames of all tokens, cut by hand."""
    from analysis.corpus import open_corpus, read_audio
    from analysis.encoders import load_encoder
    from analysis.separation import score

    given = {}

    def listening(embeddings, semantics, pairs, *, settings, frames):
        given.update(embeddings=embeddings, semantics=semantics, pairs=pairs, settings=settings, frames=frames)
        return score(embeddings, semantics, pairs, settings=settings, frames=frames)

    monkeypatch.setattr("analysis.separation.score", listening)
    corpus = tmp_path / "manifest.csv"
    pd.read_csv(small).head(24).to_csv(corpus, index=False)
    settings = {"corpus": str(corpus), "encoder": ["mfcc"], "wav2sem": "none", "min_tokens": 2, "write": False}
    report = analysis.run(QUICK, dtw=True, **settings)
    kept, embeddings = given["frames"], given["embeddings"]
    assert list(kept) == [0] and len(kept[0]) == len(embeddings)
    recordings = {utterance.id: utterance for utterance in open_corpus(str(corpus))}
    encoder = load_encoder("mfcc", device="cpu")
    by_hand = []
    for token in embeddings.tokens.itertuples():
        states = encoder.encode([read_audio(recordings[token.utterance], sampling_rate=16000)])[0][0].numpy()
        centres = encoder.card.grid.centers(len(states))
        by_hand.append(states[(centres >= token.start) & (centres < token.end)])
    near = given["pairs"].query("relation == 'near_homophone'")
    looked_at = embeddings.tokens["type"].isin({*near["type_a"], *near["type_b"]})
    assert 0 < looked_at.sum() < len(embeddings)
    for wanted, mine, whole in zip(looked_at, kept[0], by_hand, strict=True):
        assert mine.shape == (len(whole) if wanted else 0, encoder.card.dims)
    given.pop("frames")
    expected = score(
        **{name: given[name] for name in ("embeddings", "semantics", "pairs", "settings")}, frames={0: by_hand}
    ).table
    pd.testing.assert_frame_equal(report.separation, expected, check_dtype=False)
    warped = report.separation.query("distance == 'dtw_angular'")
    assert {"abx_error", "abx_error:gain", "abx_error:net"} == set(warped["statistic"])
    assert {"without", "oracle", "null:random", "null:shuffled"} == set(warped["variant"])
    plain = analysis.run(QUICK, **settings)
    assert "--dtw" in report.provenance["command"] and "--dtw" not in plain.provenance["command"]
    rest = report.separation.query("distance != 'dtw_angular'").reset_index(drop=True)
    pd.testing.assert_frame_equal(plain.separation, rest)


def test_figures_of_the_paper_stand_beside_its_encoders_only(small, tmp_path, monkeypatch, report):
    """A folder of that encoder's name and random weights: every normalisation has a row, the nearest is named, none is a reproduction."""
    from tests.encoders.conftest import write_model

    name = "facebook/hubert-base-ls960"
    write_model("hubert", tmp_path / name)
    corpus = tmp_path / "manifest.csv"
    pd.read_csv(small).head(24).to_csv(corpus, index=False)
    monkeypatch.chdir(tmp_path)
    asked = SeparationSettings(distances=("l2", "mse", "cosine"), vectors=("raw", "utterance_centred"), n_nulls=2, scale_free=())
    settings = {"corpus": str(corpus), "wav2sem": "none", "min_tokens": 2, "separation": asked, "layers": "all"}
    found = analysis.run(QUICK, encoder=["mfcc", name], out=str(tmp_path / "out"), **settings)
    beside, scores = found.tables["published"], found.separation
    assert set(beside["encoder"]) == {name} and set(beside["published_name"]) == {"HuBERT"}
    means = scores.query("encoder == @name and statistic == 'mean_distance' and relation == 'near_homophone'")
    keys = ["layer", "vectors", "distance", "split", "average"]
    own = means.pivot(index=keys, columns="variant", values="estimate")
    plain = beside[beside["distance"].isin(["l2", "mse", "cosine"])]
    ratios = {f"between_within_ratio of {name}" for name in ("l2", "mse", "cosine")}
    assert len(own) == len(plain) and {"l2", "mse", "cosine", "rms", *ratios} == set(beside["distance"])
    assert {"raw", "utterance_centred"} == set(beside["vectors"]) and {"macro", "micro"} == set(beside["average"])
    assert beside["layer"].nunique() == means["layer"].nunique() > 1
    for row in plain.itertuples():
        without, fused = own.loc[tuple(getattr(row, key) for key in keys), ["without", "oracle"]]
        assert (row.variant, row.without, row.with_module) == ("oracle", without, fused)
        assert (row.published_without, row.published_with_module) == (0.2689, 0.2909)
        assert row.log_ratio == pytest.approx((abs(np.log(without / 0.2689)) + abs(np.log(fused / 0.2909))) / 2)
    assert beside["log_ratio"].is_monotonic_increasing and beside["nearest"].tolist() == [True] + [False] * (len(beside) - 1)
    first = beside.iloc[0]
    (said,) = [note for note in found.figures["notes"] if "paper" in note]
    assert (
        f"is {first['without']:.4f} and {first['with_module']:.4f} (oracle, layer {first['layer']}, {first['distance']}, " in said
    )
    assert "That is no reproduction" in said and "without formula, layer or data" in said
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Table “published”" in page and said in page
    assert set(re.findall(r"(\w+) reproduc", page)) == {"no"}, "never called a reproduction"
    assert Report.read(tmp_path / "out").tables["published"].equals(beside)
    assert "published" not in report.tables and not any("paper" in note for note in report.figures["notes"])


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory, demo):
    """A manifest of good utterances of the demo corpus with every kind of bad one among them."""
    import soxr

    folder = tmp_path_factory.mktemp("spoiled")
    good = demo.utterances[:40]
    rows = [[str(utterance.audio), utterance.text, utterance.speaker, utterance.id] for utterance in good]
    samples, rate = sf.read(good[0].audio, dtype="float32")
    text = good[0].text

    def add(name, samples, rate=rate, text=text):
        if samples is not None:
            sf.write(folder / f"{name}.wav", samples, rate)
        rows.append([f"{name}.wav", text, "demo1", name])

    add("stereo", np.stack([samples, samples], 1))
    add("at8000", soxr.resample(samples, rate, 8000), 8000)
    add("at44100", soxr.resample(samples, rate, 44100), 44100)
    add("unknown_word", samples, text=text.replace("goat", "goht"))
    add("no_text", samples, text="")
    add("blank_text", samples, text=" . ")
    add("silent", np.zeros(rate, dtype=np.float32), text="Nothing is heard here.")
    add("absent", None)
    add("headless", None)
    (folder / "headless.wav").write_bytes((folder / "stereo.wav").read_bytes()[:30])
    add("cut_short", None)  # FLAC, whatever its name says
    whole = good[0].audio.read_bytes()
    (folder / "cut_short.wav").write_bytes(whole[: len(whole) // 2])
    add(
        "other_text",
        samples[: rate // 2],
        text="These seventeen words were never spoken by anybody in half a second of sound, were they?",
    )
    pd.DataFrame(rows, columns=["path", "transcript", "speaker", "id"]).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def spoiled_run(spoiled, tmp_path_factory) -> Report:
    return analysis.run(QUICK, corpus=str(spoiled), wav2sem="none", oracle="none", out=str(tmp_path_factory.mktemp("out")))


def test_every_bad_recording_is_a_row_that_says_what_to_do(spoiled, spoiled_run):
    folder = spoiled.parent
    rows = spoiled_run.failures.set_index("item")
    assert list(rows.columns) == ["stage", "reason", "remedy", "severity"]
    said = {name: f"{row.stage}: {row.reason} {row.remedy}".rstrip() for name, row in rows.iterrows()}
    damaged = (
        "It is truncated, damaged or of a format that libsndfile does not know; fetch it again, or convert it to WAV or FLAC."
    )
    assert said.pop("no_text") == (
        f"corpus: The transcript of {folder}/no_text.wav is empty. Write its words in row 45 of {spoiled}, or leave it out."
    )
    assert said.pop("blank_text") == "alignment: The transcript '.' has no words. Give the words that are spoken."
    assert said.pop("absent") == (
        f"corpus: {folder}/absent.wav does not exist. Mend the path in the manifest or transcript file, or fetch the recording."
    )
    headless = said.pop("headless")
    assert headless.startswith(f"corpus: {folder}/headless.wav cannot be read as audio: Error in WAV file, No 'data' chunk")
    assert headless.endswith(damaged)
    cut_short = said.pop("cut_short")
    assert cut_short.startswith(f"alignment: {folder}/cut_short.wav cannot be read as audio: flac decoder lost sync")
    assert cut_short.endswith(f"{damaged} Mend or leave out this recording.")
    assert said.pop("silent").startswith(f"alignment: {folder}/silent.wav is silent: no sample exceeds 0.0001")
    assert said.pop("other_text") == (
        "alignment: The transcript has 16 words of 58 phones, which need 1.74 s at the least, and the recording lasts 0.50 s. "
        "Does the transcript belong to this recording, and is it complete?"
    )
    assert rows.loc["unknown_word", "severity"] == "warning"
    assert said.pop("unknown_word").startswith("alignment: The pronunciation of 'goht' is guessed: G OW1 T.")
    assert said.pop(next(name for name in said if name.startswith("spoiled"))).startswith(
        "phonology: Pairs of content words with 4 tokens"
    )
    assert not said, "no other row: 8 kHz, 44.1 kHz and stereo are read like the rest"


def test_good_recordings_beside_bad_ones_are_kept(spoiled_run):
    kept = set(spoiled_run.tables["quality"]["utterance"])
    assert kept == {utterance for utterance in spoiled_run.tables["utterances"]["utterance"]} - {
        "blank_text", "silent", "cut_short", "other_text",
    }  # fmt: skip
    assert {"stereo", "at8000", "at44100", "unknown_word"} <= kept and len(kept) == 44
    page = (Path(spoiled_run.configuration["out"]) / "report.html").read_text(encoding="utf-8")
    assert "headless.wav" in page


def test_strict_stops_at_the_first_failure(spoiled):
    with pytest.raises(StrictError, match=r"^corpus: no_text: The transcript of .* is empty\. Write its words in row 45 of "):
        analysis.run(QUICK, corpus=str(spoiled), strict=True, write=False)


def test_an_interrupted_run_goes_on_without_doing_finished_work_again(small, tmp_path, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path / "cache"))
    corpus = tmp_path / "manifest.csv"
    pd.read_csv(small).head(12).to_csv(corpus, index=False)
    settings = {"corpus": str(corpus), "wav2sem": "none", "oracle": "none", "out": str(tmp_path / "out")}
    with monkeypatch.context() as interrupted:
        interrupted.setattr("analysis.separation.score", interrupt)
        with pytest.raises(KeyboardInterrupt):
            analysis.run(QUICK, **settings)
    assert not (tmp_path / "out" / "report.json").exists()
    monkeypatch.setattr("analysis.alignment.pocketsphinx.PocketsphinxAligner.align", interrupt)
    monkeypatch.setattr("analysis.encoders.deferred.DeferredEncoder.encode", interrupt)
    report = analysis.run(QUICK, **settings)
    assert report.corpus["n_utterances"] == 12
    assert (tmp_path / "out" / "report.json").exists()


def interrupt(*arguments, **settings):
    raise KeyboardInterrupt


@pytest.fixture
def few(tmp_path, demo):
    """A folder of two utterances."""
    folder = tmp_path / "few"
    folder.mkdir()
    for utterance in demo.utterances[:2]:
        shutil.copy(utterance.audio, folder / utterance.audio.name)
        (folder / f"{utterance.audio.stem}.txt").write_text(utterance.text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"min_tokens": 4},
            " whose two syllables occur at least 4 times (14 tokens of 14 types). "
            "Use a larger corpus, a lower --min_tokens or a higher --threshold.",
        ),
        ({"threshold": 0.01}, " (14 tokens of 14 types). Use a larger corpus or a higher --threshold."),
    ],
)
def test_a_corpus_with_too_few_pairs_says_what_would_help(few, settings, message):
    with pytest.raises(SeparationError) as raised:
        analysis.run(QUICK, corpus=few, write=False, **settings)
    assert str(raised.value) == "The corpus has no near-homophone pair" + message


def test_too_few_tokens_for_a_map_are_a_row_and_no_reason_to_stop(few, tmp_path):
    report = analysis.run(QUICK, corpus=few, threshold=0.6, wav2sem="none", oracle="none", max_pairs=1, out=str(tmp_path))
    assert len(report.tables["projection"]) == 0
    said = report.failures.query("stage == 'projection'")[["item", "reason", "severity"]].values.tolist()
    assert said == [["bundled", "2 tokens of near-homophones are too few for a map.", "warning"]]
    assert not (tmp_path / "figures" / "map.png").exists()
    assert (tmp_path / "report.html").exists()


def test_a_misspelt_encoder_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigurationError) as raised:
        analysis.run(QUICK, corpus=str(tmp_path / "nowhere"), encoder=["bundled", "bundeld"])
    assert str(raised.value) == (
        "There is no encoder 'bundeld'; did you mean 'bundled'? Give bundled, mfcc, logmel, a hub id such as "
        "facebook/hubert-base-ls960, or a folder."
    )


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("./no/such/folder", "There is no model folder ./no/such/folder. Check the path."),
        ("features:no/such?rate=50", "There is no folder no/such with precomputed frames. Check the path."),
    ],
)
def test_an_encoder_that_is_not_there_is_refused_before_any_work(tmp_path, encoder, message):
    with pytest.raises(EncoderError) as raised:
        analysis.run(QUICK, corpus=str(tmp_path / "nowhere"), encoder=[encoder], write=False)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"out": "{folder}/taken/report"},
            ConfigurationError,
            "The report cannot be written to {folder}/taken/report: Not a directory.",
        ),
        ({"wav2sem": "{folder}/none"}, ConfigurationError, "There is no semantic module '{folder}/none'."),
        ({"pairs": "{folder}/none"}, LexiconError, "There is no pair list '{folder}/none'."),
        ({"pairs": "{folder}/taken"}, LexiconError, "{folder}/taken has the columns a file; missing: type_a, type_b."),
        (
            {"pairs": "{folder}/empty"},
            LexiconError,
            "The pair list {folder}/empty cannot be read: No columns to parse from file.",
        ),
        ({"inventory": "klingon"}, LexiconError, "There is no inventory 'klingon'."),
        (
            {"encoders": "mfcc"},
            ConfigurationError,
            "There is no setting 'encoders'; did you mean 'encoder'? The settings: corpus, ",
        ),
        (
            {"fusion": "linear", "fusion_weights": "{folder}/none", "oracle": "none", "layers": "4"},
            SemanticsError,
            "There are no weights of the fusion 'linear' for wav2sem (module) in {folder}/none:",
        ),
    ],
)
def test_what_is_missing_at_the_end_is_refused_before_anything_is_aligned(tmp_path, monkeypatch, small, settings, kind, message):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    (tmp_path / "empty").touch()
    monkeypatch.setattr("analysis.alignment.aligned.align", lambda *_, **__: pytest.fail("aligned"))
    settings = {"out": str(tmp_path / "out")} | {name: value.format(folder=tmp_path) for name, value in settings.items()}
    with pytest.raises(kind) as raised:
        analysis.run(QUICK, corpus=str(small), **settings)
    assert str(raised.value).startswith(message.format(folder=tmp_path))


def test_a_corpus_without_one_usable_utterance_is_an_error(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    (folder / "a.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(CorpusError):
        analysis.run(QUICK, corpus=str(folder), write=False)


def test_recordings_of_mixed_rates_and_formats(shared_data, tmp_path):
    report = analysis.run(QUICK, corpus=str(shared_data / "manifest.csv"), out=str(tmp_path))
    assert report.corpus["n_utterances"] == 71
    assert not report.corpus["synthetic"]
    lost = report.failures.query("severity == 'error'")
    assert set(lost["item"]) == set(report.tables["quality"].query("marked")["utterance"]) and len(lost)
    assert (lost["remedy"] == "Check it, or use --keep_marked.").all()


def test_a_corpus_where_words_are_said_once_is_scored_and_no_interval_is_invented(shared_data, tmp_path):
    folder = str(shared_data / "autovot_1054")
    report = analysis.run(QUICK, corpus=folder, alignments=folder, out=str(tmp_path))
    assert "textgrid" in report.provenance["aligner"]
    assert report.corpus["n_utterances"] == 15 and report.corpus["n_speakers"] == 1
    assert report.failures["reason"].tolist() == [
        "Pairs of content words with 4 tokens of both syllables are fewer than 3 or said by fewer than 3 speakers, so pairs with at least 1 of each are scored."
    ]
    rows = report.separation.query("statistic in ['gain', 'net'] and relation == 'near_homophone'")
    assert len(rows) and rows["estimate"].notna().all()
    assert rows[["ci_low", "ci_high"]].isna().all(axis=None), "one speaker says nothing of others"
    assert {verdict["text"].split(": ")[-1] for verdict in report.verdicts} == {
        "The corpus is too small for an interval, so nothing is claimed."
    }


def test_vectors_that_were_extracted_apart_give_the_same_scores(tmp_path, demo, monkeypatch):
    """Extraction in shards, as on a cluster, then scores from its folder alone: nothing is aligned or encoded again."""
    from analysis.embeddings.__main__ import main

    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "some"
    folder.mkdir()
    for utterance in demo.utterances[:16]:
        shutil.copy(utterance.audio, folder / utterance.audio.name)
        (folder / f"{utterance.audio.stem}.txt").write_text(utterance.text, encoding="utf-8")
    store = tmp_path / "vectors"
    for shard in "01":
        assert (
            main(
                [str(folder), "--encoder", "mfcc", "--out", str(store), "--per-shard", "8", "--shard", shard, "--num-shards", "2"]
            )
            == 0
        )
    settings = {"corpus": str(folder), "encoder": ["mfcc"], "oracle": "none", "write": False}
    together = analysis.run(QUICK, **settings)
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path / "elsewhere"))
    apart = analysis.run(QUICK, vectors=str(store), **settings)
    assert not (tmp_path / "elsewhere" / "alignments").exists()
    assert apart.provenance["configuration_hash"] == together.provenance["configuration_hash"]
    columns = ["variant", "statistic", "null", "distance", "relation", "split", "estimate"]
    pd.testing.assert_frame_equal(apart.separation[columns], together.separation[columns], rtol=1e-4, atol=1e-9)
    assert "embeddings" not in set(apart.failures["stage"])
    grown = Corpus("grown", (*demo.utterances[:16], demo.utterances[40]))
    ledger = Ledger(strict=False)
    assert set(tokens_of(SyllableEmbeddings.read(store).tokens, grown, ledger)["utterance"]) == {one.id for one in grown.utterances[:16]}
    assert [row.reason for row in ledger.failures] == [
        f"The store holds no token of 1 of the 17 utterances, such as {grown.utterances[16].id!r}."
    ]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(demo.utterances[0].audio, other / "another.wav")
    (other / "another.txt").write_text(demo.utterances[0].text, encoding="utf-8")
    with pytest.raises(CorpusError) as raised:
        analysis.run(QUICK, vectors=str(store), corpus=str(other), write=False)
    assert str(raised.value) == (
        "The stored vectors and the corpus other share no utterance: the store holds 'demo1-d011', the corpus 'another'. "
        "Name the corpus that was extracted."
    )
