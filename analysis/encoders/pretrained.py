"""Speech models of transformers, by hub id or local folder, with their own preprocessor.

Every family gives exactly what ``model(one_clip, output_hidden_states=True)`` gives. Where the encoder ends in a norm of its own
(large wav2vec 2.0, HuBERT and WavLM), the state behind it, ``last_hidden_state``, is one more layer, called ``final``. Families
whose frames mix only in attention and in the positional convolution are run packed (several clips, no padding); the others one
clip at a time.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils import cached_file, is_peft_available

from analysis.encoders.convolution import frame_count, stack_grid
from analysis.encoders.packing import ATTENTION, PerClip, packed
from analysis.encoders.precision import autocast
from analysis.encoders.state_dicts import ALLOWED_MISSING, digest, load_strictly, read_weights
from analysis.encoders.types import EncoderCard
from analysis.encoders.waveforms import check_layers, check_waveform, sent_to
from analysis.errors import AnalysisError, CheckpointError, EncoderError, Failure
from analysis.model_files import config_fault, file_fault, folder_fault, unlike_a_model, weight_files
from analysis.timebase import FrameGrid

__all__ = ["FAMILIES", "TransformersFrames", "empty_model", "load_model", "load_preprocessor"]

_log = logging.getLogger(__name__)

#: Families that can be run, by transformers' ``model_type``, and whether clips can be packed.
FAMILIES = {
    "wav2vec2": True,
    "hubert": True,
    "unispeech": True,
    "unispeech-sat": True,
    "data2vec-audio": True,
    "wavlm": False,
    "wav2vec2-conformer": False,
    "wav2vec2-bert": False,
    "sew": False,
    "sew-d": False,
    "whisper": True,
}

# Other models of sound that people try, by how the name of their family begins.
_OTHERS = {
    "mimi": "a neural audio codec",
    "encodec": "a neural audio codec",
    "dac": "a neural audio codec",
    "xcodec": "a neural audio codec",
    "speecht5": "a model that speaks",
    "vits": "a model that speaks",
    "bark": "a model that speaks",
    "audio-spectrogram-transformer": "a classifier of whole sounds, whose patches are no frames",
    "clap": "a model of sounds and captions, whose patches are no frames",
    "seamless_m4t": "a translator of speech",
    "parakeet": "a recogniser with a front end of its own",
    "moonshine": "a recogniser with a front end of its own",
    "speech_to_text": "a recogniser with a front end of its own",
    "bert": "a model of text",
    "roberta": "a model of text",
}
# What stands beside Whisper's encoder in models that classify.
_WHISPER_HEADS = ("projector", "classifier", "layer_weights", "proj_out")
_LAYER_KEY = re.compile(r"(^|\.)(encoder\.layers|feature_extractor\.conv_layers)\.\d+\.")


class TransformersFrames:
    """Hidden states of a speech model of transformers.

    Parameters
    ----------
    model : PreTrainedModel
        Of a family in :data:`FAMILIES` other than Whisper.
    extractor : SequenceFeatureExtractor
        The checkpoint's own preprocessor; decides normalisation.
    name, revision, weights : str
        For the card.
    """

    def __init__(self, model: nn.Module, extractor: Any, *, name: str, revision: str, weights: str = "pretrained") -> None:
        config = model.config
        self.model, self.extractor = model.eval().requires_grad_(False), extractor
        self.packs = FAMILIES[config.model_type]
        grid, field = _grid(config, extractor)
        final = getattr(config, "do_stable_layer_norm", False) or config.model_type == "wav2vec2-conformer"
        self.card = EncoderCard(
            name=name,
            family=config.model_type,
            revision=revision,
            dims=config.hidden_size,
            layers=config.num_hidden_layers + 1 + final,
            grid=grid,
            receptive_field=field,
            normalization=_normalization(extractor),
            layer_meaning="layer k is hidden_states[k]; 0 is the input of the first Transformer layer"
            + (
                f"; final is hidden_states[{config.num_hidden_layers}] after the encoder's last norm, what it hands on"
                if final
                else ""
            ),
            weights=weights,
            final=final,
        )
        if self.packs:
            model.set_attn_implementation(ATTENTION)
            model.feature_extractor = PerClip(model.feature_extractor, unit="samples", time=1, joined=2)
            model.encoder.pos_conv_embed = PerClip(model.encoder.pos_conv_embed)

    #: How it computes; see :mod:`analysis.encoders.precision`.
    precision = "float32"
    #: Doubts about how it was loaded, for the failures table.
    warnings: tuple[Failure, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """One tensor ``(len(layers), frames, dims)`` per waveform; see :class:`analysis.encoders.types.Encoder`."""
        layers = check_layers(layers, self.card)
        inputs = [self._input(check_waveform(waveform, self.card)) for waveform in waveforms]
        if not self.packs or len(inputs) < 2:
            return [self._states(values, layers) for values in inputs]
        samples = [values.shape[1] for values in inputs]
        frames = [self.frames(count) for count in samples]
        with packed(frames, samples):
            together = self._states(torch.cat(inputs, dim=1), layers)
        return list(together.split(frames, dim=1))

    def frames(self, samples: int) -> int:
        """Frames that the Transformer sees of a clip of ``samples``."""
        return frame_count(samples, self.model.config.conv_kernel, self.model.config.conv_stride)

    def _input(self, waveform: np.ndarray) -> torch.Tensor:
        """One clip as the model wants it, ``(1, samples)`` or ``(1, frames, bands)``."""
        rate = self.card.sampling_rate
        kwargs = {} if "input_values" in self.extractor.model_input_names else {"padding": False}
        features = self.extractor(waveform, sampling_rate=rate, return_tensors="pt", **kwargs)
        return sent_to(features[self.model.main_input_name], self.device, self.model.dtype)

    def _states(self, values: torch.Tensor, layers: tuple[int, ...]) -> torch.Tensor:
        with autocast(self.device, self.precision):
            states = self.model(values, output_hidden_states=True).hidden_states
            if len(states) in layers:  # the layer that is called final
                states = (*states, self.model.encoder.layer_norm(states[-1]))
        return torch.stack([states[layer][0].float() for layer in layers])


def _grid(config: Any, extractor: Any) -> tuple[FrameGrid, int]:
    """Frame grid and receptive field, from the strides of whatever makes the frames."""
    if config.model_type == "wav2vec2-bert":  # filter bank frames of 25 ms every 10 ms, stacked in pairs: no convolution
        window, hop = 400, 160
        return stack_grid((window,), (hop,), extractor.sampling_rate, pooled=extractor.stride)
    squeeze = config.squeeze_factor if config.model_type in ("sew", "sew-d") else 1
    return stack_grid(config.conv_kernel, config.conv_stride, extractor.sampling_rate, pooled=squeeze)


def _normalization(extractor: Any) -> str:
    if "input_values" not in extractor.model_input_names:
        return f"log-mel of {extractor.feature_size} bands, zero mean and unit variance per band and clip"
    return "zero mean, unit variance per clip" if extractor.do_normalize else "none"


def load_model(target: str, revision: str | None) -> tuple[nn.Module, str]:
    """A model with its weights and their revision.

    Parameters
    ----------
    target : str
        Hub id, folder, or a ``.safetensors`` file with its ``config.json`` beside it.
    revision : str or None
        Commit, tag or branch on the hub.

    Returns
    -------
    model : PreTrainedModel
        In float32, in evaluation mode; of Whisper the encoder alone, whatever stands beside it. An adapter of peft in the
        folder is merged into the weights.
    revision : str
        Hub commit, or sha256 over the weights.

    Raises
    ------
    EncoderError
        If it cannot be found, its family is not one that can be run, or its weights are quantised.
    CheckpointError
        If files are damaged or absent, keys are missing, or more Transformer layers are there than the configuration names.
    """
    config = _config(target, revision)
    if target.endswith(".safetensors"):
        return _from_file(Path(target), config)
    if _has_adapter(target, revision):
        model = _adapted(Path(target), config)
        return model.eval(), digest(model.state_dict())
    whisper = config.model_type == "whisper"
    kind = WhisperEncoder if whisper else _class_of(config)
    renamed = {"key_mapping": {r"^(model\.)?encoder\.": ""}} if whisper else {}
    with _fitting(target, config), _quiet(), _explained(target, revision, "model.safetensors"):
        model, report = kind.from_pretrained(
            target,
            revision=revision,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **renamed,
        )
    _check_keys(target, config, report)
    commit = getattr(config, "_commit_hash", None)
    return model.eval(), commit or digest(model.state_dict())


def _from_file(path: Path, config: Any) -> tuple[nn.Module, str]:
    """A model from one file of weights, with a head or without one."""
    if fault := file_fault(path):
        raise CheckpointError(fault)
    state = read_weights(path)
    if config.model_type == "whisper":
        bare = {re.sub(r"^(model\.)?encoder\.", "", key): value for key, value in state.items() if "decoder." not in key}
        state = {key: value for key, value in bare.items() if key.split(".")[0] not in _WHISPER_HEADS}
    model, _ = empty_model(str(path.parent), None)
    prefix = model.base_model_prefix + "."
    inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    load_strictly(model, inner or state, str(path))
    return model, digest(model.state_dict())


def _has_adapter(target: str, revision: str | None) -> bool:
    """Whether an adapter of peft lies beside the weights; raises where it could not be applied."""
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        found = find_adapter_config_file(target, revision=revision)
    except (OSError, ValueError):  # an id that cannot be reached is explained where its weights are asked for
        return False
    if found is None:
        return False
    if not os.path.isdir(target):
        raise EncoderError(
            f"{target} has an adapter of peft beside its weights. Fetch it with `hf download {target} --local-dir "
            f"{Path(target).name}` and give the folder, in which the adapter is applied."
        )
    if not is_peft_available():
        raise EncoderError(
            f"{target} holds an adapter of peft (adapter_config.json) beside its weights, and peft is not installed, so the adapter "
            f"would be left out. Run: pip install peft\nOr, to measure the model without the adapter, give a folder without "
            f"adapter_config.json and adapter_model.safetensors."
        )
    return True


def _adapted(folder: Path, config: Any) -> nn.Module:
    """The model in ``folder`` with the adapter beside it merged into its weights, without the head."""
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from peft.utils import load_peft_weights

    files, _ = weight_files(folder)
    state: dict[str, torch.Tensor] = {}
    for file in files:
        state |= read_weights(file)
    named = next(iter(config.architectures or ()), "")
    kind = getattr(transformers, named, None) or (
        transformers.WhisperModel if config.model_type == "whisper" else _class_of(config)
    )
    with _fitting(str(folder), config), _quiet():
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    _check_keys(str(folder), config, report)
    try:
        with warnings.catch_warnings():  # peft and transformers warn of each other's versions
            warnings.simplefilter("ignore")
            adapted = get_peft_model(model, PeftConfig.from_pretrained(folder))
            weights = load_peft_weights(str(folder), device="cpu")
            result = set_peft_model_state_dict(adapted, weights)
    except Exception as error:  # peft raises what its many kinds of adapter raise
        raise CheckpointError(
            f"The adapter in {folder} cannot be applied to the weights beside it ({type(error).__name__}: {_first_line(error)}). Merge "
            f"it where it was trained: model.merge_and_unload().save_pretrained(FOLDER)"
        ) from error
    left = [*result.unexpected_keys, *(key for key in result.missing_keys if "lora_" in key)]
    if left or not weights:
        raise CheckpointError(
            f"The adapter in {folder} does not fit the weights beside it: {len(left)} of its tensors find no place or are missing, "
            f"the first {left[0] if left else 'of none'}. Was it trained on a model of another class than "
            f"{type(model).__name__}? Merge it where it was trained: model.merge_and_unload().save_pretrained(FOLDER)"
        )
    merged = adapted.merge_and_unload()
    inner = getattr(merged, merged.base_model_prefix, merged)
    return inner.get_encoder() if config.model_type == "whisper" else inner


def _check_keys(target: str, config: Any, report: Mapping[str, Any]) -> None:
    """Raise for weights that are missing, of another shape, or of more layers than the configuration has."""
    missing = sorted(key for key in report["missing_keys"] if key.split(".")[-1] not in ALLOWED_MISSING)
    if missing:
        named = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise CheckpointError(_misfit(target, config, f"{len(missing)} weights are missing: {named}"))
    if report["mismatched_keys"]:
        key, here, there = min(report["mismatched_keys"])
        reason = f"{len(report['mismatched_keys'])} are of another shape, such as {key}: {tuple(here)} in the file, {tuple(there)} by config.json"
        raise CheckpointError(_misfit(target, config, reason))
    deeper = sorted(key for key in report["unexpected_keys"] if _LAYER_KEY.search(key))
    if deeper and config.model_type != "whisper":
        raise CheckpointError(_misfit(target, config, f"{len(deeper)} weights of layers are left over, the first {deeper[0]}"))


@contextmanager
def _fitting(target: str, config: Any) -> Iterator[None]:
    """Failures of building a model and filling it, told with the cause and the remedy."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"The weights of {target} were refused: they are a pickle of more than plain tensors, and loading it would run code "
            f"from the file. If you trust it, load it where it was made and write it again: model.save_pretrained(folder)"
        ) from error
    except AnalysisError:
        raise
    except RuntimeError as error:  # shapes that differ
        raise CheckpointError(_misfit(target, config, _first_line(error))) from error
    except Exception as error:  # settings that no model can be built from raise what the model's code raises
        raise EncoderError(
            f"No {config.model_type} can be made of {target} ({type(error).__name__}: {_first_line(error)}). Its config.json or its "
            f"weights are damaged or of another model; fetch it again."
        ) from error


def _misfit(target: str, config: Any, reason: str) -> str:
    return (
        f"The weights of {target} do not fit the family that its config.json names, {config.model_type}: {reason}. "
        f"Take weights and config.json from the same model."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def empty_model(target: str, revision: str | None, seed: int = 0) -> tuple[nn.Module, Any]:
    """The same architecture with fresh random weights, and its configuration."""
    config = _config(target, revision, weights=False)
    with torch.random.fork_rng(devices=[]), _fitting(target, config), _quiet():
        torch.manual_seed(seed)
        model = (transformers.WhisperModel if config.model_type == "whisper" else _class_of(config))(config)
    return (model.encoder if config.model_type == "whisper" else model).eval(), config


def load_preprocessor(target: str, revision: str | None, *, weights: bool = True) -> tuple[Any, Failure | None]:
    """The checkpoint's own feature extractor; where it has none, that of its family and a warning.

    A folder need not hold weights with ``weights=False``.

    Raises
    ------
    EncoderError
        If there is one that cannot be used, or it is of another family or size than the model.
    """
    config = _config(target, revision, weights=weights)
    if target.endswith(".safetensors"):
        target = str(Path(target).parent)
    with _explained(target, revision, "preprocessor_config.json"):
        lenient = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
        if not cached_file(target, "preprocessor_config.json", **lenient) and not cached_file(
            target, "processor_config.json", **lenient, _raise_exceptions_for_connection_errors=False
        ):
            extractor = _family_preprocessor(config)
            return extractor, Failure(
                "embeddings",
                target,
                f"It has no preprocessor_config.json; the default of its family is used: {type(extractor).__name__} "
                f"{_makes(extractor)}.",
                "If the model was trained otherwise, its vectors are wrong: copy preprocessor_config.json of the model it was "
                "trained from.",
                "warning",
            )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(target, revision=revision, trust_remote_code=False)
    _check_preprocessor(target, config, extractor)
    return extractor, None


def _family_preprocessor(config: Any) -> Any:
    """What the family's models are published with."""
    if config.model_type == "whisper":
        return transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    if config.model_type == "wav2vec2-bert":
        return transformers.SeamlessM4TFeatureExtractor()
    # WavLM's base models alone were trained on waveforms as they are.
    raw = config.model_type == "wavlm" and config.feat_extract_norm == "group"
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=not raw)


def _makes(extractor: Any) -> str:
    if "input_values" not in extractor.model_input_names:
        return f"with {extractor.feature_size} mel bands"
    return "with zero mean and unit variance per clip" if extractor.do_normalize else "without normalisation"


def _check_preprocessor(target: str, config: Any, extractor: Any) -> None:
    """Raise where the preprocessor makes something else than the model takes."""
    spectral = config.model_type in ("whisper", "wav2vec2-bert")
    wanted = "input_features" if spectral else "input_values"
    if wanted not in extractor.model_input_names:
        raise EncoderError(
            f"{target} has a preprocessor for another family: preprocessor_config.json names {type(extractor).__name__}, which makes "
            f"{extractor.model_input_names[0]}, and a {config.model_type} takes {wanted}. Copy the file of the model it was trained from."
        )
    if not spectral:
        return
    bands, made = (
        (config.num_mel_bins, extractor.feature_size)
        if config.model_type == "whisper"
        else (config.feature_projection_input_dim, extractor.feature_size * extractor.stride)
    )
    if bands != made:
        raise EncoderError(
            f"{target}: its preprocessor makes {made} mel bands a frame, and its config.json says that the model takes {bands}. Copy "
            f"preprocessor_config.json and config.json of the same model."
        )


def _config(target: str, revision: str | None, *, weights: bool = True) -> Any:
    path = Path(target)
    if os.path.isdir(target):  # unlike Path.is_dir it takes a name of any length
        if fault := folder_fault(path, weights=weights):
            raise EncoderError(fault)
    elif os.path.isfile(target):
        if not target.endswith(".safetensors"):
            raise EncoderError(unlike_a_model(path))
        if not (path.parent / "config.json").is_file():
            raise EncoderError(
                f"{path} needs its config.json in the same folder; it is not there. Copy it from the model's page."
            )
        target = str(path.parent)
    with _explained(target, revision, "config.json"):
        named = cached_file(target, "config.json", revision=revision)
        raw = json.loads(Path(named).read_text(encoding="utf-8-sig"))
    if not isinstance(raw, dict):
        raise EncoderError(f"{named} holds a {type(raw).__name__} where an object {{...}} is expected. Fetch it again.")
    _check_family(target, raw.get("model_type"))
    if weights and (fault := config_fault(target, raw)):
        raise EncoderError(f"{fault} With --dtype int8 it is computed in 8 bits here.")
    with _explained(target, revision, "config.json"):
        try:
            return transformers.AutoConfig.from_pretrained(target, revision=revision, trust_remote_code=False)
        except (OSError, ValueError):
            raise
        except Exception as error:  # transformers checks types and ranges with classes of its own
            raise EncoderError(
                f"{target}: its config.json cannot be used ({type(error).__name__}: {_first_line(error)}). Fetch it again."
            ) from error


def _check_family(target: str, family: Any) -> None:
    if family in FAMILIES:
        return
    if family is None:
        raise EncoderError(
            f"The config.json of {target} does not say of which family the model is: it has no model_type. Is it another program's? "
            f"Give the folder that save_pretrained of transformers wrote."
        )
    kind = next((kind for start, kind in _OTHERS.items() if str(family).startswith(start)), "")
    raise EncoderError(
        f"{target} is of family {family!r}{', ' + kind + ',' if kind else ','} which is no speech encoder that can be run here. "
        f"Families: {', '.join(FAMILIES)}. Frames of anything else come in through features:DIR."
    )


def _class_of(config: Any) -> Any:
    return transformers.AutoModel._model_mapping[type(config)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own report of unused heads: what matters is checked and raised here."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)


@contextmanager
def _explained(target: str, revision: str | None, file: str) -> Iterator[None]:
    """Failures of transformers to find a file, told with the cause and the remedy."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        if os.path.exists(target):
            what = "a folder" if os.path.isdir(target) else "a file"
            raise EncoderError(
                f"{target} is {what}, but {file} in it is missing or cannot be used ({first}). A model folder holds config.json, "
                f"preprocessor_config.json and model.safetensors, as save_pretrained writes them."
            ) from error
        if target.startswith((".", "/", "~")) or target.count("/") > 1 or (os.sep != "/" and os.sep in target):
            raise EncoderError(f"There is no model folder {target}. Check the path.") from error
        at = f" --revision {revision}" if revision else ""
        raise EncoderError(
            f"{target} could not be fetched from the hub ({first}). If this machine is offline, run on one that is not:\n"
            f"    hf download {target}{at} --local-dir {Path(target).name}\n"
            f"copy the folder here and give its path as the encoder. If it is online, check the id and the revision."
        ) from error
