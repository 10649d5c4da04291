"""Scores along the layers of an encoder."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["layer_curves"]


def layer_curves(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every row key that has more than one layer, as one curve over its layers."""
    columns = ["encoder", "vectors", "distance", "relation", "split", "variant", "statistic", "null", "average"]
    if table["layer"].nunique() < 2:
        return []
    found: dict[tuple, list[tuple]] = {}
    values = table[["layer", "estimate", "ci_low", "ci_high"]].itertuples(index=False, name=None)
    for key, value in zip(table[columns].itertuples(index=False, name=None), values, strict=True):
        found.setdefault(key, []).append(value)
    curves = []
    for key, points in found.items():
        layers, estimate, low, high = (list(part) for part in zip(*sorted(points), strict=True))
        curve = dict(zip(columns, key, strict=True))
        curves.append(curve | {"layers": layers, "estimate": estimate, "ci_low": low, "ci_high": high})
    return curves
