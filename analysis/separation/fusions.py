"""Fusions with weights in the scores: the module and each of its nulls go through the map that was trained for them.

Every fusion here is affine in the frame, so that pooled vectors are fused instead of frames and nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.settings import SeparationSettings
from analysis.wav2sem.fusion import AffineFusion, semantic_scale, trained_weights

__all__ = ["ModuleFusion", "module_fusion"]


@dataclass(frozen=True)
class ModuleFusion:
    """How a module meets frames, and how each of its nulls does.

    Attributes
    ----------
    own : AffineFusion
    nulls : mapping of str to AffineFusion
    """

    own: AffineFusion
    nulls: Mapping[str, AffineFusion]


def module_fusion(
    module: str, vectors: np.ndarray, dims: int, settings: SeparationSettings, *, layer: int, encoder: str, frame_norm: float
) -> ModuleFusion:
    """The maps of one module for one layer.

    Parameters
    ----------
    module : str
        ``wav2sem`` or ``oracle``.
    vectors : ndarray, shape (U, S)
    dims : int
        Of the frames.
    settings : SeparationSettings
        ``fusion`` is ``linear``, ``paper`` or ``concat``.
    layer : int
    encoder : str
        ``name@revision``; empty if not known.
    frame_norm : float
        Mean norm of the layer's frames, by which ``concat`` sizes the vectors.

    Raises
    ------
    SeparationError
        If the weights were trained for another layer, encoder or module.
    """
    if settings.fusion == "concat":
        scale = semantic_scale(vectors, share=settings.share, frame_norm=frame_norm)
        same = AffineFusion.concatenation(dims, vectors.shape[1], scale)
        return ModuleFusion(same, dict.fromkeys(settings.nulls, same))
    found = {}
    for name in ("module", *settings.nulls):
        weights = trained_weights(Path(settings.fusion_weights), settings.fusion, module, name)
        if weights.layer != layer or (encoder and weights.encoder != encoder):
            raise SeparationError(
                f"The fusion weights in {settings.fusion_weights} are for layer {weights.layer} of {weights.encoder}, and layer "
                f"{layer} of {encoder or 'the encoder'} is to be scored. Score that layer alone (--layers {weights.layer}), or "
                f"train weights for this one (`python -m analysis.wav2sem fusion ... --layer {layer}`)."
            )
        if weights.inner.shape != (dims, vectors.shape[1]):
            raise SeparationError(
                f"The fusion weights for {module} map {weights.inner.shape[1]} to {weights.inner.shape[0]} dims, but its vectors "
                f"have {vectors.shape[1]} and the frames {dims}. Train them with this module and encoder."
            )
        found[name] = AffineFusion.of_weights(weights)
    return ModuleFusion(found.pop("module"), found)
