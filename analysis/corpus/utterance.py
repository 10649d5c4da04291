"""One recording, or a part of one, with what was said in it; and the corpus that holds many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import overload

from analysis.errors import ConfigurationError, CorpusError, Failure
from analysis.markup import counted, failures_in_words, html_summary, html_table

__all__ = ["Corpus", "Utterance"]


@dataclass(frozen=True)
class Utterance:
    """One recording and its transcript; or one stretch of a longer recording, whose file is not copied.

    Attributes
    ----------
    id : str
        Unique in its corpus; the name under which alignments, embeddings and failures are filed.
    audio : Path
        Audio file, in any format, rate and channel count that libsndfile reads.
    text : str
        Transcript as published (case and punctuation kept); never empty.
    speaker : str
    duration : float
        Seconds, from the file's header; of a part, its own length.
    sampling_rate : int
        Of the file, Hz.
    extra : mapping of str to str
        Other columns of the manifest, and paths such as ``alignment``.
    start : float or None
        Where in the file the utterance starts, s; None for the whole file. Alignments count from here.
    channel : int or None
        The channel of the file that is meant, from 0; None averages all.
    """

    id: str
    audio: Path
    text: str
    speaker: str
    duration: float
    sampling_rate: int
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    start: float | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise CorpusError(f"An utterance needs an id; the one for {self.audio} has none.")
        if not self.text.strip():
            raise CorpusError(f"Utterance {self.id} has an empty transcript. Give its words in the transcript file.")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise CorpusError(f"Utterance {self.id} has a duration of {self.duration} s. Is {self.audio} truncated?")
        if self.sampling_rate < 1:
            raise CorpusError(f"Utterance {self.id} has a sampling rate of {self.sampling_rate} Hz.")
        if self.start is not None and not (math.isfinite(self.start) and self.start >= 0):
            raise CorpusError(
                f"Utterance {self.id} starts at {self.start} s of {self.audio}. Give seconds from the file's start."
            )
        if self.channel is not None and self.channel < 0:
            raise CorpusError(f"Utterance {self.id} has the channel {self.channel}. Channels are counted from 0.")
        object.__setattr__(self, "audio", Path(self.audio))
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))

    def __reduce__(self):  # a mapping proxy does not pickle; worker processes need utterances
        return type(self), (
            *(self.id, self.audio, self.text, self.speaker, self.duration, self.sampling_rate, dict(self.extra)),
            *(self.start, self.channel),
        )

    @property
    def is_part(self) -> bool:
        """Whether it is less than its whole file, in time or in channels."""
        return self.start is not None or self.channel is not None

    @property
    def end(self) -> float:
        """Where in the file the utterance ends, s."""
        return (self.start or 0.0) + self.duration


# Utterances that a notebook shows of a corpus.
_SHOWN = 5


@dataclass(frozen=True, repr=False)
class Corpus:
    """Utterances of one corpus with the failures met while it was read. A slice is a corpus; all failures stay with it.

    Attributes
    ----------
    name : str
        Names the report folder.
    utterances : tuple of Utterance
    failures : tuple of Failure
    synthetic : bool
        True for speech that no person spoke; every report on it says so.
    root : Path or None
    speakers_from : str
        Where the speakers' names come from, in words.
    """

    name: str
    utterances: tuple[Utterance, ...]
    failures: tuple[Failure, ...] = ()
    synthetic: bool = False
    root: Path | None = None
    speakers_from: str = ""

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    @overload
    def __getitem__(self, which: slice) -> Corpus: ...
    @overload
    def __getitem__(self, which: int | str) -> Utterance: ...
    def __getitem__(self, which: slice | int | str) -> Corpus | Utterance:
        """``corpus[:40]`` is a corpus of the first 40 utterances; ``corpus[0]`` and ``corpus["id"]`` are one utterance.

        Raises
        ------
        ConfigurationError
            If there is no such utterance, or a slice holds none.
        """
        if isinstance(which, slice):
            part = self.utterances[which]
            if not part:
                raise ConfigurationError(f"corpus[{_slice_text(which)}] holds no utterance: {self.name} has {len(self)}.")
            return replace(self, utterances=part)
        if isinstance(which, str):
            for utterance in self.utterances:
                if utterance.id == which:
                    return utterance
            some = f", such as {self.utterances[0].id!r}" if self.utterances else ""
            raise ConfigurationError(f"The corpus {self.name} has no utterance {which!r}; it has {len(self)}{some}.")
        try:
            return self.utterances[which]
        except IndexError:
            raise ConfigurationError(
                f"corpus[{which}] is beyond the last utterance: {self.name} has {len(self)}, counted from 0."
            ) from None
        except TypeError:
            raise ConfigurationError(
                f"A corpus takes a number, an id or a slice in brackets, not {type(which).__name__}."
            ) from None

    @property
    def place(self) -> str:
        """The folder or manifest that was read, or the name where there is none: for messages."""
        return str(self.root) if self.root is not None else self.name

    def _facts(self) -> list[str]:
        minutes = sum(utterance.duration for utterance in self.utterances) / 60
        speakers = len({utterance.speaker for utterance in self.utterances})
        made = "synthetic speech" if self.synthetic else ""
        return [counted(len(self), "utterance"), counted(speakers, "speaker"), f"{minutes:.1f} minutes", made]

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        return f"<Corpus {self.name}: {facts}>"

    def _repr_html_(self) -> str:
        rows = [[one.id, one.speaker, f"{one.duration:.2f}", one.text] for one in self.utterances[:_SHOWN]]
        if len(self) > _SHOWN:
            rows.append(["..."] * 4)
        table = html_table(["utterance", "speaker", "seconds", "text"], rows)
        return html_summary(f"Corpus {self.name}", self._facts(), self.failures, table)


def _slice_text(which: slice) -> str:
    ends = ["" if end is None else str(end) for end in (which.start, which.stop)]
    return ":".join([*ends, str(which.step)] if which.step is not None else ends)
