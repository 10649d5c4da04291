"""Whether the words of an alignment are those of the transcript, and its phones those of its words.

Alignments that come from elsewhere may be another recording's, cut short, or shifted against their labels. Aligners that listen
take their words from the transcript, and differ in nothing here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING

from analysis.alignment.arpabet import without_stress
from analysis.alignment.transcript import spoken_words
from analysis.alignment.types import Alignment

if TYPE_CHECKING:
    from analysis.alignment.pronunciation import Pronouncer

__all__ = ["Wording", "phones_off", "with_word_doubts", "wording"]

# A word has other phones than its own where fewer than this share of the dictionary's are found in order.
_LIKE = 0.5
# Differences that are quoted in a message.
_QUOTED = 3


@dataclass(frozen=True)
class Wording:
    """Words of an alignment against those of the transcript.

    Attributes
    ----------
    n_words : int
        Of the transcript or the alignment, whichever has more.
    n_off : int
        Words that are missing, added or replaced: the edit distance in words.
    differences : str
        The first of them, such as ``'sheep' is missing; 'ship' for 'shop'``; empty where there are none.
    """

    n_words: int
    n_off: int
    differences: str

    @property
    def share(self) -> float:
        """Of the words that differ."""
        return self.n_off / self.n_words if self.n_words else 0.0


def wording(alignment: Alignment, text: str) -> Wording | None:
    """The words of an alignment against a transcript; None where it has no words.

    Both are read aloud first (:func:`~analysis.alignment.transcript.spoken_words`), so that ``2`` and ``two`` are one word; case,
    punctuation, apostrophes and blanks inside a word (``sea horse``, ``sea-horse``) make no difference.
    """
    if not alignment.words:
        return None
    labels = [word.label for word in alignment.words]
    found = [
        _compared(_bare(wanted), _bare(given))
        for wanted, given in (
            (spoken_words(text), spoken_words(" ".join(labels))),
            (text.split(), labels),  # languages whose numbers are not read as English
        )
    ]
    return min(found, key=lambda one: one.n_off)


def with_word_doubts(alignment: Alignment, text: str) -> Alignment:
    """The alignment, with a warning where its words differ from the transcript."""
    found = wording(alignment, text)
    if found is None or not found.n_off:
        return alignment
    doubt = f"{found.n_off} of {found.n_words} words differ from the transcript: {found.differences}."
    return replace(alignment, warnings=(*alignment.warnings, doubt))


def _bare(words: Iterable[str]) -> list[str]:
    found = (re.sub(r"[^\w]+|_", "", unicodedata.normalize("NFKC", word).casefold()) for word in words)
    return [word for word in found if word]


def _compared(wanted: Sequence[str], given: Sequence[str]) -> Wording:
    n_off, quoted = 0, []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, wanted, given, autojunk=False).get_opcodes():
        if tag == "equal" or "".join(wanted[i:i_end]) == "".join(given[j:j_end]):
            continue
        n_off += max(i_end - i, j_end - j)
        left, right = " ".join(wanted[i:i_end]), " ".join(given[j:j_end])
        quoted.append(f"{right!r} for {left!r}" if left and right else f"{left!r} is missing" if left else f"{right!r} is added")
    if len(quoted) > _QUOTED:
        quoted[_QUOTED:] = [f"and {len(quoted) - _QUOTED} more"]
    return Wording(max(len(wanted), len(given)), n_off, "; ".join(quoted))


def phones_off(alignment: Alignment) -> tuple[int, int, str]:
    """Words whose phones are unlike every pronunciation that CMUdict has, as labels shifted by a word leave them.

    Returns
    -------
    n_off, n_checked : int
        Words that CMUdict does not have, or that have no phones, are not checked; nor are phones other than ARPAbet.
    example : str
        The first, such as ``'is' over N IH R``; empty where there is none.
    """
    n_off = n_checked = 0
    example = ""
    if alignment.inventory != "arpabet":
        return 0, 0, ""
    pronouncer = _pronouncer()
    for word in alignment.words:
        spelling = unicodedata.normalize("NFKC", word.label).lower().replace("\u2019", "'").strip("'\".,;:!? ")
        known = pronouncer.written(spelling)
        phones = [without_stress(phone.label) for phone in alignment.phones_of(word)]
        if not known or not phones:
            continue
        n_checked += 1
        if max(_likeness([without_stress(phone) for phone in one.phones], phones) for one in known) < _LIKE:
            n_off += 1
            example = example or f"{word.label!r} over {' '.join(phones)}"
    return n_off, n_checked, example


def _likeness(left: list[str], right: list[str]) -> float:
    same = sum(block.size for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks())
    return same / max(len(left), len(right))


@lru_cache(maxsize=1)
def _pronouncer() -> Pronouncer:
    from analysis.alignment.pronunciation import Pronouncer

    return Pronouncer()
