"""Permutation tests of many draws: averages and ratios on a sample of token pairs, with everything but the permutation shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.separation.nulls import NullVectors, Reassignment
from analysis.separation.relations import TokenPairs
from analysis.separation.threads import Workers

__all__ = ["PairSample", "ShuffledDistances", "named_distances", "sampled_pairs", "shuffle_test", "squared_distances"]

#: Entries of the table of inner products of tokens with utterances, at most: float32.
_TABLE = 2**26


@dataclass(frozen=True)
class PairSample:
    """Token pairs drawn from each type pair, all of which are taken where there are few.

    Attributes
    ----------
    a, b : ndarray of int, shape (M,)
        Positions among the tokens in use, sorted by type pair.
    starts : ndarray of int, shape (P,)
        Where each type pair begins.
    type_pair : ndarray of int, shape (P,)
    of_all : int
        Token pairs that there are.
    """

    a: np.ndarray
    b: np.ndarray
    starts: np.ndarray
    type_pair: np.ndarray
    of_all: int


def sampled_pairs(pairs: TokenPairs, cells: np.ndarray, size: int, seed: int) -> PairSample | None:
    """About ``size`` of the token pairs of the given cells (a mask), as evenly over type pairs as they allow; None without any."""
    chosen = np.flatnonzero(np.repeat(cells, pairs.cell_count))
    if not len(chosen):
        return None
    kind = np.repeat(pairs.cell_type_pair, pairs.cell_count)[chosen]
    rng = np.random.default_rng([seed, 29])
    tokens = max(1000, _TABLE // max(1, len(pairs.utterances)))
    size = min(size, tokens // 2)
    count = np.bincount(kind)
    most = _water_level(count[count > 0], size)
    order = np.lexsort((rng.random(len(chosen)), kind))
    begin = np.cumsum(count) - count
    rank = np.empty(len(chosen), dtype=np.int64)
    rank[order] = np.arange(len(chosen)) - begin[kind[order]]
    kept = np.sort(np.flatnonzero(rank < most))
    kind = kind[kept]
    starts = np.flatnonzero(np.diff(kind, prepend=-1))
    kept = chosen[kept]
    return PairSample(pairs.a[kept], pairs.b[kept], starts, kind[starts], len(chosen))


def _water_level(counts: np.ndarray, size: int) -> int:
    """The largest m of at least 1 for which ``sum(min(count, m))`` is at most ``size``."""
    ordered = np.sort(counts)
    total = np.cumsum(ordered)
    left = len(ordered) - np.arange(len(ordered)) - 1
    fits = np.flatnonzero(total + left * ordered <= size)
    if not len(fits):
        return max(1, size // len(ordered))
    last = fits[-1]
    return int(ordered[last] + (size - total[last] - left[last] * ordered[last]) // max(1, left[last]))


class ShuffledDistances:
    """Distances of sampled token pairs under any number of shuffles, by look-up.

    Parameters
    ----------
    vectors : ndarray, shape (n, D)
        Tokens in use, as the distance takes them.
    nulls : NullVectors
    utterance : ndarray of int, shape (n,)
    a, b : ndarray of int, shape (M,)
        The pairs, as positions among the tokens.
    transform : callable
        The linear map of the vectors' space, such as a whitening, ``(N, D)`` to ``(N, D)``.

    Notes
    -----
    With ``y_u = V_q(s) + r_p(u)`` and ``f_u = size_u / |y_u|`` (:class:`analysis.separation.nulls.NullVectors`), tokens are
    ``z_i + f_u y_u``, where ``z_i`` is the token with what stays of its vector. The squared distance is ``|z_i - z_j|^2 + 2 f_u <z_i - z_j,
    y_u> - 2 f_w <z_i - z_j, y_w> + |f_u y_u - f_w y_w|^2``. All inner products with V and r are tables, made once.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        nulls: NullVectors,
        utterance: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        transform: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        used, both = np.unique(np.concatenate([a, b]), return_inverse=True)
        self.a, self.b = both[: len(a)], both[len(a) :]
        self.u = utterance[used]
        self.ua, self.ub = self.u[self.a], self.u[self.b]
        self.dims = vectors.shape[1]
        voices = bool(nulls.voice.any())
        voice, own = transform(nulls.voice), transform(nulls.own)
        z = vectors[used] + transform(nulls.mean)[self.u]
        self.size, self.speakers = nulls.size, nulls.speakers
        self._squares = (z**2).sum(1)
        self._apart = squared_distances(z, self.a, self.b)
        single = np.float32
        self._zr, self._rr = (z @ own.T).astype(single), (own @ own.T).astype(single)
        self._zv = (z @ voice.T).astype(single) if voices else None
        self._vr, self._vv = ((voice @ own.T).astype(single), (voice @ voice.T).astype(single)) if voices else (None, None)
        # lengths are of the directions themselves, before the map
        self._own_squares = (nulls.own**2).sum(1)
        self._voice_own = nulls.voice @ nulls.own.T if voices else None
        self._voice_squares = (nulls.voice**2).sum(1)
        self._same_utterance = self.ua == self.ub
        n = len(nulls.own)
        self._n = n
        # where each token's row of a table begins, so that a look-up is one index
        self._row_a, self._row_b, self._row = self.a * n, self.b * n, np.arange(len(self.u)) * n
        self._voice_a, self._voice_b = self.a * len(voice), self.b * len(voice)

    def of(self, drawn: Reassignment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distances (M,) of the pairs, and squared norms (M,) of both their tokens."""
        p = drawn.utterance
        squares = self._own_squares[p]
        length = self._rr[p, p].astype(np.float64)
        zr, rr = self._zr.reshape(-1), self._rr.reshape(-1)
        token = zr.take(self._row + p.take(self.u)).astype(np.float64)
        pa, pb = p.take(self.ua), p.take(self.ub)
        cross_a, cross_b = zr.take(self._row_a + pb), zr.take(self._row_b + pa)
        between = rr.take(pa * self._n + pb)
        if self._zv is not None:
            q = drawn.speaker[self.speakers]
            squares = squares + self._voice_squares[q] + 2 * self._voice_own[q, p]
            length = length + self._vv[q, q] + 2 * self._vr[q, p]
            token += self._zv[np.arange(len(self.u)), q[self.u]]
            qa, qb = q.take(self.ua), q.take(self.ub)
            zv, vr = self._zv.reshape(-1), self._vr.reshape(-1)
            cross_a = cross_a + zv.take(self._voice_a + qb)
            cross_b = cross_b + zv.take(self._voice_b + qa)
            between = between + self._vv.reshape(-1).take(qa * len(self._vv) + qb)
            between += vr.take(qa * self._n + pb)
            between += vr.take(qb * self._n + pa)
        factor = self.size / np.sqrt(np.where(squares > 0, squares, 1.0))
        length *= factor**2
        fa, fb = factor.take(self.ua), factor.take(self.ub)
        own = factor.take(self.u) * token
        apart = own.take(self.a) - fa * cross_b - fb * cross_a + own.take(self.b) - fa * fb * between
        apart *= 2
        apart += self._apart
        apart += length.take(self.ua) + length.take(self.ub)
        np.maximum(apart, 0.0, out=apart)
        apart = np.where(self._same_utterance, self._apart, apart)
        norms = self._squares + 2 * own + length.take(self.u)
        return apart, norms.take(self.a), norms.take(self.b)


def squared_distances(vectors: np.ndarray, a: np.ndarray, b: np.ndarray, chunk: int = 16384) -> np.ndarray:
    """Of the listed rows, shape (len(a),), from the differences themselves."""
    parts = [((vectors[a[k : k + chunk]] - vectors[b[k : k + chunk]]) ** 2).sum(1) for k in range(0, len(a), chunk)]
    return np.concatenate(parts) if parts else np.zeros(0)


def named_distances(
    names: Sequence[str], apart: np.ndarray, norms_a: np.ndarray, norms_b: np.ndarray, dims: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Each named distance of pairs from their squared distances and squared norms (formulas: :class:`.distances.PairGeometry`)."""
    cosine = None
    for name in names:
        if name in ("l2", "l2_standardised", "l2_whitened"):
            yield name, np.sqrt(apart)
        elif name == "mse":
            yield name, apart / dims
        else:
            if cosine is None:
                size = np.sqrt(np.maximum(norms_a * norms_b, 1e-300))
                cosine = np.clip(1 - (norms_a + norms_b - apart) / (2 * size), 0.0, 2.0)
            yield (
                name,
                cosine if name == "cosine" else np.sqrt(2 * cosine) if name == "l2_unit" else np.arccos(1 - cosine) / np.pi,
            )


def shuffle_test(
    names: Sequence[str],
    vectors: np.ndarray,
    offsets: np.ndarray,
    nulls: NullVectors,
    pairs: TokenPairs,
    sample: PairSample,
    transform: Callable[[np.ndarray], np.ndarray],
    draws: int,
    rng: np.random.Generator,
    workers: Workers,
) -> Mapping[str, np.ndarray]:
    """Mean of each distance over the sample of each type pair, shape (1 + draws, P): with the module first, then shuffled.

    Parameters
    ----------
    names : sequence of str
        Distances in the space of ``vectors``.
    vectors : ndarray, shape (n, D)
        Tokens in use.
    offsets : ndarray, shape (U, D)
        What the module adds, before ``transform``.
    transform : callable
        See :class:`ShuffledDistances`.
    """
    shuffles = ShuffledDistances(vectors, nulls, pairs.utterance, sample.a, sample.b, transform)
    count = np.diff(np.append(sample.starts, len(sample.a)))

    def means(apart: np.ndarray, norms_a: np.ndarray, norms_b: np.ndarray) -> list[np.ndarray]:
        named = named_distances(names, apart, norms_a, norms_b, shuffles.dims)
        return [np.add.reduceat(values, sample.starts) / count for _, values in named]

    fused = vectors + transform(offsets)[pairs.utterance]
    squares = (fused**2).sum(1)
    own = means(squared_distances(fused, sample.a, sample.b), squares[sample.a], squares[sample.b])
    drawn = workers.map(lambda one: means(*shuffles.of(one)), [nulls.reassigned(rng) for _ in range(draws)])
    return {name: np.stack([own[k], *(one[k] for one in drawn)]) for k, name in enumerate(names)}
