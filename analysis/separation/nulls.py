"""What stands in for meaning: vectors of the right size that carry none."""

from __future__ import annotations

import numpy as np

__all__ = ["PLACES_BLUR", "constant", "frame_noise", "random_directions", "resized", "shuffled"]

#: Deviation of the noise on the logarithm of a speaker's number of utterances when speakers change places. Without any, speakers
#: of different numbers would never do so, and small corpora would have few orders; with much, vectors of one speaker part.
PLACES_BLUR = 0.25


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
    true mean by ``2 <d_u, B_s> / U - sum_s |B_s|^2 / U^2``, to first order; it is put back before vectors are turned. Every draw is
    scaled so that its deviations have the sum of squares that the vectors have, as those of a shuffle do: that sum is their
    size, and a draw whose size is left to chance strays by more than the vectors can (long vectors most of all).
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
    drawn = np.empty_like(own)
    for members in np.split(order, starts[1:]):
        drawn[members] = _turned(own[members], rng)
    drawn -= drawn.mean(0)
    found = (drawn**2).sum()
    return mean + drawn * (np.sqrt(squares.sum() / found) if found > 0 else 1.0)


def _turned(body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The vectors, shape (n, D), after one random rotation: lengths and angles among them stay."""
    dims = body.shape[1]
    if len(body) == 1:
        direction = rng.standard_normal((1, dims))
        return direction * (np.linalg.norm(body) / np.linalg.norm(direction))
    if 2 * len(body) > dims:
        turn, triangle = np.linalg.qr(rng.standard_normal((dims, dims)))
        return body @ (turn * np.sign(np.diagonal(triangle)))
    # Only inner products matter: coordinates that have those of the vectors, in as many random orthonormal directions. These are
    # few beside the dimensions, so that normal ones made orthonormal by their Cholesky factor lose no digits.
    squares, axes = np.linalg.eigh(body @ body.T)
    directions = rng.standard_normal((len(body), dims))
    turn = axes * np.sqrt(np.maximum(squares, 0.0)) @ np.linalg.inv(np.linalg.cholesky(directions @ directions.T))
    return turn @ directions


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
        ``blocks``: speakers change places with others of about as many utterances: both orders are by that number, its logarithm
        blurred by :data:`PLACES_BLUR`. A speaker is given as many of the other's vectors as both have, in random order; what is
        missing comes from those that were left over. ``speaker``: vectors move only among the utterances of one speaker.
        ``corpus``: freely.

    Notes
    -----
    A permutation test holds when the vectors could as well have come in any order that it tries. Vectors taken from speech tell
    the speaker: two of one speaker are alike, and no free order keeps that, so a free shuffle understates how much averages
    vary by chance. Whole speakers may change places, and utterances inside them, whether vectors tell the speaker or not.
    Every kind includes the identity, so ``(1 + #{null >= observed}) / (1 + K)`` is exact for vectors exchangeable in that way.
    With ``blocks`` and speakers of unequal numbers of utterances it is so for vectors that do not tell the speaker. Vectors that
    do stay together but for what is left over, which is little because speakers change places with their like;
    benchmarks/coverage.py shows how little it matters.

    References
    ----------
    Hemerik, J. and Goeman, J. (2018). Exact testing with random permutations. TEST 27.
    Winkler, A. M. et al. (2015). Multi-level block permutation. NeuroImage 123.
    """
    if speakers is None or within == "corpus":
        return rng.permutation(n)
    members = [np.flatnonzero(speakers == speaker) for speaker in range(int(speakers.max()) + 1)]
    count = np.array([len(own) for own in members])
    everyone = np.arange(len(members))

    def order() -> np.ndarray:
        return np.argsort(np.log(count) + PLACES_BLUR * rng.standard_normal(len(members)), kind="stable")

    takers, givers = (everyone, everyone) if within == "speaker" else (order(), order())
    permutation = np.empty(n, dtype=np.int64)
    waiting, spare = [], []
    for taker, giver in zip(takers, givers, strict=True):
        to, vectors = rng.permutation(members[taker]), rng.permutation(members[giver])
        both = min(len(to), len(vectors))
        permutation[to[:both]] = vectors[:both]
        waiting.append(to[both:])
        spare.append(vectors[both:])
    permutation[np.concatenate(waiting)] = np.concatenate(spare)
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
