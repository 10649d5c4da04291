"""What comes from elsewhere when it is there: WordNet, ISLEX, Festival's lexicon."""

from __future__ import annotations

import zipfile

import pytest

from analysis.errors import LexiconError
from analysis.phonology import flag_synonyms, load_lexicon, pair_table
from analysis.phonology.agreement import compare_counts, compare_syllables, find_isle, read_festival, read_isle
from analysis.phonology.synonyms import wordnet_folder, wordnet_synsets

# The form of WordNet's index files, with entries of our own: word, part of speech, synsets, pointers, senses, tagged, offsets.
INDEX = {
    "noun": "  1 licence\nauto n 1 1 @ 1 1 00000010  \ncar n 2 1 @ 2 1 00000010 00000020  \nship n 1 0 1 1 00000030  \n",
    "verb": "ship v 1 0 1 1 00000010  \n",
    "adj": "glad a 1 2 ! & 1 1 00000040  \nhappy a 1 1 & 1 1 00000040  \nwell-off a 1 0 1 0 00000050  \n",
    "adv": "",
}
WORDS = {"auto": "AO T OW", "car": "K AA R", "ship": "SH IH P", "glad": "G L AE D", "happy": "HH AE P IY"}


@pytest.fixture
def wordnet(tmp_path):
    for part, text in INDEX.items():
        (tmp_path / f"index.{part}").write_text(text, encoding="utf-8")
    return tmp_path


def test_words_of_one_synset_are_synonyms(wordnet):
    table = flag_synonyms(pair_table(WORDS, n_unrelated=100), wordnet)
    synonyms = table.loc[table["synonym"], ["type_a", "type_b"]].to_numpy().tolist()
    assert synonyms == [["auto", "car"], ["glad", "happy"]], "a noun and a verb at one offset are not the same synset"
    assert len(table) == 10


def test_wordnet_is_found_where_its_variables_point(wordnet, monkeypatch, tmp_path_factory):
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet))
    assert wordnet_folder() == wordnet
    monkeypatch.delenv("WNSEARCHDIR")
    folder = tmp_path_factory.mktemp("nltk") / "corpora"
    folder.mkdir()
    with zipfile.ZipFile(folder / "wordnet.zip", "w") as archive:
        for part, text in INDEX.items():
            archive.writestr(f"wordnet/index.{part}", text)
    monkeypatch.setenv("NLTK_DATA", str(folder.parent))
    assert wordnet_folder() == folder / "wordnet.zip"
    assert wordnet_synsets(folder / "wordnet.zip") == wordnet_synsets(wordnet)


def test_without_wordnet_nothing_is_flagged(monkeypatch):
    monkeypatch.setattr("analysis.phonology.synonyms.wordnet_folder", lambda: None)
    assert "synonym" not in flag_synonyms(pair_table(WORDS, n_unrelated=1))


ISLE = """tickle(nn,vb) # t ˈɪ . k l̩ #
play_construction() # p l ei # k n̩ . s t ɹ ˈʌ k . ʃ n̩ #
mister(nn) # m ˈɪ s . t ɚ #
strange(jj) # s t ɹ ˈei n dʒ #
clicks(nn) # ǃ ɪ #
"""
FESTIVAL = """MNCL
("supply" nil (((s ax) 0) ((p l ay) 1)))
("mister" nil (((m ih s) 1) ((t er) 0)))
("hm" nil (((hh m) 0)))
"""


def test_published_syllables_are_read_and_compared(tmp_path):
    isle, festival = tmp_path / "isle.txt", tmp_path / "festival.out"
    isle.write_text(ISLE, encoding="utf-8")
    festival.write_text(FESTIVAL, encoding="latin-1")
    words = list(read_isle(isle))
    assert words == [
        ("tickle", [["T", "IH"], ["K", "EL"]]),
        ("mister", [["M", "IH", "S"], ["T", "ER"]]),
        ("strange", [["S", "T", "R", "EY", "N", "JH"]]),
    ]
    agreement = compare_syllables("ISLEX", words)
    assert (agreement.n_words, agreement.n_polysyllables) == (3, 2)
    assert (agreement.counts, agreement.words, agreement.polysyllables, agreement.boundaries) == (1.0, 2 / 3, 0.5, 0.5)
    assert agreement.disagreements == (("S . T", ". S T", 1, "mister"),)
    agreement = compare_syllables("Festival", read_festival(festival))
    assert (agreement.n_words, agreement.words) == (2, 0.5)
    assert compare_counts(load_lexicon("cmudict"), words) == (3, 1.0)
    assert compare_counts(load_lexicon("cmudict"), [("strange", [["S"], ["T"]]), ("mister", [["M"], ["T"]])]) == (2, 0.5)


def test_sources_that_hold_nothing(tmp_path):
    path = tmp_path / "empty.txt"
    with pytest.raises(LexiconError) as caught:
        list(read_isle(path))
    assert str(caught.value).startswith(f"The syllabified lexicon {path} cannot be read: ")
    path.write_text("", encoding="utf-8")
    with pytest.raises(LexiconError) as caught:
        compare_syllables("ISLEX", read_isle(path))
    assert str(caught.value) == "ISLEX holds no word that could be compared. Is it the file that was meant?"
    with pytest.raises(LexiconError) as caught:
        compare_counts(load_lexicon("cmudict"), [("妈", [["M", "AA"]])])
    assert str(caught.value) == "The two lexicons share no word: cmudict and the syllabified one. Are they of one language?"


@pytest.mark.skipif(find_isle() is None, reason="ISLEX (package pysle) is not installed")
def test_agreement_with_isle_on_over_ten_thousand_words():
    words = [entry for number, entry in enumerate(read_isle(find_isle())) if number % 10 == 0]
    agreement = compare_syllables("ISLEX", words)
    assert agreement.n_words > 10_000
    assert agreement.counts > 0.999 and agreement.words > 0.90 and agreement.boundaries > 0.94
