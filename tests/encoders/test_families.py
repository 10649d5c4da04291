"""Every family against transformers run on one clip at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.encoders import load_encoder
from tests.encoders.conftest import FAMILY_CONFIGS
from tests.reference.hidden_states import one_clip_states

TOLERANCE = 1e-5


def difference(found, expected) -> float:
    """Largest relative L2 difference of a frame."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_every_layer_equals_the_one_clip_result_whatever_the_batch(
    family: str, model_folder: Callable[[str], Path], clips: list[np.ndarray]
) -> None:
    folder = model_folder(family)
    encoder = load_encoder(str(folder), device="cpu")
    expected = [one_clip_states(folder, clip) for clip in clips]
    together = encoder.encode(clips)
    alone = [encoder.encode([clip])[0] for clip in clips]
    backwards = encoder.encode(clips[::-1])[::-1]
    for found in (together, alone, backwards):
        for states, reference in zip(found, expected, strict=True):
            assert states.shape[0] == encoder.card.layers and states.shape[2] == encoder.card.dims
            assert difference(states, reference) < TOLERANCE
    chosen = encoder.encode(clips[:2], layers=[2, 0])
    for states, reference in zip(chosen, expected, strict=False):
        assert difference(states, reference[[2, 0]]) < TOLERANCE
