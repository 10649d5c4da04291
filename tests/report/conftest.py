from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_report import synthetic_report


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A synthetic report whose utterances have sound."""
    return synthetic_report(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="session")
def silent_report():
    """A small synthetic report without sound."""
    return synthetic_report(encoders=("bundled",), layers=(0, 1), n_tokens=60, n_utterances=6, n_speakers=2, methods=("umap",))
