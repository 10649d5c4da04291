"""Pronunciation dictionaries as people have them: one reader for aligners, syllables and pairs."""

from __future__ import annotations

import pytest

from analysis.alignment.lexicon_files import read_dictionary
from analysis.alignment.pronunciation import Pronouncer
from analysis.errors import LexiconError
from analysis.phonology import load_lexicon
from analysis.phonology.__main__ import main

SPANISH = """symbol	ipa	kind	voicing	place	manner	height	backness	rounding
l	l	consonant	voiced	alveolar	lateral
s	s	consonant	voiceless	alveolar	fricative
e	e	vowel				mid	front	unrounded
E	ɛ	vowel				open-mid	front	unrounded
2	ø	vowel				close-mid	front	rounded
9	œ	vowel				open-mid	front	rounded
1	˥	tone
"""


@pytest.fixture
def inventory(tmp_path):
    path = tmp_path / "own.tsv"
    lines = SPANISH.splitlines()
    path.write_text("\n".join(line + "\t" * (8 - line.count("\t")) for line in lines) + "\n", encoding="utf-8")
    return str(path)


def read(tmp_path, text, inventory="arpabet", encoding="utf-8"):
    path = tmp_path / "own.dict"
    path.write_bytes(text.encode(encoding))
    return {word: [" ".join(phones) for phones in said] for word, said in read_dictionary(path, inventory=inventory).items()}


@pytest.mark.parametrize(
    ("line", "phones"),
    [
        ("el\te l", "e l"),
        ("el e l", "e l"),
        ("el E l", "E l"),
        ("el\t2", "2"),
        ("el\t9 l", "9 l"),
        ("el 9 l", "9 l"),
        ("el\t0.9\t9 l", "9 l"),
        ("el 0.9 9 l", "9 l"),
        ("el\t0.9\t0.1\t1.0\t1.0\t9 l", "9 l"),
        ("el\t1\t0.0\t0.0\t0.0\t9 l", "9 l"),
        ("el\t1.0e-05\te l", "e l"),
        ("el l e 1", "l e 1"),
        ("el\tl e 1", "l e 1"),
        ("el\t1\te l", "1 e l"),
    ],
)
def test_numbers_are_probabilities_before_the_phones_and_where_the_inventory_lacks_them(tmp_path, inventory, line, phones):
    assert read(tmp_path, line + "\n", inventory) == {"el": [phones]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_line_ends(tmp_path, encoding, end):
    text = end.join(["Ship\tSH IH1 P", "sheep  SH IY1 P", ""])
    assert read(tmp_path, text, encoding=encoding) == {"ship": ["SH IH1 P"], "sheep": ["SH IY1 P"]}


def test_words_with_blanks_marks_variants_comments_and_accents(tmp_path):
    text = (
        ";;; a comment\n# another\nnew york\tN UW1 Y AO1 R K\n<unk>\tspn\n[laughter] spn\n{LG} spn\n!SIL SIL\n"
        "to T UW1\nto(2) T AH0\nTO T UW1\naalborg AO1 L # a place\ncafe\u0301 K AE2 F EY1\ndon’t D OW1 N T\nh#x HH\nsil S IH1 L\n"
    )
    assert read(tmp_path, text) == {
        "new york": ["N UW1 Y AO1 R K"],
        "to": ["T UW1", "T AH0"],
        "aalborg": ["AO1 L"],
        "café": ["K AE2 F EY1"],
        "don't": ["D OW1 N T"],
        "h#x": ["HH"],
        "sil": ["S IH1 L"],
    }
    pronounce, lexicon = Pronouncer(tmp_path / "own.dict"), load_lexicon(tmp_path / "own.dict")
    for word in ("cafe\u0301", "Café", "don´t", "new york"):
        assert pronounce.known(word) and word in lexicon


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sheep\n", "{path}, line 1: 'sheep' has no phones. Write the word, then its phones, in one line."),
        ("sheep\t0.9\n", "{path}, line 1: 'sheep' has no phones. Write the word, then its phones, in one line."),
        (
            "deux\td 2\neux\t2\n",
            "{path}, line 2: 'eux' has no phones. If 2 is a phone, name an inventory that has it: arpabet lacks it, so it is read as a "
            "probability.",
        ),
        ("<unk> spn\n", "{path} holds no pronunciation. Write one a line: the word, then its phones."),
    ],
)
def test_what_cannot_be_read_is_the_same_error_everywhere(tmp_path, text, message):
    path = tmp_path / "own.dict"
    path.write_text(text, encoding="utf-8")
    for reader in (read_dictionary, Pronouncer, load_lexicon):
        with pytest.raises(LexiconError) as caught:
            reader(path)
        assert str(caught.value) == message.format(path=path)
    packed = tmp_path / "own.dict.xz"
    packed.write_bytes(b"not packed")
    with pytest.raises(LexiconError) as caught:
        read_dictionary(packed)
    assert str(caught.value) == (f"{packed} cannot be read: Input format not supported by decoder. Give a text file.")


def test_phones_of_other_languages_reach_the_pairs(tmp_path, inventory, capsys):
    own = tmp_path / "own.dict"
    own.write_text("el\te l\nles\tl e s\nese\te s e\nse\ts e\neux\t2\nle\tl 2\n", encoding="utf-8")
    out = tmp_path / "pairs.tsv"
    assert main(["pairs", "--lexicon", str(own), "--inventory", inventory, "--out", str(out)]) == 0
    lines = [line.split("\t") for line in out.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [row[:4] for row in lines[1:]] == [["ese", "se", "e s e", "s e"]]
    assert not any(row[6] == "homophone" for row in lines)
    assert [row[0] for row in lines].count("type_a") == 1, "no homophones: the header comes once all the same"
    assert f"{len(lines) - 1:,} pairs written to {out}" in capsys.readouterr().out


def test_the_reported_dictionaries(shared_cases):
    folder = shared_cases / "speech" / "dict"
    spanish = load_lexicon(folder / "spanish.dict", inventory=str(folder / "spanish.tsv"))
    assert spanish.pronunciations("ese") == ("e s e",) and spanish.pronunciations("él") == ("e l",)
    french = read_dictionary(folder / "french_xsampa.dict", inventory=str(folder / "french.tsv"))
    assert french["eux"] == [("2",)] and french["heure"] == [("9", "R")] and french["et"] == [("e",)]
    assert read_dictionary(folder / "bom.dict") == read_dictionary(folder / "nobom.dict")
    assert read_dictionary(folder / "bom_crlf.dict") == {"ship": [("SH", "IH1", "P")], "sheep": [("SH", "IY1", "P")]}
    assert read_dictionary(folder / "mfa4.dict")["hello"] == [("HH", "AH0", "L", "OW1"), ("HH", "EH0", "L", "OW1")]
    assert list(read_dictionary(folder / "multiword.dict")) == ["new york", "bus stop", "ship"]
    assert load_lexicon(folder / "ipa_e.dict", inventory="ipa").pronunciations("ape") == ("e p",)
    assert "<unk>" not in load_lexicon(folder / "english_mfa.dict", inventory="english_mfa")
    assert load_lexicon(folder / "nfd_words.dict").pronunciations("café") == ("K AH0 F EY1",)
    assert read_dictionary(folder / "tones_sep.dict", inventory="ipa")["ma3"] == [("m", "a", "3")]
