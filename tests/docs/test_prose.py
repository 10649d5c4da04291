"""Plain English: short sentences in the README and on the pages that people learn from, and none of the words that hide who does what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("tutorials", "how-to", "reference")
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "docs" / "index.md",
    *sorted(path for name in FOLDERS for path in (REPOSITORY / "docs" / name).rglob("*.md")),
]
# Software reports, logs and prints; it does not speak.
UNWANTED = re.compile(r"\b(told|tells|said|says|heard|hears|simply|just|obviously|very|utilise|leverage|in order to)\b", re.I)
MOST_WORDS = 35


def prose(path):
    """Sentences of a page without code, tables and headings."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"`[^`\n]*`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for paragraph in re.split(r"\n\s*\n|\n(?=[-#|]|\d\. )", text):
        if not paragraph.lstrip().startswith(("|", "#", "!")):
            yield from re.split(r"(?<=[.?!:;])\s+", " ".join(paragraph.split()))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_sentences_are_short_and_plain(path):
    long = [sentence for sentence in prose(path) if len(sentence.split()) > MOST_WORDS]
    hidden = [sentence for sentence in prose(path) if UNWANTED.search(sentence)]
    assert not long and not hidden


def test_a_long_sentence_and_an_unwanted_word_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nThe row says why. " + "word " * 36 + "end.\n\n| a table | says |\n", encoding="utf-8")
    found = list(prose(page))
    assert len(found) == 2 and UNWANTED.search(found[0]) and len(found[1].split()) == 37
