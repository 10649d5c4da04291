"""Where the data files in lexicons/ lie, and how their tables are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from analysis.errors import LexiconError

__all__ = ["lexicon_folder", "read_lines", "read_rows"]


@cache
def lexicon_folder() -> Path:
    """The folder of the data files: inside the installed package, or beside the package in a checkout.

    Raises
    ------
    LexiconError
        If neither exists: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "lexicons", package.parent / "lexicons"):
        if (folder / "inventories").is_dir():
            return folder
    raise LexiconError(
        f"The lexicons folder is neither in {package} nor beside it. The installation is incomplete: install the package again, "
        f"or run from a checkout."
    )


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines of a UTF-8 text file that are neither empty nor comments (``#`` at the start), with their numbers from 1."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise LexiconError(
            f"There is no file {path}. Check the name; the files that come along are in {lexicon_folder()}."
        ) from None
    except UnicodeDecodeError as error:
        raise LexiconError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise LexiconError(f"{path} cannot be read: {error.strerror}. Give a text file.") from None
    return [
        (number, line.rstrip("\r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.startswith("#")
    ]


def read_rows(path: Path, required: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header line; quotes are ordinary characters.

    Raises
    ------
    LexiconError
        If the file is missing, a required column is missing, or a row has too many or too few cells.
    """
    lines = read_lines(path)
    if not lines:
        raise LexiconError(f"{path} is empty; a header line with the columns {', '.join(required)} was expected.")
    header = [name.strip() for name in lines[0][1].split("\t")]
    missing = [name for name in required if name not in header]
    if missing:
        raise LexiconError(
            f"{path} has the columns {', '.join(header)}; missing: {', '.join(missing)}. Columns are separated by tabs."
        )
    rows = []
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(header):
            raise LexiconError(f"{path}, line {number}: {len(cells)} cells where the header has {len(header)}: {line!r}.")
        rows.append(dict(zip(header, cells, strict=True)))
    return rows
