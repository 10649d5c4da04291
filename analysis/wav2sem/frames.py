"""Hidden states of a host encoder on disk, averaged over time: all that the training of a shared module needs.

Encoding is most of the cost of training, and it is the same in every epoch; so it is done once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import Failure, SemanticsError
from analysis.guard import attempt

if TYPE_CHECKING:
    import torch

    from analysis.encoders.types import Encoder

__all__ = ["FrameCache", "Recorded", "write_frames"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """What was said in a clip, and when.

    Attributes
    ----------
    key : str
        Names the clip, so that a killed run knows what it has.
    sentences : tuple of str
    spans : tuple of (start, end)
        Of every sentence, s.
    """

    key: str
    sentences: tuple[str, ...]
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FrameCache:
    """Averaged hidden states of clips: one flat file of fp16 frames and one line of JSON per clip.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    @property
    def settings(self) -> dict:
        """``host``, ``layers``, ``stride``, ``dims`` and ``rate`` (averaged frames per second)."""
        path = self.folder / "settings.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise SemanticsError(f"{self.folder} is no cache of frames: {path.name} cannot be read ({error}).") from error

    def rows(self) -> list[dict]:
        """Per clip: ``start`` and ``frames`` in the flat file, ``seconds``, ``sentences``, and the frames that ``spans`` each."""
        path = self.folder / "clips.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may have cut the last line

    def frames(self) -> np.ndarray:
        """Memory-mapped frames of all clips one after the other, shape ``(frames, layers, dims)``, fp16."""
        settings = self.settings
        shape = (len(settings["layers"]), settings["dims"])
        flat = np.memmap(self.folder / "frames.f16", np.float16, mode="r")
        whole = len(flat) // (shape[0] * shape[1])
        return flat[: whole * shape[0] * shape[1]].reshape(whole, *shape)


def write_frames(
    clips: Iterable[tuple[Recorded, np.ndarray]],
    encoder: Encoder,
    folder: Path,
    *,
    layers: Sequence[int],
    stride: int = 4,
    total: int | None = None,
    progress: bool = True,
) -> FrameCache:
    """Encode clips and append their averaged hidden states to the cache.

    Parameters
    ----------
    clips : iterable of (Recorded, waveform)
        At the encoder's rate. Leave out those whose keys the cache holds: see :func:`keys`.
    encoder : Encoder
        The host.
    folder : Path
        Made when missing. Clips are appended; what a killed run left half-written is overwritten.
    layers : sequence of int
        Hidden states to keep.
    stride : int
        Frames averaged into one.
    total : int, optional
        Of the progress bar.

    Notes
    -----
    A clip that cannot be encoded, or whose states are not finite, is logged and left out.
    """
    import torch
    from tqdm import tqdm

    from analysis.wav2sem.module import averaged

    folder.mkdir(parents=True, exist_ok=True)
    card = encoder.card
    rate = card.grid.rate / stride
    settings = {
        "host": f"{card.name}@{card.revision}",
        "layers": list(layers),
        "stride": stride,
        "dims": card.dims,
        "rate": rate,
    }
    cache = FrameCache(folder)
    told = folder / "settings.json"
    if told.exists() and cache.settings != settings:
        raise SemanticsError(
            f"{folder} holds frames made with {cache.settings}, not with {settings}. Choose another folder, or remove this one."
        )
    told.write_text(json.dumps(settings), encoding="utf-8")
    rows = cache.rows()
    at = rows[-1]["start"] + rows[-1]["frames"] if rows else 0
    (folder / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    size = len(layers) * card.dims * 2

    def states_of(wave: np.ndarray) -> torch.Tensor:
        means = averaged(encoder.encode([wave], layers=layers)[0].float(), stride).cpu().to(torch.float16)
        if not torch.isfinite(means).all():
            raise SemanticsError(f"{card.name} gives values that are NaN, infinite or too large for 16 bits.")
        return means

    with (
        (folder / "frames.f16").open("r+b" if at else "wb") as flat,
        (folder / "clips.jsonl").open("a", encoding="utf-8") as index,
    ):
        flat.truncate(at * size)
        flat.seek(at * size)
        for clip, wave in tqdm(clips, total=total, unit="clip", desc=folder.name, disable=None if progress else True):
            means = attempt("semantics", clip.key, partial(states_of, wave), "Leave it out.")
            if isinstance(means, Failure):
                log.warning("left out: %s: %s", means.item, means.reason)
                continue
            flat.write(means.transpose(0, 1).contiguous().numpy().tobytes())
            flat.flush()
            frames = means.shape[1]
            spans = [[int(start * rate), min(frames, int(np.ceil(end * rate)) + 1)] for start, end in clip.spans]
            row = {"key": clip.key, "start": at, "frames": frames, "seconds": round(len(wave) / card.grid.sampling_rate, 3)}
            index.write(json.dumps(row | {"sentences": list(clip.sentences), "spans": spans}) + "\n")
            index.flush()
            at += frames
    return cache


def keys(folder: Path) -> set[str]:
    """Keys of the clips that a cache holds; none where there is no cache."""
    return {row["key"] for row in FrameCache(folder).rows()}
