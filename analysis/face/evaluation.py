"""Measure folders of predictions against the truth, one piece of a clip at a time, and keep with every number how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from analysis.errors import ConfigurationError, FaceError, Failure, NotComparableError
from analysis.face.datasets import Truth
from analysis.face.metrics import MotionSpread, lip_errors, vertex_errors
from analysis.face.predictions import Prediction, find_predictions
from analysis.face.presets import Preset, find_preset
from analysis.face.regions import Region
from analysis.face.sequences import DEFAULT_TOLERANCE, chunks, matched_length, where_not_finite

__all__ = ["METRICS", "ClipMeasures", "Measure", "Run", "RunMeasures", "evaluate", "require_comparable"]

#: What is measured for every run; ``lve_root`` is the mean of the root, which UniTalker prints beside the squared error.
METRICS = ("lve", "lve_root", "mve", "fdd", "fdd_abs")


@dataclass(frozen=True)
class Run:
    """One method's predictions.

    Attributes
    ----------
    name : str
        ``FaceFormer``, ``FaceFormer+Wav2Sem``.
    folder : Path
    fps : int or None
        Frames a second on disk; None: the rate at which metrics are taken.
    scale : float
        The stored vertices were multiplied by this (UniTalker: 0.2 on BIWI); they are divided by it before anything is measured.
    """

    name: str
    folder: Path
    fps: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ConfigurationError(f"The scale of {self.name} is {self.scale}; it must be a positive number, such as 0.2.")


@dataclass(frozen=True, eq=False)
class ClipMeasures:
    """What one predicted sequence contributes.

    Attributes
    ----------
    clip, subject, condition, sample : str
    n_frames : int
        Compared.
    gap : int
        Frames by which the prediction was longer (negative: shorter) than the truth.
    lve, lve_root, mve, fdd : float
        Over this clip's frames. ``lve`` is the mean squared and ``lve_root`` the mean rooted error of the worst lip vertex.
    spread_truth, spread_prediction : float
        Motion spread of the upper face; their difference is ``fdd``.
    lip_errors : ndarray, shape (n_frames,)
        Squared error of the worst lip vertex in each frame.
    """

    clip: str
    subject: str
    condition: str
    sample: str
    n_frames: int
    gap: int
    lve: float
    lve_root: float
    mve: float
    fdd: float
    spread_truth: float
    spread_prediction: float
    lip_errors: np.ndarray = field(repr=False)

    @property
    def fdd_abs(self) -> float:
        """Absolute upper-face dynamics deviation of the clip."""
        return abs(self.fdd)


@dataclass(frozen=True)
class Measure:
    """One number with everything needed to read it and to know what it may be compared with.

    Attributes
    ----------
    metric : str
        One of :data:`METRICS`.
    value : float
        In ``units``.
    preset, definition : str
        The preset asked for, and the one whose formula this is (a preset may not define every metric).
    region, region_sha1 : str
    region_size : int
    power : str
        ``squared``, ``root`` or ``std of squared``.
    pooling : str
        ``frames`` or ``clips``.
    sign : str
        ``signed``, ``absolute`` or ``none``.
    fps : int
    units : str
    template : str
        Which file the neutral faces came from.
    condition : str
        ``single`` (one prediction per clip), ``mean``, ``best`` (the condition with the lowest LVE, clip by clip) or
        ``chosen:SUBJECT``.
    dataset : str
    n_clips, n_frames : int
    """

    metric: str
    value: float
    preset: str
    definition: str
    region: str
    region_size: int
    region_sha1: str
    power: str
    pooling: str
    sign: str
    fps: int
    units: str
    template: str
    condition: str
    dataset: str
    n_clips: int
    n_frames: int


_SETTINGS = ("preset", "region_size", "region_sha1", "power", "pooling", "sign", "fps", "units", "template", "dataset")


def require_comparable(measures: Iterable[Measure]) -> None:
    """Raise NotComparableError unless all measures of each metric were made alike.

    The message names the first setting that differs and both of its values. The clips must agree in number too.
    """
    first: dict[str, Measure] = {}
    for measure in measures:
        other = first.setdefault(measure.metric, measure)
        for setting in (*_SETTINGS, "condition", "n_clips"):
            mine, theirs = getattr(measure, setting), getattr(other, setting)
            if setting == "condition":  # a mean over conditions estimates what one prediction does; the best of several does not
                mine, theirs = mine == "best", theirs == "best"
                if mine != theirs:
                    raise NotComparableError(
                        f"Values of {measure.metric} cannot stand in one table: some are of the best of several predictions "
                        f"({other.condition if theirs else measure.condition}) and some are not "
                        f"({measure.condition if theirs else other.condition}). "
                        f"Measure all runs with the same --condition."
                    )
            elif mine != theirs:
                raise NotComparableError(
                    f"Values of {measure.metric} under different settings cannot stand in one table: "
                    f"{setting.replace('_', ' ')} is "
                    f"{theirs} for one ({other.region}) and {mine} for another ({measure.region}). Measure all runs with "
                    "the same "
                    f"preset, regions, templates, frame rate and clips."
                )


@dataclass(frozen=True)
class RunMeasures:
    """All that was measured of one run.

    Attributes
    ----------
    run : Run
    preset : Preset
    lips, upper : Region
    truth : Truth
    rows : tuple of ClipMeasures
        One per predicted sequence.
    policy : str
        How several predictions of a clip become one number: ``single``, ``mean``, ``best`` or ``chosen:SUBJECT``.
    vertex_error : ndarray, shape (V,)
        Mean distance of each vertex over all compared frames.
    failures : tuple of Failure
    """

    run: Run
    preset: Preset
    lips: Region
    upper: Region
    truth: Truth
    rows: tuple[ClipMeasures, ...]
    policy: str
    vertex_error: np.ndarray
    failures: tuple[Failure, ...] = ()

    @property
    def clips(self) -> tuple[str, ...]:
        """Measured clips, sorted."""
        return tuple(sorted({row.clip for row in self.rows}))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Style subjects among the predictions, sorted."""
        return tuple(sorted({row.condition for row in self.rows if row.condition}))

    def restricted(self, clips: Iterable[str]) -> RunMeasures:
        """The same run with only the given clips."""
        keep = set(clips)
        return replace(self, rows=tuple(row for row in self.rows if row.clip in keep))

    def per_clip(self, policy: str | None = None) -> list[dict[str, float | str | int]]:
        """One row per clip: ``clip``, ``subject``, ``n_frames`` and each of :data:`METRICS`, conditions brought to one number."""
        policy = policy or self.policy
        rows = []
        for clip in self.clips:
            candidates = [row for row in self.rows if row.clip == clip]
            if policy.startswith("chosen:"):
                wanted = policy.removeprefix("chosen:")
                candidates = [row for row in candidates if row.condition == wanted]
                if not candidates:
                    raise FaceError(f"{self.run.name} has no prediction of {clip} conditioned on {wanted}.")
            elif policy == "best":
                candidates = [min(candidates, key=lambda row: row.lve)]
            values = {metric: float(np.mean([getattr(row, metric) for row in candidates])) for metric in METRICS}
            n_frames = round(float(np.mean([row.n_frames for row in candidates])))
            rows.append({"clip": clip, "subject": candidates[0].subject, "n_frames": n_frames, **values})
        return rows

    def measures(self, policy: str | None = None) -> dict[str, Measure]:
        """Every metric over all clips, by name."""
        policy = policy or self.policy
        rows = self.per_clip(policy)
        length = self.truth.dataset.units
        common = {
            "preset": self.preset.name,
            "fps": self.truth.fps,
            "template": self.truth.template_source,
            "condition": policy,
            "dataset": self.truth.dataset.name,
            "n_clips": len(rows),
            "n_frames": sum(row["n_frames"] for row in rows),
        }
        everything = {"region": "all vertices", "region_size": self.truth.n_vertices, "region_sha1": ""}
        result = {}
        for metric in METRICS:
            region = {"lve": self.lips, "lve_root": self.lips, "fdd": self.upper, "fdd_abs": self.upper}.get(metric)
            named = {"region": region.name, "region_size": region.size, "region_sha1": region.sha1} if region else everything
            pooling = pooling_of(metric, self.preset)
            root = metric in ("lve_root", "mve") or (metric == "lve" and self.preset.lve_power == "root")
            fdd = metric.startswith("fdd")
            source = "lve_root" if metric == "lve" and root else metric
            values = np.array([row[source] for row in rows])
            weights = np.array([row["n_frames"] for row in rows], dtype=np.float64) if pooling == "frames" else np.ones(len(rows))
            result[metric] = Measure(
                metric=metric,
                value=float(np.average(values, weights=weights)),
                definition=self.preset.definition(metric),
                power="std of squared" if fdd else ("root" if root else "squared"),
                pooling=pooling,
                sign={"fdd": "signed", "fdd_abs": "absolute"}.get(metric, "none"),
                units=length if root and not fdd else f"{length}^2",
                **named,
                **common,
            )
        return result


def pooling_of(metric: str, preset: Preset) -> str:
    """``frames`` or ``clips``: what a metric is averaged over."""
    if metric.startswith("fdd"):
        return "clips"
    return preset.lve_pooling if metric.startswith("lve") else "frames"


def evaluate(
    run: Run,
    truth: Truth,
    lips: Region,
    upper: Region,
    *,
    preset: str | Preset = "facediffuser",
    clips: Sequence[str] | None = None,
    condition: str = "auto",
    tolerance: int = DEFAULT_TOLERANCE,
    progress: bool | None = None,
) -> RunMeasures:
    """Everything measured of one run; clips that cannot be used become failures.

    Parameters
    ----------
    run : Run
    truth : Truth
    lips, upper : Region
    preset : str or Preset
    clips : sequence of str, optional
        Measure only these, and count each that is missing as a failure; by default all that have a prediction.
    condition : str
        ``own`` (conditioned on the clip's own subject, or the only prediction there is), ``mean``, ``best``, the name of a style
        subject, or ``auto``: own where there is one, otherwise the mean over conditions.
    tolerance : int
        Frames by which lengths may differ.
    progress : bool, optional
        Show a progress bar; by default where standard error is a terminal.

    Raises
    ------
    FaceError
        If a region does not fit the mesh, or no prediction belongs to any clip.
    """
    from tqdm import tqdm

    preset = find_preset(preset)
    lips.check(truth.n_vertices)
    upper.check(truth.n_vertices)
    found, unmatched = find_predictions(run.folder, truth.clips, truth.templates)
    if not found:
        seen = ", ".join(path.name for path in unmatched[:3]) or "no .npy, .npz, .pkl or .obj file"
        raise FaceError(
            f"No prediction in {run.folder} belongs to a clip of {truth.folder}: it holds {seen}, and the clips are named like "
            f"{truth.clips[0]}. Name predictions CLIP_condition_SUBJECT.npy or CLIP.npy."
        )
    wanted = tuple(clips) if clips is not None else tuple(sorted(found))
    failures = []
    chosen: dict[str, list[Prediction]] = {}
    policies: dict[str, str] = {}
    for clip in wanted:
        candidates = found.get(clip, [])
        own, picked = _select(candidates, truth.dataset.subject(clip), condition)
        if picked:
            chosen[clip] = picked
            policies[clip] = own
        elif not candidates:
            failures.append(
                _failure(run, clip, f"there is no prediction of {clip} in {run.folder}", "Predict the clip, or leave it out.")
            )
        else:
            had = ", ".join(sorted({c.condition or "none" for c in candidates}))
            failures.append(
                _failure(
                    run,
                    clip,
                    f"no prediction of {clip} has the condition {condition!r} (it has: {had})",
                    "Choose another condition.",
                )
            )
    if len(set(policies.values())) > 1:
        example = {policy: clip for clip, policy in policies.items()}
        raise ConfigurationError(
            f"In {run.folder} some clips are conditioned on their own subject ({example.get('single')}) and some on several "
            "others "
            f"({example.get('mean')}). Measure the two apart: choose clips with --clips, or state --condition."
        )
    policy = next(iter(policies.values()), "single")

    rows: list[ClipMeasures] = []
    total = np.zeros(truth.n_vertices)
    work = [(clip, prediction) for clip, picked in chosen.items() for prediction in picked]
    for clip, prediction in tqdm(
        work, desc=run.name, unit="clip", disable=None if progress is None else not progress, leave=False
    ):
        try:
            row, vertex_sum = _measure(run, truth, clip, prediction, lips, upper, preset, tolerance)
        except FaceError as error:
            failures.append(Failure("face", f"{run.name}/{clip}", str(error), "Mend or replace the file.", "error"))
            continue
        if not rows:
            failures.extend(_geometry_doubts(run, truth, clip, prediction))
        rows.append(row)
        total += vertex_sum
    failed = {failure.item.rpartition("/")[2] for failure in failures if failure.severity == "error"}
    rows = [row for row in rows if row.clip not in failed]  # a clip that lost one of its conditions would be another mean
    frames = sum(row.n_frames for row in rows)
    return RunMeasures(run, preset, lips, upper, truth, tuple(rows), policy, total / max(frames, 1), tuple(failures))


def _select(candidates: list[Prediction], subject: str, condition: str) -> tuple[str, list[Prediction]]:
    """The policy's label and the predictions that it needs."""
    bare = [c for c in candidates if not c.condition]
    own = [c for c in candidates if c.condition == subject] or bare
    if condition == "own" or (condition == "auto" and own):
        return "single", own
    if condition in ("auto", "mean", "best"):
        return ("best" if condition == "best" else "mean"), candidates
    return f"chosen:{condition}", [c for c in candidates if c.condition == condition]


def _failure(run: Run, clip: str, reason: str, remedy: str) -> Failure:
    return Failure("face", f"{run.name}/{clip}", reason, remedy)


def aligned(run: Run, truth: Truth, prediction: Prediction, tolerance: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Prediction and truth of one clip at one rate and cut to one length, and the prediction's surplus in frames."""
    g = truth.sequence(prediction.clip)
    p = truth.prepare(prediction.open(truth.n_vertices), run.fps or truth.fps, str(prediction))
    n_frames, gap = matched_length(p, g, tolerance=tolerance, fps=truth.fps, name=f"{run.name}, {prediction.clip}")
    return p[:n_frames], g[:n_frames], gap


def _measure(
    run: Run, truth: Truth, clip: str, prediction: Prediction, lips: Region, upper: Region, preset: Preset, tolerance: int
) -> tuple[ClipMeasures, np.ndarray]:
    template = truth.template(clip)
    p, g, gap = aligned(run, truth, prediction, tolerance)
    n_frames = len(g)
    spread_p, spread_g = MotionSpread(template, upper), MotionSpread(template, upper)
    lip, vertex_sum, distance_sum = np.empty(n_frames), np.zeros(truth.n_vertices), 0.0
    for part in chunks(n_frames, truth.n_vertices, max(p.itemsize, g.itemsize)):
        p_part, g_part = np.asarray(p[part]), np.asarray(g[part])
        if run.scale != 1.0:
            p_part = p_part / p_part.dtype.type(run.scale) if p_part.dtype.kind == "f" else p_part / run.scale
        errors = vertex_errors(p_part, g_part)
        part_sum = errors.sum(axis=0, dtype=np.float64)
        if not np.isfinite(part_sum).all():
            for name, array in ((str(prediction), p), (str(truth.folder / f"{clip}.npy"), g)):
                where = where_not_finite(array)
                if where:
                    raise FaceError(f"{name} is not a number at {where} (counted at {truth.fps} frames a second). Make it again.")
        vertex_sum += part_sum
        distance_sum += float(part_sum.sum())
        lip[part] = lip_errors(p_part, g_part, lips, centred=preset.lips_centred)
        spread_p.add(p_part)
        spread_g.add(g_part)
    return (
        ClipMeasures(
            clip=clip,
            subject=truth.dataset.subject(clip),
            condition=prediction.condition,
            sample=prediction.sample,
            n_frames=n_frames,
            gap=gap,
            lve=float(lip.mean()),
            lve_root=float(np.sqrt(lip).mean()),
            mve=distance_sum / (n_frames * truth.n_vertices),
            fdd=spread_g.value - spread_p.value,
            spread_truth=spread_g.value,
            spread_prediction=spread_p.value,
            lip_errors=lip,
        ),
        vertex_sum,
    )


def _geometry_doubts(run: Run, truth: Truth, clip: str, prediction: Prediction) -> list[Failure]:
    """Warnings where the first prediction looks scaled, moved or turned against the truth: the three classic wrong tables."""
    p, g, _ = aligned(run, truth, prediction, tolerance=1 << 30)
    face = np.asarray(p[0], dtype=np.float64) / run.scale
    true, neutral = np.asarray(g[0], dtype=np.float64), np.asarray(truth.template(clip), dtype=np.float64)
    doubts = []

    def doubt(reason: str, remedy: str) -> None:
        doubts.append(Failure("face", f"{run.name}/{clip}", reason, remedy, "warning"))

    def size(points: np.ndarray) -> float:
        return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))

    radius = size(true)
    if radius == 0:
        return doubts
    ratio = size(face) / radius
    if not 0.5 < ratio < 2:
        doubt(
            f"the predicted face is {ratio:.3g} times as large as the true one",
            f"If its vertices were multiplied by a constant, state it, as in --scale {run.name}=0.2.",
        )
    if float(np.linalg.norm(face.mean(axis=0) - true.mean(axis=0))) > 0.5 * radius * max(1.0, ratio):
        doubt(
            "the predicted face is centred elsewhere than the true one", "Were prediction and truth made with the same templates?"
        )
    if float(np.linalg.norm(neutral.mean(axis=0) - true.mean(axis=0))) > 0.5 * radius:
        doubt(
            "the template is centred elsewhere than the true face, which spoils FDD",
            "Use the templates that belong to this truth.",
        )
    best, kept = _turned(face, true)
    if best > 0.9 > kept + 0.2:
        doubt("the predicted face's axes look exchanged or mirrored against the truth", "Bring both to the same axes.")
    return doubts


def _turned(face: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Mean correlation over axes under the best signed permutation of the axes, and as they stand."""
    from itertools import permutations

    a, b = face - face.mean(axis=0), true - true.mean(axis=0)
    norms = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    correlation = np.divide(a.T @ b, norms, out=np.zeros((3, 3)), where=norms > 0)
    best = max(sum(abs(correlation[order[axis], axis]) for axis in range(3)) / 3 for order in permutations(range(3)))
    return best, float(np.trace(correlation) / 3)


def settings_of(measure: Measure) -> dict[str, str | int]:
    """What two measures must share to be compared, and the region's name."""
    values = asdict(measure)
    return {name: values[name] for name in (*_SETTINGS, "region", "definition", "condition")}
