"""TextGrids of every dialect: the same content comes out, bad ones say what is wrong, what was written reads back the same."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alignment import Alignment, make_aligner, read_alignment, read_textgrid, read_tiers, write_alignment
from analysis.alignment.__main__ import main
from analysis.alignment.formats import from_lhotse, read_ctm, to_lhotse, write_ctm
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure
from analysis.timebase import Interval

WORDS = [(0.0, 0.1, ""), (0.1, 0.5, "sheep"), (0.5, 0.9, "née"), (0.9, 1.0, "")]
PHONES = [
    (0.0, 0.1, "sil"),
    (0.1, 0.3, "SH"),
    (0.3, 0.4, "IY1"),
    (0.4, 0.5, "P"),
    (0.5, 0.7, "n"),
    (0.7, 0.9, "EY1"),
    (0.9, 1.0, "sp"),
]
POINTS = [(0.25, "burst")]

WHOSE = (
    "Say whose to read with speaker (--speaker of `compare`); of a corpus, those of the recording's own speaker are read, so give it "
    "one of these names."
)


def long_form(tiers, xmax=1.0) -> str:
    out = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {xmax}\n'
    out += f"tiers? <exists>\nsize = {len(tiers)}\nitem []:\n"
    for i, (name, entries) in enumerate(tiers, 1):
        points = bool(entries) and len(entries[0]) == 2
        out += f'    item [{i}]:\n        class = "{"TextTier" if points else "IntervalTier"}"\n        name = "{name}"\n'
        out += f"        xmin = 0\n        xmax = {xmax}\n        {'points' if points else 'intervals'}: size = {len(entries)}\n"
        for j, entry in enumerate(entries, 1):
            label = entry[-1].replace('"', '""')
            if points:
                out += f'        points [{j}]:\n            number = {entry[0]}\n            mark = "{label}"\n'
            else:
                out += f"        intervals [{j}]:\n            xmin = {entry[0]}\n            xmax = {entry[1]}\n"
                out += f'            text = "{label}"\n'
    return out


def short_form(tiers) -> str:
    out = f'File type = "ooTextFile short"\n"TextGrid"\n\n0\n1.0\n<exists>\n{len(tiers)}\n'
    for name, entries in tiers:
        points = len(entries[0]) == 2
        out += f'"{"TextTier" if points else "IntervalTier"}"\n"{name}"\n0\n1.0\n{len(entries)}\n'
        for *times, label in entries:
            out += "".join(f"{time}\n" for time in times) + '"' + label.replace('"', '""') + '"\n'
    return out


TIERS = [("words", WORDS), ("phones", PHONES), ("events", POINTS)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("form", [long_form, short_form])
def test_every_form_encoding_and_line_end_gives_the_same(tmp_path, form, newline, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(form(TIERS).replace("\n", newline).encode(encoding))
    content = read_tiers(path)
    assert [(tier.name, tier.interval, list(tier.entries)) for tier in content.tiers] == [
        ("words", True, WORDS),
        ("phones", True, PHONES),
        ("events", False, POINTS),
    ]
    alignment = read_textgrid(path)
    assert [word.label for word in alignment.words] == ["sheep", "née"]
    assert [phone.label for phone in alignment.phones] == ["SH", "IY1", "P", "N", "EY1"]
    assert (alignment.inventory, alignment.warnings) == ("arpabet", ())


def test_quotes_and_newlines_in_labels(tmp_path):
    label = 'say "so"\nand then = [3] <x> 4.5'
    path = tmp_path / "a.TextGrid"
    path.write_text(
        long_form([("words", [(0.0, 1.0, label)]), ('odd "name": 2', [(0.5, "a\nb")])]).replace('odd "name"', 'odd ""name""')
    )
    tiers = read_tiers(path).tiers
    assert tiers[0].entries == ((0.0, 1.0, label),)
    assert (tiers[1].name, tiers[1].entries) == ('odd "name": 2', ((0.5, "a\nb"),))


def test_speaker_prefixed_tiers(tmp_path):
    path = tmp_path / "a.TextGrid"
    other = [(0.0, 1.0, "goat")]
    path.write_text(long_form([("A - words", WORDS), ("A - phones", PHONES), ("B - words", other)]))
    assert [word.label for word in read_textgrid(path, speaker="B").words] == ["goat"]
    with pytest.raises(AlignmentError) as error:
        read_textgrid(path)
    assert str(error.value) == (f"{path} has words of several speakers: 'A', 'B'. " + WHOSE)


@pytest.mark.parametrize(("tiers", "n_words", "n_phones"), [([("Words", WORDS)], 2, 0), ([("phone", PHONES)], 0, 5)])
def test_words_only_and_phones_only(tmp_path, tiers, n_words, n_phones):
    path = tmp_path / "a.TextGrid"
    path.write_text(long_form(tiers))
    alignment = read_textgrid(path)
    assert (len(alignment.words), len(alignment.phones)) == (n_words, n_phones)


def test_gaps_and_overlaps_are_named_and_strict_refuses(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(long_form([("words", [(0.0, 0.3, "one"), (0.4, 0.7, "two"), (0.65, 1.0, "three")])]))
    alignment = read_textgrid(path)
    assert [(word.start, word.end) for word in alignment.words] == [(0.0, 0.3), (0.4, 0.65), (0.65, 1.0)]
    gap = "Tier 'words': there is no interval from 0.3000 to 0.4000 s; taken for silence."
    overlap = "Tier 'words': the intervals 'two' [0.4000, 0.7000) and 'three' [0.6500, 1.0000) overlap; the first was cut."
    assert alignment.warnings == (gap, overlap)
    assert [row.severity for row in alignment.warning_rows()] == ["warning", "warning"]
    with pytest.raises(AlignmentError) as error:
        read_textgrid(path, strict=True)
    assert str(error.value) == f"{path}: {gap} Strict reading refuses this."


def _bad(folder: Path) -> dict[str, tuple[bytes, str]]:
    a = folder / "a.TextGrid"
    return {
        "binary": (
            b"ooBinaryFile\x08TextGrid\x00\x00",
            f"{a} is a binary TextGrid, which only Praat reads. Open it in Praat and choose Save > Save as text file...",
        ),
        "empty": (b"", f"The TextGrid {a} is empty. Write it again from the program that made it."),
        "other": (
            b"hello there\n",
            f"{a} is no TextGrid: it starts with 'hello there'. TextGrids start with: File type = \"ooTextFile\".",
        ),
        "cut": (
            long_form([("words", WORDS)])[:330].rsplit("xmax", 1)[0].encode(),
            f"The TextGrid {a} is incomplete: the end of entry 1 of 4 in tier 'words' should follow "
            "and there is the end of the file.",
        ),
    }


@pytest.mark.parametrize("kind", ["binary", "empty", "other", "cut"])
def test_bad_files_say_what_is_wrong(tmp_path, kind):
    content, message = _bad(tmp_path)[kind]
    (tmp_path / "a.TextGrid").write_bytes(content)
    with pytest.raises(AlignmentError) as error:
        read_tiers(tmp_path / "a.TextGrid")
    assert str(error.value) == message


def test_no_tier_of_words_or_phones(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(long_form([("pitch", WORDS)]))
    with pytest.raises(AlignmentError) as error:
        read_textgrid(path)
    assert str(error.value) == (
        f"{path} has no tier of words or phones. Its tiers: 'pitch'. Name them with words_tier and phones_tier (--words-tier and "
        "--phones-tier of `compare`, --option words_tier=NAME of an aligner)."
    )


def test_show_keeps_good_files_beside_bad_ones(tmp_path, capsys):
    good, bad, out = tmp_path / "good.TextGrid", tmp_path / "bad.TextGrid", tmp_path / "out.json"
    good.write_text(long_form([("words", [(0.0, 1.0, "hi")]), ("points", POINTS)]))
    bad.write_bytes(b"ooBinaryFile")
    assert main(["show", str(bad), str(good), "--json", str(out)]) == 1
    data = json.loads(out.read_text())
    assert data[str(good)] == {
        "xmin": 0.0,
        "xmax": 1.0,
        "tiers": [
            {"name": "words", "interval": True, "entries": [[0.0, 1.0, "hi"]]},
            {"name": "points", "interval": False, "entries": [[0.25, "burst"]]},
        ],
    }
    assert list(data[str(bad)]) == ["error"]
    assert "'hi'" in capsys.readouterr().out


def test_the_textgrid_aligner_reads_by_name_and_reports_the_missing(tmp_path):
    (tmp_path / "u1.TextGrid").write_text(long_form(TIERS), encoding="utf-8")
    utterances = [Utterance(name, tmp_path / f"{name}.wav", "sheep née", "A", 1.0, 16000) for name in ("u1", "u2")]
    found, missing = make_aligner("textgrid", folder=tmp_path).align(utterances)
    assert isinstance(found, Alignment) and found.utterance_id == "u1"
    assert missing == Failure(
        "alignment", "u2", f"There is no u2.TextGrid in {tmp_path}.", "Align this recording, or leave it out."
    )


def test_unknown_aligners_and_options_list_the_valid_ones():
    with pytest.raises(ConfigurationError) as error:
        make_aligner("gentle")
    assert str(error.value) == "There is no aligner 'gentle'. Valid aligners: textgrid, pocketsphinx, mfa, labels, ctc."
    with pytest.raises(ConfigurationError) as error:
        make_aligner("pocketsphinx", beam=3)
    assert str(error.value) == "The aligner pocketsphinx has no option 'beam'. Its options: lexicon, workers, reestimate."


LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)


@st.composite
def alignments(draw) -> Alignment:
    times = draw(st.lists(st.integers(0, 4000), min_size=2, max_size=14, unique=True).map(sorted))
    spans = [(a / 1000, b / 1000) for a, b in pairwise(times)]
    words = tuple(Interval(a, b, "w" + draw(LABELS)) for a, b in spans[::2])
    phones = tuple(Interval(a, b, draw(st.sampled_from(["SH", "IY1", "P", "AH0"]))) for a, b in spans[::2])
    return Alignment("u", words, phones, 4.0, "test")


@settings(max_examples=25, deadline=None)
@given(alignment=alignments())
def test_reading_what_was_written_gives_the_same(tmp_path_factory, alignment):
    folder = tmp_path_factory.mktemp("formats")
    for suffix in (".TextGrid", ".json", ".csv", ".eaf"):
        back = read_alignment(write_alignment(alignment, folder / f"u{suffix}"), duration=4.0)
        assert (back.words, back.phones) == (alignment.words, alignment.phones), suffix
    assert read_alignment(folder / "u.json") == alignment
    write_ctm([alignment], folder / "u.ctm")
    assert read_ctm(folder / "u.ctm")["u"] == alignment.words


def test_lhotse_items_come_back():
    pytest.importorskip("lhotse")
    alignment = Alignment("u", (Interval(0.25, 0.5, "hi"),), (Interval(0.25, 0.375, "HH"),), 1.0, "test", word_confidence=(-1.0,))
    back = from_lhotse(to_lhotse(alignment), "u", 1.0)
    assert replace(alignment, source="lhotse") == back
