from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import zipfile

import numpy as np
import pandas as pd
import pytest

from analysis.report.export import csv_tables, latex_table, markdown_table, markdown_text, tables_archive, tables_of, write_tables


def test_every_table_is_written_complete_and_at_full_precision(report, tmp_path):
    written = write_tables(report, tmp_path)
    assert set(written) == {f"{name}.{kind}" for name in tables_of(report) for kind in ("csv", "tex")}
    back = pd.read_csv(written["separation.csv"], keep_default_na=False, na_values=[""], dtype={"null": str, "note": str})
    pd.testing.assert_series_equal(back["estimate"], report.separation["estimate"], check_exact=True)
    assert len(back) == len(report.separation)
    assert "first 60 of" in written["separation.tex"].read_text()
    assert "Synthetic speech." in written["headline.tex"].read_text()


def test_archive_repeats_byte_for_byte_and_holds_every_table(report):
    first = tables_archive(csv_tables(report))
    assert first == tables_archive(csv_tables(report))
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert set(archive.namelist()) == {f"{name}.csv" for name in tables_of(report)}
        rows = list(csv.reader(io.StringIO(archive.read("pairs.csv").decode())))
    assert len(rows) == len(report.tables["pairs"]) + 1


def test_latex_is_escaped_rounded_and_free_of_empty_columns():
    table = pd.DataFrame({"a_b": ["50% & more", "x_{y}\\z", "[0.1]"], "value": [0.123456, -1.0, np.nan], "note": ["", "", ""]})
    text = latex_table(table, caption="Pairs & gains", label="tab:a")
    assert r"50\% \& more & 0.123 \\" in text
    assert r"x\_\{y\}\textbackslash{}z & $-$1.00 \\" in text
    assert r"{[}0.1{]} & -- \\" in text
    assert "note" not in text and r"\begin{tabular}{lr}" in text and r"\caption{Pairs \& gains}\label{tab:a}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles(report, tmp_path):
    body = latex_table(tables_of(report)["headline"], caption="x", label="y")
    (tmp_path / "a.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}", encoding="utf-8"
    )
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_cells_cannot_leave_their_cell():
    hostile = "a|b <script>alert(1)</script> [x](javascript:1) `c`\n# d & *e*"
    text = markdown_table({"col|umn": [hostile]})
    assert len(text.splitlines()) == 3
    assert "<script" not in text and not re.search(r"(?<!\\)[\[\]`*|](?! |$)", text.splitlines()[2][2:-2])
    assert markdown_text("a_b") == r"a\_b"
