"""A data set that only a YAML file describes, from the table to the study; descriptions that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, FaceError
from analysis.face.__main__ import main
from analysis.face.datasets import DATASETS, find_dataset, read_dataset
from analysis.face.table import FaceTable
from tests.face.conftest import make_small_set

MINE = """
name: mine
title: My faces
vertices: 12
fps: {truth: 50, measured: 25}
unit: mm
subject: "[a-z]+-(?P<subject>[A-Z0-9]+)_.*"
truth: vertices_npy
templates: templates.pkl
regions: {lips: lve.txt, upper: weights.txt>0.5}
exponents: {lve: -2, fdd: -3}
note: Recorded   by
  me.
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The small set under other names, at twice the rate, with a description beside it."""
    small = make_small_set(tmp_path / "mine")
    for file in sorted((small.folder / "vertices_npy").glob("*.npy")):
        np.save(file.with_name(f"take-{file.name}"), np.repeat(np.load(file), 2, axis=0))
        file.unlink()
    for run in ("FaceFormer", "FaceFormer+Wav2Sem"):
        for file in sorted((small.folder / run).glob("*.npy")):
            file.rename(file.with_name(f"take-{file.name}"))
    (small.folder / "weights.txt").write_text("\n".join(str(0.1 + 0.8 * (n in (0, 1, 2))) for n in range(12)))
    (small.folder / "mine.yaml").write_text(MINE)
    return small.folder


def test_a_set_that_only_a_file_describes_goes_all_the_way(mine: Path, tmp_path: Path, capsys) -> None:
    runs = [text for run in ("FaceFormer", "FaceFormer+Wav2Sem") for text in ("--run", f"{run}={mine / run}")]
    out = tmp_path / "mine.json"
    assert main(["table", "--dataset", str(mine / "mine.yaml"), *runs, "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "My faces LVE (x1e-2)" in printed and "My faces MVE (x1e0)" in printed and "My faces: Recorded by me." in printed
    assert "these values do not compare with published ones" not in printed
    document = json.loads(out.read_text())
    lve = document["runs"]["FaceFormer"]["settings"]["lve"]
    assert (document["dataset"], lve["units"], lve["fps"], lve["dataset"]) == ("mine", "mm^2", 25, "mine")
    assert document["runs"]["FaceFormer"]["settings"]["fdd"]["region"] == "weights.txt>0.5"
    assert {row["n_subjects"] for row in document["differences"]} == {2}
    assert FaceTable.from_json(out.read_text()).described["mine"].exponents == {"lve": -2, "mve": 0, "fdd": -3}
    assert main(["join", str(out), "--markdown", str(tmp_path / "joined.md")]) == 0
    assert "My faces" in (tmp_path / "joined.md").read_text()
    (mine / "mine.yaml").write_text(MINE.replace("unit: mm", "unit: cm"))
    other = tmp_path / "other.json"
    renamed = [text.replace("FaceFormer=", "Mine=").replace("FaceFormer+Wav2Sem=", "Mine+W=") for text in runs]
    assert main(["table", "--dataset", str(mine / "mine.yaml"), *renamed, "--json", str(other)]) == 0
    capsys.readouterr()
    assert main(["join", str(out), str(other)]) == 2
    assert capsys.readouterr().err == ("error: Two tables describe the data set mine differently. Measure both with one file.\n")

    clips = []
    for name in ("FaceFormer", "FaceFormer+Wav2Sem"):
        clips.append(tmp_path / f"{len(clips)}.gif")
        sequence = mine / name / "take-F2_e37_condition_F2.npy"
        assert main(["render", str(sequence), str(clips[-1]), "--dataset", str(mine / "mine.yaml"), "--size", "40"]) == 0
    (tmp_path / "pairs.csv").write_text(
        f"item,method_a,media_a,method_b,media_b\nx,FaceFormer,{clips[0]},FaceFormer+Wav2Sem,{clips[1]}\n"
    )
    assert main(["study", "make", "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "study")]) == 0
    assert (tmp_path / "study" / "page" / "index.html").is_file()


def test_what_the_file_does_not_say_is_asked_for(mine: Path, capsys) -> None:
    (mine / "mine.yaml").write_text(MINE.replace("regions:", "#"))
    assert main(["table", "--dataset", str(mine / "mine.yaml"), "--run", f"A={mine / 'FaceFormer'}"]) == 2
    assert capsys.readouterr().err == f"error: --lips is needed: {mine / 'mine.yaml'} does not say where that is.\n"


def test_the_built_in_sets_are_such_files() -> None:
    vocaset, biwi = DATASETS["vocaset"], find_dataset("BIWI")
    assert (vocaset.n_vertices, vocaset.truth_fps, vocaset.fps, vocaset.units) == (5023, 60, 30, "m")
    assert (biwi.n_vertices, biwi.truth_fps, biwi.fps, biwi.units) == (23370, 25, 25, "BIWI unit")
    assert vocaset.subject("FaceTalk_170809_00138_TA_sentence01") == "FaceTalk_170809_00138_TA"
    assert biwi.subject("F2_e37") == "F2" and biwi.subject("noname") == "noname"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("vertices: 12", "vertices: many"), "vertices is 'many'; it must be a whole number of at least 1."),
        (("measured: 25", "measured: 0"), "fps measured is 0; it must be a whole number of at least 1."),
        (("unit: mm\n", ""), "the entry unit is missing. It needs name, vertices, fps, unit."),
        (("unit: mm", "units: mm"), "there is no entry 'units'. Entries: name, vertices, fps, unit, title, subject, truth, "
         "templates, regions, exponents, note."),
        (("?P<subject>", ""), "subject is '[a-z]+-([A-Z0-9]+)_.*'; it needs a group that is called so, as in (?P<subject>[^_]+)_.*"),
        (("[A-Z0-9]+)", "[A-Z0-9]+"), "subject is no regular expression ("),
        (("lips:", "mouth:"), "regions must have only lips, upper."),
        (("lve: -2", "lve: small"), "exponents must be whole numbers, such as {lve: -5, mve: -5, fdd: -7}."),
        (("name: mine", "name: a b"), "the name 'a b' must be of letters, digits, dots, dashes and underscores."),
    ],
)  # fmt: skip
def test_descriptions_that_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    (tmp_path / "mine.yaml").write_text(MINE.replace(*change))
    with pytest.raises(ConfigurationError) as error:
        read_dataset(tmp_path / "mine.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'mine.yaml'}: {message}")


def test_files_that_are_no_description(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no description of a data set .*nowhere\.yaml"):
        find_dataset(tmp_path / "nowhere.yaml")
    (tmp_path / "a.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigurationError, match=r"a\.yaml, line 2: it is no YAML \(while parsing"):
        find_dataset(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigurationError, match=r"a\.yaml, line 1: it is no YAML \(could not determine a constructor"):
        find_dataset(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigurationError, match=r"a\.yaml, line 1: lines of NAME: VALUE are expected"):
        find_dataset(tmp_path / "a.yaml")
    with pytest.raises(FaceError, match=r"does not describe it\. Make the table again"):
        FaceTable.from_json('{"schema": "analysis.face.table", "schema_version": 2, "dataset": "mine", "runs": {}}')
