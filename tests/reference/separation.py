"""Averages of distances and ABX errors by loops over tokens, for comparison with analysis.separation; shares no code with it."""

from __future__ import annotations

import math


def distance(x, y, name: str) -> float:
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
    if name == "l2":
        return difference
    if name == "mse":
        return difference**2 / len(x)
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    cosine = 1 - dot / math.sqrt(sum(a * a for a in x)) / math.sqrt(sum(b * b for b in y))
    if name == "cosine":
        return cosine
    if name == "angular":
        return math.acos(max(-1.0, min(1.0, 1 - cosine))) / math.pi
    return math.sqrt(2 * max(0.0, cosine))


def average(vectors, types, utterances, type_pairs, name: str, split: str, kind: str) -> float:
    """Macro or micro mean over all token pairs of the type pairs (a type with itself: each unordered pair once)."""
    per_pair = []
    for type_a, type_b in type_pairs:
        found = []
        for i in range(len(vectors)):
            for j in range(len(vectors)):
                if types[i] != type_a or types[j] != type_b or (type_a == type_b and j <= i):
                    continue
                same = utterances[i] == utterances[j]
                if split == "all" or (split == "same_utterance") == same:
                    found.append(distance(vectors[i], vectors[j], name))
        if found:
            per_pair.append(found)
    if kind == "macro":
        return sum(sum(found) / len(found) for found in per_pair) / len(per_pair)
    return sum(map(sum, per_pair)) / sum(map(len, per_pair))


def abx_error(vectors, types, speakers, utterances, name: str, condition: str) -> float:
    """Mean over cells of the share of triples in which b is nearer, ties half.

    A cell holds the speaker of a and b, the speaker of x, and the ordered type pair; without a condition on speakers, the type pair.
    """
    cells: dict[tuple, list[float]] = {}
    for (a, b, speaker, other), found in abx_cells(vectors, types, speakers, utterances, name, condition).items():
        cells.setdefault((a, b) if condition == "any" else (a, b, speaker, other), []).extend(found)
    return sum(sum(found) / len(found) for found in cells.values()) / len(cells)


def abx_cells(vectors, types, speakers, utterances, name: str, condition: str) -> dict[tuple, list[float]]:
    """Of each (type of a and x, type of b, speaker of x, speaker of a) what every triple loses: 1 where b is nearer, half in a tie.

    The speaker of a is asked for across speakers only, and None otherwise.
    """
    cells: dict[tuple, list[float]] = {}
    n = range(len(vectors))
    for x in n:
        for a in n:
            if types[a] != types[x] or utterances[a] == utterances[x]:
                continue
            for b in n:
                if types[b] == types[x] or utterances[b] == utterances[x]:
                    continue
                if condition == "within_speaker" and not speakers[a] == speakers[b] == speakers[x]:
                    continue
                if condition == "across_speaker" and not (speakers[a] == speakers[b] != speakers[x]):
                    continue
                near, far = distance(vectors[a], vectors[x], name), distance(vectors[b], vectors[x], name)
                lost = 0.5 if abs(near - far) < 1e-9 else float(far < near)
                other = speakers[a] if condition == "across_speaker" else None
                cells.setdefault((types[x], types[b], speakers[x], other), []).append(lost)
    return cells


def weighted_average(vectors, types, utterances, type_pairs, weights, name: str, allowed) -> float:
    """Mean over type pairs with given weights of the mean over their token pairs (i, j) for which ``allowed(i, j)``."""
    total = weight_of_all = 0.0
    for (type_a, type_b), weight in zip(type_pairs, weights, strict=True):
        found = [
            distance(vectors[i], vectors[j], name)
            for i in range(len(vectors))
            for j in range(len(vectors))
            if types[i] == type_a and types[j] == type_b and allowed(i, j)
        ]
        if found and weight:
            total += weight * sum(found) / len(found)
            weight_of_all += weight
    return total / weight_of_all


def knn_purity(vectors, types, utterances, k: int) -> float:
    """Mean share of the k nearest tokens of other utterances that are of the token's type, where there is one elsewhere."""
    shares = []
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if utterances[j] != utterances[i]]
        if not any(types[j] == types[i] for j in others):
            continue
        nearest = sorted(others, key=lambda j: distance(vectors[i], vectors[j], "l2"))[:k]
        shares.append(sum(types[j] == types[i] for j in nearest) / len(nearest))
    return sum(shares) / len(shares)


def d_prime(between, within) -> float:
    """Difference of means over the root of the mean of both variances (n - 1)."""

    def moments(values):
        mean = sum(values) / len(values)
        return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)

    (mean_b, var_b), (mean_w, var_w) = moments(between), moments(within)
    return (mean_b - mean_w) / math.sqrt((var_b + var_w) / 2)


def dtw(a, b, name: str) -> float:
    """Cheapest mean cost along a path from corner to corner, of the cheapest total; by recursion over all paths' ends."""

    def best(i: int, j: int) -> tuple[float, int]:
        here = distance(a[i], b[j], name)
        if i == j == 0:
            return here, 1
        steps = []
        if i and j:
            steps.append((*best(i - 1, j - 1), 0))
        if i:
            steps.append((*best(i - 1, j), 1))
        if j:
            steps.append((*best(i, j - 1), 2))
        total, length, _ = min(steps, key=lambda step: (step[0], step[2]))
        return here + total, length + 1

    total, length = best(len(a) - 1, len(b) - 1)
    return total / length
