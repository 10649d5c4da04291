"""Rows of averages of distances: mean, gain, and the gain net of each null."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.separation.selections import Selection
from analysis.separation.significance import interval_p, permutation_p
from analysis.separation.uncertainty import detectable, displaced, interval_columns, intervals_of
from analysis.separation.variants import REFERENCE_DRAWS, LayerVariants

__all__ = ["PER_PAIR_COLUMNS", "average_rows", "difference", "per_pair_distances"]

#: Key of one collection of null draws, in order.
_DRAW_KEY = ("encoder", "layer", "vectors", "distance", "relation", "split", "variant", "null")
_PER_PAIR_SPLITS = ("all", "different_text")
PER_PAIR_COLUMNS = (
    "encoder", "layer", "vectors", "distance", "split", "relation", "type_a", "type_b", "variant", "mean_distance",
    "n_token_pairs",
)  # fmt: skip


def difference(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """``values - base`` with what is rounding alone set to zero, so that no interval is made of it."""
    result = values - base
    return np.where(np.abs(result) <= 1e-12 * np.abs(base), 0.0, result)


@dataclasses.dataclass(frozen=True)
class _Request:
    """One row to be: its cell means and its names; for a net also the module's own, and the averages of draws of its null.

    ``shuffled``: against random directions, the averages of the shuffle's draws too, where there are any.
    """

    values: np.ndarray
    names: dict[str, Any]
    own: np.ndarray | None = None
    draws: np.ndarray | None = None
    shuffled: np.ndarray | None = None

    @property
    def several(self) -> bool:
        """Whether the null was drawn more than once, so that its spread is known."""
        return self.draws is not None and len(self.draws) > 1


def average_rows(
    state: LayerVariants, selections: Sequence[Selection], draws: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """All rows of averages for one layer and treatment; every collection of null draws is entered into ``draws``."""
    null_means = {key: values.mean(axis=0) for key, values in state.draws.items()}
    averages = _averages_of_draws(state, selections)
    for number, selection in enumerate(selections):
        requests = [
            request
            for distance in state.settings.distances
            for request in _requests(state, selection, distance, null_means, averages, number, draws)
        ]
        yield from _answered(state, selection, requests)


def _averages_of_draws(state: LayerVariants, selections: Sequence[Selection]) -> dict[tuple[str, str, str], np.ndarray]:
    """The average of every draw under every selection, shape (selections, draws): one sparse product for all."""
    from scipy import sparse

    if not state.draws:
        return {}
    columns = np.concatenate([selection.positions for selection in selections])
    rows = np.repeat(np.arange(len(selections)), [len(selection.positions) for selection in selections])
    weights = np.concatenate([selection.weights / selection.cells.count for selection in selections])
    matrix = sparse.csr_array((weights, (rows, columns)), (len(selections), len(state.pairs.starts)))
    return {key: matrix @ np.ascontiguousarray(values.T) for key, values in state.draws.items()}


def _requests(
    state: LayerVariants,
    selection: Selection,
    distance: str,
    null_means: dict[tuple[str, str, str], np.ndarray],
    averages: dict[tuple[str, str, str], np.ndarray],
    number: int,
    draws: dict[str, dict[str, Any]],
) -> Iterator[_Request]:
    common = {"distance": distance, "relation": selection.relation, "split": selection.split, "null": ""}
    base = selection.means(state.sums["without", distance])
    yield _Request(base, {**common, "variant": "without", "statistic": "mean_distance"})
    for module in state.offsets:
        own = selection.means(state.sums[module, distance])
        yield _Request(own, {**common, "variant": module, "statistic": "mean_distance"})
        yield _Request(difference(own, base), {**common, "variant": module, "statistic": "gain"})
        for null in state.settings.nulls:
            key = (null, module, distance)
            if key not in null_means:
                continue
            other = selection.means(null_means[key])
            named = {**common, "variant": f"null:{null}", "null": module}
            yield _Request(other, {**named, "statistic": "mean_distance"})
            yield _Request(difference(other, base), {**named, "statistic": "gain"})
            values = averages[key][number]
            net = {**common, "variant": module, "statistic": "net", "null": null}
            shuffled = averages.get(("shuffled", module, distance)) if null == "random" else None
            yield _Request(difference(own, other), net, own, values, None if shuffled is None else shuffled[number])
            if selection.average == "macro":
                entry = {**state.base, **net, "without": float(selection.weights @ base)}
                entry["observed"] = float(selection.weights @ own)
                entry["draws"] = values.tolist()
                name = "|".join(str(entry[column]) for column in _DRAW_KEY)
                draws[name] = {column: entry[column] for column in (*_DRAW_KEY, "without", "observed", "draws")}


def _answered(state: LayerVariants, selection: Selection, requests: Sequence[_Request]) -> Iterator[dict[str, Any]]:
    """Rows of one selection, their intervals made in two batches: against a null of many draws, and all others."""
    settings = state.settings
    values = np.stack([request.values for request in requests])
    found = intervals_of(selection, values, settings)
    special = [place for place, request in enumerate(requests) if request.several]
    if special and found[0].method == "crossed_t":
        nets = selection.design.net_intervals(
            np.stack([requests[place].own for place in special]),
            np.stack([requests[place].draws for place in special]),
            (_reference(state, selection, requests[place]) for place in special),
            settings.ci_level,
        )
        for place, interval in zip(special, nets, strict=True):
            request, notes = requests[place], [found[place].note]
            if request.shuffled is not None and len(request.shuffled) > 1:
                notes.append(displaced(request.draws, request.shuffled))
            note = "; ".join(note for note in notes if note)
            found[place] = dataclasses.replace(interval, estimate=found[place].estimate, note=note)
    effect_sizes = selection.effect_sizes(values)
    for request, interval, effect_size in zip(requests, found, effect_sizes, strict=True):
        statistic = request.names["statistic"]
        yield {
            **state.base,
            **request.names,
            "average": selection.average,
            **interval_columns(interval),
            "p_value": interval_p(interval.estimate, interval.se, interval.df) if request.several else np.nan,
            "p_permutation": _permuted_p(state, selection, request),
            "effect_size": float(effect_size) if statistic in ("gain", "net") else np.nan,
            "minimum_detectable_effect": detectable(interval, settings) if statistic == "net" else np.nan,
            **selection.counts,
        }


def _permuted_p(state: LayerVariants, selection: Selection, request: _Request) -> float:
    """p-value of a net of the shuffle in the headline's split, on a sample of token pairs; NaN for other rows."""
    names = request.names
    if names["statistic"] != "net" or names["null"] != "shuffled":
        return float("nan")
    values = state.permuted_averages(selection, names["variant"], names["distance"])
    return float("nan") if values is None else permutation_p(float(values[0]), values[1:])


def _reference(state: LayerVariants, selection: Selection, request: _Request) -> np.ndarray:
    names = request.names
    return selection.means(state.draws[names["null"], names["variant"], names["distance"]][:REFERENCE_DRAWS])


def per_pair_distances(state: LayerVariants, selections: Iterable[Selection]) -> pd.DataFrame:
    """Mean distance of each type pair under each variant, without nulls' single draws: :data:`PER_PAIR_COLUMNS`."""
    table = state.pairs.type_pairs
    type_a, type_b = table["type_a"].to_numpy(), table["type_b"].to_numpy()
    columns: dict[str, list[Any]] = {name: [] for name in PER_PAIR_COLUMNS[3:]}
    lengths: list[int] = []
    for selection in selections:
        if selection.average != "macro" or ":" in selection.relation or selection.split not in _PER_PAIR_SPLITS:
            continue
        codes = selection.cells.type_pair
        n = np.bincount(codes, selection.cells.count, minlength=len(table))
        present = np.flatnonzero(n)
        for (variant, distance), value in state.sums.items():
            total = np.bincount(codes, value[selection.positions], minlength=len(table))
            lengths.append(len(present))
            same = {"distance": distance, "split": selection.split, "relation": selection.relation, "variant": variant}
            for name, one in same.items():
                columns[name].append(one)
            columns["type_a"].append(type_a[present])
            columns["type_b"].append(type_b[present])
            columns["mean_distance"].append(total[present] / n[present])
            columns["n_token_pairs"].append(n[present].astype(np.int64))
    if not lengths:
        return pd.DataFrame(columns=list(PER_PAIR_COLUMNS))
    repeated = {"distance", "split", "relation", "variant"}
    frame = {name: state.base[name] for name in PER_PAIR_COLUMNS[:3]}
    for name, parts in columns.items():
        frame[name] = np.repeat(np.array(parts, dtype=object), lengths) if name in repeated else np.concatenate(parts)
    return pd.DataFrame(frame)
