"""Frames that something else made: one array per utterance, with its frame rate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from analysis.corpus.names import file_name
from analysis.corpus.utterance import Utterance
from analysis.encoders.types import EncoderCard
from analysis.encoders.waveforms import check_layers
from analysis.errors import EncoderError, Failure
from analysis.timebase import FrameGrid

__all__ = ["PrecomputedFrames"]

_SUFFIXES = (".npy", ".npz")


class PrecomputedFrames:
    """Arrays from a folder: ``<utterance id>.npy`` or ``.npz`` of shape ``(frames, dims)`` or ``(layers, frames, dims)``.

    DeepSpeech logits, frames of an encoder that this toolkit does not know, or of a face model come in this way. Files are read
    without pickle.

    Parameters
    ----------
    folder : Path
    rate : float
        Frames per second.
    first : float, optional
        Time of the centre of frame 0, s; half a frame by default.
    name : str
        For the card.
    device : torch.device

    Raises
    ------
    EncoderError
        If the folder holds no array, or the first one cannot be used.
    """

    precision = "float32"

    def __init__(self, folder: Path, rate: float, *, first: float | None = None, name: str, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self._files, sample = self.look(folder)
        self.card = EncoderCard(
            name=name,
            family="features",
            revision=self._digest(),
            dims=sample.shape[2],
            layers=sample.shape[0],
            grid=_grid(rate, first),
            receptive_field=1,
            normalization="as in the files",
            layer_meaning="layer k is the k-th array of the file" if sample.shape[0] > 1 else "layer 0 is the array of the file",
            weights="none",
        )

    @classmethod
    def look(cls, folder: Path) -> tuple[dict[str, Path], np.ndarray]:
        """The arrays of a folder by utterance id, and the first of them; raises as the class does."""
        if not folder.is_dir():
            raise EncoderError(f"There is no folder {folder} with precomputed frames. Check the path.")
        paths = sorted(folder.rglob("*"))
        files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths if path.suffix in _SUFFIXES}
        if not files:
            torches = [path for path in paths if path.suffix in (".pt", ".pth")]
            saved = f"; {torches[0].name} is a file of torch: save it as numpy.save('ID.npy', frames.numpy())" if torches else ""
            raise EncoderError(
                f"{folder} holds no .npy or .npz file. One array per utterance is expected: <utterance id>.npy{saved}"
            )
        sample = cls._read(next(iter(files.values())))
        if isinstance(sample, str):
            raise EncoderError(sample)
        return files, sample

    def path_of(self, utterance: Utterance) -> Path | None:
        """The utterance's file, if there is one: called as its id, or as :func:`analysis.corpus.names.file_name` writes that."""
        return self._files.get(utterance.id) or self._files.get(file_name(utterance.id))

    def frames_of(self, utterance: Utterance, layers: Sequence[int] | None = None) -> torch.Tensor | Failure:
        """``(len(layers), frames, dims)``, or why there is nothing; some frames may be NaN or infinite, but never all."""
        layers = check_layers(layers, self.card)
        path = self.path_of(utterance)
        if path is None:
            reason = f"{self.folder} holds no array named {utterance.id}.npy or .npz"
            return Failure("embeddings", utterance.id, reason, "make the features of this utterance too, or rename its file")
        array = self._read(path)
        if isinstance(array, str):
            return Failure("embeddings", utterance.id, array, "make this file again")
        if array.shape[0] != self.card.layers or array.shape[2] != self.card.dims:
            reason = (
                f"{path.name} holds {array.shape[0]} layers of {array.shape[2]} dims; the others hold {self.card.layers} of "
                f"{self.card.dims}"
            )
            return Failure("embeddings", utterance.id, reason, "make this file again as the others were made")
        seconds = array.shape[1] / self.card.grid.rate
        if abs(seconds - utterance.duration) > max(0.2, 0.1 * utterance.duration):
            reason = (
                f"{path.name} has {array.shape[1]} frames, {seconds:.2f} s at {self.card.grid.rate:g} frames per second; the "
                f"audio lasts {utterance.duration:.2f} s"
            )
            return Failure("embeddings", utterance.id, reason, "check the rate, or whether the file belongs to this recording")
        return torch.from_numpy(array[list(layers)]).to(self.device)

    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """Not possible: the frames are found by the utterance's id.

        Raises
        ------
        EncoderError
            Always.
        """
        raise EncoderError(f"{self.card.name} reads frames by utterance id; it cannot encode a waveform.")

    @staticmethod
    def _read(path: Path) -> np.ndarray | str:
        """The array as ``(layers, frames, dims)`` float32, or what is wrong with the file."""
        try:
            with path.open("rb") as stream:  # np.load leaves a damaged archive open
                array = np.load(stream, allow_pickle=False)
                if not isinstance(array, np.ndarray):  # an archive, whatever the file is called
                    with array as archive:
                        if len(archive.files) != 1:
                            return f"{path} holds {len(archive.files)} arrays ({', '.join(archive.files[:5])}); one is expected"
                        array = archive[archive.files[0]]
        except Exception as error:  # what a damaged archive raises shares no base class; NumPy's own words advise to run the code
            return f"{path} cannot be read without running code from it or is damaged ({type(error).__name__})"
        if array.ndim == 2:
            array = array[None]
        if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "fiu":
            return f"{path} has shape {array.shape} of {array.dtype}; expected numbers (frames, dims) or (layers, frames, dims)"
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is reported
            array = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(array).all(axis=(0, 2)).any():
            return f"{path} holds values that are NaN or infinite in every frame"
        return array

    def _digest(self) -> str:
        """sha256 over names and contents."""
        total = hashlib.sha256()
        for name, path in self._files.items():
            with path.open("rb") as file:
                total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return total.hexdigest()


def _grid(rate: float, first: float | None) -> FrameGrid:
    """A grid of ``rate`` frames per second, whose samples are fine enough for hop and first centre to be whole."""
    exact = Fraction(rate).limit_denominator(10000)
    fine = 2 if first is None else 20000
    sampling_rate, hop = fine * exact.numerator, fine * exact.denominator
    if first is None:
        return FrameGrid(hop, hop // 2, sampling_rate)
    return FrameGrid(hop, round(first * sampling_rate), sampling_rate)
