"""How token-pair distances are distributed, for figures: counts in shared bins, never a base for a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.separation.relations import pair_tokens, split_mask
from analysis.separation.settings import SeparationSettings

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings

__all__ = ["distance_histograms"]


def distance_histograms(
    embeddings: SyllableEmbeddings,
    variants: Mapping[str, np.ndarray],
    pairs: pd.DataFrame,
    *,
    settings: SeparationSettings,
    bins: int = 60,
) -> list[dict[str, Any]]:
    """Counts of L2 distances per variant, relation and split, in bins that all of them share.

    Parameters
    ----------
    embeddings : SyllableEmbeddings
        Whose tokens the vectors belong to.
    variants : mapping of str to ndarray, shape (N, D)
        Vectors of every token, by variant.
    pairs : DataFrame
        The pair table that was scored.
    settings : SeparationSettings
        Relations, splits and sampling, as in the scores.
    bins : int

    Returns
    -------
    list of dict
        ``variant``, ``distance``, ``relation``, ``split``, ``edges`` (bins + 1), ``counts`` (bins).
    """
    token_pairs = pair_tokens(
        embeddings.tokens,
        pairs,
        relations=settings.relations,
        max_tokens_per_type=settings.max_tokens_per_type,
        max_type_pairs=settings.max_type_pairs,
        seed=settings.seed,
    )
    relation = token_pairs.type_pairs["relation"].to_numpy()[token_pairs.cell_type_pair]
    cell = token_pairs.cell_of_pair()
    distances = {
        name: _distances(np.asarray(vectors, dtype=np.float32)[token_pairs.rows], token_pairs.a, token_pairs.b)
        for name, vectors in variants.items()
    }
    edges = np.linspace(0.0, max(float(values.max()) for values in distances.values()), bins + 1)
    found = []
    for name in ("near_homophone", "same_type", "unrelated"):
        for split in ("same_utterance", "different_text"):
            chosen = ((relation == name) & split_mask(token_pairs.cell_atom, split))[cell]
            if not chosen.any():
                continue
            for variant, values in distances.items():
                counts, _ = np.histogram(values[chosen], edges)
                place = {"variant": variant, "distance": "l2", "relation": name, "split": split}
                found.append(place | {"edges": edges.tolist(), "counts": counts.tolist()})
    return found


def _distances(vectors: np.ndarray, a: np.ndarray, b: np.ndarray, chunk: int = 65536) -> np.ndarray:
    """L2 distances of the listed rows, shape (len(a),), without an N x N matrix."""
    parts = [
        np.linalg.norm(vectors[a[start : start + chunk]] - vectors[b[start : start + chunk]], axis=1)
        for start in range(0, len(a), chunk)
    ]
    return np.concatenate(parts)
