"""The best path of a token sequence through the frames of a CTC model: exact, for several utterances at a time.

An own Viterbi, equal to ``torchaudio.functional.forced_align`` where that exists: torchaudio is not published for every release
of torch, and alignments must not depend on whether it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["best_paths", "least_frames"]


def least_frames(tokens: Sequence[int]) -> int:
    """Frames that a token sequence needs at the least: one each, and one blank between two equal neighbours."""
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


def best_paths(
    log_probs: torch.Tensor, lengths: Sequence[int], targets: Sequence[Sequence[int]], blank: int
) -> list[np.ndarray | None]:
    """For each utterance, which token each frame belongs to on the most probable path.

    Parameters
    ----------
    log_probs : Tensor
        ``(utterances, frames, vocabulary)``, float; frames beyond an utterance's length are not looked at.
    lengths : sequence of int
        Frames of each utterance.
    targets : sequence of sequence of int
        Token ids of each utterance, none of them the blank, at least one.
    blank : int

    Returns
    -------
    list of ndarray or None
        ``(length,)`` int64: the place in ``targets`` of the token that the frame says, -1 for blanks; None where no path exists,
        because there are too few frames or a token is impossible.

    Notes
    -----
    The states are blank, t1, blank, t2, ..., blank. A path moves on by one state, or by two when it leaves out a blank between
    two different tokens (Graves et al. 2006); the work is frames times states, with all states and utterances of a frame at once.

    References
    ----------
    Graves, Fernández, Gomez, Schmidhuber (2006), Connectionist temporal classification, ICML.
    """
    import torch

    device, n = log_probs.device, len(targets)
    states = 2 * max(map(len, targets)) + 1
    labels = torch.full((n, states), blank, dtype=torch.long)
    skips = torch.zeros((n, states), dtype=torch.bool)
    for row, tokens in enumerate(targets):
        labels[row, 1 : 2 * len(tokens) : 2] = torch.tensor(list(tokens))
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    labels, skips = labels.to(device), skips.to(device)
    ends = torch.tensor(list(lengths), device=device)

    lowest = torch.full((n, 2), -torch.inf, device=device, dtype=log_probs.dtype)
    score = torch.full((n, states), -torch.inf, device=device, dtype=log_probs.dtype)
    score[:, :2] = log_probs[:, 0].gather(1, labels[:, :2])
    steps = torch.zeros((int(max(lengths)), n, states), dtype=torch.int8, device=device)
    for frame in range(1, int(max(lengths))):
        padded = torch.cat([lowest, score], dim=1)
        before = torch.stack([score, padded[:, 1:-1], padded[:, :-2].masked_fill(~skips, -torch.inf)])
        best, step = before.max(dim=0)
        going = (frame < ends)[:, None]
        score = torch.where(going, best + log_probs[:, frame].gather(1, labels), score)
        steps[frame] = torch.where(going, step, 0).to(torch.int8)
    return [
        _traced(steps[: lengths[row], row].cpu().numpy(), score[row].cpu().numpy(), len(tokens))
        for row, tokens in enumerate(targets)
    ]


def _traced(steps: np.ndarray, score: np.ndarray, n_tokens: int) -> np.ndarray | None:
    """The path back from the better of the two last states."""
    last = 2 * n_tokens
    state = last if score[last] > score[last - 1] else last - 1
    if not np.isfinite(score[state]):
        return None
    path = np.empty(len(steps), dtype=np.int64)
    for frame in range(len(steps) - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    return np.where(path % 2 == 1, path // 2, -1)
