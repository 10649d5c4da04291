"""Lip metrics against loops, at both ends of their scales, and through the table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, FaceError
from analysis.face.__main__ import main
from analysis.face.datasets import Truth
from analysis.face.evaluation import Run, evaluate
from analysis.face.homophones import Spoken
from analysis.face.lips import LIP_METRICS, LipPoints, find_lip_points, lip_difference, lip_measures, read_phones
from analysis.face.regions import Region
from analysis.face.synthetic import builtin_alignments, face_mesh, synthesize
from tests.face.conftest import LIPS, UPPER

POINTS = LipPoints(LIPS[0], LIPS[1], LIPS[2], LIPS[3])


def _measured(small_set, run: str = "FaceFormer", folder: Path | None = None):
    truth = Truth.open(small_set.folder / "vertices_npy", small_set.folder / "templates.pkl", "biwi")
    regions = Region("lve.txt", np.array(LIPS)), Region("fdd.txt", np.array(UPPER))
    return evaluate(Run(run, folder or small_set.folder / run), truth, *regions)


def test_distances_and_velocities_equal_loops(small_set) -> None:
    found = lip_measures(_measured(small_set), points=POINTS)
    errors = {"vertical": [], "horizontal": []}
    correlations = {"vertical": [], "horizontal": []}
    velocities, n_moves = 0.0, 0
    for clip, truth in small_set.truths.items():
        prediction = small_set.predictions["FaceFormer"][clip]
        length = min(len(truth), len(prediction))
        for name, a, b in (("vertical", POINTS.upper, POINTS.lower), ("horizontal", POINTS.left, POINTS.right)):
            p, g = ([math.dist(x[t][a], x[t][b]) for t in range(length)] for x in (prediction, truth))
            errors[name] += [abs(p[t] - g[t]) for t in range(length)]
            correlations[name].append(np.corrcoef(p, g)[0, 1])
        for t in range(1, length):
            for v in LIPS:
                moved = [
                    (prediction[t][v][k] - prediction[t - 1][v][k]) - (truth[t][v][k] - truth[t - 1][v][k]) for k in range(3)
                ]
                velocities += math.sqrt(sum(float(x) ** 2 for x in moved)) * 25 / len(LIPS)
            n_moves += 1
    for name in ("vertical", "horizontal"):
        assert found[f"{name}_error"]["value"] == pytest.approx(np.mean(errors[name]), rel=1e-5)
        assert found[f"{name}_corr"]["value"] == pytest.approx(np.mean(correlations[name]), rel=1e-5)
    assert found["velocity_error"]["value"] == pytest.approx(velocities / n_moves, rel=1e-5)
    assert not {"closure", "rounding", "lag", "viseme", "diversity"} & set(found)  # no phones, no samples


@pytest.fixture(scope="module")
def spoken_set(tmp_path_factory):
    """A synthetic set with its phones, and how to measure a changed prediction of it."""
    made = synthesize(tmp_path_factory.mktemp("lips") / "set", builtin_alignments(8), frameworks=["FaceFormer"])
    truth = Truth.open(made.folder / "vertices_npy", made.folder / "templates.pkl", "biwi")
    _, _, lips, upper, _ = face_mesh("biwi")
    phones = read_phones(made.folder / "phones.csv")

    def measure(folder: Path, change) -> dict:
        folder.mkdir()
        for clip in made.clips:
            vertices = np.load(made.folder / "vertices_npy" / f"{clip}.npy").reshape(-1, truth.n_vertices, 3)
            for name, sequence in change(vertices, truth.template(clip)).items():
                np.save(folder / f"{clip}{name}.npy", sequence.astype(np.float32))
        run = evaluate(Run("x", folder), truth, Region("lips", lips), Region("upper", upper), condition="mean")
        return lip_measures(run, phones=phones)

    return measure


def test_ends_of_the_scales(spoken_set, tmp_path: Path) -> None:
    perfect = spoken_set(tmp_path / "a", lambda x, m: {"": x})
    for name in ("vertical_error", "horizontal_error", "velocity_error", "lag"):
        assert perfect[name]["value"] == pytest.approx(0, abs=1e-7), name
    for name in ("vertical_corr", "horizontal_corr"):
        assert perfect[name]["value"] == pytest.approx(1)
    for name in ("closure", "rounding", "viseme"):
        assert perfect[name]["value"] == perfect[name]["truth"] > 0.4, name
    assert perfect["closure"]["truth"] > 0.85
    wide = spoken_set(tmp_path / "b", lambda x, m: {"": np.broadcast_to(x.max(axis=0), x.shape)})  # lips that never move
    assert wide["velocity_error"]["value"] > 0
    assert not {"vertical_corr", "horizontal_corr", "lag"} & set(wide)  # what does not move has no correlation
    assert wide["closure"]["value"] < 0.5 * perfect["closure"]["value"]
    gain = lip_difference(wide, perfect)
    assert gain["velocity_error"]["high"] < 0 < gain["closure"]["estimate"]
    assert gain["closure"]["n_clips"] == 8 and gain["closure"]["p"] < 0.05


@pytest.mark.parametrize("frames", [-2, 1, 3])
def test_a_late_prediction_has_its_lag(spoken_set, tmp_path: Path, frames: int) -> None:
    late = spoken_set(tmp_path / "late", lambda x, m: {"": np.roll(x, frames, axis=0)})
    assert late["lag"]["value"] == pytest.approx(frames / 25, abs=0.2 / 25)
    assert late["vertical_error"]["value"] > 0


def test_diversity_is_the_mean_distance_of_two_samples(spoken_set, tmp_path: Path) -> None:
    offsets = {"_condition_F2_1": 0.0, "_condition_F2_2": 0.01, "_condition_F2_3": 0.04}
    found = spoken_set(tmp_path / "d", lambda x, m: {name: x + np.array([offset, 0, 0]) for name, offset in offsets.items()})
    assert found["diversity"]["value"] == pytest.approx((0.01 + 0.04 + 0.03) / 3, rel=1e-4)
    assert found["diversity"]["n"] == 24  # three pairs in each of eight clips
    one = spoken_set(tmp_path / "e", lambda x, m: {"_condition_F2": x, "_condition_M3": x})
    assert "diversity" not in one  # other styles are no samples


def test_points_are_found_in_the_template() -> None:
    vertices, _, lips, _, _ = face_mesh("vocaset")
    points = find_lip_points(vertices, Region("lips", lips))
    x, y = vertices[:, 0], vertices[:, 1]
    assert y[points.upper] > y[points.lower] and x[points.left] < x[points.right]
    assert x[points.upper] == x[points.lower] == pytest.approx(0, abs=1e-9)
    assert {points.upper, points.lower, points.left, points.right} <= set(lips.tolist())
    flat = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]])
    with pytest.raises(FaceError) as error:
        find_lip_points(flat, Region("row.txt", np.arange(3)))
    assert str(error.value) == (
        "The lips row.txt have no vertex above the line between their corners. Name the points with --lip-points "
        "UPPER,LOWER,LEFT,RIGHT."
    )
    with pytest.raises(ConfigurationError, match="--lip-points takes four vertices, UPPER,LOWER,LEFT,RIGHT, not '1,2,x,4'"):
        LipPoints.parse("1,2,x,4")


def test_through_the_table(small_set, tmp_path: Path, capsys) -> None:
    points = ",".join(map(str, LIPS))
    (tmp_path / "phones.csv").write_text(
        "utterance,phone,start,end\n" + "".join(f"{clip},{phone},{start},{start + 0.08}\n" for clip in small_set.truths
                                               for phone, start in (("P", 0.0), ("AA1", 0.08)))
    )  # fmt: skip
    arguments = small_set.arguments("--json", str(tmp_path / "t.json"), "--lip-points", points)
    assert main(arguments) == 2
    assert capsys.readouterr().err == "error: --lip-points is for --lip-metrics. Pass that too.\n"
    assert main([*arguments, "--lip-metrics", "--phones", str(tmp_path / "phones.csv")]) == 0
    printed = capsys.readouterr().out
    assert (
        f"Lips (raw data units, s, shares; points: upper {LIPS[0]}, lower {LIPS[1]}, corners {LIPS[2]} and {LIPS[3]})" in printed
    )
    runs = json.loads((tmp_path / "t.json").read_text())["runs"]
    lips = runs["FaceFormer+Wav2Sem"]["lips"]
    assert set(lips) - {"points", "thresholds", "difference"} <= set(LIP_METRICS)
    assert lips["difference"]["vertical_error"]["estimate"] == pytest.approx(
        lips["vertical_error"]["value"] - runs["FaceFormer"]["lips"]["vertical_error"]["value"]
    )
    assert 0 <= lips["closure"]["low"] <= lips["closure"]["value"] <= lips["closure"]["high"] <= 1
    assert set(lips["thresholds"]["closure"]) == {"F2", "M3"}
    assert main([*arguments[:-1], "1,2,3,99", "--lip-metrics"]) == 2
    assert (
        "A lip point is no vertex of the meshes, which have 12 vertices: upper 1, lower 2, corners 3 and 99."
        in capsys.readouterr().err
    )


def test_phones_lose_their_stress(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("utterance,phone,start,end\na,UW1,0.1,0.2\n")
    assert read_phones(tmp_path / "p.csv") == [Spoken("a", "UW", 0.1, 0.2)]
