"""Which pairs of words mean the same, where WordNet is on the machine: words that share a synset."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["flag_synonyms", "wordnet_folder", "wordnet_synsets"]

_PARTS = ("noun", "verb", "adj", "adv")


def wordnet_folder() -> Path | None:
    """Folder or zip file with WordNet's ``index.noun`` and its sisters, or None.

    Looked for in ``WNSEARCHDIR``, ``WNHOME/dict``, NLTK's data folders (``NLTK_DATA`` among them) and ``/usr/share/wordnet``.
    """
    home = os.environ.get("WNHOME")
    folders = [Path(os.environ["WNSEARCHDIR"])] if os.environ.get("WNSEARCHDIR") else []
    folders += [Path(home) / "dict"] if home else []
    nltk = [Path(part) for part in os.environ.get("NLTK_DATA", "").split(os.pathsep) if part]
    nltk += [Path.home() / "nltk_data", Path(sys.prefix) / "nltk_data", Path(sys.prefix) / "share" / "nltk_data"]
    nltk += [Path("/usr/share/nltk_data"), Path("/usr/local/share/nltk_data")]
    for folder in nltk:
        folders += [folder / "corpora" / "wordnet", folder / "corpora" / "wordnet.zip"]
    folders.append(Path("/usr/share/wordnet"))
    return next((path for path in folders if (path.suffix == ".zip" and path.is_file()) or (path / "index.noun").is_file()), None)


def wordnet_synsets(source: Path) -> dict[str, frozenset[str]]:
    """Synsets of each word of WordNet: lower-case spelling -> synsets, named by part of speech and offset."""
    return _synsets(str(source))


@cache
def _synsets(source: str) -> dict[str, frozenset[str]]:
    synsets: dict[str, set[str]] = {}
    for part, line in _index_lines(Path(source)):
        fields = line.split()
        if line.startswith(" ") or len(fields) < 4:  # the licence stands before the entries, indented
            continue
        offsets = fields[-int(fields[2]) :]
        synsets.setdefault(fields[0].replace("_", " "), set()).update(f"{part}{offset}" for offset in offsets)
    return {word: frozenset(found) for word, found in synsets.items()}


def _index_lines(source: Path) -> Iterator[tuple[str, str]]:
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            names = {Path(name).name: name for name in archive.namelist()}
            for part in _PARTS:
                for line in archive.read(names[f"index.{part}"]).decode("utf-8").splitlines():
                    yield part, line
    else:
        for part in _PARTS:
            for line in (source / f"index.{part}").read_text(encoding="utf-8").splitlines():
                yield part, line


def flag_synonyms(pairs: pd.DataFrame, source: Path | None = None) -> pd.DataFrame:
    """The pair table with a column ``synonym`` (bool), or unchanged where there is no WordNet.

    Parameters
    ----------
    pairs : DataFrame
        ``PAIR_COLUMNS``, of words.
    source : Path, optional
        WordNet's folder; by default it is looked for.
    """
    source = source or wordnet_folder()
    if source is None:
        return pairs
    synsets = wordnet_synsets(source)
    nothing: frozenset[str] = frozenset()
    shared = [
        not synsets.get(a, nothing).isdisjoint(synsets.get(b, nothing))
        for a, b in zip(_spellings(pairs["type_a"]), _spellings(pairs["type_b"]), strict=True)
    ]
    return pairs.assign(synonym=shared)


def _spellings(types: pd.Series) -> list[str]:
    """Words as WordNet spells them; ``to(2)`` is ``to``."""
    return [name.partition("(")[0].lower() for name in types]
