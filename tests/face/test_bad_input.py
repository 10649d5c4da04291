"""What can be wrong with a request or a file, and the whole message that follows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import FaceError
from analysis.face.__main__ import main
from analysis.face.datasets import Truth, read_templates
from analysis.face.regions import Region, read_region
from analysis.face.sequences import as_sequence, at_rate, open_array

ASK = "\nMend them, choose clips with --clips, or pass --keep-going to leave them out of every run.\n"
SOME = "error: Some clips cannot be used, and a number over fewer clips is another number:\n"


def _message(small_set, capsys, *more: str) -> str:
    assert main(small_set.arguments(*more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_region_of_another_mesh(small_set, capsys) -> None:
    (small_set.folder / "lve.txt").write_text("3,4,4996")
    assert _message(small_set, capsys) == (
        "error: Region lve.txt names vertex 4996, but the meshes have 12 vertices (0 to 11). Is the region of another mesh "
        "(VOCASET has "
        "5,023 vertices, BIWI 23,370), or counted from 1?\n"
    )


def test_vertices_of_another_mesh(small_set, capsys) -> None:
    np.save(small_set.prediction_file("F2_e37"), np.zeros((7, 5023 * 3), np.float32))
    assert _message(small_set, capsys) == (
        f"{SOME}  FaceFormer/F2_e37: {small_set.prediction_file('F2_e37')} has shape (7, 15069), which is 5023 vertices a "
        "frame; the template "
        f"has 12. Expected (frames, 36) or (frames, 12, 3). Do the predictions belong to this data set (VOCASET has 5,023 "
        "vertices, BIWI "
        f"23,370)?{ASK}"
    )


@pytest.mark.parametrize(
    ("length", "cause"),
    [
        (
            16,
            "The ratio is that of 60 to 25 frames a second: are the frame rates right? State them with --prediction-fps and "
            "--truth-fps.",
        ),
        (30, "Does the prediction belong to another clip, or was its audio cut?"),
    ],
)
def test_lengths_that_do_not_fit(small_set, capsys, length: int, cause: str) -> None:
    np.save(small_set.prediction_file("F2_e37"), np.zeros((length, 36), np.float32))
    assert _message(small_set, capsys) == (
        f"{SOME}  FaceFormer/F2_e37: FaceFormer, F2_e37: the prediction has {length} frames and the truth 7 at 25 frames a "
        "second, a gap of "
        f"{length - 7} where 2 is allowed (--tolerance). {cause}{ASK}"
    )


def test_frame_rates_that_cannot_be_brought_together(small_set, capsys) -> None:
    error = _message(small_set, capsys, "--prediction-fps", "30")
    path = small_set.prediction_file("F2_e37")
    assert error.startswith(
        f"error: No clip can be used in every run:\n  FaceFormer/F2_e37: {path} has 30 frames a second, which cannot be "
        "brought to 25 by "
        f"leaving frames out. Give the right rate, or resample the sequence.\n"
    )
    assert error.endswith("  ... and 3 more\n")


def test_unknown_subject(small_set, capsys) -> None:
    small_set.truth_file("F2_e37").rename(small_set.truth_file("F9_e37"))
    for run in ("FaceFormer", "FaceFormer+Wav2Sem"):
        small_set.prediction_file("F2_e37", run).rename(small_set.prediction_file("F9_e37", run))
    line = (
        "Clip F9_e37 is of subject F9, who has no template in templates.pkl. It holds: F2, M3. Are clips named "
        "SUBJECT_SENTENCE.npy?"
    )
    assert _message(small_set, capsys) == f"{SOME}  FaceFormer/F9_e37: {line}\n  FaceFormer+Wav2Sem/F9_e37: {line}{ASK}"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["prediction", "truth"])
def test_vertices_that_are_no_numbers(small_set, capsys, value: float, side: str) -> None:
    path = small_set.prediction_file("M3_e38") if side == "prediction" else small_set.truth_file("M3_e38")
    vertices = np.load(path)
    vertices[4, 3 * 7 + 1] = value
    np.save(path, vertices)
    line = f"{path} is not a number at frame 4, vertex 7 (counted at 25 frames a second). Make it again."
    lines = [f"  FaceFormer/M3_e38: {line}"]
    if side == "truth":
        lines.append(f"  FaceFormer+Wav2Sem/M3_e38: {line}")
    assert _message(small_set, capsys) == SOME + "\n".join(lines) + ASK


def test_truncated_npy(small_set, capsys) -> None:
    path = small_set.prediction_file("F2_e38")
    path.write_bytes(path.read_bytes()[:-40])
    error = _message(small_set, capsys)
    size = f"{path.stat().st_size:,}"
    start = f"{SOME}  FaceFormer/F2_e38: {path} cannot be read as a .npy file of its stated size; it has {size} bytes. "
    assert error.startswith(f"{start}Was it cut short while being written or copied? Write it again. (")
    assert error.endswith(ASK)


@pytest.mark.parametrize("content", [b"", b"\x93NUM", b"\x93NUMPY\x01\x00", b"hello, this is text"])
def test_files_that_are_no_arrays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.npy"
    path.write_bytes(content)
    with pytest.raises(FaceError, match=str(path)):
        open_array(path)


def test_missing_prediction(small_set, capsys) -> None:
    small_set.prediction_file("M3_e37", "FaceFormer+Wav2Sem").unlink()
    folder = small_set.folder / "FaceFormer+Wav2Sem"
    assert _message(small_set, capsys) == f"{SOME}  FaceFormer+Wav2Sem/M3_e37: there is no prediction of M3_e37 in {folder}{ASK}"


def test_keep_going_leaves_the_clip_out_of_every_run(small_set, capsys, tmp_path: Path) -> None:
    import json

    small_set.prediction_file("M3_e37", "FaceFormer+Wav2Sem").unlink()
    assert main(small_set.arguments("--keep-going", "--json", str(tmp_path / "t.json"))) == 0
    captured = capsys.readouterr()
    assert "left out: FaceFormer+Wav2Sem/M3_e37: there is no prediction" in captured.err
    assert "Left out of every run: M3_e37." in captured.out
    document = json.loads((tmp_path / "t.json").read_text())
    assert [run["n_clips"] for run in document["runs"].values()] == [3, 3]
    assert document["failures"][0]["item"] == "FaceFormer+Wav2Sem/M3_e37"


def test_no_prediction_belongs_to_a_clip(small_set, capsys) -> None:
    folder = small_set.folder / "other"
    folder.mkdir()
    np.save(folder / "s01.npy", np.zeros((3, 36)))
    assert _message(small_set, capsys, "--run", f"VOCA={folder}") == (
        f"error: No prediction in {folder} belongs to a clip of {small_set.folder / 'vertices_npy'}: it holds s01.npy, and "
        "the clips are "
        f"named like F2_e37. Name predictions CLIP_condition_SUBJECT.npy or CLIP.npy.\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--preset", "voca"),
            "There is no preset 'voca'. Choose one of: codetalker, facediffuser, unitalker, diffspeaker, meshtalk.",
        ),
        (("--run", "A"), "--run needs NAME=VALUE, not 'A'."),
        (("--run", "FaceFormer=x"), "--run names 'FaceFormer' twice. Name the two apart."),
        (("--scale", "VOCA=0.2"), "--scale names 'VOCA', which is no run. Runs: FaceFormer, FaceFormer+Wav2Sem."),
        (("--scale", "FaceFormer=x"), "--scale needs a number, not 'x'."),
        (("--scale", "FaceFormer=0"), "The scale of FaceFormer is 0.0; it must be a positive number, such as 0.2."),
        (("--prediction-fps", "29.97"), "--prediction-fps needs a whole number of frames a second, not '29.97'."),
        (("--prediction-fps", "FaceFormer=0"), "--prediction-fps needs a whole number of frames a second, not '0'."),
        (("--subjects", "F7"), "There is no clip of subject 'F7'. Subjects: F2, M3."),
        (("--pair", "FaceFormer"), "--pair needs two runs separated by a comma, such as --pair FaceFormer,FaceFormer+Wav2Sem."),
        (("--pair", "FaceFormer,X"), "There is no run 'X' to compare. Runs: FaceFormer, FaceFormer+Wav2Sem."),
        (
            ("--near-homophones", "pairs.csv"),
            "--near-homophones needs to know when syllables are spoken: give --tokens or --textgrids too.",
        ),
        (("--tokens", "nowhere.csv"), "There is no token table at nowhere.csv."),
    ],
)
def test_requests_that_cannot_be_met(small_set, capsys, more: tuple[str, ...], message: str) -> None:
    assert _message(small_set, capsys, *more) == f"error: {message}\n"


def test_unknown_data_set_and_missing_folders(small_set, capsys) -> None:
    arguments = small_set.arguments()
    arguments[2] = "mead"
    assert main(arguments) == 2
    assert capsys.readouterr().err == "error: There is no data set 'mead'. Choose one of: vocaset, biwi, or FILE.yaml.\n"
    arguments = small_set.arguments()
    arguments[4] = "nowhere"
    assert main(arguments) == 2
    assert (
        capsys.readouterr().err
        == "error: There is no folder nowhere with the true vertices (SUBJECT_SENTENCE.npy, such as F2_e37.npy).\n"
    )


def test_templates_that_cannot_be_used(tmp_path: Path) -> None:
    def message(value: object) -> str:
        path = tmp_path / "t.pkl"
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(FaceError) as error:
            read_templates(path)
        return str(error.value).replace(str(path), "t.pkl")

    broken = np.zeros((4, 3))
    broken[2, 1] = np.nan
    assert message([1]) == "t.pkl holds a list, not a dictionary of one template per subject."
    assert message({}) == "t.pkl holds no template. It should hold one array of shape (vertices, 3) per subject."
    assert (
        message({"F2": np.zeros(4)})
        == "The template of F2 in t.pkl is of type float64 and shape (4,); expected (vertices, 3) numbers."
    )
    assert message({"F2": broken}) == "The template of F2 in t.pkl is not a number at vertex 2. Give an undamaged template."
    assert message({"F2": np.zeros((4, 3)), "M3": np.zeros((5, 3))}) == (
        "The templates in t.pkl have different numbers of vertices: [4, 5]. They must share one mesh."
    )
    with pytest.raises(FaceError, match=r"There is no templates file .*nowhere\.pkl"):
        read_templates(tmp_path / "nowhere.pkl")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04cut")
    with pytest.raises(FaceError, match=r"cut\.npz"):
        read_templates(tmp_path / "cut.npz")


def test_templates_as_npz_and_as_a_folder(tmp_path: Path) -> None:
    faces = {"F2": np.ones((4, 3)), "M3": np.zeros((4, 3))}
    np.savez(tmp_path / "t.npz", **faces)
    (tmp_path / "t").mkdir()
    for subject, face in faces.items():
        np.save(tmp_path / "t" / f"{subject}.npy", face.ravel())
    for path in (tmp_path / "t.npz", tmp_path / "t"):
        found = read_templates(path)
        assert {name: face.tolist() for name, face in found.items()} == {name: face.tolist() for name, face in faces.items()}


@pytest.mark.parametrize("text", ["4, 0,2", "4,0,2", "4\n0\n2\n", "[4, 0, 2]", "4 0 2"])
def test_regions_with_any_separator(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lve.txt"
    path.write_text(text)
    region = read_region(path)
    assert region.indices.tolist() == [4, 0, 2]
    assert region.sha1 == Region("x", np.array([0, 2, 4])).sha1


def test_regions_as_arrays_and_bad_regions(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.array([False, True, True]))
    assert read_region(tmp_path / "mask.npy").indices.tolist() == [1, 2]
    np.save(tmp_path / "indices.npy", np.array([[3, 1]]))
    assert read_region(tmp_path / "indices.npy").indices.tolist() == [3, 1]
    np.save(tmp_path / "floats.npy", np.array([0.5]))
    for content, message in (
        ("", "Region bad.txt holds no vertex. Give the file that lists the vertices' indices."),
        ("1, -2", "Region bad.txt holds the index -2. Indices count from 0."),
    ):
        (tmp_path / "bad.txt").write_text(content)
        with pytest.raises(FaceError) as error:
            read_region(tmp_path / "bad.txt")
        assert str(error.value) == message
    (tmp_path / "bad.txt").write_text("1; 2")
    with pytest.raises(FaceError) as error:
        read_region(tmp_path / "bad.txt")
    assert str(error.value) == (
        f"Region file {tmp_path / 'bad.txt'} holds '1;', which is no vertex index. It should list whole numbers separated "
        "by commas."
    )
    (tmp_path / "bad.txt").write_bytes(b"RIFF\xc4E")
    with pytest.raises(FaceError, match=r"Region file .*bad\.txt is no text\. It should list whole numbers"):
        read_region(tmp_path / "bad.txt")
    with pytest.raises(FaceError, match=r"floats\.npy holds a weight for each of 1 vertices, from 0\.5 to 0\.5"):
        read_region(tmp_path / "floats.npy")
    with pytest.raises(FaceError, match="There is no region file"):
        read_region(tmp_path / "nowhere.txt")


def test_shapes_that_are_read_and_refused() -> None:
    flat = np.arange(24.0).reshape(2, 12)
    for stored in (flat, flat.reshape(1, 2, 12), flat.reshape(2, 4, 3), flat.reshape(1, 2, 4, 3)):
        np.testing.assert_array_equal(as_sequence(stored, 4, "x"), flat.reshape(2, 4, 3))
    one = as_sequence(np.zeros((1, 12)), 4, "x")
    assert one.shape == (1, 4, 3)
    with pytest.raises(FaceError, match="x has no frame"):
        as_sequence(np.zeros((0, 12)), 4, "x")
    with pytest.raises(FaceError, match="x holds values of type"):
        as_sequence(np.array([["a"]]), 4, "x")
    with pytest.raises(FaceError, match=r"shape \(12,\)"):
        as_sequence(np.zeros(12), 4, "x")


def test_rates_and_clip_names(small_set) -> None:
    frames = np.arange(10)
    assert at_rate(frames, 60, 30, "x").tolist() == [0, 2, 4, 6, 8]
    assert at_rate(frames, 25, 25, "x") is not None
    truth = Truth.open(small_set.folder / "vertices_npy", small_set.folder / "templates.pkl", "BIWI")
    assert truth.clips == ("F2_e37", "F2_e38", "M3_e37", "M3_e38")
    assert truth.dataset.subject("FaceTalk_170809_00138_TA_sentence01") == "FaceTalk_170809_00138_TA"
