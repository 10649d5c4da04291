"""What belongs to all frames of an utterance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["UtteranceFrames"]


@dataclass(frozen=True)
class UtteranceFrames:
    """What must be known of all frames of each utterance to make every variant without a second pass.

    Attributes
    ----------
    utterances : tuple of str
        Ids, in the order of the arrays.
    n_frames : ndarray, shape (U,), int64
    mean : ndarray, shape (U, layers, dims), float32
        Mean over the utterance's frames: what utterance centring removes.
    frame_norm : ndarray, shape (U, layers), float32
        Mean L2 norm of the utterance's frames: what the size of an added vector is stated against.
    """

    utterances: tuple[str, ...]
    n_frames: np.ndarray
    mean: np.ndarray
    frame_norm: np.ndarray

    def of(self, utterances: Iterable[str]) -> UtteranceFrames:
        """Those of the given utterances, in the order in which they are here."""
        wanted = set(utterances)
        rows = np.flatnonzero([name in wanted for name in self.utterances])
        return UtteranceFrames(
            utterances=tuple(self.utterances[row] for row in rows),
            n_frames=self.n_frames[rows],
            mean=self.mean[rows],
            frame_norm=self.frame_norm[rows],
        )
