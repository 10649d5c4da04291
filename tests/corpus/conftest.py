"""Tiny recordings and trees of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Sound = Callable[..., Path]


@pytest.fixture
def sound() -> Sound:
    """Writes a short recording and the folders above it; the kind follows the ending unless ``format`` says otherwise."""

    def write(path: Path, seconds: float = 0.2, rate: int = 16000, channels: int = 1, format: str | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
        soundfile.write(path, samples, rate, format=format)
        return path

    return write


@pytest.fixture
def text() -> Callable[[Path, str], Path]:
    """Writes a text file and the folders above it."""

    def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode(encoding))
        return path

    return write
