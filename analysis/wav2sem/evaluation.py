"""How much of what was said a module's vectors hold: distance to the target, and retrieval of the right text among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import SemanticsError

__all__ = ["Baselines", "ranks", "scores"]


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def ranks(vectors: np.ndarray, gallery: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rank of the right text among all texts by cosine, from 1.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
        One per utterance.
    gallery : ndarray, shape (G, D)
        One per text.
    right : ndarray of int, shape (U,)
        Row of the right text in the gallery.

    Returns
    -------
    ndarray, shape (U,), float64
        A tie counts half, so that a vector that tells nothing apart gets the rank of chance, (G + 1) / 2. A vector with NaN or
        infinite values finds nothing: its rank is infinite.
    """
    finite = np.isfinite(vectors).all(axis=1)
    similarity = np.round(_unit(np.where(finite[:, None], vectors, 0)) @ _unit(gallery).T, 9)  # last digits must not break ties
    own = np.take_along_axis(similarity, right[:, None], 1)
    found = 1 + (similarity > own).sum(1) + ((similarity == own).sum(1) - 1) / 2
    return np.where(finite, found, np.inf)


def scores(vectors: np.ndarray, targets: np.ndarray, gallery: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Distance to the target and audio-to-text retrieval.

    Parameters
    ----------
    vectors, targets : ndarray, shape (U, D)
        What the module gave and the vector of what was said.
    gallery : ndarray, shape (G, D)
        Vectors of all texts that it may be, the right ones among them.
    right : ndarray of int, shape (U,)

    Returns
    -------
    dict
        ``l1`` (mean absolute difference per dimension), ``cosine`` (mean similarity), ``r1``, ``r5``, ``r10`` (share of
        utterances whose right text is among the first 1, 5, 10), ``mrr`` (mean reciprocal rank), ``utterances``, ``texts``.
        Vectors with NaN or infinite values score worst: ``l1`` is then infinite.
    """
    if vectors.shape != targets.shape:
        raise SemanticsError(
            f"The module gives vectors of shape {vectors.shape} and the text model {targets.shape}: they live in different "
            "spaces. Evaluate with the text model and pooling that the module was trained on."
        )
    place = ranks(vectors, gallery, right)
    finite = np.isfinite(vectors).all(axis=1)
    known = np.where(finite[:, None], vectors, 0)
    return {
        "l1": float(np.abs(known - targets).mean()) if finite.all() else np.inf,
        "cosine": float(np.where(finite, (_unit(known) * _unit(targets)).sum(1), -1.0).mean()),
        **{f"r{k}": float((place <= k).mean()) for k in (1, 5, 10)},
        "mrr": float((1 / place).mean()),
        "utterances": len(vectors),
        "texts": len(gallery),
    }


@dataclass(frozen=True)
class Baselines:
    """What can be said of a sentence without understanding a word.

    Attributes
    ----------
    mean : ndarray, shape (D,)
        Mean text vector of the training texts: the same for every utterance.
    length : ndarray, shape (4, D)
        Least-squares prediction of the text vector from how long the utterance lasts (1, t, t squared, log t).
    """

    mean: np.ndarray
    length: np.ndarray

    @classmethod
    def fitted(cls, seconds: Sequence[float], vectors: np.ndarray) -> Baselines:
        """Baselines from training durations (s) and text vectors ``(U, D)``."""
        features = _length_features(seconds)
        return cls(vectors.mean(0), np.linalg.lstsq(features, vectors.astype(np.float64), rcond=None)[0])

    def vectors(self, name: str, seconds: Sequence[float]) -> np.ndarray:
        """Vectors of the baseline ``mean`` or ``length`` for utterances of these durations (s)."""
        if name == "mean":
            return np.repeat(self.mean[None], len(seconds), 0)
        return _length_features(seconds) @ self.length

    def save(self, folder: Path) -> None:
        """Write ``baselines.safetensors``."""
        from safetensors.numpy import save_file

        save_file(
            {"mean": self.mean.astype(np.float32), "length": np.ascontiguousarray(self.length.astype(np.float32))},
            folder / "baselines.safetensors",
        )

    @classmethod
    def load(cls, folder: Path) -> Baselines | None:
        """Read what :meth:`save` wrote; None where there is none."""
        from safetensors.numpy import load_file

        path = folder / "baselines.safetensors"
        return cls(**load_file(path)) if path.exists() else None


def _length_features(seconds: Sequence[float]) -> np.ndarray:
    t = np.asarray(seconds, np.float64)
    return np.stack([np.ones_like(t), t, t**2, np.log(np.maximum(t, 1e-3))], 1)
