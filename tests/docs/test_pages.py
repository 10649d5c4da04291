"""The documentation: nothing public is undescribed, every column of every table is explained, every link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
WRITTEN = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


@pytest.fixture(scope="module")
def pages():
    """The module that makes the pages which nobody writes."""
    spec = importlib.util.spec_from_file_location("documentation_pages", DOCS / "_build" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(pages):
    return {path: (text, silent) for path, text, silent in pages.generated()}


def test_every_option_and_every_public_name_is_described(generated):
    assert [name for _, silent in generated.values() for name in silent] == []


def test_what_is_missing_is_named(pages, monkeypatch):
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--loud")
    monkeypatch.setattr(pages, "parsers", lambda command: {"": parser})
    assert pages.command_page("corpus")[1] == ["python -m analysis.corpus `--loud`"]


def test_every_command_and_every_room_has_a_page(generated, repository):
    commands = {path.parent.name for path in (repository / "analysis").glob("*/__main__.py")} | {"decouple"}
    assert {path for path in generated if "/commands/" in path} == {f"reference/commands/{name}.md" for name in commands}
    text, _ = generated["reference/commands/wav2sem.md"]
    assert "## convert" in text and "`--target`" in text
    text, _ = generated["reference/commands/decouple.md"]
    assert "| `--unit` | `syllable` | What a token is. One of `syllable`, `word`. |" in text


def _navigation():
    """Pages of the navigation; tags of Python in the file stand for settings that are not read here."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    found, waiting = [], [yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            found.append(entry)
        else:
            waiting.extend(entry.values() if isinstance(entry, dict) else entry)
    return set(found)


def _all_pages(generated):
    notebooks = {f"notebooks/{path.name}" for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    return (
        {path.relative_to(DOCS).as_posix() for path in WRITTEN} | set(generated) | notebooks | {"changelog.md", "contributing.md"}
    )


def test_the_navigation_holds_every_page(generated):
    assert _navigation() == _all_pages(generated)


def _anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings} | set(
        re.findall(r"^::: (\S+)$", text, re.M)
    )


def test_every_link_leads_to_a_page_and_its_anchor(generated):
    texts = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in WRITTEN}
    texts |= {path: text for path, (text, _) in generated.items()}
    broken, seen = [], 0
    for page, text in texts.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)):
            if target.startswith("https://"):
                continue
            seen += 1
            path, _, anchor = target.partition("#")
            there = (DOCS / page).parent / path if path else DOCS / page
            name = there.resolve().relative_to(DOCS).as_posix()
            if name not in texts and name not in ("changelog.md", "contributing.md") and not there.is_file():
                broken.append(f"{page}: {target}")
            elif anchor and anchor not in _anchors(texts[name]):
                broken.append(f"{page}: {target} (no such heading)")
    assert seen > 60
    assert not broken, "\n".join(broken)


def _explained(section):
    """Columns that the page of columns explains under a heading."""
    text = (DOCS / "reference" / "columns.md").read_text(encoding="utf-8")
    part = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.S | re.M).group(1)
    return {name for line in re.findall(r"^\| (`.*?) \|", part, re.M) for name in re.findall(r"`([^`]+)`", line)}


def test_every_column_that_is_declared_is_explained():
    from analysis.errors import FAILURE_COLUMNS
    from analysis.phonology import COMPOSITION_COLUMNS, PAIR_COLUMNS, TOKEN_COLUMNS
    from analysis.report.summary import HEADLINE_COLUMNS, SCALE_FREE_COLUMNS
    from analysis.separation import SEPARATION_COLUMNS
    from analysis.separation.published import COLUMNS
    from analysis.wav2sem.training import LOG_COLUMNS

    for section, columns in {
        "separation": SEPARATION_COLUMNS,
        "headline": HEADLINE_COLUMNS,
        "scale_free": SCALE_FREE_COLUMNS,
        "failures": FAILURE_COLUMNS,
        "published": COLUMNS,
        "log.csv of training": LOG_COLUMNS,
    }.items():
        assert _explained(section) == set(columns), section
    assert _explained("pairs") >= {*PAIR_COLUMNS, *COMPOSITION_COLUMNS}
    assert _explained("tokens") >= set(TOKEN_COLUMNS)


def test_every_column_of_a_run_is_explained(demo_run):
    tables = sorted((demo_run / "tables").glob("*.csv"))
    assert len(tables) >= 10
    for path in tables:
        columns = set(pd.read_csv(path, nrows=0).columns)
        assert columns == _explained(path.stem), path.name


def test_terms_of_the_glossary_are_in_order():
    terms = re.findall(r"^\*\*(.+)\.\*\*$", (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8"), re.M)
    assert terms == sorted(terms, key=str.lower) and len(terms) > 30
