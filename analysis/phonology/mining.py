"""All pairs of forms within an edit distance, over a whole dictionary, without comparing every form with every other.

Two lower bounds on the edit distance, each a few machine instructions on 64-bit sets, leave about one pair in five hundred to
be compared: phones that the longer form has and the other lacks (one edit mends one), and neighbouring phones likewise (one
edit breaks two). What remains is exact: no pair within the threshold is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from tqdm import tqdm

from analysis.errors import ConfigurationError, LexiconError

__all__ = ["Forms", "iter_near_pairs", "maximal_edits", "near_pairs"]

# Pairs looked at together: three arrays of this many 8-byte numbers stay in the cache of one core.
_BLOCK = 1 << 17
# Distances computed together in one call.
_CHUNK = 1 << 18
# 2 edits in 5 phones are a distance of 0.4, however the machine rounds.
_EPSILON = 1e-10


@dataclass(frozen=True, eq=False)
class Forms:
    """Distinct phone strings and the words that are said so.

    Attributes
    ----------
    names : list of str
        Words, in the order in which they are numbered.
    form_of : ndarray of int64, shape (n_words,)
        Which form each word has.
    symbols : list of tuple
        Phones of each distinct form.
    """

    names: list[str]
    form_of: np.ndarray
    symbols: list[tuple[Hashable, ...]]

    @classmethod
    def of(cls, phones: Sequence[Sequence[Hashable]], names: Sequence[str] | None = None) -> Forms:
        """Forms of words given by their phones.

        Raises
        ------
        LexiconError
            If a word has no phones.
        """
        names = [str(i) for i in range(len(phones))] if names is None else list(names)
        index: dict[tuple[Hashable, ...], int] = {}
        form_of = np.empty(len(phones), dtype=np.int64)
        for i, symbols in enumerate(phones):
            if not symbols:
                raise LexiconError(f"{names[i]!r} has no phones. Give its pronunciation, or leave it out.")
            form_of[i] = index.setdefault(tuple(symbols), len(index))
        return cls(names, form_of, list(index))

    def __len__(self) -> int:
        """Number of distinct forms."""
        return len(self.symbols)

    def recoded(self, classes: Mapping[Any, Hashable]) -> Forms:
        """The same words over other symbols, such as viseme classes instead of phones; made once for each set of classes."""
        key = frozenset(classes.items())
        if key not in self._recodings:
            self._recodings[key] = self._recode(classes)
        return self._recodings[key]

    @cached_property
    def _recodings(self) -> dict[frozenset, Forms]:
        return {}

    @cached_property
    def spoken(self) -> np.ndarray:
        """Each form as its phones separated by spaces, object."""
        return np.array([" ".join(map(str, form)) for form in self.symbols], dtype=object)

    @cached_property
    def name_array(self) -> np.ndarray:
        """The words as an array of objects, to be picked from by index."""
        return np.array(self.names, dtype=object)

    def _recode(self, classes: Mapping[Hashable, Hashable]) -> Forms:
        recoded = [tuple(classes[symbol] for symbol in form) for form in self.symbols]
        index: dict[tuple[Hashable, ...], int] = {}
        new = np.array([index.setdefault(form, len(index)) for form in recoded], dtype=np.int64)
        return Forms(self.names, new[self.form_of], list(index))

    @cached_property
    def strings(self) -> np.ndarray:
        """Each form as a string with one character per phone, for libraries that compare strings."""
        counts = Counter(symbol for form in self.symbols for symbol in form)
        # Few common symbols fit one byte each, which such libraries compare fastest.
        characters = {symbol: chr(33 + i) if i < 220 else chr(0x4E00 + i) for i, (symbol, _) in enumerate(counts.most_common())}
        return np.array(["".join(characters[symbol] for symbol in form) for form in self.symbols], dtype=object)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Length of each form in phones, int64."""
        return np.array([len(form) for form in self.symbols], dtype=np.int64)

    @cached_property
    def codes(self) -> tuple[list[Hashable], np.ndarray]:
        """The symbols in use, and each form as their numbers: int16, shape (n_forms, longest), -1 after the end."""
        used = list(dict.fromkeys(symbol for form in self.symbols for symbol in form))
        index = {symbol: number for number, symbol in enumerate(used)}
        codes = np.full((len(self), int(self.lengths.max(initial=1))), -1, dtype=np.int16)
        for row, form in enumerate(self.symbols):
            codes[row, : len(form)] = [index[symbol] for symbol in form]
        return used, codes

    @cached_property
    def words(self) -> list[np.ndarray]:
        """Words of each form, in increasing order."""
        order = np.argsort(self.form_of, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.form_of, minlength=len(self)))[:-1])

    def homophones(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of words with one form, as two arrays of indices, the lower first."""
        first, second = [], []
        for words in self.words:
            if len(words) > 1:
                i, j = np.triu_indices(len(words), 1)
                first.append(words[i])
                second.append(words[j])
        return _joined(first), _joined(second)

    def pairs_of_words(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of words whose forms are paired: each word of form i with each of form j, the lower index first."""
        first, second = [], []
        counts = np.bincount(self.form_of, minlength=len(self))
        single = (counts[i] == 1) & (counts[j] == 1)
        if single.any():
            lone = np.array([words[0] for words in self.words], dtype=np.int64)
            first.append(lone[i[single]])
            second.append(lone[j[single]])
        for left, right in zip(i[~single].tolist(), j[~single].tolist(), strict=True):
            a, b = np.meshgrid(self.words[left], self.words[right], indexing="ij")
            first.append(a.ravel())
            second.append(b.ravel())
        a, b = _joined(first), _joined(second)
        return np.minimum(a, b), np.maximum(a, b)

    def distances(
        self, a: np.ndarray, b: np.ndarray, *, costs: str = "uniform", inventory: str = "arpabet"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distance and number of edits of pairs of words.

        Parameters
        ----------
        a, b : ndarray of int, shape (n,)
            Indices of words.
        costs : {"uniform", "features"}
        inventory : str
            Whose articulatory distances are the costs of ``features``.

        Returns
        -------
        distance : ndarray of float64, shape (n,)
            Cost of the edits / longer length.
        edits : ndarray of int64, shape (n,)
            Least number of insertions, deletions and substitutions, whatever the costs.
        """
        i, j = self.form_of[a], self.form_of[b]
        edits = _edits(self.strings, i, j)
        longer = np.maximum(self.lengths[i], self.lengths[j])
        if costs == "uniform":
            return edits / longer, edits
        from analysis.phonology.inventory import load_inventory

        return self.weighted_distances(a, b, *load_inventory(inventory).feature_distances), edits

    def weighted_distances(self, a: np.ndarray, b: np.ndarray, index: Mapping[Any, int], costs: np.ndarray) -> np.ndarray:
        """Least cost of the edits / longer length of pairs of words, where substitutions have costs and insertions cost 1.

        Parameters
        ----------
        a, b : ndarray of int, shape (n,)
            Indices of words.
        index : mapping of symbol to int
            Row of each symbol in ``costs``.
        costs : ndarray of float64, shape (n_symbols, n_symbols)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        i, j = self.form_of[a], self.form_of[b]
        return _weighted_edits(self, i, j, index, costs) / np.maximum(self.lengths[i], self.lengths[j])


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)


def _edits(strings: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    edits = np.empty(len(i), dtype=np.int64)
    for start in range(0, len(i), _CHUNK):
        part = slice(start, start + _CHUNK)
        edits[part] = cpdist(strings[i[part]].tolist(), strings[j[part]].tolist(), scorer=Levenshtein.distance, dtype=np.uint32)
    return edits


def _weighted_edits(forms: Forms, i: np.ndarray, j: np.ndarray, index: Mapping[Any, int], costs: np.ndarray) -> np.ndarray:
    """Least cost of edits with given costs of substitution; pairs of equal lengths share one dynamic programme."""
    used, codes = forms.codes
    number = np.array([index[symbol] for symbol in used], dtype=np.int64)
    costs = costs[np.ix_(number, number)]
    longest = codes.shape[1]
    weights = np.empty(len(i))
    shape = forms.lengths[i] * (longest + 1) + forms.lengths[j]
    order = np.argsort(shape, kind="stable")
    bounds = [0, *(np.flatnonzero(np.diff(shape[order])) + 1).tolist(), len(i)]
    for start, stop in pairwise(bounds):
        for first in range(start, stop, 1 << 15):
            some = order[first : min(stop, first + (1 << 15))]
            left, right = codes[i[some]], codes[j[some]]
            n_left, n_right = int(forms.lengths[i[some[0]]]), int(forms.lengths[j[some[0]]])
            row = np.broadcast_to(np.arange(n_right + 1.0)[:, None], (n_right + 1, len(some)))
            for p in range(n_left):
                new = np.empty((n_right + 1, len(some)))
                new[0] = p + 1
                for q in range(n_right):
                    change = row[q] + costs[left[:, p], right[:, q]]
                    new[q + 1] = np.minimum(np.minimum(row[q + 1], new[q]) + 1.0, change)
                row = new
            weights[some] = row[n_right]
    return weights


def maximal_edits(longer: int, threshold: float) -> int:
    """Most edits that a pair may be apart whose longer form has this many phones."""
    return int((threshold + _EPSILON) * longer)


def within(distance: np.ndarray, threshold: float) -> np.ndarray:
    """Which distances are at most the threshold, rounding errors forgiven."""
    return distance <= threshold + _EPSILON


def near_pairs(
    forms: Forms, threshold: float = 0.4, *, costs: str = "uniform", inventory: str = "arpabet", always_single: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of distinct forms at most ``threshold`` apart, as two arrays of indices of forms.

    The parameters are those of :func:`iter_near_pairs`; this holds all pairs in memory.
    """
    first, second = [], []
    for i, j, _ in iter_near_pairs(forms, threshold, costs=costs, inventory=inventory, always_single=always_single):
        first.append(i)
        second.append(j)
    return _joined(first), _joined(second)


def iter_near_pairs(
    forms: Forms,
    threshold: float = 0.4,
    *,
    costs: str = "uniform",
    inventory: str = "arpabet",
    always_single: bool = False,
    progress: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs of distinct forms at most ``threshold`` apart, block by block in flat memory.

    Parameters
    ----------
    forms : Forms
    threshold : float
        Largest edit distance / longer length, from 0 to 1.
    costs : {"uniform", "features"}
        Costs of the edits. With ``features`` there is no bound that would spare comparisons beyond that of length, so that it
        fits some ten thousand forms rather than a whole dictionary.
    inventory : str
        Whose articulatory distances are the costs of ``features``.
    always_single : bool
        Yield pairs one edit apart even where that is over the threshold, as in short words.
    progress : bool
        Show a progress bar, unless the error stream is a file.

    Yields
    ------
    i, j, edits : ndarray of int64
        Indices of the two forms and the number of edits between them; each pair comes once.

    Raises
    ------
    ConfigurationError
        If the threshold is not between 0 and 1.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ConfigurationError(f"The threshold is {threshold}; a phone distance lies between 0 and 1.")
    by_length = {int(n): np.flatnonzero(forms.lengths == n) for n in np.unique(forms.lengths)}
    phone_sets, neighbour_sets = _element_sets(forms), _neighbour_sets(forms)
    uniform = costs == "uniform"
    if not uniform:
        from analysis.phonology.inventory import load_inventory

        weights = load_inventory(inventory).feature_distances
    n_pairs = len(forms) * (len(forms) - 1) // 2
    with tqdm(total=n_pairs, unit=" pairs", unit_scale=True, desc="near pairs", disable=None if progress else True) as bar:
        for longer, rows in by_length.items():
            for shorter, columns in by_length.items():
                if shorter > longer:
                    continue
                most = max(maximal_edits(longer, threshold), int(always_single))
                if longer - shorter <= most:
                    found = _bounded(rows, columns, most, phone_sets, neighbour_sets) if uniform else _every(rows, columns)
                    for i, j in found:
                        edits = _edits(forms.strings, i, j)
                        if uniform:
                            near = edits <= most
                        else:
                            near = within(_weighted_edits(forms, i, j, *weights) / longer, threshold)
                            near |= always_single & (edits == 1)
                        if near.any():
                            yield i[near], j[near], edits[near]
                bar.update(len(rows) * (len(rows) - 1) // 2 if shorter == longer else len(rows) * len(columns))


def _every(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of a row and a column, once where they are the same forms."""
    step = max(1, _BLOCK // max(1, len(columns)))
    same = len(rows) == len(columns) and rows[0] == columns[0]
    for start in range(0, len(rows), step):
        i, j = (part.ravel() for part in np.meshgrid(rows[start : start + step], columns, indexing="ij"))
        yield (i[j > i], j[j > i]) if same else (i, j)


def _bounded(
    rows: np.ndarray, columns: np.ndarray, most: int, phone_sets: np.ndarray, neighbour_sets: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs that both lower bounds leave within ``most`` edits; no form of the rows is shorter than one of the columns."""
    same = rows[0] == columns[0]
    lacking, neighbours = ~phone_sets[columns], neighbour_sets[columns]
    pending_i: list[np.ndarray] = []
    pending_j: list[np.ndarray] = []
    n_pending = start = 0
    while start < len(rows):
        first = start if same else 0
        step = max(1, _BLOCK // max(1, len(columns) - first))
        excess = np.bitwise_count(phone_sets[rows[start : start + step], None] & lacking[None, first:])
        r, c = np.divmod(np.flatnonzero(excess.ravel() <= most), len(columns) - first)
        r, c = r + start, c + first
        if same:
            r, c = r[c > r], c[c > r]
        # One edit breaks at most two pairs of neighbours, seen from either form.
        left, right = neighbour_sets[rows[r]], neighbours[c]
        kept = np.maximum(np.bitwise_count(left & ~right), np.bitwise_count(right & ~left)) <= 2 * most
        pending_i.append(rows[r[kept]])
        pending_j.append(columns[c[kept]])
        start += step
        n_pending += len(pending_i[-1])
        if n_pending >= _CHUNK:
            yield _joined(pending_i), _joined(pending_j)
            pending_i, pending_j, n_pending = [], [], 0
    if pending_i:
        yield _joined(pending_i), _joined(pending_j)


def _element_sets(forms: Forms) -> np.ndarray:
    """The multiset of phones of each form as a set of 64 bits; the rarest elements share the last bit.

    An element is a phone with its how-manieth occurrence, so that differences of sets count those of multisets. Sharing a bit can
    only hide a difference: the bound stays a lower bound.
    """
    elements = [[(symbol, form[:p].count(symbol)) for p, symbol in enumerate(form)] for form in forms.symbols]
    counts = Counter(element for form in elements for element in form)
    bits = {element: 1 << min(rank, 63) for rank, (element, _) in enumerate(counts.most_common())}
    return _unions(elements, bits)


def _neighbour_sets(forms: Forms) -> np.ndarray:
    """The pairs of neighbouring phones of each form, its edges included, spread over a set of 64 bits."""
    pairs = [list(zip((None, *form), (*form, None), strict=True)) for form in forms.symbols]
    counts = Counter(pair for form in pairs for pair in form)
    bits = {pair: 1 << (rank % 64) for rank, (pair, _) in enumerate(counts.most_common())}
    return _unions(pairs, bits)


def _unions(members: list[list], bits: dict) -> np.ndarray:
    sets = np.zeros(len(members), dtype=np.uint64)
    for row, form in enumerate(members):
        union = 0
        for member in form:
            union |= bits[member]
        sets[row] = union
    return sets
