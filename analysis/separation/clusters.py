"""Statistics that no common factor on all distances can move: how well types hold together as clusters."""

from __future__ import annotations

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.distances import TokenDots

__all__ = ["SilhouetteSum", "d_prime", "davies_bouldin", "fisher_ratio", "knn_purity", "phone_probe", "silhouette"]


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
    vectors = np.asarray(vectors, dtype=np.float64)
    codes, counts = _codes(types)
    centroids = _centroids(vectors, codes, counts)
    between = float(counts @ ((centroids - vectors.mean(0)) ** 2).sum(1)) / (len(counts) - 1)
    within = float(((vectors - centroids[codes]) ** 2).sum()) / (len(codes) - len(counts))
    return between / within if within > 0 else float("inf")


def davies_bouldin(vectors: np.ndarray, types: np.ndarray) -> float:
    """Davies-Bouldin index: mean over types of the worst (spread_t + spread_r) / distance of centroids; 0 is best.

    References
    ----------
    Davies, D. L. and Bouldin, D. W. (1979). A cluster separation measure. IEEE PAMI 1.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    codes, counts = _codes(types)
    centroids = _centroids(vectors, codes, counts)
    spread = np.bincount(codes, np.linalg.norm(vectors - centroids[codes], axis=1)) / counts
    squares = (centroids**2).sum(1)
    apart = np.sqrt(np.maximum(0, squares[:, None] + squares[None, :] - 2 * centroids @ centroids.T))
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore"):
        return float(np.mean(np.max((spread[:, None] + spread[None, :]) / apart, axis=1)))


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
    """The silhouettes of tokens whose inner products come in blocks of rows."""

    def __init__(self, types: np.ndarray) -> None:
        self.codes, self.counts = _codes(types)
        self._order = np.argsort(self.codes, kind="stable")
        self._sorted = bool((np.diff(self.codes) >= 0).all())
        self._starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self._total = 0.0

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
        self._total += float(np.where((n_own > 1) & (larger > 0), (b - a) / np.where(larger > 0, larger, 1.0), 0.0).sum())

    def mean(self) -> float:
        """Over all tokens, once all rows were seen."""
        return self._total / len(self.codes)


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
        shares.append(same.sum(1)[askable] / np.maximum(1, found.sum(1))[askable])
    shares = np.concatenate(shares)
    return float(shares.mean()) if len(shares) else float("nan")


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
    _, codes = np.unique(np.asarray(phones), return_inverse=True)
    utterance = np.unique(np.asarray(utterances), return_inverse=True)[1]
    n_utterances = int(utterance.max()) + 1
    if n_utterances < 2:
        raise SeparationError("A phone probe needs tokens of at least two utterances, to be fitted on some and asked on others.")
    folds = min(folds, n_utterances)
    fold = (np.random.default_rng(seed).permutation(n_utterances) % folds)[utterance]
    vectors = np.asarray(vectors, dtype=np.float64)
    right = 0
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
        right += int(np.sum(np.argmax(scaled[test] @ weights + level, axis=1) == codes[test]))
    return right / len(codes)
