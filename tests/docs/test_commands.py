"""Commands and Python that people copy from the documentation."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(path for path in (REPOSITORY / "docs").rglob("*.md") if "_build" not in path.parts)]

# Stand for what only a user's machine has.
VARIABLES = {"$SHARD": "--shard 0 --num-shards 16", "$SLURM_ARRAY_TASK_ID": "0"}


def commands(path, language="bash"):
    """Command lines of the fenced blocks of a page, comments left out and continued lines joined."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield line, words


def of_the_toolkit(line):
    """The command and its arguments where the line is ``python -m analysis.COMMAND``, with variables filled in; else None."""
    for name, value in VARIABLES.items():
        line = line.replace(name, value)
    words = shlex.split(line, comments=True)
    if "-m" not in words or not words[words.index("-m") + 1].startswith("analysis."):
        return None
    place = words.index("-m") + 1
    return words[place].removeprefix("analysis."), words[place + 1 :]


def parse(command, arguments):
    """Raise SystemExit or an AnalysisError where the command does not take these arguments."""
    from importlib import import_module

    if command == "decouple":
        import_module("analysis.decouple").parse(arguments)
        return
    module = import_module(f"analysis.{command}.__main__")
    if hasattr(module, "parsers"):
        parsers = module.parsers()
        name = arguments[0] if arguments[0] in parsers else ""
        options = parsers[name].parse_args(arguments[1:] if name else arguments)
    else:
        options = module.parser().parse_args(arguments)
    assert isinstance(options, argparse.Namespace)


def all_commands():
    return [(path.relative_to(REPOSITORY), line) for path in PAGES for line, _ in commands(path) if of_the_toolkit(line)]


@pytest.mark.parametrize("page, line", all_commands(), ids=lambda value: str(value).strip()[:80])
def test_every_command_of_the_documentation_parses(page, line, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    command, arguments = of_the_toolkit(line)
    if "--config" in arguments:  # a file of the reader's
        place = arguments.index("--config")
        arguments[place : place + 2] = []
    if "--print_config" in arguments:
        arguments.remove("--print_config")
    try:
        parse(command, arguments)
    except SystemExit as stop:
        pytest.fail(f"{page}: {line}\n{capsys.readouterr().err}" if stop.code else f"{page}: {line} ends with help")


def test_every_make_target_of_the_documentation_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {target for path in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M)}
    assert {"demo", "test"} <= named <= targets


def test_python_of_the_documentation_compiles_and_its_imports_are_there():
    import ast

    seen = 0
    for path in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.S | re.M):
            tree = ast.parse(block, filename=str(path))
            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), str(path), "exec"), {})
            seen += 1
    assert seen > 5
