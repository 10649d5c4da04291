"""Rows of between/within ratios: how far two types lie apart, in units of how far one type spreads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from analysis.separation.averages import difference
from analysis.separation.intervals import Cells, CrossedDesign, Interval
from analysis.separation.selections import Selection
from analysis.separation.significance import interval_p, permutation_p
from analysis.separation.uncertainty import detectable, interval_columns, too_few, weak
from analysis.separation.variants import REFERENCE_DRAWS, LayerVariants

__all__ = ["Ratio", "ratio_rows", "ratios"]

STATISTIC = "between_within_ratio"

UNDEFINED = "no ratio: tokens of the same type lie no farther apart than rounding"

#: Means that are no larger than this share of the other one are rounding.
_ROUNDING = 1e-9


class Ratio:
    """Macro mean of one relation over that of the same type, and its linearisation over the cells of both.

    Notes
    -----
    ``R = m_b / m_w``: 1, no farther than tokens of one type; no common factor on all distances moves it. A cell of the first
    adds ``w_c R (y_c / m_b - 1)`` to its error, one of the second ``-w_c R (y_c / m_w - 1)`` (delta method); the sums over
    speakers are taken over both together, so what a speaker does to all distances alike cancels, as it does in the ratio.

    References
    ----------
    Cochran, W. G. (1977). Sampling techniques, 3rd edition, section 6.3 (the ratio estimate and its linearisation).
    """

    def __init__(self, between: Selection, within: Selection) -> None:
        self.between, self.within = between, within
        cells = Cells.joined([between.cells, within.cells])
        self.design = CrossedDesign(cells, np.concatenate([between.weights, within.weights]) / 2)
        self.counts = {
            "n_tokens": max(between.counts["n_tokens"], within.counts["n_tokens"]),
            "n_token_pairs": between.counts["n_token_pairs"] + within.counts["n_token_pairs"],
            "n_type_pairs": between.counts["n_type_pairs"],
            "n_speakers": min(between.counts["n_speakers"], within.counts["n_speakers"]),
            "n_utterances": max(between.counts["n_utterances"], within.counts["n_utterances"]),
        }

    def values(self, sums: np.ndarray) -> np.ndarray:
        """The ratio, from sums over all cells, shape (..., cells); NaN where one mean is zero or rounding."""
        above = self.between.means(sums) @ self.between.weights
        below = self.within.means(sums) @ self.within.weights
        known = (above > 0) & (below > _ROUNDING * above)
        return np.where(known, above / np.where(known, below, 1.0), np.nan)

    def linear(self, sums: np.ndarray) -> tuple[float, np.ndarray]:
        """The ratio and each cell's part in its error, from the sums over all cells."""
        values = [part.means(sums) for part in (self.between, self.within)]
        above, below = float(self.between.weights @ values[0]), float(self.within.weights @ values[1])
        if above <= 0 or below <= _ROUNDING * above:
            return np.nan, np.zeros(len(values[0]) + len(values[1]))
        ratio = above / below
        return ratio, np.concatenate([ratio * (values[0] / above - 1), -ratio * (values[1] / below - 1)])

    def net_interval(self, own: np.ndarray, draws: np.ndarray, reference: np.ndarray, level: float) -> Interval:
        """Interval of the ratio less its mean over a null's draws (:meth:`CrossedDesign.net_intervals`).

        Parameters
        ----------
        own : ndarray, shape (cells,)
            Sums over all cells with the module.
        draws : ndarray, shape (K,)
            The ratio under each draw.
        reference : ndarray, shape (J, cells)
        """

        def about(sums: np.ndarray) -> np.ndarray:
            # The linearisation averages to zero under the design's weights, which are half of those of each mean.
            ratio, linear = self.linear(sums)
            return ratio + 2 * linear

        drawn = np.stack([about(sums) for sums in reference])
        return self.design.net_intervals(about(own)[None], draws[None], [drawn], level)[0]


def ratios(selections: Sequence[Selection]) -> list[Ratio]:
    """Near-homophones and unrelated types over the same type, in every split that has both."""
    chosen = {(s.relation, s.split): s for s in selections if s.average == "macro" and s.importance is None}
    return [
        Ratio(between, chosen["same_type", split])
        for (relation, split), between in chosen.items()
        if relation in ("near_homophone", "unrelated") and ("same_type", split) in chosen
    ]


def ratio_rows(state: LayerVariants, ratios: Sequence[Ratio]) -> Iterator[dict[str, Any]]:
    """Ratios of every split, and what each variant makes of them."""
    null_means = {key: values.mean(axis=0) for key, values in state.draws.items()}
    for ratio in ratios:
        made: list[tuple[dict[str, Any], float, np.ndarray, float, Interval | None]] = []
        for distance in state.settings.distances:
            made += _of_distance(state, ratio, distance, null_means)
        yield from _rows(state, ratio, made)


def _of_distance(
    state: LayerVariants, ratio: Ratio, distance: str, null_means: dict[tuple[str, str, str], np.ndarray]
) -> Iterator[tuple[dict[str, Any], float, np.ndarray, float, Interval | None]]:
    """(names, estimate, linearisation, p-value of the permutation test, interval where the draws of a null give it) of every row of one distance."""
    common = {"distance": distance, "relation": ratio.between.relation, "split": ratio.between.split, "null": ""}
    base = ratio.linear(state.sums["without", distance])
    yield {**common, "variant": "without", "statistic": STATISTIC}, *base, np.nan, None
    for module in state.offsets:
        own = ratio.linear(state.sums[module, distance])
        yield {**common, "variant": module, "statistic": STATISTIC}, *own, np.nan, None
        gain = float(difference(own[0], base[0])), difference(own[1], base[1])
        yield {**common, "variant": module, "statistic": f"{STATISTIC}:gain"}, *gain, np.nan, None
        for null in state.settings.nulls:
            if (null, module, distance) not in null_means:
                continue
            other = ratio.linear(null_means[null, module, distance])
            yield {**common, "variant": f"null:{null}", "statistic": STATISTIC, "null": module}, *other, np.nan, None
            draws = ratio.values(state.draws[null, module, distance])
            p_value, interval = np.nan, None
            if len(draws) > 1:
                if null == "shuffled":
                    p_value = _permuted_p(state, ratio, module, distance)
                if not too_few(ratio.counts, state.settings) and np.isfinite(draws).all() and np.isfinite(own[0]):
                    reference = state.draws[null, module, distance][:REFERENCE_DRAWS]
                    interval = ratio.net_interval(state.sums[module, distance], draws, reference, state.settings.ci_level)
            net = float(difference(own[0], other[0])), difference(own[1], other[1])
            yield {**common, "variant": module, "statistic": f"{STATISTIC}:net", "null": null}, *net, p_value, interval


def _permuted_p(state: LayerVariants, ratio: Ratio, module: str, distance: str) -> float:
    """p-value of the net ratio in the headline's split, on a sample of token pairs; NaN elsewhere."""
    above = state.permuted_averages(ratio.between, module, distance)
    below = state.permuted_averages(ratio.within, module, distance)
    if above is None or below is None or (below <= _ROUNDING * above).any():
        return float("nan")
    values = above / below
    return permutation_p(float(values[0]), values[1:])


def _rows(
    state: LayerVariants, ratio: Ratio, made: Sequence[tuple[dict[str, Any], float, np.ndarray, float, Interval | None]]
) -> Iterator[dict[str, Any]]:
    settings = state.settings
    short, note = too_few(ratio.counts, settings), weak(ratio.counts, settings)
    # the linearisation averages to zero under the design's weights, which are half of those of each mean
    centred = [] if short else ratio.design.intervals(2 * np.stack([linear for _, _, linear, _, _ in made]), settings.ci_level)
    for place, (names, estimate, _, p_value, interval) in enumerate(made):
        found = Interval(estimate, note=short if np.isfinite(estimate) else UNDEFINED)
        if interval is not None:
            found = dataclasses.replace(interval.about(estimate), note=note)
        elif not short and np.isfinite(estimate):
            found = dataclasses.replace(centred[place].about(estimate), note=note)
        yield {
            **state.base,
            **names,
            "average": "macro",
            **interval_columns(found),
            "p_value": interval_p(found.estimate, found.se, found.df) if names["statistic"].endswith(":net") else np.nan,
            "p_permutation": p_value,
            "effect_size": np.nan,
            "minimum_detectable_effect": detectable(found, settings) if names["statistic"].endswith(":net") else np.nan,
            **ratio.counts,
        }
