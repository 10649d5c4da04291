"""Convolutions over time as matrix products, for processors.

With the channels of a frame side by side in memory, a window of ``kernel`` frames is one run of numbers, so all windows are the
rows of a view and the convolution is one product with every weight. Against ``conv1d`` this saves the reordering of every
layer's input and output; group norm folds into the first product, and the GELU into the products.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from analysis.encoders.products import OneDnnProduct, onednn_product

__all__ = ["GroupedConvolution", "NormalisedConvolution", "WindowConvolution"]

#: Makes a product of a weight ``(outputs, inputs)``, a bias or None, and whether it ends in the GELU.
ProductKind = Callable[[torch.Tensor, torch.Tensor | None, bool], nn.Module]


# Numbers in one block of windows: small enough for the last cache and for clips of any length, large enough for full speed.
_BLOCK = 2**22


def _windows(frames: torch.Tensor, kernel: int, stride: int) -> tuple[torch.Tensor, ...]:
    """Every window of contiguous ``frames`` ``(frames, channels)`` as one row ``(windows, kernel * channels)``: views, in blocks."""
    count, channels = (len(frames) - kernel) // stride + 1, frames.shape[1]
    view = frames.as_strided((count, kernel * channels), (stride * channels, 1))
    return view.split(max(1, _BLOCK // (kernel * channels)))


def _joined(blocks: list[torch.Tensor]) -> torch.Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def _side_by_side(hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``(1, channels, frames)`` as ``(frames, channels)`` in memory; a view when the layer before was one of these."""
    return hidden[0].T.to(dtype).contiguous()


class WindowConvolution(nn.Module):
    """An unpadded convolution as a product of its windows.

    Parameters
    ----------
    convolution : Conv1d
        Without padding, dilation or groups.
    product : callable
        See :data:`ProductKind`.
    gelu : bool
        Whether the GELU follows.
    dtype : torch.dtype
        To compute in.
    out : torch.dtype
        Of the result.
    """

    def __init__(self, convolution: nn.Conv1d, product: ProductKind, *, gelu: bool, dtype: torch.dtype, out: torch.dtype) -> None:
        super().__init__()
        self._kernel, self._stride = convolution.kernel_size[0], convolution.stride[0]
        weight = convolution.weight.transpose(1, 2).reshape(convolution.out_channels, -1).to(dtype)  # (out, kernel * in)
        bias = None if convolution.bias is None else convolution.bias.to(dtype)
        self._product, self._dtype, self._out = product(weight, bias, gelu), dtype, out

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(1, channels, frames)`` to ``(1, out, frames)``."""
        blocks = _windows(_side_by_side(hidden, self._dtype), self._kernel, self._stride)
        return _joined([self._product(block.contiguous()).to(self._out) for block in blocks]).T[None]


class NormalisedConvolution(nn.Module):
    """The first layer of a group-norm model, waveform in: convolution, group norm over time, GELU, in one product.

    Parameters
    ----------
    convolution : Conv1d
        Of one channel.
    norm : GroupNorm
        With one group per channel.
    gelu : bool
        Whether the GELU follows.
    dtype : torch.dtype
        To compute in.

    Notes
    -----
    A channel is a weighted sum ``w . x`` of the window ``x``, so its mean over time is ``w . mean(x)`` and its variance is
    ``w . cov(x) w``: both follow from the few numbers of a window, and the norm becomes another weight and bias. The covariance
    is taken in double precision.
    """

    def __init__(self, convolution: nn.Conv1d, norm: nn.GroupNorm, *, gelu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self._kernel, self._stride = convolution.kernel_size[0], convolution.stride[0]
        self._weight = convolution.weight.detach()[:, 0].double()
        self._gain, self._bias, self._eps = norm.weight.detach().double(), norm.bias.detach().to(dtype), norm.eps
        self._gelu, self._dtype = gelu, dtype

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(1, 1, samples)`` to ``(1, out, frames)``."""
        blocks = _windows(hidden[0].T.double().contiguous(), self._kernel, self._stride)
        count = sum(len(block) for block in blocks)
        mean = sum(block.sum(dim=0) for block in blocks) / count
        covariance = sum((block - mean).T @ (block - mean) for block in blocks) / count
        variance = ((self._weight @ covariance) * self._weight).sum(dim=1)
        weight = self._weight * (self._gain / torch.sqrt(variance + self._eps))[:, None]
        weight = weight.to(self._dtype)
        products = [onednn_product((block - mean).to(self._dtype), weight, self._bias, self._gelu) for block in blocks]
        return _joined(products).T[None]


class GroupedConvolution(nn.Module):
    """A padded convolution in groups of channels, as the positional one is, one product for each group.

    Parameters
    ----------
    convolution : Conv1d
        Its weight norm, where it has one, is worked out here once.
    dtype : torch.dtype
        To compute in.
    """

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self._kernel, self._stride = convolution.kernel_size[0], convolution.stride[0]
        self._padding, self._groups = convolution.padding[0], convolution.groups
        weight = convolution.weight.detach().transpose(1, 2).reshape(self._groups, convolution.out_channels // self._groups, -1)
        biases = [None] * self._groups if convolution.bias is None else convolution.bias.to(dtype).chunk(self._groups)
        self._products = nn.ModuleList(OneDnnProduct(part.to(dtype), bias) for part, bias in zip(weight, biases, strict=True))
        self._dtype = dtype

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(1, channels, frames)`` to ``(1, out, frames)``."""
        frames = nn.functional.pad(hidden[0].T.to(self._dtype), (0, 0, self._padding, self._padding))
        parts = [
            _joined([product(block.contiguous()) for block in _windows(part.contiguous(), self._kernel, self._stride)])
            for product, part in zip(self._products, frames.chunk(self._groups, dim=1), strict=True)
        ]
        return torch.cat(parts, dim=1).to(hidden.dtype).T[None]
