"""A small corpus of noise bursts with a token table, on disk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from analysis.corpus.utterance import Utterance


def write_corpus(folder: Path, count: int, seed: int = 3) -> tuple[list[Utterance], list[dict]]:
    """``count`` recordings of 0.6 to 1.4 s with six tokens each that leave no gap."""
    import soundfile

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    utterances, rows = [], []
    for number in range(count):
        samples = int(16000 * rng.uniform(0.6, 1.4))
        time = np.arange(samples) / 16000
        wave = np.sin(2 * np.pi * (120 + 40 * rng.random()) * time * (1 + 0.3 * time)) + 0.2 * rng.standard_normal(samples)
        path = folder / f"u{number:03d}.wav"
        soundfile.write(path, (0.1 * wave).astype(np.float32), 16000, subtype="FLOAT")
        duration = samples / 16000
        utterances.append(Utterance(path.stem, path, "noise", f"s{number % 3}", duration, 16000))
        edges = np.sort(np.concatenate([[0.0, duration], rng.uniform(0.05, duration - 0.05, size=5)]))
        for position, (start, end) in enumerate(pairwise(edges)):
            third = (end - start) / 3
            rows.append(
                {
                    "token": len(rows),
                    "utterance": path.stem,
                    "speaker": f"s{number % 3}",
                    "unit": "syllable",
                    "type": f"T{position % 3}",
                    "start": start,
                    "nucleus_start": start + third,
                    "coda_start": start + 2 * third,
                    "end": end,
                }
            )
    return utterances, rows


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory):
    """Ten utterances and their token table."""
    import pandas as pd

    utterances, rows = write_corpus(tmp_path_factory.mktemp("speech"), 10)
    return utterances, pd.DataFrame(rows)


@pytest.fixture(scope="session")
def mfcc():
    """The quickest encoder there is."""
    from analysis.encoders import load_encoder

    return load_encoder("mfcc", device="cpu")
