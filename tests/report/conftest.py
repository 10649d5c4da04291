from __future__ import annotations

import os
import shutil
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


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium, headless and cut off from the network."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        message = "there is no /usr/bin/chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    flags = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --autoplay-policy=user-gesture-required"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=flags.split())
        yield browser
        browser.close()
