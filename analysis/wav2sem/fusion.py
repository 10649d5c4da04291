"""How the semantic vector of an utterance enters its frames.

Four ways, by the names under which they are reported:

``add``
    ``F_d = F_p + F_s``: what the release does at inference.
``linear``
    ``F_d = F_p + W F_s``: what the release does in training.
``paper``
    ``F_d = FC(FC(F_s) + F_p)``.
``concat``
    ``F_d = [F_p, F_s]``.

All four are affine in ``F_p``, so they commute with averaging frames: pooled vectors can be fused instead of frames. ``linear``
and ``paper`` hold weights that exist only once a downstream task has trained them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from analysis.errors import ConfigurationError, SemanticsError

__all__ = [
    "MODES",
    "TRAINED_MODES",
    "AffineFusion",
    "FusionWeights",
    "TrainedFusion",
    "fuse",
    "isometry",
    "semantic_scale",
    "trained_fusions",
]

log = logging.getLogger(__name__)

MODES = ("add", "linear", "paper", "concat")
TRAINED_MODES = ("linear", "paper")


@dataclass(frozen=True)
class FusionWeights:
    """Weights of the ``linear`` or ``paper`` fusion, as a downstream task left them.

    Attributes
    ----------
    mode : str
    inner, inner_bias : ndarray, shapes (dims, semantic dims) and (dims,)
        The map from the semantic space.
    outer, outer_bias : ndarray or None, shapes (dims, dims) and (dims,)
        The map after the sum; only ``paper`` has one.
    trained_on : str
        The task and its data.
    encoder : str
        ``name@revision`` whose frames they are for.
    layer : int
        Its hidden state; -1 if not known.
    """

    mode: str
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray | None = None
    outer_bias: np.ndarray | None = None
    trained_on: str = ""
    encoder: str = ""
    layer: int = -1

    def __post_init__(self) -> None:
        if self.mode not in TRAINED_MODES:
            raise ConfigurationError(f"Only the fusions {' and '.join(TRAINED_MODES)} have weights, not {self.mode!r}.")
        dims = self.inner.shape[0]
        expected = {"inner_bias": (dims,)} | ({"outer": (dims, dims), "outer_bias": (dims,)} if self.mode == "paper" else {})
        for name, shape in expected.items():
            found = getattr(self, name)
            if found is None or found.shape != shape:
                raise SemanticsError(
                    f"Fusion weights {name} have shape {None if found is None else found.shape}, expected {shape}."
                )

    def save(self, folder: Path) -> None:
        """Write ``fusion.safetensors`` and ``fusion.json``."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        names = ("inner", "inner_bias", "outer", "outer_bias")
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in names if getattr(self, name) is not None}
        save_file(arrays, folder / "fusion.safetensors")
        told = {name: getattr(self, name) for name in ("mode", "trained_on", "encoder", "layer")}
        (folder / "fusion.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FusionWeights:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        for name in ("fusion.json", "fusion.safetensors"):
            if not (folder / name).is_file():
                raise SemanticsError(f"{folder} holds no {name}. Make it with `python -m analysis.wav2sem fusion`.")
        return cls(**json.loads((folder / "fusion.json").read_text(encoding="utf-8")), **load_file(folder / "fusion.safetensors"))


@dataclass(frozen=True)
class AffineFusion:
    """A fusion in two halves: what becomes of a frame, and what an utterance adds to it. Their sum is the fused frame.

    Attributes
    ----------
    inner : ndarray, shape (fused dims, semantic dims)
    shift : ndarray, shape (fused dims,)
    outer : ndarray or None, shape (dims, dims)
        Map of the frames; None leaves them as they are, zeros appended where ``inner`` gives more dims than they have.
    """

    inner: np.ndarray
    shift: np.ndarray
    outer: np.ndarray | None = None

    @classmethod
    def of_weights(cls, weights: FusionWeights) -> AffineFusion:
        """The map of trained weights."""
        inner, shift = np.asarray(weights.inner, np.float64), np.asarray(weights.inner_bias, np.float64)
        if weights.mode == "linear":
            return cls(inner, shift)
        outer = np.asarray(weights.outer, np.float64)
        return cls(outer @ inner, outer @ shift + weights.outer_bias, outer)

    @classmethod
    def concatenation(cls, dims: int, semantic_dims: int, scale: float) -> AffineFusion:
        """Frames of ``dims`` with the vectors, times ``scale``, behind them."""
        inner = np.concatenate([np.zeros((dims, semantic_dims)), scale * np.eye(semantic_dims)])
        return cls(inner, np.zeros(dims + semantic_dims))

    def frames(self, vectors: np.ndarray) -> np.ndarray:
        """What becomes of frames ``(N, D)``."""
        if self.outer is not None:
            return vectors @ self.outer.T
        more = len(self.shift) - vectors.shape[1]
        return np.pad(vectors, ((0, 0), (0, more))) if more else vectors

    def offsets(self, semantics: np.ndarray) -> np.ndarray:
        """What the vectors ``(U, S)`` of utterances add, ``(U, fused dims)``."""
        return semantics @ self.inner.T + self.shift


@dataclass(frozen=True)
class TrainedFusion:
    """Weights and the vectors that they were trained with, as ``python -m analysis.wav2sem fusion`` leaves them.

    Attributes
    ----------
    weights : FusionWeights
    utterances : tuple of str
        Ids of the training utterances.
    vectors : ndarray, shape (U, S)
        What stood beside each of them: the module's vector, or a null's.
    """

    weights: FusionWeights
    utterances: tuple[str, ...]
    vectors: np.ndarray

    def save(self, folder: Path) -> None:
        """Write the weights, ``vectors.safetensors`` and ``utterances.json``."""
        from safetensors.numpy import save_file

        self.weights.save(folder)
        save_file({"vectors": np.ascontiguousarray(self.vectors, np.float32)}, folder / "vectors.safetensors")
        (folder / "utterances.json").write_text(json.dumps(list(self.utterances)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TrainedFusion:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        weights = FusionWeights.load(folder)
        utterances = tuple(json.loads((folder / "utterances.json").read_text(encoding="utf-8")))
        return cls(weights, utterances, load_file(folder / "vectors.safetensors")["vectors"])


def trained_fusions(folder: Path, mode: str, variant: str, stand_in: str = "module") -> list[TrainedFusion]:
    """What ``python -m analysis.wav2sem fusion`` trained for one variant.

    Parameters
    ----------
    folder : Path
        Its ``--out``.
    mode : str
        ``linear`` or ``paper``.
    variant : str
        ``wav2sem`` or ``oracle``: whose vectors it was trained with.
    stand_in : str
        ``module``, or the null whose vectors stood in for the module's: ``shuffled`` or ``random``.

    Returns
    -------
    list of TrainedFusion
        One for the module, one for each draw of a null.
    """
    place = Path(folder) / mode / variant
    names = (
        [place / "module"]
        if stand_in == "module"
        else [place / f"{stand_in}-{k}" for k in range(len(list(place.glob(f"{stand_in}-*"))))]
    )
    if not names or not all((name / "fusion.json").is_file() for name in names):
        module = "oracle:mean" if variant == "oracle" else "wav2sem"
        raise SemanticsError(
            f"There are no weights of the fusion {mode!r} for {variant} ({stand_in}) in {folder}: {place} does not hold them. "
            f"Make them with `python -m analysis.wav2sem fusion {module} --corpus ... --out {folder}`"
            + (", or leave the oracle out (--oracle none)." if variant == "oracle" else ".")
        )
    return [TrainedFusion.load(name) for name in names]


def isometry(source: int, target: int, *, seed: int = 0) -> np.ndarray:
    """A fixed map from ``source`` to ``target`` dimensions, shape ``(source, target)``.

    With ``target >= source`` its rows are orthonormal and all distances stay what they were. With fewer target dimensions no map
    keeps all distances: this one is a random projection, scaled so that squared distances are kept on average.
    """
    rng = np.random.default_rng([seed, source, target])
    larger, smaller = max(source, target), min(source, target)
    q, r = np.linalg.qr(rng.standard_normal((larger, smaller)))
    q = q * np.sign(np.diag(r))
    return q.T if target >= source else q * np.sqrt(source / target)


def semantic_scale(semantics: np.ndarray, *, share: float, frame_norm: float) -> float:
    """Factor that gives the semantic vectors a mean norm of ``share`` times the mean frame norm.

    Parameters
    ----------
    semantics : ndarray, shape (U, S)
        One row per utterance.
    share : float
    frame_norm : float
        Mean norm of the frames that the vectors are added to.
    """
    if not (np.isfinite(share) and share >= 0):
        raise ConfigurationError(f"The share of the semantic vector must be a number from 0 on, not {share}.")
    if not (np.isfinite(frame_norm) and frame_norm > 0):
        raise SemanticsError(f"The mean frame norm is {frame_norm}; it must be positive. Are the frames all zero or not finite?")
    norm = float(np.mean(np.linalg.norm(np.asarray(semantics, np.float64), axis=1))) if len(semantics) else 0.0
    return share * frame_norm / norm if norm > 0 else 0.0


def fuse(
    vectors: np.ndarray,
    semantics: np.ndarray,
    *,
    mode: str = "add",
    share: float = 0.5,
    frame_norm: float | None = None,
    seed: int = 0,
    scale: float | None = None,
    weights: FusionWeights | None = None,
) -> np.ndarray:
    """Frames or pooled tokens with the semantic vector of their utterance.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    semantics : ndarray, shape (N, S)
        Row i belongs to the utterance of vector i.
    mode : str
        ``add``, ``linear``, ``paper`` or ``concat``.
    share : float
        Mean norm of the semantic vectors, over utterances, as a share of ``frame_norm``. Ignored by trained fusions, which have
        learned their own scale.
    frame_norm : float, optional
        Mean norm of the host's frames; the mean norm of ``vectors`` by default.
    seed : int
        Of the orthonormal map that is used where S differs from D.
    scale : float, optional
        Factor on the semantic vectors; overrides ``share``.
    weights : FusionWeights, optional
        Needed by ``linear`` and ``paper``.

    Returns
    -------
    ndarray, shape (N, D), or (N, D + S) for ``concat``

    Raises
    ------
    SemanticsError
        If shapes do not fit, or a fusion with weights is asked for without them.

    Notes
    -----
    Norms are averaged over distinct rows of ``semantics``: tokens of one utterance repeat its row.
    """
    vectors, semantics = np.asarray(vectors), np.asarray(semantics)
    if mode not in MODES:
        raise ConfigurationError(f"There is no fusion {mode!r}. Choose one of: {', '.join(MODES)}.")
    if vectors.ndim != 2 or semantics.ndim != 2 or len(vectors) != len(semantics):
        raise SemanticsError(
            f"Fusion takes N vectors and N semantic vectors, not arrays of shapes {vectors.shape} and {semantics.shape}. "
            "Repeat the vector of an utterance for each of its tokens."
        )
    if mode in TRAINED_MODES:
        return _trained(vectors, semantics, mode, weights)
    if scale is None:
        norm = float(np.mean(np.linalg.norm(vectors.astype(np.float64), axis=1))) if frame_norm is None else frame_norm
        scale = semantic_scale(_distinct(semantics), share=share, frame_norm=norm)
    added = semantics * scale
    if mode == "concat":
        return np.concatenate([vectors, added.astype(vectors.dtype)], axis=1)
    if semantics.shape[1] != vectors.shape[1]:
        source, target = semantics.shape[1], vectors.shape[1]
        _say_mapped(source, target, seed)
        added = added @ isometry(source, target, seed=seed)
    return (vectors + added).astype(vectors.dtype)


@cache
def _say_mapped(source: int, target: int, seed: int) -> None:
    """Said once, not for every layer, module and draw."""
    kept = "which keeps their distances" if target >= source else "which keeps their distances only on average"
    log.info(
        "semantic vectors of %d dims go to %d dims through a fixed orthonormal map (seed %d), %s", source, target, seed, kept
    )


def _trained(vectors: np.ndarray, semantics: np.ndarray, mode: str, weights: FusionWeights | None) -> np.ndarray:
    if weights is None:
        raise SemanticsError(
            f"The fusion {mode!r} has weights that only a downstream task can train; none were given, and untrained ones would "
            "mean nothing. Train them on phones (`python -m analysis.wav2sem fusion`) or with an animation model "
            "(analysis.wav2sem.plug), or use 'add' or 'concat'."
        )
    if weights.mode != mode:
        raise SemanticsError(f"The weights given are of the fusion {weights.mode!r}, not of {mode!r}.")
    if weights.inner.shape != (vectors.shape[1], semantics.shape[1]):
        raise SemanticsError(
            f"The fusion weights map {weights.inner.shape[1]} to {weights.inner.shape[0]} dims, but the semantic vectors have "
            f"{semantics.shape[1]} and the frames {vectors.shape[1]}. They were trained with another module or encoder."
        )
    fused = vectors + semantics @ weights.inner.T + weights.inner_bias
    if mode == "paper":
        fused = fused @ weights.outer.T + weights.outer_bias
    return fused.astype(vectors.dtype)


def _distinct(rows: np.ndarray) -> np.ndarray:
    """Distinct rows in order of first occurrence."""
    rows = np.ascontiguousarray(rows)
    if not len(rows):
        return rows
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return rows[np.sort(np.unique(keys, return_index=True)[1])]
