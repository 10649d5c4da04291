"""Measures of one alignment against its own recording, which need no other recording to compare with.

Sound that no word covers is speech that the transcript lacks, or words on the wrong place. Where phones begin and end, the spectrum
changes; boundaries of an alignment that drifted lie anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.alignment.boundaries import HOP, SAMPLING_RATE, cepstra, levels, pause_threshold
from analysis.alignment.types import Alignment
from analysis.timebase import Interval

__all__ = ["SoundMeasures", "boundary_contrast", "sound_measures", "worst_stretch"]

_FRAMES = SAMPLING_RATE // HOP
# Sound this close to a word still belongs to it, frames: releases fade, and hand-made boundaries cut them off.
_MARGIN = 5
# Quiet up to this length stands inside speech (closures, breaks between words), frames.
_BRIDGE = 25
# Where boundaries are tried to see that they fit worse there, frames: nearer ones share the transition, farther ones the next.
_SHIFTS = (-6, -5, -4, 4, 5, 6)
#: Fewer phones give no contrast: a handful of boundaries may fit anywhere.
LEAST_PHONES = 10
# Less between the quiet and the loud frames, dB, is steady noise: nothing in it can be taken for sound.
_LEAST_RANGE = 6.0
# Length of speech over which the worst score is sought, s.
_STRETCH = 0.8


@dataclass(frozen=True)
class SoundMeasures:
    """What a recording says of its alignment.

    Attributes
    ----------
    untranscribed : float
        Longest stretch of sound outside the words, s.
    untranscribed_at : float
        Where it starts, s.
    untranscribed_share : float
        Share of all sound that lies outside the words.

        The three are NaN where the recording's loud frames are hardly louder than its quiet ones.
    boundary_contrast : float
        As :func:`boundary_contrast` gives it.
    level_range : float
        From the recording's quiet frames to its loud ones (5th and 95th percentile), dB: small where there is noise.
    """

    untranscribed: float
    untranscribed_at: float
    untranscribed_share: float
    boundary_contrast: float
    level_range: float


def sound_measures(samples: np.ndarray, alignment: Alignment) -> SoundMeasures:
    """Measures of an alignment against its recording.

    Parameters
    ----------
    samples : ndarray
        ``(n,)``, on the scale of 16-bit integers, 16 kHz.
    alignment : Alignment
        Its words count, or its phones where it has no words.
    """
    contrast = boundary_contrast(alignment.phones, cepstra(samples))
    level = levels(samples)
    low, high = np.percentile(level, [5, 95])
    if high - low < _LEAST_RANGE:
        return SoundMeasures(float("nan"), float("nan"), float("nan"), contrast, float(high - low))
    sound = level >= pause_threshold(level)
    covered = np.zeros(len(level), dtype=bool)
    for unit in alignment.words or alignment.phones:
        covered[max(0, round(unit.start * _FRAMES) - _MARGIN) : round(unit.end * _FRAMES) + _MARGIN] = True
    outside = np.flatnonzero(sound & ~covered)
    first, length = _longest(outside, covered)
    share = len(outside) / max(int(sound.sum()), 1)
    return SoundMeasures(length / _FRAMES, first / _FRAMES, share, contrast, float(high - low))


def _longest(outside: np.ndarray, covered: np.ndarray) -> tuple[int, int]:
    """First frame and length of the longest run of sound without a word or a long quiet in it."""
    best, begin = (0, 0), 0
    words_before = np.cumsum(covered)
    for i, frame in enumerate(outside):
        if i and (frame - outside[i - 1] > _BRIDGE or words_before[frame] != words_before[outside[i - 1]]):
            begin = i
        best = max(best, (int(frame - outside[begin]) + 1, -int(outside[begin])))
    return -best[1], best[0]


def boundary_contrast(phones: tuple[Interval, ...], frames: np.ndarray) -> float:
    """How much better the boundaries of phones split the spectrum than the same boundaries 40 to 60 ms earlier or later.

    Parameters
    ----------
    phones : tuple of Interval
    frames : ndarray
        As :func:`~analysis.alignment.boundaries.cepstra` gives them.

    Returns
    -------
    float
        Mean logarithm of the sum of squares within phones at the six shifts over that in place: 0.2 to 0.5 for good alignments,
        about 0 where boundaries lie anywhere, negative where all are late or early. NaN for fewer than ten phones.
    """
    if len(phones) < LEAST_PHONES:
        return float("nan")
    edges = np.unique([round(time * _FRAMES) for phone in phones for time in (phone.start, phone.end)])
    sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((frames**2).sum(axis=1))])

    def within(shift: int) -> float:
        places = np.unique(np.concatenate([[0], np.clip(edges + shift, 0, len(frames)), [len(frames)]]))
        first, last = places[:-1], places[1:]
        spread = squares[last] - squares[first] - ((sums[last] - sums[first]) ** 2).sum(axis=1) / (last - first)
        return max(float(spread.sum()), 1e-9)

    here = within(0)
    return float(np.mean([np.log(within(shift) / here) for shift in _SHIFTS]))


def worst_stretch(alignment: Alignment) -> tuple[float, float]:
    """Lowest mean score of 0.8 s of speech, and where it starts; all of it where there is less; NaN without scores of words.

    The score of a word counts for each of its frames.
    """
    if not alignment.words or alignment.word_confidence is None:
        return float("nan"), float("nan")
    scores, times = [], []
    for word, score in zip(alignment.words, alignment.word_confidence, strict=True):
        places = np.arange(round(word.start * _FRAMES), max(round(word.end * _FRAMES), round(word.start * _FRAMES) + 1))
        scores.append(np.full(len(places), score))
        times.append(places / _FRAMES)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate(scores))])
    length = min(round(_STRETCH * _FRAMES), len(sums) - 1)
    means = (sums[length:] - sums[:-length]) / length
    worst = int(np.argmin(means))
    return float(means[worst]), float(np.concatenate(times)[worst])
