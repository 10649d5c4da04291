"""Seconds and frames: centres decide, adjacent intervals partition."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.timebase import FrameGrid, Interval

WAV2VEC2 = FrameGrid(hop=320, first_center=200, sampling_rate=16000)


@given(
    st.integers(1, 500),
    st.integers(0, 500),
    st.sampled_from([8000, 16000, 24000]),
    st.lists(st.integers(0, 48000), min_size=2, max_size=8, unique=True),
    st.integers(0, 200),
)
def test_frames_equal_the_loop_and_partition(hop, first, rate, bounds, n_frames):
    grid = FrameGrid(hop, first, rate)
    times = [bound / rate for bound in sorted(bounds)]
    slices = [grid.frames(a, b, n_frames) for a, b in pairwise(times)]
    indices = [list(range(n_frames)[piece]) for piece in slices]
    for (a, b), found in zip(pairwise(sorted(bounds)), indices, strict=True):
        assert found == [i for i in range(n_frames) if a <= first + i * hop < b]
    whole = list(range(n_frames)[grid.frames(times[0], times[-1], n_frames)])
    assert [i for piece in indices for i in piece] == whole


def test_a_centre_on_the_start_belongs_and_on_the_end_does_not():
    assert WAV2VEC2.frames(0.0125, 0.0325, 10) == slice(0, 1)


def test_a_boundary_rounded_in_a_text_file_is_meant_to_lie_on_the_centre():
    # 0.0325 s is sample 520, the centre of frame 1, in binary 0.032500000000000001
    for i in range(200):
        center = (200 + 320 * i) / 16000
        assert WAV2VEC2.first_frame_from(float(f"{center:.7f}")) == i


def test_centers_of_one_second_at_16_khz():
    centers = WAV2VEC2.centers(49)
    assert centers.shape == (49,)
    assert centers[0] == 0.0125
    assert np.allclose(np.diff(centers), 0.02)
    assert WAV2VEC2.rate == 50.0


def test_nearest_frame_stays_among_those_that_exist():
    assert WAV2VEC2.nearest_frame(0.0, 49) == 0
    assert WAV2VEC2.nearest_frame(99.0, 49) == 48
    assert WAV2VEC2.nearest_frame(0.0126, 49) == 0


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (math.nan, 1.0, "interval 'a' has a bound that is not a number: [nan, 1.0)"),
        (-0.1, 1.0, "interval 'a' starts before the audio: [-0.1, 1.0)"),
        (1.0, 1.0, "interval 'a' ends at or before its start: [1.0, 1.0)"),
    ],
)
def test_impossible_intervals_are_refused(start, end, message):
    with pytest.raises(ValueError) as raised:
        Interval(start, end, "a")
    assert str(raised.value) == message


def test_intervals_are_half_open():
    left, right = Interval(0.0, 0.5, "a"), Interval(0.5, 1.0, "b")
    assert not left.overlaps(right)
    assert 0.5 not in left
    assert 0.5 in right
