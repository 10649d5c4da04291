"""Syllables, the token table and the pair table: the nouns that alignment hands to embeddings and separation."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.timebase import Interval

__all__ = ["COMPOSITION_COLUMNS", "PAIR_CLASSES", "PAIR_COLUMNS", "RELATIONS", "TOKEN_COLUMNS", "Syllable"]

#: Columns of the token table, one row per occurrence, with their dtypes. Times in seconds. ``text``: the words of the whole
#: utterance, lower case, which readings of one text share.
#: ``type`` is the form that tokens share: for syllables and phones the stress-stripped phone string ("SH IY P"), for words the
#: spelling of :func:`analysis.spelling.plain_word` ("sheep", "don't"). ``phones`` is always the stress-stripped phone string.
#: ``nucleus_start``/``coda_start`` split a syllable into onset [start, nucleus_start), nucleus [nucleus_start, coda_start), coda
#: [coda_start, end); an absent part has zero length. For other units they equal ``start`` and ``end``. ``word_class``
#: (``content`` or ``function``) and ``lemmas`` (every lemma that the word may have, separated by spaces) are empty for languages
#: other than English and for whole utterances.
TOKEN_COLUMNS: dict[str, str] = {
    "token": "int64",
    "utterance": "str",
    "speaker": "str",
    "text": "str",
    "unit": "str",
    "type": "str",
    "phones": "str",
    "word": "str",
    "word_index": "int64",
    "position": "int64",
    "n_syllables": "int64",
    "stress": "int64",
    "onset": "str",
    "nucleus": "str",
    "coda": "str",
    "start": "float64",
    "nucleus_start": "float64",
    "coda_start": "float64",
    "end": "float64",
    "previous_phone": "str",
    "next_phone": "str",
    "word_class": "str",
    "lemmas": "str",
}

#: Columns of the pair table, one row per unordered pair of types, ``type_a < type_b``. ``phone_distance``: edit distance over
#: the longer length, stress stripped. ``viseme_distance``: the same over viseme classes. ``edit_class``: of one-edit pairs,
#: ``voicing``, ``place``, ``manner``, ``vowel``, ``insertion`` or ``other`` (other inventories add ``aspiration`` and ``tone``);
#: empty for more edits. ``edit_detail``: in what the two phones differ (``height+length``), or the phone inserted (``+L``).
PAIR_COLUMNS: dict[str, str] = {
    "type_a": "str",
    "type_b": "str",
    "phones_a": "str",
    "phones_b": "str",
    "phone_distance": "float64",
    "viseme_distance": "float64",
    "relation": "str",
    "edit_class": "str",
    "edit_detail": "str",
}

#: Classes of the pairs of tokens of a near-homophone pair: a pair is of the first whose sentence holds. The first two are no
#: near-homophones; the last two are what sheep/ship is; ``unknown`` is every pair of a language without lists.
PAIR_CLASSES: dict[str, str] = {
    "variant_form": "two forms of one word",
    "same_word": "two syllables of one word",
    "unknown": "words that no list describes",
    "inflection": "two words of one lemma",
    "function_word": "a function word on either side",
    "unstressed": "an unstressed syllable on either side",
    "word_part": "stressed syllables of content words, one of them part of a longer word",
    "whole_word": "whole content words",
}

#: Columns that :func:`analysis.phonology.compose` adds to a pair table. ``pairs_of``: the classes whose token pairs are scored as
#: this pair, separated by spaces; empty where none is. ``words_a``: the words behind type a in them, most tokens first;
#: ``n_words_a``: how many; ``n_tokens_a``: tokens. ``made_of``: classes with their numbers of token pairs
#: (``whole_word 12, function_word 40``).
COMPOSITION_COLUMNS: dict[str, str] = {
    "pairs_of": "str",
    "words_a": "str",
    "words_b": "str",
    "n_words_a": "int64",
    "n_words_b": "int64",
    "n_tokens_a": "int64",
    "n_tokens_b": "int64",
    "made_of": "str",
}

#: Relations between two types. ``near_homophone``: 0 < phone distance <= threshold; ``homophone``: other spelling, same phones.
RELATIONS = ("same_type", "homophone", "near_homophone", "unrelated")


@dataclass(frozen=True)
class Syllable:
    """One syllable of one word, with its phones divided into onset, nucleus and coda.

    Attributes
    ----------
    interval : Interval
        From the first phone's start to the last phone's end; the label is the phone string with stress.
    word : str
        As in the alignment, spelled as :func:`analysis.spelling.plain_word` does.
    word_index, position, n_syllables : int
        Which word of the utterance, which syllable of the word (from 0), of how many.
    onset, nucleus, coda : tuple of Interval
        The phones, stress digits stripped in their labels; ``nucleus`` holds exactly one.
    stress : int
        0, 1, 2, or -1 where unknown.
    """

    interval: Interval
    word: str
    word_index: int
    position: int
    n_syllables: int
    onset: tuple[Interval, ...]
    nucleus: tuple[Interval, ...]
    coda: tuple[Interval, ...]
    stress: int = -1

    @property
    def phones(self) -> tuple[Interval, ...]:
        """Onset, nucleus and coda in order."""
        return self.onset + self.nucleus + self.coda

    @property
    def type(self) -> str:
        """The stress-stripped phone string that tokens of this syllable share, such as ``SH IY P``."""
        return " ".join(phone.label for phone in self.phones)
