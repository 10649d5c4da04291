"""What is in a TextGrid, tier by tier, whatever its dialect: content apart from meaning.

Three readers are tried: the ``textgrid`` package, ``praatio``, and the lenient reader here, which takes whatever Praat takes.
The first that gives as many tiers and entries as the file itself announces is believed.
"""

from __future__ import annotations

import codecs
import math
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AlignmentError

__all__ = ["TextGridContent", "Tier", "read_tiers", "tiers_as_data", "write_tiers"]


@dataclass(frozen=True)
class Tier:
    """One tier as it stands in the file: nothing mended, nothing left out.

    Attributes
    ----------
    name : str
    interval : bool
        Interval tier, or point tier.
    entries : tuple of (start, end, label) or of (time, label)
        Seconds.
    """

    name: str
    interval: bool
    entries: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class TextGridContent:
    """A TextGrid's tiers.

    Attributes
    ----------
    xmin, xmax : float
        Seconds.
    tiers : tuple of Tier
    reader : str
        ``textgrid``, ``praatio`` or ``lenient``: which reader took it.
    """

    xmin: float
    xmax: float
    tiers: tuple[Tier, ...]
    reader: str = ""


def read_tiers(path: Path | str) -> TextGridContent:
    """The tiers of a TextGrid: long or short form, UTF-8, UTF-16 of either order or Latin-1, any line ends.

    Raises
    ------
    AlignmentError
        If the file is missing, empty, binary, or no TextGrid.
    """
    path = Path(path)
    text = _text(path)
    lenient = _lenient(text, path)
    # The others read well-formed files; what they misread (a line end inside a label, a colon in a name) shows in the counts.
    for name, reader in (("textgrid", _with_textgrid), ("praatio", _with_praatio)):
        content = _tried(reader, path, text)
        if content is not None and _agree(content, lenient):
            return TextGridContent(content.xmin, content.xmax, content.tiers, name)
    return lenient


def tiers_as_data(content: TextGridContent) -> dict[str, Any]:
    """The content as plain JSON data: ``{"xmin", "xmax", "tiers": [{"name", "interval", "entries"}]}``."""
    return {
        "xmin": content.xmin,
        "xmax": content.xmax,
        "tiers": [
            {"name": tier.name, "interval": tier.interval, "entries": [list(entry) for entry in tier.entries]}
            for tier in content.tiers
        ],
    }


# -- bytes to text ---------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AlignmentError(f"The TextGrid {path} cannot be read: {error.strerror or error}.") from error
    if not data.strip(b"\0 \t\r\n"):
        raise AlignmentError(f"The TextGrid {path} is empty. Write it again from the program that made it.")
    if data.startswith(b"ooBinaryFile"):
        raise AlignmentError(
            f"{path} is a binary TextGrid, which only Praat reads. Open it in Praat and choose Save > Save as text file..."
        )
    return re.sub(r"\r\n?", "\n", _decoded(data))


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if data[1:2] == b"\0":  # without a byte order mark: the header is ASCII, so its zero bytes tell the order
        return data.decode("utf-16-le", errors="replace")
    if data[:1] == b"\0":
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


# -- the lenient reader ----------------------------------------------------------------------------------------------------

# Praat reads free-standing numbers, quoted texts and <flags>; whatever else stands in the file (names, indices, comments) is for
# people. A quote inside a text is doubled.
_TOKEN = re.compile(
    r"""(?<![^\s\[(=:])(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|--undefined--)%?(?=[\s,;]|$)"""
    r"""|"(?P<text>(?:[^"]|"")*)"|<(?P<flag>[^<>\n]*)>|!(?P<comment>[^\n]*)"""
)
# No bracket inside: each is then looked at once, however many are never closed.
_INDEX = re.compile(r"\[[^\[\]\n\"]*\]")


def _tokens(text: str) -> list[float | str]:
    """Numbers as floats; texts with a leading quote, flags with a leading angle bracket."""
    found: list[float | str] = []
    position = 0
    pattern = re.compile(r"\"(?:[^\"]|\"\")*\"|[^\"]+")
    for piece in pattern.finditer(text):
        chunk = piece[0]
        position = piece.end()
        if chunk.startswith('"'):
            found.append('"' + chunk[1:-1].replace('""', '"'))
            continue
        chunk = _INDEX.sub(" ", chunk)
        for match in _TOKEN.finditer(chunk):
            if match["number"] is not None:
                found.append(float("nan") if match["number"].startswith("--") else float(match["number"]))
            elif match["flag"] is not None:
                found.append("<" + match["flag"])
    if position < len(text) and text[position:].strip():
        found.append('"' + text[position + 1 :])  # a text that is never closed: what is there of it
    return found


def _lenient(text: str, path: Path) -> TextGridContent:
    tokens = _tokens(text)
    strings = [token for token in tokens[:2] if isinstance(token, str)]
    if not tokens or not text.lstrip().startswith(("File type", '"ooTextFile')) or '"TextGrid' not in strings:
        start = text.strip().splitlines()[0][:60] if text.strip() else ""
        raise AlignmentError(f'{path} is no TextGrid: it starts with {start!r}. TextGrids start with: File type = "ooTextFile".')
    rest = iter(tokens[tokens.index('"TextGrid') + 1 :])

    def number(what: str) -> float:
        token = next(rest, None)
        if not isinstance(token, float):
            found = "the end of the file" if token is None else repr(token.lstrip('"'))
            raise AlignmentError(f"The TextGrid {path} is incomplete: {what} should follow and there is {found}.")
        return token

    def string(what: str) -> str:
        token = next(rest, None)
        if not isinstance(token, str) or token.startswith("<"):
            found = "the end of the file" if token is None else repr(token)
            raise AlignmentError(f"The TextGrid {path} is incomplete: {what} should follow and there is {found}.")
        return token[1:]

    def count(what: str) -> int:
        found = number(what)
        if not 0 <= found <= len(tokens):  # NaN is in no range
            raise AlignmentError(
                f"The TextGrid {path} is damaged: {what} is {found:g}, and {len(tokens)} values stand in the file."
            )
        return int(found)

    def time(what: str) -> float:
        found = number(what)
        if not math.isfinite(found):
            raise AlignmentError(
                f"The TextGrid {path} is damaged: {what} is {found}. Open it in Praat, mend the time and save it."
            )
        return found

    xmin, xmax = time("the start time"), time("the end time")
    flag = next(rest, None)
    n_tiers = count("the number of tiers") if flag == "<exists" else 0
    tiers = []
    for i in range(n_tiers):
        kind = string(f"the class of tier {i + 1} of {n_tiers}")
        name = string(f"the name of tier {i + 1} of {n_tiers}")
        number(f"the start of tier {name!r}")
        number(f"the end of tier {name!r}")
        n_entries = count(f"the number of entries of tier {name!r}")
        entries: list[tuple[Any, ...]] = []
        for j in range(n_entries):
            place = f"entry {j + 1} of {n_entries} in tier {name!r}"
            if kind == "IntervalTier":
                entries.append((time(f"the start of {place}"), time(f"the end of {place}"), string(f"the text of {place}")))
            elif kind == "TextTier":
                entries.append((time(f"the time of {place}"), string(f"the mark of {place}")))
            else:
                raise AlignmentError(f"The TextGrid {path} has a tier of the class {kind!r}, not IntervalTier or TextTier.")
        tiers.append(Tier(name, kind == "IntervalTier", tuple(entries)))
    return TextGridContent(xmin, xmax, tuple(tiers), "lenient")


# -- the packages ----------------------------------------------------------------------------------------------------------


def _tried(reader: Callable[[str], TextGridContent], path: Path, text: str) -> TextGridContent | None:
    # The text is handed over as UTF-8 with Unix line ends: decoding is settled, and the packages open files by name.
    with tempfile.NamedTemporaryFile("w", suffix=".TextGrid", encoding="utf-8", newline="\n", delete=False) as stream:
        stream.write(text)
    try:
        return reader(stream.name)
    except Exception:  # whatever a package raises at a file that it does not take, another reader may take it
        return None
    finally:
        Path(stream.name).unlink(missing_ok=True)


def _with_textgrid(name: str) -> TextGridContent:
    import logging

    import textgrid

    grid = textgrid.TextGrid(strict=False)
    # It tells overlaps to the root logger, and so sets up a handler for the whole program; here they become warnings of the file.
    root, enough = logging.getLogger(), logging.NullHandler()
    root.addHandler(enough)
    root.addFilter(_not_from_textgrid)
    try:
        grid.read(name, round_digits=15, encoding="utf-8")
    finally:
        root.removeFilter(_not_from_textgrid)
        root.removeHandler(enough)
    tiers = tuple(
        Tier(tier.name, True, tuple((float(entry.minTime), float(entry.maxTime), entry.mark) for entry in tier))
        if isinstance(tier, textgrid.IntervalTier)
        else Tier(tier.name, False, tuple((float(entry.time), entry.mark) for entry in tier))
        for tier in grid
    )
    return TextGridContent(float(grid.minTime), float(grid.maxTime), tiers)


def _not_from_textgrid(record: Any) -> bool:
    return record.module != "textgrid"


def _with_praatio(name: str) -> TextGridContent:
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier

    grid = textgrid.openTextgrid(name, includeEmptyIntervals=True, reportingMode="error", duplicateNamesMode="error")
    tiers = []
    for tier in grid.tiers:
        if isinstance(tier, IntervalTier):
            entries = tuple((float(entry.start), float(entry.end), entry.label) for entry in tier.entries)
        else:
            entries = tuple((float(entry.time), entry.label) for entry in tier.entries)
        tiers.append(Tier(tier.name, isinstance(tier, IntervalTier), entries))
    return TextGridContent(float(grid.minTimestamp), float(grid.maxTimestamp), tuple(tiers))


def _agree(content: TextGridContent, lenient: TextGridContent) -> bool:
    """Whether a package read the same as stands in the file: tiers, counts, times and labels."""
    if len(content.tiers) != len(lenient.tiers):
        return False
    for ours, theirs in zip(lenient.tiers, content.tiers, strict=True):
        if (ours.name, ours.interval, len(ours.entries)) != (theirs.name, theirs.interval, len(theirs.entries)):
            return False
        for left, right in zip(ours.entries, theirs.entries, strict=True):
            if left[-1] != right[-1] or any(abs(a - b) > 1e-9 for a, b in zip(left[:-1], right[:-1], strict=True)):
                return False
    return True


# -- writing ---------------------------------------------------------------------------------------------------------------


def _seconds(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def write_tiers(tiers: Iterable[Tier], path: Path | str, *, xmax: float, xmin: float = 0.0) -> Path:
    """Write a TextGrid in the long form, UTF-8, which every program reads (MFA and others refuse the short form).

    Interval tiers are written without gaps, as Praat needs: what lies between intervals becomes an empty one.

    Raises
    ------
    AlignmentError
        If intervals overlap or a label's interval has no length.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", f"xmin = {_seconds(xmin)}", f"xmax = {_seconds(xmax)}"]
    tiers = list(tiers)
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for i, tier in enumerate(tiers, start=1):
        kind = "IntervalTier" if tier.interval else "TextTier"
        entries = _without_gaps(tier, xmin, xmax, path) if tier.interval else tier.entries
        lines += [f"    item [{i}]:", f'        class = "{kind}"', f'        name = "{_quoted(tier.name)}"']
        lines += [f"        xmin = {_seconds(xmin)}", f"        xmax = {_seconds(xmax)}"]
        lines += [f"        {'intervals' if tier.interval else 'points'}: size = {len(entries)}"]
        for j, entry in enumerate(entries, start=1):
            if tier.interval:
                lines += [f"        intervals [{j}]:", f"            xmin = {_seconds(entry[0])}"]
                lines += [f"            xmax = {_seconds(entry[1])}", f'            text = "{_quoted(entry[2])}"']
            else:
                lines += [f"        points [{j}]:", f"            number = {_seconds(entry[0])}"]
                lines += [f'            mark = "{_quoted(entry[1])}"']
    path = Path(path)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def _quoted(label: str) -> str:
    return str(label).replace('"', '""')


def _without_gaps(tier: Tier, xmin: float, xmax: float, path: Path | str) -> list[tuple[float, float, str]]:
    filled: list[tuple[float, float, str]] = []
    position = xmin
    for start, end, label in tier.entries:
        if start < position - 1e-9 or end <= start:
            raise AlignmentError(
                f"{path}, tier {tier.name!r}: the interval {label!r} [{start}, {end}) overlaps the one before or has no length."
            )
        if start > position + 1e-9:
            filled.append((position, start, ""))
            position = start
        filled.append((position, end, label))
        position = end
    if position < xmax - 1e-9:
        filled.append((position, xmax, ""))
    return filled
