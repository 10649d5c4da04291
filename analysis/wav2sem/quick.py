"""A shared module as a processor runs it quickest on one clip: the same sums, in fewer steps and through oneDNN.

Beside a small host every step counts: Whisper tiny's encoder does 2 s of audio in 10 ms.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

from analysis.encoders.packing import attention
from analysis.encoders.products import OneDnnProduct
from analysis.wav2sem.module import SharedModule

__all__ = ["QuickModule"]


class QuickModule(nn.Module):
    """The inference of a :class:`SharedModule` for one whole clip; equal to it but for rounding.

    Parameters
    ----------
    module : SharedModule
        In float32, on a processor for which :func:`analysis.encoders.products.has_onednn` is true.
    """

    def __init__(self, module: SharedModule) -> None:
        super().__init__()
        self.norm, self.pool_norm = module.config.norm, module.pool_norm
        # All layers in one product, which takes over the scales and shifts of their norms.
        weights = [linear.weight.detach() for linear in module.layer_maps]
        self.layers_norm = nn.LayerNorm(module.config.host_dims)
        self.layers_map = OneDnnProduct(
            torch.cat([weight * norm.weight for weight, norm in zip(weights, module.layer_norms, strict=True)], dim=1),
            sum(weight @ norm.bias for weight, norm in zip(weights, module.layer_norms, strict=True)),
        )
        self.neighbours = _Neighbours(module.neighbours)
        self.blocks = nn.ModuleList(_Block(block) for block in module.blocks)
        self.pool_queries = module.pool_queries.weight  # its bias is the same for all frames: their weights do not change
        self.pool_out = _product(module.pool_out)

    @torch.inference_mode()
    def forward(self, means: torch.Tensor) -> torch.Tensor:
        """Semantic vector ``(dims,)`` from averaged hidden states ``(layers, T, host_dims)``."""
        x = self.layers_map(self.layers_norm(means.transpose(0, 1)).flatten(1))
        x = self.neighbours(x).add_(x)
        for block in self.blocks:
            x = block(x)
        x = self.pool_norm(x)
        weights = (self.pool_queries @ x.T).softmax(dim=1)
        vector = self.pool_out((weights @ x).view(1, -1))[0]
        return normalize(vector, dim=0) * self.norm if self.norm else vector


class _Block(nn.Module):
    """A Transformer layer on ``(T, width)``, the GELU inside its product."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.heads, self.attention_norm, self.feed_norm = block.heads, block.attention_norm, block.feed_norm
        self.qkv, self.out, self.feed_out = _product(block.qkv), _product(block.out), _product(block.feed_out)
        self.feed_in = _product(block.feed_in, gelu=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time, width = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(1, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = self.out(attention(q, k, v, None).transpose(1, 2).reshape(time, width)).add_(x)
        return self.feed_out(self.feed_in(self.feed_norm(x))).add_(x)


class _Neighbours(nn.Module):
    """The convolution over neighbouring frames and its GELU, ``(T, width)`` to ``(T, width)``: channels lie side by side."""

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.how = (
            [0, convolution.padding[0]],
            [1, 1],
            [1, 1],
            convolution.groups,
        )  # padding, stride, dilation of an image one row high
        image = [1, convolution.in_channels, 1, 128]  # of typical length; any other is computed alike
        weight = convolution.weight.detach().unsqueeze(2)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.how, image)
        self.bias = convolution.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = x.T[None, :, None]
        result = torch.ops.mkldnn._convolution_pointwise(image, self.weight, self.bias, *self.how, "gelu", [], "none")
        return result[0, :, 0].T


def _product(linear: nn.Linear, gelu: bool = False) -> OneDnnProduct:
    return OneDnnProduct(linear.weight, linear.bias, gelu)
