"""Maps: coordinates that repeat, keep neighbours, and say how far they can be trusted."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ConfigurationError
from analysis.projection import METHODS, _exact_neighbors, _procrustes, project, project_variants

_spec = importlib.util.spec_from_file_location("neighbourhoods", Path(__file__).parent / "reference" / "neighbourhoods.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

PACMAP = pytest.param(  # compiles for half a minute
    "pacmap",
    marks=[pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("pacmap") is None, reason="pacmap is not installed")],
)


def clusters(n=60, dims=32, groups=3, apart=20.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % groups
    return apart * rng.normal(size=(groups, dims))[labels] + rng.normal(size=(n, dims)), labels


def purity(coordinates, labels):
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


@pytest.mark.parametrize("method", [PACMAP if name == "pacmap" else name for name in METHODS])
def test_map_repeats_and_keeps_well_separated_groups_apart(method):
    vectors, labels = clusters()
    threads = torch.get_num_threads()
    first, second = (project(vectors, method=method, seed=3) for _ in range(2))
    assert torch.get_num_threads() == threads, "a map changes nothing for what is computed after it"
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    assert first.coordinates.shape == (60, 2) and np.isfinite(first.coordinates).all() and len(first) == 60
    assert purity(first.coordinates, labels) == 1.0
    assert first.trustworthiness > 0.8 and first.continuity > 0.8
    assert first.parameters["seed"] == 3 and first.method == method
    caption = first.caption()
    assert f"trustworthiness {first.trustworthiness:.3f}" in caption and "claims rest on the scores" in caption


def test_another_seed_gives_another_map():
    vectors, _ = clusters(apart=0.0)
    assert not np.allclose(project(vectors, seed=0).coordinates, project(vectors, seed=1).coordinates)


def test_small_sets_get_exact_neighbours():
    assert project(clusters()[0], method="umap").parameters["neighbors"] == "exact"


def test_pca_of_a_plane_is_perfect_and_gives_its_shares():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [3, 1]
    turned = plane @ np.linalg.qr(rng.normal(size=(10, 10)))[0][:2]
    found = project(turned, method="pca")
    assert found.trustworthiness == 1.0 and found.continuity == 1.0
    assert sum(found.parameters["explained_variance"]) == pytest.approx(1, abs=1e-5)
    between = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found.coordinates[:, None] - found.coordinates[None], axis=-1), between, atol=1e-4)


def test_trust_agrees_with_counting_and_falls_to_half_for_noise():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 6))
    found = project(vectors, method="pca")
    as_used = vectors.astype(np.float32).astype(float)
    k = found.quality["n_neighbors"]
    assert found.trustworthiness == pytest.approx(reference.trustworthiness(as_used, found.coordinates, k))
    assert found.continuity == pytest.approx(reference.trustworthiness(found.coordinates, as_used, k))
    from analysis.projection import _neighbourhood_quality

    noise, _, _ = _neighbourhood_quality(rng.normal(size=(300, 50)), rng.normal(size=(300, 2)), 0)
    assert noise == pytest.approx(0.5, abs=0.06)


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 20), st.integers(2, 5), st.integers(0, 1000))
def test_exact_neighbours_agree_with_counting(n, k, seed):
    points = np.random.default_rng(seed).integers(0, 5, size=(n, 3)).astype(np.float32)  # many ties and twins
    indices, distances = _exact_neighbors(points, k)
    assert indices.tolist() == reference.nearest(points.tolist(), k)
    assert (np.diff(distances, axis=1) >= 0).all() and (distances[:, 0] == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 6.28), st.floats(0.1, 10), st.booleans(), st.integers(0, 100))
def test_procrustes_undoes_turn_mirror_scale_and_shift(angle, scale, mirrored, seed):
    points = np.random.default_rng(seed).normal(size=(12, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([-1 if mirrored else 1, 1])
    np.testing.assert_allclose(_procrustes(points @ turn * scale + 5, points), points, atol=1e-8)


def apart_from(a, b):
    """How far each point of ``b`` lies from where it is on ``a``, in units of the spread of ``a``."""
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(a - a.mean(axis=0), axis=1).mean()


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize("seed", range(2))
def test_variants_lie_on_each_other(method, seed):
    """What moves is what noise moves: never the layout, whatever the last digits of this processor are."""
    rng = np.random.default_rng(5 + seed)
    vectors, _ = clusters(n=150, groups=6, apart=2.0, seed=seed)
    maps = project_variants(
        {
            "without": vectors,
            "same": vectors,
            "other digits": vectors * (1 + 1e-6 * rng.normal(size=vectors.shape)),
            "wav2sem": vectors + 0.1 * rng.normal(size=vectors.shape),
        },
        method=method,
    )
    np.testing.assert_array_equal(maps["without"].coordinates, project(vectors, method=method).coordinates)
    for name in ("same", "other digits", "wav2sem"):
        assert apart_from(maps["without"].coordinates, maps[name].coordinates).mean() < 0.25, name
        assert maps[name].parameters["laid_onto"] == "without"


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_token_whose_neighbourhood_changed_moves_to_its_new_neighbours(method):
    vectors, labels = clusters(n=150, groups=6, apart=2.0)
    changed = vectors.copy()
    moved = np.flatnonzero(labels == 0)[:5]
    changed[moved] = vectors[labels == 3][:5] + 0.1
    maps = project_variants({"without": vectors, "wav2sem": changed}, method=method)
    now = maps["wav2sem"].coordinates
    new = now[labels == 3].mean(axis=0)
    old = now[(labels == 0) & ~np.isin(np.arange(150), moved)].mean(axis=0)
    assert (np.linalg.norm(now[moved] - new, axis=1) < np.linalg.norm(now[moved] - old, axis=1)).all()
    stayed = np.setdiff1d(np.arange(150), moved)
    assert apart_from(maps["without"].coordinates, now)[stayed].mean() < 0.35


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_variant_with_nothing_in_common_is_mapped_as_well_as_alone(method):
    vectors, _ = clusters(n=150, groups=6, apart=2.0)
    other = vectors[np.random.default_rng(1).permutation(150)]
    found = project_variants({"without": vectors, "wav2sem": other}, method=method)["wav2sem"]
    alone = project(other, method=method)
    assert found.trustworthiness > alone.trustworthiness - 0.02
    assert found.continuity > alone.continuity - 0.02


@pytest.mark.parametrize("method", ["tsne", "umap", "pca"])
@pytest.mark.parametrize("distinct", [1, 2, 4, 5, 12])
def test_identical_vectors_lie_on_one_place(method, distinct):
    rng = np.random.default_rng(distinct)
    vectors = rng.normal(size=(distinct, 8))[np.arange(5 * distinct) % distinct]
    found = project(vectors, method=method)
    assert np.isfinite(found.coordinates).all()
    for first in range(distinct):
        assert np.ptp(found.coordinates[first::distinct], axis=0).max() < 1e-6
    if distinct > 2:
        assert len(np.unique(found.coordinates[:distinct].round(3), axis=0)) == distinct
    if method != "pca":
        assert found.parameters["distinct"] == distinct
        assert found.parameters.get("instead_of") == (method if distinct < 5 else None)
        assert found.method == ("pca" if distinct < 5 else method)
    # a variant that tells apart what the first does not, and one that no longer does
    varied = vectors + 0.1 * rng.normal(size=vectors.shape)
    apart = project_variants({"without": vectors, "wav2sem": varied}, method=method)["wav2sem"].coordinates
    assert len(np.unique(apart, axis=0)) == len(vectors)
    assert np.isfinite(project_variants({"without": varied, "wav2sem": vectors}, method=method)["wav2sem"].coordinates).all()


@pytest.mark.parametrize("method", ["tsne", "umap", "pca"])
@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_maps_do_not_depend_on_the_unit_of_the_vectors(method, size):
    vectors, labels = clusters()
    found = project(vectors * size, method=method)
    assert np.isfinite(found.coordinates).all()
    assert purity(found.coordinates / np.abs(found.coordinates).max(), labels) == 1.0


def test_identical_vectors_do_not_end_the_process():
    """t-SNE of identical vectors was a segmentation fault."""
    code = "import numpy; from analysis.projection import project; print(project(numpy.ones((50, 8)), method='tsne').caption())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("PCA (numpy ") and "distinct 1, instead_of tsne" in ended.stdout


def test_tiny_sets_do_not_break():
    assert project(clusters(n=6)[0], method="tsne").coordinates.shape == (6, 2)
    assert project(clusters(n=6)[0], method="umap").parameters["n_neighbors"] == 5


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (np.ones((9, 3)), {"method": "isomap"}, "There is no projection 'isomap'. Choose one of umap, tsne, pca, pacmap."),
        (np.ones((9, 3)), {"n_neighbors": 1}, "n_neighbors is 1; a neighbourhood needs at least 2 points."),
        (
            np.ones((3, 3)),
            {},
            "A map needs vectors of shape (N, D) with N >= 5 and D >= 2, not (3, 3). "
            "Map more tokens, or leave the projection out.",
        ),
        (
            np.array([[1.0, 2.0]] * 6 + [[np.nan, 1.0]]),
            {},
            "1 of 7 vectors hold NaN or infinity (first: row 6). "
            "Half precision overflows above 65504; extract those layers in float32.",
        ),
        (np.ones((9, 3)), {"init": np.ones((8, 2))}, "init must be a finite array of shape (9, 2), not (8, 2)."),
    ],
)
def test_bad_requests_say_what_to_do(vectors, options, message):
    with pytest.raises(ConfigurationError) as raised:
        project(vectors, **options)
    assert str(raised.value) == message


def test_pacmap_missing_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(ConfigurationError, match="needs the package pacmap: pip install pacmap"):
        project(clusters()[0], method="pacmap")


def test_import_is_light():
    code = (
        "import sys, analysis.projection; print([m for m in ('umap', 'sklearn', 'numba', 'torch', 'pacmap') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
