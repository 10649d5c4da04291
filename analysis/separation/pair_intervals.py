"""Intervals of single pairs: how far the gain of sheep/ship would be another with other speakers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.phonology.composition import TokenKinds, class_codes
from analysis.separation.intervals import Interval
from analysis.separation.relations import texts_of_tokens

__all__ = ["FEWEST_SPEAKERS", "pair_gains", "speaker_jackknife"]

#: With fewer speakers no interval of a single pair is given.
FEWEST_SPEAKERS = 4


def speaker_jackknife(values: np.ndarray, speaker_a: np.ndarray, speaker_b: np.ndarray, *, level: float = 0.95) -> Interval:
    """The mean of values over pairs of tokens, with the interval that holds for other speakers.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per pair of tokens.
    speaker_a, speaker_b : ndarray, shape (n,)
        Who says the one and who says the other.
    level : float

    Notes
    -----
    The delete-one jackknife of a U-statistic with speakers as units: leaving out a speaker leaves out every pair in which that
    speaker says either token; ``se^2 = (k - 1)/k sum (mean_s - mean)^2`` over the k means, with k - 1 degrees of freedom. Where
    every speaker has one pair to himself this is the t interval of the mean. On simulated corpora of 4 to 20 speakers with
    effects of speakers, tokens and both, 95 % intervals held the truth in 0.94 to 0.96 of 1,500.

    References
    ----------
    Arvesen, J. N. (1969). Jackknifing U-statistics. Annals of Mathematical Statistics 40.
    """
    from scipy.special import stdtrit

    estimate = float(np.mean(values))
    speakers = np.unique(np.concatenate([speaker_a, speaker_b]))
    k = len(speakers)
    if k < FEWEST_SPEAKERS:
        return Interval(estimate, note=f"{k} speakers say this pair; an interval needs {FEWEST_SPEAKERS}")
    left = [values[(speaker_a != speaker) & (speaker_b != speaker)] for speaker in speakers]
    if any(not len(rest) for rest in left):
        return Interval(estimate, note="without one of the speakers no pair of tokens is left")
    means = np.array([rest.mean() for rest in left])
    se = float(np.sqrt((k - 1) / k * ((means - means.mean()) ** 2).sum()))
    half = float(stdtrit(k - 1, 0.5 + level / 2)) * se
    return Interval(estimate, estimate - half, estimate + half, se, k - 1.0, "speaker_jackknife")


def pair_gains(
    tokens: pd.DataFrame, pairs: pd.DataFrame, without: np.ndarray, fused: np.ndarray, *, level: float = 0.95
) -> pd.DataFrame:
    """Gain in Euclidean distance of each pair of types between texts, with its interval over speakers.

    Parameters
    ----------
    tokens : DataFrame
        With ``type``, ``utterance``, ``speaker`` and, if there are any, ``text``; row i describes row i of the vectors.
    pairs : DataFrame
        With ``type_a``, ``type_b``; where it has ``pairs_of`` (:func:`analysis.phonology.compose`), only token pairs of its classes count.
    without, fused : ndarray, shape (N, D)
        Vectors of the tokens without and with semantics.
    level : float

    Returns
    -------
    DataFrame
        ``type_a``, ``type_b``, ``gain``, ``ci_low``, ``ci_high``, ``n_speakers``; one row per pair that has tokens in two
        texts. The interval is NaN with fewer than 4 speakers.
    """
    from scipy.spatial.distance import cdist

    rows = {name: group.to_numpy() for name, group in pd.Series(np.arange(len(tokens))).groupby(tokens["type"].to_numpy())}
    text, speaker = texts_of_tokens(tokens), tokens["speaker"].to_numpy()
    kinds = TokenKinds.of(tokens) if "pairs_of" in pairs else None
    classes = pairs["pairs_of"] if kinds is not None else [""] * len(pairs)
    found = []
    for a, b, scored in zip(pairs["type_a"], pairs["type_b"], classes, strict=True):
        if a not in rows or b not in rows:
            continue
        i, j = (grid.ravel() for grid in np.meshgrid(rows[a], rows[b], indexing="ij"))
        gains = (cdist(fused[rows[a]], fused[rows[b]]) - cdist(without[rows[a]], without[rows[b]])).ravel()
        apart = text[i] != text[j]
        if kinds is not None:
            apart &= np.isin(kinds.classes(i, j), class_codes(scored))
        if not apart.any():
            continue
        said = (speaker[i[apart]], speaker[j[apart]])
        interval = speaker_jackknife(gains[apart], *said, level=level)
        found.append((a, b, interval.estimate, interval.low, interval.high, len(set(said[0]) | set(said[1]))))
    return pd.DataFrame(found, columns=["type_a", "type_b", "gain", "ci_low", "ci_high", "n_speakers"])
