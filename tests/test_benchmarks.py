"""What the benchmarks measure is what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.skipif(sys.platform == "win32", reason="peaks are read as POSIX gives them")
def test_peak_memory_of_a_command_is_its_own():
    spec = importlib.util.spec_from_file_location("benchmark_extraction", FOLDER / "extraction.py")
    extraction = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extraction)
    ballast = np.ones(40_000_000)  # 305 MiB, which a new program's peak would begin at
    assert extraction._peak([sys.executable, "-S", "-c", "pass"]) < 100
    assert extraction._peak([sys.executable, "-S", "-c", "bytes(bytearray(100 << 20))"]) > 100
    with pytest.raises(SystemExit, match="ended with exit code 3"):
        extraction._peak([sys.executable, "-S", "-c", "raise SystemExit(3)"])
    assert ballast.any()


def test_a_multiplied_store_is_one_corpus_of_other_ids(tmp_path):
    """The store of `benchmarks/scale.py`: as many tokens as asked for, ids and texts of their own, and its manifest opens."""
    from analysis.corpus import open_corpus
    from analysis.embeddings import SyllableEmbeddings, extract
    from analysis.encoders import load_encoder

    spec = importlib.util.spec_from_file_location("benchmark_scale", FOLDER / "scale.py")
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    utterances = open_corpus("demo").utterances[:3]
    tokens = pd.DataFrame(
        {
            "token": range(6), "utterance": [one.id for one in utterances for _ in range(2)], "unit": "syllable", "type": "T",
            "speaker": [one.speaker for one in utterances for _ in range(2)], "start": 0.1, "nucleus_start": 0.1, "coda_start": 0.3,
            "end": 0.3, "text": [one.text for one in utterances for _ in range(2)],
        }
    )  # fmt: skip
    extract(load_encoder("mfcc"), utterances, tokens, out=tmp_path / "small", progress=False)
    assert scale.multiplied(tmp_path / "small", tmp_path / "large", 20, [0]) == 24
    found = SyllableEmbeddings.read(tmp_path / "large" / "store")
    corpus = open_corpus(tmp_path / "large" / "manifest.csv")
    assert len(found) == 24 and found.tokens["token"].is_unique and found.tokens["text"].nunique() == 12
    assert {one.id for one in corpus} == set(found.tokens["utterance"]) and len(corpus) == 12
    assert len(np.unique(found.layer(0), axis=0)) == 24
