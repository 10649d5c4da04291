"""Faces driven by real audio through a real encoder: a ridge regression in the clothes of each framework.

Each framework's row says how frames reach the face's rate, whether they are paired, and where the semantic vector is added; the
rest is one linear map, learned on the other clips. It is far from those frameworks' decoders, so its numbers say nothing about
them; it shows that the way from audio to the table is complete, and what an additive utterance vector does to a linear reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.corpus.utterance import Utterance
from analysis.encoders.frameworks import FRAMEWORKS as ENCODERS
from analysis.encoders.types import Encoder
from analysis.errors import FaceError
from analysis.face.frameworks import Framework
from analysis.face.synthetic import Predictor
from analysis.wav2sem.types import Semantics

__all__ = ["at_face_rate", "audio_predictor"]

_FOLDS = 4
_VOCA_DIMS = 29


def at_face_rate(frames: np.ndarray, n_frames: int, *, paired: bool = False, averaged: bool = False) -> np.ndarray:
    """Encoder frames ``(n, D)`` brought to ``n_frames`` by linear interpolation whose ends meet (``align_corners=True``).

    Paired or averaged, they go to twice as many and neighbours are joined, shape ``(n_frames, 2 * D)``, or averaged.
    """
    wanted = n_frames * (2 if paired or averaged else 1)
    places = np.linspace(0, len(frames) - 1, wanted)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(frames) - 1)
    share = (places - low)[:, None]
    resampled = frames[low] * (1 - share) + frames[high] * share
    if averaged:
        return resampled.reshape(n_frames, 2, -1).mean(axis=1)
    return resampled.reshape(n_frames, -1) if paired else resampled


def audio_predictor(
    utterances: Mapping[str, Utterance],
    encoder: Encoder,
    semantics: Semantics,
    *,
    layer: int = -1,
    share: float = 0.5,
    ridge: float = 0.3,
) -> Callable[[Mapping[str, str], Callable[[str, int, int], np.ndarray]], Predictor]:
    """A maker of predictors for :func:`analysis.face.synthetic.synthesize`.

    Parameters
    ----------
    utterances : mapping of str to Utterance
        By id.
    encoder : Encoder
    semantics : Semantics
    layer : int
        Hidden state that the face reads; the last by default, as the frameworks do.
    share : float
        Mean norm of the added vectors as a share of the frames' mean norm (see :func:`analysis.wav2sem.fusion.fuse`).
    ridge : float
        Penalty as a share of the features' mean variance.

    Raises
    ------
    FaceError
        When used on fewer clips than folds.
    """

    def make(clips: Mapping[str, str], truth: Callable[[str, int, int], np.ndarray]) -> Predictor:
        if len(clips) < _FOLDS:
            raise FaceError(
                f"Audio-driven faces are learned on other clips: {len(clips)} clips are too few, at least {_FOLDS} are needed."
            )
        plain, fused = _encode(clips, utterances, encoder, semantics, layer, share)
        known: dict[tuple, dict[str, np.ndarray]] = {}

        def predict(framework: Framework, with_module: bool, clip: str, dataset: str, n_frames: int, fps: int) -> np.ndarray:
            row = ENCODERS[framework.encoder].for_data(dataset) if framework.encoder else None
            paired = row is not None and row.paired
            averaged = row is not None and not paired and row.rate == 2 * fps  # two audio frames stand before each face frame
            key = (paired, averaged, row is None, with_module, fps)
            if key not in known:
                frames = fused if with_module else plain
                if row is None:
                    frames = _reduced(frames, _VOCA_DIMS)
                lengths = {name: int(utterances[identity].duration * fps) for name, identity in clips.items()}
                features = {name: at_face_rate(frames[name], lengths[name], paired=paired, averaged=averaged) for name in clips}
                known[key] = _cross_predicted(features, {name: truth(name, lengths[name], fps) for name in clips}, ridge)
            return _fitted(known[key][clip], n_frames)

        return predict

    return make


def _encode(
    clips: Mapping[str, str],
    utterances: Mapping[str, Utterance],
    encoder: Encoder,
    semantics: Semantics,
    layer: int,
    share: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Frames of every clip, without and with the semantic vector of its utterance."""
    from analysis.corpus import read_audio
    from analysis.wav2sem.fusion import fuse

    layer = layer % encoder.card.layers
    plain = {
        clip: encoder.encode([read_audio(utterances[identity], encoder.card.grid.sampling_rate)], layers=[layer])[0][0]
        .float()
        .cpu()
        .numpy()
        for clip, identity in clips.items()
    }
    vectors = semantics.semantics([utterances[identity] for identity in clips.values()])
    counts = [len(frames) for frames in plain.values()]
    joined = fuse(np.concatenate(list(plain.values())), np.repeat(vectors, counts, axis=0), share=share)
    return plain, dict(zip(plain, np.split(joined, np.cumsum(counts)[:-1]), strict=True))


def _reduced(frames: Mapping[str, np.ndarray], dims: int) -> dict[str, np.ndarray]:
    """The leading principal components: as few numbers a frame as VOCA's DeepSpeech logits."""
    everything = np.concatenate(list(frames.values()))
    mean = everything.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((everything - mean).T))
    return {clip: (part - mean) @ vectors[:, -min(dims, vectors.shape[1]) :] for clip, part in frames.items()}


def _cross_predicted(
    features: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], ridge: float
) -> dict[str, np.ndarray]:
    """Every clip's controls from a ridge regression on the clips of the other folds."""
    clips = list(features)
    predicted = {}
    for fold in range(_FOLDS):
        held = clips[fold::_FOLDS]
        rest = [clip for clip in clips if clip not in held]
        x, y = (np.concatenate([group[clip] for clip in rest]).astype(np.float64) for group in (features, targets))
        x_mean, x_std, y_mean = x.mean(axis=0), x.std(axis=0) + 1e-9, y.mean(axis=0)
        x = (x - x_mean) / x_std
        weights = np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ (y - y_mean))
        for clip in held:
            predicted[clip] = (features[clip] - x_mean) / x_std @ weights + y_mean
    return predicted


def _fitted(values: np.ndarray, n_frames: int) -> np.ndarray:
    """Cut to ``n_frames``, or the last frame held."""
    return values[np.minimum(np.arange(n_frames), len(values) - 1)]
