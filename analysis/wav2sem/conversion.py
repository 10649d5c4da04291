"""The released container into a folder that ``from_pretrained`` reads."""

from __future__ import annotations

import json
import logging
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from analysis.errors import CheckpointError
from analysis.wav2sem.fusion import FusionWeights
from analysis.wav2sem.module import ReferenceModule, load_strictly, named

__all__ = ["convert", "converted_weights", "sizes"]

log = logging.getLogger(__name__)

_RENAMED = {"FeatureExtractor": "feature_extractor", "FeatureProjection": "feature_projection", "Encoder": "encoder"}
_WRAPPERS = ("module.", "_orig_mod.")
_POSITIONS = "encoder.pos_conv_embed.conv."

# What the shapes cannot tell, by hidden size, from the published base and large models.
_PUBLISHED = {
    768: {"num_attention_heads": 12},
    1024: {"num_attention_heads": 16},
}


def convert(checkpoint: Path, out: Path, *, config: Path | None = None, target: str = "") -> dict[str, Any]:
    """Read a released checkpoint and write a folder that ``Wav2Vec2Model.from_pretrained`` and ``load_semantics`` read.

    Parameters
    ----------
    checkpoint : Path
        ``model.pth.tar`` of the release (``{"state_dict": ...}``), a bare state dict, or safetensors; or an animation model saved
        with the module inside (``Wav2Bert.*``, as the released CodeTalker integration has it). A trained ``bert_feature_map`` in it
        becomes ``out/fusion``: weights of the ``linear`` fusion.
    out : Path
        Folder; made when missing.
    config : Path, optional
        ``config.json`` in transformers' names, for what shapes cannot tell, or for sizes other than base and large.
    target : str
        Text model and pooling of its space, told in the folder.

    Returns
    -------
    dict
        ``tensors``, ``parameters``, ``renamed`` and the sizes found; ``inside`` and ``fusion`` where it came out of another model.

    Raises
    ------
    CheckpointError
        If the file is none of these, or has missing or unexpected entries, or sizes contradict the configuration.
    """
    from transformers import Wav2Vec2Config

    state, inside, fusion = _taken_out(_state_dict(checkpoint), checkpoint)
    weights, renamed = converted_weights(state, checkpoint)
    found = sizes(weights, checkpoint)
    given = _given(config)
    clash = [
        f"{k} is {given[k]} in {config} and {found[k]} in the weights"
        for k in sorted(found.keys() & given.keys())
        if given[k] != found[k]
    ]
    if clash:
        raise CheckpointError(f"{checkpoint} and its configuration contradict each other: {'; '.join(clash)}.")
    assumed: dict[str, Any] = {}
    if "num_attention_heads" not in given:
        assumed = dict(_PUBLISHED.get(found["hidden_size"], {}))
        if not assumed:
            raise CheckpointError(
                f"{checkpoint} has {found['hidden_size']} dims, neither base (768) nor large (1024), and shapes do not tell the "
                'number of attention heads. Give it with --config config.json: {"num_attention_heads": ...}.'
            )
    # dropout and masking are for training; the module is used frozen
    settings = Wav2Vec2Config(**({"apply_spec_augment": False} | assumed | found | given))
    module = ReferenceModule(settings)
    model = module.wav2vec2
    own = model.state_dict()
    if "masked_spec_embed" in own:
        weights.setdefault("masked_spec_embed", own["masked_spec_embed"])
    else:
        weights.pop("masked_spec_embed", None)
    load_strictly(model, weights, checkpoint)
    module.eval().save(out, target=target)
    if fusion is not None:
        fusion.save(out / "fusion")
    if assumed:
        log.info("taken from the published models: %s", assumed)
    return {
        "tensors": len(weights),
        "parameters": sum(p.numel() for p in model.parameters()),
        "renamed": renamed,
        "assumed": assumed,
        **({"inside": inside, "fusion": str(out / "fusion") if fusion is not None else ""} if inside else {}),
        **found,
    }


def _taken_out(state: dict[str, torch.Tensor], where: Path) -> tuple[dict[str, torch.Tensor], str, FusionWeights | None]:
    """The module's own entries, the prefix under which another model keeps them (empty if none), and that model's fusion."""
    prefixes = {key.partition("Wav2Bert.")[0] + "Wav2Bert." for key in state if "Wav2Bert." in key}
    if not prefixes:
        return state, "", None
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{where} holds {len(prefixes)} modules: {', '.join(sorted(prefixes))}. Save the one you mean alone."
        )
    (prefix,) = prefixes
    inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    outer = prefix.removesuffix("Wav2Bert.") + "bert_feature_map."
    weight, bias = state.get(f"{outer}weight"), state.get(f"{outer}bias")
    if weight is None and bias is None:
        return inner, prefix, None
    if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise CheckpointError(f"{where}: {outer}weight and {outer}bias do not belong together. The checkpoint is not whole.")
    arrays = (weight.float().numpy(), bias.float().numpy())
    return inner, prefix, FusionWeights("linear", *arrays, trained_on=f"the animation model in {where.name}")


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, read without running anything that is in it."""
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}. Give the model.pth.tar of the release.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is no safetensors file: {error}. Was the download cut short?") from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, end-of-file and runtime errors of many classes here
        kind = "a zip archive of something else" if zipfile.is_zipfile(path) else "cut short, not a torch file, or holds objects"
        told = (str(error).strip().splitlines() or [""])[0][:150]
        raise CheckpointError(
            f"{path} cannot be read as tensors alone ({type(error).__name__}: {told}). It is {kind}. Nothing in it was run. "
            "Download it again, or save its state dict with safetensors."
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        kind = (
            type(loaded).__name__
            if not isinstance(loaded, dict)
            else f"dict with {', '.join(map(str, list(loaded)[:5])) or 'nothing'}"
        )
        raise CheckpointError(f"{path} holds no state dict of tensors but a {kind}. Give the model.pth.tar of the release.")
    return loaded


def converted_weights(state: dict[str, torch.Tensor], where: Path | str) -> tuple[dict[str, torch.Tensor], int]:
    """Weights under the names of the stock model, and how many were renamed; both spellings of weight norm are read."""
    weights: dict[str, torch.Tensor] = {}
    renamed = 0
    for key, tensor in state.items():
        name = key
        for wrapper in _WRAPPERS:
            name = name.removeprefix(wrapper)
        first, dot, rest = name.partition(".")
        if first in _RENAMED:
            name = _RENAMED[first] + dot + rest
        name = name.removeprefix("wav2vec2.")
        if name.startswith(_POSITIONS):
            name = name.replace("weight_g", "parametrizations.weight.original0").replace(
                "weight_v", "parametrizations.weight.original1"
            )
        renamed += name != key
        if name in weights:
            raise CheckpointError(f"{where} holds {name} twice, once as {key}.")
        weights[name] = tensor.float()
    return weights, renamed


def sizes(weights: dict[str, torch.Tensor], where: Path | str) -> dict[str, Any]:
    """Configuration entries that shapes tell, in transformers' names.

    Raises
    ------
    CheckpointError
        If the tensors that tell them are not there.
    """
    needed = {
        "hidden_size": "feature_projection.projection.weight",
        "intermediate_size": "encoder.layers.0.feed_forward.intermediate_dense.weight",
        "conv": "feature_extractor.conv_layers.0.conv.weight",
        "positions": "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    }
    absent = [key for key in needed.values() if key not in weights]
    if absent:
        others = sorted(key for key in weights if not key.startswith((*_RENAMED.values(), "masked_spec_embed")))
        raise CheckpointError(
            f"{where} is no Wav2Sem checkpoint: it lacks {', '.join(absent)}; of its {len(weights)} entries, unexpected: "
            f"{named(others) or 'none'}. It is a checkpoint of something else, or a part of one. Give the model.pth.tar of the "
            "release. A folder that `train` wrote needs no conversion; an animation model's own encoder is measured with "
            "`python -m analysis.decouple --encoder FRAMEWORK:CHECKPOINT`."
        )
    hidden = weights[needed["hidden_size"]].shape[0]
    conv = []
    while (key := f"feature_extractor.conv_layers.{len(conv)}.conv.weight") in weights:
        conv.append(weights[key])
    layers = {int(m[1]) for key in weights if (m := re.match(r"encoder\.layers\.(\d+)\.", key))}
    if layers != set(range(len(layers))):
        raise CheckpointError(f"{where} has encoder layers {sorted(layers)}: some are missing.")
    position = weights[needed["positions"]]
    norms = [f"feature_extractor.conv_layers.{i}.layer_norm.weight" in weights for i in range(len(conv))]
    layer_norm = len(norms) > 1 and norms[1]
    return {
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        "intermediate_size": weights[needed["intermediate_size"]].shape[0],
        "conv_dim": [c.shape[0] for c in conv],
        "conv_kernel": [c.shape[2] for c in conv],
        "num_feat_extract_layers": len(conv),
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in weights,
        "feat_extract_norm": "layer" if layer_norm else "group",
        "do_stable_layer_norm": layer_norm,
        "num_conv_pos_embeddings": position.shape[2],
        "num_conv_pos_embedding_groups": position.shape[0] // position.shape[1],
    }


def _given(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        given = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"The configuration {config} cannot be read: {error}.") from error
    if not isinstance(given, dict):
        raise CheckpointError(f"The configuration {config} is a {type(given).__name__}, not an object with transformers' names.")
    from transformers import Wav2Vec2Config

    known = Wav2Vec2Config().to_dict()
    unknown = sorted(set(given) - set(known) - {"architectures", "torch_dtype", "dtype", "transformers_version"})
    if unknown:
        raise CheckpointError(f"The configuration {config} has settings that transformers does not know: {', '.join(unknown)}.")
    if given.get("model_type", "wav2vec2") != "wav2vec2":
        raise CheckpointError(f"The configuration {config} is of a {given['model_type']}, not of a wav2vec2.")
    return {k: v for k, v in given.items() if k in known and k != "model_type"}
