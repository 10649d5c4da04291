"""Fixtures that every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run in parallel processes on small machines: one thread each is faster than fighting over cores, and keeps numbers equal.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recordings of people with transcripts and alignments; they lie beside the checkout and are never part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"the shared recordings are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def demo():
    """The demo corpus, made on first use and cached in the user's cache folder."""
    from analysis.corpus import demo_corpus

    return demo_corpus()
