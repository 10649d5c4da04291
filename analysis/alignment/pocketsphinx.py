"""The embedded aligner: pocketsphinx with the US English model in its wheel. Nothing to install, nothing to download.

Two passes of the library over each recording: words (with optional pauses and alternative pronunciations), then phones within
the words. What is added here: spoken words from the transcript, pronunciations for words outside its dictionary, further tries
with wide beams, a score per word, pause edges placed by the level, and phone boundaries placed by the spectrum; or, for speakers
with many recordings, by models of that speaker's phones (:mod:`analysis.alignment.monophones`).

Times: frame i of the model starts at 10 ms times i, as in HTK, Kaldi and MFA; no offset is applied.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from analysis import engine
from analysis.alignment.arpabet import without_stress
from analysis.alignment.boundaries import HOP, SAMPLING_RATE, cepstra, levels, pause_threshold, sharpened
from analysis.alignment.monophones import STATES, Monophones, Spoken, acoustic_features, estimated, placed, without_fading
from analysis.alignment.pronunciation import Pronouncer, Pronunciation, stressed
from analysis.alignment.transcript import spoken_words, transcript_notes
from analysis.alignment.types import Alignment
from analysis.config import content_hash
from analysis.corpus.utterance import Utterance
from analysis.errors import AnalysisError, ConfigurationError, Failure
from analysis.guard import attempt, is_unforeseen
from analysis.timebase import Interval

__all__ = ["PocketsphinxAligner"]

_logger = logging.getLogger(__name__)

# Digital silence before and after, so that the first and the last phone can be left for silence. The library leaves frames
# without energy out of its cepstral mean, so nothing else changes. A whole number of frames keeps the grid in place.
_PADDING_FRAMES = 10
# What is tried in turn. Best path search over the lattice stays off: it adds sentence marks of one frame, through which the phone
# pass cannot go, and drops words.
_SETTINGS = {
    "default": {},
    "wide beams": {"beam": 1e-100, "pbeam": 1e-100, "wbeam": 1e-80, "maxhmmpf": -1},
    "hardly any beams": {"beam": 1e-300, "pbeam": 1e-300, "wbeam": 1e-300, "maxhmmpf": -1},
}
_TRIES = tuple((name, frames) for name in _SETTINGS for frames in (_PADDING_FRAMES, 0))
# Quiet before and after the speech is cut off but for this much, s: long silences shift the cepstral mean and mislead the search.
_MARGIN = 0.15
_MIN_PHONE_FRAMES = 3
# Acoustic scores are logarithms to the base 1.0001, shifted right by ten bits.
_NATS = 1024 * float(np.log(1.0001))
_SHARD = 16
# Raised when a rule in this file or in transcript.py changes what comes out, so that cached alignments are made again.
_REVISION = 5
# With fewer recordings a speaker has no models of his own; of more than the second number, that many are taken to estimate them.
_LEAST_RECORDINGS = 50
_MOST_RECORDINGS = 120
# Alignments below this score per frame are likely wrong, and teach nothing.
_LOWEST_TAUGHT = -3.0


@dataclass(frozen=True)
class _Token:
    """One spoken word as the decoder knows it."""

    word: str
    name: str
    pronunciations: tuple[Pronunciation, ...]


class PocketsphinxAligner:
    """Forced alignment of English with the acoustic model and dictionary that the ``pocketsphinx`` wheel carries.

    Parameters
    ----------
    lexicon : str or path, optional
        A pronunciation dictionary (ARPAbet) whose words come before the built-in ones, which are also called ``cmudict``.
    workers : int
        Processes, one thread each. With more than one, call it under ``if __name__ == "__main__":`` in scripts.
    reestimate : {'auto', 'no'} or int
        Place boundaries by models of each speaker's phones, estimated from this aligner's first pass over that speaker's
        recordings, where a speaker has at least so many of them; ``auto`` is 50. What the corpus is must be known before:
        :meth:`prepare`, which :func:`~analysis.alignment.cache.align_cached` calls. Without it there is the first pass alone.

    Notes
    -----
    ``Alignment.confidence`` and ``word_confidence`` are acoustic scores per frame in nats, relative to the best state of each
    frame: 0 is perfect, good words of clean speech lie between -0.4 and -2, words that were not said below -2.5.
    """

    def __init__(self, *, lexicon: Path | str | None = None, workers: int = 1, reestimate: str | int = "auto") -> None:
        import pocketsphinx

        if workers < 1:
            raise ConfigurationError(f"The pocketsphinx aligner needs at least 1 worker, not {workers}.")
        self.source = f"pocketsphinx {getattr(pocketsphinx, '__version__', None) or _installed_version()}"
        self.workers = workers
        self._pronouncer = Pronouncer(lexicon)
        if not self._pronouncer.english:
            raise ConfigurationError(
                f"The pocketsphinx aligner hears English only, and the lexicon {lexicon} is in the phones of "
                f"{self._pronouncer.inventory}. For other languages take the aligner mfa or ctc, or read TextGrids."
            )
        self.lexicon = self._pronouncer.path
        self._decoders: dict[str, Any] = {}
        self._names: dict[str, _Token] = {}
        self._least = _least_recordings(reestimate)
        self._known_ids: set[str] = set()
        self._samples: dict[str, list[Utterance]] = {}
        self._samples_keys: dict[str, str] = {}
        self._models: dict[str, Monophones | None] = {}

    # -- the protocol --------------------------------------------------------------------------------------------------

    def prepare(self, utterances: Sequence[Utterance]) -> None:
        """Learn which speakers of a corpus have recordings enough for models of their own; they are estimated when needed.

        A part of the corpus that is known already changes nothing.
        """
        ids = {utterance.id for utterance in utterances}
        if ids <= self._known_ids:
            return
        self._known_ids = ids
        speakers: dict[str, list[Utterance]] = {}
        for utterance in utterances:
            speakers.setdefault(utterance.speaker, []).append(utterance)
        self._models, self._samples_keys = {}, {}
        self._samples = {
            # whichever order the corpus has: by a hash of the id
            name: sorted(own, key=lambda one: content_hash([one.id]))[:_MOST_RECORDINGS]
            for name, own in speakers.items()
            if self._least is not None and len(own) >= self._least
        }

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order."""
        models = {name: self._model(name) for name in dict.fromkeys(one.speaker for one in utterances) if name in self._samples}
        if self.workers == 1 or len(utterances) <= _SHARD:
            for utterance in utterances:
                yield self.align_one(utterance)
            return
        shards = [list(utterances[i : i + _SHARD]) for i in range(0, len(utterances), _SHARD)]
        tasks = [(shard, {one.speaker: models[one.speaker] for one in shard if one.speaker in models}) for shard in shards]
        for results in engine.map(partial(_align_shard, self.lexicon), tasks, workers=self.workers):
            yield from results

    def cache_key(self, utterance: Utterance) -> str:
        """Changes whenever the outcome could: audio content, text, dictionary, version of the library and of the rules here.

        The recordings that a speaker's models are estimated from count as well.
        """
        own = self._first_key(utterance)
        if utterance.speaker not in self._samples:
            return own
        if utterance.speaker not in self._samples_keys:
            keys = []
            for one in self._samples[utterance.speaker]:
                try:
                    keys.append(self._first_key(one))
                except (OSError, AnalysisError):  # a recording that cannot be read teaches nothing
                    keys.append("")
            self._samples_keys[utterance.speaker] = content_hash(keys)
        return content_hash([own, self._samples_keys[utterance.speaker]])

    def _first_key(self, utterance: Utterance) -> str:
        from analysis.corpus.audio import audio_digest

        lexicon = hashlib.sha256(self.lexicon.read_bytes()).hexdigest() if self.lexicon else ""
        audio = audio_digest(utterance)
        return content_hash([self.source, _REVISION, lexicon, utterance.id, utterance.text, audio])

    def _model(self, speaker: str) -> Monophones | None:
        """Models of a speaker's phones; None where too few recordings could be aligned."""
        if speaker not in self._models:
            sample = self._samples[speaker]
            shards = [sample[i : i + _SHARD] for i in range(0, len(sample), _SHARD)]
            function = partial(_spoken_shard, self.lexicon)
            found = [one for part in engine.map(function, shards, workers=self.workers) for one in part if one is not None]
            self._models[speaker] = estimated(found) if len(found) >= max(2, len(sample) // 2) else None
            _logger.info("Models of the phones of %s are estimated from %d recordings.", speaker, len(found))
        return self._models[speaker]

    # -- one utterance -------------------------------------------------------------------------------------------------

    def align_one(self, utterance: Utterance) -> Alignment | Failure:
        """The alignment of one utterance, or why there is none."""
        outcome = attempt("alignment", utterance.id, partial(self._align_one, utterance), "Mend or leave out this recording.")
        if isinstance(outcome, Failure) and is_unforeseen(outcome):
            self._decoders.clear()  # in whatever state the utterance left them, the next one begins with new ones
        return outcome

    def _align_one(self, utterance: Utterance) -> Alignment | Failure:
        first = self._first_pass(utterance)
        if isinstance(first, Failure):
            return first
        return _alignment(utterance, *first, self.source, self._models.get(utterance.speaker))

    def spoken(self, utterance: Utterance) -> Spoken | None:
        """What the first pass teaches of an utterance; None where it failed or scores too low."""
        first = attempt("alignment", utterance.id, partial(self._first_pass, utterance))
        if isinstance(first, Failure):
            return None
        _, decoded, pcm, _ = first
        lengths = [word.phones[-1][2] - word.phones[0][1] for word in decoded]
        score = float(np.average([word.score for word in decoded], weights=lengths))
        one = _spoken(decoded, pcm)
        return one if score >= _LOWEST_TAUGHT and len(one.frames) >= STATES * len(one.spans) else None

    def _first_pass(self, utterance: Utterance) -> tuple[list[_Token], list[_DecodedWord], np.ndarray, tuple[str, ...]] | Failure:
        """Words as tokens and as found, samples on the scale of 16-bit integers, and warnings."""
        from analysis.corpus.audio import read_audio

        samples = read_audio(utterance, SAMPLING_RATE)
        words = spoken_words(utterance.text, self.known)
        if not words:
            return Failure(
                "alignment", utterance.id, f"The transcript {utterance.text!r} has no words.", "Give the words that are spoken."
            )
        tokens = [self._token(word) for word in words]
        silent = sorted({token.word for token in tokens if not token.pronunciations})
        if silent:
            return Failure(
                "alignment",
                utterance.id,
                f"No pronunciation for {', '.join(map(repr, silent))}: not in the dictionary and not in Latin letters.",
                "Add them to a pronunciation dictionary and pass it as `lexicon`.",
            )
        warnings = transcript_notes(utterance.text) + [
            f"The pronunciation of {token.word!r} is guessed: {' '.join(token.pronunciations[0].phones)}."
            for token in dict.fromkeys(tokens)
            if token.pronunciations[0].source == "g2p"
        ]
        pcm = np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)
        for settings, padding in _TRIES:
            decoded = self._decode(pcm, tokens, settings, padding)
            if decoded is not None:
                break
        else:
            return _not_aligned(utterance, tokens, len(pcm) / SAMPLING_RATE)
        if settings != "default":
            warnings.append(f"Aligned only with {settings}, on a further try: does the transcript say what is spoken?")
        return tokens, decoded, pcm, tuple(warnings)

    def known(self, word: str) -> bool:
        """Whether a dictionary has the word: the user's, the decoder's or CMUdict."""
        return self._pronouncer.known(word) or self._decoder().lookup_word(word) is not None

    def pronunciations(self, word: str) -> list[tuple[str, ...]]:
        """How a word may be spoken, in phones without stress; none where no source knows it."""
        return [tuple(map(without_stress, said.phones)) for said in self._token(word).pronunciations]

    def _decoder(self, settings: str = "default") -> Any:
        if settings not in self._decoders:
            from pocketsphinx import Decoder

            self._decoders[settings] = Decoder(lm=None, bestpath=False, loglevel="FATAL", **_SETTINGS[settings])
            for token in self._names.values():
                self._teach(self._decoders[settings], token)
        return self._decoders[settings]

    def _token(self, word: str) -> _Token:
        if word in self._names:
            return self._names[word]
        plain = self._decoder().lookup_word(word)
        pronunciations = self._pronouncer(word) if not plain or word in self._pronouncer.own else self._pronouncer.written(word)
        in_decoder = bool(plain) and word not in self._pronouncer.own
        if in_decoder and not pronunciations:
            pronunciations = [Pronunciation(tuple(plain.split()), "cmudict")]
        token = _Token(word, word if in_decoder else f"added.{len(self._names)}", tuple(pronunciations))
        self._names[word] = token
        if not in_decoder:
            for decoder in self._decoders.values():
                self._teach(decoder, token)
        return token

    @staticmethod
    def _teach(decoder: Any, token: _Token) -> None:
        if token.name == token.word:
            return
        variants = dict.fromkeys(tuple(map(without_stress, said.phones)) for said in token.pronunciations)
        for number, phones in enumerate(variants, start=1):
            decoder.add_word(token.name if number == 1 else f"{token.name}({number})", " ".join(phones), False)

    def _decode(self, pcm: np.ndarray, tokens: list[_Token], settings: str, padding: int) -> list[_DecodedWord] | None:
        decoder = self._decoder(settings)
        first, last = _speech_frames(pcm)
        silence = np.zeros(padding * HOP, dtype=np.int16)
        audio = np.concatenate([silence, pcm[first * HOP : last * HOP], silence]).tobytes()
        try:
            decoder.set_align_text(" ".join(token.name for token in tokens))
            _run(decoder, audio)
            segments = decoder.seg() if decoder.hyp() is not None else None
            if segments is None or sum(_is_word(segment.word) for segment in segments) != len(tokens):
                return None
            decoder.set_alignment()
            _run(decoder, audio)
            found = decoder.get_alignment()
        except RuntimeError as error:
            _logger.debug("pocketsphinx: %s", error)
            return None
        shift = first - padding
        return [
            _DecodedWord(
                word.score * _NATS / max(word.duration, 1),
                [(phone.name, phone.start + shift, phone.start + phone.duration + shift) for phone in word],
            )
            for word in found
            if _is_word(word.name)
        ]


@dataclass
class _DecodedWord:
    score: float
    phones: list[tuple[str, int, int]]


def _is_word(name: str) -> bool:
    return not name.startswith(("<", "["))  # silence, sentence marks and noises of the library's filler dictionary


def _run(decoder: Any, audio: bytes) -> None:
    # The front end goes on tracking the noise of the recording before; without this, an alignment would depend on what was
    # aligned earlier, and so on workers, shards and what the cache held.
    decoder.reinit_feat()
    decoder.start_utt()
    try:
        decoder.process_raw(audio, full_utt=True)
    finally:
        decoder.end_utt()


def _installed_version() -> str:
    from importlib.metadata import version

    return version("pocketsphinx")


@lru_cache(maxsize=1)
def _worker_aligner(lexicon: Path | None) -> PocketsphinxAligner:
    return PocketsphinxAligner(lexicon=lexicon)


def _align_shard(lexicon: Path | None, task: tuple[list[Utterance], dict[str, Monophones | None]]) -> list[Alignment | Failure]:
    utterances, models = task
    aligner = _worker_aligner(lexicon)
    aligner._models = models
    return [aligner.align_one(utterance) for utterance in utterances]


def _spoken_shard(lexicon: Path | None, utterances: list[Utterance]) -> list[Spoken | None]:
    aligner = _worker_aligner(lexicon)
    return [aligner.spoken(utterance) for utterance in utterances]


def _least_recordings(reestimate: str | int) -> int | None:
    """Recordings that a speaker needs for models of his own, or None for no such models."""
    if reestimate in ("auto", "no"):
        return _LEAST_RECORDINGS if reestimate == "auto" else None
    try:
        least = int(reestimate)
    except ValueError:
        least = 0
    if least < 2:
        raise ConfigurationError(
            f"reestimate must be auto, no, or the least number of recordings of a speaker, 2 or more, not {reestimate!r}."
        )
    return least


def _not_aligned(utterance: Utterance, tokens: list[_Token], duration: float) -> Failure:
    n_phones = sum(min(len(said.phones) for said in token.pronunciations) for token in tokens)
    least = n_phones * _MIN_PHONE_FRAMES * HOP / SAMPLING_RATE
    if least > duration:
        reason = (
            f"The transcript has {len(tokens)} words of {n_phones} phones, which need {least:.2f} s at the least, "
            f"and the recording lasts {duration:.2f} s."
        )
    else:
        reason = (
            f"No path through the {len(tokens)} words of the transcript fits the recording of {duration:.2f} s, "
            f"not even with wide beams."
        )
    return Failure("alignment", utterance.id, reason, "Does the transcript belong to this recording, and is it complete?")


# -- from frames to intervals --------------------------------------------------------------------------------------------------


def _speech_frames(pcm: np.ndarray) -> tuple[int, int]:
    """First frame and one past the last frame of what is not quiet, with the margin, inside the recording."""
    level = levels(pcm)
    loud = np.flatnonzero(level >= pause_threshold(level))
    margin = round(_MARGIN * SAMPLING_RATE / HOP)
    if not loud.size:
        return 0, -(-len(pcm) // HOP)
    return max(0, int(loud[0]) - margin), min(-(-len(pcm) // HOP), int(loud[-1]) + 1 + margin)


def _without_fading(words: list[_DecodedWord], pcm: np.ndarray) -> None:
    """Move the end of each phone before a pause back to where the level falls below the threshold."""
    level = levels(pcm)
    threshold = pause_threshold(level)
    places = [(word, i) for word in words for i in range(len(word.phones))]
    for (word, i), (following, j) in zip(places, [*places[1:], (None, 0)], strict=True):
        label, start, end = word.phones[i]
        if following is not None and following.phones[j][1] <= end:
            continue
        while end - 1 >= start + _MIN_PHONE_FRAMES and (end - 1 >= len(level) or level[end - 1] < threshold):
            end -= 1
        word.phones[i] = (label, start, end)


def _at_changes(words: list[_DecodedWord], pcm: np.ndarray) -> None:
    """Move the boundaries between adjacent phones to where the spectrum changes."""
    places = [(word, i) for word in words for i in range(len(word.phones))]
    spans = [word.phones[i][1:] for word, i in places]
    for (word, i), (start, end) in zip(places, sharpened(spans, cepstra(pcm), shortest=_MIN_PHONE_FRAMES), strict=True):
        word.phones[i] = (word.phones[i][0], start, end)


def _spoken(words: list[_DecodedWord], pcm: np.ndarray) -> Spoken:
    """The first pass as the models of a speaker's phones take it, inside the recording."""
    frames = acoustic_features(pcm)
    spans = [(max(0, min(start, len(frames))), max(0, min(end, len(frames)))) for word in words for _, start, end in word.phones]
    return Spoken(frames, tuple(tuple(label for label, _, _ in word.phones) for word in words), tuple(spans))


def _by_models(words: list[_DecodedWord], pcm: np.ndarray, model: Monophones) -> bool:
    """Place the phones where a speaker's models have them; False where those do not know a phone, or the phones do not fit."""
    one = _spoken(words, pcm)
    labels = [label for word in one.words for label in word]
    spans = placed(model, one)
    if spans is None:
        return False
    spans = iter(without_fading(spans, labels, levels(pcm)))
    for word in words:
        word.phones = [(label, *next(spans)) for label, _, _ in word.phones]
    return True


def _alignment(
    utterance: Utterance,
    tokens: list[_Token],
    decoded: list[_DecodedWord],
    pcm: np.ndarray,
    warnings: tuple[str, ...],
    source: str,
    model: Monophones | None = None,
) -> Alignment | Failure:
    duration = len(pcm) / SAMPLING_RATE
    by_models = model is not None and _by_models(decoded, pcm, model)
    if not by_models:
        _without_fading(decoded, pcm)
        _at_changes(decoded, pcm)
    words: list[Interval] = []
    phones: list[Interval] = []
    hop = HOP / SAMPLING_RATE
    for token, word in zip(tokens, decoded, strict=True):
        labels = stressed(tuple(label for label, _, _ in word.phones), [said.phones for said in token.pronunciations])
        inside: list[Interval] = []
        for label, (_, start, end) in zip(labels, word.phones, strict=True):
            first, last = max(start * hop, 0.0), min(end * hop, duration)
            if last - first < 1e-6:  # wholly in the padding: the words do not fit into the recording
                return _not_aligned(utterance, tokens, duration)
            inside.append(Interval(round(first, 6), round(last, 6), label))
        phones.extend(inside)
        words.append(Interval(inside[0].start, inside[-1].end, token.word))
    scores = tuple(round(word.score, 4) for word in decoded)
    lengths = np.array([word.duration for word in words])
    return Alignment(
        utterance_id=utterance.id,
        words=tuple(words),
        phones=tuple(phones),
        duration=utterance.duration,
        source=source,
        confidence=round(float(np.average(scores, weights=lengths)), 4),
        word_confidence=scores,
        warnings=warnings,
        measures=(("reestimated", 1.0),) if by_models else (),
    )
