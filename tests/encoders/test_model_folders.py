"""Model folders as people have them: damaged, incomplete, of another kind; what is said of each, whole, before anything is aligned."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from analysis.encoders import check_encoder, load_encoder
from analysis.encoders.pretrained import FAMILIES
from analysis.errors import AnalysisError, CheckpointError, EncoderError, Failure
from analysis.model_files import unlike_a_model
from tests.encoders.conftest import FAMILY_CONFIGS, write_model
from tests.reference.hidden_states import one_clip_states

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 377611120\n"
PAGE = "\n<!DOCTYPE html>\n<html><head><title>facebook/wav2vec2-base at main</title></head></html>"


def told(spec: Path | str) -> str:
    """What check_encoder says of an encoder that cannot be used."""
    with pytest.raises(EncoderError) as error:
        check_encoder(str(spec), device="cpu")
    return str(error.value)


@pytest.fixture
def folder(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A good folder of its own, to be spoilt."""
    return shutil.copytree(model_folder("wav2vec2"), tmp_path / "model")


def configured(folder: Path, **changes: object) -> Path:
    """The folder with other settings in its config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return folder


# ------------------------------------------------------------------------------------------------------------- other kinds of model

_SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
OTHERS = {
    "mimi": ("a neural audio codec", "MimiConfig", "EncodecFeatureExtractor"),
    "encodec": ("a neural audio codec", "EncodecConfig", "EncodecFeatureExtractor"),
    "speecht5": ("a model that speaks", "SpeechT5Config", "SpeechT5FeatureExtractor"),
    "audio-spectrogram-transformer": (
        "a classifier of whole sounds, whose patches are no frames", "ASTConfig", "ASTFeatureExtractor",
    ),
    "clap": ("a model of sounds and captions, whose patches are no frames", "ClapConfig", "ClapFeatureExtractor"),
    "seamless_m4t": ("a translator of speech", "SeamlessM4TConfig", "SeamlessM4TFeatureExtractor"),
    "seamless_m4t_v2": ("a translator of speech", "SeamlessM4Tv2Config", "SeamlessM4TFeatureExtractor"),
    "parakeet_ctc": ("a recogniser with a front end of its own", "ParakeetCTCConfig", "ParakeetFeatureExtractor"),
}  # fmt: skip


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_models_of_sound_that_are_no_encoder(family: str, tmp_path: Path) -> None:
    """Their preprocessor loads, their weights are there: the family alone says what they are."""
    kind, config, extractor = OTHERS[family]
    getattr(transformers, config)().save_pretrained(tmp_path)
    if hasattr(transformers, extractor):
        try:
            getattr(transformers, extractor)().save_pretrained(tmp_path)
        except ImportError:  # of a package that only this preprocessor needs
            (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert told(tmp_path) == (
        f"{tmp_path} is of family {family!r}, {kind}, which is no speech encoder that can be run here. Families: "
        f"{', '.join(FAMILIES)}. Frames of anything else come in through features:DIR."
    )


# --------------------------------------------------------------------------------------------------------------------- damaged files


def test_files_that_are_not_what_they_are_called(folder: Path) -> None:
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        path = folder / name
        path.write_text(LFS, encoding="utf-8")
        assert told(folder) == (
            f"{path} is a pointer of git-lfs and not the file: it has {len(LFS)} bytes, the file has 377611120. Run `git lfs pull` in "
            f"its folder, or fetch the model again with `hf download`."
        )
        path.write_text(PAGE, encoding="utf-8")
        assert told(folder) == (
            f"{path} is a web page that was saved under this name. Fetch the file itself: with `hf download`, or from the address with "
            f"/resolve/ in place of /blob/."
        )
        path.write_bytes(b"")
        assert told(folder) == f"{path} is empty. Fetch it again."
        path.write_bytes(good[name])
    check_encoder(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{'model_type': 'hubert'}", "is no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))."),
        ("[" * 100_000, "is no JSON (nested too deeply)."),
        ("[1]", "holds a list where an object {...} is expected."),
    ],
)
def test_configurations_that_are_no_object(folder: Path, text: str, reason: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    assert told(folder) == f"{folder / 'config.json'} {reason} Fetch it again."


def test_weights_that_are_cut_short_or_of_another_kind(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for cut, wanted in ((len(whole) - 1, len(whole)), (header, len(whole)), (header - 1, header)):
        path.write_bytes(whole[:cut])
        message = f"{path} is cut short: its header asks for {wanted} bytes, and it has {cut}. Fetch it again."
        assert told(folder) == message
        assert told(path) == message  # the file by itself
    for other in (b"no file of weights, whatever its name", whole[:8] + b"]" * header):
        path.write_bytes(other)
        assert told(folder) == (
            f"{path} is no safetensors file: its header cannot be read. It is damaged or of another kind; fetch it again."
        )
    path.unlink()
    pickled = folder / "pytorch_model.bin"
    torch.save({"encoder.weight": torch.zeros(3)}, pickled)
    pickled.write_bytes(pickled.read_bytes()[:-30])
    assert told(folder) == f"{pickled} is cut short: the end of the archive is missing. Fetch it again."
    pickled.write_bytes(b"weights")
    assert told(folder) == f"{pickled} is no file of torch.save. It is damaged or of another kind; fetch it again."


def test_shards_and_weights_that_are_not_there(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    names = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        part = {key: state[key] for key in sorted(state)[number::3]}
        save_file(part, folder / name, metadata={"format": "pt"})
    places = {key: names[number % 3] for number, key in enumerate(sorted(state))}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    (folder / "model.safetensors").unlink()
    check_encoder(str(folder), device="cpu")
    last = folder / names[2]
    whole = last.read_bytes()
    last.write_bytes(whole[:-4])
    assert told(folder) == (
        f"{last} is cut short: its header asks for {len(whole)} bytes, and it has {len(whole) - 4}. Fetch it again."
    )
    last.unlink()
    (folder / names[0]).unlink()
    assert told(folder) == (
        f"{folder} lacks 2 of the 3 files that its weights are divided among: {names[0]}, {names[2]}. Copy them beside "
        f"model.safetensors.index.json; the model needs all of them."
    )
    index.write_text("{}", encoding="utf-8")
    assert told(folder) == f"{index} lists no weights: it has no weight_map. Fetch it again."
    index.unlink()
    (folder / names[1]).unlink()
    assert told(folder) == (
        f"{folder} holds a config.json and no weights. Copy model.safetensors (or pytorch_model.bin) of the same model into it."
    )
    (folder / "tf_model.h5").write_bytes(b"\x89HDF")
    assert told(folder) == (
        f"{folder} holds a config.json and no weights. Its tf_model.h5 is TensorFlow's, which is not read. Copy model.safetensors "
        f"(or pytorch_model.bin) of the same model into it."
    )


def test_quantised_weights(folder: Path) -> None:
    def message(method: str) -> str:
        return (
            f"The weights of {folder} are quantised ({method}, as quantization_config in its config.json says), and only that program "
            f"reads them. Give the model that they were made from. With --dtype int8 it is computed in 8 bits here."
        )

    assert told(configured(folder, quantization_config={"load_in_8bit": True})) == message("bitsandbytes")
    assert told(configured(folder, quantization_config={"quant_method": "gptq", "bits": 4})) == message("gptq")


def test_settings_that_contradict_the_weights(folder: Path) -> None:
    misfit = f"The weights of {folder} do not fit the family that its config.json names, wav2vec2: "
    same = " Take weights and config.json from the same model."
    assert told(configured(folder, num_hidden_layers=2)) == (
        f"{misfit}16 weights of layers are left over, the first encoder.layers.2.attention.k_proj.bias.{same}"
    )
    assert told(configured(folder, num_hidden_layers=3, intermediate_size=40)) == (
        f"{misfit}9 are of another shape, such as encoder.layers.0.feed_forward.intermediate_dense.bias: (48,) in the file, (40,) by "
        f"config.json.{same}"
    )
    configured(folder, intermediate_size=48, hidden_act="sigh")
    assert told(folder) == (
        f"No wav2vec2 can be made of {folder} (KeyError: 'sigh'). Its config.json or its weights are damaged or of another model; "
        f"fetch it again."
    )
    configured(folder, hidden_act="gelu", hidden_size="wide")
    assert told(folder).startswith(f"{folder}: its config.json cannot be used (StrictDataclassFieldValidationError: ")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["model_type"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert told(folder) == (
        f"The config.json of {folder} does not say of which family the model is: it has no model_type. Is it another program's? Give "
        f"the folder that save_pretrained of transformers wrote."
    )


def test_weights_that_give_no_numbers(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["encoder.layers.1.final_layer_norm.weight"][3] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert told(folder) == (
        f"{folder} gives numbers that are not finite for half a second of noise, in layer 2, 3 (float32). Its weights are damaged or "
        f"overflow in this format; fetch them again, or use --dtype float32."
    )


# --------------------------------------------------------------------------------------------------------------------- preprocessors


def test_preprocessors_of_another_model(folder: Path, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    assert told(folder) == (
        f"{folder} has a preprocessor for another family: preprocessor_config.json names WhisperFeatureExtractor, which makes "
        f"input_features, and a wav2vec2 takes input_values. Copy the file of the model it was trained from."
    )
    whisper = shutil.copytree(model_folder("whisper"), tmp_path / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=128).save_pretrained(whisper)
    assert told(whisper) == (
        f"{whisper}: its preprocessor makes 128 mel bands a frame, and its config.json says that the model takes 80. Copy "
        f"preprocessor_config.json and config.json of the same model."
    )


@pytest.mark.parametrize(
    ("family", "kind", "how"),
    [
        ("wav2vec2", "Wav2Vec2FeatureExtractor", "with zero mean and unit variance per clip"),
        ("hubert-large", "Wav2Vec2FeatureExtractor", "with zero mean and unit variance per clip"),
        ("wavlm", "Wav2Vec2FeatureExtractor", "without normalisation"),
        ("wavlm-large", "Wav2Vec2FeatureExtractor", "with zero mean and unit variance per clip"),
        ("wav2vec2-bert", "SeamlessM4TFeatureExtractor", "with 80 mel bands"),
        ("whisper", "WhisperFeatureExtractor", "with 80 mel bands"),
    ],
)
def test_without_a_preprocessor_the_familys_own_is_taken_with_a_warning(
    family: str, kind: str, how: str, model_folder: Callable[[str], Path], tmp_path: Path, clips: list[np.ndarray]
) -> None:
    folder = shutil.copytree(model_folder(family), tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    check_encoder(str(folder), device="cpu")
    encoder = load_encoder(str(folder), device="cpu")
    assert encoder.warnings == (
        Failure(
            "embeddings",
            str(folder),
            f"It has no preprocessor_config.json; the default of its family is used: {kind} {how}.",
            "If the model was trained otherwise, its vectors are wrong: copy preprocessor_config.json of the model it was trained "
            "from.",
            "warning",
        ),
    )
    extractor = getattr(transformers, kind)(**({"do_normalize": False} if family == "wavlm" else {}))
    extractor.save_pretrained(folder)
    named = load_encoder(str(folder), device="cpu")
    assert named.warnings == ()
    torch.testing.assert_close(encoder.encode(clips[:1])[0], named.encode(clips[:1])[0], rtol=0, atol=0)


# --------------------------------------------------------------------------------------------------------------------------- Whisper


def test_whisper_is_its_encoder_whatever_stands_beside_it(tmp_path: Path, clips: list[np.ndarray]) -> None:
    """Whole, with a head for text, for classification, the encoder alone; as a folder and as a file."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    whole = write_model("whisper", tmp_path / "whole")
    expected = one_clip_states(whole, clips[0])
    state = load_file(whole / "model.safetensors")
    config = transformers.WhisperConfig.from_pretrained(whole)
    for name, kind in (
        ("text", transformers.WhisperForConditionalGeneration),
        ("classes", transformers.WhisperForAudioClassification),
        ("weighted", transformers.WhisperForAudioClassification),
        ("alone", WhisperEncoder),
    ):
        config.use_weighted_layer_sum = name == "weighted"
        model = kind(config)
        inner = model if name == "alone" else model.model.encoder if name == "text" else model.encoder
        inner.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
        model.save_pretrained(tmp_path / name)
        shutil.copy(whole / "preprocessor_config.json", tmp_path / name)
    revisions = set()
    for name in ("whole", "text", "classes", "weighted", "alone"):
        for spec in (tmp_path / name, tmp_path / name / "model.safetensors"):
            check_encoder(str(spec), device="cpu")
            encoder = load_encoder(str(spec), device="cpu")
            np.testing.assert_allclose(encoder.encode(clips[:1])[0].numpy(), expected, atol=2e-5)
            revisions.add(encoder.card.revision)
    assert len(revisions) == 1


# -------------------------------------------------------------------------------------------------------------------------- adapters


def adapted(folder: Path, out: Path, kind: str = "Wav2Vec2Model") -> Path:
    """A folder with an adapter beside its weights, and in ``out`` the model with the adapter merged by peft."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(3)
    base = getattr(transformers, kind).from_pretrained(folder)
    low_rank = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with warnings.catch_warnings():  # peft and transformers warn of each other's versions
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(base, low_rank)
    model.save_pretrained(folder)
    model.merge_and_unload().save_pretrained(out)
    shutil.copy(folder / "preprocessor_config.json", out)
    return folder


@pytest.mark.parametrize("kind", ["Wav2Vec2Model", "Wav2Vec2ForCTC"])
def test_an_adapter_beside_the_weights_is_applied(kind: str, folder: Path, tmp_path: Path, clips: list[np.ndarray]) -> None:
    plain = one_clip_states(folder, clips[0])
    if kind != "Wav2Vec2Model":
        getattr(transformers, kind).from_pretrained(folder).save_pretrained(folder)
    adapted(folder, tmp_path / "merged", kind)
    check_encoder(str(folder), device="cpu")
    encoder = load_encoder(str(folder), device="cpu")
    found = encoder.encode(clips[:1])[0].numpy()
    np.testing.assert_allclose(found, one_clip_states(tmp_path / "merged", clips[0]), atol=2e-5)
    assert np.abs(found - plain).max() > 0.01
    assert encoder.card.revision == load_encoder(str(tmp_path / "merged"), device="cpu").card.revision


def test_an_adapter_that_cannot_be_applied_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted(folder, tmp_path / "merged")
    fitting = folder / "adapter_model.safetensors"
    state = load_file(fitting)
    foreign = {key.replace("base_model.model.", "base_model.model.wav2vec2."): value for key, value in state.items()}
    save_file(foreign, fitting, metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as error:
        check_encoder(str(folder), device="cpu")
    message = re.sub(r"the first \S+\. Was", "the first KEY. Was", str(error.value))
    assert message == (
        f"The adapter in {folder} does not fit the weights beside it: 24 of its tensors find no place or are missing, the first KEY. "
        f"Was it trained on a model of another class than Wav2Vec2Model? Merge it where it was trained: "
        f"model.merge_and_unload().save_pretrained(FOLDER)"
    )
    monkeypatch.setattr("analysis.encoders.pretrained.is_peft_available", lambda: False)
    assert told(folder) == (
        f"{folder} holds an adapter of peft (adapter_config.json) beside its weights, and peft is not installed, so the adapter would "
        f"be left out. Run: pip install peft\nOr, to measure the model without the adapter, give a folder without adapter_config.json "
        f"and adapter_model.safetensors."
    )


def test_an_adapter_alone_names_its_base(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    named = {"peft_type": "LORA", "base_model_name_or_path": "facebook/wav2vec2-base"}
    (alone / "adapter_config.json").write_text(json.dumps(named), encoding="utf-8")
    tail = (
        f"It holds an adapter of peft alone, without the model that it was trained on (facebook/wav2vec2-base). Merge the two where "
        f"peft is installed, and give the folder of the result:\n"
        f"    model = PeftModel.from_pretrained(AutoModel.from_pretrained('facebook/wav2vec2-base'), {str(alone)!r})\n"
        f"    model.merge_and_unload().save_pretrained(FOLDER)"
    )
    assert told(alone) == f"{alone} holds no config.json, so it is no model folder. {tail}"
    shutil.copy(folder / "config.json", alone)
    assert told(alone) == f"{alone} holds a config.json and no weights. {tail}"


# ---------------------------------------------------------------------------------------------------------------- not even a model


def test_what_is_given_for_a_model(folder: Path, tmp_path: Path) -> None:
    config = folder / "config.json"
    assert told(config) == f"{config} is a configuration and holds no weights. Give the folder that it is in: {folder}"
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    np.save(arrays / "a.npy", np.zeros((4, 3)))
    assert told(arrays) == (
        f"{arrays} holds no config.json, so it is no model folder. It holds arrays, such as a.npy; give frames made elsewhere as "
        f"features:{arrays}?rate=50"
    )
    assert told(arrays / "a.npy") == (
        f"{arrays / 'a.npy'} is an array and no model. Frames made elsewhere are read by folder: features:{arrays}?rate=50"
    )
    weights = tmp_path / "pytorch_model.bin"
    torch.save({"encoder.layers.0.weight": torch.zeros(2)}, weights)
    assert told(weights) == (
        f"{weights} holds weights alone; what model they belong to stands in no file beside them. Put it into a folder as "
        f"pytorch_model.bin, with config.json and preprocessor_config.json of the model, and give the folder. The checkpoint of an "
        f"animation framework is given as FRAMEWORK:{weights}, such as faceformer:{weights}."
    )
    frames = tmp_path / "frames.pt"
    torch.save(torch.zeros(5, 4), frames)
    assert told(frames) == (
        f"{frames} holds tensors that are not named as weights: are they frames? Save each utterance's as an array, "
        f"numpy.save('ID.npy', frames.numpy()), and give the folder as features:DIR?rate=50."
    )
    folder_of_frames = tmp_path / "frames"
    folder_of_frames.mkdir()
    shutil.move(frames, folder_of_frames / "a.pt")
    for spec in (f"features:{folder_of_frames}", f"features:{folder_of_frames}?rate=50"):
        assert told(spec) == (
            f"{folder_of_frames} holds no .npy or .npz file. One array per utterance is expected: <utterance id>.npy; a.pt is a file of "
            f"torch: save it as numpy.save('ID.npy', frames.numpy())"
        )
    nemo = tmp_path / "parakeet.nemo"
    nemo.write_bytes(b"\x1f\x8b")
    assert told(nemo) == (
        f"{nemo} is NeMo's file, which is not read. Give a folder that save_pretrained of transformers wrote, or make the frames there "
        f"and give them as features:DIR?rate=50."
    )
    hub = tmp_path / "models--me--mine" / "snapshots" / "abc"
    hub.parent.mkdir(parents=True)
    shutil.copytree(folder, hub)
    assert told(hub.parent.parent) == (
        f"{hub.parent.parent} holds no config.json, so it is no model folder. There is one in {hub}: give that folder."
    )
    text = tmp_path / "notes.txt"
    text.write_text("x", encoding="utf-8")
    assert told(text) == (
        f"{text} is no model that is known here. Give a folder that save_pretrained wrote, or a .safetensors file in one."
    )


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
@pytest.mark.parametrize("new", [True, False], ids=["archive", "pickle"])
def test_checkpoints_of_fairseq_name_their_converter(family: str, new: bool, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    tensors = {"feature_extractor.conv_layers.0.0.weight": torch.zeros(2)}
    contents = {"args": argparse.Namespace(arch=family), "cfg": {"_name": family}, "model": tensors}
    torch.save(contents, path, _use_new_zipfile_serialization=new)
    expected = (
        f"{path} is a checkpoint of fairseq, whose tensors have other names and whose settings are objects of fairseq. Convert it where "
        f"fairseq is installed, with the script of transformers' repository:\n"
        f"    python src/transformers/models/{family}/convert_{family}_original_pytorch_checkpoint_to_pytorch.py --checkpoint_path "
        f"checkpoint.pt --pytorch_dump_folder_path FOLDER --not_finetuned\n"
        f"and give FOLDER. Check a frame of both before you trust it."
    )
    assert told(path) == expected
    assert told(tmp_path) == f"{tmp_path} holds no config.json, so it is no model folder. {expected}"


def test_the_mask_vector_of_old_files_is_known(folder: Path, clips: list[np.ndarray]) -> None:
    state = load_file(folder / "model.safetensors")
    expected = one_clip_states(folder, clips[0])
    state["mask_time_emb_vector"] = state.pop("masked_spec_embed")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    for spec in (folder, folder / "model.safetensors"):
        np.testing.assert_allclose(load_encoder(str(spec), device="cpu").encode(clips[:1])[0].numpy(), expected, atol=2e-5)


# ----------------------------------------------------------------------------------------------------------------- the layer `final`


@pytest.mark.parametrize("family", [name for name in FAMILY_CONFIGS if name != "whisper"])
def test_final_is_what_the_model_hands_on(family: str, model_folder: Callable[[str], Path], clips: list[np.ndarray]) -> None:
    """There is a layer of this name exactly where ``last_hidden_state`` is no hidden state."""
    folder = model_folder(family)
    card = load_encoder(str(folder), device="cpu").card
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        inputs = extractor(clips[0], sampling_rate=16000, return_tensors="pt")
        out = model(inputs[model.main_input_name], output_hidden_states=True)
    last, given = out.hidden_states[-1], out.last_hidden_state
    assert card.final == (last.shape == given.shape and not torch.equal(last, given))
    assert card.layers == len(out.hidden_states) + card.final
    names = [card.layer_name(layer) for layer in range(card.layers)]
    assert names == [str(layer) for layer in range(len(out.hidden_states))] + ["final"] * card.final
    if card.final:
        [found] = load_encoder(str(folder), device="cpu").encode(clips[:1], layers=[card.layers - 1])
        torch.testing.assert_close(found, given, atol=2e-5, rtol=0)
        [named] = load_encoder(str(folder), device="cpu").encode(clips[:1], layers=["final"])
        torch.testing.assert_close(named, found, atol=0, rtol=0)
        assert f"final is hidden_states[{len(out.hidden_states) - 1}] after the encoder's last norm" in card.layer_meaning


def test_final_is_asked_for_by_name_where_it_is(model_folder: Callable[[str], Path], clips: list[np.ndarray]) -> None:
    plain, large = (load_encoder(str(model_folder(family)), device="cpu") for family in ("wav2vec2", "wav2vec2-large"))
    with pytest.raises(EncoderError) as error:
        plain.encode(clips[:1], layers=["final"])
    assert str(error.value) == (
        f"{plain.card.name} has no layer final: its last hidden state, layer 3, is what it hands on. Its layers are 0 to 3."
    )
    with pytest.raises(EncoderError) as error:
        large.encode(clips[:1], layers=[0, 9])
    assert str(error.value) == (
        f"{large.card.name} has layers 0 to 3 and final (0 is the input of the first Transformer layer); asked for [0, 9]. Give each "
        f"layer once, without negative numbers."
    )


def test_fresh_weights_need_no_weights_and_a_file_no_other_in_its_folder(folder: Path, clips: list[np.ndarray]) -> None:
    expected = one_clip_states(folder, clips[0])
    whole = load_encoder(f"random:{folder}", device="cpu").card
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    check_encoder(f"random:{folder}", device="cpu")
    assert load_encoder(f"random:{folder}", device="cpu").card == whole
    found = load_encoder(str(folder / "best.safetensors"), device="cpu").encode(clips[:1])[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


# ----------------------------------------------------------------------------------------------------------------- whatever lies there

FILES = ("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")


@pytest.fixture(scope="module")
def spoilt_folder(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A folder whose files may be spoilt, and what is in them when good: weights in both formats, and a list of shards."""
    folder = shutil.copytree(model_folder("wav2vec2"), tmp_path_factory.mktemp("spoilt") / "model")
    state = load_file(folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    places = dict.fromkeys(state, "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    return folder, {name: (folder / name).read_bytes() for name in FILES}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoilt_folder_gives_an_encoder_or_an_error_that_names_it(spoilt_folder, data) -> None:
    """Random bytes in place of a file, or within it, or a file cut short: never an exception that nobody foresaw."""
    folder, good = spoilt_folder
    name = data.draw(st.sampled_from(FILES))
    for other in FILES:  # the file that is spoilt is the one that is read
        unread = other.startswith(("model", "pytorch")) and other != name and name.startswith(("model", "pytorch"))
        (folder / other).unlink(missing_ok=True)
        if other != name and not unread:
            (folder / other).write_bytes(good[other])
    whole = good[name]
    start = data.draw(st.integers(0, min(len(whole), 8000) - 1))
    noise = data.draw(st.binary(max_size=64))
    how = data.draw(st.sampled_from(["other", "within", "cut"]))
    spoilt = {"other": noise, "within": whole[:start] + noise + whole[start + len(noise) :], "cut": whole[:start]}[how]
    (folder / name).write_bytes(spoilt)
    try:
        check_encoder(str(folder), device="cpu")
    except AnalysisError as error:
        assert str(folder) in str(error)
    for path in folder.iterdir():
        assert str(path) in unlike_a_model(path)
