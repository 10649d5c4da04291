"""Boundaries re-estimated from the recording itself: edges of pauses from the level, boundaries of phones from the spectrum.

An acoustic model is trained on other voices, and its silence model starts late where breath and room tone fade out. Both rules
here ask this recording alone; both work on frames of 10 ms and move nothing by more than they say.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

__all__ = ["HOP", "SAMPLING_RATE", "cepstra", "levels", "mel_power", "pause_threshold", "sharpened"]

#: Of the samples that these functions take, Hz.
SAMPLING_RATE = 16000
#: Samples from frame to frame: 10 ms.
HOP = 160

# A phone beside a pause ends where the level falls below this share of the way (in dB) from the quiet to the loud frames of the
# recording. Any share from 0.2 to 0.4 does as well.
_PAUSE_SHARE = 0.3

_WINDOW = 400
_BANDS = 26
_COEFFICIENTS = 13
# Added to the power of each band: the level of the recording's quiet frames, below which differences are noise.
_FLOOR_PERCENTILE = 20
# How far a boundary between two phones may move, frames; the models place it within 20 ms nine times in ten.
_REACH = 2
# A move of d frames must leave less than 1 / (1 + d² times this) of the variance that staying leaves: without it, boundaries wander
# in slow glides. From 0.01 to 0.04 the share within 20 ms stays within two points on every corpus of the README.
_RELUCTANCE = 0.04
# Frames of each phone that are looked at; 10 to 30 do as well.
_SIGHT = 15


def levels(samples: np.ndarray) -> np.ndarray:
    """Level of each 10 ms frame, from the 20 ms around its middle, in dB.

    Parameters
    ----------
    samples : ndarray
        ``(n,)``, on the scale of 16-bit integers, 16 kHz.

    Returns
    -------
    ndarray
        ``(frames,)``; frame i spans ``[10 i, 10 i + 10)`` ms. Digital silence is 0 dB.
    """
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, max(len(samples) - HOP + 1, 1), HOP)
    first = np.clip(starts - HOP // 2, 0, len(samples))
    last = np.clip(starts + HOP + HOP // 2, 0, len(samples))
    return 10.0 * np.log10((energy[last] - energy[first]) / np.maximum(last - first, 1) + 1.0)


def pause_threshold(level: np.ndarray) -> float:
    """The level (dB) below which a frame counts as quiet, from the recording's own quiet and loud frames."""
    low, high = np.percentile(level, [5, 95])
    return float(low + _PAUSE_SHARE * (high - low))


def cepstra(samples: np.ndarray) -> np.ndarray:
    """Mel cepstra of each 10 ms frame, each coefficient scaled to unit variance over the recording.

    Parameters
    ----------
    samples : ndarray
        ``(n,)``, on the scale of 16-bit integers, 16 kHz.

    Returns
    -------
    ndarray
        ``(frames, 13)``; the 25 ms window of frame i is centred on the frame, at ``10 i + 5`` ms.
    """
    from scipy.fft import dct

    power = mel_power(samples, -(-len(samples) // HOP), (_WINDOW - HOP) // 2)
    floor = np.percentile(power, _FLOOR_PERCENTILE, axis=0) + 1.0
    coefficients = dct(np.log(power + floor), norm="ortho", axis=1)[:, :_COEFFICIENTS]
    return coefficients / np.maximum(coefficients.std(axis=0), 1e-9)


def mel_power(samples: np.ndarray, count: int, before: int) -> np.ndarray:
    """Power in 26 mel bands of ``count`` 25 ms windows, ``(count, 26)``; window i starts ``before`` samples ahead of frame i."""
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]).astype(np.float64)[: count * HOP + _WINDOW - before]
    padded = np.zeros(count * HOP + _WINDOW)
    padded[before:][: len(emphasised)] = emphasised
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: count * HOP : HOP] * np.hamming(_WINDOW)
    return np.abs(np.fft.rfft(frames, 512)) ** 2 @ _filters().T


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Triangular filters, evenly spaced in mel from 60 to 7,600 Hz, ``(bands, 257)``."""
    mel = np.linspace(*(1127.0 * np.log1p(np.array([60.0, 7600.0]) / 700.0)), _BANDS + 2)
    edges = 700.0 * np.expm1(mel / 1127.0) * 512 / SAMPLING_RATE
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(257)
    return np.clip(np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)), 0.0, None)


def sharpened(spans: list[tuple[int, int]], frames: np.ndarray, *, shortest: int) -> list[tuple[int, int]]:
    """Spans of phones with every boundary between two adjacent ones moved to where the spectrum changes.

    Parameters
    ----------
    spans : list of (int, int)
        First frame and end of each phone, sorted, not overlapping. Spans with a pause between them keep those edges.
    frames : ndarray
        As :func:`cepstra` gives them.
    shortest : int
        Frames that a phone keeps at the least, unless it had fewer: then neither of its edges moves inwards.

    Returns
    -------
    list of (int, int)

    Notes
    -----
    Of the frames within two of the boundary, the one is taken that splits the two phones with the least sum of squared distances
    from the mean of either side (the change point of a piecewise constant signal in Gaussian noise), times ``1 + 0.04 d²``,
    with d the frames moved.

    References
    ----------
    Toledano, Hernández Gómez, Villarrubia Grande (2003), Automatic phonetic segmentation, IEEE Transactions on Speech and Audio
    Processing 11(6): boundaries of hidden Markov models refined by the local spectrum.
    """
    sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((frames**2).sum(axis=1))])

    def spread(first: np.ndarray | int, end: np.ndarray | int) -> np.ndarray:
        return squares[end] - squares[first] - ((sums[end] - sums[first]) ** 2).sum(axis=-1) / (end - first)

    places = [here for _, here in spans]
    gains = [0.0] * len(spans)
    for i, ((start, here), (begin, end)) in enumerate(pairwise(spans)):
        end = min(end, len(frames))
        choices = np.arange(max(here - _REACH, start + shortest), min(here + _REACH, end - shortest) + 1)
        if begin != here or here not in choices:
            continue
        first, last = max(start, here - _SIGHT), min(end, here + _SIGHT)
        costs = (spread(first, choices) + spread(choices, last)) * (1.0 + _RELUCTANCE * (choices - here) ** 2)
        places[i] = int(choices[np.argmin(costs)])
        gains[i] = float(costs[choices == here][0] - costs.min())
    for i in range(1, len(spans)):
        # each boundary was moved as if the others stayed; of two that leave a phone too short, the better one counts
        if spans[i - 1][1] == spans[i][0] and places[i] - places[i - 1] < shortest:
            undone = i if gains[i] < gains[i - 1] else i - 1
            places[undone], gains[undone] = spans[undone][1], 0.0
    starts = [places[i - 1] if i and spans[i - 1][1] == start else start for i, (start, _) in enumerate(spans)]
    return list(zip(starts, places, strict=True))
