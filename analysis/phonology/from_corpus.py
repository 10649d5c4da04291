"""From a corpus and its alignments to the token table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from analysis.alignment.types import Alignment
from analysis.corpus.utterance import Corpus
from analysis.errors import ConfigurationError, CorpusError, Failure, Ledger
from analysis.phonology.inventory import load_inventory
from analysis.phonology.lexicon import load_lexicon
from analysis.phonology.tokens import token_table

if TYPE_CHECKING:
    from analysis.phonology.tables import TokenTable

__all__ = ["common_inventory", "inventory_of_tokens", "syllables"]


def syllables(
    corpus: Corpus,
    aligned: Mapping[str, Alignment] | Iterable[Alignment | Failure],
    *,
    unit: str = "syllable",
    lexicon: str = "cmudict",
    inventory: str | None = None,
    strict: bool = False,
) -> TokenTable:
    """Every syllable (or word, phone, utterance) of a corpus, one row each.

    Parameters
    ----------
    corpus : Corpus
    aligned : Aligned, mapping of str to Alignment, or iterable of Alignment and Failure
        What :func:`analysis.align`, or the method ``align`` of an aligner, gives.
    unit : {"syllable", "word", "phone", "utterance"}
    lexicon, inventory : str
        Where stress is looked up when the phones carry none, as :func:`analysis.phonology.load_lexicon` takes them.
    strict : bool
        Raise at the first word that is lost.

    Returns
    -------
    TokenTable
        A data frame; ``.failures`` has those of the alignments too.

    Raises
    ------
    ConfigurationError
        If an argument is of another kind, or the unit is unknown.
    CorpusError
        If there is no token, or alignments are in phones of several inventories.
    StrictError
        If ``strict`` and something is lost.

    Examples
    --------
    >>> tokens = syllables(corpus, align(corpus))  # doctest: +SKIP
    >>> tokens["type"].value_counts().head(3)  # doctest: +SKIP
    """
    from analysis.phonology.tables import TokenTable

    if not isinstance(corpus, Corpus):
        what = (
            "an Alignment; for the syllables of one alignment use analysis.phonology.syllables(alignment)"
            if isinstance(corpus, Alignment)
            else f"a {type(corpus).__name__}; give what open_corpus(...) returns"
        )
        raise ConfigurationError(f"syllables: corpus is {what}.")
    alignments, failures = _sorted_out(aligned)
    ledger = Ledger(strict)
    ledger.add(failures)
    chosen = [utterance for utterance in corpus if utterance.id in alignments]
    found = load_lexicon(lexicon, inventory=inventory)
    tokens, failed = token_table(chosen, [alignments[utterance.id] for utterance in chosen], unit=unit, lexicon=found)
    ledger.add(failed)
    if tokens.empty:
        lost = [failure for failure in (*corpus.failures, *ledger.failures) if failure.severity == "error"]
        first = f" The first failure, {lost[0].item}: {lost[0].reason} {lost[0].remedy}" if lost else ""
        raise CorpusError(f"{corpus.place} gives no token of the unit {unit}.{first}")
    phones = common_inventory(alignments[utterance.id] for utterance in chosen)
    source = alignments[chosen[0].id].source
    return TokenTable(tokens, failures=tuple(ledger.failures), inventory=phones, source=source)


def _sorted_out(aligned: Any) -> tuple[dict[str, Alignment], list[Failure]]:
    """Alignments by utterance, and the failures that came with them."""
    if isinstance(aligned, Mapping):
        items, failures = list(aligned.values()), list(getattr(aligned, "failures", ()))
    elif isinstance(aligned, Iterable) and not isinstance(aligned, str):
        items, failures = list(aligned), []
    else:
        raise ConfigurationError(f"syllables: aligned is {aligned!r}; give what align(corpus) returns.")
    alignments: dict[str, Alignment] = {}
    for item in items:
        if isinstance(item, Failure):
            failures.append(item)
        elif isinstance(item, Alignment):
            alignments[item.utterance_id] = item
        else:
            raise ConfigurationError(
                f"syllables: aligned holds a {type(item).__name__}, where alignments are needed; give what align(corpus) returns."
            )
    return alignments, failures


def inventory_of_tokens(inventory: str) -> str:
    """The inventory of tokens from alignments in ``inventory``: labels such as TIMIT's become ARPAbet."""
    return "arpabet" if load_inventory(inventory).base == "arpabet" else inventory


def common_inventory(alignments: Iterable[Alignment]) -> str:
    """The inventory in which the tokens of all alignments are written.

    Raises
    ------
    CorpusError
        If they are of several.
    """
    named = {alignment.inventory for alignment in alignments} - {"unknown"}
    written = {inventory_of_tokens(name) for name in named} or {"arpabet"}
    if len(written) > 1:
        raise CorpusError(
            f"The alignments are in different phones: {', '.join(sorted(written))}. Pairs can be formed within one inventory only: "
            f"name it with --inventory, or analyse the corpora apart."
        )
    return written.pop()
