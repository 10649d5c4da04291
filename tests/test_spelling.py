"""Labels as text: one list of marks for all rooms, and one spelling for equal words."""

from __future__ import annotations

import pytest

from analysis.spelling import folded, plain_apostrophes, plain_word, silent_phone, silent_word

MARKS = ["", " ", "sil", "SIL", "sp", "spn", "ssil", "pau", "nsn", "h#", "#h", "xxx", "_", "-", "...", "…", "(.)", "—"]
BRACKETED = ["<p:>", "<unk>", "<eps>", "[noise]", "{SL}", "<VOCNOISE>"]
# words of English (and one of Italian) that are names of noises in tiers of phones
NOISES = ["noise", "breath", "silence", "pause", "laughter", "cough", "Noise", "noi"]


@pytest.mark.parametrize("label", [*MARKS, *BRACKETED])
def test_marks_are_marks_in_both_tiers(label):
    assert silent_word(label) and silent_phone(label)


@pytest.mark.parametrize("label", NOISES)
def test_a_plain_word_is_a_word(label):
    assert silent_phone(label) and not silent_word(label)


def test_phones_and_punctuation():
    assert not any(map(silent_phone, ["s", "AH0", "@", "{", "}", "?", "2", "ʔ", "ma", "6"]))
    assert all(map(silent_word, [".", ",", "?!", "“”", "***"])) and not any(map(silent_word, ["a", "5", "l'", "妈", "(sheep)"]))


@pytest.mark.parametrize(
    "spelled",
    [
        "don't",
        "Don’t",
        "DON‘T.",
        "don´t",
        "don`t",
        "donʼt",
        "don＇t",
        "“don’t,”",
        "'don't'",
        "don \u0301t",
        "do\u00adn't",
        "(don′t)",
    ],
)
def test_one_spelling_for_equal_words(spelled):
    assert plain_word(spelled) == "don't"


def test_what_a_spelling_keeps():
    assert plain_word("'tis") == "'tis" and plain_word("dogs’,") == "dogs'" and plain_word("sea-horse.") == "sea-horse"
    assert plain_word("cafe\u0301") == plain_word("CAFÉ") == "café" and folded("U.S.") == "u.s." and plain_word("...") == ""
    assert plain_word("हिन्दी") == "हिन्दी", "a vowel sign at the end is no punctuation"
    assert plain_apostrophes("it is 5´ long") == "it is 5' long"
