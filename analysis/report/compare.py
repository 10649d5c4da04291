"""Two runs side by side: the headline of each, and every number that both have.

For looking: whether a difference is a regression is for :mod:`analysis.regression` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.export import markdown_table, markdown_text
from analysis.report.model import ReportData
from analysis.report.page import headline_cells, stylesheet, template
from analysis.report.summary import interval, number, synthetic_note, verdicts
from analysis.separation.types import KEY_COLUMNS

__all__ = ["compare_tables", "write_comparison"]

_SHOWN = 60
_SETTINGS = ("configuration_hash", "aligner", "seed", "command")


def compare_tables(first: ReportData, second: ReportData) -> pd.DataFrame:
    """Rows of both separation tables joined on their keys.

    Columns: the keys, ``a``, ``a_low``, ``a_high``, ``b``, ``b_low``, ``b_high``, ``difference`` (b - a), ``overlap`` (whether
    the intervals overlap; False where either is missing and the estimates differ), ``where`` (``both``, ``only a``, ``only b``).
    """
    keys = list(KEY_COLUMNS)
    sides = []
    for report, name in ((first, "a"), (second, "b")):
        table = report.separation[[*keys, "estimate", "ci_low", "ci_high"]].drop_duplicates(keys)
        sides.append(table.rename(columns={"estimate": name, "ci_low": f"{name}_low", "ci_high": f"{name}_high"}))
    joined = sides[0].merge(sides[1], on=keys, how="outer", indicator="where", sort=False)
    joined["where"] = joined["where"].astype(str).replace({"left_only": "only a", "right_only": "only b"})
    joined["difference"] = joined["b"] - joined["a"]
    known = joined[["a_low", "a_high", "b_low", "b_high"]].notna().all(axis=1)
    apart = (joined["a_low"] > joined["b_high"]) | (joined["b_low"] > joined["a_high"])
    joined["overlap"] = (known & ~apart) | (joined["difference"] == 0)
    return joined[[*keys, "a", "a_low", "a_high", "b", "b_low", "b_high", "difference", "overlap", "where"]]


def write_comparison(
    first: ReportData, second: ReportData, folder: Path, *, names: tuple[str, str] = ("A", "B")
) -> dict[str, Path]:
    """Write ``compare.html``, ``compare.md`` and ``compare.csv`` (every joined row) into ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = compare_tables(first, second)
    both = table[table["where"] == "both"]
    relative = (both["difference"] / both["a"].abs().where(both["a"] != 0)).abs()
    order = both.assign(size=relative).sort_values("size", ascending=False, kind="stable")
    moved = [
        {
            "key": ", ".join(str(row[name]) for name in KEY_COLUMNS if str(row[name]) not in ("", "nan")),
            "a": interval(row["a"], row["a_low"], row["a_high"]), "b": interval(row["b"], row["b_low"], row["b_high"]),
            "difference": number(row["difference"]), "overlap": "yes" if row["overlap"] else "no",
        }
        for row in order[~order["overlap"]].head(_SHOWN).to_dict("records")
    ]  # fmt: skip
    counts = {
        "in both": len(both), "equal": int((both["difference"] == 0).sum()), "intervals apart": int((~both["overlap"]).sum()),
        "only in A": int((table["where"] == "only a").sum()), "only in B": int((table["where"] == "only b").sum()),
    }  # fmt: skip
    sides = [
        {
            "letter": letter, "name": name, "title": report.title, "note": synthetic_note(report), "verdicts": verdicts(report),
            "headline": headline_cells(report),
        }
        for letter, name, report in zip("AB", names, (first, second), strict=True)
    ]  # fmt: skip
    settings = [(key, str(first.provenance.get(key, "")), str(second.provenance.get(key, ""))) for key in _SETTINGS]
    settings.insert(0, ("corpus hash", str(first.corpus.get("hash", "")), str(second.corpus.get("hash", ""))))
    page = template("compare.html").render(sides=sides, counts=counts, moved=moved, settings=settings, css=stylesheet())
    written = {name: folder / name for name in ("compare.html", "compare.md", "compare.csv")}
    written["compare.html"].write_text(page, encoding="utf-8")
    written["compare.md"].write_text(_markdown(sides, counts, moved, settings), encoding="utf-8")
    table.to_csv(written["compare.csv"], index=False, lineterminator="\n")
    return written


def _markdown(
    sides: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    moved: Sequence[Mapping[str, str]],
    settings: Sequence[tuple[str, str, str]],
) -> str:
    parts = ["# Two runs side by side"]
    for side in sides:
        rows = side["headline"]
        parts.append(f"## {side['letter']}: {markdown_text(side['name'])}")
        if side["note"]:
            parts.append(f"> **{side['note']}**")
        parts.append("\n".join(f"- **{markdown_text(v['words'])}**: {markdown_text(v['text'])}" for v in side["verdicts"]))
        if rows:
            shown = ("encoder", "layer", "without", "with", "gain", "null", "net", "p")
            parts.append(markdown_table({name: [row[name] for row in rows] for name in shown}))
    differ = [row for row in settings if row[1] != row[2]]
    if differ:
        parts.append("Settings that differ:")
        parts.append(
            markdown_table({"setting": [r[0] for r in differ], "A": [r[1] for r in differ], "B": [r[2] for r in differ]})
        )
    parts.append("Rows: " + ", ".join(f"{value} {name}" for name, value in counts.items()) + ".")
    if moved:
        parts.append(f"The {len(moved)} largest relative differences whose intervals do not overlap:")
        parts.append(markdown_table({name: [row[name] for row in moved] for name in ("key", "a", "b", "difference")}))
    return "\n\n".join(parts) + "\n"
