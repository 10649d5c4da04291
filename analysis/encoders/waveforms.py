"""What every encoder asks of a waveform before it listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.encoders.types import EncoderCard
from analysis.errors import EncoderError

if TYPE_CHECKING:
    import torch

__all__ = ["check_layers", "check_waveform", "fault_of", "sent_to"]


def fault_of(waveform: np.ndarray, card: EncoderCard) -> tuple[str, str] | None:
    """What keeps a waveform from being encoded, as (reason, remedy), or None when nothing does."""
    rate = card.sampling_rate
    if waveform.ndim != 1:
        return f"the waveform has shape {waveform.shape}; one channel is needed", "mix the channels down to one"
    if len(waveform) < card.receptive_field:
        return (
            f"the clip has {len(waveform)} samples ({1000 * len(waveform) / rate:.1f} ms); {card.name} needs at least "
            f"{card.receptive_field} ({1000 * card.receptive_field / rate:.1f} ms) for one frame",
            "leave it out, or check whether the file was cut short",
        )
    bad = np.flatnonzero(~np.isfinite(waveform))
    if len(bad):
        return (
            f"{len(bad)} of {len(waveform)} samples are not numbers, the first at {bad[0] / rate:.3f} s",
            "convert the recording again from its source",
        )
    if not np.any(waveform):
        return f"all {len(waveform)} samples are zero: silence has no speech to encode", "check the recording and its channel"
    return None


def check_waveform(waveform: np.ndarray, card: EncoderCard) -> np.ndarray:
    """The waveform as contiguous float32.

    Raises
    ------
    EncoderError
        With the reason, when it cannot be encoded.
    """
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    fault = fault_of(waveform, card)
    if fault is not None:
        raise EncoderError(f"A waveform cannot be encoded: {fault[0]}. What to do: {fault[1]}.")
    return waveform


def check_layers(layers: Sequence[int | str] | None, card: EncoderCard) -> tuple[int, ...]:
    """The numbers of the layers asked for, all of them by default; ``final`` has the number of the last.

    Raises
    ------
    EncoderError
        If one does not exist.
    """
    if layers is None:
        return tuple(range(card.layers))
    layers = [layers] if isinstance(layers, int | str) else layers
    if "final" in layers and not card.final:
        raise EncoderError(
            f"{card.name} has no layer final: its last hidden state, layer {card.layers - 1}, is what it hands on. Its layers are "
            f"{card.layer_range}."
        )
    try:
        layers = tuple(card.layers - 1 if layer == "final" else int(layer) for layer in layers)
    except (TypeError, ValueError):
        raise EncoderError(
            f"{card.name} has layers {card.layer_range}; layers={layers!r} are no numbers. Give a list such as layers=[0, 4]."
        ) from None
    wrong = [layer for layer in layers if not 0 <= layer < card.layers]
    if wrong or not layers or len(set(layers)) != len(layers):
        raise EncoderError(
            f"{card.name} has layers {card.layer_range} (0 is the input of the first Transformer layer); "
            f"asked for {list(layers)}. Give each layer once, without negative numbers."
        )
    return layers


def sent_to(values: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """``values`` on ``device``; to CUDA from pinned memory, so that the copy does not wait for what is being computed."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, dtype, non_blocking=device.type == "cuda")
