"""Semantic vectors of utterances: Wav2Sem modules, text oracles, training, conversion, fusion with frames.

Everything here loads torch only when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.wav2sem.types import Semantics, SemanticsCard, UtteranceVectors

if TYPE_CHECKING:
    from analysis.wav2sem.fusion import FusionWeights, fuse
    from analysis.wav2sem.load import load_semantics
    from analysis.wav2sem.meaning import semantics
    from analysis.wav2sem.plugging import plug
    from analysis.wav2sem.text import normalized

__all__ = [
    "FusionWeights",
    "Semantics",
    "SemanticsCard",
    "UtteranceVectors",
    "fuse",
    "load_semantics",
    "normalized",
    "plug",
    "semantics",
]

_HOMES = {
    "FusionWeights": "analysis.wav2sem.fusion",
    "fuse": "analysis.wav2sem.fusion",
    "load_semantics": "analysis.wav2sem.load",
    "normalized": "analysis.wav2sem.text",
    "plug": "analysis.wav2sem.plugging",
    "semantics": "analysis.wav2sem.meaning",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
