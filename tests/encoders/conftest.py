"""Small models of every family, written by save_pretrained, and waveforms to try them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# transformers class names, kept as text so that collecting tests imports nothing heavy.
_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16, 16, 16, 16, 16),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}

FAMILY_CONFIGS: dict[str, tuple[str, dict]] = {
    "wav2vec2": ("Wav2Vec2", _SMALL),
    "wav2vec2-large": ("Wav2Vec2", {**_SMALL, **_LAYER_NORM}),
    "mms": ("Wav2Vec2", {**_SMALL, **_LAYER_NORM, "adapter_attn_dim": 8}),
    "hubert": ("Hubert", _SMALL),
    "hubert-large": ("Hubert", {**_SMALL, **_LAYER_NORM}),
    "distilhubert": ("Hubert", {**_SMALL, "num_hidden_layers": 2, "feat_proj_layer_norm": False}),
    "unispeech": ("UniSpeech", _SMALL),
    "unispeech-sat": ("UniSpeechSat", _SMALL),
    "data2vec-audio": ("Data2VecAudio", {**_SMALL, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7}),
    "wavlm": ("WavLM", _SMALL),
    "wavlm-large": ("WavLM", {**_SMALL, **_LAYER_NORM}),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", {**_SMALL, "conv_depthwise_kernel_size": 7}),
    "wav2vec2-conformer-rotary": (
        "Wav2Vec2Conformer",
        {**_SMALL, "conv_depthwise_kernel_size": 7, "position_embeddings_type": "rotary"},
    ),
    "wav2vec2-bert": (
        "Wav2Vec2Bert",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "conv_depthwise_kernel_size": 7,
        },
    ),
    "sew": (
        "SEW",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "conv_dim": (16,) * 13,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
        },
    ),
    "sew-d": (
        "SEWD",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "conv_dim": (16,) * 13,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
            "feature_layer_norm_eps": 1e-5,
        },
    ),
    "whisper": (
        "Whisper",
        {
            "d_model": 32,
            "encoder_layers": 3,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 16,
            "vocab_size": 60,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
    ),
}


def write_model(family: str, folder: Path, seed: int = 0, **changes: object) -> Path:
    """A model of ``family`` with random weights and its preprocessor, as save_pretrained writes them."""
    import torch
    import transformers

    name, options = FAMILY_CONFIGS[family]
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**{**options, **changes})
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():  # fresh biases and norms are all nought and one: a wrong one would not show
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if family == "wav2vec2-bert":
        extractor = transformers.SeamlessM4TFeatureExtractor()
    elif family == "whisper":
        extractor = transformers.WhisperFeatureExtractor()
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize="large" not in family)
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of a family; written once."""
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = write_model(family, root / family)
        return made[family]

    return folder


@pytest.fixture(scope="session")
def clips() -> list[np.ndarray]:
    """Waveforms of unequal length, loudness and offset: what padding and shared normalisation would betray."""
    rng = np.random.default_rng(5)
    clips = []
    for seconds, gain, offset in ((1.0, 0.1, 0.0), (0.31, 0.5, 0.05), (2.2, 0.01, -0.01), (0.075, 0.2, 0.0)):
        time = np.arange(int(16000 * seconds)) / 16000
        wave = np.sin(2 * np.pi * 150 * time * (1 + 0.2 * time)) * (1 + np.sin(9 * time))
        clips.append((gain * (wave + 0.3 * rng.standard_normal(len(time))) + offset).astype(np.float32))
    return clips
