"""Figures of measured runs, drawn without a display: lip error over time, and where on the face the error sits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import FaceError
from analysis.face.evaluation import RunMeasures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_lip_error", "draw_vertex_error", "read_faces"]

# Okabe and Ito's colours, told apart by everyone.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_lip_error(
    runs: Sequence[RunMeasures],
    folder: str | Path,
    *,
    clip: str | None = None,
    intervals: Mapping[str, Sequence[tuple[float, float, str]]] | None = None,
) -> list[Path]:
    """Error of the worst lip vertex in each frame of one clip, a panel per method with its runs in it; returns the files written.

    Parameters
    ----------
    runs : sequence of RunMeasures
        Runs that share the name before a plus sign share a panel.
    folder : str or Path
    clip : str, optional
        By default the clip whose error is the median one under the first run.
    intervals : mapping of str to sequence of (start, end, label), optional
        Stretches to shade, s, by clip.
    """
    rows = sorted(runs[0].per_clip(), key=lambda row: row["lve"])
    clip = clip or str(rows[len(rows) // 2]["clip"])
    methods: dict[str, list[RunMeasures]] = {}
    for run in runs:
        methods.setdefault(run.run.name.partition("+")[0].strip(), []).append(run)
    columns = min(len(methods), 2)
    lines = -(-len(methods) // columns)
    figure = _figure(5.2 * columns, 2.1 * lines + 0.5)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for panel in list(panels.flat)[len(methods) :]:
        panel.set_axis_off()
    for panel, (method, group) in zip(panels.flat, methods.items(), strict=False):
        for start, end, label in (intervals or {}).get(clip, ()):
            panel.axvspan(start, end, color="0.92")
            panel.text((start + end) / 2, 0.98, label, transform=panel.get_xaxis_transform(), ha="center", va="top", fontsize=6)
        for number, run in enumerate(group):
            chosen = [row for row in run.rows if row.clip == clip]
            if not chosen:
                raise FaceError(f"{run.run.name} has no measured clip {clip}.")
            length = min(len(row.lip_errors) for row in chosen)
            errors = np.sqrt(np.mean([row.lip_errors[:length] for row in chosen], axis=0))
            times = (np.arange(length) + 0.5) / run.truth.fps
            name = run.run.name.removeprefix(method) or "without"
            panel.plot(times, errors, label=name, linewidth=1, color=_COLOURS[number % len(_COLOURS)])
        panel.set_title(method, fontsize=8)
        panel.legend(fontsize=6)
    figure.suptitle(f"Lip error, {clip}", fontsize=9)
    figure.supxlabel("time (s)", fontsize=8)
    figure.supylabel(f"worst lip vertex ({runs[0].truth.dataset.units})", fontsize=8)
    path = Path(folder) / f"lip_error_{clip}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return [path]


def draw_vertex_error(runs: Sequence[RunMeasures], folder: str | Path, *, faces: np.ndarray | None = None) -> Path:
    """Mean error of every vertex over all frames, seen from the front, one face per run on a shared scale; returns the file.

    Parameters
    ----------
    runs : sequence of RunMeasures
    folder : str or Path
    faces : ndarray, shape (n, 3), optional
        Triangles; without them vertices are drawn as points.
    """
    columns = min(len(runs), 4)
    lines = -(-len(runs) // columns)
    figure = _figure(2.6 * columns + 0.8, 3.2 * lines)
    panels = figure.subplots(lines, columns, squeeze=False)
    highest = max(float(run.vertex_error.max()) for run in runs) or 1.0
    drawn = None
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, run in zip(panels.flat, runs, strict=False):
        neutral = next(iter(run.truth.templates.values()))
        drawn = _draw_face(panel, neutral, run.vertex_error, faces, highest)
        panel.set_title(run.run.name, fontsize=8)
    figure.colorbar(drawn, ax=panels, label=f"mean distance ({runs[0].truth.dataset.units})", shrink=0.8)
    path = Path(folder) / "vertex_error.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _draw_face(panel, vertices: np.ndarray, values: np.ndarray, faces: np.ndarray | None, highest: float):
    panel.set_aspect("equal")
    if faces is None:
        order = np.argsort(vertices[:, 2])
        size = max(0.5, 2500 / len(vertices))
        return panel.scatter(
            vertices[order, 0], vertices[order, 1], c=values[order], s=size, vmin=0, vmax=highest, cmap="viridis", linewidths=0
        )
    if faces.max() >= len(vertices):
        raise FaceError(
            f"The triangles name vertex {faces.max()}, but the meshes have {len(vertices)} vertices. Give their own triangles."
        )
    near = faces[np.argsort(vertices[faces, 2].mean(axis=1))]
    return panel.tripcolor(
        vertices[:, 0], vertices[:, 1], near, facecolors=values[near].mean(axis=1), vmin=0, vmax=highest, cmap="viridis"
    )


def read_faces(path: str | Path) -> np.ndarray:
    """Triangles of a mesh, shape ``(n, 3)``, counted from 0: from .obj, .ply (text or binary), or an integer .npy.

    Raises
    ------
    FaceError
        If the file is missing, holds no triangle, or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FaceError(f"There is no mesh file {path}.")
    if path.suffix == ".npy":
        from analysis.face.sequences import open_array

        faces = np.asarray(open_array(path))
    elif path.suffix == ".obj":
        corners = (line.split()[1:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("f "))
        polygons = [[int(corner.split("/")[0]) - 1 for corner in face] for face in corners]
        faces = np.array([(p[0], p[i], p[i + 1]) for p in polygons for i in range(1, len(p) - 1)], dtype=np.int64)
    else:
        faces = _ply_faces(path)
    if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0 or faces.dtype.kind not in "iu":
        raise FaceError(
            f"{path} holds no triangles: shape {faces.shape} of {faces.dtype}; expected whole numbers of shape (n, 3)."
        )
    return faces.astype(np.int64)


def _ply_faces(path: Path) -> np.ndarray:
    """Triangles of a .ply in the file's own order of vertices; polygons are cut into triangles."""
    import trimesh

    if path.suffix.lower() != ".ply":
        raise FaceError(f"{path} is no mesh that can be read. Give .obj, .ply, or triangles as an integer .npy.")
    try:
        with path.open("rb") as stream:
            mesh = trimesh.load(stream, file_type="ply", process=False)
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FaceError(f"{path} cannot be read as .ply ({first}). Was it cut short? Save it again, or as .obj.") from None
    faces = np.asarray(getattr(mesh, "faces", np.zeros((0, 3), np.int64)))
    stated = re.search(rb"element face (\d+)", path.read_bytes()[:4096])
    if stated and len(faces) < int(stated[1]):
        raise FaceError(f"{path} states {int(stated[1])} faces and holds {len(faces)}. Was it cut short? Save it again.")
    return faces
