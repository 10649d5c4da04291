"""The sound of a report: each utterance once, compressed; a syllable is a stretch of it."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.config import cache_folder
from analysis.engine import available_cores
from analysis.errors import AnalysisError
from analysis.report.model import ReportData

__all__ = ["AUDIO_BUDGET", "Clips", "make_clips"]

logger = logging.getLogger(__name__)

#: Bytes of base64 that may be embedded; beyond it the clips are files in ``audio/`` beside the page.
AUDIO_BUDGET = 15_000_000
SAMPLING_RATE = 16_000
_COMPRESSION = 0.8
# Names kept clips: another way to compress makes others.
_ENCODING = f"mp3 {SAMPLING_RATE} {_COMPRESSION}"
# Start and duration, s, and channel: what an utterance is that is its whole file.
_WHOLE: tuple[float | None, float, float | None] = (None, 0.0, None)


@dataclass(frozen=True)
class Clips:
    """Where each utterance's sound is.

    Attributes
    ----------
    sources : mapping of str to str
        Utterance id to a data URI, or to a path relative to the page.
    embedded : bool
    n_bytes : int
        Size of all clips, compressed.
    missing : dict of str to str
        Utterance id to the reason why it has no sound.
    note : str
        One sentence for the reader.
    """

    sources: dict[str, str] = field(default_factory=dict)
    embedded: bool = True
    n_bytes: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    note: str = ""


def make_clips(report: ReportData, folder: Path, utterances: Iterable[str], *, budget: int = AUDIO_BUDGET) -> Clips:
    """Compressed sound (MP3, mono, 16 kHz) of the named utterances, each once.

    Below ``budget`` bytes of base64 the clips are data URIs; above it they are written to ``folder/audio`` and named by
    relative path. Compressed clips are kept in the user's cache folder, named by the recording's hash. A recording that cannot be read is left out and named in ``missing``.
    """
    table = report.tables.get("utterances")
    if table is None or "audio" not in table:
        return Clips(note="No sound: the report names no audio files.")
    names = table[_id_column(table)].astype(str)
    paths = dict(zip(names, table["audio"], strict=True))
    parts = {}
    if "start" in table:  # of utterances that are parts of a longer recording
        parts = dict(zip(names, table[["start", "duration", "channel"]].itertuples(index=False, name=None), strict=True))
    encoded: dict[str, bytes] = {}
    missing: dict[str, str] = {}
    files: dict[str, Path] = {}
    for utterance in sorted(set(utterances)):
        path = _find(paths.get(utterance), report, folder)
        if path is None:
            missing[utterance] = f"there is no file {paths.get(utterance) or '(no path given)'}"
        else:
            files[utterance] = path
    kept = cache_folder("clips")

    def clip(utterance: str) -> bytes | str:
        return _clip_of(files[utterance], kept, parts.get(utterance, _WHOLE))

    with ThreadPoolExecutor(available_cores()) as pool:  # compression leaves the interpreter to others
        for utterance, made in zip(files, pool.map(clip, files), strict=True):
            if isinstance(made, bytes):
                encoded[utterance] = made
            else:
                missing[utterance] = made
    for utterance, reason in list(missing.items())[:3]:
        logger.warning("no sound for %s: %s", utterance, reason)
    n_bytes = sum(map(len, encoded.values()))
    embedded = n_bytes * 4 / 3 <= budget
    if embedded:
        sources = {u: "data:audio/mpeg;base64," + base64.b64encode(clip).decode() for u, clip in encoded.items()}
    else:
        target = folder / "audio"
        target.mkdir(parents=True, exist_ok=True)
        sources = {}
        for number, (utterance, sound) in enumerate(encoded.items()):
            name = f"{number:05d}.mp3"  # ids may hold what no file name can
            (target / name).write_bytes(sound)
            sources[utterance] = f"audio/{name}"
    return Clips(sources, embedded, n_bytes, missing, _note(len(encoded), n_bytes, embedded, len(missing), budget))


def _id_column(table) -> str:
    return "utterance" if "utterance" in table else "id"


def _note(count: int, n_bytes: int, embedded: bool, missing: int, budget: int) -> str:
    size = f"{n_bytes / 1e6:.1f} MB"
    if not count:
        note = "No sound: none of the audio files could be read."
    elif embedded:
        note = f"Sound of {count} utterances is inside this file ({size} of MP3)."
    else:
        note = (
            f"Sound of {count} utterances ({size} of MP3) is over the budget of {budget / 1e6:.0f} MB for one file: "
            "it lies in the folder audio/ beside this file. Send both."
        )
    return f"{note} {missing} utterances have no sound." if missing and count else note


def _find(path: object, report: ReportData, folder: Path) -> Path | None:
    """The audio file: as it stands, or from the run folder, or from the corpus's own folder."""
    if not isinstance(path, str | Path) or not str(path):
        return None
    roots = [folder, *([Path(str(report.corpus["root"]))] if report.corpus.get("root") else []), Path()]
    return next((root / path for root in roots if (root / path).is_file()), None)


def _clip_of(path: Path, kept: Path, part: tuple[float | None, float, float | None] = _WHOLE) -> bytes | str:
    """The clip, from ``kept`` where these bytes were compressed before; or why there is none."""
    try:
        whole = all(value is None or value != value for value in (part[0], part[2]))
        encoding = _ENCODING if whole else f"{_ENCODING} {part}"
        name = hashlib.sha256(encoding.encode() + path.read_bytes()).hexdigest()
        clip = kept / name[:2] / f"{name}.mp3"
        if clip.is_file():
            return clip.read_bytes()
        compressed = _compressed(path) if whole else _compressed(path, part)
    except (AnalysisError, OSError, RuntimeError, ValueError) as error:  # soundfile raises RuntimeError
        return f"{path.name} cannot be read: {error}"
    try:
        clip.parent.mkdir(exist_ok=True)
        temporary = clip.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        temporary.write_bytes(compressed)
        temporary.replace(clip)
    except OSError as error:  # a full disk costs time next time, not the report
        logger.debug("a clip could not be kept: %s", error)
    return compressed


def _compressed(path: Path, part: tuple[float | None, float, float | None] = _WHOLE) -> bytes:
    import soundfile
    import soxr

    start, duration, channel = part
    with soundfile.SoundFile(str(path)) as file:
        rate, length = file.samplerate, -1
        if start is not None and start == start:  # a table has NaN for None
            file.seek(min(round(start * rate), file.frames))
            length = round(duration * rate)
        samples = file.read(length, dtype="float32", always_2d=True)
    if channel is not None and channel == channel:
        samples = samples[:, int(channel) : int(channel) + 1]
    if not len(samples):
        raise ValueError("it holds no samples")
    mono = np.nan_to_num(samples.mean(axis=1))
    if rate != SAMPLING_RATE:
        mono = soxr.resample(mono, rate, SAMPLING_RATE)
    peak = float(np.abs(mono).max())
    buffer = io.BytesIO()
    mono = mono if peak <= 1 else mono * (0.95 / peak)  # MP3 overshoots a little
    # MP3 plays in every browser, repeats byte for byte (an Ogg stream has a random serial number), and the encoder's delay is
    # written into the file, so that a time in the alignment is the same time in the clip.
    soundfile.write(buffer, mono, SAMPLING_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=_COMPRESSION)
    return buffer.getvalue()
