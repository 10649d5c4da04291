"""JSON that may have been edited, cut off, or written by something else: one error that names file, place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, StoreError

__all__ = ["parse_json", "read_json", "read_utf8"]

_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_json(path: Path, remedy: str, error: type[AnalysisError] = StoreError) -> Any:
    """What a JSON file holds; a byte-order mark of UTF-8 is passed over.

    Parameters
    ----------
    path : Path
    remedy : str
        The last sentence of every error: what to do about a file that cannot be used.
    error : type
        Class of the error.

    Raises
    ------
    AnalysisError
        Of that class, if the file is no UTF-8, no JSON or nested too deeply.
    OSError
        If it cannot be opened.
    """
    return parse_json(read_utf8(path, remedy, error), str(path), remedy, error)


def read_utf8(path: Path, remedy: str, error: type[AnalysisError] = StoreError) -> str:
    """The text of a file, less a byte-order mark; parameters and errors as :func:`read_json`."""
    raw = Path(path).read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as found:
        likely = _MARKS.get(raw[:2], "another encoding, such as Latin-1")
        raise error(
            f"{path} is not UTF-8: byte {found.start + 1} is 0x{raw[found.start]:02x} (is it {likely}?). Save it as UTF-8. {remedy}"
        ) from None


def parse_json(text: str, source: str, remedy: str, error: type[AnalysisError] = StoreError) -> Any:
    """What a text holds; ``source`` names it in errors, otherwise as :func:`read_json`."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as found:
        raise error(f"{source} is no JSON: line {found.lineno}, column {found.colno}: {found.msg}. {remedy}") from None
    except RecursionError:
        raise error(f"{source} is nested too deeply to be read: nothing that this toolkit writes is. {remedy}") from None
    except ValueError as found:  # a number of thousands of digits
        raise error(f"{source} cannot be read ({str(found).splitlines()[0]}). {remedy}") from None
