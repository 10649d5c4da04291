"""Alignments that corpora bring: TIMIT, Buckeye, Festival voices, TextGrids named in a manifest; and what they become."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, make_aligner
from analysis.corpus import open_corpus
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure
from analysis.phonology import token_table


def write(folder, files, seconds=1.0):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=int(16000 * seconds)), 16000, format="WAV")
        else:
            path.write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def timit(tmp_path):
    return write(
        tmp_path / "timit",
        {
            "TRAIN/DR1/FCJF0/SA1.WAV": None,
            "TRAIN/DR1/FCJF0/SA1.TXT": "0 16000 She dug.\n",
            "TRAIN/DR1/FCJF0/SA1.WRD": "1600 4800 she\n4800 11200 dug\n",
            "TRAIN/DR1/FCJF0/SA1.PHN": (
                "0 1600 h#\n1600 3200 sh\n3200 4800 iy\n4800 6400 dcl\n6400 7200 d\n7200 9600 ah\n9600 10400 gcl\n10400 11200 g\n"
                "11200 16000 h#\n"
            ),
        },
    )


def test_timit_becomes_syllables(timit):
    corpus = open_corpus(timit)
    (found,) = make_aligner("labels").align(corpus.utterances)
    assert isinstance(found, Alignment)
    assert (found.source, found.inventory, found.warnings) == ("labels", "timit", ())
    assert [(word.label, word.start, word.end) for word in found.words] == [("she", 0.1, 0.3), ("dug", 0.3, 0.7)]
    assert [phone.label for phone in found.phones_of(found.words[1])] == ["dcl", "d", "ah", "gcl", "g"]
    tokens, failures = token_table(corpus.utterances, [found])
    assert tokens["type"].tolist() == ["SH IY", "D AH G"], "closures belong to their stops"
    assert tokens["stress"].tolist() == [1, 1], "stress is CMUdict's"
    assert (tokens["start"].tolist(), tokens["end"].tolist()) == ([0.1, 0.3], [0.3, 0.7]) and not failures


def test_buckeye_noise_is_silence(tmp_path):
    head = "signal s0101a\ntype 0\n#\n"
    folder = write(
        tmp_path / "buckeye",
        {
            "s01/s0101a.wav": None,
            "s01/s0101a.words": head + " 0.1 122 {B_TRANS}\n 0.5 122 okay; ow k ey; k ay; NN\n 1.0 122 <VOCNOISE>\n",
            "s01/s0101a.phones": head + " 0.1 122 SIL\n 0.3 122 k\n 0.5 122 ay\n 0.8 122 VOCNOISE\n 1.0 122 IVER\n",
        },
    )
    (found,) = make_aligner("labels").align(open_corpus(folder).utterances)
    assert (found.inventory, found.warnings) == ("buckeye", ())
    assert [word.label for word in found.words] == ["okay"] and [phone.label for phone in found.phones] == ["k", "ay"]


def test_phones_alone_are_kept_with_a_doubt(tmp_path):
    folder = write(
        tmp_path / "cmu_us_bdl_arctic",
        {
            "etc/txt.done.data": '( arctic_a0001 "He" )\n',
            "wav/arctic_a0001.wav": None,
            "lab/arctic_a0001.lab": "#\n 0.14 125 pau\n 0.20 125 hh\n 0.25 125 iy\n",
        },
    )
    (found,) = make_aligner("labels").align(open_corpus(folder).utterances)
    assert [phone.label for phone in found.phones] == ["HH", "IY"] and not found.words
    assert found.warnings == ("The corpus has no word labels for it, only those of its phones.",)


def test_manifests_may_name_textgrids_and_others_have_nothing(tmp_path):
    from tests.alignment.test_textgrids import TIERS, long_form

    folder = write(tmp_path, {"a.wav": None, "b.wav": None, "a.TextGrid": long_form(TIERS)})
    named = Utterance("a", folder / "a.wav", "sheep née", "s", 1.0, 16000, {"alignment": str(folder / "a.TextGrid")})
    found, nothing = make_aligner("labels").align([named, Utterance("b", folder / "b.wav", "ship", "s", 1.0, 16000)])
    assert [word.label for word in found.words] == ["sheep", "née"]
    assert nothing == Failure(
        "alignment", "b", "The corpus has no labels and names no TextGrid for it.",
        "Take an aligner that listens, such as pocketsphinx, or name TextGrids in the manifest's column alignment.",
    )  # fmt: skip


def test_a_broken_label_file_is_a_failure_and_strict_refuses_overlaps(timit):
    words = next(timit.rglob("*.WRD"))
    words.write_text("1600 4800 she\n4000 11200 dug\n")
    corpus = open_corpus(timit)
    (mended,) = make_aligner("labels").align(corpus.utterances)
    assert mended.warnings == (
        "Tier 'words': the intervals 'she' [0.1000, 0.3000) and 'dug' [0.2500, 0.7000) overlap; the first was cut.",
    )
    (refused,) = make_aligner("labels", strict=True).align(corpus.utterances)
    assert refused.reason.endswith("overlap; the first was cut. Strict reading refuses this.")
    words.write_text("1600 x she\n")
    (failure,) = make_aligner("labels").align(corpus.utterances)
    assert failure.reason == f"{words}, line 1 is '1600 x she'; expected start, end and label, separated by spaces."
