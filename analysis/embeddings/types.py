"""What extraction leaves: one vector per token and layer, what belongs to each utterance, and where all of it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.embeddings.frames import UtteranceFrames
from analysis.embeddings.store import EmbeddingStore
from analysis.encoders.types import layer_name
from analysis.errors import Failure
from analysis.markup import counted, failures_in_words, html_summary, html_table

__all__ = ["SyllableEmbeddings", "UtteranceFrames"]


@dataclass(frozen=True, repr=False)
class SyllableEmbeddings:
    """Row i of the token table describes vector i.

    Attributes
    ----------
    tokens : DataFrame, N rows
        The columns of :data:`analysis.phonology.types.TOKEN_COLUMNS` plus ``n_frames`` (frames pooled for the token).
    vectors : ndarray, shape (N, layers, dims)
        float32 or float16. Pooled frames *without* any semantics: fusion is made from these (additive semantics commute with
        mean pooling).
    layers : tuple of int
        Which hidden states the second axis holds.
    frames : UtteranceFrames
    provenance : mapping
        ``encoder`` (the card as a dict), ``pooling``, ``slicing``, ``unit``, ``aligner``, ``corpus``, ``versions``,
        ``configuration_hash``.
    failures : tuple of Failure
        What could not be embedded, after what the token table had lost before, where :func:`analysis.embed` made them.
    """

    tokens: pd.DataFrame
    vectors: np.ndarray
    layers: tuple[int, ...]
    frames: UtteranceFrames
    provenance: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or len(self.tokens) != len(self.vectors) or self.vectors.shape[1] != len(self.layers):
            raise ValueError(
                f"{len(self.tokens)} tokens and {len(self.layers)} layers do not fit vectors of shape {self.vectors.shape}; "
                f"expected (tokens, layers, dims)"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def _facts(self) -> list[str]:
        card = self.provenance.get("encoder", {})
        layers = ", ".join(layer_name(card, layer) for layer in self.layers)
        unit = str(self.provenance.get("unit", "token"))
        pooling = f"pooling {self.provenance['pooling']}" if "pooling" in self.provenance else ""
        return [
            counted(len(self), unit),
            f"layer{'s' * (len(self.layers) != 1)} {layers}",
            counted(self.vectors.shape[2], "dimension"),
            pooling,
        ]

    def _title(self) -> str:
        return f"Embeddings of {self.provenance.get('encoder', {}).get('name', 'an unnamed encoder')}"

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        return f"<{self._title()}: {facts}>"

    def _repr_html_(self) -> str:
        rows = []
        for column, layer in enumerate(self.layers):
            norms = np.linalg.norm(self.vectors[:, column].astype(np.float32), axis=1)
            norm = f"{norms.mean():.4g} ± {norms.std():.2g}" if len(norms) else "-"
            rows.append([layer_name(self.provenance.get("encoder", {}), layer), f"{len(norms):,}", norm])
        table = html_table(["layer", "vectors", "norm (mean ± deviation)"], rows)
        return html_summary(self._title(), self._facts(), self.failures, table)

    @classmethod
    def read(
        cls, folder: Path | str, layer: int | str | Sequence[int | str] | None = None, *, trust: bool = False
    ) -> SyllableEmbeddings:
        """Embeddings from a store on disk, of one layer (a number, or ``final``), of several, or of all; no other layer is read.

        ``SyllableEmbeddings.read(folder, layer=9).layer(9)`` is the matrix whose row i the table ``.tokens`` describes. In one
        line each: ``anndata.AnnData(e.layer(9), obs=e.tokens)``, and
        ``xarray.DataArray(e.vectors, dims=("token", "layer", "dim"), coords={"layer": list(e.layers)})``.

        Raises
        ------
        StoreError
            If the store is incomplete, damaged or changed since it was written (``trust`` does not look for changes), or does not
            hold the layer.
        """
        layers = (layer,) if isinstance(layer, int | str) else layer
        return cls.of_store(EmbeddingStore(folder, trust=trust), layers)

    @classmethod
    def of_store(
        cls,
        store: EmbeddingStore,
        layers: Sequence[int | str] | None = None,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> SyllableEmbeddings:
        """Embeddings of a store: of these layers, and of these rows of its token table; all by default.

        Takes and raises what :meth:`analysis.embeddings.EmbeddingStore.contents` does.
        """
        return cls(*store.contents(layers, rows))

    def layer(self, layer: int | str) -> np.ndarray:
        """Vectors of one hidden state, by number or ``final``, shape ``(N, dims)``, float32."""
        card = self.provenance.get("encoder", {})
        if layer == "final" and card.get("final"):
            layer = card["layers"] - 1
        if layer not in self.layers:
            raise KeyError(f"layer {layer} was not stored; stored layers: {list(self.layers)}")
        return np.asarray(self.vectors[:, self.layers.index(layer)], dtype=np.float32)

    def select(self, rows: Sequence[int] | np.ndarray) -> SyllableEmbeddings:
        """What extraction of the given token rows alone would have left: their vectors, and the frames of their utterances.

        Parameters
        ----------
        rows : sequence of int, or ndarray of bool, shape (N,)
            Positions in the token table, or a mask over it. The index is renewed.

        Notes
        -----
        The size of an added vector is a share of the mean norm of all frames in :attr:`frames`. With frames of utterances that
        no token is left of, a part of a corpus would get other scores when it is selected than when it is extracted.
        """
        rows = np.asarray(rows)
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        tokens = self.tokens.iloc[positions].reset_index(drop=True)
        return replace(self, tokens=tokens, vectors=self.vectors[positions], frames=self.frames.of(tokens["utterance"]))
