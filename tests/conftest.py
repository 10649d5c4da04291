"""Fixtures that every room shares."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Tests run in parallel processes on small machines: one thread each is faster than fighting over cores, and keeps numbers equal.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Whole runs and trainings, begun first: of two processes neither is left with a long file at the end.
LONGEST = ("notebooks/test_notebooks.py", "test_pipeline.py", "wav2sem/test_training.py", "wav2sem/test_fusion_training.py")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, in that order; the rest stays as it is."""

    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONGEST) if item.path.as_posix().endswith(f"tests/{name}")), len(LONGEST))

    items.sort(key=place)


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
def shared_cases() -> Path:
    """Inputs that people report; they lie beside the checkout and are never part of it."""
    folder = REPOSITORY.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip(f"the shared cases are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def demo():
    """The demo corpus, made on first use and cached in the user's cache folder."""
    from analysis.corpus import demo_corpus

    return demo_corpus()


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> Path:
    """Folder of one complete run on the demo corpus through the command line, made once for all test processes."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "demo_run"
    with FileLock(shared / "demo_run.lock"):
        if not (folder / "finished").is_file():
            command = [sys.executable, "-m", "analysis.decouple", "--corpus", "demo", "--out", str(folder)]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
            if done.returncode:
                pytest.fail(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            (folder / "finished").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def chromium():
    """A Chromium of this machine, headless and cut off from the network; one for all tests of a process."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
    if path is None:
        message = "there is no Chromium or Chrome on the PATH; on Debian: apt-get install chromium"
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


@pytest.fixture
def ray_stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """In place of Ray: tasks run here, one after the other, from what a pickle of them holds. Returns what each task asked for."""
    import inspect
    import pickle
    import types

    asked: list[dict] = []

    def remote(**wanted):
        def decorate(function):
            assert inspect.isfunction(function), "Ray refuses partial functions"

            def submit(*arguments):
                asked.append(wanted)
                return pickle.dumps((function, arguments))

            return types.SimpleNamespace(remote=submit)

        return decorate

    def get(reference):
        function, arguments = pickle.loads(reference)
        return pickle.loads(pickle.dumps(function(*arguments)))

    ray = types.ModuleType("ray")
    ray.is_initialized, ray.init, ray.shutdown = lambda: False, lambda **settings: None, lambda: None
    ray.remote, ray.get, ray.cancel = remote, get, lambda reference: asked.append({"cancelled": True})
    monkeypatch.setitem(sys.modules, "ray", ray)
    return asked
