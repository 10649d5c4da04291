"""One run with the module against the same run without: the difference, its interval over subjects, and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import FaceError, NotComparableError
from analysis.face.evaluation import METRICS, RunMeasures, pooling_of, require_comparable
from analysis.face.intervals import FEW, clustered_difference

__all__ = ["Difference", "compare", "find_pairs", "sign_flip_test"]

# Below this many units all 2^n sign patterns are counted, so the test is exact.
_EXACT_UNITS = 14


@dataclass(frozen=True)
class Difference:
    """With minus without, for one metric.

    Attributes
    ----------
    metric : str
    without, with_module : str
        Names of the two runs.
    estimate : float
        Difference of the two pooled values, in the metric's raw unit; negative is an improvement for LVE, MVE and absolute FDD.
    ci_low, ci_high, ci_level : float
        Student's t over ``unit`` on the jackknife's variance; see :func:`analysis.face.intervals.clustered_difference`. NaN where
        there is one unit only.
    df : float
        Degrees of freedom: units minus one, fewer where some units weigh far more than others.
    p_permutation : float
        Two-sided sign-flip test on per-unit contributions to the difference; exact for at most 14 units, otherwise
        (1 + #{null >= observed}) / (1 + K).
    p_wilcoxon : float
        Wilcoxon signed-rank test over the same contributions; NaN where all are zero.
    n_clips, n_subjects, n_units : int
    unit : str
        ``subject`` or ``clip``.
    seed : int
        Of the sign-flip test.
    """

    metric: str
    without: str
    with_module: str
    estimate: float
    ci_low: float
    ci_high: float
    ci_level: float
    df: float
    p_permutation: float
    p_wilcoxon: float
    n_clips: int
    n_subjects: int
    n_units: int
    unit: str
    seed: int

    @property
    def population(self) -> str:
        """What the interval may be read for, and what weakens it, as one sentence."""
        if self.unit == "subject":
            text = f"it is meant for other subjects (Student's t over {self.n_units} subjects)"
        elif self.n_subjects == 1:
            text = f"it is meant for other clips of this one subject (Student's t over {self.n_units} clips)"
        else:
            text = (
                f"it is meant for other clips of these {self.n_subjects} subjects and not for other subjects "
                f"(Student's t over {self.n_units} clips)"
            )
        few = f"; with fewer than {FEW} it rests on differences being normally distributed" if self.n_units < FEW else ""
        return text + few


def find_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (without, with): ``FaceFormer`` and every ``FaceFormer+...`` among the names."""
    known = set(names)
    return [(name.partition("+")[0].strip(), name) for name in names if "+" in name and name.partition("+")[0].strip() in known]


def compare(
    without: RunMeasures,
    with_module: RunMeasures,
    *,
    unit: str = "subject",
    level: float = 0.95,
    seed: int = 0,
) -> list[Difference]:
    """The difference in every metric.

    Parameters
    ----------
    without, with_module : RunMeasures
        Of the same clips.
    unit : str
        What the interval is over and what is sign-flipped: ``subject``, for claims about other speakers, or ``clip``, for other
        clips of these. Where there is one subject only, clips are taken.
    level : float
    seed : int

    Raises
    ------
    NotComparableError
        If the two were measured under different settings.
    FaceError
        If their clips differ.
    """
    measures_a, measures_b = without.measures(), with_module.measures()
    require_comparable([*measures_a.values(), *measures_b.values()])
    if without.policy != with_module.policy:
        raise NotComparableError(
            f"{without.run.name} has one number per clip by {without.policy!r} and {with_module.run.name} by "
            f"{with_module.policy!r}. State one "
            f"--condition that both have."
        )
    rows_a, rows_b = without.per_clip(), with_module.per_clip()
    clips = [row["clip"] for row in rows_a]
    if clips != [row["clip"] for row in rows_b]:
        only = sorted(set(clips) ^ {row["clip"] for row in rows_b})
        raise FaceError(
            f"{without.run.name} and {with_module.run.name} were measured on different clips: "
            f"{', '.join(map(str, only[:5]))} stand in one "
            f"only. Measure both on the same clips."
        )
    n_subjects = len({row["subject"] for row in rows_a})
    if n_subjects == 1:
        unit = "clip"
    units = np.array([row[unit] for row in rows_a])
    result = []
    for metric in METRICS:
        source = "lve_root" if metric == "lve" and without.preset.lve_power == "root" else metric
        a, b = (np.array([row[source] for row in rows], dtype=np.float64) for rows in (rows_a, rows_b))
        pooled = pooling_of(metric, without.preset) == "frames"
        w_a, w_b = (
            (np.array([row["n_frames"] for row in rows], float) if pooled else np.ones(len(a))) for rows in (rows_a, rows_b)
        )
        interval = clustered_difference(a, b, w_a, w_b, units, level=level)
        contributions = b * w_b / w_b.sum() - a * w_a / w_a.sum()
        per_unit = np.array([contributions[units == name].sum() for name in np.unique(units)])
        result.append(
            Difference(
                metric=metric,
                without=without.run.name,
                with_module=with_module.run.name,
                estimate=measures_b[metric].value - measures_a[metric].value,
                ci_low=interval.low,
                ci_high=interval.high,
                ci_level=level,
                df=interval.df,
                p_permutation=sign_flip_test(per_unit, seed=seed),
                p_wilcoxon=_wilcoxon(per_unit),
                n_clips=len(a),
                n_subjects=n_subjects,
                n_units=len(per_unit),
                unit=unit,
                seed=seed,
            )
        )
    return result


def sign_flip_test(differences: np.ndarray, *, n_permutations: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value of the mean difference if with and without could be exchanged in every unit.

    Exact over all sign patterns for at most 14 units; otherwise (1 + #{null >= observed}) / (1 + K).
    """
    observed = abs(differences.sum())
    tolerance = 1e-12 * np.abs(differences).sum()
    if len(differences) <= _EXACT_UNITS:
        signs = 2.0 * (np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1) - 1.0
        return float(np.mean(np.abs(signs @ differences) >= observed - tolerance))
    signs = 2.0 * np.random.default_rng(seed).integers(2, size=(n_permutations, len(differences)), dtype=np.int8) - 1.0
    extreme = np.count_nonzero(np.abs(signs @ differences) >= observed - tolerance)
    return float((1 + extreme) / (1 + n_permutations))


def _wilcoxon(differences: np.ndarray) -> float:
    if not np.any(differences):
        return float("nan")
    import warnings

    from scipy.stats import wilcoxon

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties and zeros switch scipy to the normal approximation, which it says in a warning
        return float(wilcoxon(differences).pvalue)
