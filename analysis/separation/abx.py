"""ABX: is x nearer to a token of its own type than to one of another?"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.distances import TokenDots
from analysis.separation.ranks import places
from analysis.separation.threads import workers

__all__ = ["Abx", "AbxCounter", "AbxDesign", "abx", "abx_of_matrix", "ordering"]

#: Distances looked at at once: few enough for a core's cache.
_BLOCK = 2**17


@dataclass(frozen=True)
class Abx:
    """ABX errors per cell of speaker and ordered type pair.

    Attributes
    ----------
    type_a, type_b, speaker : ndarray of int, shape (C,)
        x and a are of ``type_a``, b of ``type_b``; ``speaker`` is x's (0 where speakers are not told apart).
    error : ndarray, shape (C,)
        Share of triples in which x is nearer to b, ties counting half; across speakers the mean of these shares over the speakers
        of a and b.
    triples : ndarray, shape (C,)
    weight : ndarray, shape (C,)
        Weight of each cell in :meth:`mean`.
    """

    type_a: np.ndarray
    type_b: np.ndarray
    speaker: np.ndarray
    error: np.ndarray
    triples: np.ndarray
    weight: np.ndarray

    def mean(self, aggregate: str = "cells", chosen: np.ndarray | None = None) -> float:
        """The error of all cells, or of those chosen (a mask); NaN without a cell.

        Parameters
        ----------
        aggregate : str
            ``cells``: the published one, the mean over cells of (speaker of a and b, speaker of x, ordered type pair), as fastabx and
            the ZeroSpeech challenges take it; without a condition on speakers, over ordered type pairs, whose triples are pooled.
            ``speakers``: mean over the speakers of x, then over ordered type pairs. ``triples``: all triples count the same.
        chosen : ndarray of bool, shape (C,), optional

        References
        ----------
        Poli, M. et al. (2025). fastabx: a library for efficient computation of ABX discriminability.
        """
        kept = np.ones(len(self.error), dtype=bool) if chosen is None else chosen
        if not kept.any():
            return float("nan")
        error = self.error[kept]
        if aggregate == "cells":
            return float(np.average(error, weights=self.weight[kept]))
        if aggregate == "triples":
            return float(np.average(error, weights=self.triples[kept]))
        if aggregate != "speakers":
            raise SeparationError(f"ABX has no aggregation {aggregate!r}. Valid: cells, speakers, triples.")
        _, pair = np.unique((self.type_a * (1 + self.type_b.max(initial=0)) + self.type_b)[kept], return_inverse=True)
        return float(np.mean(np.bincount(pair, error) / np.bincount(pair)))

    def among(self, pairs: set[tuple[int, int]] | None) -> np.ndarray:
        """Which cells are of the given type pairs, in either order, as a mask; all of them without any."""
        if pairs is None:
            return np.ones(len(self.error), dtype=bool)
        low, high = np.minimum(self.type_a, self.type_b), np.maximum(self.type_a, self.type_b)
        n = 1 + int(high.max(initial=0))
        return np.isin(low * n + high, np.array([min(pair) * n + max(pair) for pair in pairs], dtype=np.int64))


@dataclass(frozen=True)
class _Layout:
    """Groups of tokens from which a and b come together: the tokens of each side by side, as lines of a rectangle.

    Attributes
    ----------
    groups : ndarray of int, shape (G,)
    tokens : ndarray of int, shape (G * width,)
        Each group's tokens by type, filled up with token 0.
    start, count : ndarray of int, shape (G, T)
        Where a type begins in its group's line, and how many tokens of it there are.
    by_type : ndarray of int, shape (n,)
        Places of the n tokens by type, whatever their group.
    types, type_starts : ndarray of int, shape (P,)
        The types there are, and where each begins in ``by_type``.
    as_they_are : bool
        ``tokens`` are 0, 1, 2 ...
    """

    groups: np.ndarray
    tokens: np.ndarray
    start: np.ndarray
    count: np.ndarray
    by_type: np.ndarray
    types: np.ndarray
    type_starts: np.ndarray
    as_they_are: bool

    @property
    def width(self) -> int:
        """Tokens in a line."""
        return len(self.tokens) // len(self.groups)


class AbxDesign:
    """Which triples there are: prepared once per set of tokens, then asked about any number of distance matrices.

    Parameters
    ----------
    types, speakers, utterances : ndarray of int, shape (N,)
    condition : str
        ``any``: no condition on speakers; ``within_speaker``: a, b and x of one speaker (BY speaker); ``across_speaker``: a and b
        of one speaker, x of another (ACROSS speaker). x is in another utterance than a and b always.

    Notes
    -----
    Error of types A, B: the share of triples (a, b, x), a and x in A, b in B, with ``d(b, x) < d(a, x)``, ties half. For each x
    only the distances of its a's are sorted; the place of each b among them (:func:`~analysis.separation.ranks.places`) is the
    number of triples it loses. That is about N steps per x, instead of ``n_A n_B`` comparisons for every other type. Counts are
    whole numbers, so that neither the order nor the number of threads in which rows are seen changes a digit.

    References
    ----------
    Schatz, T. (2016). ABX-discriminability measures and applications. PhD thesis, Universite Paris 6.
    """

    def __init__(self, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, condition: str = "any") -> None:
        if condition not in ("any", "within_speaker", "across_speaker"):
            raise SeparationError(f"ABX has no condition {condition!r}. Valid: any, within_speaker, across_speaker.")
        self.condition = condition
        kinds, self.types = np.unique(np.asarray(types), return_inverse=True)
        voices, self.speakers = np.unique(np.asarray(speakers), return_inverse=True)
        _, self.utterances = np.unique(np.asarray(utterances), return_inverse=True)
        self.n_types = len(kinds)
        self._by_utterance = np.argsort(self.utterances, kind="stable")
        self._utterance_size = np.bincount(self.utterances)
        self._utterance_start = np.cumsum(self._utterance_size) - self._utterance_size
        # where a token stands as a or b: in which layout, and at which place there
        self._layout_of = np.zeros(len(self.types), dtype=np.int64)
        self._place = np.zeros(len(self.types), dtype=np.int64)
        self.layouts = self._laid_out()
        codes, self._code = np.unique(self.speakers * self.n_types + self.types, return_inverse=True)
        self.n_codes = len(codes)
        totals = self._totals()
        own = np.arange(len(codes)), codes % self.n_types
        totals[own] = 0
        self._x, self._b = np.nonzero(totals)
        self._triples = totals[self._x, self._b]
        if condition == "across_speaker":
            for part in self._part:
                part[own[0], :, own[1]] = 0
            cells = sum(((part > 0).sum(axis=1) for part in self._part), np.zeros(totals.shape, dtype=np.int64))
            self._weight = cells[self._x, self._b].astype(np.float64)
            # what a triple counts in the mean over cells
            for part in self._part:
                np.divide(1.0, part, out=part, where=part > 0)
        elif condition == "within_speaker":
            self._weight = np.ones(len(self._x))
        else:
            pair = np.unique(codes[self._x] % self.n_types * self.n_types + self._b, return_inverse=True)[1]
            self._weight = self._triples / np.bincount(pair, self._triples)[pair] if len(pair) else np.zeros(0)
        self._names = kinds[codes % self.n_types][self._x], kinds[self._b], voices[codes // self.n_types][self._x]

    def _laid_out(self) -> list[_Layout]:
        group_of = np.zeros_like(self.speakers) if self.condition == "any" else self.speakers
        order = np.lexsort((self.types, group_of))
        size = np.bincount(group_of)
        begin = np.cumsum(size) - size
        # Groups asked by the same x stand together where they differ in size by less than twice: little is filled up.
        together = np.arange(len(size)) if self.condition == "within_speaker" else np.frexp(size)[1]
        layouts = []
        for number, one in enumerate(np.unique(together)):
            groups = np.flatnonzero(together == one)
            width = size[groups].max()
            line, column = np.nonzero(np.arange(width) < size[groups, None])
            chosen = order[begin[groups][line] + column]
            place, types = line * width + column, self.types[chosen]
            self._layout_of[chosen], self._place[chosen] = number, place
            tokens = np.zeros(len(groups) * width, dtype=np.int64)
            tokens[place] = chosen
            count = np.zeros((len(groups), self.n_types), dtype=np.int32)
            np.add.at(count, (line, types), 1)
            by_type = np.argsort(types, kind="stable")
            starts = np.flatnonzero(np.diff(types[by_type], prepend=-1))
            as_they_are = np.array_equal(tokens, np.arange(len(self.types)))
            layouts.append(
                _Layout(
                    groups, tokens, np.cumsum(count, axis=1, dtype=np.int32) - count, count, place[by_type],
                    types[by_type][starts], starts, as_they_are,
                )
            )  # fmt: skip
        return layouts

    def _askers(self, number: int, rows: np.ndarray) -> np.ndarray | slice:
        """Places of those of the rows that may be x to the a and b of a layout."""
        if self.condition != "within_speaker":
            return slice(None)
        return np.flatnonzero(self.speakers[rows] == self.layouts[number].groups[0])

    def _mates(self, number: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of a layout that are in the utterance of a row: (place of the row, token)."""
        utterance = self.utterances[rows]
        size = self._utterance_size[utterance]
        row = np.repeat(np.arange(len(rows)), size)
        step = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
        token = self._by_utterance[self._utterance_start[utterance][row] + step]
        here = self._layout_of[token] == number
        return row[here], token[here]

    def _totals(self) -> np.ndarray:
        """Triples, shape (codes, T)."""
        totals = np.zeros((self.n_codes, self.n_types))
        self._part: list[np.ndarray] = []
        for number, layout in enumerate(self.layouts):
            part = np.zeros((self.n_codes, len(layout.groups), self.n_types), dtype=np.float32)
            every = np.argsort(self._code, kind="stable")
            every = every[self._askers(number, every)]
            count = layout.count.astype(np.float64)
            step = max(1, 2**20 // max(*count.shape, self._utterance_size.max()))
            for first in range(0, len(every), step):
                rows = every[first : first + step]
                row, mate = self._mates(number, rows)
                line, own = self._place[mate] // layout.width, count.T[self.types[rows]]
                same = self.types[mate] == self.types[rows[row]]
                np.subtract.at(own, (row[same], line[same]), 1)
                if self.condition == "across_speaker":
                    own[layout.groups[None, :] == self.speakers[rows][:, None]] = 0
                found = own @ count
                np.subtract.at(found, (row, self.types[mate]), own[row, line])
                codes, sums = _sums_by_code(self._code[rows], found)
                totals[codes] += sums
                if self.condition == "across_speaker":
                    for place, asking in enumerate(rows):
                        mine = row == place
                        here = own[place][:, None] * count
                        np.subtract.at(here, (line[mine], self.types[mate[mine]]), own[place, line[mine]])
                        part[self._code[asking]] += here
            if self.condition == "across_speaker":
                self._part.append(part)
        return totals

    def won(self, number: int, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Twice the triples that each of the rows wins, by the type of b, from distances to the tokens of a layout.

        Across speakers, a triple counts the inverse of its cell's number of triples.

        Parameters
        ----------
        distances : ndarray, shape (R, G * width)

        Returns
        -------
        ndarray of int, or of float across speakers, shape (R, P)
        """
        layout = self.layouts[number]
        kind, lines = self.types[rows], len(layout.groups)
        start, count = layout.start.T[kind], layout.count.T[kind]
        step = np.arange(count.max(initial=0))
        place = np.minimum(start[:, :, None] + step, layout.width - 1) + np.arange(0, len(layout.tokens), layout.width)[:, None]
        asked = step < count[:, :, None]
        asked &= self.utterances[layout.tokens[place]] != self.utterances[rows][:, None, None]
        if self.condition == "across_speaker":
            asked &= (layout.groups != self.speakers[rows][:, None])[:, :, None]
        near = np.take_along_axis(distances, place.reshape(len(rows), -1), axis=1).reshape(place.shape)
        near = np.sort(np.where(asked, near, np.inf), axis=2)[:, :, : asked.sum(axis=2).max(initial=0)]
        wins = places(distances.reshape(-1, layout.width), near.reshape(len(rows) * lines, -1)).reshape(distances.shape)
        row, mate = self._mates(number, rows)
        wins[row, self._place[mate]] = 0
        if self.condition == "across_speaker":
            line, kinds = np.arange(wins.shape[1]) // layout.width, self.types[layout.tokens]
            wins = wins * self._part[number][self._code[rows][:, None], line[None, :], kinds[None, :]].astype(np.float64)
            return np.add.reduceat(wins.take(layout.by_type, axis=1), layout.type_starts, axis=1)
        if not layout.as_they_are:
            wins = wins.take(layout.by_type, axis=1)
        return np.add.reduceat(wins, layout.type_starts, axis=1, dtype=np.int64)

    def counter(self) -> AbxCounter:
        """Counts of one distance matrix, which may come in blocks of rows."""
        return AbxCounter(self)

    def result(self, won: np.ndarray) -> Abx:
        """The errors, from twice the triples won by (speaker and type of x, type of b)."""
        of_cells = self._weight if self.condition == "across_speaker" else self._triples
        return Abx(*self._names, 1 - won[self._x, self._b] / 2 / of_cells, self._triples, self._weight)


class AbxCounter:
    """Triples won so far; see :meth:`AbxDesign.counter`. Threads may share one."""

    def __init__(self, design: AbxDesign) -> None:
        self.design = design
        self._won = np.zeros((design.n_codes, design.n_types), dtype=np.int64)
        # not whole numbers: kept by row, so that they are added in one order whatever the order of the blocks
        across = design.condition == "across_speaker"
        self._of_rows = np.zeros((len(design.types) if across else 0, design.n_types))
        self._lock = threading.Lock()

    def see(self, rows: np.ndarray, distances: np.ndarray) -> None:
        """Take in the distances, all finite, from the tokens ``rows`` (x) to all tokens (a and b), shape (len(rows), N).

        Only the order within each row counts, so any increasing function of distance will do, another for each x.
        """
        design = self.design
        for number, layout in enumerate(design.layouts):
            asking = design._askers(number, rows)
            asked, part = rows[asking], distances[asking]
            step = max(1, _BLOCK // len(layout.tokens))
            for first in range(0, len(asked), step):
                chosen, block = asked[first : first + step], part[first : first + step]
                won = design.won(number, chosen, block if layout.as_they_are else block.take(layout.tokens, axis=1))
                if len(self._of_rows):
                    self._of_rows[np.ix_(chosen, layout.types)] += won
                    continue
                codes, sums = _sums_by_code(design._code[chosen], won)
                with self._lock:
                    self._won[np.ix_(codes, layout.types)] += sums

    def result(self) -> Abx:
        """The errors of all that was seen."""
        if not len(self._of_rows):
            return self.design.result(self._won)
        won = np.zeros(self._won.shape)
        codes, sums = _sums_by_code(self.design._code, self._of_rows)
        won[codes] = sums
        return self.design.result(won)


def _sums_by_code(codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The codes there are, ascending, and the sum of the rows of each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    return ordered[starts], np.add.reduceat(values[order], starts, axis=0)


def abx(
    vectors: np.ndarray,
    types: np.ndarray,
    speakers: np.ndarray,
    utterances: np.ndarray,
    *,
    condition: str = "any",
    distance: str = "cosine",
    device: str = "cpu",
) -> Abx:
    """ABX errors ON type, with a, b and x subject to a speaker condition and x in another utterance than a and b.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
    types, speakers, utterances : ndarray of int, shape (N,)
    condition : str
        As :class:`AbxDesign` takes it.
    distance : str
        ``l2``, ``cosine`` (``mse`` and ``l2_unit``, ``angular`` order tokens as these two do).
    device : str
    """
    types, speakers, utterances = np.asarray(types), np.asarray(speakers), np.asarray(utterances)
    vectors = _finite(vectors, "token vectors")
    # by type, so that the tokens of a block of rows have much the same a's
    groups = [np.lexsort((speakers, types))]
    if condition == "within_speaker" and len(types):
        # no token is compared with another speaker's, so the distances between speakers are not taken at all
        groups = [groups[0][speakers[groups[0]] == speaker] for speaker in np.unique(speakers)]

    def of_group(group: np.ndarray) -> Abx:
        dots = TokenDots(vectors[group], utterances[group], device, keep=False)
        counter = AbxDesign(types[group], speakers[group], utterances[group], condition).counter()
        squares = dots.squares()

        def see(rows: np.ndarray) -> None:
            counter.see(rows, ordering(dots.block(rows), squares, distance))

        threads.map(see, dots.rows(2**21))
        return counter.result()

    with workers(device) as threads:
        parts = [of_group(groups[0])] if len(groups) == 1 else threads.map(of_group, groups)
    return Abx(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Abx)))


def ordering(dots: np.ndarray, squares: np.ndarray, distance: str) -> np.ndarray:
    """What orders tokens by their distance from each row's token: shape of ``dots``, (rows, N)."""
    if distance in ("l2", "mse"):
        result = dots * -2.0
        result += squares[None, :]
        return result
    if distance in ("cosine", "l2_unit", "angular"):
        return dots * (-1 / np.sqrt(np.maximum(squares, 1e-60)))[None, :]
    raise SeparationError(f"ABX has no distance {distance!r}. Valid: l2, mse, cosine, l2_unit, angular.")


def abx_of_matrix(
    distances: np.ndarray, types: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, *, condition: str = "any"
) -> Abx:
    """The same errors from given distances, shape (N, N), such as those of :mod:`analysis.separation.warping`; rows are x."""
    distances = _finite(distances, "rows of distances")
    counter = AbxDesign(types, speakers, utterances, condition).counter()
    counter.see(np.arange(len(distances)), distances)
    return counter.result()


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise SeparationError(
            f"{int(bad.sum())} of {len(values)} {what} hold NaN or infinite values, the first at {int(bad.argmax())}, so nothing can "
            f"be ordered by distance. Likely the encoder overflowed in half precision or a token has no frame. Leave such tokens out "
            f"or extract again with dtype float32."
        )
    return values
