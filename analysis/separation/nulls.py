"""What stands in for meaning: vectors of the right size that carry none."""

from __future__ import annotations

import numpy as np

__all__ = ["constant", "frame_noise", "random_directions", "shuffled"]


def random_directions(vectors: np.ndarray, rng: np.random.Generator, about: str = "mean") -> np.ndarray:
    """Independent, uniformly random directions of the right sizes.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
        The vectors that the module adds, one per utterance.
    rng : numpy.random.Generator
    about : str
        ``mean``: each vector is the mean vector plus a random direction of the size of its own deviation from the mean.
        ``zero``: each vector keeps its own norm.

    Returns
    -------
    ndarray, shape (U, D), float64

    Notes
    -----
    Sentence vectors share a large mean, which no Euclidean distance between utterances sees. Random directions about zero turn
    that mean into spread, so this null raises distances more than any module could and net decoupling comes out negative for
    meaningful and meaningless vectors alike. About the mean, it does not. Sizes are freed of the bias of taking deviations from
    the mean of the same U vectors: with ``q_u = ||v_u - mean||^2`` and ``n = sum q U / (U - 1)``, the squared size of u is
    ``(q_u - n / U^2) / (1 - 2 / U)``, so that ``E ||v_u - v_w||^2`` is that of the module's own vectors.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    directions = rng.standard_normal(vectors.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    n = len(vectors)
    if about == "zero" or n < 3:
        return directions * np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = vectors.mean(0)
    squares = ((vectors - mean) ** 2).sum(1)
    total = squares.sum() * n / (n - 1)
    size = np.sqrt(np.maximum(0.0, (squares - total / n**2) / (1 - 2 / n)))
    return mean + directions * size[:, None]


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
    """The mean vector for every utterance, shape (U, D): what the module adds to all of them alike."""
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
