"""The only arithmetic between seconds and frames: half-open intervals and grids of frame centres.

A frame belongs to an interval when its centre lies in it. Because intervals are half-open, adjacent intervals share no frame
and lose none. One frame of slicing error moves published ABX scores by a tenth of their value, so no other module converts
between seconds and frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["FrameGrid", "Interval"]

# Times come out of text files with rounding in the last digits: a boundary within a millionth of a sample of a frame centre
# is meant to lie on it.
_SAMPLE_TOLERANCE = 1e-6


@dataclass(frozen=True, order=True)
class Interval:
    """A labelled half-open stretch of time ``[start, end)`` in seconds on the audio's own clock.

    Raises
    ------
    ValueError
        If a bound is not finite, the start is negative, or the end is not after the start.

    Examples
    --------
    >>> Interval(0.5, 0.75, "sheep").duration
    0.25
    """

    start: float
    end: float
    label: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"interval {self.label!r} has a bound that is not a number: [{self.start}, {self.end})")
        if self.start < 0:
            raise ValueError(f"interval {self.label!r} starts before the audio: [{self.start}, {self.end})")
        if self.end <= self.start:
            raise ValueError(f"interval {self.label!r} ends at or before its start: [{self.start}, {self.end})")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    @property
    def center(self) -> float:
        """Midpoint in seconds."""
        return 0.5 * (self.start + self.end)

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share more than a boundary."""
        return self.start < other.end and other.start < self.end

    def __contains__(self, time: float) -> bool:
        return self.start <= time < self.end

    def __str__(self) -> str:
        return f"{self.label!r} [{self.start:.3f}, {self.end:.3f})"


@dataclass(frozen=True)
class FrameGrid:
    """The frame centres of an encoder, in whole samples of its input.

    Attributes
    ----------
    hop : int
        Samples from one frame centre to the next.
    first_center : int
        Sample on which frame 0 is centred.
    sampling_rate : int
        Samples per second of the encoder's input, Hz.

    Examples
    --------
    >>> FrameGrid(hop=320, first_center=200, sampling_rate=16000).rate
    50.0
    """

    hop: int
    first_center: int
    sampling_rate: int

    def __post_init__(self) -> None:
        if self.hop < 1 or self.sampling_rate < 1 or self.first_center < 0:
            raise ValueError(
                f"a frame grid needs a hop and a sampling rate of at least 1 and a first centre of at least 0, "
                f"not hop={self.hop}, sampling_rate={self.sampling_rate}, first_center={self.first_center}"
            )

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.sampling_rate / self.hop

    def centers(self, n_frames: int) -> np.ndarray:
        """Centres of the first ``n_frames`` frames in seconds, shape ``(n_frames,)``."""
        return (self.first_center + self.hop * np.arange(n_frames)) / self.sampling_rate

    def first_frame_from(self, time: float) -> int:
        """Index of the first frame whose centre is at or after ``time`` (s), counted from 0, never negative."""
        frames = (time * self.sampling_rate - self.first_center - _SAMPLE_TOLERANCE) / self.hop
        return max(0, math.ceil(frames))

    def frames(self, start: float, end: float, n_frames: int) -> slice:
        """Slice of the frames whose centres lie in ``[start, end)`` among ``n_frames``; empty when there is none.

        Adjacent intervals give adjacent slices: their frames partition those of the union.
        """
        first = min(self.first_frame_from(start), n_frames)
        stop = min(self.first_frame_from(end), n_frames)
        return slice(first, max(first, stop))

    def nearest_frame(self, time: float, n_frames: int) -> int:
        """Index of the frame whose centre is nearest to ``time`` (s), within the ``n_frames`` that exist."""
        index = round((time * self.sampling_rate - self.first_center) / self.hop)
        return min(max(index, 0), n_frames - 1)
