"""Where the truth lies: clips, neutral templates and frame rates of VOCASET, BIWI and any set that a YAML file describes.

::

    name: multiface                      # needed
    vertices: 6172                       # needed: of the mesh
    fps: {truth: 30, measured: 30}       # needed: on disk, and at which metrics are taken; one number for both
    unit: mm                             # needed: of the coordinates
    title: Multiface                     # in tables; the name by default
    subject: (?P<subject>[^_]+)_.*       # regular expression for the whole name of a clip; all before the last underscore by default
    truth: vertices_npy                  # paths are relative to the file; --truth, --templates, --lips and --upper come before them
    templates: templates.pkl
    regions: {lips: weighted_mouth_mask.txt>0.1, upper: forehead_mask.txt>0.4}
    exponents: {lve: 0, mve: 0, fdd: 0}  # tables print in units of ten to this power
    note: ...                            # printed under every table
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.documents import read_yaml
from analysis.errors import ConfigurationError, FaceError
from analysis.face.sequences import as_sequence, at_rate, open_array, open_sequence

__all__ = ["DATASETS", "Dataset", "Truth", "find_dataset", "read_dataset", "read_templates"]


@dataclass(frozen=True)
class Dataset:
    """What must be known of a data set to read its files and to print its numbers as published.

    Attributes
    ----------
    name, title : str
    n_vertices : int
        Of the published topology; meshes of another size are measured all the same, and the table says so.
    truth_fps, fps : int
        Frames a second on disk, and at which metrics are taken.
    units : str
        Unit of the coordinates.
    exponents : mapping of str to int
        Tables print ``lve``, ``mve`` and ``fdd`` in units of ten to this power.
    subject_pattern : str
        Regular expression that a clip's whole name matches, with a group ``subject``.
    files : mapping of str to str
        Where ``truth``, ``templates``, ``lips`` and ``upper`` lie, where the description says so.
    note : str
        Printed under every table.
    """

    name: str
    title: str
    n_vertices: int
    truth_fps: int
    fps: int
    units: str
    exponents: Mapping[str, int]
    subject_pattern: str = r"(?P<subject>.+)_[^_]+"
    files: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def subject(self, clip: str) -> str:
        """The speaker in a clip's name (``F2`` in ``F2_e37``); the whole name where the pattern does not match."""
        found = re.fullmatch(self.subject_pattern, clip)
        return found["subject"] if found else clip


def read_dataset(path: str | Path) -> Dataset:
    """The data set that a YAML file describes; see the top of this module.

    Raises
    ------
    ConfigurationError
        If the file is missing or no such description, naming the first entry at fault.
    """
    path = Path(path)
    try:
        told, _ = read_yaml(path, f"It needs {', '.join(_NEEDED)}.", ConfigurationError)
    except OSError:
        raise ConfigurationError(f"There is no description of a data set {path}.") from None

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"{path}: {what}")

    unknown = sorted(set(map(str, told)) - {*_NEEDED, *_OPTIONAL})
    if unknown:
        raise wrong(f"there is no entry {unknown[0]!r}. Entries: {', '.join((*_NEEDED, *_OPTIONAL))}.")
    for name in _NEEDED:
        if told.get(name) in (None, ""):
            raise wrong(f"the entry {name} is missing. It needs {', '.join(_NEEDED)}.")
    name = str(told["name"])
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise wrong(f"the name {name!r} must be of letters, digits, dots, dashes and underscores.")
    fps = told["fps"] if isinstance(told["fps"], dict) else {"truth": told["fps"], "measured": told["fps"]}
    numbers = {"vertices": told["vertices"], **{f"fps {key}": fps.get(key) for key in ("truth", "measured")}}
    for entry, value in numbers.items():
        if type(value) is not int or value < 1:
            raise wrong(f"{entry} is {value!r}; it must be a whole number of at least 1.")
    exponents = dict.fromkeys(("lve", "mve", "fdd"), 0) | _mapping(told, "exponents", ("lve", "mve", "fdd"), wrong)
    if any(type(value) is not int for value in exponents.values()):
        raise wrong("exponents must be whole numbers, such as {lve: -5, mve: -5, fdd: -7}.")
    pattern = str(told.get("subject", Dataset.subject_pattern))
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise wrong(f"subject is no regular expression ({error}).") from None
    if "subject" not in groups:
        raise wrong(f"subject is {pattern!r}; it needs a group that is called so, as in (?P<subject>[^_]+)_.*")
    places = {key: told[key] for key in ("truth", "templates") if key in told}
    places |= _mapping(told, "regions", ("lips", "upper"), wrong)
    files = {key: str(path.parent / str(value)) for key, value in places.items()}
    return Dataset(
        name=name.lower(),
        title=str(told.get("title", name)),
        n_vertices=told["vertices"],
        truth_fps=fps["truth"],
        fps=fps["measured"],
        units=str(told["unit"]),
        exponents=exponents,
        subject_pattern=pattern,
        files=files,
        note=" ".join(str(told.get("note", "")).split()),
    )


_NEEDED = ("name", "vertices", "fps", "unit")
_OPTIONAL = ("title", "subject", "truth", "templates", "regions", "exponents", "note")


def _mapping(
    told: Mapping[str, Any], name: str, keys: Sequence[str], wrong: Callable[[str], ConfigurationError]
) -> dict[str, Any]:
    value = told.get(name) or {}
    if not isinstance(value, dict) or set(value) - set(keys):
        raise wrong(f"{name} must have only {', '.join(keys)}.")
    return value


#: Those that come with the toolkit, by name; each is a file like anyone's.
DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (read_dataset(Path(__file__).parent / "sets" / f"{name}.yaml") for name in ("vocaset", "biwi"))
}


def find_dataset(name: str | Path) -> Dataset:
    """The data set of that name (any case), or the one that the YAML file describes.

    Raises
    ------
    ConfigurationError
        If there is none; the message lists those that exist.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        return read_dataset(name)
    if str(name).lower() not in DATASETS:
        raise ConfigurationError(f"There is no data set {str(name)!r}. Choose one of: {', '.join(DATASETS)}, or FILE.yaml.")
    return DATASETS[str(name).lower()]


def read_templates(path: str | Path) -> dict[str, np.ndarray]:
    """Neutral faces by subject, each of shape ``(V, 3)``.

    Parameters
    ----------
    path : str or Path
        ``templates.pkl`` (a dictionary of arrays, read by the restricted unpickler), an ``.npz`` with one array per subject, or a
        folder of ``<subject>.npy``.

    Raises
    ------
    FaceError
        If the file is missing or holds something else, naming the first subject whose template is at fault.
    """
    path = Path(path)
    if path.is_dir():
        found: Mapping[str, object] = {file.stem: open_array(file) for file in sorted(path.glob("*.npy"))}
    elif not path.is_file():
        raise FaceError(f"There is no templates file {path}. Give templates.pkl, an .npz, or a folder of SUBJECT.npy.")
    elif path.suffix == ".npz":
        found = _read_npz(path)
    else:
        from analysis.face.restricted_pickle import load_pickle

        found = load_pickle(path)
        if not isinstance(found, dict):
            raise FaceError(f"{path} holds a {type(found).__name__}, not a dictionary of one template per subject.")
    if not found:
        raise FaceError(f"{path} holds no template. It should hold one array of shape (vertices, 3) per subject.")
    templates = {}
    for subject, value in found.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" or array.size % 3 or array.size == 0:
            raise FaceError(
                f"The template of {subject} in {path} is of type {array.dtype} and shape {array.shape}; expected (vertices, "
                "3) numbers."
            )
        array = array.reshape(-1, 3)
        if not np.isfinite(array).all():
            vertex = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise FaceError(
                f"The template of {subject} in {path} is not a number at vertex {vertex}. Give an undamaged template."
            )
        templates[str(subject)] = array
    sizes = {len(array) for array in templates.values()}
    if len(sizes) > 1:
        raise FaceError(f"The templates in {path} have different numbers of vertices: {sorted(sizes)}. They must share one mesh.")
    return templates


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise FaceError(f"{path} cannot be read as an .npz of plain arrays ({error}). Write it again with numpy.savez.") from None
    except Exception as error:  # zipfile.BadZipFile and zlib.error share no base class
        raise FaceError(f"{path} is no .npz archive ({error}). Was it cut short? Write it again with numpy.savez.") from None


@dataclass(frozen=True)
class Truth:
    """The recorded clips of one data set.

    Attributes
    ----------
    dataset : Dataset
    folder : Path
        Holds ``<subject>_<sentence>.npy``.
    templates : mapping of str to ndarray, shape (V, 3)
    template_source : str
    fps : int
        At which metrics are taken.
    truth_fps : int
        On disk.
    clips : tuple of str
        Names without ``.npy``, sorted.
    """

    dataset: Dataset
    folder: Path
    templates: Mapping[str, np.ndarray]
    template_source: str
    fps: int
    truth_fps: int
    clips: tuple[str, ...]

    @classmethod
    def open(
        cls,
        folder: str | Path,
        templates: str | Path,
        dataset: str | Dataset,
        *,
        fps: int | None = None,
        truth_fps: int | None = None,
    ) -> Truth:
        """The data set in ``folder`` with the templates in ``templates``; nothing but the templates is read yet."""
        dataset = dataset if isinstance(dataset, Dataset) else find_dataset(dataset)
        folder = Path(folder)
        if not folder.is_dir():
            raise FaceError(f"There is no folder {folder} with the true vertices (SUBJECT_SENTENCE.npy, such as F2_e37.npy).")
        clips = tuple(sorted(file.stem for file in folder.glob("*.npy")))
        if not clips:
            raise FaceError(f"{folder} holds no .npy file. It should hold the true vertices (SUBJECT_SENTENCE.npy).")
        return cls(
            dataset=dataset,
            folder=folder,
            templates=read_templates(templates),
            template_source=Path(templates).name,
            fps=fps or dataset.fps,
            truth_fps=truth_fps or dataset.truth_fps,
            clips=clips,
        )

    @property
    def n_vertices(self) -> int:
        """Vertices of the templates."""
        return len(next(iter(self.templates.values())))

    def template(self, clip: str) -> np.ndarray:
        """The neutral face of the clip's speaker.

        Raises
        ------
        FaceError
            If the speaker has no template.
        """
        subject = self.dataset.subject(clip)
        if subject not in self.templates:
            raise FaceError(
                f"Clip {clip} is of subject {subject}, who has no template in {self.template_source}. It holds: "
                f"{', '.join(sorted(self.templates))}. Are clips named SUBJECT_SENTENCE.npy?"
            )
        return self.templates[subject]

    def sequence(self, clip: str) -> np.ndarray:
        """True vertices of a clip at :attr:`fps`, shape ``(T, V, 3)``, a view on a memory map."""
        path = self.folder / f"{clip}.npy"
        return at_rate(open_sequence(path, self.n_vertices), self.truth_fps, self.fps, str(path))

    def prepare(self, array: np.ndarray, fps: int, name: str) -> np.ndarray:
        """Another sequence of this mesh, brought to :attr:`fps`."""
        return at_rate(as_sequence(array, self.n_vertices, name), fps, self.fps, name)
