"""Where a framework leaves its predictions: every naming in use, found in a folder and matched with the true clips.

=================================  ==========================================================================================
``<clip>_condition_<subject>.npy`` FaceFormer, CodeTalker, FaceDiffuser, LG-LDM on VOCASET
``..._condition_<subject>_<k>.npy`` FaceDiffuser with several samples
``<model>_<clip>_condition_....``   FaceDiffuser, prefixed by the model's name
``<wav>_<data set>_<subject>_condition_<subject>.npy`` FaceDiffuser's predict script
``<clip>.npy``                      LG-LDM on BIWI, and arrays converted by hand
``<clip>/meshes/00000.obj``         VOCA, one mesh a frame (also without ``meshes/``)
``*.npz``                           UniTalker's demo: an entry per audio file, a pickled dictionary of tensors by data set
``<clip>_condition_<k>.pkl``        DiffSpeaker: a pickled dictionary with ``prediction``
=================================  ==========================================================================================
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import FaceError
from analysis.face.sequences import open_array, plain, read_obj_sequence

__all__ = ["Prediction", "find_predictions"]


@dataclass(frozen=True)
class Prediction:
    """One predicted sequence on disk.

    Attributes
    ----------
    clip : str
        As in the truth.
    condition : str
        The style subject it was conditioned on; empty when the name states none.
    sample : str
        Number of the sample, where a diffusion model drew several.
    path : Path
    entry : str
        Name inside an ``.npz`` archive.
    """

    clip: str
    condition: str
    sample: str
    path: Path
    entry: str = ""

    def open(self, n_vertices: int) -> np.ndarray:
        """The stored vertices, not yet brought to ``(T, V, 3)``; a memory map where the format allows.

        Raises
        ------
        FaceError
            If the file is damaged or asks for code to be run.
        """
        if self.path.is_dir():
            return read_obj_sequence(self.path, n_vertices)
        if self.path.suffix == ".pkl":
            from analysis.face.restricted_pickle import load_pickle

            report = load_pickle(self.path, tensors=True)
            if not isinstance(report, dict) or "prediction" not in report:
                raise FaceError(f"{self.path} holds no entry 'prediction'; DiffSpeaker's results do. Save the vertices as .npy.")
            return plain(report["prediction"])
        if self.path.suffix == ".npz":
            return _from_archive(self.path, self.entry, n_vertices)
        return open_array(self.path)

    def __str__(self) -> str:
        return f"{self.path}:{self.entry}" if self.entry else str(self.path)


def find_predictions(
    folder: str | Path, clips: Collection[str], subjects: Collection[str] = ()
) -> tuple[dict[str, list[Prediction]], list[Path]]:
    """Predictions in a folder by clip, and the files that belong to no known clip.

    Parameters
    ----------
    folder : str or Path
        A folder, or an ``.npz`` written by UniTalker.
    clips : collection of str
        Names of the true clips.
    subjects : collection of str
        Known subjects, to tell a condition from a sample's number.

    Raises
    ------
    FaceError
        If the folder is missing.
    """
    folder = Path(folder)
    if folder.suffix == ".npz" and folder.is_file():
        files = [folder]
    elif folder.is_dir():
        files = sorted(file for pattern in ("*.npy", "*.npz", "*.pkl") for file in folder.glob(pattern))
        places = [place for clip in sorted(folder.iterdir()) if clip.is_dir() for place in (clip / "meshes", clip)]
        files += [place for place in places if place.is_dir() and next(place.glob("*.obj"), None) is not None]
    else:
        raise FaceError(f"There is no folder of predictions {folder}.")
    found: dict[str, list[Prediction]] = {}
    unmatched = []
    known = sorted(clips, key=len, reverse=True)
    for file in files:
        for name, entry in _names(file):
            prediction = _parse(name, file, entry, known, subjects)
            if prediction is None:
                unmatched.append(file)
            else:
                found.setdefault(prediction.clip, []).append(prediction)
    return found, unmatched


def _names(file: Path) -> list[tuple[str, str]]:
    if file.is_dir():
        return [(file.parent.name if file.name == "meshes" else file.name, "")]
    if file.suffix != ".npz":
        return [(file.stem, "")]
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise FaceError(f"{file} is no .npz archive ({error}). Was it cut short? Write it again.") from None
    return [
        (Path(entry).stem if Path(entry).suffix in (".wav", ".mp3", ".flac") else Path(entry).name, entry) for entry in entries
    ]


def _parse(name: str, file: Path, entry: str, known: list[str], subjects: Collection[str]) -> Prediction | None:
    stem, _, condition = name.partition("_condition_")
    clip = next((clip for clip in known if stem == clip or stem.endswith(f"_{clip}")), None)
    if clip is None and condition:  # WAV_DATASET_SUBJECT: the wav is named as the clip, or as its sentence
        clip = _clip_of_script(stem, known, subjects)
    if clip is None:
        return None
    sample = ""
    numbered = re.fullmatch(r"(.+)_(\d+)", condition)
    if numbered and condition not in subjects and (not subjects or numbered[1] in subjects):
        condition, sample = numbered[1], numbered[2]
    return Prediction(clip, condition, sample, file, entry)


def _clip_of_script(stem: str, known: list[str], subjects: Collection[str]) -> str | None:
    """The clip in ``WAV_DATASET_SUBJECT``, as FaceDiffuser's predict script names its result; None if there is not just one."""
    subject = next((one for one in sorted(subjects, key=len, reverse=True) if stem.endswith(f"_{one}")), None)
    if subject is None:
        return None
    wav = stem.removesuffix(f"_{subject}").rpartition("_")[0]
    matches = [clip for clip in known if clip == wav or (wav and clip == f"{subject}_{wav}")]
    return matches[0] if len(matches) == 1 else None


def _from_archive(path: Path, entry: str, n_vertices: int) -> np.ndarray:
    """One entry of an ``.npz``; an entry of pickled tensors goes through the restricted unpickler."""
    from analysis.face.restricted_pickle import loads_pickle

    source = f"{path}:{entry}"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{entry}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read_header(stream)
            data = stream.read()
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
        raise FaceError(f"{source} cannot be read ({error}). Was the archive cut short? Write it again.") from None
    if not dtype.hasobject:
        if len(data) != int(np.prod(shape)) * dtype.itemsize:
            raise FaceError(f"{source} holds {len(data):,} bytes for shape {shape}. Was the archive cut short? Write it again.")
        return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    value = loads_pickle(data, source=source, tensors=True)
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    if not isinstance(value, Mapping):
        return plain(value)
    fitting = {key: array for key, array in ((k, plain(v)) for k, v in value.items()) if array.size % (3 * n_vertices) == 0}
    if len(fitting) != 1:
        raise FaceError(
            f"{source} holds sequences for {', '.join(map(str, value))}; {len(fitting)} of them have {n_vertices} vertices "
            "where one "
            f"should. Save the wanted one as {Path(entry).stem}.npy."
        )
    return next(iter(fitting.values()))
