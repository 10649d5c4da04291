"""The store: what is read back is what was extracted, and nothing that goes wrong half-way harms it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.alignment import Alignment, write_textgrid
from analysis.corpus import write_manifest
from analysis.embeddings import EmbeddingStore, SyllableEmbeddings, extract
from analysis.embeddings import store as store_module
from analysis.embeddings.__main__ import main
from analysis.embeddings.encoding import make_recipe
from analysis.embeddings.shards import plan_extraction
from analysis.embeddings.store import storage_error
from analysis.encoders import load_encoder
from analysis.errors import ConfigurationError, StoreError
from analysis.separation.settings import SeparationSettings
from analysis.settings import ProjectionSettings
from analysis.timebase import Interval
from tests.embeddings.conftest import write_corpus


def plan(encoder, utterances, tokens, per_shard=3, **settings):
    """A plan with small shards."""
    return plan_extraction(
        encoder,
        utterances,
        tokens,
        make_recipe(encoder, layers=None, pooling=settings.pop("pooling", "mean"), slicing="feature"),
        per_shard=per_shard,
        **settings,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store by relative path, without the times in the completion files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.parent.name == "complete":
                note = json.loads(data)
                note.pop("written")
                data = json.dumps(note, sort_keys=True).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


def test_what_is_read_back_is_what_was_extracted_in_memory(small_corpus, mfcc, tmp_path: Path) -> None:
    utterances, tokens = small_corpus
    shuffled = tokens.sample(frac=1, random_state=1).reset_index(drop=True)
    memory = extract(mfcc, utterances, shuffled, progress=False)
    disk = extract(mfcc, utterances, shuffled, out=tmp_path / "store", progress=False)
    cached = extract(mfcc, utterances, shuffled, cache=tmp_path / "cache", progress=False)
    for found in (disk, cached):
        pd.testing.assert_frame_equal(found.embeddings.tokens, memory.embeddings.tokens)
        np.testing.assert_array_equal(found.embeddings.vectors, memory.embeddings.vectors)
        np.testing.assert_array_equal(found.embeddings.frames.mean, memory.embeddings.frames.mean)
        np.testing.assert_array_equal(found.embeddings.frames.frame_norm, memory.embeddings.frames.frame_norm)
        assert found.embeddings.frames.utterances == memory.embeddings.frames.utterances
    assert disk.embeddings.provenance["encoder"]["name"] == "mfcc"


@pytest.fixture(scope="module")
def layered(small_corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three layers in four shards."""
    utterances, tokens = small_corpus
    root = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    for utterance in utterances:
        np.save(root / f"{utterance.id}.npy", rng.standard_normal((3, round(50 * utterance.duration), 8)).astype(np.float32))
    encoder = load_encoder(f"features:{root}?rate=50", device="cpu")
    made = plan(encoder, utterances, tokens)
    store = made.open(tmp_path_factory.mktemp("layered"))
    made.run(store, progress=False)
    return store.folder


def test_one_layer_is_read_without_the_others(layered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    everything = SyllableEmbeddings.read(layered)
    asked: list[list[str]] = []
    read = pq.ParquetFile.read
    monkeypatch.setattr(pq.ParquetFile, "read", lambda self, columns: (asked.append(columns), read(self, columns=columns))[1])
    one = SyllableEmbeddings.read(layered, layer=1)
    assert one.layers == (1,) and one.vectors.shape == (len(everything), 1, 8)
    np.testing.assert_array_equal(one.layer(1), everything.layer(1))
    np.testing.assert_array_equal(one.frames.mean[:, 0], everything.frames.mean[:, 1])
    assert asked and not any("layer_00" in name or "layer_02" in name for columns in asked for name in columns)
    with pytest.raises(StoreError, match=r"holds the layers \[0, 1, 2\]; not in it: \[7\]"):
        SyllableEmbeddings.read(layered, layer=7)


def test_chosen_rows_are_what_selecting_them_leaves(layered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    everything = SyllableEmbeddings.read(layered)
    store = EmbeddingStore(layered)
    pd.testing.assert_frame_equal(store.tokens(), everything.tokens)
    held = everything.tokens["utterance"].iloc[0]
    one = np.flatnonzero(everything.tokens["utterance"] == held)
    some = np.random.default_rng(0).permutation(len(everything))[: len(everything) // 3]
    for rows in (one, some, np.arange(len(everything))):
        found, expected = SyllableEmbeddings.of_store(store, [2, 0], rows), SyllableEmbeddings.read(layered, [2, 0]).select(rows)
        pd.testing.assert_frame_equal(found.tokens, expected.tokens)
        np.testing.assert_array_equal(found.vectors, expected.vectors)
        assert found.frames.utterances == expected.frames.utterances and found.layers == (2, 0)
        np.testing.assert_array_equal(found.frames.mean, expected.frames.mean)
    assert len(SyllableEmbeddings.of_store(store, None, [])) == 0
    # of shards without a chosen row, no vector is read
    opened: list[Path] = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, group, columns: (opened.append(self), read(self, group, columns=columns))[1],
    )
    SyllableEmbeddings.of_store(store, [1], one)
    assert len(opened) == 1


def test_shards_of_other_columns_are_named(layered: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "mixed"
    shutil.copytree(layered, folder)
    path = folder / "tokens" / "part-00001.parquet"
    table = pq.read_table(path)
    whole = table.column("layer_01")
    pq.write_table(table.drop_columns("layer_01"), path)
    with pytest.raises(StoreError) as caught:
        SyllableEmbeddings.of_store(EmbeddingStore(folder, trust=True), [1])
    assert str(caught.value) == (
        f"{path} has no column layer_01, which store.json names. Run the extraction again; it makes this shard anew and keeps the others."
    )
    short = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3 * len(whole), dtype=np.float32)), 3)
    pq.write_table(table.set_column(table.schema.get_field_index("layer_01"), "layer_01", short), path)
    with pytest.raises(StoreError) as caught:
        SyllableEmbeddings.of_store(EmbeddingStore(folder, trust=True), [1])
    assert str(caught.value) == (
        f"Shards of {folder} have vectors of different dimensions: 8 in part-00000, 3 in part-00001. Delete the folder and extract again."
    )
    number = table.set_column(table.schema.get_field_index("speaker"), "speaker", pa.array(np.arange(len(table))))
    pq.write_table(number, path)
    with pytest.raises(StoreError) as caught:
        EmbeddingStore(folder, trust=True).tokens()
    assert str(caught.value).startswith(f"The token tables in {folder / 'tokens'} do not fit each other: ")
    assert str(caught.value).endswith("The shards were written by different programs: delete the folder and extract again.")


def test_the_layer_final_has_its_name_in_the_store(small_corpus, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from tests.encoders.conftest import write_model

    utterances, tokens = small_corpus
    encoder = load_encoder(str(write_model("hubert-large", tmp_path / "model")), device="cpu")
    some = tokens[tokens["utterance"].isin([one.id for one in utterances[:2]])].reset_index(drop=True)
    whole = extract(encoder, utterances, some, out=tmp_path / "store", progress=False).embeddings
    assert whole.layers == (0, 1, 2, 3, 4)
    [shard] = (tmp_path / "store" / "tokens").glob("*.parquet")
    names = [name for name in pq.read_schema(shard).names if name.startswith("layer_")]
    assert names == ["layer_00", "layer_01", "layer_02", "layer_03", "layer_final"]
    alone = SyllableEmbeddings.read(tmp_path / "store", layer="final")
    assert alone.layers == (4,)
    np.testing.assert_array_equal(alone.layer("final"), whole.layer(4))
    chosen = extract(encoder, utterances, some, layers=[0, "final"], progress=False).embeddings
    np.testing.assert_array_equal(chosen.layer("final"), whole.layer(4))
    with pytest.raises(StoreError, match=r"holds the layers \[0, 1, 2, 3, 4\]; not in it: \[7\]"):
        SyllableEmbeddings.read(tmp_path / "store", layer=7)


def test_pandas_duckdb_and_polars_read_it_as_it_is(layered: Path) -> None:
    expected = SyllableEmbeddings.read(layered).layer(2)
    pattern = str(layered / "tokens" / "*.parquet")

    import duckdb

    rows = duckdb.sql(f"SELECT token, layer_02 FROM '{pattern}' ORDER BY token").fetchall()
    np.testing.assert_array_equal(np.array([vector for _, vector in rows], dtype=np.float32), expected)

    import polars

    frame = polars.read_parquet(pattern).sort("token")
    np.testing.assert_array_equal(frame["layer_02"].to_numpy(), expected)

    parts = [pd.read_parquet(path) for path in sorted((layered / "tokens").glob("*.parquet"))]
    np.testing.assert_array_equal(np.stack(list(pd.concat(parts)["layer_02"])), expected)


def test_provenance_and_schema_version_stand_in_every_file(layered: Path) -> None:
    import pyarrow.parquet as pq

    for path in sorted(layered.glob("tokens/*.parquet")) + sorted(layered.glob("utterances/*.parquet")):
        metadata = json.loads(pq.read_schema(path).metadata[b"analysis"])
        assert metadata["schema_version"] == 2
        assert metadata["configuration"]["pooling"] == "mean"
        assert metadata["configuration"]["encoder"]["family"] == "features"
        assert metadata["shard"] == path.stem


def test_damage_is_detected_and_only_that_shard_made_again(small_corpus, mfcc, tmp_path: Path) -> None:
    utterances, tokens = small_corpus
    made = plan(mfcc, utterances, tokens)
    store = made.open(tmp_path)
    assert made.run(store, progress=False).made == 4
    before = files_of(tmp_path)
    part = tmp_path / "tokens" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    (tmp_path / "utterances" / "part-00002.parquet").unlink()
    (tmp_path / "complete" / "part-00003.json").write_text("{")
    states = {one.name: one.state for one in store.status()}
    assert states == {"part-00000": "complete", "part-00001": "damaged", "part-00002": "damaged", "part-00003": "damaged"}
    with pytest.raises(StoreError, match=r"A completion file in .* is damaged .*Run the same command again"):
        SyllableEmbeddings.of_store(store)
    (tmp_path / "complete" / "part-00003.json").write_bytes((tmp_path / "complete" / "part-00000.json").read_bytes())
    with pytest.raises(StoreError, match=r"tokens/part-00001\.parquet has changed since it was written"):
        SyllableEmbeddings.of_store(store)
    with pytest.raises(StoreError, match=r"part-00001\.parquet cannot be read .*run the extraction again"):
        SyllableEmbeddings.of_store(EmbeddingStore(tmp_path, trust=True))
    counts = made.run(store, progress=False)
    assert (counts.made, counts.kept) == (3, 1)
    (tmp_path / "complete" / "part-00003.json").write_bytes((tmp_path / "complete" / "part-00000.json").read_bytes())
    with pytest.raises(StoreError, match=r"No completion file in .* notes the hash of tokens/part-00003\.parquet\. Run the"):
        SyllableEmbeddings.of_store(store)
    made.run(store, progress=False)
    assert files_of(tmp_path) == before


def test_changed_audio_is_never_served_from_old_vectors(tmp_path: Path, mfcc) -> None:
    utterances, rows = write_corpus(tmp_path / "speech", 4)
    tokens = pd.DataFrame(rows)
    made = plan(mfcc, utterances, tokens, per_shard=2)
    store = made.open(tmp_path / "store")
    made.run(store, progress=False)
    first = SyllableEmbeddings.of_store(store)
    other, _ = write_corpus(tmp_path / "other", 1, seed=9)
    data = bytearray(utterances[0].audio.read_bytes())
    data[-4000:] = other[0].audio.read_bytes()[-4000:]
    utterances[0].audio.write_bytes(bytes(data))
    counts = made.run(store, progress=False)
    assert (counts.made, counts.kept) == (1, 1)
    second = SyllableEmbeddings.of_store(store)
    changed = (first.vectors != second.vectors).any(axis=(1, 2))
    assert set(first.tokens["utterance"][changed]) == {"u000"}


def test_other_settings_are_refused_with_their_names(small_corpus, mfcc, tmp_path: Path) -> None:
    utterances, tokens = small_corpus
    plan(mfcc, utterances, tokens).open(tmp_path)
    with pytest.raises(StoreError) as caught:
        plan(mfcc, utterances, tokens, pooling="max").open(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds another extraction; it differs in: pooling ('mean' there, 'max' now). Its vectors are not reused. "
        f"Give another folder, or delete this one."
    )
    moved = tokens.assign(end=tokens["end"] - 0.001)
    with pytest.raises(StoreError, match="differs in: tokens"):
        plan(mfcc, utterances, moved).open(tmp_path)


def test_two_runs_at_once_leave_one_good_store(small_corpus, mfcc, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    utterances, tokens = small_corpus
    plans = [plan(mfcc, utterances, tokens, per_shard=1) for _ in range(2)]
    stores = [one.open(tmp_path / "both") for one in plans]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: pair[0].run(pair[1], progress=False, workers=1), zip(plans, stores, strict=True)))
    alone = plan(mfcc, utterances, tokens, per_shard=1)
    alone.run(alone.open(tmp_path / "alone"), progress=False)
    assert files_of(tmp_path / "both") == files_of(tmp_path / "alone")


def test_machines_share_the_shards_without_overlap(small_corpus, mfcc, tmp_path: Path) -> None:
    utterances, tokens = small_corpus
    made = plan(mfcc, utterances, tokens)
    store = made.open(tmp_path)
    counts = [made.run(store, shard=machine, num_shards=3, progress=False) for machine in range(3)]
    assert [(one.made, one.kept, one.others) for one in counts] == [(2, 0, 2), (1, 0, 3), (1, 0, 3)]
    whole = plan(mfcc, utterances, tokens)
    assert whole.run(store, progress=False).made == 0
    with pytest.raises(ConfigurationError, match="shards are counted from 0 to 2"):
        made.run(store, shard=3, num_shards=3)


def test_incomplete_store_says_what_to_do(small_corpus, mfcc, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no embeddings: there is no store\.json"):
        SyllableEmbeddings.read(tmp_path)
    made = plan(mfcc, *small_corpus)
    store = made.open(tmp_path)
    made.run(store, shard=0, num_shards=2, progress=False)
    with pytest.raises(StoreError) as caught:
        SyllableEmbeddings.of_store(store)
    assert str(caught.value) == (
        f"{tmp_path} is not complete: 2 of 4 shards are missing, the first is part-00001. "
        f"Run the same command again; what is there is kept."
    )
    (tmp_path / "store.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(StoreError, match="is of schema version 99"):
        SyllableEmbeddings.of_store(store)


def test_full_disk_is_told_and_leaves_no_half_file(small_corpus, mfcc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    made = plan(mfcc, *small_corpus)
    store = made.open(tmp_path)
    write, written = pq.write_table, []

    def fill(table, path, **options):
        written.append(path)
        if len(written) == 4:
            Path(path).write_bytes(b"PAR1 half a")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", fill)
    with pytest.raises(
        StoreError, match=r"The disk is full: .*part-00001\.parquet could not be written .* Complete shards are kept"
    ):
        made.run(store, progress=False)
    assert not list(tmp_path.rglob("*.partial"))
    assert [one.state for one in store.status()] == ["complete", "missing", "missing", "missing"]
    monkeypatch.undo()
    assert made.run(store, progress=False).made == 3


def test_float16_storage_states_its_error_and_halves_the_file(layered: Path, small_corpus, mfcc, tmp_path: Path) -> None:
    exact = extract(mfcc, *small_corpus, out=tmp_path / "32", progress=False).embeddings
    short = extract(mfcc, *small_corpus, out=tmp_path / "16", storage="float16", progress=False).embeddings
    assert short.vectors.dtype == np.float16
    np.testing.assert_array_equal(short.vectors, exact.vectors.astype(np.float16))
    note = EmbeddingStore(tmp_path / "16").notes()[0]["storage_error"]
    vectors = exact.vectors[:, 0].astype(np.float64)
    rounded = vectors.astype(np.float16).astype(np.float64)
    distances = [np.linalg.norm(v[:, None] - v[None], axis=-1)[np.triu_indices(len(v), 1)] for v in (vectors, rounded)]
    assert note["l2_relative"] == pytest.approx(np.abs(distances[1] - distances[0]).max() / distances[0].mean(), rel=1e-6)
    assert 0 < note["cosine"] < 1e-3
    with pytest.raises(StoreError, match=r"has a value of 7e\+04; float16 ends at 65504\. Store float32\."):
        huge = tmp_path / "huge"
        huge.mkdir()
        for utterance in small_corpus[0]:
            np.save(huge / f"{utterance.id}.npy", np.full((round(50 * utterance.duration), 2), 7e4, dtype=np.float32))
        extract(load_encoder(f"features:{huge}?rate=50"), *small_corpus, out=tmp_path / "h", storage="float16", progress=False)


def test_storage_error_of_vectors_that_float16_holds_is_nought() -> None:
    whole = np.random.default_rng(0).integers(-8, 8, size=(20, 2, 5)).astype(np.float32)
    assert storage_error(whole) == {"l2_relative": 0.0, "cosine": 0.0}


# ------------------------------------------------------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Manifest and token table of forty utterances."""
    folder = tmp_path_factory.mktemp("many")
    utterances, rows = write_corpus(folder / "speech", 40)
    manifest = folder / "manifest.csv"
    write_manifest(utterances, manifest)
    pd.DataFrame(rows).to_csv(folder / "tokens.csv", index=False)
    return manifest, folder / "tokens.csv"


def arguments(on_disk: tuple[Path, Path], out: Path) -> list[str]:
    """A command line that makes forty shards."""
    manifest, tokens = on_disk
    return [str(manifest), "--encoder", "mfcc", "--tokens", str(tokens), "--out", str(out), "--per-shard", "1", "--device", "cpu"]


def test_killed_run_resumes_to_the_same_bytes_and_computes_nothing_twice(
    on_disk: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, "-m", "analysis.embeddings", *arguments(on_disk, killed), "--workers", "1"])
    deadline = time.monotonic() + 60
    while len(list(killed.glob("complete/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = {path.name: path.read_bytes() for path in killed.glob("complete/*.json")}
    assert 3 <= len(there) < 40
    # what a kill between two writes can leave: a file under its temporary name, and tables without a completion file
    (killed / "tokens" / ".part-00039.parquet.abc.partial").write_bytes(b"PAR1")
    (killed / "tokens" / "part-00039.parquet").write_bytes(b"PAR1")

    assert main(["--out", str(killed), "--status"]) == 1
    assert main(arguments(on_disk, killed)) == 0
    assert f"{40 - len(there)} shards made, {len(there)} kept" in capsys.readouterr().out
    for name, data in there.items():
        assert (killed / "complete" / name).read_bytes() == data  # the time in it too: it was not computed again
    assert main(arguments(on_disk, whole)) == 0
    EmbeddingStore(killed).sweep(older_than=-1)
    assert files_of(killed) == files_of(whole)
    assert main(["--out", str(killed), "--status"]) == 0
    assert "40 of 40 shards complete, 232 tokens, 8 failures" in capsys.readouterr().out
    left_out = pd.read_csv(whole / "failures.csv")
    assert len(left_out) == 8 and set(left_out["stage"]) == {"embeddings"}


def test_command_line_errors_are_one_message_and_exit_code_2(
    on_disk: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = arguments(on_disk, tmp_path / "out")
    pd.read_csv(on_disk[1]).iloc[:0].to_csv(tmp_path / "none.csv", index=False)
    for extra, message in (
        (["--layers", "x"], "error: --layers 'x' is not understood. Write 'all', or numbers and ranges such as 0,6-9,final.\n"),
        (["--pooling", "sum"], "error: Pooling 'sum' is not known. Choose one of mean, center, middle, parts, max, medoid.\n"),
        (
            ["--slicing", "frames"],
            "error: Slicing 'frames' is not known. Choose feature (cut frames, context heard) or audio (cut samples, no "
            "context).\n",
        ),
        (["--tokens", "nowhere.csv"], "error: There is no token table at nowhere.csv.\n"),
        (
            ["--tokens", str(tmp_path / "none.csv")],
            f"error: {on_disk[0]} gives no token, so there is nothing to embed.\n",
        ),
        (["--layers", "5-2"], "error: --layers '5-2' is not understood. Write 'all', or numbers and ranges such as 0,6-9,final.\n"),
        (["--layers", "3"], "error: mfcc has layers 0 to 0 (0 is the input of the first Transformer layer); asked for [3]. "
            "Give each layer once, without negative numbers.\n"),
    ):  # fmt: skip
        assert main([*base, *extra]) == 2
        assert capsys.readouterr().err == message
    assert main(["--out", str(tmp_path / "none"), "--status"]) == 2


def test_what_is_missing_is_told_before_anything_is_aligned(
    on_disk: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.embeddings.__main__._token_table", lambda *_: pytest.fail("aligned"))
    (tmp_path / "taken").touch()
    for encoder, out, message in (
        ("mfc", tmp_path / "out", "error: There is no encoder 'mfc'; did you mean 'mfcc'?"),
        ("./nowhere", tmp_path / "out", "error: There is no model folder ./nowhere."),
        ("mfcc", tmp_path / "taken" / "out", f"error: {tmp_path}/taken/out cannot be used: Not a directory."),
    ):
        assert main([str(on_disk[0]), "--encoder", encoder, "--out", str(out)]) == 2
        assert capsys.readouterr().err.startswith(message)


def test_units_without_an_alignment(on_disk: tuple[Path, Path], tmp_path: Path) -> None:
    options = ["--encoder", "mfcc", "--unit", "utterance", "--out", str(tmp_path), "--device", "cpu"]
    assert main([str(on_disk[0]), *options]) == 0
    embeddings = SyllableEmbeddings.read(tmp_path)
    assert len(embeddings) == 40
    np.testing.assert_allclose(embeddings.vectors, embeddings.frames.mean, atol=1e-5)


def test_on_ray_the_store_is_that_of_one_run(
    on_disk: tuple[Path, Path], tmp_path: Path, ray_stand_in: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    shared, whole = tmp_path / "shared", tmp_path / "whole"
    assert main([*arguments(on_disk, shared), "--where", "ray", "--num-shards", "3", "--workers", "2"]) == 0
    assert "14 shards made, 0 kept, 26 left to other machines" in capsys.readouterr().out
    assert ray_stand_in == [{"num_cpus": 2, "num_gpus": 0}] * 3
    assert main(arguments(on_disk, whole)) == 0
    told = [path.name for path in sorted(shared.glob("failures*"))]
    assert told == ["failures-0-of-3.csv", "failures-1-of-3.csv", "failures-2-of-3.csv"]
    for path in (*shared.glob("failures*"), *whole.glob("failures*")):
        path.unlink()
    assert files_of(shared) == files_of(whole)
    capsys.readouterr()
    assert main([*arguments(on_disk, shared), "--where", "ray", "--num-shards", "3", "--shard", "1"]) == 2
    assert capsys.readouterr().err == "error: --where ray makes every shard: leave out --shard 1.\n"
    assert main(["nowhere", "--encoder", "mfcc", "--out", str(tmp_path / "no"), "--where", "ray", "--num-shards", "3"]) == 2
    assert capsys.readouterr().err.count("There is no corpus at nowhere") == 1


def test_a_store_of_another_language_needs_only_its_lexicon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mandarin TextGrids: syllables with their tones, read with the lexicon that the other commands take."""
    utterances, _ = write_corpus(tmp_path / "speech", 4)
    words = (("妈", "m a ˥"), ("怕", "pʰ a ˥˩"), ("爸", "p a ˥˩"))
    for one in utterances:
        (one.audio.with_suffix(".txt")).write_text("妈 怕 爸", encoding="utf-8")
        tiers: list[list[Interval]] = [[], []]
        edges = np.linspace(0, one.duration, 10)
        for number, (word, phones) in enumerate(words):
            tiers[0].append(Interval(edges[3 * number], edges[3 * number + 3], word))
            tiers[1] += [
                Interval(edges[3 * number + k], edges[3 * number + k + 1], phone) for k, phone in enumerate(phones.split())
            ]
        write_textgrid(
            Alignment(one.id, *map(tuple, tiers), one.duration, "test", inventory="mandarin"),
            tmp_path / f"{one.id}.TextGrid",
        )
    command = [str(tmp_path / "speech"), "--alignments", str(tmp_path), "--encoder", "mfcc", "--device", "cpu", "--keep-marked"]
    assert main([*command, "--lexicon", "mandarin", "--out", str(tmp_path / "out")]) == 0
    stored = SyllableEmbeddings.read(tmp_path / "out")
    assert set(stored.tokens["type"]) == {"m a ˥", "pʰ a ˥˩", "p a ˥˩"} and len(stored) == 12
    assert main([*command, "--inventory", "mandarin", "--out", str(tmp_path / "named")]) == 0
    pd.testing.assert_frame_equal(SyllableEmbeddings.read(tmp_path / "named").tokens, stored.tokens)
    assert main([*command, "--lexicon", "klingon", "--out", str(tmp_path / "no")]) == 2
    assert "There is no lexicon 'klingon'. Choose one of cmudict, mandarin, or give a file." in capsys.readouterr().err

    # pairs of the stored tokens are in the phones of that lexicon too
    report = analysis.run(
        corpus=str(tmp_path / "speech"), vectors=str(tmp_path / "out"), lexicon="mandarin", wav2sem="none", oracle="none",
        workers=1, write=False, projection=ProjectionSettings(method="pca"),
        separation=SeparationSettings(splits=("all",)),  # all its recordings are of one text
    )  # fmt: skip
    pairs = report.tables["pairs"]
    assert "aspiration" in set(pairs["edit_class"])


def test_bytes_that_changed_are_not_scored(layered: Path, tmp_path: Path) -> None:
    """A store whose files were replaced, of equal size and readable, gives no vectors."""
    store = tmp_path / "store"
    shutil.copytree(layered, store)
    before = SyllableEmbeddings.read(store).vectors
    path = sorted((store / "tokens").glob("*.parquet"))[0]
    data = bytearray(path.read_bytes())
    value = before[0, 0, :4].astype("<f4").tobytes()
    data[data.index(value)] ^= 1  # the lowest bit of one number
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            SyllableEmbeddings.read(store)
        assert str(raised.value) == (
            f"{path} has changed since it was written: its sha256 is not the one that was noted then. Run the extraction again; it "
            "makes this shard anew and keeps the others. --trust_store reads it all the same."
        )
    assert SyllableEmbeddings.read(store, trust=True).vectors.shape == before.shape
    path.unlink()
    with pytest.raises(StoreError) as raised:
        SyllableEmbeddings.read(store)
    assert str(raised.value) == (
        f"{path} cannot be read (No such file or directory). Run the extraction again; it makes this shard anew and keeps the others."
    )


def test_a_file_is_hashed_once_in_a_process(layered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SyllableEmbeddings.read(layered)
    monkeypatch.setattr(store_module.hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    SyllableEmbeddings.read(layered, layer=0)
