"""From a corpus and its tokens to vectors: the front door. What encodes is in :mod:`analysis.embeddings.encoding`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.config import cache_folder, content_hash
from analysis.corpus.utterance import Corpus, Utterance
from analysis.embeddings.encoding import (
    Extraction,
    assemble,
    describe,
    iter_pooled,
    make_recipe,
    sitting_on,
    tokens_by_utterance,
)
from analysis.embeddings.shards import plan_extraction
from analysis.embeddings.types import SyllableEmbeddings
from analysis.encoders.deferred import deferred_encoder
from analysis.encoders.types import Encoder
from analysis.errors import ConfigurationError, EncoderError, Failure, Ledger
from analysis.wav2sem.types import Semantics

__all__ = ["Extraction", "embed", "extract", "nothing_encoded", "token_frames"]


def embed(
    corpus: Corpus,
    tokens: pd.DataFrame,
    encoder: str | Encoder = "bundled",
    *,
    layers: Sequence[int | str] | int | str = "all",
    pooling: str = "mean",
    slicing: str = "feature",
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    workers: int = 0,
    strict: bool = False,
) -> SyllableEmbeddings:
    """One vector per token and layer, kept in the cache.

    Parameters
    ----------
    corpus : Corpus
    tokens : DataFrame
        What :func:`analysis.syllables` gives, or some of its rows.
    encoder : str or Encoder
        A name as :func:`analysis.load_encoder` takes it, or an encoder of your own.
    layers : sequence of int or str, int or str
        Numbers, and ``final`` where the encoder has it; ``all`` or ``last``.
    pooling, slicing : str
        As in :func:`extract`.
    device, dtype, revision : str
        Of a named encoder, as in :func:`analysis.load_encoder`.
    workers : int
        Threads that encode; 0 for the usual number.
    strict : bool
        Raise at the first token that has no vector.

    Returns
    -------
    SyllableEmbeddings
        With ``failures``: those of the token table, then those of this stage.

    Raises
    ------
    ConfigurationError
        If an argument is of another kind or unknown.
    EncoderError
        If the encoder cannot be loaded, has no such layer, or gives not one vector.
    StrictError
        If ``strict`` and a token is lost.

    Examples
    --------
    >>> vectors = embed(corpus, tokens, encoder="bundled", layers=[4])  # doctest: +SKIP
    >>> vectors.layer(4).shape  # doctest: +SKIP
    (667, 384)
    """
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"embed: corpus is a {type(corpus).__name__}; give what open_corpus(...) returns.")
    if not isinstance(tokens, pd.DataFrame):
        raise ConfigurationError(
            f"embed: tokens is a {type(tokens).__name__}; give the token table that syllables(corpus, aligned) returns."
        )
    encoder = _as_encoder(encoder, device=device, dtype=dtype, revision=revision)
    named: dict[Any, Any] = {"all": None, "last": [encoder.card.layers - 1]}
    extraction = extract(
        encoder,
        corpus,
        pd.DataFrame(tokens),
        layers=named.get(layers, [layers]) if isinstance(layers, int | str) else layers,
        pooling=pooling,
        slicing=slicing,
        workers=workers or None,
        cache=cache_folder("embeddings"),
        alignment_source=getattr(tokens, "source", ""),
        corpus=corpus.name,
    )
    ledger = Ledger(strict)
    ledger.add(extraction.failures)
    return replace(extraction.embeddings, failures=(*getattr(tokens, "failures", ()), *ledger.failures))


def _as_encoder(encoder: str | Encoder, **options: Any) -> Encoder:
    """The encoder, loaded where it is a name."""
    if isinstance(encoder, str):
        return deferred_encoder(encoder, **options)
    if not (hasattr(encoder, "card") and callable(getattr(encoder, "encode", None))):
        raise ConfigurationError(
            f"encoder is a {type(encoder).__name__}; give a name, or an object with a card and a method encode(waveforms)."
        )
    return encoder


def extract(
    encoder: str | Encoder,
    utterances: Iterable[Utterance],
    tokens: pd.DataFrame,
    *,
    layers: Sequence[int | str] | None = None,
    pooling: str = "mean",
    slicing: str = "feature",
    out: Path | str | None = None,
    cache: Path | None = None,
    storage: str = "float32",
    semantics: Sequence[Semantics] = (),
    workers: int | None = None,
    progress: bool = True,
    batch_seconds: float | None = None,
    alignment_source: str = "",
    corpus: str = "",
) -> Extraction:
    """One vector per token and layer.

    Parameters
    ----------
    encoder : str or Encoder
        A name is loaded with the defaults of :func:`analysis.load_encoder`.
    utterances : iterable of Utterance
        Those that no token belongs to are passed over.
    tokens : DataFrame
        With the columns of :data:`analysis.phonology.types.TOKEN_COLUMNS`.
    layers : sequence of int or str, optional
        Numbers, and ``final`` where the encoder has it; all by default.
    pooling : str
        A key of :data:`analysis.embeddings.pooling.POOLINGS`.
    slicing : {"feature", "audio"}
        Whether a token's vector has heard the rest of the utterance; see :class:`analysis.embeddings.encoding.Recipe`.
    out : Path, optional
        Folder of a store: vectors go there shard by shard, and a run that was killed goes on where it stopped.
    cache : Path, optional
        Folder under which the store is named by the hash of everything that decides the vectors.
    storage : {"float32", "float16"}
        How a store keeps vectors.
    semantics : sequence of Semantics
        Modules asked, in the same pass, for a vector of every utterance from this encoder's hidden states.
    workers : int, optional
        Threads that encode, each computing on one core; by default one per core on a processor, one on an accelerator.
    progress : bool
        Show a bar where there is a terminal.
    batch_seconds : float, optional
        Most audio in one packed batch; by default one clip on a processor and four minutes on an accelerator. A batch that does
        not fit the device's memory is halved until it does.
    alignment_source, corpus : str
        For the provenance.

    Returns
    -------
    Extraction

    Raises
    ------
    ConfigurationError
        If a setting is not known or a token belongs to no utterance.
    EncoderError
        If a layer does not exist, or not one token has a vector: the first failure is named.
    StoreError
        If ``out`` holds another extraction, or the disk is full.
    """
    encoder = _as_encoder(encoder)
    recipe = make_recipe(encoder, layers=layers, pooling=pooling, slicing=slicing)
    modules = sitting_on(encoder, semantics)
    running = {"workers": workers, "batch_seconds": batch_seconds, "progress": progress}
    if out is not None or cache is not None:
        plan = plan_extraction(
            encoder, utterances, tokens, recipe, modules, storage=storage, alignment_source=alignment_source, corpus=corpus
        )
        store = plan.open(Path(out) if out is not None else cache / plan.configuration_hash)
        plan.run(store, **running)
        return _complete(Extraction(SyllableEmbeddings.of_store(store), store.failures(), store.semantics()), encoder)
    chosen, groups = tokens_by_utterance(utterances, tokens)
    results = list(iter_pooled(encoder, [chosen], groups, recipe, semantics=modules, **running))
    provenance = describe(encoder, recipe, modules, tokens, alignment_source=alignment_source, corpus=corpus, storage="float32")
    provenance["configuration_hash"] = content_hash(provenance)
    return _complete(assemble(encoder, tokens, results, recipe, modules, provenance), encoder)


def _complete(extraction: Extraction, encoder: Encoder) -> Extraction:
    """With what is doubtful of the encoder itself; raises where there is no vector."""
    extraction.failures[:0] = getattr(encoder, "warnings", ())
    if not len(extraction.embeddings):
        raise nothing_encoded(extraction.failures, encoder.card.name)
    return extraction


def nothing_encoded(failures: Sequence[Failure], name: str) -> EncoderError:
    """The error for an extraction that left no vector: what kept the first token from having one."""
    if not failures:
        return EncoderError(f"{name} gave no vector: there is no token to embed. Does the corpus have tokens of this unit?")
    first = next((failure for failure in failures if failure.severity == "error"), failures[0])
    return EncoderError(
        f"{name} gave not one vector. The first failure, {first.item}: {first.reason.rstrip('.')}. What to do: {first.remedy}"
    )


def token_frames(
    encoder: Encoder,
    utterances: Iterable[Utterance],
    tokens: pd.DataFrame,
    *,
    layers: Sequence[int | str] | None = None,
    slicing: str = "feature",
    workers: int | None = None,
    progress: bool = True,
) -> dict[int, list[np.ndarray]]:
    """The frames of every token, by layer: what :func:`extract` pools, for distances that need more than a mean.

    Parameters
    ----------
    encoder, utterances, tokens, layers, slicing, workers, progress
        As in :func:`extract`; give the tokens alone whose frames are wanted.

    Returns
    -------
    dict of int to list of ndarray, shape (frames, dims), float32
        Of each layer one array a token, in the order of the table. All are held in memory, 4 bytes a number: 3,000 tokens of
        12 frames and 768 dims are 111 MB a layer. What else is encoded is dropped utterance by utterance.

    Raises
    ------
    EncoderError
        If a token has no frame, or its recording cannot be encoded.
    """
    recipe = replace(make_recipe(encoder, layers=layers, pooling="mean", slicing=slicing), keep_frames=True)
    chosen, groups = tokens_by_utterance(utterances, tokens)
    places = tokens.groupby("utterance", sort=False).indices
    found = {layer: [np.empty((0, encoder.card.dims), dtype=np.float32)] * len(tokens) for layer in recipe.layers}
    for one in iter_pooled(encoder, [chosen], groups, recipe, workers=workers, progress=progress):
        for failure in one.failures:
            if failure.severity != "error":
                continue
            raise EncoderError(
                f"{failure.item} has no frames in {encoder.card.name}: {failure.reason}. Was the recording changed since its vectors "
                f"were made? Leave the token out, or {failure.remedy}."
            )
        for row, frames in zip(one.rows, one.frames, strict=True):
            for layer, of_layer in zip(recipe.layers, frames, strict=True):
                found[layer][places[one.utterance][row]] = of_layer
    return found
