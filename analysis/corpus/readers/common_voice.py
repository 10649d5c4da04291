"""Common Voice: ``clips/`` beside ``validated.tsv``, ``train.tsv``, ``dev.tsv`` and ``test.tsv``, for one language.

A folder means its ``validated.tsv``; name another table to get that (``common_voice:/data/cv-corpus/en/test.tsv``).
Speaker is ``client_id``; age, accents, votes and the other columns are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.manifest import read_rows
from analysis.corpus.recording import Recording
from analysis.errors import CorpusError, Failure

_TABLES = ("validated.tsv", "train.tsv", "dev.tsv", "test.tsv", "other.tsv")
_COLUMNS = {"client_id", "path", "sentence"}


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether ``clips/`` lies beside one of the tables, here or in the folder of a language."""
    if root.is_file():
        return root.suffix == ".tsv" and (root.parent / "clips").is_dir() and _header(root) >= _COLUMNS
    return bool(_languages(root))


def _header(table: Path) -> set[str]:
    with table.open("rb") as file:
        return set(file.readline().decode("utf-8", "replace").strip().split("\t"))


def _languages(root: Path) -> list[Path]:
    """Folders of one language: ``root`` itself, or those in it."""
    candidates = [root, *sorted(path for path in root.glob("*/") if not path.name.startswith("."))]
    found = [path for path in candidates if (path / "clips").is_dir() and any((path / name).is_file() for name in _TABLES)]
    return [root] if root in found else found


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings in the order of the table."""
    table = root
    if root.is_dir():
        languages = _languages(root)
        if len(languages) != 1:
            names = ", ".join(path.name for path in languages) or "none"
            raise CorpusError(
                f"{root} holds clips/ and tables of Common Voice for {len(languages)} languages ({names}). "
                f"Give the folder of one language, or one table in it."
            )
        table = next(languages[0] / name for name in _TABLES if (languages[0] / name).is_file())
    for number, row in enumerate(read_rows(table), start=1):
        if isinstance(row, Failure):
            yield row
            continue
        if not row.keys() >= _COLUMNS:
            raise CorpusError(f"{table} has no columns client_id, path and sentence; it has {', '.join(row)}.")
        path = table.parent / "clips" / (row["path"] or "")
        extra = {name: value for name, value in row.items() if value and name not in _COLUMNS}
        yield Recording(
            path.stem, path, row["sentence"], row["client_id"] or "unknown", extra, transcript=f"row {number} of {table}"
        )
