"""Whisper's encoder on clips as long as they are, instead of on windows padded to thirty seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.encoders.packing import ATTENTION, packed
from analysis.encoders.precision import autocast
from analysis.encoders.types import EncoderCard
from analysis.encoders.waveforms import check_layers, check_waveform, sent_to
from analysis.errors import Failure
from analysis.timebase import FrameGrid

__all__ = ["WhisperFrames"]


class WhisperFrames:
    """Hidden states of a Whisper encoder for the real frames only.

    Whisper was trained on windows of exactly thirty seconds. Here the mel spectrogram ends with the audio and the position
    table is cut to its length, so no time is spent on silence that nobody recorded; ``padded=True`` runs the window that
    Whisper was trained on and then keeps the real frames. Audio longer than a window is divided into equal windows.

    Parameters
    ----------
    model : transformers WhisperEncoder
    extractor : transformers WhisperFeatureExtractor
    name, revision, weights : str
        For the card.
    padded : bool
        Pad to thirty seconds as in training.
    """

    def __init__(
        self, model: nn.Module, extractor: Any, *, name: str, revision: str, weights: str = "pretrained", padded: bool = False
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.model.set_attn_implementation(ATTENTION)
        self.extractor, self.padded = extractor, padded
        config = model.config
        hop = extractor.hop_length * model.conv1.stride[0] * model.conv2.stride[0]
        window = config.max_source_positions * hop
        # The spectrogram reflects half a window at both ends, so a clip must be longer than that.
        shortest = extractor.n_fft // 2 + 1
        how = f"padded with silence to {window / extractor.sampling_rate:g} s" if padded else "only the real frames"
        self.card = EncoderCard(
            name=name,
            family="whisper",
            revision=revision,
            dims=config.d_model,
            layers=config.encoder_layers + 1,
            grid=FrameGrid(hop, 0, extractor.sampling_rate),
            receptive_field=max(shortest, extractor.hop_length),
            normalization=f"log-mel of {config.num_mel_bins} bands, 8 decades below the clip's maximum; {how}; "
            f"longer audio in equal windows",
            layer_meaning="layer k is hidden_states[k]; 0 is the input of the first Transformer layer; the last layer has "
            "passed the final layer norm",
            weights=weights,
        )
        self.window = window

    #: How it computes; see :mod:`analysis.encoders.precision`.
    precision = "float32"
    #: Doubts about how it was loaded, for the failures table.
    warnings: tuple[Failure, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.conv1.weight.device

    def _windows(self, waveform: np.ndarray) -> list[np.ndarray]:
        """The waveform in equal windows no longer than the model's, cut on the frame grid."""
        hop = self.card.grid.hop
        count = math.ceil(len(waveform) / self.window)
        if count <= 1:
            return [waveform]
        frames = math.ceil(len(waveform) / hop)
        edges = [hop * ((frames * index) // count) for index in range(count)] + [len(waveform)]
        return [waveform[first:end] for first, end in pairwise(edges)]

    def _embedded(self, waveform: np.ndarray) -> torch.Tensor:
        """Input of the first Transformer layer, ``(frames, dims)``."""
        hop = self.extractor.hop_length
        if self.padded:
            features = self.extractor(waveform, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        else:
            features = self.extractor(
                waveform,
                sampling_rate=self.extractor.sampling_rate,
                return_tensors="pt",
                padding="do_not_pad",
                truncation=False,
            )
        mel = sent_to(features["input_features"], self.device, self.model.conv1.weight.dtype)
        if not self.padded and mel.shape[-1] != len(waveform) // hop:
            raise RuntimeError(f"expected {len(waveform) // hop} mel frames, got {mel.shape[-1]}")
        hidden = nn.functional.gelu(self.model.conv1(mel))
        hidden = nn.functional.gelu(self.model.conv2(hidden))[0].T
        return hidden + self.model.embed_positions.weight[: len(hidden)]

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """One tensor ``(len(layers), frames, dims)`` per waveform; see :class:`analysis.encoders.types.Encoder`."""
        layers = check_layers(layers, self.card)
        windows = [self._windows(check_waveform(waveform, self.card)) for waveform in waveforms]
        if not windows:
            return []
        with autocast(self.device, self.precision):
            pieces = [self._embedded(window) for clip in windows for window in clip]
        lengths = [len(piece) for piece in pieces]
        hidden = torch.cat(pieces)[None]
        states: dict[int, torch.Tensor] = {0: hidden}
        with packed(lengths), autocast(self.device, self.precision):
            for index, layer in enumerate(self.model.layers):
                hidden = layer(hidden, None)
                states[index + 1] = hidden
            states[len(self.model.layers)] = self.model.layer_norm(hidden)
        stacked = torch.stack([states[layer][0].float() for layer in layers])
        return self._divide(stacked, lengths, windows)

    def _divide(self, stacked: torch.Tensor, lengths: list[int], windows: list[list[np.ndarray]]) -> list[torch.Tensor]:
        """Frames of all windows, one tensor per clip."""
        pieces = iter(stacked.split(lengths, dim=1))
        clips = []
        for clip in windows:
            parts = [next(pieces)[:, : self._real_frames(len(window))] for window in clip]
            clips.append(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return clips

    def _real_frames(self, samples: int) -> int:
        """Frames whose mel frames lie inside the audio."""
        mel = samples // self.extractor.hop_length
        return (mel - 1) // (self.card.grid.hop // self.extractor.hop_length) + 1
