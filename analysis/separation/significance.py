"""p-values, their adjustment, and what a corpus could have shown at all."""

from __future__ import annotations

import numpy as np

__all__ = ["benjamini_hochberg", "minimum_detectable_effect", "permutation_p", "power"]


def permutation_p(observed: float, draws: np.ndarray) -> float:
    """One-sided p-value: share of draws at least as large as the observed value, the observed one counted among them.

    Notes
    -----
    ``(1 + #{draw >= observed}) / (1 + K)``: without the ones it would be zero for an event K draws happened not to show. Values
    that differ by rounding alone count as equal.

    References
    ----------
    Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in Genetics 9.
    """
    draws = np.asarray(draws, dtype=np.float64)
    slack = 1e-12 * max(abs(observed), float(np.abs(draws).max(initial=0.0)))
    return float((1 + np.sum(draws >= observed - slack)) / (1 + len(draws)))


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """p-values adjusted for the false discovery rate; NaN stays NaN and does not count as a test.

    Notes
    -----
    With m tests sorted ascending, ``q_(i) = min_{j >= i} min(1, m p_(j) / j)``.

    References
    ----------
    Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. JRSS B 57.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    if len(known):
        order = known[np.argsort(p_values[known], kind="stable")]
        scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
        adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def power(effect: float, se: float, df: float, level: float = 0.95) -> float:
    """Chance that a ``level`` interval with this standard error leaves out zero when the truth is ``effect``.

    Notes
    -----
    Two-sided t test: ``P(|T| > t_(1+level)/2)`` for T noncentral t with ``df`` degrees of freedom and noncentrality
    ``effect / se``.
    """
    from scipy import stats

    if not (np.isfinite(se) and se > 0):
        return float("nan")
    if not np.isfinite(df):
        critical = stats.norm.ppf(0.5 + level / 2)
        return float(stats.norm.sf(critical - effect / se) + stats.norm.cdf(-critical - effect / se))
    critical = stats.t.ppf(0.5 + level / 2, df)
    return float(stats.nct.sf(critical, df, effect / se) + stats.nct.cdf(-critical, df, effect / se))


def minimum_detectable_effect(se: float, df: float, *, level: float = 0.95, wanted: float = 0.8) -> float:
    """Smallest true value that an interval of this standard error would tell from zero with the wanted power.

    Notes
    -----
    The value d with :func:`power` ``(d, se, df) = wanted``, found by bisection; close to ``(t_(1+level)/2 + t_wanted) se``.
    NaN where there is no standard error.
    """
    from scipy import optimize, stats

    if not (np.isfinite(se) and se > 0):
        return float("nan")
    quantile = stats.norm if not np.isfinite(df) else stats.t(df)
    guess = float(quantile.ppf(0.5 + level / 2) + abs(quantile.ppf(wanted))) * se
    high = guess
    while power(high, se, df, level) < wanted and high < 1e3 * guess:
        high *= 2
    return float(optimize.brentq(lambda effect: power(effect, se, df, level) - wanted, 0.0, high, xtol=1e-10 * guess))
