"""What was said when: interchangeable aligners, TextGrids and other formats, agreement with a reference, quality limits.

An aligner turns utterances into an :class:`Alignment` each, or a ``Failure``. Which one is a value::

    aligner = make_aligner("textgrid", folder="alignments/")
    aligner = make_aligner("pocketsphinx", workers=2)

    aligner = make_aligner("mfa", acoustic="english_us_arpa", environment="aligner")
    aligner = make_aligner("ctc", model="facebook/wav2vec2-base-960h")

Alignments made elsewhere (WebMAUS, by hand) come in as TextGrids.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.alignment.choice import ALIGNERS, aligner_names, make_aligner, named_options, options_for
from analysis.alignment.types import Aligner, Alignment

if TYPE_CHECKING:
    from analysis.alignment.aligned import Aligned, align

__all__ = [
    "ALIGNERS",
    "Aligned",
    "Aligner",
    "Alignment",
    "QualityLimits",
    "align",
    "align_cached",
    "aligner_names",
    "boundary_errors",
    "make_aligner",
    "named_options",
    "options_for",
    "quality_table",
    "read_alignment",
    "read_textgrid",
    "read_tiers",
    "within_limits",
    "write_alignment",
    "write_textgrid",
]

# public name -> module that defines it; loaded when first used
_PUBLIC = {
    "Aligned": "analysis.alignment.aligned",
    "QualityLimits": "analysis.alignment.quality",
    "align": "analysis.alignment.aligned",
    "align_cached": "analysis.alignment.cache",
    "boundary_errors": "analysis.alignment.agreement",
    "quality_table": "analysis.alignment.quality",
    "read_alignment": "analysis.alignment.formats",
    "read_textgrid": "analysis.alignment.textgrid",
    "read_tiers": "analysis.alignment.tiers",
    "within_limits": "analysis.alignment.quality",
    "write_alignment": "analysis.alignment.formats",
    "write_textgrid": "analysis.alignment.textgrid",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'analysis.alignment' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
