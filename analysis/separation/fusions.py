"""Fusions with weights in the scores: the module and each of its nulls go through the map that was trained for them.

Every fusion here is affine in the frame, so that pooled vectors are fused instead of frames and nothing is encoded again.

Weights that were trained on the very utterances that are scored know them by heart: the module's know which vector belongs to which
utterance. So must the null's. There, a null's draws are those that it was trained with, each through its own weights. On utterances
that training did not see, draws are made anew, and its weights take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import SeparationError
from analysis.separation.settings import SeparationSettings
from analysis.wav2sem.fusion import TRAINED_MODES, AffineFusion, TrainedFusion, trained_fusions

__all__ = ["ModuleFusion", "NullFusion", "learnt_by_heart", "module_fusion"]


@dataclass(frozen=True)
class NullFusion:
    """How a null meets frames.

    Attributes
    ----------
    maps : tuple of AffineFusion
        One per trained draw, or the one that all draws share.
    vectors : tuple of ndarray, shape (U, S)
        The draw that each map was trained with, where it was trained on the utterances that are scored; otherwise empty.
    """

    maps: tuple[AffineFusion, ...]
    vectors: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class ModuleFusion:
    """How a module meets frames, and how each of its nulls does.

    Attributes
    ----------
    own : AffineFusion
    nulls : mapping of str to NullFusion
    """

    own: AffineFusion
    nulls: Mapping[str, NullFusion]


def module_fusion(
    module: str,
    vectors: np.ndarray,
    utterances: Sequence[str],
    dims: int,
    settings: SeparationSettings,
    *,
    layer: int,
    encoder: str,
    scale: float,
) -> ModuleFusion:
    """The maps of one module for one layer.

    Parameters
    ----------
    module : str
        ``wav2sem`` or ``oracle``.
    vectors : ndarray, shape (U, S)
    utterances : sequence of str
        Their ids.
    dims : int
        Of the frames.
    settings : SeparationSettings
        ``fusion`` is ``linear``, ``paper`` or ``concat``.
    layer : int
    encoder : str
        ``name@revision``; empty if not known.
    scale : float
        Factor on the vectors under ``concat``; trained fusions have learnt their own.

    Raises
    ------
    SeparationError
        If the weights were trained for another layer, encoder or module, or on some of the utterances but not on all.
    """
    if settings.fusion == "concat":
        same = AffineFusion.concatenation(dims, vectors.shape[1], scale)
        return ModuleFusion(same, {null: NullFusion((same,)) for null in settings.nulls})
    folder = Path(settings.fusion_weights)
    trained = {name: trained_fusions(folder, settings.fusion, module, name) for name in ("module", *settings.nulls)}
    for one in (one for some in trained.values() for one in some):
        weights = one.weights
        if weights.layer != layer or (encoder and weights.encoder != encoder):
            raise SeparationError(
                f"The fusion weights in {folder} are for layer {weights.layer} of {weights.encoder}, and layer "
                f"{layer} of {encoder or 'the encoder'} is to be scored. Score that layer alone (--layers {weights.layer}), or "
                f"train weights for this one (`python -m analysis.wav2sem fusion ... --layer {layer}`)."
            )
        if weights.inner.shape != (dims, vectors.shape[1]):
            raise SeparationError(
                f"The fusion weights for {module} map {weights.inner.shape[1]} to {weights.inner.shape[0]} dims, but its vectors "
                f"have {vectors.shape[1]} and the frames {dims}. Train them with this module and encoder."
            )
    own = AffineFusion.of_weights(trained["module"][0].weights)
    return ModuleFusion(own, {null: _null(trained[null], utterances, folder) for null in settings.nulls})


def learnt_by_heart(modules: Iterable[str], utterances: Sequence[str], settings: SeparationSettings) -> tuple[str, ...]:
    """The modules whose fusion weights were trained on utterances that are scored, so that a verdict would be on the training data."""
    if settings.fusion not in TRAINED_MODES:
        return ()
    scored = set(utterances)
    folder = Path(settings.fusion_weights)
    return tuple(
        module
        for module in modules
        if scored.intersection(*(one.utterances for one in trained_fusions(folder, settings.fusion, module)))
    )


def _null(trained: Sequence[TrainedFusion], utterances: Sequence[str], folder: Path) -> NullFusion:
    maps = tuple(AffineFusion.of_weights(one.weights) for one in trained)
    place = {name: row for row, name in enumerate(trained[0].utterances)}
    rows = [place[name] for name in utterances if name in place]
    if not rows:
        return NullFusion(maps)
    if len(rows) < len(utterances):
        raise SeparationError(
            f"The fusion weights in {folder} were trained on {len(rows)} of the {len(utterances)} utterances that are scored. Of "
            "those they know the vectors by heart, of the others not: score a corpus that they were trained on as a whole, or not "
            "at all."
        )
    return NullFusion(maps, tuple(np.asarray(one.vectors, np.float64)[rows] for one in trained))
