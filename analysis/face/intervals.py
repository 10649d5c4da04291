"""Intervals that generalise to other speakers and other near-homophones: Student's t on variances clustered as the data are.

Both are linearised: a statistic that is a ratio of sums is written as a sum of influences, one for each clip or token, and the
influences are summed within whatever is drawn together before they are squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FEW", "TInterval", "clustered_difference", "crossed_ratio"]

#: Under this many units an interval rests on the normal distribution of what it was computed from, and is labelled weak.
FEW = 8


@dataclass(frozen=True)
class TInterval:
    """An estimate with its Student interval.

    Attributes
    ----------
    estimate, low, high : float
        The bounds are NaN where there are fewer than two units.
    standard_error, df : float
        Degrees of freedom are those of Student's t, not always whole.
    p : float
        Two-sided, against zero; it agrees with the interval.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    df: float
    p: float


def _student(estimate: float, variance: float, df: float, level: float) -> TInterval:
    from scipy.special import stdtr, stdtrit

    if not (df > 0 and variance >= 0):
        return TInterval(estimate, *[float("nan")] * 5)
    error = float(np.sqrt(variance))
    half = float(stdtrit(df, (1 + level) / 2)) * error
    p = 2 * float(stdtr(df, -abs(estimate) / error)) if error > 0 else float(estimate == 0)
    return TInterval(estimate, estimate - half, estimate + half, error, float(df), p)


def clustered_difference(
    a: np.ndarray, b: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray, units: np.ndarray, *, level: float = 0.95
) -> TInterval:
    """Interval of the difference of two weighted means, ``b`` minus ``a``, over units that hold several clips each.

    The variance is the jackknife's that leaves out one unit at a time. There is one degree of freedom less than there are units,
    where they weigh alike; unequal units count as their effective number, (sum w)^2 / sum w^2. Clips within a unit may be alike: only what differs between units counts.

    Parameters
    ----------
    a, b, weights_a, weights_b : ndarray, shape (n,)
        Values of each clip without and with the module, and their weights.
    units : ndarray, shape (n,)
        Which unit (a subject, or the clip itself) each clip belongs to.
    level : float

    Notes
    -----
    Miller (1974), "The jackknife: a review"; Bell and McCaffrey (2002) for why one unit at a time is on the safe side.
    """
    names, codes = np.unique(units, return_inverse=True)
    sums = np.stack([np.bincount(codes, weights=column) for column in (a * weights_a, weights_a, b * weights_b, weights_b)])
    total = sums.sum(axis=1)
    estimate = float(total[2] / total[3] - total[0] / total[1])
    n = len(names)
    if n < 2:
        return _student(estimate, float("nan"), 0, level)
    rest = total[:, None] - sums
    left_out = rest[2] / rest[3] - rest[0] / rest[1]
    effective = float(np.square(total[[1, 3]]).sum() / np.square(sums[[1, 3]]).sum())  # n where all units weigh alike
    variance = (n - 1) / n * float(np.square(left_out - left_out.mean()).sum())
    return _student(estimate, variance, max(effective - 1, 1.0), level)


def crossed_ratio(
    numerator: np.ndarray,
    denominator: np.ndarray,
    numerator_without: np.ndarray,
    denominator_without: np.ndarray,
    pairs: Sequence[tuple[str, str]],
    *,
    level: float = 0.95,
) -> TInterval:
    """Interval of a ratio of sums over pairs of types, for other pairs and other speakers.

    Two pairs that share a type are drawn together (a pair belongs to both its types), and so are all tokens of a speaker. What
    both ways count is taken off once.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (pairs,)
        Each a mean over token pairs.
    numerator_without, denominator_without : ndarray, shape (pairs, speakers)
        The same without the tokens of each speaker; NaN where a type has no token left.
    pairs : sequence of (type, type)
    level : float

    Notes
    -----
    Variance: Cameron, Gelbach and Miller (2011) for two crossed ways, Aronow, Samii and Assenova (2015) for pairs that share a
    member, each way by leaving out one speaker or one type. Degrees of freedom by Satterthwaite (1946).
    """
    total = float(denominator.sum())
    estimate = float(numerator.sum() / total) if total else float("nan")
    types, codes = np.unique(np.asarray(pairs), return_inverse=True)
    codes = codes.reshape(len(pairs), 2)
    n_types, n_speakers = len(types), numerator_without.shape[1]
    if not np.isfinite(estimate) or len(pairs) < 2 or n_speakers < 2:
        return _student(estimate, float("nan"), 0, level)

    left = np.nansum(denominator_without, axis=0)
    if not (left > 0).all():  # one speaker says all there is
        return _student(estimate, float("nan"), 0, level)
    without_speaker = np.nansum(numerator_without, axis=0) / left
    of_speakers = (n_speakers - 1) / n_speakers * float(np.square(without_speaker - without_speaker.mean()).sum())

    residual = (numerator - estimate * denominator) / total
    leverage = np.bincount(codes.ravel(), weights=np.repeat(denominator, 2), minlength=n_types) / total
    of_pairs = _sharing((residual / np.maximum(1 - denominator / total, 0.1))[:, None], codes, 1 - leverage)

    gone = np.isnan(denominator_without)
    influence = numerator - estimate * denominator  # of a speaker: what leaves with that speaker, pair by pair
    moved = influence[:, None] - np.where(gone, 0.0, numerator_without - estimate * denominator_without)
    of_both = _sharing(np.where(gone, 0.0, moved) / total, codes, np.ones(n_types))

    variance = max(of_pairs + of_speakers - of_both, of_pairs, of_speakers)
    apart = max(n_types / (1 + 2 * len(pairs) / n_types), 2.0)  # pairs where none shares a type, families where they do
    spread = of_pairs**2 / (apart - 1) + of_speakers**2 / (n_speakers - 1)
    df = (of_pairs + of_speakers) ** 2 / spread if spread > 0 else n_speakers - 1
    if n_speakers < 4:  # how much speakers differ is hardly known, and a small guess of it must not buy degrees of freedom
        df = min(df, n_speakers - 1)
    return _student(estimate, variance, df, level)


def _sharing(influences: np.ndarray, codes: np.ndarray, kept: np.ndarray) -> float:
    """Sum of products of the influences of pairs that share a type, columns apart; at least the sum of squares.

    ``kept``: share of the whole that is left without each type; its sum is divided by this.
    """
    squares = float(np.square(influences).sum())
    sums = np.zeros((len(kept), influences.shape[1]))
    for side in (0, 1):
        np.add.at(sums, codes[:, side], influences)
    return max(float(np.square(sums / np.maximum(kept, 0.1)[:, None]).sum()) - squares, squares)
