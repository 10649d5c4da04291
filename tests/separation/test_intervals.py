"""Intervals that cover the truth as often as they say, and others that do not, on the same corpora."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

from analysis.separation import SeparationSettings
from analysis.separation.intervals import Cells, CrossedDesign, speaker_bootstrap
from analysis.separation.simulation import CorpusPlan, simulated_averages, simulated_cells

SETTINGS = SeparationSettings(
    distances=("l2", "cosine"), vectors=("raw",), relations=("near_homophone",), edit_classes=False, viseme_weighted=False,
    splits=("different_text",), scale_free=(),
)  # fmt: skip


@pytest.mark.parametrize("unbalanced", [False, True])
@pytest.mark.parametrize("deviations", [(1, 1, 1), (0.3, 1, 1), (1, 0.3, 1)])
def test_crossed_intervals_cover_where_speakers_alone_do_not(deviations, unbalanced):
    covered, naive, n = 0, 0, 150
    for seed in range(n):
        rng = np.random.default_rng([seed, 5])
        cells, values = simulated_cells(12, 60, deviations, unbalanced=unbalanced, rng=rng)
        found = CrossedDesign(cells, cells.weights("macro")).interval(values)
        covered += found.low <= 0 <= found.high
        alone = speaker_bootstrap(cells, values, resamples=200, seed=seed)
        naive += alone.low <= 0 <= alone.high
    # three and a half binomial deviations about 95 %
    assert 0.885 <= covered / n <= 1.0
    if deviations[0] < deviations[1]:
        assert naive / n < 0.85


def _nets(plan: CorpusPlan, corpora: int, settings: SeparationSettings = SETTINGS) -> dict[tuple[str, str], np.ndarray]:
    """Estimate, bounds and both p-values of every macro net, shape (corpora, 5), by null and distance."""
    found = defaultdict(list)
    for seed in range(corpora):
        for row in simulated_averages(dataclasses.replace(plan, seed=seed), settings):
            if row["average"] == "macro":
                assert row["method"] == "null_t"
                values = (row["estimate"], row["ci_low"], row["ci_high"], row["p_value"], row["p_permutation"])
                found[row["null"], row["distance"]].append(values)
    return {key: np.array(values) for key, values in found.items()}


@pytest.mark.parametrize("unbalanced", [False, True])
def test_nets_of_meaningless_vectors_cover_zero_and_have_uniform_p_values(unbalanced):
    plan = CorpusPlan(
        utterances=4, tokens=10, pairs=30, dims=8, unbalanced=unbalanced,
        offset_norm_sd=0.4, offset_mean=1.0, offset_speaker_share=0.0 if unbalanced else 0.5,
    )  # fmt: skip
    for key, values in _nets(plan, 80).items():
        covered = np.mean((values[:, 1] <= 0) & (values[:, 2] >= 0))
        assert covered >= 0.87, key
        # nor so wide as to be of no use: 3.9 deviations of the estimate would do, were they known
        assert np.median(values[:, 2] - values[:, 1]) < 5.5 * values[:, 0].std(), key
        assert np.array_equal(values[:, 3] < 0.05, (values[:, 1] > 0) | (values[:, 2] < 0)), key
        if key[0] == "shuffled":
            assert stats.kstest(values[:, 4], "uniform").pvalue > 1e-3, key


def test_a_free_shuffle_claims_too_much_of_vectors_that_tell_the_speaker():
    plan = CorpusPlan(speakers=8, utterances=8, tokens=6, pairs=12, dims=4, offset_speaker_share=0.95)
    settings = dataclasses.replace(SETTINGS, distances=("l2",), nulls=("shuffled",), n_nulls=2, n_permutations=199)
    extreme = {}
    for within in ("corpus", "blocks"):
        p = _nets(plan, 80, dataclasses.replace(settings, shuffle_within=within))["shuffled", "l2"][:, 4]
        extreme[within] = np.mean((p <= 0.05) | (p > 0.95))
    assert extreme["corpus"] > 0.2 and extreme["blocks"] < 0.2, extreme


def test_a_planted_effect_is_found_and_its_size_covered():
    plan = CorpusPlan(speakers=16, utterances=4, tokens=12, pairs=30, dims=8, effect=0.6, effect_speaker_sd=0.2, unbalanced=True)
    found = _nets(plan, 40, dataclasses.replace(SETTINGS, distances=("l2",)))
    for key, values in found.items():
        truth = values[:, 0].mean()
        assert truth > 0 and np.mean(values[:, 1] > 0) > 0.8, key
        assert np.mean((values[:, 1] <= truth) & (truth <= values[:, 2])) >= 0.85, key


def _forms(cells: Cells, weights: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Quadratic forms by their definition, cell by cell."""
    mean = sum(w * y for w, y in zip(weights, values, strict=True))
    totals = {name: defaultdict(float) for name in ("speaker", "speaker_pair", "type_pair", "residual")}
    for c, (w, y) in enumerate(zip(weights, values, strict=True)):
        part = w * (y - mean)
        totals["speaker"][cells.speaker_a[c]] += part
        totals["speaker"][cells.speaker_b[c]] += part
        totals["speaker_pair"][cells.speaker_a[c], cells.speaker_b[c]] += part
        totals["type_pair"][cells.type_pair[c]] += part
        totals["residual"][c] += part
    return {name: sum(total**2 for total in groups.values()) for name, groups in totals.items()}


@pytest.mark.parametrize("size", [1.0, 0.1])
def test_net_intervals_equal_their_definition(size):
    from scipy import optimize

    rng = np.random.default_rng(2)
    cells, _ = simulated_cells(6, 9, (1, 1, 1), across=True, unbalanced=True, rng=rng)
    weights = cells.weights("macro")
    design = CrossedDesign(cells, weights)
    n, draws, kept = len(cells), 7, 4
    effect = size * (np.where(cells.type_pair % 2, 1.5, -1.0) + (cells.speaker_a == 2) * 2.0)
    own, drawn = rng.standard_normal(n) + effect, rng.standard_normal((draws, n))
    found = design.net_intervals(own[None], (drawn @ weights)[None], [drawn[:kept]])[0]

    averages = [float(weights @ values) for values in drawn]
    chance = np.var(averages, ddof=1) * (1 + 1 / draws)
    mean = drawn[:kept].mean(0)
    known = _forms(cells, weights, own - mean)
    by_chance = [_forms(cells, weights, values - mean) for values in drawn[:kept]]
    usual = {name: np.mean([one[name] for one in by_chance]) for name in known}
    # expected forms of each component by their definition: every group's indicator through the same forms
    groups = {
        "speaker": [(cells.speaker_a == s) * 1.0 + (cells.speaker_b == s) for s in range(6)],
        "speaker_pair": [
            ((cells.speaker_a == a) & (cells.speaker_b == b)) * 1.0 for a, b in sorted({*zip(cells.speaker_a, cells.speaker_b, strict=True)})
        ],
        "type_pair": [(cells.type_pair == p) * 1.0 for p in np.unique(cells.type_pair)],
        "residual": list(np.eye(n)),
    }  # fmt: skip
    names = list(known)
    expected = np.zeros((4, 4))
    for column, name in enumerate(names):
        for indicator in groups[name]:
            expected[:, column] += [_forms(cells, weights, indicator)[other] for other in names]

    def shares(forms: dict[str, float], against: float, times: float) -> np.ndarray:
        """Parts of the variance that components found in an excess over the usual forms make, none below zero."""
        excess = np.array([times * (forms[k] - against * usual[k]) for k in names])
        scale = np.array([max(forms[k], against * usual[k]) for k in names])
        sigma, _ = optimize.nnls(expected / scale[:, None], excess / scale)
        return np.array(
            [s * sum(float(weights @ indicator) ** 2 for indicator in groups[k]) for s, k in zip(sigma, names, strict=True)]
        )

    share = shares(known, (kept + 1) / (kept - 1), 1.0)
    in_draws = np.mean([shares(one, 1.0, np.sqrt((kept + 1) / (kept - 1))).sum() for one in by_chance])
    assert in_draws > 0 and (sum(share) > in_draws) == (size == 1.0)
    share *= max(0.0, 1 - (in_draws / sum(share)) ** 2) if sum(share) else 0.0
    spread = chance**2 / (draws - 1)
    for part, name in zip(share, names, strict=True):
        squares = [float(weights @ indicator) ** 2 for indicator in groups[name]]
        spread += part**2 / max(1.0, sum(squares) ** 2 / sum(s**2 for s in squares) - 1)
    variance = chance + sum(share)
    df = variance**2 / spread
    estimate = float(weights @ own) - np.mean(averages)
    assert found.estimate == pytest.approx(estimate)
    assert found.se == pytest.approx(np.sqrt(variance), rel=1e-6)
    assert found.df == pytest.approx(df, rel=1e-6)
    assert found.high - found.estimate == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(variance), rel=1e-6)


def test_a_net_that_cannot_vary_has_no_width():
    cells, values = simulated_cells(4, 5, (1, 1, 1), rng=np.random.default_rng(3))
    design = CrossedDesign(cells, cells.weights("micro"))
    draws = np.repeat(values[None], 3, axis=0)
    found = design.net_intervals(values[None], (draws @ design.weights)[None], [draws])[0]
    assert found.low == found.high == pytest.approx(0.0, abs=1e-12) and found.se == 0.0


def test_a_random_null_that_meaningless_vectors_miss_is_named():
    # vectors along one axis only, long ones: shuffled they differ from random directions, whatever they mean
    plan = CorpusPlan(utterances=10, tokens=8, pairs=12, dims=16, offset_axes=1)
    settings = dataclasses.replace(SETTINGS, distances=("l2",), share=3.0)
    notes = {row["null"]: row["note"] for row in simulated_averages(plan, settings) if row["average"] == "macro"}
    assert "meaning is judged by the net of the shuffle" in notes["random"] and not notes["shuffled"]
    even = {row["null"]: row["note"] for row in simulated_averages(dataclasses.replace(plan, offset_axes=0), settings)}
    assert even == {"random": "", "shuffled": ""}
