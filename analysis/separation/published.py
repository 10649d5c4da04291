"""The separation scores that the Wav2Sem paper printed, beside one's own of the same encoders under every normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["COLUMNS", "PUBLISHED", "Published", "beside_published", "published_sentences"]


@dataclass(frozen=True)
class Published:
    """A printed pair of numbers.

    Attributes
    ----------
    name : str
        The encoder as the paper names it.
    encoders : tuple of str
        Checkpoints of that family and size; which of them was used is not said.
    without, with_module : float
    """

    name: str
    encoders: tuple[str, ...]
    without: float
    with_module: float


#: Printed without formula, layer, normalisation or data, so nothing can reproduce them: only say which of one's own is nearest.
PUBLISHED = (
    Published(
        "Wav2Vec 2.0",
        ("facebook/wav2vec2-base-960h", "facebook/wav2vec2-base", "facebook/wav2vec2-base-100h"),
        0.0397,
        0.0701,
    ),
    Published("HuBERT", ("facebook/hubert-base-ls960",), 0.2689, 0.2909),
)

COLUMNS = (
    "encoder", "published_name", "layer", "vectors", "distance", "split", "average", "variant", "without", "with_module",
    "published_without", "published_with_module", "log_ratio", "nearest",
)  # fmt: skip


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """One's own near-homophone distances beside the printed ones, for every layer, distance, treatment, split and average.

    Parameters
    ----------
    table : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`; no row where no encoder of the paper was analysed. ``log_ratio`` is how far off the pair is, the mean of
        ``|log(own / printed)|`` of both numbers (0: equal; 0.69: a factor of two); ``nearest`` marks the least of each encoder.

    References
    ----------
    Wav2Sem, CVPR 2025, arXiv:2505.23290.
    """
    means = table[(table["statistic"] == "mean_distance") & (table["relation"] == "near_homophone")]
    rows: list[dict[str, Any]] = []
    for printed in PUBLISHED:
        mine = means[means["encoder"].isin(printed.encoders)]
        place = ["encoder", "layer", "vectors", "distance", "split", "average"]
        for key, group in mine.groupby(place, sort=False):
            without = group.loc[group["variant"] == "without", "estimate"]
            modules = group[(group["variant"] != "without") & ~group["variant"].str.startswith("null:")]
            for variant, estimate in zip(modules["variant"], modules["estimate"], strict=True):
                own = float(without.iat[0]), float(estimate)
                off = [abs(np.log(one / other)) for one, other in zip(own, (printed.without, printed.with_module), strict=True)]
                rows.append(
                    dict(zip(place, key, strict=True))
                    | {
                        "published_name": printed.name,
                        "variant": variant,
                        "without": own[0],
                        "with_module": own[1],
                        "published_without": printed.without,
                        "published_with_module": printed.with_module,
                        "log_ratio": float(np.mean(off)),
                        "nearest": False,
                    }
                )
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    if len(found):
        found.loc[found.groupby("encoder")["log_ratio"].idxmin(), "nearest"] = True
    return found


def published_sentences(beside: pd.DataFrame) -> list[str]:
    """What the nearest row of each encoder says, in words that claim no more."""
    return [
        f"The paper prints {row.published_without} without and {row.published_with_module} with Wav2Sem for {row.published_name}, "
        f"without formula, layer or data. The nearest of the values measured here for {row.encoder} is {row.without:.4f} and "
        f"{row.with_module:.4f} ({row.variant}, layer {row.layer}, {row.distance}, {row.vectors}, {row.split}, {row.average}). "
        f"That is no reproduction: among this many normalisations some value is near by chance."
        for row in beside[beside["nearest"].astype(bool)].itertuples()
    ]
