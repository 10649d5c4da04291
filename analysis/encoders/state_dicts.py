"""Reading weights out of files from strangers, and loading them with nothing missing and nothing left over."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["ALLOWED_MISSING", "digest", "load_strictly", "read_weights", "rename_weight_norm"]

#: Used in pretraining only; every other key must be there.
ALLOWED_MISSING = frozenset({"masked_spec_embed"})

# Names in files of the first versions of transformers.
_OLD_NAMES = {"mask_time_emb_vector": "masked_spec_embed"}
# A positional convolution under weight norm is stored under either pair of names, depending on the torch that saved it.
_OLD = ("weight_g", "weight_v")
_NEW = ("parametrizations.weight.original0", "parametrizations.weight.original1")


def read_weights(path: Path) -> Any:
    """What a checkpoint file holds: a mapping of names to tensors, or of names to such mappings.

    Safetensors files are read as they are; anything else is opened by ``torch.load(weights_only=True)``, which builds tensors
    and plain containers and runs no code from the file.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, or holds objects that only running its code could build.
    """
    import pickle

    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # torch warns of pickle protocols that it then refuses or reads all the same
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} was refused: it cannot be read as plain tensors ({reason[-1] if reason else 'no reason given'}). Loading it "
            f"would run code from the file. If you trust it, open it where it was made and save its state dict alone: "
            f"torch.save(model.state_dict(), 'weights.pth')"
        ) from error
    except Exception as error:  # what torch raises for a file of another kind is of many classes, IndexError and KeyError too
        told = (str(error).strip().splitlines() or [""])[0]
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {told}). It is damaged, cut short or of another kind; "
            f"copy it again."
        ) from error


def rename_weight_norm(state: Mapping[str, torch.Tensor], wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """The state dict with names of other versions under those in ``wanted``: either pair of weight norm, the old mask vector."""
    renamed = {}
    for key, tensor in state.items():
        target = _OLD_NAMES.get(key, key)
        if key not in wanted:
            for here, there in (*zip(_OLD, _NEW, strict=True), *zip(_NEW, _OLD, strict=True)):
                if key.endswith("." + here) and key.removesuffix(here) + there in wanted:
                    target = key.removesuffix(here) + there
        renamed[target] = tensor
    return renamed


def load_strictly(model: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Put ``state`` into ``model``; weight-norm names are matched first.

    Raises
    ------
    CheckpointError
        If a key other than :data:`ALLOWED_MISSING` is missing, one is left over, or a shape differs; all of them are named.
    """
    own = model.state_dict()
    state = rename_weight_norm(state, own.keys())
    missing = sorted(set(own) - set(state) - ALLOWED_MISSING)
    unexpected = sorted(set(state) - set(own) - ALLOWED_MISSING)
    shapes = [
        f"{key}: {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in sorted(set(own) & set(state))
        if state[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        parts = [
            f"{len(names)} {what}: {_some(names)}"
            for names, what in ((missing, "keys missing"), (unexpected, "keys left over"), (shapes, "of another shape"))
            if names
        ]
        raise CheckpointError(
            f"{where} does not fit {type(model).__name__}. " + "; ".join(parts) + ". "
            "Is the base model the one it was trained from, and the file a whole checkpoint?"
        )
    model.load_state_dict(state, strict=False)


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, shapes and values, the same for equal weights in whatever file they came."""
    import torch

    total = hashlib.sha256()
    for key in sorted(set(state) - ALLOWED_MISSING):  # what may be missing would be random, and is used in pretraining only
        tensor = state[key].detach().cpu().contiguous()
        total.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return total.hexdigest()


def _some(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
