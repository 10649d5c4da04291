"""The token table and the pair table as people hold them: data frames that keep what could not be used, and show themselves."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from analysis.errors import Failure
from analysis.markup import counted, failures_in_words, html_summary

__all__ = ["PairTable", "TokenTable"]


class _Table(pd.DataFrame):
    """A data frame with the failures of the stages that made it; selections and copies keep them."""

    _metadata: ClassVar[list[str]] = ["_kept"]  # pandas hands it on to what is made of this table
    _kept: tuple[tuple[Failure, ...], str, str] = ((), "", "")

    def __init__(
        self, *arguments: Any, failures: tuple[Failure, ...] = (), inventory: str = "", source: str = "", **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        if failures or inventory or source:
            object.__setattr__(self, "_kept", (tuple(failures), inventory, source))

    @property
    def _constructor(self) -> type:
        return type(self)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be used, stage by stage, and warnings."""
        return self._kept[0]

    @property
    def inventory(self) -> str:
        """In whose phones the types are written; empty where it is not known."""
        return self._kept[1]

    @property
    def source(self) -> str:
        """Which aligner found the tokens; empty where it is not known."""
        return self._kept[2]

    def plain(self) -> pd.DataFrame:
        """The same as an ordinary data frame."""
        return pd.DataFrame(self)

    def _facts(self) -> list[str]:
        return [counted(len(self), "row")]

    def _title(self) -> str:
        return "Table"

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        return f"<{self._title()}: {facts}>\n{self.plain().to_string(max_rows=6, max_cols=8, show_dimensions=False)}"

    def _repr_html_(self) -> str:
        table = self.plain().to_html(max_rows=6, max_cols=12, show_dimensions=False, notebook=True)
        return html_summary(self._title(), self._facts(), self.failures, table)


class TokenTable(_Table):
    """:data:`analysis.phonology.types.TOKEN_COLUMNS`, one row a token, with ``failures`` and ``inventory``."""

    def _title(self) -> str:
        return "Tokens"

    def _facts(self) -> list[str]:
        unit = self["unit"].iloc[0] if "unit" in self and len(self) else "token"
        facts = [counted(len(self), str(unit))]
        for column, noun in (("type", "type"), ("utterance", "utterance"), ("speaker", "speaker")):
            if column in self:
                facts.append(counted(self[column].nunique(), noun))
        return facts


class PairTable(_Table):
    """:data:`analysis.phonology.types.PAIR_COLUMNS` with ``COMPOSITION_COLUMNS``, one row a pair of types, with ``failures``."""

    def _title(self) -> str:
        return "Pairs"

    def _facts(self) -> list[str]:
        if "relation" not in self:
            return [counted(len(self), "pair")]
        counts = self["relation"].value_counts()
        facts = [f"{n:,} {str(name).replace('_', '-')}" for name, n in counts.items()]
        if "pairs_of" in self:
            scored = int(((self["relation"] == "near_homophone") & (self["pairs_of"] != "")).sum())
            facts.append(f"{scored:,} scored as near-homophones")
        return facts
