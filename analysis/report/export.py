"""Every table of a report as CSV and LaTeX, and all of them as one archive."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.report.model import ReportData
from analysis.report.summary import headline_table, number, scale_free_table

__all__ = ["csv_tables", "latex_table", "markdown_table", "markdown_text", "tables_archive", "tables_of", "write_tables"]

# A LaTeX table beyond this is no table for a paper; the CSV is complete.
_LATEX_ROWS = 60
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "−": "$-$", "–": "--", "[": "{[}", "]": "{]}",
}  # fmt: skip


def tables_of(report: ReportData) -> dict[str, pd.DataFrame]:
    """The report's tables, ``headline`` first, and ``scale_free`` where such statistics were taken."""
    if not len(report.separation):
        return dict(report.tables)
    scale_free = scale_free_table(report)
    return {"headline": headline_table(report)} | ({"scale_free": scale_free} if len(scale_free) else {}) | dict(report.tables)


def csv_tables(report: ReportData) -> dict[str, str]:
    """Every table as the text of a CSV file, in full precision, by name."""
    return {name: table.to_csv(index=False, lineterminator="\n") for name, table in tables_of(report).items()}


def write_tables(report: ReportData, folder: Path, csv: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Write ``tables/NAME.csv`` (complete, full precision) and ``tables/NAME.tex`` (rounded, at most 60 rows) into ``folder``.

    ``csv`` are the texts of :func:`csv_tables`, where they are at hand.
    """
    csv = csv_tables(report) if csv is None else csv
    target = folder / "tables"
    target.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for name, table in tables_of(report).items():
        file = _file_name(name)
        written[f"{name}.csv"] = target / f"{file}.csv"
        written[f"{name}.csv"].write_text(csv[name], encoding="utf-8")
        written[f"{name}.tex"] = target / f"{file}.tex"
        written[f"{name}.tex"].write_text(
            latex_table(table, caption=_caption(report, name, len(table)), label=f"tab:{file}"), encoding="utf-8"
        )
    return written


def tables_archive(csv: Mapping[str, str]) -> bytes:
    """A zip archive of all tables as CSV, from the texts of :func:`csv_tables`; equal texts give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in csv.items():
            entry = zipfile.ZipInfo(f"{_file_name(name)}.csv", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return buffer.getvalue()


def latex_table(table: pd.DataFrame, *, caption: str, label: str, max_rows: int = _LATEX_ROWS) -> str:
    """``table`` as a LaTeX table for ``booktabs``, numbers rounded, text escaped; columns that are empty throughout left out."""
    shown = table.head(max_rows)
    shown = shown[[c for c in shown.columns if len(shown) == 0 or not shown[c].map(_is_empty).all()]]
    numeric = [pd.api.types.is_numeric_dtype(shown[c]) and not pd.api.types.is_bool_dtype(shown[c]) for c in shown.columns]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{_escape(caption)}}}\label{{{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}",
        r"\toprule",
        " & ".join(_escape(str(c)) for c in shown.columns) + r" \\",
        r"\midrule",
    ]
    for row in shown.itertuples(index=False, name=None):
        lines.append(" & ".join(_escape(number(v) if not isinstance(v, str) else v) for v in row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    if len(table) > len(shown):
        lines.insert(1, f"% first {len(shown)} of {len(table)} rows; the CSV holds all")
    return "\n".join(lines) + "\n"


def _caption(report: ReportData, name: str, n_rows: int) -> str:
    synthetic = " Synthetic speech." if report.corpus.get("synthetic") else ""
    return f"{report.title}: {name.replace('_', ' ')} ({n_rows} rows).{synthetic}"


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _escape(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(_ESCAPES.get(character, character) for character in text))


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def markdown_text(text: str) -> str:
    """``text`` on one line, with everything escaped that Markdown or HTML would read."""
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text)


def markdown_table(columns: Mapping[str, list[str]]) -> str:
    """A GitHub table of already rounded cells; every cell is escaped."""
    header = "| " + " | ".join(columns) + " |"
    rule = "|" + "|".join(" --- " for _ in columns) + "|"
    rows = ["| " + " | ".join(markdown_text(cell) for cell in row) + " |" for row in zip(*columns.values(), strict=True)]
    return "\n".join([header, rule, *rows])
