"""Frame arithmetic of a convolution stack, from its kernels and strides alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from analysis.timebase import FrameGrid

__all__ = ["clip_bounds", "frame_count", "stack_grid"]


def stack_grid(kernels: Sequence[int], strides: Sequence[int], sampling_rate: int, pooled: int = 1) -> tuple[FrameGrid, int]:
    """Frame grid and receptive field (samples) of unpadded convolutions applied one after another.

    Parameters
    ----------
    kernels, strides : sequence of int
    sampling_rate : int
        Of the input, Hz.
    pooled : int
        Frames averaged into one after the stack (SEW squeezes pairs).

    Examples
    --------
    >>> stack_grid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16000)
    (FrameGrid(hop=320, first_center=200, sampling_rate=16000), 400)
    """
    field, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    field += (pooled - 1) * hop
    return FrameGrid(hop * pooled, field // 2, sampling_rate), field


def frame_count(samples: int, kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Frames that unpadded convolutions leave of ``samples``; 0 when the clip is shorter than the receptive field."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
        if samples < 1:
            return 0
    return samples


def clip_bounds(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """First frame and end of every clip when clips of ``lengths`` frames lie one behind the other."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return [(int(first), int(end)) for first, end in pairwise(edges)]
