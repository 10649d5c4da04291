"""Content and function words, and lemmas."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.phonology import with_words
from analysis.phonology.words import function_words, is_described, lemmas, word_class


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("and", "function"), ("The", "function"), ("don't", "function"), ("he's", "function"), ("we'll", "function"),
        ("won't", "function"), ("can\u2019t", "function"), ("i'm", "function"), ("let's", "function"), ("o'clock", "function"),
        ("sheep", "content"), ("john's", "content"), ("two", "content"), ("won", "content"), ("will's", "function"), ("", ""), (" ", ""),
    ],
)  # fmt: skip
def test_word_class(word, expected):
    assert word_class(word) == expected


def test_the_list_of_function_words_is_lower_case_and_holds_the_usual_ones():
    assert all(word == word.lower().strip() for word in function_words())
    assert {"a", "and", "of", "to", "was", "his", "that", "which", "not", "into", "because"} <= function_words()
    assert not {"sheep", "ship", "two", "right", "say", "go", "made", "back", "round", "used"} & function_words()


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ("city", "cities", True), ("was", "were", True), ("have", "had", True), ("rose", "rise", True), ("found", "find", True),
        ("men", "man", True), ("john", "john's", True), ("Roger", "rogers", True), ("feet", "foot", True), ("lay", "lie", True),
        ("sheep", "ship", False), ("cut", "cull", False), ("plays", "please", False), ("nation", "national", False),
        ("mars", "mass", False), ("two", "tool", False),
    ],
)  # fmt: skip
def test_words_of_one_lemma(a, b, shared):
    assert bool(set(lemmas(a)) & set(lemmas(b))) is shared


def test_words_of_no_lexicon_and_empty_ones():
    assert lemmas("xylographs") == ("xylograph", "xylographs")
    assert lemmas("") == () and lemmas("new york") == ("new_york",)


def test_columns_are_empty_where_the_language_is_another():
    tokens = pd.DataFrame({"word": ["and", "Saw", ""]})
    english = with_words(tokens)
    assert english["word_class"].tolist() == ["function", "content", ""]
    assert english["lemmas"].tolist() == ["and", "saw see", ""]
    other = with_words(tokens, "mandarin")
    assert other[["word_class", "lemmas"]].to_numpy().tolist() == [["", ""]] * 3
    assert is_described("timit") and is_described("ipa") and not is_described("mandarin")
