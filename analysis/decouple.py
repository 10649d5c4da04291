"""`python -m analysis.decouple`: from speech to a report on near-homophone separation, and the gate on its scores.

Exit codes: 0 done (and no regression), 1 a score fell below its baseline, 2 the request cannot be met, 3 the report and the
baseline are not comparable, 70 an error that nobody foresaw (the message names the log that keeps its traceback).
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from analysis.config import in_words
from analysis.console import exit_code
from analysis.documents import read_yaml
from analysis.errors import ConfigurationError
from analysis.separation.settings import SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings

if TYPE_CHECKING:
    import pandas as pd
    from jsonargparse import ArgumentParser

    from analysis.report.document import Report

__all__ = ["main", "parse", "parser"]

# Failures named on the console, those that lost something first.
_FAILURES_SHOWN = 6

_PRESETS = Path(__file__).parent / "presets"

# Settings of the run that are its scores' too.
_LINKED = ("seed", "share", "scale", "fusion")

_DESCRIPTION = """
Align speech, embed every syllable with speech encoders with and without Wav2Sem, and report whether near-homophones lie
further apart, net of what noise does. Without arguments: the demo corpus, which is made on first use.
"""

_EPILOGUE = """
examples:
  python -m analysis.decouple
  python -m analysis.decouple --corpus /data/LibriSpeech/dev-clean --encoder facebook/hubert-base-ls960 --encoder mfcc
  python -m analysis.decouple --corpus speech/ --alignments textgrids/ --unit word --out reports/mine
  python -m analysis.decouple --config mine.yaml --check reports/baseline/demo.json

exit codes: 0 done and no regression, 1 regression, 2 the request cannot be met, 3 not comparable with the baseline,
70 an error that nobody foresaw: the message names the log that keeps its traceback
"""


def parser() -> ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Types and defaults as jsonargparse shows them, the examples as they are written."""

    parser = ArgumentParser(
        prog="python -m analysis.decouple",
        usage="python -m analysis.decouple [--corpus CORPUS] [--encoder ENCODER ...] [--config FILE.yaml] [settings below]",
        description=_DESCRIPTION.strip(),
        epilog=_EPILOGUE.strip(),
        formatter_class=Formatter,
    )
    parser.add_class_arguments(DecoupleConfig)
    for name in _LINKED:  # one value a run: given for the separation alone it is refused, not passed over
        parser.link_arguments(name, f"separation.{name}")
    parser.link_arguments("fusion_weights", "separation.fusion_weights", compute_fn=lambda folder: folder or "")
    parser.add_argument("--config", action="config", help="YAML file with any of these settings; flags after it win.")
    parser.add_argument("--preset", default=None, help=f"A YAML file that comes with the toolkit: {', '.join(preset_names())}.")
    gate = parser.add_argument_group("The gate")
    gate.add_argument("--check", metavar="BASELINE.json", default=None, help="Compare the scores with this baseline.")
    gate.add_argument(
        "--accept-baseline", metavar="BASELINE.json", default=None, help="Write the scores of this run as the baseline."
    )
    gate.add_argument(
        "--accept", metavar="ROW", type=list[str], default=[], help="With --check: accept this failing row (repeatable) ..."
    )
    gate.add_argument("--reason", default=None, help="... for this reason, which the baseline keeps.")
    return parser


def preset_names() -> list[str]:
    """Names that ``--preset`` takes."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


# Flags that may be given several times on a command line; YAML has lists for that.
_REPEATABLE = ("encoder", "accept")
_FIELDS = tuple(item.name for item in dataclasses.fields(DecoupleConfig))
# Settings of several names, which may be written l2,cosine as well as [l2, cosine].
_SEQUENCES = tuple(
    f"separation.{item.name}" for item in dataclasses.fields(SeparationSettings) if str(item.type).startswith("tuple")
)
_SWITCHES = tuple(item.name for item in dataclasses.fields(DecoupleConfig) if item.type in ("bool", bool))
# Each option under its name with underscores.
_SPELLINGS = {name: name for name in _FIELDS}
_SPELLINGS |= {f"separation.{item.name}": f"separation.{item.name}" for item in dataclasses.fields(SeparationSettings)}
_SPELLINGS |= {f"projection.{item.name}": f"projection.{item.name}" for item in dataclasses.fields(ProjectionSettings)}
_SPELLINGS |= {name.replace("-", "_"): name for name in ("check", "accept-baseline", "accept", "reason")}


def _normalised(arguments: Sequence[str]) -> list[str]:
    """Arguments as the parser takes them: repeated flags as one list, switches without a value as true, presets as files."""
    lists: dict[str, list[str]] = {name: [] for name in _REPEATABLE}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--"):  # --min-tokens is --min_tokens, --accept_baseline is --accept-baseline
            name = _SPELLINGS.get(name.replace("-", "_"), name)
            argument = f"--{name}{equals}{value}"
        if not argument.startswith("--"):
            rest.append(argument)
        elif name in lists:
            if not equals and (not waiting or waiting[0].startswith("--")):
                raise ConfigurationError(f"--{name} needs a value.")
            value = value if equals else waiting.pop(0)
            lists[name].extend(json.loads(value) if value.startswith("[") else [value])
        elif name in _SEQUENCES and (equals or waiting):
            value = value if equals else waiting.pop(0)
            rest.append(f"--{name}={value if value.startswith('[') else json.dumps([part for part in value.split(',') if part])}")
        elif name in _SWITCHES and not equals and (not waiting or waiting[0].lower() not in ("true", "false")):
            rest.append(f"--{name}=true")
        elif name == "preset":
            chosen = value if equals else (waiting.pop(0) if waiting else "")
            if chosen not in preset_names():
                raise ConfigurationError(f"There is no preset {chosen!r}. Presets: {', '.join(preset_names())}.")
            rest.insert(0, f"--config={_PRESETS / f'{chosen}.yaml'}")
        else:
            rest.append(argument)
    return rest + [f"--{name}={json.dumps(values)}" for name, values in lists.items() if values]


#: Settings that lie one level deeper in a file.
_GROUPS = {"separation": SeparationSettings, "projection": ProjectionSettings}
_OF_THE_GATE = ("check", "accept_baseline", "accept", "reason")
_FILE_REMEDY = "`python -m analysis.decouple --help` lists the settings and what they take."


def _check_files(arguments: Sequence[str]) -> None:
    """Raise for the first fault of a settings file that the arguments name, before the parser reads it.

    The parser names neither file nor line, passes over a group that is no mapping, and dies of deep nesting.
    """
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or flag not in ("config", *_GROUPS):
            continue
        value = value if equals else "".join(arguments[place + 1 : place + 2])
        path = Path(value)
        if value.lstrip().startswith("{") or "\n" in value:  # settings on the command line, as the parser takes them
            continue
        if not path.is_file():
            raise ConfigurationError(f"There is no file {value} for --{flag}. Give a YAML file with settings.")
        values, lines = read_yaml(path, _FILE_REMEDY, ConfigurationError)
        if not values:
            raise ConfigurationError(f"{path} holds no setting. Write one a line, as NAME: VALUE. {_FILE_REMEDY}")
        _check_values(path, values if flag == "config" else {flag: values}, lines, flag)


def _check_values(path: Path, values: Mapping[str, Any], lines: Mapping[str, int], flag: str) -> None:
    from argparse import ArgumentError

    reader = parser()
    reader.exit_on_error = False

    def wrong(name: str, what: str) -> ConfigurationError:
        line = lines.get(name if flag == "config" else name.partition(".")[2], 1)
        return ConfigurationError(f"{path}, line {line}: {what} {_FILE_REMEDY}")

    def check(name: str, value: Any, kind: type, known: Sequence[str], content: dict[str, Any]) -> None:
        outer, _, own = name.rpartition(".")
        if own not in known:
            near = get_close_matches(own.replace("-", "_"), known, 1)
            raise wrong(name, f"there is no setting {name}{f'; did you mean {near[0]}?' if near else '.'}")
        if outer == "separation" and own in (*_LINKED, "fusion_weights"):
            raise wrong(name, f"{name} follows {own}, which stands outside {outer}. Set that.")
        try:
            reader.parse_object(content)
        except (ArgumentError, AssertionError):
            hint = get_type_hints(kind).get(own, str)
            takes = in_words(hint)
            for python, yaml in (("True or False", "true or false"), ("None", "null"), ("a dict", "names with values")):
                takes = takes.replace(python, yaml)
            raise wrong(name, f"{name} takes {takes}, not {_as_written(value)}.{_written_right(value, hint)}") from None

    for name, value in values.items():
        if name not in _GROUPS:
            check(str(name), value, DecoupleConfig, (*_FIELDS, *_OF_THE_GATE), {name: value})
        elif isinstance(value, dict):
            kind = _GROUPS[name]
            for inner, one in value.items():
                names = [item.name for item in dataclasses.fields(kind)]
                check(f"{name}.{inner}", one, kind, names, {name: {inner: one}})
        else:
            raise wrong(name, f"{name} takes lines of NAME: VALUE below it, not {_as_written(value)}.")


def _as_written(value: Any) -> str:
    """A value as YAML has it, cut where it is long."""
    text = str(value) if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _written_right(value: Any, hint: Any) -> str:
    """How to write a value of the wrong kind, where that is plain."""
    if get_origin(hint) in (list, tuple) and isinstance(value, str):
        return f" Write [{value}]."
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if str in kinds and isinstance(value, bool | int | float | datetime.date):
        return f' Write "{_as_written(value).strip(chr(34))}", with quotation marks.'
    return ""


def parse(arguments: Sequence[str]) -> tuple[DecoupleConfig, Any]:
    """The configuration that a command line means, and the gate's options.

    Raises
    ------
    ConfigurationError
        If a setting is out of range, or a file of settings has a fault, with its line. Unknown flags and malformed values end the process with exit code 2, as argparse does.
    """
    reader = parser()
    arguments = _normalised(arguments)
    _check_files(arguments)
    options = reader.parse_args(arguments)
    names = [item.name for item in dataclasses.fields(DecoupleConfig)]
    instance = reader.instantiate(options)
    return DecoupleConfig(**{name: instance[name] for name in names}), instance


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 1, 2 or 3 as the module says."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _run(arguments), interrupted="interrupted; finished work is kept and not redone next time")


def _run(arguments: Sequence[str]) -> int:
    config, options = parse(arguments)
    _check_gate(options)
    from analysis.pipeline import output_folder, run

    with _logged_to_stderr():
        report = run(config)
    folder = output_folder(config, report.corpus["name"])
    print(_console(report, folder))
    return _gate(report, options)


def _console(report: Report, folder: Path) -> str:
    """The headline table and where everything lies."""
    lines = ["", report.title, ""]
    level = 100 * report.configuration["separation"]["ci_level"]
    for encoder, layer in report.figures["headline"]["layers"].items():
        named = report.layer_name(encoder, layer)
        lines += [f"{encoder}, layer {named} (the last stored), near-homophones, raw vectors, macro average", ""]
        lines += _headline_lines(report.separation.query("encoder == @encoder and layer == @layer"), level)
        lines.append("")
    headline = report.figures["headline"]["layers"]
    for verdict in report.verdicts:
        if headline.get(verdict["encoder"]) != verdict["layer"]:
            continue
        named = report.layer_name(verdict["encoder"], verdict["layer"])
        lines.append(f"{verdict['encoder']}, layer {named}: {verdict['text']}")
    if not report.verdicts:
        from analysis.report.summary import without_verdict

        lines.append(without_verdict(report))
    failures = report.failures
    lost = int((failures["severity"] == "error").sum()) if len(failures) else 0
    if len(failures):
        warnings = len(failures) - lost
        lines += ["", f"{lost} left out, {warnings} warning{'s' * (warnings != 1)}; the first of them (all are in the report):"]
        first = failures.sort_values("severity", key=lambda column: column != "error", kind="stable").head(_FAILURES_SHOWN)
        lines += [f"  {row.stage}: {row.item}: {row.reason}" for row in first.itertuples()]
    lines += [
        "",
        f"report: {folder / 'report.html'}",
        f"        {folder / 'report.json'}, report.md, separation.csv, syllables.parquet",
    ]
    return "\n".join(lines)


#: Splits on the console, where they were scored.
_SPLITS_SHOWN = ("same_utterance", "same_text", "different_text")


def _headline_lines(rows: pd.DataFrame, level: float) -> list[str]:
    """Mean distance without and with, the gain, the null's gain and the net, per distance and split."""
    rows = rows.query("relation == 'near_homophone' and vectors == 'raw' and average == 'macro'")
    variants = [name for name in ("wav2sem", "oracle") if (rows["variant"] == name).any()]
    widths = (10, 20, 9)
    head = f"{'distance':<{widths[0]}}{'split':<{widths[1]}}{'variant':<{widths[2]}}"
    net = f"net [{level:.3g} % interval]"
    lines = [head + f"{'without':>11}{'with':>11}{'gain':>11}{'null gain':>11}{net:>34}{'p':>9}"]
    for distance in rows["distance"].unique():
        for split in [name for name in _SPLITS_SHOWN if (rows["split"] == name).any()] or rows["split"].unique()[:1]:
            for variant in variants:
                values = _headline_values(rows[(rows["distance"] == distance) & (rows["split"] == split)], variant)
                if values is None:
                    continue
                place = f"{distance:<{widths[0]}}{split:<{widths[1]}}{variant:<{widths[2]}}"
                numbers = "".join(f"{values[name]:>11.4g}" for name in ("without", "with", "gain", "null gain"))
                known = values["low"] == values["low"]  # a corpus can be too small for an interval: NaN
                interval = f"{values['net']:.4g} " + (
                    f"[{values['low']:.4g}, {values['high']:.4g}]" if known else "[no interval]"
                )
                lines.append(place + numbers + f"{interval:>34}{values['p']:>9.3g}")
    return lines


def _headline_values(rows: pd.DataFrame, variant: str) -> dict[str, float] | None:
    def one(**where: str) -> pd.Series | None:
        found = rows
        for column, value in where.items():
            found = found[found[column] == value]
        return None if found.empty else found.iloc[0]

    without = one(variant="without", statistic="mean_distance")
    fused = one(variant=variant, statistic="mean_distance")
    gain = one(variant=variant, statistic="gain")
    null = one(variant="null:shuffled", statistic="gain", null=variant)
    net = one(variant=variant, statistic="net", null="shuffled")
    if without is None or fused is None or gain is None:
        return None
    nan = float("nan")
    return {
        "without": without["estimate"],
        "with": fused["estimate"],
        "gain": gain["estimate"],
        "null gain": nan if null is None else null["estimate"],
        "net": nan if net is None else net["estimate"],
        "low": nan if net is None else net["ci_low"],
        "high": nan if net is None else net["ci_high"],
        "p": nan if net is None else net["p_value"],
    }


def _check_gate(options: Any) -> None:
    """Raise for what the gate will not be able to do, before anything is analysed."""
    if options.accept and not options.check:
        raise ConfigurationError("--accept ROW needs --check BASELINE.json: which baseline shall accept it?")
    if options.accept and not (options.reason or "").strip():
        raise ConfigurationError("--accept ROW needs --reason TEXT: why is the lower score right?")
    if options.check and options.accept_baseline:
        raise ConfigurationError("--check compares with a baseline and --accept-baseline writes one: give one of the two.")
    if options.check:
        from analysis.regression import read_baseline

        read_baseline(Path(options.check))


def _gate(report: Report, options: Any) -> int:
    """Compare with a baseline, or write one, as the options ask; the exit code."""
    if not (options.check or options.accept_baseline):
        return 0
    from analysis.regression import accept_row, compare, read_baseline, write_baseline

    if options.accept_baseline:
        write_baseline(report, Path(options.accept_baseline))
        print(f"baseline: {options.accept_baseline}")
        return 0
    path = Path(options.check)
    for row in options.accept:
        accept_row(path, report, row, reason=options.reason)
    comparison = compare(report, read_baseline(path))
    print(comparison)
    return comparison.exit_code


@contextmanager
def _logged_to_stderr() -> Iterator[None]:
    """The stages of a run on the console, for the time of the run."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("analysis")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
