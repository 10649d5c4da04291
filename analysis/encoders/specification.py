"""What the user asks for: one line of text naming an encoder, read into its parts.

``bundled``, ``mfcc``, ``logmel``, ``random:SPEC``, ``features:DIR``, ``FRAMEWORK:CHECKPOINT`` or a hub id or local folder, each
followed by options as in a web address: ``faceformer:/data/vocaset.pth?base=facebook/wav2vec2-base-960h&view=framework``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import parse_qsl

from analysis.encoders.frameworks import FRAMEWORKS
from analysis.errors import ConfigurationError
from analysis.extensions import ENCODERS, extension_names

__all__ = ["EncoderSpec", "parse_spec"]

BUILT_IN = ("bundled", "mfcc", "logmel")


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as the user named it.

    Attributes
    ----------
    text : str
        The whole line.
    kind : str
        ``bundled``, ``mfcc``, ``logmel``, ``random``, ``features``, ``pretrained``, a framework of
        :data:`analysis.encoders.frameworks.FRAMEWORKS`, or ``extension``: one that an installed package announces.
    target : str
        What stands between the kind and the options: a hub id, a folder, a file, or the inner specification of ``random``.
    options : mapping of str to str
    """

    text: str
    kind: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)

    def option(self, name: str, choices: tuple[str, ...] | None = None, default: str | None = None) -> str | None:
        """Value of one option; checked against ``choices`` when given."""
        value = self.options.get(name, default)
        if choices is not None and value is not None and value not in choices:
            raise ConfigurationError(
                f"Encoder {self.text!r}: option {name}={value!r} is not known. Choose one of {', '.join(choices)}."
            )
        return value

    def allow(self, *names: str) -> None:
        """Refuse options other than ``names``."""
        unknown = sorted(set(self.options) - set(names))
        if unknown:
            known = ", ".join(names) if names else "none"
            raise ConfigurationError(
                f"Encoder {self.text!r} has unknown options: {', '.join(unknown)}. Options of this kind of encoder: {known}."
            )


def parse_spec(text: str) -> EncoderSpec:
    """The parts of an encoder's name.

    Raises
    ------
    ConfigurationError
        If the name is empty or a built-in one misspelt, an option has no value, or the kind needs something after the colon and
        has nothing.
    """
    text = text.strip()
    if not text:
        raise ConfigurationError(
            "No encoder was named. Give 'bundled', 'mfcc', 'logmel', a hub id such as facebook/hubert-base-ls960, or a folder."
        )
    head, colon, rest = text.partition(":")
    if colon and head == "random":  # the options belong to the encoder inside, apart from the seed
        if not rest:
            raise ConfigurationError("'random:' needs the encoder to re-initialise, such as random:bundled.")
        return EncoderSpec(text, "random", rest)
    body, question, query = text.partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if question else {}
    except ValueError as error:
        raise ConfigurationError(
            f"Encoder {text!r}: what follows the question mark must read name=value&name=value, not {query!r}."
        ) from error
    if body in BUILT_IN:
        return EncoderSpec(text, body, "", options)
    head, colon, rest = body.partition(":")
    if colon and (head == "features" or head in FRAMEWORKS):
        if not rest:
            what = "a folder with one array per utterance" if head == "features" else "the path of a checkpoint"
            raise ConfigurationError(f"Encoder {text!r}: '{head}:' needs {what} after the colon.")
        return EncoderSpec(text, head, rest, options)
    if "/" not in head and head in extension_names(ENCODERS):
        return EncoderSpec(text, "extension", rest, options)
    if colon and "/" not in head and "\\" not in head and len(head) > 1:  # a drive letter is no kind
        kinds = ", ".join([*BUILT_IN, "random:SPEC", "features:DIR", *(f"{name}:CHECKPOINT" for name in FRAMEWORKS)])
        raise ConfigurationError(f"Encoder {text!r}: {head!r} is no kind of encoder. Kinds: {kinds}, or a hub id or folder.")
    meant = get_close_matches(body, BUILT_IN, n=1, cutoff=0.7)
    if meant and not Path(body).exists():  # a slip of the pen would be sought on the hub, for a minute where there is none
        raise ConfigurationError(
            f"There is no encoder {text!r}; did you mean {meant[0]!r}? Give {', '.join(BUILT_IN)}, a hub id such as "
            "facebook/hubert-base-ls960, or a folder."
        )
    return EncoderSpec(text, "pretrained", body, options)
