"""The 2 x 2 swap: the frames of one recording with the semantics of another recording of the same text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.errors import SeparationError
from analysis.separation.scoring import score
from analysis.separation.settings import SeparationSettings

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.wav2sem.types import UtteranceVectors

__all__ = ["swap", "swap_effects"]


def swap(
    embeddings: SyllableEmbeddings,
    semantics: UtteranceVectors,
    pairs: pd.DataFrame,
    partners: Mapping[str, str],
    *,
    names: tuple[str, str] = ("natural", "synthetic"),
    settings: SeparationSettings | None = None,
) -> pd.DataFrame:
    """Scores of frames and semantics from either of two recordings of the same texts, such as natural speech and TTS.

    Parameters
    ----------
    embeddings : SyllableEmbeddings
        Tokens of both recordings of every text.
    semantics : UtteranceVectors
        Vectors of both recordings of every text.
    pairs : DataFrame
        Pair table.
    partners : mapping of str to str
        Utterance of the first kind to the utterance of the second kind with the same text, one to one.
    names : (str, str)
        What to call the two kinds.
    settings : SeparationSettings, optional

    Returns
    -------
    DataFrame
        Rows of the separation table of all four combinations, with ``frames`` and ``semantics`` (one of ``names`` each) first; the
        variant is called ``swap``.

    Raises
    ------
    SeparationError
        If an utterance is named twice or has no vector.

    Notes
    -----
    What a module takes from the words is in the semantics of either recording; what it takes from this very recording (voice,
    channel, TTS artefacts) is only in its own. So gains that need ``frames == semantics`` are not about meaning. :func:`swap_effects`
    takes the four apart.
    """
    if set(partners) & set(partners.values()) or len(set(partners.values())) < len(partners):
        raise SeparationError(
            "An utterance is named twice among the partners, so the frames and semantics of a text could not be told apart. "
            "Each utterance of the first kind needs one of the second kind of its own."
        )
    position = {utterance: row for row, utterance in enumerate(semantics.utterances)}
    kinds = (dict(partners), {second: first for first, second in partners.items()})
    missing = [name for kind in kinds for name in kind if name not in position]
    if missing:
        raise SeparationError(
            f"The semantics have no vector for {len(missing)} utterances of the swap, such as {missing[0]!r}. Compute them for both "
            "recordings of every text."
        )
    parts = []
    spoken = embeddings.tokens["utterance"]
    for frames, other in zip(names, kinds, strict=True):
        mine = embeddings.select(spoken.isin(list(other)).to_numpy())
        for source in names:
            given = list(other) if source == frames else [other[name] for name in other]
            vectors = np.asarray(semantics.vectors)[[position[name] for name in given]]
            found = score(
                mine, {"swap": replace(semantics, utterances=tuple(other), vectors=vectors)}, pairs, settings=settings
            ).table
            found.insert(0, "semantics", source)
            found.insert(0, "frames", frames)
            parts.append(found)
    return pd.concat(parts, ignore_index=True)


def swap_effects(table: pd.DataFrame, *, statistic: str = "net") -> pd.DataFrame:
    """Main effects and interaction of a swap, for every row that its four combinations share.

    Parameters
    ----------
    table : DataFrame
        From :func:`swap`.
    statistic : str

    Returns
    -------
    DataFrame
        The row's names with ``own`` (mean where frames and semantics are of one recording), ``other`` (mean where they are not),
        ``frames_effect``, ``semantics_effect`` (second kind less first) and ``interaction`` (``own - other``: what needs the
        recording itself). No interval is given: the four share texts and tokens.
    """
    rows = table[table["statistic"] == statistic]
    place = ["encoder", "layer", "vectors", "distance", "relation", "split", "null", "average"]
    first, second = dict.fromkeys(table["frames"])
    wide = rows.pivot_table(index=place, columns=["frames", "semantics"], values="estimate").dropna()
    own, other = (wide[first, first] + wide[second, second]) / 2, (wide[first, second] + wide[second, first]) / 2
    effects = {
        "own": own,
        "other": other,
        "frames_effect": (wide[second, first] + wide[second, second] - wide[first, first] - wide[first, second]) / 2,
        "semantics_effect": (wide[first, second] + wide[second, second] - wide[first, first] - wide[second, first]) / 2,
        "interaction": own - other,
    }
    return pd.DataFrame(effects).reset_index()
