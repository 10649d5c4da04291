"""What stands in for meaning: vectors of the right size that carry none."""

from __future__ import annotations

import numpy as np

__all__ = ["constant", "frame_noise", "random_directions", "resized", "shuffled"]


def random_directions(
    vectors: np.ndarray, rng: np.random.Generator, about: str = "mean", *, speakers: np.ndarray | None = None
) -> np.ndarray:
    """Uniformly random directions of the right sizes.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
        The vectors that the module adds, one per utterance.
    rng : numpy.random.Generator
    about : str
        ``mean``: the mean vector stays, and what each vector adds to it is turned into a random direction, size kept.
        ``zero``: each vector keeps its own norm.
    speakers : ndarray of int, shape (U,), optional
        Codes 0 ... S - 1. With them (``mean`` only) the vectors of a speaker are turned as one body: those that tell the speaker
        are then met by a null that does as well. Without, and with fewer than three speakers, each is turned by itself.

    Returns
    -------
    ndarray, shape (U, D), float64

    Notes
    -----
    Sentence vectors share a large mean, which no Euclidean distance between utterances sees. Random directions about zero turn
    that mean into spread, so this null raises distances more than any module could and net decoupling comes out negative for
    meaningful and meaningless vectors alike. About the mean, it does not.

    Deviations ``d_u`` are taken from the mean of the same U vectors, and so are those of the drawn ones. That shortens them:
    with ``B_s`` the sum of a speaker's deviations, the expected square of ``d_u`` falls short of that of the deviation from the
    true mean by ``2 <d_u, B_s> / U - sum_s |B_s|^2 / U^2``, to first order; it is put back before vectors are turned, and all are
    scaled so that the expected sum of squares after centring is that of the vectors.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    n = len(vectors)
    if about == "zero" or n < 3:
        directions = rng.standard_normal(vectors.shape)
        return directions / np.linalg.norm(directions, axis=1, keepdims=True) * np.linalg.norm(vectors, axis=1, keepdims=True)
    speakers = np.arange(n) if speakers is None else np.unique(speakers, return_inverse=True)[1]
    n_speakers = int(speakers.max()) + 1
    if n_speakers < 3:
        speakers, n_speakers = np.arange(n), n  # two bodies about their common mean only mirror each other
    mean = vectors.mean(0)
    deviations = vectors - mean
    order = np.argsort(speakers, kind="stable")
    starts = np.searchsorted(speakers[order], np.arange(n_speakers))

    def by_speaker(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[order], starts, axis=0)

    bodies = by_speaker(deviations)
    squares = (deviations**2).sum(1)
    own = squares + 2 / n * (deviations * bodies[speakers]).sum(1) - (bodies**2).sum() / n**2
    own = np.sqrt(np.maximum(0.0, own) / np.where(squares > 0, squares, 1.0))[:, None] * deviations
    expected = (own**2).sum() - (by_speaker(own) ** 2).sum() / n
    if expected > 0:
        own *= np.sqrt(squares.sum() / expected)
    drawn = np.empty_like(own)
    for members in np.split(order, starts[1:]):
        drawn[members] = _turned(own[members], rng)
    return mean + drawn - drawn.mean(0)


def _turned(body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The vectors, shape (n, D), after one random rotation: lengths and angles among them stay."""
    dims = body.shape[1]
    if len(body) == 1:
        direction = rng.standard_normal((1, dims))
        return direction * (np.linalg.norm(body) / np.linalg.norm(direction))
    # coordinates in an orthonormal basis of their span, carried over to a random one
    coordinates = np.linalg.qr(body.T, mode="r")
    basis, triangle = np.linalg.qr(rng.standard_normal((dims, len(coordinates))))
    return coordinates.T @ (basis * np.sign(np.diagonal(triangle))).T


def shuffled(n: int, rng: np.random.Generator, speakers: np.ndarray | None = None, *, within: str = "blocks") -> np.ndarray:
    """A permutation: utterance ``u`` is given the vector of utterance ``permutation[u]``.

    Parameters
    ----------
    n : int
        Number of utterances.
    rng : numpy.random.Generator
    speakers : ndarray of int, shape (n,), optional
        Codes 0 ... S - 1; without them vectors move freely.
    within : str
        ``blocks``: utterances stand in a line, speaker after speaker, and are given the vectors of another such line; both have
        their speakers, and the utterances of each, in random order. With as many utterances each, a speaker is given the
        vectors of one speaker. ``speaker``: vectors move only among the utterances of one speaker. ``corpus``: freely.

    Notes
    -----
    A permutation test holds when the vectors could as well have come in any order that it tries. Vectors taken from speech tell
    the speaker: two of one speaker are alike, and no free order keeps that, so a free shuffle understates how much averages
    vary by chance. Whole speakers may change places, and utterances inside them, whether vectors tell the speaker or not.
    Every kind includes the identity, so ``(1 + #{null >= observed}) / (1 + K)`` is exact for vectors exchangeable in that way.
    With ``blocks`` and speakers of unequal numbers of utterances it is so for vectors that do not tell the speaker; of those
    that do, about half of the pairs of one speaker are still given two vectors of one speaker, and p-values are better than a
    free shuffle's but not exact.

    References
    ----------
    Hemerik, J. and Goeman, J. (2018). Exact testing with random permutations. TEST 27.
    Winkler, A. M. et al. (2015). Multi-level block permutation. NeuroImage 123.
    """
    if speakers is None or within == "corpus":
        return rng.permutation(n)
    members = [np.flatnonzero(speakers == speaker) for speaker in range(int(speakers.max()) + 1)]

    def line(order: np.ndarray) -> np.ndarray:
        return np.concatenate([rng.permutation(members[speaker]) for speaker in order])

    permutation = np.empty(n, dtype=np.int64)
    in_order = np.arange(len(members))
    if within == "speaker":
        permutation[line(in_order)] = line(in_order)
    else:
        permutation[line(rng.permutation(in_order))] = line(rng.permutation(in_order))
    return permutation


def resized(vectors: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Directions shuffled, sizes left in place: ``v_u`` keeps its distance from the mean and takes another's direction from it.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
    permutation : ndarray of int, shape (U,)
        From :func:`shuffled`.

    Returns
    -------
    ndarray, shape (U, D), float64
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    mean = vectors.mean(0)
    deviations = vectors - mean
    size = np.linalg.norm(deviations, axis=1)
    directions = deviations / np.where(size > 0, size, 1.0)[:, None]
    return mean + directions[permutation] * size[:, None]


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
