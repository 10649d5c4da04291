"""Every way of pooling, with and without context, against loops over frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.corpus import read_audio
from analysis.embeddings import extract
from analysis.embeddings.pooling import POOLINGS, Span, pool, pooled_dims
from analysis.encoders import load_encoder
from analysis.errors import ConfigurationError
from analysis.timebase import FrameGrid
from tests.reference.pooled import pooled_vector

GRID = FrameGrid(320, 200, 16000)
COLUMNS = ["start", "nucleus_start", "coda_start", "end"]


def random_spans(rng: np.random.Generator, count: int, seconds: float) -> list[Span]:
    """Tokens of 5 ms to a second, some without onset or coda, some beyond the end of the audio."""
    spans = []
    for _ in range(count):
        start = rng.uniform(0, seconds)
        inner = np.sort(rng.uniform(0, 1, size=2)) * rng.choice([0.0, 1.0], size=2, p=[0.2, 0.8])
        end = start + rng.uniform(0.005, rng.choice([0.03, 0.2, 1.0]))
        spans.append(Span(start, *(start + np.sort(inner) * (end - start)), end))
    return spans


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_equals_the_loop(pooling: str) -> None:
    rng = np.random.default_rng(7)
    n_frames = 99
    states = rng.standard_normal((2, n_frames, 5)).astype(np.float32)
    spans = random_spans(rng, 200, 2.1)
    vectors, counts = pool(torch.from_numpy(states), spans, GRID, pooling)
    assert vectors.shape == (200, 2, pooled_dims(pooling, 5))
    centers = (200 + 320 * np.arange(n_frames)) / 16000
    empty = 0
    for vector, count, span in zip(vectors.numpy(), counts, spans, strict=True):
        expected = pooled_vector(states, centers, (span.start, span.nucleus_start, span.coda_start, span.end), pooling)
        if expected is None:
            assert count == 0 and not vector.any()
            empty += 1
        else:
            assert count == np.count_nonzero((centers >= span.start) & (centers < span.end))
            np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert 10 < empty < 190


def test_poolings_agree_on_a_constant_and_differ_on_noise() -> None:
    span = [Span(0.1, 0.2, 0.4, 0.5)]
    constant = torch.full((1, 49, 3), 2.5)
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 49, 3)).astype(np.float32))
    seen = set()
    for pooling in POOLINGS:
        np.testing.assert_allclose(pool(constant, span, GRID, pooling)[0].numpy(), 2.5)
        seen.add(pool(noise, span, GRID, pooling)[0].numpy().tobytes())
    assert len(seen) == len(POOLINGS)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("slicing", ["feature", "audio"])
def test_extraction_with_and_without_context_equals_the_loop(pooling: str, slicing: str, small_corpus, mfcc) -> None:
    utterances, tokens = small_corpus
    utterances = utterances[:4]
    tokens = tokens[tokens["utterance"].isin([one.id for one in utterances])].reset_index(drop=True)
    extraction = extract(mfcc, utterances, tokens, pooling=pooling, slicing=slicing, progress=False)
    waves = {one.id: read_audio(one, sampling_rate=16000) for one in utterances}
    rows, kept = [], []
    for row in tokens.itertuples():
        times = [getattr(row, column) for column in COLUMNS]
        wave = waves[row.utterance]
        if slicing == "audio":  # the token's samples alone, encoded as a recording of their own
            wave = wave[round(row.start * 16000) : round(row.end * 16000)]
            if len(wave) < 400:
                continue
            last = (200 + 160 * ((len(wave) - 400) // 160)) / 16000
            times = [time - row.start for time in times[:3]] + [max(len(wave) / 16000, last + 1 / 16000)]
        states = mfcc.encode([wave])[0].numpy()
        centers = (200 + 160 * np.arange(states.shape[1])) / 16000
        expected = pooled_vector(states, centers, tuple(times), pooling)
        if expected is not None:
            rows.append(expected)
            kept.append(row.token)
    assert list(extraction.embeddings.tokens["token"]) == kept
    np.testing.assert_allclose(extraction.embeddings.vectors, np.stack(rows), atol=2e-5)
    assert len(extraction.failures) == len(tokens) - len(kept)
    assert extraction.embeddings.provenance["slicing"] == slicing and extraction.embeddings.provenance["pooling"] == pooling


def test_context_changes_a_vector_and_cutting_the_audio_removes_it(small_corpus, tmp_path) -> None:
    """What stands before and after a token is heard with ``feature`` and not with ``audio``."""
    import soundfile

    from analysis.corpus.utterance import Utterance

    rng = np.random.default_rng(0)
    token, contexts = (
        0.1 * rng.standard_normal(8000),
        [0.1 * rng.standard_normal((2, 8000)), 0.4 * rng.standard_normal((2, 8000))],
    )
    utterances = []
    for number, (before, after) in enumerate(contexts):
        path = tmp_path / f"c{number}.wav"
        soundfile.write(path, np.concatenate([before, token, after]).astype(np.float32), 16000, subtype="FLOAT")
        utterances.append(Utterance(path.stem, path, "noise", "s", 1.5, 16000))
    times = dict(zip(COLUMNS, (0.5, 0.6, 0.8, 1.0), strict=True))
    tokens = pd.DataFrame([{"token": i, "utterance": f"c{i}", "unit": "syllable", "type": "A", **times} for i in range(2)])
    encoder = load_encoder("bundled", device="cpu")
    heard = {
        slicing: extract(encoder, utterances, tokens, slicing=slicing, layers=[4], progress=False).embeddings.layer(4)
        for slicing in ("feature", "audio")
    }
    np.testing.assert_array_equal(heard["audio"][0], heard["audio"][1])
    gap = np.linalg.norm(heard["feature"][0] - heard["feature"][1]) / np.linalg.norm(heard["feature"][0])
    assert gap > 0.05


def test_frames_without_audio_cannot_be_cut_from_it(small_corpus, tmp_path) -> None:
    for utterance in small_corpus[0]:
        np.save(tmp_path / f"{utterance.id}.npy", np.ones((round(50 * utterance.duration), 2), dtype=np.float32))
    encoder = load_encoder(f"features:{tmp_path}?rate=50", device="cpu")
    with pytest.raises(ConfigurationError, match=r"has frames and no audio to cut; use --slicing feature"):
        extract(encoder, *small_corpus, slicing="audio", progress=False)
