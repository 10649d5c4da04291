"""Labels of phones in one form."""

from __future__ import annotations

import unicodedata

__all__ = ["plain_ipa"]


def plain_ipa(text: str) -> str:
    """A label in one Unicode form, tie bars left out, so that equal phones compare equal."""
    return unicodedata.normalize("NFD", text).replace("\u0361", "").replace("\u035c", "")
