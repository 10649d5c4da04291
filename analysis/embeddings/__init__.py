"""One vector per token and layer: extraction, pooling, and the store on disk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.embeddings.extraction import Extraction, embed, extract, token_frames
    from analysis.embeddings.store import EmbeddingStore
    from analysis.embeddings.types import SyllableEmbeddings, UtteranceFrames

__all__ = ["EmbeddingStore", "Extraction", "SyllableEmbeddings", "UtteranceFrames", "embed", "extract", "token_frames"]

# Where each name lives. pandas comes with the first of them and not before, so that --help is quick.
_HOMES = {
    "EmbeddingStore": "store",
    "Extraction": "extraction",
    "SyllableEmbeddings": "types",
    "UtteranceFrames": "types",
    "embed": "extraction",
    "extract": "extraction",
    "token_frames": "extraction",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
