"""Places of many numbers among few, line by line: what ABX is made of."""

from __future__ import annotations

import numpy as np

__all__ = ["places"]

#: Up to so many bounds, comparing with each is quicker than looking up.
_FEW = 8
#: Most cells of a lookup table per bound: more make fewer values share a cell with a bound, but a table takes longer to fill.
_CELLS = 32


def places(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Twice the number of bounds below each value, those equal to it counting once.

    Parameters
    ----------
    values : ndarray of float, shape (n, width)
        Finite.
    bounds : ndarray of float, shape (n, K)
        Ascending in each line; a line of fewer than K ends in infinities.

    Returns
    -------
    ndarray of int, shape (n, width)

    Notes
    -----
    ``#{k: bounds[i, k] < values[i, j]} + #{k: bounds[i, k] <= values[i, j]}``, exactly. Values are sorted into equal cells between a
    line's first and last bound. The cell is a non-decreasing function of the value in floating point too, so a value in a cell
    without a bound is above just those bounds of lower cells: one look into a table. The few that share a cell with bounds are
    searched among these.
    """
    if bounds.shape[1] <= _FEW:
        return _by_comparison(values, bounds)
    n, width = values.shape
    last = np.isfinite(bounds).sum(axis=1)
    line = np.arange(n)
    low = np.where(last > 0, bounds[:, 0], 0.0)
    spread = bounds[line, np.maximum(last, 1) - 1] - low
    n_cells = int(np.clip(width, 4 * bounds.shape[1], _CELLS * bounds.shape[1]))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        # A line of equal bounds: whatever is not them lies far off.
        scale = np.where(last > 0, np.minimum((n_cells - 3) / spread, 1e300), 0.0)[:, None]
        cells = _cells(values, low[:, None], scale, n_cells)
        used = np.arange(bounds.shape[1]) < last[:, None]
        own = _cells(np.where(used, bounds, low[:, None]), low[:, None], scale, n_cells)
    held = np.bincount(own[used], minlength=n * n_cells).astype(np.int32)
    below = held.reshape(n, n_cells).cumsum(axis=1, dtype=np.int32).reshape(-1) - held
    table = 2 * below
    table[held > 0] = -1
    result = table.take(cells, mode="clip")
    shared = np.flatnonzero(result.reshape(-1) < 0)
    cell = cells.take(shared)
    result.reshape(-1)[shared] = _by_search(
        values.take(shared), bounds, shared // width * bounds.shape[1], below.take(cell), held.take(cell)
    )
    return result


def _by_comparison(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    result = np.zeros(values.shape, dtype=np.uint8)
    above = np.empty(values.shape, dtype=bool)
    for k in range(bounds.shape[1]):
        for compare in (np.greater, np.greater_equal):
            compare(values, bounds[:, k : k + 1], out=above)
            result += above.view(np.uint8)
    return result


def _cells(values: np.ndarray, low: np.ndarray, scale: np.ndarray, n_cells: int) -> np.ndarray:
    """Cell of each value in the table of all lines: 0 below ``low``, 1 from ``low`` on, the last above all bounds."""
    place = values - low
    place *= scale
    place += 1
    np.clip(place, 0, n_cells - 1, out=place)
    place += np.arange(0, len(values) * n_cells, n_cells)[:, None]
    return place.astype(np.int64)


def _by_search(values: np.ndarray, bounds: np.ndarray, line: np.ndarray, below: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Places of single values, each among the ``held`` bounds after the first ``below`` of the line that begins at ``line``."""
    flat = bounds.reshape(-1)

    def search(values: np.ndarray, first: np.ndarray, n: np.ndarray, side: np.ufunc) -> np.ndarray:
        """First place, from ``first`` on, at which the bound is not on the given side of the value."""
        first, end = first.copy(), first + n
        for _ in range(int(n.max(initial=0)).bit_length()):
            middle = (first + end) // 2
            go = (first < end) & side(flat.take(middle, mode="clip"), values)
            first = np.where(go, middle + 1, first)
            end = np.where(go, end, middle)
        return first

    start = line + below
    less = search(values, start, held, np.less)
    result = 2 * (less - line)
    equal = np.flatnonzero((less < start + held) & (flat.take(less, mode="clip") == values))
    if len(equal):
        rest = (start + held - less)[equal]
        result[equal] += search(values[equal], less[equal], rest, np.less_equal) - less[equal]
    return result
