"""Waveforms to pooled vectors: read ahead, encode, pool at once, keep only what was pooled."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.corpus.utterance import Utterance
from analysis.embeddings.pooling import Span, frames_of, pool, pooled_dims, require_pooling
from analysis.embeddings.types import SyllableEmbeddings, UtteranceFrames
from analysis.encoders.types import Encoder
from analysis.encoders.waveforms import check_layers, fault_of
from analysis.errors import ConfigurationError, Failure
from analysis.guard import attempt, concerns_all, failure_row, is_out_of_memory
from analysis.timebase import FrameGrid
from analysis.wav2sem.types import Semantics, UtteranceVectors
from analysis.wav2sem.vectors import not_finite_vector

if TYPE_CHECKING:
    import torch

__all__ = [
    "Extraction",
    "Pooled",
    "Recipe",
    "assemble",
    "describe",
    "iter_pooled",
    "make_recipe",
    "sitting_on",
    "tokens_by_utterance",
]

_log = logging.getLogger(__name__)

SLICINGS = ("feature", "audio")

# Seconds of audio in one packed batch where packing pays (an accelerator). On a processor one clip is a batch: measured, packing
# gains nothing there, because a clip's matrices already fill the cores.
_BATCH_SECONDS = 240.0

# Threads that read recordings ahead of an accelerator. A processor needs one: while others compute there is nothing to gain.
_READERS = 4


@dataclass(frozen=True)
class Recipe:
    """What is done to every utterance.

    Attributes
    ----------
    layers : tuple of int
    pooling : str
        A key of :data:`analysis.embeddings.pooling.POOLINGS`.
    slicing : {"feature", "audio"}
        ``feature``: the whole utterance is encoded and frames are taken out, so a token has heard its context. ``audio``: the
        token's samples are cut out and encoded alone.
    keep_frames : bool
        Keep the frames of every token beside what is pooled from them.
    """

    layers: tuple[int, ...]
    pooling: str = "mean"
    slicing: str = "feature"
    keep_frames: bool = False


@dataclass(frozen=True)
class Pooled:
    """What is kept of one utterance.

    Attributes
    ----------
    utterance : str
    rows : ndarray of int, shape (n,)
        Positions in the utterance's token table of the tokens that have a vector.
    vectors : ndarray, shape (n, layers, dims), float32
    counts : ndarray of int, shape (n,)
        Frames pooled.
    n_frames : int
        Of the utterance; 0 when it could not be encoded.
    mean : ndarray, shape (layers, dims)
    frame_norm : ndarray, shape (layers,)
    semantics : mapping of str to ndarray
    failures : tuple of Failure
    frames : tuple of ndarray, shape (layers, frames, dims), float32
        Of each token in ``rows``, where the recipe keeps them.
    """

    utterance: str
    rows: np.ndarray
    vectors: np.ndarray
    counts: np.ndarray
    n_frames: int
    mean: np.ndarray
    frame_norm: np.ndarray
    semantics: Mapping[str, np.ndarray] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    frames: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """Pooled vectors with what could not be pooled.

    Attributes
    ----------
    embeddings : SyllableEmbeddings
    failures : list of Failure
    semantics : dict of str to UtteranceVectors
        Vectors of the semantic modules that sit on this encoder, made in the same pass, by the name on their card.
    """

    embeddings: SyllableEmbeddings
    failures: list[Failure]
    semantics: dict[str, UtteranceVectors] = field(default_factory=dict)


def sitting_on(encoder: Encoder, semantics: Sequence[Semantics]) -> tuple[Semantics, ...]:
    """Those modules that take their vectors from this encoder's hidden states."""
    import torch

    card = encoder.card
    if not semantics:
        return ()
    probe = torch.zeros(card.layers, 8, card.dims, device=encoder.device)
    with torch.inference_mode():
        return tuple(module for module in semantics if module.from_states(probe, f"{card.name}@{card.revision}") is not None)


def make_recipe(encoder: Encoder, *, layers: Sequence[int | str] | None, pooling: str, slicing: str) -> Recipe:
    """The settings, checked against the encoder."""
    if slicing not in SLICINGS:
        raise ConfigurationError(
            f"Slicing {slicing!r} is not known. Choose feature (cut frames, context heard) or audio (cut samples, no context)."
        )
    if slicing == "audio" and hasattr(encoder, "frames_of"):
        raise ConfigurationError(f"{encoder.card.name} has frames and no audio to cut; use --slicing feature.")
    return Recipe(check_layers(layers, encoder.card), require_pooling(pooling), slicing)


def tokens_by_utterance(utterances: Iterable[Utterance], tokens: pd.DataFrame) -> tuple[list[Utterance], dict[str, pd.DataFrame]]:
    """Utterances that have tokens, in their order, and the token rows of each (index kept).

    Raises
    ------
    ConfigurationError
        If tokens belong to utterances that are not there, or an utterance id comes twice.
    """
    missing = {"utterance", "start", "nucleus_start", "coda_start", "end"} - set(tokens.columns)
    if missing:
        raise ConfigurationError(f"The token table lacks the columns {', '.join(sorted(missing))}.")
    groups = dict(iter(tokens.groupby("utterance", sort=False)))
    chosen, seen = [], set()
    for utterance in utterances:
        if utterance.id in seen:
            raise ConfigurationError(f"Utterance {utterance.id} comes twice; ids must be unique.")
        seen.add(utterance.id)
        if utterance.id in groups:
            chosen.append(utterance)
    unknown = [name for name in groups if name not in seen]
    if unknown:
        raise ConfigurationError(
            f"{len(unknown)} utterances of the token table are not among the utterances given, the first is {unknown[0]!r}. "
            f"Do tokens and utterances come from the same corpus?"
        )
    return chosen, groups


def iter_pooled(
    encoder: Encoder,
    groups: Sequence[Sequence[Utterance]],
    tokens: Mapping[str, pd.DataFrame],
    recipe: Recipe,
    *,
    semantics: Sequence[Semantics] = (),
    workers: int | None = None,
    batch_seconds: float | None = None,
    progress: bool = False,
) -> Iterator[Pooled]:
    """What is kept of each utterance, in their order, never holding more than a group and a few at a time.

    No batch holds utterances of two ``groups``, so what is computed for a group does not depend on the groups beside it.
    """
    from tqdm import tqdm

    on_processor = encoder.device.type == "cpu"
    workers = (_cores() if on_processor else 1) if workers is None else max(1, workers)
    budget = (0.0 if on_processor else _BATCH_SECONDS) if batch_seconds is None else batch_seconds
    batches = [list(_batches(group, budget)) for group in groups]
    job = _Job(encoder, recipe, tokens, tuple(semantics))
    bar = tqdm(total=sum(map(len, groups)), desc=f"encode {encoder.card.name}", unit="utt", disable=None if progress else True)
    readers = ThreadPoolExecutor(1 if on_processor else _READERS, thread_name_prefix="read")
    with bar, readers, _threads_of_one_core(workers, on_processor) as pool_of_workers:
        for done in _in_order(readers, pool_of_workers, job, batches, 2 * workers, bar.update):
            yield from done


class _Job:
    """Encode and pool one batch of utterances; what every worker runs."""

    def __init__(
        self, encoder: Encoder, recipe: Recipe, tokens: Mapping[str, pd.DataFrame], semantics: tuple[Semantics, ...]
    ) -> None:
        self.encoder, self.recipe, self.tokens, self.semantics = encoder, recipe, tokens, semantics
        self.host = f"{encoder.card.name}@{encoder.card.revision}"

    def read(self, batch: Sequence[Utterance]) -> list[np.ndarray | Failure]:
        """Waveform of each utterance, or why there is none; runs ahead of the encoding. Empty where frames were made elsewhere."""
        return [] if hasattr(self.encoder, "frames_of") else [self._read(utterance) for utterance in batch]

    def __call__(self, batch: Sequence[Utterance], read: Future[list[np.ndarray | Failure]]) -> list[Pooled]:
        """Results in the order of ``batch``."""
        if hasattr(self.encoder, "frames_of"):
            return [self._precomputed(utterance) for utterance in batch]
        results: dict[str, Pooled] = {}
        heard: list[tuple[Utterance, np.ndarray]] = []
        for utterance, waveform in zip(batch, read.result(), strict=True):
            if isinstance(waveform, Failure):
                results[utterance.id] = self._empty(utterance, waveform)
            else:
                heard.append((utterance, waveform))
        layers = None if self.semantics else self.recipe.layers
        states_of_each = self._encode([(utterance.id, waveform) for utterance, waveform in heard], layers)
        for (utterance, waveform), states in zip(heard, states_of_each, strict=True):
            results[utterance.id] = self._outcome(utterance, waveform, states)
        return [results[utterance.id] for utterance in batch]

    def _precomputed(self, utterance: Utterance) -> Pooled:
        """Frames that were made elsewhere: no audio is read."""
        layers = None if self.semantics else self.recipe.layers
        states = attempt("embeddings", utterance.id, partial(self.encoder.frames_of, utterance, layers))
        return self._outcome(utterance, None, states)

    def _outcome(self, utterance: Utterance, waveform: np.ndarray | None, states: torch.Tensor | Failure) -> Pooled:
        if isinstance(states, Failure):
            return self._empty(utterance, states)
        pooled = attempt("embeddings", utterance.id, partial(self._pooled, utterance, waveform, states))
        return self._empty(utterance, pooled) if isinstance(pooled, Failure) else pooled

    def _read(self, utterance: Utterance) -> np.ndarray | Failure:
        from analysis.corpus import read_audio

        reading = partial(read_audio, utterance, sampling_rate=self.encoder.card.sampling_rate)
        waveform = attempt("embeddings", utterance.id, reading, "mend or remove the recording")
        if isinstance(waveform, Failure):
            return waveform
        fault = fault_of(waveform, self.encoder.card)
        return waveform if fault is None else Failure("embeddings", utterance.id, *fault)

    def _encode(self, clips: list[tuple[str, np.ndarray]], layers: Sequence[int] | None) -> list[torch.Tensor | Failure]:
        """Hidden states of each clip, by its name, or why it has none: what fails together is tried in halves, down to one clip."""
        import torch

        if not clips:
            return []
        try:
            return list(self.encoder.encode([waveform for _, waveform in clips], layers))
        except Exception as error:
            if concerns_all(error):
                raise
            if len(clips) == 1:
                return [failure_row("embeddings", clips[0][0], error, "leave it out, or encode it with another encoder")]
            half = len(clips) // 2
            if is_out_of_memory(error):
                _log.warning("%d clips do not fit the device's memory at once; trying %d", len(clips), half)
        # only here, where the error with the frames that hold its tensors is gone
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._encode(clips[:half], layers) + self._encode(clips[half:], layers)

    def _pooled(self, utterance: Utterance, waveform: np.ndarray | None, states: torch.Tensor) -> Pooled:
        import torch

        card, recipe = self.encoder.card, self.recipe
        failures: list[Failure] = []
        with torch.inference_mode():
            chosen = states[list(recipe.layers)] if self.semantics else states
            frames = chosen.float()
            norms = frames.norm(dim=2)
            usable: torch.Tensor | None = None  # where not every frame is a finite number in every layer: which are
            if not torch.isfinite(norms).all():
                usable = torch.isfinite(norms).all(dim=0)
                if not usable.any():
                    return self._empty(utterance, self._not_finite(utterance, norms, usable, None))
                # so that nothing of a bad frame reaches the tokens that it is no part of
                frames = torch.where(usable[None, :, None], frames, 0.0)
                chosen = frames
                states = states[:, usable]
            extra = self._vectors(utterance, states, failures)
            table = self.tokens[utterance.id]
            columns = ("start", "nucleus_start", "coda_start", "end")
            spans = [Span(*times) for times in table[list(columns)].itertuples(index=False, name=None)]
            reasons: dict[int, tuple[str, str]] = {}
            if recipe.slicing == "feature":
                grid = self._grid(waveform)
                vectors, counts = pool(chosen, spans, grid, recipe.pooling)
                found = vectors.cpu().numpy()
                kept = self._kept(chosen, spans, grid)
                spoilt = [] if usable is None else [row for row, part in enumerate(_parts(usable, spans, grid)) if not part]
                for row in spoilt:
                    counts[row] = 0
            else:
                found, counts, kept, reasons = self._pooled_alone(utterance, waveform, spans)
                spoilt = []
            if usable is not None:
                failures.append(self._not_finite(utterance, norms, usable, len(spoilt)))
                frames, norms = frames[:, usable], norms[:, usable]
            mean = frames.mean(dim=1).cpu().numpy()
            norm = norms.mean(dim=1).cpu().numpy()
        rows = np.flatnonzero(np.asarray(counts) > 0)
        for row in np.flatnonzero(np.asarray(counts) == 0):
            if row in spoilt:
                continue
            reason, remedy = reasons.get(
                int(row),
                (
                    f"no frame of {card.name} has its centre in [{spans[row].start:.3f}, {spans[row].end:.3f}) s; the utterance has "
                    f"{chosen.shape[1]} frames, one every {1000 / card.grid.rate:.0f} ms",
                    "check the alignment: the token is very short or lies outside the audio",
                ),
            )
            failures.append(Failure("embeddings", f"{utterance.id} token {_token(table, row)}", reason, remedy))
        return Pooled(
            utterance=utterance.id,
            rows=rows,
            vectors=np.ascontiguousarray(found[rows]),
            counts=np.asarray(counts, dtype=np.int64)[rows],
            n_frames=int(chosen.shape[1]),
            mean=mean,
            frame_norm=norm,
            semantics=extra,
            failures=tuple(failures),
            frames=tuple(kept[row] for row in rows) if recipe.keep_frames else (),
        )

    def _vectors(self, utterance: Utterance, states: torch.Tensor, failures: list[Failure]) -> dict[str, np.ndarray]:
        """Of each module that sits on this encoder; what it has no vector for is noted in ``failures``."""
        extra = {}
        for module in self.semantics:
            vector = attempt("semantics", utterance.id, partial(module.from_states, states, self.host), "leave it out")
            if isinstance(vector, Failure):
                failures.append(vector)
                continue
            if vector is None:
                continue
            values = vector.float().cpu().numpy()
            if np.isfinite(values).all():
                extra[module.card.name] = values
            else:
                failures.append(not_finite_vector(utterance.id, module.card.name))
        return extra

    def _not_finite(self, utterance: Utterance, norms: torch.Tensor, usable: torch.Tensor, tokens: int | None) -> Failure:
        """The row of a recording some of whose frames are no numbers; ``tokens`` of it have no vector for that, None for all."""
        import torch

        bad = (~torch.isfinite(norms)).any(dim=1).tolist()
        layers = ", ".join(str(layer) for layer, is_bad in zip(self.recipe.layers, bad, strict=True) if is_bad)
        precision = self._precision
        lost = "it has no vector" if tokens is None else f"{tokens} of its tokens have no vector"
        reason = (
            f"{self.encoder.card.name} gives values that are NaN, infinite or too large in {int((~usable).sum())} of {len(usable)} frames "
            f"(layers {layers}, computed in {precision}): {lost}"
        )
        remedy = "look at the recording" + ("" if precision == "float32" else ", or encode with --dtype float32")
        if tokens is None:
            remedy = "check the encoder's weights, or the recording" + (
                "" if precision == "float32" else ", and try --dtype float32"
            )
        return Failure("embeddings", utterance.id, reason, remedy, "warning" if tokens == 0 else "error")

    def _kept(self, states: torch.Tensor, spans: Sequence[Span], grid: FrameGrid) -> list[np.ndarray]:
        """Copies of the frames of each span, where they are wanted: a view would hold the whole utterance."""
        if not self.recipe.keep_frames:
            return []
        return [np.array(frames.cpu().numpy(), dtype=np.float32, order="C") for frames in frames_of(states, spans, grid)]

    def _pooled_alone(
        self, utterance: Utterance, waveform: np.ndarray, spans: Sequence[Span]
    ) -> tuple[np.ndarray, list[int], list[np.ndarray], dict[int, tuple[str, str]]]:
        """Vectors of tokens cut out of the audio and encoded without their context, how many frames each has, those frames, and
        why some have none."""
        card, recipe = self.encoder.card, self.recipe
        rate = card.sampling_rate
        pieces = [waveform[round(span.start * rate) : round(span.end * rate)] for span in spans]
        usable = [index for index, piece in enumerate(pieces) if fault_of(piece, card) is None]
        found = np.zeros((len(spans), len(recipe.layers), pooled_dims(recipe.pooling, card.dims)), dtype=np.float32)
        counts = [0] * len(spans)
        kept = [np.empty((len(recipe.layers), 0, card.dims), dtype=np.float32)] * len(spans)
        reasons: dict[int, tuple[str, str]] = {}
        clips = [(f"{utterance.id}, {spans[i].start:.3f} to {spans[i].end:.3f} s", pieces[i]) for i in usable]
        for index, states in zip(usable, self._encode(clips, recipe.layers), strict=True):
            if isinstance(states, Failure):
                reasons[index] = states.reason, states.remedy
                continue
            # Every frame of the piece belongs to the token: the span ends with the last frame's centre, not before it.
            grid = self._grid(pieces[index])
            length = max(len(pieces[index]) / rate, float(grid.centers(states.shape[1])[-1]) + 1 / rate)
            span = spans[index].shifted(spans[index].start)
            whole = [Span(0.0, span.nucleus_start, span.coda_start, length)]
            vectors, frames = pool(states, whole, grid, recipe.pooling)
            vector = vectors[0].cpu().numpy()
            if not np.isfinite(vector).all():
                reason = f"{card.name} gives values that are NaN or infinite for it, computed in {self._precision}"
                reasons[index] = reason, "look at the recording, or encode with --dtype float32"
                continue
            found[index], counts[index] = vector, frames[0]
            kept[index : index + 1] = self._kept(states, whole, grid) or kept[index : index + 1]
        return found, counts, kept, reasons

    @property
    def _precision(self) -> str:
        return getattr(self.encoder, "precision", "float32")

    def _grid(self, waveform: np.ndarray | None) -> FrameGrid:
        """Where the frames of this clip lie; encoders that resample frames stretch their grid a little with each clip."""
        own = getattr(self.encoder, "clip_grid", None)
        return self.encoder.card.grid if own is None or waveform is None else own(len(waveform))

    def _empty(self, utterance: Utterance, failure: Failure) -> Pooled:
        n_layers, dims = len(self.recipe.layers), self.encoder.card.dims
        return Pooled(
            utterance=utterance.id,
            rows=np.empty(0, dtype=np.int64),
            vectors=np.empty((0, n_layers, pooled_dims(self.recipe.pooling, dims)), dtype=np.float32),
            counts=np.empty(0, dtype=np.int64),
            n_frames=0,
            mean=np.zeros((n_layers, dims), dtype=np.float32),
            frame_norm=np.zeros(n_layers, dtype=np.float32),
            failures=(failure,),
        )


def _parts(usable: torch.Tensor, spans: Sequence[Span], grid: FrameGrid) -> Iterator[bool]:
    """Whether every frame of each span is usable."""
    for span in spans:
        yield bool(usable[grid.frames(span.start, span.end, len(usable))].all())


def _token(table: pd.DataFrame, row: int) -> Any:
    return table["token"].iloc[row] if "token" in table else table.index[row]


def assemble(
    encoder: Encoder,
    tokens: pd.DataFrame,
    results: Sequence[Pooled],
    recipe: Recipe,
    semantics: Sequence[Semantics],
    provenance: Mapping[str, Any],
) -> Extraction:
    """All results as one table, rows in the order of the token table."""
    groups = {name: np.asarray(rows) for name, rows in tokens.groupby("utterance", sort=False).indices.items()}
    dims = pooled_dims(recipe.pooling, encoder.card.dims)
    positions = np.concatenate([groups[one.utterance][one.rows] for one in results] or [np.empty(0, dtype=np.int64)])
    vectors = np.concatenate([one.vectors for one in results] or [np.empty((0, len(recipe.layers), dims), dtype=np.float32)])
    counts = np.concatenate([one.counts for one in results] or [np.empty(0, dtype=np.int64)])
    order = np.argsort(positions, kind="stable")
    table = tokens.iloc[positions[order]].reset_index(drop=True)
    table["n_frames"] = counts[order]
    encoded = [one for one in results if one.n_frames > 0]
    frames = UtteranceFrames(
        utterances=tuple(one.utterance for one in encoded),
        n_frames=np.array([one.n_frames for one in encoded], dtype=np.int64),
        mean=np.stack([one.mean for one in encoded])
        if encoded
        else np.empty((0, len(recipe.layers), encoder.card.dims), dtype=np.float32),
        frame_norm=np.stack([one.frame_norm for one in encoded])
        if encoded
        else np.empty((0, len(recipe.layers)), dtype=np.float32),
    )
    vectors_of_modules = {}
    for module in semantics:
        known = [one for one in encoded if module.card.name in one.semantics]
        if known:
            stacked = np.stack([one.semantics[module.card.name] for one in known]).astype(np.float32)
            vectors_of_modules[module.card.name] = UtteranceVectors(tuple(one.utterance for one in known), stacked, module.card)
    embeddings = SyllableEmbeddings(table, vectors[order], recipe.layers, frames, provenance)
    return Extraction(embeddings, [failure for one in results for failure in one.failures], vectors_of_modules)


def describe(
    encoder: Encoder,
    recipe: Recipe,
    semantics: Sequence[Semantics],
    tokens: pd.DataFrame,
    *,
    alignment_source: str,
    corpus: str,
    storage: str,
) -> dict[str, Any]:
    """Everything that decides the vectors, as plain data."""
    from importlib.metadata import version

    return {
        "encoder": asdict(encoder.card),
        "precision": getattr(encoder, "precision", "float32"),
        "layers": list(recipe.layers),
        "pooling": recipe.pooling,
        "slicing": recipe.slicing,
        "storage": storage,
        "semantics": [asdict(module.card) for module in semantics],
        "unit": "+".join(sorted(set(tokens["unit"]))) if "unit" in tokens else "",
        "aligner": alignment_source,
        "corpus": corpus,
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
    }


def _batches(utterances: Sequence[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Neighbouring utterances together while they do not exceed ``seconds``; at least one in each."""
    batch: list[Utterance] = []
    total = 0.0
    for utterance in utterances:
        if batch and total + utterance.duration > seconds:
            yield batch
            batch, total = [], 0.0
        batch.append(utterance)
        total += utterance.duration
    if batch:
        yield batch


def _in_order(
    readers: ThreadPoolExecutor,
    workers: ThreadPoolExecutor,
    job: _Job,
    groups: Sequence[Sequence[list[Utterance]]],
    ahead: int,
    encoded: Callable[[int], Any],
) -> Iterator[list[Pooled]]:
    """Results in the order of ``groups`` and of the batches in each, with at most ``ahead`` batches read or being encoded.

    The longest batch of a group is begun first: in the order of the files a long clip at the end keeps one worker while the others
    have nothing left to do, and one at the front keeps them waiting. ``encoded`` is called with the utterances of each batch that
    is done.
    """
    order = [
        (number, place)
        for number, batches in enumerate(groups)
        for place in sorted(range(len(batches)), key=lambda place: -sum(one.duration for one in batches[place]))
    ]
    to_come = iter(order)
    running: dict[Future[list[Pooled]], tuple[int, int]] = {}
    done: dict[tuple[int, int], list[Pooled]] = {}
    left = [len(batches) for batches in groups]
    try:
        for number, batches in enumerate(groups):
            while left[number]:
                for key in islice(to_come, ahead - len(running)):
                    batch = groups[key[0]][key[1]]
                    running[workers.submit(job, batch, readers.submit(job.read, batch))] = key
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    done[key] = future.result()
                    left[key[0]] -= 1
                    encoded(len(done[key]))
            for place in range(len(batches)):
                yield done.pop((number, place))
    finally:
        for future in running:
            future.cancel()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@contextmanager
def _threads_of_one_core(workers: int, on_processor: bool) -> Iterator[ThreadPoolExecutor]:
    """Worker threads in which torch computes on one core each; the caller's own setting is left as it was.

    Threads and not processes: torch lets go of the interpreter's lock while it computes, so two threads of one core each are
    as fast as two processes, and they need no second import of torch and transformers (five seconds) nor a second copy of the
    weights, and no ``if __name__ == "__main__"`` in the user's script.
    """
    import torch

    before = torch.get_num_threads()

    def begin() -> None:
        if on_processor:
            torch.set_num_threads(1)

    executor = ThreadPoolExecutor(workers, thread_name_prefix="encode", initializer=begin)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)
