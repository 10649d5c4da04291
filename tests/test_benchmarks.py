"""What the benchmarks measure is what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
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
