"""Formats other than TextGrid: what each keeps, and bad input with its whole message."""

from __future__ import annotations

import json

import pytest

from analysis.alignment import Alignment, read_alignment, write_alignment
from analysis.alignment.formats import read_ctm, write_ctm
from analysis.errors import AlignmentError
from analysis.timebase import Interval


def alignment(**changes):
    words = (Interval(0.1, 0.5, "sheep"), Interval(0.5, 0.9, "née"))
    phones = (Interval(0.1, 0.3, "SH"), Interval(0.3, 0.5, "IY1"))
    return Alignment("u1", words, phones, 1.0, "test", **changes)


def message(call, *arguments):
    with pytest.raises(AlignmentError) as error:
        call(*arguments)
    return str(error.value)


def test_json_keeps_everything(tmp_path):
    one = alignment(
        confidence=-1.5, word_confidence=(-1.0, -2.0), inventory="ipa", warnings=("doubt",), measures=(("snr", 12.5),)
    )
    assert read_alignment(write_alignment(one, tmp_path / "u1.json")) == one


def test_ctm_lines_are_those_of_kaldi(tmp_path):
    path = write_ctm([alignment(word_confidence=(-1.0, -2.0))], tmp_path / "a.ctm")
    assert path.read_text(encoding="utf-8") == ("u1 1 0.100000 0.400000 sheep -1.0000\nu1 1 0.500000 0.400000 née -2.0000\n")
    write_ctm([alignment()], path, tier="phones")
    assert read_ctm(path) == {"u1": alignment().phones}


def test_elan_counts_milliseconds(tmp_path):
    odd = Alignment("u", (Interval(0.12345, 0.4567, "a"),), (), 1.0, "test")
    assert read_alignment(write_alignment(odd, tmp_path / "u.eaf"), duration=1.0).words == (Interval(0.123, 0.457, "a"),)


def test_bad_files_say_what_is_wrong(tmp_path):
    path = tmp_path / "a.xml"
    assert message(write_alignment, alignment(), path) == (
        f"{path}: no format has the ending '.xml'. Valid endings: .TextGrid, .eaf, .csv, .json."
    )
    assert (
        message(read_alignment, path) == f"{path}: no format has the ending '.xml'. Valid endings: .TextGrid, .eaf, .csv, .json."
    )
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"utterance": "u", "words": []}))
    assert message(read_alignment, path) == (
        f"{path} is no alignment: KeyError: 'phones'. Needed: utterance, duration, and words and phones as [start, end, label]."
    )
    path = tmp_path / "a.csv"
    path.write_text("tier,start,end,label\nwords,0.1,x,a\n")
    assert message(read_alignment, path) == f"{path} cannot be read as .csv: ValueError: could not convert string to float: 'x'."
    path = tmp_path / "a.ctm"
    path.write_text("u1 1 0.1 word\n")
    assert message(read_ctm, path) == (
        f"{path}, line 1: 'u1 1 0.1 word' is no CTM line. Write: utterance channel start duration label."
    )
    spaced = Alignment("u 1", (Interval(0.1, 0.5, "a"),), (), 1.0, "test")
    assert message(write_ctm, [spaced], path) == (
        "'u 1' of utterance u 1 cannot stand in a CTM file, whose fields are separated by white space. Rename it, or write TextGrid, "
        "CSV or JSON."
    )


def test_an_alignment_is_checked_when_it_is_built():
    def bad(words, **changes):
        return message(lambda: Alignment("u", words, (), 1.0, "test", **changes))

    assert bad((Interval(0.0, 0.5, "a"), Interval(0.4, 0.9, "b"))) == (
        "Utterance u, tier words: 'a' [0.000, 0.500) and 'b' [0.400, 0.900) overlap or are out of order. "
        "Mend the two boundaries in the alignment file."
    )
    assert bad((Interval(0.5, 1.2, "a"),)) == (
        "Utterance u, tier words: 'a' [0.500, 1.200) ends after the audio, which lasts 1.000 s. "
        "Does the alignment belong to this recording?"
    )
    assert bad((Interval(0.5, 0.9, "a"),), word_confidence=(1.0, 2.0)) == "Utterance u: 2 confidences for 1 words."
