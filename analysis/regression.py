"""The gate: does this report separate at least as well as the committed baseline says it should?

Exit codes: 0 every row holds, 1 a row fell below its baseline or is missing, 2 usage (an :class:`AnalysisError`), 3 the report
was made under other settings or on another corpus, so no verdict would mean anything.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.documents import read_json
from analysis.errors import BaselineError, ConfigurationError, StoreError
from analysis.report.document import Report
from analysis.separation.headline import preferred
from analysis.separation.types import KEY_COLUMNS, LOWER_IS_BETTER
from analysis.settings import WITHOUT_INFLUENCE

__all__ = ["GATED", "Baseline", "BaselineRow", "Comparison", "RowVerdict", "accept_row", "compare",
           "gated_rows", "read_baseline", "write_baseline"]  # fmt: skip

BASELINE_VERSION = 1

#: Which rows a new baseline holds: of each encoder's last layer, what a change for the worse would move. Raw mean distances of
#: the same type are not among them (farther is not worse by itself), nor is anything per edit class (too few pairs to be stable).
GATED: tuple[dict[str, Any], ...] = (
    {"relation": ("near_homophone",), "statistic": ("mean_distance",), "variant": ("without",)},
    {"relation": ("near_homophone",), "statistic": ("gain", "net", "between_within_ratio")},
    {"relation": ("near_homophone",), "statistic": ("abx_error",)},
)
#: What holds of every gated row beside its group; the split is the headline's.
GATED_EVERYWHERE: dict[str, tuple[str, ...]] = {
    "vectors": ("raw",),
    "average": ("macro",),
    "distance": ("l2", "cosine"),
}

_ANNOTATIONS = 10


@dataclass(frozen=True)
class BaselineRow:
    """One number that a report must reach.

    Attributes
    ----------
    key : tuple of str
        Values of :data:`analysis.separation.types.KEY_COLUMNS`, in order.
    estimate, ci_low, ci_high : float
    reason : str
        Why the row was accepted on its own, when it was.
    """

    key: tuple[str, ...]
    estimate: float
    ci_low: float
    ci_high: float
    reason: str = ""

    @property
    def name(self) -> str:
        """The key as one word, as ``--accept`` takes it."""
        return "/".join(self.key)

    @property
    def statistic(self) -> str:
        """Which statistic the row holds."""
        return self.key[KEY_COLUMNS.index("statistic")]


@dataclass(frozen=True)
class Baseline:
    """What :func:`write_baseline` committed.

    Attributes
    ----------
    configuration_hash : str
        Of the run that made it; a report with another one is not comparable.
    corpus : str
    configuration : mapping
        To say which setting differs.
    rows : tuple of BaselineRow
    versions : mapping
    transcripts : str
        Hash of who said what in which utterance: a report of another corpus is not comparable. Not of the audio, since a
        synthesised corpus may differ in its last bits between machines.
    """

    configuration_hash: str
    corpus: str
    configuration: Mapping[str, Any]
    rows: tuple[BaselineRow, ...]
    versions: Mapping[str, Any] = field(default_factory=dict)
    transcripts: str = ""


@dataclass(frozen=True)
class RowVerdict:
    """What became of one row.

    Attributes
    ----------
    row : BaselineRow
    estimate : float
        In the report; NaN where it is missing.
    verdict : str
        ``ok``, ``better`` (beyond the far end of the baseline's interval), ``regression`` or ``missing``.
    """

    row: BaselineRow
    estimate: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Verdicts of all rows; printing it gives the table.

    Attributes
    ----------
    rows : tuple of RowVerdict
        Regressions first.
    exit_code : int
        0, 1 or 3.
    message : str
        One sentence.
    """

    rows: tuple[RowVerdict, ...]
    exit_code: int
    message: str

    def __str__(self) -> str:
        if not self.rows:
            return self.message
        return f"{self.table().to_string(index=False)}\n{self.message}"

    def table(self) -> pd.DataFrame:
        """One line per row, values as they are shown."""
        lines = []
        for found in self.rows:
            row = found.row
            lines.append(
                {
                    "verdict": found.verdict,
                    "row": row.name,
                    "now": "-" if math.isnan(found.estimate) else f"{found.estimate:.4g}",
                    "baseline": f"{row.estimate:.4g}",
                    "interval": f"[{row.ci_low:.4g}, {row.ci_high:.4g}]",
                    "accepted because": row.reason,
                }
            )
        frame = pd.DataFrame(lines)
        return frame if any(found.row.reason for found in self.rows) else frame.drop(columns="accepted because")

    def markdown(self) -> str:
        """The table and the message for a GitHub step summary."""
        if not self.rows:
            return f"### Separation gate\n\n{self.message}\n"
        table = self.table()
        lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
        lines += [
            "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in table.itertuples(index=False)
        ]
        return "### Separation gate\n\n" + self.message + "\n\n" + "\n".join(lines) + "\n"

    def annotations(self) -> list[str]:
        """GitHub workflow commands, one per failed row, at most ten."""
        if self.exit_code == 3:
            return [f"::error title=Separation gate::{_escaped(self.message)}"]
        failed = [found for found in self.rows if found.verdict in ("regression", "missing")]
        shown = failed if len(failed) <= _ANNOTATIONS else failed[: _ANNOTATIONS - 1]
        lines = [f"::error title=Separation {found.verdict}::{_escaped(_sentence(found))}" for found in shown]
        if len(shown) < len(failed):
            lines.append(f"::error title=Separation gate::{len(failed) - len(shown)} more rows failed; see the job summary.")
        return lines


def gated_rows(report: Report) -> tuple[BaselineRow, ...]:
    """The rows of a report that a new baseline holds (:data:`GATED`), of each encoder's last layer, with an interval."""
    table = report.separation
    wanted = pd.Series(False, index=table.index)
    everywhere = {**GATED_EVERYWHERE, "split": (preferred("split", table["split"].unique()),)}
    for group in GATED:
        chosen = pd.Series(True, index=table.index)
        for column, values in {**everywhere, **group}.items():
            chosen &= table[column].isin(values)
        wanted |= chosen
    wanted &= table["layer"] == table.groupby("encoder")["layer"].transform("max")
    wanted &= ~table["variant"].str.startswith("null:") & table["ci_low"].notna() & table["ci_high"].notna()
    return tuple(sorted(_rows(table[wanted]), key=lambda row: row.name))


def _rows(table: pd.DataFrame) -> list[BaselineRow]:
    keys = table[list(KEY_COLUMNS)].astype(str).itertuples(index=False, name=None)
    values = table[["estimate", "ci_low", "ci_high"]].itertuples(index=False, name=None)
    return [
        BaselineRow(key, float(estimate), float(low), float(high))
        for key, (estimate, low, high) in zip(keys, values, strict=True)
    ]


def compare(report: Report, baseline: Baseline) -> Comparison:
    """Verdicts of every row of the baseline; under GitHub Actions also the step summary and annotations.

    Notes
    -----
    A row fails when its estimate lies below the baseline's ``ci_low`` (above its ``ci_high`` where lower is better), is not finite
    or is missing. A gain for the same utterances has no interval width and no tolerance but rounding, 1e-9 of the estimate.
    """
    try:
        _check_baseline("The baseline", vars(baseline), baseline.rows)
    except BaselineError as error:
        comparison = Comparison((), 3, str(error))
        _tell_github(comparison)
        return comparison
    now_hash = str(report.provenance.get("configuration_hash", ""))
    transcripts = str(report.corpus.get("transcripts", ""))
    if baseline.transcripts != transcripts:
        comparison = Comparison(
            (), 3,
            f"Not comparable: the baseline was made on the corpus {baseline.corpus!r}, this report on "
            f"{report.corpus.get('name', '')!r}; their utterances, speakers or transcripts differ. Analyse the baseline's corpus, "
            "or write a new baseline with --accept-baseline.",
        )  # fmt: skip
    elif now_hash != baseline.configuration_hash:
        before, after = ({name: value for name, value in one.configuration.items() if name not in WITHOUT_INFLUENCE}
                         for one in (baseline, report))  # fmt: skip
        changed = _changed(before, after)
        what = f" What differs: {', '.join(changed)}." if changed else ""
        comparison = Comparison(
            (), 3,
            f"Not comparable: the baseline was made under configuration {baseline.configuration_hash or '(none)'}, this report "
            f"under {now_hash or '(none)'}.{what} Run with the baseline's settings, or write a new one with --accept-baseline.",
        )  # fmt: skip
    else:
        now = {row.key: row for row in _rows(report.separation)}
        found = [_verdict(row, now.get(row.key)) for row in baseline.rows]
        order = {"regression": 0, "missing": 1, "better": 2, "ok": 3}
        found.sort(key=lambda verdict: (order[verdict.verdict], verdict.row.name))
        counts = {name: sum(verdict.verdict == name for verdict in found) for name in order}
        failed = counts["regression"] + counts["missing"]
        if failed:
            message = (
                f"REGRESSION: {counts['regression']} of {len(found)} rows are beyond their baseline's interval and "
                f"{counts['missing']} are missing. If that is intended: --accept ROW --reason TEXT, or --accept-baseline."
            )
        else:
            better = f", {counts['better']} of them better than its interval" if counts["better"] else ""
            message = f"No regression: {len(found)} rows hold against the baseline{better}."
        comparison = Comparison(tuple(found), 1 if failed else 0, message)
    _tell_github(comparison)
    return comparison


def _verdict(row: BaselineRow, now: BaselineRow | None) -> RowVerdict:
    if now is None or not math.isfinite(now.estimate):
        return RowVerdict(row, math.nan, "missing")
    slack = 1e-9 * max(abs(row.estimate), abs(row.ci_low), abs(row.ci_high))
    below, above = now.estimate < row.ci_low - slack, now.estimate > row.ci_high + slack
    if row.statistic in LOWER_IS_BETTER:
        below, above = above, below
    return RowVerdict(row, now.estimate, "regression" if below else "better" if above else "ok")


def _sentence(found: RowVerdict) -> str:
    row = found.row
    if found.verdict == "missing":
        return f"{row.name}: not in the report (baseline {row.estimate:.4g})"
    side, bound = ("above", row.ci_high) if row.statistic in LOWER_IS_BETTER else ("below", row.ci_low)
    return f"{row.name}: {found.estimate:.4g} is {side} the baseline's {bound:.4g} (its estimate is {row.estimate:.4g})"


def _escaped(text: str) -> str:
    """``text`` as the value of a GitHub workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _tell_github(comparison: Comparison) -> None:
    """Step summary and annotations, where the environment says that GitHub Actions is listening."""
    import sys

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(comparison.markdown())
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in comparison.annotations():
            sys.stdout.write(line + "\n")


def _changed(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of settings that differ, as ``separation.share (0.5 -> 1.0)``."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        for key in sorted({*before, *now}, key=str):
            found += _changed(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        return found
    same = json.dumps(before, default=str) == json.dumps(now, default=str)
    return [] if same else [f"{name} ({before!r} -> {now!r})"]


def write_baseline(report: Report, path: Path) -> Baseline:
    """Commit this report's gated rows as the baseline at ``path`` (``--accept-baseline``); what it replaces is forgotten.

    Raises
    ------
    ConfigurationError
        If the report has no row that can be gated: no interval anywhere.
    """
    rows = gated_rows(report)
    if not rows:
        raise ConfigurationError(
            "No row of this report can be gated: a gate needs intervals, and no headline row has one. Likely the corpus has too "
            "few speakers or pairs; the column `note` says which. Use a larger corpus."
        )
    baseline = Baseline(
        configuration_hash=str(report.provenance.get("configuration_hash", "")),
        corpus=str(report.corpus.get("name", "")),
        configuration=json.loads(json.dumps(dict(report.configuration), default=str)),
        rows=rows,
        versions=dict(report.provenance.get("versions", {})),
        transcripts=str(report.corpus.get("transcripts", "")),
    )
    _write(baseline, Path(path))
    return baseline


def _write(baseline: Baseline, path: Path) -> None:
    document = {
        "baseline_version": BASELINE_VERSION,
        "configuration_hash": baseline.configuration_hash,
        "corpus": baseline.corpus,
        "transcripts": baseline.transcripts,
        "versions": dict(baseline.versions),
        "configuration": dict(baseline.configuration),
        "key_columns": list(KEY_COLUMNS),
        "rows": [
            {"key": list(row.key), "estimate": row.estimate, "ci_low": row.ci_low, "ci_high": row.ci_high}
            | ({"reason": row.reason} if row.reason else {})
            for row in baseline.rows
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_baseline(path: Path) -> Baseline:
    """The baseline that :func:`write_baseline` wrote.

    Raises
    ------
    StoreError
        If there is none, or it is no baseline of this version.
    BaselineError
        If it holds no row, or one without finite bounds, or does not say of which settings: it would let everything pass.
    """
    path = Path(path)
    remedy = "Write one with --accept-baseline."
    if not path.is_file():
        raise StoreError(f"There is no baseline at {path}. {remedy}")
    document = read_json(path, remedy)
    try:
        version, columns = document["baseline_version"], tuple(document["key_columns"])
        listed = [
            BaselineRow(
                tuple(map(str, row["key"])),
                float(row["estimate"]),
                float(row["ci_low"]),
                float(row["ci_high"]),
                str(row.get("reason", "")),
            )
            for row in document["rows"]
        ]
        settings = {name: document[name] for name in ("configuration_hash", "configuration", "corpus")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is no baseline ({type(error).__name__}: {error}). {remedy}") from error
    if version != BASELINE_VERSION or columns != KEY_COLUMNS:
        raise StoreError(
            f"The baseline at {path} has version {version} and keys {', '.join(map(str, columns))}; this toolkit reads version "
            f"{BASELINE_VERSION} with keys {', '.join(KEY_COLUMNS)}. {remedy}"
        )
    _check_baseline(f"The baseline at {path}", settings, listed)
    return Baseline(
        settings["configuration_hash"],
        str(settings["corpus"]),
        settings["configuration"],
        tuple(listed),
        document.get("versions") or {},
        str(document.get("transcripts", "")),
    )


def _check_baseline(name: str, settings: Mapping[str, Any], rows: Sequence[BaselineRow]) -> None:
    """Raise for what any report would pass, or which does not say what it may be compared with."""
    reason = ""
    if not isinstance(settings["configuration_hash"], str) or not settings["configuration_hash"]:
        reason = f"its configuration_hash is {settings['configuration_hash']!r}"
    elif not isinstance(settings["configuration"], Mapping):
        reason = f"its configuration is {json.dumps(settings['configuration'])}, not the settings of a run"
    elif not rows:
        reason = "it holds no row"
    seen: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, start=1):
        bounds = f"row {number}, {row.name}: estimate {row.estimate:g}, interval [{row.ci_low:g}, {row.ci_high:g}]"
        if len(row.key) != len(KEY_COLUMNS):
            reason = reason or f"the key of row {number} has {len(row.key)} parts, not {len(KEY_COLUMNS)}"
        elif not all(map(math.isfinite, (row.estimate, row.ci_low, row.ci_high))):
            reason = reason or f"{bounds} is not of finite numbers"
        elif row.ci_low > row.ci_high:
            reason = reason or f"{bounds} begins above its end"
        elif row.key in seen:
            reason = reason or f"row {number}, {row.name}, stands twice"
        seen.add(row.key)
    if reason:
        raise BaselineError(
            f"{name} allows no verdict: {reason}. Was it edited, or merged with a conflict? Take it from version "
            "control again, or write a new one with --accept-baseline."
        )


def accept_row(path: Path, report: Report, row: str, *, reason: str) -> Baseline:
    """Replace one row of the baseline at ``path`` by the report's (``--accept ROW --reason TEXT``); the reason stays with it.

    Parameters
    ----------
    row : str
        The row's name as the table prints it, or a part of it that only one row has.
    reason : str

    Raises
    ------
    ConfigurationError
        If there is no reason, no such row, more than one, or the settings differ.
    """
    if not reason or not reason.strip():
        raise ConfigurationError("--accept ROW needs --reason TEXT: why is the lower score right?")
    baseline = read_baseline(path)
    if str(report.provenance.get("configuration_hash", "")) != baseline.configuration_hash:
        raise ConfigurationError(
            f"The report was made under other settings than the baseline at {path}, so its rows cannot be accepted into it. Run "
            f"with the baseline's settings, or write a new one with --accept-baseline."
        )
    exact = [old for old in baseline.rows if old.name == row]
    matching = exact or [old for old in baseline.rows if row in old.name]
    if len(matching) != 1:
        listed = "\n  ".join(old.name for old in (matching or baseline.rows))
        found = "No row" if not matching else f"{len(matching)} rows"
        raise ConfigurationError(f"{found} of the baseline at {path} match {row!r}. Give one name of:\n  {listed}")
    now = {found.key: found for found in _rows(report.separation)}
    old = matching[0]
    fresh = now.get(old.key)
    if fresh is None or not all(map(math.isfinite, (fresh.estimate, fresh.ci_low, fresh.ci_high))):
        raise ConfigurationError(
            f"The report has no estimate with an interval for {old.name}, so there is nothing to accept. Write a new baseline "
            f"with --accept-baseline to leave the row out."
        )
    accepted = replace(fresh, reason=reason.strip())
    changed = replace(baseline, rows=tuple(accepted if found.key == old.key else found for found in baseline.rows))
    _write(changed, Path(path))
    return changed
