"""What was said when: words and phones on the audio's own clock, and the protocol of everything that finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, Failure
from analysis.timebase import Interval

__all__ = ["Aligner", "Alignment"]

# Aligners write ends rounded to a millisecond or a 10 ms frame, a little past the last sample.
_END_TOLERANCE = 0.05


@dataclass(frozen=True)
class Alignment:
    """Words and phones of one utterance. Silences are gaps: no interval stands for them.

    Attributes
    ----------
    utterance_id : str
    words, phones : tuple of Interval
        Half-open, sorted, not overlapping, inside the audio. Phones are ARPAbet, with a stress digit on vowels where known;
        other inventories say so in ``inventory``.
    duration : float
        Of the audio, s.
    source : str
        Which aligner made it, with its version: ``pocketsphinx 5.1.1``, ``textgrid``.
    confidence : float or None
        Larger is better; comparable within one source only.
    word_confidence : tuple of float or None
        One per word.
    inventory : str
        ``arpabet``, ``ipa`` or the name of an inventory file in lexicons/.
    warnings : tuple of str
        Doubts about an alignment that was kept all the same: mended overlaps, gaps, guessed pronunciations. They become rows
        of severity ``warning`` in the failures table; see :meth:`warning_rows`.
    measures : tuple of (str, float)
        What the aligner itself measured of this utterance, beside the confidence: MFA's ``snr``, ``phone_duration_deviation``.

    Raises
    ------
    AlignmentError
        If a tier is unsorted, overlaps itself or leaves the audio; the message quotes both culprits.
    """

    utterance_id: str
    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]
    duration: float
    source: str
    confidence: float | None = None
    word_confidence: tuple[float, ...] | None = None
    inventory: str = "arpabet"
    warnings: tuple[str, ...] = ()
    measures: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for tier, intervals in (("words", self.words), ("phones", self.phones)):
            for left, right in pairwise(intervals):
                if right.start < left.end - 1e-9:
                    raise AlignmentError(
                        f"Utterance {self.utterance_id}, tier {tier}: {left} and {right} overlap or are out of order. "
                        f"Mend the two boundaries in the alignment file."
                    )
            if intervals and intervals[-1].end > self.duration + _END_TOLERANCE:
                raise AlignmentError(
                    f"Utterance {self.utterance_id}, tier {tier}: {intervals[-1]} ends after the audio, which lasts "
                    f"{self.duration:.3f} s. Does the alignment belong to this recording?"
                )
        if self.word_confidence is not None and len(self.word_confidence) != len(self.words):
            raise AlignmentError(
                f"Utterance {self.utterance_id}: {len(self.word_confidence)} confidences for {len(self.words)} words."
            )

    def phones_of(self, word: Interval) -> tuple[Interval, ...]:
        """Phones whose midpoint lies inside ``word``."""
        return tuple(phone for phone in self.phones if phone.center in word)

    def _repr_html_(self) -> str:
        from analysis.alignment.display import tiers_html

        confidence = "" if self.confidence is None else f", confidence {self.confidence:.3g}"
        title = f"{self.utterance_id}: {len(self.words)} words, {len(self.phones)} phones, {self.duration:.2f} s, {self.source}{confidence}"
        return tiers_html(title, {"words": self.words, "phones": self.phones}, self.duration)

    def warning_rows(self) -> list[Failure]:
        """The doubts as rows for the failures table."""
        return [Failure("alignment", self.utterance_id, text, severity="warning") for text in self.warnings]


@runtime_checkable
class Aligner(Protocol):
    """Utterances in, alignments and failures out, in the order of the utterances, one for each.

    Attributes
    ----------
    source : str
        What ``Alignment.source`` will say: name and version.
    """

    source: str

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment, or one Failure with severity ``error``, per utterance."""
        ...
