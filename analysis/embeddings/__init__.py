"""One vector per token and layer: extraction, pooling, and the store on disk."""

from __future__ import annotations

from analysis.embeddings.extraction import Extraction, extract
from analysis.embeddings.types import SyllableEmbeddings, UtteranceFrames

__all__ = ["Extraction", "SyllableEmbeddings", "UtteranceFrames", "extract"]
