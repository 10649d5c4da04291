from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from analysis.report.clips import make_clips


@pytest.fixture
def spoken(silent_report, tmp_path):
    """The report with four recordings: 48 kHz stereo, 8 kHz, too loud a float file, and one that is no audio."""
    seconds = np.arange(48_000) / 48_000
    tone = 0.4 * np.sin(2 * np.pi * 440 * seconds)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, tone], axis=1), 48_000)
    soundfile.write(tmp_path / "b.flac", tone[::6], 8_000)
    soundfile.write(tmp_path / "c.wav", 5 * tone[::3], 16_000, subtype="FLOAT")
    (tmp_path / "d.wav").write_bytes(b"RIFF nonsense")
    soundfile.write(tmp_path / "e.wav", np.zeros(0), 16_000)
    names = ["a", "b", "c", "d", "e", "f", "g"]
    audio = ["a.wav", str(tmp_path / "b.flac"), "c.wav", "d.wav", "e.wav", "gone.wav", ""]
    table = pd.DataFrame({"utterance": names, "audio": audio, "text": "x", "speaker": "s", "duration": 1.0})
    return replace(silent_report, tables={**silent_report.tables, "utterances": table})


def test_clips_are_mono_mp3_at_16_khz_and_last_as_long(spoken, tmp_path):
    clips = make_clips(spoken, tmp_path, "abcabc")
    assert clips.embedded and sorted(clips.sources) == ["a", "b", "c"] and not clips.missing
    for source in clips.sources.values():
        kind, data = source.split(",")
        assert kind == "data:audio/mpeg;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 16_000 and samples.ndim == 1 and len(samples) == pytest.approx(16_000, abs=2)
        spectrum = np.abs(np.fft.rfft(samples[:16_000]))
        assert abs(int(spectrum.argmax()) - 440) <= 1 and np.abs(samples).max() < 1.1
    assert clips.n_bytes < 20_000
    assert clips.note == f"Sound of 3 utterances is inside this file ({clips.n_bytes / 1e6:.1f} MB of MP3)."


def test_over_the_budget_clips_are_files_and_the_note_says_so(spoken, tmp_path):
    clips = make_clips(spoken, tmp_path, "ab", budget=100)
    assert clips.sources == {"a": "audio/00000.mp3", "b": "audio/00001.mp3"} and not clips.embedded
    assert all((tmp_path / source).stat().st_size > 500 for source in clips.sources.values())
    assert "over the budget of 0 MB" in clips.note and "audio/ beside this file. Send both." in clips.note


def test_what_cannot_be_heard_is_named_and_stops_nothing(spoken, tmp_path, caplog):
    clips = make_clips(spoken, tmp_path, "adefg")
    assert list(clips.sources) == ["a"] and sorted(clips.missing) == ["d", "e", "f", "g"]
    assert "d.wav cannot be read" in clips.missing["d"]
    assert clips.missing["e"] == "e.wav cannot be read: it holds no samples"
    assert clips.missing["f"] == "there is no file gone.wav" and clips.missing["g"] == "there is no file (no path given)"
    assert clips.note.endswith("4 utterances have no sound.")
    assert "no sound for d" in caplog.text


def test_paths_from_the_corpus_root(spoken, tmp_path):
    rooted = replace(spoken, corpus={**spoken.corpus, "root": str(tmp_path)})
    assert list(make_clips(rooted, tmp_path / "elsewhere", "a").sources) == ["a"]


def test_a_report_without_audio_says_so(silent_report, tmp_path):
    table = silent_report.tables["utterances"].drop(columns="audio")
    bare = replace(silent_report, tables={**silent_report.tables, "utterances": table})
    assert make_clips(bare, tmp_path, ["x"]).note == "No sound: the report names no audio files."


def test_a_recording_is_compressed_once_and_again_when_its_bytes_change(spoken, tmp_path, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path / "cache"))
    first = make_clips(spoken, tmp_path, "ab")
    assert len(list((tmp_path / "cache" / "clips").rglob("*.*"))) == 2, "two clips and nothing half-written"
    monkeypatch.setattr("analysis.report.clips._compressed", lambda path: b"compressed anew")
    assert make_clips(spoken, tmp_path, "ab") == first
    samples, rate = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", samples[:-1], rate)
    changed = make_clips(spoken, tmp_path, "ab").sources
    assert changed["b"] == first.sources["b"]
    assert base64.b64decode(changed["a"].split(",")[1]) == b"compressed anew"
