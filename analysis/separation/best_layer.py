"""The best layer, chosen on one half of the speakers and reported on the other, so that the choice cannot flatter the score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.separation.averages import average_rows
from analysis.separation.headline import Headline
from analysis.separation.ratios import STATISTIC, ratio_rows, ratios
from analysis.separation.relations import TokenPairs
from analysis.separation.selections import Selection, restricted
from analysis.separation.settings import SeparationSettings
from analysis.separation.variants import LayerVariants

__all__ = ["Halves", "best_layer_rows", "halves", "layer_candidates"]


@dataclass(frozen=True)
class Halves:
    """The same averages over two disjoint halves of the speakers.

    Attributes
    ----------
    choosing, reporting : list of Selection
        The headline's relation and the same type, in the headline's split.
    note : str
        Which speakers chose.
    """

    choosing: list[Selection]
    reporting: list[Selection]
    note: str


def halves(pairs: TokenPairs, selections: Sequence[Selection], settings: SeparationSettings) -> Halves | None:
    """Speakers dealt at random into two halves; None where a half would have fewer than two, or no token pairs.

    Layers are ranked at the headline: without semantics by the between/within ratio, a module by its net.
    """
    headline = Headline.of(settings)
    if len(pairs.speakers) < 4:
        return None
    order = np.random.default_rng([settings.seed, 19]).permutation(len(pairs.speakers))
    middle = len(order) // 2
    wanted = [
        one
        for one in selections
        if one.split == headline.split and one.average == "macro" and one.relation in (headline.relation, "same_type")
    ]
    sides = [[restricted(one, pairs, speakers) for one in wanted] for speakers in (order[:middle], order[middle:])]
    if not wanted or any(one is None for side in sides for one in side):
        return None
    names = ", ".join(sorted(pairs.speakers[code] for code in order[:middle])[:20])
    return Halves(*sides, f"layer chosen on {middle} speakers ({names}), reported on the other {len(order) - middle}")


def layer_candidates(state: LayerVariants, halves: Halves) -> list[tuple[float, dict[str, Any]]]:
    """(score on the choosing half, row of the reporting half) of everything that layers are ranked by."""
    chosen_by, reported = ({_key(row): row for row in _rows(state, side)} for side in (halves.choosing, halves.reporting))
    return [(chosen_by[key]["estimate"], row) for key, row in reported.items() if key in chosen_by]


def _rows(state: LayerVariants, side: Sequence[Selection]) -> Iterator[dict[str, Any]]:
    headline = Headline.of(state.settings)
    near = [one for one in side if one.relation == headline.relation]
    for row in average_rows(state, near, {}):
        if row["statistic"] == "net" and row["null"] == headline.null:
            yield row
    for row in ratio_rows(state, ratios(side)):
        if row["statistic"] == STATISTIC and row["variant"] == "without":
            yield row


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["distance"], row["variant"], row["statistic"], row["null"]


def best_layer_rows(candidates: Sequence[Sequence[tuple[float, dict[str, Any]]]], note: str) -> Iterator[dict[str, Any]]:
    """One row for each thing that layers are ranked by, statistic ``...:best_layer``: the other half's score at the best layer.

    Parameters
    ----------
    candidates : sequence
        What :func:`layer_candidates` gave for each layer.
    note : str
    """
    best: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}
    for of_layer in candidates:
        for score, row in of_layer:
            key = _key(row)
            if np.isfinite(score) and (key not in best or score > best[key][0]):
                best[key] = score, row
    for _, row in best.values():
        notes = "; ".join(part for part in (row["note"], note) if part)
        yield {**row, "statistic": f"{row['statistic']}:best_layer", "note": notes}
