"""Slow oracles for phonology, written from the definitions; they share no code with the product."""

from __future__ import annotations

from functools import cache
from itertools import combinations


def edit_distance(a, b, substitution=lambda x, y: float(x != y)):
    """Least cost of insertions and deletions (1 each) and substitutions, by recursion on the last phones."""

    @cache
    def cost(i, j):
        if i == 0 or j == 0:
            return float(i + j)
        return min(cost(i - 1, j) + 1.0, cost(i, j - 1) + 1.0, cost(i - 1, j - 1) + substitution(a[i - 1], b[j - 1]))

    return cost(len(a), len(b))


def relation(a, b, threshold):
    """Relation of two phone strings of different words."""
    edits = edit_distance(a, b)
    if edits == 0:
        return "homophone"
    return "near_homophone" if edits / max(len(a), len(b)) <= threshold + 1e-12 else "unrelated"


def relation_counts(entries, threshold):
    """Counts by relation, and pairs one edit apart, over all pairs of (word, phones) of different words."""
    counts = {"homophone": 0, "near_homophone": 0, "unrelated": 0}
    single = 0
    for (word_a, a), (word_b, b) in combinations(entries, 2):
        if word_a != word_b:
            counts[relation(a, b, threshold)] += 1
            single += edit_distance(a, b) == 1
    return counts, single


def maximal_onset(phones, is_nucleus, onsets):
    """Starts of the syllables: of all ways to divide each cluster between two nuclei, the one with the longest legal onset."""
    nuclei = [i for i, phone in enumerate(phones) if is_nucleus(phone)]
    starts = [0]
    for k in range(1, len(nuclei)):
        cluster = range(nuclei[k - 1] + 1, nuclei[k] + 1)
        allowed = [start for start in cluster if start == nuclei[k] or tuple(phones[start : nuclei[k]]) in onsets]
        starts.append(max(allowed, key=lambda start: nuclei[k] - start))
    return starts
