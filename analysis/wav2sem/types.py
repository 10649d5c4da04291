"""The protocol of everything that gives one vector per utterance: trained modules, text oracles, nulls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from analysis.corpus.utterance import Utterance
from analysis.errors import Failure
from analysis.markup import counted, failures_in_words, html_summary

if TYPE_CHECKING:
    import torch

__all__ = ["Semantics", "SemanticsCard", "UtteranceVectors"]


@dataclass(frozen=True)
class SemanticsCard:
    """What a reader must know of a source of semantic vectors.

    Attributes
    ----------
    name : str
        ``wav2sem`` (bundled module), ``oracle:cls``, ``oracle:mean``, or the path of a checkpoint.
    source : str
        ``audio`` (a module of its own hears the waveform), ``frames`` (it sits on the host encoder's hidden states) or
        ``text`` (it reads the transcript: an upper reference, not available to a face at run time).
    dims : int
    revision : str
        sha256 over the weights, or hub commit.
    target : str
        Text model and pooling whose space the vectors live in.
    """

    name: str
    source: str
    dims: int
    revision: str
    target: str = ""


@dataclass(frozen=True, repr=False)
class UtteranceVectors:
    """One semantic vector per utterance.

    Attributes
    ----------
    utterances : tuple of str
        Ids.
    vectors : ndarray, shape (len(utterances), dims), float32
    card : SemanticsCard
    failures : tuple of Failure
        Utterances that have none, where :func:`analysis.semantics` made the vectors.
    """

    utterances: tuple[str, ...]
    vectors: np.ndarray
    card: SemanticsCard
    failures: tuple[Failure, ...] = ()

    def _facts(self) -> list[str]:
        return [counted(len(self.utterances), "utterance"), counted(self.vectors.shape[1], "dimension")]

    def _title(self) -> str:
        return f"Semantic vectors of {self.card.name} (from {self.card.source})"

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        return f"<{self._title()}: {facts}>"

    def _repr_html_(self) -> str:
        norms = np.linalg.norm(self.vectors, axis=1)
        spread = f"norm {norms.mean():.4g} ± {norms.std():.2g}" if len(norms) else ""
        return html_summary(self._title(), [*self._facts(), spread], self.failures)


@runtime_checkable
class Semantics(Protocol):
    """Utterances in, one vector each out. A null is the same thing with other vectors."""

    card: SemanticsCard

    def semantics(self, utterances: Sequence[Utterance]) -> np.ndarray:
        """Vectors of shape ``(len(utterances), card.dims)``, float32, whatever the source.

        A module on host frames loads and runs its host encoder here; ``from_states`` saves that when the host is being run.
        """
        ...

    def from_states(self, states: torch.Tensor, host: str) -> torch.Tensor | None:
        """Vector ``(dims,)`` from one utterance's hidden states ``(layers, frames, dims)`` of the encoder named ``host`` (its
        card's ``name@revision``), or None when this module does not sit on that host."""
        ...
