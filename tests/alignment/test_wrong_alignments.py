"""Alignments that belong to another recording, text or place: the file that is taken, words, sound and spectrum against them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, make_aligner, quality_table, write_textgrid
from analysis.alignment.boundaries import cepstra
from analysis.alignment.sound import boundary_contrast, sound_measures, worst_stretch
from analysis.alignment.wording import phones_off, wording
from analysis.corpus import open_corpus
from analysis.corpus.audio import read_audio, read_header
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure
from analysis.timebase import Interval

WORD = Alignment("any", (Interval(0.1, 0.5, "sheep"),), (), 1.0, "textgrid")


def recordings(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=16000), 16000)
        path.with_suffix(".txt").write_text("sheep", encoding="utf-8")


def found(tmp_path: Path, grids: list[str]) -> dict[str, str]:
    """By utterance id: the word of its TextGrid, which is the file's own path, or why it has none."""
    for name in grids:
        path = tmp_path / "grids" / f"{name}.TextGrid"
        write_textgrid(replace(WORD, words=(Interval(0.1, 0.5, name),)), path)
    corpus = open_corpus(tmp_path / "speech")
    outcomes = make_aligner("textgrid", folder=tmp_path / "grids").align(corpus.utterances)
    return {
        utterance.id: one.reason if isinstance(one, Failure) else one.words[0].label
        for utterance, one in zip(corpus, outcomes, strict=True)
    }


@pytest.mark.parametrize(
    ("audio", "grids", "wanted"),
    [
        # the other speaker's is never taken
        (["s1/r.wav", "s2/r.wav"], ["s1/r"], {"s1-r": "s1/r", "s2-r": None}),
        (["s1/r.wav", "s2/r.wav"], ["s1/r", "s2/r"], {"s1-r": "s1/r", "s2-r": "s2/r"}),
        (["s1/r.wav", "s2/r.wav"], ["s1_r", "s2-r"], {"s1-r": "s1_r", "s2-r": "s2-r"}),
        (["a/day/r.wav", "b/day/r.wav"], ["a/day/r"], {"a-day-r": "a/day/r", "b-day-r": None}),
        (["a/wav/r.wav", "b/wav/r.wav"], ["a/textgrid/r"], {"a-wav-r": "a/textgrid/r", "b-wav-r": None}),
        (["s1/other.wav", "s2/r.wav"], ["s1/r"], {"other": None, "r": None}),
        # a name that only one recording has may lie anywhere
        (["s1/r.wav", "s2/q.wav"], ["r", "done/q"], {"r": "r", "q": "done/q"}),
        (["s1/r.wav"], ["by_hand/R"], {"r": "by_hand/R"}),
        (["Zoe\u0308.wav"], ["Zo\u00eb"], {"Zoe\u0308": "Zo\u00eb"}),
    ],
)
def test_the_file_of_a_recording_is_its_own(tmp_path, audio, grids, wanted):
    recordings(tmp_path / "speech", *audio)
    got = found(tmp_path, grids)
    assert got.keys() == wanted.keys()
    for name, label in wanted.items():
        if label is None:
            stem = name.rsplit("-", 1)[-1]
            names = f"{name}.TextGrid" if stem == name else f"{name}.TextGrid or {stem}.TextGrid"
            assert got[name] == f"There is no {names} in {tmp_path / 'grids'}."
        else:
            assert got[name] == label


def test_a_file_that_would_do_for_two_recordings_is_nobodys(tmp_path):
    recordings(tmp_path / "speech", "s1/r.wav", "s2/r.wav")
    reason = (
        f"2 recordings are named r, and {tmp_path / 'grids' / 'r.TextGrid'} does not say whose it is. Name it by utterance id "
        f"({{}}), or put it into a folder named after the speaker."
    )
    assert found(tmp_path, ["r"]) == {"s1-r": reason.format("s1-r"), "s2-r": reason.format("s2-r")}


def words(text, phones=(), source="textgrid"):
    intervals = tuple(Interval(0.2 * i, 0.2 * i + 0.2, word) for i, word in enumerate(text.split("|")))
    return Alignment("u", intervals, tuple(phones), 0.2 * len(intervals), source)


@pytest.mark.parametrize(
    ("labels", "text", "n_off", "differences"),
    [
        ("The|ship,|don\u2019t", "the ship don't", 0, ""),
        ("sea-horse|2", "Sea horse two.", 0, ""),
        ("сорок|два", "Сорок два!", 0, ""),
        ("the|ship", "the ship is here", 2, "'is here' is missing"),
        ("a|the|shop", "the ship", 2, "'a' is added; 'shop' for 'ship'"),
        ("a|x|b|x|c|x|d|x", "a y b y c y d y", 4, "'x' for 'y'; 'x' for 'y'; 'x' for 'y'; and 1 more"),
    ],
)
def test_words_against_the_transcript(labels, text, n_off, differences):
    got = wording(words(labels), text)
    assert (got.n_off, got.differences) == (n_off, differences)


def test_labels_shifted_by_one_have_the_phones_of_other_words():
    spoken = [("the", "DH AH0"), ("ship", "SH IH1 P"), ("is", "IH1 Z"), ("near", "N IH1 R")]
    phones = []
    for i, (_, listed) in enumerate(spoken):
        labels = listed.split()
        phones += [
            Interval(0.2 * i + 0.2 / len(labels) * j, 0.2 * i + 0.2 / len(labels) * (j + 1), p) for j, p in enumerate(labels)
        ]
    assert phones_off(words("the|ship|is|near", phones)) == (0, 4, "")
    shifted = words("ship|is|near|the", phones)
    assert phones_off(shifted) == (4, 4, "'ship' over DH AH")
    row = quality_table([shifted]).iloc[0]
    assert row["marked"] and row["reasons"] == "4 of 4 words have the phones of other words, above 30%: 'ship' over DH AH"
    assert not quality_table([replace(shifted, source="mfa")])["marked"].any(), "its dictionary need not be CMUdict"
    braces = quality_table([words("{}|a")], [Utterance("u", Path("none.wav"), "b c", "s", 0.4, 16000)]).iloc[0]
    assert braces["reasons"] == "2 of 2 words differ from the transcript, above 10%: 'a' for 'b c'"


def bursts(*spans, seconds=4.0):
    """Noise of 60 dB in these spans (s), 30 dB elsewhere."""
    rng = np.random.default_rng(0)
    level = np.full(int(16000 * seconds), 30.0)
    for start, end in spans:
        level[int(16000 * start) : int(16000 * end)] = 1000.0
    return rng.normal(size=len(level)) * level


def test_sound_outside_the_words_is_measured():
    alignment = Alignment("u", (Interval(0.5, 1.0, "a"), Interval(3.0, 3.5, "b")), (), 4.0, "test")
    clean = sound_measures(bursts((0.5, 1.0), (3.0, 3.5)), alignment)
    assert clean.untranscribed == 0 and clean.untranscribed_share == 0 and np.isnan(clean.boundary_contrast)
    more = sound_measures(bursts((0.5, 1.0), (1.5, 1.9), (2.1, 2.6), (3.0, 3.5)), alignment)
    assert (more.untranscribed, more.untranscribed_at) == (pytest.approx(1.1, abs=0.021), pytest.approx(1.5, abs=0.021))
    assert more.untranscribed_share == pytest.approx(0.9 / 1.9, abs=0.02)
    apart = sound_measures(bursts((0.5, 1.0), (1.5, 1.9), (2.2, 2.6), (3.0, 3.5)), alignment)
    assert apart.untranscribed == pytest.approx(0.4, abs=0.021), "a quarter of a second of quiet parts two sounds"
    steady = sound_measures(bursts(), alignment)
    assert np.isnan(steady.untranscribed), "in steady noise nothing can be taken for sound"


def test_scores_are_judged_by_the_noise_of_the_recording(tmp_path):
    alignment = Alignment("u", (Interval(0.5, 1.0, "a"),), (), 4.0, "pocketsphinx 5", -3.4, (-3.4,))
    marked = []
    for louder in (1.0, 8.0):  # 30 and 14 dB from the quiet to the loud frames
        rng = np.random.default_rng(0)
        samples = bursts((0.5, 1.0)) + rng.normal(size=64000) * 30 * (louder - 1)
        soundfile.write(tmp_path / "u.wav", samples / 32768, 16000)
        row = quality_table([alignment], [Utterance("u", tmp_path / "u.wav", "a", "s", 4.0, 16000)]).iloc[0]
        marked.append("score per frame" in row["reasons"])
        assert row["level_range"] == pytest.approx(30 if louder == 1 else 13.7, abs=1.5)
    assert marked == [True, False]


def test_the_worst_stretch_of_scores():
    alignment = Alignment(
        "u", (Interval(0, 0.5, "a"), Interval(1, 1.5, "b"), Interval(2, 2.5, "c")), (), 3.0, "test", -2.0, (-1.0, -4.0, -1.0)
    )
    assert worst_stretch(alignment) == (pytest.approx((-4 * 50 - 30) / 80), pytest.approx(0.2))
    assert np.isnan(worst_stretch(replace(alignment, word_confidence=None))[0])


def test_boundaries_where_the_spectrum_changes_and_elsewhere():
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.normal(size=(20, 13)), 10, axis=0) + 0.1 * rng.normal(size=(200, 13))
    phones = tuple(Interval(0.1 * i, 0.1 * i + 0.1, "x") for i in range(20))
    late = tuple(Interval(one.start + 0.05, min(one.end + 0.05, 2.0), "x") for one in phones)
    assert boundary_contrast(phones, frames) > 1 > 0 > boundary_contrast(late, frames)
    assert np.isnan(boundary_contrast(phones[:9], frames))


def shared(shared_data, name):
    with (shared_data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"].startswith(name):
                path = shared_data / row["path"]
                header = read_header(path)
                yield Utterance(path.stem, path, row["transcript"], row["speaker"], header.duration, header.sampling_rate)


def test_a_corpus_that_is_off_everywhere_is_marked(shared_data):
    utterances = list(shared(shared_data, "autovot_1054"))
    right = [one for one in make_aligner("pocketsphinx").align(utterances)]
    assert not quality_table(right, utterances)["reasons"].str.contains("fit the spectrum by").any()
    late = []
    for one in right:
        moved = [
            tuple(
                Interval(min(each.start + 0.04, one.duration - 0.01), min(each.end + 0.04, one.duration), each.label)
                for each in tier
            )
            for tier in (one.words, one.phones)
        ]
        late.append(replace(one, words=moved[0], phones=moved[1]))
    table = quality_table(late, utterances)
    assert table["marked"].all() and table["reasons"].str.contains("fit the spectrum by").all()
    assert table["badness"].is_monotonic_decreasing
    frames = cepstra(read_audio(utterances[0], 16000) * 32768)
    assert boundary_contrast(right[0].phones, frames) > 0.2


CASES = {
    "abc_ac": "1.60 s of sound outside the words, above 0.5 s, from 4.64 s",
    "ab_b": "1.00 s of sound outside the words, above 0.5 s, from 0.00 s",
    "b_wrong": "score per frame of -6.0, below -3.0 (pocketsphinx)",
    "b_ok": "",
}


@pytest.mark.parametrize(("name", "reason"), CASES.items())
def test_one_recording_alone_shows_that_its_transcript_is_another(shared_data, name, reason):
    folder = shared_data.parent / "cases" / "speech" / "partial"
    if not folder.is_dir():
        pytest.skip(f"the cases are not at {folder}")
    utterance = next(one for one in open_corpus(folder) if one.id == name)
    row = quality_table([make_aligner("pocketsphinx").align_one(utterance)], [utterance]).iloc[0]
    assert row["marked"] == bool(reason) and reason in row["reasons"]
