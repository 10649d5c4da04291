"""Boundary errors on alignments whose errors are known, and the command that prints them."""

from __future__ import annotations

import json

import pytest

from analysis.alignment import Alignment, boundary_errors, write_textgrid
from analysis.alignment.__main__ import main
from analysis.alignment.agreement import agreement_table
from analysis.timebase import Interval

REFERENCE = Alignment(
    "u", (Interval(0.1, 0.5, "Sheep"), Interval(0.6, 0.9, "ship")),
    (Interval(0.1, 0.2, "SH"), Interval(0.2, 0.4, "IY1"), Interval(0.4, 0.5, "P"), Interval(0.6, 0.9, "IH1")), 1.0, "hand",
)  # fmt: skip
# starts 10, 20 and 60 ms late; IH is called IY here, which counts as matched
FOUND = Alignment(
    "u", (Interval(0.11, 0.5, "sheep"), Interval(0.66, 0.9, "ship")),
    (Interval(0.11, 0.22, "SH"), Interval(0.22, 0.4, "IY0"), Interval(0.4, 0.5, "P"), Interval(0.66, 0.9, "IY1")), 1.0, "test",
)  # fmt: skip


def test_errors_are_hypothesis_minus_reference():
    errors = boundary_errors([(REFERENCE, FOUND)])
    words = errors[errors["tier"] == "words"]
    assert words["error"].tolist() == pytest.approx([0.01, 0.0, 0.06, 0.0])
    phones = errors[errors["tier"] == "phones"]
    assert phones["error"].tolist() == pytest.approx([0.01, 0.02, 0.02, 0.0, 0.0, 0.0, 0.06, 0.0])
    assert phones["phone_class"].tolist() == ["fricative"] * 2 + ["vowel"] * 2 + ["stop"] * 2 + ["vowel"] * 2
    table = agreement_table(errors).set_index(["tier", "group"])
    row = table.loc[("phones", "all")]
    assert (row["n"], row["unmatched"], row["within_10"], row["within_20"], row["within_50"]) == (8, 0, 62.5, 87.5, 87.5)
    assert (row["median_ms"], row["mean_ms"], row["bias_ms"]) == pytest.approx((5.0, 13.75, 13.75))
    assert table.loc[("words", "starts"), "within_10"] == 50.0 and table.loc[("words", "ends"), "within_10"] == 100.0
    perfect = agreement_table(boundary_errors([(REFERENCE, REFERENCE)]))
    assert (perfect["within_10"] == 100).all() and (perfect["mean_ms"] == 0).all()


def test_what_is_missing_is_unmatched():
    shorter = Alignment("u", FOUND.words[:1], FOUND.phones[:3], 1.0, "test")
    table = agreement_table(boundary_errors([(REFERENCE, shorter)])).set_index(["tier", "group"])
    assert (table.loc[("words", "all"), "n"], table.loc[("words", "all"), "unmatched"]) == (4, 2)


def test_compare_prints_a_table_and_json(tmp_path, capsys):
    write_textgrid(REFERENCE, tmp_path / "ref" / "u.TextGrid")
    write_textgrid(FOUND, tmp_path / "hyp" / "u.TextGrid")
    write_textgrid(FOUND, tmp_path / "ref" / "other.TextGrid")
    out = tmp_path / "out.json"
    assert main(["compare", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "1 files; every start and end of the reference's words and phones; shares in percent of the matched\n"
    )
    data = json.loads(out.read_text())
    assert (data["n_files"], data["only_in_reference"]) == (1, 1)
    row = next(row for row in data["rows"] if (row["tier"], row["group"]) == ("phones", "all"))
    assert row["within_20"] == 87.5 and row["within_100"] == 100.0
    assert main(["compare", str(tmp_path / "ref" / "u.TextGrid"), str(tmp_path / "hyp" / "u.TextGrid")]) == 0
    (tmp_path / "none").mkdir()
    assert main(["compare", str(tmp_path / "ref"), str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == (
        f"error: No TextGrid in {tmp_path / 'none'} has the name of one in {tmp_path / 'ref'}, so there is nothing to compare.\n"
    )
