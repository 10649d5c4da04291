"""ABX: is x nearer to a token of its own type than to one of another?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.intervals import Cells

__all__ = ["Abx", "abx", "abx_of_matrix", "dtw_distances"]

_BLOCK = 2**22


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

    def chosen(self, pairs: set[tuple[int, int]]) -> Abx:
        """Only the cells of the given unordered type pairs."""
        n = 1 + int(max(self.type_a.max(initial=0), self.type_b.max(initial=0)))
        wanted = np.array([min(pair) * n + max(pair) for pair in pairs], dtype=np.int64)
        keep = np.isin(np.minimum(self.type_a, self.type_b) * n + np.maximum(self.type_a, self.type_b), wanted)
        return Abx(self.type_a[keep], self.type_b[keep], self.speaker[keep], self.error[keep], self.triples[keep])

    def cells(self) -> tuple[Cells, np.ndarray]:
        """Cells of speaker and unordered type pair with their mean errors, for an interval over both."""
        low, high = np.minimum(self.type_a, self.type_b), np.maximum(self.type_a, self.type_b)
        n = 1 + int(high.max(initial=0))
        code, inverse = np.unique((self.speaker * n + low) * n + high, return_inverse=True)
        count = np.bincount(inverse)
        error = np.bincount(inverse, self.error) / count
        speaker, pair = code // (n * n), code % (n * n)
        return Cells(speaker, speaker, pair, np.ones(len(code))), error


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
        ``any``: no condition on speakers; ``within_speaker``: a, b and x of one speaker (BY speaker); ``across_speaker``: a and b
        of one speaker, x of another (ACROSS speaker).
    distance : str
        ``l2``, ``cosine`` (``mse`` and ``l2_unit``, ``angular`` order tokens as these two do).
    device : str

    Notes
    -----
    Error of types A, B: the share of triples (a, b, x), a and x in A, b in B, with ``d(b, x) < d(a, x)``, ties half. Distances
    from each x are sorted once; running counts of A's tokens then give every b its share, N log N per x instead of
    ``n_A n_B`` comparisons for every other type.

    References
    ----------
    Schatz, T. (2016). ABX-discriminability measures and applications. PhD thesis, Universite Paris 6.
    """
    import torch

    x = torch.as_tensor(np.asarray(vectors, dtype=np.float64), device=device)
    if distance in ("cosine", "l2_unit", "angular"):
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-30)
    elif distance not in ("l2", "mse"):
        raise SeparationError(f"ABX has no distance {distance!r}. Valid: l2, mse, cosine, l2_unit, angular.")
    # float64 and not centred: equal distances must stay equal to count half
    squares = (x**2).sum(1)

    def between(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        i, j = torch.as_tensor(rows, device=device), torch.as_tensor(columns, device=device)
        product = x[i] @ x[j].T
        if distance in ("l2", "mse"):
            return (squares[j][None, :] - 2 * product).cpu().numpy()
        return (-product).cpu().numpy()

    return _collect(between, types, speakers, utterances, condition)


def abx_of_matrix(
    distances: np.ndarray, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, *, condition: str = "any"
) -> Abx:
    """The same errors from given distances, shape (N, N), such as those of :func:`dtw_distances`; rows are x."""
    distances = np.asarray(distances)
    return _collect(lambda rows, columns: distances[np.ix_(rows, columns)], types, speakers, utterances, condition)


def _blocks(speakers: np.ndarray, condition: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(speaker code of x, rows of x, rows of a and b) of every block that the condition allows."""
    everyone = np.arange(len(speakers))
    if condition == "any":
        for speaker in np.unique(speakers):
            yield int(speaker), np.flatnonzero(speakers == speaker), everyone
        return
    by_speaker = {int(speaker): np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)}
    for speaker, rows in by_speaker.items():
        if condition == "within_speaker":
            yield speaker, rows, rows
        elif condition == "across_speaker":
            for other, columns in by_speaker.items():
                if other != speaker:
                    yield speaker, rows, columns
        else:
            raise SeparationError(f"ABX has no condition {condition!r}. Valid: any, within_speaker, across_speaker.")


def _collect(between, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, condition: str) -> Abx:
    kinds, types = np.unique(np.asarray(types), return_inverse=True)
    speakers, utterances = np.asarray(speakers), np.asarray(utterances)
    n = len(kinds)
    sums: dict[int, np.ndarray] = {}
    totals: dict[int, np.ndarray] = {}
    for speaker, rows, columns in _blocks(speakers, condition):
        columns = columns[np.argsort(types[columns], kind="stable")]
        present, starts = np.unique(types[columns], return_index=True)
        wins = sums.setdefault(speaker, np.zeros((n, n)))
        triples = totals.setdefault(speaker, np.zeros((n, n)))
        step = max(1, _BLOCK // max(1, len(columns)))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            won, of = _count(between(part, columns), types[part], types[columns], utterances[part], utterances[columns], starts)
            np.add.at(wins, (types[part][:, None], present[None, :]), won)
            np.add.at(triples, (types[part][:, None], present[None, :]), of)
    kept = []
    for speaker, of in totals.items():
        np.fill_diagonal(of, 0)
        a, b = np.nonzero(of)
        kept.append((kinds[a], kinds[b], np.full(len(a), speaker), 1 - sums[speaker][a, b] / of[a, b], of[a, b]))
    if not kept:
        empty = np.empty(0)
        return Abx(empty.astype(int), empty.astype(int), empty.astype(int), empty, empty)
    return Abx(*(np.concatenate(column) for column in zip(*kept, strict=True)))


def _count(
    distances: np.ndarray,
    type_x: np.ndarray,
    types: np.ndarray,
    utterance_x: np.ndarray,
    utterances: np.ndarray,
    starts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Triples won and triples there are, for each x and each type of b: both of shape (rows, types present)."""
    allowed = utterance_x[:, None] != utterances[None, :]
    own = allowed & (type_x[:, None] == types[None, :])
    order = np.argsort(distances, axis=1)
    ordered = np.take_along_axis(distances, order, axis=1)
    nearer = np.cumsum(np.take_along_axis(own, order, axis=1), axis=1, dtype=np.float64)
    tied = ordered[:, 1:] == ordered[:, :-1]
    if tied.any():
        # In a run of equal distances every b sees the a's before the run in full and those inside it at half.
        width = ordered.shape[1]
        position = np.arange(width)
        start = np.maximum.accumulate(np.where(np.pad(tied, ((0, 0), (1, 0))), 0, position), axis=1)
        end = np.minimum.accumulate(np.where(np.pad(tied, ((0, 0), (0, 1))), width - 1, position)[:, ::-1], axis=1)[:, ::-1]
        before = np.where(start > 0, np.take_along_axis(nearer, np.maximum(start - 1, 0), axis=1), 0.0)
        nearer = (before + np.take_along_axis(nearer, end, axis=1)) / 2
    wins = np.empty_like(nearer)
    np.put_along_axis(wins, order, nearer, axis=1)
    wins *= allowed
    won = np.add.reduceat(wins, starts, axis=1)
    of = own.sum(1)[:, None] * np.add.reduceat(allowed.astype(np.float64), starts, axis=1)
    return won, of


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
    n = len(sequences)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            result[i, j] = result[j, i] = _dtw(_frame_distances(sequences[i], sequences[j], distance))
    return result


def _frame_distances(a: np.ndarray, b: np.ndarray, distance: str) -> np.ndarray:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if distance == "l2":
        return np.sqrt(np.maximum(0, (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T))
    size = np.maximum(1e-150, np.linalg.norm(a, axis=1))[:, None] * np.maximum(1e-150, np.linalg.norm(b, axis=1))[None, :]
    cosine = np.clip(a @ b.T / size, -1, 1)
    if distance == "cosine":
        return 1 - cosine
    if distance == "angular":
        return np.arccos(cosine) / np.pi
    raise SeparationError(f"DTW has no frame distance {distance!r}. Valid: angular, cosine, l2.")


def _dtw(cost: np.ndarray) -> float:
    """Mean cost along the cheapest path through ``cost``, shape (n, m), from corner to corner."""
    rows, columns = cost.shape
    total = [[0.0] * columns for _ in range(rows)]
    length = [[1] * columns for _ in range(rows)]
    values = cost.tolist()
    for i in range(rows):
        for j in range(columns):
            steps = []
            if i and j:
                steps.append((total[i - 1][j - 1], 0, length[i - 1][j - 1]))
            if i:
                steps.append((total[i - 1][j], 1, length[i - 1][j]))
            if j:
                steps.append((total[i][j - 1], 2, length[i][j - 1]))
            best, _, steps_so_far = min(steps) if steps else (0.0, 0, 0)
            total[i][j], length[i][j] = values[i][j] + best, steps_so_far + 1
    return total[-1][-1] / length[-1][-1]
