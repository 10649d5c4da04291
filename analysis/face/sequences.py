"""Vertex sequences on disk: opened as memory maps, checked, brought to one frame rate and one length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import FaceError
from analysis.timebase import FrameGrid

__all__ = [
    "DEFAULT_TOLERANCE",
    "as_sequence",
    "at_rate",
    "chunks",
    "frame_grid",
    "matched_length",
    "open_array",
    "open_sequence",
    "read_obj_sequence",
]

#: Frames by which a prediction may be shorter or longer than the truth: encoders lose the last one or two (three seconds of audio
#: give 149 frames at 50 Hz, hence 89 at 30 fps and 74 at 25).
DEFAULT_TOLERANCE = 2

# About 4 MB of coordinates at once: larger pieces fall out of the processor's cache and run slower.
_CHUNK_BYTES = 4 << 20


def frame_grid(fps: int) -> FrameGrid:
    """The grid of video frames: frame ``t`` stands for ``[t / fps, (t + 1) / fps)`` and its centre is ``(t + 0.5) / fps``."""
    return FrameGrid(hop=2, first_center=1, sampling_rate=2 * fps)


def open_array(path: Path) -> np.ndarray:
    """The array in a .npy file as a read-only memory map; pickled objects are refused.

    Raises
    ------
    FaceError
        If the file is missing, truncated, no .npy file, or holds pickled objects.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            magic = stream.read(6)
    except OSError:
        raise FaceError(f"There is no file {path}.") from None
    if magic != b"\x93NUMPY":
        raise FaceError(f"{path} is no .npy file. Save the vertices with numpy.save.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "Python objects in dtype" in str(error):
            raise FaceError(
                f"{path} holds pickled Python objects, which could run code and are not loaded. Save the vertices as a "
                "plain array: "
                f"numpy.save(path, numpy.asarray(vertices, dtype='float32'))."
            ) from None
        raise FaceError(
            f"{path} cannot be read as a .npy file of its stated size; it has {path.stat().st_size:,} bytes. Was it cut "
            "short while being "
            f"written or copied? Write it again. ({error})"
        ) from None


def as_sequence(array: np.ndarray, n_vertices: int, name: str) -> np.ndarray:
    """A view of shape ``(T, V, 3)`` on vertices stored as ``(T, V * 3)``, ``(T, V, 3)`` or ``(1, T, V * 3)``.

    Raises
    ------
    FaceError
        If the shape does not fit ``n_vertices``, there is no frame, or the values are not real numbers.
    """
    if array.dtype.kind not in "fiu":
        raise FaceError(f"{name} holds values of type {array.dtype}, not coordinates. Save real numbers, such as float32.")
    shape = array.shape
    while array.ndim > 2 and array.shape[0] == 1 and array.shape[1:] != (n_vertices, 3):
        array = array[0]
    if array.ndim == 2 and array.shape[1] == 3 * n_vertices:
        array = array.reshape(len(array), n_vertices, 3)
    if array.ndim != 3 or array.shape[1:] != (n_vertices, 3):
        width = shape[-1] if shape else 0
        seen = shape[-2] if array.ndim == 3 and width == 3 else width / 3
        raise FaceError(
            f"{name} has shape {shape}, which is {seen:g} vertices a frame; the template has {n_vertices}. Expected (frames, "
            f"{3 * n_vertices}) or (frames, {n_vertices}, 3). Do the predictions belong to this data set (VOCASET has 5,023 "
            "vertices, "
            f"BIWI 23,370)?"
        )
    if len(array) == 0:
        raise FaceError(f"{name} has no frame.")
    return array


def open_sequence(path: Path, n_vertices: int) -> np.ndarray:
    """The sequence in a .npy file as a memory map of shape ``(T, V, 3)``."""
    return as_sequence(open_array(path), n_vertices, str(path))


def read_obj_sequence(folder: Path, n_vertices: int) -> np.ndarray:
    """The sequence in a folder of .obj meshes, one a frame in the order of their names, as VOCA writes them; float32."""
    files = sorted(folder.glob("*.obj"))
    frames = np.empty((len(files), n_vertices, 3), dtype=np.float32)
    for frame, file in zip(frames, files, strict=True):
        rows = [line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("v ")]
        if len(rows) != n_vertices:
            raise FaceError(f"{file} has {len(rows)} vertices; the template has {n_vertices}. Does it belong to this data set?")
        try:
            frame[:] = np.array(" ".join(rows).split(), dtype=np.float64).reshape(n_vertices, -1)[:, :3]
        except ValueError:
            raise FaceError(f"{file} has a vertex line that is not three numbers.") from None
    if not files:
        raise FaceError(f"{folder} holds no .obj file.")
    return frames


def at_rate(sequence: np.ndarray, fps: int, target: int, name: str) -> np.ndarray:
    """Every k-th frame, so that ``fps`` becomes ``target``, as a view; a few missing frames a second are interpolated linearly.

    24 becomes 25; other rates that are no whole multiple are not guessed.

    Raises
    ------
    FaceError
        If ``fps`` is neither a whole multiple of ``target`` nor 24 for 25.
    """
    if (fps, target) == (24, 25):
        return _stretched(sequence, max(1, round(len(sequence) * target / fps)))
    if fps % target:
        raise FaceError(
            f"{name} has {fps} frames a second, which cannot be brought to {target} by leaving frames out. Give the right "
            "rate, or resample the sequence."
        )
    return sequence[:: fps // target]


def _stretched(sequence: np.ndarray, count: int) -> np.ndarray:
    """``count`` frames spread over the same time, interpolated between the centres of the frames there are."""
    places = (np.arange(count) + 0.5) * len(sequence) / count - 0.5
    places = np.clip(places, 0, len(sequence) - 1)
    low = np.minimum(places.astype(int), max(len(sequence) - 2, 0))
    high = np.minimum(low + 1, len(sequence) - 1)
    share = (places - low).astype(sequence.dtype if sequence.dtype.kind == "f" else np.float64)[:, None, None]
    return sequence[low] * (1 - share) + sequence[high] * share


def matched_length(prediction: np.ndarray, truth: np.ndarray, *, tolerance: int, fps: int, name: str) -> tuple[int, int]:
    """Frames that both have, and the prediction's surplus (negative when it is shorter).

    Raises
    ------
    FaceError
        If they differ by more than ``tolerance`` frames; where the ratio is that of two common frame rates the message says so.
    """
    gap = len(prediction) - len(truth)
    if abs(gap) > tolerance:
        cause = "Does the prediction belong to another clip, or was its audio cut?"
        rates = [(60, 30), (60, 25), (50, 25), (30, 25), (24, 25), (24, 30), (30, 60), (25, 60), (25, 50), (25, 30), (25, 24)]
        high, low = min(rates, key=lambda pair: abs(len(prediction) - len(truth) * pair[0] / pair[1]))
        if abs(len(prediction) - len(truth) * high / low) <= tolerance + 1:
            cause = (
                f"The ratio is that of {high} to {low} frames a second: are the frame rates right? State them with "
                "--prediction-fps and --truth-fps."
            )
            if (high, low) == (24, 25):
                cause = (
                    "The ratio is that of 24 to 25 frames a second: LG-LDM writes int(seconds x 24) frames on BIWI, and its own "
                    f"evaluation compares them frame by frame with the first of the truth: --tolerance {abs(gap)} does so. If the "
                    "frames are 24 a second in time, state --prediction-fps 24 and they are brought to 25."
                )
        raise FaceError(
            f"{name}: the prediction has {len(prediction)} frames and the truth {len(truth)} at {fps} frames a second, a gap of "
            f"{abs(gap)} where {tolerance} is allowed (--tolerance). {cause}"
        )
    return min(len(prediction), len(truth)), gap


def chunks(n_frames: int, n_vertices: int, itemsize: int = 4) -> Iterator[slice]:
    """Slices of frames that together are all of them, each a few megabytes."""
    step = max(1, _CHUNK_BYTES // (n_vertices * 3 * itemsize))
    for start in range(0, n_frames, step):
        yield slice(start, min(start + step, n_frames))


def where_not_finite(array: np.ndarray) -> str:
    """First frame and vertex of ``(T, V, 3)`` that holds a NaN or an infinity, in words; empty if there is none."""
    for part in chunks(len(array), array.shape[1], array.itemsize):
        bad = ~np.isfinite(np.asarray(array[part])).all(axis=2)
        if bad.any():
            frame, vertex = np.argwhere(bad)[0]
            return f"frame {part.start + int(frame)}, vertex {int(vertex)}"
    return ""


def plain(value: Any) -> np.ndarray:
    """A tensor or array as an array."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
