"""What people put in: names that scripts write, rates, masks with weights, binary meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.errors import FaceError
from analysis.face.figures import read_faces
from analysis.face.predictions import find_predictions
from analysis.face.regions import read_region
from analysis.face.sequences import at_rate, matched_length


def test_names_of_facediffusers_predict_script(tmp_path: Path) -> None:
    """WAV_DATASET_SUBJECT_condition_X.npy: the wav is named as the clip, or as its sentence."""
    clips = ("F2_e37", "F2_e38", "M3_e37", "FaceTalk_170731_00024_TA_sentence01")
    subjects = ("F2", "M3", "FaceTalk_170731_00024_TA")
    for name in (
        "e37_BIWI_F2_condition_M3",
        "F2_e38_BIWI_F2_condition_F2",
        "e37_BIWI_M3_condition_F2",
        "sentence01_vocaset_FaceTalk_170731_00024_TA_condition_F2",
        "e99_BIWI_F2_condition_F2",
        "test_BIWI_Q9_condition_F2",
    ):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 3)))
    found, unmatched = find_predictions(tmp_path, clips, subjects)
    assert {(one.clip, one.condition) for group in found.values() for one in group} == {
        ("F2_e37", "M3"),
        ("F2_e38", "F2"),
        ("M3_e37", "F2"),
        ("FaceTalk_170731_00024_TA_sentence01", "F2"),
    }
    assert {path.stem for path in unmatched} == {"e99_BIWI_F2_condition_F2", "test_BIWI_Q9_condition_F2"}


def test_twentyfour_frames_a_second_are_named_and_brought_to_twentyfive() -> None:
    truth, prediction = np.zeros((125, 2, 3)), np.zeros((120, 2, 3))
    with pytest.raises(FaceError) as error:
        matched_length(prediction, truth, tolerance=2, fps=25, name="LG-LDM, F2_e37")
    assert str(error.value) == (
        "LG-LDM, F2_e37: the prediction has 120 frames and the truth 125 at 25 frames a second, a gap of 5 where 2 is allowed "
        "(--tolerance). The ratio is that of 24 to 25 frames a second: LG-LDM writes int(seconds x 24) frames on BIWI, and its own "
        "evaluation compares them frame by frame with the first of the truth: --tolerance 5 does so. If the frames are 24 a second "
        "in time, state --prediction-fps 24 and they are brought to 25."
    )
    times = (np.arange(120) + 0.5) / 24
    moved = at_rate(np.tile(times[:, None, None], (1, 2, 3)), 24, 25, "x")
    assert moved.shape == (125, 2, 3)
    expected = np.clip((np.arange(125) + 0.5) / 25, times[0], times[-1])  # nothing is made up outside the first and last centre
    np.testing.assert_allclose(moved[:, 0, 0], expected, atol=1e-9)
    with pytest.raises(FaceError, match="24 frames a second, which cannot be brought to 30 by leaving frames out"):
        at_rate(truth, 24, 30, "x")


def test_masks_with_a_weight_for_every_vertex(tmp_path: Path) -> None:
    weights = np.array([7e-6, 0.5, 0.1, 0.11, 0.0, 1.0])
    (tmp_path / "mouth.txt").write_text("\n".join(f"{weight:.18e}" for weight in weights) + "\n")
    np.save(tmp_path / "mouth.npy", weights)
    for name in ("mouth.txt", "mouth.npy"):
        region = read_region(f"{tmp_path / name}>0.1")
        assert (region.name, region.indices.tolist()) == (f"{name}>0.1", [1, 3, 5])
        with pytest.raises(FaceError) as error:
            read_region(tmp_path / name)
        assert str(error.value) == (
            f"Region file {tmp_path / name} holds a weight for each of 6 vertices, from 0 to 1. Say above which weight a vertex "
            f"belongs, as in {name}>0.1 (FaceDiffuser: 0.1 for the mouth, 0.4 for the forehead)."
        )
    with pytest.raises(FaceError, match="has no weight above 2; the largest is 1"):
        read_region(f"{tmp_path / 'mouth.txt'}>2")
    with pytest.raises(FaceError, match=r"'1e' after > is no number\. Write it as in weighted_mouth_mask\.txt>0\.1"):
        read_region(f"{tmp_path / 'mouth.txt'}>1e")


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_triangles_of_ply_files(tmp_path: Path, encoding: str) -> None:
    import trimesh

    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=float)  # the last repeats the first
    faces = np.array([[0, 1, 2], [4, 2, 3]])
    data = trimesh.Trimesh(vertices, faces, process=False).export(file_type="ply", encoding=encoding)
    (tmp_path / "t.ply").write_bytes(data)
    assert (b"binary_little_endian" in data[:60]) == (encoding == "binary")
    assert read_faces(tmp_path / "t.ply").tolist() == faces.tolist()  # vertices keep their numbers: nothing is merged
    (tmp_path / "cut.ply").write_bytes(data[: len(data) - 10])
    with pytest.raises(FaceError, match=r"cut\.ply (cannot be read as \.ply|states 2 faces and holds [01])"):
        read_faces(tmp_path / "cut.ply")
    (tmp_path / "mesh.stl").write_bytes(b"solid")
    with pytest.raises(FaceError, match=r"mesh\.stl is no mesh that can be read\. Give \.obj, \.ply, or triangles"):
        read_faces(tmp_path / "mesh.stl")
