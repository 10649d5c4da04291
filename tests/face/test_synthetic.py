"""The synthetic data sets: six frameworks with and without, from phones and from audio, through the table in one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import FaceError
from analysis.face.__main__ import main
from analysis.face.audio_driven import at_face_rate, audio_predictor
from analysis.face.frameworks import FRAMEWORKS
from analysis.face.synthetic import CONTROLS, builtin_alignments, face_mesh, lip_controls, synthesize

RUNS = [name + module for name in FRAMEWORKS for module in ("", "+Wav2Sem")]


@pytest.mark.parametrize("dataset", ["biwi", "vocaset"])
def test_all_six_rows_with_and_without_through_the_table(tmp_path: Path, capsys, dataset: str) -> None:
    made = synthesize(tmp_path / "set", builtin_alignments(3), dataset=dataset)
    assert main([*made.arguments, "--json", str(tmp_path / "t.json")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    document = json.loads((tmp_path / "t.json").read_text())
    assert list(document["runs"]) == RUNS
    pairs = {(row["without"], row["with_module"]) for row in document["differences"]}
    assert pairs == {(name, f"{name}+Wav2Sem") for name in FRAMEWORKS}
    for row in document["differences"]:  # a planted improvement
        if row["metric"] in ("lve", "mve"):
            assert row["estimate"] < 0, row
            assert row["ci_low"] < row["estimate"] < row["ci_high"], row
    for name in FRAMEWORKS:
        without, with_module = (document["runs"][run]["near_homophones"] for run in (name, f"{name}+Wav2Sem"))
        assert with_module["lve"] < without["lve"]
        if dataset == "biwi":  # the planted faults are halved, and contrast is linear in them
            assert 1 - with_module["contrast_kept"] == pytest.approx((1 - without["contrast_kept"]) / 2, abs=1e-4)
            assert with_module["difference"]["contrast_kept"] == pytest.approx((1 - without["contrast_kept"]) / 2, abs=1e-4)
    if dataset == "vocaset":
        best, mean = (document["runs"]["FaceFormer"]["conditions"][policy]["lve"] for policy in ("best", "mean"))
        assert best <= mean == document["runs"]["FaceFormer"]["lve"]


def test_no_improvement_is_found_where_none_is_planted(tmp_path: Path, capsys) -> None:
    made = synthesize(tmp_path / "set", builtin_alignments(3), improvement=0.0, frameworks=["FaceFormer", "LG-LDM"])
    assert main([*made.arguments, "--json", str(tmp_path / "t.json")]) == 0
    for row in json.loads((tmp_path / "t.json").read_text())["differences"]:
        assert row["estimate"] == row["ci_low"] == row["ci_high"] == 0
        assert row["p_permutation"] == 1
        assert row["p_wilcoxon"] is None


def test_one_command_makes_and_joins_both_data_sets(tmp_path: Path, capsys) -> None:
    assert main(["demo", str(tmp_path / "demo"), "--corpus", "builtin", "--n-clips", "2"]) == 0
    printed = capsys.readouterr().out
    assert "== both ==" in printed
    document = json.loads((tmp_path / "demo" / "table.json").read_text())
    assert [list(part["runs"]) for part in document["datasets"].values()] == [RUNS, RUNS]
    for name in ("table.md", "table.tex", "table.csv", "biwi/figures/vertex_error.png"):
        assert (tmp_path / "demo" / name).is_file()


def test_the_printed_command_measures_the_set(tmp_path: Path, capsys) -> None:
    import shlex

    assert main(["synthesize", str(tmp_path / "set"), "--n-clips", "3"]) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "analysis.face"]
    assert main(words[3:]) == 0


def test_the_same_seed_gives_the_same_faces(tmp_path: Path) -> None:
    made = [synthesize(tmp_path / name, builtin_alignments(2), frameworks=["CodeTalker"], seed=3) for name in "ab"]
    files = [sorted(path.relative_to(one.folder) for path in one.folder.rglob("*.npy")) for one in made]
    assert files[0] == files[1]
    for file in files[0]:
        assert (made[0].folder / file).read_bytes() == (made[1].folder / file).read_bytes()


def test_lips_follow_the_phones() -> None:
    (alignment,) = builtin_alignments(1)  # we saw the sheep near the ship
    fps = 50
    controls = lip_controls(alignment, int(alignment.duration * fps), fps)
    assert controls.shape[1] == len(CONTROLS)

    def at(label: str) -> np.ndarray:
        phone = next(phone for phone in alignment.phones if phone.label == label)
        return controls[int(phone.center * fps)]

    assert at("P")[2] == controls[:, 2].max()  # the lips close
    assert at("W")[1] > at("IY1")[1]  # and round
    assert at("AO1")[0] > at("SH")[0]  # and open
    vertices, faces, lips, upper, movements = face_mesh("biwi")
    assert faces.max() == len(vertices) - 1
    assert not set(lips) & set(upper)
    still = np.abs(movements[:3][:, upper]).max()
    assert still < 0.02 * np.abs(movements[:3][:, lips]).max()


def test_requests_that_cannot_be_met(tmp_path: Path, capsys) -> None:
    with pytest.raises(FaceError, match="needs at least one alignment"):
        synthesize(tmp_path, [])
    assert main(["synthesize", str(tmp_path / "x"), "--encoder", "mfcc"]) == 2
    assert (
        capsys.readouterr().err == "error: --encoder needs audio, which the builtin sentences do not have. Give --corpus demo.\n"
    )
    with pytest.raises(SystemExit) as error:
        main(["synthesize", str(tmp_path / "x"), "--n-clips", "0"])
    assert error.value.code == 2
    assert "argument --n-clips: '0' is no whole number of at least 1" in capsys.readouterr().err


def test_frames_reach_the_faces_rate_as_interpolation_with_joined_ends_does() -> None:
    torch = pytest.importorskip("torch")
    frames = np.random.default_rng(0).normal(size=(49, 3))
    expected = torch.nn.functional.interpolate(torch.from_numpy(frames.T[None]), size=30, mode="linear", align_corners=True)[
        0
    ].T.numpy()
    np.testing.assert_allclose(at_face_rate(frames, 30), expected, atol=1e-12)
    assert at_face_rate(frames, 25, paired=True).shape == (25, 6)
    np.testing.assert_allclose(at_face_rate(frames[:48], 24, averaged=True), frames[:48].reshape(24, 2, 3).mean(axis=1))


class _Tones:
    """An encoder whose frames are the loudness of the waveform in 20 ms windows."""

    def __init__(self) -> None:
        from types import SimpleNamespace

        self.card = SimpleNamespace(layers=1, grid=SimpleNamespace(sampling_rate=16000))

    def encode(self, waveforms, layers=None):
        import torch

        assert layers == [0]
        cut = [wave[: len(wave) // 320 * 320].reshape(-1, 320) for wave in waveforms]
        return [torch.from_numpy(np.stack([np.abs(w).mean(axis=1), w.std(axis=1), w[:, 0]], axis=1))[None].float() for w in cut]


class _Meaning:
    """A semantic vector per utterance that means nothing."""

    def semantics(self, utterances):
        return np.random.default_rng(0).normal(size=(len(utterances), 3)).astype(np.float32)


def test_from_audio_to_the_table(tmp_path: Path, capsys) -> None:
    """Loudness says how far the mouth opens; the way from a sound file to all six rows is complete."""
    pytest.importorskip("torch")
    soundfile = pytest.importorskip("soundfile")
    from analysis.corpus.utterance import Utterance

    alignments, utterances = builtin_alignments(6), {}
    for alignment in alignments:
        n = int(alignment.duration * 16000)
        opening = np.interp(
            np.arange(n) / 16000,
            np.arange(int(alignment.duration * 50)) / 50,
            lip_controls(alignment, n // 320, 50)[: n // 320, 0],
        )
        path = tmp_path / f"{alignment.utterance_id}.wav"
        soundfile.write(path, 0.5 * opening * np.sin(2 * np.pi * 220 * np.arange(n) / 16000), 16000)
        utterances[alignment.utterance_id] = Utterance(alignment.utterance_id, path, "words", "s", alignment.duration, 16000)
    predictors = audio_predictor(utterances, _Tones(), _Meaning())
    made = synthesize(tmp_path / "set", alignments, predictors=predictors, module="noise")
    assert main([*made.arguments, "--json", str(tmp_path / "t.json")]) == 0
    runs = json.loads((tmp_path / "t.json").read_text())["runs"]
    assert list(runs)[:2] == ["VOCA", "VOCA+noise"]
    for name, values in runs.items():
        if "+" not in name:
            assert values["near_homophones"]["contrast_kept"] > 0.2, name
    with pytest.raises(FaceError, match="3 clips are too few, at least 4 are needed"):
        synthesize(tmp_path / "few", alignments[:3], predictors=predictors)


def test_render_writes_an_animation(tmp_path: Path, capsys) -> None:
    from PIL import Image

    made = synthesize(tmp_path / "set", builtin_alignments(1), frameworks=["FaceFormer"])
    source = made.folder / "vertices_npy" / f"{made.clips[0]}.npy"
    short = np.load(source)[:5]
    np.save(tmp_path / "short.npy", short)
    out = tmp_path / "face.gif"
    assert (
        main(["render", str(tmp_path / "short.npy"), str(out), "--faces", str(made.folder / "faces.npy"), "--size", "120"]) == 0
    )
    with Image.open(out) as image:
        assert (image.size, image.n_frames) == ((120, 120), 5)
    assert main(["render", str(tmp_path / "short.npy"), str(tmp_path / "points.gif"), "--size", "80"]) == 0
