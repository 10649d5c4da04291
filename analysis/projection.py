"""Two-dimensional maps of token vectors: coordinates and how far to trust them, nothing drawn.

A map is for looking. It bends distances, so no claim is read off it: the scores in :mod:`analysis.separation` carry the claims.
Coordinates repeat under a seed on one machine; between machines they differ in the last digits and then in the layout, so
nothing may gate on them. Maps of variants are another matter: a later one goes on from the first at its full size, with short
steps, so a token stays unless its neighbourhood changed, on every machine.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.errors import ConfigurationError

__all__ = ["EXACT_BELOW", "METHODS", "MINIMUM_POINTS", "Projection", "project", "project_variants"]

logger = logging.getLogger(__name__)

#: Methods by name; ``pacmap`` needs the optional package of that name.
METHODS = ("umap", "tsne", "pca", "pacmap")

#: Below this many points UMAP gets exact neighbours, computed here, and starts no approximate search.
EXACT_BELOW = 4000

# Trustworthiness and continuity sort every row of an N x N distance matrix: above this many points a seeded sample is used.
_QUALITY_SAMPLE = 2000
_QUALITY_NEIGHBORS = 10
# Of a map that goes on from another: a token should stay unless its neighbourhood says otherwise.
_UMAP_STEP, _UMAP_EPOCHS = 0.1, 500
#: Fewer points are no map.
MINIMUM_POINTS = 5


@dataclass(frozen=True)
class Projection:
    """Coordinates of one map, with what is needed to repeat it and to doubt it.

    Attributes
    ----------
    coordinates : ndarray, shape (N, 2), float64
    method : str
        One of :data:`METHODS`.
    parameters : mapping
        What was asked for and what was used: ``seed``, ``n_neighbors``, ``min_dist``, ``perplexity``, ``neighbors``
        (``exact`` or ``approximate``), ``library``; ``distinct``, the number of places, where vectors are identical;
        ``instead_of``, the method asked for, where fewer than 5 distinct vectors leave nothing but PCA.
    trustworthiness, continuity : float
        In [0, 1], 1 is best. Trustworthiness falls when points that are neighbours on the map are not neighbours among the
        vectors; continuity falls when neighbours among the vectors were torn apart on the map. NaN below 5 points per
        neighbourhood.
    quality : mapping
        ``n_neighbors`` and ``n_points`` of the two measures.
    """

    coordinates: np.ndarray
    method: str
    parameters: Mapping[str, Any]
    trustworthiness: float
    continuity: float
    quality: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coordinates)

    def caption(self) -> str:
        """One line that belongs under every figure of this map."""
        shown = ", ".join(f"{name} {value}" for name, value in self.parameters.items() if name != "library")
        return (
            f"{self.parameters.get('library', self.method)} ({shown}); trustworthiness {self.trustworthiness:.3f}, "
            f"continuity {self.continuity:.3f} at {self.quality.get('n_neighbors', 0)} neighbours. "
            "Maps are for looking; claims rest on the scores."
        )


def project(
    vectors: np.ndarray,
    *,
    method: str = "umap",
    seed: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    init: np.ndarray | None = None,
) -> Projection:
    """Coordinates of shape ``(N, 2)`` for vectors of shape ``(N, D)``, with trustworthiness and continuity.

    Parameters
    ----------
    vectors : ndarray, shape (N, D)
        At least 5 rows, all finite.
    method : {"umap", "tsne", "pca", "pacmap"}
    seed : int
        Equal seeds give equal coordinates on one machine.
    n_neighbors : int
        Size of the neighbourhood that UMAP and PaCMAP keep; the perplexity of t-SNE is twice that. Cut to what N allows.
    min_dist : float
        UMAP: how close points may lie on the map.
    init : ndarray, shape (N, 2), optional
        Where the layout starts, so that a second map of the same tokens can be compared by eye with a first: points move from
        there as far as their neighbours draw them. PCA ignores it.

    Raises
    ------
    ConfigurationError
        If the method is unknown or not installed, or the vectors are not a finite table of at least 5 rows.

    Notes
    -----
    Identical vectors lie on one place.

    Continuity is the trustworthiness of the inverse map (Venna and Kaski 2001, "Neighborhood preservation in nonlinear
    projection methods"). Over more than 2,000 points both are taken on a seeded sample.

    References
    ----------
    McInnes, Healy, Melville 2018 (UMAP); van der Maaten, Hinton 2008 (t-SNE); Wang et al. 2021 (PaCMAP).
    """
    points = _checked(vectors, method, n_neighbors)
    start = None if init is None else _checked_init(init, len(points))
    parameters: dict[str, Any]
    if method == "pca":
        coordinates, parameters = _pca(points)
    else:
        # methods that look for neighbours scatter identical vectors, or end the process: each distinct vector is laid out once
        rows, place = _distinct(points)
        parameters = {"distinct": len(rows)} if len(rows) < len(points) else {}
        if len(rows) < MINIMUM_POINTS:
            coordinates, found = _pca(points)
            parameters |= {"instead_of": method, **found}
            method = "pca"
        else:
            laid, found = _laid_out(_scaled(points[rows]), method, seed, n_neighbors, min_dist, _usable(start, rows, seed))
            coordinates, parameters = laid[place], {**found, **parameters}
    trust, continuity, quality = _neighbourhood_quality(points, coordinates, seed)
    return Projection(coordinates, method, {"seed": seed, **parameters}, trust, continuity, quality)


def project_variants(
    variants: Mapping[str, np.ndarray],
    *,
    method: str = "umap",
    seed: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
) -> dict[str, Projection]:
    """One map per variant of the same tokens, made to be laid side by side.

    The first variant is mapped from scratch; each later one starts from the first's coordinates, at their full size and without
    the phase in which a method spreads its points, and is then turned, mirrored and scaled onto it (Procrustes), so that a token
    keeps its place unless its neighbourhood changed. (PCA has no start: its axes are the variant's own, and are turned.)

    Parameters
    ----------
    variants : mapping of str to ndarray, each of shape (N, D)
        ``without`` first, by custom.
    method, seed, n_neighbors, min_dist
        As in :func:`project`.
    """
    made: dict[str, Projection] = {}
    reference: np.ndarray | None = None
    for name, vectors in variants.items():
        start = None if reference is None or next(iter(made.values())).method == "pca" else reference
        made[name] = project(vectors, method=method, seed=seed, n_neighbors=n_neighbors, min_dist=min_dist, init=start)
        if reference is None:
            reference = made[name].coordinates
        else:
            turned = _procrustes(made[name].coordinates, reference)
            made[name] = Projection(
                turned,
                made[name].method,
                {**made[name].parameters, "laid_onto": next(iter(variants))},
                made[name].trustworthiness,
                made[name].continuity,
                made[name].quality,
            )
    return made


def _checked(vectors: np.ndarray, method: str, n_neighbors: int) -> np.ndarray:
    if method not in METHODS:
        raise ConfigurationError(f"There is no projection {method!r}. Choose one of {', '.join(METHODS)}.")
    if n_neighbors < 2:
        raise ConfigurationError(f"n_neighbors is {n_neighbors}; a neighbourhood needs at least 2 points.")
    points = np.asarray(vectors, dtype=np.float32)
    if points.ndim != 2 or points.shape[0] < MINIMUM_POINTS or points.shape[1] < 2:
        raise ConfigurationError(
            f"A map needs vectors of shape (N, D) with N >= {MINIMUM_POINTS} and D >= 2, not {points.shape}. "
            "Map more tokens, or leave the projection out."
        )
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ConfigurationError(
            f"{len(bad)} of {len(points)} vectors hold NaN or infinity (first: row {bad[0]}). "
            "Half precision overflows above 65504; extract those layers in float32."
        )
    return points


def _checked_init(init: np.ndarray, n_points: int) -> np.ndarray:
    start = np.asarray(init, dtype=np.float32)
    if start.shape != (n_points, 2) or not np.isfinite(start).all():
        raise ConfigurationError(f"init must be a finite array of shape ({n_points}, 2), not {start.shape}.")
    return start


def _distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each distinct vector, in order, and for every row the position of its vector among them."""
    _, first, place = np.unique(points + 0.0, axis=0, return_index=True, return_inverse=True)  # + 0.0: minus zero is zero
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return first[order], position[place.reshape(-1)]


def _scaled(points: np.ndarray) -> np.ndarray:
    """``points``, brought near 1 by a power of two where their squares would leave single precision; neighbours are the same."""
    size = float(np.abs(points).max())
    if 1e-12 < size < 1e12:
        return points
    return np.ldexp(points, -int(np.frexp(size)[1]))


def _usable(start: np.ndarray | None, rows: np.ndarray, seed: int) -> np.ndarray | None:
    """``start`` of these rows, points that coincide moved apart a little; None where all coincide and nothing is known."""
    if start is None:
        return None
    start = start[rows]
    spread = float(start.std())
    if spread == 0 or not (start != start[0]).any():
        return None
    if len(np.unique(start, axis=0)) < len(start):  # two points on one place neither draw nor push each other
        start = start + 1e-3 * spread * np.random.default_rng(seed).standard_normal(start.shape).astype(np.float32)
    return start


def _laid_out(
    points: np.ndarray, method: str, seed: int, n_neighbors: int, min_dist: float, start: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    n_neighbors = min(n_neighbors, len(points) - 1)
    if method == "umap":
        return _umap(points, seed, n_neighbors, min_dist, start)
    if method == "tsne":
        return _tsne(points, seed, n_neighbors, start)
    return _pacmap(points, seed, n_neighbors, start)


def _exact_neighbors(points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and Euclidean distances of the nearest ``n_neighbors`` points of each, itself first; ties by index."""
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(points.astype(np.float64))
    np.fill_diagonal(distances, -1.0)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :n_neighbors]
    near = np.take_along_axis(distances, indices, axis=1)
    near[:, 0] = 0.0
    return indices.astype(np.int32), near.astype(np.float32)


def _umap(
    points: np.ndarray, seed: int, n_neighbors: int, min_dist: float, start: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    # Numba, on its first use, gives the OpenMP that torch computes with as many threads as there are cores, whatever was set.
    # They wait for each other by spinning, so all that follows in this process would take several times the processor time.
    with threadpool_limits(1, user_api="openmp"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TensorFlow, which a variant of UMAP not used here would need, is absent
            import umap

        _keep_compiled_code(umap)
        exact = len(points) < EXACT_BELOW
        known: tuple[Any, Any, Any] = (None, None, None)
        if exact:
            known = (*_exact_neighbors(points, n_neighbors), None)
        reducer = umap.UMAP(
            n_neighbors=n_neighbors,
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=known,
            # A spectral start needs more points than its eigenvectors; tiny sets start from their principal components.
            init="spectral" if len(points) > 20 else "pca",
            transform_mode="embedding" if start is None else "graph",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no search index was given (none is needed), and of disconnected graphs
            coordinates = reducer.fit_transform(points)
        if start is not None:
            coordinates = _umap_onwards(umap, coordinates, start, seed, min_dist)
    return np.asarray(coordinates, dtype=np.float64), {
        "n_neighbors": n_neighbors,
        "min_dist": min_dist,
        **({} if start is None else {"learning_rate": _UMAP_STEP}),
        "neighbors": "exact" if exact else "approximate",
        "library": f"umap-learn {umap.__version__}",
    }


def _umap_onwards(umap: Any, graph: Any, start: np.ndarray, seed: int, min_dist: float) -> np.ndarray:
    """The layout that UMAP makes of a graph from ``start`` on; UMAP itself would first stretch each axis of it to 0 to 10."""
    from umap.layouts import optimize_layout_euclidean

    graph = graph.tocoo()
    graph.sum_duplicates()
    graph.data[graph.data < graph.data.max() / _UMAP_EPOCHS] = 0.0
    graph.eliminate_zeros()
    a, b = umap.umap_.find_ab_params(1.0, min_dist)
    embedding = np.array(start, dtype=np.float32, order="C")
    return optimize_layout_euclidean(
        embedding,
        embedding,
        graph.row,
        graph.col,
        _UMAP_EPOCHS,
        graph.shape[1],
        umap.umap_.make_epochs_per_sample(graph.data, _UMAP_EPOCHS),
        a,
        b,
        np.random.default_rng(seed).integers(-(2**31) + 1, 2**31 - 1, 3),
        initial_alpha=_UMAP_STEP,
        move_other=True,
        tqdm_kwds={"disable": True},
    )


def _keep_compiled_code(umap: Any) -> None:
    """Let numba keep what it compiles for UMAP on disk, so that only the first process of a machine pays for it."""
    names = (
        (umap.umap_, ("smooth_knn_dist", "compute_membership_strengths")),
        (umap.layouts, ("clip", "rdist", "_nb_optimize_layout_euclidean_single_epoch")),
    )
    for module, functions in names:
        for name in functions:
            dispatcher: Any = getattr(module, name, None)
            if hasattr(dispatcher, "enable_caching") and not getattr(dispatcher, "signatures", ()):
                try:
                    dispatcher.enable_caching()
                except RuntimeError as error:  # no folder may be written: every process compiles, as it would have
                    logger.debug("numba cannot keep compiled code: %s", error)


def _tsne(points: np.ndarray, seed: int, n_neighbors: int, start: np.ndarray | None) -> tuple[np.ndarray, dict[str, Any]]:
    import sklearn
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = float(min(2 * n_neighbors, (len(points) - 1) / 3))
    # sklearn's own start is shrunk to nothing and then blown up, which makes another layout of a difference in the last digit. A
    # given start keeps its size and is not exaggerated, so it is a layout to go on from; the step is that of the first map.
    exaggeration = 12.0
    reducer = TSNE(
        n_components=2,
        perplexity=perplexity,
        early_exaggeration=exaggeration if start is None else 1.0,
        learning_rate=max(len(points) / exaggeration / 4, 50.0),
        init="pca" if start is None else start,
        random_state=seed,
        n_jobs=1,
    )
    # Its threads wait for each other by spinning: on a busy machine two of them took 43 s where one takes 1 s.
    with threadpool_limits(1, user_api="openmp"):
        coordinates = reducer.fit_transform(points)
    return np.asarray(coordinates, dtype=np.float64), {
        "perplexity": perplexity,
        "library": f"scikit-learn {sklearn.__version__} t-SNE",
    }


def _pca(points: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(2), np.abs(right[:2]).argmax(axis=1)])  # an SVD fixes axes up to sign
    total = float((singular**2).sum())
    share = (singular[:2] ** 2 / total) if total > 0 else np.zeros(2)
    return left[:, :2] * singular[:2] * signs, {
        "explained_variance": [round(float(value), 6) for value in share],
        "library": f"PCA (numpy {np.__version__})",
    }


def _pacmap(points: np.ndarray, seed: int, n_neighbors: int, start: np.ndarray | None) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        import pacmap
    except ImportError as error:
        raise ConfigurationError("The projection 'pacmap' needs the package pacmap: pip install pacmap.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed was set
        reducer = pacmap.PaCMAP(n_components=2, n_neighbors=n_neighbors, random_state=seed)
        coordinates = reducer.fit_transform(points.copy(), init="pca" if start is None else start)
    return np.asarray(coordinates, dtype=np.float64), {
        "n_neighbors": n_neighbors,
        "neighbors": "approximate",
        "library": f"pacmap {getattr(pacmap, '__version__', '')}".strip(),
    }


def _neighbourhood_quality(points: np.ndarray, coordinates: np.ndarray, seed: int) -> tuple[float, float, dict[str, int]]:
    from sklearn.manifold import trustworthiness

    if len(points) > _QUALITY_SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), _QUALITY_SAMPLE, replace=False))
        points, coordinates = points[chosen], coordinates[chosen]
    n_neighbors = min(_QUALITY_NEIGHBORS, (len(points) - 1) // 2)
    high, low = points.astype(np.float64), coordinates
    return (
        float(trustworthiness(high, low, n_neighbors=n_neighbors)),
        float(trustworthiness(low, high, n_neighbors=n_neighbors)),
        {"n_neighbors": n_neighbors, "n_points": len(points)},
    )


def _procrustes(moved: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``moved`` turned, mirrored, scaled and shifted onto ``reference`` with the least squared error."""
    centre, target = moved.mean(axis=0), reference.mean(axis=0)
    a, b = moved - centre, reference - target
    size = float((a**2).sum())
    if size == 0 or not b.any():  # one of them is one place: nothing to turn or scale by
        return a + target
    u, s, vt = np.linalg.svd(a.T @ b)
    return a @ (u @ vt) * (s.sum() / size) + target
