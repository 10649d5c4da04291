"""From recordings to pooled vectors: against the plainest loop over transformers, whatever the batch, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from analysis.corpus import read_audio
from analysis.corpus.utterance import Utterance
from analysis.embeddings import extract
from analysis.embeddings.shards import plan_extraction
from analysis.encoders import load_encoder
from analysis.encoders.products import has_bfloat16, has_onednn
from analysis.errors import ConfigurationError, EncoderError, StoreError
from tests.embeddings.conftest import write_corpus
from tests.encoders.conftest import FAMILY_CONFIGS, write_model
from tests.reference.hidden_states import one_clip_states
from tests.reference.pooled import pooled_vector

COLUMNS = ["start", "nucleus_start", "coda_start", "end"]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of a family; written once."""
    root = tmp_path_factory.mktemp("models")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.is_dir() else write_model(family, path)

    return folder


@pytest.fixture(scope="module")
def three(small_corpus) -> tuple[list[Utterance], pd.DataFrame]:
    """Three utterances and their tokens."""
    utterances, tokens = small_corpus
    utterances = utterances[:3]
    return utterances, tokens[tokens["utterance"].isin([one.id for one in utterances])].reset_index(drop=True)


def test_the_longest_clip_of_a_group_is_begun_first_and_results_keep_their_order() -> None:
    """Two groups on two workers, with a job that waits as long as its clip: order of beginning, of results, and what is in flight."""
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor

    from analysis.embeddings.encoding import _in_order

    seconds = [[0.02, 0.08, 0.04, 0.06], [0.05, 0.01, 0.03], []]
    groups = [
        [[Utterance(f"{g}-{k}", Path("x.wav"), "tone", "s", length, 16000)] for k, length in enumerate(lengths)]
        for g, lengths in enumerate(seconds)
    ]
    begun, counted, flying, lock = [], [], [0, 0], threading.Lock()

    class Job:
        def read(self, batch):
            with lock:
                begun.append(batch[0].id)
                flying[0] += 1
                flying[1] = max(flying)
            return batch

        def __call__(self, batch, read):
            time.sleep(read.result()[0].duration)
            with lock:
                flying[0] -= 1
            return [batch[0].id]

    with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(2) as workers:
        found = list(_in_order(readers, workers, Job(), groups, 4, counted.append))
    assert found == [["0-0"], ["0-1"], ["0-2"], ["0-3"], ["1-0"], ["1-1"], ["1-2"]]
    assert begun == ["0-1", "0-3", "0-2", "0-0", "1-0", "1-2", "1-1"]
    assert counted == [1] * 7 and flying[1] <= 4


def test_doubts_about_the_encoder_are_rows(three, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    """A folder without a preprocessor: a warning beside the vectors, whether they come from memory or from a store."""
    import shutil

    folder = shutil.copytree(folder_of("wav2vec2"), tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    encoder = load_encoder(str(folder), device="cpu")
    for options in ({}, {"out": tmp_path / "store"}):
        row, *others = extract(encoder, *three, layers=[0], progress=False, **options).failures
        assert all(other.item != row.item for other in others)
        assert (row.stage, row.item, row.severity) == ("embeddings", str(folder), "warning")
        assert row.reason.startswith("It has no preprocessor_config.json; the default of its family is used: ")


def pooled_by_loops(folder: Path, utterances: list[Utterance], tokens: pd.DataFrame, hop: int, first: int, pooling: str = "mean"):
    """Tokens that have a frame, and their vectors ``(tokens, layers, dims)``, one clip at a time."""
    states = {one.id: one_clip_states(folder, read_audio(one, sampling_rate=16000)) for one in utterances}
    kept, rows = [], []
    for row in tokens.itertuples():
        centers = (first + hop * np.arange(states[row.utterance].shape[1])) / 16000
        times = tuple(getattr(row, column) for column in COLUMNS)
        vector = pooled_vector(states[row.utterance], centers, times, pooling)
        if vector is not None:
            kept.append(row.token)
            rows.append(vector)
    return kept, np.stack(rows)


def assert_same(vectors: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    error = np.linalg.norm(vectors - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < tolerance


# Hop and centre of frame 0 in samples, as the papers' strides give them; Whisper's frames are centred on multiples of 20 ms.
_GRIDS = {"whisper": (320, 0), "wav2vec2-bert": (320, 280), "sew": (640, 360), "sew-d": (640, 360)}


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_pooled_vectors_of_every_family_equal_the_naive_loop(family: str, folder_of, three) -> None:
    folder = folder_of(family)
    kept, expected = pooled_by_loops(folder, *three, *_GRIDS.get(family, (320, 200)))
    for batch_seconds in (0.0, 100.0):
        extraction = extract(load_encoder(str(folder), device="cpu"), *three, batch_seconds=batch_seconds, progress=False)
        assert list(extraction.embeddings.tokens["token"]) == kept
        assert_same(extraction.embeddings.vectors, expected)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_pooled_vectors_of_full_size_models_equal_the_naive_loop(family: str, three, tmp_path: Path) -> None:
    """The base configuration of transformers as it is: 12 layers, 768 dims, 95 million random weights."""
    import transformers

    name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert"}[family]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")())
    assert sum(parameter.numel() for parameter in model.parameters()) > 94e6
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    utterances, tokens = three[0][:1], three[1][three[1]["utterance"] == three[0][0].id].reset_index(drop=True)
    kept, expected = pooled_by_loops(tmp_path, utterances, tokens, 320, 200)
    assert expected.shape[1:] == (13, 768)
    extraction = extract(load_encoder(str(tmp_path), device="cpu"), utterances, tokens, progress=False)
    assert list(extraction.embeddings.tokens["token"]) == kept
    assert_same(extraction.embeddings.vectors, expected)


def test_utterance_frames_are_the_means_and_norms_of_all_frames(folder_of, three) -> None:
    folder = folder_of("hubert")
    frames = extract(load_encoder(str(folder), device="cpu"), *three, layers=[3, 1], progress=False).embeddings.frames
    for row, utterance in enumerate(three[0]):
        states = one_clip_states(folder, read_audio(utterance, sampling_rate=16000))[[3, 1]].astype(np.float64)
        assert frames.n_frames[row] == states.shape[1]
        np.testing.assert_allclose(frames.mean[row], states.mean(axis=1), atol=1e-5)
        np.testing.assert_allclose(frames.frame_norm[row], np.linalg.norm(states, axis=2).mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("as_mask", [True, False])
def test_selected_tokens_are_what_their_extraction_alone_leaves(small_corpus, mfcc, as_mask: bool) -> None:
    utterances, tokens = small_corpus
    whole = extract(mfcc, utterances, tokens, progress=False).embeddings
    left = (whole.tokens["speaker"] == "s1") & (whole.tokens["type"] != "T0")
    rows = left.to_numpy() if as_mask else np.flatnonzero(left).tolist()
    chosen = whole.select(rows)
    alone = extract(mfcc, utterances, tokens[tokens["token"].isin(chosen.tokens["token"])], progress=False).embeddings
    pd.testing.assert_frame_equal(chosen.tokens, alone.tokens)
    assert chosen.frames.utterances == alone.frames.utterances and 0 < len(alone.frames.utterances) < len(utterances)
    for found, expected in (
        (chosen.vectors, alone.vectors),
        (chosen.frames.n_frames, alone.frames.n_frames),
        (chosen.frames.mean, alone.frames.mean),
        (chosen.frames.frame_norm, alone.frames.frame_norm),
    ):
        np.testing.assert_array_equal(found, expected)
    nothing = whole.select([])
    assert len(nothing) == 0 and nothing.frames.utterances == () and nothing.frames.mean.shape == (0, 1, mfcc.card.dims)


def test_two_worker_counts_give_the_same_bytes(folder_of, three) -> None:
    encoder = load_encoder(str(folder_of("wav2vec2")), device="cpu")
    one, two = (extract(encoder, *three, workers=count, progress=False).embeddings.vectors for count in (1, 2))
    np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------------------------------------------------------- bad input


def test_bad_recordings_become_failures_and_the_others_stay_as_they_are(folder_of, three, tmp_path: Path) -> None:
    good, tokens = three
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    broken = noise.copy()
    broken[8000:8003] = np.nan
    waves = {"short": noise[:399], "silent": np.zeros(16000, dtype=np.float32), "nan": broken}
    bad = []
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", wave, 16000, subtype="FLOAT")
        bad.append(Utterance(name, tmp_path / f"{name}.wav", "noise", "s", len(wave) / 16000, 16000))
    (tmp_path / "text.wav").write_text("this is no sound")
    bad += [Utterance("text", tmp_path / "text.wav", "noise", "s", 1.0, 16000)]
    bad += [Utterance("gone", tmp_path / "gone.wav", "noise", "s", 1.0, 16000)]
    row = {"unit": "syllable", "type": "T", "start": 0.0, "nucleus_start": 0.0, "coda_start": 0.01, "end": 0.02}
    extra = pd.DataFrame([{"token": 1000 + i, "utterance": one.id, **row} for i, one in enumerate(bad)])
    encoder = load_encoder(str(folder_of("wav2vec2")), device="cpu")
    clean = extract(encoder, good, tokens, progress=False)
    for batch_seconds in (0.0, 100.0):
        mixed = extract(
            encoder, [bad[0], *good, *bad[1:]], pd.concat([tokens, extra]), batch_seconds=batch_seconds, progress=False
        )
        assert_same(mixed.embeddings.vectors, clean.embeddings.vectors, 2e-6)
        assert mixed.embeddings.frames.utterances == tuple(one.id for one in good)
        told = {failure.item: failure for failure in mixed.failures if failure.item in {one.id for one in bad}}
        assert set(told) == {"short", "silent", "nan", "text", "gone"}
        assert "short.wav lasts 0.025 s" in told["short"].reason
        assert "silent.wav" in told["silent"].reason and "is silent" in told["silent"].reason
        assert "nan.wav" in told["nan"].reason and "not finite numbers" in told["nan"].reason
        assert all(failure.remedy for failure in told.values())


def test_a_token_that_holds_no_frame_is_told_with_its_place(folder_of, three) -> None:
    utterances, tokens = three
    start = tokens["start"].iloc[0]
    tiny = tokens.iloc[[0]].assign(token=99, start=start + 0.0126, end=start + 0.0127, nucleus_start=start + 0.0126)
    tiny["coda_start"] = tiny["end"]
    found = extract(load_encoder(str(folder_of("wav2vec2")), device="cpu"), utterances, pd.concat([tokens, tiny]), progress=False)
    assert 99 not in set(found.embeddings.tokens["token"])
    [failure] = [one for one in found.failures if one.item.endswith("token 99")]
    assert "no frame of" in failure.reason and "one every 20 ms" in failure.reason


def test_tokens_and_utterances_must_fit(three, mfcc) -> None:
    utterances, tokens = three
    with pytest.raises(ConfigurationError, match=r"1 utterances of the token table are not among .*Do tokens and utterances"):
        extract(mfcc, utterances[:2], tokens, progress=False)
    with pytest.raises(ConfigurationError, match=r"comes twice; ids must be unique"):
        extract(mfcc, [*utterances, utterances[0]], tokens, progress=False)
    with pytest.raises(ConfigurationError, match=r"The token table lacks the columns end"):
        extract(mfcc, utterances, tokens.drop(columns="end"), progress=False)


class Forgetful:
    """An encoder on a device that holds two clips at a time and no more."""

    def __init__(self, inner, limit: int) -> None:
        self.inner, self.limit, self.asked = inner, limit, []
        self.card, self.device = inner.card, inner.device

    def encode(self, waveforms, layers=None):
        self.asked.append(len(waveforms))
        if len(waveforms) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner.encode(waveforms, layers)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(small_corpus, mfcc) -> None:
    whole = extract(mfcc, *small_corpus, progress=False).embeddings.vectors
    encoder = Forgetful(mfcc, 2)
    found = extract(encoder, *small_corpus, batch_seconds=1000.0, workers=1, progress=False).embeddings.vectors
    np.testing.assert_array_equal(found, whole)
    assert encoder.asked[0] == 10 and max(encoder.asked[-3:]) <= 3
    # one clip that does not fit cannot be halved
    with pytest.raises(
        EncoderError, match=r"^mfcc gave not one vector\. The first failure, u000: There is not enough memory for it"
    ):
        extract(Forgetful(mfcc, 0), *small_corpus, workers=1, progress=False)


# -------------------------------------------------------------------------------------------------------------------- precision


def test_provenance_names_the_precision_and_stores_never_mix_two(folder_of, three, tmp_path: Path) -> None:
    folder = str(folder_of("wav2vec2"))
    settings = {"progress": False, "cache": tmp_path / "cache"}
    exact = extract(load_encoder(folder, device="cpu"), *three, **settings)
    short = extract(load_encoder(folder, device="cpu", dtype="fastest"), *three, **settings)
    assert exact.embeddings.provenance["precision"] == "float32"
    assert short.embeddings.provenance["precision"].startswith("int8")
    if has_onednn() and has_bfloat16(torch.device("cpu")):
        assert short.embeddings.provenance["precision"] == "int8, convolutions in bfloat16"
    assert len(list((tmp_path / "cache").iterdir())) == 2  # the cache keeps both apart
    assert not np.array_equal(exact.embeddings.vectors, short.embeddings.vectors)
    extract(load_encoder(folder, device="cpu"), *three, out=tmp_path / "store", progress=False)
    with pytest.raises(StoreError, match=r"differs in: precision \('float32' there, 'int8"):
        extract(load_encoder(folder, device="cpu", dtype="int8"), *three, out=tmp_path / "store", progress=False)


def test_every_setting_that_decides_the_vectors_is_in_the_hash(folder_of, three, tmp_path: Path) -> None:
    """Weights, revision, layers, pooling, slicing, precision, storage, tokens, aligner, corpus: a change of each is another hash."""
    from analysis.embeddings.encoding import make_recipe

    def hash_of(encoder, tokens=three[1], layers=None, pooling="mean", slicing="feature", **settings) -> str:
        recipe = make_recipe(encoder, layers=layers, pooling=pooling, slicing=slicing)
        return plan_extraction(encoder, three[0], tokens, recipe, **settings).configuration_hash

    folder = folder_of("wav2vec2")
    encoder = load_encoder(str(folder), device="cpu")
    base = hash_of(encoder)
    assert hash_of(load_encoder(str(folder), device="cpu")) == base
    others = [
        hash_of(load_encoder(str(write_model("wav2vec2", tmp_path / "other", seed=1)), device="cpu")),
        hash_of(load_encoder(str(folder), device="cpu", dtype="int8")),
        hash_of(encoder, layers=[0]),
        hash_of(encoder, pooling="max"),
        hash_of(encoder, slicing="audio"),
        hash_of(encoder, storage="float16"),
        hash_of(encoder, tokens=three[1].assign(end=three[1]["end"] - 1e-3)),
        hash_of(encoder, alignment_source="textgrid"),
        hash_of(encoder, corpus="other"),
    ]
    assert len({base, *others}) == 1 + len(others)


def test_the_same_weights_in_another_place_under_the_same_name_are_told_apart(three, tmp_path: Path) -> None:
    """A model folder whose weights are replaced: its path is the same, its vectors are not taken from the cache."""
    folder = write_model("wav2vec2", tmp_path / "model")
    first = extract(load_encoder(str(folder), device="cpu"), *three, cache=tmp_path / "cache", progress=False)
    write_model("wav2vec2", folder, seed=5)
    second = extract(load_encoder(str(folder), device="cpu"), *three, cache=tmp_path / "cache", progress=False)
    assert not np.allclose(first.embeddings.vectors, second.embeddings.vectors, atol=1e-3)


def test_sampling_rates_other_than_the_encoders_are_resampled(mfcc, tmp_path: Path) -> None:
    utterances, rows = write_corpus(tmp_path, 1)
    wave, _ = soundfile.read(utterances[0].audio, dtype="float32")
    import soxr

    soundfile.write(tmp_path / "wide.wav", soxr.resample(wave, 16000, 48000), 48000, subtype="FLOAT")
    wide = Utterance(utterances[0].id, tmp_path / "wide.wav", "noise", "s0", utterances[0].duration, 48000)
    tokens = pd.DataFrame(rows)
    narrow_vectors = extract(mfcc, utterances, tokens, progress=False).embeddings.vectors
    wide_vectors = extract(mfcc, [wide], tokens, progress=False).embeddings.vectors
    assert np.abs(narrow_vectors - wide_vectors).mean() < 0.1 * np.abs(narrow_vectors).mean()
