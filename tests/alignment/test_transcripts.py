"""Word forms beside those of test_pocketsphinx.py: what each rule leaves alone, and words that no dictionary has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alignment.arpabet import PHONES, from_ipa, without_stress
from analysis.alignment.pronunciation import Pronouncer, stressed
from analysis.alignment.transcript import same_word, spoken_words


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_becomes_words_of_letters(text):
    for word in spoken_words(text):
        assert word == word.lower() and word.strip()
        assert all(character.isalpha() or character in "'-" for character in word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("St. Paul's st", "saint paul's st"),
        ("in 2003 and 1905", "in two thousand three and nineteen oh five"),
        ("007 calls", "zero zero seven calls"),
        ("3/4 cup", "three fourths cup".replace("fourths", "quarters")),
        ("10-12 people", "ten to twelve people"),
        ("BBC and NASA", "b b c and nasa"),
        ("$0.05", "five cents"),
        ("¥1", "one yen"),
        ("½ cup, 2½ cups", "one half cup two and one half cups"),
        ("٣ goats", "three goats"),
        ("dogs' 'tis", "dogs tis"),
    ],
)
def test_numbers_abbreviations_and_apostrophes(text, words):
    assert spoken_words(text) == words.split()


def test_same_word_ignores_case_punctuation_and_hyphens():
    assert same_word("Sea-Horse,", "seahorse") and same_word("O’Neill", "o'neill") and not same_word("sheep", "ship")


@pytest.mark.parametrize("word", ["zorblax", "café", "xyz", "brrr", "naïveté's"])
def test_every_latin_word_gets_arpabet(word):
    said = Pronouncer()(word)
    assert said and all(without_stress(phone) in PHONES for one in said for phone in one.phones)


def test_stress_of_the_pronunciation_that_fits():
    candidates = [("R", "EH1", "K", "ER0", "D"), ("R", "IH0", "K", "AO1", "R", "D")]
    assert stressed(("R", "IH", "K", "AO", "R", "D"), candidates) == candidates[1]
    assert stressed(("R", "AH", "K", "AO", "D"), candidates) == ("R", "AH1", "K", "AO0", "D")
    assert stressed(("S", "T"), []) == ("S", "T")


def test_ipa_becomes_arpabet():
    assert from_ipa("ˈtʃɪkən") == ("CH", "IH1", "K", "AH0", "N")
    assert from_ipa("") == ()
