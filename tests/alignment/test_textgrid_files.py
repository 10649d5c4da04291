"""One TextGrid file for each form that people have, written for these tests; what is read of it, or the whole message."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from analysis.alignment import read_textgrid, read_tiers
from analysis.errors import AlignmentError

FOLDER = Path(__file__).with_name("textgrids")
SAME = ["long_utf8", "short_utf8", "utf8_mark", "utf16_little", "utf16_big", "utf16_no_mark", "latin1", "cr", "crlf", "one_line"]

WHOSE = (
    "Say whose to read with speaker (--speaker of `compare`); of a corpus, those of the recording's own speaker are read, so give it "
    "one of these names."
)


def path(name):
    return FOLDER / f"{name}.TextGrid"


@pytest.mark.parametrize("name", SAME)
def test_forms_encodings_and_line_ends(name):
    found = read_textgrid(path(name))
    assert [word.label for word in found.words] == ["sheep", "née"]
    assert [(phone.label, phone.start, phone.end) for phone in found.phones][:2] == [("SH", 0.1, 0.3), ("IY1", 0.3, 0.4)]
    assert found.warnings == () and read_tiers(path(name)).tiers[2].entries == ((0.25, "burst"),)


def test_the_textgrid_package_reads_first_and_others_what_it_refuses():
    readers = {name: read_tiers(path(name)).reader for name in ("long_utf8", "short_utf8", "one_line")}
    assert readers == {"long_utf8": "textgrid", "short_utf8": "praatio", "one_line": "lenient"}


def test_points_quotes_newlines_speakers():
    assert [tier.interval for tier in read_tiers(path("points")).tiers] == [True, False]
    assert read_tiers(path("quotes_and_newlines")).tiers[0].entries == ((0.0, 1.0, 'say "so"\nand then'),)
    assert read_tiers(path("quotes_and_newlines")).tiers[1].entries == ((0.5, "a\nb"),)
    assert [word.label for word in read_textgrid(path("speakers"), speaker="A").words] == ["sheep", "née"]
    with pytest.raises(AlignmentError) as error:
        read_textgrid(path("speakers"))
    assert str(error.value) == (f"{path('speakers')} has words of several speakers: 'A', 'B'. " + WHOSE)


@pytest.mark.parametrize(("name", "words", "phones"), [("words_only", 2, 0), ("phones_only", 0, 5)])
def test_one_tier_is_enough(name, words, phones):
    found = read_textgrid(path(name))
    assert (len(found.words), len(found.phones)) == (words, phones)


@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("gap", "Tier 'words': there is no interval from 0.3000 to 0.4000 s; taken for silence."),
        ("overlap", "Tier 'words': the intervals 'one' [0.0000, 0.4000) and 'two' [0.3000, 1.0000) overlap; the first was cut."),
    ],
)
def test_gaps_and_overlaps_are_told_and_strict_refuses(name, doubt):
    assert read_textgrid(path(name)).warnings == (doubt,)
    with pytest.raises(AlignmentError) as error:
        read_textgrid(path(name), strict=True)
    assert str(error.value) == f"{path(name)}: {doubt} Strict reading refuses this."


def test_reading_says_nothing_to_the_program_s_log(caplog):
    handlers = list(logging.getLogger().handlers)
    read_tiers(path("overlap"))
    assert not caplog.records and logging.getLogger().handlers == handlers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "binary",
            "{path} is a binary TextGrid, which only Praat reads. Open it in Praat and choose Save > Save as text file...",
        ),
        (
            "cut_off",
            "The TextGrid {path} is incomplete: the end of entry 1 of 4 in tier 'words' should follow and there is the end of the "
            "file.",
        ),
        ("none", "The TextGrid {path} cannot be read: No such file or directory."),
    ],
)
def test_files_that_cannot_be_read(name, message):
    with pytest.raises(AlignmentError) as error:
        read_tiers(path(name))
    assert str(error.value) == message.format(path=path(name))
