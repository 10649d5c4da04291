"""How often our syllables are those of a published lexicon that marks syllables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from analysis.errors import LexiconError
from analysis.phonology.inventory import Inventory, load_inventory
from analysis.phonology.lexicon import Lexicon
from analysis.phonology.syllabification import syllabify

__all__ = ["Agreement", "compare_counts", "compare_syllables", "find_festival", "find_isle", "read_festival", "read_isle"]

# Words of a syllabified lexicon: spelling, and the phones of each syllable, ARPAbet without stress.
Syllabified = Iterable[tuple[str, list[list[str]]]]

_FESTIVAL = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")
# What ISLEX spells otherwise than our list of English IPA.
_ISLE_PHONES = {"ei": "EY", "ɑɪ": "AY", "ɔi": "OY", "ɵ": "TH"}


@dataclass(frozen=True)
class Agreement:
    """Agreement over the words of one source.

    Attributes
    ----------
    n_words : int
    n_polysyllables : int
        Words of two syllables or more: only they have boundaries.
    counts, words, polysyllables, boundaries : float
        Share of words with the same number of syllables; of words with the same syllables; the same of polysyllables; of
        word-internal boundaries of the source that are ours too.
    disagreements : tuple
        The commonest (theirs, ours, times, example).
    """

    source: str
    n_words: int
    n_polysyllables: int
    counts: float
    words: float
    polysyllables: float
    boundaries: float
    disagreements: tuple[tuple[str, str, int, str], ...]


def find_isle() -> Path | None:
    """The ISLEX dictionary in the package pysle, where that is installed."""
    found = find_spec("pysle")
    path = Path(found.origin).parent / "data" / "ISLEdict.txt" if found and found.origin else None
    return path if path is not None and path.is_file() else None


def find_festival() -> Path | None:
    """The dictionary of Festival's package festlex-cmu, where that is installed."""
    return _FESTIVAL if _FESTIVAL.is_file() else None


def read_festival(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Words with their syllables of a compiled Festival lexicon: ``("supply" nil (((s ax) 0) ((p l ay) 1)))``."""
    for line in _lines(path, "latin-1"):
        word = re.match(r'\("((?:[^"\\]|\\.)+)"', line)
        syllables = [part.upper().split() for part in re.findall(r"\(\(([^()]*)\)\s*\d\)", line)]
        if word and syllables:
            yield word.group(1), syllables


def read_isle(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Single words with their syllables of ISLEX: ``tickle(nn,vb) # t ˈɪ . k l̩ #``; words with other phones are left out."""
    ipa = load_inventory("ipa")
    for line in _lines(path, "utf-8"):
        entry, _, rest = line.partition(" # ")
        spoken = rest.strip().removesuffix("#").strip()
        word = entry.partition("(")[0]
        if not spoken or "#" in spoken or "_" in word:
            continue
        syllables = []
        for part in spoken.split(" . "):
            phones = [phone.strip("ˈˌ") for phone in part.split()]
            if not all(phone in _ISLE_PHONES or ipa.knows(phone) for phone in phones):
                break
            syllables.append([_ISLE_PHONES.get(phone) or ipa.split(phone)[0] for phone in phones])
        else:
            yield word, syllables


def _lines(path: Path, encoding: str) -> list[str]:
    try:
        return Path(path).read_text(encoding=encoding).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LexiconError(
            f"The syllabified lexicon {path} cannot be read: {error}. Give the file that its package installs."
        ) from None


def compare_syllables(source: str, words: Syllabified, *, n_disagreements: int = 10) -> Agreement:
    """Our syllables of the source's own phones against its syllables.

    Raises
    ------
    LexiconError
        If the source holds no word that could be compared.
    """
    inventory = load_inventory("arpabet")
    n_words = n_poly = counts = same = same_poly = boundaries = shared = 0
    differences: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for word, theirs in words:
        phones = [phone for syllable in theirs for phone in syllable]
        if not any(inventory.carries_syllable(phone) for phone in phones):
            continue
        ours = {first for first, _, _ in syllabify(phones)} - {0}
        starts, position = set(), 0
        for syllable in theirs[:-1]:
            position += len(syllable)
            starts.add(position)
        n_words += 1
        counts += len(ours) == len(starts)
        same += ours == starts
        if starts or ours:
            n_poly += 1
            same_poly += ours == starts
        boundaries += len(starts)
        shared += len(ours & starts)
        if ours != starts and len(ours) == len(starts):
            for place, other in zip(sorted(starts), sorted(ours), strict=True):
                if place != other:
                    key = _around(phones, place, inventory), _around(phones, other, inventory)
                    differences[key] += 1
                    examples.setdefault(key, word)
    if not n_words:
        raise LexiconError(f"{source} holds no word that could be compared. Is it the file that was meant?")
    return Agreement(
        source=source,
        n_words=n_words,
        n_polysyllables=n_poly,
        counts=counts / n_words,
        words=same / n_words,
        polysyllables=same_poly / n_poly if n_poly else 1.0,
        boundaries=shared / boundaries if boundaries else 1.0,
        disagreements=tuple((*key, times, examples[key]) for key, times in differences.most_common(n_disagreements)),
    )


def _around(phones: list[str], boundary: int, inventory: Inventory) -> str:
    """The consonants around a boundary, as ``S . T``."""
    first, last = boundary, boundary
    while first > 0 and not inventory.carries_syllable(phones[first - 1]):
        first -= 1
    while last < len(phones) and not inventory.carries_syllable(phones[last]):
        last += 1
    return f"{' '.join(phones[first:boundary])} . {' '.join(phones[boundary:last])}".strip()


def compare_counts(lexicon: Lexicon, words: Syllabified) -> tuple[int, float]:
    """Words in both, and the share of which some pronunciation has as many syllables as the source says.

    Parameters
    ----------
    lexicon : Lexicon
        Whose own pronunciations count, unlike in :func:`compare_syllables`.
    words : iterable
        Words of a syllabified lexicon; a word may come more than once.
    """
    theirs: dict[str, set[int]] = {}
    for word, syllables in words:
        theirs.setdefault(word.lower(), set()).add(len(syllables))
    inventory = load_inventory(lexicon.inventory)
    both = [word for word in theirs if word in lexicon]
    if not both:
        raise LexiconError(f"The two lexicons share no word: {lexicon.name} and the syllabified one. Are they of one language?")
    agreeing = 0
    for word in both:
        spoken = (inventory.symbols(phones) for phones in lexicon.pronunciations(word))
        ours = {sum(map(inventory.carries_syllable, symbols)) for symbols in spoken}
        agreeing += not ours.isdisjoint(theirs[word])
    return len(both), agreeing / len(both)
