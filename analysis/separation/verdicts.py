"""What the numbers say, in words, from rules that are data."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["verdicts"]


def verdicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Sentences that the table supports, one per rule, encoder and layer."""
    return []
