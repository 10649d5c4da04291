"""Which utterances share a text: readings of the same words, or of words that differ in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FEWEST_WORDS", "text_blocks"]

#: Shorter texts form one block only where they are equal: one changed word is most of them.
FEWEST_WORDS = 3
#: Blocks of near-duplicates are given up where the largest would hold more than this share of the texts.
_LARGEST_SHARE = 0.5


def text_blocks(texts: Sequence[str]) -> tuple[np.ndarray, str]:
    """Block of each utterance: texts that are equal or one word apart are one block.

    Parameters
    ----------
    texts : sequence of str
        Words of each utterance, in one string. Case and spacing do not count. An empty text is a text of its own.

    Returns
    -------
    ndarray of int, shape (U,)
        Codes 0 ... B - 1.
    str
        What was joined or could not be, for the notes of a score; empty where every text occurs once.

    Notes
    -----
    Two texts of at least :data:`FEWEST_WORDS` words are near-duplicates where one substitution, insertion or deletion of a word
    makes them equal (Levenshtein distance of words of at most 1). They are found by looking up each text with one word left out,
    so that the work grows with the number of words, not of pairs. Blocks are connected components. Corpora of slot sentences (GRID) are
    one such component. There, where more than half of the texts would be one block, only equal texts are joined.

    Examples
    --------
    >>> text_blocks(["the cat sat", "The cat  sat", "the cat sits", "a dog"])[0].tolist()
    [0, 0, 0, 1]
    """
    words = [tuple(text.lower().split()) for text in texts]
    distinct: dict[tuple, int] = {}
    code = np.array([distinct.setdefault(own or ("", place), len(distinct)) for place, own in enumerate(words)], dtype=np.int64)
    if not len(code):
        return code, ""
    n = len(distinct)
    near = _near_duplicates([key for key in distinct if isinstance(key, tuple)])
    joined = _components(n, near)
    notes = []
    largest = int(np.bincount(joined).max())
    if near and largest > max(2, _LARGEST_SHARE * n):
        notes.append(
            f"{largest} of {n} texts are linked by changes of one word, so that only equal texts are treated as the same text"
        )
        joined = np.arange(n)
    elif near:
        notes.append(f"{n - int(joined.max()) - 1} texts differ from another by one word and are treated as the same text")
    blocks = np.unique(joined[code], return_inverse=True)[1]
    if len(code) > int(blocks.max()) + 1:
        counts = np.bincount(blocks)
        notes.insert(
            0,
            f"{len(counts)} texts, {int((counts > 1).sum())} of them read more than once (up to {int(counts.max())} readings); "
            "the headline compares tokens of different texts",
        )
    return blocks, "; ".join(notes)


def _near_duplicates(texts: list[tuple[str, ...]]) -> list[tuple[int, int]]:
    """Places of texts that differ in one word; of texts that all differ in the same place, each with the next only."""
    places = {words: place for place, words in enumerate(texts) if len(words) >= FEWEST_WORDS}
    last: dict[tuple, int] = {}
    found = set()
    for words, place in places.items():
        for cut in range(len(words)):
            before, after = words[:cut], words[cut + 1 :]
            if (substituted := last.get((before, after))) is not None:
                found.add((substituted, place))
            last[before, after] = place
            if (shorter := places.get(before + after)) is not None:
                found.add((shorter, place))
    return sorted(found)


def _components(n: int, edges: list[tuple[int, int]]) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not edges:
        return np.arange(n)
    rows, columns = np.array(edges).T
    found = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), (n, n)), directed=False)[1]
    return np.unique(found, return_inverse=True)[1]
