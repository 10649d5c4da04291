"""What near-homophone pairs are made of: words or their parts, content or function words, inflections, two forms of one word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import ConfigurationError
from analysis.phonology.types import COMPOSITION_COLUMNS, PAIR_CLASSES

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEFAULT_PAIRS_OF",
    "PAIRS_OF",
    "TokenKinds",
    "are_enough",
    "class_codes",
    "compose",
    "composed",
    "composition_sentences",
    "composition_table",
    "count_scored",
    "fallback_sentence",
    "may_stand",
    "pairs_of",
    "taking_part",
]

_CODES = {name: code for code, name in enumerate(PAIR_CLASSES)}
_WORD_PART = _CODES["word_part"]
#: Classes that may be scored as near-homophones; tokens of one word never are, unknown words always.
_SCORED = tuple(name for name in PAIR_CLASSES if name not in ("variant_form", "same_word", "unknown"))

#: The headline's classes unless others are named: stressed syllables of content words of different lemmas.
DEFAULT_PAIRS_OF = ("word_part", "whole_word")

#: What ``pairs_of`` takes, by what it stands for.
PAIRS_OF: dict[str, tuple[str, ...]] = {"content": DEFAULT_PAIRS_OF, "all": _SCORED} | {name: (name,) for name in _SCORED}

# Words shown of a side of a pair.
_SHOWN = 3


def pairs_of(asked: str) -> tuple[str, ...]:
    """The classes that a setting such as ``content`` or ``whole_word,function_word`` names, in the order of ``PAIR_CLASSES``.

    Raises
    ------
    ConfigurationError
        If a name is unknown or none is given.
    """
    names = [part.strip() for part in asked.split(",") if part.strip()]
    unknown = [name for name in names if name not in PAIRS_OF]
    if unknown or not names:
        given = repr(unknown[0]) if unknown else "nothing"
        raise ConfigurationError(f"--pairs_of takes {', '.join(PAIRS_OF)}, or several with commas between, not {given}.")
    wanted = {name for part in names for name in PAIRS_OF[part]}
    return tuple(name for name in PAIR_CLASSES if name in wanted)


@dataclass(frozen=True)
class TokenKinds:
    """What decides the class of a pair of tokens.

    Attributes
    ----------
    word : ndarray of int, shape (n,)
        Code of each token's word; -1 where there is none.
    position : ndarray of int, shape (n,)
        Which syllable of the word.
    kind : ndarray of int, shape (n,)
        The class (code in ``PAIR_CLASSES``) that a pair has if both of its tokens are like this one and of different lemmas.
    lemma : ndarray of int, shape (words, k)
        Codes of the lemmas of each word, filled up with -1.
    family : ndarray of int, shape (words,)
        Words of different families share no lemma, nor a word that shares one with both.
    words : tuple of str
        What the codes of words mean.
    missing : tuple of str
        Columns that the token table lacks.
    """

    word: np.ndarray
    position: np.ndarray
    kind: np.ndarray
    lemma: np.ndarray
    family: np.ndarray
    words: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, tokens: pd.DataFrame) -> TokenKinds:
        """From a token table; of the columns ``word``, ``word_class``, ``lemmas``, ``stress`` and ``n_syllables`` any may lack.

        Without ``word`` nothing is known of any pair; without one of the others every pair of different words is ``unknown``.
        """
        import pandas as pd

        missing = tuple(name for name in ("word", "word_class", "lemmas", "stress", "n_syllables") if name not in tokens)
        if "word" in missing:
            n = len(tokens)
            unknown = np.full(n, _CODES["unknown"])
            nothing = np.zeros(0, dtype=np.int64)
            return cls(np.full(n, -1), np.zeros(n, dtype=np.int64), unknown, nothing.reshape(0, 1), nothing, (), missing)
        word, names = pd.factorize(tokens["word"].astype(str).str.strip().str.lower())
        word = np.where((names == "")[word], -1, word) if len(names) else word
        position = tokens["position"].to_numpy() if "position" in tokens else np.zeros(len(tokens), dtype=np.int64)
        if missing:
            kind = np.full(len(tokens), _CODES["unknown"])
            apart = np.arange(len(names))
            return cls(word, position, kind, np.full((len(names), 1), -1), apart, tuple(names), missing)
        syllables = (tokens["unit"] == "syllable").to_numpy() if "unit" in tokens else np.ones(len(tokens), dtype=bool)
        classes, n_syllables = tokens["word_class"].to_numpy(), tokens["n_syllables"].to_numpy()
        part = syllables & (n_syllables > 1)
        # of a word of one syllable, a content word bears stress wherever the labels leave it open
        stressed = ~syllables | (tokens["stress"].to_numpy() > 0) | (~part & (tokens["stress"].to_numpy() < 0))
        kind = np.select(
            [(classes != "content") & (classes != "function"), classes == "function", ~stressed, part],
            [_CODES["unknown"], _CODES["function_word"], _CODES["unstressed"], _WORD_PART],
            _CODES["whole_word"],
        )
        first = tokens["lemmas"].astype(str).groupby(word).first()
        forms = [str(first.get(code, "")).split() for code in range(len(names))]
        number = {lemma: code for code, lemma in enumerate(sorted({one for form in forms for one in form}))}
        lemma = np.full((len(names), max((len(form) for form in forms), default=1) or 1), -1)
        for code, form in enumerate(forms):
            lemma[code, : len(form)] = [number[one] for one in form]
        return cls(word, position, kind, lemma, _families(lemma, len(number)), tuple(names), ())

    def classes(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Class code of each pair of tokens (rows of the table); the two arrays are broadcast against each other."""
        found = np.ascontiguousarray(np.minimum(self.kind[a], self.kind[b]))
        word_a, word_b = self.word[a], self.word[b]
        # both known, for which a pair needs both words
        known = (found != _CODES["unknown"]) & (word_a >= 0) & (word_b >= 0) & (word_a != word_b)
        # words that share a lemma are of one family; in most families all do
        none = np.empty(0, dtype=np.int64)
        one_family = np.flatnonzero((known & (self.family[word_a] == self.family[word_b])).ravel()) if len(self.family) else none
        if len(one_family):
            first, second = (np.broadcast_to(side, found.shape).ravel()[one_family] for side in (word_a, word_b))
            ours, theirs = self.lemma[first][:, :, None], self.lemma[second][:, None, :]
            shared = ((ours == theirs) & (ours >= 0)).any(axis=(1, 2))
            found.ravel()[one_family[shared]] = _CODES["inflection"]
        one_word = np.where(self.position[a] == self.position[b], _CODES["variant_form"], _CODES["same_word"])
        return np.where((word_a == word_b) & (word_a >= 0), one_word, found)


def _families(lemma: np.ndarray, n_lemmas: int) -> np.ndarray:
    """Connected words, where a lemma connects all words that may be forms of it; shape (words,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    word, place = np.nonzero(lemma >= 0)
    size = len(lemma) + n_lemmas
    links = coo_array((np.ones(len(word)), (word, len(lemma) + lemma[word, place])), shape=(size, size))
    return connected_components(links, directed=False)[1][: len(lemma)]


def compose(
    pairs: pd.DataFrame, tokens: pd.DataFrame, asked: Sequence[str] = DEFAULT_PAIRS_OF, *, min_tokens: int = 1
) -> pd.DataFrame:
    """A pair table with what each near-homophone pair is made of, and which of its token pairs are scored.

    Parameters
    ----------
    pairs : DataFrame
        ``PAIR_COLUMNS``.
    tokens : DataFrame
        ``TOKEN_COLUMNS``; see :meth:`TokenKinds.of` for what may lack.
    asked : sequence of str
        Classes to score: names of ``PAIR_CLASSES``. Pairs of unknown words are scored whatever is asked.
    min_tokens : int
        Tokens that each side must have in the token pairs scored; a pair with fewer is not scored.

    Returns
    -------
    DataFrame
        The rows as they were, with ``COMPOSITION_COLUMNS``. Rows of other relations have ``pairs_of`` too, so that unrelated
        tokens are of the same classes, and no words.

    Notes
    -----
    A class belongs to a pair of tokens, not of types: with the type AE N D said of *and* and of *hand*, its pairs with AH N D (*and*)
    are ``variant_form`` and ``function_word``. Counts are of all token pairs of the corpus, those of one utterance included.
    """
    kinds = TokenKinds.of(tokens)
    codes = sorted({_CODES[name] for name in asked} | {_CODES["unknown"]})
    scored = np.isin(np.arange(len(PAIR_CLASSES)), codes)
    names = list(PAIR_CLASSES)
    label = " ".join(names[code] for code in codes)
    # tokens of one sort are alike in every pair: one of them stands for all
    sorts = _Sorts.of(tokens, kinds)
    rows = []
    for type_a, type_b, relation in zip(pairs["type_a"], pairs["type_b"], pairs["relation"], strict=True):
        row = {"pairs_of": label, "words_a": "", "words_b": "", "n_words_a": 0, "n_words_b": 0}
        row |= {"n_tokens_a": 0, "n_tokens_b": 0, "made_of": ""}
        if relation == "near_homophone":
            row |= _made_of(sorts, kinds, type_a, type_b, scored, min_tokens)
            row["pairs_of"] = label if row.pop("scored") else ""
        rows.append(row)
    found = {name: [row[name] for row in rows] for name in COMPOSITION_COLUMNS}
    return pairs.assign(**found).astype(COMPOSITION_COLUMNS)


@dataclass(frozen=True)
class _Sorts:
    """Tokens that agree in type, word, syllable of it and kind are of one sort.

    Attributes
    ----------
    of_token : ndarray of int, shape (N,)
        Number of each token's sort, below ``n``.
    number, token, count : mapping of str to ndarray
        By type, of each of its sorts: its number, a token of it, and how many there are.
    """

    of_token: np.ndarray
    n: int
    number: Mapping[str, np.ndarray]
    token: Mapping[str, np.ndarray]
    count: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, tokens: pd.DataFrame, kinds: TokenKinds) -> _Sorts:
        import pandas as pd

        types, names = pd.factorize(tokens["type"].astype(str))
        table = np.stack([types, kinds.word, kinds.kind, kinds.position], axis=1).astype(np.int64)
        sorts, token, of_token, count = np.unique(table, axis=0, return_index=True, return_inverse=True, return_counts=True)
        first = np.searchsorted(sorts[:, 0], np.arange(len(names) + 1))
        parts = [(str(name), slice(first[code], first[code + 1])) for code, name in enumerate(names)]
        every = np.arange(len(sorts))
        by_type = ({name: values[part] for name, part in parts} for values in (every, token, count))
        return cls(of_token.ravel(), len(sorts), *by_type)


def _made_of(
    sorts: _Sorts, kinds: TokenKinds, type_a: str, type_b: str, scored: np.ndarray, min_tokens: int
) -> dict[str, object]:
    none = np.empty(0, dtype=np.int64)
    a, b = sorts.token.get(type_a, none), sorts.token.get(type_b, none)
    n_a, n_b = sorts.count.get(type_a, none), sorts.count.get(type_b, none)
    classes = kinds.classes(a[:, None], b[None, :])
    counts = np.bincount(classes.ravel(), np.outer(n_a, n_b).ravel(), minlength=len(PAIR_CLASSES)).astype(np.int64)
    taken = scored[classes]
    in_a, in_b = taken.any(axis=1), taken.any(axis=0)
    enough = bool(taken.any()) and min(n_a[in_a].sum(), n_b[in_b].sum()) >= min_tokens
    if not enough:  # what it would be, were it scored
        other = classes > _CODES["same_word"]
        in_a, in_b = (other.any(axis=1), other.any(axis=0)) if other.any() else (n_a > 0, n_b > 0)
    words_a, words_b = (_words(kinds, side[used], n[used]) for side, n, used in ((a, n_a, in_a), (b, n_b, in_b)))
    order = sorted(np.flatnonzero(counts).tolist(), reverse=True)
    return {
        "scored": enough,
        "words_a": _listed(words_a),
        "words_b": _listed(words_b),
        "n_words_a": len(words_a),
        "n_words_b": len(words_b),
        "n_tokens_a": int(n_a[in_a].sum()),
        "n_tokens_b": int(n_b[in_b].sum()),
        "made_of": ", ".join(f"{list(PAIR_CLASSES)[code]} {counts[code]}" for code in order),
    }


def _words(kinds: TokenKinds, tokens: np.ndarray, counts: np.ndarray) -> list[str]:
    """The words of these sorts, those with most tokens first."""
    tally: Counter[str] = Counter()
    for word, n in zip(kinds.word[tokens].tolist(), counts.tolist(), strict=True):
        if word >= 0:
            tally[kinds.words[word]] += n
    return sorted(tally, key=lambda name: (-tally[name], name))


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    more = f" +{len(words) - _SHOWN}" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def composed(
    pairs: pd.DataFrame, tokens: pd.DataFrame, *, min_tokens: int = 1, enough: int = 3, speakers: int = 3
) -> tuple[pd.DataFrame, str]:
    """:func:`compose` by the default classes; by all where those leave too few pairs for an interval, and a sentence that says so.

    Parameters
    ----------
    enough, speakers : int
        Type pairs, and speakers of their tokens, that an interval needs.
    """
    usual = compose(pairs, tokens, min_tokens=min_tokens)
    if are_enough(usual, tokens, enough, speakers):
        return usual, ""
    every = compose(pairs, tokens, PAIRS_OF["all"], min_tokens=min_tokens)
    n, n_all = count_scored(usual), count_scored(every)
    return (usual, "") if n == n_all else (every, fallback_sentence(n, n_all, enough, speakers))


def are_enough(pairs: pd.DataFrame, tokens: pd.DataFrame, enough: int, speakers: int) -> bool:
    """Whether a composed table leaves so many pairs, said by so many speakers (by all, where the corpus has fewer)."""
    if count_scored(pairs) < enough:
        return False
    if "speaker" not in tokens:
        return True
    heard = tokens["speaker"][taking_part(tokens, pairs)].nunique()
    return heard >= min(speakers, tokens["speaker"].nunique())


def fallback_sentence(n: int, n_all: int, enough: int, speakers: int) -> str:
    """What is said where the default classes leave too few pairs."""
    return (
        f"Near-homophones of stressed syllables of content words of different lemmas are too few for an interval ({n} pairs; it needs "
        f"{enough}, by {speakers} speakers). So all {n_all} near-homophone pairs of different words are scored, inflections, function words "
        "and unstressed syllables among them."
    )


def taking_part(tokens: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Which tokens stand in a token pair that is scored as near-homophone, by a composed pair table: a mask, shape (N,)."""
    kinds = TokenKinds.of(tokens)
    sorts = _Sorts.of(tokens, kinds)
    found = np.zeros(sorts.n, dtype=bool)
    near = pairs[(pairs["relation"] == "near_homophone") & (pairs["pairs_of"] != "")]
    for type_a, type_b, classes in zip(near["type_a"], near["type_b"], near["pairs_of"], strict=True):
        if type_a in sorts.token and type_b in sorts.token:
            scored = np.isin(np.arange(len(PAIR_CLASSES)), class_codes(classes))
            taken = scored[kinds.classes(sorts.token[type_a][:, None], sorts.token[type_b][None, :])]
            found[sorts.number[type_a][taken.any(axis=1)]] = True
            found[sorts.number[type_b][taken.any(axis=0)]] = True
    return found[sorts.of_token]


def may_stand(tokens: pd.DataFrame, asked: Sequence[str]) -> np.ndarray:
    """Which tokens may stand in a token pair of the classes, whatever the other token is: a mask, shape (N,)."""
    kind = TokenKinds.of(tokens).kind
    return (kind == _CODES["unknown"]) | (kind >= min(_CODES[name] for name in asked))


def class_codes(names: str) -> list[int]:
    """Codes, as :meth:`TokenKinds.classes` gives them, of classes named with spaces between."""
    return [_CODES[name] for name in names.split()]


def count_scored(pairs: pd.DataFrame) -> int:
    """Near-homophone pairs of a composed table that are scored."""
    return int(((pairs["relation"] == "near_homophone") & (pairs["pairs_of"] != "")).sum())


def composition_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """What the near-homophone pairs of a composed table are made of, one row per class that there is.

    Returns
    -------
    DataFrame
        ``pairs_of`` (the class), ``what`` (in words), ``n_type_pairs`` (in which it occurs), ``n_token_pairs``, ``n_type_pairs_scored``
        and ``n_token_pairs_scored`` (as near-homophones). Token pairs of one utterance count.
    """
    import pandas as pd

    tally = {name: np.zeros(4, dtype=np.int64) for name in PAIR_CLASSES}
    near = pairs[pairs["relation"] == "near_homophone"]
    for made_of, scored in zip(near["made_of"], near["pairs_of"], strict=True):
        for part in filter(None, made_of.split(", ")):
            name, n = part.rsplit(" ", 1)
            taken = name in scored.split()
            tally[name] += [1, int(n), int(taken), int(n) * int(taken)]
    columns = ["n_type_pairs", "n_token_pairs", "n_type_pairs_scored", "n_token_pairs_scored"]
    rows = [(name, PAIR_CLASSES[name], *counts.tolist()) for name, counts in reversed(tally.items()) if counts[0]]
    return pd.DataFrame(rows, columns=["pairs_of", "what", *columns])


def composition_sentences(pairs: pd.DataFrame, missing: Sequence[str] = ()) -> list[str]:
    """What is scored as near-homophones and what is left out, in words; ``missing`` are columns that the token table lacks."""
    table = composition_table(pairs)
    if table.empty:
        return []
    near = pairs[pairs["relation"] == "near_homophone"]
    taken = table[table["n_type_pairs_scored"] > 0]
    left = table[table["n_token_pairs"] > table["n_token_pairs_scored"]]
    if set(table["pairs_of"]) <= {"unknown", "variant_form", "same_word"}:
        why = (
            f"The token table lacks {', '.join(missing)}"
            if missing
            else "No list of words is known for the language of these tokens"
        )
        which = "(two forms of one word may be among them)" if "word" in missing else "of different words"
        return [
            f"{why}, so what pairs are made of is not known: all {count_scored(pairs)} near-homophone pairs {which} are scored, "
            "function words, inflections and unstressed syllables among them."
        ]
    parts = [f"{row.what} ({_pairs_in_words(row.n_token_pairs_scored, row.n_type_pairs_scored)})" for row in taken.itertuples()]
    sentences = [f"Near-homophones are {count_scored(pairs)} of {len(near)} type pairs: {'; '.join(parts)}."]
    names = set(" ".join(near["pairs_of"]).split())
    never = left[~left["pairs_of"].isin(names)]
    parts = [f"{row.what} ({_pairs_in_words(row.n_token_pairs, row.n_type_pairs)})" for row in never.itertuples()]
    few = left[left["pairs_of"].isin(names)]
    if len(few):
        dropped = sum(
            not scored and any(f"{name} " in made_of for name in names)
            for scored, made_of in zip(near["pairs_of"], near["made_of"], strict=True)
        )
        n = int((few["n_token_pairs"] - few["n_token_pairs_scored"]).sum())
        parts.append(f"of the scored classes, {_pairs_in_words(n, dropped)} with too few tokens of them")
    if parts:
        sentences.append(f"Not scored as near-homophones: {'; '.join(parts)}. A type pair may hold several of these.")
    return sentences


def _pairs_in_words(n: int, n_types: int) -> str:
    return f"{n} token pair{'' if n == 1 else 's'} of {n_types} type pair{'' if n_types == 1 else 's'}"
