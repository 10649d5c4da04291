"""The table command and its formats; differences, intervals and tests; joining; what the published table holds."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import FaceError, NotComparableError
from analysis.face.__main__ import main
from analysis.face.comparison import find_pairs, sign_flip_test
from analysis.face.datasets import DATASETS
from analysis.face.frameworks import FRAMEWORKS, find_framework
from analysis.face.intervals import clustered_difference
from analysis.face.published import PUBLISHED
from analysis.face.table import FaceTable, join_tables
from tests.face.conftest import LIPS, UPPER, make_small_set
from tests.reference import face as oracle


def _document(small_set, tmp_path: Path, *more: str) -> dict:
    assert main(small_set.arguments("--json", str(tmp_path / "out" / "table.json"), *more)) == 0
    return json.loads((tmp_path / "out" / "table.json").read_text(encoding="utf-8"))


def test_json_holds_the_metrics_of_every_run_in_raw_units(small_set, tmp_path: Path, capsys) -> None:
    document = _document(small_set, tmp_path)
    truths, templates = list(small_set.truths.values()), [small_set.templates[clip[:2]] for clip in small_set.truths]
    assert list(document["runs"]) == ["FaceFormer", "FaceFormer+Wav2Sem"]
    for run, values in document["runs"].items():
        predictions = list(small_set.predictions[run].values())
        expected = {
            "lve": oracle.lve(predictions, truths, LIPS),
            "mve": oracle.mve(predictions, truths),
            "fdd": oracle.fdd(predictions, truths, templates, UPPER),
            "fdd_abs": oracle.fdd(predictions, truths, templates, UPPER, absolute=True),
        }
        assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)
        exponents = {"lve": -4, "mve": -3, "fdd": -5, "fdd_abs": -5}
        for name, exponent in exponents.items():
            assert values["in_published_units"][name] == pytest.approx(values[name] * 10.0**-exponent)
        assert values["length_gaps"] == {"-1": 2, "0": 2}
    assert document["runs"]["FaceFormer+Wav2Sem"]["published"] == {"lve": 4.9571, "mve": 7.0956, "fdd": 4.9157}
    printed = capsys.readouterr().out
    assert "BIWI LVE (x1e-4)" in printed
    assert "The meshes have 12 vertices and BIWI's have 23370: these values do not compare with published ones." in printed
    assert "Lengths of prediction and truth may differ by 2 frames and are cut to the shorter." in printed


def test_differences_are_those_of_the_two_rows(small_set, tmp_path: Path, capsys) -> None:
    document = _document(small_set, tmp_path)
    runs = document["runs"]
    rows = {row["metric"]: row for row in document["differences"]}
    for metric, row in rows.items():
        assert row["estimate"] == pytest.approx(runs["FaceFormer+Wav2Sem"][metric] - runs["FaceFormer"][metric])
        assert row["ci_low"] <= row["ci_high"]
        assert (row["without"], row["with_module"], row["n_clips"], row["unit"]) == (
            "FaceFormer",
            "FaceFormer+Wav2Sem",
            4,
            "subject",
        )
        assert (row["n_units"], row["n_subjects"], row["df"]) == (2, 2, pytest.approx(1, abs=0.05))
    assert rows["lve"]["p_permutation"] == pytest.approx(2 / 4)  # the least that two subjects can give
    assert (
        "it is meant for other subjects (Student's t over 2 subjects); with fewer than 8 it rests on differences being normally "
        "distributed."
    ) in capsys.readouterr().out
    by_clip = {row["metric"]: row for row in _document(small_set, tmp_path, "--resample", "clip")["differences"]}
    assert (by_clip["lve"]["n_units"], by_clip["lve"]["n_subjects"]) == (4, 2)
    assert by_clip["lve"]["ci_high"] < 0  # half the noise was planted
    assert by_clip["lve"]["p_permutation"] == pytest.approx(2 / 16)
    assert by_clip["lve"]["estimate"] == rows["lve"]["estimate"]
    assert "for other clips of these 2 subjects and not for other subjects" in capsys.readouterr().out


def test_clips_of_one_subject_are_the_units_where_there_is_no_other(small_set, tmp_path: Path, capsys) -> None:
    row = _document(small_set, tmp_path, "--subjects", "F2")["differences"][0]
    assert (row["unit"], row["n_units"], row["n_subjects"]) == ("clip", 2, 1)
    assert "it is meant for other clips of this one subject (Student's t over 2 clips)" in capsys.readouterr().out
    one = _document(small_set, tmp_path, "--clips", "F2_e37")["differences"][0]
    assert (one["n_units"], one["ci_low"], one["ci_high"], one["df"]) == (1, None, None, None)
    assert " no interval p = 1.000" in capsys.readouterr().out


def test_the_same_request_gives_the_same_bytes(small_set, tmp_path: Path, capsys) -> None:
    first = _document(small_set, tmp_path / "a", "--seed", "3")
    assert first == _document(small_set, tmp_path / "b", "--seed", "3")


def test_formats_agree(small_set, tmp_path: Path, capsys) -> None:
    files = {kind: tmp_path / f"t.{kind}" for kind in ("csv", "latex", "markdown")}
    document = _document(small_set, tmp_path, "--published", *(f"--{kind}={path}" for kind, path in files.items()))
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text(encoding="utf-8"))))
    for row in rows:
        assert float(row["value"]) == document["runs"][row["run"]][row["metric"]]
    assert {row["region_sha1"] for row in rows if row["metric"] == "lve"} == {
        document["runs"]["FaceFormer"]["settings"]["lve"]["region_sha1"]
    }
    shown = f"{document['runs']['FaceFormer']['in_published_units']['lve']:.4f} (4.9847)"
    for kind in ("latex", "markdown"):
        assert shown in files[kind].read_text(encoding="utf-8")
    assert shown in capsys.readouterr().out
    latex = files["latex"].read_text(encoding="utf-8")
    assert latex.count("\\\\\n") == 4
    columns = {line.count(" & ") for line in latex.splitlines() if line.endswith("\\\\")}
    assert columns == {5}
    markdown = [line for line in files["markdown"].read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown} == {7}


def test_figures_are_drawn_without_a_display(small_set, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    (tmp_path / "faces.obj").write_text("v 0 0 0\nf 1/1 2/2 3/3 4/4\nf 5 6 7\n")
    for more in ((), ("--faces", str(tmp_path / "faces.obj"))):
        assert main(small_set.arguments("--figures", str(tmp_path / "figures"), *more)) == 0
        files = sorted(path.name for path in (tmp_path / "figures").iterdir())
        assert files[0].startswith("lip_error_")
        assert files[1] == "vertex_error.png"
        assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in files)
    (tmp_path / "faces.obj").write_text("f 1 2 99\n")
    assert main(small_set.arguments("--figures", str(tmp_path / "figures"), "--faces", str(tmp_path / "faces.obj"))) == 2
    assert "name vertex 98, but the meshes have 12 vertices" in capsys.readouterr().err


def test_other_names_encoders_and_pairs(small_set, tmp_path: Path, capsys) -> None:
    arguments = small_set.arguments("--json", str(tmp_path / "t.json"), "--encoder", "Mine=WavLM", "--pair", "Mine,Theirs")
    arguments = [text.replace("FaceFormer+Wav2Sem=", "Theirs=").replace("FaceFormer=", "Mine=") for text in arguments]
    assert main(arguments) == 0
    document = json.loads((tmp_path / "t.json").read_text())
    assert document["runs"]["Mine"]["encoder"] == "WavLM"
    assert document["runs"]["Theirs"]["encoder"] == ""
    assert {row["with_module"] for row in document["differences"]} == {"Theirs"}
    assert document["runs"]["Mine"]["published"] == {"lve": None, "mve": None, "fdd": None}


def test_tables_of_two_data_sets_join_and_mixtures_do_not(small_set, tmp_path: Path, capsys) -> None:
    biwi = tmp_path / "biwi.json"
    assert main(small_set.arguments("--json", str(biwi))) == 0
    other = make_small_set(tmp_path / "vocaset", seed=1)
    arguments = [text if text != "biwi" else "vocaset" for text in other.arguments("--truth-fps", "30")]
    vocaset, mixed = tmp_path / "vocaset.json", tmp_path / "mixed.json"
    assert main([*arguments, "--json", str(vocaset)]) == 0
    capsys.readouterr()
    assert (
        main(["join", str(vocaset), str(biwi), "--json", str(tmp_path / "both.json"), "--markdown", str(tmp_path / "both.md")])
        == 0
    )
    printed = capsys.readouterr().out
    assert printed.index("VOCASET LVE (x1e-5)") < printed.index("BIWI FDD (x1e-5)")
    both = FaceTable.from_json((tmp_path / "both.json").read_text(encoding="utf-8"))
    assert both.rows["biwi"] == FaceTable.from_json(biwi.read_text(encoding="utf-8")).rows["biwi"]
    assert main([*arguments, "--preset", "meshtalk", "--json", str(mixed)]) == 0
    capsys.readouterr()
    assert main(["join", str(mixed), str(biwi)]) == 2
    assert capsys.readouterr().err == (
        "error: One table cannot mix presets (vocaset: meshtalk, biwi: facediffuser). Measure all data sets with the "
        "same preset.\n"
    )
    assert main(["join", str(mixed), str(vocaset)]) == 2
    assert "cannot stand in one table: preset is meshtalk for one (lve.txt) and facediffuser" in capsys.readouterr().err
    assert main(["join", str(vocaset), str(vocaset)]) == 2
    assert capsys.readouterr().err == "error: vocaset has two runs called FaceFormer. Name them apart.\n"


def test_other_regions_of_the_same_size_are_refused(small_set, tmp_path: Path, capsys) -> None:
    tables = []
    for indices in ("3,4,5,6", "3,4,5,7"):
        (small_set.folder / "lve.txt").write_text(indices)
        path = tmp_path / f"{indices}.json"
        assert main(small_set.arguments("--json", str(path))) == 0
        tables.append(FaceTable.from_json(path.read_text(encoding="utf-8")))
    with pytest.raises(NotComparableError, match="region sha1 is"):
        join_tables(tables)


def test_files_that_are_no_tables() -> None:
    for text, message in (
        ("{", "the file is no JSON"),
        ("{}", "the file was not written by `table --json`."),
        (
            '{"schema": "analysis.face.table", "schema_version": 9}',
            "the file has version 9, this toolkit reads 2. Make the table again.",
        ),
    ):
        with pytest.raises(FaceError) as error:
            FaceTable.from_json(text)
        assert str(error.value).startswith(message)


def test_hostile_names_stay_text(small_set, tmp_path: Path, capsys) -> None:
    arguments = [text.replace("FaceFormer=", "a_b & c|<b>%=") for text in small_set.arguments("--latex", str(tmp_path / "t.tex"))]
    arguments += ["--markdown", str(tmp_path / "t.md")]
    assert main(arguments) == 0
    assert "a\\_b \\& c$|$$<$b>\\%" in (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert "a_b & c\\|&lt;b>%" in (tmp_path / "t.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_test_equals_the_loop(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.3, 1, size=9)
    assert sign_flip_test(differences) == pytest.approx(oracle.sign_flip(differences.tolist()))
    many = np.random.default_rng(seed).normal(0.3, 1, size=15)
    exact = oracle.sign_flip(many.tolist())
    assert sign_flip_test(many) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 2e-4)


def test_sign_flip_test_at_its_ends() -> None:
    assert sign_flip_test(np.ones(10)) == 2 / 1024
    assert sign_flip_test(np.zeros(10)) == 1
    assert sign_flip_test(np.ones(40)) == 1 / 10000


@pytest.mark.parametrize(("n_subjects", "each", "alike"), [(2, 10, 0.9), (4, 10, 0.5), (8, 10, 0.9), (4, 1, 0), (16, 1, 0)])
def test_the_interval_covers_the_truth_as_often_as_it_says(n_subjects: int, each: int, alike: float) -> None:
    """``alike``: share of the differences' variance that the clips of a subject have in common."""
    covered, n = 0, 400
    rng = np.random.default_rng(n_subjects + each)
    units = np.repeat(np.arange(n_subjects), each)
    for _ in range(n):
        a, frames = rng.gamma(2, size=len(units)), rng.integers(50, 150, size=len(units)).astype(float)
        common, own = rng.normal(scale=0.5, size=n_subjects)[units], rng.normal(scale=0.5, size=len(units))
        b = a - 0.3 + np.sqrt(alike) * common + np.sqrt(1 - alike) * own
        found = clustered_difference(a, b, frames, frames, units)
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
        covered += found.low <= -0.3 <= found.high
    assert 0.92 < covered / n < 0.98


def test_a_subject_with_most_clips_does_not_buy_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(5), (16, 1, 1, 1, 1))
    a = rng.normal(size=20)
    found = clustered_difference(a, a + rng.normal(size=20), np.ones(20), np.ones(20), units)
    assert found.df == 1  # effective number of subjects: 400 / 260


def test_pairs_are_found_by_name() -> None:
    names = ["VOCA", "VOCA+Wav2Sem", "LG-LDM+Wav2Sem", "VOCA + null"]
    assert find_pairs(names) == [("VOCA", "VOCA+Wav2Sem"), ("VOCA", "VOCA + null")]


def test_the_published_table_is_whole_and_the_module_helps_everywhere_in_it() -> None:
    assert set(PUBLISHED) == set(FRAMEWORKS)
    for method in PUBLISHED.values():
        assert set(method) == set(DATASETS)
        for metrics in method.values():
            assert set(metrics) == {"lve", "mve", "fdd"}
            assert all(with_module < without for without, with_module in metrics.values())
    assert PUBLISHED["UniTalker"]["vocaset"]["lve"] == (3.5416, 3.1476)
    assert PUBLISHED["LG-LDM"]["biwi"]["fdd"] == (4.3637, 4.3121)


def test_frameworks_are_rows_of_data(capsys) -> None:
    assert [row.name for row in FRAMEWORKS.values()] == [
        "VOCA",
        "FaceFormer",
        "CodeTalker",
        "UniTalker",
        "FaceDiffuser",
        "LG-LDM",
    ]
    assert find_framework("facediffuse+Wav2Sem").name == "FaceDiffuser"
    assert find_framework("lg-ldm").name == "LG-LDM"
    assert find_framework("Mine") is None
    assert FRAMEWORKS["UniTalker"].scale == {"biwi": 0.2}
    for row in FRAMEWORKS.values():
        assert set(row.bases()) == set(row.rates()) == set(row.fps) == set(DATASETS)
    assert main(["frameworks"]) == 0
    printed = capsys.readouterr().out
    assert "biwi: facebook/wav2vec2-base-960h; 50 Hz, an odd frame dropped before it, frames paired; face at 25 fps" in printed
    assert (
        "frames checked against: released encoder class, called without the data set's name; the released forward pass" in printed
    )
    assert "vocaset: facebook/hubert-large-ls960-ft" in printed
