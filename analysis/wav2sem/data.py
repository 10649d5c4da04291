"""What a module is trained on: cached frames of a host encoder, or the audio itself, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from analysis.corpus.utterance import Utterance
from analysis.errors import SemanticsError
from analysis.wav2sem.frames import FrameCache
from analysis.wav2sem.text import normalized

__all__ = ["AudioData", "Batch", "FrameData", "TrainingData", "plan_batches"]


@dataclass
class Batch:
    """Inputs of a module and what was said.

    Attributes
    ----------
    inputs : tuple
        Arguments of the module.
    texts : list of str
    seconds : float
        Of audio in all.
    """

    inputs: tuple
    texts: list[str]
    seconds: float

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def moved(x):
            return [moved(y) for y in x] if isinstance(x, list) else x.to(device, non_blocking=True)

        return Batch(tuple(moved(x) for x in self.inputs), self.texts, self.seconds)


class TrainingData(Protocol):
    """Items that can be batched."""

    def plan(self, epoch: int, seed: int) -> list[tuple]:
        """Items of an epoch: tuples whose first entry is the duration in s."""
        ...

    def batch(self, items: Sequence[tuple]) -> Batch:
        """The items as inputs of a module."""
        ...

    def texts(self) -> list[str]:
        """All texts that may be said, for the text bank."""
        ...


def plan_batches(durations: Sequence[float], *, seconds: float, seed: int | Sequence[int], bucket: int = 400) -> list[list[int]]:
    """Batches of items of similar length, in random order; none holds more than ``seconds`` of audio, padding included.

    Parameters
    ----------
    durations : sequence of float
        In s. An item longer than ``seconds`` is a batch of its own.
    seconds : float
    seed : int or sequence of int
        The same seed gives the same batches.
    bucket : int
        Items among which lengths are sorted: the larger, the less padding, the smaller, the more random.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(durations))
    batches: list[list[int]] = []
    for start in range(0, len(order), bucket):
        batch: list[int] = []
        longest = 0.0
        for item in sorted(order[start : start + bucket].tolist(), key=lambda i: durations[i]):
            longest = max(longest, durations[item])
            if batch and longest * (len(batch) + 1) > seconds:
                batches.append(batch)
                batch, longest = [], durations[item]
            batch.append(item)
        if batch:
            batches.append(batch)
    return [batches[i] for i in rng.permutation(len(batches))]


class FrameData:
    """Clips whose hidden states are cached; a clip of several sentences also gives each run of them.

    Parameters
    ----------
    caches : sequence of FrameCache
        All of one host, with the same layers and stride.
    whole : float
        Share of clips that are taken whole; of the others a random run of sentences is taken.
    augment : bool
        Hide short stretches of time, add noise, and shift clips towards other clips' mean state.
    """

    def __init__(
        self, caches: Sequence[FrameCache], *, whole: float = 1.0, augment: bool = False, frame_rate: float = 12.5
    ) -> None:
        self.settings = caches[0].settings
        same = ("host", "layers", "stride", "dims")
        for cache in caches[1:]:
            if any(cache.settings[key] != self.settings[key] for key in same):
                raise SemanticsError(f"{cache.folder} and {caches[0].folder} hold frames of different encoders or layers.")
        self.whole, self.augment, self.frame_rate = whole, augment, self.settings["rate"]
        self._frames = [cache.frames() for cache in caches]
        self._rows = [(i, row) for i, cache in enumerate(caches) for row in cache.rows()]
        if not self._rows:
            raise SemanticsError(f"{', '.join(str(cache.folder) for cache in caches)}: no clip in the cache.")

    def __len__(self) -> int:
        return len(self._rows)

    def plan(self, epoch: int, seed: int) -> list[tuple]:
        """Per clip: duration (s), number of the clip, first and last sentence, seed of its augmentation."""
        rng = np.random.default_rng([seed, epoch, 11])
        items = []
        for number, (_, row) in enumerate(self._rows):
            count = len(row["sentences"])
            first, last = 0, count
            if rng.random() >= self.whole and count > 1:
                first = int(rng.integers(count))
                last = int(rng.integers(first + 1, count + 1))
            start, stop = self._bounds(row, first, last)
            items.append(((stop - start) / self.frame_rate, number, first, last, int(rng.integers(2**31))))
        return items

    @staticmethod
    def _bounds(row: dict, first: int, last: int) -> tuple[int, int]:
        """Frames of a run of sentences; a whole clip keeps its silences."""
        start = 0 if first == 0 else row["spans"][first][0]
        stop = row["frames"] if last == len(row["sentences"]) else row["spans"][last - 1][1]
        return start, max(stop, start + 1)

    def batch(self, items: Sequence[tuple]) -> Batch:
        """Averaged states ``(B, layers, T, dims)``, lengths ``(B,)`` and what was said."""
        parts, texts = [], []
        for _, number, first, last, seed in items:
            which, row = self._rows[number]
            start, stop = self._bounds(row, first, last)
            states = np.asarray(self._frames[which][row["start"] + start : row["start"] + stop], np.float32)
            if self.augment:
                states = self._augmented(states, np.random.default_rng(seed))
            parts.append(torch.from_numpy(states))
            texts.append(" ".join(row["sentences"][first:last]))
        lengths = torch.tensor([len(part) for part in parts])
        states = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True).transpose(1, 2)
        return Batch((states, lengths), texts, float(lengths.sum()) / self.frame_rate)

    def _augmented(self, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        spread = states.std(axis=(0, 2), keepdims=True)
        states = states + rng.standard_normal(states.shape, np.float32) * (np.float32(0.15) * spread)
        own = states.mean(0)
        which, row = self._rows[int(rng.integers(len(self._rows)))]
        other = np.asarray(self._frames[which][row["start"] : row["start"] + row["frames"]], np.float32).mean(0)
        states += np.float32(rng.uniform(0, 0.5)) * (other - own)
        for _ in range(int(rng.integers(3))):
            length = int(rng.integers(1, 6))
            at = int(rng.integers(max(1, len(states) - length)))
            states[at : at + length] = own
        return states

    def texts(self) -> list[str]:
        """Every sentence, and every whole clip, once."""
        found = {normalized(s): s for _, row in self._rows for s in row["sentences"]}
        found |= {normalized(text): text for _, row in self._rows for text in [" ".join(row["sentences"])]}
        return list(found.values())

    def said(self) -> tuple[list[float], list[str]]:
        """Duration (s) and text of every whole clip."""
        return [row["frames"] / self.frame_rate for _, row in self._rows], [" ".join(row["sentences"]) for _, row in self._rows]


class AudioData:
    """Utterances whose audio is read when it is needed."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self.utterances = list(utterances)
        if not self.utterances:
            raise SemanticsError("There is no utterance to train on.")

    def __len__(self) -> int:
        return len(self.utterances)

    def plan(self, epoch: int, seed: int) -> list[tuple]:
        """Per utterance: duration (s) and number."""
        return [(utterance.duration, number) for number, utterance in enumerate(self.utterances)]

    def batch(self, items: Sequence[tuple]) -> Batch:
        """Normalised waveforms and what was said."""
        from analysis.corpus import read_audio
        from analysis.wav2sem.module import normalized_waveform

        some = [self.utterances[number] for _, number in items]
        waves = [normalized_waveform(read_audio(utterance, sampling_rate=16000)) for utterance in some]
        return Batch((waves,), [utterance.text for utterance in some], sum(len(wave) for wave in waves) / 16000)

    def texts(self) -> list[str]:
        """Every transcript, once."""
        return list({normalized(utterance.text): utterance.text for utterance in self.utterances}.values())

    def said(self) -> tuple[list[float], list[str]]:
        """Duration (s) and text of every utterance."""
        return [utterance.duration for utterance in self.utterances], [utterance.text for utterance in self.utterances]


class BatchLoader(torch.utils.data.Dataset):
    """Planned batches as a torch dataset, so that a DataLoader's workers can prepare them ahead."""

    def __init__(self, data: TrainingData, batches: Sequence[Sequence[tuple]]) -> None:
        self.data, self.batches = data, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.data.batch(self.batches[index])


def loaded(data: TrainingData, batches: Sequence[Sequence[tuple]], *, workers: int = 0) -> Iterator[Batch]:
    """Batches one after the other, prepared by ``workers`` processes."""
    # A loader draws a number whenever it is begun. From a generator of its own: a resumed run begins one more.
    own = torch.Generator()
    yield from torch.utils.data.DataLoader(BatchLoader(data, batches), batch_size=None, num_workers=workers, generator=own)
