"""Matrix products with fixed weights, through the kernel that a processor is quickest with.

Every product takes ``(..., inputs)`` to ``(..., outputs)`` and may end in the exact GELU, which oneDNN applies while a result is
still in the cache.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu as apply_gelu

__all__ = ["Int8Product", "OneDnnProduct", "has_bfloat16", "has_onednn", "onednn_product", "prefers_onednn"]


@cache
def _processor() -> str:
    """What the system says of the processor; empty where it does not say."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0] if path.is_file() else ""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it, and its library takes it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    flags = _processor()
    has = "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.partition("Features")[2]
    return has and _multiplies_in_bfloat16()


@cache
def _multiplies_in_bfloat16() -> bool:
    """Whether a product can be taken: oneDNN may be kept, by ONEDNN_MAX_CPU_ISA for one, from what the processor has."""
    ones = torch.ones(32, 32, dtype=torch.bfloat16)
    try:
        product = OneDnnProduct(ones, None)(ones) if has_onednn() else nn.functional.linear(ones, ones)
    except RuntimeError:
        return False
    return bool((product == 32).all())


def has_onednn() -> bool:
    """Whether oneDNN's products can be called: an x86 processor with AVX2 and a torch that has them."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def prefers_onednn() -> bool:
    """Whether this processor's float32 products run quicker through oneDNN than through MKL.

    MKL keeps its 512-bit kernels from processors of other makers: measured on one core of a Zen 5, MKL gives 105 GFLOP/s and
    oneDNN 240. The choice hangs on the processor alone and never on a timing, so that equal runs give equal bytes.
    """
    return has_onednn() and "AuthenticAMD" in _processor() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def onednn_product(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, gelu: bool = False
) -> torch.Tensor:
    """``rows @ weight.T + bias`` through oneDNN; ``weight`` as it is or laid out for oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "gelu" if gelu else "none", [], "none" if gelu else "")


class OneDnnProduct(nn.Module):
    """A product through oneDNN, its weight laid out for that once.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs)
        In the number format to compute in.
    bias : Tensor, shape (outputs,), optional
    gelu : bool
        Apply the GELU at the end.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = None if bias is None else bias.detach()
        self._gelu = gelu

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """``(..., inputs)`` to ``(..., outputs)``."""
        return onednn_product(rows, self._weight, self._bias, self._gelu)


class Int8Product(nn.Module):
    """A product with weights in 8 bits (one scale per output), its inputs quantised as they come; parameters as above."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False) -> None:
        super().__init__()
        self._packed = _packed_int8(weight, bias)
        self._gelu = gelu

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """``(..., inputs)`` to ``(..., outputs)``, float32."""
        # Seven bits for the inputs where there is no VNNI: eight could overflow the sixteen-bit sums of the kernel.
        result = torch.ops.quantized.linear_dynamic(rows.float(), self._packed, "vnni" not in _processor())
        return apply_gelu(result) if self._gelu else result


def _packed_int8(weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    weight = weight.detach().float()
    scales = (weight.abs().amax(dim=1) / 127).clamp_min(1e-12).double()
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # torch means to move these kernels elsewhere; the tests say when it has
        warnings.simplefilter("ignore", UserWarning)
        quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, None if bias is None else bias.detach().float())
