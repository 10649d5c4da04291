"""Alignments out and in: TextGrid, ELAN, CSV, JSON, CTM and lhotse alignment items."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.alignment.cache import from_record, to_record
from analysis.alignment.contents import read_contents
from analysis.alignment.textgrid import alignment_of, write_textgrid
from analysis.alignment.types import Alignment
from analysis.errors import AlignmentError
from analysis.timebase import Interval

__all__ = ["FORMATS", "from_lhotse", "read_alignment", "read_ctm", "to_lhotse", "write_alignment", "write_ctm"]

#: File endings of the formats that hold one utterance.
FORMATS = (".TextGrid", ".eaf", ".csv", ".json")

_TIERS = ("words", "phones")


def write_alignment(alignment: Alignment, path: Path | str) -> Path:
    """Write one alignment in the format that the ending names: ``.TextGrid``, ``.eaf`` (ELAN), ``.csv`` or ``.json``.

    ELAN counts whole milliseconds; the others keep the full precision. JSON keeps everything, the others words and phones.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        return write_textgrid(alignment, path)
    if suffix == ".json":
        path.write_text(json.dumps(to_record(alignment), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    elif suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["tier", "start", "end", "label"])
            for tier in _TIERS:
                writer.writerows([tier, repr(one.start), repr(one.end), one.label] for one in getattr(alignment, tier))
    elif suffix == ".eaf":
        _write_elan(alignment, path)
    else:
        raise AlignmentError(f"{path}: no format has the ending {path.suffix!r}. Valid endings: {', '.join(FORMATS)}.")
    return path


def read_alignment(path: Path | str, *, duration: float | None = None) -> Alignment:
    """Read one alignment that :func:`write_alignment` or another program wrote, by its ending.

    Raises
    ------
    AlignmentError
        If the ending is unknown, or the content is no alignment.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".textgrid", ".json", ".csv", ".eaf"):
        raise AlignmentError(f"{path}: no format has the ending {path.suffix!r}. Valid endings: {', '.join(FORMATS)}.")
    try:
        if suffix == ".json" and "tiers" not in (record := json.loads(path.read_text(encoding="utf-8"))):
            return from_record(record, str(path))
        if suffix == ".csv" and (tiers := _read_csv(path)) is not None:
            ends = [one.end for intervals in tiers.values() for one in intervals]
            return Alignment(path.stem, tiers["words"], tiers["phones"], duration or max(ends, default=0.0), suffix[1:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AlignmentError(f"{path} cannot be read as {path.suffix}: {type(error).__name__}: {error}.") from error
    return alignment_of(read_contents(path), path, utterance_id=path.stem, duration=duration, source=suffix[1:])


def _read_csv(path: Path) -> dict[str, tuple[Interval, ...]] | None:
    """Tiers of a table that :func:`write_alignment` wrote; None for MFA's."""
    tiers: dict[str, list[Interval]] = {tier: [] for tier in _TIERS}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        if "Begin" in (rows.fieldnames or ()):
            return None
        for row in rows:
            tiers[row["tier"]].append(Interval(float(row["start"]), float(row["end"]), row["label"]))
    return {tier: tuple(intervals) for tier, intervals in tiers.items()}


def _write_elan(alignment: Alignment, path: Path) -> None:
    from pympi.Elan import Eaf

    document = Eaf(author="")
    document.remove_tier("default")
    for tier in _TIERS:
        document.add_tier(tier)
        for one in getattr(alignment, tier):
            document.add_annotation(tier, round(1000 * one.start), round(1000 * one.end), one.label)
    path.unlink(missing_ok=True)  # the library would keep the old file as a backup
    document.to_file(str(path))


def write_ctm(alignments: Iterable[Alignment], path: Path | str, *, tier: str = "words") -> Path:
    """Write ``utterance channel start duration label [confidence]`` lines, as Kaldi and NIST tools read them.

    Raises
    ------
    AlignmentError
        If an utterance id or a label holds white space, which separates the fields.
    """
    path = Path(path)
    lines = []
    for alignment in alignments:
        scores = alignment.word_confidence if tier == "words" else None
        for i, one in enumerate(getattr(alignment, tier)):
            for text in (alignment.utterance_id, one.label):
                if len(text.split()) != 1:
                    raise AlignmentError(
                        f"{text!r} of utterance {alignment.utterance_id} cannot stand in a CTM file, whose fields are separated by white "
                        f"space. Rename it, or write TextGrid, CSV or JSON."
                    )
            score = f" {scores[i]:.4f}" if scores else ""
            lines.append(f"{alignment.utterance_id} 1 {one.start:.6f} {one.end - one.start:.6f} {one.label}{score}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_ctm(path: Path | str) -> dict[str, tuple[Interval, ...]]:
    """Intervals of each utterance of a CTM file, by utterance id.

    Raises
    ------
    AlignmentError
        If the file cannot be read as UTF-8, or a line has no five fields with two numbers; the line is quoted.
    """
    found: dict[str, list[Interval]] = {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AlignmentError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        try:
            start, length = float(fields[2]), float(fields[3])
            found.setdefault(fields[0], []).append(Interval(start, round(start + length, 6), fields[4]))
        except (IndexError, ValueError) as error:
            raise AlignmentError(
                f"{path}, line {number}: {line!r} is no CTM line. Write: utterance channel start duration label."
            ) from error
    return {name: tuple(sorted(intervals)) for name, intervals in found.items()}


def to_lhotse(alignment: Alignment) -> dict[str, list[Any]]:
    """The alignment as lhotse alignment items, for the ``alignment`` field of a SupervisionSegment: tiers ``word``, ``phone``."""
    from lhotse.supervision import AlignmentItem

    scores = alignment.word_confidence or (None,) * len(alignment.words)
    return {
        "word": [
            AlignmentItem(one.label, one.start, one.end - one.start, score)
            for one, score in zip(alignment.words, scores, strict=True)
        ],
        "phone": [AlignmentItem(one.label, one.start, one.end - one.start) for one in alignment.phones],
    }


def from_lhotse(items: dict[str, list[Any]], utterance_id: str, duration: float) -> Alignment:
    """An alignment from lhotse's alignment items; scores become the words' confidence where every word has one."""
    scores = tuple(item.score for item in items.get("word", ()))
    tiers = [
        tuple(Interval(item.start, item.start + item.duration, item.symbol) for item in items.get(name, ()))
        for name in ("word", "phone")
    ]
    confidence = scores if scores and None not in scores else None
    return Alignment(utterance_id, tiers[0], tiers[1], duration, "lhotse", word_confidence=confidence)
