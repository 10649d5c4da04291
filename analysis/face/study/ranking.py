"""One order of all methods of a study: Bradley-Terry strengths with intervals that allow for raters and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Answer", "Standing", "bradley_terry", "rank_methods"]

# Each compared pair gets half a win for either side, so that a method that always won has a finite strength.
_HALF = 0.5
_STEPS = 200


@dataclass(frozen=True)
class Answer:
    """One choice: ``preferred`` over ``other``, by ``rater``, on ``item``."""

    rater: str
    item: str
    preferred: str
    other: str
    side: str
    milliseconds: int


@dataclass(frozen=True)
class Standing:
    """One method's place.

    Attributes
    ----------
    method : str
    strength, low, high : float
        Log-odds against a method of mean strength, 0; 95 % percentile bootstrap over raters and items crossed.
    share : float
        Expected share of answers that prefer it to a method drawn from the others.
    n_answers : int
        In which it was shown.
    """

    method: str
    strength: float
    low: float
    high: float
    share: float
    n_answers: int


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Strengths (log-odds, mean 0) from ``wins[..., i, j]``, how often i was preferred to j, shape ``(..., methods)``.

    Notes
    -----
    ``P(i over j) = 1 / (1 + exp(s_j - s_i))``, Bradley and Terry (1952); fitted by Hunter's (2004) minorise-maximise steps after half a
    win was given to either side of every pair that was compared.
    """
    wins = np.asarray(wins, np.float64)
    compared = wins + np.swapaxes(wins, -1, -2)
    padded = wins + _HALF * (compared > 0)
    games, won = padded + np.swapaxes(padded, -1, -2), padded.sum(axis=-1)
    power = np.ones(wins.shape[:-1])
    for _ in range(_STEPS):
        denominator = (games / (power[..., :, None] + power[..., None, :])).sum(axis=-1)
        new = np.where(denominator > 0, won / np.maximum(denominator, 1e-300), 1.0)
        new /= np.exp(np.log(new).mean(axis=-1, keepdims=True))
        if np.abs(np.log(new / power)).max() < 1e-10:
            power = new
            break
        power = new
    return np.log(power)


def rank_methods(answers: Sequence[Answer], *, n_resamples: int = 2000, seed: int = 0) -> tuple[Standing, ...]:
    """Methods from the strongest to the weakest; empty for two methods, or where not all are linked by comparisons."""
    methods = sorted({name for answer in answers for name in (answer.preferred, answer.other)})
    if len(methods) < 3:
        return ()
    place = {name: number for number, name in enumerate(methods)}
    pairs = np.array([(place[answer.preferred], place[answer.other]) for answer in answers])
    _, raters = np.unique([answer.rater for answer in answers], return_inverse=True)
    _, items = np.unique([answer.item for answer in answers], return_inverse=True)
    cells = pairs[:, 0] * len(methods) + pairs[:, 1]

    def wins(weights: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(cells, weights=row, minlength=len(methods) ** 2) for row in weights]).reshape(
            -1, len(methods), len(methods)
        )

    found = wins(np.ones((1, len(answers))))[0]
    if not _linked(found + found.T > 0):
        return ()
    rng = np.random.default_rng(seed)
    of_raters, of_items = (
        rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in (int(raters.max()) + 1, int(items.max()) + 1)
    )
    strengths = bradley_terry(found)
    drawn = bradley_terry(wins((of_raters[:, raters] * of_items[:, items]).astype(np.float64)))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    shown = (found + found.T).sum(axis=1)
    rows = []
    for number, name in enumerate(methods):
        others = np.delete(strengths, number)
        share = float(np.mean(1 / (1 + np.exp(others - strengths[number]))))
        rows.append(Standing(name, float(strengths[number]), float(low[number]), float(high[number]), share, int(shown[number])))
    return tuple(sorted(rows, key=lambda row: -row.strength))


def _linked(compared: np.ndarray) -> bool:
    """Whether every method is compared with every other, be it by way of others."""
    reached = np.zeros(len(compared), bool)
    reached[0] = True
    for _ in range(len(compared)):
        reached |= compared[reached].any(axis=0)
    return bool(reached.all())
