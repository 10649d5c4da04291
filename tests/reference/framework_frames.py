"""What the animation frameworks do to an encoder's frames, clip by clip in NumPy and plain transformers.

Written from the rules that their released code follows, one function for each framework and data set, by loops over frames.
"""

from __future__ import annotations

import math

import numpy as np

CLOCK = 16000


def stretched(frames: np.ndarray, count: int) -> np.ndarray:
    """``(frames, dims)`` at ``count`` points spread evenly from the first frame to the last.

    Places are computed in single precision, as the frameworks' tensors are: over ten seconds that moves a frame by some
    hundred-thousandths.
    """
    step = np.float32(len(frames) - 1) / np.float32(count - 1) if count > 1 else np.float32(0)
    rows = []
    for number in range(count):
        at = np.float32(number) * step
        low = min(int(at), len(frames) - 1)
        high = min(low + 1, len(frames) - 1)
        share = float(np.float32(at - np.float32(low)))
        rows.append(frames[low] * (1 - share) + frames[high] * share)
    return np.stack(rows)


def in_pairs(frames: np.ndarray) -> np.ndarray:
    """Neighbours side by side, an odd last frame dropped."""
    return np.stack([np.concatenate([frames[2 * i], frames[2 * i + 1]]) for i in range(len(frames) // 2)])


def resampled_before(model, values, rate: float, even: bool, final: bool = False) -> list[np.ndarray]:
    """All hidden states when the convolutions' output is brought to ``rate`` before the Transformer.

    ``final``: of a stable-layer-norm model the last one after the final norm too.
    """
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
        stable = model.config.do_stable_layer_norm
        hidden = hidden + encoder.pos_conv_embed(hidden)
        states = [hidden if stable else encoder.layer_norm(hidden)]
        for layer in encoder.layers:
            out = layer(states[-1])
            states.append(out[0] if isinstance(out, tuple) else out)
        if stable and final:
            states.append(encoder.layer_norm(states[-1]))
    return [state[0].numpy() for state in states]


def faceformer(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """FaceFormer, CodeTalker: VOCASET at 30 frames a second before the Transformer; BIWI at 50, an odd frame dropped before it."""
    return resampled_before(model, values, 30 if data == "vocaset" else 50, even=data == "biwi", final=True)


def unitalker(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """As many frames as the samples make at the face's rate, rounded; resampled after the Transformer."""
    count = round(samples / CLOCK * {"vocaset": 30, "biwi": 25}[data])
    return [stretched(frames, count) for frames in hidden_states(model, values)]


def facediffuser(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """Two frames for each face: VOCASET stretched to them, BIWI cut to them; then in pairs."""
    faces = int(samples / CLOCK * {"vocaset": 30, "biwi": 25}[data])
    if script == "predict":
        faces -= 1
    if data == "vocaset":
        return [in_pairs(stretched(frames, 2 * faces)) for frames in hidden_states(model, values)]
    return [in_pairs(frames)[:faces] for frames in hidden_states(model, values)]


def lgldm(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """At 50 frames a second, an odd frame dropped before the Transformer; BIWI in pairs."""
    states = resampled_before(model, values, 50, even=True, final=True)
    return states if data == "vocaset" else [in_pairs(frames) for frames in states]


def diffspeaker(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """Resampled after the Transformer to the whole frames that its own frames make at the face's rate."""
    states = hidden_states(model, values)
    count = int(len(states[0]) / 50 * {"vocaset": 30, "biwi": 25}[data])
    return [stretched(frames, count) for frames in states]


def facexhubert(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """In pairs, an odd frame dropped."""
    return [in_pairs(frames) for frames in hidden_states(model, values)]


def selftalk(model, values, samples: int, data: str, script: str) -> list[np.ndarray]:
    """VOCASET as FaceFormer; BIWI in pairs."""
    if data == "vocaset":
        return resampled_before(model, values, 30, even=False, final=True)
    return [in_pairs(frames) for frames in hidden_states(model, values)]


def hidden_states(model, values) -> list[np.ndarray]:
    """Every layer's, and of a stable-layer-norm model ``last_hidden_state``, the last after the final norm."""
    import torch

    with torch.no_grad():
        found = model(values, output_hidden_states=True)
    last = (found.last_hidden_state,) if model.config.do_stable_layer_norm else ()
    return [state[0].numpy() for state in (*found.hidden_states, *last)]
