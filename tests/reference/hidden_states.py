"""Hidden states by the plainest use of transformers: one clip, its own preprocessor, nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def one_clip_states(folder: Path, waveform: np.ndarray) -> np.ndarray:
    """All hidden states of one clip, shape ``(layers, frames, dims)``; what the model hands on comes last where it is another."""
    import torch
    import transformers

    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    if config.model_type == "whisper":
        return _whisper_states(folder, extractor, waveform)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    features = extractor(waveform, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        if config.model_type == "wav2vec2-bert":
            states = model(**features, output_hidden_states=True).hidden_states
            real = int(features["attention_mask"].sum())
            return np.stack([state[0, :real].numpy() for state in states])
        out = model(features["input_values"], output_hidden_states=True)
    states, given = list(out.hidden_states), out.last_hidden_state
    if given.shape == states[-1].shape and not torch.equal(given, states[-1]):
        states.append(given)
    return np.stack([state[0].numpy() for state in states])


def _whisper_states(folder: Path, extractor, waveform: np.ndarray) -> np.ndarray:
    """Whisper with a position table as long as the clip: transformers then takes the unpadded spectrogram by itself."""
    import torch
    import transformers

    features = extractor(waveform, sampling_rate=16000, return_tensors="pt", padding="do_not_pad", truncation=False)
    mel = features["input_features"]
    if (
        mel.shape[-1] % 2
    ):  # transformers asks for an even number; a zero is what the second convolution pads with, if bias is undone
        return _whisper_odd(folder, mel)
    model = transformers.WhisperModel.from_pretrained(folder, attn_implementation="eager").encoder.eval()
    length = mel.shape[-1] // 2
    table = model.embed_positions.weight.data[:length].clone()
    model.embed_positions = torch.nn.Embedding.from_pretrained(table)
    model.config.max_source_positions = length
    with torch.no_grad():
        states = model(mel, output_hidden_states=True).hidden_states
    return np.stack([state[0].numpy() for state in states])


def _whisper_odd(folder: Path, mel) -> np.ndarray:
    """The same by hand for an odd number of mel frames, which transformers' length check refuses."""
    import torch
    import transformers

    model = transformers.WhisperModel.from_pretrained(folder, attn_implementation="eager").encoder.eval()
    with torch.no_grad():
        hidden = torch.nn.functional.gelu(model.conv2(torch.nn.functional.gelu(model.conv1(mel)))).transpose(1, 2)
        hidden = hidden + model.embed_positions.weight[: hidden.shape[1]]
        states = [hidden]
        for layer in model.layers:
            hidden = layer(hidden, None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            states.append(hidden)
        states[-1] = model.layer_norm(hidden)
    return np.stack([state[0].numpy() for state in states])
