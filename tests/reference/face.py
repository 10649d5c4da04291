"""Face metrics written as loops from their formulas; slow, and sharing no code with analysis.face."""

from __future__ import annotations

import math


def squared_distance(a, b) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def _centred(frame, lips):
    mean = [sum(float(frame[v][axis]) for v in lips) / len(lips) for axis in range(3)]
    return {v: [float(frame[v][axis]) - mean[axis] for axis in range(3)] for v in lips}


def lip_errors(prediction, truth, lips, *, centred=False) -> list[float]:
    """Per frame, the largest squared distance of a lip vertex."""
    errors = []
    for t in range(min(len(prediction), len(truth))):
        p, g = (_centred(x[t], lips) if centred else x[t] for x in (prediction, truth))
        errors.append(max(squared_distance(p[v], g[v]) for v in lips))
    return errors


def lve(predictions, truths, lips, *, root=False, pooling="frames", centred=False) -> float:
    """Lip vertex error over clips."""
    clips = []
    for prediction, truth in zip(predictions, truths, strict=True):
        errors = lip_errors(prediction, truth, lips, centred=centred)
        clips.append([math.sqrt(e) for e in errors] if root else errors)
    if pooling == "clips":
        return sum(sum(clip) / len(clip) for clip in clips) / len(clips)
    return sum(sum(clip) for clip in clips) / sum(len(clip) for clip in clips)


def mve(predictions, truths) -> float:
    """Mean distance over all frames of all clips and all vertices."""
    total, count = 0.0, 0
    for prediction, truth in zip(predictions, truths, strict=True):
        for t in range(min(len(prediction), len(truth))):
            for v in range(len(truth[t])):
                total += math.sqrt(squared_distance(prediction[t][v], truth[t][v]))
                count += 1
    return total / count


def _spread(vertices, template, upper) -> float:
    total = 0.0
    for v in upper:
        excursions = [squared_distance(frame[v], template[v]) for frame in vertices]
        mean = sum(excursions) / len(excursions)
        total += math.sqrt(sum((e - mean) ** 2 for e in excursions) / len(excursions))
    return total / len(upper)


def fdd(predictions, truths, templates, upper, *, absolute=False) -> float:
    """Mean over clips of true minus predicted motion spread."""
    differences = []
    for prediction, truth, template in zip(predictions, truths, templates, strict=True):
        length = min(len(prediction), len(truth))
        difference = _spread(truth[:length], template, upper) - _spread(prediction[:length], template, upper)
        differences.append(abs(difference) if absolute else difference)
    return sum(differences) / len(differences)


def sign_flip(differences) -> float:
    """Exact two-sided p-value over all sign patterns."""
    observed = abs(sum(differences))
    extreme = 0
    for pattern in range(2 ** len(differences)):
        flipped = sum(d if pattern >> i & 1 else -d for i, d in enumerate(differences))
        extreme += abs(flipped) >= observed - 1e-12
    return extreme / 2 ** len(differences)


def fleiss(votes) -> float:
    """Fleiss' kappa of rows of category counts, each with the same number of raters."""
    n = sum(votes[0])
    categories = range(len(votes[0]))
    agreement = sum((sum(c * c for c in row) - n) / (n * (n - 1)) for row in votes) / len(votes)
    shares = [sum(row[k] for row in votes) / (n * len(votes)) for k in categories]
    chance = sum(s * s for s in shares)
    return (agreement - chance) / (1 - chance)


def krippendorff(units) -> float:
    """Krippendorff's alpha for nominal values, by its definition over pairs of values within a unit and over all."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    n = len(values)
    observed = 0.0
    for unit in units:
        pairs = sum(unit[i] != unit[j] for i in range(len(unit)) for j in range(len(unit)) if i != j)
        observed += pairs / (len(unit) - 1)
    observed /= n
    expected = sum(values[i] != values[j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return 1 - observed / expected
