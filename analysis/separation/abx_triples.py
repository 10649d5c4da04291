"""A sample of ABX triples, each with its speakers and types: what intervals and permutation tests of ABX errors are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.separation.intervals import Cells, CrossedDesign

__all__ = ["AbxTriples", "sampled_triples"]

#: Triples drawn of one relation, at most; ordered type pairs that they come from, at most.
_TRIPLES, _PAIRS = 20_000, 4_000
#: Draws of a triple before it is given up.
_TRIES = 8


@dataclass(frozen=True)
class AbxTriples:
    """Triples: is x nearer to a, of its own type, than to b?

    Attributes
    ----------
    a, b, x : ndarray of int, shape (T,)
        Positions among the tokens; sorted by x.
    type_pair : ndarray of int, shape (T,)
        Code of the unordered type pair.
    types, speakers : ndarray of int, shape (n,)
        Of all tokens.
    """

    a: np.ndarray
    b: np.ndarray
    x: np.ndarray
    type_pair: np.ndarray
    types: np.ndarray
    speakers: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def _cells(self) -> tuple[Cells, np.ndarray]:
        """Cells of (type pair, speakers of x, a and b), and the cell of each triple."""
        roles = np.stack([self.type_pair, self.speakers[self.x], self.speakers[self.a], self.speakers[self.b]], axis=1)
        first, inverse, count = np.unique(roles, axis=0, return_index=True, return_inverse=True, return_counts=True)[1:]
        pair, x, a, b = roles[first].T
        low = np.minimum(self.types[self.x[first]], self.types[self.b[first]])
        high = np.maximum(self.types[self.x[first]], self.types[self.b[first]])
        return Cells(x, a, pair, count, low, high, b), inverse.ravel()

    @cached_property
    def design(self) -> CrossedDesign:
        """Of the cells: speakers of x, a and b, types, and type pairs, which all count the same."""
        cells = self._cells[0]
        return CrossedDesign(cells, cells.weights("macro"))

    def means(self, lost: np.ndarray) -> np.ndarray:
        """Mean of each cell, shape (C,), of what each triple loses, shape (T,)."""
        cells, inverse = self._cells
        return np.bincount(inverse, lost, len(cells)) / cells.count

    def lost(self, rows: np.ndarray, values: np.ndarray) -> tuple[slice, np.ndarray]:
        """The triples whose x are among ``rows`` (ascending, without gaps), and what they lose: 1 where b is nearer, half in a tie.

        Parameters
        ----------
        rows : ndarray of int, shape (R,)
        values : ndarray, shape (R, n)
            What orders tokens by their distance from each row's token.
        """
        here = slice(*np.searchsorted(self.x, [rows[0], rows[-1] + 1]))
        row = self.x[here] - rows[0]
        near, far = values[row, self.a[here]], values[row, self.b[here]]
        return here, (far < near) + 0.5 * (far == near)


def sampled_triples(
    types: np.ndarray,
    speakers: np.ndarray,
    texts: np.ndarray,
    condition: str,
    pairs: set[tuple[int, int]] | None,
    seed: int,
) -> AbxTriples | None:
    """Triples of the given type pairs (of any, without them), as many of each ordered pair; None where none were found.

    Parameters
    ----------
    types, speakers, texts : ndarray of int, shape (n,)
        x is in another text than a and b.
    condition : str
        As :class:`analysis.separation.abx.AbxDesign` takes it. Where it binds speakers, these are drawn first, so that every speaker
        counts the same, as in the published mean.
    """
    rng = np.random.default_rng([seed, 37])
    kinds = np.unique(types)
    if pairs is None:
        first, second = (grid.ravel() for grid in np.meshgrid(kinds, kinds, indexing="ij"))
    else:
        known = [pair for pair in sorted(pairs) if np.isin(pair, kinds).all()]
        first, second = np.array(known + [pair[::-1] for pair in known], dtype=np.int64).reshape(-1, 2).T
    keep = first != second
    first, second = first[keep], second[keep]
    if len(first) > _PAIRS:
        chosen = np.sort(rng.choice(len(first), _PAIRS, replace=False))
        first, second = first[chosen], second[chosen]
    if not len(first):
        return None
    each = max(4, _TRIPLES // len(first))
    first, second = np.repeat(first, each), np.repeat(second, each)
    draw = _Drawer(types, speakers, rng)
    found = np.full((3, len(first)), -1)
    for _ in range(_TRIES):
        open_ = np.flatnonzero(found[0] < 0)
        if not len(open_):
            break
        one, other = first[open_], second[open_]
        if condition == "any":
            x, a, b = draw.of_type(one), draw.of_type(one), draw.of_type(other)
        else:
            speaker = draw.speaker_of(one)
            x = draw.of_both(one, speaker)
            mate = speaker if condition == "within_speaker" else draw.speaker_of(one)
            a, b = draw.of_both(one, mate), draw.of_both(other, mate)
        good = (x >= 0) & (a >= 0) & (b >= 0)
        good &= (texts[x] != texts[a]) & (texts[x] != texts[b])
        if condition == "across_speaker":
            good &= speakers[x] != speakers[a]
        found[:, open_[good]] = x[good], a[good], b[good]
    kept = found[0] >= 0
    if not kept.any():
        return None
    x, a, b = found[:, kept]
    low, high = np.minimum(first, second)[kept], np.maximum(first, second)[kept]
    order = np.argsort(x, kind="stable")
    code = low * (1 + int(types.max())) + high
    return AbxTriples(a[order], b[order], x[order], code[order], types, speakers)


class _Drawer:
    """Random tokens of given types and speakers; -1 where there is none."""

    def __init__(self, types: np.ndarray, speakers: np.ndarray, rng: np.random.Generator) -> None:
        self.rng = rng
        self._n_speakers = int(speakers.max()) + 1
        self._by_type = np.argsort(types, kind="stable")
        self._types = np.bincount(types)
        self._type_starts = np.cumsum(self._types) - self._types
        self._by_both = np.lexsort((speakers, types))
        self._both = np.bincount(types * self._n_speakers + speakers, minlength=len(self._types) * self._n_speakers)
        self._both_starts = np.cumsum(self._both) - self._both
        present = (self._both > 0).reshape(len(self._types), self._n_speakers)
        self._n_present = present.sum(axis=1)
        self._present = np.argsort(~present, axis=1, kind="stable")

    def of_type(self, kinds: np.ndarray) -> np.ndarray:
        return self._by_type[self._type_starts[kinds] + self._below(self._types[kinds])]

    def speaker_of(self, kinds: np.ndarray) -> np.ndarray:
        """A speaker who says each type, all of them alike."""
        return self._present[kinds, self._below(self._n_present[kinds])]

    def of_both(self, kinds: np.ndarray, speakers: np.ndarray) -> np.ndarray:
        code = kinds * self._n_speakers + speakers
        place = np.minimum(self._both_starts[code] + self._below(self._both[code]), len(self._by_both) - 1)
        return np.where(self._both[code] > 0, self._by_both[place], -1)

    def _below(self, counts: np.ndarray) -> np.ndarray:
        """A random whole number below each count; 0 where that is 0."""
        return np.minimum((self.rng.random(len(counts)) * counts).astype(np.int64), np.maximum(counts, 1) - 1)
