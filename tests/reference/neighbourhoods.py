"""Trustworthiness and continuity by counting, one pair at a time (Venna and Kaski 2001)."""

from __future__ import annotations

import math


def trustworthiness(high, low, k):
    """1 - 2 / (n k (2n - 3k - 1)) * sum over points of the rank excess of their false neighbours on the map."""
    n = len(high)
    penalty = 0
    for i in range(n):
        by_high = sorted((math.dist(high[i], high[j]), j) for j in range(n) if j != i)
        by_low = sorted((math.dist(low[i], low[j]), j) for j in range(n) if j != i)
        rank = {j: place + 1 for place, (_, j) in enumerate(by_high)}
        penalty += sum(max(0, rank[j] - k) for _, j in by_low[:k])
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


def nearest(points, k):
    """For each point the indices of its k nearest, itself first."""
    found = []
    for i in range(len(points)):
        order = sorted((0.0 if j == i else math.dist(points[i], points[j]), j != i, j) for j in range(len(points)))
        found.append([j for _, _, j in order[:k]])
    return found
