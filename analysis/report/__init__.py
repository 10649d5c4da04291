"""What people see: a report as plain data, and its renderings as a page, Markdown, tables and figures for papers.

The room can be called, so that ``analysis.report(result, corpus=corpus)`` makes a report: see :func:`report_of`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.corpus.utterance import Corpus
    from analysis.report.compare import compare_tables, write_comparison
    from analysis.report.composing import report_of
    from analysis.report.display import SeparationTable
    from analysis.report.document import Report
    from analysis.report.figures import draw
    from analysis.report.model import SCHEMA_VERSION
    from analysis.report.result import Result, score
    from analysis.report.speech import speech_figure
    from analysis.report.write import write_report

__all__ = [
    "SCHEMA_VERSION",
    "Report",
    "Result",
    "SeparationTable",
    "compare_tables",
    "draw",
    "report_of",
    "score",
    "speech_figure",
    "write_comparison",
    "write_report",
]

_HOMES = {
    "SeparationTable": "display",
    "draw": "figures",
    "speech_figure": "speech",
    "SCHEMA_VERSION": "model",
    "Report": "document",
    "Result": "result",
    "report_of": "composing",
    "score": "result",
    "compare_tables": "compare",
    "write_comparison": "compare",
    "write_report": "write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"analysis.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Room(ModuleType):
    """This package, which is a function too."""

    def __call__(self, result: Result, *, corpus: Corpus, **options: Any) -> Report:
        """The report of scores: see :func:`analysis.report.report_of` for the arguments."""
        from analysis.report.composing import report_of

        return report_of(result, corpus=corpus, **options)


sys.modules[__name__].__class__ = _Room
