"""From an encoder's name to an encoder: every kind that a user can name, and what is said when it cannot be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.corpus.utterance import Utterance
from analysis.encoders import Encoder, check_encoder, load_encoder
from analysis.errors import CheckpointError, ConfigurationError, EncoderError, Failure
from tests.encoders.conftest import FAMILY_CONFIGS, write_model
from tests.reference.hidden_states import one_clip_states


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """One second."""
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)


def one_frame(encoder: Encoder) -> int:
    """Fewest samples for which the encoder gives a frame, found by trying."""
    rng = np.random.default_rng(1)
    wave = rng.standard_normal(2000).astype(np.float32)
    low, high = 0, 2000
    while high - low > 1:
        middle = (low + high) // 2
        try:
            encoder.encode([wave[:middle]])
            high = middle
        except EncoderError:
            low = middle
    return high


# ---------------------------------------------------------------------------------------------------------------------- the card


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_the_card_states_what_the_encoder_does(family: str, model_folder: Callable[[str], Path], noise: np.ndarray) -> None:
    folder = model_folder(family)
    encoder = load_encoder(str(folder), device="cpu")
    card = encoder.card
    assert isinstance(encoder, Encoder)
    [states] = encoder.encode([noise])
    assert states.shape[::2] == (card.layers, card.dims)
    assert abs(states.shape[1] - card.grid.rate) <= 1  # frames of one second
    assert one_frame(encoder) == card.receptive_field
    assert card.weights == "pretrained" and len(card.revision) == 64 and card.name == str(folder)
    normalises = json.loads((folder / "preprocessor_config.json").read_text()).get("do_normalize", True)
    assert ("variance" in card.normalization or "log-mel" in card.normalization) == bool(normalises or family == "whisper")


@pytest.mark.parametrize("family", ["wav2vec2", "sew", "wav2vec2-bert", "whisper"])
def test_hop_and_first_centre_are_those_of_the_strides(family: str, model_folder: Callable[[str], Path]) -> None:
    card = load_encoder(str(model_folder(family)), device="cpu").card
    expected = {"wav2vec2": (320, 200), "sew": (640, 360), "wav2vec2-bert": (320, 280), "whisper": (320, 0)}[family]
    assert (card.grid.hop, card.grid.first_center) == expected


def test_a_sample_moves_the_frames_whose_field_it_lies_in_and_no_others(model_folder: Callable[[str], Path]) -> None:
    """Of the frames before the Transformer, in a model without norms over time: a frame hears half a field to either side."""
    encoder = load_encoder(str(model_folder("hubert-large")), device="cpu")
    card = encoder.card
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 6000)).astype(np.float32))
    with torch.inference_mode():
        before = encoder.model.feature_extractor(wave)
        for sample in (0, 399, 400, 1234, 3000, 5999):
            moved = wave.clone()
            moved[0, sample] += 1.0
            change = (encoder.model.feature_extractor(moved) - before).abs().amax(dim=1)[0].numpy()
            centers = card.grid.centers(len(change)) * card.sampling_rate
            half = card.receptive_field / 2
            np.testing.assert_array_equal(change > 1e-7, (centers - half <= sample) & (sample < centers + half))


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 49), (3.0, 149), (4.0, 199)])
def test_frame_counts_that_are_published(seconds: float, frames: int, model_folder: Callable[[str], Path]) -> None:
    wave = np.random.default_rng(0).standard_normal(int(16000 * seconds)).astype(np.float32)
    assert load_encoder(str(model_folder("wav2vec2")), device="cpu").encode([wave])[0].shape[1] == frames


# --------------------------------------------------------------------------------------------------------------------- baselines


def test_logmel_equals_the_spectrogram_of_transformers(noise: np.ndarray) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram

    bank = mel_filter_bank(257, 80, 0.0, 8000.0, 16000, norm=None, mel_scale="htk")
    window = np.hanning(401)[:-1]
    expected = spectrogram(
        noise.astype(np.float64), window, 400, 160, fft_length=512, power=2.0, center=False, mel_filters=bank, mel_floor=1e-10, log_mel="log"
    ).T  # fmt: skip
    expected -= expected.mean(axis=0)
    found = load_encoder("logmel", device="cpu").encode([noise])[0][0].numpy()
    assert found.shape == (98, 80)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_mfcc_is_the_cosine_transform_of_log_mel_with_slopes(noise: np.ndarray) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram

    bank = mel_filter_bank(257, 40, 0.0, 8000.0, 16000, norm=None, mel_scale="htk")
    mel = spectrogram(
        noise.astype(np.float64), np.hanning(401)[:-1], 400, 160, fft_length=512, power=2.0, center=False, mel_filters=bank,
        mel_floor=1e-10, log_mel="log",
    ).T  # fmt: skip
    bands = np.arange(40)
    cepstra = np.stack(
        [np.sqrt((1 if k == 0 else 2) / 40) * (mel * np.cos(np.pi * k * (2 * bands + 1) / 80)).sum(axis=1) for k in range(13)],
        axis=1,
    )

    def slopes(frames: np.ndarray) -> np.ndarray:
        padded = np.pad(frames, ((2, 2), (0, 0)), mode="edge")
        return np.stack([np.polyfit(range(-2, 3), padded[t : t + 5], 1)[0] for t in range(len(frames))])

    joined = np.concatenate([cepstra, slopes(cepstra), slopes(slopes(cepstra))], axis=1)
    expected = (joined - joined.mean(axis=0)) / joined.std(axis=0)
    found = load_encoder("mfcc", device="cpu").encode([noise])[0][0].numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_random_is_the_same_architecture_with_other_weights_and_a_seed(
    model_folder: Callable[[str], Path], noise: np.ndarray
) -> None:
    folder = model_folder("hubert")
    trained = load_encoder(str(folder), device="cpu")
    first, again, other = (load_encoder(f"random:{folder}{tail}", device="cpu") for tail in ("", "?seed=0", "?seed=1"))
    assert first.card.weights == "random"
    assert (first.card.dims, first.card.layers, first.card.grid) == (trained.card.dims, trained.card.layers, trained.card.grid)
    assert first.card.normalization == trained.card.normalization
    torch.testing.assert_close(first.encode([noise])[0], again.encode([noise])[0], rtol=0, atol=0)
    assert len({encoder.card.revision for encoder in (trained, first, other)}) == 3
    for one in (trained, other):
        assert not torch.allclose(first.encode([noise])[0], one.encode([noise])[0], atol=1e-2)
    bundled = load_encoder("random:bundled", device="cpu")
    assert (bundled.card.family, bundled.card.dims, bundled.card.weights) == ("whisper", 384, "random")
    with pytest.raises(ConfigurationError, match="mfcc has no weights to re-initialise"):
        load_encoder("random:mfcc")
    with pytest.raises(ConfigurationError, match="seed='x' is not a whole number"):
        load_encoder("random:bundled?seed=x")


# ----------------------------------------------------------------------------------------------------------- precomputed features


def utterance(name: str, seconds: float = 1.0) -> Utterance:
    """An utterance whose audio is never read."""
    return Utterance(name, Path("nowhere.wav"), "text", "s", seconds, 16000)


def test_features_are_read_layer_by_layer_at_their_own_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    two = rng.standard_normal((3, 60, 29)).astype(np.float32)
    np.save(tmp_path / "a.npy", two)
    (tmp_path / "sub").mkdir()
    np.savez(tmp_path / "sub" / "b.npz", logits=two[:, :58].astype(np.float16))
    encoder = load_encoder(f"features:{tmp_path}?rate=60", device="cpu")
    card = encoder.card
    assert (card.dims, card.layers, card.grid.rate, card.family, card.weights) == (29, 3, 60, "features", "none")
    assert card.grid.centers(1)[0] == pytest.approx(0.5 / 60)
    np.testing.assert_array_equal(encoder.frames_of(utterance("a"), [2, 0]).numpy(), two[[2, 0]])
    assert encoder.frames_of(utterance("sub/b")).shape == (3, 58, 29)
    other = load_encoder(f"features:{tmp_path}?rate=29.97&first=0.0125", device="cpu")
    assert other.card.grid.rate == pytest.approx(29.97, rel=1e-9) and other.card.grid.centers(1)[0] == pytest.approx(
        0.0125, abs=1e-6
    )
    with pytest.raises(EncoderError, match="reads frames by utterance id; it cannot encode a waveform"):
        encoder.encode([np.zeros(5, dtype=np.float32)])


def test_features_that_do_not_fit_are_failures_with_a_reason(tmp_path: Path) -> None:
    good = np.ones((50, 4), dtype=np.float32)
    np.save(tmp_path / "a.npy", good)
    np.save(tmp_path / "width.npy", np.ones((50, 5), dtype=np.float32))
    np.save(tmp_path / "nan.npy", np.where(np.arange(200).reshape(50, 4) % 4 == 3, np.nan, good))
    np.save(tmp_path / "huge.npy", np.full((50, 4), 1e300))
    np.save(tmp_path / "one.npy", np.where(np.arange(200).reshape(50, 4) == 7, np.nan, good))
    np.save(tmp_path / "short.npy", good[:20])
    np.save(tmp_path / "flat.npy", good[:, 0])
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "archive.npz", good)
    np.savez_compressed(tmp_path / "cut.npz", np.random.default_rng(0).standard_normal((50, 4)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:300])
    (tmp_path / "renamed.npy").write_bytes((tmp_path / "archive.npz").read_bytes())
    (tmp_path / "text.npy").write_text("no array", encoding="utf-8")
    (tmp_path / "empty.npy").touch()
    encoder = load_encoder(f"features:{tmp_path}?rate=50", device="cpu")
    for name in ("archive", "renamed"):
        assert encoder.frames_of(utterance(name)).shape == (1, 50, 4)
    for name, reason in (
        ("cut", "cut.npz cannot be read without running code from it or is damaged (BadZipFile)"),
        ("text", "text.npy cannot be read without running code from it or is damaged (ValueError)"),
        ("empty", "empty.npy cannot be read without running code from it or is damaged (EOFError)"),
        ("gone", "holds no array named gone.npy or .npz"),
        ("width", "width.npy holds 1 layers of 5 dims; the others hold 1 of 4"),
        ("nan", "nan.npy holds values that are NaN or infinite in every frame"),
        ("huge", "huge.npy holds values that are NaN or infinite in every frame"),
        ("short", "short.npy has 20 frames, 0.40 s at 50 frames per second; the audio lasts 1.00 s"),
        ("flat", "has shape (50,) of float32; expected numbers"),
        ("object", "cannot be read without running code from it"),
    ):
        failure = encoder.frames_of(utterance(name))
        assert isinstance(failure, Failure) and reason in failure.reason and failure.remedy
    assert encoder.frames_of(utterance("a")).shape == (1, 50, 4)
    assert np.isnan(encoder.frames_of(utterance("one")).numpy()).sum() == 1, "the other frames are good"


def test_a_feature_folder_must_be_usable_and_have_a_rate(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"needs its frame rate, such as features:.*\?rate=50"):
        load_encoder(f"features:{tmp_path}")
    with pytest.raises(EncoderError, match=r"holds no \.npy or \.npz file"):
        load_encoder(f"features:{tmp_path}?rate=50")
    with pytest.raises(EncoderError, match="There is no folder"):
        load_encoder(f"features:{tmp_path / 'none'}?rate=50")
    with pytest.raises(ConfigurationError, match="needs its frame rate"):
        load_encoder(f"features:{tmp_path}?rate=fast")
    with pytest.raises(ConfigurationError, match="a folder with one array per utterance"):
        load_encoder("features:")


# --------------------------------------------------------------------------------------------------------------- names and weights


def test_a_hub_id_without_a_network_says_how_to_bring_the_model() -> None:
    with pytest.raises(EncoderError) as caught:
        load_encoder("facebook/hubert-base-ls960", revision="dba3bb02")
    assert "facebook/hubert-base-ls960 could not be fetched from the hub" in str(caught.value)
    assert "hf download facebook/hubert-base-ls960 --revision dba3bb02 --local-dir hubert-base-ls960" in str(caught.value)
    assert "copy the folder here and give its path as the encoder" in str(caught.value)


def test_names_that_are_no_encoder() -> None:
    with pytest.raises(ConfigurationError, match="No encoder was named"):
        load_encoder("  ")
    with pytest.raises(
        ConfigurationError, match=r"'deepspeech' is no kind of encoder\. Kinds: bundled, mfcc, logmel, random:SPEC"
    ):
        load_encoder("deepspeech:x")
    with pytest.raises(ConfigurationError, match=r"unknown options: colour\. Options of this kind of encoder: none"):
        load_encoder("mfcc?colour=red")
    with pytest.raises(ConfigurationError, match=r"must read name=value&name=value, not 'padded'"):
        load_encoder("bundled?padded")
    with pytest.raises(EncoderError, match=r"There is no model folder \./nowhere/model"):
        load_encoder("./nowhere/model")
    with pytest.raises(ConfigurationError, match=r"Device 'gpu' is not known\. Choose auto, cpu, cuda, cuda:1 or mps"):
        load_encoder("mfcc", device="gpu")


def test_what_cannot_be_loaded_is_known_beforehand(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = model_folder("wav2vec2")
    check_encoder(str(folder), device="cpu")
    check_encoder(str(folder), device="cpu", dtype="int8")
    for spec in ("./nowhere/model", "random:./nowhere/model", f"features:{tmp_path}/nowhere", f"./{'long' * 100}"):
        with pytest.raises(EncoderError):
            check_encoder(spec)
    with pytest.raises(ConfigurationError, match="dtype float16 is for accelerators"):
        check_encoder("bundled", device="cpu", dtype="float16")
    with pytest.raises(ConfigurationError, match="Device 'gpu' is not known"):
        check_encoder("bundled", device="gpu")


def test_layers_that_do_not_exist(model_folder: Callable[[str], Path], noise: np.ndarray) -> None:
    encoder = load_encoder(str(model_folder("wav2vec2")), device="cpu")
    for layers in ([4], [-1], [1, 1], []):
        with pytest.raises(EncoderError, match=r"has layers 0 to 3 .*; asked for"):
            encoder.encode([noise], layers=layers)


def test_waveforms_that_cannot_be_encoded(model_folder: Callable[[str], Path], noise: np.ndarray) -> None:
    encoder = load_encoder(str(model_folder("wav2vec2")), device="cpu")
    broken = noise.copy()
    broken[8000] = np.inf
    for wave, reason in (
        (noise[:399], r"the clip has 399 samples \(24\.9 ms\); .* needs at least 400 \(25\.0 ms\) for one frame"),
        (np.zeros(16000, dtype=np.float32), "all 16000 samples are zero: silence has no speech to encode"),
        (broken, r"1 of 16000 samples are not numbers, the first at 0\.500 s"),
        (np.stack([noise, noise]), r"shape \(2, 16000\); one channel is needed"),
    ):
        with pytest.raises(EncoderError, match=reason):
            encoder.encode([noise, wave])


def test_missing_weights_are_named(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(model_folder("wav2vec2"), folder)
    state = load_file(folder / "model.safetensors")
    removed = state.pop("encoder.layers.1.attention.k_proj.weight")
    assert removed is not None
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    for spec in (folder, folder / "model.safetensors"):
        with pytest.raises(CheckpointError, match=r"missing: encoder\.layers\.1\.attention\.k_proj\.weight"):
            load_encoder(str(spec))


def test_weights_of_another_family_are_refused(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(model_folder("wavlm"), folder)
    shutil.copy(model_folder("wav2vec2") / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"do not fit the family that its config\.json names, wavlm: .*rel_attn_embed"):
        load_encoder(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(EncoderError, match=r"is of family 'bert', a model of text, which is no speech encoder .* features:DIR"):
        load_encoder(str(folder))


class Trap:
    """An object that only its own code can build."""

    def __reduce__(self):
        return (Path.touch, (Path("/nonexistent/should-not-happen"),))


def test_a_folder_of_pickled_weights_is_read_when_plain_and_refused_when_not(
    model_folder: Callable[[str], Path], noise: np.ndarray, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file

    folder = tmp_path / "model"
    shutil.copytree(model_folder("wav2vec2"), folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    found = load_encoder(str(folder), device="cpu").encode([noise])[0]
    torch.testing.assert_close(found, load_encoder(str(model_folder("wav2vec2")), device="cpu").encode([noise])[0])
    torch.save(state | {"masked_spec_embed": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"weights of .* were refused: .* would run code from the file.*save_pretrained"):
        load_encoder(str(folder))


def test_a_safetensors_file_and_its_folder_are_the_same_encoder(
    model_folder: Callable[[str], Path], noise: np.ndarray, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_model("hubert", tmp_path / "hubert")
    state = load_file(folder / "model.safetensors")
    save_file(
        {f"hubert.{key}": value for key, value in state.items()} | {"lm_head.bias": torch.zeros(3)}, folder / "ctc.safetensors"
    )
    for name in ("model.safetensors", "ctc.safetensors"):  # the second as a model with a head saves it
        encoder = load_encoder(str(folder / name), device="cpu")
        np.testing.assert_allclose(encoder.encode([noise])[0].numpy(), one_clip_states(folder, noise), atol=2e-5)
        assert encoder.card.revision == load_encoder(str(folder), device="cpu").card.revision
    with pytest.raises(EncoderError, match=r"needs its config\.json in the same folder"):
        alone = tmp_path / "alone"
        alone.mkdir()
        (alone / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        (alone / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
        load_encoder(str(alone / "model.safetensors"))
