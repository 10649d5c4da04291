"""Audio files in: what their headers say, and their samples as one channel at the rate that was asked for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from analysis.corpus.utterance import Utterance
from analysis.errors import AudioError

__all__ = [
    "AUDIO_SUFFIXES",
    "MIN_DURATION",
    "MIN_RATE",
    "OTHER_SUFFIXES",
    "AudioHeader",
    "audio_digest",
    "is_audio",
    "is_other_audio",
    "read_audio",
    "read_header",
    "write_part",
]

#: File name endings (lower case) that are taken for audio; libsndfile decides by content whether they are.
AUDIO_SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aiff .aif .aifc .au .snd .sph .nist .w64 .caf .rf64 .voc .mat5".split()
)
#: Endings of sound and video that libsndfile does not read.
OTHER_SUFFIXES = frozenset(".m4a .mp4 .m4b .aac .wma .amr .webm .mka .mkv .mov .avi .3gp .ape .wv".split())
#: Shorter recordings hold no syllable that an encoder could describe, s.
MIN_DURATION = 0.1
#: Below this rate (Hz) nothing of speech is left but its pitch: the header is wrong.
MIN_RATE = 2000
# Samples lie within -1 and 1, a little beyond where a program did not clip. Far beyond are integers stored as floats, and damage.
_LARGEST = 100.0
# Below three steps of 16-bit audio: digital silence with dither, or a recording from an unplugged microphone.
_SILENCE_PEAK = 1e-4
# Headers written by programs that stream do not know the length and promise the largest possible one.
_UNKNOWN_LENGTH = 0x7FFFF000
# Seeking in these starts a decoder afresh, and its first frames differ: they are decoded whole, and the last one is kept.
_INEXACT = frozenset(("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "OPUS"))
_PROMISE = re.compile(r"(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)")


@dataclass(frozen=True)
class AudioHeader:
    """What a file's header says, without its samples.

    Attributes
    ----------
    duration : float
        Seconds.
    sampling_rate : int
        Hz.
    channels : int
    """

    duration: float
    sampling_rate: int
    channels: int


def is_audio(name: str | Path) -> bool:
    """Whether a file name ends as audio files do; hidden files (``._a.wav`` of macOS archives) do not count."""
    path = Path(name)
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def is_other_audio(name: str | Path) -> bool:
    """Whether a file name ends as recordings do that must be converted first."""
    path = Path(name)
    return path.suffix.lower() in OTHER_SUFFIXES and not path.name.startswith(".")


def read_header(path: str | Path) -> AudioHeader:
    """Duration, rate and channels of an audio file.

    Raises
    ------
    AudioError
        If the file is missing, is no audio that libsndfile reads, is cut off, states a rate below :data:`MIN_RATE`, or lasts less
        than :data:`MIN_DURATION`.
    """
    path = Path(path)
    try:
        state = path.stat()
    except (OSError, ValueError) as error:  # a name with NUL in it is a ValueError
        raise AudioError(_why_unreadable(path, error)) from error
    # the utterances of one long recording ask for its header one after the other
    return _header(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _header(path: Path, modified: int, size: int) -> AudioHeader:
    import soundfile

    try:
        info = soundfile.info(str(path), verbose=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(_why_unreadable(path, error)) from error
    for promised, present in _PROMISE.findall(info.extra_info):
        if int(present) < 0.99 * int(promised) and int(promised) < _UNKNOWN_LENGTH:
            raise AudioError(
                f"{path} is truncated: its header promises {int(promised)} bytes of samples and {int(present)} are there. "
                f"The copy or download was probably interrupted; fetch the file again."
            )
    if info.samplerate < MIN_RATE:
        raise AudioError(
            f"{path} has a sampling rate of {info.samplerate} Hz by its header; speech needs {MIN_RATE} Hz at the least. "
            f"The header is probably damaged: fetch the file again, or write it with the right rate."
        )
    duration = info.frames / info.samplerate
    if duration < MIN_DURATION:
        raise AudioError(_too_short(path, duration))
    return AudioHeader(duration, info.samplerate, info.channels)


def read_audio(source: str | Path | Utterance, sampling_rate: int | None = 16000) -> np.ndarray:
    """Samples of a recording as one channel at ``sampling_rate``, float32, shape ``(samples,)``, about -1 to 1.

    Channels are averaged, then resampled with soxr (quality HQ). Of an utterance that is a part of its file, that part alone is
    read.

    Parameters
    ----------
    source : path or Utterance
    sampling_rate : int or None
        Hz; None keeps the file's own.

    Raises
    ------
    AudioError
        If the file is missing, unreadable, truncated, silent, too short or too long for memory, or holds samples that are not
        numbers or lie far beyond -1 and 1.
    """
    import soundfile

    path = Path(source.audio if isinstance(source, Utterance) else source)
    part = source if isinstance(source, Utterance) and source.is_part else None
    header = read_header(path)
    rate = header.sampling_rate
    first, promised = 0, round(header.duration * rate)
    where = str(path)
    if part is not None and part.start is not None:
        first = round(part.start * rate)
        promised = max(min(round(part.end * rate), promised) - first, 0)
        where = f"{path}, from {part.start:.3f} to {part.end:.3f} s,"
    try:
        if part is None or part.start is None:
            samples, _ = soundfile.read(str(path), dtype="float32", always_2d=True)
        else:
            samples = _stretch(path, first, promised)
    except MemoryError as error:
        raise AudioError(
            f"{path} does not fit into memory: its header promises {header.duration:.0f} s of {header.channels} channels. "
            f"Cut it into utterances at its pauses, or fetch it again where the header is wrong."
        ) from error
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(_why_unreadable(path, error)) from error
    if part is not None and promised < MIN_DURATION * rate:
        raise AudioError(
            f"{where} holds {promised / rate:.3f} s of sound, less than the {MIN_DURATION} s that hold a syllable; the file lasts "
            f"{header.duration:.3f} s. Mend start and end, or leave it out."
        )
    if len(samples) < 0.95 * promised:
        raise AudioError(
            f"{path} is truncated: its header promises {promised} samples and {len(samples)} could be read. "
            f"The copy or download was probably interrupted; fetch the file again."
        )
    if part is not None and part.channel is not None:
        if part.channel >= samples.shape[1]:
            raise AudioError(
                f"{path} has {samples.shape[1]} channels, and channel {part.channel} (counted from 0) is meant. "
                f"Mend the channel in the corpus."
            )
        samples = samples[:, part.channel : part.channel + 1]
    bad = np.count_nonzero(~np.isfinite(samples))
    if bad:
        raise AudioError(
            f"{where} holds {bad} samples that are not finite numbers (NaN or infinite), of {samples.size}. "
            f"It was probably written after a division by zero (normalising silence); export it again."
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(mono).max(initial=0.0))
    if peak > _LARGEST:
        raise AudioError(
            f"{path} holds samples as large as {peak:.3g}; audio lies between -1 and 1. They are probably integers stored as floats, "
            f"or damaged: divide them by the largest integer (32768 for 16 bits), or export the recording again."
        )
    if peak < _SILENCE_PEAK:
        cancelled = samples.shape[1] > 1 and float(np.abs(samples).max(initial=0.0)) >= _SILENCE_PEAK
        cause = (
            f"its {samples.shape[1]} channels cancel each other when averaged; export one of them"
            if cancelled
            else "the recording is probably empty; record or export it again, or leave it out"
        )
        raise AudioError(f"{where} is silent: no sample exceeds {_SILENCE_PEAK:g} (the largest is {peak:.1e}). Cause: {cause}.")
    if sampling_rate is not None and rate != sampling_rate:
        import soxr

        mono = soxr.resample(mono, rate, sampling_rate, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def write_part(utterance: Utterance, path: str | Path) -> Path:
    """Write what an utterance takes of its file, and nothing else of it, as a WAV of 16 bits at the file's rate; returns the path.

    Raises
    ------
    AudioError
        As :func:`read_audio`.
    """
    import soundfile

    samples = read_audio(utterance, None)
    soundfile.write(str(path), samples, read_header(utterance.audio).sampling_rate, format="WAV", subtype="PCM_16")
    return Path(path)


def _stretch(path: Path, first: int, count: int) -> np.ndarray:
    """``count`` samples of every channel from the sample ``first`` on, ``(count, channels)``."""
    import soundfile

    with soundfile.SoundFile(str(path)) as file:
        if file.subtype not in _INEXACT:
            file.seek(min(first, file.frames))
            return file.read(count, dtype="float32", always_2d=True)
    state = path.stat()
    return _decoded(path, state.st_mtime_ns, state.st_size)[first : first + count]


@lru_cache(maxsize=1)
def _decoded(path: Path, modified: int, size: int) -> np.ndarray:
    import soundfile

    return soundfile.read(str(path), dtype="float32", always_2d=True)[0]


def audio_digest(utterance: Utterance) -> str:
    """sha256 of what an utterance's samples are made from: the bytes of its file, and which part of it is meant.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if not utterance.is_part:
        return _file_digest(utterance.audio)
    state = utterance.audio.stat()
    whole = _kept_digest(utterance.audio, state.st_mtime_ns, state.st_size)
    part = f"{whole} {utterance.start} {utterance.duration:.6f} {utterance.channel}"
    return hashlib.sha256(part.encode("ascii")).hexdigest()


@lru_cache(maxsize=64)
def _kept_digest(path: Path, modified: int, size: int) -> str:
    return _file_digest(path)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _too_short(path: Path, duration: float) -> str:
    return (
        f"{path} lasts {duration:.3f} s, less than the {MIN_DURATION} s that hold a syllable. "
        f"Is it cut off? Record or fetch it again, or leave it out."
    )


def _why_unreadable(path: Path, error: Exception) -> str:
    try:
        return _fault(path, error)
    except OSError as fault:  # what keeps the file from being looked at: a name too long, a folder without the right to enter
        return f"{path} cannot be opened: {fault.strerror}. Check the path, and that this user may read it."


def _fault(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"{path} does not exist. Mend the path in the manifest or transcript file, or fetch the recording."
    if path.is_dir():
        return f"{path} is a folder, not an audio file. Mend the path in the manifest."
    size = path.stat().st_size
    if size == 0:
        return f"{path} is empty (0 bytes). The copy or download was probably interrupted; fetch the file again."
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"version https://git-lfs"):
        return f"{path} is a Git LFS pointer, not the recording itself. Run `git lfs pull` in its repository."
    if head.startswith(b"NIST_1A") and b"shorten" in head:
        return f"{path} is NIST SPHERE with shorten compression, which libsndfile does not read. Convert it with sph2pipe."
    # one sentence of ours: libsndfile's own may be several
    reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").removeprefix("Error : ").strip().rstrip(".")
    reason = reason.replace(". ", ", ")
    return (
        f"{path} cannot be read as audio: {reason} ({size} bytes). It is truncated, damaged or of a format that libsndfile does "
        f"not know; fetch it again, or convert it to WAV or FLAC."
    )
