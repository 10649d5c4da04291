"""Distances of frame sequences under dynamic time warping, of all pairs of two lengths at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from analysis.errors import SeparationError

__all__ = ["FRAME_DISTANCES", "dtw_distances"]

#: Distances between two frames.
FRAME_DISTANCES = ("angular", "cosine", "l2")

#: Frame distances looked at at once: few enough for a core's cache.
_BLOCK = 2**17


def dtw_distances(sequences: Iterable[np.ndarray], *, distance: str = "angular") -> np.ndarray:
    """Dynamic time warping distance of every two frame sequences, shape (N, N), symmetric.

    Parameters
    ----------
    sequences : iterable of ndarray, shape (frames, D)
    distance : str
        Between frames: ``angular`` (arccos over pi), ``cosine`` or ``l2``.

    Raises
    ------
    SeparationError
        If a sequence has no frame, or a frame is not finite.

    Notes
    -----
    ``C(i, j) = d(i, j) + min(C(i-1, j), C(i, j-1), C(i-1, j-1))``, divided by the number of cells on the optimal path, so that
    long syllables are not farther apart for being long; of equally good steps the diagonal comes first. Frames are held once, in
    float64.

    References
    ----------
    Sakoe, H. and Chiba, S. (1978). Dynamic programming algorithm optimization for spoken word recognition. IEEE TASSP 26.
    """
    if distance not in FRAME_DISTANCES:
        raise SeparationError(f"DTW has no frame distance {distance!r}. Valid: {', '.join(FRAME_DISTANCES)}.")
    by_length: dict[int, list[tuple[int, np.ndarray]]] = {}
    total = 0
    for row, sequence in enumerate(sequences):
        if not len(sequence):
            raise SeparationError(f"Sequence {row} has no frame, so it has no distance. Leave such tokens out.")
        by_length.setdefault(len(sequence), []).append((row, np.asarray(sequence, dtype=np.float64)))
        total += 1
    groups, frames = [], []
    for length in sorted(by_length):
        rows, members = zip(*by_length.pop(length), strict=True)
        groups.append(np.array(rows))
        frames.append(_stacked(members, groups[-1], distance))
    result = np.zeros((total, total))
    for place, (rows, short) in enumerate(zip(groups, frames, strict=True)):
        for columns, long in zip(groups[place:], frames[place:], strict=True):
            for first, second, values in _of_lengths(short, long, distance, same=rows is columns):
                result[rows[first], columns[second]] = result[columns[second], rows[first]] = values
    return result


def _stacked(sequences: Sequence[np.ndarray], rows: np.ndarray, distance: str) -> np.ndarray:
    """Sequences of one length as an array of shape (sequences, frames, D); frames of unit norm where only angles count."""
    frames = np.stack(sequences)
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
        raise SeparationError(
            f"Sequence {int(rows[finite.argmin()])} holds frames that are NaN or infinite. Likely the encoder overflowed in half "
            "precision. Leave such tokens out or extract again with dtype float32."
        )
    if distance != "l2":
        frames /= np.maximum(1e-150, np.linalg.norm(frames, axis=2, keepdims=True))
    return frames


def _of_lengths(
    short: np.ndarray, long: np.ndarray, distance: str, *, same: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(positions in ``short``, positions in ``long``, distances) of all pairs, block by block.

    Parameters
    ----------
    short, long : ndarray, shapes (a, n, D) and (b, m, D)
    same : bool
        Both are the same sequences: each pair is taken once.
    """
    n, m, dims = short.shape[1], long.shape[1], short.shape[2]
    width = max(1, _BLOCK // (n * m))
    height = max(1, width // len(long))
    for top in range(0, len(short), height):
        above = short[top : top + height]
        for left in range(top if same else 0, len(long), width):
            beside = long[left : left + width]
            first, second = (part.ravel() for part in np.indices((len(above), len(beside))))
            product = above.reshape(-1, dims) @ beside.reshape(-1, dims).T
            # pairs last, so that every step of the warping is one operation on all of them
            cost = product.reshape(len(above), n, len(beside), m).transpose(1, 3, 0, 2).reshape(n, m, -1)
            if distance == "l2":
                cost *= -2
                cost += (above**2).sum(2).T[:, None, first]
                cost += (beside**2).sum(2).T[None, :, second]
                np.sqrt(np.maximum(cost, 0, out=cost), out=cost)
            else:
                np.clip(cost, -1, 1, out=cost)
                if distance == "cosine":
                    np.subtract(1, cost, out=cost)
                else:
                    np.arccos(cost, out=cost)
                    cost /= np.pi
            first, second = first + top, second + left
            if same:
                once = first < second
                first, second, cost = first[once], second[once], cost[:, :, once]
            if len(first):
                yield first, second, _warped(cost)


def _warped(cost: np.ndarray) -> np.ndarray:
    """Mean cost along the cheapest path from corner to corner, of each pair: shape (n, m, pairs) to (pairs,).

    Cells are filled along anti-diagonals, where none needs another. Of each anti-diagonal row i of the tables holds the cell in
    row i of the cost, one place further down: above the first row and beside the first column lie infinite costs.
    """
    n, m, pairs = cost.shape
    flat = cost.reshape(n * m, pairs)
    before = np.full((n + 1, pairs), np.inf), np.zeros((n + 1, pairs), dtype=np.int32)
    last = np.full((n + 1, pairs), np.inf), np.zeros((n + 1, pairs), dtype=np.int32)
    last[0][1], last[1][1] = flat[0], 1
    for diagonal in range(1, n + m - 1):
        low, high = max(0, diagonal - m + 1), min(n - 1, diagonal)
        here, above = slice(low + 1, high + 2), slice(low, high + 1)
        best, steps = before[0][above].copy(), before[1][above].copy()
        for total, length in ((last[0][above], last[1][above]), (last[0][here], last[1][here])):
            nearer = total < best
            np.copyto(best, total, where=nearer)
            np.copyto(steps, length, where=nearer)
        # (i, diagonal - i) for i from low to high; with one column there is one cell only
        best += flat[low * (m - 1) + diagonal : high * (m - 1) + diagonal + 1 : max(1, m - 1)]
        steps += 1
        before, last = last, before
        last[0][:], last[1][here] = np.inf, steps
        last[0][here] = best
    return last[0][n] / last[1][n]
