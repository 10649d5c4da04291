"""Named sets of mesh vertices: which vertices are lips is the largest unspoken difference between published numbers."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import FaceError

__all__ = ["Region", "read_region"]


@dataclass(frozen=True, eq=False)
class Region:
    """Vertices of a mesh under a name, with a fingerprint.

    Attributes
    ----------
    name : str
        ``lve.txt``, ``FLAME_masks.pkl:lips``, ...
    indices : ndarray, shape (n,), int64
        In the order of the file; repeated entries are kept, since published means count them twice.
    mask_length : int, optional
        Entries of the mask that it was made from: as many as the mesh must have vertices.

    Raises
    ------
    FaceError
        If it is empty or holds a negative index.
    """

    name: str
    indices: np.ndarray
    mask_length: int | None = None

    def __post_init__(self) -> None:
        indices = np.asarray(self.indices)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise FaceError(
                f"Region {self.name} must be a flat list of whole numbers, not {indices.dtype} of shape {indices.shape}. "
                f"Give vertex indices, counted from 0."
            )
        if len(indices) == 0:
            raise FaceError(f"Region {self.name} holds no vertex. Give the file that lists the vertices' indices.")
        if indices.min() < 0:
            raise FaceError(f"Region {self.name} holds the index {indices.min()}. Indices count from 0.")
        object.__setattr__(self, "indices", indices.astype(np.int64))

    @property
    def size(self) -> int:
        """Number of entries, repeated ones included."""
        return len(self.indices)

    @property
    def n_unique(self) -> int:
        """Number of different vertices."""
        return len(np.unique(self.indices))

    @property
    def sha1(self) -> str:
        """SHA-1 of the sorted indices, repeated ones included, in decimal and joined by commas, whatever the file's format."""
        text = ",".join(map(str, np.sort(self.indices).tolist()))
        return hashlib.sha1(text.encode("ascii"), usedforsecurity=False).hexdigest()

    def check(self, n_vertices: int) -> None:
        """Raise FaceError if the region does not fit a mesh of ``n_vertices``."""
        if self.mask_length not in (None, n_vertices):
            raise FaceError(
                f"Region {self.name} is a mask of {self.mask_length} entries, but the meshes have {n_vertices} vertices. Give a mask "
                "with one entry per vertex, or the vertices' indices."
            )
        largest = int(self.indices.max())
        if largest >= n_vertices:
            raise FaceError(
                f"Region {self.name} names vertex {largest}, but the meshes have {n_vertices} vertices (0 to {n_vertices - 1}). "
                f"Is the region of another mesh (VOCASET has 5,023 vertices, BIWI 23,370), or counted from 1?"
            )

    def __str__(self) -> str:
        unique = "" if self.n_unique == self.size else f", {self.n_unique} different"
        return f"{self.name} ({self.size} vertices{unique}, sha1 {self.sha1[:10]})"


def read_region(spec: str | Path) -> Region:
    """The region in a file.

    Parameters
    ----------
    spec : str or Path
        ``lve.txt``: indices separated by commas, blanks or line ends in any mixture. ``mouth_idx.npy``: an integer array, or a
        boolean mask over all vertices. ``FLAME_masks.pkl:lips``: an entry of a pickled dictionary, read by the restricted
        unpickler; several entries are united by ``+``, as in ``FLAME_masks.pkl:forehead+eye_region`` (each vertex once, sorted).
        ``weighted_mouth_mask.txt>0.1``: a weight for every vertex, and above which weight a vertex belongs (FaceDiffuser on
        multiface: 0.1 for the mouth, 0.4 for the forehead).

    Raises
    ------
    FaceError
        If the file is missing, holds something else than indices, or the entry is unknown.
    """
    text = str(spec)
    threshold: float | None = None
    weighted = re.fullmatch(r"(.+\.(?:txt|npy))>([0-9.eE+-]+)", text)
    if weighted:
        text, threshold = weighted[1], _threshold(weighted[2], str(spec))
    path, _, entry = text.partition(":") if ".pkl:" in text else (text, "", "")
    file = Path(path)
    if not file.is_file():
        raise FaceError(f"There is no region file {file}. Give a .txt, .npy or .pkl:ENTRY file that lists the vertices' indices.")
    if file.suffix == ".pkl":
        return Region(f"{file.name}:{entry}", _from_pickle(file, entry))
    if file.suffix == ".npy":
        from analysis.face.sequences import open_array

        array = np.asarray(open_array(file))
        if threshold is not None or array.dtype.kind == "f":
            return _weighted(file, array.reshape(-1), threshold)
        if array.dtype == bool:
            if array.ndim != 1:
                raise FaceError(
                    f"Region {file.name} is a mask of shape {array.shape}. Give a flat one, with one entry per vertex."
                )
            return Region(file.name, np.flatnonzero(array), len(array))
        if array.size > 2 and np.isin(array, (0, 1)).all():
            raise FaceError(
                f"Region {file.name} holds {array.size} entries that are all 0 or 1: likely a mask, and not the indices 0 and 1. Save "
                "it as booleans (mask.astype(bool))."
            )
        return Region(file.name, array.reshape(-1))
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FaceError(
            f"Region file {file} is no text. It should list whole numbers separated by commas, or be .npy or .pkl."
        ) from None
    words = [word for word in re.split(r"[,\s]+", text.strip().strip("[]")) if word]
    if threshold is not None or (len(words) > 1 and any("." in word or "e" in word.lower() for word in words)):
        try:
            return _weighted(file, np.array([float(word) for word in words]), threshold)
        except ValueError:
            pass  # the message below names the word
    try:
        return Region(file.name, np.array([int(word) for word in words], dtype=np.int64))
    except ValueError:
        bad = next((word for word in words if not re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", word)), words[0])
        raise FaceError(
            f"Region file {file} holds {bad!r}, which is no vertex index. It should list whole numbers separated by commas."
        ) from None


def _threshold(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FaceError(f"Region {spec}: {text!r} after > is no number. Write it as in weighted_mouth_mask.txt>0.1.") from None


def _weighted(file: Path, weights: np.ndarray, threshold: float | None) -> Region:
    """Vertices whose weight is above the threshold."""
    if threshold is None:
        raise FaceError(
            f"Region file {file} holds a weight for each of {len(weights)} vertices, from {weights.min():g} to {weights.max():g}. "
            f"Say above which weight a vertex belongs, as in {file.name}>0.1 (FaceDiffuser: 0.1 for the mouth, 0.4 for the forehead)."
        )
    chosen = np.flatnonzero(weights > threshold)
    if len(chosen) == 0:
        raise FaceError(
            f"Region file {file} has no weight above {threshold:g}; the largest is {weights.max():g}. Choose a lower one."
        )
    return Region(f"{file.name}>{threshold:g}", chosen, len(weights))


def _from_pickle(file: Path, entry: str) -> np.ndarray:
    from analysis.face.restricted_pickle import load_pickle

    masks = load_pickle(file)
    if not isinstance(masks, dict):
        raise FaceError(f"{file} holds a {type(masks).__name__}, not a dictionary of regions. Give FLAME_masks.pkl:lips.")
    known = ", ".join(sorted(str(key) for key in masks))
    if not entry:
        raise FaceError(f"{file} holds several regions. Name one after a colon, as in {file.name}:lips. It holds: {known}.")
    parts = entry.split("+")
    for part in parts:
        if part not in masks:
            raise FaceError(f"{file} holds no region {part!r}. It holds: {known}.")
    if len(parts) == 1:
        return np.asarray(masks[entry])
    return np.unique(np.concatenate([np.asarray(masks[part]) for part in parts]))
