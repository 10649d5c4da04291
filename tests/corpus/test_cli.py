from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from analysis.corpus import open_corpus
from analysis.corpus.__main__ import main
from analysis.corpus.opening import LAYOUTS


@pytest.fixture
def folder(tmp_path: Path, sound, text) -> Path:
    for name, rate in (("a", 8000), ("b", 16000)):
        text(sound(tmp_path / "mine" / "anna" / f"{name}.wav", seconds=0.5, rate=rate).with_suffix(".lab"), "yes")
    sound(tmp_path / "mine" / "bert" / "c.wav")
    return tmp_path / "mine"


def test_list(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["list", str(folder), "--json", str(tmp_path / "out.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "layout          folder",
        "synthetic       False",
        "utterances      2",
        "speakers        1",
        "speakers from   the turns of conversations, else the folder that holds each recording; above one called wav or audio",
        "hours           0.0003",
        "sampling rates  8000 Hz: 1, 16000 Hz: 1",
        "left out        1",
        f"  c: {folder / 'bert' / 'c.wav'} has no transcript. Write its words in {folder / 'bert' / 'c.lab'}.",
    ]
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert written["utterances"] == 2
    assert [failure["item"] for failure in written["failures"]] == ["c"]
    assert main(["list", str(folder), "--strict"]) == 1


def test_reading_all_samples_finds_silence(folder: Path, capsys: pytest.CaptureFixture[str]):
    soundfile.write(folder / "anna" / "a.wav", [0.0] * 8000, 8000)
    assert main(["list", str(folder), "--hash"]) == 0
    assert "left out        1" in capsys.readouterr().out
    assert main(["list", str(folder), "--audio"]) == 0
    out = capsys.readouterr().out
    assert "left out        2" in out
    assert f"  a: {folder / 'anna' / 'a.wav'} is silent" in out


def test_manifest(folder: Path, capsys: pytest.CaptureFixture[str]):
    out = folder / "all.parquet"
    assert main(["manifest", str(folder), str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 2 utterances, 0.00 h",
        f"{folder / 'all.failures.csv'}: 1 left out",
    ]
    assert [utterance.id for utterance in open_corpus(out)] == ["a", "b"]
    assert main(["manifest", str(folder), str(out), "--strict"]) == 1


def test_errors_are_one_message(capsys: pytest.CaptureFixture[str]):
    assert main(["list", "/nowhere"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: There is no corpus at /nowhere")
    assert "Traceback" not in captured.err


def test_layouts_and_demo(capsys: pytest.CaptureFixture[str], demo):
    assert main(["layouts"]) == 0
    listed = capsys.readouterr().out
    assert all(layout.name in listed for layout in LAYOUTS)
    assert main(["demo"]) == 0
    assert "256 synthetic utterances" in capsys.readouterr().out


def test_as_a_program_nothing_heavy_is_loaded(repository: Path):
    code = (
        "import sys, analysis.corpus, analysis.corpus.__main__; "
        "print([m for m in ('torch', 'transformers', 'pandas', 'pyarrow', 'scipy', 'onnxruntime', 'hibari') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
