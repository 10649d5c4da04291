"""What the numbers say, in words, from rules that are data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.separation.headline import Headline

__all__ = ["LEARNT_BY_HEART", "NO_NULL", "RULES", "SAME_UTTERANCE", "Rule", "sign", "verdicts"]


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


_NULL_WORDS = {"shuffled": "shuffled vectors", "random": "random vectors"}
_SPLIT_WORDS = {
    "different_text": "different texts",
    "different_utterance": "different utterances",
    "different_speaker": "different speakers",
    "all": "all utterances",
}

#: Read from the first to the last; the first that holds decides. Quantities are those of the headline
#: (:class:`analysis.separation.headline.Headline`): ``gain`` and ``net``, ``ratio`` the net between/within ratio and ``ratio_gain`` its
#: change against no vectors at all.
RULES: tuple[Rule, ...] = (
    Rule("no_interval", {"net": ("none",)}, "unclear", "The corpus is too small for an interval, so nothing is claimed."),
    Rule(
        "separates",
        {"net": ("rises",), "ratio": ("rises",)},
        "supported",
        "Near-homophones of {split} lie farther apart than with {null}, and so they do relative to tokens of the same type.",
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
        "The raw distance rises; net of the null it does not: {null} raise it as much.",
    ),
    Rule(
        "below_null_but_sharper",
        {"net": ("falls",), "ratio": ("rises",), "ratio_gain": ("rises",)},
        "unclear",
        "Near-homophones lie less far apart than with {null}, but relative to tokens of the same type farther than with "
        "those and than without any.",
    ),
    Rule(
        "below_null_ratio_above",
        {"net": ("falls",), "ratio": ("rises",)},
        "not_supported",
        "Near-homophones lie less far apart than with {null}; relative to tokens of the same type they lie farther apart than "
        "with those, but not than without any.",
    ),
    Rule(
        "below_null",
        {"net": ("falls",)},
        "not_supported",
        "Near-homophones lie less far apart than with {null}.",
    ),
    Rule("nothing", {}, "not_supported", "Neither the raw distance nor the net one rises."),
)

#: Where nets were not taken.
NO_NULL = Rule(
    "no_null",
    {},
    "unclear",
    "Neither shuffled nor random vectors were drawn, so the gain cannot be judged: add them with --separation.nulls.",
)
SAME_UTTERANCE = Rule(
    "same_utterance",
    {},
    "unclear",
    "Only tokens of one utterance were compared. They get the same vector, so their distance cannot change: add the split different_text.",
)

#: Speaks instead of any rule above that supports the claim, where a fusion's weights were trained on the utterances scored.
LEARNT_BY_HEART = Rule(
    "learnt_by_heart",
    {},
    "unclear",
    "Near-homophones lie farther apart than with {null}, but on the very utterances that the fusion's weights were trained "
    "on: score a corpus that they never saw.",
)


def sign(low: float, high: float) -> str:
    """``rises`` when the interval lies above zero, ``falls`` when below, ``unclear`` when it holds zero, ``none`` without one."""
    if not (low == low and high == high):
        return "none"
    return "rises" if low > 0 else "falls" if high < 0 else "unclear"


def verdicts(table: pd.DataFrame, learnt: Collection[str] = (), headline: Headline | None = None) -> list[dict[str, Any]]:
    """The verdict of each encoder, layer and module: ``rule``, ``encoder``, ``layer``, ``variant``, ``text``, ``level``.

    Parameters
    ----------
    table : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`.
    learnt : collection of str
        Modules whose fusion was trained on the utterances scored: nothing is called supported of them.
    headline : Headline, optional
        Which rows are judged; otherwise :meth:`Headline.of_table`.
    """
    headline = headline or Headline.of_table(table)
    rows = headline.rows(table)
    found = []
    modules = rows[(rows["statistic"] == "mean_distance") & (rows["variant"] != "without") & (rows["null"] == "")]
    for (encoder, layer, variant), _ in modules.groupby(["encoder", "layer", "variant"], sort=False):
        own = rows[(rows["encoder"] == encoder) & (rows["layer"] == layer) & (rows["variant"] == variant)]
        rule = _rule(own, headline)
        if rule.level == "supported" and variant in learnt:
            rule = LEARNT_BY_HEART
        text = rule.text.format(
            null=_NULL_WORDS.get(headline.null, headline.null), split=_SPLIT_WORDS.get(headline.split, headline.split)
        )
        entry = {"rule": rule.name, "encoder": encoder, "layer": int(layer), "variant": variant}
        found.append(entry | {"text": text, "level": rule.level})
    return found


def _rule(own: pd.DataFrame, headline: Headline) -> Rule:
    """The first rule that holds of the rows of one module."""
    if headline.split.startswith("same_utterance"):
        return SAME_UTTERANCE
    if headline.null not in ("shuffled", "random"):
        return NO_NULL
    wanted = {
        "gain": ("gain", ""),
        "net": ("net", headline.null),
        "ratio": ("between_within_ratio:net", headline.null),
        "ratio_gain": ("between_within_ratio:gain", ""),
    }
    signs = {}
    for name, (statistic, null) in wanted.items():
        row = own[(own["statistic"] == statistic) & (own["null"] == null)]
        signs[name] = sign(row["ci_low"].iat[0], row["ci_high"].iat[0]) if len(row) else "none"
    return next(rule for rule in RULES if all(signs[name] in allowed for name, allowed in rule.signs.items()))
