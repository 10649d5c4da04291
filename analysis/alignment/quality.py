"""Which alignments to doubt: measures of each utterance, limits stated as data, and the marked ones worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from analysis.alignment.arpabet import without_stress
from analysis.alignment.types import Alignment
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURES", "QualityLimits", "quality_table", "within_limits"]

#: Measures of one utterance, in the order of the table's columns.
MEASURES = ("speech_rate", "shortest_run", "largest_z", "score_per_frame", "silence_share")

# A phone as short as the aligner can make it, s: three 10 ms frames in the models of HTK, Kaldi, MFA and Sphinx.
_MINIMUM_PHONE = 0.030
# Spread of logarithmic durations within a phone class is not taken below this, or classes of two tokens would give huge scores.
_LEAST_SPREAD = 0.25
_LEAST_TOKENS = 5


@dataclass(frozen=True)
class QualityLimits:
    """Beyond these an utterance is marked. None switches a limit off.

    Attributes
    ----------
    slowest, fastest : float or None
        Speech rate: phones per second of speech (pauses left out). Conversational English lies between 8 and 18.
    shortest_run : int or None
        Longest run of phones as short as the aligner can make them (30 ms): a model that is lost squeezes words together.
    largest_z : float or None
        Largest absolute z-score of a phone's log duration among the corpus's phones of that class.
    lowest_score : float or None
        Score per frame (``Alignment.confidence``) as a robust z-score within the corpus and the aligner: the distance from the
        median in units of the scaled median absolute deviation. Scores of different aligners are not comparable, ranks within
        one are.
    most_silence : float or None
        Share of the recording outside phones (words, where there are no phones).
    """

    slowest: float | None = 4.0
    fastest: float | None = 25.0
    shortest_run: int | None = 6
    largest_z: float | None = 5.0
    lowest_score: float | None = -5.0
    most_silence: float | None = 0.8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not math.isfinite(value):
                raise ConfigurationError(f"The quality limit {field.name} must be a number or None, not {value}.")
        if self.slowest is not None and self.fastest is not None and self.slowest >= self.fastest:
            raise ConfigurationError(
                f"The quality limits contradict each other: slowest is {self.slowest} fastest {self.fastest} phones per second."
            )


def quality_table(
    alignments: Iterable[Alignment],
    utterances: Iterable[Utterance] = (),
    *,
    limits: QualityLimits | None = None,
) -> pd.DataFrame:
    """Measures of every utterance, which are marked and why, worst first.

    Parameters
    ----------
    alignments : iterable of Alignment
    utterances : iterable of Utterance, optional
        Give the speaker column; may be more than were aligned.
    limits : QualityLimits, optional

    Returns
    -------
    pandas.DataFrame
        One row per alignment: ``utterance, speaker, source, duration, n_words, n_phones``, the measures ``speech_rate`` (phones
        per second of speech), ``shortest_run`` (phones), ``largest_z``, ``longest_phone`` (the phone that has it),
        ``score_per_frame``, ``score_z``, ``silence_share``, then ``marked`` (bool), ``excess`` (how far beyond its limit the
        worst measure is, 0 when none is) and ``reasons``. Measures that cannot be taken (no phones, no score) are NaN. What an
        aligner measured itself stands behind, as ``aligner_snr`` and the like.

    Notes
    -----
    Durations are compared on a logarithmic scale within a class of phones (stress aside) over the whole table; classes with fewer
    than five tokens give no z-score.
    """
    import pandas as pd

    limits = limits or QualityLimits()
    alignments = list(alignments)
    speakers = {utterance.id: utterance.speaker for utterance in utterances}
    spreads = _duration_statistics(alignments)
    score_z = _robust_scores(alignments)
    rows = []
    for alignment, z in zip(alignments, score_z, strict=True):
        row = _measures(alignment, spreads)
        row["speaker"] = speakers.get(alignment.utterance_id, "")
        row["score_z"] = z
        reasons, excess = _verdict(row, limits)
        row |= {"marked": bool(reasons), "excess": excess, "reasons": "; ".join(reasons)}
        rows.append(row | {f"aligner_{name}": value for name, value in alignment.measures})
    columns = {
        "utterance": "str", "speaker": "str", "source": "str", "duration": "float64", "n_words": "int64", "n_phones": "int64",
        "speech_rate": "float64", "shortest_run": "int64", "largest_z": "float64", "longest_phone": "str",
        "score_per_frame": "float64", "score_z": "float64", "silence_share": "float64", "marked": "bool", "excess": "float64",
        "reasons": "str",
    }  # fmt: skip
    columns |= dict.fromkeys((f"aligner_{name}" for one in alignments for name, _ in one.measures), "float64")
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    return table.sort_values(["excess", "utterance"], ascending=[False, True], kind="stable", ignore_index=True)


def within_limits(
    alignments: Mapping[str, Alignment], utterances: Iterable[Utterance] = ()
) -> tuple[dict[str, Alignment], pd.DataFrame, list[Failure]]:
    """The alignments that are not marked, by utterance id; the table of all; and a failure for each that is."""
    table = quality_table(alignments.values(), utterances)
    marked = table[table["marked"]].sort_values("utterance")
    failures = [
        Failure("alignment", name, f"Beyond the quality limits: {reasons}.", "Check it, or use --keep_marked.")
        for name, reasons in zip(marked["utterance"], marked["reasons"], strict=True)
    ]
    out = set(marked["utterance"])
    return {name: alignment for name, alignment in alignments.items() if name not in out}, table, failures


def _duration_statistics(alignments: list[Alignment]) -> dict[str, tuple[float, float]]:
    """Mean and spread of log durations by phone class."""
    logs: dict[str, list[float]] = {}
    for alignment in alignments:
        for phone in alignment.phones:
            logs.setdefault(without_stress(phone.label), []).append(math.log(phone.duration))
    return {
        label: (float(np.mean(values)), max(float(np.std(values, ddof=1)), _LEAST_SPREAD))
        for label, values in logs.items()
        if len(values) >= _LEAST_TOKENS
    }


def _robust_scores(alignments: list[Alignment]) -> list[float]:
    """Each confidence's distance from the median of its aligner, in scaled median absolute deviations; NaN without one."""
    by_source: dict[str, list[float]] = {}
    for alignment in alignments:
        if alignment.confidence is not None and math.isfinite(alignment.confidence):
            by_source.setdefault(alignment.source, []).append(alignment.confidence)
    centres = {}
    for source, values in by_source.items():
        median = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(np.array(values) - median)))
        # at least a twentieth of the level itself, so that a corpus of near-equal scores marks nothing
        centres[source] = (median, max(spread, 0.05 * abs(median), 1e-9), len(values))
    scores = []
    for alignment in alignments:
        median, spread, n = centres.get(alignment.source, (0.0, 1.0, 0))
        usable = alignment.confidence is not None and math.isfinite(alignment.confidence) and n >= _LEAST_TOKENS
        scores.append((alignment.confidence - median) / spread if usable else math.nan)
    return scores


def _measures(alignment: Alignment, spreads: dict[str, tuple[float, float]]) -> dict[str, object]:
    phones = alignment.phones
    units = phones or alignment.words
    speech = sum(unit.duration for unit in units)
    run = longest = 0
    for phone in phones:
        run = run + 1 if phone.duration <= _MINIMUM_PHONE + 1e-6 else 0
        longest = max(longest, run)
    worst, place = math.nan, ""
    for phone in phones:
        mean, spread = spreads.get(without_stress(phone.label), (math.nan, math.nan))
        z = (math.log(phone.duration) - mean) / spread
        if math.isfinite(z) and not abs(z) <= abs(worst):
            worst, place = z, str(phone)
    return {
        "utterance": alignment.utterance_id,
        "source": alignment.source,
        "duration": alignment.duration,
        "n_words": len(alignment.words),
        "n_phones": len(phones),
        "speech_rate": len(phones) / speech if phones else math.nan,
        "shortest_run": longest,
        "largest_z": worst,
        "longest_phone": place,
        "score_per_frame": math.nan if alignment.confidence is None else alignment.confidence,
        "silence_share": min(max(1.0 - speech / alignment.duration, 0.0), 1.0),
    }


def _verdict(row: dict[str, object], limits: QualityLimits) -> tuple[list[str], float]:
    """Reasons, and how many times its limit the worst measure is (minus one)."""
    if not row["n_words"] and not row["n_phones"]:
        return ["nothing is aligned"], math.inf
    checks = (
        ("slowest", row["speech_rate"], -1, "speech rate of {value:.1f} phones per second, below {limit:g}"),
        ("fastest", row["speech_rate"], 1, "speech rate of {value:.1f} phones per second, above {limit:g}"),
        ("shortest_run", row["shortest_run"], 1, "{value:.0f} phones of minimum length in a row, above {limit:g}"),
        ("largest_z", abs(row["largest_z"]), 1, "a phone duration {value:.1f} standard deviations off, above {limit:g}: {place}"),
        ("lowest_score", row["score_z"], -1, "score per frame {value:.1f} deviations from the median, below {limit:g}"),
        ("most_silence", row["silence_share"], 1, "{value:.0%} of the recording is silence, above {limit:.0%}"),
    )
    reasons, excess = [], 0.0
    for name, value, sign, text in checks:
        limit = getattr(limits, name)
        if limit is None or not math.isfinite(value) or sign * value <= sign * limit:
            continue
        reasons.append(text.format(value=value, limit=limit, place=row["longest_phone"]))
        excess = max(excess, abs(value - limit) / max(abs(limit), 1e-9))
    return reasons, excess
