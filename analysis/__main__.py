"""``python -m analysis``: the commands there are."""

from __future__ import annotations

import sys

from analysis.console import exit_code

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


def main() -> int:
    """Print the commands; the exit code is 0 when they were asked for, 2 when something else was."""
    return exit_code(_print_commands)


def _print_commands() -> int:
    width = max(map(len, _COMMANDS))
    asked = sys.argv[1:] in ([], ["-h"], ["--help"])
    print("Near-homophone separation in speech encoders. Each command has a --help:\n", file=sys.stdout if asked else sys.stderr)
    for name, what in _COMMANDS.items():
        print(f"  python -m analysis.{name:{width}}  {what}", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
