"""Alignments that are no TextGrids: folders of MFA's JSON and CSV and of ELAN are read, others are named, HTK's words are words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, make_aligner, read_alignment, write_alignment, write_textgrid
from analysis.alignment.contents import read_contents, suffix_of
from analysis.corpus import open_corpus
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure
from analysis.timebase import Interval

WORDS = (Interval(0.1, 0.3, "the"), Interval(0.4, 0.8, "ship"))
PHONES = tuple(
    Interval(a, b, label)
    for a, b, label in ((0.1, 0.2, "DH"), (0.2, 0.3, "AH0"), (0.4, 0.5, "SH"), (0.5, 0.7, "IH1"), (0.7, 0.8, "P"))
)
ALIGNMENT = Alignment("u", WORDS, PHONES, 1.0, "test")


def utterance():
    return Utterance("u", "u.wav", "the ship", "s", 1.0, 16000)


def put(folder, kind):
    folder.mkdir()
    rows = [(kind, one) for kind in ("words", "phones") for one in getattr(ALIGNMENT, kind)]
    if kind == "json":
        tiers = {
            name: {"type": "interval", "entries": [[one.start, one.end, one.label] for tier, one in rows if tier == name]}
            for name in ("words", "phones")
        }
        (folder / "u.json").write_text(json.dumps({"start": 0, "end": 1.0, "tiers": tiers}))
    elif kind == "csv":
        lines = ["Begin,End,Label,Type,Speaker", *(f"{one.start},{one.end},{one.label},{tier},s" for tier, one in rows)]
        (folder / "u.csv").write_text("\n".join(lines) + "\n")
    else:
        write_alignment(ALIGNMENT, folder / "u.eaf")
    return folder


@pytest.mark.parametrize("kind", ["json", "csv", "eaf"])
def test_folders_of_mfa_and_elan_are_read(tmp_path, kind):
    folder = put(tmp_path / "a", kind)
    assert suffix_of(folder) == f".{kind}"
    [found] = make_aligner("textgrid", folder=folder).align([utterance()])
    assert (found.words, found.phones, found.warnings, found.inventory) == (WORDS, PHONES, (), "arpabet")
    again = read_alignment(folder / f"u.{kind}")
    assert (again.words, again.phones, again.source) == (WORDS, PHONES, kind)
    [missing] = make_aligner("textgrid", folder=folder).align([Utterance("v", "v.wav", "the ship", "s", 1.0, 16000)])
    assert isinstance(missing, Failure) and missing.reason == f"There is no v.{kind} in {folder}."
    write_textgrid(ALIGNMENT, folder / "u.TextGrid")
    assert suffix_of(folder) == ".textgrid"


def test_other_tables_beside_textgrids_are_no_alignments(tmp_path):
    (tmp_path / "alignment.csv").write_text("utterance,speaker,tier\n")
    (tmp_path / "cards.json").write_text("{}")
    assert suffix_of(tmp_path) == ".textgrid"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "u_annot.json",
            "{folder} holds no TextGrid, but annotations of EMU (1, u_annot.json). "
            "Export TextGrids with export_TextGridCollection() of emuR.",
        ),
        (
            "u.lab",
            "{folder} holds no TextGrid, but label files of HTK or Festival (1, u.lab). Put them beside the recordings and take "
            "--aligner labels.",
        ),
        ("u.ctm", "{folder} holds no TextGrid, but CTM files (1, u.ctm). Convert them to TextGrids."),
    ],
)
def test_other_kinds_are_named(tmp_path, name, message):
    (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigurationError) as caught:
        make_aligner("textgrid", folder=tmp_path)
    assert str(caught.value) == message.format(folder=tmp_path)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "u.eaf"
    path.write_text("<ANNOTATION_DOCUMENT")
    with pytest.raises(AlignmentError) as caught:
        read_contents(path)
    assert str(caught.value).startswith(f"{path} is no annotation of ELAN: ")
    path = tmp_path / "u.json"
    path.write_text('{"tiers": 5}')
    with pytest.raises(AlignmentError) as caught:
        read_alignment(path)
    assert (
        str(caught.value) == f"{path} is not the JSON that MFA 3 writes: AttributeError: 'int' object has no attribute 'items'."
    )


def test_htk_words_beside_transcripts_are_read_as_words(tmp_path):
    soundfile.write(tmp_path / "u.wav", 0.1 * np.sin(np.arange(16000) / 5), 16000)
    (tmp_path / "u.txt").write_text("the pause")
    (tmp_path / "u.lab").write_text("0 1000000 sil\n1000000 3000000 the\n4000000 8000000 pause\n")
    [found] = make_aligner("labels").align(open_corpus(tmp_path).utterances)
    assert [word.label for word in found.words] == ["the", "pause"]
    assert found.warnings == ("The corpus has no phone labels for it, only those of its words.",)


def test_the_json_of_mfa(shared_cases):
    found = read_alignment(shared_cases / "mfa" / "good.json")
    assert [word.label for word in found.words][:3] == ["the", "goat", "jumped"] and found.words[0].start == 0.31
