"""Fusions that have weights, trained on phone recognition, with the same budget for every module and every null.

A frame with its semantic vector is fused, goes through a small classifier, and should say its phone. What a fusion gains there
over the frame alone means something only beside what it gains with vectors that carry no meaning: those get weights of their
own, the same batches, the same number of updates, the same beginning.

Fusion and classifier work on standardised frames and vectors, so that no dimension is learned faster for being larger; the
weights that are kept hold for the frames as they come.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from analysis.alignment.arpabet import without_stress
from analysis.alignment.types import Alignment
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure, SemanticsError
from analysis.guard import attempt
from analysis.wav2sem.fusion import TRAINED_MODES, FusionWeights
from analysis.wav2sem.plugging import SemanticFusion
from analysis.wav2sem.text import normalized

if TYPE_CHECKING:
    import pandas as pd

    from analysis.encoders.types import Encoder

__all__ = ["FusionSettings", "PhoneFrames", "compare", "cross_validated", "fit", "phone_frames", "trained_weights"]

log = logging.getLogger(__name__)

_NO_PHONE = -100
_COLUMNS = ("fusion", "variant", "statistic", "null", "estimate", "ci_low", "ci_high", "n_utterances", "n_groups", "n_frames")


@dataclass(frozen=True)
class FusionSettings:
    """The budget, the same for everything that is compared, and how it is judged.

    Attributes
    ----------
    epochs : int
        Passes over the training utterances.
    batch : int
        Utterances per update.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to nought along a cosine.
    hidden : int
        Units between frame and phones; 0 for a linear classifier.
    folds : int
        Every utterance is recognised by a classifier and a fusion that were not trained on its group.
    resamples : int
        Of the bootstrap over groups.
    ci_level : float
    seed : int
    """

    epochs: int = 10
    batch: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    hidden: int = 128
    folds: int = 4
    resamples: int = 2000
    ci_level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("hidden", 0), ("folds", 2), ("resamples", 100)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise ConfigurationError(f"The learning rate must be positive, not {self.learning_rate}.")


@dataclass(frozen=True)
class PhoneFrames:
    """Frames of one layer and the phone that each lies in.

    Attributes
    ----------
    utterances : tuple of str
        Ids.
    groups : tuple of str
        Of each utterance: what must not be in training and test at once, its words or its speaker.
    frames : tuple of ndarray, shape (T, D), float32
    phones : tuple of ndarray of int, shape (T,)
        Row of ``names``, or -100 outside all phones.
    names : tuple of str
        ARPAbet without stress.
    encoder : str
        ``name@revision``.
    layer : int
    """

    utterances: tuple[str, ...]
    groups: tuple[str, ...]
    frames: tuple[np.ndarray, ...]
    phones: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    encoder: str
    layer: int

    def folds(self, count: int) -> np.ndarray:
        """Fold of each utterance, from a hash of its group, groups spread evenly."""
        order = sorted(set(self.groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
        if len(order) < count:
            raise SemanticsError(
                f"{len(order)} different groups of utterances cannot make {count} folds. Take fewer folds or a larger corpus."
            )
        place = {group: i % count for i, group in enumerate(order)}
        return np.array([place[group] for group in self.groups])


def phone_frames(
    utterances: Sequence[Utterance], alignments: Mapping[str, Alignment], encoder: Encoder, *, layer: int = -1, by: str = "text"
) -> PhoneFrames:
    """Encode the utterances that have an alignment; one that cannot be encoded is logged and left out.

    Parameters
    ----------
    utterances : sequence of Utterance
    alignments : mapping of str to Alignment
        By utterance id.
    encoder : Encoder
    layer : int
        Hidden state; the last by default, which is what an animation model reads.
    by : str
        ``text``: utterances of the same words form a group, so that no classifier has met the sentence vector that it is tested
        with, which would name the phones of the sentence without hearing it. ``speaker``: those of one speaker do.
    """
    from analysis.corpus import read_audio

    if by not in ("text", "speaker"):
        raise ConfigurationError(f"Utterances are kept apart by 'text' or 'speaker', not by {by!r}.")
    card = encoder.card
    layer = layer if layer >= 0 else card.layers + layer
    if not 0 <= layer < card.layers:
        raise ConfigurationError(f"The encoder {card.name!r} has layers 0 to {card.layers - 1}, not {layer}.")
    kept = [utterance for utterance in utterances if utterance.id in alignments]
    heard = sorted({without_stress(phone.label) for u in kept for phone in alignments[u.id].phones})
    if not heard:
        raise SemanticsError(
            "No utterance has an alignment with phones, so there is nothing to recognise. Align the corpus first."
        )
    where = {name: i for i, name in enumerate(heard)}

    def states_of(utterance: Utterance) -> torch.Tensor:
        states = encoder.encode([read_audio(utterance, sampling_rate=card.sampling_rate)], layers=[layer])[0][0]
        if not torch.isfinite(states).all():
            raise SemanticsError(f"{card.name} gives values with NaN or infinity in layer {layer}.")
        return states

    frames, phones, encoded = [], [], []
    for utterance in kept:
        states = attempt("semantics", utterance.id, partial(states_of, utterance), "Leave it out.")
        if isinstance(states, Failure):
            log.warning("left out: %s: %s", states.item, states.reason)
            continue
        encoded.append(utterance)
        labels = np.full(len(states), _NO_PHONE)
        for phone in alignments[utterance.id].phones:
            labels[card.grid.frames(phone.start, phone.end, len(states))] = where[without_stress(phone.label)]
        frames.append(states.float().cpu().numpy())
        phones.append(labels)
    if not encoded:
        raise SemanticsError(f"{card.name} encodes no utterance. The first, {kept[0].id}: {states.reason}")
    groups = tuple(normalized(u.text) if by == "text" else u.speaker for u in encoded)
    told = f"{card.name}@{card.revision}"
    return PhoneFrames(tuple(u.id for u in encoded), groups, tuple(frames), tuple(phones), tuple(heard), told, layer)


class _Recogniser(nn.Module):
    """Standardise, fuse, classify."""

    def __init__(self, frames: np.ndarray, vectors: np.ndarray | None, mode: str, phones: int, settings: FusionSettings) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        dims = frames.shape[1]
        self.register_buffer("mean", torch.from_numpy(frames.mean(0)))
        self.register_buffer("spread", torch.from_numpy(frames.std(0) + 1e-6 * frames.std()))
        width = dims + (vectors.shape[1] if vectors is not None and mode == "concat" else 0)
        hidden = settings.hidden
        self.head = (
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, phones)) if hidden else nn.Linear(width, phones)
        )
        self.fusion = None
        if vectors is not None:
            self.register_buffer("vector_mean", torch.from_numpy(vectors.mean(0)).float())
            # One size for all dimensions: directions in the semantic space keep their weight.
            size = float(np.sqrt(vectors.var(0).mean()))
            self.vector_size = size if size > 0 else 1.0
            self.fusion = SemanticFusion(mode, dims, vectors.shape[1])
            if mode == "paper":  # like the linear fusion, it begins with the frames as they are
                nn.init.eye_(self.fusion.outer.weight)
                for zero in (self.fusion.outer.bias, self.fusion.inner.weight, self.fusion.inner.bias):
                    nn.init.zeros_(zero)

    def forward(self, frames: torch.Tensor, vectors: torch.Tensor | None) -> torch.Tensor:
        """Scores of the phones, ``(B, T, phones)``, of frames ``(B, T, D)`` and vectors ``(B, S)``."""
        frames = (frames - self.mean) / self.spread
        if self.fusion is not None:
            frames = self.fusion(frames, (vectors - self.vector_mean) / self.vector_size)
        return self.head(frames)

    def weights(self, trained_on: str, encoder: str, layer: int) -> FusionWeights:
        """The fusion's weights for frames and vectors as they come."""
        mean, spread = (part.numpy().astype(np.float64) for part in (self.mean, self.spread))
        inner, bias = (p.detach().numpy().astype(np.float64) for p in (self.fusion.inner.weight, self.fusion.inner.bias))
        bias = bias - inner @ self.vector_mean.numpy() / self.vector_size
        inner = spread[:, None] * inner / self.vector_size
        parts = {"inner": inner, "inner_bias": spread * bias}
        if self.fusion.mode == "paper":
            outer, shift = (p.detach().numpy().astype(np.float64) for p in (self.fusion.outer.weight, self.fusion.outer.bias))
            outer = spread[:, None] * outer / spread
            parts |= {"outer": outer, "outer_bias": mean + spread * shift - outer @ mean}
        arrays = {name: array.astype(np.float32) for name, array in parts.items()}
        return FusionWeights(self.fusion.mode, **arrays, trained_on=trained_on, encoder=encoder, layer=layer)


def fit(
    task: PhoneFrames, vectors: np.ndarray | None, mode: str, settings: FusionSettings, chosen: Sequence[int] | None = None
) -> nn.Module:
    """A classifier of phones, with its fusion, trained on the chosen utterances.

    Parameters
    ----------
    task : PhoneFrames
    vectors : ndarray, shape (U, S), or None
        One row per utterance of the task; None for frames alone.
    mode : str
        ``linear``, ``paper`` or ``concat``; ignored without vectors.
    settings : FusionSettings
    chosen : sequence of int, optional
        Utterances to train on; all by default.

    Notes
    -----
    Batches and the classifier's first weights depend on the seed alone, not on the vectors.
    """
    if vectors is not None and (mode not in (*TRAINED_MODES, "concat") or len(vectors) != len(task.frames)):
        raise ConfigurationError(
            f"A fusion to train is one of {', '.join((*TRAINED_MODES, 'concat'))} with a vector for each of {len(task.frames)} "
            f"utterances, not {mode!r} with {len(vectors)}."
        )
    chosen = np.arange(len(task.frames)) if chosen is None else np.asarray(chosen)
    told = None if vectors is None else torch.from_numpy(np.asarray(vectors, np.float32))
    frames = np.concatenate([task.frames[i][task.phones[i] != _NO_PHONE] for i in chosen])
    given = None if vectors is None else np.asarray(vectors, np.float32)[chosen]
    model = _Recogniser(frames, given, mode, len(task.names), settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(chosen) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng([settings.seed, 21])
    model.train()
    for _ in range(settings.epochs):
        order = rng.permutation(chosen)
        for start in range(0, len(order), settings.batch):
            some = order[start : start + settings.batch]
            scores = model(_padded([task.frames[i] for i in some], 0.0), None if told is None else told[some])
            phones = _padded([task.phones[i] for i in some], _NO_PHONE)
            loss = functional.cross_entropy(scores.flatten(0, 1), phones.flatten(), ignore_index=_NO_PHONE)
            if not torch.isfinite(loss):
                raise SemanticsError(
                    f"The loss of the fusion is {float(loss):g}: its training has diverged, or frames or vectors are not finite. Look at "
                    "the encoder's frames and the module's vectors."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _padded(arrays: Sequence[np.ndarray], value: float) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True, padding_value=value)


@torch.no_grad()
def _correct(model: nn.Module, task: PhoneFrames, vectors: np.ndarray | None, chosen: Sequence[int]) -> np.ndarray:
    """Frames of each chosen utterance whose phone is recognised."""
    found = []
    for i in chosen:
        vector = None if vectors is None else torch.from_numpy(np.asarray(vectors[i : i + 1], np.float32))
        best = model(torch.from_numpy(task.frames[i])[None], vector)[0].argmax(1).numpy()
        found.append(int((best == task.phones[i]).sum()))
    return np.array(found)


def cross_validated(task: PhoneFrames, vectors: np.ndarray | None, mode: str, settings: FusionSettings) -> np.ndarray:
    """Frames of each utterance whose phone is recognised by a model that was not trained on its group, shape (U,)."""
    folds = task.folds(settings.folds)
    correct = np.zeros(len(task.frames))
    for fold in range(settings.folds):
        model = fit(task, vectors, mode, settings, np.flatnonzero(folds != fold))
        held = np.flatnonzero(folds == fold)
        correct[held] = _correct(model, task, vectors, held)
    return correct


def compare(
    task: PhoneFrames,
    modules: Mapping[str, np.ndarray],
    nulls: Mapping[str, Mapping[str, Sequence[np.ndarray]]],
    *,
    fusions: Sequence[str] = ("linear", "paper", "concat"),
    settings: FusionSettings | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Phone accuracy without, with each module and with its nulls, by fusion.

    Parameters
    ----------
    task : PhoneFrames
    modules : mapping of str to ndarray, shape (U, S)
        Semantic vectors, a row per utterance of the task.
    nulls : mapping of str to mapping of str to sequence of ndarray
        By module and by name of the null: draws of vectors without meaning. A draw is trained like the module.
    fusions : sequence of str
    settings : FusionSettings, optional
    progress : bool

    Returns
    -------
    DataFrame
        ``fusion``, ``variant``, ``statistic``, ``null``, ``estimate``, ``ci_low``, ``ci_high``, ``n_utterances``, ``n_groups``,
        ``n_frames``. ``accuracy``: share of frames whose phone is recognised, over all folds; ``gain``: less that of the frames
        alone; ``net``: the module's less its null's, the mean over draws.

    Notes
    -----
    Intervals are percentiles of a bootstrap over groups, which are independent of each other. They hold for these trained
    weights: what another seed would have trained is not in them.
    """
    import pandas as pd
    from tqdm import tqdm

    settings = settings or FusionSettings()
    runs = 1 + len(fusions) * sum(1 + sum(map(len, nulls.get(name, {}).values())) for name in modules)
    bar = tqdm(total=runs, unit="fusion", disable=None if progress else True)

    def recognised(vectors: np.ndarray | None, mode: str) -> np.ndarray:
        found = cross_validated(task, vectors, mode, settings)
        bar.update()
        return found

    judge = _Judge(task, settings)
    alone = recognised(None, "")
    rows = [judge.row(alone, fusion="none", variant="without", statistic="accuracy")]
    for fusion in fusions:
        for name, vectors in modules.items():
            own = recognised(vectors, fusion)
            rows.append(judge.row(own, fusion=fusion, variant=name, statistic="accuracy"))
            rows.append(judge.row(own - alone, fusion=fusion, variant=name, statistic="gain"))
            for null, draws in nulls.get(name, {}).items():
                other = np.mean([recognised(draw, fusion) for draw in draws], axis=0)
                told = {"fusion": fusion, "variant": f"null:{null}", "null": name}
                rows.append(judge.row(other, **told, statistic="accuracy"))
                rows.append(judge.row(other - alone, **told, statistic="gain"))
                rows.append(judge.row(own - other, fusion=fusion, variant=name, statistic="net", null=null))
    bar.close()
    return pd.DataFrame(rows, columns=list(_COLUMNS))


class _Judge:
    """Shares of frames with bootstrap intervals over groups; one resampling for all rows, so that differences are paired."""

    def __init__(self, task: PhoneFrames, settings: FusionSettings) -> None:
        names, self._group = np.unique(task.groups, return_inverse=True)
        self._frames = np.array([int((phones != _NO_PHONE).sum()) for phones in task.phones])
        rng = np.random.default_rng([settings.seed, 22])
        self._times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), settings.resamples)
        self._total = self._times @ np.bincount(self._group, self._frames)
        self._tail = 50 * (1 - settings.ci_level)
        self.counts = {"n_utterances": len(task.frames), "n_groups": len(names), "n_frames": int(self._frames.sum())}

    def row(self, correct: np.ndarray, *, null: str = "", **named: str) -> dict[str, Any]:
        drawn = self._times @ np.bincount(self._group, correct) / self._total
        low, high = np.percentile(drawn, [self._tail, 100 - self._tail])
        estimate = float(correct.sum() / self._frames.sum())
        return {**named, "null": null, "estimate": estimate, "ci_low": float(low), "ci_high": float(high), **self.counts}


def trained_weights(
    task: PhoneFrames, vectors: np.ndarray, fusion: str, settings: FusionSettings, *, trained_on: str
) -> FusionWeights:
    """Weights of a fusion trained on all utterances of the task, for :func:`analysis.wav2sem.fusion.fuse`."""
    if fusion not in TRAINED_MODES:
        raise ConfigurationError(f"Only the fusions {' and '.join(TRAINED_MODES)} have weights, not {fusion!r}.")
    model = fit(task, vectors, fusion, settings)
    return model.weights(trained_on, task.encoder, task.layer)
