"""Pooled vectors by loops over tokens, layers and frames, from the definitions alone."""

from __future__ import annotations

import numpy as np


def pooled_vector(
    states: np.ndarray, centers: np.ndarray, times: tuple[float, float, float, float], pooling: str
) -> np.ndarray | None:
    """One token's vector, ``(layers, dims)`` (``parts``: three times the dims), or None when it holds no frame.

    ``states`` is ``(layers, frames, dims)``; ``centers`` holds the frame times in seconds; ``times`` is start, start of the
    nucleus, start of the coda, end.
    """
    start, nucleus, coda, end = times
    inside = [frame for frame, time in enumerate(centers) if start <= time < end]
    if not inside:
        return None
    return np.stack(
        [_one_layer(layer.astype(np.float64), centers, inside, (start, nucleus, coda, end), pooling) for layer in states]
    )


def _one_layer(frames: np.ndarray, centers: np.ndarray, inside: list[int], times: tuple, pooling: str) -> np.ndarray:
    start, nucleus, coda, end = times
    middle = min(inside, key=lambda frame: abs(centers[frame] - (start + end) / 2))
    if pooling == "mean":
        return _mean(frames, inside)
    if pooling == "center":
        return frames[middle]
    if pooling == "middle":
        third = (end - start) / 3
        chosen = [frame for frame in inside if start + third <= centers[frame] < end - third]
        return _mean(frames, chosen) if chosen else frames[middle]
    if pooling == "parts":
        parts = []
        for first, last in ((start, nucleus), (nucleus, coda), (coda, end)):
            chosen = [frame for frame in inside if first <= centers[frame] < last]
            if not chosen and last - first > 1e-6:  # shorter than a hop: heard in the nearest frame of the token
                chosen = [min(inside, key=lambda frame: abs(centers[frame] - (first + last) / 2))]
            parts.append(_mean(frames, chosen) if chosen else np.zeros(frames.shape[1]))
        return np.concatenate(parts)
    if pooling == "max":
        return np.array([max(frames[frame][dim] for frame in inside) for dim in range(frames.shape[1])])
    if pooling == "medoid":
        sums = [sum(np.linalg.norm(frames[one] - frames[other]) for other in inside) for one in inside]
        return frames[inside[int(np.argmin(sums))]]
    raise ValueError(pooling)


def _mean(frames: np.ndarray, chosen: list[int]) -> np.ndarray:
    total = np.zeros(frames.shape[1])
    for frame in chosen:
        total = total + frames[frame]
    return total / len(chosen)
