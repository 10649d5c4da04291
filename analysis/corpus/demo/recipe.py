"""What the demo corpus says and who says it: sentences, pairs, pseudo-speakers and their crossing, without any audio.

The sentences are ours (``sentences.csv``). Each belongs to one near-homophone pair: two sentences of a pair hold both of its
words, two more hold the first and two the second, all with different meanings. The crossing gives every pair to every
speaker exactly once, and every speaker equally many sentences with both words of a pair.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["SPEAKERS", "DemoUtterance", "PseudoSpeaker", "Sentence", "plan", "recipe", "sentences", "word_pairs"]

#: Raised whenever the same plan would give other audio.
VERSION = 1
SAMPLING_RATE = 16000
VOICE = "heart"


@dataclass(frozen=True)
class PseudoSpeaker:
    """A way of changing one synthetic voice until it sounds like someone else.

    Attributes
    ----------
    name : str
    speed : float
        Of the synthesiser; larger is faster.
    pitch : float
        Factor on the mean fundamental frequency.
    pitch_range : float
        Factor on the movement of the fundamental frequency about its mean, in log frequency.
    tract : float
        Factor on all formant frequencies: the inverse of a relative vocal-tract length.
    """

    name: str
    speed: float
    pitch: float
    pitch_range: float
    tract: float


# Median pitch from about 100 to 280 Hz and tracts from 18 % longer to 11 % shorter cover men, women and older children.
SPEAKERS = (
    PseudoSpeaker("demo1", speed=1.00, pitch=1.00, pitch_range=1.0, tract=1.00),
    PseudoSpeaker("demo2", speed=0.90, pitch=0.60, pitch_range=1.1, tract=0.87),
    PseudoSpeaker("demo3", speed=1.12, pitch=0.52, pitch_range=0.8, tract=0.85),
    PseudoSpeaker("demo4", speed=0.95, pitch=1.28, pitch_range=1.1, tract=1.08),
    PseudoSpeaker("demo5", speed=1.15, pitch=1.15, pitch_range=0.8, tract=1.05),
    PseudoSpeaker("demo6", speed=0.85, pitch=0.82, pitch_range=1.2, tract=0.95),
    PseudoSpeaker("demo7", speed=1.05, pitch=0.70, pitch_range=0.7, tract=0.91),
    PseudoSpeaker("demo8", speed=1.08, pitch=1.45, pitch_range=0.9, tract=1.12),
)

# Which of the six sentences of a pair fill its eight places: those with both words twice, the others once.
_PLACES = (0, 0, 1, 1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Sentence:
    """A sentence of the demo corpus and the near-homophone pair that it was written for."""

    id: str
    word_a: str
    word_b: str
    text: str


@dataclass(frozen=True)
class DemoUtterance:
    """One sentence said by one pseudo-speaker; ``seed`` fixes the noise in the voice."""

    sentence: Sentence
    speaker: PseudoSpeaker

    @property
    def id(self) -> str:
        """``<speaker>-<sentence>``."""
        return f"{self.speaker.name}-{self.sentence.id}"

    @property
    def seed(self) -> int:
        """A whole number that depends on the id alone."""
        return zlib.crc32(self.id.encode("ascii"))


def _table(name: str) -> Iterator[dict[str, str]]:
    with resources.files(__package__).joinpath(name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@cache
def sentences() -> tuple[Sentence, ...]:
    """All sentences, those of one pair together and the ones with both of its words first."""
    return tuple(Sentence(row["id"], row["word_a"], row["word_b"], row["text"]) for row in _table("sentences.csv"))


@cache
def word_pairs() -> tuple[tuple[str, str], ...]:
    """The near-homophone pairs that the sentences were written for."""
    return tuple((row["word_a"], row["word_b"]) for row in _table("pairs.csv"))


@cache
def plan() -> tuple[DemoUtterance, ...]:
    """Who says what: every speaker says every pair once, in each of the pair's eight places equally often."""
    spoken = []
    for number, pair in enumerate(word_pairs()):
        of_pair = [sentence for sentence in sentences() if (sentence.word_a, sentence.word_b) == pair]
        # An odd stride permutes the eight speakers; changing it every eight pairs changes who shares a sentence.
        stride = 2 * (number // len(SPEAKERS)) + 1
        for place, index in enumerate(_PLACES):
            spoken.append(DemoUtterance(of_pair[index], SPEAKERS[(place * stride + number) % len(SPEAKERS)]))
    return tuple(sorted(spoken, key=lambda utterance: utterance.id))


def recipe() -> dict[str, object]:
    """Everything that decides how the corpus sounds: texts, speakers, and the versions of what speaks."""
    from importlib.metadata import version

    return {
        "version": VERSION,
        "voice": VOICE,
        "sampling_rate": SAMPLING_RATE,
        "speakers": [vars(speaker) for speaker in SPEAKERS],
        "utterances": [(utterance.id, utterance.seed, utterance.sentence.text) for utterance in plan()],
        "packages": {name: version(name) for name in ("hibari-tts", "onnxruntime", "pyworld-prebuilt")},
    }
