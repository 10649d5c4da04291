"""The report as plain data: what the gate and every rendering read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from analysis.documents import parse_json, read_utf8
from analysis.encoders.types import layer_name
from analysis.errors import StoreError

__all__ = ["SCHEMA_VERSION", "ReportData"]

#: Version of the shape of ``report.json``.
SCHEMA_VERSION = 1

_REMEDY = "Run analysis.decouple again."
# What each part of report.json is.
_PARTS = {
    "title": str,
    "corpus": dict,
    "provenance": dict,
    "configuration": dict,
    "verdicts": list,
    "figures": dict,
    "tables": dict,
}


@dataclass(frozen=True)
class ReportData:
    """Everything that one run found, as tables and plain values; ``report.json`` is its dump. Nothing here draws or writes pages.

    Attributes
    ----------
    title : str
    corpus : mapping
        ``name``, ``synthetic`` (bool), ``hash`` (of the audio too), ``transcripts`` (hash of ids, speakers, texts),
        ``n_utterances``, ``n_speakers``, ``speakers_from`` (in words), ``duration`` (s), ``n_tokens``, ``n_types``.
    provenance : mapping
        ``versions``, ``encoders`` (cards by name), ``semantics`` (cards by name), ``aligner``, ``configuration_hash``, ``seed``,
        ``command``, ``started`` and ``finished`` (ISO times; the only fields that differ between two equal runs).
    configuration : mapping
        Every setting of the run.
    tables : mapping of str to DataFrame
        ``separation`` (:data:`analysis.separation.types.SEPARATION_COLUMNS`), ``pairs`` (pair table with what each pair is made of and
        per-pair distances with and without), ``tokens`` (tokens on the map), ``projection`` (``token``, ``encoder``, ``layer``, ``variant``, ``method``,
        ``x``, ``y``), ``utterances`` (``utterance``, ``speaker``, ``text``, ``audio``, ``duration``), ``failures``, ``quality``,
        ``composition`` (:func:`analysis.phonology.composition_table`: what near-homophone types are made of, and what of it is scored),
        and ``published`` where an encoder of the paper was analysed.
    verdicts : list of mapping
        ``rule``, ``encoder``, ``layer``, ``text`` (a sentence), ``level`` (``supported``, ``not_supported``, ``unclear``).
    figures : mapping
        Plain data for figures that no table holds: null draws, layer curves, histogram counts, projection parameters.
    """

    title: str
    corpus: Mapping[str, Any]
    provenance: Mapping[str, Any]
    configuration: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def separation(self) -> pd.DataFrame:
        """The separation table."""
        return self.tables["separation"]

    @property
    def failures(self) -> pd.DataFrame:
        """The failures table."""
        return self.tables["failures"]

    def layer_name(self, encoder: str, layer: int) -> str:
        """A layer as people read it: its number, or ``final`` where an encoder's last layer is the state after its last norm."""
        return layer_name(dict(self.provenance.get("encoders") or {}).get(encoder) or {}, layer)

    def __repr__(self) -> str:
        """The title, the verdicts and which tables there are: what fits into a console."""
        said = "".join(f"\n  {verdict.get('text', '')}" for verdict in self.verdicts)
        tables = ", ".join(f"{name} ({len(table)})" for name, table in self.tables.items())
        return f"<Report: {self.title}{said}\n  tables: {tables or 'none'}>"

    def to_json(self) -> str:
        """The report as strict JSON: NaN becomes null, tables become ``{"columns": ..., "dtypes": ..., "rows": ...}``.

        One line per entry and per table row: small enough to read, and a comparison of two reports names the rows that differ.
        """
        parts = [f'"schema_version": {SCHEMA_VERSION}', f'"title": {_json(self.title)}']
        for name in ("corpus", "provenance", "configuration", "figures"):
            entries = (f"{_json(str(key))}: {_json(_plain(value))}" for key, value in getattr(self, name).items())
            parts.append(f'"{name}": {_lines("{}", entries)}')
        parts.append(f'"verdicts": {_lines("[]", (_json(_plain(verdict)) for verdict in self.verdicts))}')
        tables = (f"{_json(str(name))}: {_table_to_json(table)}" for name, table in self.tables.items())
        parts.append(f'"tables": {_lines("{}", tables)}')
        return _lines("{}", parts)

    @classmethod
    def from_json(cls, text: str, source: str = "The text") -> Self:
        """The report that :meth:`to_json` wrote; ``source`` names it in errors.

        Raises
        ------
        StoreError
            If the text is no report, or one of another schema version.
        """
        document = parse_json(text, source, _REMEDY)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version is None:
            raise StoreError(f"{source} is not a report.json of this toolkit: it names no schema_version. {_REMEDY}")
        if version != SCHEMA_VERSION:
            raise StoreError(f"{source} has schema version {version}, this toolkit reads {SCHEMA_VERSION}. {_REMEDY}")
        for name, kind in _PARTS.items():
            if not isinstance(document.get(name), kind):
                held = type(document[name]).__name__ if name in document else "nothing"
                raise StoreError(
                    f"{source} holds {held} as {name}, where a report has a {kind.__name__}. Was it edited? {_REMEDY}"
                )
        try:
            return cls(
                title=document["title"],
                corpus=document["corpus"],
                provenance=document["provenance"],
                configuration=document["configuration"],
                verdicts=document["verdicts"],
                figures=document["figures"],
                tables={name: _table_from_plain(table) for name, table in document["tables"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{source} holds a table that is none ({type(error).__name__}: {str(error).splitlines()[0]}). Was it edited? {_REMEDY}"
            ) from error

    def write(self, path: Path) -> Path:
        """Write ``report.json`` atomically; returns the path."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The report in ``report.json``, or in the run folder that holds it."""
        path = Path(path)
        path = path if path.is_file() or path.suffix == ".json" else path / "report.json"
        if not path.is_file():
            raise StoreError(f"There is no report at {path}. Run `python -m analysis.decouple --out {path.parent}` first.")
        return cls.from_json(read_utf8(path, _REMEDY), str(path))


def _plain(value: Any) -> Any:
    """``value`` in JSON's own types, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(brackets: str, entries: Iterable[str]) -> str:
    """Entries of a JSON object or list, each on its own line."""
    return brackets[0] + "\n" + ",\n".join(entries) + "\n" + brackets[1]


def _table_to_json(table: pd.DataFrame) -> str:
    # Column by column: a table has tens of thousands of cells and a handful of columns.
    columns = [_plain_column(table.iloc[:, place]) for place in range(table.shape[1])]
    rows = [_json(row) for row in zip(*columns, strict=True)] if columns else ["[]"] * len(table)
    head = f'"columns": {_json(_plain(list(table.columns)))}, "dtypes": {_json([str(dtype) for dtype in table.dtypes])}'
    return f'{{{head}, "rows": {_lines("[]", rows)}}}'


def _plain_column(column: pd.Series) -> list[Any]:
    """The cells in JSON's own types."""
    values = column.tolist()
    if pd.api.types.is_float_dtype(column.dtype):
        return [value if math.isfinite(value) else None for value in values]
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype):
        return values
    return [value if isinstance(value, str) else _plain(value) for value in values]


def _table_from_plain(plain: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(plain["rows"], columns=plain["columns"])
    return frame.astype(dict(zip(plain["columns"], plain["dtypes"], strict=True)))
