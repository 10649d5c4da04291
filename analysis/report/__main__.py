"""``python -m analysis.report``: draw a run's report again from its numbers, or set two runs side by side.

Exit codes: 0 done, 2 the request cannot be met (one message on stderr).
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.console import Parser, exit_code

_VENUES = ("acl", "cvpr", "interspeech", "icassp", "screen")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="python -m analysis.report",
        description="Draw report.html, report.md, tables and figures again from report.json; nothing is computed anew.",
        epilog="Exit codes: 0 done, 2 the request cannot be met.",
    )
    made.add_argument("run", nargs="?", type=Path, metavar="RUN_DIR", help="folder that holds report.json")
    made.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="set two runs side by side instead")
    made.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: RUN_DIR; with --compare: B)")
    made.add_argument("--no-audio", action="store_true", help="leave the recordings' sound out of the page")
    made.add_argument(
        "--audio-budget", type=_megabytes, default=15.0, metavar="MB",
        help="sound up to this size is inside the page, more lies in audio/ beside it (default: %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--venue", choices=_VENUES, default="acl", help="column width and font size of the figures (default: %(default)s)"
    )
    made.add_argument(
        "--formats",
        nargs="*",
        choices=("png", "svg", "pdf"),
        default=["png", "svg", "pdf"],
        help="of the figures; none: no figures",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return exit_code(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    cli = parser()
    asked = cli.parse_args(arguments)
    if (asked.run is None) == (asked.compare is None):
        cli.error("give one RUN_DIR, or --compare A B")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return _written(asked)


def _megabytes(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no size; give megabytes, 0 or more")
    return value


def _written(asked: argparse.Namespace) -> int:
    for path in _compare(asked) if asked.compare else _render(asked):
        print(path)
    return 0


def _render(asked: argparse.Namespace) -> list[Path]:
    from analysis.report.document import Report
    from analysis.report.write import write_report

    report = Report.read(asked.run)
    folder = asked.out or (asked.run if asked.run.is_dir() else asked.run.parent)
    written = write_report(
        report,
        folder,
        audio=not asked.no_audio,
        audio_budget=int(asked.audio_budget * 1e6),
        venue=asked.venue,
        formats=asked.formats,
    )
    return [written["report.html"], written["report.md"]]


def _compare(asked: argparse.Namespace) -> list[Path]:
    from analysis.report.compare import write_comparison
    from analysis.report.document import Report

    first, second = (Report.read(path) for path in asked.compare)
    folder = asked.out or (asked.compare[1] if asked.compare[1].is_dir() else asked.compare[1].parent)
    before, after = map(str, asked.compare)
    return list(write_comparison(first, second, folder, names=(before, after)).values())


if __name__ == "__main__":
    sys.exit(main())
