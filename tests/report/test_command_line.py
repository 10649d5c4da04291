from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from analysis.report import Report, compare_tables, write_comparison, write_report
from analysis.report.__main__ import main


def test_rerendering_changes_no_number_and_needs_no_audio(silent_report, tmp_path, capsys):
    first = write_report(silent_report, tmp_path, formats=("svg",), audio=False)
    before = {name: path.read_bytes() for name, path in first.items()}
    for path in first.values():
        if path.name != "report.json":
            path.unlink()
    assert main([str(tmp_path), "--formats", "svg", "--no-audio"]) == 0
    assert {name: path.read_bytes() for name, path in first.items()} == before
    assert capsys.readouterr().out.splitlines() == [str(first["report.html"]), str(first["report.md"])]


def test_report_survives_json(silent_report):
    back = Report.from_json(silent_report.to_json())
    assert back.to_json() == silent_report.to_json()
    for name, table in silent_report.tables.items():
        pd.testing.assert_frame_equal(back.tables[name], table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", " is no JSON: line 1, column 1: Expecting value."),
        (b"[]", " is not a report.json of this toolkit: it names no schema_version."),
        (b"null", " is not a report.json of this toolkit: it names no schema_version."),
        (b'{"schema_version": 0}', " has schema version 0, this toolkit reads 1."),
        (b'{"schema_version": 1}', " holds nothing as title, where a report has a str. Was it edited?"),
        (
            b'{"schema_version": 1, "title": "t", "corpus": 7}',
            " holds int as corpus, where a report has a dict. Was it edited?",
        ),
        (
            b'{"schema_version": 1, "title": "t", "corpus": {}, "provenance": {}, "configuration": {}, "verdicts": [], "figures": {}, '
            b'"tables": {"separation": {"rows": 3}}}',
            " holds a table that is none (KeyError: 'columns'). Was it edited?",
        ),
        (b'{"title": ' + b"[" * 100_000, " is nested too deeply to be read: nothing that this toolkit writes is."),
        (
            '{"title": "é"}'.encode("latin-1"),
            " is not UTF-8: byte 12 is 0xe9 (is it another encoding, such as Latin-1?). Save it as UTF-8.",
        ),
        ('{"title": 1}'.encode("utf-16"), " is not UTF-8: byte 1 is 0xff (is it UTF-16?). Save it as UTF-8."),
        (
            b'{"title": ' + b"9" * 5000 + b"}",
            " cannot be read (Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit).",
        ),
    ],
)
def test_a_file_that_is_no_report_is_told_in_one_message(text, message, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_bytes(text)
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}{message} Run analysis.decouple again.\n"


def test_a_report_with_a_byte_order_mark_is_read(silent_report, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(silent_report.to_json(), encoding="utf-8-sig")
    assert Report.read(path).to_json() == silent_report.to_json()


def test_two_runs_side_by_side(silent_report, tmp_path):
    table = silent_report.separation.copy()
    moved = (
        (table["statistic"] == "net") & (table["layer"] == 1) & (table["distance"] == "l2") & (table["relation"] == "same_type")
    )
    for name in ("estimate", "ci_low", "ci_high"):
        table.loc[moved, name] += 100.0
    other = replace(silent_report, tables={**silent_report.tables, "separation": table[table["distance"] == "l2"]})
    joined = compare_tables(silent_report, other)
    assert (joined["where"] == "only a").sum() == (silent_report.separation["distance"] == "cosine").sum()
    both = joined[joined["where"] == "both"]
    assert (~both["overlap"]).sum() == moved.sum()
    assert (both.loc[~both["overlap"], "difference"].round(6) == 100).all()
    written = write_comparison(silent_report, other, tmp_path, names=("run <a>", "run b"))
    page = written["compare.html"].read_text(encoding="utf-8")
    assert "run &lt;a&gt;" in page and page.count("SYNTHETIC") >= 2 and "<script" not in page
    assert f"{moved.sum()} intervals apart" in written["compare.md"].read_text(encoding="utf-8")
    assert len(pd.read_csv(written["compare.csv"])) == len(joined)


def test_compare_from_the_command_line(silent_report, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        silent_report.write(tmp_path / name / "report.json")
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert str(tmp_path / "b" / "compare.html") in capsys.readouterr().out
    assert "No row's intervals lie apart." in (tmp_path / "b" / "compare.html").read_text(encoding="utf-8")


def test_a_folder_without_a_report_is_one_clean_message(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert main([str(folder)]) == 2
        assert capsys.readouterr().err == (
            f"error: There is no report at {folder}/report.json. Run `python -m analysis.decouple --out {folder}` first.\n"
        )


@pytest.mark.parametrize("size", ["-1", "nan", "inf", "much"])
def test_a_size_that_is_none_is_a_usage_error(size, capsys):
    with pytest.raises(SystemExit) as left:
        main(["run", "--audio-budget", size])
    assert left.value.code == 2 and "argument --audio-budget: " in capsys.readouterr().err


def test_neither_run_nor_comparison_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2 and "give one RUN_DIR, or --compare A B" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys, analysis.report.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
        "print([n for n in ('pandas', 'numpy', 'matplotlib', 'plotly', 'jinja2', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
