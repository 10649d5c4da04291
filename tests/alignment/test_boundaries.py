"""Boundaries from the recording: the change point against a slow definition, what never moves, the level of a known signal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alignment import boundaries
from analysis.alignment.boundaries import cepstra, levels, pause_threshold, sharpened
from tests.reference.boundaries import best_split


def test_two_phones_split_where_the_slow_definition_says():
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(60):
        start, here, end = 2, int(rng.integers(6, 30)), 40
        frames = rng.normal(size=(44, 5))
        frames[here + int(rng.integers(-2, 3)) :] += rng.normal(size=5)
        wanted = best_split(frames.tolist(), start, here, end, reach=2, sight=15, reluctance=0.04, shortest=3)
        assert sharpened([(start, here), (here, end)], frames, shortest=3) == [(start, wanted), (wanted, end)]
        moved += wanted != here
    assert 0 < moved < 60, "both answers must occur"


def test_a_clear_change_is_found_and_a_far_one_is_not():
    frames = np.zeros((30, 2))
    frames[14:] = 1.0
    assert sharpened([(5, 12), (12, 25)], frames, shortest=3) == [(5, 14), (14, 25)]
    far = sharpened([(5, 10), (10, 25)], frames, shortest=3)
    assert far == [(5, 12), (12, 25)], "no boundary moves by more than two frames"


@st.composite
def spans(draw):
    lengths = draw(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=12))
    found, position = [], draw(st.integers(0, 3))
    for length, gap in lengths:
        found.append((position, position + length))
        position += length + gap
    return found


@settings(max_examples=60, deadline=None)
@given(spans=spans(), seed=st.integers(0, 1000))
def test_phones_stay_ordered_and_pauses_stay(spans, seed):
    frames = np.random.default_rng(seed).normal(size=(spans[-1][1], 3))
    moved = sharpened(spans, frames, shortest=3)
    assert (moved[0][0], moved[-1][1]) == (spans[0][0], spans[-1][1])
    for (before, after), (left, right) in zip(pairwise(spans), pairwise(moved), strict=True):
        if before[1] != after[0]:
            assert (left[1], right[0]) == (before[1], after[0])
        else:
            assert left[1] == right[0] and abs(left[1] - before[1]) <= 2
    assert all(end - start >= min(3, old_end - old) for (start, end), (old, old_end) in zip(moved, spans, strict=True))


def test_levels_and_the_threshold_of_a_known_signal():
    quiet, loud = 10.0 * np.ones(8000), 1000.0 * np.ones(8000)
    found = levels(np.concatenate([quiet, loud]))
    assert len(found) == 100
    assert found[10] == pytest.approx(10 * np.log10(101)) and found[90] == pytest.approx(10 * np.log10(1e6 + 1))
    assert pause_threshold(found) == pytest.approx(found[10] + 0.3 * (found[90] - found[10]))
    assert levels(np.zeros(100)).tolist() == [0.0]


def test_cepstra_see_the_frame_in_its_middle():
    rng = np.random.default_rng(1)
    time = np.arange(16000) / 16000
    sound = np.where(time < 0.5, 3000 * np.sin(2 * np.pi * 300 * time), 3000 * np.sin(2 * np.pi * 3000 * time))
    frames = cepstra(sound + rng.normal(size=16000))
    assert frames.shape == (100, 13)
    assert np.allclose(frames.std(axis=0), 1)
    change = np.linalg.norm(np.diff(frames, axis=0), axis=1)
    assert {int(i) + 1 for i in np.argsort(change[5:-5])[-2:] + 5} <= {49, 50, 51}, "a boundary at frame 50 is one at 0.5 s"
    place = sharpened([(20, 48), (48, 80)], frames, shortest=3)[0][1]
    assert place in (49, 50), "within one window of the change"
    assert np.isfinite(cepstra(np.zeros(400))).all()


def test_the_reach_is_what_the_readme_says():
    assert boundaries._REACH * boundaries.HOP / boundaries.SAMPLING_RATE == 0.02
