"""Lhotse: cuts (``cuts.jsonl.gz``), or ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz`` in one folder.

Every supervision with a text is an utterance: the part of its recording that it names. The manifests are read as they are, without
the library. Recordings that are to be changed on the way (speed, volume, resampled copies) and mixed cuts are failures.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.corpus.recording import Recording, corpus_failure, in_corpus
from analysis.errors import CorpusError, Failure

_ENDINGS = (".jsonl.gz", ".jsonl")
_CUTS = frozenset(("MonoCut", "MultiCut", "MixedCut", "PaddingCut"))
# Starts and ends that are this close to the recording's own are its own, s.
_SAME = 0.001


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether it is a file of cuts, or a folder with one, or with recordings and supervisions."""
    return _sources(root) is not None


def _sources(root: Path) -> tuple[Path, ...] | None:
    """The cuts, or recordings and supervisions."""
    if root.is_file():
        return (root,) if root.name.lower().endswith(_ENDINGS) and _is_cut(_first(root)) else None
    listed = sorted(path for path in root.iterdir() if path.name.lower().endswith(_ENDINGS))
    cuts = [path for path in listed if "cuts" in path.name.lower() and _is_cut(_first(path))]
    if cuts:
        return tuple(cuts)
    pair = [[path for path in listed if kind in path.name.lower()] for kind in ("recordings", "supervisions")]
    return (pair[0][0], pair[1][0]) if all(len(found) == 1 for found in pair) else None


def _is_cut(row: Mapping[str, Any]) -> bool:
    return row.get("type") in _CUTS or {"supervisions", "recording", "start"} <= row.keys()


def _first(path: Path) -> Mapping[str, Any]:
    try:
        return next((row for _, row in _rows(path)), {})
    except CorpusError:
        return {}


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and content of each line."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise CorpusError(f"{path}, line {number} is no object with named values. Is it a manifest of lhotse?")
                    yield f"line {number} of {path}", row
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path} cannot be read as a manifest of lhotse: {error}. Write it again.") from error


def read(root: Path) -> Iterator[Recording | Failure]:
    """Utterances in the order of the cuts or supervisions."""
    sources = _sources(root)
    if sources is None:
        raise CorpusError(f"{root} holds no cuts of lhotse, and no recordings and supervisions either. Expected: cuts.jsonl.gz.")
    if not _is_cut(_first(sources[0])):
        recordings = {str(row.get("id")): row for _, row in _rows(sources[0])}
        for place, row in _rows(sources[1]):
            name = str(row.get("id") or place)
            yield in_corpus(name, lambda row=row, place=place: _utterance(recordings, row, 0.0, None, sources[1], place))
        return
    for path in sources:
        for place, cut in _rows(path):
            name = str(cut.get("id") or place)
            if cut.get("type") in ("MixedCut", "PaddingCut"):
                yield corpus_failure(
                    name, f"It is a {cut['type']}, which is no part of one recording.", "Give cuts before they are mixed."
                )
                continue
            recording = cut.get("recording") or {}
            for row in cut.get("supervisions") or ():
                known = {str(row.get("recording_id")): recording}
                yield in_corpus(
                    str(row.get("id") or name),
                    lambda row=row, known=known, cut=cut, path=path, place=place: _utterance(
                        known, row, float(cut["start"]), float(cut["duration"]), path, place
                    ),
                )


def _utterance(
    recordings: Mapping[str, Mapping[str, Any]],
    row: Mapping[str, Any],
    offset: float,
    length: float | None,
    manifest: Path,
    place: str,
) -> Recording | Failure:
    """One supervision, whose times count from ``offset`` in its recording and are cut to ``length``."""
    name = str(row["id"])
    recording = recordings.get(str(row.get("recording_id")))
    if not recording:
        raise CorpusError(f"The recording {row.get('recording_id')!r} of {place} is not listed. Write recordings with it.")
    if recording.get("transforms"):
        raise CorpusError(
            f"The recording {recording.get('id')} is changed on the way ({json.dumps(recording['transforms'])[:80]}). "
            f"Give the manifest of the recordings as they are."
        )
    channel = row.get("channel", 0)
    channels = [channel] if isinstance(channel, int) else list(channel)
    source, inside = _source(recording, channels, place)
    path = Path(source).expanduser()
    if not path.is_absolute():
        # lhotse takes paths from where it runs; manifests are moved together with their recordings
        path = next(
            (folder / path for folder in (manifest.parent, *manifest.parent.parents[:2]) if (folder / path).exists()), path
        )
    start, duration = float(row["start"]), float(row["duration"])
    first = offset + max(start, 0.0)
    last = offset + (start + duration if length is None else min(start + duration, length))
    whole = first < _SAME and last > float(recording.get("duration") or last + 1.0) - _SAME
    extra = {key: str(row[key]) for key in ("language", "gender") if row.get(key)}
    extra |= {key: str(value) for key, value in (row.get("custom") or {}).items() if isinstance(value, str | int | float)}
    return Recording(
        name,
        path.absolute(),
        row.get("text"),
        str(row.get("speaker") or "unknown"),
        extra,
        transcript=place,
        start=None if whole else first,
        end=None if whole else last,
        channel=inside,
    )


def _source(recording: Mapping[str, Any], channels: list[int], place: str) -> tuple[str, int | None]:
    """The file with these channels, and which of its channels is meant; None where it is all of them."""
    for source in recording.get("sources") or ():
        listed = list(source.get("channels") or [0])
        if set(channels) <= set(listed):
            if source.get("type") != "file":
                raise CorpusError(
                    f"The recording of {place} is a {source.get('type')}, not a file. Save it as audio files first "
                    f"(CutSet.save_audios of lhotse)."
                )
            if len(channels) > 1 and len(channels) < len(listed):
                raise CorpusError(f"Channels {channels} of {len(listed)} are meant at {place}. Give one of them, or all.")
            return str(source["source"]), None if len(channels) == len(listed) else listed.index(channels[0])
    raise CorpusError(f"No source of the recording of {place} has the channels {channels}. Mend the manifest.")
