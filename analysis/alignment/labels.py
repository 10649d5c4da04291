"""Alignments that a corpus brings itself: the label files of TIMIT, Buckeye and Festival voices, or TextGrids named in its manifest.

An aligner of its own rather than a part of ``textgrid``: its files are those of the corpus, so there is no folder to name, and
its phones are those of the corpus, so the inventory is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from analysis.alignment.parts import part_of
from analysis.alignment.textgrid import TextGridAligner, alignment_of
from analysis.alignment.tiers import TextGridContent, Tier
from analysis.alignment.types import Alignment
from analysis.alignment.wording import with_word_doubts
from analysis.corpus.labels import read_labels
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure
from analysis.guard import attempt
from analysis.timebase import Interval

__all__ = ["LabelsAligner"]

#: Inventories of the phones in label files, by their ending. Festival's are ARPAbet in lower case.
INVENTORIES = {".phn": "timit", ".phones": "buckeye", ".lab": "arpabet"}


class LabelsAligner:
    """Reads the words and phones that the corpus itself has for each recording.

    Parameters
    ----------
    inventory : str, optional
        Of the phones; by default that of the kind of file.
    strict : bool
        Refuse overlaps instead of mending them with a warning.

    Notes
    -----
    ``python -m analysis.corpus layouts`` names the layouts; TIMIT and Buckeye have words and phones, Festival voices (CMU Arctic)
    phones alone, which is said in a warning.
    """

    source = "labels"

    def __init__(self, *, inventory: str | None = None, strict: bool = False) -> None:
        self._inventory, self._strict = inventory, strict
        self._textgrids = TextGridAligner(inventory=inventory, strict=strict)

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order."""
        for utterance in utterances:
            if utterance.extra.get("phone_labels") or utterance.extra.get("word_labels"):
                remedy = "Mend the label file, or leave the recording out."
                yield attempt("alignment", utterance.id, partial(self._read, utterance), remedy)
            elif str(utterance.extra.get("alignment", "")).lower().endswith(".textgrid"):
                yield from self._textgrids.align([utterance])
            else:
                yield Failure(
                    "alignment",
                    utterance.id,
                    "The corpus has no labels and names no TextGrid for it.",
                    "Take an aligner that listens, such as pocketsphinx, or name TextGrids in the manifest's column alignment.",
                )

    def _read(self, utterance: Utterance) -> Alignment:
        files = {
            tier: Path(utterance.extra[f"{tier}_labels"]) for tier in ("word", "phone") if utterance.extra.get(f"{tier}_labels")
        }
        phones = files.get("phone")
        doubts = [
            f"The corpus has no {tier} labels for it, only those of its {other}s."
            for tier, other in (("word", "phone"), ("phone", "word"))
            if tier not in files
        ]
        tiers = tuple(
            _tier(f"{tier}s", read_labels(path, sampling_rate=utterance.sampling_rate, words=tier == "word"))
            for tier, path in files.items()
        )
        content = TextGridContent(0.0, utterance.duration, tiers, "labels")
        if utterance.start is not None:  # the labels are those of the whole recording
            content = part_of(content, utterance.start, utterance.end)
        found = alignment_of(
            content,
            phones or files["word"],
            utterance_id=utterance.id,
            duration=utterance.duration,
            inventory=self._inventory or (INVENTORIES.get(phones.suffix.lower()) if phones else "arpabet"),
            strict=self._strict,
            source=self.source,
            doubts=doubts,
        )
        return with_word_doubts(found, utterance.text)


def _tier(name: str, labels: list[Interval]) -> Tier:
    """The labels as a tier without gaps: what is left out is silence, about which nobody needs to be told."""
    entries: list[tuple[float, float, str]] = []
    position = 0.0
    for label in labels:
        if label.start > position:
            entries.append((position, label.start, ""))
        entries.append((label.start, label.end, label.label))
        position = label.end
    return Tier(name, True, tuple(entries))
