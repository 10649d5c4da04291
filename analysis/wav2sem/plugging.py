"""Wav2Sem inside a user's animation model, in one line, and out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.fusion import MODES, isometry

__all__ = ["Plug", "SemanticFusion", "plug"]

_WAVEFORM_NAMES = ("input_values", "audio", "waveform", "x")


class SemanticFusion(nn.Module):
    """Frames ``(B, T, D)`` and semantic vectors ``(B, S)`` into frames ``(B, T, D)``, or ``(B, T, D + S)`` for ``concat``.

    ``linear`` and ``paper`` have weights, which the host's own task trains; ``linear`` begins at zero, so that the host begins as
    it was. ``add`` and ``concat`` have none; where S differs from D, ``add`` goes through a fixed orthonormal map.

    Parameters
    ----------
    mode : str
    dims, semantic_dims : int
    scale : float
        Factor on the semantic vectors of ``add`` and ``concat``.
    seed : int
        Of the orthonormal map.
    """

    def __init__(self, mode: str, dims: int, semantic_dims: int, *, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        if mode not in MODES:
            raise ConfigurationError(f"There is no fusion {mode!r}. Choose one of: {', '.join(MODES)}.")
        self.mode, self.scale = mode, scale
        if mode in ("linear", "paper"):
            self.inner = nn.Linear(semantic_dims, dims)
        if mode == "linear":
            nn.init.zeros_(self.inner.weight)
            nn.init.zeros_(self.inner.bias)
        if mode == "paper":
            self.outer = nn.Linear(dims, dims)
        if mode == "add" and dims != semantic_dims:
            fixed = torch.from_numpy(isometry(semantic_dims, dims, seed=seed)).float()
            self.register_buffer("fixed", fixed, persistent=False)

    def forward(self, frames: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
        """Fused frames; the semantic vector gets a time axis, so that batches broadcast as they should."""
        vector = semantics.to(frames.device, frames.dtype)[:, None, :]
        if self.mode == "linear":
            return frames + self.inner(vector)
        if self.mode == "paper":
            return self.outer(self.inner(vector) + frames)
        vector = vector * self.scale
        if self.mode == "concat":
            return torch.cat([frames, vector.expand(-1, frames.shape[1], -1)], dim=2)
        if hasattr(self, "fixed"):
            vector = vector @ self.fixed.to(vector.dtype)
        return frames + vector


class Plug:
    """A semantic module on a host's encoder; call :meth:`remove` to take it off.

    Also a context manager: plugged in inside ``with``, off after it.
    """

    def __init__(self, model: nn.Module, encoder: nn.Module, semantics: Any, fusion: str, scale: float, seed: int) -> None:
        self.model, self.encoder, self.semantics = model, encoder, semantics
        self._fusion, self._scale, self._seed = fusion, scale, seed
        self._module = semantics.module.eval().requires_grad_(False)
        self._handle = encoder.register_forward_hook(self, with_kwargs=True)

    def __enter__(self) -> Plug:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the module off: the encoder gives what it gave before, and the model's state dict has its old keys."""
        self._handle.remove()
        if hasattr(self.encoder, "semantic_fusion"):
            del self.encoder.semantic_fusion

    def __call__(self, encoder: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        frames = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", None)
        if not isinstance(frames, torch.Tensor) or frames.ndim != 3:
            raise SemanticsError(
                f"The encoder {type(encoder).__name__} gave a {type(output).__name__} without .last_hidden_state of shape "
                "(batch, frames, dims). Plug in where the model's audio encoder is."
            )
        waveforms = _waveforms(args, kwargs, len(frames))
        fusion = getattr(encoder, "semantic_fusion", None)
        if fusion is None:
            fusion = self._fitted(frames)
        self._follow(frames)
        with torch.no_grad():
            vectors = self.semantics.from_waveforms(waveforms).clone()  # out of inference mode, so that gradients may pass by
        fused = fusion(frames, vectors)
        if isinstance(output, tuple):
            return (fused, *output[1:])
        return type(output)(**{**output, "last_hidden_state": fused})

    def _fitted(self, frames: torch.Tensor) -> SemanticFusion:
        dims = self.semantics.card.dims
        if self._fusion == "concat":
            _require_room(self.model, self.encoder, frames.shape[2], dims)
        fusion = SemanticFusion(self._fusion, frames.shape[2], dims, scale=self._scale, seed=self._seed)
        self.encoder.semantic_fusion = fusion.to(frames.device, frames.dtype)
        return self.encoder.semantic_fusion

    def _follow(self, frames: torch.Tensor) -> None:
        """Frozen for real: the host's train(), to() and half() do not reach the module, so it is set here."""
        weight = next(self._module.parameters())
        kind = frames.dtype if frames.is_floating_point() and not torch.is_autocast_enabled(frames.device.type) else weight.dtype
        if weight.device != frames.device or weight.dtype != kind:
            self.semantics.to(frames.device, kind)
        if self._module.training:
            self._module.eval()


def plug(
    model: nn.Module,
    semantics: Any,
    *,
    fusion: str = "add",
    encoder: str = "audio_encoder",
    dims: int | None = None,
    scale: float = 1.0,
    seed: int = 0,
) -> Plug:
    """Add the semantic vector of each utterance to what the model's audio encoder gives.

    Parameters
    ----------
    model : Module
        FaceFormer, CodeTalker, UniTalker, FaceDiffuser, or anything whose encoder takes waveforms and returns
        ``.last_hidden_state`` (or a tuple that begins with it).
    semantics : Semantics
        From :func:`analysis.wav2sem.load_semantics`: a module that hears (``wav2sem`` or a folder), not the text oracle.
    fusion : str
        ``add``, ``linear``, ``paper`` or ``concat``. ``linear`` and ``paper`` have weights, which join the encoder's
        parameters as ``semantic_fusion`` and are trained with the model.
    encoder : str
        Name of the encoder's attribute; dots reach inside.
    dims : int, optional
        Of the encoder's frames; needed only to build the fusion's weights before the first forward pass, so that an optimizer
        finds them. Taken from ``encoder.config.hidden_size`` when there is one.
    scale : float
        Factor on the vector of ``add`` and ``concat``.
    seed : int
        Of the orthonormal map of ``add`` where sizes differ.

    Returns
    -------
    Plug
        ``.remove()`` restores the model.

    Raises
    ------
    ConfigurationError
        If the model has no such attribute, the fusion is unknown, the weights' size cannot be known, or no layer takes the frames
        of ``concat``.
    SemanticsError
        If the semantics cannot hear, or something is plugged in already.

    Notes
    -----
    The module is not registered in the model: its weights are in no state dict and no optimizer, ``model.train()`` does not
    switch its dropout on, and it follows the device and float type of the encoder's output. Waveforms may be normalised or not;
    the module normalises them. A batch that was padded with zeros is cut to its real lengths by the attention mask, if given.
    """
    place: Any = model
    for part in encoder.split("."):
        if not hasattr(place, part):
            children = ", ".join(name for name, _ in model.named_children()) or "none"
            raise ConfigurationError(
                f"{type(model).__name__} has no {encoder!r}. Its parts: {children}. Name one with encoder=..."
            )
        place = getattr(place, part)
    if not hasattr(semantics, "from_waveforms") or not hasattr(semantics, "module"):
        name = getattr(getattr(semantics, "card", None), "name", type(semantics).__name__)
        raise SemanticsError(f"{name} does not hear waveforms, so it cannot be plugged in. Load wav2sem or a module's folder.")
    if any(isinstance(hook, Plug) for hook in place._forward_hooks.values()):
        raise SemanticsError(f"{type(model).__name__}.{encoder} has a semantic module already. Call .remove() on it first.")
    if fusion not in MODES:
        raise ConfigurationError(f"There is no fusion {fusion!r}. Choose one of: {', '.join(MODES)}.")
    known = dims or getattr(getattr(place, "config", None), "hidden_size", None)
    if fusion == "concat" and known:
        _require_room(model, place, known, semantics.card.dims)
    plugged = Plug(model, place, semantics, fusion, scale, seed)
    if fusion in ("linear", "paper"):
        if not known:
            plugged.remove()
            raise ConfigurationError(
                f"The fusion {fusion!r} has weights; say with dims=... how many dims the encoder's frames have."
            )
        weight = next(place.parameters())
        place.semantic_fusion = SemanticFusion(fusion, known, semantics.card.dims).to(weight.device, weight.dtype)
    return plugged


def _require_room(model: nn.Module, encoder: nn.Module, dims: int, semantic_dims: int) -> None:
    """Raise unless some layer behind the encoder takes the concatenated frames, where layers there take the frames alone."""
    inner = set(encoder.modules())
    takes = {
        name: layer.in_features if isinstance(layer, nn.Linear) else layer.input_size
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.RNNBase) and layer not in inner
    }
    wide = dims + semantic_dims
    too_narrow = [name for name, size in takes.items() if size in (dims, 2 * dims)]  # frames may be paired first
    if too_narrow and not any(size in (wide, 2 * wide) for size in takes.values()):
        raise ConfigurationError(
            f"The fusion 'concat' gives frames of {dims} + {semantic_dims} = {wide} dims, and no layer of {type(model).__name__} "
            f"behind its encoder takes as many; {too_narrow[0]} takes {takes[too_narrow[0]]}. Build the model with that layer for "
            f"{takes[too_narrow[0]] // dims * wide} dims, or choose the fusion add, linear or paper."
        )


def _waveforms(args: Sequence[Any], kwargs: dict[str, Any], batch: int) -> list[np.ndarray]:
    """The waveforms that went into the encoder, one per row, cut to their real lengths."""
    found = args[0] if args else next((kwargs[name] for name in _WAVEFORM_NAMES if name in kwargs), None)
    if not isinstance(found, torch.Tensor) or not found.is_floating_point():
        raise SemanticsError("The encoder was called without a waveform as its first argument or as `input_values`.")
    waveforms = found.detach().float().cpu()
    waveforms = waveforms.reshape(-1, waveforms.shape[-1])
    if len(waveforms) != batch:
        raise SemanticsError(f"The encoder was given {len(waveforms)} waveforms and gave {batch} rows of frames.")
    mask = kwargs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.shape == waveforms.shape:
        lengths = mask.long().sum(1).tolist()
        return [row[:length].numpy() for row, length in zip(waveforms, lengths, strict=True)]
    return [row.numpy() for row in waveforms]
