"""How far the boundaries of one alignment lie from those of a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np

from analysis.alignment.arpabet import without_stress
from analysis.alignment.transcript import same_word
from analysis.alignment.types import Alignment
from analysis.spelling import plain_word
from analysis.timebase import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PHONE_CLASSES", "THRESHOLDS", "agreement_table", "boundary_errors"]

#: Shares of boundaries are given within these distances, s.
THRESHOLDS = (0.010, 0.020, 0.025, 0.050, 0.100)

PHONE_CLASSES: Mapping[str, frozenset[str]] = {
    "vowel": frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()),
    "stop": frozenset("P B T D K G".split()),
    "affricate": frozenset(("CH", "JH")),
    "fricative": frozenset("F V TH DH S Z SH ZH HH".split()),
    "nasal": frozenset(("M", "N", "NG")),
    "approximant": frozenset("L R W Y".split()),
}
# Two frames of a 10 ms grid are 20 ms although their difference, as a float, may be a hair more.
_ROUNDING = 1e-6


def boundary_errors(pairs: Iterable[tuple[Alignment, Alignment]]) -> pd.DataFrame:
    """The distance of every boundary from that of the reference.

    Parameters
    ----------
    pairs : iterable of (reference, hypothesis)

    Returns
    -------
    pandas.DataFrame
        One row per boundary of the reference's words and phones, a start and an end each: ``utterance, tier`` (``words`` or
        ``phones``), ``label, phone_class, edge`` (``start`` or ``end``), ``error`` (s, hypothesis minus reference; NaN where the
        hypothesis has no such word or phone).

    Notes
    -----
    Words are matched in order by spelling (case and punctuation aside), phones by label (stress aside); a phone that the
    hypothesis has under another label in the same place counts as matched. Both boundaries of every interval count, so one
    between two adjacent phones counts as the end of one and the start of the other.
    """
    import pandas as pd

    rows = []
    for reference, hypothesis in pairs:
        for tier in ("words", "phones"):
            left, right = getattr(reference, tier), getattr(hypothesis, tier)
            if not left or not right:
                continue
            for interval, match in zip(left, _matches(left, right, tier), strict=True):
                label = interval.label if tier == "words" else without_stress(interval.label)
                kind = next((name for name, phones in PHONE_CLASSES.items() if label in phones), "other")
                for edge in ("start", "end"):
                    error = getattr(match, edge) - getattr(interval, edge) if match is not None else float("nan")
                    rows.append((reference.utterance_id, tier, label, kind if tier == "phones" else "", edge, error))
    return pd.DataFrame(rows, columns=["utterance", "tier", "label", "phone_class", "edge", "error"])


def _matches(left: tuple[Interval, ...], right: tuple[Interval, ...], tier: str) -> list[Interval | None]:
    def key(interval: Interval) -> str:
        return plain_word(interval.label) if tier == "words" else without_stress(interval.label.strip().upper())

    found: list[Interval | None] = [None] * len(left)
    matcher = SequenceMatcher(None, [key(one) for one in left], [key(one) for one in right], autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        same_length = i_end - i == j_end - j
        for a, b in zip(range(i, i_end), range(j, j_end), strict=False):
            if tag == "equal" or (
                tag == "replace" and same_length and (tier == "phones" or same_word(left[a].label, right[b].label))
            ):
                found[a] = right[b]
    return found


def agreement_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Boundary errors summed up: words, phones, and phones by class and edge.

    Returns
    -------
    pandas.DataFrame
        ``tier, group, n`` (boundaries of the reference), ``unmatched``, ``median_ms`` and ``mean_ms`` of the absolute error,
        ``bias_ms`` (signed mean), and the percentages ``within_10`` ... ``within_100`` (ms) among the matched.
    """
    import pandas as pd

    groups: list[tuple[str, str, pd.DataFrame]] = []
    for tier in ("words", "phones"):
        part = errors[errors["tier"] == tier]
        groups.append((tier, "all", part))
        groups += [(tier, f"{edge}s", part[part["edge"] == edge]) for edge in ("start", "end")]
    phones = errors[errors["tier"] == "phones"]
    groups += [("phones", name, phones[phones["phone_class"] == name]) for name in [*PHONE_CLASSES, "other"]]
    rows = []
    for tier, group, part in groups:
        if part.empty:
            continue
        matched = part["error"].dropna().to_numpy()
        sizes = np.abs(matched)
        row = {"tier": tier, "group": group, "n": len(part), "unmatched": len(part) - len(matched)}
        row["median_ms"] = 1000 * float(np.median(sizes)) if sizes.size else float("nan")
        row["mean_ms"] = 1000 * float(sizes.mean()) if sizes.size else float("nan")
        row["bias_ms"] = 1000 * float(matched.mean()) if sizes.size else float("nan")
        for threshold in THRESHOLDS:
            share = 100 * float(np.mean(sizes <= threshold + _ROUNDING)) if sizes.size else float("nan")
            row[f"within_{round(threshold * 1000)}"] = share
        rows.append(row)
    return pd.DataFrame(rows)
