"""What other packages add: encoders and aligners that they announce as entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from analysis.errors import ConfigurationError

__all__ = ["ALIGNERS", "ENCODERS", "extension_names", "load_extension"]

#: Group of entry points that are callables ``(target, *, device, **options) -> Encoder``.
ENCODERS = "analysis.encoders"

#: Group of entry points that are callables ``(**options) -> Aligner``.
ALIGNERS = "analysis.aligners"


def extension_names(group: str) -> list[str]:
    """Names that installed packages announce in a group, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def load_extension(group: str, name: str) -> Callable[..., Any] | None:
    """What an installed package announces under this name; None where none does.

    Parameters
    ----------
    group : str
        :data:`ENCODERS` or :data:`ALIGNERS`.
    name : str

    Raises
    ------
    ConfigurationError
        If two packages announce the name, or what it names cannot be imported or called.

    Examples
    --------
    In the pyproject.toml of a package of your own::

        [project.entry-points."analysis.encoders"]
        mine = "my_package.encoders:MyEncoder"
    """
    found = list(entry_points(group=group, name=name))
    if not found:
        return None
    packages = {point.dist.name if point.dist else point.value for point in found}
    if len(packages) > 1:
        raise ConfigurationError(
            f"Several installed packages announce {name!r} in {group}: {', '.join(sorted(packages))}. Uninstall all but one."
        )
    return _loaded(found[0], group)


def _loaded(point: EntryPoint, group: str) -> Callable[..., Any]:
    package = point.dist.name if point.dist else "an installed package"
    try:
        made = point.load()
    except Exception as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ConfigurationError(
            f"{package} announces {point.name!r} in {group} as {point.value}, which cannot be loaded ({type(error).__name__}: {first}). "
            "Mend or uninstall the package."
        ) from error
    if not callable(made):
        raise ConfigurationError(
            f"{package} announces {point.name!r} in {group} as {point.value}, which is a {type(made).__name__} and cannot be called."
        )
    return made
