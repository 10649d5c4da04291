from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.corpus import read_audio
from analysis.corpus.audio import is_audio, read_header
from analysis.errors import AudioError


def tone(frequency: float, seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64", "a.caf", "A.WAV"])
def test_formats(tmp_path: Path, name: str):
    path = tmp_path / name
    soundfile.write(path, tone(300, 0.5, 16000), 16000)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    # lossy formats pad a little
    assert abs(len(samples) - 8000) < 1300
    assert abs(np.sqrt(np.mean(samples[1000:7000] ** 2)) - 0.5 / np.sqrt(2)) < 0.01


def test_nist_sphere(tmp_path: Path):
    soundfile.write(tmp_path / "a.WAV", tone(300, 0.5, 16000), 16000, format="NIST")
    assert len(read_audio(tmp_path / "a.WAV")) == 8000


@given(rate=st.sampled_from([8000, 11025, 22050, 24000, 32000, 44100, 48000]), channels=st.integers(1, 3))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resampling_agrees_with_another_resampler(tmp_path: Path, rate: int, channels: int):
    rng = np.random.default_rng(rate + channels)
    speech_band = scipy.signal.butter(8, 3000, fs=rate, output="sos")
    source = 0.1 * scipy.signal.sosfilt(speech_band, rng.standard_normal((rate // 2, channels)), axis=0)
    soundfile.write(tmp_path / "a.wav", source, rate, subtype="FLOAT")
    ours = read_audio(tmp_path / "a.wav", 16000)
    divisor = np.gcd(rate, 16000)
    theirs = scipy.signal.resample_poly(source.mean(axis=1), 16000 // divisor, rate // divisor)
    assert abs(len(ours) - len(theirs)) <= 1
    middle = slice(500, -500)
    length = min(len(ours), len(theirs))
    difference = (ours[:length] - theirs[:length])[middle]
    assert np.sqrt(np.mean(difference**2)) < 0.02 * np.sqrt(np.mean(theirs[:length][middle] ** 2))


def test_a_rate_of_none_keeps_the_files_own(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", tone(300, 0.5, 44100), 44100)
    assert len(read_audio(tmp_path / "a.wav", None)) == 22050
    header = read_header(tmp_path / "a.wav")
    assert (header.duration, header.sampling_rate, header.channels) == (0.5, 44100, 1)


def message(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    return str(caught.value)


def test_missing(tmp_path: Path):
    path = tmp_path / "a.wav"
    assert message(path) == (f"{path} does not exist. Mend the path in the manifest or transcript file, or fetch the recording.")
    assert message(tmp_path) == f"{tmp_path} is a folder, not an audio file. Mend the path in the manifest."


def test_empty_and_foreign_files(tmp_path: Path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"")
    assert message(path) == (f"{path} is empty (0 bytes). The copy or download was probably interrupted; fetch the file again.")
    path.write_bytes(b"<html>not found</html>" * 5)
    assert message(path) == (
        f"{path} cannot be read as audio: Format not recognised (110 bytes). It is truncated, damaged or of a format that "
        f"libsndfile does not know; fetch it again, or convert it to WAV or FLAC."
    )
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEgarbage")
    assert message(path) == (
        f"{path} cannot be read as audio: Error in WAV file, No 'data' chunk marker (19 bytes). It is truncated, damaged or of a "
        f"format that libsndfile does not know; fetch it again, or convert it to WAV or FLAC."
    )
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert message(path) == f"{path} is a Git LFS pointer, not the recording itself. Run `git lfs pull` in its repository."
    path.write_bytes(b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n")
    assert message(path) == (
        f"{path} is NIST SPHERE with shorten compression, which libsndfile does not read. Convert it with sph2pipe."
    )


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.aiff", "a.au"])
def test_truncated(tmp_path: Path, name: str):
    path = tmp_path / name
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "fetch" in message(path)


def test_truncated_wav_says_what_is_missing(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(300, 1.0, 16000), 16000)
    path.write_bytes(path.read_bytes()[:16044])
    assert message(path) == (
        f"{path} is truncated: its header promises 32000 bytes of samples and 16000 are there. "
        f"The copy or download was probably interrupted; fetch the file again."
    )


def test_a_wav_written_to_a_pipe_is_not_truncated(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(300, 1.0, 16000), 16000)
    raw = bytearray(path.read_bytes())
    raw[4:8] = raw[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)
    assert len(read_audio(path)) == 16000


def test_silent(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    assert message(path) == (
        f"{path} is silent: no sample exceeds 0.0001 (the largest is 0.0e+00). "
        f"Cause: the recording is probably empty; record or export it again, or leave it out."
    )
    left = tone(300, 1.0, 16000)
    soundfile.write(path, np.stack([left, -left], axis=1), 16000, subtype="FLOAT")
    assert message(path) == (
        f"{path} is silent: no sample exceeds 0.0001 (the largest is 0.0e+00). "
        f"Cause: its 2 channels cancel each other when averaged; export one of them."
    )
    # the other end of the scale: speech forty decibels below full scale is quiet, not silent
    soundfile.write(path, 0.01 * left, 16000)
    assert len(read_audio(path)) == 16000


def test_not_numbers(tmp_path: Path):
    path = tmp_path / "a.wav"
    samples = tone(300, 1.0, 16000)
    samples[[5, 70]] = np.nan, np.inf
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    assert message(path) == (
        f"{path} holds 2 samples that are not finite numbers (NaN or infinite), of 16000. "
        f"It was probably written after a division by zero (normalising silence); export it again."
    )


def test_too_short(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(300, 0.05, 16000), 16000)
    assert message(path) == (
        f"{path} lasts 0.050 s, less than the 0.1 s that hold a syllable. "
        f"Is it cut off? Record or fetch it again, or leave it out."
    )


def test_names_of_audio_files():
    assert is_audio("a/SA1.WAV") and is_audio("b.flac")
    assert not any(map(is_audio, ["a.txt", "._a.wav", "wav", "a.TextGrid"]))
