"""Which aligner a name means, and the options that the settings of a run mean to it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from analysis.alignment.types import Aligner
from analysis.errors import ConfigurationError
from analysis.extensions import ALIGNERS as GROUP
from analysis.extensions import extension_names, load_extension

__all__ = ["ALIGNERS", "aligner_names", "make_aligner", "named_options", "options_for"]

#: The aligners by name, each with the module and class behind it.
ALIGNERS = {
    "textgrid": ("analysis.alignment.textgrid", "TextGridAligner"),
    "pocketsphinx": ("analysis.alignment.pocketsphinx", "PocketsphinxAligner"),
    "mfa": ("analysis.alignment.mfa", "MfaAligner"),
    "labels": ("analysis.alignment.labels", "LabelsAligner"),
    "ctc": ("analysis.alignment.ctc", "CtcAligner"),
}


def aligner_names() -> list[str]:
    """The aligners that come along, then those that installed packages announce."""
    return [*ALIGNERS, *(name for name in extension_names(GROUP) if name not in ALIGNERS)]


def make_aligner(name: str, **options: Any) -> Aligner:
    """The aligner of that name.

    Parameters
    ----------
    name : str
        One of :func:`aligner_names`: those of :data:`ALIGNERS`, and entry points ``analysis.aligners`` of installed packages.
    **options
        Those of its class, such as :class:`~analysis.alignment.pocketsphinx.PocketsphinxAligner`.

    Raises
    ------
    ConfigurationError
        If there is no such aligner, or it has no such option; the message lists the valid ones.
    """
    import inspect

    if name in ALIGNERS:
        module, attribute = ALIGNERS[name]
        aligner = getattr(import_module(module), attribute)
    else:
        aligner = load_extension(GROUP, name)
    if aligner is None:
        raise ConfigurationError(f"There is no aligner {name!r}. Valid aligners: {', '.join(aligner_names())}.")
    valid = list(inspect.signature(aligner).parameters)
    unknown = [option for option in options if option not in valid]
    if unknown:
        raise ConfigurationError(f"The aligner {name} has no option {unknown[0]!r}. Its options: {', '.join(valid)}.")
    required = [
        parameter.name
        for parameter in inspect.signature(aligner).parameters.values()
        if parameter.default is parameter.empty and parameter.name not in options
    ]
    if required:
        raise ConfigurationError(f"The aligner {name} needs the option {required[0]!r}. Its options: {', '.join(valid)}.")
    return aligner(**options)


def options_for(
    aligner: str, *, lexicon: str = "cmudict", inventory: str | None = None, workers: int = 1, device: str = "auto"
) -> dict[str, Any]:
    """What settings that every run has mean to an aligner: options for :func:`make_aligner`.

    Parameters
    ----------
    aligner : str
        One of :data:`ALIGNERS`.
    lexicon, inventory : str
        As :func:`analysis.alignment.pronunciation.find_lexicon` takes them. Aligners that listen look words up there; those that
        read alignments learn the inventory of the phones.
    workers : int
        Processes.
    device : str
        Where models run.
    """
    from analysis.alignment.pronunciation import find_lexicon

    path, phones = find_lexicon(lexicon, inventory)
    known: dict[str, dict[str, Any]] = {
        "pocketsphinx": {"workers": workers, "lexicon": path and lexicon},
        "ctc": {"device": device, "lexicon": path and lexicon},
        "mfa": {"num_jobs": workers, "dictionary": path},
    }
    found = known.get(aligner, {})
    if aligner != "pocketsphinx" and (inventory or phones != "arpabet"):
        found["inventory"] = phones
    return {name: value for name, value in found.items() if value is not None}


def named_options(items: Iterable[str]) -> dict[str, str]:
    """Options of an aligner from a command line: ``["model=DIR", "text=english"]`` as a dictionary.

    Raises
    ------
    ConfigurationError
        If one has no ``=``.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise ConfigurationError(f"An option of an aligner is written NAME=VALUE, such as model=DIR, not {item!r}.")
        found[name] = value
    return found
