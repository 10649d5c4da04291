"""Hidden Markov models of the phones of one corpus, estimated from the corpus itself: the second pass of the embedded aligner.

The first pass hears the corpus with a model of other voices. Its boundaries are good enough to estimate one model per phone from
this corpus, and those models place boundaries better; a few rounds of that settle. No labels but those of the first pass are used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.alignment.agreement import PHONE_CLASSES
from analysis.alignment.boundaries import HOP, mel_power, pause_threshold

__all__ = ["SILENCE", "STATES", "Monophones", "Spoken", "acoustic_features", "estimated", "placed", "without_fading"]

#: Label of the model between words.
SILENCE = "sil"
STATES = 3
_WINDOW = 400
_COEFFICIENTS = 13
# Gaussians of each state in each round of aligning and estimating. More rounds and Gaussians let boundaries drift: two neighbours
# that always stand together say nothing about where one ends.
_ROUNDS = (1, 1)
# A Gaussian needs this many frames, a phone this many for a model of its own states.
_FRAMES_EACH = 40
_LEAST_FRAMES = 12
_VARIANCE_FLOOR = 0.05
# How far a boundary may move from the first pass, frames.
_BAND = 50
# A neighbour that stands beside a phone this often gives the phone a state of its own beside it.
_LEAST_NEIGHBOURS = 20
# What each frame costs for each frame that it lies outside the phone's place of the first pass, nats.
_TETHER = 2.0
_SONORANTS = PHONE_CLASSES["vowel"] | PHONE_CLASSES["nasal"] | PHONE_CLASSES["approximant"]
_STOPS = PHONE_CLASSES["stop"]
# Features and scores are rounded to these steps, so that sums are exact and every processor takes the same path.
_FEATURE_STEP = 1 / 256
_SCORE_STEP = 1 / 1024


@dataclass(frozen=True)
class Spoken:
    """One utterance as the models see it.

    Attributes
    ----------
    frames : ndarray
        ``(frames, 39)``, as :func:`acoustic_features` gives them.
    words : tuple of tuple of str
        Phones of each word, without stress.
    spans : tuple of (int, int)
        First frame and end of each phone of all words, as placed before.
    """

    frames: np.ndarray
    words: tuple[tuple[str, ...], ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Monophones:
    """Gaussian mixtures of the states of each phone.

    Attributes
    ----------
    number : dict
        Number of each state by phone, part and, for frequent ones, the neighbour before a first part or after a last.
    means, variances : ndarray
        ``(gaussians, 39)``
    weights : ndarray
        ``(gaussians,)``, logarithms.
    states : ndarray
        ``(gaussians,)``: the state of each, sorted.
    stay : ndarray
        ``(states,)``: logarithm of the probability to stay for another frame.
    """

    number: dict[tuple[str, int, str], int]
    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray
    states: np.ndarray
    stay: np.ndarray


def acoustic_features(samples: np.ndarray) -> np.ndarray:
    """Mel cepstra with their first and second differences over time, of each 10 ms frame.

    Parameters
    ----------
    samples : ndarray
        ``(n,)``, on the scale of 16-bit integers, 16 kHz.

    Returns
    -------
    ndarray
        ``(frames, 39)``; the 25 ms window of frame i starts at ``10 i`` ms, as in HTK, Kaldi and Sphinx. The mean over the
        recording is taken off.
    """
    from scipy.fft import dct

    count = max(1, len(samples) // HOP)
    power = mel_power(samples, count, 0)
    floor = np.percentile(power, 5, axis=0) + 10.0
    cepstra = dct(np.log(power + floor), norm="ortho", axis=1)[:, :_COEFFICIENTS]
    cepstra = cepstra - cepstra.mean(axis=0)
    first = _difference(cepstra)
    found = np.concatenate([cepstra, 2.0 * first, 4.0 * _difference(first)], axis=1)
    return (np.round(found / _FEATURE_STEP) * _FEATURE_STEP).astype(np.float32)


def _difference(frames: np.ndarray) -> np.ndarray:
    """Slope of each coefficient between the frames before and after."""
    padded = np.pad(frames, ((1, 1), (0, 0)), mode="edge")
    return 0.5 * (padded[2:] - padded[:-2])


def estimated(corpus: Sequence[Spoken], rounds: Sequence[int] = _ROUNDS) -> Monophones:
    """Models of the phones of a corpus: the first from where its phones are now, each later one from where the last puts them.

    Parameters
    ----------
    corpus : sequence of Spoken
    rounds : sequence of int
        Gaussians of each state at the most, one number a round.
    """
    number = _numbered(corpus)
    frames = np.concatenate([one.frames for one in corpus])
    states = np.concatenate([_first_states(one, number) for one in corpus])
    model = _estimate(frames, states, number, None, rounds[0])
    for n_gaussians in rounds[1:]:
        states = np.concatenate([_states(model, one)[0] for one in corpus])
        model = _estimate(frames, states, number, model, n_gaussians)
    return model


def _numbered(corpus: Sequence[Spoken]) -> dict[tuple[str, int, str], int]:
    """Number of each state: phone, part, and the neighbour that the first and the last part depend on where it is frequent."""
    counts: Counter[tuple[str, int, str]] = Counter()
    for one in corpus:
        phones = [phone for word in one.words for phone in word]
        counts.update(key for keys in _in_context(phones, None) for key in keys)
    keys = {key for key, count in counts.items() if count >= _LEAST_NEIGHBOURS}
    keys |= {(phone, part, "") for phone, _, _ in counts for part in range(STATES)}
    keys |= {(SILENCE, part, "") for part in range(STATES)}
    return {key: i for i, key in enumerate(sorted(keys))}


def _in_context(phones: Sequence[str], number: dict[tuple[str, int, str], int] | None) -> list[list[tuple[str, int, str]]]:
    """Three keys of each phone; those that ``number`` does not have fall back to the phone without its neighbour."""
    found = []
    for i, phone in enumerate(phones):
        before = phones[i - 1] if i else SILENCE
        after = phones[i + 1] if i + 1 < len(phones) else SILENCE
        keys = [(phone, 0, before), (phone, 1, ""), (phone, 2, after)]
        found.append([key if number is None or key in number else (key[0], key[1], "") for key in keys])
    return found


def placed(model: Monophones, one: Spoken) -> list[tuple[int, int]] | None:
    """First frame and end of each phone of an utterance, where a model puts them.

    None where the models lack a phone, or the recording has fewer frames than the phones have states.
    """
    phones = {phone for word in one.words for phone in word}
    if len(one.frames) < STATES * len(one.spans) or not all((phone, 1, "") in model.number for phone in phones):
        return None
    _, units = _states(model, one)
    spans = []
    for unit in range(len(one.spans)):
        inside = np.flatnonzero(units == unit)
        if not inside.size:  # no way through the states keeps to the band
            return None
        spans.append((int(inside[0]), int(inside[-1]) + 1))
    return spans


# -- estimating ----------------------------------------------------------------------------------------------------------------


def _first_states(one: Spoken, number: dict[tuple[str, int, str], int]) -> np.ndarray:
    """State of each frame from the spans: thirds of each phone, thirds of each pause."""
    n = len(one.frames)
    found = np.empty(n, dtype=np.int64)
    quiet = [number[SILENCE, part, ""] for part in range(STATES)]
    pieces, position = [], 0
    for keys, (start, end) in zip(_in_context([phone for word in one.words for phone in word], number), one.spans, strict=True):
        pieces += [(quiet, position, min(start, n)), ([number[key] for key in keys], min(start, n), min(end, n))]
        position = min(end, n)
    for states, start, end in [*pieces, (quiet, position, n)]:
        length = end - start
        found[start:end] = np.array(states)[np.arange(length) * STATES // max(length, 1)]
    return found


def _estimate(
    frames: np.ndarray, states: np.ndarray, number: dict[tuple[str, int, str], int], last: Monophones | None, n_gaussians: int
) -> Monophones:
    """Models from the state of each frame; ``last`` gives the Gaussians that are split."""
    order = np.argsort(states, kind="stable")
    bounds = np.searchsorted(states[order], np.arange(len(number) + 1))
    mean, variance = _moments(frames)
    floor = np.maximum(_VARIANCE_FLOOR * variance, 1e-3)
    means, variances, weights, owners = [], [], [], []
    for state in range(len(number)):
        mine = frames[order[bounds[state] : bounds[state + 1]]].astype(np.float64)
        if len(mine) < _LEAST_FRAMES:
            found = [(mean, variance, 0.0)]
        else:
            found = _mixture(mine, floor, min(n_gaussians, max(1, len(mine) // _FRAMES_EACH)), last, state)
        for one in found:
            means.append(one[0])
            variances.append(np.maximum(one[1], floor))
            weights.append(one[2])
            owners.append(state)
    counts = np.bincount(states, minlength=len(number))
    visits = np.bincount(states[np.flatnonzero(np.diff(states, prepend=-1))], minlength=len(number))
    stay = np.clip(1.0 - visits / np.maximum(counts, 1), 0.1, 0.98)
    return Monophones(
        number,
        np.round(np.array(means) / _FEATURE_STEP) * _FEATURE_STEP,
        np.round(np.array(variances) / _FEATURE_STEP) * _FEATURE_STEP + _FEATURE_STEP,
        np.array(weights),
        np.array(owners),
        stay,
    )


def _moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = frames.sum(axis=0, dtype=np.float64) / len(frames)
    return mean, (frames.astype(np.float64) ** 2).sum(axis=0) / len(frames) - mean**2


def _mixture(
    mine: np.ndarray, floor: np.ndarray, n_gaussians: int, last: Monophones | None, state: int
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Mean, variance and log weight of each Gaussian of a state, each frame belonging to the likeliest."""
    if n_gaussians == 1:
        return [(*_moments(mine), 0.0)]
    which = np.flatnonzero(last.states == state)
    means, variances, weights = list(last.means[which]), list(last.variances[which]), list(np.exp(last.weights[which]))
    while len(means) < n_gaussians:
        widest = int(np.argmax(weights))
        step = 0.5 * np.sqrt(variances[widest])
        means.append(means[widest] + step)
        means[widest] = means[widest] - step
        variances.append(variances[widest])
        weights[widest] /= 2
        weights.append(weights[widest])
    for _ in range(4):
        scores = _gaussian_scores(mine, np.array(means), np.array(variances), np.log(weights))
        owner = np.argmax(scores, axis=1)
        kept = [i for i in range(len(means)) if (owner == i).sum() >= _LEAST_FRAMES]
        if not kept:
            return [(*_moments(mine), 0.0)]
        found = [_moments(mine[owner == i]) for i in kept]
        means, variances = [mean for mean, _ in found], [np.maximum(variance, floor) for _, variance in found]
        weights = [float((owner == i).sum()) / len(mine) for i in kept]
    return [(mean, variance, float(np.log(weight))) for mean, variance, weight in zip(means, variances, weights, strict=True)]


def _gaussian_scores(frames: np.ndarray, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log likelihood of each frame under each Gaussian, ``(frames, gaussians)``, in whole steps."""
    precision = 1.0 / variances
    constant = weights - 0.5 * (np.log(2 * np.pi * variances) + means**2 * precision).sum(axis=1)
    frames = frames.astype(np.float64)
    found = constant + frames @ (means * precision).T - 0.5 * (frames**2 @ precision.T)
    return np.round(found / _SCORE_STEP)


# -- placing -------------------------------------------------------------------------------------------------------------------


def _states(model: Monophones, one: Spoken) -> tuple[np.ndarray, np.ndarray]:
    """State of each frame on the best path, and the number of its phone among those of the utterance (-1: silence)."""
    number = model.number
    context = _in_context([phone for word in one.words for phone in word], number)
    quiet = [(SILENCE, part, "") for part in range(STATES)]
    states, units, skips, starts, ends = [], [], [], [], []
    n = len(one.frames)

    def add(keys: list[tuple[str, int, str]], unit: int, start: int, end: int) -> None:
        for key in keys:
            states.append(number[key])
            units.append(unit)
            starts.append(start)
            ends.append(end)

    unit, position = 0, 0
    for word in one.words:
        add(quiet, -1, position, one.spans[unit][0])
        skips.append(len(states))  # the first state of a word also follows the last word
        for _ in word:
            add(context[unit], unit, *one.spans[unit])
            position = one.spans[unit][1]
            unit += 1
    add(quiet, -1, position, n)
    states, units = np.array(states), np.array(units)
    first = np.clip(np.array(starts) - _BAND, 0, n)
    last = np.clip(np.array(ends) + _BAND, 0, n)
    first[: STATES + 1], last[-STATES - 1 :] = 0, n
    first, last = np.minimum.accumulate(first[::-1])[::-1], np.maximum.accumulate(last)
    frame = np.arange(n)[:, None]
    away = np.maximum(np.maximum(np.array(starts) - frame, frame + 1 - np.array(ends)), 0)
    emissions = _emissions(model, one.frames, states) - np.round(_TETHER / _SCORE_STEP) * away
    path = _best_path(emissions, model.stay[states], np.array(skips), first, last)
    return states[path], units[path]


def _emissions(model: Monophones, frames: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Score of each frame in each state of the sequence, the likeliest Gaussian of the state counting."""
    wanted, places = np.unique(states, return_inverse=True)
    which = np.flatnonzero(np.isin(model.states, wanted))
    scores = _gaussian_scores(frames, model.means[which], model.variances[which], model.weights[which])
    begins = np.searchsorted(model.states[which], wanted)
    return np.maximum.reduceat(scores, begins, axis=1)[:, places]


def _best_path(emissions: np.ndarray, stay: np.ndarray, skips: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The likeliest way through the states from left to right: index of the state of each frame.

    ``skips`` are states that may also follow the state before the silence in front of them; state s is open to the frames
    ``first[s]`` to ``last[s]``, both rising.
    """
    n, width = emissions.shape
    on = np.round(np.log1p(-np.exp(np.log(stay))) / _SCORE_STEP)
    stay = np.round(np.log(stay) / _SCORE_STEP)
    lows = np.searchsorted(last, np.arange(n), side="right")
    highs = np.searchsorted(first, np.arange(n), side="right")
    skip = np.zeros(width, dtype=bool)
    skip[skips[1:]] = True
    score = np.full(width + 1, -np.inf)  # the last entry stands before the first state
    came = np.zeros((n, width), dtype=np.int8)
    score[0] = emissions[0, 0]
    score[skips[0]] = emissions[0, skips[0]]
    for t in range(1, n):
        low, high = lows[t], highs[t]
        new = np.full(width + 1, -np.inf)
        here = score[low:high] + stay[low:high]
        before = np.full(high - low, -np.inf)
        begin = max(low, 1)
        before[begin - low :] = score[begin - 1 : high - 1] + on[begin - 1 : high - 1]
        step = (before > here).astype(np.int8)
        best = np.maximum(here, before)
        jumps = np.flatnonzero(skip[low:high]) + low
        jumps = jumps[jumps > STATES]
        if jumps.size:
            over = score[jumps - STATES - 1] + on[jumps - STATES - 1]
            better = over > best[jumps - low]
            best[jumps[better] - low] = over[better]
            step[jumps[better] - low] = 2
        new[low:high] = best + emissions[t, low:high]
        came[t, low:high] = step
        score = new
    place = width - 1 if score[width - 1] >= score[width - 1 - STATES] else width - 1 - STATES
    path = np.empty(n, dtype=np.int64)
    for t in range(n - 1, -1, -1):
        path[t] = place
        place -= (0, 1, STATES + 1)[came[t, place]]
    return path


# -- what fades ----------------------------------------------------------------------------------------------------------------


def without_fading(spans: Sequence[tuple[int, int]], labels: Sequence[str], level: np.ndarray) -> list[tuple[int, int]]:
    """Spans with the end of each obstruent before a pause moved back to where the level falls below the threshold.

    Vowels, nasals and approximants end quietly, and a stop without a release is its closure: they stay as they are.
    """
    threshold = pause_threshold(level)
    found = list(spans)
    for i, (start, end) in enumerate(spans):
        before_pause = i + 1 == len(spans) or spans[i + 1][0] > end
        if not before_pause or labels[i] in _SONORANTS:
            continue
        least = start + STATES
        here = end
        while here > least and (here > len(level) or level[here - 1] < threshold):
            here -= 1
        if here > least or labels[i] not in _STOPS:
            found[i] = (start, here)
    return found
