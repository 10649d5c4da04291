"""p-values, their adjustment, and the smallest effect that a corpus could show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.separation.significance import (
    benjamini_hochberg,
    detection_power,
    minimum_detectable_effect,
    permutation_p,
)


def test_p_values():
    assert permutation_p(1.0, np.array([0.0, 2.0, 1.0])) == 0.75
    assert permutation_p(9.0, np.zeros(19)) == 0.05
    assert np.allclose(benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.04, np.nan, 0.04], equal_nan=True)


@pytest.mark.parametrize("df", [2.0, 4.5, 9.0, 40.0])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_minimum_detectable_effect_is_detected_as_often_as_it_says(df, power):
    se, level, n = 0.3, 0.95, 40_000
    effect = minimum_detectable_effect(se, df, level=level, power=power)
    rng = np.random.default_rng(1)
    estimates = effect + se * rng.standard_normal(n)
    found = se * np.sqrt(rng.chisquare(df, n) / df)
    half = stats.t.ppf(0.5 + level / 2, df) * found
    share = np.mean((estimates - half > 0) | (estimates + half < 0))
    assert share == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / n))


def test_detection_power_is_that_of_the_noncentral_t():
    for effect, df in ((0.0, 7.0), (0.5, 7.0), (-0.5, 7.0), (2.0, 30.0)):
        critical = stats.t.ppf(0.975, df)
        expected = stats.nct.sf(critical, df, effect / 0.2) + stats.nct.cdf(-critical, df, effect / 0.2)
        assert detection_power(effect, 0.2, df) == pytest.approx(expected, rel=1e-6)
    assert detection_power(0.0, 1.0, np.inf) == pytest.approx(0.05)


def test_minimum_detectable_effect_at_the_ends():
    assert minimum_detectable_effect(1.0, np.inf) == pytest.approx(2.8016, abs=1e-3)
    assert minimum_detectable_effect(0.0, 5.0) == 0.0
    assert np.isnan(minimum_detectable_effect(np.nan, np.nan))
    assert minimum_detectable_effect(1.0, 1.0) > minimum_detectable_effect(1.0, 10.0) > minimum_detectable_effect(1.0, 1e6)
    assert minimum_detectable_effect(2e-9, 6.0) == pytest.approx(1e-9 * minimum_detectable_effect(2.0, 6.0))
    with pytest.raises(ValueError, match="power must lie between"):
        minimum_detectable_effect(1.0, 5.0, power=0.01)
