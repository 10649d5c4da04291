"""What a notebook shows of an object: a line of facts, then a table. Every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from analysis.errors import Failure

__all__ = ["counted", "failures_in_words", "html_summary", "html_table"]

_FAILURES_SHOWN = 3


def counted(n: int, noun: str) -> str:
    """A number with its noun: ``1 token``, ``1,200 tokens``; nouns in -y become -ies."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") else f"{n:,} {noun}s"


def failures_in_words(failures: Sequence[Failure]) -> str:
    """How many were left out and how many warnings there are; empty where there are none."""
    lost = sum(failure.severity == "error" for failure in failures)
    warnings = len(failures) - lost
    parts = [f"{lost:,} left out"] if lost else []
    parts += [counted(warnings, "warning")] if warnings else []
    return ", ".join(parts)


def html_summary(title: str, facts: Iterable[str], failures: Sequence[Failure] = (), table: str = "") -> str:
    """A title, facts in one line, the table (HTML), and the first failures.

    Parameters
    ----------
    title : str
    facts : iterable of str
        Empty ones are left out.
    failures : sequence of Failure
    table : str
        HTML, put in as it is.
    """
    parts = [f"<p><strong>{escape(title)}</strong>: {escape(', '.join(filter(None, facts)))}</p>", table]
    if failures:
        first = sorted(failures, key=lambda failure: failure.severity != "error")[:_FAILURES_SHOWN]
        rows = [[one.severity, one.stage, one.item, f"{one.reason} {one.remedy}".strip()] for one in first]
        more = "" if len(failures) == len(first) else f"; the first {len(first)}, all are in .failures"
        parts.append(f"<p><small>{escape(failures_in_words(failures) + more)}</small></p>")
        parts.append(html_table(["severity", "stage", "item", "reason and remedy"], rows))
    return "\n".join(filter(None, parts))


def html_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A plain table, every cell escaped."""
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
