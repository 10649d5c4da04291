"""Whether a corpus can carry an interval, which one, and the columns of the table that say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from analysis.separation.intervals import Interval, pigeonhole, speaker_bootstrap
from analysis.separation.selections import Selection
from analysis.separation.settings import SeparationSettings
from analysis.separation.significance import minimum_detectable_effect

__all__ = ["detectable", "displaced", "interval_columns", "intervals_of", "too_few", "weak", "within_unit"]


def too_few(counts: Mapping[str, int], settings: SeparationSettings) -> str:
    """Why no interval can be had, or nothing."""
    short = []
    if counts["n_speakers"] < settings.min_speakers:
        short.append(f"{counts['n_speakers']} speakers (at least {settings.min_speakers} needed)")
    if counts["n_type_pairs"] < settings.min_type_pairs:
        short.append(f"{counts['n_type_pairs']} type pairs (at least {settings.min_type_pairs} needed)")
    return f"no interval: {' and '.join(short)}" if short else ""


def weak(counts: Mapping[str, int], settings: SeparationSettings) -> str:
    """What to think of an interval over few speakers, or nothing."""
    speakers, needed = counts["n_speakers"], settings.weak_speakers
    return f"weak interval: {speakers} speakers, fewer than {needed}" if speakers < needed else ""


def displaced(random: np.ndarray, shuffled: np.ndarray) -> str:
    """Whether the module's own vectors in a meaningless order lie off the random null, in words, or nothing.

    Vectors with preferred directions spread less evenly than random ones, and distances that are not squared see that: zero is
    then not what vectors without meaning give against this null, and no interval of it answers for meaning. Said where the
    means of the two nulls' draws (averages, shape (K,)) differ by more than three standard errors.
    """
    apart = float(shuffled.mean() - random.mean())
    error = float(np.sqrt(shuffled.var(ddof=1) / len(shuffled) + random.var(ddof=1) / len(random)))
    if abs(apart) <= 3 * error or abs(apart) <= 1e-9 * abs(float(random.mean())):
        return ""
    return f"the module's own vectors, shuffled, lie {apart:+.3g} from this null: meaning is judged by the net of the shuffle"


def intervals_of(selection: Selection, values: np.ndarray, settings: SeparationSettings) -> list[Interval]:
    """Interval of each row of cell means, shape (R, C), by the method that the settings name."""
    short = too_few(selection.counts, settings)
    if short:
        return [Interval(float(estimate), note=short) for estimate in values @ selection.weights]
    if settings.interval == "crossed_t" or selection.importance is not None:
        found = selection.design.intervals(values, settings.ci_level)
    else:
        resample = pigeonhole if settings.interval == "pigeonhole" else speaker_bootstrap
        options = {"resamples": settings.n_bootstrap, "level": settings.ci_level, "seed": settings.seed}
        found = [resample(selection.cells, row, selection.average, **options) for row in values]
    note = weak(selection.counts, settings)
    return [dataclasses.replace(interval, note=note) for interval in found] if note else found


def within_unit(found: Interval, level: float) -> Interval:
    """The interval of a share, with bounds in [0, 1]: made on the logit scale, ``logit(p) -+ t(df) se / (p (1 - p))``.

    At 0 and 1 themselves, where the logit is infinite, bounds are cut.
    """
    from scipy.special import expit, logit, stdtrit

    p = found.estimate
    if not np.isfinite(found.se) or found.se == 0:
        return found
    if not 0 < p < 1:
        return dataclasses.replace(found, low=float(np.clip(found.low, 0, 1)), high=float(np.clip(found.high, 0, 1)))
    half = stdtrit(found.df, 0.5 + level / 2) * found.se / (p * (1 - p))
    return dataclasses.replace(found, low=float(expit(logit(p) - half)), high=float(expit(logit(p) + half)))


def interval_columns(found: Interval) -> dict[str, Any]:
    """The columns of the separation table that an interval fills."""
    return {
        "estimate": found.estimate,
        "ci_low": found.low,
        "ci_high": found.high,
        "method": found.method,
        "note": found.note,
    }


def detectable(found: Interval, settings: SeparationSettings) -> float:
    """The smallest true net that this corpus would have told from zero with the power of the settings; NaN without interval.

    What it takes in standard errors depends on the degrees of freedom alone; it is solved for at some of them and interpolated
    (cubic in 1 / df, relative error below 1e-4).
    """
    if not np.isfinite(found.se):
        return float("nan")
    return float(found.se * _in_standard_errors(settings.ci_level, settings.power)(1.0 / max(1.0, found.df)))


@cache
def _in_standard_errors(level: float, power: float) -> Callable[[float], np.ndarray]:
    """Minimum detectable effect of an estimate of unit standard error, as a function of 1 / df in [0, 1]."""
    from scipy.interpolate import CubicSpline

    inverse = np.linspace(0, 1, 25) ** 2
    found = [minimum_detectable_effect(1.0, 1 / at if at else np.inf, level=level, power=power) for at in inverse]
    return CubicSpline(inverse, found)
