"""Intervals that hold for other speakers and other word pairs at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from typing import Any

import numpy as np

__all__ = ["Cells", "CrossedDesign", "Interval", "pigeonhole", "resample_weights", "speaker_bootstrap"]

#: Values worked on at once.
_BLOCK = 2**23


@dataclass(frozen=True)
class Interval:
    """An estimate with what is known of its error.

    Attributes
    ----------
    estimate, low, high, se, df : float
        ``low``/``high``/``se``/``df`` are NaN where no interval can be had; ``note`` then says why.
    method : str
        ``crossed_t``, ``null_t``, ``pigeonhole``, ``speaker_bootstrap`` or ``none``.
    note : str
    components : dict of str to float
        Variance components (``crossed_t``, ``null_t``): ``speaker``, ``speaker_pair``, ``type``, ``type_pair``, ``residual``.
    """

    estimate: float
    low: float = np.nan
    high: float = np.nan
    se: float = np.nan
    df: float = np.nan
    method: str = "none"
    note: str = ""
    components: dict[str, float] = field(default_factory=dict)

    def about(self, estimate: float) -> Interval:
        """The same interval about another estimate: of a statistic whose linearisation this one was made of."""
        shift = estimate - self.estimate
        return replace(self, estimate=estimate, low=self.low + shift, high=self.high + shift)


@dataclass(frozen=True)
class Cells:
    """Token pairs, summed over each (speaker pair, type pair): what every average and every interval is made from.

    Attributes
    ----------
    speaker_a, speaker_b : ndarray of int, shape (C,)
        Codes of the two speakers, ``speaker_a <= speaker_b``; equal for a comparison within one speaker.
    type_pair : ndarray of int, shape (C,)
    count : ndarray, shape (C,)
        Token pairs in the cell.
    type_a, type_b : ndarray of int, shape (C,), optional
        Codes of the two types of ``type_pair``; without them, no two type pairs are taken to share a type.
    speaker_c : ndarray of int, shape (C,), optional
        A third speaker, where cells are of triples of tokens.
    """

    speaker_a: np.ndarray
    speaker_b: np.ndarray
    type_pair: np.ndarray
    count: np.ndarray
    type_a: np.ndarray | None = None
    type_b: np.ndarray | None = None
    speaker_c: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """Cells of several sets, end to end."""
        columns = [[getattr(part, item.name) for part in parts] for item in fields(cls)]
        return cls(*(None if any(one is None for one in column) else np.concatenate(column) for column in columns))

    def __len__(self) -> int:
        return len(self.count)

    def weights(self, average: str, importance: np.ndarray | None = None) -> np.ndarray:
        """Weight of each cell's mean in the average; they sum to one.

        Parameters
        ----------
        average : str
            ``macro``: all type pairs count the same, whatever their token pairs; ``micro``: all token pairs count the same.
        importance : ndarray, shape (n type pairs,), optional
            Weight of each type pair (such as its viseme distance), by code.
        """
        weights = np.asarray(self.count, dtype=np.float64)
        if average == "macro":
            weights = weights / np.bincount(self.type_pair, weights)[self.type_pair]
        elif average != "micro":
            raise ValueError(f"average must be 'macro' or 'micro', not {average!r}")
        if importance is not None:
            weights = weights * importance[self.type_pair]
        return weights / weights.sum()


class CrossedDesign:
    """Crossed variance components of a weighted mean over cells of speakers and type pairs.

    Prepared once per set of cells and weights, then applied to any number of values.

    Parameters
    ----------
    cells : Cells
    weights : ndarray, shape (C,)
        From :meth:`Cells.weights`.
    like : CrossedDesign, optional
        A design of the same cells under other weights, whose groups are then held once.

    Notes
    -----
    Model of the mean ``y_c`` of the token pairs of speakers (s, s') and type pair p::

        y_c = mu + a_s + a_s' + d_ss' + t_k + t_l + b_p + e_c

    with speakers and types as multi-membership factors (a cell of one speaker holds ``2 a_s``, one of a single type ``2 t_k``),
    speaker pairs only where cells across speakers exist, types only where two type pairs share one, and type pairs. The estimate is ``w'y``. Each component has one quadratic form, the sum over its groups of
    the squared group totals of ``w_c (y_c - w'y)``; the forms are linear in the components in expectation, whatever the
    distribution and however unbalanced the cells, so equating both gives moment estimators (no normality needed). Then::

        Var(w'y) = sum_k sigma_k^2 * sum_g (sum_{c in g} w_c)^2

    and the interval is ``w'y -+ t(df) se``. Degrees of freedom after Satterthwaite (1946): each component's share of the
    variance, together with the residual's, has as many as its effective number of groups ``(sum W_g^2)^2 / sum W_g^4`` less one.

    References
    ----------
    Gao, K. and Owen, A. B. (2017). Efficient moment calculations for variance components in large unbalanced crossed random
    effects models. Electronic Journal of Statistics 11.
    Owen, A. B. (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1.
    Clark, H. H. (1973). The language-as-fixed-effect fallacy. Journal of Verbal Learning and Verbal Behavior 12.
    """

    def __init__(self, cells: Cells, weights: np.ndarray, like: CrossedDesign | None = None) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        n = len(cells)
        self._groups = _crossed_groups(cells) if like is None else like._groups
        self.names = (*self._groups, "residual")
        self.n_speakers, self.n_type_pairs = (self._groups[name].shape[0] for name in ("speaker", "type_pair"))
        # E[q_k] = sum_l sigma_l^2 || Z_k' W (I - 1 w') Z_l ||_F^2, expanded so that only small sparse products are formed:
        # || Z_k' W Z_l ||^2 is symmetric in k and l, and with single cells as groups it is the sum of squared entries.
        membership = {name: groups.T.astype(np.float64).tocsr() for name, groups in self._groups.items()}
        weighted = {name: groups.T.multiply(self.weights[None, :]).tocsr() for name, groups in membership.items()}
        self._totals = {name: groups.T @ self.weights for name, groups in membership.items()} | {"residual": self.weights}
        spread = {name: groups @ self._totals[name] for name, groups in membership.items()} | {"residual": self.weights}
        crossed: dict[tuple[int, int], float] = {}
        expectation = np.zeros((len(self.names), len(self.names)))
        for row, name in enumerate(self.names):
            total = self._totals[name]
            for column, other in enumerate(self.names):
                if column < row:
                    squares = crossed[column, row]
                elif other == "residual":
                    data = self.weights if name == "residual" else weighted[name].data
                    squares = crossed[row, column] = np.sum(data**2)
                else:
                    squares = crossed[row, column] = np.sum((weighted[name] @ membership[other]).data ** 2)
                share = self._totals[other]
                cross = self.weights @ (spread[name] * spread[other])
                expectation[row, column] = squares - 2 * cross + (total @ total) * (share @ share)
        self._expectation = expectation
        self._effective = {}
        for name in self.names:
            squared = self._totals[name] ** 2
            self._effective[name] = squared.sum() ** 2 / np.sum(squared**2)
        self._loads = np.array([np.sum(self._totals[name] ** 2) for name in self.names])
        groups = sum(groups.shape[0] - 1 for groups in self._groups.values())
        self._residual_df = max(1.0, self._effective["residual"] * (1 - min(groups + 1, n - 1) / n))

    def interval(self, values: np.ndarray, level: float = 0.95) -> Interval:
        """Interval of the weighted mean of cell means, shape (C,)."""
        return self.intervals(np.asarray(values)[None], level)[0]

    def intervals(self, values: np.ndarray, level: float = 0.95) -> list[Interval]:
        """The same for many rows of cell means at once, shape (R, C)."""
        values = np.asarray(values, dtype=np.float64)
        step = max(1, _BLOCK // max(1, values.shape[1]))
        if len(values) > step:
            parts = [slice(start, start + step) for start in range(0, len(values), step)]
            return [found for part in parts for found in self.intervals(values[part], level)]
        observed = self._forms(values)
        sigma = _nonnegative(self._expectation, observed)
        share = sigma * self._loads
        own = share[:, -1]
        spread = own**2 / self._residual_df
        for column, name in enumerate(self.names[:-1]):
            part = share[:, column]
            spread += np.where(part > 0, (part + own) ** 2 / max(1.0, self._effective[name] - 1), 0.0)
        scale = np.abs(values).max(axis=1, initial=0.0)
        exact = np.sqrt(observed.max(axis=1, initial=0.0)) <= 1e-14 * np.maximum(scale, 1e-300)
        return self._made(values @ self.weights, share.sum(axis=1), spread, sigma, exact, "crossed_t", level)

    def net_intervals(
        self,
        values: np.ndarray,
        null_averages: np.ndarray,
        reference: Iterable[np.ndarray],
        level: float = 0.95,
    ) -> list[Interval]:
        """Intervals of averages less the mean average of a null's draws.

        Parameters
        ----------
        values : ndarray, shape (R, C)
            Cell means with the module, one row per interval.
        null_averages : ndarray, shape (R, K)
            The average under each of the null's draws, K > 1.
        reference : iterable of R ndarrays of shape (J, C)
            Cell means under J > 1 of the null's draws.
        level : float

        Notes
        -----
        Two things make a net stray from its truth. Vectors that know nothing still fall on utterances by chance: the draws show
        by how much, with the module's own vectors, tokens and weights, so that this part needs no model,
        ``V_0 = (1 + 1/K) var(null averages)`` with K - 1 degrees of freedom (``1/K`` for the mean of the draws). And a true
        effect differs between speakers and type pairs: what the quadratic forms of the difference exceed those of the reference
        draws by is turned into components, none below zero, as in the class's notes; ``t`` is their part in the variance. In
        draws as in the module's own, cells that share tokens hang together in ways that the components do not know; the
        difference of the forms is free of it.

        Components that cannot be negative come out positive by chance where there is no effect. How large, the reference draws
        tell: each is held against the others in the same way, and ``b`` is what that finds on average. Then
        ``V_1 = t max(0, 1 - (b / t)^2)``, all components shrunk alike: nothing where no more is found than in draws, and all of
        ``t`` where it is much more (the non-negative garrote, with the draws for its threshold). The interval is
        ``estimate -+ t(df) sqrt(V_0 + V_1)`` with ``df = (V_0 + V_1)^2 / (V_0^2 / (K - 1) + sum_k V_1k^2 / (G_k - 1))``, G_k the
        effective number of groups.

        References
        ----------
        Breiman, L. (1995). Better subset regression using the nonnegative garrote. Technometrics 37.
        """
        values = np.asarray(values, dtype=np.float64)
        null_averages = np.asarray(null_averages, dtype=np.float64)
        n_draws = null_averages.shape[1]
        chance = null_averages.var(axis=1, ddof=1) * (1 + 1 / n_draws)
        own, drawn = [], []
        for row, draws in enumerate(reference):
            mean = draws.mean(axis=0)
            own.append(self._forms((values[row] - mean)[None])[0])
            drawn.append(self._forms(draws - mean))
        own, drawn = np.stack(own), np.stack(drawn)
        n_reference = drawn.shape[1]
        middle = drawn.mean(axis=1)
        # draws less their mean vary by a factor 1 - 1/J, the module's own less that mean by 1 + 1/J
        usual = middle * (n_reference + 1) / (n_reference - 1)
        sigma = _nonnegative(self._expectation, own - usual, np.maximum(own, usual))
        found = sigma @ self._loads
        above = found > 0
        of_draws = (drawn[above] - middle[above, None]) * np.sqrt((n_reference + 1) / (n_reference - 1))
        magnitude = np.maximum(drawn[above], middle[above, None])
        by_chance = _nonnegative(self._expectation, *(part.reshape(-1, len(self.names)) for part in (of_draws, magnitude)))
        by_chance = (by_chance @ self._loads).reshape(-1, n_reference).mean(axis=1)
        sigma[above] *= np.maximum(0.0, 1 - (by_chance / found[above]) ** 2)[:, None]
        share = sigma * self._loads
        groups = np.array([max(1.0, self._effective[name] - 1) for name in self.names])
        spread = chance**2 / (n_draws - 1) + np.sum(share**2 / groups, axis=1)
        variance = chance + share.sum(axis=1)
        estimate = values @ self.weights - null_averages.mean(axis=1)
        scale = np.abs(values).max(axis=1, initial=0.0)
        exact = np.sqrt(variance) <= 1e-12 * np.maximum(scale, 1e-300)
        estimate = np.where(np.abs(estimate) <= 1e-12 * scale, 0.0, estimate)  # what is rounding alone
        return self._made(estimate, variance, spread, sigma, exact, "null_t", level)

    def _forms(self, values: np.ndarray) -> np.ndarray:
        """Sum over each component's groups of the squared totals of ``w_c (y_c - w'y)``; (R, C) to (R, components)."""
        residual = np.ascontiguousarray((values - (values @ self.weights)[:, None]).T)
        residual *= self.weights[:, None]
        forms = [np.sum((groups @ residual) ** 2, axis=0) for groups in self._groups.values()]
        return np.stack([*forms, np.sum(residual**2, axis=0)], axis=1)

    def _made(
        self,
        estimate: np.ndarray,
        variance: np.ndarray,
        spread: np.ndarray,
        sigma: np.ndarray,
        exact: np.ndarray,
        method: str,
        level: float,
    ) -> list[Interval]:
        """Intervals from variances and the variances ``spread / 2`` of these; of no width where nothing varies."""
        from scipy.special import stdtrit

        df = np.where(spread > 0, np.maximum(1.0, variance**2 / np.where(spread > 0, spread, 1.0)), np.inf)
        se = np.where(exact, 0.0, np.sqrt(variance))
        df = np.where(exact, np.inf, df)
        half = np.where(exact, 0.0, stdtrit(df, 0.5 + level / 2) * se)
        return [
            Interval(
                float(estimate[row]), float(estimate[row] - half[row]), float(estimate[row] + half[row]), float(se[row]),
                float(df[row]), method, "",
                {} if exact[row] else dict(zip(self.names, sigma[row].tolist(), strict=True)),
            )
            for row in range(len(estimate))
        ]  # fmt: skip


def _crossed_groups(cells: Cells) -> dict[str, Any]:
    """By component, sparse (groups, C): how often each cell holds each group. Kept small, since cells are many: int8 and int32."""
    n = len(cells)
    roles = [role for role in (cells.speaker_a, cells.speaker_b, cells.speaker_c) if role is not None]
    speakers, each = _numbered(np.concatenate(roles))
    speaker_a, speaker_b = each[:n], each[n : 2 * n]
    found = {"speaker": _membership([each[k * n : (k + 1) * n] for k in range(len(roles))], len(speakers))}
    if len(roles) == 2 and (speaker_a != speaker_b).any():
        dyads, dyad = _numbered(speaker_a.astype(np.int64) * len(speakers) + speaker_b)
        found["speaker_pair"] = _membership([dyad], len(dyads))
    shared = _shared_types(cells)
    if shared is not None:
        types, type_a, type_b = shared
        found["type"] = _membership([type_a, type_b], types)
    pairs, type_pair = _numbered(cells.type_pair)
    found["type_pair"] = _membership([type_pair], len(pairs))
    return found


def _membership(roles: Sequence[np.ndarray], n_groups: int) -> Any:
    """Sparse (groups, C) of cells that hold one group in each role; a cell that holds one in two roles counts twice."""
    from scipy import sparse

    n = len(roles[0])
    ones, cell = np.ones(len(roles) * n, dtype=np.int8), np.tile(np.arange(n, dtype=np.int32), len(roles))
    return sparse.csr_array((ones, (np.concatenate(roles), cell)), (n_groups, n))


def _numbered(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes that occur, ascending, and the place of each among them, int32: ``np.unique``, by a table where codes are small."""
    codes = np.asarray(codes)
    if not len(codes) or codes.min() < 0 or codes.max() > 4 * len(codes) + 1024:
        found, place = np.unique(codes, return_inverse=True)
        return found, place.astype(np.int32)
    present = np.zeros(int(codes.max()) + 1, dtype=bool)
    present[codes] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - 1)[codes]


def _shared_types(cells: Cells) -> tuple[int, np.ndarray, np.ndarray] | None:
    """How many types there are, and each cell's two, numbered; None where type pairs share none: types are then told by their pair."""
    if cells.type_a is None or cells.type_b is None:
        return None
    types, both = _numbered(np.concatenate([cells.type_a, cells.type_b]))
    type_a, type_b = both[: len(cells)], both[len(cells) :]
    pairs, pair = _numbered(cells.type_pair)
    of_pair = np.zeros((2, len(pairs)), dtype=np.int64)
    of_pair[:, pair] = type_a, type_b
    mentions = np.bincount(of_pair[0], minlength=len(types))
    mentions += np.bincount(of_pair[1, of_pair[0] != of_pair[1]], minlength=len(types))
    return None if mentions.max() < 2 else (len(types), type_a, type_b)


def _nonnegative(expectation: np.ndarray, observed: np.ndarray, magnitude: np.ndarray | None = None) -> np.ndarray:
    """Components solving ``expectation @ sigma = observed`` with none below zero, each equation relative to its magnitude.

    Parameters
    ----------
    expectation : ndarray, shape (K, K)
    observed : ndarray, shape (R, K)
    magnitude : ndarray, shape (R, K), optional
        What was observed itself, unless given.

    Notes
    -----
    Least squares under non-negativity: with K of at most five, the solution is the best of the 2^K - 1 unconstrained solutions
    on subsets of the components that are not negative, all rows at once.
    """
    n_rows, size = observed.shape
    magnitude = observed if magnitude is None else magnitude
    scale = np.where(magnitude > 0, 1.0 / np.maximum(magnitude, 1e-300), 0.0)
    system = expectation[None] * scale[:, :, None]
    target = observed * scale
    length = np.sqrt(np.sum(system**2, axis=1))
    length = np.where(length > 0, length, 1.0)
    system = system / length[:, None, :]
    best, least = np.zeros((n_rows, size)), np.sum(target**2, axis=1)
    gram = np.swapaxes(system, 1, 2) @ system
    gram[:, np.arange(size), np.arange(size)] += 1e-15
    right = np.einsum("rkc,rk->rc", system, target)
    rows = np.arange(n_rows)
    for n_chosen in range(1, size + 1):
        subsets = np.array(list(combinations(range(size), n_chosen)))
        found = np.linalg.solve(gram[:, subsets[:, :, None], subsets[:, None, :]], right[:, subsets][..., None])[..., 0]
        whole = np.zeros((n_rows, len(subsets), size))
        np.put_along_axis(whole, np.broadcast_to(subsets, found.shape), found, axis=2)
        missed = np.sum((np.einsum("rkc,rsc->rsk", system, whole) - target[:, None]) ** 2, axis=2)
        missed = np.where((found >= 0).all(axis=2), missed, np.inf)
        chosen = missed.argmin(axis=1)
        better = missed[rows, chosen] < least
        least = np.where(better, missed[rows, chosen], least)
        best[better] = whole[rows, chosen][better]
    return best / length


def resample_weights(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of ``n`` units was drawn, with replacement; shape ``(resamples, n)``, float64."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(np.float64)


def _resampled_means(
    cells: Cells, values: np.ndarray, average: str, speaker_weights: np.ndarray, pair_weights: np.ndarray | None
) -> np.ndarray:
    """Average of every resample, shape (R,). Each cell counts as often as both its speakers and its type pair were drawn."""
    from scipy import sparse

    speakers, both = np.unique(np.concatenate([cells.speaker_a, cells.speaker_b]), return_inverse=True)
    speaker_a, speaker_b = both[: len(cells)], both[len(cells) :]
    pairs, type_pair = np.unique(cells.type_pair, return_inverse=True)
    dyads, dyad = np.unique(speaker_a * len(speakers) + speaker_b, return_inverse=True)
    first, second = dyads // len(speakers), dyads % len(speakers)
    shape = (len(dyads), len(pairs))
    count = np.asarray(cells.count, dtype=np.float64)
    counts = sparse.csr_array((count, (dyad, type_pair)), shape).T.tocsr()
    sums = sparse.csr_array((count * values, (dyad, type_pair)), shape).T.tocsr()
    means = np.empty(len(speaker_weights))
    step = max(1, 2**24 // max(1, len(dyads) + 2 * len(pairs)))
    for start in range(0, len(means), step):
        chosen = slice(start, start + step)
        weight = speaker_weights[chosen]
        dyad_weight = np.where(first == second, weight[:, first], weight[:, first] * weight[:, second])
        n = (counts @ dyad_weight.T).T
        total = (sums @ dyad_weight.T).T
        outer = np.ones((len(weight), len(pairs))) if pair_weights is None else pair_weights[chosen]
        if average == "micro":
            top, bottom = (outer * total).sum(1), (outer * n).sum(1)
        else:
            present = n > 0
            top = np.where(present, outer * total / np.where(present, n, 1.0), 0.0).sum(1)
            bottom = np.where(present, outer, 0.0).sum(1)
        means[chosen] = top / np.where(bottom > 0, bottom, np.nan)
    return means


def pigeonhole(
    cells: Cells, values: np.ndarray, average: str = "macro", *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval with speakers and type pairs resampled independently, both with replacement.

    Parameters
    ----------
    cells : Cells
    values : ndarray, shape (C,)
        Mean of each cell's token pairs.

    Notes
    -----
    A cell of speakers (s, s') and type pair p counts ``r_s r_s' q_p`` times (``r_s q_p`` within one speaker), where ``r`` and
    ``q`` say how often each was drawn. Where type pairs share types, types are drawn: ``q_p = q_k q_l``. All resamples are one sparse product of speaker-pair sums with the weights.

    References
    ----------
    Owen, A. B. (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1.
    """
    return _bootstrap(cells, values, average, resamples, level, seed, pairs=True)


def speaker_bootstrap(
    cells: Cells, values: np.ndarray, average: str = "macro", *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval with speakers alone resampled: holds for other speakers saying the *same* word pairs, no more."""
    return _bootstrap(cells, values, average, resamples, level, seed, pairs=False)


def _resampled_pairs(cells: Cells, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Weight of each type pair in each resample, shape (R, P): type pairs are drawn, or types where pairs share some."""
    pairs, first = np.unique(cells.type_pair, return_index=True)
    if _shared_types(cells) is None:
        return resample_weights(len(pairs), resamples, rng)
    types, both = np.unique(np.concatenate([cells.type_a[first], cells.type_b[first]]), return_inverse=True)
    drawn = resample_weights(len(types), resamples, rng)
    type_a, type_b = both[: len(pairs)], both[len(pairs) :]
    return np.where(type_a == type_b, drawn[:, type_a], drawn[:, type_a] * drawn[:, type_b])


def _bootstrap(
    cells: Cells, values: np.ndarray, average: str, resamples: int, level: float, seed: int, *, pairs: bool
) -> Interval:
    rng = np.random.default_rng(seed)
    n_speakers = len(np.unique(np.concatenate([cells.speaker_a, cells.speaker_b])))
    weights = resample_weights(n_speakers, resamples, rng)
    outer = _resampled_pairs(cells, resamples, rng) if pairs else None
    means = _resampled_means(cells, np.asarray(values, dtype=np.float64), average, weights, outer)
    estimate = float(cells.weights(average) @ values)
    usable = means[np.isfinite(means)]
    low, high = np.quantile(usable, [0.5 - level / 2, 0.5 + level / 2])
    method = "pigeonhole" if pairs else "speaker_bootstrap"
    return Interval(estimate, float(low), float(high), float(usable.std(ddof=1)), np.nan, method)
