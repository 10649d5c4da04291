"""Statistics that no common factor on all distances can move: how well types hold together as clusters.

Each is also given as one part per token, whose mean is the statistic: what a token says itself where the statistic is such a mean
(silhouette, purity, probe), else the statistic and the token's influence on it, to first order (Hampel 1974). Their means over the
tokens of a speaker and a type are what intervals are made from.

References
----------
Hampel, F. R. (1974). The influence curve and its role in robust estimation. Journal of the American Statistical Association 69.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.distances import TokenDots

__all__ = [
    "SilhouetteSum", "d_prime", "davies_bouldin", "davies_bouldin_parts", "fisher_parts", "fisher_ratio", "knn_parts", "knn_purity",
    "phone_probe", "probe_parts", "silhouette",
]  # fmt: skip


def _codes(types: np.ndarray, needed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    kinds, codes = np.unique(np.asarray(types), return_inverse=True)
    if len(kinds) < needed or len(codes) <= len(kinds):
        raise SeparationError(
            f"{len(codes)} tokens of {len(kinds)} types are too few: at least {needed} types and a type of two tokens are needed."
        )
    return codes, np.bincount(codes)


def _centroids(vectors: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    order = np.argsort(codes, kind="stable")
    return np.add.reduceat(vectors[order], np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0) / counts[:, None]


def fisher_ratio(vectors: np.ndarray, types: np.ndarray) -> float:
    """Variance between types over variance within: 1 is chance, larger is better.

    Notes
    -----
    ``[sum_t n_t ||m_t - m||^2 / (T - 1)] / [sum_i ||x_i - m_t(i)||^2 / (N - T)]``, the multivariate F ratio of traces
    (scikit-learn's ``calinski_harabasz_score``).

    References
    ----------
    Calinski, T. and Harabasz, J. (1974). A dendrite method for cluster analysis. Communications in Statistics 3.
    """
    return _fisher(vectors, types)[0]


def fisher_parts(vectors: np.ndarray, types: np.ndarray) -> np.ndarray:
    """:func:`fisher_ratio` as a mean over tokens, shape (N,).

    Notes
    -----
    With ``B`` and ``W`` the two sums of squares, a token's part is ``F (1 + N b_i / B - N w_i / W)``,
    ``b_i = ||m_t - m||^2 + 2 <m_t - m, x_i - m_t>`` and ``w_i = ||x_i - m_t||^2``.
    """
    value, parts = _fisher(vectors, types)
    return value + parts


def _fisher(vectors: np.ndarray, types: np.ndarray) -> tuple[float, np.ndarray]:
    """The ratio and each token's influence, whose mean is zero."""
    vectors = np.asarray(vectors, dtype=np.float64)
    codes, counts = _codes(types)
    centroids = _centroids(vectors, codes, counts)
    apart, own = centroids - vectors.mean(0), vectors - centroids[codes]
    squares = (apart**2).sum(1)
    within = (own**2).sum(1)
    above, below = float(counts @ squares), float(within.sum())
    if below <= 0:
        return float("inf"), np.zeros(len(codes))
    value = (above / (len(counts) - 1)) / (below / (len(codes) - len(counts)))
    if above <= 0:
        return value, np.zeros(len(codes))
    between = squares[codes] + 2 * np.einsum("ij,ij->i", apart[codes], own)
    return value, value * len(codes) * (between / above - within / below)


def davies_bouldin(vectors: np.ndarray, types: np.ndarray) -> float:
    """Davies-Bouldin index: mean over types of the worst (spread_t + spread_r) / distance of centroids; 0 is best.

    References
    ----------
    Davies, D. L. and Bouldin, D. W. (1979). A cluster separation measure. IEEE PAMI 1.
    """
    return _davies_bouldin(vectors, types)[0]


def davies_bouldin_parts(vectors: np.ndarray, types: np.ndarray) -> np.ndarray:
    """:func:`davies_bouldin` as a mean over tokens, shape (N,).

    Notes
    -----
    A token moves its type's spread and centroid, and with them every worst ratio in which that type takes part; and its type's
    own worst ratio is one of those averaged over. Which type is the worst neighbour is held fixed.
    """
    value, parts = _davies_bouldin(vectors, types)
    return value + parts


def _davies_bouldin(vectors: np.ndarray, types: np.ndarray) -> tuple[float, np.ndarray]:
    """The index and each token's influence, whose mean is zero."""
    vectors = np.asarray(vectors, dtype=np.float64)
    codes, counts = _codes(types)
    centroids = _centroids(vectors, codes, counts)
    own = vectors - centroids[codes]
    length = np.linalg.norm(own, axis=1)
    spread = np.bincount(codes, length) / counts
    squares = (centroids**2).sum(1)
    apart = np.sqrt(np.maximum(0, squares[:, None] + squares[None, :] - 2 * centroids @ centroids.T))
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (spread[:, None] + spread[None, :]) / apart
    worst = ratios.argmax(axis=1)
    kinds = np.arange(len(counts))
    highest = ratios[kinds, worst]
    value = float(highest.mean())
    if not np.isfinite(value):
        return value, np.zeros(len(codes))
    # what the sum of worst ratios gains when a type's spread, or its centroid, moves by one
    distance = apart[kinds, worst]
    by_spread = 1 / distance + np.bincount(worst, 1 / distance, len(counts))
    pull = -(highest / distance**2)[:, None] * (centroids - centroids[worst])
    by_centroid = pull.copy()
    np.subtract.at(by_centroid, worst, pull)
    towards = _centroids(own / np.where(length > 0, length, 1.0)[:, None], codes, counts)
    moved = by_centroid - by_spread[:, None] * towards
    change = by_spread[codes] * (length - spread[codes]) + np.einsum("ij,ij->i", moved[codes], own)
    change += highest[codes] - value
    return value, change * (len(codes) / (len(counts) * counts))[codes]


def _unit_or_centred(vectors: np.ndarray, distance: str, device: str):
    import torch

    x = torch.as_tensor(np.asarray(vectors, dtype=np.float32), device=device)
    if distance in ("cosine", "l2_unit", "angular"):
        return x / x.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return x - x.mean(0)


def silhouette(vectors: np.ndarray, types: np.ndarray, *, distance: str = "l2", device: str = "cpu") -> float:
    """Mean silhouette over tokens, in [-1, 1]: 1, every token among its own; 0, no difference; below, among others.

    Notes
    -----
    ``(b_i - a_i) / max(a_i, b_i)`` with ``a_i`` the mean distance to the other tokens of its type and ``b_i`` the least mean
    distance to the tokens of another type; 0 for the only token of a type (scikit-learn's ``silhouette_score``). Distances are
    taken in blocks of rows, float64.

    References
    ----------
    Rousseeuw, P. J. (1987). Silhouettes. Journal of Computational and Applied Mathematics 20.
    """
    dots = TokenDots(vectors, np.zeros(len(vectors), dtype=np.int64), device, keep=False)
    sums = SilhouetteSum(types)
    squares = dots.squares()
    for rows, block in dots.blocks():
        sums.see(rows, block, squares, distance)
    return sums.mean()


class SilhouetteSum:
    """The silhouettes of tokens whose inner products come in blocks of rows.

    Attributes
    ----------
    values : ndarray, shape (N,)
        Of each token; NaN until its row was seen.
    """

    def __init__(self, types: np.ndarray) -> None:
        self.codes, self.counts = _codes(types)
        self._order = np.argsort(self.codes, kind="stable")
        self._sorted = bool((np.diff(self.codes) >= 0).all())
        self._starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.values = np.full(len(self.codes), np.nan)

    def see(self, rows: np.ndarray, dots: np.ndarray, squares: np.ndarray, distance: str) -> None:
        """Take in the inner products of the tokens ``rows`` with all tokens; ``squares`` holds all squared norms."""
        apart = _distances(rows, dots, squares, distance)
        apart[np.arange(len(rows)), rows] = 0.0
        sums = np.add.reduceat(apart if self._sorted else apart[:, self._order], self._starts, axis=1)
        own = self.codes[rows]
        n_own = self.counts[own]
        index = np.arange(len(rows))
        a = sums[index, own] / np.maximum(1, n_own - 1)
        means = sums / self.counts[None, :]
        means[index, own] = np.inf
        b = means.min(axis=1)
        larger = np.maximum(a, b)
        self.values[rows] = np.where((n_own > 1) & (larger > 0), (b - a) / np.where(larger > 0, larger, 1.0), 0.0)

    def mean(self) -> float:
        """Over all tokens, once all rows were seen."""
        return float(self.values.mean())


def _distances(rows: np.ndarray, dots: np.ndarray, squares: np.ndarray, distance: str) -> np.ndarray:
    """Distances of the tokens ``rows`` from all tokens, from inner products; a new array."""
    if distance in ("l2", "mse"):
        apart = dots * -2
        apart += squares[rows][:, None]
        apart += squares[None, :]
        np.maximum(apart, 0, out=apart)
        return np.sqrt(apart, out=apart) if distance == "l2" else apart
    size = 1 / np.sqrt(np.maximum(squares, 1e-60))
    apart = dots * size[rows][:, None]
    apart *= size[None, :]
    np.clip(apart, -1, 1, out=apart)
    if distance == "angular":
        return np.arccos(apart, out=apart) / np.pi
    apart = 1 - apart
    return np.sqrt(2 * apart) if distance == "l2_unit" else apart


def knn_purity(
    vectors: np.ndarray, types: np.ndarray, utterances: np.ndarray, *, k: int = 10, distance: str = "l2", device: str = "cpu"
) -> float:
    """Mean share of a token's k nearest neighbours from other utterances that are of its type.

    Notes
    -----
    Only tokens whose type occurs in another utterance are asked. With fewer than k tokens elsewhere, all of them are taken.
    """
    shares = knn_parts(vectors, types, utterances, k=k, distance=distance, device=device)
    asked = np.isfinite(shares)
    return float(shares[asked].mean()) if asked.any() else float("nan")


def knn_parts(
    vectors: np.ndarray, types: np.ndarray, utterances: np.ndarray, *, k: int = 10, distance: str = "l2", device: str = "cpu"
) -> np.ndarray:
    """The share of each token, shape (N,); NaN where its type occurs in no other utterance."""
    import torch

    codes = np.unique(np.asarray(types), return_inverse=True)[1]
    utterance = np.unique(np.asarray(utterances), return_inverse=True)[1]
    x = _unit_or_centred(vectors, distance, device)
    squares = (x**2).sum(1)
    shares = []
    for start in range(0, len(codes), 1024):
        chosen = slice(start, start + 1024)
        apart = squares[None, :] - 2 * (x[chosen] @ x.T)
        other = utterance[chosen][:, None] != utterance[None, :]
        apart[torch.as_tensor(~other, device=apart.device)] = torch.inf
        wanted = min(k, len(codes))
        distance_of, nearest = (part.cpu().numpy() for part in torch.topk(apart, wanted, largest=False))
        found = np.isfinite(distance_of)
        same = (codes[nearest] == codes[chosen][:, None]) & found
        askable = (other & (codes[chosen][:, None] == codes[None, :])).any(1)
        shares.append(np.where(askable, same.sum(1) / np.maximum(1, found.sum(1)), np.nan))
    return np.concatenate(shares) if shares else np.zeros(0)


def d_prime(between: np.ndarray, within: np.ndarray) -> float:
    """How far apart two samples of distances lie, in their common deviation: 0 is chance.

    Notes
    -----
    ``(mean_b - mean_w) / sqrt((var_b + var_w) / 2)``.

    References
    ----------
    Green, D. M. and Swets, J. A. (1966). Signal detection theory and psychophysics.
    """
    between, within = np.asarray(between, dtype=np.float64), np.asarray(within, dtype=np.float64)
    if min(len(between), len(within)) < 2:
        return float("nan")
    spread = np.sqrt((between.var(ddof=1) + within.var(ddof=1)) / 2)
    return float((between.mean() - within.mean()) / spread) if spread > 0 else float("nan")


def phone_probe(vectors: np.ndarray, phones: np.ndarray, utterances: np.ndarray, *, folds: int = 5, seed: int = 0) -> float:
    """Share of tokens whose phone a linear map, fitted on other utterances, names rightly.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    phones : ndarray of str, shape (N,)
        The nucleus of each syllable, or the phone itself for phone tokens. The phone error rate is one less this share.
    utterances : ndarray, shape (N,)
        No utterance is in both halves of a fold: with semantics added, an utterance's vector would give its tokens away.
    folds : int

    Notes
    -----
    Ridge regression on one-hot phones, dimensions standardised on the training folds, penalty ``N_train / 100``; the phone with
    the largest score is named. Closed form, so with and without differ by the vectors alone.
    """
    return float(probe_parts(vectors, phones, utterances, folds=folds, seed=seed).mean())


def probe_parts(vectors: np.ndarray, phones: np.ndarray, utterances: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Whether each token's phone was named rightly, 1 or 0, shape (N,)."""
    _, codes = np.unique(np.asarray(phones), return_inverse=True)
    utterance = np.unique(np.asarray(utterances), return_inverse=True)[1]
    n_utterances = int(utterance.max()) + 1
    if n_utterances < 2:
        raise SeparationError("A phone probe needs tokens of at least two utterances, to be fitted on some and asked on others.")
    folds = min(folds, n_utterances)
    fold = (np.random.default_rng(seed).permutation(n_utterances) % folds)[utterance]
    vectors = np.asarray(vectors, dtype=np.float64)
    right = np.zeros(len(codes))
    target = np.eye(int(codes.max()) + 1)[codes]
    for held_out in range(folds):
        test = fold == held_out
        train = ~test
        mean = vectors[train].mean(0)
        spread = vectors[train].std(0)
        scaled = (vectors - mean) / np.where(spread > 0, spread, 1.0)
        level = target[train].mean(0)
        gram = scaled[train].T @ scaled[train]
        gram[np.diag_indices_from(gram)] += train.sum() / 100
        weights = np.linalg.solve(gram, scaled[train].T @ (target[train] - level))
        right[test] = np.argmax(scaled[test] @ weights + level, axis=1) == codes[test]
    return right
