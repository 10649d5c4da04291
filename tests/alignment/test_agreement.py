"""Boundary errors on alignments whose errors are known, and the command that prints them."""

from __future__ import annotations

import json

import pytest

from analysis.alignment import Alignment, boundary_errors, write_textgrid
from analysis.alignment.__main__ import main
from analysis.alignment.agreement import agreement_table
from analysis.alignment.tiers import Tier, write_tiers
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


def test_compare_goes_on_past_bad_files_and_counts_words_without_a_match(tmp_path, capsys):
    write_textgrid(REFERENCE, tmp_path / "ref" / "ann" / "u.TextGrid")
    write_textgrid(REFERENCE, tmp_path / "ref" / "bob" / "u.TextGrid")
    write_textgrid(FOUND, tmp_path / "hyp" / "ann" / "u.TextGrid")
    one_word = Alignment("u", FOUND.words[:1], FOUND.phones[:3], 1.0, "test")
    write_textgrid(one_word, tmp_path / "hyp" / "bob" / "u.TextGrid")
    for folder in ("ref", "hyp"):
        (tmp_path / folder / "bad.TextGrid").write_text("nothing")
    assert main(["compare", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--json", str(tmp_path / "o.json")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:2] == [
        "2 files; every start and end of the reference's words and phones; shares in percent of the matched",
        "1 of the reference's 4 words have no match in the other's; no share counts them",
    ]
    bad = tmp_path / "ref" / "bad.TextGrid"
    assert printed.err == (
        f"left out: bad: {bad} is no TextGrid: it starts with 'nothing'. TextGrids start with: File type = \"ooTextFile\".\n"
    )
    data = json.loads((tmp_path / "o.json").read_text())
    assert (data["n_files"], data["n_words"], data["n_unmatched_words"], len(data["failures"])) == (2, 4, 1, 1)


def test_compare_matches_paths_before_names(tmp_path, capsys):
    for name in ("ann/u", "bob/u", "w"):
        write_textgrid(REFERENCE, tmp_path / "ref" / f"{name}.TextGrid")
    for name in ("ann/u", "x/u", "y/w"):
        write_textgrid(FOUND, tmp_path / "hyp" / f"{name}.TextGrid")
    assert main(["compare", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["n_files"] == 3, "x/u is the only u left on either side"
    write_textgrid(FOUND, tmp_path / "hyp" / "z" / "u.TextGrid")
    assert main(["compare", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--json", "-"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n_files"] == 2
    assert printed.err == "left out: bob/u: 1 TextGrids of the reference and 2 of the other are named u, in other folders.\n"


def test_compare_reads_the_speaker_and_the_tiers_that_are_named(tmp_path, capsys):
    reference, found = tmp_path / "ref.TextGrid", tmp_path / "hyp.TextGrid"
    write_textgrid(FOUND, found)
    halves = [(name, tuple((one.start, one.end, one.label) for one in REFERENCE.words)) for name in ("A - words", "B - words")]
    write_tiers([Tier(name, True, entries) for name, entries in halves], reference, xmax=1.0)
    assert main(["compare", str(reference), str(found)]) == 2
    assert (
        "has words of several speakers: 'A', 'B'. Say whose to read with speaker (--speaker of `compare`)"
        in capsys.readouterr().err
    )
    assert main(["compare", str(reference), str(found), "--speaker", "B"]) == 0
    write_tiers([Tier("Mary", True, halves[0][1])], reference, xmax=1.0)
    assert main(["compare", str(reference), str(found)]) == 2
    assert main(["compare", str(reference), str(found), "--words-tier", "Mary"]) == 0
    capsys.readouterr()
    assert main(["compare", str(reference), str(found), "--words-tier", "Jane"]) == 2
    assert capsys.readouterr().err == (
        f"error: None of 1 files could be compared. The first, ref: Neither {reference} nor {found} has a tier named 'Jane'.\n"
    )
