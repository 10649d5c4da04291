"""Embeddings on disk: sharded Parquet that a killed run leaves whole and the next run completes.

A folder holds one extraction::

    store.json                               what was extracted, and into which shards
    tokens/part-00000.parquet                token table, and one FixedSizeList column per layer
    utterances/part-00000.parquet            frames, mean and norm of each utterance, semantic vectors
    complete/part-00000.json                 counts, sizes and hashes of the two files above, failures

A shard exists when its completion file does, and that is written last. Every file is written under another name and then
renamed, so a reader sees a whole file or none. A completion file names the content it was made from (audio bytes, token rows,
encoder weights, settings); where that no longer agrees, the shard is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from analysis.config import content_hash
from analysis.embeddings.frames import UtteranceFrames
from analysis.encoders.types import layer_name
from analysis.errors import Failure, StoreError, failure_rows
from analysis.guard import is_unforeseen
from analysis.wav2sem.types import SemanticsCard, UtteranceVectors

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SCHEMA_VERSION", "STORAGE", "EmbeddingStore", "ShardContent", "ShardState", "storage_error"]

SCHEMA_VERSION = 2
#: Schemas that can be read. Version 1 lacks the texts of utterances: every utterance is then scored as a text of its own.
READABLE_SCHEMAS = (1, 2)

#: Number formats in which vectors can be stored.
STORAGE = ("float32", "float16")

_MADE_ANEW = "Run the extraction again; it makes this shard anew and keeps the others."
# Hashes of files as they were when this process last looked.
_HASHES: dict[Path, tuple[tuple[int, int, int], str]] = {}

# Rows that Parquet reads at a time: large enough for fast columns, small enough to hold one layer of it in memory.
_ROW_GROUP = 10_000


@dataclass(frozen=True)
class ShardContent:
    """What one shard holds, before it is written.

    Attributes
    ----------
    tokens : DataFrame, N rows
        Token table with ``n_frames``; ``row`` is the token's position in the whole table.
    vectors : ndarray, shape (N, layers, dims)
    utterances : sequence of str
    n_frames : ndarray, shape (U,)
    mean : ndarray, shape (U, layers, dims)
    frame_norm : ndarray, shape (U, layers)
    semantics : mapping of str to ndarray, shape (U, S)
    failures : sequence of Failure
    """

    tokens: pd.DataFrame
    vectors: np.ndarray
    utterances: Sequence[str]
    n_frames: np.ndarray
    mean: np.ndarray
    frame_norm: np.ndarray
    semantics: Mapping[str, np.ndarray]
    failures: Sequence[Failure]


@dataclass(frozen=True)
class ShardState:
    """Where one shard stands.

    Attributes
    ----------
    name : str
    state : {"complete", "missing", "damaged", "stale"}
    reason : str
        Why it is damaged or stale.
    tokens, failures, size : int
        Rows, failures and bytes of a complete shard.
    """

    name: str
    state: str
    reason: str = ""
    tokens: int = 0
    failures: int = 0
    size: int = 0


Method = TypeVar("Method", bound=Callable[..., Any])


def _of_a_whole_store(method: Method) -> Method:
    """What files of other shapes than this version writes would raise, as one error that names the folder."""

    @wraps(method)
    def checked(self: EmbeddingStore, *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{self.folder} holds what this version does not write ({type(error).__name__}: {error}). A file in it was edited or "
                f"damaged: delete the folder and extract again."
            ) from error

    return cast(Method, checked)


class EmbeddingStore:
    """One extraction in one folder.

    Parameters
    ----------
    folder : Path
    trust : bool
        Read without comparing each file with the hash that was noted when it was written.

    Raises
    ------
    StoreError
        On :meth:`open` and on reading, if the folder holds no store, one of another version, or shards are missing.
    """

    def __init__(self, folder: Path | str, *, trust: bool = False) -> None:
        self.folder = Path(folder)
        self.trust = trust

    # -- what is planned ---------------------------------------------------------------------------------------------------

    def open(self) -> dict[str, Any]:
        """What ``store.json`` says."""
        path = self.folder / "store.json"
        if not path.is_file():
            raise StoreError(
                f"{self.folder} holds no embeddings: there is no store.json in it. Make some with\n"
                f"    python -m analysis.embeddings CORPUS --encoder ENCODER --out {self.folder}"
            )
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path} is damaged ({error}). Delete the folder and extract again.") from error
        if not isinstance(plan, dict):
            raise StoreError(f"{path} is damaged (no object with named values). Delete the folder and extract again.")
        if plan.get("schema_version") not in READABLE_SCHEMAS:
            raise StoreError(
                f"{self.folder} is of schema version {plan.get('schema_version')}; this version of the toolkit reads "
                f"{' and '.join(map(str, READABLE_SCHEMAS))}. Extract again into another folder."
            )
        return plan

    @_of_a_whole_store
    def begin(self, configuration: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> None:
        """Write the plan, or check that the folder already holds this very extraction.

        Parameters
        ----------
        configuration : mapping
            Everything that decides the vectors.
        shards : sequence of mapping
            ``name``, ``utterances`` and ``tokens`` (counts) of each.

        Raises
        ------
        StoreError
            If the folder holds another extraction; the settings that differ are named.
        """
        configuration = json.loads(json.dumps(configuration))
        plan = {
            "schema_version": SCHEMA_VERSION,
            "configuration_hash": content_hash(configuration),
            "configuration": configuration,
            "shards": [dict(shard) for shard in shards],
        }
        if (self.folder / "store.json").is_file():
            found = self.open()
            if found["configuration_hash"] != plan["configuration_hash"]:
                differences = ", ".join(_differences(found["configuration"], configuration)) or "settings"
                raise StoreError(
                    f"{self.folder} holds another extraction; it differs in: {differences}. Its vectors are not reused. "
                    f"Give another folder, or delete this one."
                )
            return
        for part in ("tokens", "utterances", "complete"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        _write_text(self.folder / "store.json", json.dumps(plan, indent=1, sort_keys=True) + "\n")

    def state(self, name: str, content: str | None = None) -> ShardState:
        """Where a shard stands; with ``content``, whether it was made from that content. Files are hashed."""
        path = self._complete(name)
        if not path.is_file():
            return ShardState(name, "missing")
        try:
            note = _note(path)
        except (ValueError, RecursionError):
            return ShardState(name, "damaged", f"{path.name} cannot be read")
        files = note["files"]
        if content is not None and note["content"] != content:
            return ShardState(name, "stale", "audio or weights changed since it was made")
        again = sum(is_unforeseen(Failure(**row)) for row in note["failures"]) if content is not None else 0
        if again:
            return ShardState(name, "stale", f"{again} recordings failed in a way that another try may not meet")
        for relative, facts in files.items():
            file = self.folder / relative
            if not file.is_file():
                return ShardState(name, "damaged", f"{relative} is gone")
            if file.stat().st_size != facts["bytes"]:
                return ShardState(name, "damaged", f"{relative} has {file.stat().st_size} bytes, {facts['bytes']} were written")
            if _sha256(file) != facts["sha256"]:
                return ShardState(name, "damaged", f"{relative} has changed since it was written")
        size = sum(facts["bytes"] for facts in files.values())
        return ShardState(name, "complete", tokens=note["tokens"], failures=len(note["failures"]), size=size)

    @_of_a_whole_store
    def status(self) -> list[ShardState]:
        """Where every shard stands."""
        return [self.state(shard["name"]) for shard in self.open()["shards"]]

    # -- writing -----------------------------------------------------------------------------------------------------------

    def write(self, name: str, content: str, shard: ShardContent) -> None:
        """Write one shard; its completion file comes last.

        Raises
        ------
        StoreError
            If the disk is full, or float16 cannot hold the vectors.
        """
        plan = self.open()
        configuration = plan["configuration"]
        storage = configuration["storage"]
        if storage == "float16" and shard.vectors.size and np.abs(shard.vectors).max() > np.finfo(np.float16).max:
            raise StoreError(
                f"Shard {name} has a value of {np.abs(shard.vectors).max():.4g}; float16 ends at 65504. Store float32."
            )
        metadata = {
            "schema_version": SCHEMA_VERSION,
            "shard": name,
            "content": content,
            "configuration_hash": plan["configuration_hash"],
            "configuration": configuration,
        }
        files = {}
        for part, table in (
            ("tokens", _token_table(shard, configuration, storage)),
            ("utterances", _utterance_table(shard, configuration)),
        ):
            path = self.folder / part / f"{name}.parquet"
            _write_parquet(path, table, metadata)
            files[f"{part}/{path.name}"] = {"bytes": path.stat().st_size, "sha256": _sha256(path), "rows": table.num_rows}
        note = {
            "content": content,
            "tokens": len(shard.tokens),
            "files": files,
            "failures": failure_rows(shard.failures),
            "storage_error": storage_error(shard.vectors) if storage == "float16" else None,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        _write_text(self._complete(name), json.dumps(note, indent=1, sort_keys=True) + "\n")

    def sweep(self, older_than: float = 3600.0) -> None:
        """Remove half-written files that killed runs left, if nobody has written to them for ``older_than`` seconds."""
        for path in self.folder.rglob(".*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()

    def _complete(self, name: str) -> Path:
        return self.folder / "complete" / f"{name}.json"

    @_of_a_whole_store
    def notes(self) -> list[dict[str, Any]]:
        """What the completion files say, in the order of the shards.

        Raises
        ------
        StoreError
            If shards are missing; they are named.
        """
        names = [shard["name"] for shard in self.open()["shards"]]
        missing = [name for name in names if not self._complete(name).is_file()]
        if missing:
            raise StoreError(
                f"{self.folder} is not complete: {len(missing)} of {len(names)} shards are missing, the first is {missing[0]}. "
                f"Run the same command again; what is there is kept."
            )
        try:
            return [_note(self._complete(name)) for name in names]
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"A completion file in {self.folder / 'complete'} is damaged ({error}). Run the same command again; it makes "
                f"that shard anew."
            ) from error

    # -- reading -----------------------------------------------------------------------------------------------------------

    @property
    @_of_a_whole_store
    def layers(self) -> list[int]:
        """The layers that are stored, ascending."""
        return sorted(self.open()["configuration"]["layers"])

    @_of_a_whole_store
    def numbers(self, layers: Sequence[int | str] | None = None) -> tuple[int, ...]:
        """The given layers (all by default) as numbers.

        Raises
        ------
        StoreError
            If one is not in the store.
        """
        configuration = self.open()["configuration"]
        stored = configuration["layers"]
        layers = tuple(stored if layers is None else _numbers(layers, configuration))
        absent = [layer for layer in layers if layer not in stored]
        if absent:
            raise StoreError(f"{self.folder} holds the layers {stored}; not in it: {absent}. Extract them into another folder.")
        return layers

    @_of_a_whole_store
    def tokens(self) -> pd.DataFrame:
        """The token table of all shards, without reading a vector: row i describes vector i of :meth:`contents`.

        Raises
        ------
        StoreError
            If the store is incomplete, a file is damaged or was changed since it was written, or its files are of different columns.
        """
        self._verify(self.notes())
        table = self._joined([self._plain(shard["name"]) for shard in self.open()["shards"]])
        order = np.argsort(table["row"].to_numpy(), kind="stable")
        table = table.drop_columns("row")
        return (table if np.array_equal(order, np.arange(len(order))) else table.take(order)).to_pandas()

    def _plain(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of a shard's token table: those given, or all but the vectors."""

        def chosen(names: list[str]) -> list[str]:
            return [name for name in names if (name in columns if columns else not name.startswith("layer_"))]

        return _read_parquet(self.folder / "tokens" / f"{name}.parquet", chosen)

    def _joined(self, tables: Sequence[pa.Table]) -> pa.Table:
        """Token tables of several shards, end to end; a column that is empty in one takes the type that it has in another.

        Raises
        ------
        StoreError
            If a column is of two types.
        """
        import pyarrow as pa

        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise StoreError(
                f"The token tables in {self.folder / 'tokens'} do not fit each other: {str(error).splitlines()[0]}. The shards were "
                f"written by different programs: delete the folder and extract again."
            ) from error

    def _width(self, names: Sequence[str], columns: Sequence[str]) -> int:
        """Dimensions of the vectors.

        Raises
        ------
        StoreError
            If a shard lacks a layer, or two shards have vectors of different dimensions.
        """
        import pyarrow.parquet as pq

        found: dict[int, str] = {}
        for name in names:
            path = self.folder / "tokens" / f"{name}.parquet"
            schema = pq.read_schema(path)
            for column in columns:
                if column not in schema.names:
                    raise StoreError(f"{path} has no column {column}, which store.json names. {_MADE_ANEW}")
                found.setdefault(schema.field(column).type.list_size, name)
        if len(found) > 1:
            (one, first), (other, second) = list(found.items())[:2]
            raise StoreError(
                f"Shards of {self.folder} have vectors of different dimensions: {one} in {first}, {other} in {second}. Delete the "
                f"folder and extract again."
            )
        return next(iter(found))

    @_of_a_whole_store
    def contents(
        self, layers: Sequence[int | str] | None = None, rows: Sequence[int] | np.ndarray | None = None
    ) -> tuple[pd.DataFrame, np.ndarray, tuple[int, ...], UtteranceFrames, dict[str, Any]]:
        """The fields of :class:`analysis.embeddings.SyllableEmbeddings`, with the given layers alone, by number or ``final``.

        No other layer is read from disk; ``SyllableEmbeddings.of_store(store, layers, rows)`` makes the object.

        Parameters
        ----------
        layers : sequence of int or str, optional
        rows : sequence of int, optional
            Rows of the token table (:meth:`tokens`). Their vectors alone are kept, and the frames of their utterances, as
            ``of_store(store, layers).select(rows)`` would leave them; memory follows their number, not that of the tokens stored.

        Raises
        ------
        StoreError
            If the store is incomplete, a file is damaged or was changed since it was written, or a layer is not in it.
        """
        plan = self.open()
        self._verify(self.notes())
        configuration = plan["configuration"]
        layers = self.numbers(layers)
        columns = [_layer(layer, configuration) for layer in layers]
        names = [shard["name"] for shard in plan["shards"]]
        own_rows = [self._plain(name, ["row"])["row"].to_numpy() for name in names]
        ends = np.cumsum([len(one) for one in own_rows])
        # Shards hold utterances in their order; the token table may be in another.
        order = np.argsort(np.concatenate(own_rows), kind="stable")
        wanted = order if rows is None else order[np.asarray(rows, dtype=np.int64)]
        shard_of = np.searchsorted(ends, wanted, side="right")
        vectors = np.empty((len(wanted), len(columns), self._width(names, columns)), dtype=configuration["storage"])
        tables, placed, frames = [], [], []
        for number, name in enumerate(names):
            here = np.flatnonzero(shard_of == number)
            if rows is not None and not len(here) and tables:
                continue
            places = wanted[here] - (ends[number] - len(own_rows[number]))
            tables.append(self._plain(name).take(places))
            placed.append(here)
            for index, column in enumerate(columns):
                for inside, part in _taken(self.folder / "tokens" / f"{name}.parquet", column, places):
                    vectors[here[inside], index] = part
            found = self._utterances(name, columns)
            frames.append(found if rows is None else found.of(tables[-1]["utterance"].to_pylist()))
        tokens = self._joined(tables).to_pandas().iloc[np.argsort(np.concatenate(placed), kind="stable")]
        tokens = tokens.drop(columns="row").reset_index(drop=True)
        together = UtteranceFrames(
            utterances=tuple(name for one in frames for name in one.utterances),
            n_frames=np.concatenate([one.n_frames for one in frames]),
            mean=np.concatenate([one.mean for one in frames]),
            frame_norm=np.concatenate([one.frame_norm for one in frames]),
        )
        provenance = {**configuration, "layers": list(layers), "configuration_hash": plan["configuration_hash"]}
        return tokens, vectors, layers, together, provenance

    @_of_a_whole_store
    def failures(self) -> list[Failure]:
        """Everything that was left out, in order."""
        return [Failure(**row) for note in self.notes() for row in note["failures"]]

    @_of_a_whole_store
    def semantics(self) -> dict[str, UtteranceVectors]:
        """Semantic vectors made in the same pass, by module name."""
        plan = self.open()
        if plan["configuration"]["semantics"]:
            self._verify(self.notes())
        found = {}
        for card in plan["configuration"]["semantics"]:
            ids: list[str] = []
            matrices = []
            column = f"semantics_{card['name']}"
            for shard in plan["shards"]:
                path = self.folder / "utterances" / f"{shard['name']}.parquet"
                table = _read_parquet(path, lambda names, column=column: [n for n in names if n in ("utterance", column)])
                if column in table.column_names:
                    ids += table["utterance"].to_pylist()
                    matrices.append(_matrix(table[column]))
            if matrices:
                found[card["name"]] = UtteranceVectors(tuple(ids), np.concatenate(matrices), SemanticsCard(**card))
        return found

    def _verify(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """Raise StoreError where a file is not, byte for byte, what its completion file says was written."""
        if self.trust:
            return
        written = {relative: facts for note in notes for relative, facts in note["files"].items()}
        names = [shard["name"] for shard in self.open()["shards"]]
        for relative in (f"{part}/{name}.parquet" for name in names for part in ("tokens", "utterances")):
            path, facts = self.folder / relative, written.get(relative)
            if facts is None:
                raise StoreError(f"No completion file in {self.folder / 'complete'} notes the hash of {relative}. {_MADE_ANEW}")
            try:
                agrees = _sha256(path) == facts["sha256"]
            except OSError as error:
                raise StoreError(f"{path} cannot be read ({error.strerror}). {_MADE_ANEW}") from error
            if not agrees:
                raise StoreError(
                    f"{path} has changed since it was written: its sha256 is not the one that was noted then. {_MADE_ANEW} "
                    "--trust_store reads it all the same."
                )

    def _utterances(self, name: str, columns: Sequence[str]) -> UtteranceFrames:
        wanted = ["utterance", "n_frames", *(f"{what}_{column}" for what in ("mean", "norm") for column in columns)]
        table = _read_parquet(self.folder / "utterances" / f"{name}.parquet", lambda _: wanted)
        return UtteranceFrames(
            utterances=tuple(table["utterance"].to_pylist()),
            n_frames=table["n_frames"].to_numpy(),
            mean=np.stack([_matrix(table[f"mean_{column}"]) for column in columns], axis=1),
            frame_norm=np.stack([table[f"norm_{column}"].to_numpy() for column in columns], axis=1),
        )


def storage_error(vectors: np.ndarray, most: int = 400, seed: int = 0) -> dict[str, float]:
    """What float16 costs: largest relative error of L2 and largest error of cosine distances between sampled tokens.

    Parameters
    ----------
    vectors : ndarray, shape (N, layers, dims), float32
    most : int
        Tokens sampled.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(vectors), size=min(most, len(vectors)), replace=False))
    worst = {"l2_relative": 0.0, "cosine": 0.0}
    if len(rows) < 2:
        return worst
    upper = np.triu_indices(len(rows), 1)
    for layer in range(vectors.shape[1]):
        exact = vectors[rows, layer].astype(np.float64)
        short = exact.astype(np.float16).astype(np.float64)
        l2, cosine = (_distances(exact, upper), _distances(short, upper)), (_cosines(exact, upper), _cosines(short, upper))
        apart = l2[0] > 0
        if apart.any():
            worst["l2_relative"] = max(worst["l2_relative"], float(np.abs(l2[1] - l2[0])[apart].max() / l2[0][apart].mean()))
        worst["cosine"] = max(worst["cosine"], float(np.abs(cosine[1] - cosine[0]).max()))
    return worst


def _distances(matrix: np.ndarray, upper: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    norms = np.einsum("nd,nd->n", matrix, matrix)
    squared = norms[:, None] + norms[None, :] - 2 * matrix @ matrix.T
    return np.sqrt(np.maximum(squared[upper], 0))


def _cosines(matrix: np.ndarray, upper: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-30)
    return 1 - (unit @ unit.T)[upper]


def _layer(layer: int, configuration: Mapping[str, Any]) -> str:
    """The column of a layer: ``layer_06``, or ``layer_final``."""
    name = layer_name(configuration.get("encoder", {}), layer)
    return f"layer_{name.zfill(2)}"


def _numbers(layers: Sequence[int | str], configuration: Mapping[str, Any]) -> list[int | str]:
    """Layers by number, where ``final`` may be named."""
    card = configuration.get("encoder", {})
    return [card["layers"] - 1 if layer == "final" and card.get("final") else layer for layer in layers]


def _list_column(matrix: np.ndarray, storage: str) -> pa.Array:
    """``(N, dims)`` as a FixedSizeList column."""
    import pyarrow as pa

    matrix = np.ascontiguousarray(matrix, dtype=storage)
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A FixedSizeList column as ``(N, dims)``."""
    width = column.type.list_size
    values = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    dtype = column.type.value_type.to_pandas_dtype()
    return np.concatenate(values).reshape(-1, width) if values else np.empty((0, width), dtype=dtype)


def _taken(path: Path, column: str, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of a FixedSizeList column, one row group in memory at a time: (which of ``places``, their values ``(n, dims)``)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            begin = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                inside = np.flatnonzero((places >= begin) & (places < begin + size))
                if len(inside):
                    values = _matrix(file.read_row_group(group, columns=[column])[column])
                    yield inside, values[places[inside] - begin]
                begin += size
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _token_table(shard: ShardContent, configuration: Mapping[str, Any], storage: str) -> pa.Table:
    import pyarrow as pa

    table = pa.Table.from_pandas(shard.tokens, preserve_index=False).replace_schema_metadata(None)
    for index, layer in enumerate(configuration["layers"]):
        table = table.append_column(_layer(layer, configuration), _list_column(shard.vectors[:, index], storage))
    return table


def _utterance_table(shard: ShardContent, configuration: Mapping[str, Any]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "utterance": pa.array(list(shard.utterances), type=pa.string()),
        "n_frames": pa.array(np.asarray(shard.n_frames, dtype=np.int64)),
    }
    for index, layer in enumerate(configuration["layers"]):
        columns[f"norm_{_layer(layer, configuration)}"] = pa.array(
            np.ascontiguousarray(shard.frame_norm[:, index], dtype=np.float32)
        )
        columns[f"mean_{_layer(layer, configuration)}"] = _list_column(shard.mean[:, index], "float32")
    for name, matrix in shard.semantics.items():
        columns[f"semantics_{name}"] = _list_column(matrix, "float32")
    return pa.table(columns)


def _write_parquet(path: Path, table: pa.Table, metadata: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq

    text = json.dumps(metadata, sort_keys=True)
    table = table.replace_schema_metadata({"analysis": text})
    plain = [field.name for field in table.schema if not str(field.type).startswith("fixed_size_list")]
    with _renamed(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=_ROW_GROUP,
            compression={name: "zstd" if name in plain else "none" for name in table.column_names},
            use_dictionary=plain,
            write_statistics=plain,
        )


def _read_parquet(path: Path, columns: Any) -> pa.Table:
    """The columns that ``columns(names)`` picks.

    Raises
    ------
    StoreError
        If the file is absent or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns(file.schema_arrow.names))
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be read ({str(error).splitlines()[0]}). It is damaged or gone; run the extraction again, it makes "
        f"this shard anew and keeps the others."
    )


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A name to write to; the file gets its own name when it is whole and on disk, and is removed when writing fails."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise StoreError(
            f"The disk is full: {path} could not be written ({free / 2**20:.0f} MiB free). Complete shards are kept. Free some "
            f"space (or store float16, or fewer layers) and run the same command again."
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _note(path: Path) -> dict[str, Any]:
    """What a completion file says.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    note = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"content": str, "tokens": int, "files": dict, "failures": list}
    if not isinstance(note, dict) or any(not isinstance(note.get(key), kind) for key, kind in kinds.items()):
        raise ValueError(f"it lacks one of {', '.join(kinds)}")
    for facts in note["files"].values():
        if not isinstance(facts, dict) or not {"bytes", "sha256"} <= facts.keys():
            raise ValueError("a file has no size or hash")
    try:
        for row in note["failures"]:
            Failure(**row)
    except TypeError as error:
        raise ValueError(f"a failure is none: {error}") from error
    return note


def _write_text(path: Path, text: str) -> None:
    with _renamed(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sha256(path: Path) -> str:
    """Of the file's bytes; taken once in a process while the file stays as it is."""
    facts = path.stat()
    seen = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    known = _HASHES.get(path)
    if known is None or known[0] != seen:
        with path.open("rb") as file:
            known = (seen, hashlib.file_digest(file, "sha256").hexdigest())
        _HASHES[path] = known
    return known[1]


def _differences(found: Any, wanted: Any, at: str = "") -> list[str]:
    """Where two settings differ, as dotted names with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted(set(found) | set(wanted))
        return [one for name in names for one in _differences(found.get(name), wanted.get(name), f"{at}.{name}" if at else name)]
    return [] if found == wanted else [f"{at} ({found!r} there, {wanted!r} now)"]
