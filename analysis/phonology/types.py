"""Syllables, the token table and the pair table: the nouns that alignment hands to embeddings and separation."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.timebase import Interval

__all__ = ["PAIR_COLUMNS", "RELATIONS", "TOKEN_COLUMNS", "Syllable"]

#: Columns of the token table, one row per occurrence, with their dtypes. Times in seconds.
#: ``type`` is the form that tokens share: for syllables and phones the stress-stripped phone string ("SH IY P"), for words the
#: spelling of :func:`analysis.spelling.plain_word` ("sheep", "don't"). ``phones`` is always the stress-stripped phone string.
#: ``nucleus_start``/``coda_start`` split a syllable into onset [start, nucleus_start), nucleus [nucleus_start, coda_start), coda
#: [coda_start, end); an absent part has zero length. For other units they equal ``start`` and ``end``.
TOKEN_COLUMNS: dict[str, str] = {
    "token": "int64",
    "utterance": "str",
    "speaker": "str",
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
