"""Moving faces as people look at them: shaded, side by side, lips close up, error as heat; as mp4 with sound, or as gif.

Pictures are drawn here, in NumPy: no display and no graphics driver is needed. mp4 needs an ``ffmpeg`` on the PATH with an H.264 encoder;
none is installed with this toolkit, because those that can be had from PyPI hold GPL encoders.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from analysis.errors import ConfigurationError, FaceError

__all__ = ["Panel", "can_write_mp4", "frame_pictures", "gif_delays", "rasterise", "write_animation"]

_BACKGROUND = 255
_LIGHT = np.array([-0.35, 0.45, 0.82])
# H.264 encoders by preference: the first that the ffmpeg at hand has is used.
_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc", "h264_mf", "h264_v4l2m2m")


@dataclass(frozen=True)
class Panel:
    """One face of a picture.

    Attributes
    ----------
    vertices : ndarray, shape (T, V, 3)
        x to the right, y up, z towards the viewer.
    title : str
    heat : ndarray or None, shape (T, V)
        Coloured from grey (0) to red (the largest of all panels).
    """

    vertices: np.ndarray
    title: str = ""
    heat: np.ndarray | None = None


def rasterise(vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, size: int, window: np.ndarray) -> np.ndarray:
    """A picture of a shaded mesh seen from the front, ``(size, size, 3)`` uint8: orthographic, with a depth buffer.

    Parameters
    ----------
    vertices : ndarray, shape (V, 3)
    faces : ndarray, shape (F, 3)
    colours : ndarray, shape (V, 3)
        From 0 to 1, mixed over each triangle.
    size : int
        Pixels.
    window : ndarray, shape (2, 2)
        Lower left and upper right corner of what is seen.

    Notes
    -----
    Every triangle is sampled at the pixel centres of its bounding box, triangles of like size together; of all samples of a pixel the
    nearest one is kept.
    """
    scale = size / (window[1] - window[0]).max()
    at = np.asarray(vertices, np.float64)
    screen = (at[:, :2] - window[0]) * scale
    a, b, c = (screen[faces[:, corner]] for corner in range(3))
    low = np.floor(np.minimum(np.minimum(a, b), c) - 0.5).astype(int) + 1
    high = np.ceil(np.maximum(np.maximum(a, b), c) - 0.5).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, size)
    extent = (high - low).max(axis=1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    seen = np.flatnonzero((extent > 0) & ((high - low) > 0).all(axis=1) & (np.abs(area) > 1e-12))
    pixels, depths, shades = [], [], []
    for side in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
        group = seen[(extent[seen] <= side) & (extent[seen] > side // 2 * (side > 2))]
        if len(group) == 0:
            continue
        for start in range(0, len(group), max(1, (1 << 20) // side**2)):
            rows = group[start : start + max(1, (1 << 20) // side**2)]
            steps = np.arange(side)
            x, y = low[rows, 0, None, None] + steps[None, None, :], low[rows, 1, None, None] + steps[None, :, None]
            inside = (x < high[rows, 0, None, None]) & (y < high[rows, 1, None, None])
            px, py = x + 0.5, y + 0.5
            (ax, ay), (bx, by), (cx, cy) = (corner[rows].T[:, :, None, None] for corner in (a, b, c))
            whole = area[rows, None, None]
            wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) / whole
            wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / whole
            wa = 1 - wb - wc
            inside = inside & (wa >= -1e-9) & (wb >= -1e-9) & (wc >= -1e-9)
            which, at_y, at_x = np.nonzero(inside)
            weights = np.stack([w[which, at_y, at_x] for w in (wa, wb, wc)], axis=1)
            corners = faces[rows[which]]
            pixels.append((size - 1 - y[which, at_y, 0]) * size + x[which, 0, at_x])
            depths.append((weights * at[corners, 2]).sum(axis=1))
            shades.append((weights[:, :, None] * colours[corners]).sum(axis=1))
    picture = np.full((size * size, 3), _BACKGROUND, np.uint8)
    if pixels:
        pixel, depth = np.concatenate(pixels), np.concatenate(depths)
        order = np.argsort(depth, kind="stable")  # of what is written twice, the last and nearest stays
        picture[pixel[order]] = np.clip(np.concatenate(shades)[order] * 255 + 0.5, 0, 255).astype(np.uint8)
    return picture.reshape(size, size, 3)


def _shaded(vertices: np.ndarray, faces: np.ndarray, heat: np.ndarray | None) -> np.ndarray:
    """Colours of the vertices, ``(V, 3)``: grey by the angle of their normals to the light, reddened by heat (0 to 1)."""
    corners = np.asarray(vertices, np.float64)[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth = np.zeros((len(vertices), 3))
    for axis in range(3):
        smooth[:, axis] = sum(
            np.bincount(faces[:, corner], weights=normals[:, axis], minlength=len(vertices)) for corner in range(3)
        )
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)
    smooth[smooth[:, 2] < 0] *= -1  # triangles may turn either way
    light = 0.25 + 0.7 * np.clip(smooth @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    if heat is None:
        return light[:, None] * np.array([0.93, 0.9, 0.87])
    share = np.clip(heat, 0, 1)[:, None]
    return light[:, None] * ((1 - share) * np.array([0.9, 0.9, 0.9]) + share * np.array([1.0, 0.15, 0.1]))


def _points(vertices: np.ndarray, colours: np.ndarray, size: int, window: np.ndarray) -> np.ndarray:
    """Vertices as small squares, the nearest on top."""
    scale = size / (window[1] - window[0]).max()
    order = np.argsort(vertices[:, 2], kind="stable")
    at = np.floor((np.asarray(vertices, np.float64)[order, :2] - window[0]) * scale).astype(int)
    picture = np.full((size, size, 3), _BACKGROUND, np.uint8)
    reach = max(1, size // 120)
    for dy in range(reach):
        for dx in range(reach):
            x, y = at[:, 0] + dx, size - 1 - at[:, 1] + dy
            good = (x >= 0) & (x < size) & (y >= 0) & (y < size)
            picture[y[good], x[good]] = (colours[order][good] * 255).astype(np.uint8)
    return picture


def frame_pictures(
    panels: Sequence[Panel],
    *,
    faces: np.ndarray | None = None,
    size: int = 240,
    close_up: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Pictures of all panels side by side, one a frame, ``(height, width, 3)`` uint8; height and width are even.

    Parameters
    ----------
    panels : sequence of Panel
        Of one mesh; the shortest gives the number of frames.
    faces : ndarray, shape (F, 3), optional
        Triangles; points without them.
    size : int
        Pixels of a panel's side.
    close_up : ndarray of int, optional
        Vertices to look at, such as the lips: the window is theirs in the first frame, half as large again.

    Raises
    ------
    FaceError
        If panels have different meshes, or the triangles name a vertex that is not there.
    """
    if not panels:
        raise FaceError("There is no sequence to draw.")
    n_vertices = panels[0].vertices.shape[1]
    for panel in panels[1:]:
        if panel.vertices.shape[1] != n_vertices:
            raise FaceError(
                f"Sequences of {n_vertices} and of {panel.vertices.shape[1]} vertices cannot stand side by side. Draw them apart."
            )
    for name, indices in (("triangles name", faces), ("close-up names", close_up)):
        if indices is not None and indices.max() >= n_vertices:
            raise FaceError(f"The {name} vertex {indices.max()}, but the meshes have {n_vertices} vertices. Give their own.")
    size += size % 2
    n_frames = min(len(panel.vertices) for panel in panels)
    windows = [_window(panel.vertices, close_up) for panel in panels]
    hottest = max([float(panel.heat.max()) for panel in panels if panel.heat is not None] + [0.0]) or 1.0
    titles = [_title(panel.title, size) for panel in panels] if any(panel.title for panel in panels) else None
    for frame in range(n_frames):
        row = []
        for panel, window in zip(panels, windows, strict=True):
            vertices = np.asarray(panel.vertices[frame], np.float64)
            heat = None if panel.heat is None else panel.heat[frame] / hottest
            if faces is None:
                depth = vertices[:, 2]
                grey = 0.2 + 0.6 * (depth - depth.min()) / (np.ptp(depth) or 1.0)
                colours = np.repeat(grey[:, None], 3, axis=1)
                row.append(_points(vertices, colours, size, window))
            else:
                row.append(rasterise(vertices, faces, _shaded(vertices, faces, heat), size, window))
        picture = np.concatenate(row, axis=1)
        yield picture if titles is None else np.concatenate([np.concatenate(titles, axis=1), picture])


def _window(vertices: np.ndarray, close_up: np.ndarray | None) -> np.ndarray:
    """A square that holds all that is to be seen, with a margin."""
    if close_up is None:
        low, high = vertices[..., :2].min(axis=(0, 1)), vertices[..., :2].max(axis=(0, 1))
        margin = 1.04
    else:
        seen = vertices[0][np.unique(close_up), :2]
        low, high, margin = seen.min(axis=0), seen.max(axis=0), 1.5
    middle = (np.asarray(low, np.float64) + high) / 2
    half = float(np.max(np.asarray(high, np.float64) - low)) / 2 * margin or 1.0
    return np.stack([middle - half, middle + half])


def _title(text: str, width: int) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    height = max(16, width // 12) // 2 * 2
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=height * 0.7)
    draw.text((width / 2, height / 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(image)


def gif_delays(n_frames: int, fps: float) -> list[int]:
    """Delays in ms that a gif can hold (whole hundredths of a second): they alternate, so that none of the time is lost."""
    ends = np.floor(100 * np.arange(n_frames + 1) / fps + 0.5).astype(int)
    return (10 * np.maximum(np.diff(ends), 1)).tolist()


@cache
def _h264(ffmpeg: str) -> str:
    listed = subprocess.run([ffmpeg, "-hide_banner", "-encoders"], capture_output=True, text=True).stdout
    names = {line.split()[1] for line in listed.splitlines() if len(line.split()) > 1}
    return next((name for name in _ENCODERS if name in names), "")


def can_write_mp4() -> bool:
    """Whether there is an ffmpeg with an H.264 encoder on the PATH."""
    ffmpeg = shutil.which("ffmpeg")
    return bool(ffmpeg and _h264(ffmpeg))


def write_animation(
    pictures: Iterator[np.ndarray], path: str | Path, *, fps: float, n_frames: int, audio: str | Path | None = None
) -> Path:
    """Write pictures as .mp4 (H.264, yuv420p, plays in browsers; with sound if given) or as .gif; returns the path.

    Parameters
    ----------
    pictures : iterator of ndarray, shape (height, width, 3), uint8
        Height and width even.
    path : str or Path
    fps : float
    n_frames : int
        How many there are: sound is cut or filled with silence to as long.
    audio : str or Path, optional
        A recording that begins with the first frame.

    Raises
    ------
    FaceError
        If the ending is another, the sound is missing or is for a gif, or ffmpeg fails.
    ConfigurationError
        If there is no ffmpeg, or it has no H.264 encoder.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise FaceError(f"A sequence is drawn as .mp4 or .gif, not as {path.suffix or 'a file without ending'}: {path}.")
    if audio is not None and not Path(audio).is_file():
        raise FaceError(f"There is no recording {audio}.")
    if path.suffix.lower() == ".gif":
        if audio is not None:
            raise FaceError(f"A gif has no sound. Name the result {path.with_suffix('.mp4').name}, or leave --audio out.")
        from PIL import Image

        images = [Image.fromarray(picture) for picture in pictures]
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(path, save_all=True, append_images=images[1:], duration=gif_delays(len(images), fps), loop=0)
        return path
    ffmpeg = shutil.which("ffmpeg")
    encoder = _h264(ffmpeg) if ffmpeg else ""
    if not encoder:
        what = "there is no ffmpeg on the PATH" if ffmpeg is None else f"{ffmpeg} has no H.264 encoder"
        raise ConfigurationError(
            f"mp4 needs ffmpeg with an H.264 encoder, and {what}. Install it (apt-get install ffmpeg, conda install -c conda-forge "
            f"ffmpeg), or name the result {path.with_suffix('.gif').name}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = iter(pictures)
    first = next(pictures)
    height, width = first.shape[:2]
    command = [
        ffmpeg,
        "-y",
        "-loglevel",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
        "-r",
        f"{fps:g}",
    ]
    command += ["-i", "-"]
    if audio is not None:
        command += ["-i", str(audio), "-map", "0:v", "-map", "1:a", "-af", "apad", "-c:a", "aac", "-t", f"{n_frames / fps:.6f}"]
    command += ["-c:v", encoder, "-pix_fmt", "yuv420p", "-r", f"{fps:g}", "-movflags", "+faststart", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for picture in chain([first], pictures):
            process.stdin.write(np.ascontiguousarray(picture).tobytes())
    except BrokenPipeError:
        pass  # ffmpeg ended early; what it says follows
    _, said = process.communicate()
    if process.returncode:
        last = (said.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"])[-1]
        raise FaceError(f"ffmpeg could not write {path}: {last}")
    return path
