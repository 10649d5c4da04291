"""Make the study: one static page with its media, that runs from a folder or any web server and sends nothing anywhere.

The page never holds a method's name: media are copied under names that say nothing, and which is which stays in ``key.json``,
beside the page's folder and not in it.
"""

from __future__ import annotations

import csv
import hashlib
import html
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from analysis.corpus.audio import read_header, write_part
from analysis.corpus.utterance import Utterance
from analysis.errors import AudioError, FaceError
from analysis.face.study.codec import check_playable

__all__ = ["Item", "make_study", "read_items"]

_VIDEO = {".mp4", ".webm", ".ogv", ".mov", ".m4v"}
_IMAGE = {".gif", ".png", ".jpg", ".jpeg", ".webp", ".apng", ".svg"}
_COLUMNS = ("item", "method_a", "media_a", "method_b", "media_b")


@dataclass(frozen=True)
class Item:
    """One comparison.

    Attributes
    ----------
    name : str
        Unique; the row of the per-item table.
    method_a, method_b : str
    media_a, media_b : Path
        Videos or animated images.
    text : str
        What is said, shown above the pair; may be empty.
    audio : Path, Utterance or None
        Played with both, where the media are silent. Of an utterance that is a part of its file, that part alone is published.
    """

    name: str
    method_a: str
    media_a: Path
    method_b: str
    media_b: Path
    text: str = ""
    audio: Path | Utterance | None = None


def read_items(path: str | Path) -> list[Item]:
    """Comparisons from a .csv with ``item, method_a, media_a, method_b, media_b`` and, where wanted, ``text`` and ``audio``.

    Paths are relative to the file. With ``start`` and ``end`` (seconds) or ``audio_channel`` (from 0), as manifests have them, that part
    of the audio is published and nothing else of it.

    Raises
    ------
    FaceError
        If the file, a column or a medium is missing, an item stands twice, or a medium is of no known kind or has a codec that browsers
        do not play.
    """
    path = Path(path)
    if not path.is_file():
        raise FaceError(f"There is no file {path}. Give a .csv with the columns {', '.join(_COLUMNS)}[, text, audio, start, end, audio_channel].")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise FaceError(f"{path} has no column {', '.join(missing)}. Expected {', '.join(_COLUMNS)}[, text, audio, start, end, audio_channel].")
    if not rows:
        raise FaceError(f"{path} holds no comparison.")
    items = []
    for line, row in enumerate(rows, start=2):
        media = {}
        for column in ("media_a", "media_b", "audio"):
            text = (row.get(column) or "").strip()
            media[column] = path.parent / text if text else None
            if media[column] is not None and not media[column].is_file():
                raise FaceError(f"{path}, line {line}: there is no file {media[column]} (column {column}).")
        for column in ("item", "method_a", "method_b", "media_a", "media_b"):
            if not (row[column] or "").strip():
                raise FaceError(f"{path}, line {line}: column {column} is empty.")
        for column in ("media_a", "media_b"):
            if media[column].suffix.lower() not in _VIDEO | _IMAGE:
                known = ", ".join(sorted(_VIDEO | _IMAGE))
                raise FaceError(
                    f"{path}, line {line}: {media[column].name} is no video or animation a browser shows. Known: {known}."
                )
            if media[column].suffix.lower() in (".mp4", ".mov", ".m4v"):
                try:
                    check_playable(media[column])
                except FaceError as error:
                    raise FaceError(f"{path}, line {line}: {error}") from None
        if row["method_a"].strip() == row["method_b"].strip():
            raise FaceError(f"{path}, line {line}: both sides are of method {row['method_a'].strip()!r}. Compare two methods.")
        if row["item"].strip() in {item.name for item in items}:
            raise FaceError(f"{path}, line {line}: item {row['item'].strip()!r} stands twice. Name every comparison apart.")
        items.append(
            Item(
                row["item"].strip(),
                row["method_a"].strip(),
                media["media_a"],
                row["method_b"].strip(),
                media["media_b"],
                (row.get("text") or "").strip(),
                _sound(media["audio"], row, f"{path}, line {line}"),
            )
        )
    return items


def _sound(path: Path | None, row: Mapping[str, str | None], where: str) -> Path | Utterance | None:
    """The audio of a row: the file, or the part of it that the row's other cells name."""
    cells = {name: (row.get(name) or "").strip() for name in ("start", "end", "audio_channel")}
    if not any(cells.values()):
        return path
    if path is None:
        raise FaceError(f"{where}: {next(name for name in cells if cells[name])} names a part of the audio, and there is none.")
    try:
        header = read_header(path)
        start, end = float(cells["start"] or 0), float(cells["end"] or header.duration)
        channel = int(cells["audio_channel"]) if cells["audio_channel"] else None
    except AudioError as error:
        raise FaceError(f"{where}: {error}") from None
    except ValueError:
        raise FaceError(f"{where}: start and end must be seconds, and audio_channel a whole number from 0.") from None
    if not 0 <= start < end <= header.duration + 0.05:
        raise FaceError(f"{where}: the part from {start:g} to {end:g} s does not lie in {path}, which lasts {header.duration:.3f} s.")
    if channel is not None and not 0 <= channel < header.channels:
        raise FaceError(f"{where}: {path} has no channel {channel}; it has {header.channels}, counted from 0.")
    return Utterance(row["item"] or "", path, "-", "-", end - start, header.sampling_rate, start=start, channel=channel)


def make_study(
    items: Sequence[Item],
    folder: str | Path,
    *,
    title: str = "Which face speaks better?",
    question: str = "In which animation do the lips fit the speech better?",
    attention_checks: int = 2,
    seed: int = 0,
) -> dict[str, Path]:
    """Write the page with its media, and the key.

    Parameters
    ----------
    items : sequence of Item
    folder : str or Path
        ``folder/page/`` is what raters get; ``folder/key.json`` stays with you.
    title, question : str
    attention_checks : int
        Trials that tell the rater which side to choose; those who miss one are left out by the analysis.
    seed : int
        Of the media's names and of which pairs serve as checks. Order and sides are drawn anew for every rater.

    Returns
    -------
    dict
        ``page`` and ``key``.

    Raises
    ------
    FaceError
        If there is no item, or the number of checks is negative.
    """
    if not items:
        raise FaceError("A study needs at least one comparison.")
    if attention_checks < 0:
        raise FaceError(f"{attention_checks} attention checks were asked for; give 0 or more.")
    folder = Path(folder)
    media_folder = folder / "page" / "media"
    media_folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    content = json.dumps([[i.name, i.method_a, i.method_b, i.text, str(i.media_a.name), str(i.media_b.name)] for i in items])
    study = hashlib.sha256(f"{seed}/{title}/{question}/{content}".encode()).hexdigest()[:12]
    used: set[str] = set()

    def publish(source: Path | Utterance | None) -> str:
        if source is None:
            return ""
        part = source if isinstance(source, Utterance) and source.is_part else None
        file = source.audio if isinstance(source, Utterance) else source
        name = ""
        while not name or name in used:
            name = f"{rng.integers(1 << 48):012x}{'.wav' if part else file.suffix.lower()}"
        used.add(name)
        if part:
            write_part(part, media_folder / name)
        else:
            shutil.copyfile(file, media_folder / name)
        return f"media/{name}"

    trials, key, checks = [], {}, {}
    for number, item in enumerate(items):
        sides = [(item.method_a, publish(item.media_a)), (item.method_b, publish(item.media_b))]
        if rng.random() < 0.5:  # so that "first" and "second" in the page say nothing about the methods
            sides.reverse()
        identity = f"i{number:04d}"
        trials.append(
            {"id": identity, "text": item.text, "media": [path for _, path in sides], "audio": publish(item.audio), "check": None}
        )
        key[identity] = {"item": item.name, "methods": [method for method, _ in sides]}
    for number in range(attention_checks):
        like = trials[int(rng.integers(len(items)))]
        side = "left" if (number + int(rng.integers(2))) % 2 else "right"
        trials.append({**like, "id": f"c{number:04d}", "check": side})
        checks[f"c{number:04d}"] = side
    page = {"study": study, "title": title, "question": question, "trials": trials}
    template = resources.files("analysis.face.study").joinpath("page.html").read_text(encoding="utf-8")
    text = template.replace("@TITLE@", html.escape(title)).replace("@STUDY@", _in_script(page))
    path = folder / "page" / "index.html"
    path.write_text(text, encoding="utf-8")
    key_path = folder / "key.json"
    document = {"schema": "analysis.face.study.key", "study": study, "items": key, "checks": checks}
    key_path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    return {"page": path, "key": key_path}


def _in_script(value: object) -> str:
    """JSON that cannot end the script element that holds it, nor be cut by a JavaScript line end."""
    text = json.dumps(value, ensure_ascii=False)
    for mark in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
