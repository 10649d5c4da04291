"""Labels as text: which of them stand for no speech, and when two of them spell one word.

One list for all rooms, since a mark that one stage keeps and the next drops moves every word after it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["folded", "plain_apostrophes", "plain_word", "silent_phone", "silent_word"]

# Never words of a transcript: marks of MFA, P2FA, WebMAUS, Gentle, TIMIT, Buckeye, Festival, CHAT and of people in Praat.
_MARKS = frozenset("sil sp spn ssil pau nsn h# #h brth vocnoise xxx".split())
# Noises under these names are marks in a tier of phones; in a tier of words they are words that someone said.
_NOISES = frozenset("silence pause noise noi ns breath lg ls cg br laughter laugh cough lipsmack epi".split())
_PUNCTUATION = frozenset(("", "_", "-", "--", "—", "…", "...", "#", "[]", "(.)", "(..)", "(...)"))
_APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛ʼʻ´`′＇ʹˊ᾽᾿՚ꞌ", "'"))
# What Unicode normalisation has already made of an acute accent that stood for an apostrophe.
_LOOSE_ACUTE = re.compile("(?<=\\w) \u0301(?=\\w)")


@lru_cache(maxsize=4096)
def silent_phone(label: str) -> bool:
    """Whether a label of a tier of phones stands for silence, noise or an unknown word rather than for a phone.

    Labels wholly in angle, square or curly brackets (``<p:>``, ``[noise]``, ``{SL}``) are marks.

    Examples
    --------
    >>> silent_phone("noise"), silent_phone("sp"), silent_phone("s")
    (True, True, False)
    """
    label = label.strip().lower()
    return label in _MARKS or label in _NOISES or label in _PUNCTUATION or _bracketed(label)


def silent_word(label: str) -> bool:
    """Whether a label of a tier of words stands for no word: a mark, something in brackets, or punctuation alone.

    A plain word is a word, whatever it means.

    Examples
    --------
    >>> silent_word("noise"), silent_word("sp"), silent_word("<unk>"), silent_word("...")
    (False, True, True, True)
    """
    label = label.strip().lower()
    return label in _MARKS or _bracketed(label) or not any(character.isalnum() for character in label)


def _bracketed(label: str) -> bool:
    return len(label) > 1 and label[0] + label[-1] in ("<>", "[]", "{}")


def plain_apostrophes(text: str) -> str:
    """The text with every character that people type for an apostrophe as ``'``.

    Examples
    --------
    >>> plain_apostrophes("don´t, we’re")
    "don't, we're"
    """
    return _LOOSE_ACUTE.sub("'", text).translate(_APOSTROPHES)


def folded(word: str) -> str:
    """A word as dictionaries are searched: lower case, one form of apostrophe and of accents; its punctuation stays.

    Examples
    --------
    >>> folded("O’Neill"), folded("U.S.")
    ("o'neill", 'u.s.')
    """
    if word.isascii():
        return word.replace("`", "'").strip().lower()
    return unicodedata.normalize("NFC", plain_apostrophes(word).replace("\u00ad", "")).strip().lower()


def plain_word(label: str) -> str:
    """The spelling that equal words share: lower case, one form of apostrophe and of accents, no punctuation around it.

    Apostrophes at one end stay (``'tis``, ``dogs'``), a pair of them is a quotation. Soft hyphens are left out.

    Examples
    --------
    >>> plain_word("“Sheep,”"), plain_word("Don’t."), plain_word("'tis")
    ('sheep', "don't", "'tis")
    """
    text = folded(label)
    first, end = 0, len(text)
    while first < end and not _spells(text[first]):
        first += 1
    while end > first and not _spells(text[end - 1]):
        end -= 1
    text = text[first:end]
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "'" else text


def _spells(character: str) -> bool:
    # combining marks close words of many scripts, so they are no punctuation
    return character.isalnum() or character == "'" or unicodedata.category(character)[0] == "M"
