"""Pronunciations of words: the CMU dictionary, and lexicon files in the form that aligners use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from analysis.alignment.lexicon_files import read_dictionary
from analysis.alignment.pronunciation import cmudict, find_lexicon
from analysis.errors import LexiconError
from analysis.phonology.inventory import load_inventory
from analysis.spelling import folded, plain_word

__all__ = ["Lexicon", "load_lexicon", "pronunciations"]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words and their pronunciations.

    Attributes
    ----------
    name : str
    entries : mapping of str to tuple of str
        Word -> pronunciations as written (``"T UW1"``), the preferred one first.
    inventory : str
        Of the phones.
    """

    name: str
    entries: Mapping[str, tuple[str, ...]] = field(repr=False)
    inventory: str = "arpabet"

    def __contains__(self, word: str) -> bool:
        return bool(self.pronunciations(word))

    def __len__(self) -> int:
        """Number of words."""
        return len(self.entries)

    @property
    def n_pronunciations(self) -> int:
        """Number of entries, alternatives counted."""
        return sum(map(len, self.entries.values()))

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """Pronunciations of a word with their stress; empty when it is not in the lexicon."""
        return self.entries.get(folded(word)) or self.entries.get(plain_word(word), ())

    def items(self) -> Iterator[tuple[str, str]]:
        """Every entry as (name, phones); alternatives are named ``to(2)``, ``to(3)``."""
        for word, alternatives in self.entries.items():
            for number, phones in enumerate(alternatives, 1):
                yield (word if number == 1 else f"{word}({number})"), phones

    def stress(self, word: str, symbols: Sequence[str]) -> tuple[int, ...] | None:
        """Stress of each phone (-1 for consonants) as the lexicon has it for this word said with these phones, or None."""
        wanted = tuple(symbols)
        for phones in self.pronunciations(word):
            split = _split_phones(phones, self.inventory)
            if split[0] == wanted:
                return split[1]
        return None


def _split_phones(phones: str, inventory: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pairs = [load_inventory(inventory).split(phone) for phone in phones.split()]
    return tuple(symbol for symbol, _ in pairs), tuple(stress for _, stress in pairs)


def load_lexicon(name: str | Path = "cmudict", *, inventory: str | None = None) -> Lexicon:
    """The lexicon of that name, or the one in a file.

    Parameters
    ----------
    name : str or Path
        ``cmudict``, ``mandarin``, or a file as :func:`analysis.alignment.lexicon_files.read_dictionary` takes it.
    inventory : str, optional
        Of the phones; by default that of the name, or ARPAbet.

    Raises
    ------
    LexiconError
        If there is no such lexicon, a line has no phones, or a phone is not in the inventory.
    """
    return _load(str(name), inventory)


@cache
def _load(name: str, inventory: str | None) -> Lexicon:
    if name == "cmudict":
        if inventory is not None:
            load_inventory(inventory)  # of the alignments then; CMUdict itself is written in ARPAbet
        return Lexicon(name, _joined(cmudict()), "arpabet")
    path, inventory = find_lexicon(name, inventory)
    if path is None:
        raise LexiconError(f"The lexicon {name!r} is no file.")
    entries = _joined(read_dictionary(path, inventory=inventory))
    phones = load_inventory(inventory)
    for word, alternatives in entries.items():
        for pronunciation in alternatives:
            for label in pronunciation.split():
                if not phones.knows(label):
                    raise LexiconError(
                        f"{path}: {word!r} is pronounced {pronunciation!r}, but {label!r} is not in the inventory {inventory}. "
                        f"Name the inventory that the lexicon is written in, or mend the line."
                    )
    return Lexicon(path.stem if path.parent.name != name else name, entries, inventory)


def _joined(words: Mapping[str, list[tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    return {word: tuple(map(" ".join, alternatives)) for word, alternatives in words.items()}


def pronunciations(word: str, lexicon: str | Path = "cmudict") -> tuple[str, ...]:
    """Pronunciations of a word with their stress, the preferred one first; empty when it is not in the lexicon."""
    return load_lexicon(lexicon).pronunciations(word)
