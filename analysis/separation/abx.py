"""ABX: is x nearer to a token of its own type than to one of another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.distances import TokenDots
from analysis.separation.intervals import Cells
from analysis.separation.threads import workers

__all__ = ["Abx", "AbxCells", "AbxCounter", "AbxDesign", "abx", "abx_of_matrix", "dtw_distances", "ordering"]

#: Distances sorted at once: few enough for a core's cache.
_BLOCK = 2**18


@dataclass(frozen=True)
class Abx:
    """ABX errors per cell of speaker and ordered type pair.

    Attributes
    ----------
    type_a, type_b, speaker : ndarray of int, shape (C,)
        x and a are of ``type_a``, b of ``type_b``; ``speaker`` is x's (0 where speakers are not told apart).
    error : ndarray, shape (C,)
        Share of triples in which x is nearer to b, ties counting half.
    triples : ndarray, shape (C,)
    """

    type_a: np.ndarray
    type_b: np.ndarray
    speaker: np.ndarray
    error: np.ndarray
    triples: np.ndarray

    def mean(self) -> float:
        """Mean over speakers first, then over ordered type pairs; NaN without a cell."""
        if not len(self.error):
            return float("nan")
        _, pair = np.unique(self.type_a * (1 + self.type_b.max(initial=0)) + self.type_b, return_inverse=True)
        return float(np.mean(np.bincount(pair, self.error) / np.bincount(pair)))

    def cells(self, pairs: set[tuple[int, int]] | None = None) -> AbxCells:
        """Cells of speaker and unordered type pair, for an interval over both; of the given type pairs only, if any are given."""
        low, high = np.minimum(self.type_a, self.type_b), np.maximum(self.type_a, self.type_b)
        n = 1 + int(high.max(initial=0))
        keep = np.ones(len(low), dtype=bool)
        if pairs is not None:
            keep = np.isin(low * n + high, np.array([min(pair) * n + max(pair) for pair in pairs], dtype=np.int64))
        code, inverse = np.unique((self.speaker[keep] * n + low[keep]) * n + high[keep], return_inverse=True)
        speaker, pair = code // (n * n), code % (n * n)
        return AbxCells(Cells(speaker, speaker, pair, np.ones(len(code))), keep, inverse, np.bincount(inverse))


@dataclass(frozen=True)
class AbxCells:
    """Cells of ABX errors; one set serves all distances over the same triples.

    Attributes
    ----------
    cells : Cells
    """

    cells: Cells
    _keep: np.ndarray
    _inverse: np.ndarray
    _count: np.ndarray

    def errors(self, found: Abx) -> np.ndarray:
        """Mean error of each cell, over its one or two orders of types."""
        return np.bincount(self._inverse, found.error[self._keep], len(self._count)) / self._count


class AbxDesign:
    """Which triples there are: prepared once per set of tokens, then asked about any number of distance matrices.

    Parameters
    ----------
    types, speakers, utterances : ndarray of int, shape (N,)
    condition : str
        ``any``: no condition on speakers; ``within_speaker``: a, b and x of one speaker (BY speaker); ``across_speaker``: a and b
        of one speaker, x of another (ACROSS speaker). x is in another utterance than a and b always.

    Notes
    -----
    Error of types A, B: the share of triples (a, b, x), a and x in A, b in B, with ``d(b, x) < d(a, x)``, ties half. Distances
    from each x are sorted once; running counts of A's tokens then give every b its share, N log N per x instead of
    ``n_A n_B`` comparisons for every other type.

    References
    ----------
    Schatz, T. (2016). ABX-discriminability measures and applications. PhD thesis, Universite Paris 6.
    """

    def __init__(self, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, condition: str = "any") -> None:
        if condition not in ("any", "within_speaker", "across_speaker"):
            raise SeparationError(f"ABX has no condition {condition!r}. Valid: any, within_speaker, across_speaker.")
        self.condition = condition
        kinds, self.types = np.unique(np.asarray(types), return_inverse=True)
        voices, self.speakers = np.unique(np.asarray(speakers), return_inverse=True)
        _, self.utterances = np.unique(np.asarray(utterances), return_inverse=True)
        self.n_types = len(kinds)
        # a and b come from one of these sets of tokens, each sorted by type
        by_type = np.argsort(self.types, kind="stable")
        if condition == "any":
            self.groups = [by_type]
        else:
            self.groups = [by_type[self.speakers[by_type] == voice] for voice in range(len(voices))]
        self._starts = [np.flatnonzero(np.diff(self.types[group], prepend=-1)) for group in self.groups]
        self._of_x = self.speakers * self.n_types + self.types
        totals = np.zeros((len(voices) * self.n_types, self.n_types))
        for number, group in enumerate(self.groups):
            rows = self._askers(number, np.arange(len(self.types)))
            n_utterances = int(self.utterances.max(initial=0)) + 1
            here = np.zeros((n_utterances, self.n_types))
            np.add.at(here, (self.utterances[group], self.types[group]), 1)
            elsewhere = here.sum(0)[None, :] - here[self.utterances[rows]]
            own = elsewhere[np.arange(len(rows)), self.types[rows]]
            codes, sums = _sums_by_code(self._of_x[rows], own[:, None] * elsewhere)
            totals[codes] += sums
        totals.reshape(len(voices), self.n_types, self.n_types)[:, np.arange(self.n_types), np.arange(self.n_types)] = 0
        self._x, self._b = np.nonzero(totals)
        self._triples = totals[self._x, self._b]
        self._names = kinds[self._x % self.n_types], kinds[self._b], voices[self._x // self.n_types]

    def _askers(self, number: int, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that may be x to the a and b of a group."""
        if self.condition == "any":
            return rows
        mine = self.speakers[rows] == number
        return rows[mine if self.condition == "within_speaker" else ~mine]

    def counter(self) -> AbxCounter:
        """Counts of one distance matrix, which may come in blocks of rows."""
        return AbxCounter(self)

    def result(self, won: np.ndarray) -> Abx:
        """The errors, from the triples won by (speaker and type of x, type of b)."""
        return Abx(*self._names, 1 - won[self._x, self._b] / self._triples, self._triples)


class AbxCounter:
    """Triples won so far; see :meth:`AbxDesign.counter`."""

    def __init__(self, design: AbxDesign) -> None:
        self.design = design
        self.won = np.zeros((int(design._of_x.max(initial=0)) + 1, design.n_types))

    def see(self, rows: np.ndarray, distances: np.ndarray) -> None:
        """Take in the distances from the tokens ``rows`` (x) to all tokens (a and b), shape (len(rows), N).

        Only the order within each row counts, so any increasing function of distance will do, another for each x.
        """
        design = self.design
        for number, group in enumerate(design.groups):
            asking = design._askers(number, rows)
            if not len(asking) or not len(group):
                continue
            whole = len(asking) == len(rows)
            part = distances if whole else distances[np.isin(rows, asking)]
            step = max(1, _BLOCK // len(group))
            for first in range(0, len(asking), step):
                chosen = asking[first : first + step]
                won = _wins(part[first : first + step][:, group], chosen, group, design._starts[number], design)
                present = design.types[group[design._starts[number]]]
                codes, sums = _sums_by_code(design._of_x[chosen], won)
                self.won[np.ix_(codes, present)] += sums

    def result(self) -> Abx:
        """The errors of all that was seen."""
        return self.design.result(self.won)


def _sums_by_code(codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The codes there are, ascending, and the sum of the rows of each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    return ordered[starts], np.add.reduceat(values[order], starts, axis=0)


def _wins(distances: np.ndarray, rows: np.ndarray, group: np.ndarray, starts: np.ndarray, design: AbxDesign) -> np.ndarray:
    """Triples won by each x, by the type of b: shape (rows, types present)."""
    n_rows, width = distances.shape
    allowed = design.utterances[rows][:, None] != design.utterances[group][None, :]
    own = allowed & (design.types[rows][:, None] == design.types[group][None, :])
    place = np.argsort(distances, axis=1)
    place += np.arange(n_rows)[:, None] * width
    ordered = distances.take(place)
    # twice the number of a's that are nearer, so that a tie's half is a whole number
    nearer = np.cumsum(own.take(place), axis=1, dtype=np.int32)
    tied = ordered[:, 1:] == ordered[:, :-1]
    lines = np.flatnonzero(tied.any(axis=1))
    if len(lines):
        ties = _with_ties(nearer[lines], tied[lines])
    nearer *= 2
    if len(lines):
        nearer[lines] = ties
    wins = np.empty_like(nearer)
    wins.reshape(-1)[place.reshape(-1)] = nearer.reshape(-1)
    wins *= allowed
    return np.add.reduceat(wins, starts, axis=1, dtype=np.int64) / 2


def _with_ties(nearer: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """Twice the a's that are nearer: in a run of equal distances those before it count in full, those inside it by half."""
    width = nearer.shape[1]
    position = np.arange(width)
    start = np.maximum.accumulate(np.where(np.pad(tied, ((0, 0), (1, 0))), 0, position), axis=1)
    end = np.minimum.accumulate(np.where(np.pad(tied, ((0, 0), (0, 1))), width - 1, position)[:, ::-1], axis=1)[:, ::-1]
    before = np.where(start > 0, np.take_along_axis(nearer, np.maximum(start - 1, 0), axis=1), 0)
    return before + np.take_along_axis(nearer, end, axis=1)


def abx(
    vectors: np.ndarray,
    types: np.ndarray,
    speakers: np.ndarray,
    utterances: np.ndarray,
    *,
    condition: str = "any",
    distance: str = "cosine",
    device: str = "cpu",
) -> Abx:
    """ABX errors ON type, with a, b and x subject to a speaker condition and x in another utterance than a and b.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    types, speakers, utterances : ndarray of int, shape (N,)
    condition : str
        As :class:`AbxDesign` takes it.
    distance : str
        ``l2``, ``cosine`` (``mse`` and ``l2_unit``, ``angular`` order tokens as these two do).
    device : str
    """
    types, speakers, utterances = np.asarray(types), np.asarray(speakers), np.asarray(utterances)
    if condition == "within_speaker":
        # no token is compared with another speaker's, so the distances between speakers are not taken at all
        groups = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    else:
        groups = [np.arange(len(types))]

    def of_group(group: np.ndarray) -> Abx:
        dots = TokenDots(np.asarray(vectors)[group], utterances[group], device, keep=False)
        counter = AbxDesign(types[group], speakers[group], utterances[group], condition).counter()
        squares = dots.squares()
        for rows, block in dots.blocks():
            counter.see(rows, ordering(block, squares, distance))
        return counter.result()

    with workers(device) as threads:
        parts = threads.map(of_group, groups)
    return Abx(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Abx)))


def ordering(dots: np.ndarray, squares: np.ndarray, distance: str) -> np.ndarray:
    """What orders tokens by their distance from each row's token: shape of ``dots``, (rows, N)."""
    if distance in ("l2", "mse"):
        return squares[None, :] - 2 * dots
    if distance in ("cosine", "l2_unit", "angular"):
        return dots * (-1 / np.sqrt(np.maximum(squares, 1e-60)))[None, :]
    raise SeparationError(f"ABX has no distance {distance!r}. Valid: l2, mse, cosine, l2_unit, angular.")


def abx_of_matrix(
    distances: np.ndarray, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, *, condition: str = "any"
) -> Abx:
    """The same errors from given distances, shape (N, N), such as those of :func:`dtw_distances`; rows are x."""
    counter = AbxDesign(types, speakers, utterances, condition).counter()
    counter.see(np.arange(len(distances)), np.asarray(distances))
    return counter.result()


def dtw_distances(sequences: Sequence[np.ndarray], *, distance: str = "angular") -> np.ndarray:
    """Dynamic time warping distance of every two frame sequences, shape (N, N), symmetric.

    Parameters
    ----------
    sequences : sequence of ndarray, shape (frames, D)
    distance : str
        Between frames: ``angular`` (arccos over pi), ``cosine`` or ``l2``.

    Notes
    -----
    ``C(i, j) = d(i, j) + min(C(i-1, j), C(i, j-1), C(i-1, j-1))``, divided by the number of cells on the optimal path, so that
    long syllables are not farther apart for being long; of equally good steps the diagonal comes first.
    """
    if distance not in ("angular", "cosine", "l2"):
        raise SeparationError(f"DTW has no frame distance {distance!r}. Valid: angular, cosine, l2.")
    n = len(sequences)
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if n and lengths.min() < 1:
        raise SeparationError(f"Sequence {int(lengths.argmin())} has no frame, so it has no distance. Leave such tokens out.")
    dims = np.asarray(sequences[0]).shape[1] if n else 0
    # Behind a sequence's end lie zeros: no path to its end leads through them.
    frames = np.zeros((n, int(lengths.max(initial=0)), dims))
    for row, sequence in enumerate(sequences):
        frames[row, : len(sequence)] = sequence
    if distance != "l2":
        frames /= np.maximum(1e-150, np.linalg.norm(frames, axis=2, keepdims=True))
    result = np.zeros((n, n))
    for row in range(n - 1):
        cost = _frame_distances(frames[row, : lengths[row]], frames[row + 1 :], distance)
        result[row, row + 1 :] = result[row + 1 :, row] = _warped(cost, lengths[row + 1 :])
    return result


def _frame_distances(a: np.ndarray, b: np.ndarray, distance: str) -> np.ndarray:
    """Distances of frames ``a``, shape (n, D), from those of many sequences ``b``, shape (J, m, D): (n, m, J)."""
    product = np.moveaxis(b @ a.T, 0, 2).swapaxes(0, 1)
    if distance == "l2":
        squares = (a**2).sum(1)[:, None, None] + (b**2).sum(2).T[None]
        return np.sqrt(np.maximum(0, squares - 2 * product))
    cosine = np.clip(product, -1, 1)
    return 1 - cosine if distance == "cosine" else np.arccos(cosine) / np.pi


def _warped(cost: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean cost along the cheapest path of each of J pairs, from corner to corner.

    Parameters
    ----------
    cost : ndarray, shape (n, m, J)
    lengths : ndarray of int, shape (J,)
        Columns that belong to each pair.
    """
    rows, columns, _ = cost.shape
    total, steps = np.empty_like(cost), np.ones(cost.shape, dtype=np.int64)
    for i in range(rows):
        for j in range(columns):
            before = [place for place in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if min(place) >= 0]
            if not before:
                total[i, j] = cost[i, j]
                continue
            best, length = total[before[0]], steps[before[0]]
            for place in before[1:]:
                nearer = total[place] < best
                best, length = np.where(nearer, total[place], best), np.where(nearer, steps[place], length)
            total[i, j], steps[i, j] = cost[i, j] + best, length + 1
    which = np.arange(len(lengths))
    return total[-1, lengths - 1, which] / steps[-1, lengths - 1, which]
