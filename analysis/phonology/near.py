"""The pairs of a corpus that are scored: near-homophones with enough tokens, what they are made of, and as many unrelated ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import ConfigurationError, Failure, SeparationError
from analysis.phonology.composition import (
    DEFAULT_PAIRS_OF,
    PAIRS_OF,
    are_enough,
    compose,
    count_scored,
    fallback_sentence,
    may_stand,
    pairs_of,
)
from analysis.phonology.pairs import load_pairs, pair_table, phones_of_types

if TYPE_CHECKING:
    import pandas as pd

    from analysis.phonology.tables import PairTable

__all__ = ["USUAL_TOKENS", "limit_pairs", "near_homophones"]

#: Tokens that both types of a pair should have, where the user asks for no other number.
USUAL_TOKENS = 4

_NEEDED = ("type", "phones")


@dataclass(frozen=True)
class _Wanted:
    """What :func:`near_homophones` was asked for."""

    classes: tuple[str, ...] | None
    listed: pd.DataFrame | None
    threshold: float
    min_tokens: int | None
    max_pairs: int
    seed: int
    enough: int
    speakers: int
    unit: str
    inventory: str


def near_homophones(
    tokens: pd.DataFrame,
    pairs: str | Path | pd.DataFrame | None = None,
    *,
    threshold: float = 0.4,
    pairs_of: str | None = None,
    min_tokens: int | None = None,
    max_pairs: int = 200,
    lexicon: str = "cmudict",
    inventory: str | None = None,
    seed: int = 0,
    min_type_pairs: int = 3,
    min_speakers: int = 3,
    corpus: str = "corpus",
) -> PairTable:
    """The pairs of a token table that are compared: near-homophones with what they are made of, and as many unrelated pairs.

    Parameters
    ----------
    tokens : DataFrame
        What :func:`analysis.syllables` gives, or any token table; ``type`` and ``phones`` must be there.
    pairs : str, Path or DataFrame, optional
        A list to score, as :func:`analysis.phonology.load_pairs` takes or returns it; by default pairs are mined from the tokens.
    threshold : float
        Near-homophones have a phone distance in (0, threshold].
    pairs_of : str, optional
        Classes of token pairs that are scored (:data:`analysis.phonology.composition.PAIRS_OF`), several with commas between. By
        default ``content``, or ``all`` where that leaves fewer pairs than an interval needs, which ``failures`` then says; of a
        list ``all``.
    min_tokens : int, optional
        Tokens that both types need; by default 4, or the largest number that leaves as many pairs as an interval needs.
    max_pairs : int
        Near-homophone pairs at most, those with most tokens first; 0 for no limit.
    lexicon, inventory : str
        Where the words of a list are looked up, and its phones.
    seed : int
        Of the draw of unrelated pairs.
    min_type_pairs, min_speakers : int
        What an interval needs.
    corpus : str
        What ``failures`` call the corpus.

    Returns
    -------
    PairTable
        A data frame with ``PAIR_COLUMNS`` and ``COMPOSITION_COLUMNS``; its ``failures`` are warnings.

    Raises
    ------
    ConfigurationError
        If an argument is of another kind or out of range.
    LexiconError
        If the list cannot be read.
    SeparationError
        If no pair is left.

    Examples
    --------
    >>> pairs = near_homophones(tokens, pairs_of="whole_word")  # doctest: +SKIP
    >>> pairs.query("relation == 'near_homophone'")[["words_a", "words_b"]]  # doctest: +SKIP
    """
    import pandas as pd

    from analysis.phonology.tables import PairTable

    tokens, phones = _checked(tokens)
    if not (isinstance(threshold, int | float) and 0 < threshold < 1):
        raise ConfigurationError(
            f"near_homophones: threshold must lie between 0 and 1, not {threshold!r}; the usual value is 0.4."
        )
    named = "" if pairs is None or isinstance(pairs, pd.DataFrame) else str(pairs)
    if named:
        pairs = load_pairs(named, lexicon=lexicon, inventory=inventory, threshold=threshold)
    classes = _classes_of(pairs_of) if pairs_of is not None else PAIRS_OF["all"] if pairs is not None else None
    unit = str(tokens["unit"].iloc[0]) if "unit" in tokens and len(tokens) else "type"
    wanted = _Wanted(
        *(classes, pairs, threshold, min_tokens, max_pairs, seed, min_type_pairs, min_speakers, unit, phones),
    )
    counts = tokens["type"].value_counts()
    found, usual = 0, None
    for attempt in _attempts(wanted, tokens):
        near, rare = _near_among(wanted, tokens, set(counts.index[counts >= attempt.least]), attempt.least)
        near = compose(near, tokens, attempt.classes, min_tokens=attempt.least)
        found = count_scored(near)
        if found and (attempt.needed == 1 or are_enough(near, tokens, attempt.needed, min_speakers)):
            break
        usual = found if attempt.usual else usual
    if not found:
        kind = "pair of the list" + f" {named}" * bool(named) if pairs is not None else "near-homophone pair"
        often = f" whose two {unit}s occur at least {min_tokens} times" if min_tokens else ""
        of = f", of the classes {pairs_of}" if pairs_of else ""
        lower = ", a lower --min_tokens" if min_tokens and min_tokens > 1 else ""
        other = ", other classes (--pairs_of)" if pairs_of else ""
        raise SeparationError(
            f"The corpus has no {kind}{often}{of} ({len(tokens)} tokens of {len(counts)} types). "
            f"Use a larger corpus{lower}{other} or {'another list' if pairs is not None else 'a higher --threshold'}."
        )
    failures = [*rare, *_doubts(wanted, attempt, usual, found, corpus)]
    apart = _unrelated(wanted, tokens, near, attempt)
    table = limit_pairs(pd.concat([near, apart], ignore_index=True), max_pairs)
    if len(table) < len(near) + len(apart):
        reason = (
            f"{len(near) + len(apart) - len(table)} near-homophone pairs beyond the {max_pairs} with most tokens are left out: "
        )
        reason += f"{found - count_scored(table)} of those scored, the rest of other classes."
        failures.append(Failure("phonology", corpus, reason, "Raise --max_pairs, or set it to 0 for no limit.", "warning"))
    return PairTable(table.reset_index(drop=True), failures=tuple(failures), inventory=phones)


def _checked(tokens: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The tokens as an ordinary data frame with all columns that classes need, and their inventory."""
    import pandas as pd

    if not isinstance(tokens, pd.DataFrame):
        raise ConfigurationError(
            f"near_homophones: tokens is a {type(tokens).__name__}; give the token table that syllables(corpus, aligned) returns."
        )
    missing = [name for name in _NEEDED if name not in tokens]
    if missing:
        raise ConfigurationError(
            f"near_homophones: tokens lacks the columns {', '.join(missing)}; it has {', '.join(map(str, tokens.columns)) or 'none'}."
        )
    phones = getattr(tokens, "inventory", "") or "arpabet"
    return pd.DataFrame(tokens), phones


def _classes_of(named: str) -> tuple[str, ...]:
    if not isinstance(named, str):
        raise ConfigurationError(f"near_homophones: pairs_of is {named!r}; give names of classes with commas between.")
    return pairs_of(named)


def _doubts(wanted: _Wanted, attempt: _Attempt, usual: int | None, found: int, corpus: str) -> list[Failure]:
    """What is doubtful of the pairs that were chosen: fewer tokens, or other classes, than an interval should have."""
    few = []
    if not wanted.min_tokens and attempt.least < USUAL_TOKENS:
        of, tokens_each = " of content words" if attempt.usual else "", f"{USUAL_TOKENS} tokens of both {wanted.unit}s"
        why = f"no pair has {tokens_each}"
        if attempt.needed > 1:
            why = f"pairs{of} with {tokens_each} are fewer than {wanted.enough} or said by fewer than {wanted.speakers} speakers"
        few.append(f"{why}, so pairs with at least {attempt.least} of each are scored")
    if usual is not None and not attempt.usual:
        few.append(fallback_sentence(usual, found, wanted.enough, wanted.speakers).rstrip("."))
    remedy = "Take these scores as a first look; a larger corpus, or one where words are said again, gives intervals."
    return [Failure("phonology", corpus, f"{text[0].upper()}{text[1:]}.", remedy, "warning") for text in few]


@dataclass(frozen=True)
class _Attempt:
    """Classes of token pairs, how many tokens both types of a pair must have of them, and how many such pairs are enough.

    ``usual``: the classes are the default.
    """

    classes: tuple[str, ...]
    least: int
    needed: int
    usual: bool = False


def _attempts(wanted: _Wanted, tokens: pd.DataFrame) -> list[_Attempt]:
    """What is tried, in this order, until there are enough pairs.

    Content pairs with four, three, two, one tokens of each type, then pairs of all classes likewise, until there are as many, by as
    many speakers, as an interval needs: fewer tokens widen an interval, other classes ask another question. Then all classes, until
    there is any pair; that alone where the user names classes or no list describes the words.
    """
    every = PAIRS_OF["all"]
    named = (wanted.min_tokens,) if wanted.min_tokens else range(USUAL_TOKENS, 0, -1)
    attempts = []
    if wanted.classes is None and "word_class" in tokens and (tokens["word_class"] != "").any():
        attempts += [_Attempt(DEFAULT_PAIRS_OF, least, wanted.enough, True) for least in named]
        attempts += [_Attempt(every, least, wanted.enough) for least in named]
    return attempts + [_Attempt(wanted.classes or every, least, 1) for least in named]


def _near_among(wanted: _Wanted, tokens: pd.DataFrame, frequent: set[str], least: int) -> tuple[pd.DataFrame, list[Failure]]:
    """Related pairs of the types in ``frequent``, listed or mined, and listed pairs that are not among them."""
    if wanted.listed is None:
        types = phones_of_types(tokens, frequent)
        return pair_table(types, threshold=wanted.threshold, n_unrelated=0, inventory=wanted.inventory), []
    pairs = _pairs_of_syllables(wanted.listed) if wanted.unit == "syllable" else wanted.listed
    known = pairs["type_a"].isin(frequent) & pairs["type_b"].isin(frequent)
    rare = [
        Failure(
            "phonology", f"{a}/{b}", f"Fewer than {least} tokens of one of the two in this corpus.",
            "Use a larger corpus or --min_tokens.", "warning",
        )
        for a, b in pairs.loc[~known, ["type_a", "type_b"]].itertuples(index=False)
    ]  # fmt: skip
    return pairs[known], rare


def _unrelated(wanted: _Wanted, tokens: pd.DataFrame, near: pd.DataFrame, attempt: _Attempt) -> pd.DataFrame:
    """As many unrelated pairs as there are related ones, of types with enough tokens that may stand in a pair of the classes."""
    if wanted.listed is not None:
        # a list names what is alike; how far apart anything else lies must come from the same words
        types = set(near["type_a"]) | set(near["type_b"])
    else:
        counts = tokens["type"][may_stand(tokens, attempt.classes)].value_counts()
        types = set(counts.index[counts >= attempt.least])
    n = int(((near["relation"] != "near_homophone") | (near["pairs_of"] != "")).sum())
    chosen = phones_of_types(tokens, types)
    apart = pair_table(chosen, relations=(), n_unrelated=n, seed=wanted.seed, inventory=wanted.inventory)
    return compose(apart, tokens, attempt.classes)


def _pairs_of_syllables(pairs: pd.DataFrame) -> pd.DataFrame:
    """A list of word pairs as pairs of syllable types: words of one syllable are their phone strings."""
    renamed = pairs.assign(type_a=pairs["phones_a"], type_b=pairs["phones_b"])
    swap = renamed["type_a"] > renamed["type_b"]
    for left, right in (("type_a", "type_b"), ("phones_a", "phones_b")):
        renamed.loc[swap, [left, right]] = renamed.loc[swap, [right, left]].to_numpy()
    return renamed.drop_duplicates(["type_a", "type_b"])


def limit_pairs(pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most ``most`` near-homophone pairs that are scored, and as many that are not, those whose rarer type has most tokens first.

    Other relations are kept.
    """
    import pandas as pd

    if not most:
        return pairs
    near, scored = pairs["relation"] == "near_homophone", pairs["pairs_of"] != ""
    rarer = np.minimum(pairs["n_tokens_a"], pairs["n_tokens_b"])
    parts = []
    for chosen in (near & scored, near & ~scored):
        of = pairs[chosen]
        if len(of) > most:
            of = of.assign(_rarer=rarer).sort_values(["_rarer", "type_a", "type_b"], ascending=[False, True, True])
            of = of.head(most).drop(columns="_rarer")
        parts.append(of)
    return pd.concat([*parts, pairs[~near]])
