"""Lip vertex error, mean vertex error and upper-face dynamics deviation: pure functions, and the sums they stream into.

p and g are predicted and true vertices ``(T, V, 3)``, cut to the shorter; M is the neutral template of the true subject;
``d2(t, v)`` is the squared distance of p and g.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.errors import FaceError
from analysis.face.presets import Preset, find_preset
from analysis.face.regions import Region

__all__ = [
    "MotionSpread",
    "lip_errors",
    "lip_vertex_error",
    "mean_vertex_error",
    "motion_spread",
    "upper_face_dynamics_deviation",
    "vertex_errors",
]

Vertices = np.ndarray | Sequence[np.ndarray]


def lip_errors(prediction: np.ndarray, truth: np.ndarray, lips: Region | np.ndarray, *, centred: bool = False) -> np.ndarray:
    """Squared distance of the worst lip vertex in each frame, shape ``(T,)``.

    Parameters
    ----------
    prediction, truth : ndarray, shape (T, V, 3)
        The longer one is cut.
    lips : Region or ndarray of int
    centred : bool
        Subtract from each frame's lips their own mean first, as MeshTalk does.
    """
    indices = _indices(lips, truth.shape[1])
    n_frames = _common_length(prediction, truth)
    p = np.take(prediction[:n_frames], indices, axis=1).astype(np.float64)
    g = np.take(truth[:n_frames], indices, axis=1).astype(np.float64)
    if centred:
        p -= p.mean(axis=1, keepdims=True)
        g -= g.mean(axis=1, keepdims=True)
    p -= g
    return _squared_lengths(p).max(axis=1)


def vertex_errors(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of every vertex in every frame, shape ``(T, V)``, in the arrays' own precision (at least float32)."""
    n_frames = _common_length(prediction, truth)
    dtype = np.result_type(prediction.dtype, truth.dtype, np.float32)
    difference = np.subtract(prediction[:n_frames], truth[:n_frames], dtype=dtype)
    squared = _squared_lengths(difference)
    return np.sqrt(squared, out=squared)


def _squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths over the last axis of three; spoils ``vectors``. Adding strided views beats reducing so short an axis."""
    np.multiply(vectors, vectors, out=vectors)
    squared = vectors[..., 0] + vectors[..., 1]
    squared += vectors[..., 2]
    return squared


class MotionSpread:
    """Standard deviation over time of each vertex's squared offset from the template, gathered piece by piece.

    Parameters
    ----------
    template : ndarray, shape (V, 3)
    upper : Region or ndarray of int

    Notes
    -----
    ``e(t, v) = |x(t, v) - M(v)|^2``; the population standard deviation over t, merged over pieces as in Chan, Golub and LeVeque
    (1979), so memory does not grow with the clip.
    """

    def __init__(self, template: np.ndarray, upper: Region | np.ndarray) -> None:
        self._indices = _indices(upper, len(template))
        self._neutral = np.asarray(template, dtype=np.float64)[self._indices]
        self._n = 0
        self._mean = np.zeros(len(self._indices))
        self._squares = np.zeros(len(self._indices))

    def add(self, frames: np.ndarray) -> None:
        """Take in frames of shape ``(T, V, 3)``."""
        offset = np.take(frames, self._indices, axis=1).astype(np.float64)
        offset -= self._neutral
        excursion = _squared_lengths(offset)
        n, mean = len(excursion), excursion.mean(axis=0)
        excursion -= mean
        delta = mean - self._mean
        total = self._n + n
        np.multiply(excursion, excursion, out=excursion)
        self._squares += excursion.sum(axis=0) + delta**2 * (self._n * n / total)
        self._mean += delta * (n / total)
        self._n = total

    @property
    def value(self) -> float:
        """Mean over the region's vertices of the standard deviation over time."""
        return float(np.sqrt(self._squares / self._n).mean())


def motion_spread(vertices: np.ndarray, template: np.ndarray, upper: Region | np.ndarray) -> float:
    """Mean over upper-face vertices of the standard deviation over time of the squared offset from the template."""
    spread = MotionSpread(template, upper)
    spread.add(vertices)
    return spread.value


def lip_vertex_error(
    prediction: Vertices,
    truth: Vertices,
    lips: Region | np.ndarray,
    *,
    preset: str | Preset = "codetalker",
    root: bool | None = None,
) -> float:
    """Lip vertex error of one clip or of several.

    Parameters
    ----------
    prediction, truth : ndarray of shape (T, V, 3), or a sequence of them, one per clip
    lips : Region or ndarray of int
    preset : str or Preset
    root : bool, optional
        The mean of the root instead of the squared distance (UniTalker prints both); by default as the preset says.

    Returns
    -------
    float
        In squared units of the vertices, or units where rooted: the two are never converted into each other, because the mean of
        a root is not the root of a mean.
    """
    preset = find_preset(preset)
    root = preset.lve_power == "root" if root is None else root
    frames = [lip_errors(p, g, lips, centred=preset.lips_centred) for p, g in zip(_clips(prediction), _clips(truth), strict=True)]
    if root:
        frames = [np.sqrt(errors) for errors in frames]
    if preset.lve_pooling == "clips":
        return float(np.mean([errors.mean() for errors in frames]))
    return float(np.concatenate(frames).mean())


def mean_vertex_error(prediction: Vertices, truth: Vertices) -> float:
    """Mean over all frames of all clips and all vertices of the distance; a length."""
    total, count = 0.0, 0
    for p, g in zip(_clips(prediction), _clips(truth), strict=True):
        errors = vertex_errors(np.asarray(p), np.asarray(g))
        total += errors.sum(dtype=np.float64)
        count += errors.size
    return float(total / count)


def upper_face_dynamics_deviation(
    prediction: Vertices,
    truth: Vertices,
    template: Vertices,
    upper: Region | np.ndarray,
    *,
    absolute: bool = False,
) -> float:
    """How much more the true upper face moves than the predicted one: mean over clips of the difference of their motion spreads.

    Parameters
    ----------
    prediction, truth : ndarray of shape (T, V, 3), or a sequence of them, one per clip
    template : ndarray of shape (V, 3), or one per clip
        The true subject's neutral face.
    upper : Region or ndarray of int
    absolute : bool
        Mean of the absolute differences instead. Signed, clips that move too much and too little cancel.
    """
    clips = _clips(truth)
    templates = [template] * len(clips) if isinstance(template, np.ndarray) and template.ndim == 2 else list(template)
    differences = []
    for p, g, neutral in zip(_clips(prediction), clips, templates, strict=True):
        n_frames = _common_length(p, g)
        differences.append(motion_spread(g[:n_frames], neutral, upper) - motion_spread(p[:n_frames], neutral, upper))
    return float(np.mean(np.abs(differences) if absolute else differences))


def _common_length(prediction: np.ndarray, truth: np.ndarray) -> int:
    if prediction.shape[1:] != truth.shape[1:]:
        raise FaceError(
            f"The prediction has shape {prediction.shape} and the truth {truth.shape}: they are not of one mesh of shape "
            f"(frames, vertices, 3)."
        )
    return min(len(prediction), len(truth))


def _clips(vertices: Vertices) -> list[np.ndarray]:
    clips = [vertices] if isinstance(vertices, np.ndarray) and vertices.ndim == 3 else list(vertices)
    for clip in clips:
        if getattr(clip, "ndim", 0) != 3 or clip.shape[2] != 3 or len(clip) == 0:
            raise FaceError(f"Vertices must have shape (frames, vertices, 3), not {getattr(clip, 'shape', None)}.")
    if not clips:
        raise FaceError("There is no clip to measure.")
    return clips


def _indices(region: Region | np.ndarray, n_vertices: int) -> np.ndarray:
    region = region if isinstance(region, Region) else Region("the region", np.asarray(region))
    region.check(n_vertices)
    return region.indices
