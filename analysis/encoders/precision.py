"""Numbers in fewer bits, and the kernels that a processor is quickest with.

``float32`` is exact. The others trade accuracy of the vectors for speed; ``benchmarks/extraction.py`` prints both for the machine
that it runs on.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analysis.errors import ConfigurationError

__all__ = ["PRECISIONS", "apply_precision", "autocast", "has_bfloat16", "resolve_precision"]

_log = logging.getLogger(__name__)

#: What ``--dtype`` takes.
PRECISIONS = {
    "float32": "exact: equal to transformers to rounding",
    "bfloat16": "half the bits; on a processor with avx512_bf16 or AMX, or on an accelerator",
    "float16": "half the bits, on an accelerator",
    "int8": "linear layers and convolutions quantised to 8 bits as they run, on a processor",
    "fastest": "int8 on a processor; bfloat16, or float16 where that is missing, on an accelerator",
}


@cache
def _processor() -> str:
    """What the system says of the processor; empty where it does not say."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0] if path.is_file() else ""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = _processor()
    return device.type != "cpu" or "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.partition("Features")[2]


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision meant by ``name`` on ``device``; ``fastest`` becomes one of the others.

    Raises
    ------
    ConfigurationError
        If it is unknown or the device cannot compute in it.
    """
    if name not in PRECISIONS:
        raise ConfigurationError(f"dtype {name!r} is not known. Choose one of {', '.join(PRECISIONS)}.")
    on_processor = device.type == "cpu"
    if name == "fastest":
        return "int8" if on_processor else "bfloat16" if has_bfloat16(device) else "float16"
    if name == "float16" and on_processor:
        raise ConfigurationError("dtype float16 is for accelerators; on a processor use float32, bfloat16 or int8.")
    if name == "int8" and not on_processor:
        raise ConfigurationError(f"dtype int8 is for processors; on {device.type} use float32, bfloat16 or float16.")
    if name == "bfloat16" and not has_bfloat16(device):
        _log.warning("this processor has no bfloat16 arithmetic: bfloat16 will be many times slower than float32 or int8")
    return name


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Half precision on an accelerator, where norms and sums stay in float32; nothing elsewhere."""
    if device.type == "cpu" or precision not in ("bfloat16", "float16"):
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def apply_precision(model: nn.Module, precision: str, keep: tuple[str, ...] = ()) -> None:
    """Change ``model``, in place, to compute in ``precision`` (one that :func:`resolve_precision` returned).

    Parameters
    ----------
    model : nn.Module
        On its device, in float32.
    precision : str
    keep : tuple of str
        Parts of module names whose linear layers stay as they are (because their weights are used otherwise than by a call).
    """
    device = next(model.parameters()).device
    if precision == "bfloat16" and device.type == "cpu":
        model.to(torch.bfloat16)  # accelerators run under autocast instead, which keeps norms and sums in float32
    elif precision == "int8":
        _replace_linears(model, _Int8Linear, keep)
        for name, module in list(model.named_modules()):
            if not any(part in name for part in keep) and hasattr(module, "conv_layers"):
                for index, layer in enumerate(module.conv_layers):
                    if index > 0:  # the first hears a single channel: ten numbers a frame are nothing to quantise
                        layer.conv = _Int8Convolution(layer.conv)
    elif precision == "float32" and device.type == "cpu" and _prefers_onednn():
        _replace_linears(model, _OneDnnLinear, keep)


def _prefers_onednn() -> bool:
    """Whether this processor's linear layers run quicker through oneDNN than through MKL.

    MKL keeps its 512-bit kernels from processors of other makers; measured on Zen 4, oneDNN is a fifth quicker, on Zen 3 (256
    bits) MKL is. The choice hangs on the processor alone and never on a timing, so that equal runs give equal bytes.
    """
    return (
        "AuthenticAMD" in _processor()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _replace_linears(model: nn.Module, kind: type[nn.Module], keep: tuple[str, ...]) -> None:
    for name, module in list(model.named_modules()):
        for child, linear in list(module.named_children()):
            path = f"{name}.{child}"
            if type(linear) is nn.Linear and not any(part in path for part in keep):
                setattr(module, child, kind(linear))


class _Int8Linear(nn.Module):
    """A linear layer with weights in 8 bits (one scale per output), inputs quantised as they come."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._packed = _packed_int8(linear.weight, linear.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(..., inputs)`` to ``(..., outputs)``."""
        # Seven bits for the inputs: without VNNI, eight can overflow the sixteen-bit sums of the kernel.
        return torch.ops.quantized.linear_dynamic(hidden, self._packed, True)


class _Int8Convolution(nn.Module):
    """A convolution over time as one 8-bit matrix product.

    With the channels of a frame side by side in memory, a window of ``kernel`` frames is one run of numbers, so the windows are
    the rows of a view and nothing is copied before it is quantised.
    """

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self._kernel, self._stride = convolution.kernel_size[0], convolution.stride[0]
        weight = convolution.weight.transpose(1, 2).reshape(convolution.out_channels, -1)  # (out, kernel * in)
        self._packed = _packed_int8(weight, convolution.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(1, channels, frames)`` to ``(1, out, frames)``."""
        channels = hidden.shape[1]
        frames = hidden[0].T.contiguous()
        count = (len(frames) - self._kernel) // self._stride + 1
        windows = frames.as_strided((count, self._kernel * channels), (self._stride * channels, 1))
        return torch.ops.quantized.linear_dynamic(windows.contiguous(), self._packed, True).T[None]


class _OneDnnLinear(nn.Module):
    """A linear layer through oneDNN, its weight laid out for that once."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = linear.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``(..., inputs)`` to ``(..., outputs)``."""
        return torch.ops.mkldnn._linear_pointwise(hidden, self._weight, self.bias, "none", [], "")


def _packed_int8(weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    weight = weight.detach().float()
    scales = (weight.abs().amax(dim=1) / 127).clamp_min(1e-12).double()
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # torch means to move these kernels elsewhere; the tests say when it has
        warnings.simplefilter("ignore", UserWarning)
        quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, None if bias is None else bias.detach().float())
