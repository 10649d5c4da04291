"""A whole pronunciation dictionary at once: how many pairs stand in which relation, and the pairs themselves as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import ConfigurationError
from analysis.phonology.inventory import Inventory, load_inventory
from analysis.phonology.lexicon import Lexicon
from analysis.phonology.mining import Forms, iter_near_pairs, within
from analysis.phonology.pairs import pair_rows
from analysis.phonology.visemes import DEFAULT_VISEMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dictionary", "RelationCounts", "count_relations", "iter_pair_tables"]


@dataclass(frozen=True)
class RelationCounts:
    """How many pairs of entries of different words stand in each relation.

    Attributes
    ----------
    n_words, n_entries, n_forms : int
        Words; pronunciations of words; distinct phone strings among them, stress left out.
    relations : dict of str to int
        ``homophone``, ``near_homophone``, ``unrelated``; they add up to ``n_pairs``.
    minimal_pairs : dict of tuple to int
        (class, detail) of the one edit -> pairs, whatever their length; details of insertions are left out.
    minimal_pairs_near : int
        Those among them within the threshold; the others are short words.
    """

    n_words: int
    n_entries: int
    n_forms: int
    threshold: float
    relations: dict[str, int]
    minimal_pairs: dict[tuple[str, str], int]
    minimal_pairs_near: int

    @property
    def n_pairs(self) -> int:
        """Pairs of entries of different words."""
        return sum(self.relations.values())


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Entries of a lexicon as forms, with the word that each belongs to.

    Attributes
    ----------
    lexicon : Lexicon
    """

    lexicon: Lexicon

    @cached_property
    def word_of(self) -> np.ndarray:
        """Number of the word of each entry, int64, in the order of ``forms.names``."""
        return self._built[1]

    @cached_property
    def forms(self) -> Forms:
        """Entries named as in the lexicon (``to``, ``to(2)``), sorted by name."""
        return self._built[0]

    @cached_property
    def _built(self) -> tuple[Forms, np.ndarray]:
        inventory = load_inventory(self.lexicon.inventory)
        entries = sorted(
            (word if k == 0 else f"{word}({k + 1})", number, phones)
            for number, (word, alternatives) in enumerate(self.lexicon.entries.items())
            for k, phones in enumerate(alternatives)
        )
        forms = Forms.of([inventory.symbols(phones) for _, _, phones in entries], names=[name for name, _, _ in entries])
        return forms, np.array([number for _, number, _ in entries], dtype=np.int64)

    @cached_property
    def same_word(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of entries of one word, as two arrays of indices of entries, the lower first."""
        first, second = [], []
        order = np.argsort(self.word_of, kind="stable")
        for entries in np.split(order, np.cumsum(np.bincount(self.word_of))[:-1]):
            if len(entries) > 1:
                i, j = np.triu_indices(len(entries), 1)
                first.append(entries[i])
                second.append(entries[j])
        empty = np.empty(0, dtype=np.int64)
        return (np.concatenate(first), np.concatenate(second)) if first else (empty, empty)


def count_relations(dictionary: Dictionary, *, threshold: float = 0.4, progress: bool = False) -> RelationCounts:
    """Exact numbers of pairs per relation over a whole dictionary, in flat memory.

    Parameters
    ----------
    dictionary : Dictionary
    threshold : float
        A pair is near-homophonic when 0 < phone distance <= threshold.
    progress : bool
        Show a progress bar.
    """
    forms, inventory = dictionary.forms, load_inventory(dictionary.lexicon.inventory)
    entries = np.bincount(forms.form_of, minlength=len(forms))
    tally: Counter[str] = Counter()
    minimal: Counter[tuple[str, str]] = Counter()
    tally["homophone"] = int((entries * (entries - 1) // 2).sum())
    for i, j, edits in iter_near_pairs(forms, threshold, inventory=inventory.name, always_single=True, progress=progress):
        _add(tally, minimal, forms, i, j, edits, entries[i] * entries[j], threshold, inventory)
    a, b = dictionary.same_word
    of_one_word: Counter[str] = Counter()
    minimal_of_one_word: Counter[tuple[str, str]] = Counter()
    _, edits = forms.distances(a, b)
    of_one_word["homophone"] = int((edits == 0).sum())
    some = edits > 0
    i, j = forms.form_of[a[some]], forms.form_of[b[some]]
    _add(of_one_word, minimal_of_one_word, forms, i, j, edits[some], np.ones(len(i), dtype=np.int64), threshold, inventory)
    tally.subtract(of_one_word)
    minimal.subtract(minimal_of_one_word)
    n_entries = len(forms.names)
    n_pairs = n_entries * (n_entries - 1) // 2 - len(a)
    relations = {name: tally[name] for name in ("homophone", "near_homophone")}
    relations["unrelated"] = n_pairs - sum(relations.values())
    return RelationCounts(
        n_words=len(dictionary.lexicon),
        n_entries=n_entries,
        n_forms=len(forms),
        threshold=threshold,
        relations=relations,
        minimal_pairs={key: count for key, count in sorted(minimal.items()) if count},
        minimal_pairs_near=tally["minimal_near"],
    )


def _add(
    tally: Counter,
    minimal: Counter,
    forms: Forms,
    i: np.ndarray,
    j: np.ndarray,
    edits: np.ndarray,
    weight: np.ndarray,
    threshold: float,
    inventory: Inventory,
) -> None:
    """Count pairs of forms, each standing for ``weight`` pairs of entries."""
    near = within(edits / np.maximum(forms.lengths[i], forms.lengths[j]), threshold)
    tally["near_homophone"] += int(weight[near].sum())
    single = edits == 1
    tally["minimal_near"] += int(weight[near & single].sum())
    changed = single & (forms.lengths[i] == forms.lengths[j])
    minimal["insertion", ""] += int(weight[single & ~changed].sum())
    used, codes = forms.codes
    left, right = codes[i[changed]], codes[j[changed]]
    place = (left != right).argmax(axis=1)[:, None]
    substitutions = np.zeros((len(used), len(used)), dtype=np.int64)
    pair = np.take_along_axis(left, place, axis=1)[:, 0], np.take_along_axis(right, place, axis=1)[:, 0]
    np.add.at(substitutions, pair, weight[changed])
    for a, b in zip(*np.nonzero(substitutions), strict=True):
        minimal[inventory.contrast(used[a], used[b])] += int(substitutions[a, b])


def iter_pair_tables(
    dictionary: Dictionary,
    *,
    threshold: float = 0.4,
    relations: Sequence[str] = ("near_homophone", "homophone"),
    edit_classes: Sequence[str] = (),
    min_viseme_distance: float = 0.0,
    visemes: str | Path = DEFAULT_VISEMES,
    progress: bool = False,
) -> Iterator[pd.DataFrame]:
    """The related pairs of entries of different words, table by table, in flat memory.

    Parameters
    ----------
    dictionary : Dictionary
    threshold : float
    relations : sequence of str
        Which of ``homophone`` and ``near_homophone``.
    edit_classes : sequence of str
        Keep minimal pairs of these classes only; empty: keep all.
    min_viseme_distance : float
        Keep pairs at least this far apart on the lips.
    visemes : str or Path
    progress : bool
        Show a progress bar.

    Yields
    ------
    DataFrame
        ``PAIR_COLUMNS``; each pair comes once, in no particular order.
    """
    if unknown := [name for name in relations if name not in ("homophone", "near_homophone")]:
        raise ConfigurationError(f"There is no relation {unknown[0]!r} to list; choose among homophone, near_homophone.")
    forms, inventory = dictionary.forms, dictionary.lexicon.inventory

    def table(a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
        other = dictionary.word_of[a] != dictionary.word_of[b]
        rows = pair_rows(forms, a[other], b[other], threshold=threshold, inventory=inventory, visemes=visemes)
        keep = ~(rows["viseme_distance"] < min_viseme_distance)
        if edit_classes:
            keep &= rows["edit_class"].isin(list(edit_classes))
        return rows[keep]

    if "homophone" in relations:
        yield table(*forms.homophones())
    if "near_homophone" in relations:
        for i, j, edits in iter_near_pairs(forms, threshold, inventory=inventory, progress=progress):
            if edit_classes:
                i, j = i[edits == 1], j[edits == 1]
            yield table(*forms.pairs_of_words(i, j))
