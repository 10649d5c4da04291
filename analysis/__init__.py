"""Does a speech encoder hear the difference? Near-homophone separation, with and without semantics, with its nulls.

The public names load their modules when they are first used, so ``import analysis`` is instant and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.version import __version__

# name -> module that defines it
_PUBLIC = {
    "Aligned": "analysis.alignment",
    "Alignment": "analysis.alignment.types",
    "AnalysisError": "analysis.errors",
    "Corpus": "analysis.corpus.utterance",
    "DecoupleConfig": "analysis.settings",
    "Failure": "analysis.errors",
    "FrameGrid": "analysis.timebase",
    "Interval": "analysis.timebase",
    "Report": "analysis.report.document",
    "Result": "analysis.report.result",
    "SeparationSettings": "analysis.separation.settings",
    "SyllableEmbeddings": "analysis.embeddings.types",
    "Utterance": "analysis.corpus.utterance",
    "align": "analysis.alignment",
    "embed": "analysis.embeddings",
    "extract": "analysis.embeddings",
    "load_encoder": "analysis.encoders",
    "load_semantics": "analysis.wav2sem",
    "make_aligner": "analysis.alignment",
    "near_homophones": "analysis.phonology",
    "open_corpus": "analysis.corpus",
    "pair_table": "analysis.phonology",
    "project": "analysis.projection",
    "report": "analysis",
    "run": "analysis.pipeline",
    "score": "analysis.report.result",
    "semantics": "analysis.wav2sem",
    "syllables": "analysis.phonology.from_corpus",
    "token_table": "analysis.phonology",
}

__all__ = ["__version__", *_PUBLIC]

# ruff: noqa: F401
if TYPE_CHECKING:  # the same names for editors and type checkers, which do not run __getattr__
    from analysis import report
    from analysis.alignment import Aligned, align, make_aligner
    from analysis.alignment.types import Alignment
    from analysis.corpus import open_corpus
    from analysis.corpus.utterance import Corpus, Utterance
    from analysis.embeddings import embed, extract
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.encoders import load_encoder
    from analysis.errors import AnalysisError, Failure
    from analysis.phonology import near_homophones, pair_table, token_table
    from analysis.phonology.from_corpus import syllables
    from analysis.pipeline import run
    from analysis.projection import project
    from analysis.report.document import Report
    from analysis.report.result import Result, score
    from analysis.separation.settings import SeparationSettings
    from analysis.settings import DecoupleConfig
    from analysis.timebase import FrameGrid, Interval
    from analysis.wav2sem import load_semantics, semantics


def __getattr__(name: str) -> Any:
    if name == "report":  # the room of that name can be called
        return import_module("analysis.report")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
