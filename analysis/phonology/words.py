"""What is known of a word beyond its sounds: content or function word, and its lemmas. English only."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from analysis.alignment.lexicon_files import lexicon_folder, read_rows
from analysis.phonology.inventory import load_inventory
from analysis.spelling import plain_word

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["function_words", "is_described", "lemmas", "with_words", "word_class"]

#: What is joined to a function word by an apostrophe: he's, we'll, don't.
_CLITICS = frozenset({"s", "d", "ll", "ve", "re", "m", "t"})
#: Regular endings, taken off words that the list of lemmas lacks.
_ENDINGS = re.compile(r"(?:ies|es|s|ied|ed|d|ing|in)$")


@cache
def function_words() -> frozenset[str]:
    """The closed list of English function words, ``lexicons/words/english_function_words.tsv``."""
    rows = read_rows(lexicon_folder() / "words" / "english_function_words.tsv", ("word", "class"))
    return frozenset(row["word"] for row in rows)


def is_described(inventory: str) -> bool:
    """Whether words said in the phones of this inventory are English, the language of the lists."""
    return load_inventory(inventory).base == "arpabet"


@cache
def word_class(word: str) -> str:
    """``function`` for a word of the closed list or a contraction of one, else ``content``; empty for no word.

    Parameters
    ----------
    word : str
        English, in any case.
    """
    word = plain_word(word)
    if not word:
        return ""
    known = function_words()
    base, apostrophe, clitic = word.rpartition("'")
    if apostrophe and clitic in _CLITICS:
        stem = base.removesuffix("n") if clitic == "t" else base
        if base in known or stem in known or base in ("won", "shan"):
            return "function"
    return "function" if word in known else "content"


@cache
def lemmas(word: str) -> tuple[str, ...]:
    """Every lemma that an English word may have, sorted: ``saw`` is a form of ``saw`` and of ``see``.

    Notes
    -----
    The lemmas are those of the SPECIALIST lexicon, as the package lemminflect holds them. A word that it lacks (a name) has itself
    as a lemma and what is left of it without a regular ending. Possessives have the lemmas of their owner.
    """
    from lemminflect import getAllLemmas

    word = plain_word(word)
    word = re.sub(r"(?<=\w)(?:'s|')$", "", word)
    if not word:
        return ()
    found = {lemma.lower() for alternatives in getAllLemmas(word).values() for lemma in alternatives}
    if not found:
        stem = _ENDINGS.sub("", word)
        found = {word, stem} if len(stem) > 2 else {word}
    return tuple(sorted(lemma.replace(" ", "_") for lemma in found))


def with_words(tokens: pd.DataFrame, inventory: str = "arpabet") -> pd.DataFrame:
    """A token table with the columns ``word_class`` and ``lemmas``, made anew from its words; empty where the language is another.

    Parameters
    ----------
    tokens : DataFrame
        With the column ``word``.
    inventory : str
        Of the alignments.
    """
    words = tokens["word"].astype(str)
    if not is_described(inventory):
        return tokens.assign(word_class="", lemmas="")
    names = words.unique()
    classes = {name: word_class(name) for name in names}
    forms = {name: " ".join(lemmas(name)) for name in names}
    return tokens.assign(word_class=words.map(classes).astype(str), lemmas=words.map(forms).astype(str))
