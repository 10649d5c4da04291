"""Separation: how far near-homophones lie apart, against nulls, with intervals that hold for other speakers and word pairs.

One call gives a pandas table::

    from analysis.separation import SeparationSettings, score

    separation = score(embeddings, {"wav2sem": vectors}, pairs, settings=SeparationSettings(n_nulls=99))
    separation.table.query("statistic == 'net'")
"""

from __future__ import annotations

from typing import Any

from analysis.separation.settings import SeparationSettings
from analysis.separation.types import KEY_COLUMNS, SEPARATION_COLUMNS

__all__ = ["KEY_COLUMNS", "SEPARATION_COLUMNS", "Separation", "SeparationSettings", "rows_of_abx", "rows_to_score", "score"]


def __getattr__(name: str) -> Any:
    """What needs numerical libraries, on first use."""
    if name in ("score", "rows_of_abx", "rows_to_score", "Separation"):
        from analysis.separation import scoring

        return getattr(scoring, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
