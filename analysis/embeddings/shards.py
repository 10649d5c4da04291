"""An extraction divided into shards: which utterances each holds, what it is made from, and the run that makes those missing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.config import content_hash
from analysis.corpus.utterance import Utterance
from analysis.embeddings.encoding import Pooled, Recipe, assemble, describe, iter_pooled, tokens_by_utterance
from analysis.embeddings.store import STORAGE, EmbeddingStore, ShardContent
from analysis.encoders.types import Encoder
from analysis.errors import AudioError, ConfigurationError
from analysis.wav2sem.types import Semantics

__all__ = ["ExtractionPlan", "RunCounts", "plan_extraction"]

_log = logging.getLogger(__name__)

#: Utterances in one shard: a few thousand syllables, some hundred megabytes while it is made.
PER_SHARD = 128


@dataclass(frozen=True)
class RunCounts:
    """What one run did.

    Attributes
    ----------
    made, kept, others : int
        Shards computed now, shards found complete, shards left to other machines.
    """

    made: int
    kept: int
    others: int


@dataclass(frozen=True)
class ExtractionPlan:
    """One extraction, before and while it runs.

    Attributes
    ----------
    encoder : Encoder
    recipe : Recipe
    semantics : tuple of Semantics
    tokens : DataFrame
    shards : list of list of Utterance
    configuration : dict
        Everything that decides the vectors; its hash names the extraction.
    """

    encoder: Encoder
    recipe: Recipe
    semantics: tuple[Semantics, ...]
    tokens: pd.DataFrame
    shards: list[list[Utterance]]
    groups: dict[str, pd.DataFrame] = field(repr=False)
    configuration: dict[str, Any] = field(repr=False)

    @cached_property
    def configuration_hash(self) -> str:
        """First 16 digits of the sha256 over the configuration."""
        return content_hash(self.configuration)

    def name(self, index: int) -> str:
        """File name of a shard."""
        return f"part-{index:05d}"

    def open(self, folder: Path) -> EmbeddingStore:
        """The store in ``folder``, begun if there is none.

        Raises
        ------
        StoreError
            If the folder holds another extraction.
        """
        store = EmbeddingStore(folder)
        shards = [
            {"name": self.name(index), "utterances": len(shard), "tokens": sum(len(self.groups[one.id]) for one in shard)}
            for index, shard in enumerate(self.shards)
        ]
        store.begin(self.configuration, shards)
        return store

    def content(self, index: int) -> str:
        """Hash of what a shard is made from: configuration, ids, and the bytes of every recording."""
        total = hashlib.sha256(self.configuration_hash.encode())
        for utterance in self.shards[index]:
            total.update(f"\n{utterance.id}\n".encode())
            total.update(self._recording(utterance).encode())
        return total.hexdigest()

    def _recording(self, utterance: Utterance) -> str:
        from analysis.corpus.audio import audio_digest

        made = hasattr(self.encoder, "path_of")
        path = self.encoder.path_of(utterance) if made else utterance.audio
        try:
            if path is None or not path.is_file():
                return "missing"
            if not made:
                return audio_digest(utterance)
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, AudioError) as error:  # whoever reads the recording makes it a row
            return f"cannot be read: {error}"

    def run(
        self,
        store: EmbeddingStore,
        *,
        shard: int = 0,
        num_shards: int = 1,
        workers: int | None = None,
        batch_seconds: float | None = None,
        progress: bool = True,
    ) -> RunCounts:
        """Make the shards that are not complete, of those that fall to this machine (every ``num_shards``-th from ``shard``).

        Raises
        ------
        ConfigurationError
            If ``shard`` is not below ``num_shards``.
        StoreError
            If the disk is full.
        """
        if not 0 <= shard < num_shards:
            raise ConfigurationError(
                f"--shard {shard} of --num-shards {num_shards}: shards are counted from 0 to {num_shards - 1}."
            )
        store.sweep()
        mine = range(shard, len(self.shards), num_shards)
        contents = {index: self.content(index) for index in mine}
        states = {index: store.state(self.name(index), contents[index]) for index in mine}
        todo = [index for index in mine if states[index].state != "complete"]
        for index in todo:
            if states[index].state != "missing":
                _log.warning("shard %s is made again: %s (%s)", self.name(index), states[index].state, states[index].reason)
        stream = iter_pooled(
            self.encoder,
            [self.shards[index] for index in todo],
            self.groups,
            self.recipe,
            semantics=self.semantics,
            workers=workers,
            batch_seconds=batch_seconds,
            progress=progress and bool(todo),
        )
        for index in todo:
            results = list(islice(stream, len(self.shards[index])))
            store.write(self.name(index), contents[index], self._shard(index, results))
            _log.info("shard %s written", self.name(index))
        return RunCounts(made=len(todo), kept=len(mine) - len(todo), others=len(self.shards) - len(mine))

    def _shard(self, index: int, results: Sequence[Pooled]) -> ShardContent:
        """Results of one shard with its token rows."""
        rows = pd.concat([self.groups[one.id] for one in self.shards[index]]).sort_values("row", kind="stable")
        whole = assemble(self.encoder, rows.reset_index(drop=True), results, self.recipe, self.semantics, {})
        embeddings = whole.embeddings
        return ShardContent(
            tokens=embeddings.tokens,
            vectors=embeddings.vectors,
            utterances=embeddings.frames.utterances,
            n_frames=embeddings.frames.n_frames,
            mean=embeddings.frames.mean,
            frame_norm=embeddings.frames.frame_norm,
            semantics={name: found.vectors for name, found in whole.semantics.items()},
            failures=whole.failures,
        )


def plan_extraction(
    encoder: Encoder,
    utterances: Iterable[Utterance],
    tokens: pd.DataFrame,
    recipe: Recipe,
    semantics: Sequence[Semantics] = (),
    *,
    storage: str = "float32",
    per_shard: int = PER_SHARD,
    alignment_source: str = "",
    corpus: str = "",
) -> ExtractionPlan:
    """Divide an extraction into shards of ``per_shard`` utterances.

    Parameters
    ----------
    storage : {"float32", "float16"}
    per_shard : int
        Other parameters as in :func:`analysis.embeddings.extract`.

    Raises
    ------
    ConfigurationError
        If ``storage`` is not known, or a token belongs to no utterance.
    """
    if storage not in STORAGE:
        raise ConfigurationError(f"Storage {storage!r} is not known. Choose one of {', '.join(STORAGE)}.")
    if per_shard < 1:
        raise ConfigurationError(f"A shard needs at least one utterance, not {per_shard}.")
    tokens = tokens.drop(columns=["row", "n_frames"], errors="ignore").reset_index(drop=True)
    chosen, groups = tokens_by_utterance(utterances, tokens.assign(row=np.arange(len(tokens))))
    configuration = describe(
        encoder, recipe, semantics, tokens, alignment_source=alignment_source, corpus=corpus, storage=storage
    )
    configuration["tokens"] = hashlib.sha256(tokens.to_csv(index=False).encode()).hexdigest()
    configuration["utterances"] = content_hash([utterance.id for utterance in chosen])
    configuration["per_shard"] = per_shard
    shards = [chosen[first : first + per_shard] for first in range(0, len(chosen), per_shard)]
    return ExtractionPlan(encoder, recipe, tuple(semantics), tokens, shards, groups, configuration)
