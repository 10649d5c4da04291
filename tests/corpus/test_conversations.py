"""Recordings with several utterances: TextGrids with speakers, tables of turns, words with times."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from analysis.alignment import make_aligner
from analysis.alignment.parts import part_of
from analysis.alignment.tiers import TextGridContent, Tier, write_tiers
from analysis.corpus import open_corpus
from analysis.corpus.conversations import turns_at_pauses, turns_of_table
from analysis.errors import CorpusError
from analysis.timebase import Interval


def grid(path, tiers, end=10.0):
    return write_tiers([Tier(name, True, tuple(entries)) for name, entries in tiers.items()], path, xmax=end)


def opened(root):
    corpus = open_corpus(root)
    return [(one.id, one.speaker, one.text, one.start, round(one.end, 6)) for one in corpus], corpus


def test_tiers_of_speakers_are_their_utterances_as_mfa_takes_them(tmp_path, sound):
    """Speakers called after their part are other people in other recordings."""
    sound(tmp_path / "rec" / "talk.wav", 10.0)
    grid(
        tmp_path / "rec" / "talk.TextGrid",
        {
            "Ann": [(0.5, 2.0, "hello there"), (4.0, 5.0, "yes")],
            "B": [(1.5, 3.5, "who is  it"), (6.0, 6.5, "<p:>")],
            "notes": [(0.0, 9.0, "a door")],
        },
    )
    found, corpus = opened(tmp_path)
    assert found == [
        ("talk-Ann-0000500-0002000", "Ann", "hello there", 0.5, 2.0), ("talk-B-0001500-0003500", "talk-B", "who is it", 1.5, 3.5),
        ("talk-Ann-0004000-0005000", "Ann", "yes", 4.0, 5.0),
    ]  # fmt: skip
    assert [one.extra.get("overlap") for one in corpus] == ["0.333", "0.250", None]
    assert corpus.failures == ()


def test_utterance_tiers_with_words_and_phones_are_parts_and_alignments(tmp_path, sound):
    sound(tmp_path / "rec" / "talk.wav", 10.0)
    grid(
        tmp_path / "rec" / "talk.TextGrid",
        {
            "Ann - utterance": [(0.5, 2.0, "hello there"), (4.0, 5.0, "yes")],
            "Ann - words": [(0.6, 1.0, "hello"), (1.0, 1.9, "there"), (4.1, 4.6, "yes")],
            "Ann - phones": [(0.6, 1.0, "HH"), (1.0, 1.9, "DH"), (4.1, 4.6, "Y")],
            "Bob - utterance": [(2.0, 3.5, "who is it")],
            "Bob - words": [(2.1, 2.5, "who"), (2.5, 2.9, "is"), (2.9, 3.4, "it")],
            "Bob - phones": [(2.1, 2.5, "HH"), (2.5, 2.9, "IH1"), (2.9, 3.4, "T")],
        },
    )
    corpus = open_corpus(tmp_path)
    assert [(one.speaker, one.text) for one in corpus] == [("Ann", "hello there"), ("Bob", "who is it"), ("Ann", "yes")]
    found = list(make_aligner("textgrid").align(corpus.utterances))
    assert [[(word.label, word.start, word.end) for word in one.words] for one in found] == [
        [("hello", 0.1, 0.5), ("there", 0.5, 1.4)], [("who", 0.1, 0.5), ("is", 0.5, 0.9), ("it", 0.9, 1.4)], [("yes", 0.1, 0.6)]
    ]  # fmt: skip
    assert [[phone.label for phone in one.phones] for one in found] == [["HH", "DH"], ["HH", "IH1", "T"], ["Y"]]
    assert [one.warnings for one in found] == [()] * 3
    # a TextGrid of the part itself, as the aligners here write it, counts from the part's start
    (tmp_path / "out").mkdir()
    own = replace(corpus.utterances[2], extra={})
    grid(tmp_path / "out" / f"{own.id}.TextGrid", {"words": [(0.2, 0.7, "yes")]}, 1.0)
    (again,) = make_aligner("textgrid", folder=tmp_path / "out").align([own])
    assert [(word.label, word.start, word.end) for word in again.words] == [("yes", 0.2, 0.7)]


def test_words_of_several_speakers_are_divided_at_pauses(tmp_path, sound):
    """As MFA writes conversations."""
    sound(tmp_path / "rec" / "talk.wav", 10.0)
    grid(
        tmp_path / "rec" / "talk.TextGrid",
        {
            "Ann - words": [(0.5, 1.0, "hello"), (1.2, 1.9, "there"), (4.0, 4.5, "yes")],
            "Bob - words": [(2.1, 2.5, "who")],
        },
    )
    found, corpus = opened(tmp_path)
    assert found == [
        ("talk-Ann-0000400-0002000", "Ann", "hello there", 0.4, 2.0), ("talk-Bob-0002000-0002600", "Bob", "who", 2.0, 2.6),
        ("talk-Ann-0003900-0004600", "Ann", "yes", 3.9, 4.6),
    ]  # fmt: skip
    assert [len(one.words) for one in make_aligner("textgrid").align(corpus.utterances)] == [2, 1, 1]


def test_one_labelled_stretch_of_a_long_recording_is_that_stretch(tmp_path, sound):
    sound(tmp_path / "rec" / "talk.wav", 10.0)
    grid(tmp_path / "rec" / "talk.TextGrid", {"sentence": [(2.0, 3.5, "who is it")]})
    sound(tmp_path / "rec" / "whole.wav", 2.0)
    grid(tmp_path / "rec" / "whole.TextGrid", {"sentence": [(0.2, 1.8, "who is it")]}, 2.0)
    found, _ = opened(tmp_path)
    assert found == [("talk-0002000-0003500", "rec", "who is it", 2.0, 3.5), ("whole", "rec", "who is it", None, 2.0)]


def test_a_translation_is_no_second_speaker(tmp_path, sound):
    sound(tmp_path / "rec" / "talk.wav", 10.0)
    path = grid(
        tmp_path / "rec" / "talk.TextGrid",
        {"mixtec": [(0.5, 2.0, "yo"), (4.0, 5.0, "ku")], "english": [(0.5, 2.0, "one"), (4.0, 5.0, "two")]},
    )
    with pytest.raises(CorpusError) as error:
        open_corpus(tmp_path)
    assert (
        f"{path} has the same intervals in the tiers 'mixtec' and 'english', so they are not two speakers. "
        f"Name the one with the spoken words `utterance`."
    ) in str(error.value)


CORAAL = (
    "Line\tSpkr\tStTime\tContent\tEnTime\n1\tDCB_int_01\t0.5\tSo where did you <laugh> grow up?\t2.0\n"
    "2\tDCB_int_01\t2.0\t(pause 0.35)\t2.35\n3\tDCB_se1_ag1_f_01\t2.35\tIn [the] /city/ --\t4.0\n"
    "4\tDCB_se1_ag1_f_01\t4.0\t/unintelligible/ yes\t5.0\n5\tDCB_int_01\t5.0\t<laugh>\t6.0\n"
)


def test_coraal(tmp_path, sound, text):
    sound(tmp_path / "rec" / "DCB_se1_ag1_f_01_1.wav", 10.0)
    table = text(tmp_path / "rec" / "DCB_se1_ag1_f_01_1.txt", CORAAL)
    found, corpus = opened(tmp_path)
    assert found == [
        ("DCB_se1_ag1_f_01_1-DCB_int_01-0000500-0002000", "DCB_int_01", "So where did you grow up?", 0.5, 2.0),
        ("DCB_se1_ag1_f_01_1-DCB_se1_ag1_f_01-0002350-0004000", "DCB_se1_ag1_f_01", "In the city", 2.35, 4.0),
    ]
    assert [(failure.item, failure.reason, failure.remedy) for failure in corpus.failures] == [
        (
            "DCB_se1_ag1_f_01_1-DCB_se1_ag1_f_01-0004000-0005000",
            "Its transcript has speech without words: '/unintelligible/ yes'.",
            f"Nothing can be aligned with them. Write what is spoken in {table}, or leave it out.",
        )
    ]


def test_fave_and_audacity(tmp_path, sound, text):
    sound(tmp_path / "rec" / "a.wav", 10.0)
    text(
        tmp_path / "rec" / "a.txt",
        "1\tAnn\t0.5\t2.0\thello {LG} there\n2\tBob\t2.0\t3.0\t((unclear)) no\n1\tAnn\t3.0\t4.0\t{LG}\n",
    )
    sound(tmp_path / "rec" / "b.wav", 10.0)
    text(tmp_path / "rec" / "b.txt", "0.500000\t2.000000\thello there\n3.000000\t4.000000\tyes it is\n\\\t100.0\t200.0\n")
    found, corpus = opened(tmp_path)
    assert found == [
        ("a-Ann-0000500-0002000", "Ann", "hello there", 0.5, 2.0), ("b-0000500-0002000", "rec", "hello there", 0.5, 2.0),
        ("b-0003000-0004000", "rec", "yes it is", 3.0, 4.0),
    ]  # fmt: skip
    assert [failure.reason for failure in corpus.failures] == ["Its transcript has speech without words: '((unclear)) no'."]


@pytest.mark.parametrize("content", ["", "the goat jumped", "0.1\t0.2\tgoat\n0.2\t0.3\tboat\n", "a\tb\tc\td\te\n", "1\t2\n"])
def test_what_is_no_table_of_turns(content):
    assert turns_of_table(content) is None


def test_long_stretches_are_divided_at_their_longest_pause():
    words = [Interval(0.5 * i, 0.5 * i + (0.3 if i == 41 else 0.4), f"w{i}") for i in range(80)]
    turns = turns_at_pauses(words, 50.0)
    assert [turn.text.split()[0] for turn in turns] == ["w0", "w21", "w42"], "at the longest pause, then in the middle"
    assert all(turn.end - turn.start <= 20.5 for turn in turns)
    assert " ".join(turn.text for turn in turns).split() == [word.label for word in words]
    assert all(left.end <= right.start for left, right in pairwise(turns))


def test_tracks_of_buckeye_are_divided_and_keep_their_labels(tmp_path, sound, text):
    folder = tmp_path / "buckeye" / "s01"
    sound(folder / "s0101a.wav", 40.0)
    words = [("<SIL>", 1.0), ("yes", 1.5), ("sir", 2.0), ("<IVER>", 30.0), ("no", 30.5), ("<SIL>", 40.0)]
    text(folder / "s0101a.words", "#\n" + "".join(f" {end} 122 {label}; x; y; NN\n" for label, end in words))
    phones = [("SIL", 1.0), ("y", 1.2), ("s", 1.5), ("er", 2.0), ("IVER", 30.0), ("n", 30.5), ("SIL", 40.0)]
    text(folder / "s0101a.phones", "#\n" + "".join(f" {end} 122 {label}\n" for label, end in phones))
    found, corpus = opened(tmp_path / "buckeye")
    assert found == [("s0101a-0000900-0002100", "s01", "yes sir", 0.9, 2.1), ("s0101a-0029900-0030500", "s01", "no", 29.9, 30.5)]
    first, second = make_aligner("labels").align(corpus.utterances)
    assert [(word.label, word.start, word.end) for word in first.words] == [("yes", 0.1, 0.6), ("sir", 0.6, 1.1)]
    assert [(phone.label, phone.start, phone.end) for phone in second.phones] == [("n", 0.1, 0.6)]


def test_a_part_of_tiers():
    """What lies over an edge is cut there, and belongs to the side of its middle."""
    content = TextGridContent(
        0.0, 4.0, (Tier("words", True, ((0.0, 1.0, ""), (1.0, 2.2, "a"), (2.2, 3.0, "b"), (3.0, 4.0, ""))), Tier("p", False, ((2.5, "x"),)))
    )  # fmt: skip
    found = part_of(content, 2.0, 3.5)
    assert found == TextGridContent(
        0.0, 1.5, (Tier("words", True, ((0.2, 1.0, "b"), (1.0, 1.5, ""))), Tier("p", False, ((0.5, "x"),)))
    )
