"""The separation scores that the Wav2Sem paper printed, beside one's own of the same encoders under every normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["COLUMNS", "PUBLISHED", "Published", "arithmetic", "beside_published", "published_sentences"]


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


def arithmetic(value: float) -> dict[str, float]:
    """What a printed value says of other normalisations, had it been taken under the one named.

    Parameters
    ----------
    value : float
        A printed mean distance.

    Returns
    -------
    dict of str to float
        ``l2_unit``: the most that the mean unit distance can be if the value is a mean cosine distance; ``cosine``: the least that the mean
        cosine distance can be if the value is a mean unit distance; ``angular``: the mean angular distance if all cosines are alike.

    Notes
    -----
    ``l2_unit = sqrt(2 cosine)`` for every two tokens, so that by Jensen ``mean l2_unit <= sqrt(2 mean cosine)``.

    Examples
    --------
    >>> {name: round(found, 4) for name, found in arithmetic(0.0397).items()}
    {'l2_unit': 0.2818, 'cosine': 0.0008, 'angular': 0.09}
    """
    return {"l2_unit": float(np.sqrt(2 * value)), "cosine": value**2 / 2, "angular": float(np.arccos(1 - value) / np.pi)}


def _candidates(table: pd.DataFrame, dims: int | None) -> pd.DataFrame:
    """Rows that could be what was printed: mean distances, also per root dimension, ratios and silhouettes."""
    near = table["relation"] == "near_homophone"
    means = table[(table["statistic"] == "mean_distance") & near]
    parts = [means]
    if dims:
        rms = means[means["distance"] == "l2"]
        parts.append(rms.assign(distance="rms", estimate=rms["estimate"] / np.sqrt(dims)))
    for statistic, chosen in (("between_within_ratio", near), ("silhouette", table["relation"] == "all")):
        rows = table[(table["statistic"] == statistic) & chosen]
        parts.append(rows.assign(distance=statistic + " of " + rows["distance"].astype(str)))
    return pd.concat(parts, ignore_index=True)


def beside_published(table: pd.DataFrame, dims: int | None = None) -> pd.DataFrame:
    """One's own near-homophone scores beside the printed ones, for every layer, distance, treatment, split and average.

    Beside mean distances these are the root-mean-square difference per dimension (``rms``), between/within ratios and silhouettes.
    City-block and max-normalised distances, and distances on a map, are not taken.

    Parameters
    ----------
    table : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`.
    dims : int, optional
        Of the vectors, for ``rms``.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`; no row where no encoder of the paper was analysed. ``log_ratio`` is how far off the pair is, the mean of
        ``|log(own / printed)|`` of both numbers (0: equal; 0.69: a factor of two); ``nearest`` marks the least of each encoder.

    References
    ----------
    Wav2Sem, CVPR 2025, arXiv:2505.23290.
    """
    means = _candidates(table, dims)
    means = means[means["estimate"] > 0]
    rows: list[dict[str, Any]] = []
    for printed in PUBLISHED:
        mine = means[means["encoder"].isin(printed.encoders)]
        place = ["encoder", "layer", "vectors", "distance", "split", "average"]
        for key, group in mine.groupby(place, sort=False):
            without = group.loc[group["variant"] == "without", "estimate"]
            if not len(without):
                continue
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
        f"That is no reproduction: among this many normalisations some value is near by chance. {_excluded(row)}"
        for row in beside[beside["nearest"].astype(bool)].itertuples()
    ]


def _excluded(row: Any) -> str:
    """What arithmetic says of the printed value, in words."""
    found = arithmetic(row.published_without)
    return (
        f"If {row.published_without} were a cosine distance, unit vectors would lie at most {found['l2_unit']:.3f} apart; if it were the distance "
        f"of unit vectors, cosine distances would be at least {found['cosine']:.2g}. The two increments, 0.0304 and 0.0220, are alike, as they "
        f"are for mean squared differences when vectors are added unscaled (--scale as_is)."
    )
