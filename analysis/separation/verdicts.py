"""What the numbers say, in words, from rules that are data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["LEARNT_BY_HEART", "RULES", "Rule", "sign", "verdicts"]


@dataclass(frozen=True)
class Rule:
    """One sentence and when it holds.

    Attributes
    ----------
    name : str
    signs : mapping of str to tuple of str
        For each named quantity (``gain``, ``net``, ``ratio``, ``ratio_gain``), the signs under which the rule holds: ``rises``,
        ``falls``, ``unclear`` (the interval holds zero) or ``none`` (no interval).
    level : str
        ``supported``, ``not_supported`` or ``unclear``.
    text : str
    """

    name: str
    signs: Mapping[str, tuple[str, ...]]
    level: str
    text: str


#: Read from the first to the last; the first that holds speaks. Quantities are macro l2 averages of raw vectors over
#: near-homophones: ``gain`` and ``net`` (against the shuffle) across utterances, ``ratio`` the net between/within ratio there and
#: ``ratio_gain`` its change against no vectors at all.
RULES: tuple[Rule, ...] = (
    Rule("no_interval", {"net": ("none",)}, "unclear", "The corpus is too small for an interval, so nothing is claimed."),
    Rule(
        "separates",
        {"net": ("rises",), "ratio": ("rises",)},
        "supported",
        "Near-homophones of different utterances lie farther apart than with shuffled vectors, and so they do relative to tokens "
        "of the same type.",
    ),
    Rule(
        "net_but_no_ratio",
        {"net": ("rises",)},
        "unclear",
        "The distance rises net of the null, but tokens of the same type move apart as well: discriminability is not shown to "
        "rise.",
    ),
    Rule(
        "raw_only",
        {"gain": ("rises",), "net": ("unclear",)},
        "not_supported",
        "The raw distance rises; net of the shuffled null it does not: any vector per utterance would have raised it.",
    ),
    Rule(
        "below_null_but_sharper",
        {"net": ("falls",), "ratio": ("rises",), "ratio_gain": ("rises",)},
        "unclear",
        "Near-homophones lie less far apart than with shuffled vectors, but relative to tokens of the same type farther than with "
        "those and than without any.",
    ),
    Rule(
        "below_null_ratio_above",
        {"net": ("falls",), "ratio": ("rises",)},
        "not_supported",
        "Near-homophones lie less far apart than with shuffled vectors; relative to tokens of the same type they lie farther apart than "
        "with those, but not than without any.",
    ),
    Rule(
        "below_null",
        {"net": ("falls",)},
        "not_supported",
        "Near-homophones lie less far apart than with shuffled vectors.",
    ),
    Rule("nothing", {}, "not_supported", "Neither the raw distance nor the net one rises."),
)

#: Speaks instead of any rule above that supports the claim, where a fusion's weights were trained on the utterances scored.
LEARNT_BY_HEART = Rule(
    "learnt_by_heart",
    {},
    "unclear",
    "Near-homophones lie farther apart than with shuffled vectors, but on the very utterances that the fusion's weights were trained "
    "on: score a corpus that they never saw.",
)


def sign(low: float, high: float) -> str:
    """``rises`` when the interval lies above zero, ``falls`` when below, ``unclear`` when it holds zero, ``none`` without one."""
    if not (low == low and high == high):
        return "none"
    return "rises" if low > 0 else "falls" if high < 0 else "unclear"


def verdicts(table: pd.DataFrame, learnt: Collection[str] = ()) -> list[dict[str, Any]]:
    """The verdict of each encoder, layer and module: ``rule``, ``encoder``, ``layer``, ``variant``, ``text``, ``level``.

    Parameters
    ----------
    table : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`.
    learnt : collection of str
        Modules whose fusion was trained on the utterances scored: nothing is called supported of them.
    """
    rows = table[
        (table["vectors"] == "raw")
        & (table["average"] == "macro")
        & (table["relation"] == "near_homophone")
        & (table["split"] == "different_utterance")
        & (table["distance"] == "l2")
    ]
    found = []
    modules = rows[(rows["statistic"] == "net") & (rows["null"] == "shuffled")]
    for (encoder, layer, variant), _ in modules.groupby(["encoder", "layer", "variant"], sort=False):
        own = rows[(rows["encoder"] == encoder) & (rows["layer"] == layer) & (rows["variant"] == variant)]
        signs = {}
        wanted = {
            "gain": ("gain", ""),
            "net": ("net", "shuffled"),
            "ratio": ("between_within_ratio:net", "shuffled"),
            "ratio_gain": ("between_within_ratio:gain", ""),
        }
        for name, (statistic, null) in wanted.items():
            row = own[(own["statistic"] == statistic) & (own["null"] == null)]
            signs[name] = sign(row["ci_low"].iat[0], row["ci_high"].iat[0]) if len(row) else "none"
        rule = next(rule for rule in RULES if all(signs[name] in allowed for name, allowed in rule.signs.items()))
        if rule.level == "supported" and variant in learnt:
            rule = LEARNT_BY_HEART
        entry = {"rule": rule.name, "encoder": encoder, "layer": int(layer), "variant": variant}
        found.append(entry | {"text": rule.text, "level": rule.level})
    return found
