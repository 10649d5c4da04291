"""Which tokens are compared with which: token pairs by relation, and the cells that they are summed over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.errors import SeparationError
from analysis.phonology.composition import TokenKinds, class_codes, composed, composition_sentences, count_scored
from analysis.phonology.types import PAIR_CLASSES
from analysis.separation.intervals import Cells
from analysis.separation.sampling import BalancedDraw, drawn_first
from analysis.separation.texts import text_blocks

__all__ = [
    "CLASS_RELATIONS", "SPLIT_BITS", "UNKNOWN_SPEAKER", "TokenPairs", "pair_tokens", "sampled_tokens", "speaker_of_utterance",
    "split_mask", "texts_of_tokens",
]  # fmt: skip

#: Bits of an atom: what holds of one token pair. Splits are unions of atoms.
SPLIT_BITS: dict[str, int] = {
    "same_utterance": 1, "same_speaker": 2, "matched_duration": 4, "matched_neighbours": 8, "same_text": 16,
}  # fmt: skip

#: Token pairs at most: memory and time follow their number. Where there would be more, fewer tokens of each type are drawn.
MOST_TOKEN_PAIRS = 2_000_000

#: What stands for a speaker that nobody named.
UNKNOWN_SPEAKER = "unknown speaker"

#: What token pairs of near-homophone types may be where they are not scored as near-homophones: relations of their own.
CLASS_RELATIONS = tuple(name for name in PAIR_CLASSES if name not in ("same_word", "unknown"))

#: Relations that are looked for unless others are named; a pair table need not have all of them.
USUAL_RELATIONS = ("near_homophone", "unrelated", "homophone", "synonym", *CLASS_RELATIONS)


def split_mask(atoms: np.ndarray, split: str) -> np.ndarray:
    """Which atoms belong to a split such as ``different_utterance`` or ``different_speaker+matched_duration``."""
    keep = np.ones(len(atoms), dtype=bool)
    for part in split.split("+"):
        if part == "all":
            continue
        wanted = not part.startswith("different_")
        bit = SPLIT_BITS[part if wanted else "same_" + part.removeprefix("different_")]
        keep &= (np.bitwise_and(atoms, bit) > 0) == wanted
    return keep


@dataclass(frozen=True)
class TokenPairs:
    """All token pairs of all type pairs, sorted so that every cell is one run.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Rows of the token table that are in use; everything below counts positions in it.
    utterances, speakers, types : tuple of str
        What the codes mean.
    utterance, speaker, type : ndarray of int, shape (n,)
        Codes of each token in use.
    text_of_utterance : ndarray of int, shape (U,)
        Text of each utterance in use; readings of one text share a code (:func:`analysis.separation.texts.text_blocks`).
    a, b : ndarray of int, shape (M,)
        The two tokens of each pair.
    type_pairs : DataFrame, P rows
        ``type_a``, ``type_b``, ``relation``, ``edit_class``, ``viseme_distance``, ``phone_distance``; a ``same_type`` row for
        each type of the near-homophones. Two types have a row for each relation in which their tokens stand: the near-homophones
        SH IH P (*ship*, *shipment*), SH IH P S (*ships*) another for what is an ``inflection``.
    starts : ndarray of int, shape (C,)
        Where each cell begins in ``a`` and ``b``. A cell is all token pairs that agree in type pair, atom and the two speakers.
    cell_count, cell_type_pair, cell_atom, cell_speaker_a, cell_speaker_b : ndarray, shape (C,)
    blocks : list of (type pair code, tokens a, tokens b)
        All tokens of the two types of each row of ``type_pairs``.
    sampled : list of str
        What is scored, left out or cut to a sample, in words.
    """

    rows: np.ndarray
    utterances: tuple[str, ...]
    speakers: tuple[str, ...]
    types: tuple[str, ...]
    utterance: np.ndarray
    speaker: np.ndarray
    type: np.ndarray
    text_of_utterance: np.ndarray
    a: np.ndarray
    b: np.ndarray
    type_pairs: pd.DataFrame
    starts: np.ndarray
    cell_count: np.ndarray
    cell_type_pair: np.ndarray
    cell_atom: np.ndarray
    cell_speaker_a: np.ndarray
    cell_speaker_b: np.ndarray
    blocks: list[tuple[int, np.ndarray, np.ndarray]]
    sampled: list[str]

    def __len__(self) -> int:
        return len(self.a)

    def cells(self, chosen: np.ndarray) -> Cells:
        """The chosen cells (a mask or positions) as what intervals are made from."""
        pair = self.cell_type_pair[chosen]
        types = self.types_of_pair[pair]
        # cells are many and held for every average: codes of half the size
        columns = (
            self.cell_speaker_a[chosen],
            self.cell_speaker_b[chosen],
            pair,
            self.cell_count[chosen],
            types[:, 0],
            types[:, 1],
        )
        return Cells(*(column.astype(np.int32) for column in columns))

    @cached_property
    def types_of_pair(self) -> np.ndarray:
        """Codes of the two types of each type pair, shape (P, 2)."""
        code = {name: number for number, name in enumerate(self.types)}
        return self.type_pairs[["type_a", "type_b"]].map(code.__getitem__).to_numpy(dtype=np.int64).reshape(-1, 2)

    @property
    def text(self) -> np.ndarray:
        """Text of each token in use, shape (n,)."""
        return self.text_of_utterance[self.utterance]

    def cell_of_pair(self) -> np.ndarray:
        """The cell of each token pair, shape (M,)."""
        return np.repeat(np.arange(len(self.starts)), self.cell_count)


def speaker_of_utterance(pairs: TokenPairs) -> np.ndarray:
    """Code of the speaker of each utterance in use, shape (U,)."""
    speaker = np.zeros(len(pairs.utterances), dtype=np.int64)
    speaker[pairs.utterance] = pairs.speaker
    return speaker


def _speakers(column: pd.Series, notes: list[str]) -> np.ndarray:
    """Names of speakers; tokens without one belong to one unknown speaker."""
    missing = column.isna().to_numpy() | (column.astype(str).str.strip() == "").to_numpy()
    if missing.any():
        notes.append(f"{int(missing.sum())} of {len(column)} tokens name no speaker; they are treated as one unknown speaker")
    return np.where(missing, UNKNOWN_SPEAKER, column.astype(str).to_numpy())


def texts_of_tokens(tokens: pd.DataFrame) -> np.ndarray:
    """Text of each token, shape (N,); where the table has no texts, its utterance."""
    utterances, utterance = np.unique(tokens["utterance"].astype(str).to_numpy(), return_inverse=True)
    return _texts(tokens, utterance, len(utterances), [])[utterance]


def _texts(tokens: pd.DataFrame, utterance: np.ndarray, n: int, notes: list[str]) -> np.ndarray:
    """Text of each of the ``n`` utterances, from the column ``text`` of the tokens (rows in the order of ``utterance``)."""
    if "text" not in tokens:
        notes.append("the token table has no column 'text', so every utterance is treated as a text of its own")
        return np.arange(n)
    first = np.full(n, -1)
    first[utterance[::-1]] = np.arange(len(utterance))[::-1]
    blocks, note = text_blocks(tokens["text"].fillna("").astype(str).to_numpy()[first].tolist())
    if note:
        notes.append(note)
    return blocks


def pair_tokens(
    tokens: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    relations: tuple[str, ...] = USUAL_RELATIONS,
    duration_ratio: float = 1.25,
    features: tuple[str, ...] = (),
    max_tokens_per_type: int = 100,
    max_type_pairs: int = 1000,
    seed: int = 0,
) -> TokenPairs:
    """Every token pair of every type pair that the corpus has tokens for.

    Parameters
    ----------
    tokens : DataFrame
        :data:`analysis.phonology.types.TOKEN_COLUMNS`; ``type``, ``utterance``, ``speaker`` and ``text`` are read, and for matched splits
        ``start``, ``end``, ``previous_phone``, ``next_phone``.
    pairs : DataFrame
        :data:`analysis.phonology.types.PAIR_COLUMNS`; without ``COMPOSITION_COLUMNS`` they are composed by default
        (:func:`analysis.phonology.composed`).
    features : tuple of str
        Those of :data:`SPLIT_BITS` beyond the first two that some split asks for.

    Raises
    ------
    SeparationError
        If no type pair of the wanted relations has tokens on both sides, a wanted relation is neither a usual one nor in the pair
        table, or all near-homophones are of one word.

    Notes
    -----
    Tokens of one word are never near-homophones, whatever their types: a near-homophone row holds the token pairs of the classes that
    its ``pairs_of`` names, the other classes are relations of their own (two syllables of one word are in none). Unrelated rows
    hold the same classes, and ``same_type`` rows the tokens that stand in a near-homophone pair.
    """
    there = sorted(set(pairs["relation"].astype(str)) | set(USUAL_RELATIONS))
    if unknown := sorted(set(relations) - {*there, "same_type"}):
        raise SeparationError(
            f"There is no relation {unknown[0]!r}, neither among the usual ones nor in the pair table. Choose among {', '.join(there)}."
        )
    kinds = TokenKinds.of(tokens)
    pairs, sampled = _composed(pairs, tokens, kinds, relations)
    table, chosen, _ = _drawn(tokens, pairs, kinds, relations, max_tokens_per_type, max_type_pairs, seed, sampled)
    names = tokens["type"].astype(str).to_numpy()
    used = sorted(chosen)
    rows = np.sort(np.concatenate([chosen[name] for name in used]))
    position = np.full(len(tokens), -1)
    position[rows] = np.arange(len(rows))
    chosen = {name: position[members] for name, members in chosen.items()}
    utterances, utterance = np.unique(tokens["utterance"].astype(str).to_numpy()[rows], return_inverse=True)
    text_of_utterance = _texts(tokens.iloc[rows], utterance, len(utterances), sampled)
    text = text_of_utterance[utterance]
    speakers, speaker = np.unique(_speakers(tokens["speaker"].iloc[rows], sampled), return_inverse=True)
    types, kind = np.unique(names[rows], return_inverse=True)

    blocks, parts_a, parts_b, parts_pair, keep = [], [], [], [], []
    for code, (type_a, type_b) in enumerate(zip(table["type_a"], table["type_b"], strict=True)):
        first, second = chosen[type_a], chosen[type_b]
        if type_a == type_b:
            upper, lower = np.triu_indices(len(first), k=1)
            if not len(upper):
                continue
            parts_a.append(first[upper])
            parts_b.append(first[lower])
        else:
            parts_a.append(np.repeat(first, len(second)))
            parts_b.append(np.tile(second, len(first)))
        parts_pair.append(np.full(len(parts_a[-1]), len(keep)))
        blocks.append((len(keep), first, second))
        keep.append(code)
    table = table.iloc[keep].reset_index(drop=True)
    a, b = np.concatenate(parts_a), np.concatenate(parts_b)
    type_pair = np.concatenate(parts_pair)
    if kinds.words:
        held, relation, type_pair = _relations_of_pairs(table, type_pair, a, b, kinds, rows, relations)
        a, b = a[held], b[held]
        blocks = [(code, *blocks[old][1:]) for code, old in enumerate(relation["row"])]
        table = table.iloc[relation["row"]].assign(relation=relation["relation"].to_numpy()).reset_index(drop=True)
    atom = (utterance[a] == utterance[b]) * SPLIT_BITS["same_utterance"]
    atom = atom + (speaker[a] == speaker[b]) * SPLIT_BITS["same_speaker"]
    atom = atom + (text[a] == text[b]) * SPLIT_BITS["same_text"]
    if "matched_duration" in features:
        duration = (tokens["end"].to_numpy(dtype=float) - tokens["start"].to_numpy(dtype=float))[rows]
        longer, shorter = np.maximum(duration[a], duration[b]), np.minimum(duration[a], duration[b])
        atom = atom + (longer <= duration_ratio * shorter) * SPLIT_BITS["matched_duration"]
    if "matched_neighbours" in features:
        context = tokens["previous_phone"].astype(str).to_numpy() + "|" + tokens["next_phone"].astype(str).to_numpy()
        context = np.unique(context[rows], return_inverse=True)[1]
        atom = atom + (context[a] == context[b]) * SPLIT_BITS["matched_neighbours"]
    low, high = np.minimum(speaker[a], speaker[b]), np.maximum(speaker[a], speaker[b])
    order = np.lexsort((high, low, atom, type_pair))
    a, b, type_pair, atom, low, high = (column[order] for column in (a, b, type_pair, atom, low, high))
    change = np.ones(len(a), dtype=bool)
    change[1:] = (np.diff(type_pair) != 0) | (np.diff(atom) != 0) | (np.diff(low) != 0) | (np.diff(high) != 0)
    starts = np.flatnonzero(change)
    return TokenPairs(
        rows=rows,
        utterances=tuple(utterances.tolist()),
        speakers=tuple(speakers.tolist()),
        types=tuple(types.tolist()),
        utterance=utterance,
        speaker=speaker,
        type=kind,
        text_of_utterance=text_of_utterance,
        a=a,
        b=b,
        type_pairs=table,
        starts=starts,
        cell_count=np.diff(np.append(starts, len(a))),
        cell_type_pair=type_pair[starts],
        cell_atom=atom[starts],
        cell_speaker_a=low[starts],
        cell_speaker_b=high[starts],
        blocks=blocks,
        sampled=sampled,
    )


def sampled_tokens(
    tokens: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    relations: tuple[str, ...] = USUAL_RELATIONS,
    max_tokens_per_type: int = 100,
    max_type_pairs: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, list[str]]:
    """Rows of the token table without which :func:`pair_tokens` finds the same token pairs, and what was drawn, in words.

    What it leaves out are the tokens of frequent types that are not drawn, and all tokens of types whose pairs are not. Where nothing
    is drawn, these are all rows.

    Parameters
    ----------
    tokens, pairs, relations, max_tokens_per_type, max_type_pairs, seed
        As in :func:`pair_tokens`; the pairs with ``COMPOSITION_COLUMNS``.

    Returns
    -------
    ndarray of int, shape (n,)
        Ascending.
    list of str
        Empty where nothing is left out.
    """
    kinds = TokenKinds.of(tokens)
    notes: list[str] = []
    _, chosen, others = _drawn(tokens, pairs, kinds, relations, max_tokens_per_type, max_type_pairs, seed, notes)
    # types of pairs that are not asked for take no part, and stay unless there is something to leave out
    kept = [*chosen.values(), *([] if others is None else [others])]
    rows = np.sort(np.concatenate(kept))
    if len(rows) == len(tokens):
        return rows, []
    return rows, [*notes, f"{len(rows)} of {len(tokens)} tokens are scored (seed {seed}); vectors of no others are looked at"]


def _drawn(
    tokens: pd.DataFrame,
    pairs: pd.DataFrame,
    kinds: TokenKinds,
    relations: tuple[str, ...],
    max_tokens_per_type: int,
    max_type_pairs: int,
    seed: int,
    sampled: list[str],
) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray | None]:
    """The type pairs, the rows of each of their types, and the rows of all other types; None where type pairs were drawn."""
    code, all_types = pd.factorize(tokens["type"].astype(str), sort=True)
    members = _members(code, len(all_types))
    members_of = dict(zip(all_types.tolist(), members, strict=True))
    table, every = _type_pairs(pairs, members_of, relations, max_type_pairs, seed, sampled)
    used = sorted(set(table["type_a"]) | set(table["type_b"]))
    chosen = {name: members_of[name] for name in used}
    most = _tokens_that_fit(table, used, [kinds.kind[chosen[name]] for name in used], max_tokens_per_type)
    if most < max_tokens_per_type:
        sampled.append(
            f"{max_tokens_per_type} tokens of each type would make more than {MOST_TOKEN_PAIRS:,} token pairs, so that at most {most} of each "
            f"are paired"
        )
    max_tokens_per_type = most
    cut = [name for name in used if len(members_of[name]) > max_tokens_per_type]
    if cut:
        draw, rng = BalancedDraw(tokens), np.random.default_rng([seed, 11])
        for name in cut:
            # by kind, so that many "to" do not crowd out a few "two"
            of_kind = kinds.kind[members_of[name]]
            alike = [members_of[name][of_kind == kind] for kind in np.unique(of_kind)]
            chosen[name] = np.sort(np.concatenate([draw.of(part, max_tokens_per_type, rng) for part in alike]))
        cut = [name for name in cut if len(chosen[name]) < len(members_of[name])]
    if cut:
        sampled.append(
            f"{len(cut)} of {len(used)} types have more than {max_tokens_per_type} tokens; a sample of them is paired, in which speakers "
            f"and each speaker's texts take turns"
        )
    others = [members_of[name] for name in all_types if name not in chosen]
    return table, chosen, (np.concatenate(others) if others else np.zeros(0, dtype=np.int64)) if every else None


def _tokens_that_fit(table: pd.DataFrame, used: list[str], kinds: list[np.ndarray], most: int) -> int:
    """How many tokens of each kind of a type, at most ``most``, make no more than :data:`MOST_TOKEN_PAIRS` token pairs."""
    counts = np.stack([np.bincount(kind, minlength=len(PAIR_CLASSES)) for kind in kinds])
    place = {name: number for number, name in enumerate(used)}
    a, b = (table[column].map(place).to_numpy() for column in ("type_a", "type_b"))

    def pairs(cap: int) -> int:
        size = counts.sum(axis=1)
        size = np.where(size <= cap, size, np.minimum(counts, cap).sum(axis=1))
        return int(np.where(a == b, size[a] * (size[a] - 1) // 2, size[a] * size[b]).sum())

    if pairs(most) <= MOST_TOKEN_PAIRS:
        return most
    low, high = 2, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if pairs(middle) <= MOST_TOKEN_PAIRS else (low, middle)
    return low


def _composed(
    pairs: pd.DataFrame, tokens: pd.DataFrame, kinds: TokenKinds, relations: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """The pair table with what its pairs are made of, and what is to be said of it."""
    if "near_homophone" not in relations:
        return pairs, []
    notes = []
    if "pairs_of" not in pairs:
        pairs, fallback = composed(pairs, tokens)
        notes += [fallback] if fallback else []
    notes += composition_sentences(pairs, kinds.missing)
    near = (pairs["relation"] == "near_homophone") & (pairs["made_of"] != "")
    if near.any() and not count_scored(pairs):
        raise SeparationError(
            f"None of the {int(near.sum())} near-homophone pairs can be scored: their token pairs are of one word, or of no class that "
            f"was asked for. Add recordings, or score other classes with --pairs_of."
        )
    return pairs, notes


def _relations_of_pairs(
    table: pd.DataFrame,
    type_pair: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    kinds: TokenKinds,
    rows: np.ndarray,
    relations: tuple[str, ...],
) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Which token pairs are kept; (row of ``table``, relation) of each new type pair; the new code of each kept token pair."""
    names = list(dict.fromkeys([*relations, *table["relation"]]))
    names = [name for name in names if name != "same_type"] + ["same_type"]
    number = {name: code for code, name in enumerate(names)}
    of_row = table["relation"].map(number).to_numpy()
    found = of_row[type_pair]
    if "near_homophone" in relations:
        near, apart, same = (of_row == number.get(name, -1) for name in ("near_homophone", "unrelated", "same_type"))
        asked = np.flatnonzero((near | apart)[type_pair])
        classes = kinds.classes(rows[a[asked]], rows[b[asked]])
        taken = np.zeros((len(table), len(PAIR_CLASSES)), dtype=bool)
        for row, scored in enumerate(table["pairs_of"].fillna("")):
            taken[row, class_codes(scored)] = True
        elsewhere = np.array([number.get(name, -1) if name in CLASS_RELATIONS else -1 for name in PAIR_CLASSES])
        # a class that is scored in one pair and not in the next, which has too few tokens of it, is no relation
        elsewhere[taken[near].any(axis=0)] = -1
        own = found[asked]
        found[asked] = np.where(taken[type_pair[asked], classes], own, np.where(near[type_pair[asked]], elsewhere[classes], -1))
        if (is_near := found == number["near_homophone"]).any():
            part = np.zeros(len(rows), dtype=bool)
            part[a[is_near]] = part[b[is_near]] = True
            found[same[type_pair] & ~(part[a] & part[b])] = -1
    held = np.flatnonzero(found >= 0)
    if not len(held):
        raise SeparationError(
            "No token pair is left to compare: those of near-homophone types are of one word, or of classes that are not scored, and no "
            "other relation has any. Add recordings, or score other classes with --pairs_of."
        )
    codes, inverse = np.unique(found[held] * len(table) + type_pair[held], return_inverse=True)
    split = pd.DataFrame({"row": codes % len(table), "relation": np.array(names, dtype=object)[codes // len(table)]})
    return held, split, inverse


def _members(codes: np.ndarray, n: int) -> list[np.ndarray]:
    """Positions of each code, as one array per code."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n))[:-1])


def _each_once(pairs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Every type pair once for each relation, whichever type comes first."""
    first, second = (pairs[name].astype(str).to_numpy(dtype=object) for name in ("type_a", "type_b"))
    low, high = np.minimum(first, second), np.maximum(first, second)
    again = pd.DataFrame({"low": low, "high": high, "relation": pairs["relation"].to_numpy()}).duplicated().to_numpy()
    if again.any():
        notes.append(f"{int(again.sum())} rows of the pair table repeat a pair, in either order; each pair is scored once")
    return pairs[~again]


def _type_pairs(
    pairs: pd.DataFrame,
    members_of: dict[str, np.ndarray],
    relations: tuple[str, ...],
    limit: int,
    seed: int,
    sampled: list[str],
) -> tuple[pd.DataFrame, bool]:
    """Type pairs with tokens on both sides, one ``same_type`` row per type of the near-homophones (of all, where none is).

    With it, whether these are all of them.
    """
    present = pairs["type_a"].isin(members_of) & pairs["type_b"].isin(members_of) & (pairs["type_a"] != pairs["type_b"])
    found = _each_once(pairs[present & pairs["relation"].isin(relations)], sampled)
    if not len(found):
        wanted = pairs["relation"].isin(relations)
        raise SeparationError(
            f"No type pair can be compared: the pair table has {len(pairs)} rows, {int(wanted.sum())} of them of the relations "
            f"{', '.join(relations)}, and none has tokens of both types among the corpus's {len(members_of)} types. Likely the "
            f"corpus is too small or the pair table was made for another unit. Mine pairs from the corpus's own types, raise the "
            f"distance threshold, or add recordings."
        )
    columns = {"edit_class": "", "viseme_distance": np.nan, "phone_distance": np.nan, "pairs_of": ""}
    parts, every = [], True
    for relation in relations:
        rows = found[found["relation"] == relation]
        if len(rows) > limit:
            sampled.append(f"{limit} of {len(rows)} {relation} type pairs were drawn")
            names = ["|".join([relation, *sorted((str(a), str(b)))]) for a, b in zip(rows["type_a"], rows["type_b"], strict=True)]
            rows, every = rows.iloc[drawn_first(names, limit, seed)], False
        parts.append(rows)
    table = pd.concat(parts, ignore_index=True)
    for column, default in columns.items():
        if column not in table:
            table[column] = default
    table["edit_class"] = table["edit_class"].fillna("")
    core = table[(table["relation"] == "near_homophone") & (table["pairs_of"] != "")]
    core = core if len(core) else table
    same = sorted(name for name in set(core["type_a"]) | set(core["type_b"]) if len(members_of[name]) > 1)
    same_rows = pd.DataFrame({"type_a": same, "type_b": same, "relation": "same_type"})
    same_rows = same_rows.assign(edit_class="", viseme_distance=0.0, phone_distance=0.0, pairs_of="")
    keep = ["type_a", "type_b", "relation", "edit_class", "viseme_distance", "phone_distance", "pairs_of"]
    return pd.concat([table[keep], same_rows[keep]] if same else [table[keep]], ignore_index=True), every
