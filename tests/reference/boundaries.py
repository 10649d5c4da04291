"""Change points the slow way: every split of every two neighbours, means and distances one frame at a time."""

from __future__ import annotations


def spread(frames):
    """Sum of squared distances of the frames from their mean."""
    mean = [sum(frame[d] for frame in frames) / len(frames) for d in range(len(frames[0]))]
    return sum((value - m) ** 2 for frame in frames for value, m in zip(frame, mean, strict=True))


def best_split(frames, start, here, end, *, reach, sight, reluctance, shortest):
    """The frame within ``reach`` of ``here`` that splits ``[start, end)`` with the least cost."""
    costs = {}
    for place in range(here - reach, here + reach + 1):
        if place - start >= shortest and end - place >= shortest:
            left, right = frames[max(start, here - sight) : place], frames[place : min(end, here + sight)]
            costs[place] = (spread(left) + spread(right)) * (1 + reluctance * (place - here) ** 2)
    return min(costs, key=costs.get) if here in costs else here
