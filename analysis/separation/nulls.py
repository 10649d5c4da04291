"""What stands in for meaning: vectors of the right size that carry none."""

from __future__ import annotations

import numpy as np

__all__ = ["constant", "frame_noise", "random_directions", "shuffled"]


def random_directions(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vectors of the same norms in independent, uniformly random directions.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
        The vectors that the module adds, one per utterance.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (U, D), float64
    """
    directions = rng.standard_normal(vectors.shape)
    size = np.linalg.norm(np.asarray(vectors, dtype=np.float64), axis=1)
    return directions * (size / np.linalg.norm(directions, axis=1))[:, None]


def shuffled(n: int, rng: np.random.Generator, groups: np.ndarray | None = None) -> np.ndarray:
    """A permutation: utterance ``u`` is given the vector of utterance ``permutation[u]``.

    Parameters
    ----------
    n : int
        Number of utterances.
    rng : numpy.random.Generator
    groups : ndarray of int, shape (n,), optional
        Vectors move only inside a group (such as a speaker).

    Notes
    -----
    Uniform over all permutations, the identity included, so that ``(1 + #{null >= observed}) / (1 + K)`` is exact whenever
    the vectors are exchangeable between utterances (inside groups).
    """
    if groups is None:
        return rng.permutation(n)
    permutation = np.arange(n)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        permutation[members] = rng.permutation(members)
    return permutation


def constant(vectors: np.ndarray) -> np.ndarray:
    """The mean vector for every utterance, shape (U, D): size and direction of the module, and no difference between utterances."""
    vectors = np.asarray(vectors, dtype=np.float64)
    return np.repeat(vectors.mean(0, keepdims=True), len(vectors), axis=0)


def frame_noise(vectors: np.ndarray, utterance: np.ndarray, n_frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What pooling leaves of same-norm noise drawn anew for every frame.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
    utterance : ndarray of int, shape (N,)
        Row of ``vectors`` for each token.
    n_frames : ndarray, shape (N,)
        Frames pooled for each token.

    Returns
    -------
    ndarray, shape (N, D), float64

    Notes
    -----
    The mean of n independent vectors of norm r in uniformly random directions has covariance ``r^2 / (n D) I``; a normal vector
    of that covariance is drawn. No two tokens share a frame, so tokens are independent.
    """
    dims = vectors.shape[1]
    size = np.linalg.norm(np.asarray(vectors, dtype=np.float64), axis=1)[utterance]
    scale = size / np.sqrt(np.maximum(1, n_frames) * dims)
    return rng.standard_normal((len(utterance), dims)) * scale[:, None]
