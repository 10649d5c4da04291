"""Speech models of transformers, by hub id or local folder, with their own preprocessor.

Every family gives exactly what ``model(one_clip, output_hidden_states=True)`` gives. Families whose frames mix only in attention
and in the positional convolution are run packed (several clips, no padding); the others one clip at a time.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from analysis.encoders.convolution import frame_count, stack_grid
from analysis.encoders.packing import ATTENTION, PerClip, packed
from analysis.encoders.precision import autocast
from analysis.encoders.state_dicts import ALLOWED_MISSING, digest, load_strictly, read_weights
from analysis.encoders.types import EncoderCard
from analysis.encoders.waveforms import check_layers, check_waveform, sent_to
from analysis.errors import CheckpointError, EncoderError
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
        before_norm = getattr(config, "do_stable_layer_norm", False)
        self.card = EncoderCard(
            name=name,
            family=config.model_type,
            revision=revision,
            dims=config.hidden_size,
            layers=config.num_hidden_layers + 1,
            grid=grid,
            receptive_field=field,
            normalization=_normalization(extractor),
            layer_meaning="layer k is hidden_states[k]; 0 is the input of the first Transformer layer"
            + ("; the last layer is taken before the final layer norm, as transformers 5 gives it" if before_norm else ""),
            weights=weights,
        )
        if self.packs:
            model.set_attn_implementation(ATTENTION)
            model.feature_extractor = PerClip(model.feature_extractor, unit="samples", time=1, joined=2)
            model.encoder.pos_conv_embed = PerClip(model.encoder.pos_conv_embed)

    #: How it computes; see :mod:`analysis.encoders.precision`.
    precision = "float32"

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
        In float32, in evaluation mode.
    revision : str
        Hub commit, or sha256 over the weights.

    Raises
    ------
    EncoderError
        If it cannot be found, or its family is not one that can be run.
    CheckpointError
        If keys are missing.
    """
    if target.endswith(".safetensors"):
        path = Path(target)
        if not (path.parent / "config.json").is_file():
            raise EncoderError(
                f"{path} needs its config.json in the same folder; it is not there. Copy it from the model's page."
            )
        model, _ = empty_model(str(path.parent), None)
        state = read_weights(path)
        prefix = model.base_model_prefix + "."
        inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        load_strictly(model, inner or state, str(path))
        return model, digest(model.state_dict())
    config = _config(target, revision)
    try:
        with _quiet(), _explained(target, revision, "model.safetensors"):
            model, report = _class_of(config).from_pretrained(
                target, revision=revision, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"The weights of {target} were refused: they are a pickle of more than plain tensors, and loading it would run code "
            f"from the file. If you trust it, load it where it was made and write it again: model.save_pretrained(folder)"
        ) from error
    except RuntimeError as error:  # shapes that differ
        raise CheckpointError(_misfit(target, config, str(error).strip().splitlines()[0])) from error
    missing = sorted(set(report["missing_keys"]) - ALLOWED_MISSING)
    if missing:
        named = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise CheckpointError(_misfit(target, config, f"{len(missing)} weights are missing: {named}"))
    if config.model_type == "whisper":
        model = model.encoder
    commit = getattr(config, "_commit_hash", None)
    return model.eval(), commit or digest(model.state_dict())


def _misfit(target: str, config: Any, reason: str) -> str:
    return (
        f"The weights of {target} do not fit the family that its config.json names, {config.model_type}: {reason}. "
        f"Take weights and config.json from the same model."
    )


def empty_model(target: str, revision: str | None, seed: int = 0) -> tuple[nn.Module, Any]:
    """The same architecture with fresh random weights, and its configuration."""
    config = _config(target, revision)
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        model = _class_of(config)(config)
    return (model.encoder if config.model_type == "whisper" else model).eval(), config


def load_preprocessor(target: str, revision: str | None) -> Any:
    """The checkpoint's own feature extractor.

    Raises
    ------
    EncoderError
        If there is none: whether to normalise cannot be guessed.
    """
    if target.endswith(".safetensors"):
        target = str(Path(target).parent)
    with _explained(target, revision, "preprocessor_config.json"):
        return transformers.AutoFeatureExtractor.from_pretrained(target, revision=revision, trust_remote_code=False)


def _config(target: str, revision: str | None) -> Any:
    with _explained(target, revision, "config.json"):
        config = transformers.AutoConfig.from_pretrained(target, revision=revision, trust_remote_code=False)
    if config.model_type not in FAMILIES:
        raise EncoderError(
            f"{target} is of family {config.model_type!r}, which is no speech encoder that can be run here. "
            f"Families: {', '.join(FAMILIES)}. Frames of anything else come in through features:DIR."
        )
    return config


def _class_of(config: Any) -> Any:
    return transformers.WhisperModel if config.model_type == "whisper" else transformers.AutoModel._model_mapping[type(config)]


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
        if Path(target).exists():
            what = "a folder" if Path(target).is_dir() else "a file"
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
