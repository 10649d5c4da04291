"""Averages that a corpus allows: which cells of token pairs each takes in, and with which weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.separation.intervals import Cells, CrossedDesign
from analysis.separation.relations import CLASS_RELATIONS, TokenPairs, split_mask
from analysis.separation.settings import SeparationSettings

__all__ = ["Selection", "restricted", "selections"]


@dataclass(frozen=True)
class Selection:
    """One average over token pairs.

    Attributes
    ----------
    relation, split, average : str
        As they stand in the separation table.
    positions : ndarray of int, shape (C,)
        The cells taken in, among all cells of the token pairs.
    cells : Cells
    weights : ndarray, shape (C,)
        Weight of each cell's mean; they sum to one.
    design : CrossedDesign
        Ready to make intervals of these cells under these weights.
    counts : dict of str to int
        ``n_tokens``, ``n_token_pairs``, ``n_type_pairs``, ``n_speakers``, ``n_utterances``.
    importance : ndarray, optional
        Weight of each type pair, by code, where type pairs do not all count the same.
    """

    relation: str
    split: str
    average: str
    positions: np.ndarray
    cells: Cells
    weights: np.ndarray
    design: CrossedDesign
    counts: dict[str, int]
    importance: np.ndarray | None = None
    _first_cells: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Cells are sorted by type pair, so every type pair is one run of them.
        codes = self.cells.type_pair
        object.__setattr__(self, "_first_cells", np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1)))

    def means(self, sums: np.ndarray) -> np.ndarray:
        """Mean of the token pairs of each cell, shape (..., C), from sums over all cells of the corpus, shape (..., all)."""
        return sums[..., self.positions] / self.cells.count

    def effect_sizes(self, values: np.ndarray) -> np.ndarray:
        """Average over the standard deviation of the type pairs' means, of each row of cell means; NaN where none varies.

        Notes
        -----
        A paired Cohen's d (d_z) with type pairs as the units: ``mean / sd``.

        References
        ----------
        Cohen, J. (1988). Statistical power analysis for the behavioral sciences, 2nd edition, section 2.3.5.
        """
        count = self.cells.count
        means = np.add.reduceat(values * count, self._first_cells, axis=1) / np.add.reduceat(count, self._first_cells)
        if means.shape[1] < 2:
            return np.full(len(values), np.nan)
        spread = means.std(axis=1, ddof=1)
        known = spread > 1e-12 * np.maximum(1e-300, np.abs(means).max(axis=1))
        return np.where(known, values @ self.weights / np.where(known, spread, 1.0), np.nan)


def selections(pairs: TokenPairs, settings: SeparationSettings) -> Iterator[Selection]:
    """Every relation, split and average that has token pairs.

    Notes
    -----
    ``macro``: mean over the token pairs of a type pair, then over type pairs; ``micro``: mean over all token pairs.
    ``near_homophone:viseme_weighted`` weights each type pair by its viseme distance: "lip-relevant separation", in which pairs
    that look alike on the lips (``plays``/``blaze``) count nothing.
    """
    for relation, chosen, importance in _groups(pairs, settings):
        for split in settings.splits:
            positions = np.flatnonzero(chosen & split_mask(pairs.cell_atom, split))
            if not len(positions):
                continue
            counts = _counts(pairs, positions)
            plain = importance is None and ":" not in relation and relation not in CLASS_RELATIONS
            macro = _selection(pairs, relation, split, "macro", positions, counts, importance)
            yield macro
            if plain:
                weights = macro.cells.weights("micro")
                yield replace(macro, average="micro", weights=weights, design=CrossedDesign(macro.cells, weights, macro.design))


def restricted(selection: Selection, pairs: TokenPairs, speakers: np.ndarray) -> Selection | None:
    """The same average over cells whose speakers are all among those given (codes); None if there is no such cell."""
    mine = np.isin(selection.cells.speaker_a, speakers) & np.isin(selection.cells.speaker_b, speakers)
    positions = selection.positions[mine]
    if not len(positions):
        return None
    names = selection.relation, selection.split, selection.average
    return _selection(pairs, *names, positions, _counts(pairs, positions), selection.importance)


def _selection(
    pairs: TokenPairs,
    relation: str,
    split: str,
    average: str,
    positions: np.ndarray,
    counts: dict[str, int],
    importance: np.ndarray | None,
) -> Selection:
    cells = pairs.cells(positions)
    weights = cells.weights(average, importance)
    return Selection(relation, split, average, positions, cells, weights, CrossedDesign(cells, weights), counts, importance)


def _counts(pairs: TokenPairs, positions: np.ndarray) -> dict[str, int]:
    """What the cells at the given positions hold."""
    member = np.zeros(len(pairs.starts), dtype=bool)
    member[positions] = True
    used = np.repeat(member, pairs.cell_count)
    tokens = np.flatnonzero(_mentioned(len(pairs.rows), pairs.a[used], pairs.b[used]))
    return {
        "n_tokens": len(tokens),
        "n_token_pairs": int(pairs.cell_count[positions].sum()),
        "n_type_pairs": len(np.unique(pairs.cell_type_pair[positions])),
        "n_speakers": len(np.unique(pairs.speaker[tokens])),
        "n_utterances": len(np.unique(pairs.utterance[tokens])),
    }


def _mentioned(n: int, *positions: np.ndarray) -> np.ndarray:
    found = np.zeros(n, dtype=bool)
    for part in positions:
        found[part] = True
    return found


def _groups(pairs: TokenPairs, settings: SeparationSettings) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """(relation, its cells as a mask, weight of each type pair) of every relation and refinement."""
    table = pairs.type_pairs
    relation_of_cell = table["relation"].to_numpy()[pairs.cell_type_pair]
    for relation in dict.fromkeys(table["relation"]):
        yield relation, relation_of_cell == relation, None
    near = relation_of_cell == "near_homophone"
    if settings.edit_classes:
        classes = table["edit_class"].astype(str).to_numpy()[pairs.cell_type_pair]
        for name in sorted(set(classes[near]) - {""}):
            yield f"near_homophone:{name}", near & (classes == name), None
    if settings.viseme_weighted and near.any():
        weight = table["viseme_distance"].to_numpy(dtype=float)
        if np.isfinite(weight[table["relation"] == "near_homophone"]).all():
            yield "near_homophone:viseme_weighted", near & (weight[pairs.cell_type_pair] > 0), weight
