"""Whatever bytes a file holds, each reader gives rows or an error that explains itself, and nothing else.

Random bytes, and good files with some of their bytes cut out, doubled or replaced. What the readers are fed is the same in every run.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.alignment import Alignment, read_alignment, read_textgrid, write_alignment
from analysis.alignment.formats import read_ctm
from analysis.alignment.tiers import read_tiers
from analysis.corpus import iter_corpus, read_audio
from analysis.corpus.labels import read_labels, transcript_of_textgrid
from analysis.corpus.utterance import Utterance
from analysis.embeddings.store import EmbeddingStore, ShardContent
from analysis.encoders.precomputed import PrecomputedFrames
from analysis.errors import AnalysisError, Failure
from analysis.phonology import load_inventory, load_lexicon, load_pairs, read_token_table
from analysis.timebase import Interval
from analysis.wav2sem.speech import read_sentences

EXAMPLES = int(os.environ.get("READER_EXAMPLES", "25"))


@dataclass(frozen=True)
class Reader:
    """One kind of file: where it lies in its folder, a good one, and what reads it (given the folder)."""

    place: str
    good: Callable[[], bytes]
    read: Callable[[Path], object]
    beside: Callable[[Path], None] = lambda folder: None

    def __post_init__(self) -> None:
        assert not Path(self.place).is_absolute()


# -- good files ------------------------------------------------------------------------------------------------------------


@cache
def sound(format: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.sin(np.arange(3200) / 5), 16000, format=format, subtype=subtype)
    return buffer.getvalue()


def sounds(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(sound())

    return write


ROWS = [
    {"path": "a.wav", "transcript": 'say "yes", twice', "speaker": "anna", "start": "0.05", "end": "0.19"},
    {"path": "b.wav", "transcript": "für Élise", "speaker": "bert", "start": "", "end": ""},
]


def table(suffix: str) -> Callable[[], bytes]:
    def write() -> bytes:
        frame = pd.DataFrame(ROWS)
        if suffix == ".parquet":
            buffer = io.BytesIO()
            frame.to_parquet(buffer)
            return buffer.getvalue()
        if suffix == ".jsonl":
            return "".join(json.dumps(row) + "\n" for row in ROWS).encode()
        if suffix == ".json":
            return json.dumps(ROWS).encode()
        return frame.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",").encode()

    return write


ALIGNED = Alignment(
    "a",
    (Interval(0.01, 0.08, "say"), Interval(0.1, 0.18, "yes")),
    (Interval(0.01, 0.05, "S"), Interval(0.05, 0.08, "EY1"), Interval(0.1, 0.12, "Y"), Interval(0.12, 0.18, "EH1")),
    0.2,
    "textgrid",
)


def written(suffix: str) -> Callable[[], bytes]:
    @cache
    def write() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return write_alignment(ALIGNED, Path(folder) / f"a{suffix}").read_bytes()

    return write


SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.2\n<exists>\n2\n"IntervalTier"\n"words"\n0\n0.2\n2\n0\n0.1\n"say"\n'
    '0.1\n0.2\n"yes"\n"TextTier"\n"points"\n0\n0.2\n1\n0.1\n"here"\n'
)


@cache
def array(kind: str) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(0).normal(size=(2, 10, 4)).astype(np.float32)
    np.save(buffer, values) if kind == ".npy" else np.savez_compressed(buffer, values)
    return buffer.getvalue()


TOKENS = pd.DataFrame(
    {
        "utterance": ["a", "b"],
        "type": ["S IH", "SH IH"],
        "start": [0.0, 0.1],
        "nucleus_start": [0.02, 0.12],
        "coda_start": [0.05, 0.15],
    }
).assign(end=[0.08, 0.18])


@cache
def tokens(suffix: str) -> bytes:
    buffer = io.BytesIO()
    TOKENS.to_parquet(buffer) if suffix == ".parquet" else TOKENS.to_csv(buffer, index=False)
    return buffer.getvalue()


def store(folder: Path) -> None:
    made = EmbeddingStore(folder / "store")
    configuration = {"layers": [0], "storage": "float32", "semantics": [], "encoder": {"name": "x"}, "unit": "syllable"}
    made.begin(configuration, [{"name": "part-00000", "utterances": 1, "tokens": 2}])
    content = ShardContent(
        tokens=TOKENS.assign(utterance="a", row=[0, 1], n_frames=[3, 3]),
        vectors=np.ones((2, 1, 4), dtype=np.float32),
        utterances=["a"],
        n_frames=np.array([10]),
        mean=np.ones((1, 1, 4), dtype=np.float32),
        frame_norm=np.ones((1, 1), dtype=np.float32),
        semantics={},
        failures=[Failure("embeddings", "b", "It hums.", "Record it again.")],
    )
    made.write("part-00000", "content", content)


@cache
def of_store(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder))
        return (Path(folder) / name).read_bytes()


def read_store(folder: Path) -> object:
    found = EmbeddingStore(folder / "store")
    found.status()
    found.failures()
    found.semantics()
    return found.contents()


# -- the readers -----------------------------------------------------------------------------------------------------------


def corpus(spec: str = "") -> Callable[[Path], object]:
    return lambda folder: list(iter_corpus(f"{spec}{folder / 'corpus'}"))


def manifest(suffix: str) -> Callable[[Path], object]:
    return lambda folder: list(iter_corpus(folder / "corpus" / f"m{suffix}"))


def features(folder: Path) -> object:
    found = next(iter((folder / "features").iterdir()))
    encoder = PrecomputedFrames(folder / "features", 50.0, name="x", device=torch.device("cpu"))
    return encoder.frames_of(Utterance(found.stem, Path("a.wav"), "yes", "s", 0.2, 16000))


AB = sounds("corpus/a.wav", "corpus/b.wav")
READERS = {
    **{
        f"audio {kind} {subtype}": Reader(f"a.{kind.lower()}", lambda k=kind, s=subtype: sound(k, s), lambda folder, k=kind: read_audio(folder / f"a.{k.lower()}"))
        for kind, subtype in (
            ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"), ("NIST", "PCM_16"),
            ("AU", "PCM_16"), ("CAF", "PCM_16"), ("MP3", "MPEG_LAYER_III"),
        )
    },
    **{f"manifest {suffix}": Reader(f"corpus/m{suffix}", table(suffix), manifest(suffix), AB) for suffix in (".csv", ".tsv", ".jsonl", ".json", ".parquet")},
    "common voice": Reader(
        "corpus/validated.tsv",
        lambda: b"client_id\tpath\tsentence\tage\nx1\ta.mp3\tsay yes\tteens\nx2\tb.mp3\tno\t\n",
        corpus("common_voice:"),
        sounds("corpus/clips/a.mp3", "corpus/clips/b.mp3"),
    ),
    "librispeech": Reader("corpus/1/2/1-2.trans.txt", lambda: b"1-2-0000 SAY YES\n1-2-0001 NO\n", corpus("librispeech:"), sounds("corpus/1/2/1-2-0000.flac", "corpus/1/2/1-2-0001.flac")),
    "ljspeech": Reader("corpus/metadata.csv", lambda: b"a|No. 1|number one\nb|yes|yes\n", corpus("ljspeech:"), sounds("corpus/wavs/a.wav", "corpus/wavs/b.wav")),
    "arctic": Reader("corpus/etc/txt.done.data", lambda: b'( a "Say yes." )\n( b "No." )\n', corpus("arctic:"), sounds("corpus/wav/a.wav", "corpus/wav/b.wav")),
    "vctk": Reader("corpus/txt/p1/p1_001.txt", lambda: b"Say yes.\n", corpus("vctk:"), sounds("corpus/wav48/p1/p1_001.wav", "corpus/wav48/p1/p1_002.wav")),
    "timit text": Reader("corpus/DR1/FAAA0/SA1.TXT", lambda: b"0 3200 Say yes.\n", corpus("timit:"), sounds("corpus/DR1/FAAA0/SA1.WAV")),
    "buckeye words": Reader("corpus/s01/s0101a.words", lambda: b"header\n#\n  0.05 122 say; S EY; s ey; VB\n  0.18 122 yes; Y EH S; y eh s; UH\n", corpus("buckeye:"), sounds("corpus/s01/s0101a.wav")),
    "vocaset": Reader("corpus/FaceTalk_1_2_TA/sentence01.txt", lambda: b"Say yes.", corpus("vocaset:"), sounds("corpus/FaceTalk_1_2_TA/sentence01.wav")),
    "biwi list": Reader("corpus/sentences.txt", lambda: b"1. Say yes.\n2. No.\n", corpus("biwi:"), sounds("corpus/F1_01.wav", "corpus/F1_02.wav")),
    **{f"folder {suffix}": Reader(f"corpus/a{suffix}", lambda: b"say yes\n", corpus("folder:"), AB) for suffix in (".lab", ".txt")},
    "folder TextGrid": Reader("corpus/a.TextGrid", written(".TextGrid"), corpus("folder:"), AB),
    **{f"tiers {name}": Reader("a.TextGrid", good, lambda folder: read_tiers(folder / "a.TextGrid")) for name, good in (("long", written(".TextGrid")), ("short", lambda: SHORT.encode()), ("utf-16", lambda: SHORT.encode("utf-16")))},
    "TextGrid": Reader("a.TextGrid", written(".TextGrid"), lambda folder: read_textgrid(folder / "a.TextGrid")),
    "transcript of a TextGrid": Reader("a.TextGrid", written(".TextGrid"), lambda folder: transcript_of_textgrid(folder / "a.TextGrid")),
    **{f"alignment {suffix}": Reader(f"a{suffix}", written(suffix), lambda folder, s=suffix: read_alignment(folder / f"a{s}")) for suffix in (".json", ".csv", ".eaf")},
    "ctm": Reader("a.ctm", lambda: b";; made by hand\na 1 0.01 0.07 say 0.9\na 1 0.1 0.08 yes\n", lambda folder: read_ctm(folder / "a.ctm")),
    "labels .phn": Reader("a.phn", lambda: b"0 800 h#\n800 1600 s\n1600 3200 ey\n", lambda folder: read_labels(folder / "a.phn")),
    "labels .lab hts": Reader("a.lab", lambda: b"0 500000 x^x-pau+s=ey\n500000 2000000 x^pau-s+ey=x\n", lambda folder: read_labels(folder / "a.lab")),
    "labels .lab festival": Reader("a.lab", lambda: b"#\n 0.05 125 pau\n 0.2 125 s\n", lambda folder: read_labels(folder / "a.lab")),
    "labels .phones": Reader("a.phones", lambda: b"header\n#\n 0.05 122 SIL\n 0.2 122 s; x\n", lambda folder: read_labels(folder / "a.phones")),
    "dictionary": Reader("a.dict", lambda: b"say S EY1\nyes Y EH1 S\nyes(2) 0.4 Y EH1\n", lambda folder: load_lexicon(folder / "a.dict")),
    "inventory": Reader("a.tsv", lambda: (Path(__file__).resolve().parent.parent / "lexicons" / "inventories" / "mandarin.tsv").read_bytes(), lambda folder: load_inventory(folder / "a.tsv")),
    "pairs": Reader("a.tsv", lambda: (Path(__file__).resolve().parent.parent / "lexicons" / "pairs" / "seen.tsv").read_bytes(), lambda folder: load_pairs(folder / "a.tsv")),
    "sentences": Reader("a.txt", lambda: "Say yes.\nNo, Élise.\n".encode(), lambda folder: read_sentences(folder / "a.txt")),
    **{f"features {suffix}": Reader(f"features/a{suffix}", lambda s=suffix: array(s), features) for suffix in (".npy", ".npz")},
    **{f"token table {suffix}": Reader(f"t{suffix}", lambda s=suffix: tokens(s), lambda folder, s=suffix: read_token_table(folder / f"t{s}")) for suffix in (".csv", ".parquet")},
    **{f"store {name}": Reader(f"store/{name}", lambda n=name: of_store(f"store/{n}"), read_store, store) for name in ("store.json", "complete/part-00000.json", "tokens/part-00000.parquet", "utterances/part-00000.parquet")},
}  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The good file with a few stretches cut out, doubled or replaced."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 16, 10**6]))
        new = draw(
            st.binary(max_size=8)
            | st.sampled_from([b"", b"\0", b"\xff" * 4, b"nan", b"1e999", b"-1", b'"', b"\n", b"\t", b"{", b"[" * 50, b"9" * 40])
        )
        data[at : at + length] = new
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_rows_or_an_error_that_explains_itself(name: str, data: st.DataObject):
    reader = READERS[name]
    content = data.draw(st.binary(max_size=300) | damaged(reader.good()) | damaged(reader.good()))
    folder = Path(tempfile.mkdtemp())
    try:
        reader.beside(folder)
        path = folder / reader.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            found = reader.read(folder)
        except AnalysisError as error:
            assert str(error).strip()
        else:
            if isinstance(found, list):
                assert all(str(row.reason).strip() for row in found if isinstance(row, Failure))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", READERS)
def test_the_good_file_is_read(name: str, tmp_path: Path):
    reader = READERS[name]
    reader.beside(tmp_path)
    path = tmp_path / reader.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(reader.good())
    found = reader.read(tmp_path)
    assert found is not None and not isinstance(found, Failure)
    if isinstance(found, list):
        assert any(not isinstance(row, Failure) for row in found)
