"""Which alignments to doubt: measures of each utterance, limits stated as data, and the marked ones worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from analysis.alignment.arpabet import without_stress
from analysis.alignment.boundaries import SAMPLING_RATE
from analysis.alignment.sound import SoundMeasures, sound_measures, worst_stretch
from analysis.alignment.types import Alignment
from analysis.alignment.wording import phones_off, wording
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure
from analysis.guard import attempt

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURES", "QualityLimits", "quality_table", "within_limits"]

#: Measures of one utterance, in the order of the table's columns.
MEASURES = (
    "speech_rate", "shortest_run", "largest_z", "score_per_frame", "worst_stretch", "silence_share", "words_off", "phones_off",
    "untranscribed", "untranscribed_share", "boundary_contrast",
)  # fmt: skip

#: Aligners whose scores have limits of their own, by the first word of ``Alignment.source``: lowest score per frame of an
#: utterance, lowest of 0.8 s of it. Scores of two acoustic models are not comparable; other models have no such limit.
SCORE_LIMITS: Mapping[str, tuple[float, float]] = {"pocketsphinx": (-3.0, -5.0)}

# A phone as short as the aligner can make it, s: three 10 ms frames in the models of HTK, Kaldi, MFA and Sphinx.
_MINIMUM_PHONE = 0.030
# Spread of logarithmic durations within a phone class is not taken below this, or classes of two tokens would give huge scores.
_LEAST_SPREAD = 0.25
_LEAST_TOKENS = 5
# Noise lowers the scores of right words: for each dB that the levels range over less than this, limits of scores are lowered, nats.
_CLEAN_RANGE = 20.0
_SCORE_PER_DB = 0.13
# Sources whose phones someone else put under the words.
_READ = frozenset(("textgrid", "labels"))
# Boundaries with this contrast are in place whatever those of the other utterances are.
_IN_PLACE = 0.2
# One word that differs is no sign of a wrong file where there are more than this.
_FEW_WORDS = 4


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
    most_words_off : float or None
        Share of the words that differ from the transcript's: missing, added or replaced. One word in five or more is let pass.
    most_phones_off : float or None
        Share of the words that CMUdict knows and whose phones are unlike all it has for them. One in five or more is let pass.
    scores : bool
        Whether the limits of :data:`SCORE_LIMITS` hold: they need no other utterance to compare with, and are lower in noise.
    longest_untranscribed : float or None
        Longest stretch of sound outside the words, s.
    most_untranscribed : float or None
        Share of all sound outside the words.
    lowest_contrast : float or None
        As :func:`~analysis.alignment.sound.boundary_contrast` has it: boundaries that lie anywhere have about 0.
    lowest_corpus_contrast : float or None
        The median of that over at least five alignments of one source: a model that drifted is off everywhere. Below it all are
        marked but those whose own contrast is 0.2 or more.
    """

    slowest: float | None = 4.0
    fastest: float | None = 25.0
    shortest_run: int | None = 6
    largest_z: float | None = 5.0
    lowest_score: float | None = -5.0
    most_silence: float | None = 0.8
    most_words_off: float | None = 0.1
    most_phones_off: float | None = 0.3
    scores: bool = True
    longest_untranscribed: float | None = 0.5
    most_untranscribed: float | None = 0.25
    lowest_contrast: float | None = 0.05
    lowest_corpus_contrast: float | None = 0.12

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
        Give the speaker, the transcript and the recording, which are compared with the alignment; may be more than were aligned.
    limits : QualityLimits, optional

    Returns
    -------
    pandas.DataFrame
        One row per alignment: ``utterance, speaker, source, duration, n_words, n_phones``, the measures ``speech_rate`` (phones
        per second of speech), ``shortest_run`` (phones), ``largest_z``, ``longest_phone`` (the phone that has it),
        ``score_per_frame``, ``score_z``, ``worst_stretch`` (lowest score of 0.8 s), ``silence_share``, ``words_off`` and
        ``phones_off`` (shares), ``untranscribed`` (s), ``untranscribed_share``, ``boundary_contrast``, ``level_range`` (dB), then ``marked`` (bool),
        ``badness`` (how far the worst measure has gone from good towards its limit: 0 good, 1 at the limit), ``excess`` (how far
        beyond its limit the worst measure is, 0 when none is) and ``reasons``. Measures that cannot be taken (no phones, no score,
        no recording) are NaN. What an aligner measured itself stands behind, as ``aligner_snr`` and the like. Rows are sorted by
        ``excess`` and ``badness``.

    Notes
    -----
    Durations are compared on a logarithmic scale within a class of phones (stress aside) over the whole table; classes with fewer
    than five tokens give no z-score.
    """
    import pandas as pd

    limits = limits or QualityLimits()
    alignments = list(alignments)
    known = {utterance.id: utterance for utterance in utterances}
    spreads = _duration_statistics(alignments)
    score_z = _robust_scores(alignments)
    rows = []
    against_sound = [_against_sound(alignment, known.get(alignment.utterance_id)) for alignment in alignments]
    middles = _middle_contrasts(alignments, against_sound)
    for alignment, z, sound in zip(alignments, score_z, against_sound, strict=True):
        row = _measures(alignment, spreads)
        utterance = known.get(alignment.utterance_id)
        row["speaker"] = utterance.speaker if utterance else ""
        row["score_z"] = z
        row |= _against_transcript(alignment, utterance) | sound | {"_middle": middles.get(alignment.source, math.nan)}
        reasons, excess, badness = _verdict(row, limits)
        row |= {"marked": bool(reasons), "badness": badness, "excess": excess, "reasons": "; ".join(reasons)}
        rows.append(row | {f"aligner_{name}": value for name, value in alignment.measures})
    columns = {
        "utterance": "str", "speaker": "str", "source": "str", "duration": "float64", "n_words": "int64", "n_phones": "int64",
        "speech_rate": "float64", "shortest_run": "int64", "largest_z": "float64", "longest_phone": "str",
        "score_per_frame": "float64", "score_z": "float64", "worst_stretch": "float64", "silence_share": "float64",
        "words_off": "float64", "phones_off": "float64", "untranscribed": "float64", "untranscribed_share": "float64",
        "boundary_contrast": "float64", "level_range": "float64", "marked": "bool", "badness": "float64", "excess": "float64", "reasons": "str",
    }  # fmt: skip
    columns |= dict.fromkeys((f"aligner_{name}" for one in alignments for name, _ in one.measures), "float64")
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    order = ["excess", "badness", "utterance"]
    return table.sort_values(order, ascending=[False, False, True], kind="stable", ignore_index=True)


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


def _against_transcript(alignment: Alignment, utterance: Utterance | None) -> dict[str, object]:
    """Words against the transcript, phones against the words."""
    found: dict[str, object] = {"words_off": math.nan, "phones_off": math.nan, "_wording": None, "_phones": (0, 0, "")}
    words = wording(alignment, utterance.text) if utterance else None
    if words is not None:
        found |= {"words_off": words.share, "_wording": words}
    # aligners that listen take phones from their dictionary, which need not be CMUdict
    n_off, n_checked, example = phones_off(alignment) if _source(alignment) in _READ else (0, 0, "")
    if n_checked:
        found |= {"phones_off": n_off / n_checked, "_phones": (n_off, n_checked, example)}
    return found


def _against_sound(alignment: Alignment, utterance: Utterance | None) -> dict[str, float]:
    """Alignment against the recording, where there is one that can be read."""
    from analysis.corpus.audio import read_audio

    stretch, stretch_at = worst_stretch(alignment)
    found = {"worst_stretch": stretch, "_stretch_at": stretch_at}
    names = ("untranscribed", "untranscribed_at", "untranscribed_share", "boundary_contrast", "level_range")
    found |= dict.fromkeys(names, math.nan)
    if utterance is None or not (alignment.words or alignment.phones):
        return found

    def measured() -> SoundMeasures:
        return sound_measures(read_audio(utterance, SAMPLING_RATE) * 32768.0, alignment)

    measures = attempt("alignment", utterance.id, measured)
    if isinstance(measures, Failure):  # whoever needs the recording says why it cannot be read
        return found
    return found | {name: getattr(measures, name) for name in names}


def _middle_contrasts(alignments: list[Alignment], measures: list[dict[str, float]]) -> dict[str, float]:
    """Median contrast by source, where at least five have one."""
    found: dict[str, list[float]] = {}
    for alignment, row in zip(alignments, measures, strict=True):
        if math.isfinite(row["boundary_contrast"]):
            found.setdefault(alignment.source, []).append(row["boundary_contrast"])
    return {source: float(np.median(values)) for source, values in found.items() if len(values) >= _LEAST_TOKENS}


def _verdict(row: dict[str, object], limits: QualityLimits) -> tuple[list[str], float, float]:
    """Reasons; how many times its limit the worst measure is (minus one); how far on the way there the worst one is."""
    if not row["n_words"] and not row["n_phones"]:
        return ["nothing is aligned"], math.inf, math.inf
    source = str(row["source"]).split(" ")[0]
    differences, example, phone = (text.replace("{", "{{").replace("}", "}}") for text in _quoted(row))
    lowest_score, lowest_stretch = SCORE_LIMITS.get(source, (None, None)) if limits.scores else (None, None)
    if lowest_score is not None and row["level_range"] < _CLEAN_RANGE:
        allowance = _SCORE_PER_DB * (_CLEAN_RANGE - row["level_range"])
        lowest_score, lowest_stretch = lowest_score - allowance, lowest_stretch - allowance
    words, (n_off, n_checked, _) = row["_wording"], row["_phones"]
    n_words, n_words_off = (words.n_words, words.n_off) if words else (0, 0)
    few = _few(n_words_off, n_words), _few(n_off, n_checked)
    # limit, value, what good alignments have, what is written
    checks = (
        (limits.slowest, row["speech_rate"], 12.0, "speech rate of {value:.1f} phones per second, below {limit:g}"),
        (limits.fastest, row["speech_rate"], 12.0, "speech rate of {value:.1f} phones per second, above {limit:g}"),
        (limits.shortest_run, row["shortest_run"], 0.0, "{value:.0f} phones of minimum length in a row, above {limit:g}"),
        (limits.largest_z, abs(row["largest_z"]), 0.0,
         f"a phone duration {{value:.1f}} standard deviations off, above {{limit:g}}: {phone}"),
        (limits.lowest_score, row["score_z"], 0.0, "score per frame {value:.1f} deviations from the median, below {limit:g}"),
        (limits.most_silence, row["silence_share"], 0.2, "{value:.0%} of the recording is silence, above {limit:.0%}"),
        (None if few[0] else limits.most_words_off, row["words_off"], 0.0,
         f"{n_words_off} of {n_words} words differ from the transcript, above {{limit:.0%}}: {differences}"),
        (None if few[1] else limits.most_phones_off, row["phones_off"], 0.0,
         f"{n_off} of {n_checked} words have the phones of other words, above {{limit:.0%}}: {example}"),
        (lowest_score, row["score_per_frame"], -1.0, f"score per frame of {{value:.1f}}, below {{limit:.1f}} ({source})"),
        (lowest_stretch, row["worst_stretch"], -1.5,
         f"score per frame of {{value:.1f}} over 0.8 s from {row['_stretch_at']:.2f} s, below {{limit:.1f}} ({source})"),
        (limits.longest_untranscribed, row["untranscribed"], 0.0,
         f"{{value:.2f}} s of sound outside the words, above {{limit:g}} s, from {row['untranscribed_at']:.2f} s"),
        (limits.most_untranscribed, row["untranscribed_share"], 0.0,
         "{value:.0%} of the sound is outside the words, above {limit:.0%}"),
        (limits.lowest_contrast, row["boundary_contrast"], 0.35,
         "boundaries fit the spectrum by {value:.2f}, below {limit:g}: it changes elsewhere"),
        (None if row["boundary_contrast"] >= _IN_PLACE else limits.lowest_corpus_contrast, row["_middle"], 0.35,
         f"in the middle, boundaries of all alignments by {source} fit the spectrum by {{value:.2f}}, below {{limit:g}}"),
    )  # fmt: skip
    reasons, excess, badness = [], 0.0, 0.0
    for limit, value, good, text in checks:
        if limit is None or not math.isfinite(value):
            continue
        way = (value - good) / (limit - good) if limit != good else math.nan
        badness = max(badness, way) if math.isfinite(way) else badness
        if value <= limit if limit >= good else value >= limit:
            continue
        reasons.append(text.format(value=value, limit=limit))
        excess = max(excess, abs(value - limit) / max(abs(limit), 1e-9))
    return reasons, excess, badness


def _quoted(row: dict[str, object]) -> tuple[str, str, str]:
    """What messages quote of the data: differing words, a word over others' phones, the longest phone."""
    return row["_wording"].differences if row["_wording"] else "", row["_phones"][2], str(row["longest_phone"])


def _source(alignment: Alignment) -> str:
    return alignment.source.split(" ")[0]


def _few(n_off: int, n: int) -> bool:
    return n_off <= 1 and n > _FEW_WORDS
