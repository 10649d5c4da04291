"""One recording, or a part of one, with what was said in it; and the corpus that holds many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from analysis.errors import CorpusError, Failure

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


@dataclass(frozen=True)
class Corpus:
    """Utterances of one corpus with the failures met while it was read.

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
