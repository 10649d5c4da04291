"""``python -m analysis COMMAND``, installed as ``wav2sem-analysis``: every command by its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from analysis.console import exit_code
from analysis.version import __version__

_COMMANDS = {
    "decouple": "the whole line: from a corpus to a report, and the gate on its scores",
    "corpus": "what a corpus holds and what was left out; manifests; the demo corpus",
    "alignment": "words and phones of a corpus as TextGrids; compare and show alignments",
    "phonology": "pronunciations, syllables, near-homophones",
    "embeddings": "one vector per syllable and layer, stored shard by shard",
    "wav2sem": "train, evaluate, convert and use semantic modules; train fusions",
    "report": "draw a report again, or two side by side",
    "face": "LVE, MVE, FDD, the framework table, a user study",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that is named first; alone, list the commands.

    Returns
    -------
    int
        The command's exit code; 2 where there is no such command.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first = arguments[0].removeprefix("analysis.") if arguments else ""
    if first in _COMMANDS:
        module = "analysis.decouple" if first == "decouple" else f"analysis.{first}.__main__"
        return import_module(module).main(arguments[1:])
    return exit_code(lambda: _print_commands(first))


def _print_commands(asked: str) -> int:
    if asked == "--version":
        print(f"wav2sem-analysis {__version__}")
        return 0
    well = asked in ("", "-h", "--help")
    stream = sys.stdout if well else sys.stderr
    if not well:
        near = get_close_matches(asked, _COMMANDS, 1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        print(f"error: there is no command {asked!r}{meant}\n", file=stream)
    print("Near-homophone separation in speech encoders. Each command has a --help:\n", file=stream)
    width = max(map(len, _COMMANDS))
    for name, what in _COMMANDS.items():
        print(f"  python -m analysis.{name:{width}}  {what}", file=stream)
    print(
        "\n`python -m analysis COMMAND` and `wav2sem-analysis COMMAND` are the same; --version prints the version.", file=stream
    )
    return 0 if well else 2


if __name__ == "__main__":
    sys.exit(main())
