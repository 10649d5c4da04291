"""The streaming evaluator against the loop oracle; rates, scales, conditions, namings; what tables refuse to mix."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, FaceError, NotComparableError
from analysis.face import sequences
from analysis.face.datasets import Truth
from analysis.face.evaluation import METRICS, Run, evaluate, require_comparable
from analysis.face.predictions import find_predictions
from analysis.face.regions import Region
from tests.face.conftest import LIPS, N_VERTICES, UPPER, SmallSet
from tests.reference import face as oracle

LIP_REGION, UPPER_REGION = Region("lve.txt", np.array(LIPS)), Region("fdd.txt", np.array(UPPER))


def _truth(small_set: SmallSet, **options) -> Truth:
    return Truth.open(small_set.folder / "vertices_npy", small_set.folder / "templates.pkl", "biwi", **options)


def _evaluate(small_set: SmallSet, run: str = "FaceFormer", **options):
    return evaluate(Run(run, small_set.folder / run), _truth(small_set), LIP_REGION, UPPER_REGION, **options)


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 4 << 20])
@pytest.mark.parametrize("preset", ["facediffuser", "unitalker", "meshtalk"])
def test_streaming_equals_the_loops_whatever_the_pieces(small_set, monkeypatch, preset: str, chunk_bytes: int) -> None:
    monkeypatch.setattr(sequences, "_CHUNK_BYTES", chunk_bytes)
    measures = _evaluate(small_set, preset=preset).measures()
    truths, predictions = list(small_set.truths.values()), list(small_set.predictions["FaceFormer"].values())
    templates = [small_set.templates[clip[:2]] for clip in small_set.truths]
    options = {"unitalker": {"pooling": "clips"}, "meshtalk": {"root": True, "centred": True}}.get(preset, {})
    expected = {
        "lve": oracle.lve(predictions, truths, LIPS, **options),
        "lve_root": oracle.lve(predictions, truths, LIPS, **{**options, "root": True}),
        "mve": oracle.mve(predictions, truths),
        "fdd": oracle.fdd(predictions, truths, templates, UPPER),
        "fdd_abs": oracle.fdd(predictions, truths, templates, UPPER, absolute=True),
    }
    assert {name: measure.value for name, measure in measures.items()} == pytest.approx(expected, rel=1e-6)


def test_every_number_says_how_it_was_made(small_set) -> None:
    measures = _evaluate(small_set, preset="codetalker").measures()
    lve, mve, fdd = measures["lve"], measures["mve"], measures["fdd"]
    assert (lve.preset, lve.definition, lve.power, lve.pooling, lve.sign, lve.units) == (
        *("codetalker", "codetalker", "squared", "frames", "none", "BIWI unit^2"),
    )
    assert (lve.region, lve.region_size, lve.region_sha1) == ("lve.txt", 4, LIP_REGION.sha1)
    assert (mve.definition, mve.power, mve.region, mve.region_size, mve.units) == (
        *("facediffuser", "root", "all vertices", N_VERTICES, "BIWI unit"),
    )
    assert (fdd.power, fdd.pooling, fdd.sign, fdd.region_sha1) == ("std of squared", "clips", "signed", UPPER_REGION.sha1)
    assert measures["fdd_abs"].sign == "absolute"
    assert (lve.fps, lve.template, lve.condition, lve.dataset, lve.n_clips, lve.n_frames) == (
        25,
        "templates.pkl",
        "single",
        "biwi",
        4,
        25,
    )


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"preset": "meshtalk"}, "preset"),
        ({"lips": Region("lve.txt", np.array([3, 4, 5]))}, "region size"),
        ({"lips": Region("lve.txt", np.array([3, 4, 5, 7]))}, "region sha1"),
        ({"clips": ["F2_e37"]}, "n clips"),
    ],
)
def test_what_was_made_otherwise_is_not_compared(small_set, options: dict, setting: str) -> None:
    lips = options.pop("lips", LIP_REGION)
    run, truth = Run("FaceFormer", small_set.folder / "FaceFormer"), _truth(small_set)
    one, other = evaluate(run, truth, LIP_REGION, UPPER_REGION), evaluate(run, truth, lips, UPPER_REGION, **options)
    with pytest.raises(NotComparableError, match=f"cannot stand in one table: {setting} is"):
        require_comparable([*one.measures().values(), *other.measures().values()])


def test_the_best_of_several_does_not_stand_beside_one(small_set) -> None:
    lve = _evaluate(small_set).measures()["lve"]
    require_comparable([lve, replace(lve, condition="mean")])
    with pytest.raises(NotComparableError) as error:
        require_comparable([lve, replace(lve, condition="best")])
    assert str(error.value) == (
        "Values of lve cannot stand in one table: some are of the best of several predictions (best) and some are not (single). "
        "Measure all runs with the same --condition."
    )


def test_frame_rates_are_brought_together(small_set) -> None:
    """60 on disk, measured at 30, predictions at 60 and at 30: the same numbers."""
    slow = _evaluate(small_set).measures()
    fast = small_set.folder / "fast"
    fast.mkdir()
    for clip, truth in small_set.truths.items():
        np.save(small_set.truth_file(clip), np.repeat(truth, 2, axis=0).reshape(2 * len(truth), -1))
        np.save(fast / f"{clip}.npy", np.repeat(small_set.predictions["FaceFormer"][clip], 2, axis=0))
    truth = _truth(small_set, truth_fps=50)
    for run in (Run("fast", fast, fps=50), Run("FaceFormer", small_set.folder / "FaceFormer")):
        found = evaluate(run, truth, LIP_REGION, UPPER_REGION).measures()
        assert {name: found[name].value for name in METRICS} == pytest.approx({name: slow[name].value for name in METRICS})


def test_a_scale_is_taken_back(small_set) -> None:
    plain = _evaluate(small_set).measures()
    scaled = small_set.folder / "scaled"
    scaled.mkdir()
    for clip, prediction in small_set.predictions["FaceFormer"].items():
        np.save(scaled / f"{clip}.npy", prediction * np.float32(0.2))
    truth = _truth(small_set)
    right = evaluate(Run("UniTalker", scaled, scale=0.2), truth, LIP_REGION, UPPER_REGION)
    assert {n: m.value for n, m in right.measures().items()} == pytest.approx({n: m.value for n, m in plain.items()}, rel=1e-4)
    assert right.failures == ()
    wrong = evaluate(Run("UniTalker", scaled), truth, LIP_REGION, UPPER_REGION)
    (doubt,) = [failure for failure in wrong.failures if "times as large" in failure.reason]
    assert doubt.severity == "warning"
    assert doubt.remedy == "If its vertices were multiplied by a constant, state it, as in --scale UniTalker=0.2."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x + 5, "the predicted face is centred elsewhere than the true one"),
        (lambda x: x[..., [0, 2, 1]] * [1, 1, -1], "the predicted face's axes look exchanged or mirrored against the truth"),
    ],
)
def test_moved_and_turned_faces_are_doubted(small_set, change, reason: str) -> None:
    folder = small_set.folder / "odd"
    folder.mkdir()
    for clip, prediction in small_set.predictions["FaceFormer"].items():
        np.save(folder / f"{clip}.npy", change(prediction))
    found = evaluate(Run("odd", folder), _truth(small_set), LIP_REGION, UPPER_REGION)
    assert [(failure.severity, failure.reason) for failure in found.failures] == [("warning", reason)]


def _conditioned(small_set: SmallSet) -> Path:
    """Predictions of F2's clips on two style subjects, one of them closer to the truth."""
    folder = small_set.folder / "styles"
    folder.mkdir()
    for clip in ("F2_e37", "F2_e38"):
        prediction = small_set.truths[clip]
        np.save(folder / f"{clip}_condition_M3.npy", prediction + np.float32(0.1))
        np.save(folder / f"{clip}_condition_F9.npy", prediction + np.float32(0.2 if clip == "F2_e37" else 0.05))
    return folder


def test_conditions_as_mean_best_and_chosen(small_set) -> None:
    folder, truth = _conditioned(small_set), _truth(small_set)
    run = Run("styles", folder)

    def lve(condition: str, clips=None) -> tuple[str, float]:
        found = evaluate(run, truth, LIP_REGION, UPPER_REGION, condition=condition, clips=clips)
        return found.policy, found.measures()["lve"].value

    n1, n2 = len(small_set.truths["F2_e37"]), len(small_set.truths["F2_e38"])
    near, far, close = 3 * 0.1**2, 3 * 0.2**2, 3 * 0.05**2
    expected = ((near + far) / 2 * n1 + (near + close) / 2 * n2) / (n1 + n2)
    assert lve("auto") == ("mean", pytest.approx(expected, rel=1e-4))
    assert lve("mean") == ("mean", pytest.approx(expected, rel=1e-4))
    assert lve("best") == ("best", pytest.approx((near * n1 + close * n2) / (n1 + n2), rel=1e-4))
    assert lve("M3") == ("chosen:M3", pytest.approx(near, rel=1e-4))
    both = evaluate(run, truth, LIP_REGION, UPPER_REGION)
    assert both.measures("best")["lve"].value == pytest.approx((near * n1 + close * n2) / (n1 + n2), rel=1e-4)
    assert both.conditions == ("F9", "M3")
    missing = evaluate(run, truth, LIP_REGION, UPPER_REGION, condition="own")
    assert missing.failures[0].reason == "no prediction of F2_e37 has the condition 'own' (it has: F9, M3)"


def test_seen_and_unseen_subjects_are_not_mixed_silently(small_set) -> None:
    folder = _conditioned(small_set)
    np.save(folder / "M3_e37_condition_M3.npy", small_set.truths["M3_e37"])
    with pytest.raises(ConfigurationError) as error:
        evaluate(Run("styles", folder), _truth(small_set), LIP_REGION, UPPER_REGION)
    assert str(error.value) == (
        f"In {folder} some clips are conditioned on their own subject (M3_e37) and some on several others (F2_e38). Measure the "
        f"two apart: choose clips with --clips, or state --condition."
    )


def test_a_clip_that_lost_a_condition_is_left_out(small_set) -> None:
    folder = _conditioned(small_set)
    (folder / "F2_e38_condition_F9.npy").write_bytes(b"cut")
    found = evaluate(Run("styles", folder), _truth(small_set), LIP_REGION, UPPER_REGION)
    assert found.clips == ("F2_e37",)
    assert "is no .npy file" in found.failures[0].reason


def test_every_naming_gives_the_same_numbers(small_set) -> None:
    torch = pytest.importorskip("torch")
    expected = {name: measure.value for name, measure in _evaluate(small_set).measures().items()}
    predictions = small_set.predictions["FaceFormer"]
    folders = {
        name: small_set.folder / name for name in ("samples", "prefixed", "bare", "voca", "voca_flat", "diffspeaker", "unitalker")
    }
    for folder in folders.values():
        folder.mkdir()
    for clip, prediction in predictions.items():
        subject = clip[:2]
        np.save(folders["samples"] / f"{clip}_condition_{subject}_1.npy", prediction)
        np.save(folders["prefixed"] / f"facediff_{clip}_condition_{subject}.npy", prediction)
        np.save(folders["bare"] / f"{clip}.npy", prediction.reshape(1, len(prediction), -1))
        for folder in (folders["voca"] / clip / "meshes", folders["voca_flat"] / clip):
            folder.mkdir(parents=True)
            for number, frame in enumerate(prediction):
                text = "# mesh\n" + "".join(f"v {x:.9f} {y:.9f} {z:.9f}\n" for x, y, z in frame) + "f 1 2 3\n"
                (folder / f"{number:05d}.obj").write_text(text)
        report = {"prediction": prediction.reshape(1, len(prediction), -1), "fdd": torch.tensor(0.1)}
        (folders["diffspeaker"] / f"{clip}_condition_3.pkl").write_bytes(pickle.dumps(report))
    archive = {
        f"wav/{clip}.wav": np.array({"D1": torch.from_numpy(p), "D2": torch.zeros(3, 7)}, object)
        for clip, p in predictions.items()
    }
    np.savez(folders["unitalker"] / "result.npz", **archive)
    truth = _truth(small_set)
    for name, folder in folders.items():
        found = evaluate(Run(name, folder), truth, LIP_REGION, UPPER_REGION)
        assert found.failures == (), name
        assert {n: m.value for n, m in found.measures().items()} == pytest.approx(expected, rel=1e-4), name
    samples, _ = find_predictions(folders["samples"], truth.clips, truth.templates)
    assert (samples["F2_e37"][0].condition, samples["F2_e37"][0].sample) == ("F2", "1")


def test_names_are_told_apart() -> None:
    from analysis.face.predictions import _parse

    clips = sorted(("FaceTalk_170809_00138_TA_sentence01", "FaceTalk_170809_00138_TA_sentence02"), key=len, reverse=True)
    subjects = ("FaceTalk_170809_00138_TA", "FaceTalk_170728_03272_TA")
    name = "FaceTalk_170809_00138_TA_sentence01_condition_FaceTalk_170728_03272_TA"
    found = _parse(name, Path("x.npy"), "", clips, subjects)
    assert (found.clip, found.condition, found.sample) == (clips[0], "FaceTalk_170728_03272_TA", "")
    assert _parse(name + "_2", Path("x.npy"), "", clips, subjects).sample == "2"
    assert _parse("sentence01_condition_F2", Path("x.npy"), "", clips, subjects) is None


def test_an_archive_that_asks_for_code_and_one_cut_short(small_set) -> None:
    class Payload:
        def __reduce__(self):
            import os

            return os.mkdir, (str(small_set.folder / "pwned"),)

    folder = small_set.folder / "npz"
    folder.mkdir()
    np.savez(folder / "r.npz", **{"F2_e37.wav": np.array({"D1": Payload()}, object)})
    found = evaluate(Run("npz", folder), _truth(small_set), LIP_REGION, UPPER_REGION)
    assert "which could run code" in found.failures[0].reason
    assert not (small_set.folder / "pwned").exists()
    (folder / "r.npz").write_bytes((folder / "r.npz").read_bytes()[:100])
    with pytest.raises(FaceError, match=r"r\.npz is no \.npz archive"):
        find_predictions(folder, ["F2_e37"])
