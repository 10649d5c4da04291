"""Which tokens a report's maps show, and the maps themselves, without and with each module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis.projection import MINIMUM_POINTS, project_variants
from analysis.report.assembly import fused
from analysis.settings import DecoupleConfig

if TYPE_CHECKING:
    import pandas as pd

    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.wav2sem.types import UtteranceVectors

__all__ = ["rows_on_the_map", "start_map"]


def rows_on_the_map(config: DecoupleConfig, pairs: pd.DataFrame, embeddings: SyllableEmbeddings) -> np.ndarray:
    """Rows of the tokens shown: the near-homophones with most tokens, sampled to the limit with the run's seed."""
    from analysis.phonology.composition import taking_part
    from analysis.phonology.near import limit_pairs

    near = pairs[(pairs["relation"] == "near_homophone") & (pairs["pairs_of"] != "")]
    # sheep/ship tells a reader more than is/his: exchanged phones come before added ones
    exchanged = ~near["edit_class"].isin(["insertion", ""])
    near = limit_pairs(near[exchanged] if exchanged.any() else near, config.projection.max_pairs)
    rows = np.flatnonzero(taking_part(embeddings.tokens, near))
    if len(rows) > config.projection.max_points:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, config.projection.max_points, replace=False))
    return rows


def start_map(
    config: DecoupleConfig,
    embeddings: SyllableEmbeddings,
    semantics: Mapping[str, UtteranceVectors],
    layer: int,
    on_map: np.ndarray,
    start: Callable[..., Future],
) -> Future | None:
    """Begin the maps of the tokens at ``on_map``, without and with each module; None where they are too few."""
    if len(on_map) < MINIMUM_POINTS:
        return None
    variants = {"without": embeddings.layer(layer)[on_map]}
    for variant, vectors in semantics.items():
        variants[variant] = fused(config, embeddings, vectors, layer, variant)[on_map]
    chosen = config.projection
    return start(
        partial(
            project_variants,
            variants,
            method=chosen.method,
            seed=config.seed,
            n_neighbors=chosen.n_neighbors,
            min_dist=chosen.min_dist,
        )
    )
