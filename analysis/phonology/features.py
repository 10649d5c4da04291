"""Articulatory features of IPA segments, after PanPhon."""

from __future__ import annotations

from functools import cache

import numpy as np

from analysis.alignment.lexicon_files import lexicon_folder, read_rows
from analysis.errors import LexiconError
from analysis.phonology.ipa import plain_ipa

__all__ = ["feature_names", "segment_features"]

_VALUES = {"+": 1.0, "-": -1.0, "0": 0.0}
# Single characters for what PanPhon writes as a vowel with the hook of r-colouring.
_SPELLINGS = {"ɚ": "ə˞", "ɝ": "ɜ˞", "g": "ɡ"}


@cache
def _table() -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    rows = read_rows(lexicon_folder() / "features" / "panphon.tsv", ("ipa",))
    names = tuple(name for name in rows[0] if name != "ipa")
    return names, {plain_ipa(row["ipa"]): np.array([_VALUES[row[name]] for name in names]) for row in rows}


def feature_names() -> tuple[str, ...]:
    """Names of the 24 features, in the order of the vectors."""
    return _table()[0]


def segment_features(ipa: str) -> np.ndarray:
    """Features of one phone, ``(24,)`` float64: 1, -1, or 0 where a feature does not apply.

    A phone of several segments, such as a diphthong or a tone contour, has the mean of theirs.

    Raises
    ------
    LexiconError
        If a segment is unknown.
    """
    _, table = _table()
    text = plain_ipa(ipa)
    for single, spelled in _SPELLINGS.items():
        text = text.replace(single, spelled)
    parts: list[np.ndarray] = []
    position = 0
    while position < len(text):  # the longest segment that the table knows, from left to right
        for stop in range(len(text), position, -1):
            if text[position:stop] in table:
                parts.append(table[text[position:stop]])
                position = stop
                break
        else:
            raise LexiconError(
                f"No articulatory features are known for {text[position:]!r} in {ipa!r}. Write the phone in IPA as PanPhon does, "
                f"or add a row to features/panphon.tsv."
            )
    if not parts:
        raise LexiconError("A phone without an IPA symbol has no articulatory features. Fill the ipa column of its inventory.")
    return np.mean(parts, axis=0)
