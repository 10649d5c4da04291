"""What a reader finds before anything was checked, and the one place where it becomes an Utterance or a Failure."""

from __future__ import annotations

import hashlib
import math
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from analysis.corpus.audio import MIN_DURATION, AudioHeader, is_audio, read_header
from analysis.corpus.utterance import Utterance
from analysis.errors import AnalysisError, CorpusError, Failure
from analysis.guard import failure_row

__all__ = [
    "Recording",
    "Seen",
    "corpus_failure",
    "failure_of",
    "in_corpus",
    "is_folder",
    "part_id",
    "read_text",
    "stems_are_unique",
    "tree",
    "validated",
]

Found = TypeVar("Found")

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


def composed(name: str) -> str:
    """A name in Unicode's composed form: file names from a Mac are decomposed, transcripts and tables seldom are."""
    return unicodedata.normalize("NFC", name)


def _on_disk(path: Path) -> Path:
    """The path, or the one that differs from it in the form of its accents alone, where only that exists."""
    if str(path).isascii() or path.exists():
        return path
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((form for form in forms if form.exists()), path)


def corpus_failure(item: str, reason: str, remedy: str) -> Failure:
    """A row of the failures table for something left out while a corpus was read."""
    return Failure(stage="corpus", item=item, reason=reason, remedy=remedy)


def failure_of(item: str, error: AnalysisError) -> Failure:
    """The row for an error, whose first sentence says what is wrong and whose others say what to do."""
    reason, _, remedy = str(error).partition(". ")
    return corpus_failure(item, reason.rstrip(".") + ".", remedy)


def in_corpus(item: str, step: Callable[[], Found]) -> Found | Failure:
    """``step()``, or the row for what it raised: what readers do once a recording runs through here."""
    try:
        return step()
    except AnalysisError as error:
        return failure_of(item, error)
    except Exception as error:
        return failure_row("corpus", item, error)


def validated(recordings: Iterable[Recording | Failure]) -> Iterator[Utterance | Failure]:
    """Utterances whose transcript exists, whose audio has a readable header and whose id is new text; failures for the others."""
    ids = Seen()
    for recording in recordings:
        found: Utterance | Failure
        if isinstance(recording, Failure):
            found = recording
        else:
            found = in_corpus(recording.id or str(recording.audio), lambda one=recording: _checked(one))
            # only a recording that can be used takes its id: of a bad and a good one of the same name the good one is kept
            if isinstance(found, Utterance) and not ids.add(found.id):
                found = corpus_failure(
                    found.id,
                    f"The id occurs twice; the second one is {found.audio}.",
                    "Rename one of the two, or remove the repeated entry; the first is kept.",
                )
        yield _as_text_failure(found) if isinstance(found, Failure) else found


def _checked(recording: Recording) -> Utterance | Failure:
    place = f" in {recording.transcript}" if recording.transcript else ""
    if not _is_text(f"{recording.id}{recording.audio}"):
        # no table, report or library takes such a name, and one of them must not stop a corpus
        return corpus_failure(
            _as_text(recording.id),
            f"The name of {_as_text(str(recording.audio))} is not UTF-8.",
            "Rename it, with convmv -f latin1 -t utf8 --notest for example.",
        )
    if not recording.id:
        return corpus_failure(str(recording.audio), "It has no id.", f"Give it one{place}.")
    if recording.text is None:
        return corpus_failure(recording.id, f"{recording.audio} has no transcript.", f"Write its words{place}.")
    if not recording.text.strip():
        return corpus_failure(
            recording.id, f"The transcript of {recording.audio} is empty.", f"Write its words{place}, or leave it out."
        )
    if _no_text("".join((recording.id, recording.text, recording.speaker, *recording.extra, *recording.extra.values()))):
        return _not_text(recording, place)
    return _utterance(recording)


def _not_text(recording: Recording, place: str) -> Failure:
    written = {"id": recording.id, "transcript": recording.text or "", "speaker": recording.speaker, **recording.extra}
    name, fault = next((name, fault) for name, value in written.items() if (fault := _no_text(name + value)))
    return corpus_failure(
        recording.id.replace("\0", "\\0"), f"Its {name} holds {fault}.", f"Write it again{place}; the file may be damaged."
    )


def _no_text(value: str) -> str:
    """What in a value no text file holds, or nothing."""
    if "\0" in value:
        return "a NUL character"
    return "" if _is_text(value) else "half a character (a lone surrogate), which UTF-8 cannot write"


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


def _utterance(recording: Recording) -> Utterance:
    audio, extra = _on_disk(recording.audio), dict(recording.extra)
    if "alignment" in extra:
        extra["alignment"] = str(_on_disk(Path(extra["alignment"])))
    header = read_header(audio)
    start, duration = _part(recording, header)
    return Utterance(
        id=recording.id,
        audio=audio,
        text=" ".join((recording.text or "").split()),
        speaker=recording.speaker,
        duration=duration,
        sampling_rate=header.sampling_rate,
        extra=extra,
        start=start,
        channel=recording.channel,
    )


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


def tree(root: Path, lost: list[Failure] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Folders under ``root`` with the names of their files, both in sorted order, one folder in memory at a time.

    Each real folder comes once, under its own name where it has one below ``root``: what is reached through links alone comes
    after the rest, so that no link to a folder above repeats a corpus. Folders that cannot be read are noted in ``lost``.
    """
    seen: set[tuple[int, int]] = set()
    links = [Path(root)]
    while links:
        later: list[Path] = []
        for link in links:
            yield from _below(link, seen, later, lost)
        links = later


def _below(
    root: Path, seen: set[tuple[int, int]], links: list[Path], lost: list[Failure] | None
) -> Iterator[tuple[Path, list[str]]]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, _kind(entry)) for entry in entries)
        except OSError as error:
            if lost is not None:
                lost.append(
                    corpus_failure(
                        str(folder),
                        f"The folder cannot be read: {error.strerror}.",
                        "Give this user the right to, or move it away.",
                    )
                )
            continue
        links += [folder / name for name, kind in listed if kind == "link" and not name.startswith(".")]
        yield folder, [name for name, kind in listed if kind == "file"]
        waiting += [folder / name for name, kind in reversed(listed) if kind == "folder" and not name.startswith(".")]


def _kind(entry: os.DirEntry[str]) -> str:
    return "file" if not is_folder(entry) else "link" if entry.is_symlink() else "folder"


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; links in a circle are not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def stems_are_unique(paths: Iterable[Path]) -> bool:
    """Whether no two different audio files share a name without folder and ending, so that it can serve as id."""
    files, stems = Seen(), Seen()
    return all(stems.add(path.stem) for path in paths if is_audio(path) and files.add(str(path)))


def read_text(path: Path) -> str:
    """Text of a small file in UTF-8 (with or without mark), UTF-16 with mark, or else Latin-1.

    Raises
    ------
    CorpusError
        If a file that is marked as UTF-16 is not.
    """
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path} is not UTF-16 as its mark says (byte {error.start}). Save it as UTF-8.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
