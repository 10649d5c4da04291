"""The embedded aligner on speech: order, confidence that falls with wrong words, accuracy on a reference, quality, cache."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analysis.alignment import Alignment, align_cached, boundary_errors, make_aligner, quality_table, read_textgrid
from analysis.alignment.agreement import agreement_table
from analysis.alignment.arpabet import from_ipa
from analysis.alignment.pronunciation import Pronouncer
from analysis.alignment.quality import QualityLimits
from analysis.alignment.transcript import spoken_words
from analysis.corpus.audio import read_header
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure
from analysis.timebase import Interval


def _utterances(shared_data, folders):
    found = []
    with (shared_data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"].startswith(folders):
                path = shared_data / row["path"]
                header = read_header(path)
                found.append(Utterance(path.stem, path, row["transcript"], row["speaker"], header.duration, header.sampling_rate))
    return found


@pytest.fixture(scope="module")
def aligner():
    return make_aligner("pocketsphinx")


def test_boundaries_lie_where_the_reference_has_them(shared_data, aligner):
    utterances = _utterances(shared_data, "autovot_1054")
    found = list(aligner.align(utterances))
    pairs = [(read_textgrid(one.audio.with_suffix(".TextGrid")), two) for one, two in zip(utterances, found, strict=True)]
    table = agreement_table(boundary_errors(pairs)).set_index(["tier", "group"])
    assert table.loc[("words", "all"), "within_50"] >= 96
    assert table.loc[("phones", "starts"), "within_20"] >= 92
    assert table.loc[("phones", "all"), "within_20"] >= 92
    assert table["unmatched"].max() == 0


def test_a_hard_librispeech_utterance_aligns_and_wrong_words_score_lower(shared_data, aligner):
    hard = next(one for one in _utterances(shared_data, "librispeech") if one.id == "19-227-0062")
    short = next(one for one in _utterances(shared_data, "librispeech") if one.id == "1089-134691-0000")
    found, right, wrong = aligner.align([hard, short, replace(short, text="he should taste new butter")])
    assert isinstance(found, Alignment)
    assert [word.label for word in found.words] == spoken_words(hard.text, aligner.known)
    assert found.warnings == ("The pronunciation of 'sagacity' is guessed: S AH0 G AE S IH T IY.",)
    for left, after in pairwise(found.phones):
        assert left.end <= after.start + 1e-9
    assert found.phones[0].start >= 0 and found.phones[-1].end <= found.duration + 1e-6
    for word in found.words:
        inside = found.phones_of(word)
        assert inside and inside[0].start == word.start and inside[-1].end == word.end
    assert isinstance(wrong, Failure) or wrong.confidence < right.confidence


@pytest.mark.slow
def test_all_librispeech_utterances_align(shared_data, aligner):
    found = list(aligner.align(_utterances(shared_data, "librispeech")))
    assert len(found) == 22 and all(isinstance(one, Alignment) for one in found)


def test_what_cannot_be_aligned_is_a_failure_with_its_reason(tmp_path, aligner):
    import soundfile

    path = tmp_path / "short.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=3200), 16000)
    one = Utterance("short", path, "this text is much too long for it", "A", 0.2, 16000)
    long, foreign, bare = aligner.align([one, replace(one, text="日本"), replace(one, text="...")])
    assert long.reason == (
        "The transcript has 8 words of 22 phones, which need 0.66 s at the least, and the recording lasts 0.20 s."
    )
    assert foreign.reason == "No pronunciation for '日本': not in the dictionary and not in Latin letters."
    assert bare.reason == "The transcript '...' has no words."


def test_finished_alignments_are_not_made_again(tmp_path, shared_data, aligner):
    utterances = _utterances(shared_data, "autovot_1054")[:2]
    first = list(align_cached(aligner, utterances, tmp_path))

    class Refuses:
        source = aligner.source
        cache_key = staticmethod(aligner.cache_key)

        def align(self, utterances):
            raise RuntimeError("asked again")

    assert list(align_cached(Refuses(), utterances, tmp_path)) == first
    (asked,) = align_cached(Refuses(), [replace(utterances[0], text="now move the bun")], tmp_path)
    assert isinstance(asked, Failure) and asked.reason == "RuntimeError: asked again."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr. O'Neill paid $3.50.", "mister o'neill paid three dollars and fifty cents"),
        ("At 3:05, 21st of May 1999", "at three oh five twenty first of may nineteen ninety nine"),
        ("1/2 of 2,000 — the '90s", "one half of two thousand the nineties"),
        ("sea-horse [laughter] “quoted”", "sea horse quoted"),
        ("$1.2 million, £5, 50%", "one point two million dollars five pounds fifty percent"),
        ("U.S. and i.e. etc.", "u s and that is et cetera"),
        ("...", ""),
    ],
)
def test_transcripts_become_spoken_words(text, words):
    assert spoken_words(text) == words.split()


def test_pronunciations_come_from_the_best_source():
    pronounce = Pronouncer()
    assert pronounce("sheep")[0].phones == ("SH", "IY1", "P")
    assert (pronounce("morland's")[0].source, pronounce("morland's")[0].phones[-1]) == ("ending", "Z")
    assert pronounce("zorblax")[0].source == "g2p"
    assert from_ipa("d͡ʒʌd͡ʒ") == ("JH", "AH1", "JH")


def _alignment(name, scale, confidence=-1.0):
    phones = tuple(Interval(0.1 * i * scale, 0.1 * (i + 1) * scale, "AH0") for i in range(10))
    return Alignment(name, (Interval(0.0, scale, "a"),), phones, scale, "test", confidence)


def test_quality_marks_the_worst_first():
    good = [_alignment(f"good{i}", 1.0, -1.0 - 0.01 * i) for i in range(20)]
    table = quality_table([*good, _alignment("fast", 0.3, -1.0), _alignment("lost", 1.0, -9.0)])
    assert set(table["utterance"][:2]) == {"fast", "lost"} and table["marked"].sum() == 2
    assert table["excess"].is_monotonic_decreasing
    assert not quality_table(good, limits=QualityLimits())["marked"].any()
    with pytest.raises(ConfigurationError):
        QualityLimits(slowest=9, fastest=8)


def test_an_alignment_does_not_depend_on_what_was_aligned_before(demo):
    """Or it would change with workers, shards, and a run that was interrupted; this decoder keeps noise levels if allowed."""
    some = demo.utterances[:8]
    forwards = list(make_aligner("pocketsphinx").align(some))
    backwards = list(make_aligner("pocketsphinx").align(some[::-1]))[::-1]
    assert forwards == backwards
    assert list(make_aligner("pocketsphinx").align(some[5:6])) == forwards[5:6]
