"""Encoders taken out of animation checkpoints, on state dicts made here: no framework's checkpoint was opened."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.encoders import load_encoder
from analysis.encoders.frameworks import FRAMEWORKS
from analysis.errors import CheckpointError, ConfigurationError, EncoderError
from tests.encoders.conftest import write_model
from tests.reference import framework_frames
from tests.reference.framework_frames import in_pairs, stretched
from tests.reference.hidden_states import one_clip_states

FAMILY = {
    "faceformer": "wav2vec2",
    "codetalker": "wav2vec2",
    "unitalker": "wavlm",
    "facediffuser": "hubert",
    "lgldm": "hubert-large",
    "diffspeaker": "wav2vec2",
    "facexhubert": "hubert",
    "selftalk": "wav2vec2-large",
}

#: Every row of the framework table: framework, data set, base, script. Large bases norm once more after the last layer.
ROWS = [
    ("faceformer", "vocaset", "wav2vec2", ""),
    ("faceformer", "biwi", "wav2vec2", ""),
    ("codetalker", "vocaset", "wav2vec2", ""),
    ("codetalker", "biwi", "wav2vec2", ""),
    ("unitalker", "vocaset", "wavlm", ""),
    ("unitalker", "biwi", "wavlm", ""),
    ("unitalker", "vocaset", "wav2vec2-large", ""),
    ("unitalker", "biwi", "wav2vec2-large", ""),
    ("facediffuser", "vocaset", "hubert", "test"),
    ("facediffuser", "vocaset", "hubert", "predict"),
    ("facediffuser", "biwi", "hubert", "test"),
    ("facediffuser", "biwi", "hubert", "predict"),
    ("lgldm", "vocaset", "hubert-large", ""),
    ("lgldm", "biwi", "wav2vec2", ""),
    ("diffspeaker", "vocaset", "wav2vec2", ""),
    ("diffspeaker", "biwi", "wav2vec2", ""),
    ("facexhubert", "biwi", "hubert", ""),
    ("selftalk", "vocaset", "wav2vec2-large", ""),
    ("selftalk", "biwi", "wav2vec2-large", ""),
]
#: Samples of forty clips from 0.5 to 12 s, with odd and even numbers of frames.
LENGTHS = [8000 + round(number * 184000 / 39) + 7 * number % 320 for number in range(40)]


def base_state(folder: Path) -> dict[str, torch.Tensor]:
    """State dict of a base model as new torch names it."""
    import transformers

    return dict(transformers.AutoModel.from_pretrained(folder).state_dict())


def trained(state: dict[str, torch.Tensor], frozen: tuple[str, ...], seed: int = 1) -> dict[str, torch.Tensor]:
    """The state dict after 'training': everything but the frozen part has moved."""
    torch.manual_seed(seed)
    return {
        key: value if key.startswith(frozen) else value + 0.05 * torch.randn_like(value)
        for key, value in state.items()
        if key != "masked_spec_embed"
    }


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weight norm under the names of torch before 2.1."""
    pairs = (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v"))
    renamed = {}
    for key, value in state.items():
        for new, old in pairs:
            key = key.replace(new, old)
        renamed[key] = value
    return renamed


def pack(name: str, encoder: dict[str, torch.Tensor], prefix: str | None = None, dims: int = 32, data: str | None = None) -> dict:
    """A checkpoint as the framework saves it, with a decoder and the projection of ``data`` beside the encoder."""
    framework = FRAMEWORKS[name]
    prefix = framework.prefix if prefix is None else prefix
    torch.manual_seed(9)
    whole = {prefix + key: value for key, value in encoder.items()}
    outer = prefix.removesuffix("audio_encoder.")
    for row in [row for row in framework.data if row.projection and data in (None, row.name)]:
        width = dims * (2 if row.paired else 1)
        for name in (row.projection + last for last in (("",) if row.projection != "audio_extract" else (".0", ".2"))):
            inputs = 5 if name.endswith(".2") else width
            whole |= {f"{outer}{name}.weight": torch.randn(5, inputs), f"{outer}{name}.bias": torch.randn(5)}
    whole |= {f"{outer}vertice_map.weight": torch.randn(4, 4)}
    for key in reversed(framework.container):
        whole = {"epoch": 3, key: whole}
    return whole


def checkpoint(
    name: str,
    model_folder: Callable[[str], Path],
    path: Path,
    old: bool = True,
    family: str | None = None,
    data: str | None = None,
) -> tuple[str, Path, Path]:
    """A checkpoint on disk, its base folder, and the encoder inside as a model folder of its own for the oracle."""
    import transformers

    base = model_folder(family or FAMILY[name])
    state = trained(base_state(base), FRAMEWORKS[name].frozen)
    file = path / f"{name}.pth"
    torch.save(pack(name, old_names(state) if old else state, data=data), file)
    inside = path / "inside"
    model = transformers.AutoModel.from_pretrained(base)
    assert model.load_state_dict(state, strict=False).missing_keys == ["masked_spec_embed"]
    model.save_pretrained(inside)
    transformers.AutoFeatureExtractor.from_pretrained(base).save_pretrained(inside)
    return f"{name}:{file}?base={base}", base, inside


def close(found, expected, tolerance: float = 1e-5) -> None:
    found = np.asarray(found, dtype=np.float64)
    assert found.shape == expected.shape
    assert (np.linalg.norm(found - expected, axis=-1) <= tolerance * np.linalg.norm(expected, axis=-1) + 1e-9).all()


@pytest.mark.parametrize("old", [True, False], ids=["weight_g", "parametrizations"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_native_view_is_the_encoder_inside(
    name: str, old: bool, model_folder: Callable[[str], Path], clips: list[np.ndarray], tmp_path: Path
) -> None:
    spec, base, inside = checkpoint(name, model_folder, tmp_path, old)
    encoder = load_encoder(spec, device="cpu")
    for states, clip in zip(encoder.encode(clips), clips, strict=True):
        close(states, one_clip_states(inside, clip))
    report = encoder.report
    assert report.as_described and report.untouched and report.base == str(base)
    assert report.container == FRAMEWORKS[name].container and report.prefix == FRAMEWORKS[name].prefix
    assert (report.dims, report.layers) == (32, 3)
    assert set(report.differences) == set(FRAMEWORKS[name].frozen)
    assert "frozen part untouched" in str(report)


@pytest.mark.parametrize(("name", "data", "family", "script"), ROWS)
def test_frames_are_those_of_the_framework(
    name: str, data: str, family: str, script: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every layer of forty clips, and the last one after the projection, to 1e-5 of each frame's size."""
    import transformers

    spec, _, inside = checkpoint(name, model_folder, tmp_path, family=family, data=data)
    spec += f"&data={data}" + (f"&script={script}" if script else "")
    encoder = load_encoder(f"{spec}&view=framework", device="cpu")
    row = FRAMEWORKS[name].for_data(data)
    projected = load_encoder(f"{spec}&view=projected", device="cpu") if row.projection else None
    model = transformers.AutoModel.from_pretrained(inside).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(inside)
    reference = getattr(framework_frames, {"codetalker": "faceformer"}.get(name, name))
    rng = np.random.default_rng(0)
    contents = torch.load(tmp_path / f"{name}.pth", weights_only=True)
    clips = [rng.standard_normal(samples).astype(np.float32) for samples in LENGTHS]
    for first in range(0, len(clips), 8):
        for clip, found in zip(clips[first:], encoder.encode(clips[first : first + 8]), strict=False):
            values = extractor(clip, sampling_rate=16000, return_tensors="pt")["input_values"]
            close(found, np.stack(reference(model, values, len(clip), data, script)))
            assert encoder.clip_grid(len(clip)).centers(found.shape[1])[-1] < len(clip) / 16000
        if projected is not None:  # the last of each eight
            (through,) = projected.encode([clips[first + 7]])
            close(through, _through(contents, name, row, found[-1:]))
    assert encoder.card.dims == found.shape[2]
    rates = {"vocaset": 30, "biwi": 25}
    rate = encoder.card.grid.rate
    assert rate == (rates[data] if row.paired or row.resample != "none" else 50)


def _through(contents: dict, name: str, row, frames: torch.Tensor) -> np.ndarray:
    """Frames after the checkpoint's own projection."""
    for key in FRAMEWORKS[name].container:
        contents = contents[key]
    outer = FRAMEWORKS[name].prefix.removesuffix("audio_encoder.") + row.projection
    layers = [outer] if f"{outer}.weight" in contents else [f"{outer}.0", f"{outer}.2"]
    values = frames.numpy().astype(np.float64)
    for number, layer in enumerate(layers):
        if number:
            values = values * np.tanh(np.log1p(np.exp(values)))  # Mish
        values = values @ contents[f"{layer}.weight"].numpy().T + contents[f"{layer}.bias"].numpy()
    return values


def test_three_seconds_give_the_frames_that_the_frameworks_give(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    spec, _, _ = checkpoint("faceformer", model_folder, tmp_path)
    clip = np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    counts = {
        view: load_encoder(f"{spec}&view={view}").encode([clip])[0].shape[1] for view in ("native", "framework", "projected")
    }
    assert counts == {"native": 149, "framework": 89, "projected": 89}


def test_times_of_resampled_frames_are_those_of_what_they_were_made_from(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A ramp over time, carried through the same interpolation and pairing, reads its own time in every frame."""
    for name, data in (("faceformer", "vocaset"), ("unitalker", "biwi"), ("facediffuser", "vocaset"), ("facediffuser", "biwi")):
        folder = tmp_path / f"{name}{data}"
        folder.mkdir()
        spec, _, _ = checkpoint(name, model_folder, folder)
        encoder = load_encoder(f"{spec}&data={data}&view=framework", device="cpu")
        for samples in (1360, 16000, 48000, 50001):
            native = (samples - 400) // 320 + 1
            times = (200 + 320 * np.arange(native))[:, None] / 16000
            row = FRAMEWORKS[name].for_data(data)
            count = {
                "features": int(native / 50 * row.rate),
                "round": round(samples / 16000 * row.rate),
                "video": 2 * int(samples / 16000 * row.fps),
            }[row.count]
            moved = stretched(times, count) if row.resample != "none" else times
            if row.paired:
                moved = in_pairs(moved).mean(axis=1, keepdims=True)
            grid = encoder.clip_grid(samples)
            np.testing.assert_allclose(grid.centers(len(moved)), moved[:, 0], atol=1e-6)


def test_other_containers_prefixes_and_data_parallel_are_found(
    model_folder: Callable[[str], Path], clips: list[np.ndarray], tmp_path: Path
) -> None:
    base = model_folder("wav2vec2")
    state = trained(base_state(base), ("feature_extractor.",))
    expected = None
    for number, contents in enumerate(
        (
            pack("faceformer", state),
            {"net": pack("faceformer", state)},
            {"weights": pack("faceformer", state, prefix="model.speech.audio_encoder.")},
            pack("faceformer", state, prefix="module.audio_encoder."),
            dict(state),
        )
    ):
        file = tmp_path / f"{number}.pth"
        torch.save(contents, file)
        encoder = load_encoder(f"faceformer:{file}?base={base}", device="cpu")
        states = encoder.encode(clips[:1])[0].numpy()
        expected = states if expected is None else expected
        np.testing.assert_array_equal(states, expected)
        assert encoder.report.as_described == (number in (0, 3))
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in pack("faceformer", state).items()}, tmp_path / "5.safetensors")
    encoder = load_encoder(f"faceformer:{tmp_path / '5.safetensors'}?base={base}", device="cpu")
    np.testing.assert_array_equal(encoder.encode(clips[:1])[0].numpy(), expected)


def test_wrong_family_is_told_from_the_convolutions(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    spec, base, _ = checkpoint("faceformer", model_folder, tmp_path)
    hubert = model_folder("hubert")
    with pytest.raises(CheckpointError) as caught:
        load_encoder(spec.replace(f"base={base}", f"base={hubert}"))
    message = str(caught.value)
    assert message.startswith(f"The convolutions in {tmp_path / 'faceformer.pth'} are not those of {hubert}: they differ by ")
    assert message.endswith(
        "wav2vec 2.0 and HuBERT have the same keys, so the base is probably of the other family or another model: name it with "
        "?base=. If the convolutions were trained on purpose, add frozen=any."
    )
    accepted = load_encoder(spec.replace(f"base={base}", f"base={hubert}") + "&frozen=any")
    assert not accepted.report.untouched and "CHANGED" in str(accepted.report)
    with pytest.raises(CheckpointError, match=r"holds a wav2vec2 or hubert encoder .* its base .* is a wavlm"):
        load_encoder(spec.replace(f"base={base}", f"base={model_folder('wavlm')}"))


def test_frozen_layers_that_were_trained_are_reported(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = model_folder("hubert")
    state = trained(base_state(base), ("feature_extractor.", "feature_projection.", "encoder.layers.0."))
    torch.save(pack("facediffuser", state), tmp_path / "a.pth")
    report = load_encoder(f"facediffuser:{tmp_path / 'a.pth'}?base={base}").report
    assert not report.untouched
    assert report.differences["encoder.layers.0."] == 0 and report.differences["encoder.layers.1."] > 0.01
    half = {key: value.half() for key, value in trained(base_state(base), FRAMEWORKS["facediffuser"].frozen).items()}
    torch.save(pack("facediffuser", half), tmp_path / "half.pth")
    report = load_encoder(f"facediffuser:{tmp_path / 'half.pth'}?base={base}").report
    assert report.untouched and 0 < report.differences["feature_extractor."] < 1e-3


def test_missing_and_left_over_keys_are_named(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = model_folder("wav2vec2")
    state = trained(base_state(base), ("feature_extractor.",))
    del state["encoder.layers.1.attention.k_proj.bias"]
    state["encoder.extra.weight"] = torch.zeros(2)
    state["encoder.layer_norm.weight"] = torch.zeros(7)
    torch.save(pack("faceformer", state), tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        load_encoder(f"faceformer:{tmp_path / 'a.pth'}?base={base}")
    assert str(caught.value) == (
        f"{tmp_path / 'a.pth'} does not fit Wav2Vec2Model. 1 keys missing: encoder.layers.1.attention.k_proj.bias; "
        f"1 keys left over: encoder.extra.weight; 1 of another shape: encoder.layer_norm.weight: (7,) in the file, (32,) in the "
        f"model. Is the base model the one it was trained from, and the file a whole checkpoint?"
    )


def test_another_size_than_the_base(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    spec, base, _ = checkpoint("faceformer", model_folder, tmp_path)
    small = write_model("wav2vec2", tmp_path / "two", num_hidden_layers=2)
    with pytest.raises(CheckpointError) as caught:
        load_encoder(spec.replace(f"base={base}", f"base={small}"))
    assert str(caught.value) == (
        f"{tmp_path / 'faceformer.pth'} holds an encoder of 3 layers and 32 dims; its base {small} is a wav2vec2 of 2 layers and "
        f"32 dims. Name the model that it was trained from with ?base=."
    )


class Trap:
    """An object that only its own code can build."""

    def __reduce__(self):
        return (Path.touch, (Path("/nonexistent/should-not-happen"),))


def test_files_that_are_no_checkpoint(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = model_folder("wav2vec2")
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at .*nowhere\.pth"):
        load_encoder(f"faceformer:{tmp_path / 'nowhere.pth'}?base={base}")
    torch.save({"state_dict": {"decoder.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"holds no speech encoder: FaceFormer keeps one at audio_encoder\..* state_dict"):
        load_encoder(f"faceformer:{tmp_path / 'other.pth'}?base={base}")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"model": Trap()}))
    with pytest.raises(CheckpointError, match=r"trap\.pth was refused: .*would run code from the file"):
        load_encoder(f"faceformer:{tmp_path / 'trap.pth'}?base={base}")
    torch.save({"model": Trap()}, tmp_path / "trap2.pth")
    with pytest.raises(CheckpointError, match=r"trap2\.pth was refused: .*torch\.save\(model\.state_dict\(\)"):
        load_encoder(f"faceformer:{tmp_path / 'trap2.pth'}?base={base}")
    for name, content in (("sound.wav", b"RIFF\xc4E\x01\x00WAVEfmt "), ("empty.pth", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name} cannot be read as a checkpoint .* or of another kind; copy it again"):
            load_encoder(f"faceformer:{tmp_path / name}?base={base}")
    torch.save(pack("faceformer", base_state(base)), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.pth cannot be read as a checkpoint .* damaged, cut short"):
        load_encoder(f"faceformer:{tmp_path / 'cut.pth'}?base={base}")


def test_options_are_checked(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    spec, _, _ = checkpoint("unitalker", model_folder, tmp_path)
    with pytest.raises(ConfigurationError, match=r"option view='raw' is not known\. Choose one of native, framework, projected"):
        load_encoder(spec + "&view=raw")
    with pytest.raises(ConfigurationError, match="unknown options: colour"):
        load_encoder(spec + "&colour=red")
    with pytest.raises(ConfigurationError, match=r"has unknown options: script\. Options of this kind"):
        load_encoder(spec + "&script=predict")
    other, _, _ = checkpoint("facexhubert", model_folder, tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        load_encoder(other + "&view=projected")
    assert str(caught.value) == "FaceXHuBERT has no projection layer behind its encoder. Use view=framework."
    diffuser, _, _ = checkpoint("facediffuser", model_folder, tmp_path)
    with pytest.raises(ConfigurationError, match=r"option script='train' is not known\. Choose one of test, predict\."):
        load_encoder(diffuser + "&script=train")
    with pytest.raises(EncoderError, match="could not be fetched from the hub"):
        load_encoder(spec.partition("?")[0])
