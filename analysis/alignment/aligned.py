"""A corpus with its alignments: what was aligned, what failed, and what lies beyond the quality limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.alignment.choice import make_aligner, options_for
from analysis.alignment.types import Aligner, Alignment
from analysis.config import cache_folder
from analysis.corpus.utterance import Corpus
from analysis.engine import available_cores
from analysis.errors import ConfigurationError, CorpusError, Failure, Ledger
from analysis.markup import counted, failures_in_words, html_summary, html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Aligned", "align"]

_SHOWN = 5


@dataclass(frozen=True, repr=False, eq=False)
class Aligned(Mapping[str, Alignment]):
    """Alignments by utterance id; iterating gives ids, ``.values()`` the alignments.

    Attributes
    ----------
    alignments : dict of str to Alignment
        In the order of the corpus.
    failures : tuple of Failure
        Of this stage: what could not be aligned, doubts, and what lies beyond the quality limits.
    quality : DataFrame
        :func:`analysis.alignment.quality_table` of every alignment, the marked ones included, worst first.
    source : str
        The aligner with its version.
    """

    alignments: dict[str, Alignment]
    failures: tuple[Failure, ...]
    quality: pd.DataFrame
    source: str

    def __getitem__(self, utterance: str) -> Alignment:
        return self.alignments[utterance]

    def __iter__(self) -> Iterator[str]:
        return iter(self.alignments)

    def __len__(self) -> int:
        return len(self.alignments)

    def _facts(self) -> list[str]:
        words = sum(len(one.words) for one in self.alignments.values())
        phones = sum(len(one.phones) for one in self.alignments.values())
        return [counted(len(self), "utterance"), counted(words, "word"), counted(phones, "phone")]

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        return f"<Aligned by {self.source}: {facts}>"

    def _repr_html_(self) -> str:
        shown = self.quality[["utterance", "n_words", "n_phones", "speech_rate", "badness", "reasons"]].head(_SHOWN)
        rows = [
            [row.utterance, row.n_words, row.n_phones, f"{row.speech_rate:.1f}", f"{row.badness:.2f}", row.reasons]
            for row in shown.itertuples()
        ]
        table = html_table(["worst first", "words", "phones", "phones a second", "badness (1: limit)", "beyond limits"], rows)
        return html_summary(f"Aligned by {self.source}", self._facts(), self.failures, table)


def align(
    corpus: Corpus,
    aligner: str | Aligner = "pocketsphinx",
    *,
    options: Mapping[str, Any] | None = None,
    lexicon: str = "cmudict",
    inventory: str | None = None,
    workers: int = 0,
    device: str = "auto",
    keep_marked: bool = False,
    strict: bool = False,
) -> Aligned:
    """Words and phones of every utterance of a corpus.

    Parameters
    ----------
    corpus : Corpus
    aligner : str or Aligner
        A name of :data:`analysis.alignment.ALIGNERS`, or an aligner of your own. Finished alignments are kept in the cache, where
        the aligner knows what they depend on.
    options : mapping, optional
        Of a named aligner: ``align(corpus, "textgrid", options={"folder": "textgrids/"})``.
    lexicon, inventory : str
        As :func:`analysis.alignment.options_for` takes them.
    workers : int
        Processes; 0 for one a core.
    device : str
        Where a model runs.
    keep_marked : bool
        Keep alignments beyond the quality limits.
    strict : bool
        Raise at the first utterance that is lost.

    Returns
    -------
    Aligned

    Raises
    ------
    ConfigurationError
        If an argument is of another kind, or the aligner or an option is unknown.
    CorpusError
        If no utterance could be aligned, or all are beyond the limits.
    StrictError
        If ``strict`` and an utterance is lost.

    Examples
    --------
    >>> aligned = align(open_corpus("demo")[:8], "pocketsphinx")  # doctest: +SKIP
    >>> aligned.quality["marked"].sum()  # doctest: +SKIP
    0
    """
    from analysis.alignment.cache import align_cached
    from analysis.alignment.quality import within_limits
    from analysis.alignment.textgrid import TextGridAligner

    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"align: corpus is {_kind(corpus)}; give what open_corpus(...) returns.")
    if isinstance(aligner, str):
        usual = options_for(aligner, lexicon=lexicon, inventory=inventory, workers=workers or available_cores(), device=device)
        aligner = make_aligner(aligner, **(usual | dict(options or {})))
    elif options:
        raise ConfigurationError("align: options are those of a named aligner; an aligner that is given has its own.")
    elif not (callable(getattr(aligner, "align", None)) and hasattr(aligner, "source")):
        raise ConfigurationError(
            f"align: aligner is {_kind(aligner)}; give a name, or an object with a method align(utterances) and a text source."
        )
    ledger, alignments = Ledger(strict), {}
    reads = isinstance(aligner, TextGridAligner)  # a file is read as fast as a cache
    for outcome in (
        aligner.align(corpus.utterances) if reads else align_cached(aligner, corpus.utterances, cache_folder("alignments"))
    ):
        if isinstance(outcome, Failure):
            ledger.add([outcome])
        else:
            alignments[outcome.utterance_id] = outcome
            ledger.add(outcome.warning_rows())
    if not alignments:
        lost = [failure.reason for failure in ledger.failures if failure.severity == "error"]
        first = lost[0] if lost else "the aligner gave nothing back"
        raise CorpusError(f"No utterance of {corpus.place} could be aligned. The first failure: {first}")
    kept, quality, marked = within_limits(alignments, corpus.utterances)
    if not keep_marked:
        ledger.add(marked)
        alignments = kept
        if not alignments:
            raise CorpusError(
                "Every alignment is beyond the quality limits; does the text belong to the audio? Look at them with "
                "`python -m analysis.alignment`, or keep them with --keep_marked true."
            )
    return Aligned(alignments, tuple(ledger.failures), quality, aligner.source)


def _kind(value: object) -> str:
    return repr(value) if isinstance(value, str | Path) else f"a {type(value).__name__}"
