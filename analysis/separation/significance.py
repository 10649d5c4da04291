"""p-values, their adjustment, and what a corpus could have shown at all."""

from __future__ import annotations

import numpy as np

__all__ = ["benjamini_hochberg", "detection_power", "interval_p", "minimum_detectable_effect", "permutation_p"]


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


def interval_p(estimate: float, se: float, df: float) -> float:
    """Two-sided p-value of zero under the t distribution that an interval is made of; NaN without a standard error.

    Notes
    -----
    ``P(|T_df| >= |estimate| / se)``: below ``1 - level`` exactly where the interval of that level leaves out zero. An estimate that
    cannot vary (``se = 0``) is no test: NaN.

    Examples
    --------
    >>> round(interval_p(2.0, 1.0, 10), 4)
    0.0734
    """
    from scipy.special import stdtr

    if not (np.isfinite(estimate) and np.isfinite(se) and se > 0 and df > 0):
        return float("nan")
    return float(2 * stdtr(df, -abs(estimate) / se))


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


def detection_power(effect: float, se: float, df: float, *, level: float = 0.95) -> float:
    """Chance that a ``level`` interval with this standard error leaves out zero when the truth is ``effect``.

    Notes
    -----
    Two-sided t test: ``P(|T| > t_(1+level)/2)`` for T noncentral t with ``df`` degrees of freedom and noncentrality
    ``effect / se``; normal where ``df`` is infinite. NaN where there is no standard error.
    """
    from scipy import special

    if not (np.isfinite(se) and se > 0 and df > 0):
        return float("nan")
    shift = abs(effect) / se
    if not np.isfinite(df):
        critical = special.ndtri(0.5 + level / 2)
        return float(special.ndtr(shift - critical) + special.ndtr(-critical - shift))
    critical = special.stdtrit(df, 0.5 + level / 2)
    below, beyond = special.nctdtr(df, shift, np.array([critical, -critical]))
    # scipy's noncentral t is NaN where its series underflows, that is where less than 1e-16 lies below.
    return float(1.0 - np.nan_to_num(below) + np.nan_to_num(beyond))


def minimum_detectable_effect(se: float, df: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true value that an interval of this standard error would tell from zero with the wanted power.

    Parameters
    ----------
    se, df : float
        Standard error and degrees of freedom of the estimate (:class:`analysis.separation.intervals.Interval`).
    level : float
        Level of the two-sided interval.
    power : float
        Chance of leaving out zero, above ``1 - level``.

    Returns
    -------
    float
        In the units of ``se``; 0 where nothing varies (``se`` = 0), NaN where there is no standard error.

    Notes
    -----
    The value d with ``detection_power(d, se, df) = power``: ``d = delta se`` with the noncentrality delta at which a t of ``df``
    degrees of freedom exceeds ``t_(1+level)/2`` with the wanted chance; about ``(t_(1+level)/2 + t_power) se``, and
    ``2.80 se`` for 0.95 and 0.8 with many degrees of freedom.

    References
    ----------
    Bloom, H. S. (1995). Minimum detectable effects: a simple way to report the statistical power of experimental designs.
    Evaluation Review 19.
    """
    from scipy import optimize

    if not 0 < 1 - level < power < 1:
        raise ValueError(f"power must lie between 1 - level = {1 - level:.3g} and 1, not {power!r} (level {level!r}).")
    if se == 0:
        return 0.0
    if not (np.isfinite(se) and se > 0 and df > 0):
        return float("nan")
    low, high = 0.0, 2.0
    while detection_power(high, 1.0, df, level=level) < power:
        low, high = high, 2 * high
    return se * float(optimize.brentq(lambda delta: detection_power(delta, 1.0, df, level=level) - power, low, high))
