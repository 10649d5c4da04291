"""Which row of the separation table is the headline: defined here once, for any settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from analysis.separation.settings import SeparationSettings

__all__ = ["PREFERRED", "Headline", "preferred"]

#: What the headline is of, best first; where a run has none of them, its own first value.
PREFERRED: dict[str, tuple[str, ...]] = {
    "distance": ("l2", "l2_unit", "mse", "cosine", "angular"),
    "split": ("different_text", "different_utterance", "different_speaker", "all"),
    "relation": ("near_homophone",),
    "vectors": ("raw",),
    "null": ("shuffled", "random"),
    "average": ("macro",),
    "pooling": ("mean",),
    "unit": ("syllable",),
}


_COLUMNS = ("distance", "split", "relation", "vectors")


def preferred(column: str, there: Iterable[str]) -> str:
    """The value of a column that the headline takes, of those that are there; empty without any."""
    found = list(there)
    return next((name for name in PREFERRED[column] if name in found), found[0] if found else "")


@dataclass(frozen=True)
class Headline:
    """One row of the separation table for each encoder, layer and module.

    Attributes
    ----------
    distance, split, relation, vectors, average : str
        Values of the table's columns.
    null : str
        The null that the gain is judged by; empty where none was drawn. Shuffled sentence vectors differ least from the module: the
        same directions, each with the wrong text.

    Examples
    --------
    >>> from analysis.separation import SeparationSettings
    >>> Headline.of(SeparationSettings(distances=("cosine",), splits=("all",))).distance
    'cosine'
    """

    distance: str
    split: str
    relation: str
    vectors: str
    null: str
    average: str = "macro"

    @classmethod
    def of(cls, settings: SeparationSettings, table: pd.DataFrame | None = None) -> Headline:
        """The headline of a run with these settings; with its table, of a relation that this holds."""
        there = {name: getattr(settings, name + ("" if name == "vectors" else "s")) for name in _COLUMNS}
        if table is not None:
            found = set(table.loc[table["statistic"] == "mean_distance", "relation"])
            there["relation"] = [name for name in there["relation"] if name in found] or there["relation"]
        return cls(*(preferred(name, there[name]) for name in _COLUMNS), preferred("null", settings.nulls))

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Headline:
        """The headline of a separation table."""
        averages = table[table["statistic"] == "mean_distance"]
        nets = table[(table["statistic"] == "net") & (table["null"] != "")]
        return cls(*(preferred(name, averages[name].unique()) for name in _COLUMNS), preferred("null", nets["null"].unique()))

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the table that it is among: of its distance, split, relation, vectors and average."""
        found = table
        for name, value in asdict(self).items():
            if name != "null":
                found = found[found[name] == value]
        return found
