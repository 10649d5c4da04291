"""Pronunciations for an aligner: its dictionary, a wider one, rules for endings, and a grapheme-to-phoneme model.

In that order, so that a guess is made only for words that nobody wrote down. Other languages than English have the user's
dictionary alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.alignment.arpabet import PHONES, VOWELS, from_ipa, without_stress
from analysis.alignment.lexicon_files import lexicon_folder, read_dictionary
from analysis.errors import LexiconError
from analysis.spelling import folded

__all__ = ["Pronouncer", "Pronunciation", "cmudict", "find_lexicon", "stressed"]

_SIBILANTS = frozenset("S Z SH ZH CH JH".split())
_VOICELESS = frozenset("P T K F TH".split())


@dataclass(frozen=True)
class Pronunciation:
    """How a word is said, and who says so.

    Attributes
    ----------
    phones : tuple of str
        ARPAbet, with stress digits where known.
    source : str
        ``lexicon`` (the user's), ``cmudict``, ``ending`` (a known word with an ending) or ``g2p``.
    """

    phones: tuple[str, ...]
    source: str


def find_lexicon(name: Path | str | None, inventory: str | None = None) -> tuple[Path | None, str]:
    """File and inventory of the lexicon that a user names.

    Parameters
    ----------
    name : str, path or None
        ``cmudict`` (or nothing), the name of a lexicon in lexicons/ such as ``mandarin``, or a dictionary file.
    inventory : str, optional
        Of its phones; by default that of the name, and ARPAbet for files.

    Returns
    -------
    path : Path or None
        None for CMUdict, which every English pronouncer has.
    inventory : str

    Raises
    ------
    LexiconError
        If there is no such lexicon; the message lists the names.
    """
    if name is None or str(name) == "cmudict":
        return None, inventory or "arpabet"
    path = lexicon_folder() / str(name) / "lexicon.txt"
    if path.is_file():
        return path, inventory or str(name)
    path = Path(name)
    if not path.is_file():
        names = sorted({p.parent.name for p in lexicon_folder().glob("*/lexicon.txt")} | {"cmudict"})
        raise LexiconError(f"There is no lexicon {str(name)!r}. Choose one of {', '.join(names)}, or give a file.")
    return path, inventory or "arpabet"


@lru_cache(maxsize=1)
def cmudict() -> Mapping[str, list[tuple[str, ...]]]:
    """CMUdict as it travels in lexicons/: 126,052 words, ARPAbet with stress."""
    return read_dictionary(lexicon_folder() / "cmudict" / "cmudict.dict.xz")


@lru_cache(maxsize=1)
def _g2p() -> Any:
    import hama

    return hama.G2PModel()


class Pronouncer:
    """Pronunciations of words, the best-founded first.

    Parameters
    ----------
    lexicon : str or path, optional
        As :func:`find_lexicon` takes it. An English dictionary of one's own comes before all other sources.
    inventory : str, optional
        Of the lexicon's phones. With any other than ARPAbet the lexicon is the only source: nothing is guessed.

    Attributes
    ----------
    path : Path or None
    inventory : str
    """

    def __init__(self, lexicon: Path | str | None = None, inventory: str | None = None) -> None:
        self.path, self.inventory = find_lexicon(lexicon, inventory)
        self.english = self.inventory == "arpabet"
        self.own = read_dictionary(self.path, inventory=self.inventory) if self.path else {}
        for word, pronunciations in self.own.items() if self.english else ():
            for phones in pronunciations:
                strange = [phone for phone in phones if without_stress(phone) not in PHONES]
                if strange:
                    raise LexiconError(
                        f"{self.path}: the word {word!r} has the phone {strange[0]!r}, which is not ARPAbet. "
                        f"ARPAbet is {' '.join(sorted(PHONES))}; of a lexicon in other phones, name the inventory."
                    )

    def known(self, word: str) -> bool:
        """Whether a dictionary has the word."""
        word = folded(word)
        return word in self.own or (self.english and word in cmudict())

    def written(self, word: str) -> list[Pronunciation]:
        """Pronunciations that a dictionary gives, or none."""
        word = folded(word)
        if word in self.own:
            return [Pronunciation(phones, "lexicon") for phones in self.own[word]]
        if not self.english:
            return []
        return [Pronunciation(phones, "cmudict") for phones in cmudict().get(word, ())]

    def __call__(self, word: str) -> list[Pronunciation]:
        """Pronunciations of ``word``, at least one unless it has no letters that English can read."""
        if not self.english:
            return self.written(word)
        plain = _without_accents(word)
        found = self.written(word) or self._with_ending(word) or self.written(plain) or self._with_ending(plain)
        if found:
            return found
        phones = self._guessed(plain)
        return [Pronunciation(phones, "g2p")] if phones else []

    def _with_ending(self, word: str) -> list[Pronunciation]:
        stem, ending = word, ""
        if word.endswith("'s"):
            stem, ending = word[:-2], "s"
        elif word.endswith("in'"):
            stem, ending = word[:-1] + "g", "in"
        elif word.endswith("'"):
            stem = word[:-1]
        elif word.endswith("s") and not word.endswith("ss"):
            stem, ending = word[:-1], "s"
        if stem == word:
            return []
        return [Pronunciation(_ended(base.phones, ending), "ending") for base in self.written(stem)]

    @staticmethod
    def _guessed(word: str) -> tuple[str, ...]:
        letters = re.sub(r"[^a-z]", "", word)
        if re.search(r"[aeiouy]", letters):
            return from_ipa(_g2p()(letters).ipa)
        # without a vowel letter it is an acronym: say its letters
        return tuple(phone for letter in letters for phone in cmudict()[letter][0])


def _without_accents(word: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKD", word) if not unicodedata.combining(character))


def _ended(phones: tuple[str, ...], ending: str) -> tuple[str, ...]:
    if ending == "in":
        return (*phones[:-1], "N") if phones[-1] == "NG" else phones
    if ending == "s":
        last = without_stress(phones[-1])
        return (*phones, "IH0", "Z") if last in _SIBILANTS else (*phones, "S" if last in _VOICELESS else "Z")
    return phones


def stressed(plain: tuple[str, ...], candidates: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """``plain`` phones with the stress digits of the candidate that fits: same phones first, else the same number of vowels.

    Without a candidate the phones come back as they are.
    """
    candidates = list(candidates)
    for candidate in candidates:
        if tuple(map(without_stress, candidate)) == plain:
            return candidate
    vowels = [i for i, phone in enumerate(plain) if phone in VOWELS]
    for candidate in candidates:
        digits = [phone[-1] for phone in candidate if phone[-1].isdigit()]
        if len(digits) == len(vowels):
            marked = list(plain)
            for i, digit in zip(vowels, digits, strict=True):
                marked[i] += digit
            return tuple(marked)
    return plain
