"""Names of files for ids of utterances: different for different ids, and the id can be read off the name."""

from __future__ import annotations

from urllib.parse import quote, unquote

__all__ = ["file_name", "id_of"]

# What separates folders here or elsewhere, what shells and other systems refuse, and the sign that the escapes begin with.
_ESCAPED = frozenset('/\\:*?"<>|%')
# Bytes of one part of a path: 255 is the limit of most systems, and endings are added.
_MOST = 200


def file_name(utterance: str) -> str:
    """A name without ending for files about an utterance.

    Most ids stand as they are. Characters that no file name takes are written as ``%2F``; what is too long for one name goes on
    in a folder, whose name ends in ``%``.

    Examples
    --------
    >>> file_name("84-121123-0001"), file_name("spk/a_1"), file_name("spk_a/1")
    ('84-121123-0001', 'spk%2Fa_1', 'spk_a%2F1')
    """
    parts, length = [""], 0
    for place, character in enumerate(utterance):
        if character == "." and place == 0:
            written = "%2E"  # files whose names begin with a dot are hidden
        else:
            written = quote(character, safe="") if character in _ESCAPED or not character.isprintable() else character
        size = len(written.encode("utf-8"))
        if length + size > _MOST:
            parts[-1] += "%"
            parts.append("")
            length = 0
        parts[-1] += written
        length += size
    return "/".join(parts)


def id_of(name: str) -> str:
    """The id that :func:`file_name` made ``name`` of, with ``/`` between folders.

    Examples
    --------
    >>> id_of("spk%2Fa_1")
    'spk/a_1'
    """
    return unquote("".join(part.removesuffix("%") for part in name.split("/")))
