"""Several clips as one long sequence, with nothing leaking from one to the next.

Layer norms, projections and feed-forward layers treat every frame alone, so frames of all clips can lie one behind the other
and no padding is ever computed. What mixes frames is confined to each clip: attention through a function registered with
transformers, convolutions through :class:`PerClip`. A first convolution with group norm over time (wav2vec2-base, HuBERT-base)
therefore sees each clip exactly as if it were alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from analysis.encoders.convolution import clip_bounds
from analysis.encoders.products import onednn_product, prefers_onednn

__all__ = ["ATTENTION", "PerClip", "attention", "packed"]

#: Name under which the attention function is registered with transformers.
ATTENTION = "analysis_clips"

# Frames of a clip from and up to which attention runs as products through oneDNN: a matter of speed and of memory.
_BY_PRODUCTS = (128, 3000)

# Samples and frames of each clip in the sequence being computed; a context variable, so that threads do not see each other's.
_clips: ContextVar[dict[str, tuple[int, ...]] | None] = ContextVar("clips", default=None)


@contextmanager
def packed(frames: Sequence[int], samples: Sequence[int] = ()) -> Iterator[None]:
    """Inside this context a sequence of ``sum(frames)`` frames (or ``sum(samples)`` samples) stands for several clips."""
    token = _clips.set({"frames": tuple(frames), "samples": tuple(samples)})
    try:
        yield
    finally:
        _clips.reset(token)


class PerClip(nn.Module):
    """A module that mixes neighbours in time, applied to each clip of a packed sequence on its own.

    Parameters
    ----------
    module : nn.Module
    unit : {"frames", "samples"}
        What the input's time axis counts.
    time, joined : int
        Axis of time in the input and in the output.
    """

    def __init__(self, module: nn.Module, unit: str = "frames", time: int = 1, joined: int = 1) -> None:
        super().__init__()
        self.module, self.unit, self.time, self.joined = module, unit, time, joined

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``module`` over each clip of ``hidden``, joined again."""
        clips = _clips.get()
        if clips is None or len(clips[self.unit]) < 2:
            return self.module(hidden)
        return torch.cat([self.module(clip) for clip in hidden.split(list(clips[self.unit]), dim=self.time)], dim=self.joined)


def _clip_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention inside each clip; query, key and value are ``(1, heads, frames, dims)``."""
    clips = _clips.get()
    lengths = clips["frames"] if clips is not None else (query.shape[2],)
    if query.is_cuda and len(lengths) > 1:
        return padded_attention(query, key, value, lengths, scaling), None
    out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[3])
    for first, end in clip_bounds(lengths):
        clip = (slice(None), slice(None), slice(first, end))
        result = attention(query[clip], key[clip], value[clip], scaling)
        out[:, first:end] = result.transpose(1, 2)
    return out, None


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Attention of one clip, all ``(1, heads, frames, dims)``, through whatever is quickest where it runs.

    Measured on one core of a Zen 5, 749 frames of 12 heads: torch's own kernel 21 ms in either format; products through oneDNN
    12 ms in float32, 9 ms in bfloat16. They need the whole table of weights, ``frames ** 2`` numbers a head, so minutes of audio
    in one clip are left to the kernel that does not.
    """
    frames = query.shape[2]
    if query.device.type != "cpu" or not _BY_PRODUCTS[0] <= frames <= _BY_PRODUCTS[1] or not prefers_onednn():
        return scaled_dot_product_attention(query, key, value, scale=scaling)
    scaling = query.shape[3] ** -0.5 if scaling is None else scaling
    if query.dtype == torch.bfloat16:  # torch hands products of this format to oneDNN by itself
        return ((query * scaling) @ key.transpose(2, 3)).softmax(dim=3) @ value
    q, k, v = query[0].contiguous() * scaling, key[0].contiguous(), value[0].transpose(1, 2).contiguous()
    heads = [onednn_product(onednn_product(a, b).softmax(dim=1), c) for a, b, c in zip(q, k, v, strict=True)]
    return torch.stack(heads, dim=1).transpose(0, 1)[None]  # heads side by side in memory, as the layer after it wants them


def padded_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: Sequence[int], scaling: float | None
) -> torch.Tensor:
    """The same in one call, for devices where many small kernels cost more than masked padding: ``(1, frames, heads, dims)``."""
    counts = torch.tensor(lengths, device=query.device)
    present = torch.arange(int(max(lengths)), device=query.device) < counts[:, None]  # (clips, longest)

    def spread(states: torch.Tensor) -> torch.Tensor:  # (1, heads, frames, dims) -> (clips, heads, longest, dims)
        padded = states.new_zeros(*present.shape, states.shape[1], states.shape[3])
        padded[present] = states[0].transpose(0, 1)
        return padded.transpose(1, 2)

    result = scaled_dot_product_attention(
        spread(query), spread(key), spread(value), attn_mask=present[:, None, None, :], scale=scaling
    )
    return result.transpose(1, 2)[present][None]


def _no_mask(*args: Any, **kwargs: Any) -> None:
    return None


AttentionInterface.register(ATTENTION, _clip_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
