"""What can be seen of a phone: viseme classes, and how rounded, open and closed the lips are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from analysis.alignment.lexicon_files import lexicon_folder, read_rows
from analysis.errors import LexiconError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DEFAULT_VISEMES", "lip_distances", "lip_features", "load_visemes", "viseme_maps"]

#: The map used unless another is named: the 14 classes of MPEG-4 face animation, which current lip-sync engines follow.
DEFAULT_VISEMES = "mpeg4"


def viseme_maps() -> list[str]:
    """Names of the maps that come along."""
    return sorted(path.stem for path in (lexicon_folder() / "visemes").glob("*.tsv") if path.stem != "lips")


def load_visemes(name: str | Path = DEFAULT_VISEMES) -> Mapping[str, str]:
    """Viseme class of each phone.

    Parameters
    ----------
    name : str or Path
        A map that comes along (:func:`viseme_maps`), or a tab-separated file with the columns ``phone`` and ``viseme``.

    Raises
    ------
    LexiconError
        If there is no such map, or one phone stands in it twice.
    """
    return _load(str(name))


@cache
def _load(name: str) -> Mapping[str, str]:
    path = lexicon_folder() / "visemes" / f"{name}.tsv"
    if name not in viseme_maps():
        path = Path(name)
        if not path.is_file():
            raise LexiconError(f"There is no viseme map {name!r}. Choose one of {', '.join(viseme_maps())}, or give a file.")
    classes: dict[str, str] = {}
    for row in read_rows(path, ("phone", "viseme")):
        if row["phone"] in classes:
            raise LexiconError(f"{path}: phone {row['phone']!r} stands twice. Remove one of the two rows.")
        classes[row["phone"]] = row["viseme"]
    return MappingProxyType(classes)


@cache
def lip_distances() -> tuple[dict[str, int], np.ndarray]:
    """Index of each ARPAbet phone, and how far apart two phones are on the lips.

    Returns
    -------
    tuple of dict and ndarray
        ``(n, n)`` float64 in [0, 1]: the largest difference among rounding, opening and closure.
    """
    import numpy as np

    features = lip_features()
    values = np.array(list(features.values()))
    return {phone: i for i, phone in enumerate(features)}, np.abs(values[:, None, :] - values[None, :, :]).max(axis=2)


@cache
def lip_features() -> Mapping[str, tuple[float, float, float]]:
    """Rounding, opening and closure of the lips for each ARPAbet phone, each from 0 to 1."""
    rows = read_rows(lexicon_folder() / "visemes" / "lips.tsv", ("phone", "rounding", "opening", "closure"))
    return MappingProxyType(
        {row["phone"]: (float(row["rounding"]), float(row["opening"]), float(row["closure"])) for row in rows}
    )
