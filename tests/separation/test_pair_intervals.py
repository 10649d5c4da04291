"""Intervals of single pairs: a published case, what they cover, and where there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.separation.pair_intervals import pair_gains, speaker_jackknife


def test_with_one_value_a_speaker_it_is_the_t_interval_of_the_mean():
    values = np.random.default_rng(0).normal(3, 2, 9)
    speakers = np.arange(9)
    found = speaker_jackknife(values, speakers, speakers, level=0.9)
    low, high = stats.t.interval(0.9, 8, values.mean(), stats.sem(values))
    assert (found.estimate, found.low, found.high) == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize("k", [4, 8])
def test_it_covers_the_truth_as_often_as_it_says(k):
    rng, covered, n = np.random.default_rng(k), 0, 1000
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(k), np.arange(k), indexing="ij"))
    for _ in range(n):
        values = 1.5 + rng.normal(size=k)[i] + rng.normal(size=k)[j] + 0.5 * rng.normal(size=k * k)
        found = speaker_jackknife(values, i, j)
        covered += found.low <= 1.5 <= found.high
    assert stats.binomtest(covered, n, 0.95).pvalue > 0.001


def test_few_speakers_have_no_interval_and_the_note_says_why():
    found = speaker_jackknife(np.array([1.0, 2.0, 3.0]), np.arange(3), np.arange(3))
    assert (found.estimate, found.note) == (2.0, "3 speakers say this pair; an interval needs 4")
    assert np.isnan([found.low, found.high]).all()
    hub = speaker_jackknife(np.ones(3), np.zeros(3, int), np.array([1, 2, 3]))
    assert hub.note == "without one of the speakers no pair of tokens is left" and np.isnan(hub.low)


def test_gains_are_those_of_a_loop_over_token_pairs_of_different_utterances():
    rng = np.random.default_rng(1)
    tokens = pd.DataFrame(
        {
            "type": ["a", "b", "a", "b", "a", "b", "a", "b", "c"],
            "utterance": ["u0", "u0", "u1", "u2", "u3", "u4", "u5", "u6", "u0"],
            "speaker": ["s0", "s0", "s1", "s1", "s2", "s2", "s3", "s3", "s0"],
        }
    )
    without, fused = rng.normal(size=(9, 3)), rng.normal(size=(9, 3))
    pairs = pd.DataFrame({"type_a": ["a", "a", "b"], "type_b": ["b", "c", "gone"]})
    found = pair_gains(tokens, pairs, without, fused)
    for row, (a, b) in zip(found.itertuples(), [("a", "b"), ("a", "c")], strict=True):
        gains = [
            np.sqrt(((fused[i] - fused[j]) ** 2).sum()) - np.sqrt(((without[i] - without[j]) ** 2).sum())
            for i in range(9)
            for j in range(9)
            if tokens["type"][i] == a and tokens["type"][j] == b and tokens["utterance"][i] != tokens["utterance"][j]
        ]
        assert (row.type_a, row.type_b) == (a, b)
        assert row.gain == pytest.approx(np.mean(gains))
        assert np.isnan(row.ci_low) == (b == "c"), "leaving out s0 leaves nothing of a/c"
    assert found["n_speakers"].tolist() == [4, 4]
