"""JSON and YAML that may have been edited, cut off, or written by something else: one error that names file, place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError, StoreError

if TYPE_CHECKING:
    import yaml

__all__ = ["parse_json", "read_json", "read_utf8", "read_yaml"]

# Settings lie two levels deep. PyYAML's parser in C ends the process at some ten thousand.
_MOST_LEVELS = 50

_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_json(path: Path, remedy: str, error: type[AnalysisError] = StoreError) -> Any:
    """What a JSON file holds; a byte-order mark of UTF-8 is passed over.

    Parameters
    ----------
    path : Path
    remedy : str
        The last sentence of every error: what to do about a file that cannot be used.
    error : type
        Class of the error.

    Raises
    ------
    AnalysisError
        Of that class, if the file is no UTF-8, no JSON or nested too deeply.
    OSError
        If it cannot be opened.
    """
    return parse_json(read_utf8(path, remedy, error), str(path), remedy, error)


def read_utf8(path: Path, remedy: str, error: type[AnalysisError] = StoreError) -> str:
    """The text of a file, less a byte-order mark; parameters and errors as :func:`read_json`."""
    raw = Path(path).read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as found:
        likely = _MARKS.get(raw[:2], "another encoding, such as Latin-1")
        raise error(
            f"{path} is not UTF-8: byte {found.start + 1} is 0x{raw[found.start]:02x} (is it {likely}?). Save it as UTF-8. {remedy}"
        ) from None


def parse_json(text: str, source: str, remedy: str, error: type[AnalysisError] = StoreError) -> Any:
    """What a text holds; ``source`` names it in errors, otherwise as :func:`read_json`."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as found:
        raise error(f"{source} is no JSON: line {found.lineno}, column {found.colno}: {found.msg}. {remedy}") from None
    except RecursionError:
        raise error(f"{source} is nested too deeply to be read: nothing that this toolkit writes is. {remedy}") from None
    except ValueError as found:  # a number of thousands of digits
        raise error(f"{source} cannot be read ({str(found).splitlines()[0]}). {remedy}") from None


def read_yaml(path: Path, remedy: str, error: type[AnalysisError] = StoreError) -> tuple[dict[str, Any], dict[str, int]]:
    """What a YAML file of names and values holds; parameters and errors as :func:`read_json`.

    Returns
    -------
    values : dict
        By name; plain data only, no tag is followed. Empty where the file is.
    lines : dict of str to int
        In which line each name stands, from 1; the names inside a value are ``outer.inner``.

    Notes
    -----
    Names that stand twice and references (``*name``) are errors: of two values YAML keeps one without a word, and references
    make a small file as large as they like.
    """
    import yaml

    text = read_utf8(path, remedy, error)
    lines: dict[str, int] = {}

    def wrong(line: int, what: str) -> AnalysisError:
        return error(f"{path}, line {line}: {what} {remedy}")

    def note(node: yaml.Node, outer: str) -> None:
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(None, one) for one in node.value]
        for name, value in pairs if not isinstance(node, yaml.ScalarNode) else ():
            inner = outer
            if name is not None:
                inner = f"{outer}.{name.value}" if outer else str(name.value)
                if not isinstance(name, yaml.ScalarNode):
                    raise wrong(name.start_mark.line + 1, "a name is expected before the colon.")
                if (
                    isinstance(node, yaml.MappingNode)
                    and lines.setdefault(inner, name.start_mark.line + 1) != name.start_mark.line + 1
                ):
                    raise wrong(name.start_mark.line + 1, f"{inner} stands in line {lines[inner]} already.")
            note(value, inner)

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_LEVELS:
                raise wrong(event.start_mark.line + 1, f"it is nested more than {_MOST_LEVELS} levels deep.")
            if isinstance(event, yaml.AliasEvent):
                raise wrong(event.start_mark.line + 1, f"*{event.anchor} is a reference. Write the value itself.")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}, {}
            if not isinstance(node, yaml.MappingNode):
                raise wrong(node.start_mark.line + 1, "lines of NAME: VALUE are expected.")
            note(node, "")
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as found:
        mark = found.problem_mark or found.context_mark
        problem = " ".join(part for part in (found.context, found.problem) if part)
        raise wrong(mark.line + 1 if mark else 1, f"it is no YAML ({problem}).") from None
    except yaml.reader.ReaderError as found:
        line = text.count("\n", 0, found.position) + 1
        raise wrong(line, f"it is no YAML (the character {chr(found.character)!a} may not stand in it).") from None
    except ValueError as found:  # a date of the 31st of February, a number of thousands of digits
        raise error(f"{path} cannot be read ({str(found).splitlines()[0]}). {remedy}") from None
