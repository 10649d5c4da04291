"""Pages that no person writes: commands from their parsers, the Python reference from docstrings, notebooks as they are.

A hook of MkDocs. What is missing (a public name without a docstring, an option without help) is a warning, and the build is
strict, so it fails.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import logging
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("corpus", "alignment", "phonology", "encoders", "embeddings", "wav2sem", "separation", "report", "face")
COMMANDS = ("decouple", "corpus", "alignment", "phonology", "embeddings", "wav2sem", "report", "face")
#: Values that parsers print for "not given".
_EMPTY = (None, argparse.SUPPRESS, [], {}, "")

log = logging.getLogger("mkdocs.hooks.pages")


def parsers(command: str) -> dict[str, argparse.ArgumentParser]:
    """The parser of each thing that ``python -m analysis.COMMAND`` does, by what follows the command."""
    module = import_module("analysis.decouple" if command == "decouple" else f"analysis.{command}.__main__")
    tops = module.parsers() if hasattr(module, "parsers") else {"": module.parser()}
    return {name: parser for top, first in tops.items() for name, parser in _with_subcommands(top, first)}


def _with_subcommands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub, chosen in action.choices.items():
                yield from _with_subcommands(f"{name} {sub}".strip(), chosen)


def command_page(command: str) -> tuple[str, list[str]]:
    """The page of a command in Markdown, and the options that have no help."""
    lines, silent = [f"# analysis.{command}", ""], []
    for name, parser in parsers(command).items():
        title = f"python -m analysis.{command} {name}".strip()
        if name:
            lines += [f"## {name}", ""]
        if parser.description:
            lines += _paragraphs(parser.description)
        if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
            lines += ["| command | what it does |", "| --- | --- |"]
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    lines += [f"| `{choice.dest}` | {_cell(choice.help or '')} |" for choice in action._choices_actions]
            lines.append("")
        for heading, actions in _groups(parser):
            if heading == "Linked arguments":  # jsonargparse's own list of options that follow others
                continue
            rows = [row for action in actions if (row := _row(action, title, silent))]
            if rows:
                lines += [f"**{heading}**", ""] if heading else []
                lines += ["| option | default | what it does |", "| --- | --- | --- |", *rows, ""]
        if parser.epilog:
            lines += _paragraphs(parser.epilog)
    return "\n".join(lines) + "\n", silent


def _groups(parser: argparse.ArgumentParser) -> list[tuple[str, list[argparse.Action]]]:
    """Options under their headings; those of argparse's own two groups come first, under none."""
    usual = [action for group in parser._action_groups[:2] for action in group._group_actions]
    return [("", usual), *((str(group.title).strip(), group._group_actions) for group in parser._action_groups[2:])]


def _row(action: argparse.Action, title: str, silent: list[str]) -> str:
    """One option as a row of its table."""
    if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
        return ""
    names = (
        ", ".join(f"`{name}`" for name in action.option_strings if not name.endswith("+")) or f"`{action.metavar or action.dest}`"
    )
    if "--print_config" in names:
        return ""
    if not action.help:
        silent.append(f"{title} {names}")
    values = action.choices or _literals(getattr(action, "_typehint", None))
    choices = f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""
    switch = isinstance(action, argparse._StoreTrueAction)
    default = (
        "" if switch or any(action.default is empty or action.default == empty for empty in _EMPTY) else _default(action.default)
    )
    if action.required:
        default = "must be given"
    what = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    return f"| {names} | {_cell(default)} | {_cell(what + choices)} |"


def _default(value: Any) -> str:
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, list | tuple) else f"`{value}`"


def _literals(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _cell(text: str) -> str:
    text = re.sub(r":(data|func|class|meth):`~?([^`]*)`", r"`\2`", text).replace("``", "`")
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _paragraphs(text: str) -> list[str]:
    """Text of a parser: sentences as they are, indented commands and lists as code."""
    out: list[str] = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        shown = [line for line in lines if line.startswith("  ")]
        plain = [line for line in lines if not line.startswith("  ")]
        if plain:
            out += [" ".join(plain).replace("<", "&lt;"), ""]
        if shown:
            out += ["```", *(line[2:] for line in shown), "```", ""]
    return out


def public(room: str) -> dict[str, tuple[str, Any]]:
    """Every public name of a room: where it is defined, and what it is."""
    module = import_module("analysis" if room == "analysis" else f"analysis.{room}")
    found = {}
    for name in module.__all__:
        value = getattr(module, name)
        home = getattr(value, "__module__", None) if inspect.isroutine(value) or inspect.isclass(value) else None
        found[name] = (f"{home}.{value.__qualname__}" if home else "", value)
    return found


def api_page(room: str) -> tuple[str, list[str]]:
    """The reference page of a room in Markdown, and the public names that nothing describes."""
    module = import_module("analysis" if room == "analysis" else f"analysis.{room}")
    lines, silent = [f"# {module.__name__}", "", *_docstring(module), ""], []
    comments = _comments(room)
    here: list[str] = []
    constants: list[str] = []
    for name, (path, value) in public(room).items():
        if name.startswith("__"):
            continue
        if inspect.ismodule(value):  # a room that can be called
            lines.append(f"- [`{name}`]({name}.md): {_first_sentence(value)}")
            continue
        if not path:
            if not comments.get(name):
                silent.append(f"{module.__name__}.{name}")
            constants += [f"## {name}", "", comments.get(name, ""), ""]
            continue
        if not (value.__doc__ or "").strip():
            silent.append(f"{module.__name__}.{name}")
        elsewhere = value.__module__.split(".")[1]
        if room == "analysis" and elsewhere in ROOMS and any(path == other for other, _ in public(elsewhere).values()):
            lines.append(f"- [`{name}`]({elsewhere}.md#{path}): {_first_sentence(value)}")
        else:
            here += ["", f"::: {path}", ""]
    return "\n".join([*lines, *here, "", *constants]) + "\n", silent


def _docstring(module: Any) -> list[str]:
    """A module's docstring, whose indented parts (after ``::``) are Python."""
    out: list[str] = []
    for block in inspect.cleandoc(module.__doc__ or "").split("\n\n"):
        if block.startswith("    "):
            code = textwrap.dedent(block).splitlines()
            if out[-2:-1] == ["```"]:  # goes on with the code above
                out[-2:] = ["", *code, "```", ""]
            else:
                out += ["```python", *code, "```", ""]
        else:
            out += [block.replace("::", ":").replace("``", "`"), ""]
    return out


def _first_sentence(value: Any) -> str:
    return " ".join(inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")


def _comments(room: str) -> dict[str, str]:
    """The ``#:`` comments above constants of a room, by name."""
    folder = REPOSITORY / "analysis" / ("" if room == "analysis" else room)
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            for target in targets:
                above, place = [], node.lineno - 2
                while place >= 0 and lines[place].startswith("#:"):
                    above.insert(0, lines[place][2:].strip())
                    place -= 1
                if isinstance(target, ast.Name) and above:
                    found[target.id] = " ".join(above).replace("``", "`").replace(":data:", "").replace(":func:", "")
    return found


def generated() -> Iterator[tuple[str, str, list[str]]]:
    """Path, text and gaps of every page."""
    for command in COMMANDS:
        yield f"reference/commands/{command}.md", *command_page(command)
    for room in ("analysis", *ROOMS):
        yield f"reference/api/{room}.md", *api_page(room)


def on_files(files: Any, config: Any) -> Any:
    """Add what is generated to the files of the site."""
    from mkdocs.structure.files import File

    for path, text, silent in generated():
        for name in silent:
            log.warning("%s has no description", name)
        files.append(File.generated(config, path, content=text))
    for notebook in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        place = f"notebooks/{notebook.name}"
        files.append(File(place, str(REPOSITORY), config["site_dir"], config["use_directory_urls"]))
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (REPOSITORY / f"{name}.md").read_text(encoding="utf-8")
        files.append(File.generated(config, f"{name.lower()}.md", content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings name things with roles of Sphinx, which Markdown does not know."""
    return re.sub(r":(?:func|class|data|meth|mod|attr):\s*<code>~?(?:analysis\.(?:\w+\.)*)?", "<code>", html)


try:
    from mkdocs.plugins import event_priority
except ImportError:  # the tests read the pages without MkDocs
    pass
else:
    on_files = event_priority(100)(on_files)  # before the plugin that turns notebooks into pages
