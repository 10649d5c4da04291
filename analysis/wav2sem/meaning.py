"""Semantic vectors from whatever holds them: a name, a module, an array with ids, a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.config import content_hash
from analysis.corpus.utterance import Corpus
from analysis.errors import ConfigurationError
from analysis.wav2sem.load import load_semantics
from analysis.wav2sem.types import Semantics, SemanticsCard, UtteranceVectors
from analysis.wav2sem.vectors import embed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_variants", "as_vectors", "semantics"]


_FORMS = "Give semantics(corpus, ...), a DataFrame with utterance ids as its index, or a pair (ids, array with one row an id)."


def semantics(
    corpus: Corpus,
    source: str | Path | Semantics | np.ndarray | pd.DataFrame | tuple[Sequence[str], np.ndarray] = "wav2sem",
    *,
    device: str = "auto",
    strict: bool = False,
) -> UtteranceVectors:
    """One semantic vector for each utterance of a corpus.

    Parameters
    ----------
    corpus : Corpus
    source : str, Path, Semantics, ndarray, DataFrame or (ids, ndarray)
        A name as :func:`analysis.load_semantics` takes it, a module, or vectors of your own: an array with one row for each
        utterance of the corpus in its order, a data frame whose index holds utterance ids, or ids with an array.
    device : str
        Where a named module runs.
    strict : bool
        Raise at the first utterance that has no vector.

    Returns
    -------
    UtteranceVectors
        ``failures`` names the utterances that a module gave no vector.

    Raises
    ------
    ConfigurationError
        If an argument is of another kind, or vectors do not fit the corpus.
    SemanticsError
        If the module cannot be loaded or gives no vector.
    StrictError
        If ``strict`` and an utterance has none.

    Examples
    --------
    >>> meaning = semantics(corpus, "wav2sem")  # doctest: +SKIP
    >>> mine = semantics(corpus, np.load("sentences.npy"))  # doctest: +SKIP
    """
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"semantics: corpus is a {type(corpus).__name__}; give what open_corpus(...) returns.")
    if isinstance(source, str | Path):
        source = load_semantics(str(source), device=device)
    if callable(getattr(source, "semantics", None)) and hasattr(source, "card"):
        found, failures = embed(source, corpus.utterances, strict=strict)
        return UtteranceVectors(found.utterances, found.vectors, found.card, tuple(failures))
    ids = tuple(utterance.id for utterance in corpus)
    if isinstance(source, np.ndarray):
        if len(source) != len(ids):
            raise ConfigurationError(
                f"semantics: source has shape {source.shape}, and the corpus {corpus.name} has {len(ids)} utterances. Give one row for "
                "each, or ids with the rows: (ids, array)."
            )
        source = (ids, source)
    vectors = as_vectors(source, "source")
    unknown = [name for name in ids if name not in set(vectors.utterances)]
    if unknown:
        raise ConfigurationError(
            f"semantics: source has no vector for {len(unknown)} of {len(ids)} utterances, such as {unknown[0]!r}. Give those too, or "
            "take the utterances out of the corpus."
        )
    return vectors


def as_vectors(given: Any, argument: str) -> UtteranceVectors:
    """Vectors of utterances as :func:`analysis.score` takes them.

    Parameters
    ----------
    given : UtteranceVectors, DataFrame or (ids, ndarray)
    argument : str
        Names it in errors.

    Raises
    ------
    ConfigurationError
        If it is none of these, or ids are not unique, or numbers are not finite.
    """
    if isinstance(given, UtteranceVectors):
        return given
    if hasattr(given, "index") and hasattr(given, "to_numpy"):
        ids, rows = list(given.index), given.to_numpy()
    elif isinstance(given, tuple | list) and len(given) == 2 and not isinstance(given[0], str):
        ids, rows = list(given[0]), given[1]
    elif isinstance(given, np.ndarray):
        raise ConfigurationError(f"{argument} is an array without utterance ids. {_FORMS}")
    elif hasattr(given, "semantics"):
        raise ConfigurationError(f"{argument} is a module, and its vectors are needed: semantics(corpus, module). {_FORMS}")
    else:
        raise ConfigurationError(f"{argument} is a {type(given).__name__}. {_FORMS}")
    try:
        vectors = np.ascontiguousarray(rows, dtype=np.float32)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{argument} holds values that are no numbers. {_FORMS}") from None
    if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.shape[1]:
        raise ConfigurationError(
            f"{argument} has {len(ids)} ids and an array of shape {vectors.shape}; needed: (ids, dimensions)."
        )
    names = tuple(map(str, ids))
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigurationError(f"{argument} has more than one vector for {twice[0]!r}; give one for each utterance.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ConfigurationError(f"{argument} has NaN or infinite values for {len(bad)} utterances, such as {names[bad[0]]!r}.")
    card = SemanticsCard("semantics", "array", vectors.shape[1], content_hash([list(names), vectors.tolist()]))
    return UtteranceVectors(names, vectors, card)


def as_variants(given: Any, argument: str = "semantics") -> dict[str, UtteranceVectors]:
    """Semantic vectors by the name that their variant gets in the separation table.

    One alone is called ``wav2sem``, ``oracle`` where it reads the transcript, or ``semantics`` where it is an array of your own.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping) and not hasattr(given, "to_numpy"):
        for name in given:
            if not isinstance(name, str) or not name or name == "without" or name.startswith("null:"):
                raise ConfigurationError(
                    f"{argument} has the key {name!r}; a variant needs a name of its own, such as 'wav2sem'."
                )
        return {name: as_vectors(one, f"{argument}[{name!r}]") for name, one in given.items()}
    vectors = as_vectors(given, argument)
    name = {"text": "oracle", "array": "semantics"}.get(vectors.card.source, "wav2sem")
    return {name: vectors}
