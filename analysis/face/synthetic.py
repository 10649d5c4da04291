"""A data set that nobody recorded: small meshes whose lips follow the phones of alignments, and six frameworks' predictions.

It has the files, names, frame rates and oddities of the real ones, so every row of the framework table runs from audio to table
without any licence. Its numbers say nothing about the frameworks: each row is one small regression in that framework's clothes.
"""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.alignment.types import Alignment
from analysis.errors import FaceError
from analysis.face.datasets import find_dataset
from analysis.face.frameworks import FRAMEWORKS, Framework
from analysis.face.sequences import frame_grid
from analysis.timebase import Interval

__all__ = ["CONTROLS", "SyntheticSet", "builtin_alignments", "face_mesh", "lip_controls", "planted_predictor", "synthesize"]

#: What moves the mesh: lips open, round and press, brows rise.
CONTROLS = ("opening", "rounding", "closure", "brow")

_SUBJECTS = {
    "vocaset": ("FaceTalk_900101_00001_TA", "FaceTalk_900102_00002_TA", "FaceTalk_900103_00003_TA", "FaceTalk_900104_00004_TA"),
    "biwi": ("F2", "F3", "F4", "M3", "M4", "M5"),
}
_STYLES = (
    "FaceTalk_900201_00011_TA",
    "FaceTalk_900202_00012_TA",
)  # training subjects on which VOCASET's predictions are conditioned
_RADIUS = {"vocaset": 0.1, "biwi": 0.5}

_WORDS = {
    "sheep": "SH IY1 P",
    "ship": "SH IH1 P",
    "bet": "B EH1 T",
    "bat": "B AE1 T",
    "pool": "P UW1 L",
    "pull": "P UH1 L",
    "meat": "M IY1 T",
    "mat": "M AE1 T",
    "wash": "W AA1 SH",
    "watch": "W AA1 CH",
    "the": "DH AH0",
    "a": "AH0",
    "saw": "S AO1",
    "we": "W IY1",
    "near": "N IH1 R",
}
_SENTENCES = (
    "we saw the sheep near the ship",
    "the ship saw a sheep",
    "we bet the bat near the pool",
    "pull the bat near a pool",
    "the mat saw meat near a sheep",
    "we wash the meat watch the mat",
)

#: ``(framework, with_module, clip, dataset, n_frames, fps)`` to predicted controls of shape ``(n_frames, len(CONTROLS))``.
Predictor = Callable[[Framework, bool, str, str, int, int], np.ndarray]

#: Utterance ids by clip, and ``(clip, n_frames, fps)`` to the true controls, to a predictor.
PredictorMaker = Callable[[Mapping[str, str], Callable[[str, int, int], np.ndarray]], Predictor]


@dataclass(frozen=True)
class SyntheticSet:
    """Where a synthetic set lies.

    Attributes
    ----------
    folder : Path
    dataset : str
    clips : tuple of str
    runs : mapping of str to Path
    arguments : tuple of str
        Arguments of ``python -m analysis.face`` that measure all of it.
    """

    folder: Path
    dataset: str
    clips: tuple[str, ...]
    runs: Mapping[str, Path]
    arguments: tuple[str, ...]


def builtin_alignments(n: int = 6) -> list[Alignment]:
    """Alignments of ``n`` short sentences with even phone lengths and no audio, for when nothing better is at hand."""
    alignments = []
    for number in range(n):
        words, phones, time = [], [], 0.1
        for word in _SENTENCES[number % len(_SENTENCES)].split():
            start = time
            for phone in _WORDS[word].split():
                length = 0.13 if phone[-1].isdigit() else 0.08
                phones.append(Interval(round(time, 4), round(time + length, 4), phone))
                time += length
            words.append(Interval(round(start, 4), round(time, 4), word))
        alignments.append(Alignment(f"builtin_{number:03d}", tuple(words), tuple(phones), round(time + 0.1, 4), "builtin"))
    return alignments


def face_mesh(
    dataset: str, columns: int = 15, rows: int = 19
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A small face: vertices (V, 3), triangles (F, 3), lip and upper-face indices, and one movement (V, 3) per control.

    Returns
    -------
    tuple
        ``vertices, faces, lips, upper, movements`` with ``movements`` of shape ``(len(CONTROLS), V, 3)``.
    """
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.75, 0.75, columns), np.linspace(-1, 1, rows)))
    x = x * np.sqrt(1.1 - 0.6 * y**2)  # an oval
    depth = 0.8 * np.sqrt(np.clip(1.2 - x**2 - 0.7 * y**2, 0, None)) - 0.5
    vertices = np.stack([x, y, depth], axis=1)
    corners = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
    mouth = -0.42
    lips = np.flatnonzero((np.abs(x) < 0.36) & (np.abs(y - mouth) < 0.2))
    upper = np.flatnonzero(y > 0.25)
    near = np.exp(-((x / 0.35) ** 2 + ((y - mouth) / 0.28) ** 2))
    below = np.where(y < mouth, 1.0, -0.3)
    movements = np.zeros((len(CONTROLS), len(x), 3))
    movements[0, :, 1] = -0.16 * below * near
    movements[1, :, 0] = -0.45 * x * near
    movements[1, :, 2] = 0.08 * near
    movements[2, :, 1] = 0.05 * np.where(y < mouth, 1.0, -1.0) * near
    movements[2, :, 2] = -0.03 * near
    movements[3, :, 1] = 0.05 * np.exp(-(((y - 0.45) / 0.25) ** 2))
    radius = _RADIUS[dataset]
    return vertices * radius, faces, lips, upper, movements * radius


def lip_controls(alignment: Alignment, n_frames: int, fps: int, *, seed: int = 0) -> np.ndarray:
    """How the face moves while ``alignment`` is spoken, shape ``(n_frames, len(CONTROLS))``: each phone's lips, blended."""
    from analysis.phonology import lip_features

    table = lip_features()
    grid = frame_grid(fps)
    targets = np.zeros((n_frames, len(CONTROLS)))
    targets[:, 0] = 0.05
    for phone in alignment.phones:
        rounding, opening, closure = table.get(phone.label.rstrip("012"), (0.0, 0.3, 0.0))
        frames = grid.frames(phone.start, phone.end, n_frames)
        targets[frames, 0] = opening * (1 - closure)
        targets[frames, 1] = rounding
        targets[frames, 2] = closure
    controls = _smooth(targets, 0.045 * fps)
    controls[:, 3] = 0.3 * _smooth(np.random.default_rng(seed).normal(size=(n_frames, 1)), 0.25 * fps)[:, 0] * np.sqrt(fps)
    return controls


def planted_predictor(truth: Callable[[str, int, int], np.ndarray], *, seed: int = 0, improvement: float = 0.5) -> Predictor:
    """A predictor that smooths the true controls too much, adds noise, and does both less with the module.

    Parameters
    ----------
    truth : callable
        ``(clip, n_frames, fps)`` to true controls.
    seed : int
    improvement : float
        Share of the smoothing and noise that the module takes away; 0 plants no difference.
    """

    def predict(framework: Framework, with_module: bool, clip: str, dataset: str, n_frames: int, fps: int) -> np.ndarray:
        controls = truth(clip, n_frames, fps)
        skill = 1.0 + 0.1 * list(FRAMEWORKS).index(framework.name)
        fault = (1.0 - improvement * with_module) / skill
        rng = np.random.default_rng([seed, *f"{framework.name}/{clip}".encode()])  # the same noise with and without, scaled
        noise = _smooth(rng.normal(size=controls.shape), 0.06 * fps)
        blurred = (1 - 0.6 * fault) * controls + 0.6 * fault * _smooth(controls, 0.15 * fps)
        return blurred + 0.12 * fault * noise

    return predict


def synthesize(
    folder: str | Path,
    alignments: Sequence[Alignment],
    *,
    dataset: str = "biwi",
    predictors: PredictorMaker | None = None,
    frameworks: Sequence[str] | None = None,
    module: str = "Wav2Sem",
    seed: int = 0,
    improvement: float = 0.5,
) -> SyntheticSet:
    """Write truth, templates, regions, token and pair tables, and predictions of every framework with and without the module.

    Parameters
    ----------
    folder : str or Path
    alignments : sequence of Alignment
        Each becomes one clip; subjects take them in turn.
    dataset : str
        ``vocaset`` (60 frames a second on disk, regions separated by ",", several conditions per clip) or ``biwi`` (25, ", ").
    predictors : callable, optional
        ``(utterance ids by clip, truth)`` to a predictor; by default the planted one.
    frameworks : sequence of str, optional
        By default all six.
    module : str
        What stands after the plus sign in the names of runs with the module.
    seed : int
    improvement : float
        Of the planted predictor.

    Raises
    ------
    FaceError
        If there is no alignment, or one is shorter than three frames.
    """
    spec = find_dataset(dataset)
    folder = Path(folder)
    if not alignments:
        raise FaceError("A synthetic data set needs at least one alignment.")
    neutral, faces, lips, upper, movements = face_mesh(spec.name)
    subjects = _SUBJECTS[spec.name]
    clips, where = [], {}
    for number, alignment in enumerate(alignments):
        subject, sentence = subjects[number % len(subjects)], number // len(subjects)
        clip = f"{subject}_e{37 + sentence:02d}" if spec.name == "biwi" else f"{subject}_sentence{1 + sentence:02d}"
        clips.append(clip)
        where[clip] = (alignment, subject, number)
    templates = _templates(subjects + (_STYLES if spec.name == "vocaset" else ()), neutral, seed)

    def controls(clip: str, n_frames: int, fps: int) -> np.ndarray:
        alignment, _, number = where[clip]
        whole = lip_controls(alignment, int(alignment.duration * spec.truth_fps), spec.truth_fps, seed=seed + number)
        return whole[:: spec.truth_fps // fps][:n_frames] if spec.truth_fps % fps == 0 else whole[:n_frames]

    def animate(clip: str, values: np.ndarray) -> np.ndarray:
        return (templates[where[clip][1]] + np.tensordot(values, movements, axes=1)).astype(np.float32)

    _write_surroundings(folder, spec.name, templates, lips, upper, faces, where)
    lengths = {}
    for clip in clips:
        alignment = where[clip][0]
        frames = int(alignment.duration * spec.truth_fps)
        if frames < 3:
            raise FaceError(f"Alignment {alignment.utterance_id} lasts {alignment.duration} s, too short for a clip.")
        vertices = animate(clip, controls(clip, frames, spec.truth_fps))
        np.save(folder / "vertices_npy" / f"{clip}.npy", vertices.reshape(frames, -1))
        lengths[clip] = frames

    if predictors is None:
        predict = planted_predictor(controls, seed=seed, improvement=improvement)
    else:
        predict = predictors({clip: where[clip][0].utterance_id for clip in clips}, controls)
    runs = {}
    for name in frameworks or FRAMEWORKS:
        framework = FRAMEWORKS[name]
        fps = framework.fps[spec.name]
        for with_module in (False, True):
            run = f"{name}+{module}" if with_module else name
            runs[run] = folder / "predictions" / run.replace(":", "_").replace("/", "_")
            scale = framework.scale.get(spec.name, 1.0)
            sequences = {}
            for clip in clips:
                n_frames = lengths[clip] * fps // spec.truth_fps - (name != "VOCA")  # encoders lose the last frame
                values = predict(framework, with_module, clip, spec.name, n_frames, fps)
                sequences[clip] = animate(clip, values) * np.float32(scale)
            _write_predictions(framework, spec.name, runs[run], sequences, {clip: where[clip][1] for clip in clips}, seed)
    return SyntheticSet(folder, spec.name, tuple(clips), runs, tuple(_arguments(folder, spec.name, runs)))


def _arguments(folder: Path, dataset: str, runs: Mapping[str, Path]) -> list[str]:
    arguments = ["table", "--dataset", dataset, "--truth", f"{folder}/vertices_npy", "--templates", f"{folder}/templates.pkl"]
    arguments += ["--lips", f"{folder}/regions/lve.txt", "--upper", f"{folder}/regions/fdd.txt", "--preset", "facediffuser"]
    for name, path in runs.items():
        framework = FRAMEWORKS[name.partition("+")[0]]
        arguments += ["--run", f"{name}={path}"]
        if dataset in framework.scale:
            arguments += ["--scale", f"{name}={framework.scale[dataset]}"]
        if framework.fps[dataset] != find_dataset(dataset).fps:
            arguments += ["--prediction-fps", f"{name}={framework.fps[dataset]}"]
    arguments += ["--tokens", f"{folder}/tokens.csv", "--near-homophones", f"{folder}/pairs.csv"]
    return [*arguments, "--lip-metrics", "--phones", f"{folder}/phones.csv"]


def _templates(subjects: Sequence[str], neutral: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Neutral faces that differ a little in width and height."""
    templates = {}
    for number, subject in enumerate(subjects):
        rng = np.random.default_rng([seed, number])
        templates[subject] = neutral * (1 + 0.04 * rng.uniform(-1, 1, size=3))
    return templates


def _write_surroundings(
    folder: Path,
    dataset: str,
    templates: Mapping[str, np.ndarray],
    lips: np.ndarray,
    upper: np.ndarray,
    faces: np.ndarray,
    where: Mapping[str, tuple[Alignment, str, int]],
) -> None:
    from analysis.face.homophones import pairs_of, spoken_from_alignments

    for part in ("vertices_npy", "regions", "predictions"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "templates.pkl").write_bytes(pickle.dumps(dict(templates), protocol=2))
    separator = ", " if dataset == "biwi" else ","
    for name, indices in (("lve", lips), ("fdd", upper)):
        (folder / "regions" / f"{name}.txt").write_text(separator.join(map(str, indices)), encoding="ascii")
    np.save(folder / "faces.npy", faces)
    spoken = []
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["clip", "subject", "utterance", "words"])
        for clip, (alignment, subject, _) in where.items():
            writer.writerow([clip, subject, alignment.utterance_id, " ".join(word.label for word in alignment.words)])
            spoken += [(clip, one) for one in spoken_from_alignments([alignment])]
    with (folder / "tokens.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["utterance", "type", "start", "end"])
        writer.writerows([clip, one.type, one.start, one.end] for clip, one in spoken)
    with (folder / "phones.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["utterance", "phone", "start", "end"])
        writer.writerows(
            [clip, phone.label, phone.start, phone.end] for clip, (alignment, *_) in where.items() for phone in alignment.phones
        )
    pairs = pairs_of([one for _, one in spoken])
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["type_a", "type_b", "relation"])
        writer.writerows([a, b, "near_homophone"] for a, b in pairs)


def _write_predictions(
    framework: Framework, dataset: str, folder: Path, sequences: Mapping[str, np.ndarray], subjects: Mapping[str, str], seed: int
) -> None:
    """Each framework's own naming and shape."""
    folder.mkdir(parents=True, exist_ok=True)
    if framework.name == "UniTalker":
        _write_unitalker(folder / "result.npz", dataset, sequences)
        return
    for clip, sequence in sequences.items():
        styles = _STYLES if dataset == "vocaset" else (subjects[clip],)
        for number, style in enumerate(styles):
            styled = sequence
            if len(styles) > 1:  # another style subject moves a little more
                middle = sequence.mean(axis=0, keepdims=True)
                styled = (middle + (sequence - middle) * np.float32(1.0 + 0.05 * number)).astype(np.float32)
            name = f"{clip}_condition_{style}"
            if framework.name == "VOCA":
                _write_obj(folder / (clip if dataset == "biwi" else name) / "meshes", styled)
            elif framework.name == "LG-LDM":
                np.save(folder / f"{clip if dataset == 'biwi' else name}.npy", styled.reshape(1, len(styled), -1))
            else:
                np.save(folder / f"{name}.npy", styled.reshape(len(styled), -1))


def _write_unitalker(path: Path, dataset: str, sequences: Mapping[str, np.ndarray]) -> None:
    """As UniTalker's demo saves them: per audio file a pickled dictionary of tensors."""
    import torch

    key = {"biwi": "D1", "vocaset": "D2"}[dataset]
    entries = {
        f"{clip}.wav": np.array({key: torch.from_numpy(np.ascontiguousarray(frames))}, dtype=object)
        for clip, frames in sequences.items()
    }
    np.savez(path, **entries)


def _write_obj(folder: Path, sequence: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    form = "v %.8f %.8f %.8f\n" * sequence.shape[1]
    for number, frame in enumerate(sequence):
        (folder / f"{number:05d}.obj").write_text(form % tuple(frame.ravel().tolist()), encoding="ascii")


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Columns blurred over time by a Gaussian of ``width`` frames, ends held."""
    half = max(1, int(np.ceil(3 * width)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / max(width, 1e-6)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)
