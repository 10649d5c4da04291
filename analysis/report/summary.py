"""What a report says first: the rows of the headline, and numbers as they are shown.

Everything here reads a :class:`ReportData`; nothing is computed anew. Rounding happens in :func:`number` and :func:`interval` only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.model import ReportData
from analysis.separation.headline import PREFERRED

__all__ = [
    "HEADLINE_COLUMNS",
    "SCALE_FREE_COLUMNS",
    "Selection",
    "averaged",
    "headline_table",
    "interval",
    "number",
    "pair_labels",
    "question",
    "scale_free_table",
    "selection",
    "synthetic_note",
    "type_labels",
    "verdicts",
]

#: Columns of :func:`headline_table`.
HEADLINE_COLUMNS = (
    "encoder", "layer", "without", "without_low", "without_high", "with", "with_low", "with_high",
    "gain", "gain_low", "gain_high",
    "null_gain", "null_low", "null_high", "net", "net_low", "net_high", "p_value", "p_adjusted", "abx_without", "abx_with",
    "n_type_pairs", "n_speakers", "level",
)  # fmt: skip

#: Columns of :func:`scale_free_table`.
SCALE_FREE_COLUMNS = (
    "encoder", "layer", "statistic", "distance", "relation", "split", "without", "without_low", "without_high",
    "with", "with_low", "with_high", "null", "null_low", "null_high", "net", "net_low", "net_high",
)  # fmt: skip

#: Statistics that no common factor on all distances moves, in the order in which they are shown.
_SCALE_FREE = (
    "abx_error", "between_within_ratio", "d_prime", "fisher_ratio", "silhouette", "davies_bouldin", "knn_purity",
    "phone_accuracy", "phone_error_rate",
)  # fmt: skip

LEVEL_WORDS = {"supported": "supported", "not_supported": "not supported", "unclear": "unclear"}


@dataclass(frozen=True)
class Selection:
    """Which rows of the separation table are the headline.

    Attributes
    ----------
    keys : mapping
        ``distance``, ``split``, ``relation``, ``vectors``, ``average``, ``pooling``, ``unit``.
    variant : str
        What is set beside ``without``: ``wav2sem`` where there is one.
    null : str
        The null that gain is compared with, as ``null:shuffled``; empty when the run had none.
    layers : mapping of str to int
        One layer per encoder.
    """

    keys: Mapping[str, str]
    variant: str
    null: str
    layers: Mapping[str, int] = field(default_factory=dict)

    def sentence(self) -> str:
        """The selection in words, for captions."""
        k = self.keys
        words = [
            f"{spoken(k['relation'])} pairs",
            f"{k['distance']} distance",
            f"split: {spoken(k['split'])}",
            f"{k['vectors']} vectors",
        ]
        if self.null:
            words.append(f"null: {spoken(self.null)}")
        return ", ".join(words)


def selection(report: ReportData) -> Selection:
    """The headline's rows: what ``figures["headline"]`` asks for, completed from what the separation table holds."""
    table = report.separation
    asked = dict(report.figures.get("headline") or {})
    keys = {name: _choose(table[name].unique(), asked.get(name), PREFERRED[name]) for name in PREFERRED if name != "null"}
    variants = [v for v in table["variant"].unique() if v != "without" and not v.startswith("null:")]
    variant = _choose(variants, asked.get("variant"), ("wav2sem", "oracle"))
    # Where no vector was added, the nulls have nothing to be compared with but themselves.
    nets = table[(table["statistic"] == "net") & (table["variant"] == variant)]
    nulls = [full_null(name) for name in nets["null"].unique()] + [v for v in table["variant"].unique() if v.startswith("null:")]
    null = _choose(nulls, full_null(asked.get("null")), tuple(full_null(name) for name in PREFERRED["null"]))
    layers = {str(name): int(layer) for name, layer in dict(asked.get("layers") or {}).items()}
    for encoder in table["encoder"].unique():
        if encoder not in layers:
            rows = nets[nets["encoder"] == encoder]
            rows = rows if len(rows) else table[table["encoder"] == encoder]
            layers[encoder] = int(rows["layer"].max())
    return Selection(keys, variant, null, layers)


def full_null(name: str | None) -> str:
    """``shuffled`` and ``null:shuffled`` both as ``null:shuffled``; empty stays empty."""
    return "" if not name else name if name.startswith("null:") else f"null:{name}"


def headline_table(report: ReportData, chosen: Selection | None = None) -> pd.DataFrame:
    """One row per encoder: the distance without and with, the gain, the null's gain, the net, with intervals.

    Absent numbers are NaN. Columns: :data:`HEADLINE_COLUMNS`.
    """
    chosen = chosen or selection(report)
    table = averaged(report.separation, chosen)
    levels = {(str(v.get("encoder", "")), v.get("layer")): v.get("level", "") for v in reversed(report.verdicts)}
    rows = []
    for encoder, layer in chosen.layers.items():
        here = table[(table["encoder"] == encoder) & (table["layer"] == layer)]
        exact = here
        for name in ("relation", "split", "distance"):
            exact = exact[exact[name] == chosen.keys[name]]
        net = _first(exact[exact["null"].map(full_null) == chosen.null], statistic="net", variant=chosen.variant)
        exact = without_other_modules(exact, chosen.variant)
        row: dict[str, Any] = {"encoder": encoder, "layer": layer}
        row |= _triple("without", _first(exact, statistic="mean_distance", variant="without"))
        row |= _triple("with", _first(exact, statistic="mean_distance", variant=chosen.variant))
        row |= _triple("gain", _first(exact, statistic="gain", variant=chosen.variant))
        row |= _triple("null", _first(exact, statistic="gain", variant=chosen.null), first="null_gain")
        row |= _triple("net", net)
        row["p_value"], row["p_adjusted"] = _value(net, "p_value"), _value(net, "p_adjusted")
        abx = here[here["statistic"] == "abx_error"]
        for name in ("distance", "split", "relation"):
            same = abx[name] == chosen.keys[name]
            abx = abx[same] if same.any() else abx
        row["abx_without"] = _value(_first(abx, variant="without"), "estimate")
        row["abx_with"] = _value(_first(abx, variant=chosen.variant), "estimate")
        counted = net if net is not None else _first(exact, statistic="mean_distance", variant="without")
        for name in ("n_type_pairs", "n_speakers"):
            row[name] = 0 if counted is None else int(counted[name])
        row["level"] = levels.get((encoder, layer), levels.get((encoder, None), ""))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def scale_free_table(report: ReportData, chosen: Selection | None = None) -> pd.DataFrame:
    """Scale-free statistics of each encoder's layer: without, with, under the null, and the net where there is one.

    One row per statistic, distance and split, of near-homophones where the statistic knows pairs, else of all types. Ratios of
    distances have the headline's split only, and ABX errors those of their conditions. Absent numbers are NaN. Columns:
    :data:`SCALE_FREE_COLUMNS`.
    """
    chosen = chosen or selection(report)
    table = averaged(report.separation, chosen)
    table = without_other_modules(table[table["statistic"].str.split(":").str[0].isin(_SCALE_FREE)], chosen.variant)
    rows = []
    for encoder, layer in chosen.layers.items():
        here = table[(table["encoder"] == encoder) & (table["layer"] == layer)]
        for statistic in _SCALE_FREE:
            mine = here[here["statistic"].str.split(":").str[0] == statistic]
            near = mine["relation"] == chosen.keys["relation"]
            mine = mine[near] if near.any() else mine
            same = mine["split"] == chosen.keys["split"]
            mine = mine[same] if statistic == "between_within_ratio" and same.any() else mine
            for (distance, relation, split), group in mine.groupby(["distance", "relation", "split"], sort=False):
                row = {"encoder": encoder, "layer": layer, "statistic": statistic}
                row |= {"distance": distance, "relation": relation, "split": split}
                row |= _triple("without", _first(group, variant="without", statistic=statistic))
                row |= _triple("with", _first(group, variant=chosen.variant, statistic=statistic))
                row |= _triple("null", _first(group, variant=chosen.null, statistic=statistic))
                net = group[group["null"].map(full_null) == chosen.null]
                row |= _triple("net", _first(net, variant=chosen.variant, statistic=f"{statistic}:net"))
                rows.append(row)
    return pd.DataFrame(rows, columns=list(SCALE_FREE_COLUMNS))


def averaged(table: pd.DataFrame, chosen: Selection) -> pd.DataFrame:
    """The rows with the headline's pooling, unit, vectors and average, of every relation, split and distance.

    A statistic that is not averaged in that way (ABX error, silhouette) keeps its rows.
    """
    for name in ("pooling", "unit", "vectors"):
        table = table[table[name] == chosen.keys[name]]
    asked = table["average"] == chosen.keys["average"]
    return table[asked | ~table["statistic"].isin(table.loc[asked, "statistic"].unique())]


def without_other_modules(table: pd.DataFrame, module: str) -> pd.DataFrame:
    """``table`` less the rows of nulls that stand in for another module (a null's row names its module in ``null``)."""
    is_null = table["variant"].str.startswith("null:")
    return table[~is_null | table["null"].isin(["", module])]


def question(report: ReportData) -> str:
    """The question that the run asked, in one sentence."""
    asked = report.figures.get("question")
    if asked:
        return str(asked)
    chosen = selection(report)
    null = f" than {spoken(chosen.null)} vectors of the same size move them" if chosen.null else ""
    return f"Does {chosen.variant or 'the module'} move near-homophones further apart{null}?"


def verdicts(report: ReportData) -> list[dict[str, str]]:
    """The verdicts as ``{"level", "words", "text", "encoder"}``, supported or not; a report without any says so.

    Where several encoders were analysed, each text begins with its encoder.
    """
    several = len({str(v.get("encoder", "")) for v in report.verdicts}) > 1
    found = [
        {
            "level": str(v.get("level", "unclear")),
            "words": LEVEL_WORDS.get(str(v.get("level", "")), str(v.get("level", ""))),
            "text": f"{v.get('encoder', '')}: {v.get('text', '')}" if several else str(v.get("text", "")),
            "encoder": str(v.get("encoder", "")),
            "rule": str(v.get("rule", "")),
        }
        for v in report.verdicts
    ]
    return found or [{"level": "unclear", "words": "unclear", "text": without_verdict(report), "encoder": "", "rule": ""}]


def without_verdict(report: ReportData) -> str:
    """Why there is no verdict: the headline's split holds no pair, as in a corpus of one text; or no module was analysed."""
    split = str(report.figures.get("headline", {}).get("split", ""))
    rows = report.separation
    if not split or not len(rows) or not ((rows["statistic"] == "mean_distance") & (rows["variant"] != "without")).any():
        return "This run drew no verdict."
    parts = " and ".join(f"{spoken(part)}{'s' if part.startswith(('different', 'same')) else ''}" for part in split.split("+"))
    return (
        f"This run drew no verdict: no near-homophones of {parts} could be compared, and other comparisons cannot bear the claim. "
        "Add recordings of other sentences that hold the words."
    )


def synthetic_note(report: ReportData) -> str:
    """The sentence that stands wherever numbers of synthetic speech are shown; empty for recordings of people."""
    if not report.corpus.get("synthetic"):
        return ""
    return (
        "SYNTHETIC SPEECH: no person spoke these recordings. The numbers show that the software works, "
        "not how people's speech behaves."
    )


def number(value: Any, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits and a true minus sign; an en dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)) or value is pd.NA:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if float(value) == int(value) and not isinstance(value, float):
        return f"{int(value)}".replace("-", "−")
    magnitude = 0 if value == 0 else math.floor(math.log10(abs(value)))
    decimals = max(0, min(8, digits - 1 - magnitude))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(estimate: Any, low: Any, high: Any, digits: int = 3) -> str:
    """``0.53 [0.41, 0.65]``; the estimate alone where there is no interval. All three share the decimals of the widest."""
    values = [v for v in (estimate, low, high) if v is not None and math.isfinite(float(v))]
    if estimate is None or not math.isfinite(float(estimate)):
        return "–"
    biggest = max((abs(float(v)) for v in values), default=0.0)
    magnitude = 0 if biggest == 0 else math.floor(math.log10(biggest))
    decimals = max(0, min(8, digits - 1 - magnitude))

    def shown(value: Any) -> str:
        text = f"{float(value):.{decimals}f}"
        return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")

    return shown(estimate) if len(values) < 3 else f"{shown(estimate)} [{shown(low)}, {shown(high)}]"


def p_value(value: Any) -> str:
    """``0.034``, ``< 0.001``, or an en dash."""
    if value is None or not math.isfinite(float(value)):
        return "–"
    return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"


def _choose(values: Iterable[str], asked: str | None, preferred: tuple[str, ...]) -> str:
    """What was asked for where it exists, else the first preferred, else the first there is, else nothing."""
    there = [str(value) for value in dict.fromkeys(values) if value]
    for wish in (asked, *preferred):
        if wish and wish in there:
            return str(wish)
    return there[0] if there else ""


def _first(table: pd.DataFrame, **keys: str) -> pd.Series | None:
    for name, value in keys.items():
        table = table[table[name] == value]
    return table.iloc[0] if len(table) else None


def _value(row: pd.Series | None, column: str) -> float:
    return math.nan if row is None else float(row[column])


def _triple(name: str, row: pd.Series | None, first: str = "") -> dict[str, float]:
    return {
        first or name: _value(row, "estimate"),
        f"{name}_low": _value(row, "ci_low"),
        f"{name}_high": _value(row, "ci_high"),
    }


def pair_labels(pairs: pd.DataFrame) -> list[str]:
    """Each pair by its words, ``cut / cull`` or ``ship +1 / sheep`` where a type stands for several; by its types where none is known."""
    sides = []
    for side in ("a", "b"):
        types = pairs[f"type_{side}"].astype(str)
        words = pairs[f"words_{side}"].astype(str) if f"words_{side}" in pairs else pd.Series("", index=pairs.index)
        more = pairs[f"n_words_{side}"].astype(int) - 1 if f"n_words_{side}" in pairs else pd.Series(0, index=pairs.index)
        first = words.str.split(r",| \+", n=1, regex=True).str[0]
        sides.append([f"{w} +{n}" if n > 0 and w else w or t for w, n, t in zip(first, more, types, strict=True)])
    return [f"{a} / {b}" for a, b in zip(*sides, strict=True)]


def type_labels(tokens: pd.DataFrame, shown: int = 2) -> dict[str, str]:
    """Each type by the words of its tokens, most tokens first: ``cut``, or ``two, too``; with its phones where the words do not tell.

    Types of one label (two forms of one word) get their phones too: ``and (AH N D)``.
    """
    types = tokens["type"].astype(str)
    if "word" not in tokens:
        return {name: name for name in types.unique()}
    counts = tokens.assign(type=types, word=tokens["word"].astype(str)).groupby(["type", "word"]).size().reset_index(name="n")
    counts = counts.sort_values(["type", "n", "word"], ascending=[True, False, True])
    labels = {}
    for name, group in counts.groupby("type", sort=False):
        words = [word for word in group["word"] if word]
        more = f" +{len(words) - shown}" if len(words) > shown else ""
        labels[str(name)] = ", ".join(words[:shown]) + more or str(name)
    often = pd.Series(labels).value_counts()
    return {name: label if often[label] == 1 or label == name else f"{label} ({name})" for name, label in labels.items()}


def spoken(name: str) -> str:
    """A name of the separation table in words."""
    return name.removeprefix("null:").replace("near_homophone", "near-homophone").replace("_", " ")
