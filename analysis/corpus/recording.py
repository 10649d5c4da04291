"""What a reader finds before anything was checked, and the one place where it becomes an Utterance or a Failure."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from analysis.corpus.audio import MIN_DURATION, AudioHeader, is_audio, read_header
from analysis.corpus.utterance import Utterance
from analysis.errors import AnalysisError, AudioError, CorpusError, Failure

__all__ = ["Recording", "Seen", "corpus_failure", "failure_of", "part_id", "read_text", "stems_are_unique", "tree", "validated"]

# Times in tables are rounded: ends this far behind the file's own are taken for it, s.
_PAST_THE_END = 0.05
# A part that leaves out less than this at either end is the whole file, s.
_WHOLE = 0.01


@dataclass(frozen=True)
class Recording:
    """One entry of a corpus as its files state it.

    Attributes
    ----------
    id : str
    audio : Path
    text : str or None
        None when no transcript was found.
    speaker : str
    extra : mapping of str to str
    transcript : str
        Where the transcript stands, or should stand: for the remedy when it is missing or empty.
    start, end : float or None
        The part of the file that is meant, s; None for its start and its end.
    channel : int or None
        The channel that is meant, from 0; None for all.
    """

    id: str
    audio: Path
    text: str | None
    speaker: str
    extra: Mapping[str, str] = field(default_factory=dict)
    transcript: str = ""
    start: float | None = None
    end: float | None = None
    channel: int | None = None


class Seen:
    """The strings met so far, 8 bytes each in a table at most two thirds full: 281,241 ids take 4 MB.

    Strings count as equal when 64 bits of their hash are; among a million different ids, that happens to any two of them
    with a probability of 3 in 100 million.
    """

    def __init__(self) -> None:
        self._table = np.zeros(1024, dtype=np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Note ``text``; True when it is new."""
        # 0 marks a free place
        key = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1
        if not self._place(key):
            return False
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            keys = self._table[self._table != 0]
            self._table = np.zeros(2 * len(self._table), dtype=np.uint64)
            for old in keys.tolist():
                self._place(old)
        return True

    def _place(self, key: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        place = key & mask
        while (found := int(table[place])) != 0:
            if found == key:
                return False
            place = (place + 1) & mask
        table[place] = key
        return True


def corpus_failure(item: str, reason: str, remedy: str) -> Failure:
    """A row of the failures table for something left out while a corpus was read."""
    return Failure(stage="corpus", item=item, reason=reason, remedy=remedy)


def failure_of(item: str, error: AnalysisError) -> Failure:
    """The row for an error, whose first sentence says what is wrong and whose others say what to do."""
    reason, _, remedy = str(error).partition(". ")
    return corpus_failure(item, reason.rstrip(".") + ".", remedy)


def validated(recordings: Iterable[Recording | Failure]) -> Iterator[Utterance | Failure]:
    """Utterances whose transcript exists, whose audio has a readable header and whose id is new text; failures for the others."""
    ids = Seen()
    for recording in recordings:
        if isinstance(recording, Failure):
            yield _as_text_failure(recording)
            continue
        place = f" in {recording.transcript}" if recording.transcript else ""
        if not _is_text(f"{recording.id}{recording.audio}"):
            # no table, report or library takes such a name, and one of them must not stop a corpus
            yield corpus_failure(
                _as_text(recording.id),
                f"The name of {_as_text(str(recording.audio))} is not UTF-8.",
                "Rename it, with convmv -f latin1 -t utf8 --notest for example.",
            )
        elif not recording.id:
            yield corpus_failure(str(recording.audio), "It has no id.", f"Give it one{place}.")
        elif not ids.add(recording.id):
            yield corpus_failure(
                recording.id,
                f"The id occurs twice; the second one is {recording.audio}.",
                "Rename one of the two, or remove the repeated entry; the first is kept.",
            )
        elif recording.text is None:
            yield corpus_failure(recording.id, f"{recording.audio} has no transcript.", f"Write its words{place}.")
        elif not recording.text.strip():
            yield corpus_failure(
                recording.id, f"The transcript of {recording.audio} is empty.", f"Write its words{place}, or leave it out."
            )
        else:
            yield _utterance(recording)


def _is_text(name: str) -> bool:
    """Whether a name can be written: Python carries bytes of file names that are not UTF-8 as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _as_text(name: str) -> str:
    """The name with its stray bytes shown as ``\\xfc``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _as_text_failure(failure: Failure) -> Failure:
    if _is_text(failure.item + failure.reason):
        return failure
    return replace(failure, item=_as_text(failure.item), reason=_as_text(failure.reason), remedy=_as_text(failure.remedy))


def _utterance(recording: Recording) -> Utterance | Failure:
    try:
        header = read_header(recording.audio)
        start, duration = _part(recording, header)
        return Utterance(
            id=recording.id,
            audio=recording.audio,
            text=" ".join((recording.text or "").split()),
            speaker=recording.speaker,
            duration=duration,
            sampling_rate=header.sampling_rate,
            extra=recording.extra,
            start=start,
            channel=recording.channel,
        )
    except (AudioError, CorpusError) as error:
        return failure_of(recording.id, error)


def part_id(stem: str, start: float, end: float) -> str:
    """Name of a part of a recording: that of the recording, and where it starts and ends in milliseconds."""
    return f"{stem}-{round(1000 * start):07d}-{round(1000 * end):07d}"


def _part(recording: Recording, header: AudioHeader) -> tuple[float | None, float]:
    """Start and length of what is meant, s; None for the start where it is the whole file."""
    if recording.channel is not None and not 0 <= recording.channel < header.channels:
        raise CorpusError(
            f"Channel {recording.channel} (counted from 0) of {recording.audio} is meant, which has {header.channels}. "
            f"Mend the channel{_in(recording)}."
        )
    if recording.start is None and recording.end is None:
        return None, header.duration
    start = recording.start or 0.0
    end = header.duration if recording.end is None else recording.end
    outside = ("starts", start) if start >= header.duration else ("ends", end)
    if outside[1] > header.duration + _PAST_THE_END:
        raise CorpusError(
            f"It {outside[0]} at {outside[1]:g} s of {recording.audio}, which lasts {header.duration:.3f} s. "
            f"Mend the times{_in(recording)}; where they are times in another recording, rename their columns."
        )
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end <= start:
        raise CorpusError(
            f"It runs from {start:g} to {end:g} s of {recording.audio}. "
            f"Give start and end in seconds from the file's start{_in(recording)}."
        )
    end = min(end, header.duration)
    if end - start < MIN_DURATION:
        raise CorpusError(
            f"It lasts {max(end - start, 0.0):.3f} s, less than the {MIN_DURATION} s that hold a syllable. "
            f"Mend its times{_in(recording)}, or leave it out."
        )
    if start < _WHOLE and header.duration - end < _WHOLE:
        return None, header.duration
    return start, end - start


def _in(recording: Recording) -> str:
    return f" in {recording.transcript}" if recording.transcript else ""


def tree(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders under ``root`` with the names of their files, both in sorted order, one folder in memory at a time."""
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names.sort()
        yield Path(folder), names


def stems_are_unique(paths: Iterable[Path]) -> bool:
    """Whether no two different audio files share a name without folder and ending, so that it can serve as id."""
    files, stems = Seen(), Seen()
    return all(stems.add(path.stem) for path in paths if is_audio(path) and files.add(str(path)))


def read_text(path: Path) -> str:
    """Text of a small file in UTF-8 (with or without mark), UTF-16 with mark, or else Latin-1."""
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
