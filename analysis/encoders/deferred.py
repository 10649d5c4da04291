"""An encoder whose card is known by heart: its weights are read when something must be encoded, and not before.

When every vector of a run lies in the cache, nothing is encoded, and loading transformers and the weights would be most of
the run's time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.encoders.bundled import BUNDLED_CARD
from analysis.encoders.load import choose_device, load_encoder

if TYPE_CHECKING:
    import torch

    from analysis.encoders.types import Encoder

__all__ = ["DeferredEncoder", "deferred_encoder"]


class DeferredEncoder:
    """The bundled encoder in float32, loaded by its first ``encode``; satisfies :class:`analysis.encoders.types.Encoder`."""

    card = BUNDLED_CARD
    precision = "float32"

    def __init__(self, device: str | torch.device = "auto") -> None:
        self.device = choose_device(device)
        self._lock = threading.Lock()
        self._loaded: Encoder | None = None

    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """One tensor ``(len(layers), frames, dims)`` per waveform; see :class:`analysis.encoders.types.Encoder`."""
        with self._lock:  # clips are encoded in threads; one of them loads
            if self._loaded is None:
                self._loaded = load_encoder(self.card.name, device=self.device)
        return self._loaded.encode(waveforms, layers)


def deferred_encoder(spec: str, *, device: str = "auto", dtype: str = "float32", revision: str | None = None) -> Encoder:
    """The encoder named by ``spec``, which may wait with reading its weights; otherwise as :func:`load_encoder`."""
    if spec == BUNDLED_CARD.name and dtype == "float32":
        return DeferredEncoder(device)
    return load_encoder(spec, device=device, dtype=dtype, revision=revision)
