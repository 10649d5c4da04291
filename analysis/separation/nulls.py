"""What stands in for meaning: vectors of the right size that carry none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["NullVectors", "Reassignment", "constant", "frame_noise"]

#: Fewer texts than this: the vectors' mean is not fitted to the utterances' lengths.
_FEWEST_FOR_LENGTH = 8
#: Steps towards the spatial median; sizes settle to a thousandth in fewer.
_STEPS = 8


@dataclass(frozen=True)
class Reassignment:
    """Which utterance and which speaker stand in for each.

    Attributes
    ----------
    utterance : ndarray of int, shape (U,)
        Utterance u is given what is its own of utterance ``utterance[u]``.
    speaker : ndarray of int, shape (S,)
        Speaker s is given the share of speaker ``speaker[s]``.
    """

    utterance: np.ndarray
    speaker: np.ndarray


class NullVectors:
    """Draws of vectors that know nothing of what is pronounced, and share with the module's what texts, voices and lengths share.

    Parameters
    ----------
    vectors : ndarray, shape (U, D)
        The vectors that the module adds, one per utterance.
    speakers, texts : ndarray of int, shape (U,)
        Codes 0 ... S - 1 and 0 ... B - 1. Readings of one text share a code. Without, all speakers are one, and every utterance
        is a text of its own.
    lengths : ndarray, shape (U,), optional
        Length of each utterance, such as its number of frames.
    within : str
        ``blocks``: texts change places freely, and so do speakers. ``speaker``: texts change places only with texts of the same
        readers. ``corpus``: as ``blocks``, for vectors that are known not to tell the speaker.

    Attributes
    ----------
    mean : ndarray, shape (U, D)
        The part of every vector that stays: the fit of the vectors on a constant and the logarithm of the length about which the
        directions of the rest sum to zero (a spatial median, by Weiszfeld's steps).
    size : ndarray, shape (U,)
        Norm of the rest, which stays as well.
    voice : ndarray, shape (S, D)
        What the directions of a speaker's vectors share, sized so that draws are as alike within a speaker as the vectors are.
    own : ndarray, shape (U, D)
        What is left of each direction.

    Notes
    -----
    Vector u is ``mean_u + size_u e_u`` with a unit direction ``e_u``. Under the null hypothesis directions go with texts and with
    speakers, not with sounds::

        e_u = a V_s(u) + b r_u

    with ``V_s`` the mean direction of speaker s and ``r_u = e_u - V_s(u)``. A draw of the shuffled null is
    ``mean_u + size_u n(a V_q(s) + b r_p(u))``, where ``n`` scales to unit length, q permutes speakers, and p permutes texts: all
    readings of one text are given readings of one other text, at random and repeatedly where that has fewer. Everything that depends on
    the length of an utterance stays in place, since longer utterances hold more tokens; so do repeated texts and voices. The random null
    puts random directions in the place of ``V_s`` and of the ``r_u`` of a text, the angles among the latter kept.

    About a mean, large vectors would be less alike than small ones, since they move it more; a shuffle does not keep that. About the
    spatial median, where directions sum to zero, the difference is of second order in the spread of the sizes.

    ``a`` and ``b`` are such that draws have unit length on average and the mean inner product of the vectors between two texts of
    one speaker. Where speakers share nothing, ``a`` is zero, ``r_u = e_u``, and the shuffle is a permutation of directions between
    texts: exact where these are exchangeable.

    References
    ----------
    Winkler, A. M. et al. (2015). Multi-level block permutation. NeuroImage 123.
    Hemerik, J. and Goeman, J. (2018). Exact testing with random permutations. TEST 27.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        speakers: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        *,
        within: str = "blocks",
    ) -> None:
        vectors = np.asarray(vectors, dtype=np.float64)
        n = len(vectors)
        everyone = np.zeros(n, dtype=np.int64)
        self.speakers = everyone if speakers is None else np.unique(speakers, return_inverse=True)[1]
        self.texts = np.arange(n) if texts is None else np.unique(texts, return_inverse=True)[1]
        self.n_speakers, self.n_texts = int(self.speakers.max()) + 1, int(self.texts.max()) + 1
        self.within = within
        order = np.argsort(self.texts, kind="stable")
        self._count = np.bincount(self.texts)
        self._start = np.cumsum(self._count) - self._count
        self._readings = np.split(order, self._start[1:])
        self._once = self._count == 1
        self._norm = np.linalg.norm(vectors, axis=1)
        self.mean = self._fitted(vectors, lengths)
        deviation = vectors - self.mean
        self.size = np.linalg.norm(deviation, axis=1)
        scale = self.size.max(initial=0.0)
        self.size[self.size <= 1e-12 * max(scale, 1e-300)] = 0.0
        direction = deviation / np.where(self.size > 0, self.size, 1.0)[:, None]
        self.voice, self.own = self._parted(direction)

    def _fitted(self, vectors: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """What goes with the length, every text counting once."""
        weight = 1.0 / np.bincount(self.texts)[self.texts]
        columns = [np.ones(len(vectors))]
        if lengths is not None and self.n_texts >= _FEWEST_FOR_LENGTH:
            log_length = np.log(np.maximum(np.asarray(lengths, dtype=np.float64), 1e-300))
            log_length = log_length - np.average(log_length, weights=weight)
            if np.ptp(log_length) > 1e-9:
                columns.append(log_length)
        design = np.stack(columns, axis=1)
        root = np.sqrt(weight)[:, None]
        fitted = design @ np.linalg.lstsq(design * root, vectors * root, rcond=None)[0]
        for _ in range(_STEPS):
            size = np.linalg.norm(vectors - fitted, axis=1)
            least = 1e-3 * size.mean()
            if least <= 0:
                break
            root = np.sqrt(weight / np.maximum(size, least))[:, None]
            fitted = design @ np.linalg.lstsq(design * root, vectors * root, rcond=None)[0]
        return fitted

    def _parted(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``a V`` and ``b r`` of the class's notes."""
        self._voice_share = 0.0
        nothing = np.zeros((self.n_speakers, direction.shape[1]))
        if self.within == "corpus" or self.n_speakers < 3:
            return nothing, direction
        pair = np.unique(np.stack([self.speakers, self.texts], 1), axis=0, return_inverse=True)
        speaker_of_pair, both = pair[0][:, 0], pair[1].ravel()
        count = np.bincount(both)
        sums = _group_sums(direction, both, len(count))
        n_pairs = np.bincount(self.speakers) ** 2 - np.bincount(speaker_of_pair, count**2, self.n_speakers)
        if n_pairs.sum() <= 0:
            return nothing, direction
        of_speaker = _group_sums(direction, self.speakers, self.n_speakers)
        alike = ((of_speaker**2).sum() - (sums**2).sum()) / n_pairs.sum()
        # every text of a speaker counts once
        voice = _group_sums(sums / count[:, None], speaker_of_pair, self.n_speakers)
        voice /= np.bincount(speaker_of_pair, minlength=self.n_speakers)[:, None]
        rest = direction - voice[self.speakers]
        by_text = _group_sums(rest, self.texts, self.n_texts)
        readings = np.bincount(self.texts)
        between = (rest.sum(0) ** 2).sum() - (by_text**2).sum()
        between /= max(1.0, len(direction) ** 2 - (readings**2).sum())
        squares = (rest**2).sum(1).mean()
        length = (direction**2).sum(1).mean()  # one, but for vectors of no size
        rest_factor = (length - alike) / max(squares - between, 1e-300)
        size = (voice[self.speakers] ** 2).sum(1).mean()
        voice_factor = (alike - rest_factor * between) / size if size > 0 else 0.0
        if voice_factor <= 0 or rest_factor <= 0:
            return nothing, direction
        # of independent random directions less their mean: both kinds of inner products fall by the square of that mean
        apart = (
            (direction.sum(0) ** 2).sum() - (of_speaker**2).sum() - (_group_sums(direction, self.texts, self.n_texts) ** 2).sum()
        )
        apart = (apart + (sums**2).sum()) / max(1.0, self._pairs_apart(count, readings))
        self._voice_share = float(np.clip((alike - apart) / max(length - apart, 1e-300), 0.0, 1.0))
        return np.sqrt(voice_factor) * voice, np.sqrt(rest_factor) * rest

    def _pairs_apart(self, count: np.ndarray, readings: np.ndarray) -> float:
        """Ordered pairs of utterances that share neither speaker nor text."""
        of_speaker = np.bincount(self.speakers).astype(np.float64)
        return len(self.speakers) ** 2 - (of_speaker**2).sum() - (readings**2.0).sum() + (count**2.0).sum()

    def reassigned(self, rng: np.random.Generator) -> Reassignment:
        """One random reassignment of texts and of speakers; every kind includes the identity."""
        donor = np.empty(self.n_texts, dtype=np.int64)
        for texts in self._exchangeable:
            donor[texts] = texts[rng.permutation(len(texts))]
        to, source = self._ordered(rng), self._ordered(rng)
        text = self.texts[to]
        given = donor[text]
        place = np.arange(len(to)) - self._start[text]
        utterance = np.empty(len(to), dtype=np.int64)
        utterance[to] = source[self._start[given] + place % self._count[given]]
        speakers = np.arange(self.n_speakers) if self.within == "speaker" else rng.permutation(self.n_speakers)
        return Reassignment(utterance, speakers)

    def _ordered(self, rng: np.random.Generator) -> np.ndarray:
        """Utterances by text, readings in random order; by speaker where texts stay with their readers."""
        random = rng.random(len(self.texts))
        return np.lexsort((random, self.speakers, self.texts) if self.within == "speaker" else (random, self.texts))

    @cached_property
    def _exchangeable(self) -> list[np.ndarray]:
        """Sets of texts that change places among themselves."""
        if self.within != "speaker":
            return [np.arange(self.n_texts)]
        groups: dict[tuple, list[int]] = {}
        for text, readings in enumerate(self._readings):
            groups.setdefault(tuple(sorted(self.speakers[readings].tolist())), []).append(text)
        return [np.array(texts) for texts in groups.values()]

    def draws(self, null: str, n: int, rng: np.random.Generator, about: str = "mean") -> list[np.ndarray]:
        """``n`` draws of the null ``shuffled`` or ``random``, each of shape (U, D)."""
        if null == "shuffled":
            return [self.shuffled(self.reassigned(rng)) for _ in range(n)]
        return [self.random(rng, about) for _ in range(n)]

    def shuffled(self, reassignment: Reassignment) -> np.ndarray:
        """Vectors under a reassignment, shape (U, D)."""
        return self._sized(self.voice[reassignment.speaker][self.speakers] + self.own[reassignment.utterance])

    def random(self, rng: np.random.Generator, about: str = "mean") -> np.ndarray:
        """Random directions in the place of the vectors', shape (U, D).

        Parameters
        ----------
        rng : numpy.random.Generator
        about : str
            ``mean``: about what goes with the length, as the shuffle. ``zero``: each utterance by itself, with the vector's own norm.

        Notes
        -----
        Sentence vectors share a large mean, which no Euclidean distance between utterances sees. Random directions about zero turn
        that mean into spread, so that this null raises distances more than any module could.
        """
        if about == "zero":
            return _directions(self._norm[:, None], self.own.shape[1], rng)
        voice_size, own_size = np.linalg.norm(self.voice, axis=1), np.linalg.norm(self.own, axis=1)
        usual = np.sqrt((voice_size[self.speakers] ** 2).mean())
        voice_size = voice_size * (np.sqrt(self._voice_share) / usual if usual > 0 else 0.0)
        usual = np.sqrt((own_size**2).mean())
        factor = np.sqrt(1 - self._voice_share) / usual if usual > 0 else 0.0
        own = np.empty_like(self.own)
        single = np.array([readings[0] for readings in self._readings])[self._once]
        own[single] = _directions(own_size[single, None], self.own.shape[1], rng)
        for readings in (self._readings[text] for text in np.flatnonzero(~self._once)):
            own[readings] = _turned(self.own[readings], rng)
        voice = _directions(voice_size[:, None], self.own.shape[1], rng)
        drawn = voice[self.speakers] + factor * own
        # the vectors are deviations from a fitted mean, so that their directions sum to about zero; so must these
        return self._sized(drawn - drawn.mean(0))

    def _sized(self, direction: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(direction, axis=1)
        return self.mean + direction * (self.size / np.where(norm > 0, norm, 1.0))[:, None]


def _group_sums(values: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
    """Sum of the rows of each code, shape (n, D)."""
    from scipy import sparse

    return sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), (n, len(codes))) @ values


def _directions(norms: np.ndarray, dims: int, rng: np.random.Generator) -> np.ndarray:
    """Uniformly random directions of the given norms, shape (n, 1) to (n, dims)."""
    found = rng.standard_normal((len(norms), dims))
    return found * (norms / np.linalg.norm(found, axis=1, keepdims=True))


def _turned(body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The vectors, shape (n, D), after one random rotation: lengths and angles among them stay."""
    dims = body.shape[1]
    if 2 * len(body) > dims:
        turn, triangle = np.linalg.qr(rng.standard_normal((dims, dims)))
        return body @ (turn * np.sign(np.diagonal(triangle)))
    # Only inner products matter: coordinates that have those of the vectors, in as many random orthonormal directions. These are
    # few beside the dimensions, so that normal ones made orthonormal by their Cholesky factor lose no digits.
    squares, axes = np.linalg.eigh(body @ body.T)
    directions = rng.standard_normal((len(body), dims))
    turn = axes * np.sqrt(np.maximum(squares, 0.0)) @ np.linalg.inv(np.linalg.cholesky(directions @ directions.T))
    return turn @ directions


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
