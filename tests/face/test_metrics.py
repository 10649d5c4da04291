"""Each metric against a slow oracle, hand-computed values, torchmetrics, and its own symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ConfigurationError, FaceError
from analysis.face.metrics import (
    MotionSpread,
    lip_errors,
    lip_vertex_error,
    mean_vertex_error,
    motion_spread,
    upper_face_dynamics_deviation,
)
from analysis.face.presets import PRESETS
from tests.reference import face as oracle

LIPS = np.array([1, 2, 4])
UPPER = np.array([0, 3])


def _clips(seed: int, lengths: tuple[int, ...] = (4, 7, 1), n_vertices: int = 6):
    rng = np.random.default_rng(seed)
    templates = [rng.normal(size=(n_vertices, 3)) for _ in lengths]
    truths = [m + rng.normal(size=(n, n_vertices, 3)) for m, n in zip(templates, lengths, strict=True)]
    predictions = [g[: max(1, len(g) - 1)] + rng.normal(size=(max(1, len(g) - 1), n_vertices, 3)) for g in truths]
    return predictions, truths, templates


@pytest.mark.parametrize(
    ("preset", "settings_"),
    [
        ("codetalker", {}),
        ("facediffuser", {}),
        ("unitalker", {"pooling": "clips"}),
        ("diffspeaker", {"pooling": "clips"}),
        ("meshtalk", {"root": True, "centred": True}),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_lip_vertex_error_equals_the_loop(preset: str, settings_: dict, seed: int) -> None:
    predictions, truths, _ = _clips(seed)
    expected = oracle.lve(predictions, truths, LIPS.tolist(), **settings_)
    assert lip_vertex_error(predictions, truths, LIPS, preset=preset) == pytest.approx(expected, rel=1e-12)


def test_unitalker_also_gives_the_root_per_clip() -> None:
    predictions, truths, _ = _clips(5)
    expected = oracle.lve(predictions, truths, LIPS.tolist(), root=True, pooling="clips")
    assert lip_vertex_error(predictions, truths, LIPS, preset="unitalker", root=True) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_mean_vertex_error_and_dynamics_equal_the_loops(seed: int) -> None:
    predictions, truths, templates = _clips(seed)
    assert mean_vertex_error(predictions, truths) == pytest.approx(oracle.mve(predictions, truths), rel=1e-12)
    for absolute in (False, True):
        expected = oracle.fdd(predictions, truths, templates, UPPER.tolist(), absolute=absolute)
        found = upper_face_dynamics_deviation(predictions, truths, templates, UPPER, absolute=absolute)
        assert found == pytest.approx(expected, rel=1e-12)


def test_three_frames_by_hand() -> None:
    """Three frames of four vertices; vertices 1 and 2 are lips, 0 and 3 upper face; the template is the origin."""
    template = np.zeros((4, 3))
    truth = np.zeros((3, 4, 3))
    truth[:, 0, 0] = [0, 1, 2]  # squared offsets 0, 1, 4: mean 5/3, variance 26/9
    truth[:, 3, 1] = [1, 1, 1]  # constant: no spread
    prediction = truth.copy()
    prediction[0, 1] = [3, 0, 4]  # lip off by 5
    prediction[0, 2] = [0, 1, 0]  # and one by 1, which the maximum hides
    prediction[1, 2] = [0, 2, 0]
    prediction[2, 3, 1] = 4  # upper face: squared offsets 1, 1, 16: mean 6, variance 50
    assert lip_errors(prediction, truth, np.array([1, 2])).tolist() == [25, 4, 0]
    assert lip_vertex_error(prediction, truth, np.array([1, 2]), preset="codetalker") == pytest.approx(29 / 3)
    assert lip_vertex_error(prediction, truth, np.array([1, 2]), preset="unitalker", root=True) == pytest.approx(7 / 3)
    assert mean_vertex_error(prediction, truth) == pytest.approx((5 + 1 + 2 + 3) / 12)
    true_spread = (np.sqrt(26 / 9) + 0) / 2
    predicted_spread = (np.sqrt(26 / 9) + np.sqrt(50)) / 2
    upper = np.array([0, 3])
    assert motion_spread(truth, template, upper) == pytest.approx(true_spread)
    assert upper_face_dynamics_deviation(prediction, truth, template, upper) == pytest.approx(true_spread - predicted_spread)
    assert upper_face_dynamics_deviation(prediction, truth, template, upper, absolute=True) == pytest.approx(np.sqrt(50) / 2)
    # MeshTalk: frame 0 lips (3, 0, 4), (0, 1, 0) against zeros, each set centred on its mean
    centred = np.array([[1.5, -0.5, 2], [-1.5, 0.5, -2]])
    roots = [np.sqrt((centred**2).sum(axis=1)).max(), 1.0, 0.0]
    assert lip_vertex_error(prediction, truth, np.array([1, 2]), preset="meshtalk") == pytest.approx(np.mean(roots))


def test_agrees_with_torchmetrics_where_the_definitions_do() -> None:
    torch = pytest.importorskip("torch")
    multimodal = pytest.importorskip("torchmetrics.functional.multimodal")
    predictions, truths, _ = _clips(2, lengths=(9,))
    expected = multimodal.lip_vertex_error(torch.from_numpy(predictions[0]), torch.from_numpy(truths[0]), LIPS.tolist())
    for preset in ("codetalker", "facediffuser", "unitalker", "diffspeaker"):  # one clip: pooling makes no difference
        assert lip_vertex_error(predictions[0], truths[0], LIPS, preset=preset) == pytest.approx(float(expected), rel=1e-12)


def test_ends_of_the_scale() -> None:
    _, truths, templates = _clips(1)
    for preset in PRESETS:
        assert lip_vertex_error(truths, truths, LIPS, preset=preset) == 0
    assert mean_vertex_error(truths, truths) == 0
    assert upper_face_dynamics_deviation(truths, truths, templates, UPPER) == 0
    still = [np.broadcast_to(m, g.shape) for m, g in zip(templates, truths, strict=True)]
    moving = upper_face_dynamics_deviation(still, truths, templates, UPPER)
    assert moving == pytest.approx(np.mean([motion_spread(g, m, UPPER) for g, m in zip(truths, templates, strict=True)]))
    assert upper_face_dynamics_deviation(truths, still, templates, UPPER) == pytest.approx(-moving)


def test_the_mean_of_a_root_is_not_the_root_of_a_mean() -> None:
    predictions, truths, _ = _clips(3)
    squared = lip_vertex_error(predictions, truths, LIPS, preset="codetalker")
    rooted = lip_vertex_error(predictions, truths, LIPS, preset="codetalker", root=True)
    assert rooted < np.sqrt(squared)


def test_pooling_differs_when_clips_differ_in_length() -> None:
    truth = [np.zeros((1, 3, 3)), np.zeros((9, 3, 3))]
    prediction = [np.ones((1, 3, 3)), np.zeros((9, 3, 3))]
    lips = np.array([0])
    assert lip_vertex_error(prediction, truth, lips, preset="codetalker") == pytest.approx(0.3)
    assert lip_vertex_error(prediction, truth, lips, preset="diffspeaker") == pytest.approx(1.5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_rotation_changes_nothing_and_scale_as_its_power(seed: int, scale: float) -> None:
    predictions, truths, templates = _clips(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turned = [[x @ rotation * scale for x in group] for group in (predictions, truths, templates)]
    for preset, definition in PRESETS.items():
        before, after = (lip_vertex_error(p, g, LIPS, preset=preset) for p, g in ((predictions, truths), turned[:2]))
        assert after == pytest.approx(before * scale ** (1 if definition.lve_power == "root" else 2), rel=1e-9)
    assert mean_vertex_error(*turned[:2]) == pytest.approx(mean_vertex_error(predictions, truths) * scale, rel=1e-9)
    before, after = (upper_face_dynamics_deviation(*x, UPPER) for x in ((predictions, truths, templates), turned))
    assert after == pytest.approx(before * scale**2, rel=1e-9, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 19), max_size=4, unique=True), seed=st.integers(0, 1000))
def test_motion_spread_in_pieces_is_that_of_the_whole(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, template = rng.normal(size=(20, 5, 3)), rng.normal(size=(5, 3))
    spread = MotionSpread(template, UPPER)
    for part in np.split(frames, sorted(cuts)):
        spread.add(part)
    assert spread.value == pytest.approx(motion_spread(frames, template, UPPER), rel=1e-12)


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as error:
        lip_vertex_error(np.zeros((1, 6, 3)), np.zeros((1, 6, 3)), LIPS, preset="voca")
    assert str(error.value) == (
        "There is no preset 'voca'. Choose one of: codetalker, facediffuser, unitalker, diffspeaker, meshtalk."
    )


def test_region_beyond_the_mesh_and_other_meshes_are_refused() -> None:
    with pytest.raises(FaceError, match="names vertex 4, but the meshes have 4 vertices"):
        lip_vertex_error(np.zeros((1, 4, 3)), np.zeros((1, 4, 3)), LIPS)
    with pytest.raises(FaceError, match=r"shape \(1, 5, 3\) and the truth \(1, 6, 3\)"):
        lip_vertex_error(np.zeros((1, 5, 3)), np.zeros((1, 6, 3)), np.array([1]))
