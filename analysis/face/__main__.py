"""Measure predicted faces and print the framework table: ``python -m analysis.face COMMAND``.

Exit codes: 0 done; 2 the request or the data is at fault, told in one message on standard error.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.console import Parser, exit_code, seed
from analysis.documents import read_utf8
from analysis.errors import ConfigurationError, FaceError, Failure, StrictError

if TYPE_CHECKING:
    import numpy as np

    from analysis.alignment.types import Alignment
    from analysis.face.datasets import Truth
    from analysis.face.evaluation import Run, RunMeasures
    from analysis.face.homophones import Spoken
    from analysis.face.table import FaceTable

_EPILOG = """exit codes:
  0  done
  2  the request or the data is at fault; the message says what to do"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return exit_code(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    return options.command(options)


def parser() -> argparse.ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    parser = Parser(
        prog="python -m analysis.face", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_table(commands)
    _add_join(commands)
    _add_frameworks(commands)
    _add_synthesize(commands)
    _add_demo(commands)
    _add_render(commands)
    _add_study(commands)
    return parser


def _add_table(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "table",
        help="LVE, MVE and FDD of runs, with and without, in the published layout",
        description="Measure folders of predictions against the truth and print the published table's layout.",
        epilog="""pairs: a run named NAME+ANYTHING is compared with the run named NAME.

example:
  python -m analysis.face table --dataset biwi --truth BIWI/vertices_npy --templates BIWI/templates.pkl \\
      --lips BIWI/regions/lve.txt --upper BIWI/regions/fdd.txt --preset facediffuser \\
      --run "FaceFormer=runs/faceformer" --run "FaceFormer+Wav2Sem=runs/faceformer_wav2sem" --json table.json

"""
        + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_table)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        help="vocaset, biwi, or FILE.yaml that describes a set: vertices, rates, unit, subjects, regions (see analysis.face.datasets)",
    )
    data.add_argument(
        "--truth",
        type=Path,
        metavar="DIR",
        help="true vertices, SUBJECT_SENTENCE.npy (needed unless FILE.yaml has it; so are three more)",
    )
    data.add_argument("--templates", type=Path, metavar="FILE", help="templates.pkl, .npz, or a folder of SUBJECT.npy")
    data.add_argument("--lips", metavar="FILE", help="lve.txt, .npy, FLAME_masks.pkl:lips, or weights.txt>0.1")
    data.add_argument("--upper", metavar="FILE", help="fdd.txt, .npy, FLAME_masks.pkl:forehead+eye_region, or weights.txt>0.4")
    data.add_argument(
        "--run", action="append", required=True, metavar="NAME=DIR", help="predictions of one method; repeat for each (required)"
    )
    data.add_argument("--clips", nargs="+", metavar="CLIP", help="only these clips, and each must be there")
    data.add_argument("--subjects", nargs="+", metavar="NAME", help="only clips of these subjects")
    how = parser.add_argument_group("how to measure")
    how.add_argument(
        "--preset",
        default="facediffuser",
        metavar="NAME",
        help="codetalker, facediffuser (default), unitalker, diffspeaker, meshtalk",
    )
    how.add_argument(
        "--condition",
        default="auto",
        metavar="HOW",
        help="several predictions of a clip: own, mean, best, a style subject, or auto (default: own if there is one, else mean)",
    )
    how.add_argument(
        "--tolerance", type=_whole(0), default=2, metavar="FRAMES", help="length gap allowed between prediction and truth (2)"
    )
    how.add_argument("--fps", type=_whole(1), metavar="N", help="frames a second at which to measure (vocaset 30, biwi 25)")
    how.add_argument(
        "--truth-fps", type=_whole(1), metavar="N", help="frames a second of the truth on disk (vocaset 60, biwi 25)"
    )
    how.add_argument(
        "--prediction-fps",
        action="append",
        default=[],
        metavar="[NAME=]N",
        help="frames a second of predictions, of all runs or of one (VOCA: 60)",
    )
    how.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="NAME=X",
        help="vertices of this run were multiplied by X (UniTalker on BIWI: 0.2)",
    )
    how.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=TEXT", help="audio encoder to print for a method of your own"
    )
    how.add_argument(
        "--keep-going",
        action="store_true",
        help="leave out clips that cannot be used, from every run, rather than stop (a number over fewer clips)",
    )
    tests = parser.add_argument_group("with and without")
    tests.add_argument(
        "--pair", action="append", metavar="WITHOUT,WITH", help="compare these two runs (default: NAME with every NAME+...)"
    )
    tests.add_argument(
        "--resample",
        choices=("subject", "clip"),
        default="subject",
        help="unit of intervals and sign-flip tests: subject (default), for claims about other speakers, or clip, for other clips "
        "of these speakers",
    )
    tests.add_argument("--seed", type=seed, default=0, help="seed of every random draw (default: 0)")
    _add_homophone_options(parser)
    _add_lip_options(parser)
    out = parser.add_argument_group("output")
    _add_formats(out)
    out.add_argument("--figures", type=Path, metavar="DIR", help="draw per-frame lip error and per-vertex error (PNG)")
    out.add_argument("--faces", type=Path, metavar="FILE", help="triangles for the figure: .obj, .ply or .npy of shape (n, 3)")
    out.add_argument("--progress", action="store_true", default=None, help="show progress bars even where output is no terminal")


def _add_homophone_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("near-homophones (lip error where it matters, and whether lips keep the difference)")
    group.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="token table (.csv or .parquet): utterance, type, start, end; utterances named as clips",
    )
    group.add_argument(
        "--textgrids", type=Path, metavar="DIR", help="instead of --tokens: CLIP.TextGrid alignments, cut into syllables"
    )
    group.add_argument(
        "--near-homophones", type=Path, metavar="FILE", help="pair table (.csv): type_a, type_b[, relation]; mined when absent"
    )


def _add_lip_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("lips (how far they open, how fast, whether they meet, when, in which viseme's shape)")
    group.add_argument(
        "--lip-metrics", action="store_true", help="measure them; those of single phones need --textgrids or --phones"
    )
    group.add_argument(
        "--phones", type=Path, metavar="FILE", help="phone table (.csv or .parquet): utterance, phone (ARPAbet), start, end"
    )
    group.add_argument(
        "--lip-points",
        metavar="U,L,A,B",
        help="vertices: middle of the upper and the lower lip, both corners (found in the template when not given)",
    )


def _add_formats(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json",
        type=Path,
        metavar="OUT",
        help="everything at full precision; runs hold lve, mve, fdd, fdd_abs in raw data units",
    )
    group.add_argument("--csv", type=Path, metavar="OUT", help="write the table as CSV")
    group.add_argument("--latex", type=Path, metavar="OUT", help="write the table as LaTeX")
    group.add_argument("--markdown", type=Path, metavar="OUT", help="write the table as Markdown")
    group.add_argument("--published", action="store_true", help="the published values beside the measured ones, in brackets")


def _whole(minimum: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least ``minimum``, for argparse."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {minimum}")
        return int(text)

    return read


def _rate(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"--prediction-fps needs a whole number of frames a second, not {text!r}.")
    return int(text)


def _named(texts: Sequence[str], flag: str) -> dict[str, str]:
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigurationError(f"{flag} needs NAME=VALUE, not {text!r}.")
        if name.strip() in values:
            raise ConfigurationError(f"{flag} names {name.strip()!r} twice. Name the two apart.")
        values[name.strip()] = value.strip()
    return values


def _number(text: str, flag: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{flag} needs a number, not {text!r}.") from None


def _runs(options: argparse.Namespace) -> list[Run]:
    from analysis.face.evaluation import Run

    folders = _named(options.run, "--run")
    everyone = [text for text in options.prediction_fps if "=" not in text]
    rates = {
        name: _rate(value) for name, value in _named([t for t in options.prediction_fps if "=" in t], "--prediction-fps").items()
    }
    scales = {name: _number(value, "--scale") for name, value in _named(options.scale, "--scale").items()}
    for flag, names in (("--prediction-fps", rates), ("--scale", scales)):
        for name in names:
            if name not in folders:
                raise ConfigurationError(f"{flag} names {name!r}, which is no run. Runs: {', '.join(folders)}.")
    common = _rate(everyone[-1]) if everyone else None
    return [Run(name, Path(folder), fps=rates.get(name, common), scale=scales.get(name, 1.0)) for name, folder in folders.items()]


def _table(options: argparse.Namespace) -> int:
    from analysis.errors import failure_rows
    from analysis.face.datasets import Truth, find_dataset
    from analysis.face.evaluation import evaluate
    from analysis.face.presets import find_preset
    from analysis.face.regions import read_region
    from analysis.face.table import build_table

    preset = find_preset(options.preset)
    runs = _runs(options)
    encoders = _named(options.encoder, "--encoder")
    dataset = find_dataset(options.dataset)
    files = {name: getattr(options, name) or dataset.files.get(name) for name in ("truth", "templates", "lips", "upper")}
    for name, file in files.items():
        if file is None:
            raise ConfigurationError(f"--{name} is needed: {options.dataset} does not say where that is.")
    truth = Truth.open(files["truth"], files["templates"], dataset, fps=options.fps, truth_fps=options.truth_fps)
    lips, upper = read_region(files["lips"]), read_region(files["upper"])
    clips = _wanted_clips(options, truth, runs)
    measured = [
        evaluate(
            run,
            truth,
            lips,
            upper,
            preset=preset,
            clips=clips,
            condition=options.condition,
            tolerance=options.tolerance,
            progress=options.progress,
        )
        for run in runs
    ]
    failures = [failure for run in measured for failure in run.failures]
    measured, notes = _usable(measured, failures, keep_going=options.keep_going)
    notes.append(f"Lengths of prediction and truth may differ by {options.tolerance} frames and are cut to the shorter.")
    spoken, homophones = _spoken(options, measured)
    extra = _homophones(options, measured, spoken, homophones)
    lip_rows = _lips(options, measured)
    for name, row in lip_rows.items():
        extra.setdefault(name, {})["lips"] = row
    pairs = [tuple(part.strip() for part in text.split(",", 1)) for text in options.pair] if options.pair else None
    if pairs is not None and any(len(pair) != 2 for pair in pairs):
        raise ConfigurationError("--pair needs two runs separated by a comma, such as --pair FaceFormer,FaceFormer+Wav2Sem.")
    table = build_table(
        measured,
        encoders=encoders,
        pairs=pairs,
        unit=options.resample,
        seed=options.seed,
        notes=notes,
        extra=extra,
    )
    table = replace(table, failures=tuple(failure_rows(failures)))
    print(table.to_text(published=options.published))
    _print_homophones(extra)
    _print_lips(lip_rows)
    _write(table, options)
    if options.figures:
        _draw(options, measured, spoken, homophones)
    return 0


def _wanted_clips(options: argparse.Namespace, truth: Truth, runs: list[Run]) -> list[str]:
    """Clips that every run must have: those asked for, or all that any run has."""
    from analysis.face.predictions import find_predictions

    if options.clips:
        unknown = [clip for clip in options.clips if clip not in truth.clips]
        if unknown:
            raise FaceError(f"{truth.folder} has no clip {', '.join(unknown)}. It has: {', '.join(truth.clips[:8])}, ...")
        clips = list(dict.fromkeys(options.clips))
    else:
        clips = sorted({clip for run in runs for clip in find_predictions(run.folder, truth.clips, truth.templates)[0]})
    if options.subjects:
        known = {truth.dataset.subject(clip) for clip in clips}
        for subject in options.subjects:
            if subject not in known:
                raise FaceError(f"There is no clip of subject {subject!r}. Subjects: {', '.join(sorted(known))}.")
        clips = [clip for clip in clips if truth.dataset.subject(clip) in options.subjects]
    return clips


def _usable(measured: list[RunMeasures], failures: list[Failure], *, keep_going: bool) -> tuple[list[RunMeasures], list[str]]:
    """The runs with only the clips that all of them have, and what to say about those left out."""
    bad = [failure for failure in failures if failure.severity == "error"]
    for failure in failures:
        if failure.severity != "error":
            print(f"warning: {failure.item}: {failure.reason}. {failure.remedy}", file=sys.stderr)
    shared = sorted(set.intersection(*(set(run.clips) for run in measured)))
    if bad and (not keep_going or not shared):
        lines = "\n".join(f"  {failure.item}: {failure.reason}" for failure in bad[:5])
        more = f"\n  ... and {len(bad) - 5} more" if len(bad) > 5 else ""
        what = (
            "No clip can be used in every run"
            if not shared
            else "Some clips cannot be used, and a number over fewer clips is another number"
        )
        ask = "" if not shared else "\nMend them, choose clips with --clips, or pass --keep-going to leave them out of every run."
        raise StrictError(f"{what}:\n{lines}{more}{ask}")
    if not bad:
        return measured, []
    for failure in bad:
        print(f"left out: {failure.item}: {failure.reason}", file=sys.stderr)
    everything = sorted({failure.item.rpartition("/")[2] for failure in bad})
    return [run.restricted(shared) for run in measured], [f"Left out of every run: {', '.join(everything)}."]


def _spoken(options: argparse.Namespace, measured: list[RunMeasures]) -> tuple[list[Spoken], list[tuple[str, str]]]:
    """What is said when, and which types of it are near-homophones; both empty where not asked for."""
    if not (options.tokens or options.textgrids):
        if options.near_homophones:
            raise ConfigurationError(
                "--near-homophones needs to know when syllables are spoken: give --tokens or --textgrids too."
            )
        return [], []
    from analysis.face.homophones import pairs_of, read_spoken, spoken_from_textgrids

    spoken = read_spoken(options.tokens) if options.tokens else spoken_from_textgrids(options.textgrids, measured[0].clips)
    return spoken, pairs_of(spoken, options.near_homophones)


def _homophones(
    options: argparse.Namespace, measured: list[RunMeasures], spoken: list[Spoken], pairs: list[tuple[str, str]]
) -> dict[str, dict]:
    if not spoken:
        return {}
    from analysis.face.comparison import find_pairs
    from analysis.face.homophones import homophone_difference, homophone_measures

    values = {run.run.name: homophone_measures(run, spoken, pairs, tolerance=options.tolerance) for run in measured}
    for without, with_module in find_pairs(list(values)):
        values[with_module]["difference"] = homophone_difference(values[without], values[with_module])
    return {name: {"near_homophones": row} for name, row in values.items()}


def _draw(options: argparse.Namespace, measured: list[RunMeasures], spoken: list[Spoken], pairs: list[tuple[str, str]]) -> None:
    from analysis.face.figures import draw_lip_error, draw_vertex_error, read_faces

    confusable = {name for pair in pairs for name in pair}
    intervals: dict[str, list[tuple[float, float, str]]] = {}
    for one in spoken:
        if one.type in confusable:
            intervals.setdefault(one.clip, []).append((one.start, one.end, one.type))
    faces = read_faces(options.faces) if options.faces else None
    drawn = [
        *draw_lip_error(measured, options.figures, intervals=intervals),
        draw_vertex_error(measured, options.figures, faces=faces),
    ]
    for path in drawn:
        print(f"figure: {path}")


def _lips(options: argparse.Namespace, measured: list[RunMeasures]) -> dict[str, dict]:
    """Lip metrics by run, with the differences where a run has a pair; empty where not asked for."""
    if not options.lip_metrics:
        for name in ("phones", "lip_points"):
            if getattr(options, name):
                raise ConfigurationError(f"--{name.replace('_', '-')} is for --lip-metrics. Pass that too.")
        return {}
    from analysis.face.comparison import find_pairs
    from analysis.face.homophones import alignments_of
    from analysis.face.lips import LipPoints, lip_difference, lip_measures, phones_of, read_phones

    phones: list[Spoken] = []
    if options.phones:
        phones = read_phones(options.phones)
    elif options.textgrids:
        phones = phones_of(alignments_of(options.textgrids, measured[0].clips))
    points = LipPoints.parse(options.lip_points) if options.lip_points else None
    rows = {run.run.name: lip_measures(run, phones=phones, points=points, tolerance=options.tolerance) for run in measured}
    for without, with_module in find_pairs(list(rows)):
        rows[with_module]["difference"] = lip_difference(rows[without], rows[with_module])
    return rows


def _print_lips(rows: dict[str, dict]) -> None:
    if not rows:
        return
    from analysis.face.lips import LIP_METRICS
    from analysis.face.table import format_p

    first = next(iter(rows.values()))
    print(f"\nLips (raw data units, s, shares; points: {first['points']})")
    width = max(len(name) for name in rows)
    for metric in LIP_METRICS:
        if metric not in first:
            continue
        truth = f"; truth {first[metric]['truth']:.1%}" if "truth" in first[metric] else ""
        print(f"{metric} (n {first[metric]['n']:.0f}{truth})")
        for name, row in rows.items():
            if metric not in row:
                continue
            one = row[metric]
            line = f"  {name.ljust(width)}  {one['value']:.4g} {_bounds(one['low'], one['high'], '.4g')}"
            change = row.get("difference", {}).get(metric)
            if change:
                p = "" if math.isnan(change["p"]) else f" {format_p(change['p'])}"
                line += f"  difference {change['estimate']:+.4g} {_bounds(change['low'], change['high'], '+.4g')}{p}"
            print(line)
    print(
        "Intervals are Student's t over subjects (over clips where there is one); python -m pydoc analysis.face.lips has the formulas."
    )


def _print_homophones(extra: dict[str, dict]) -> None:
    extra = {name: values for name, values in extra.items() if "near_homophones" in values}
    if not extra:
        return
    from analysis.face.table import format_p

    rows = {name: values["near_homophones"] for name, values in extra.items()}
    first = next(iter(rows.values()))
    print(
        f"\nNear-homophones: {first['n_pairs']} pairs, {first['n_tokens']} tokens, LVE over {first['n_frames']} frames and "
        f"{first['n_frames_elsewhere']} elsewhere (raw data units)"
    )
    width = max(len(name) for name in rows)
    print(f"{''.ljust(width)}  LVE there   elsewhere   contrast kept           separation  within      ratio")
    print(
        f"{'truth'.ljust(width)}  {'':10}  {'':10}  {'100.0%':22}  {first['separation_truth']:.4e}  {first['within_truth']:.4e}  "
        f"{first['between_within_truth']:.3f}"
    )
    for name, row in rows.items():
        kept = f"{row['contrast_kept']:.1%} {_bounds(row['contrast_kept_low'], row['contrast_kept_high'], '.1%')}"
        print(
            f"{name.ljust(width)}  {row['lve']:.4e}  {row['lve_elsewhere']:.4e}  {kept:22}  {row['separation_prediction']:.4e}  "
            f"{row['within_prediction']:.4e}  {row['between_within_prediction']:.3f}"
        )
        change = row.get("difference")
        if change:
            gain = f"{change['contrast_kept']:+.1%} {_bounds(change['ci_low'], change['ci_high'], '+.1%')}"
            p = "" if math.isnan(change["p"]) else f" {format_p(change['p'])}"
            print(f"{'  difference'.ljust(width)}  {change['lve']:+.3e}  {change['lve_elsewhere']:+.3e}  {gain}{p}")
    weak = (
        f" With {first['n_speakers']} speakers the interval rests on speakers being normally distributed."
        if first["contrast_kept_weak"] and first["n_speakers"] > 1
        else ""
    )
    print(
        "Contrast kept: slope of predicted on true lip-shape contrasts; noise raises separation, not contrast. Its interval is "
        f"meant for other pairs and other speakers ({first['n_pairs']} pairs, {first['n_speakers']} speakers; no interval with "
        f"fewer than two of either).{weak}"
    )


def _bounds(low: float, high: float, form: str) -> str:
    return "no interval" if math.isnan(low) else f"[{low:{form}}, {high:{form}}]"


def _write(table: FaceTable, options: argparse.Namespace) -> None:
    for path, text in (
        (options.json, table.to_json),
        (options.csv, table.to_csv),
        (options.latex, lambda: table.to_latex(published=options.published)),
        (options.markdown, lambda: table.to_markdown(published=options.published)),
    ):
        if path is not None:
            table.write(path, text())


def _add_join(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "join",
        help="put tables of several data sets side by side",
        description="Join files that `table --json` wrote, as published. Mixed presets or regions are refused.",
    )
    parser.set_defaults(command=_join)
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE.json", help="what table --json wrote, one a data set")
    _add_formats(parser.add_argument_group("output"))


def _join(options: argparse.Namespace) -> int:
    from analysis.face.table import FaceTable, join_tables

    tables = []
    for path in options.tables:
        if not path.is_file():
            raise FaceError(f"There is no file {path}.")
        tables.append(FaceTable.from_json(read_utf8(path, "Give a file that `table --json` wrote.", FaceError), str(path)))
    table = join_tables(tables)
    print(table.to_text(published=options.published))
    _write(table, options)
    return 0


def _add_frameworks(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "frameworks", help="list the six frameworks: encoder, rates, naming, preset", description=_frameworks.__doc__
    )
    parser.set_defaults(command=_frameworks)


def _frameworks(options: argparse.Namespace) -> int:
    """Print what is known of each framework, one block each."""
    from analysis.face.frameworks import FRAMEWORKS

    for row in FRAMEWORKS.values():
        print(row.name)
        for dataset, base in row.bases().items():
            scale = f", vertices times {row.scale[dataset]}" if dataset in row.scale else ""
            print(f"  {dataset}: {base}; {row.rates()[dataset]}; face at {row.fps[dataset]} fps{scale}")
            print(f"    frames checked against: {row.checked()[dataset]}")
        print(f"  semantic vector: {row.fusion()}")
        print(f"  predictions: {row.naming}; preset {row.preset}")
    return 0


def _add_synthesize(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "synthesize",
        help="write a synthetic data set with predictions of all six frameworks, with and without",
        description="Write small meshes whose lips follow the phones of real alignments, in the layout of VOCASET or BIWI, and "
        "six frameworks' predictions of them with and without the module. The numbers say nothing about the frameworks.",
    )
    parser.set_defaults(command=_synthesize)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--dataset", default="biwi", metavar="NAME", help="whose layout: vocaset or biwi (default)")
    _add_speech(parser)


def _add_speech(parser: argparse.ArgumentParser, corpus: str = "builtin") -> None:
    parser.add_argument(
        "--corpus",
        default=corpus,
        metavar="SPEC",
        help=f"builtin (phone strings, no audio), demo, or any corpus to align (default {corpus})",
    )
    parser.add_argument(
        "--aligner", default="pocketsphinx", metavar="NAME", help="for a corpus: pocketsphinx (default), ctc, mfa, labels"
    )
    parser.add_argument(
        "--aligner-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the aligner, such as model=DIR for ctc",
    )
    parser.add_argument("--n-clips", type=_whole(1), default=24, metavar="N", help="clips to make (24)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of every random draw (default: 0)")
    group = parser.add_argument_group("predictions from audio (a ridge regression on an encoder's frames), or planted ones")
    group.add_argument(
        "--encoder",
        metavar="SPEC",
        help="which encoder hears the audio: bundled, mfcc, any other of analysis.encoders; none: planted",
    )
    group.add_argument(
        "--semantics",
        default="wav2sem",
        metavar="SPEC",
        help="the module: wav2sem (default: the bundled one), oracle:mean (the transcript's own embedding: an upper reference), "
        "or a module's folder",
    )
    group.add_argument(
        "--improvement",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="planted: share of the faults that the module takes away (0.5); 0 for none",
    )


def _speech(options: argparse.Namespace) -> tuple[list[Alignment], dict]:
    """Alignments, and how predictions are to be made."""
    from analysis.face.synthetic import builtin_alignments

    if options.corpus == "builtin":
        if options.encoder:
            raise ConfigurationError("--encoder needs audio, which the builtin sentences do not have. Give --corpus demo.")
        return builtin_alignments(options.n_clips), {"improvement": options.improvement}
    from analysis.alignment import make_aligner, named_options
    from analysis.corpus import open_corpus

    utterances = {one.id: one for one in open_corpus(options.corpus).utterances[: options.n_clips]}
    found = []
    for result in make_aligner(options.aligner, **named_options(options.aligner_option)).align(list(utterances.values())):
        if isinstance(result, Failure):
            print(f"left out: {result.item}: {result.reason}", file=sys.stderr)
        else:
            found.append(result)
    if not options.encoder:
        return found, {"improvement": options.improvement}
    from analysis.encoders import load_encoder
    from analysis.face.audio_driven import audio_predictor
    from analysis.wav2sem import load_semantics

    predictors = audio_predictor(utterances, load_encoder(options.encoder), load_semantics(options.semantics))
    return found, {"predictors": predictors, "module": "Wav2Sem" if options.semantics == "wav2sem" else options.semantics}


def _synthesize(options: argparse.Namespace) -> int:
    import shlex

    from analysis.face.synthetic import synthesize

    alignments, how = _speech(options)
    made = synthesize(options.out, alignments, dataset=options.dataset, seed=options.seed, **how)
    print(f"{len(made.clips)} clips and {len(made.runs)} runs in {made.folder}. Measure them with:")
    print(f"python -m analysis.face {shlex.join(made.arguments)}")
    return 0


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="from audio to the table: both data sets synthesised, all six frameworks with and without, joined",
        description="Synthesise both data sets, measure all six frameworks with and without the module, and join the two "
        "tables. The numbers say nothing about the frameworks.",
    )
    parser.set_defaults(command=_demo)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    _add_speech(parser, corpus="demo")
    parser.set_defaults(encoder="bundled")


def _demo(options: argparse.Namespace) -> int:
    from analysis.face.synthetic import synthesize

    if options.corpus == "builtin":
        options.encoder = None
    alignments, how = _speech(options)
    tables = []
    for dataset in ("vocaset", "biwi"):
        made = synthesize(options.out / dataset, alignments, dataset=dataset, seed=options.seed, **how)
        tables.append(options.out / f"{dataset}.json")
        outputs = [
            "--json",
            str(tables[-1]),
            "--figures",
            str(options.out / dataset / "figures"),
            "--faces",
            str(made.folder / "faces.npy"),
        ]
        print(f"== {dataset}, synthetic ==")
        code = main([*made.arguments, *outputs])
        if code:
            return code
        print()
    pairs = _demo_films(options)
    print("== both ==")
    written = [
        f"--{kind}={options.out / f'table.{ending}'}"
        for kind, ending in (("markdown", "md"), ("latex", "tex"), ("csv", "csv"), ("json", "json"))
    ]
    code = main(["join", *map(str, tables), *written])
    return code or main(["study", "make", "--pairs", str(pairs), "--out", str(options.out / "study")])


def _demo_films(options: argparse.Namespace, n_clips: int = 2) -> Path:
    """Films of a few clips, truth beside FaceFormer without and with, and a table of pairs for a study; returns the table.

    They are mp4 with the clips' sound where ffmpeg is there, and gif otherwise.
    """
    import csv

    from analysis.corpus.audio import write_part
    from analysis.face.figures import read_faces
    from analysis.face.render import Panel, can_write_mp4, frame_pictures, write_animation
    from analysis.face.sequences import open_array

    sounds = {}
    if options.corpus != "builtin":
        from analysis.corpus import open_corpus

        sounds = {one.id: one for one in open_corpus(options.corpus).utterances}
    films = options.out / "films"
    rows = []
    for dataset, rate in (("vocaset", 30), ("biwi", 25)):
        folder = options.out / dataset
        faces = read_faces(folder / "faces.npy")
        with (folder / "clips.csv").open(newline="", encoding="utf-8") as stream:
            clips = list(csv.DictReader(stream))[:n_clips]
        runs = sorted(path for path in (folder / "predictions").iterdir() if path.name.partition("+")[0] == "FaceFormer")
        for clip in clips:
            name, spoken = clip["clip"], sounds.get(clip["utterance"])
            truth = open_array(folder / "vertices_npy" / f"{name}.npy")
            panels = [Panel(truth.reshape(len(truth), -1, 3)[:: 2 if dataset == "vocaset" else 1], "truth")]
            for run in runs:
                array = open_array(next(iter(sorted(run.glob(f"{name}_condition_*.npy")))))
                panels.append(Panel(array.reshape(len(array), -1, 3), run.name))
            ending = "mp4" if can_write_mp4() else "gif"
            sound = None
            if spoken and ending == "mp4":
                films.mkdir(parents=True, exist_ok=True)
                sound = write_part(spoken, films / f"{dataset}_{name}.wav") if spoken.is_part else spoken.audio
            groups = [panels, *([panel] for panel in panels[1:])]
            made = []
            for number, group in enumerate(groups):
                path = films / f"{dataset}_{name}{'' if number == 0 else f'_{number}'}.{ending}"
                shown = group if number == 0 else [Panel(group[0].vertices)]  # a study names no method
                n_frames = min(len(panel.vertices) for panel in shown)
                made.append(write_animation(frame_pictures(shown, faces=faces), path, fps=rate, n_frames=n_frames, audio=sound))
            rows.append(
                [f"{dataset} {name}", panels[1].title, made[1].resolve(), panels[2].title, made[2].resolve(), clip["words"]]
            )
            print(f"film: {made[0]}")
    pairs = films / "pairs.csv"
    with pairs.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["item", "method_a", "media_a", "method_b", "media_b", "text"])
        writer.writerows(rows)
    return pairs


def _add_render(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "render",
        help="draw sequences side by side as mp4 with sound, or as gif",
        description="Draw sequences of vertices from the front, side by side, for a study or a look.",
        epilog="""example:
  python -m analysis.face render truth/F2_e37.npy without.npy with.npy F2_e37.mp4 --faces BIWI.ply --audio F2_e37.wav \\
      --title truth --title FaceFormer --title "FaceFormer+Wav2Sem" --close-up BIWI/regions/lve.txt

mp4 needs ffmpeg with an H.264 encoder on the PATH; gif needs nothing.
"""
        + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_render)
    parser.add_argument(
        "sequences",
        nargs="+",
        type=Path,
        metavar="CLIP.npy",
        help="vertices of shape (frames, vertices * 3) or (frames, vertices, 3); several stand side by side",
    )
    parser.add_argument("out", type=Path, metavar="OUT.mp4", help="or OUT.gif")
    parser.add_argument("--dataset", metavar="NAME", help="vocaset, biwi or FILE.yaml, for the rate on disk")
    parser.add_argument("--fps", type=_whole(1), metavar="N", help="frames a second (that of --dataset, otherwise 25)")
    parser.add_argument(
        "--faces", type=Path, metavar="FILE", help="triangles: .obj, .ply or .npy of shape (n, 3); points without"
    )
    parser.add_argument("--title", action="append", default=[], metavar="TEXT", help="of each sequence, in their order")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="sound that begins with the first frame (mp4)")
    parser.add_argument("--close-up", metavar="REGION", help="look at these vertices only, such as lve.txt")
    parser.add_argument("--truth", type=Path, metavar="CLIP.npy", help="colour every vertex by its distance from this sequence")
    parser.add_argument("--size", type=_whole(16), default=240, metavar="PIXELS", help="side of each picture (240)")


def _render(options: argparse.Namespace) -> int:
    from analysis.face.datasets import find_dataset
    from analysis.face.figures import read_faces
    from analysis.face.metrics import vertex_errors
    from analysis.face.regions import read_region
    from analysis.face.render import Panel, frame_pictures, write_animation
    from analysis.face.sequences import as_sequence, open_array

    def opened(path: Path) -> np.ndarray:
        array = open_array(path)
        width = array.shape[-1] if array.ndim else 0
        n_vertices = array.shape[-2] if array.ndim > 2 and width == 3 else width // 3
        return as_sequence(array, n_vertices, str(path))

    if options.title and len(options.title) != len(options.sequences):
        raise ConfigurationError(
            f"There are {len(options.sequences)} sequences and {len(options.title)} titles. Give one --title for each, or none."
        )
    if options.truth and not options.faces:
        raise ConfigurationError("--truth colours a surface. Give its triangles with --faces.")
    truth = opened(options.truth) if options.truth else None
    panels = []
    for number, path in enumerate(options.sequences):
        vertices = opened(path)
        if truth is not None and truth.shape[1] != vertices.shape[1]:
            raise FaceError(
                f"{path} has {vertices.shape[1]} vertices and the truth {truth.shape[1]}. Give sequences of one mesh."
            )
        heat = None if truth is None else vertex_errors(vertices, truth)
        vertices = vertices if heat is None else vertices[: len(heat)]
        panels.append(Panel(vertices, options.title[number] if options.title else "", heat))
    fps = options.fps or (find_dataset(options.dataset).truth_fps if options.dataset else 25)
    pictures = frame_pictures(
        panels,
        faces=read_faces(options.faces) if options.faces else None,
        size=options.size,
        close_up=read_region(options.close_up).indices if options.close_up else None,
    )
    n_frames = min(len(panel.vertices) for panel in panels)
    print(write_animation(pictures, options.out, fps=fps, n_frames=n_frames, audio=options.audio))
    return 0


def _add_study(commands: argparse._SubParsersAction) -> None:
    study = commands.add_parser(
        "study", help="a user study: make its page, analyse its answers", description="Which of two animations do people prefer?"
    )
    actions = study.add_subparsers(required=True, metavar="ACTION")
    make = actions.add_parser(
        "make",
        help="write a static page that asks for A/B preferences",
        description="Write OUT/page (for the raters: open index.html, or put it on any web server) and OUT/key.json (for you).",
    )
    make.set_defaults(command=_study_make)
    make.add_argument(
        "--pairs",
        required=True,
        type=Path,
        metavar="FILE",
        help="a .csv: item, method_a, media_a, method_b, media_b[, text, audio]",
    )
    make.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the page and its key")
    make.add_argument("--title", default="Which face speaks better?", help="heading of the page (default: %(default)s)")
    make.add_argument(
        "--question",
        default="In which animation do the lips fit the speech better?",
        help="asked for each pair (default: %(default)s)",
    )
    make.add_argument(
        "--attention-checks",
        type=_whole(0),
        default=2,
        metavar="N",
        help="pairs whose answer is known, to find raters who do not look (default: 2)",
    )
    make.add_argument("--seed", type=seed, default=0, help="seed of every random draw (default: 0)")
    analyse = actions.add_parser(
        "analyse",
        help="preference, intervals, agreement and a per-item table",
        description="Analyse the files that raters saved. Raters who miss attention checks are left out and named.",
    )
    analyse.set_defaults(command=_study_analyse)
    analyse.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS.json", help="files that raters saved")
    analyse.add_argument(
        "--key", type=Path, metavar="FILE", help="key.json; looked for beside the answers and above them when not given"
    )
    analyse.add_argument("--reference", metavar="METHOD", help="whose share to report (default: the one with a + in its name)")
    analyse.add_argument("--allowed-misses", type=_whole(0), default=0, metavar="N", help="attention checks a rater may miss (0)")
    analyse.add_argument("--json", type=Path, metavar="OUT", help="write everything at full precision")
    analyse.add_argument("--seed", type=seed, default=0, help="seed of every random draw (default: 0)")


def _study_make(options: argparse.Namespace) -> int:
    from analysis.face.study import make_study, read_items

    made = make_study(
        read_items(options.pairs),
        options.out,
        title=options.title,
        question=options.question,
        attention_checks=options.attention_checks,
        seed=options.seed,
    )
    print(f"page for the raters: {made['page']}\nkey, which stays with you: {made['key']}")
    return 0


def _study_analyse(options: argparse.Namespace) -> int:
    from analysis.face.study import analyse, read_answers

    key = options.key
    if key is None:
        folder = options.answers[0].resolve().parent
        key = next(
            (place / "key.json" for place in (folder, *folder.parents[:2]) if (place / "key.json").is_file()), folder / "key.json"
        )
    answers, excluded = read_answers(options.answers, key, allowed_misses=options.allowed_misses)
    result = analyse(answers, reference=options.reference, excluded=excluded, seed=options.seed)
    print(result.to_text())
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(result.to_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
