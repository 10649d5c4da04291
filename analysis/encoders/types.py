"""The protocol of everything that turns a waveform into frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from analysis.timebase import FrameGrid

if TYPE_CHECKING:
    import torch

__all__ = ["Encoder", "EncoderCard", "layer_name"]


@dataclass(frozen=True)
class EncoderCard:
    """What a reader must know of an encoder to read its numbers.

    Attributes
    ----------
    name : str
        As asked for by the user: hub id, folder, ``bundled``, ``random:bundled``.
    family : str
        ``wav2vec2``, ``hubert``, ``whisper``, ``mfcc``, ...
    revision : str
        Hub commit, or a sha256 over the weights for local ones.
    dims : int
    layers : int
        Number of hidden states, the input of the first Transformer layer (layer 0) included.
    grid : FrameGrid
    receptive_field : int
        Samples of the convolution stack; clips shorter than it give no frame.
    normalization : str
        What is done to the waveform, as the checkpoint's own preprocessor states it.
    layer_meaning : str
        What layer 0 and the last layer are.
    weights : str
        ``pretrained``, ``random``, ``none``.
    input_rate : int
        Hz of the waveform, where the grid needs a finer clock than the waveform's (30 frames per second of 16 kHz); 0: the same.
    final : bool
        The last layer is no hidden state but what the model hands on: the last hidden state after a norm of the whole encoder.
        Its name is ``final``.
    """

    name: str
    family: str
    revision: str
    dims: int
    layers: int
    grid: FrameGrid
    receptive_field: int
    normalization: str
    layer_meaning: str = "layer k is hidden_states[k]; 0 is the input of the first Transformer layer"
    weights: str = "pretrained"
    input_rate: int = 0
    final: bool = False

    @property
    def sampling_rate(self) -> int:
        """Hz of the waveform that the encoder takes."""
        return self.input_rate or self.grid.sampling_rate

    def layer_name(self, layer: int) -> str:
        """The layer's number, or ``final``."""
        return layer_name({"final": self.final, "layers": self.layers}, layer)

    @property
    def layer_range(self) -> str:
        """All layers, in words."""
        return f"0 to {self.layers - 2} and final" if self.final else f"0 to {self.layers - 1}"


def layer_name(card: Mapping[str, Any], layer: int) -> str:
    """The layer's number, or ``final``, by a card as stores and reports hold it."""
    return "final" if card.get("final") and layer == card["layers"] - 1 else str(layer)


@runtime_checkable
class Encoder(Protocol):
    """Waveforms in, hidden states out. Fusion with semantics satisfies it too, so nothing downstream knows of Wav2Sem.

    Attributes
    ----------
    card : EncoderCard
    device : torch.device
    """

    card: EncoderCard
    device: torch.device

    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int | str] | None = None) -> list[torch.Tensor]:
        """One tensor ``(len(layers), frames, dims)`` on ``self.device`` per waveform.

        Parameters
        ----------
        waveforms : sequence of ndarray, shape (samples,), float32
            Mono, at ``card.sampling_rate``, as read from the file: the encoder normalises.
        layers : sequence of int, optional
            Which hidden states, by number or ``final``; all by default.

        Notes
        -----
        The result for a clip does not depend on the clips beside it (no padding leaks in).
        """
        ...
