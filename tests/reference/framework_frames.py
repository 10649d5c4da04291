"""What the animation frameworks do to an encoder's frames, clip by clip in NumPy and plain transformers."""

from __future__ import annotations

import math

import numpy as np


def stretched(frames: np.ndarray, count: int) -> np.ndarray:
    """``(frames, dims)`` at ``count`` points spread evenly from the first frame to the last."""
    at = np.linspace(0, len(frames) - 1, count) if count > 1 else np.zeros(1)
    return np.stack([np.interp(at, np.arange(len(frames)), column) for column in frames.T], axis=1)


def in_pairs(frames: np.ndarray) -> np.ndarray:
    """Neighbours side by side, an odd last frame dropped."""
    return np.stack([np.concatenate([frames[2 * i], frames[2 * i + 1]]) for i in range(len(frames) // 2)])


def resampled_before(model, values, rate: float, even: bool) -> list[np.ndarray]:
    """All hidden states when the convolutions' output is brought to ``rate`` before the Transformer."""
    import torch

    with torch.no_grad():
        features = model.feature_extractor(values)[0].T.numpy()
        if rate != 50:
            features = stretched(features, math.floor(len(features) / 50 * rate))
        if even:
            features = features[: len(features) // 2 * 2]
        hidden = model.feature_projection(torch.from_numpy(features.astype(np.float32))[None])
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        encoder = model.encoder
        states = [encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden))]
        for layer in encoder.layers:
            out = layer(states[-1])
            states.append(out[0] if isinstance(out, tuple) else out)
    return [state[0].numpy() for state in states]
