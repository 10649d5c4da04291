"""Lip metrics beside LVE: how far the lips open and spread, how fast, whether they meet, when, and in which viseme's shape.

``V(t)`` is the vertical lip distance, between the middle of the upper and of the lower lip, and ``H(t)`` the horizontal one, between
the corners; both are three-dimensional distances. p is predicted, g true.

====================  ============================================================================================  ==============
name                  formula                                                                                       source
====================  ============================================================================================  ==============
``vertical_error``    mean over frames of ``|V_p - V_g|``                                                           ours
``vertical_corr``     Pearson correlation of ``V_p`` and ``V_g`` over a clip's frames, mean over clips              ours
``horizontal_error``  mean over frames of ``|H_p - H_g|``                                                           ours
``horizontal_corr``   as ``vertical_corr``, of ``H``                                                                ours
``velocity_error``    mean over frames and lip vertices of ``|dp/dt - dg/dt|``                                      LVD, MakeItTalk
                                                                                                                    (on vertices)
``closure``           share of p, b, m whose smallest ``V`` is at or under the subject's threshold                  ours
``rounding``          share of w, uw whose smallest ``H`` is at or under the subject's threshold                    ours
``lag``               mean over phones of the shift at which ``V_p`` correlates best with ``V_g``, s; positive:     ours
                      the prediction is late
``viseme``            share of phones whose predicted lip shape is nearest to the true centroid of their own        ours
                      viseme, among visemes; a token's own true shape is left out of its centroid
``diversity``         mean distance of vertices between two samples of one clip and condition, over frames,         ours, after
                      vertices and pairs of samples; where several were drawn                                       FaceDiffuser
====================  ============================================================================================  ==============

A threshold is what best tells p, b, m (w, uw) from vowels (unrounded front vowels) in the truth of the same subject: the distance
with the largest sum of both shares that are right. The share of the truth itself stands beside each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import ConfigurationError, FaceError
from analysis.face.evaluation import RunMeasures, aligned
from analysis.face.homophones import Spoken, lip_shapes
from analysis.face.intervals import clustered_difference
from analysis.face.predictions import find_predictions
from analysis.face.regions import Region
from analysis.face.sequences import DEFAULT_TOLERANCE, frame_grid

__all__ = ["LIP_METRICS", "LipPoints", "find_lip_points", "lip_difference", "lip_measures", "phones_of", "read_phones"]

#: Name, and whether more is better (None: neither).
LIP_METRICS: Mapping[str, bool | None] = {
    "vertical_error": False,
    "vertical_corr": True,
    "horizontal_error": False,
    "horizontal_corr": True,
    "velocity_error": False,
    "closure": True,
    "rounding": True,
    "lag": None,
    "viseme": True,
    "diversity": None,
}
_TRUTH_TOO = ("closure", "rounding", "viseme")
#: What values can be at all: bounds of a single run's intervals are cut to it.
_RANGES = {name: (0.0, 1.0) for name in _TRUTH_TOO} | {f"{name}_corr": (-1.0, 1.0) for name in ("vertical", "horizontal")}
_RANGES |= {name: (0.0, np.inf) for name in ("vertical_error", "horizontal_error", "velocity_error", "diversity")}
_BILABIAL, _ROUNDED = frozenset("P B M".split()), frozenset("W UW".split())
_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
_SPREAD = frozenset("IY IH EY EH AE".split())
# Lips may be late or early by this much before a lag is no lag of the same movement, s.
_LONGEST_LAG = 0.2


@dataclass(frozen=True)
class LipPoints:
    """Vertices that lip distances are taken between: middle of the upper and the lower lip, and the two corners."""

    upper: int
    lower: int
    left: int
    right: int

    def __str__(self) -> str:
        return f"upper {self.upper}, lower {self.lower}, corners {self.left} and {self.right}"

    @classmethod
    def parse(cls, text: str) -> LipPoints:
        """From ``UPPER,LOWER,LEFT,RIGHT``."""
        parts = text.split(",")
        if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
            raise ConfigurationError(f"--lip-points takes four vertices, UPPER,LOWER,LEFT,RIGHT, not {text!r}.")
        return cls(*map(int, parts))


def find_lip_points(template: np.ndarray, lips: Region) -> LipPoints:
    """Points from the neutral face: the corners lie at both ends (the outer tenths) at the lips' mean height; the middles are the two
    near the centre that lie closest above and below the line between the corners.

    Parameters
    ----------
    template : ndarray, shape (V, 3)
        x to the side and y up, as VOCASET, BIWI and FLAME have them.
    lips : Region

    Raises
    ------
    FaceError
        If there is no vertex above or below that line near the centre.
    """
    rows = np.unique(lips.indices)
    x, y = np.asarray(template, dtype=np.float64)[rows, :2].T
    width = float(np.ptp(x))
    off = np.abs(y - y.mean())
    ends = (x <= x.min() + 0.1 * width, x >= x.max() - 0.1 * width)
    left, right = (int(np.flatnonzero(end)[off[end].argmin()]) for end in ends)
    middle = np.abs(x - (x[left] + x[right]) / 2)
    line = y[left] + (y[right] - y[left]) * (x - x[left]) / ((x[right] - x[left]) or 1.0)
    found = []
    for above in (True, False):
        side = np.flatnonzero((y > line) == above)
        side = side[middle[side] <= max(0.1 * width, middle[side].min() if len(side) else 0)]
        if len(side) == 0:
            raise FaceError(
                f"The lips {lips.name} have no vertex {'above' if above else 'below'} the line between their corners. Name the "
                "points with --lip-points UPPER,LOWER,LEFT,RIGHT."
            )
        found.append(int(rows[side[np.abs(y - line)[side].argmin()]]))
    return LipPoints(found[0], found[1], int(rows[left]), int(rows[right]))


def phones_of(alignments: Iterable[Any]) -> list[Spoken]:
    """Phones of alignments (:class:`analysis.alignment.types.Alignment`) whose utterance ids are the clips' names."""
    return [
        Spoken(alignment.utterance_id, phone.label.rstrip("0123456789"), phone.start, phone.end)
        for alignment in alignments
        for phone in alignment.phones
    ]


def read_phones(path: str | Path) -> list[Spoken]:
    """Phones from a table, .csv or .parquet, with ``utterance``, ``phone`` (ARPAbet), ``start`` and ``end``.

    Raises
    ------
    ConfigurationError
        If the file is missing or cannot be read, or a column is missing.
    """
    from analysis.phonology import read_token_table

    columns = ["utterance", "phone", "start", "end"]
    table = read_token_table(path, columns)[columns]
    return [
        Spoken(clip, str(phone).rstrip("0123456789"), start, end) for clip, phone, start, end in table.itertuples(index=False)
    ]


@dataclass
class _Value:
    """What one clip contributes to one metric: a mean, and how much it weighs."""

    clip: str
    subject: str
    value: float
    weight: float


def lip_measures(
    run: RunMeasures,
    *,
    phones: Sequence[Spoken] = (),
    points: LipPoints | None = None,
    tolerance: int = DEFAULT_TOLERANCE,
    level: float = 0.95,
) -> dict[str, Any]:
    """Every lip metric of one run.

    Parameters
    ----------
    run : RunMeasures
    phones : sequence of Spoken
        What is spoken when, ARPAbet; without them the metrics that need phones are left out.
    points : LipPoints, optional
        By default found in the first template.
    tolerance : int
        Frames by which lengths may differ.
    level : float

    Returns
    -------
    dict
        ``points``; ``thresholds`` by subject; and by metric ``value``, ``low``, ``high`` (Student's t over subjects, over clips where
        there is one), ``truth`` where the truth has such a share, ``n`` (frames, phones or pairs), and ``clips``: what each clip
        contributes.

    Raises
    ------
    FaceError
        If a point is no vertex of the mesh.
    """
    lips = np.unique(run.lips.indices)
    points = points or find_lip_points(run.truth.template(run.clips[0]), run.lips)
    if max(points.upper, points.lower, points.left, points.right) >= run.truth.n_vertices:
        raise FaceError(f"A lip point is no vertex of the meshes, which have {run.truth.n_vertices} vertices: {points}.")
    spoken: dict[str, list[Spoken]] = {}
    for one in phones:
        spoken.setdefault(one.clip, []).append(one)
    clips = [_Clip.read(run, clip, lips, points, spoken.get(clip, []), tolerance) for clip in run.clips]
    values: dict[str, list[_Value]] = {name: [] for name in LIP_METRICS}
    truths: dict[str, list[_Value]] = {name: [] for name in _TRUTH_TOO}
    for clip in clips:
        clip.add_distances(values)
    thresholds = _thresholds(clips) if phones else {}
    for clip in clips:
        clip.add_phones(values, truths, thresholds)
    _add_visemes(clips, values, truths)
    found: dict[str, Any] = {"points": str(points), "thresholds": thresholds}
    for name, parts in values.items():
        parts = [part for part in parts if part.weight and np.isfinite(part.value)]
        if not parts:
            continue
        interval = _interval([_Value(p.clip, p.subject, 0.0, p.weight) for p in parts], parts, level)
        found[name] = {
            "value": interval.estimate,
            "low": max(interval.low, _RANGES.get(name, (-np.inf, 0))[0]),
            "high": min(interval.high, _RANGES.get(name, (0, np.inf))[1]),
            "n": float(sum(part.weight for part in parts)),
            "clips": [[part.clip, part.subject, part.value, part.weight] for part in parts],
        }
        if truths.get(name):
            found[name]["truth"] = float(np.average([p.value for p in truths[name]], weights=[p.weight for p in truths[name]]))
    return found


def lip_difference(without: Mapping[str, Any], with_module: Mapping[str, Any], *, level: float = 0.95) -> dict[str, Any]:
    """With minus without of every lip metric that both have, over the clips that both have; with a Student interval over subjects.

    Returns
    -------
    dict
        By metric ``estimate``, ``low``, ``high``, ``p``, ``n_clips``.
    """
    found = {}
    for name in LIP_METRICS:
        if name not in without or name not in with_module:
            continue
        a, b = ({row[0]: _Value(*row) for row in side[name]["clips"]} for side in (without, with_module))
        shared = sorted(a.keys() & b.keys())
        if not shared:
            continue
        interval = _interval([a[clip] for clip in shared], [b[clip] for clip in shared], level)
        found[name] = {
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "p": interval.p,
            "n_clips": len(shared),
        }
    return found


def _interval(a: Sequence[_Value], b: Sequence[_Value], level: float):
    subjects = np.array([part.subject for part in a])
    units = subjects if len(set(subjects)) > 1 else np.array([part.clip for part in a])
    columns = [np.array(column, dtype=np.float64) for column in (
        [part.value for part in a], [part.value for part in b], [part.weight for part in a], [part.weight for part in b]
    )]  # fmt: skip
    return clustered_difference(*columns, units, level=level)


@dataclass
class _Clip:
    """One clip's lips, and its predictions'."""

    clip: str
    subject: str
    fps: int
    phones: list[Spoken]
    true_distances: np.ndarray
    true_shapes: np.ndarray
    distances: list[np.ndarray]
    shapes: list[np.ndarray]
    velocity_errors: list[float]
    diversities: list[float]

    @classmethod
    def read(
        cls, run: RunMeasures, clip: str, lips: np.ndarray, points: LipPoints, phones: list[Spoken], tolerance: int
    ) -> _Clip:
        """Read the clip's sequences once; only lip vertices and distances are kept."""
        found, _ = find_predictions(run.run.folder, run.truth.clips, run.truth.templates)
        measured = {(row.condition, row.sample) for row in run.rows if row.clip == clip}
        template = run.truth.template(clip)
        made = cls(clip, run.truth.dataset.subject(clip), run.truth.fps, [], *[np.zeros((2, 0))] * 2, [], [], [], [])
        samples: dict[str, list[np.ndarray]] = {}
        for prediction in found[clip]:
            if (prediction.condition, prediction.sample) not in measured:
                continue
            p, g, _ = aligned(run.run, run.truth, prediction, tolerance)
            scale = run.run.scale
            if not made.distances:
                grid = frame_grid(run.truth.fps)
                made.phones = [one for one in phones if len(g[grid.frames(one.start, one.end, len(g))])]
                made.true_shapes = lip_shapes(g, template, lips, made.phones, run.truth.fps)
                made.true_distances = _lip_distances(g, points)
            neutral = np.asarray(template, dtype=np.float64) * scale
            made.distances.append(_lip_distances(p, points) / scale)
            made.shapes.append(lip_shapes(p, neutral, lips, made.phones, run.truth.fps) / scale)
            moving = np.diff(np.asarray(p[:, lips], np.float64) / scale, axis=0) - np.diff(
                np.asarray(g[:, lips], np.float64), axis=0
            )
            made.velocity_errors.append(float(np.linalg.norm(moving, axis=2).mean()) * run.truth.fps if len(moving) else np.nan)
            if prediction.sample:
                samples.setdefault(prediction.condition, []).append(p)
        for group in samples.values():
            made.diversities += [
                _apart(group[i], group[j]) / run.run.scale for i in range(len(group)) for j in range(i + 1, len(group))
            ]
        length = min(distances.shape[1] for distances in [made.true_distances, *made.distances])
        made.true_distances = made.true_distances[:, :length]
        made.distances = [distances[:, :length] for distances in made.distances]
        return made

    def _value(self, numbers: Sequence[float], weight: float) -> _Value:
        kept = [number for number in numbers if np.isfinite(number)]
        return _Value(self.clip, self.subject, float(np.mean(kept)) if kept else float("nan"), weight)

    def add_distances(self, values: dict[str, list[_Value]]) -> None:
        """Errors and correlations of both distances, velocity and diversity; errors weigh by frames, correlations by clips."""
        n_frames = self.true_distances.shape[1]
        for row, name in enumerate(("vertical", "horizontal")):
            errors = [float(np.abs(one[row] - self.true_distances[row]).mean()) for one in self.distances]
            values[f"{name}_error"].append(self._value(errors, n_frames))
            values[f"{name}_corr"].append(
                self._value([_correlation(one[row], self.true_distances[row]) for one in self.distances], 1)
            )
        values["velocity_error"].append(self._value(self.velocity_errors, n_frames - 1))
        values["diversity"].append(self._value(self.diversities, len(self.diversities)))

    def smallest(self, distances: np.ndarray, row: int, phone: Spoken) -> float:
        """Smallest distance while a phone lasts; NaN where it has no frame left."""
        part = distances[row][frame_grid(self.fps).frames(phone.start, phone.end, distances.shape[1])]
        return float(part.min()) if len(part) else float("nan")

    def add_phones(
        self, values: dict[str, list[_Value]], truths: dict[str, list[_Value]], thresholds: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Closure, rounding and lag; each weighs by its phones."""
        for name, row, kinds in (("closure", 0, _BILABIAL), ("rounding", 1, _ROUNDED)):
            limit = thresholds.get(name, {}).get(self.subject, float("nan"))
            tokens = [one for one in self.phones if one.type in kinds]
            if not tokens or np.isnan(limit):
                continue
            shares = [float(np.mean([self.smallest(one, row, token) <= limit for token in tokens])) for one in self.distances]
            values[name].append(self._value(shares, len(tokens)))
            true = [self.smallest(self.true_distances, row, token) <= limit for token in tokens]
            truths[name].append(self._value([float(np.mean(true))], len(tokens)))
        lags = [_lag(one[0], self.true_distances[0], token, self.fps) for one in self.distances for token in self.phones]
        lags = [lag for lag in lags if np.isfinite(lag)]
        values["lag"].append(self._value(lags, len(lags) / max(len(self.distances), 1)))


def _lip_distances(vertices: np.ndarray, points: LipPoints) -> np.ndarray:
    """Vertical and horizontal distance in every frame, shape ``(2, T)``."""
    pairs = ((points.upper, points.lower), (points.left, points.right))
    return np.stack([np.linalg.norm(np.asarray(vertices[:, a], np.float64) - vertices[:, b], axis=1) for a, b in pairs])


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of vertices over frames and vertices."""
    n_frames = min(len(a), len(b))
    return float(np.linalg.norm(np.asarray(a[:n_frames], np.float64) - b[:n_frames], axis=2).mean())


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    # a face that only rounding moves does not move
    return (
        float(a @ b) / size
        if size > 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()), 1e-300) and size > 0
        else float("nan")
    )


def _lag(predicted: np.ndarray, true: np.ndarray, phone: Spoken, fps: int) -> float:
    """Shift in seconds at which the prediction around a phone correlates best with the truth; positive: it is late."""
    most = round(_LONGEST_LAG * fps)
    low, high = max(int(phone.start * fps) - most, most), min(int(np.ceil(phone.end * fps)) + most, len(true) - most)
    if high - low < 3:
        return float("nan")
    shifts = sorted(range(-most, most + 1), key=abs)  # of equals the smallest
    scores = [_correlation(predicted[low + shift : high + shift], true[low:high]) for shift in shifts]
    if not np.isfinite(scores).any():
        return float("nan")
    return shifts[int(np.nanargmax(scores))] / fps


def _thresholds(clips: Sequence[_Clip]) -> dict[str, dict[str, float]]:
    """By metric and subject, the distance that best tells closed (rounded) phones from open (spread) ones in the truth."""
    found: dict[str, dict[str, float]] = {"closure": {}, "rounding": {}}
    for name, row, inside, outside in (("closure", 0, _BILABIAL, _VOWELS), ("rounding", 1, _ROUNDED, _SPREAD)):
        for subject in sorted({clip.subject for clip in clips}):
            small, large = (
                np.array(
                    [
                        clip.smallest(clip.true_distances, row, one)
                        for clip in clips
                        if clip.subject == subject
                        for one in clip.phones
                        if one.type in kinds
                    ]
                )
                for kinds in (inside, outside)
            )
            small, large = small[np.isfinite(small)], large[np.isfinite(large)]
            if len(small) and len(large):
                right = [float((small <= limit).mean() + (large > limit).mean()) for limit in np.sort(small)]
                found[name][subject] = float(np.sort(small)[int(np.argmax(right))])
    return found


def _add_visemes(clips: Sequence[_Clip], values: dict[str, list[_Value]], truths: dict[str, list[_Value]]) -> None:
    """Share of phones whose lip shape is nearest to the true centroid of their own viseme."""
    from analysis.phonology.visemes import load_visemes

    classes = load_visemes()
    kinds = [[classes.get(one.type, "") for one in clip.phones] for clip in clips]
    names = sorted({kind for row in kinds for kind in row if kind})
    sums: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(names, 0)
    for clip, row in zip(clips, kinds, strict=True):
        for kind, shape in zip(row, clip.true_shapes, strict=True):
            if kind and np.isfinite(shape).all():
                sums[kind] = sums.get(kind, 0) + shape
                counts[kind] += 1
    names = [name for name in names if counts[name] > 1]  # a token's own shape is taken out, and something must be left
    if len(names) < 2:
        return
    centroids = np.stack([sums[name] / counts[name] for name in names])
    for clip, row in zip(clips, kinds, strict=True):
        used = [n for n, kind in enumerate(row) if kind in names and np.isfinite(clip.true_shapes[n]).all()]
        if not used:
            continue
        hits = []
        for shapes in (clip.true_shapes, *clip.shapes):
            right = 0
            for n in used:
                own = names.index(row[n])
                left = centroids.copy()
                left[own] = (sums[row[n]] - clip.true_shapes[n]) / (counts[row[n]] - 1)
                right += int(np.square(left - shapes[n]).sum(axis=1).argmin()) == own
            hits.append(right / len(used))
        truths["viseme"].append(clip._value(hits[:1], len(used)))
        values["viseme"].append(clip._value(hits[1:], len(used)))
