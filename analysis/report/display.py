"""What a notebook shows for a report and for a separation table."""

from __future__ import annotations

from html import escape

import pandas as pd

from analysis.markup import html_table
from analysis.report.model import ReportData
from analysis.report.page import headline_cells
from analysis.report.summary import interval, number, p_value, question, selection, synthetic_note, verdicts

__all__ = ["SeparationTable", "report_html"]

_HEADLINE = {
    "encoder": "encoder", "layer": "layer", "without": "without", "with": "with", "gain": "gain", "null": "gain of the null",
    "net": "net", "p": "p, two-sided", "n": "over",
}  # fmt: skip
_SHOWN = 12


def report_html(report: ReportData) -> str:
    """The headline of a report: question, verdicts, table. Everything is escaped; a notebook's own styles apply."""
    note = synthetic_note(report)
    parts = [f"<h3>{escape(report.title)}</h3>"]
    if note:
        parts.append(f"<p><strong>{escape(note)}</strong></p>")
    parts.append(f"<p>{escape(question(report))}</p>")
    parts.append(
        "<ul>"
        + "".join(f"<li><strong>{escape(v['words'])}</strong>: {escape(v['text'])}</li>" for v in verdicts(report))
        + "</ul>"
    )
    cells = headline_cells(report)
    if cells:
        parts.append(html_table(_HEADLINE.values(), [[row[key] for key in _HEADLINE] for row in cells]))
        parts.append(f"<p><small>Mean distance of {escape(selection(report).sentence())}. Brackets: intervals.</small></p>")
    tables = ", ".join(f"{name} ({len(table)})" for name, table in report.tables.items())
    parts.append(f"<p><small>Tables: {escape(tables)}. Failures: {len(report.tables.get('failures', ()))}.</small></p>")
    return "\n".join(parts)


class SeparationTable:
    """A separation table that a notebook shows as estimates with intervals; every number stays in ``frame``.

    Parameters
    ----------
    frame : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, **keys: object) -> SeparationTable:
        """The rows that have these values, as in ``where(statistic="net", layer=4)``; a list means any of them."""
        frame = self.frame
        for name, value in keys.items():
            wanted = value if isinstance(value, list | tuple | set) else [value]
            frame = frame[frame[name].isin(wanted)]
        return SeparationTable(frame)

    def _shown(self) -> tuple[str, list[str], list[list[str]]]:
        """What all rows share, in words; the columns; the first rows."""
        shown = self.frame.head(_SHOWN)
        names = ["encoder", "layer", "vectors", "distance", "relation", "split", "variant", "null", "statistic"]
        # What all rows share goes into the line above the table.
        shared = [name for name in names if len(self.frame) > 1 and self.frame[name].nunique() == 1]
        columns = [name for name in names if name not in shared and (shown[name].astype(str) != "").any()]
        rows = [
            [
                *(number(row[name]) if not isinstance(row[name], str) else row[name] for name in columns),
                interval(row["estimate"], row["ci_low"], row["ci_high"]),
                p_value(row["p_value"]),
                number(row["n_type_pairs"]),
                number(row["n_speakers"]),
                row["note"],
            ]
            for row in shown.to_dict("records")
        ]
        constant = ", ".join(f"{name}: {self.frame[name].iloc[0]}" for name in shared if str(self.frame[name].iloc[0]))
        more = "" if len(self.frame) == len(shown) else f" The first {len(shown)} of {len(self.frame)} rows."
        return constant + more, [*columns, "estimate [interval]", "p", "pairs", "speakers", "note"], rows

    def __repr__(self) -> str:
        above, columns, rows = self._shown()
        table = pd.DataFrame([row[:-1] for row in rows], columns=columns[:-1]).to_string(index=False)
        return f"<{len(self.frame):,} scores; {above}>\n{table}"

    def _repr_html_(self) -> str:
        above, columns, rows = self._shown()
        return f"<p><small>{escape(above)}</small></p>\n{html_table(columns, rows)}"
