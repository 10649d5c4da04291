"""Does a speech encoder hear the difference? Near-homophone separation, with and without semantics, with its nulls.

The public names load their modules when they are first used, so ``import analysis`` is instant and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module that defines it
_PUBLIC = {
    "Alignment": "analysis.alignment.types",
    "AnalysisError": "analysis.errors",
    "Corpus": "analysis.corpus.utterance",
    "DecoupleConfig": "analysis.settings",
    "Failure": "analysis.errors",
    "FrameGrid": "analysis.timebase",
    "Interval": "analysis.timebase",
    "Report": "analysis.report.model",
    "SyllableEmbeddings": "analysis.embeddings.types",
    "Utterance": "analysis.corpus.utterance",
    "extract": "analysis.embeddings",
    "load_encoder": "analysis.encoders",
    "load_semantics": "analysis.wav2sem",
    "make_aligner": "analysis.alignment",
    "open_corpus": "analysis.corpus",
    "pair_table": "analysis.phonology",
    "project": "analysis.projection",
    "run": "analysis.pipeline",
    "score": "analysis.separation",
    "syllables": "analysis.phonology",
    "token_table": "analysis.phonology",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from analysis.pipeline import run  # noqa: F401


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
