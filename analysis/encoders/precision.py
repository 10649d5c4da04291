"""Numbers in fewer bits, and the kernels that a processor is quickest with.

``float32`` is exact. The others trade accuracy of the vectors for speed; ``benchmarks/extraction.py`` prints both for the machine
that it runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from analysis.encoders.products import Int8Product, OneDnnProduct, has_bfloat16, has_onednn, prefers_onednn
from analysis.encoders.windows import GroupedConvolution, NormalisedConvolution, WindowConvolution
from analysis.errors import ConfigurationError

__all__ = ["PRECISIONS", "apply_precision", "autocast", "has_bfloat16", "resolve_precision"]

#: What ``--dtype`` takes.
PRECISIONS = {
    "float32": "exact: equal to transformers to rounding",
    "bfloat16": "half the bits; on a processor with avx512_bf16 or AMX, or on an accelerator",
    "float16": "half the bits, on an accelerator",
    "int8": "linear layers quantised to 8 bits as they run, on a processor; convolutions too where it is x86, and in bfloat16 where "
    "it has that",
    "fastest": "int8 on a processor; bfloat16, or float16 where that is missing, on an accelerator",
}


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
        raise ConfigurationError(
            "dtype bfloat16 needs a processor with avx512_bf16 or AMX that oneDNN may use (ONEDNN_MAX_CPU_ISA can forbid it), or an "
            "accelerator; here it would only be emulated, many times slower than float32. Use float32 or int8."
        )
    return name


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Half precision on an accelerator, where norms and sums stay in float32; nothing elsewhere."""
    if device.type == "cpu" or precision not in ("bfloat16", "float16"):
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def apply_precision(model: nn.Module, precision: str, keep: tuple[str, ...] = ()) -> str:
    """Change ``model``, in place, to compute in ``precision`` (one that :func:`resolve_precision` returned).

    Parameters
    ----------
    model : nn.Module
        On its device, in float32.
    precision : str
    keep : tuple of str
        Parts of module names whose linear layers stay as they are (because their weights are used otherwise than by a call).

    Returns
    -------
    str
        The precision as provenance states it: where ``int8`` has convolutions in another format, both are named, so that vectors
        of processors that differ in this are not taken for the same.

    Notes
    -----
    On an accelerator nothing changes: half precision is autocast's there, which keeps norms and sums in float32.
    """
    if next(model.parameters()).device.type != "cpu":
        return precision
    stated = precision
    if has_onednn():
        half = precision == "bfloat16" or (precision == "int8" and has_bfloat16(torch.device("cpu")))
        changed = _replace_convolutions(
            model,
            kind=Int8Product if precision == "int8" and not half else OneDnnProduct,
            dtype=torch.bfloat16 if half else torch.float32,
            out=torch.bfloat16 if precision == "bfloat16" else torch.float32,
        )
        if changed and precision == "int8":
            stated = "int8, convolutions in bfloat16" if half else "int8, convolutions too"
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    if precision == "int8":
        # The projection in front is a hundredth of the work and, in 8 bits, the half of layer 0's error.
        _replace_linears(model, Int8Product, (*keep, "feature_projection"))
    if prefers_onednn() or (precision == "bfloat16" and has_onednn()):
        _replace_linears(model, OneDnnProduct, keep)
    return stated


def _replace_linears(model: nn.Module, kind: Callable[..., nn.Module], keep: tuple[str, ...]) -> None:
    """Every linear layer by a product, the GELU behind it included where one follows."""
    for name, module in list(model.named_modules()):
        for child, linear in list(module.named_children()):
            if type(linear) is nn.Linear and not any(part in f"{name}.{child}" for part in keep):
                activation = {"intermediate_dense": "intermediate_act_fn", "fc1": "activation_fn"}.get(child, "")
                setattr(module, child, kind(linear.weight, linear.bias, _take_gelu(module, activation)))


def _replace_convolutions(model: nn.Module, kind: Callable[..., nn.Module], dtype: torch.dtype, out: torch.dtype) -> bool:
    """The convolutions before the Transformer, and the positional ones, by products of their windows; whether there are any."""
    changed = False
    for module in list(model.modules()):
        layers = getattr(module, "conv_layers", None)
        if isinstance(layers, nn.ModuleList):
            changed = True
            for index, layer in enumerate(layers):  # the first hears one channel: ten numbers a window are nothing to quantise
                _replace_layer(layer, kind if index else OneDnnProduct, dtype, out if index == len(layers) - 1 else dtype)
        for positional in getattr(module, "pos_conv_embed", nn.Identity()).modules():
            convolution = getattr(positional, "conv", None)
            if isinstance(convolution, nn.Conv1d):
                positional.conv = GroupedConvolution(convolution, dtype)
                changed = True
    return changed


def _replace_layer(layer: nn.Module, kind: Callable[..., nn.Module], dtype: torch.dtype, out: torch.dtype) -> None:
    """One convolution of the stack, with the group norm and the GELU behind it where they follow."""
    norm = getattr(layer, "layer_norm", None)
    if isinstance(norm, nn.GroupNorm):
        if layer.conv.in_channels != 1 or norm.num_groups != norm.num_channels:
            return
        layer.conv = NormalisedConvolution(layer.conv, norm, gelu=_take_gelu(layer, "activation"), dtype=dtype)
        layer.layer_norm = nn.Identity()
    else:
        gelu = norm is None and _take_gelu(layer, "activation")
        layer.conv = WindowConvolution(layer.conv, kind, gelu=gelu, dtype=dtype, out=out)


def _take_gelu(module: nn.Module, name: str) -> bool:
    """Whether ``module`` applies the exact GELU under ``name``; if so it is taken out, for the product before it to apply."""
    from transformers.activations import GELUActivation

    activation = getattr(module, name, None)
    if not isinstance(activation, GELUActivation):
        return False
    setattr(module, name, nn.Identity())
    return True
