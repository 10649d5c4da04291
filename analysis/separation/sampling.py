"""Which tokens of a frequent type are scored: drawn at random, with speakers and texts alike."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pandas as pd

__all__ = ["BalancedDraw", "drawn_first"]


class BalancedDraw:
    """Draws of tokens from a table that take turns between its speakers and, of each speaker, between the texts.

    Parameters
    ----------
    tokens : DataFrame
        ``speaker``, ``utterance`` and, if there are any, ``text``.

    Examples
    --------
    >>> table = pd.DataFrame({"speaker": list("aaaaaab"), "utterance": list("1111123"), "text": list("xxxxxyx")})
    >>> drawn = BalancedDraw(table).of(np.arange(7), 3, np.random.default_rng(0))
    >>> sorted(table.loc[drawn, "speaker"] + table.loc[drawn, "text"])
    ['ax', 'ay', 'bx']
    """

    def __init__(self, tokens: pd.DataFrame) -> None:
        self.speaker = pd.factorize(tokens["speaker"].astype(str))[0]
        text = pd.factorize(tokens["text" if "text" in tokens else "utterance"].astype(str))[0]
        self._text_of_speaker = self.speaker.astype(np.int64) * (1 + text.max(initial=0)) + text

    def of(self, places: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """At most ``size`` of the rows ``places``, in no order."""
        if len(places) <= size:
            return places
        places = rng.permutation(places)
        for codes in (self._text_of_speaker, self.speaker):
            places = places[np.argsort(_turns(codes[places]), kind="stable")]
        return places[:size]


def _turns(codes: np.ndarray) -> np.ndarray:
    """How often each code occurred before, shape (n,)."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    turns = np.empty(len(codes), dtype=np.int64)
    turns[order] = np.arange(len(codes)) - np.repeat(first, np.diff(np.append(first, len(codes))))
    return turns


def drawn_first(names: Iterable[str], size: int, seed: int) -> np.ndarray:
    """Positions, ascending, of the ``size`` names that a seed draws; whoever is drawn stays so when others are taken away."""
    keys = [blake2b(name.encode(), digest_size=8, salt=seed.to_bytes(8, "little", signed=True)).digest() for name in names]
    return np.sort(np.array(sorted(range(len(keys)), key=keys.__getitem__)[:size], dtype=np.int64))
