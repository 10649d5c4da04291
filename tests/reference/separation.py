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
        return math.acos(1 - cosine) / math.pi
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
    """Mean over cells (speaker of x, then ordered type pairs) of the share of triples in which b is nearer, ties half."""
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
                cells.setdefault((types[x], types[b], speakers[x]), []).append(lost)
    pairs: dict[tuple, list[float]] = {}
    for (a, b, _), found in cells.items():
        pairs.setdefault((a, b), []).append(sum(found) / len(found))
    return sum(sum(found) / len(found) for found in pairs.values()) / len(pairs)
