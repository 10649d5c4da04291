"""CTC alignment by trying every path there is: one label a frame, repeats collapsed, blanks dropped."""

from __future__ import annotations

from itertools import product


def collapsed(labels, blank):
    """Labels without repeats and blanks."""
    return [label for i, label in enumerate(labels) if label != blank and (i == 0 or labels[i - 1] != label)]


def best_labels(log_probs, tokens, blank):
    """The most probable label sequence that collapses to the tokens, and its log probability; None when there is none."""
    best = None
    for labels in product(range(len(log_probs[0])), repeat=len(log_probs)):
        if collapsed(labels, blank) == list(tokens):
            score = sum(frame[label] for frame, label in zip(log_probs, labels, strict=True))
            if score > -float("inf") and (best is None or score > best[1]):
                best = (labels, score)
    return best
