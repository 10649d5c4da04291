"""Forced alignment with a CTC model of transformers: any with a vocabulary of characters or of phones.

A CTC model says where a token is heard, in one frame or a few, and blanks in between; it does not say where a sound begins and
ends. What is made of that is stated here and in ``Alignment.source``:

- **Words** reach from their tokens to the nearest pause (50 ms below the level threshold of :mod:`analysis.alignment.boundaries`)
  or, where two words meet without one, to the middle of the frames between their tokens.
- **Phones** of a model with a phone vocabulary are heard like words' tokens; two that are neighbours meet in the middle of the
  frames between them.
- **Phones** of a model with a character vocabulary are not heard at all: the lexicon says which, and a word's time is divided
  among them in proportion to typical durations (``lexicons/durations/``), evenly in other languages. Word times are then worth
  looking at, times inside a word are not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from analysis.alignment.arpabet import without_stress
from analysis.alignment.boundaries import HOP, SAMPLING_RATE, levels, pause_threshold
from analysis.alignment.ctc_model import CtcModel
from analysis.alignment.ctc_path import best_paths, least_frames
from analysis.alignment.lexicon_files import lexicon_folder, read_rows
from analysis.alignment.pronunciation import Pronouncer
from analysis.alignment.transcript import plain_text, spoken_words, transcript_notes
from analysis.alignment.types import Alignment
from analysis.config import content_hash
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure
from analysis.guard import attempt, concerns_all, failure_row
from analysis.timebase import Interval

__all__ = ["CtcAligner"]

# Utterances that are read, sorted by length and put into batches at a time.
_WINDOW = 64
# A shorter quiet stretch may be the closure of a stop, s.
_SHORTEST_PAUSE = 0.05
# Raised when a rule here or in transcript.py changes what comes out, so that cached alignments are made again.
_REVISION = 2


@dataclass(frozen=True)
class _Plan:
    """One utterance as token ids.

    Attributes
    ----------
    words : list of str
    phones : list of tuple of str
        Of each word; empty where no pronunciation is known.
    tokens : list of int
    word_of, phone_of : list of int
        For each token, the word (-1 for delimiters) and, in phone vocabularies, the phone counted through the utterance.
    """

    words: list[str]
    phones: list[tuple[str, ...]]
    tokens: list[int]
    word_of: list[int]
    phone_of: list[int]
    warnings: tuple[str, ...]


class CtcAligner:
    """Forced alignment with a model that ``transformers.AutoModelForCTC`` loads.

    Parameters
    ----------
    model : str or path
        Hub id, or a folder as ``save_pretrained`` writes it: weights, ``config.json``, ``preprocessor_config.json``,
        ``vocab.json``.
    revision : str, optional
        Of a hub model.
    vocabulary : {'auto', 'characters', 'phones'}
        What the model's tokens stand for; told from them by default.
    lexicon, inventory : str, optional
        Pronunciations, as in :func:`analysis.alignment.pronunciation.find_lexicon`; ``cmudict`` by default.
    text : {'auto', 'english', 'as_written'}
        ``english`` writes numbers and abbreviations out; ``as_written`` takes the words between spaces. By default English where
        the lexicon is ARPAbet.
    device : str
        ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``.
    batch_seconds : float
        Audio in one batch, padding counted, s.

    Notes
    -----
    ``word_confidence`` is the mean log probability of a word's tokens over the frames in which they are heard (nats; 0 is
    certain), ``confidence`` that over all words, weighted by frames. Of several pronunciations of a word, the first is aligned.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        vocabulary: str = "auto",
        lexicon: Path | str | None = None,
        inventory: str | None = None,
        text: str = "auto",
        device: str = "auto",
        batch_seconds: float = 60.0,
    ) -> None:
        _one_of("vocabulary", vocabulary, ("auto", "characters", "phones"))
        _one_of("text", text, ("auto", "english", "as_written"))
        batch_seconds = float(batch_seconds)
        if not batch_seconds > 0:
            raise ConfigurationError(f"The ctc aligner's batch_seconds must be positive, not {batch_seconds:g}.")
        self._pronouncer = Pronouncer(lexicon, inventory)
        self._english_text = text == "english" or (text == "auto" and self._pronouncer.english)
        self._model = CtcModel(str(model), revision=revision, vocabulary=vocabulary, device=device)
        self._vocabulary = self._model.vocabulary
        self._batch_seconds = batch_seconds
        self._options = [vocabulary, self._pronouncer.inventory, self._english_text]
        how = "heard" if self._vocabulary.kind == "phones" else self._spread_by()
        self.source = f"ctc {self._model.name} {self._model.revision[:12]} (phones {how})"

    def _spread_by(self) -> str:
        return "spread by typical durations" if self._pronouncer.english else "spread evenly"

    # -- the protocol ------------------------------------------------------------------------------------------------------

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order."""
        for first in range(0, len(utterances), _WINDOW):
            yield from self._align_window(utterances[first : first + _WINDOW])

    def cache_key(self, utterance: Utterance) -> str:
        """Changes whenever the outcome could: model, dictionary, options, audio content, text, the rules here."""
        from analysis.corpus.audio import audio_digest

        path = self._pronouncer.path
        lexicon = hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
        audio = audio_digest(utterance)
        return content_hash(
            [self.source, self._model.revision, _REVISION, lexicon, self._options, utterance.id, utterance.text, audio]
        )

    def _align_window(self, utterances: Sequence[Utterance]) -> list[Alignment | Failure]:
        outcomes: dict[int, Alignment | Failure] = {}
        ready: list[tuple[int, np.ndarray, _Plan]] = []
        for place, utterance in enumerate(utterances):
            found = self._prepared(utterance)
            if isinstance(found, Failure):
                outcomes[place] = found
            else:
                ready.append((place, *found))
        for batch in self._in_batches(ready):
            outcomes |= self._outcomes(utterances, batch)
        return [outcomes[place] for place in range(len(utterances))]

    def _prepared(self, utterance: Utterance) -> tuple[np.ndarray, _Plan] | Failure:
        from analysis.corpus.audio import read_audio

        remedy = "Mend the transcript, or take a model that has these signs."
        plan = attempt("alignment", utterance.id, partial(self._plan, utterance), remedy)
        if isinstance(plan, Failure):
            return plan
        reading = partial(read_audio, utterance, self._model.sampling_rate)
        samples = attempt("alignment", utterance.id, reading, "Mend or leave out this recording.")
        return samples if isinstance(samples, Failure) else (samples, plan)

    def _outcomes(
        self, utterances: Sequence[Utterance], batch: list[tuple[int, np.ndarray, _Plan]]
    ) -> dict[int, Alignment | Failure]:
        """The outcome of each item of a batch, by place; what fails together is tried in halves, down to one recording."""
        try:
            log_probs, frames = self._model.log_probs([samples for _, samples, _ in batch])
            fits = [count >= least_frames(plan.tokens) for count, (_, _, plan) in zip(frames, batch, strict=True)]
            heard = [bool(log_probs[row, :count].isfinite().any(dim=-1).all()) for row, count in enumerate(frames)]
            kept = [row for row, (fit, known) in enumerate(zip(fits, heard, strict=True)) if fit and known]
            paths = iter(
                best_paths(
                    log_probs[kept], [frames[row] for row in kept], [batch[row][2].tokens for row in kept], self._vocabulary.blank
                )
                if kept
                else ()
            )
            found: dict[int, Alignment | Failure] = {}
            for row, (place, samples, plan) in enumerate(batch):
                utterance = utterances[place]
                if not heard[row]:
                    found[place] = self._no_numbers(utterance)
                    continue
                path = next(paths) if fits[row] else None
                if path is None:
                    found[place] = _too_short(utterance, plan, frames[row])
                else:
                    scores = log_probs[row, : frames[row]].cpu().numpy()
                    found[place] = attempt(
                        "alignment", utterance.id, partial(self._alignment, utterance, plan, path, scores, samples)
                    )
            return found
        except Exception as error:
            if concerns_all(error):
                raise
            if len(batch) == 1:
                place = batch[0][0]
                return {place: failure_row("alignment", utterances[place].id, error, "Leave out this recording.")}
        half = len(batch) // 2
        return self._outcomes(utterances, batch[:half]) | self._outcomes(utterances, batch[half:])

    def _no_numbers(self, utterance: Utterance) -> Failure:
        return Failure(
            "alignment",
            utterance.id,
            f"The model {self._model.name} gives probabilities that are no numbers for it.",
            "Look at the recording; where it happens to all, the model's weights are damaged.",
        )

    # -- what is to be aligned ---------------------------------------------------------------------------------------------

    def _plan(self, utterance: Utterance) -> _Plan:
        words = (
            spoken_words(utterance.text, self._pronouncer.known)
            if self._english_text
            else _words_as_written(plain_text(utterance.text))
        )
        if not words:
            raise AlignmentError(f"The transcript {utterance.text!r} has no words.")
        said = {word: self._pronouncer(word) for word in dict.fromkeys(words)}
        guessed = transcript_notes(utterance.text) + [
            f"The pronunciation of {w!r} is guessed: {' '.join(s[0].phones)}."
            for w, s in said.items()
            if s and s[0].source == "g2p"
        ]
        silent = [word for word, pronunciations in said.items() if not pronunciations]
        hears_phones = self._vocabulary.kind == "phones"
        if silent and hears_phones:
            raise AlignmentError(f"No pronunciation for {', '.join(map(repr, silent))} in the lexicon.")
        doubts = [f"No pronunciation for {word!r} in the lexicon: the word has no phones." for word in silent]
        phones = [said[word][0].phones if said[word] else () for word in words]
        tokens: list[int] = []
        word_of: list[int] = []
        phone_of: list[int] = []
        count = 0
        for place, word in enumerate(words):
            if place and self._vocabulary.delimiter is not None:
                tokens.append(self._vocabulary.delimiter)
                word_of.append(-1)
                phone_of.append(-1)
            units = (
                self._vocabulary.transcribed(phones[place], self._pronouncer.inventory)
                if hears_phones
                else [self._vocabulary.spelled(word)]
            )
            for unit in units:
                tokens += unit
                word_of += [place] * len(unit)
                phone_of += [count] * len(unit)
                count += 1
        return _Plan(words, phones, tokens, word_of, phone_of, (*guessed, *doubts))

    def _in_batches(self, ready: list[tuple[int, np.ndarray, _Plan]]) -> Iterator[list[tuple[int, np.ndarray, _Plan]]]:
        """The longest first, so that clips of a batch are about as long and a batch that is too large fails at once."""
        most = int(self._batch_seconds * self._model.sampling_rate)
        batch: list[tuple[int, np.ndarray, _Plan]] = []
        for item in sorted(ready, key=lambda item: -len(item[1])):
            if batch and (not self._model.takes_batches or (len(batch) + 1) * len(batch[0][1]) > most):
                yield batch
                batch = []
            batch.append(item)
        if batch:
            yield batch

    # -- from frames to intervals ------------------------------------------------------------------------------------------

    def _alignment(
        self, utterance: Utterance, plan: _Plan, path: np.ndarray, scores: np.ndarray, samples: np.ndarray
    ) -> Alignment:
        edges = np.clip(self._model.edges(len(path), len(samples)), 0.0, utterance.duration)
        word_of = np.array([*plan.word_of, -1])[path]  # the path's -1, a blank, finds the last entry
        heard = _extents(word_of, len(plan.words))
        times = _word_times(
            [(float(edges[first]), float(edges[end])) for first, end in heard],
            _loudness(samples, self._model.sampling_rate),
            utterance.duration,
        )
        words = tuple(Interval(start, end, label) for (start, end), label in zip(times, plan.words, strict=True))
        if self._vocabulary.kind == "phones":
            phone_of = np.array([*plan.phone_of, -1])[path]
            n_phones = sum(map(len, plan.phones))
            phones = _phones_heard(
                words, plan.phones, [(float(edges[a]), float(edges[b])) for a, b in _extents(phone_of, n_phones)]
            )
        else:
            phones = _phones_spread(words, plan.phones, self._pronouncer.english)
        tokens = np.array([*plan.tokens, self._vocabulary.blank])[path]
        said = scores[np.arange(len(path)), tokens]
        frames = [word_of == number for number in range(len(words))]
        confidence = tuple(round(float(said[mask].mean()), 4) for mask in frames)
        return Alignment(
            utterance_id=utterance.id,
            words=words,
            phones=phones,
            duration=utterance.duration,
            source=self.source,
            confidence=round(float(np.average(confidence, weights=[mask.sum() for mask in frames])), 4),
            word_confidence=confidence,
            inventory=self._pronouncer.inventory,
            warnings=plan.warnings,
        )


def _words_as_written(text: str) -> list[str]:
    """What stands between spaces, lower case, without punctuation around it."""
    bare = (re.sub(r"^[\W_]+|[\W_]+$", "", word) for word in text.split())
    return [word.lower() for word in bare if word]


def _extents(owner: np.ndarray, count: int) -> list[tuple[int, int]]:
    """First frame and end of what each of ``count`` owners is heard in."""
    found = []
    for number in range(count):
        frames = np.flatnonzero(owner == number)
        found.append((int(frames[0]), int(frames[-1]) + 1))
    return found


def _loudness(samples: np.ndarray, rate: int) -> np.ndarray:
    if rate != SAMPLING_RATE:
        import soxr

        samples = soxr.resample(samples, rate, SAMPLING_RATE, quality="HQ")
    level = levels(32768.0 * samples)
    return level >= pause_threshold(level)


def _word_times(heard: list[tuple[float, float]], loud: np.ndarray, duration: float) -> list[tuple[float, float]]:
    """Start and end of each word, from where its tokens are heard."""
    edges = [0.0, *(end for _, end in heard)]
    limits = [*(start for start, _ in heard), duration]
    bounds = []
    for number, (low, high) in enumerate(zip(edges, limits, strict=True)):
        pause = _pause(loud, low, high, at_end=number == len(heard), at_start=number == 0)
        middle = 0.5 * (low + high) if 0 < number < len(heard) else (low if number == 0 else high)
        bounds.append(pause or (middle, middle))
    return [(round(left[1], 6), round(right[0], 6)) for left, right in pairwise(bounds)]


def _pause(loud: np.ndarray, low: float, high: float, *, at_start: bool, at_end: bool) -> tuple[float, float] | None:
    """The longest quiet stretch in ``[low, high)``: at the recording's start the last one, at its end the first one."""
    hop = HOP / SAMPLING_RATE
    first, end = int(np.ceil(low / hop - 1e-9)), int(np.floor(high / hop + 1e-9))
    quiet = np.concatenate([[0], (~loud[first:end]).astype(int), [0]])
    changes = np.flatnonzero(np.diff(quiet))
    runs = [
        (a + first, b + first)
        for a, b in zip(changes[::2], changes[1::2], strict=True)
        if (b - a) * hop >= _SHORTEST_PAUSE - 1e-9
    ]
    if not runs:
        return None
    run = runs[-1] if at_start else runs[0] if at_end else max(runs, key=lambda run: run[1] - run[0])
    return max(low, run[0] * hop), min(high, run[1] * hop)


def _phones_heard(
    words: tuple[Interval, ...], phones: list[tuple[str, ...]], heard: list[tuple[float, float]]
) -> tuple[Interval, ...]:
    """Phones at their tokens: neighbours meet in the middle, and the outer ones reach to the word's edges."""
    found = []
    place = 0
    for word, labels in zip(words, phones, strict=True):
        spans = heard[place : place + len(labels)]
        place += len(labels)
        bounds = [word.start, *(0.5 * (a[1] + b[0]) for a, b in pairwise(spans)), word.end]
        found += _between(bounds, labels)
    return tuple(found)


def _phones_spread(words: tuple[Interval, ...], phones: list[tuple[str, ...]], english: bool) -> tuple[Interval, ...]:
    """The word's time divided among its phones in proportion to typical durations."""
    found = []
    for word, labels in zip(words, phones, strict=True):
        weights = [_typical_durations().get(without_stress(label), 1.0) if english else 1.0 for label in labels]
        shares = np.concatenate([[0.0], np.cumsum(weights)]) / max(sum(weights), 1e-9)
        bounds = [word.start, *(word.start + float(share) * word.duration for share in shares[1:-1]), word.end]
        found += _between(bounds, labels) if labels else []
    return tuple(found)


def _between(bounds: list[float], labels: Sequence[str]) -> list[Interval]:
    return [
        Interval(start, end, label)
        for (start, end), label in zip(pairwise(round(bound, 6) for bound in bounds), labels, strict=True)
    ]


@lru_cache(maxsize=1)
def _typical_durations() -> dict[str, float]:
    rows = read_rows(lexicon_folder() / "durations" / "arpabet.tsv", ("symbol", "milliseconds"))
    return {row["symbol"]: float(row["milliseconds"]) for row in rows}


def _too_short(utterance: Utterance, plan: _Plan, frames: int) -> Failure:
    least = least_frames(plan.tokens)
    if frames < least:
        reason = (
            f"The transcript has {len(plan.words)} words of {len(plan.tokens)} tokens, which need {least} frames at the least, "
            f"and the recording of {utterance.duration:.2f} s has {frames}."
        )
    else:
        reason = f"No path through the {len(plan.words)} words of the transcript has a probability above zero."
    return Failure("alignment", utterance.id, reason, "Does the transcript belong to this recording, and is it complete?")


def _one_of(option: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ConfigurationError(f"The ctc aligner has no {option} {value!r}. Choose one of {', '.join(valid)}.")
