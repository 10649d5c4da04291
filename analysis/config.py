"""Where the toolkit keeps what it can make again, how content is named by its hash, and settings from what people write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from analysis.errors import ConfigurationError

__all__ = ["cache_folder", "check_kinds", "content_hash", "in_words", "no_such_setting", "settings_from"]

_Settings = TypeVar("_Settings")
_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", NoneType: "None"}


def cache_folder(*parts: str) -> Path:
    """A folder for what can be made again: the demo corpus, alignments, embeddings, text vectors.

    ``ANALYSIS_CACHE`` names another place than the user's cache folder. The folder is made when missing.
    """
    import platformdirs

    root = os.environ.get("ANALYSIS_CACHE") or platformdirs.user_cache_dir("wav2sem-analysis")
    folder = Path(root).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_hash(value: Any) -> str:
    """First 16 hexadecimal digits of the sha256 of ``value`` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def no_such_setting(name: str, kind: type, argument: str = "") -> ConfigurationError:
    """The error for a name that is no field of the settings ``kind``; it proposes the nearest."""
    names = [item.name for item in fields(kind)]
    near = get_close_matches(name, names, 1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    of = f"{argument}: there" if argument else "There"
    return ConfigurationError(f"{of} is no setting {name!r}{meant} The settings: {', '.join(names)}.")


def settings_from(kind: type[_Settings], values: Any, argument: str) -> _Settings:
    """Settings of the class ``kind`` from a mapping of some of them; lists become tuples.

    Raises
    ------
    ConfigurationError
        If it is no mapping, a name is unknown, or a value is; the message names ``argument``.
    """
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{argument} takes a dict of settings or {kind.__name__}(...), not a {type(values).__name__}.")
    names = {item.name for item in fields(cast(Any, kind))}
    for name in values:
        if name not in names:
            raise no_such_setting(str(name), kind, argument)
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def check_kinds(settings: Any, prefix: str = "") -> None:
    """Raise for the first field of a dataclass whose value is of another kind than its annotation.

    Raises
    ------
    ConfigurationError
        It names the field, what it takes, and the value.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if not _fits(value, hint):
            alone = f"; write ({value!r},)" if isinstance(value, str) and get_origin(hint) in (tuple, list) else ""
            raise ConfigurationError(f"{prefix}{name} takes {in_words(hint)}, not {value!r}{alone}.")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin in (tuple, list):
        return isinstance(value, tuple | list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if origin is dict:
        return isinstance(value, Mapping)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str, NoneType) else True


def in_words(hint: Any) -> str:
    """What a setting of that annotation takes, as errors say it."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(in_words(one) for one in get_args(hint))
    if origin in (tuple, list):
        return f"a sequence of {_KINDS[get_args(hint)[0]].removeprefix('a ')}s"
    if origin is Literal:
        return ", ".join(map(str, get_args(hint)))
    return "a dict" if origin is dict else _KINDS.get(hint, str(hint))
