"""A small data set in the layout of BIWI, and the arguments that measure it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

N_VERTICES = 12
LIPS = [3, 4, 5, 6]
UPPER = [0, 1, 9]


@dataclass
class SmallSet:
    """Random smooth faces of two subjects, two clips each, and two runs."""

    folder: Path
    truths: dict[str, np.ndarray] = field(default_factory=dict)
    templates: dict[str, np.ndarray] = field(default_factory=dict)
    predictions: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def arguments(self, *more: str) -> list[str]:
        return [
            "table",
            *("--dataset", "biwi"),
            *("--truth", str(self.folder / "vertices_npy")),
            *("--templates", str(self.folder / "templates.pkl")),
            *("--lips", str(self.folder / "lve.txt")),
            *("--upper", str(self.folder / "fdd.txt")),
            *("--run", f"FaceFormer={self.folder / 'FaceFormer'}"),
            *("--run", f"FaceFormer+Wav2Sem={self.folder / 'FaceFormer+Wav2Sem'}"),
            *more,
        ]

    def truth_file(self, clip: str) -> Path:
        return self.folder / "vertices_npy" / f"{clip}.npy"

    def prediction_file(self, clip: str, run: str = "FaceFormer") -> Path:
        return self.folder / run / f"{clip}_condition_{clip.split('_')[0]}.npy"


def make_small_set(folder: Path, *, seed: int = 0, lengths=(7, 5, 6, 9)) -> SmallSet:
    rng = np.random.default_rng(seed)
    made = SmallSet(folder)
    (folder / "vertices_npy").mkdir(parents=True)
    for subject in ("F2", "M3"):
        made.templates[subject] = rng.normal(size=(N_VERTICES, 3))
    for clip, length in zip(("F2_e37", "F2_e38", "M3_e37", "M3_e38"), lengths, strict=True):
        motion = rng.normal(scale=0.1, size=(length, N_VERTICES, 3))
        made.truths[clip] = (made.templates[clip[:2]] + motion).astype(np.float32)
        np.save(made.truth_file(clip), made.truths[clip].reshape(length, -1))
    for run, noise in (("FaceFormer", 0.1), ("FaceFormer+Wav2Sem", 0.05)):
        (folder / run).mkdir()
        made.predictions[run] = {}
        for number, (clip, truth) in enumerate(made.truths.items()):
            predicted = (truth + rng.normal(scale=noise, size=truth.shape)).astype(np.float32)
            predicted = predicted[: len(predicted) - number % 2]  # every other one a frame short
            made.predictions[run][clip] = predicted
            np.save(made.prediction_file(clip, run), predicted.reshape(len(predicted), -1))
    (folder / "templates.pkl").write_bytes(pickle.dumps(made.templates))
    (folder / "lve.txt").write_text(", ".join(map(str, LIPS)))
    (folder / "fdd.txt").write_text(", ".join(map(str, UPPER)))
    return made


@pytest.fixture
def small_set(tmp_path: Path) -> SmallSet:
    return make_small_set(tmp_path / "biwi")
