"""A region given as a mask fits the mesh that it was made for, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import FaceError
from analysis.face.regions import read_region


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.array([True, False]),
            "Region mask.npy is a mask of 2 entries, but the meshes have 285 vertices. Give a mask with one entry per vertex, or the "
            "vertices' indices.",
        ),
        (
            np.arange(300) < 3,
            "Region mask.npy is a mask of 300 entries, but the meshes have 285 vertices. Give a mask with one entry per vertex, or "
            "the vertices' indices.",
        ),
        (
            np.ones((285, 1), dtype=bool),
            "Region mask.npy is a mask of shape (285, 1). Give a flat one, with one entry per vertex.",
        ),
        (
            (np.arange(285) < 3).astype(int),
            "Region mask.npy holds 285 entries that are all 0 or 1: likely a mask, and not the indices 0 and 1. Save it as booleans "
            "(mask.astype(bool)).",
        ),
    ],
)
def test_a_mask_has_one_entry_per_vertex(mask, message, tmp_path):
    np.save(tmp_path / "mask.npy", mask)
    with pytest.raises(FaceError) as raised:
        read_region(tmp_path / "mask.npy").check(285)
    assert str(raised.value) == message
