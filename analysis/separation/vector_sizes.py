"""What a vector's mere size does to distances, told from where a shuffle puts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np

from analysis.separation.relations import TokenPairs, speaker_of_utterance, split_mask
from analysis.separation.selections import Selection

__all__ = ["VectorSizes"]


class VectorSizes:
    """What each utterance's vector does to distances by its mere size.

    Notes
    -----
    A long vector raises every distance that it takes part in, by ``h_z`` on average, wherever it goes. The module puts vector z
    on utterance z, with weight ``W_z`` in the average; a shuffle puts it everywhere, with weight ``W = sum W_u / U``: their
    difference holds ``sum_z (W_z - W) h_z`` of it and no more, while every single token pair holds it in full. Left in the
    cells, intervals of net decoupling would be several times too wide where norms differ. So the cells compare the module with
    random directions of the same sizes, which holds nothing of size, and what remains between those and the shuffle adds
    ``sum_{z of speaker s} (W_z - W) h_z`` to the error, speaker by speaker (a Hajek projection, exact to first order).

    References
    ----------
    Hajek, J. (1968). Asymptotic normality of simple linear rank statistics under alternatives. Annals of Mathematical
    Statistics 39.
    """

    def __init__(self, pairs: TokenPairs) -> None:
        self.pairs = pairs
        relations = list(dict.fromkeys(pairs.type_pairs["relation"]))
        self.relations = {name: code for code, name in enumerate(relations)}
        relation = np.array([self.relations[name] for name in pairs.type_pairs["relation"]])
        different = ~split_mask(pairs.cell_atom, "same_utterance")
        per_type_pair = np.bincount(pairs.cell_type_pair[different], pairs.cell_count[different], len(pairs.type_pairs))
        weight = np.where(different, 1.0 / np.maximum(per_type_pair, 1)[pairs.cell_type_pair], 0.0)
        self.weight = weight[pairs.cell_of_pair()]
        code = relation[pairs.cell_type_pair][pairs.cell_of_pair()] * len(pairs.utterances)
        self.code_a, self.code_b = code + pairs.utterance[pairs.a], code + pairs.utterance[pairs.b]
        self.shape = (len(relations), len(pairs.utterances))
        self.total = self._by_utterance(self.weight)

    def _by_utterance(self, values: np.ndarray) -> np.ndarray:
        size = self.shape[0] * self.shape[1]
        return (np.bincount(self.code_a, values, size) + np.bincount(self.code_b, values, size)).reshape(self.shape)

    @classmethod
    def empty(cls, pairs: TokenPairs, names: Iterable[str]) -> dict[str, VectorSizes]:
        """One per distance, sharing what depends on the pairs alone."""
        first = cls(pairs)
        return {name: copy(first) for name in names}

    def totals(self, distances: np.ndarray) -> np.ndarray:
        """Weighted sum of the distances of all token pairs that each utterance takes part in, shape (relations, U)."""
        return self._by_utterance(self.weight * distances)

    def finish(self, permutations: Sequence[np.ndarray], totals: Sequence[np.ndarray]) -> None:
        """Estimate ``h``, shape (relations, U), in the centre of its values, from draws.

        Parameters
        ----------
        permutations : sequence of ndarray
            In each draw utterance u had the vector of ``permutation[u]``.
        totals : sequence of ndarray
            What :meth:`totals` made of the distances of each.
        """
        n_draws = len(totals)
        mean = sum(totals) / n_draws
        excess, weight = np.zeros(self.shape), np.zeros(self.shape)
        for permutation, of_draw in zip(permutations, totals, strict=True):
            excess[:, permutation] += of_draw - mean
            weight[:, permutation] += self.total
        h = np.where(weight > 0, excess / np.where(weight > 0, weight, 1.0), 0.0) * n_draws / (n_draws - 1)
        self.h = h - h.mean(1, keepdims=True)

    def influence(self, selection: Selection, *, within_speakers: bool) -> np.ndarray:
        """What size adds to the error of the selection's net average, by speaker, shape (S,)."""
        speaker = speaker_of_utterance(self.pairs)
        weights = selection.utterance_weights
        if within_speakers:
            pooled = (np.bincount(speaker, weights) / np.bincount(speaker))[speaker]
        else:
            pooled = np.full(len(weights), weights.mean())
        h = self.h[self.relations[selection.base_relation]]
        return np.bincount(speaker, (weights - pooled) * h)
