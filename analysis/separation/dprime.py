"""d' between near-homophones and the same type, from sums over cells alone, and each cell's part in its error."""

from __future__ import annotations

import numpy as np

from analysis.separation.intervals import Cells, CrossedDesign
from analysis.separation.relations import TokenPairs, split_mask

__all__ = ["DPrime"]


class DPrime:
    """d' over the token pairs of different texts.

    Parameters
    ----------
    pairs : TokenPairs

    Attributes
    ----------
    counts : dict of str to int
        ``n_tokens``, ``n_token_pairs``, ``n_type_pairs``, ``n_speakers``, ``n_utterances``.
    design : CrossedDesign or None
        Of the cells of both relations, in which the parts of :meth:`of` average to the value; None where a relation has no pair.

    Notes
    -----
    ``d' = (m_b - m_w) / s``, ``s^2 = (v_b + v_w) / 2`` (:func:`analysis.separation.clusters.d_prime`), with the means and
    variances of the distances of near-homophones and of the same type. A token pair at distance ``y`` adds ``(y - m_b) / s -
    d' ((y - m_b)^2 - v_b) / (4 s^2)`` to its error, one of the same type ``-(y - m_w) / s - d' ((y - m_w)^2 - v_w) / (4 s^2)`` (delta
    method); a cell adds the mean of its pairs. All of it comes from the sums of y and of y^2 over cells.

    References
    ----------
    Green, D. M. and Swets, J. A. (1966). Signal detection theory and psychophysics.
    """

    def __init__(self, pairs: TokenPairs) -> None:
        relation = pairs.type_pairs["relation"].to_numpy()[pairs.cell_type_pair]
        elsewhere = split_mask(pairs.cell_atom, "different_text")
        self._chosen = [np.flatnonzero((relation == name) & elsewhere) for name in ("near_homophone", "same_type")]
        self._count = [pairs.cell_count[chosen].astype(np.float64) for chosen in self._chosen]
        self._n = [float(count.sum()) for count in self._count]
        self.counts = {
            "n_tokens": len(pairs.rows),
            "n_token_pairs": int(sum(self._n)),
            "n_type_pairs": len(np.unique(pairs.cell_type_pair[self._chosen[0]])),
            "n_speakers": len(pairs.speakers),
            "n_utterances": len(pairs.utterances),
        }
        self.design = None
        if min(self._n) >= 2:
            cells: Cells = pairs.cells(np.concatenate(self._chosen))
            weights = np.concatenate([count / (2 * n) for count, n in zip(self._count, self._n, strict=True)])
            self.design = CrossedDesign(cells, weights)

    def of(self, sums: np.ndarray, squares: np.ndarray) -> tuple[float, np.ndarray]:
        """d', and its value in each cell: their mean under :attr:`design` is d'.

        Parameters
        ----------
        sums, squares : ndarray, shape (all cells of the pairs,)
            Sums over the token pairs of each cell, of distances and of their squares.

        Returns
        -------
        float
            NaN where a relation has fewer than two token pairs or nothing varies.
        ndarray, shape (cells of both relations,)
        """
        if self.design is None:
            return float("nan"), np.zeros(0)
        parts = []
        for chosen, count, n in zip(self._chosen, self._count, self._n, strict=True):
            mean = sums[chosen].sum() / n
            # about the mean, cell by cell, so that no digits are lost where distances hardly vary
            first = sums[chosen] - count * mean
            second = squares[chosen] - 2 * mean * sums[chosen] + count * mean**2
            var = max(0.0, float(second.sum())) / (n - 1)
            parts.append((mean, first / count, second / count - var * (n - 1) / n, var))
        (mean_b, first_b, second_b, var_b), (mean_w, first_w, second_w, var_w) = parts
        spread = (var_b + var_w) / 2
        if spread <= 1e-14 * max(mean_b, mean_w) ** 2:
            return float("nan"), np.zeros(len(first_b) + len(first_w))
        value = (mean_b - mean_w) / np.sqrt(spread)
        bend = value / (4 * spread)
        linear = [first_b / np.sqrt(spread) - bend * second_b, -first_w / np.sqrt(spread) - bend * second_w]
        # each relation has half of the design's weight
        return float(value), value + 2 * np.concatenate(linear)
