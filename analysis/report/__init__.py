"""What people see: a report as plain data, and its renderings as a page, Markdown, tables and figures for papers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.report.compare import compare_tables, write_comparison
    from analysis.report.display import SeparationTable
    from analysis.report.figures import draw
    from analysis.report.model import SCHEMA_VERSION, Report
    from analysis.report.speech import speech_figure
    from analysis.report.write import write_report

__all__ = [
    "SCHEMA_VERSION",
    "Report",
    "SeparationTable",
    "compare_tables",
    "draw",
    "speech_figure",
    "write_comparison",
    "write_report",
]

_HOMES = {
    "SeparationTable": "display",
    "draw": "figures",
    "speech_figure": "speech",
    "SCHEMA_VERSION": "model",
    "Report": "model",
    "compare_tables": "compare",
    "write_comparison": "compare",
    "write_report": "write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"analysis.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
