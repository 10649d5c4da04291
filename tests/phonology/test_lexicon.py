"""Pronunciations: CMUdict, lexicon files, alternatives, stress."""

from __future__ import annotations

import pytest

from analysis.errors import LexiconError
from analysis.phonology import load_lexicon, pronunciations


def test_cmudict_is_whole():
    lexicon = load_lexicon("cmudict")
    assert len(lexicon) == 126_052
    assert lexicon.n_pronunciations == 135_164  # two of the 135,166 lines repeat another
    assert lexicon.pronunciations("Sheep") == ("SH IY1 P",)
    assert pronunciations("to") == ("T UW1", "T IH0", "T AH0")
    assert pronunciations("aalborg") == ("AO1 L B AO0 R G", "AA1 L B AO0 R G")  # comments are not phones
    assert pronunciations("xyzzyx") == ()
    assert [name for name, _ in lexicon.items() if name.partition("(")[0] == "to"] == ["to", "to(2)", "to(3)"]


def test_stress_is_looked_up_by_what_was_said():
    lexicon = load_lexicon("cmudict")
    assert lexicon.stress("tickle", ("T", "IH", "K", "AH", "L")) == (-1, 1, -1, 0, -1)
    assert lexicon.stress("to", ("T", "IH")) == (-1, 0)
    assert lexicon.stress("to", ("T", "OW")) is None


def test_files_as_aligners_write_them(tmp_path):
    path = tmp_path / "own.dict"
    path.write_text(
        ";;; from here\n# and there\nSheep SH IY1 P\nto\t0.99\t0.12\t1.0\tT UW1\nto 0.5 T AH0\nread(2) R EH1 D\nread R IY1 D\n",
        encoding="utf-8",
    )
    lexicon = load_lexicon(path)
    assert dict(lexicon.entries) == {"sheep": ("SH IY1 P",), "to": ("T UW1", "T AH0"), "read": ("R EH1 D", "R IY1 D")}
    assert "SHEEP" in lexicon


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sheep\n", "{path}, line 1: 'sheep' has no phones. Write the word, then its phones, in one line."),
        ("# nothing\n", "{path} holds no pronunciation. Write one a line: the word, then its phones."),
        (
            "sheep ʃ iː p\n",
            "{path}: 'sheep' is pronounced 'ʃ iː p', but 'ʃ' is not in the inventory arpabet. Name the inventory that the "
            "lexicon is written in, or mend the line.",
        ),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "own.dict"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LexiconError) as caught:
        load_lexicon(path)
    assert str(caught.value) == message.format(path=path)


def test_inventory_of_a_file_can_be_named(tmp_path):
    path = tmp_path / "own.dict"
    path.write_text("sheep ʃ iː p\n", encoding="utf-8")
    assert load_lexicon(path, inventory="ipa").stress("sheep", ("SH", "IY", "P")) == (-1, -1, -1)


def test_unknown_lexicon_lists_the_valid_ones():
    with pytest.raises(LexiconError) as caught:
        load_lexicon("celex")
    assert str(caught.value) == "There is no lexicon 'celex'. Choose one of cmudict, mandarin, or give a file."
