"""Intervals that cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.separation import SeparationSettings, score
from analysis.separation.intervals import CrossedDesign
from analysis.separation.simulation import CorpusPlan, simulated_cells, simulated_corpus


@pytest.mark.parametrize("unbalanced", [False, True])
@pytest.mark.parametrize("deviations", [(1, 1, 1), (0.3, 1, 1), (1, 0.3, 1)])
def test_crossed_intervals_cover(deviations, unbalanced):
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 5])
        cells, values = simulated_cells(12, 60, deviations, unbalanced=unbalanced, rng=rng)
        found = CrossedDesign(cells, cells.weights("macro")).interval(values)
        covered += found.low <= 0 <= found.high
    # three binomial deviations about 95 %
    assert 0.90 <= covered / 200 <= 0.995


@pytest.mark.slow
def test_net_decoupling_of_meaningless_vectors_covers_zero():
    settings = SeparationSettings(
        distances=("l2",), vectors=("raw",), relations=("near_homophone",), edit_classes=False, viseme_weighted=False,
        splits=("different_utterance",), scale_free=(),
    )  # fmt: skip
    covered, n = {"random": 0, "shuffled": 0}, 100
    for seed in range(n):
        plan = CorpusPlan(unbalanced=bool(seed % 2), offset_norm_sd=0.5 * (seed % 3), offset_mean=seed % 2, seed=seed)
        embeddings, semantics, pairs = simulated_corpus(plan)
        table = score(embeddings, {"m": semantics}, pairs, settings=settings).table
        for row in table[
            (table["statistic"] == "net") & (table["average"] == "macro") & (table["relation"] == "near_homophone")
        ].itertuples():
            covered[row.null] += row.ci_low <= 0 <= row.ci_high
    assert all(0.88 <= count / n <= 1.0 for count in covered.values()), covered
