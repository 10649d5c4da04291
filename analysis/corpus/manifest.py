"""Manifests: tables with one recording a row, read and written one row at a time.

Columns ``path`` and ``transcript`` are needed, ``speaker``, ``id`` and ``alignment`` are understood, all others are kept. The
names that other tools use for them are accepted. Paths are relative to the manifest. With ``start`` and ``end`` (or
``duration``), in seconds, a row is a part of its file.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.corpus.recording import Recording, Seen, corpus_failure, in_corpus, part_id, read_text, stems_are_unique
from analysis.corpus.utterance import Utterance
from analysis.errors import FAILURE_COLUMNS, CorpusError, Failure

__all__ = ["ALIASES", "MANIFEST_SUFFIXES", "Written", "fits", "read", "write_manifest"]

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
#: Names that each column may have, the first present one counts. Compared in lower case.
ALIASES: dict[str, tuple[str, ...]] = {
    "path": (
        *("path", "audio", "audio_path", "audio_filepath", "audio_file", "file_name", "filename", "file", "wav", "wav_path"),
        *("clip", "recording"),
    ),
    "transcript": ("transcript", "text", "sentence", "transcription", "normalized_text", "words", "txt"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
    "id": ("id", "utterance_id", "utt_id", "utterance", "utt", "key"),
    "alignment": ("alignment", "alignment_path", "textgrid", "textgrid_path"),
    "start": ("start", "start_time", "begin", "begin_time", "offset", "onset", "segment_start"),
    "end": ("end", "end_time", "stop", "stop_time", "segment_end"),
    "channel": ("audio_channel",),
}
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")
_FOLDER_NAMES = ("manifest", "metadata")
_BATCH = 4096


@dataclass(frozen=True)
class Written:
    """What :func:`write_manifest` wrote.

    Attributes
    ----------
    path : Path
    n_utterances, n_failures : int
    duration : float
        Of all audio, s.
    failures : Path or None
        CSV file with the failures and warnings, when there are any.
    """

    path: Path
    n_utterances: int
    n_failures: int
    duration: float
    failures: Path | None


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether ``root`` is a manifest, or a folder with a file called ``manifest`` or ``metadata`` that is one."""
    if root.is_file():
        return root.suffix.lower() in MANIFEST_SUFFIXES
    return _in_folder(root) is not None


def _in_folder(root: Path) -> Path | None:
    for name in _FOLDER_NAMES:
        for suffix in MANIFEST_SUFFIXES:
            path = root / (name + suffix)
            if path.is_file() and {"path", "transcript"} <= _columns(path).keys():
                return path
    return None


def _columns(path: Path) -> dict[str, str]:
    """For each of our columns that the manifest has, its name there."""
    try:
        first = next((row for row in read_rows(path) if not isinstance(row, Failure)), {})
    except (CorpusError, OSError):
        return {}
    return _matched(first)


def _matched(row: Mapping[str, Any]) -> dict[str, str]:
    by_lower = {str(name).strip().lower(): name for name in row}
    return {
        ours: next(by_lower[alias] for alias in aliases if alias in by_lower)
        for ours, aliases in ALIASES.items()
        if any(alias in by_lower for alias in aliases)
    }


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings of a manifest, in its order.

    Without an id column, ids are file names without ending; where two recordings share one, all ids are the paths as they
    stand in the manifest, without ending, joined by ``-``.

    Raises
    ------
    CorpusError
        If the table cannot be parsed, is empty, or lacks a needed column.
    """
    path = root if root.is_file() else _in_folder(root)
    if path is None:
        raise CorpusError(
            f"{root} holds no manifest: no file manifest or metadata ({', '.join(MANIFEST_SUFFIXES)}) "
            f"with columns path and transcript."
        )
    rows = read_rows(path)
    before: list[Failure] = []
    first = next(rows, None)
    while isinstance(first, Failure):
        before.append(first)
        first = next(rows, None)
    if first is None and before:
        yield from before
        return
    if first is None:
        raise CorpusError(f"The manifest {path} has no rows. Write one for each recording, below a line with the column names.")
    columns = _matched(first)
    for needed in ("path", "transcript"):
        if needed not in columns:
            raise CorpusError(
                f"The manifest {path} has no column {needed!r}; it has {', '.join(map(repr, first))}. "
                f"Name the column one of: {', '.join(ALIASES[needed])}."
            )
    short, parts = "id" in columns, False
    if not short:
        seen = Seen()
        parts = not all(seen.add(name) for name in _named(path, columns))  # ids then name the part
        short = stems_are_unique(map(Path, _named(path, columns)))
    for number, row in enumerate(chain(before, [first], rows), start=1):
        if isinstance(row, Failure):
            yield row
            continue
        # lines of JSON need not have the same names
        more = {} if row.keys() == first.keys() else {ours: name for ours, name in _matched(row).items() if ours not in columns}
        place = f"row {number} of {path}"
        yield in_corpus(place, partial(_recording, path, place, row, columns | more, short, parts))


def _named(path: Path, columns: Mapping[str, str]) -> Iterator[str]:
    """The files that the rows name."""
    return (str(row.get(columns["path"]) or "") for row in read_rows(path) if not isinstance(row, Failure))


def _recording(
    manifest: Path, place: str, row: Mapping[str, Any], columns: Mapping[str, str], short: bool, parts: bool
) -> Recording | Failure:
    values = {ours: row.get(theirs) for ours, theirs in columns.items()}
    audio = values["path"]
    if isinstance(audio, Mapping):  # an `Audio` column of Hugging Face datasets
        audio = audio.get("path")
        if not audio or not (manifest.parent / str(audio)).exists():
            return corpus_failure(
                place,
                "Its audio is stored inside the table.",
                "Write each recording to a file (`Audio(decode=False)` of datasets gives its bytes) and name the files here.",
            )
    audio = _text(audio).strip()
    if not audio:
        return corpus_failure(place, "It names no audio file.", f"Fill the column {columns['path']!r}, or remove the row.")
    start, end, channel = _part(row, columns, values)
    path = Path(os.path.normpath(manifest.parent / _at_home(audio)))
    extra = {
        str(name): _text(value)
        for name, value in row.items()
        if name is not None and name not in columns.values() and _text(value) != ""
    }
    if start is not None or end is not None:
        extra.pop(_duration_column(row), None)  # of the part, which is known better once its file is
    alignment = _text(values.get("alignment")).strip()
    if alignment:
        extra["alignment"] = os.path.normpath(manifest.parent / _at_home(alignment))
    stem = path.stem if short else "-".join(part for part in Path(audio).with_suffix("").parts if part not in ("/", "..", "."))
    if parts and start is not None:
        stem = part_id(stem, start, end) if end is not None else f"{stem}-{round(1000 * start):07d}"
    utterance = _text(values["id"]).strip() if "id" in columns else stem
    text = values["transcript"]
    speaker = _text(values.get("speaker")).strip() or "unknown"
    text = None if text is None else _text(text)
    return Recording(utterance, path, text, speaker, extra, transcript=place, start=start, end=end, channel=channel)


def _part(
    row: Mapping[str, Any], columns: Mapping[str, str], values: Mapping[str, Any]
) -> tuple[float | None, float | None, int | None]:
    """Start and end in the file, s, and the channel; None for what the row leaves open."""
    start, end = (_seconds(columns.get(name, name), values.get(name)) for name in ("start", "end"))
    if start is not None and end is None:
        name = _duration_column(row)
        length = _seconds(name, row.get(name))
        end = None if length is None else start + length
    channel = _text(values.get("channel")).strip()
    if channel and not re.fullmatch(r"\d+(\.0*)?", channel):
        raise CorpusError(f"Its {columns['channel']} is {channel!r}. Write the number of the channel, counted from 0.")
    return start, end, int(float(channel)) if channel else None


def _duration_column(row: Mapping[str, Any]) -> str:
    return next((str(name) for name in row if str(name).strip().lower() == "duration"), "duration")


def _seconds(column: str, value: Any) -> float | None:
    """Seconds, or ``minutes:seconds`` or ``hours:minutes:seconds``; None for an empty cell."""
    text = _text(value).strip()
    if not text:
        return None
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)
    if _is_number(text):
        return float(text)
    raise CorpusError(f"Its {column} is {text!r}. Write seconds from the start of the file, such as 12.5, or 0:12.5.")


def _at_home(path: str) -> Path:
    """The path with ``~`` written out; as it stands where that names no user of this machine."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_rows(path: Path) -> Iterator[dict[str, Any] | Failure]:
    """Rows of a table by column name, and a failure for each that cannot be told apart from the one beside it.

    Raises
    ------
    CorpusError
        If the table as a whole cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(path)
    elif suffix in (".jsonl", ".ndjson", ".json"):
        yield from _json_rows(path)
    else:
        yield from _delimited_rows(path, "\t" if suffix == ".tsv" else ",")


def _delimited_rows(path: Path, delimiter: str) -> Iterator[dict[str, Any] | Failure]:
    with path.open("rb") as file:
        mark = file.read(2)
    encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # Transcripts in TSV files hold quotation marks that open nothing (Common Voice says so).
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if delimiter == "," and len(header) == 1 and header[0].count(";") >= 1:
                raise CorpusError(
                    f"The columns of {path} are separated by semicolons. Save it with commas, or with tabs as .tsv."
                )
            before = reader.line_num
            while (row := _next_row(path, reader, before)) is not None:
                before = reader.line_num
                if isinstance(row, Failure):
                    yield row
                elif any(row[len(header) :]):  # empty cells at the end are what spreadsheets write
                    yield _too_many_cells(path, before, len(row), len(header), delimiter)
                elif row:
                    yield dict(zip(header, row + [None] * (len(header) - len(row)), strict=False))
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
        except csv.Error as error:
            raise CorpusError(
                f"{path}, line {reader.line_num} cannot be parsed: {error}. Quotation marks inside a field are doubled in CSV."
            ) from error


def _next_row(path: Path, reader: Any, before: int) -> list[str] | Failure | None:
    """The next row, None at the end; a failure for a row that is faulty within its own line."""
    try:
        return next(reader, None)
    except csv.Error as error:
        # where an open quotation mark has swallowed lines, nobody knows where rows begin
        if reader.line_num != before + 1 or "unexpected end of data" in str(error):
            raise
        reason = f"It cannot be parsed: {error}."
        return corpus_failure(f"line {reader.line_num} of {path}", reason, "Double the quotation marks inside a field.")


def _too_many_cells(path: Path, line: int, cells: int, columns: int, delimiter: str) -> Failure:
    return corpus_failure(
        f"line {line} of {path}",
        f"It has {cells} cells and the first line names {columns} columns, so text may stand in the wrong one.",
        "Put a text with commas in quotation marks." if delimiter == "," else "Take the tabs out of the text.",
    )


def _json_rows(path: Path) -> Iterator[dict[str, Any] | Failure]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            if file.read(1) == "[":
                entries = _parsed(read_text(path))
                if isinstance(entries, str):
                    raise CorpusError(f"{path} is not JSON: {entries}. Write one object a line.")
                unit, rows = "entry", enumerate([None if isinstance(row, str) else row for row in entries], start=1)
            else:
                file.seek(0)
                unit, rows = "line", ((number, _parsed(line)) for number, line in enumerate(file, start=1) if line.strip())
            for number, row in rows:
                if isinstance(row, dict):
                    yield row
                    continue
                fault = f"It is not JSON: {row}." if isinstance(row, str) else "It is no object with named values."
                yield corpus_failure(f"{unit} {number} of {path}", fault, "Write one object a line.")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error


def _parsed(text: str) -> Any:
    """What a text means as JSON; a string says why it means nothing (strings themselves are no rows)."""
    try:
        found = json.loads(text.strip().removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        return f"{error.msg} at column {error.colno}"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None if isinstance(found, str) else found


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError, OSError) as error:
        raise CorpusError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}. It is incomplete or of another kind; write it again."
        ) from error


def write_manifest(items: Iterable[Utterance | Failure], path: str | Path) -> Written:
    """Write utterances to a manifest as they come, in flat memory; failures go to ``<name>.failures.csv`` beside it.

    Parameters
    ----------
    items : iterable of Utterance or Failure
        Such as :func:`analysis.corpus.iter_corpus` yields.
    path : path
        Ends in .csv, .tsv, .jsonl or .parquet. Audio below its folder is named relative to it, other audio absolutely.
        The file appears when it is complete.

    Raises
    ------
    CorpusError
        If the ending is none of these.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".parquet"):
        raise CorpusError(f"A manifest ends in .csv, .tsv, .jsonl or .parquet, not {path.suffix!r} ({path}).")
    path.parent.mkdir(parents=True, exist_ok=True)
    parent = Path(os.path.abspath(path.parent))
    failures = path.with_name(path.stem + ".failures.csv")
    columns = dict.fromkeys(("id", "path", "transcript", "speaker", "duration", "sampling_rate"))
    n_utterances, n_failures, n_rows, duration = 0, 0, 0, 0.0
    # Which columns there are is known at the end only, so rows wait on disk rather than in memory.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=parent) as spool,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=parent) as failed,
    ):
        rejects = csv.DictWriter(failed, FAILURE_COLUMNS, lineterminator="\n")
        rejects.writeheader()
        for item in items:
            if isinstance(item, Failure):
                n_failures += item.severity == "error"
                n_rows += 1
                rejects.writerow(item.as_row())
                continue
            row = _row(item, parent)
            columns.update(dict.fromkeys(row))
            spool.write(json.dumps(row, ensure_ascii=False) + "\n")
            n_utterances += 1
            duration += item.duration
        spool.seek(0)
        failed.seek(0)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            _write_rows(map(json.loads, spool), list(columns), part, suffix)
            if n_rows:
                failures.write_text(failed.read(), encoding="utf-8")
            else:
                failures.unlink(missing_ok=True)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return Written(path, n_utterances, n_failures, duration, failures if n_rows else None)


def _row(utterance: Utterance, parent: Path) -> dict[str, Any]:
    extra = dict(utterance.extra)
    if "alignment" in extra:
        extra["alignment"] = _relative(Path(extra["alignment"]), parent)
    if utterance.start is not None:
        extra |= {"start": round(utterance.start, 6), "end": round(utterance.end, 6)}
    if utterance.channel is not None:
        extra["audio_channel"] = utterance.channel
    # A manifest that was read before keeps its own columns, except for what is known better now.
    return extra | {
        "id": utterance.id,
        "path": _relative(utterance.audio, parent),
        "transcript": utterance.text,
        "speaker": utterance.speaker,
        "duration": round(utterance.duration, 6),
        "sampling_rate": utterance.sampling_rate,
    }


def _relative(path: Path, parent: Path) -> str:
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(parent) if absolute.is_relative_to(parent) else absolute)


def _write_rows(rows: Iterable[dict[str, Any]], columns: list[str], path: Path, suffix: str) -> None:
    if suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        kinds = dict.fromkeys(("duration", "start", "end"), pyarrow.float64())
        kinds |= dict.fromkeys(("sampling_rate", "audio_channel"), pyarrow.int32())
        schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in columns])
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            batch: list[dict[str, Any]] = []
            for row in rows:
                batch.append(row)
                if len(batch) == _BATCH:
                    writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
                    batch = []
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        with path.open("w", encoding="utf-8", newline="") as file:
            if delimiter == "\t":  # read back without quoting, as Common Voice writes it
                file.write("\t".join(columns) + "\n")
                file.writelines("\t".join(_cell(row.get(name, "")) for name in columns) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
                writer.writeheader()
                writer.writerows(rows)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)
