"""The published table's layout, filled from measured runs: LVE, MVE, FDD; with and without; in five formats."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis.documents import parse_json
from analysis.errors import FaceError, NotComparableError
from analysis.face.comparison import Difference, compare, find_pairs
from analysis.face.datasets import DATASETS, Dataset, find_dataset
from analysis.face.evaluation import METRICS, Measure, RunMeasures, require_comparable, settings_of
from analysis.face.published import published_value

__all__ = ["FaceTable", "Row", "build_table", "join_tables"]

_SCHEMA = 2
_SHOWN = ("lve", "mve", "fdd")
_TITLES = {"lve": "LVE", "lve_root": "LVE, root", "mve": "MVE", "fdd": "FDD", "fdd_abs": "|FDD|"}


@dataclass(frozen=True)
class Row:
    """One run in the table.

    Attributes
    ----------
    name, method, encoder : str
    with_module : bool
        Whether the name says ``method+something``.
    values : mapping of str to float
        Raw, in the units of the vertex files.
    settings : mapping of str to mapping
        Per metric, everything that two values must share to stand in one table.
    n_clips, n_frames : int
    gaps : mapping of str to int
        Length gaps in frames and how many clips had each.
    conditions : mapping of str to mapping
        Values under other ways to bring several predictions of a clip to one: ``mean``, ``best``, ``chosen:SUBJECT``.
    extra : mapping of str to any
        Near-homophone measures, where asked for.
    """

    name: str
    method: str
    encoder: str
    with_module: bool
    values: Mapping[str, float]
    settings: Mapping[str, Mapping[str, Any]]
    n_clips: int
    n_frames: int
    gaps: Mapping[str, int] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceTable:
    """Runs on one or more data sets that may stand beside each other.

    Attributes
    ----------
    rows : mapping of str to tuple of Row
        By data set.
    differences : mapping of str to tuple of Difference
        By data set.
    notes : tuple of str
        What a reader must know: topology, tolerance, clips left out.
    failures : tuple of mapping
    described : mapping of str to Dataset
        Data sets that do not come with the toolkit.
    """

    rows: Mapping[str, tuple[Row, ...]]
    differences: Mapping[str, tuple[Difference, ...]]
    notes: tuple[str, ...] = ()
    failures: tuple[Mapping[str, str], ...] = ()
    described: Mapping[str, Dataset] = field(default_factory=dict)

    def spec(self, dataset: str) -> Dataset:
        """What is known of one of the table's data sets."""
        return self.described.get(dataset) or find_dataset(dataset)

    def to_json(self) -> str:
        """Everything at full precision; with one data set, ``runs`` holds raw ``lve``, ``mve``, ``fdd``, ``fdd_abs``."""
        datasets = {name: self._dataset(name) for name in self.rows}
        document: dict[str, Any] = {
            "schema": "analysis.face.table",
            "schema_version": _SCHEMA,
            "units": "raw: those of the vertex files",
        }
        if len(datasets) == 1:
            document |= next(iter(datasets.values()))
        else:
            document["datasets"] = datasets
        document |= {"notes": list(self.notes), "failures": [dict(failure) for failure in self.failures]}
        return json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False)

    def _dataset(self, dataset: str) -> dict[str, Any]:
        exponents = self.spec(dataset).exponents
        runs = {}
        for row in self.rows[dataset]:
            published = {metric: published_value(row.method, dataset, metric, with_module=row.with_module) for metric in _SHOWN}
            runs[row.name] = {
                **{metric: row.values[metric] for metric in METRICS},
                "method": row.method,
                "encoder": row.encoder,
                "with_module": row.with_module,
                "n_clips": row.n_clips,
                "n_frames": row.n_frames,
                "length_gaps": dict(row.gaps),
                "in_published_units": {
                    metric: row.values[metric] / 10.0 ** exponents[metric.partition("_")[0]]
                    for metric in ("lve", "mve", "fdd", "fdd_abs")
                },
                "published": published,
                "settings": {metric: dict(settings) for metric, settings in row.settings.items()},
                "conditions": {policy: dict(values) for policy, values in row.conditions.items()},
                **row.extra,
            }
        return {
            "dataset": dataset,
            "described": asdict(self.described[dataset]) | {"files": {}} if dataset in self.described else None,
            "preset": self.rows[dataset][0].settings["lve"]["preset"],
            "published_exponents": dict(exponents),
            "runs": runs,
            "differences": [asdict(difference) for difference in self.differences[dataset]],
        }

    @classmethod
    def from_json(cls, text: str, source: str = "the file") -> FaceTable:
        """The table that :meth:`to_json` wrote.

        Raises
        ------
        FaceError
            If the text is something else, or of another version.
        """
        document = parse_json(text, source, "Give a file that `table --json` wrote.", FaceError)
        if not isinstance(document, dict) or document.get("schema") != "analysis.face.table":
            raise FaceError(f"{source} was not written by `table --json`.")
        if document.get("schema_version") != _SCHEMA:
            raise FaceError(
                f"{source} has version {document.get('schema_version')}, this toolkit reads {_SCHEMA}. Make the table again."
            )
        parts = document.get("datasets") or {document["dataset"]: document}
        rows, differences, described = {}, {}, {}
        for name, part in parts.items():
            if part.get("described"):
                described[name] = Dataset(**part["described"])
            elif name not in DATASETS:
                raise FaceError(f"{source} is of the data set {name!r} and does not describe it. Make the table again.")
            rows[name] = tuple(
                Row(
                    name=run,
                    method=values["method"],
                    encoder=values["encoder"],
                    with_module=values["with_module"],
                    values={metric: values[metric] for metric in METRICS},
                    settings=values["settings"],
                    n_clips=values["n_clips"],
                    n_frames=values["n_frames"],
                    gaps=values["length_gaps"],
                    conditions=values["conditions"],
                    extra={key: values[key] for key in ("near_homophones", "lips") if key in values},
                )
                for run, values in part["runs"].items()
            )
            differences[name] = tuple(
                Difference(**{key: float("nan") if value is None else value for key, value in row.items()})
                for row in part["differences"]
            )
        return cls(rows, differences, tuple(document.get("notes", ())), tuple(document.get("failures", ())), described)

    def grid(self, *, published: bool = False, spread: bool = True) -> tuple[list[str], list[list[str]]]:
        """Header and cells as text, in the published layout and units; differences under each pair.

        Parameters
        ----------
        published : bool
            The printed values beside the measured ones, in brackets.
        spread : bool
            Add a row with the difference, its interval and its p-value under each pair.
        """
        header = ["Method", "Audio encoder"]
        for dataset in self.rows:
            spec = self.spec(dataset)
            header += [f"{spec.title} {_TITLES[metric]} (x1e{spec.exponents[metric]})" for metric in _SHOWN]
            header.append(f"{spec.title} |FDD| (x1e{spec.exponents['fdd']})")
        names = list(dict.fromkeys(row.name for rows in self.rows.values() for row in rows))
        cells = []
        for name in names:
            line: list[str] = []
            for dataset, rows in self.rows.items():
                row = next((row for row in rows if row.name == name), None)
                line += [""] * 4 if row is None else _value_cells(row, self.spec(dataset), published)
            encoder = next(row.encoder for rows in self.rows.values() for row in rows if row.name == name)
            cells.append([name, encoder, *line])
            if spread and any(d.with_module == name for rows in self.differences.values() for d in rows):
                cells.append(["  difference", "", *self._difference_cells(name, ("lve", "mve", "fdd", "fdd_abs"))])
        return header, cells

    def _difference_cells(self, name: str, metrics: Sequence[str]) -> list[str]:
        cells = []
        for dataset, rows in self.differences.items():
            exponents = self.spec(dataset).exponents
            for metric in metrics:
                row = next((d for d in rows if d.with_module == name and d.metric == metric), None)
                if row is None:
                    cells.append("")
                    continue
                scale = 10.0 ** exponents[metric.partition("_")[0]]
                low, high = row.ci_low / scale, row.ci_high / scale
                interval = "no interval" if math.isnan(low) else f"[{low:+.4f}, {high:+.4f}]"
                cells.append(f"{row.estimate / scale:+.4f} {interval} {format_p(row.p_permutation)}")
        return cells

    def footnotes(self) -> list[str]:
        """How the numbers were made, one sentence each."""
        lines = []
        for dataset, rows in self.rows.items():
            lve, mve, fdd = (rows[0].settings[metric] for metric in _SHOWN)
            policies = ", ".join(sorted({row.settings["lve"]["condition"] for row in rows}))
            lines.append(
                f"{self.spec(dataset).title}: preset {lve['preset']}; {rows[0].n_clips} clips, {lve['fps']} frames a "
                f"second; LVE: {lve['power']} error of "
                f"the worst vertex of {lve['region']} ({lve['region_size']} vertices, sha1 {lve['region_sha1'][:10]}), mean over "
                f"{lve['pooling']}; MVE: mean distance over frames and all {mve['region_size']} vertices; FDD: true minus "
                "predicted motion "
                f"spread over {fdd['region']} ({fdd['region_size']} vertices, sha1 {fdd['region_sha1'][:10]}), signed, mean "
                "over clips; "
                f"|FDD|: mean of absolute values; templates {lve['template']}; several predictions of a clip: {policies}."
            )
            tests = self.differences[dataset]
            if tests:
                lines.append(
                    f"Differences are with minus without, with a {tests[0].ci_level:.0%} interval and the p-value of a sign-flip "
                    f"test by {tests[0].unit} (seed {tests[0].seed}); {tests[0].population}."
                )
        return [*lines, *self.notes]

    def to_text(self, **options: bool) -> str:
        """The table with columns lined up, for a terminal."""
        header, cells = self.grid(**options)
        widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [header, *cells]
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, "", *self.footnotes()])

    def to_markdown(self, **options: bool) -> str:
        """The table in Markdown."""
        header, cells = self.grid(**options)
        lines = [header, ["---"] * len(header), *cells]
        body = ["| " + " | ".join(_markdown(cell) for cell in line) + " |" for line in lines]
        return "\n".join([*body, "", *(f"- {_markdown(line)}" for line in self.footnotes()), ""])

    def to_latex(self, **options: bool) -> str:
        """The table for booktabs, with the notes as comments."""
        header, cells = self.grid(**options)
        lines = [
            f"\\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
            "\\toprule",
            " & ".join(map(_latex, header)) + " \\\\",
            "\\midrule",
        ]
        lines += [" & ".join(map(_latex, line)) + " \\\\" for line in cells]
        lines += ["\\bottomrule", "\\end{tabular}"]
        return "\n".join([*(f"% {line}" for line in self.footnotes()), *lines, ""])

    def to_csv(self) -> str:
        """One line per run, data set and metric, at full precision."""
        stream = io.StringIO()
        columns = ["dataset", "run", "method", "encoder", "with_module", "metric", "value", "published_unit", "published"]
        settings = list(next(iter(self.rows.values()))[0].settings["lve"])
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*columns, "n_clips", "n_frames", *settings])
        for dataset, rows in self.rows.items():
            exponents = self.spec(dataset).exponents
            for row in rows:
                for metric in METRICS:
                    printed = published_value(row.method, dataset, metric, with_module=row.with_module)
                    writer.writerow(
                        [dataset, row.name, row.method, row.encoder, row.with_module, metric, repr(row.values[metric])]
                        + [
                            f"1e{exponents[metric.partition('_')[0]]}",
                            "" if printed is None else printed,
                            row.n_clips,
                            row.n_frames,
                        ]
                        + [row.settings[metric][name] for name in settings]
                    )
        return stream.getvalue()

    def write(self, path: str | Path, text: str) -> Path:
        """Write ``text`` to ``path``, making its folder; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def build_table(
    runs: Sequence[RunMeasures],
    *,
    encoders: Mapping[str, str] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    unit: str = "subject",
    seed: int = 0,
    notes: Sequence[str] = (),
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> FaceTable:
    """The table of runs on one data set.

    Parameters
    ----------
    runs : sequence of RunMeasures
        All on the same clips, preset, regions and templates.
    encoders : mapping of str to str, optional
        What to print as audio encoder, by run name; known frameworks have theirs.
    pairs : sequence of (without, with), optional
        By default ``NAME`` and every ``NAME+...``.
    unit : str
        ``subject`` or ``clip``: what intervals and tests are over.
    seed : int
    notes : sequence of str
    extra : mapping, optional
        Further values by run name.

    Raises
    ------
    NotComparableError
        If two runs were measured under different settings.
    """
    from analysis.face.frameworks import find_framework

    if not runs:
        raise FaceError("A table needs at least one run.")
    require_comparable(measure for run in runs for measure in run.measures().values())
    by_name = {run.run.name: run for run in runs}
    dataset = runs[0].truth.dataset
    rows = []
    for run in runs:
        framework = find_framework(run.run.name)
        base = run.run.name.partition("+")[0].strip()
        encoder = (encoders or {}).get(run.run.name) or (framework.published_encoder if framework else "")
        measures = run.measures()
        rows.append(
            Row(
                name=run.run.name,
                method=framework.name if framework else base,
                encoder=encoder,
                with_module="+" in run.run.name,
                values={name: measure.value for name, measure in measures.items()},
                settings={name: settings_of(measure) for name, measure in measures.items()},
                n_clips=measures["lve"].n_clips,
                n_frames=measures["lve"].n_frames,
                gaps=_gaps(run),
                conditions=_conditions(run),
                extra=(extra or {}).get(run.run.name, {}),
            )
        )
    differences = []
    for without, with_module in find_pairs(list(by_name)) if pairs is None else pairs:
        for name in (without, with_module):
            if name not in by_name:
                raise FaceError(f"There is no run {name!r} to compare. Runs: {', '.join(by_name)}.")
        differences += compare(by_name[without], by_name[with_module], unit=unit, seed=seed)
    notes = list(notes)
    if runs[0].truth.n_vertices != dataset.n_vertices:
        notes.append(
            f"The meshes have {runs[0].truth.n_vertices} vertices and {dataset.title}'s have {dataset.n_vertices}: these "
            "values do not "
            f"compare with published ones."
        )
    if dataset.note:
        notes.append(f"{dataset.title}: {dataset.note}")
    described = {} if DATASETS.get(dataset.name) == dataset else {dataset.name: dataset}
    return FaceTable({dataset.name: tuple(rows)}, {dataset.name: tuple(differences)}, tuple(notes), described=described)


def join_tables(tables: Sequence[FaceTable]) -> FaceTable:
    """Tables of several data sets side by side, or of several runs on one; refused where presets or regions differ.

    Raises
    ------
    NotComparableError
        If rows of one data set, or the presets of two, differ in a setting.
    """
    rows: dict[str, tuple[Row, ...]] = {}
    differences: dict[str, tuple[Difference, ...]] = {}
    described: dict[str, Dataset] = {}
    for table in tables:
        for dataset, more in table.rows.items():
            spec = replace(table.spec(dataset), files={})
            if described.setdefault(dataset, spec) != spec:
                raise NotComparableError(f"Two tables describe the data set {dataset} differently. Measure both with one file.")
            rows[dataset] = rows.get(dataset, ()) + tuple(more)
            differences[dataset] = differences.get(dataset, ()) + tuple(table.differences[dataset])
    for dataset, lines in rows.items():
        require_comparable(_measure(row, metric) for row in lines for metric in METRICS)
        names = [row.name for row in lines]
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise NotComparableError(f"{dataset} has two runs called {double}. Name them apart.")
    presets = {dataset: lines[0].settings["lve"]["preset"] for dataset, lines in rows.items()}
    if len(set(presets.values())) > 1:
        stated = ", ".join(f"{dataset}: {preset}" for dataset, preset in presets.items())
        raise NotComparableError(f"One table cannot mix presets ({stated}). Measure all data sets with the same preset.")
    return FaceTable(
        rows,
        differences,
        tuple(dict.fromkeys(note for table in tables for note in table.notes)),
        tuple(failure for table in tables for failure in table.failures),
        {name: spec for name, spec in described.items() if DATASETS.get(name) != spec},
    )


def _measure(row: Row, metric: str) -> Measure:
    settings = dict(row.settings[metric])
    return Measure(metric=metric, value=row.values[metric], n_clips=row.n_clips, n_frames=row.n_frames, **settings)


def _gaps(run: RunMeasures) -> dict[str, int]:
    gaps = sorted({row.gap for row in run.rows})
    return {str(gap): sum(row.gap == gap for row in run.rows) for gap in gaps}


def _conditions(run: RunMeasures) -> dict[str, dict[str, float]]:
    """Values under every policy that the predictions allow."""
    if run.policy not in ("mean", "best") or not run.conditions:
        return {}
    complete = [c for c in run.conditions if {row.clip for row in run.rows if row.condition == c} == set(run.clips)]
    policies = ["mean", "best", *(f"chosen:{condition}" for condition in complete)]
    return {policy: {name: measure.value for name, measure in run.measures(policy).items()} for policy in policies}


def _value_cells(row: Row, dataset: Dataset, published: bool) -> list[str]:
    exponents = dataset.exponents
    cells = []
    for metric in (*_SHOWN, "fdd_abs"):
        text = f"{row.values[metric] / 10.0 ** exponents[metric.partition('_')[0]]:.4f}"
        printed = published_value(row.method, dataset.name, metric, with_module=row.with_module) if published else None
        cells.append(text if printed is None else f"{text} ({printed:.4f})")
    return cells


def format_p(value: float) -> str:
    """A p-value for a table."""
    return "p < 0.0005" if value < 0.0005 else f"p = {value:.3f}"


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _latex(text: str) -> str:
    for mark, written in (
        ("\\", "\\textbackslash{}"),
        ("_", "\\_"),
        ("%", "\\%"),
        ("&", "\\&"),
        ("#", "\\#"),
        ("<", "$<$"),
        ("|", "$|$"),
    ):
        text = text.replace(mark, written)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
