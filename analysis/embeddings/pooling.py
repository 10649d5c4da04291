"""From frames to one vector per token, on the device where the frames are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.errors import ConfigurationError
from analysis.timebase import FrameGrid

if TYPE_CHECKING:
    import torch

__all__ = ["POOLINGS", "Span", "frames_of", "pool", "pooled_dims", "require_pooling"]

#: Ways of pooling, by name.
POOLINGS = {
    "mean": "mean over the token's frames",
    "center": "the one frame nearest to the token's midpoint",
    "middle": "mean over the frames in the middle third; the center frame where there is none",
    "parts": "means over onset, nucleus and coda, one behind the other (3 x dims); an absent part is zeros",
    "max": "largest value of each dimension over the token's frames",
    "medoid": "the frame with the least summed L2 distance to the token's other frames, layer by layer",
}


@dataclass(frozen=True)
class Span:
    """Where a token lies, in seconds on the clock of the frames it is pooled from."""

    start: float
    nucleus_start: float
    coda_start: float
    end: float

    def shifted(self, by: float) -> Span:
        """The same span ``by`` seconds earlier, never before zero."""
        times = (self.start, self.nucleus_start, self.coda_start, self.end)
        return Span(*(max(0.0, time - by) for time in times))


def require_pooling(name: str) -> str:
    """``name`` if it is a way of pooling.

    Raises
    ------
    ConfigurationError
        With the list of ways otherwise.
    """
    if name not in POOLINGS:
        raise ConfigurationError(f"Pooling {name!r} is not known. Choose one of {', '.join(POOLINGS)}.")
    return name


def pooled_dims(name: str, dims: int) -> int:
    """Dimensions of a pooled vector of an encoder with ``dims``."""
    return 3 * dims if name == "parts" else dims


def pool(states: torch.Tensor, spans: Sequence[Span], grid: FrameGrid, pooling: str) -> tuple[torch.Tensor, list[int]]:
    """One vector per span and layer.

    Parameters
    ----------
    states : Tensor, shape (layers, frames, dims)
    spans : sequence of Span
    grid : FrameGrid
        Of ``states``.
    pooling : str
        A key of :data:`POOLINGS`.

    Returns
    -------
    vectors : Tensor, shape (len(spans), layers, pooled dims), float32
        Zeros where a span holds no frame.
    counts : list of int
        Frames whose centres lie in each span. Zero means that the token has no vector.
    """
    import torch

    n_layers, n_frames, dims = states.shape
    states = states.float()
    slices = [grid.frames(span.start, span.end, n_frames) for span in spans]
    counts = [part.stop - part.start for part in slices]
    if pooling in ("mean", "center", "middle", "parts"):
        # All of these are weighted sums over frames, so one matrix product serves every token and layer at once.
        blocks = 3 if pooling == "parts" else 1
        weights = torch.zeros(len(spans), blocks, n_frames)
        for row, (span, part) in enumerate(zip(spans, slices, strict=True)):
            if part.stop == part.start:
                continue
            for block, chosen in enumerate(_chosen(span, part, grid, n_frames, pooling)):
                if chosen.stop > chosen.start:
                    weights[row, block, chosen] = 1.0 / (chosen.stop - chosen.start)
        vectors = torch.einsum("nbt,ltd->nlbd", weights.to(states.device), states)
        return vectors.reshape(len(spans), n_layers, blocks * dims), counts
    vectors = states.new_zeros(len(spans), n_layers, dims)
    for row, part in enumerate(slices):
        if part.stop == part.start:
            continue
        frames = states[:, part]
        if pooling == "max":
            vectors[row] = frames.amax(dim=1)
        else:
            # In double precision, so that which frame wins does not hang on rounding.
            chosen = torch.cdist(frames.double(), frames.double()).sum(dim=2).argmin(dim=1)
            vectors[row] = frames[torch.arange(n_layers, device=frames.device), chosen]
    return vectors, counts


def frames_of(states: torch.Tensor, spans: Sequence[Span], grid: FrameGrid) -> list[torch.Tensor]:
    """The frames of each span, whose mean is the vector of pooling ``mean``: shape (layers, frames, dims), float32."""
    n_frames = states.shape[1]
    return [states[:, grid.frames(span.start, span.end, n_frames)].float() for span in spans]


def _chosen(span: Span, part: slice, grid: FrameGrid, n_frames: int, pooling: str) -> list[slice]:
    """The frames that enter each block of a token's vector."""
    if pooling == "mean":
        return [part]
    if pooling == "center":
        return [_nearest(0.5 * (span.start + span.end), part, grid, n_frames)]
    if pooling == "middle":
        third = (span.end - span.start) / 3
        middle = grid.frames(span.start + third, span.end - third, n_frames)
        return [middle] if middle.stop > middle.start else [_nearest(0.5 * (span.start + span.end), part, grid, n_frames)]
    blocks = []
    for start, end in ((span.start, span.nucleus_start), (span.nucleus_start, span.coda_start), (span.coda_start, span.end)):
        inside = grid.frames(start, end, n_frames)
        if inside.stop > inside.start or end - start < 1e-6:
            blocks.append(inside)
        else:  # a phone shorter than a hop may fall between two centres; it is heard in the nearest of the token's frames
            blocks.append(_nearest(0.5 * (start + end), part, grid, n_frames))
    return blocks


def _nearest(time: float, part: slice, grid: FrameGrid, n_frames: int) -> slice:
    """The frame of ``part`` nearest to ``time``."""
    frame = min(max(grid.nearest_frame(time, n_frames), part.start), part.stop - 1)
    return slice(frame, frame + 1)
