"""Names of files for ids: different for different ids, taken by the file system, and the id can be read off them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.corpus.names import file_name, id_of

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=400) | st.text(
    "ab/_.%\\ 2F", min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("utterance", "name"),
    [
        ("84-121123-0001", "84-121123-0001"),
        ("näme (2).b", "näme (2).b"),
        ("spk/a_1", "spk%2Fa_1"),
        ("spk_a/1", "spk_a%2F1"),
        ("..", "%2E."),
        ("100%", "100%25"),
        ("a\nb", "a%0Ab"),
        ("x" * 300, "x" * 200 + "%/" + "x" * 100),
    ],
)
def test_names(utterance: str, name: str):
    assert file_name(utterance) == name
    assert id_of(name) == utterance


@given(first=ids, second=ids)
@settings(max_examples=300, deadline=None)
def test_names_are_reversible_so_different_ids_have_different_names(first: str, second: str):
    assert id_of(file_name(first)) == first
    assert (file_name(first) == file_name(second)) == (first == second)


@given(utterance=ids)
@settings(max_examples=60, deadline=None)
def test_the_file_system_takes_them(utterance: str):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{file_name(utterance)}.TextGrid"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
        found = [one for one in Path(folder).rglob("*.TextGrid") if one.is_file()]
        assert [id_of(one.relative_to(folder).as_posix().removesuffix(".TextGrid")) for one in found] == [utterance]
