"""Training speech that nobody spoke: sentences read by a synthesiser in ever-changing voices, rooms and channels.

The synthesiser has one voice. A module trained on it alone would learn that voice, so each clip draws its own pitch, intonation
range, vocal-tract length, pace, room, channel, noise and pauses. Pitch is changed inside the vocoder (its pulse train),
vocal-tract length by resampling, pace by the duration model, room and channel by products in the frequency domain: together they
cost a fifth of the synthesis itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.frames import Recorded
from analysis.wav2sem.text import normalized

__all__ = ["Clip", "Speaker", "Voice", "plan_clips", "read_sentences", "split_sentences", "spoken", "text_hash"]

RATE = 16000

#: What the voices in the background say.
_BABBLE = (
    "Well, I told them we would meet after lunch, but nobody wrote it down.",
    "The train was late again, so we walked along the river and had some tea.",
    "She never said how much it cost, and I did not want to ask her twice.",
    "Put the blue boxes by the door, please, and leave the small ones here.",
    "It rained all night, which is good for the garden and bad for my shoes.",
    "He plays every Thursday with his brother, and they always lose the last game.",
)


@dataclass(frozen=True)
class Clip:
    """Sentences spoken one after the other in one voice.

    Attributes
    ----------
    sentences : tuple of str
        As printed: the synthesiser reads punctuation.
    seed : int
        Draws the voice and everything else that varies.
    """

    sentences: tuple[str, ...]
    seed: int


def read_sentences(path: Path) -> list[str]:
    """Sentences of a text file, one a line, in order; those whose words were seen before are left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SemanticsError(f"{path} cannot be read as UTF-8 text: {error}. Give a file with one sentence per line.") from error
    seen: dict[str, str] = {}
    for line in lines:
        words = normalized(line)
        if words:
            seen.setdefault(words, line.strip())
    if not seen:
        raise SemanticsError(f"{path} holds no sentence. Give a file with one sentence per line.")
    return list(seen.values())


def text_hash(text: str) -> str:
    """Hexadecimal sha256 of the normalised words: the same for every spelling of one sentence."""
    return hashlib.sha256(normalized(text).encode()).hexdigest()


def split_sentences(
    sentences: Sequence[str], *, test: int = 300, validation: int = 200, exclude: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Training, validation and test sentences, split by the hash of their words, so that the split outlives the file's order.

    Parameters
    ----------
    sentences : sequence of str
    test, validation : int
        How many to hold out.
    exclude : sequence of str
        Texts on which the module will be tested elsewhere: no training sentence may share six words in a row with them.
    """
    if test + validation >= len(sentences):
        raise ConfigurationError(
            f"{len(sentences)} sentences cannot give {test} test and {validation} validation sentences and some to train on. "
            "Give more sentences or hold out fewer."
        )
    order = sorted(sentences, key=text_hash)
    held = {"test": order[:test], "validation": order[test : test + validation]}
    kept_apart = set(order[: test + validation])
    tested = {gram for text in exclude for gram in _six_grams(text)}
    whole = {normalized(text) for text in exclude}
    train = [s for s in sentences if s not in kept_apart and normalized(s) not in whole and not tested & _six_grams(s)]
    return {"train": train, **held}


def _six_grams(text: str) -> set[tuple[str, ...]]:
    words = normalized(text).split()
    return {tuple(words[i : i + 6]) for i in range(len(words) - 5)}


def plan_clips(
    sentences: Sequence[str], *, seed: int, single: float = 0.4, most_words: int = 42, most_sentences: int = 4
) -> list[Clip]:
    """Clips that together say every sentence once: some alone, some followed by their neighbours in the text.

    Parameters
    ----------
    sentences : sequence of str
        In the order of the text, so that neighbours belong together.
    seed : int
    single : float
        Share of clips of one sentence.
    most_words, most_sentences : int
        Limits of a clip; 42 words last some 14 s, as long as a LibriSpeech utterance.
    """
    rng = np.random.default_rng([seed, 1])
    clips: list[Clip] = []
    group: list[str] = []
    words = room = 0
    for sentence in sentences:
        length = len(normalized(sentence).split())
        if group and (len(group) >= room or words + length > most_words):
            clips.append(Clip(tuple(group), int(rng.integers(2**31))))
            group, words = [], 0
        if not group:
            room = 1 if rng.random() < single else int(rng.integers(2, most_sentences + 1))
        group.append(sentence)
        words += length
    if group:
        clips.append(Clip(tuple(group), int(rng.integers(2**31))))
    return [clips[i] for i in rng.permutation(len(clips))]


@dataclass(frozen=True)
class Voice:
    """Everything in which one clip differs from another.

    Attributes
    ----------
    pitch : float
        Mean fundamental frequency in Hz.
    intonation : float
        Factor on the pitch range, in semitones.
    tract : float
        Factor on the formant frequencies: under 1 for a longer vocal tract.
    pace : float
        Factor on the speaking rate.
    lead, tail, gap : float
        Silence before, after and between sentences, s.
    snr : float or None
        Signal-to-noise ratio in dB; None for no noise.
    noise_slope : float
        Fall of the noise spectrum, dB per octave.
    reverberation : float
        Reverberation time in s; 0 for none.
    reverberation_level : float
        Reverberant energy over direct energy.
    cutoff : float
        Upper edge of the channel, Hz.
    tilt : tuple of float
        Gains in dB at 0.1, 0.4, 1, 2, 4 and 8 kHz.
    babble : bool
        Noise made of other speech.
    """

    pitch: float
    intonation: float
    tract: float
    pace: float
    lead: float
    tail: float
    gap: float
    snr: float | None
    noise_slope: float
    reverberation: float
    reverberation_level: float
    cutoff: float
    tilt: tuple[float, ...]
    babble: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Voice:
        """A voice, room and channel at random."""
        tall = rng.random() < 0.5
        pitch = np.exp(rng.uniform(np.log(80), np.log(150))) if tall else np.exp(rng.uniform(np.log(150), np.log(270)))
        tract = rng.uniform(0.78, 0.96) if tall else rng.uniform(0.90, 1.14)
        return cls(
            pitch=float(pitch),
            intonation=float(rng.uniform(0.5, 1.5)),
            tract=float(tract),
            pace=float(np.exp(rng.uniform(np.log(0.92), np.log(1.4)))),
            lead=float(rng.uniform(0, 0.6)),
            tail=float(rng.uniform(0, 0.5)),
            gap=float(rng.uniform(0.05, 0.5)),
            snr=None if rng.random() < 0.15 else float(rng.uniform(8, 35)),
            noise_slope=float(rng.uniform(0, 6)),
            reverberation=0.0 if rng.random() < 0.4 else float(rng.uniform(0.1, 0.7)),
            reverberation_level=float(10 ** rng.uniform(-1.3, 0)),
            cutoff=8000.0 if rng.random() < 0.5 else float(rng.uniform(3400, 8000)),
            tilt=tuple(float(x) for x in rng.normal(0, 4, 6)),
            babble=bool(rng.random() < 0.2),
        )

    @classmethod
    def plain(cls) -> Voice:
        """The synthesiser's own voice, clean and close."""
        return cls(204.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.2, None, 0.0, 0.0, 0.0, 8000.0, (0.0,) * 6, False)


class Speaker:
    """The synthesiser with changing voices (package ``hibari-tts``, its built-in voice)."""

    own_pitch = 204.0
    """Mean fundamental frequency of the built-in voice, Hz."""

    def __init__(self) -> None:
        try:
            from hibari import Hibari
        except ImportError as error:
            raise SemanticsError(
                "Synthesising training speech needs the package hibari-tts, which is not installed. "
                "Install it with: pip install hibari-tts"
            ) from error
        self._tts = Hibari(threads=1)

    @cached_property
    def _babble(self) -> np.ndarray:
        """Half a minute of several voices at once, always the same, so that a clip depends on its own seed alone."""
        ring = np.zeros(30 * RATE, np.float32)
        for k, sentence in enumerate(_BABBLE * 4):
            rng = np.random.default_rng([k, 4])
            wave = self._read(sentence, Voice.drawn(rng), rng)
            at = int(rng.integers(len(ring)))
            ring[(at + np.arange(len(wave))) % len(ring)] += wave
        return ring

    def speak(self, clip: Clip, voice: Voice) -> tuple[np.ndarray, list[tuple[float, float]]]:
        """Waveform at 16 kHz, float32, and the start and end of every sentence in s."""
        rng = np.random.default_rng([clip.seed, 2])
        silence = lambda seconds: np.zeros(round(seconds * RATE), np.float32)  # noqa: E731
        parts, spans, at = [silence(voice.lead)], [], round(voice.lead * RATE)
        for k, sentence in enumerate(clip.sentences):
            if k:
                parts.append(silence(voice.gap))
                at += len(parts[-1])
            speech = self._read(sentence, voice, rng)
            parts.append(speech)
            spans.append((at / RATE, (at + len(speech)) / RATE))
            at += len(speech)
        parts.append(silence(voice.tail))
        return self._through(np.concatenate(parts), voice, rng), spans

    def _read(self, sentence: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
        import soxr
        from hibari import dsp

        pieces = []
        for phonemes in self._tts.phonemize(sentence):
            ids = np.asarray([self._tts.ids(phonemes)], np.int64)
            if ids.shape[1] < 3:
                continue
            speed = np.asarray([voice.pace / voice.tract], np.float32)  # resampling below changes the pace by `tract`
            lh, th, ln, lr, phi, f0 = (part[0] for part in self._tts.sess.run(None, {"ids": ids, "speed": speed}))
            if voice.pitch != self.own_pitch or voice.intonation != 1:
                voiced = f0 > 40
                # the harmonic branch is ragged around the voice's own harmonics: smoothed, it serves any pitch
                lh = _smoothed(lh, 7)
                low = np.s_[:150]  # below 3 kHz the residual branch carries the original harmonics
                lr = lr.copy()
                lr[low] = np.where(voiced, lr[low] - 1.0, lr[low])
                octaves = np.log2(np.maximum(f0, 41) / self.own_pitch) * voice.intonation
                f0 = np.where(voiced, voice.pitch / voice.tract * 2.0**octaves, 0.0)
                f0 = np.where(voiced, np.clip(f0, 50, 600), 0.0).astype(np.float32)
            wave = dsp.synth(lh, th, ln, lr, phi, f0, rng)
            pieces.append(soxr.resample(wave, dsp.SR * voice.tract, RATE, quality="MQ"))
        return np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(RATE // 10, np.float32)

    def _through(self, wave: np.ndarray, voice: Voice, rng: np.random.Generator) -> np.ndarray:
        import scipy.fft

        n = scipy.fft.next_fast_len(len(wave) + RATE // 2, real=True)
        spectrum = scipy.fft.rfft(wave, n)
        hertz = np.fft.rfftfreq(n, 1 / RATE).astype(np.float32)
        octave = np.log2(np.maximum(hertz, 50))
        gain = np.interp(octave, np.log2([100, 400, 1000, 2000, 4000, 8000]), voice.tilt)
        channel = (10 ** (gain / 20)).astype(np.float32)
        if voice.reverberation:
            taps = np.arange(1, round(min(voice.reverberation, 0.5) * RATE)) / RATE
            room = np.zeros(len(taps) + 1, np.float32)
            room[1:] = rng.standard_normal(len(taps)) * np.exp(-6.9 * taps / voice.reverberation)
            room[: round(0.004 * RATE)] *= 0.3
            room *= np.sqrt(voice.reverberation_level / max(float(np.sum(room**2)), 1e-9))
            room[0] = 1
            spectrum = spectrum * scipy.fft.rfft(room, n)
        out = scipy.fft.irfft(spectrum * channel, n)[: len(wave)]
        level = float(np.sqrt(np.mean(out**2))) + 1e-9
        if voice.snr is not None:
            if voice.babble:
                at = int(rng.integers(len(self._babble)))
                noise = np.take(self._babble, at + np.arange(len(out)), mode="wrap")
            else:
                shape = (np.maximum(hertz, 60) / 1000) ** (-voice.noise_slope / 6.02)
                flat = rng.standard_normal(len(hertz)) + 1j * rng.standard_normal(len(hertz))
                noise = scipy.fft.irfft(flat * shape, n)[: len(wave)]
            out = out + noise * level * 10 ** (-voice.snr / 20) / (float(np.sqrt(np.mean(noise**2))) + 1e-9)
        if voice.cutoff < 8000:
            spectrum = scipy.fft.rfft(out, n)
            spectrum *= 1 / (1 + (hertz / voice.cutoff) ** 24)
            out = scipy.fft.irfft(spectrum, n)[: len(wave)]
        return (out * (0.3 / (float(np.max(np.abs(out))) + 1e-9))).astype(np.float32)


def _smoothed(spectrum: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return uniform_filter1d(spectrum, width, axis=0, mode="nearest")


def spoken(speaker: Speaker, clips: Sequence[Clip], voices: str = "drawn") -> Iterator[tuple[Recorded, np.ndarray]]:
    """The clips one after the other, with their waveforms.

    Parameters
    ----------
    speaker : Speaker
    clips : sequence of Clip
    voices : str
        ``drawn`` (a new one for every clip) or ``plain`` (the synthesiser's own).
    """
    if voices not in {"drawn", "plain"}:
        raise ConfigurationError(f"voices are 'drawn' or 'plain', not {voices!r}.")
    for clip in clips:
        voice = Voice.plain() if voices == "plain" else Voice.drawn(np.random.default_rng([clip.seed, 3]))
        wave, spans = speaker.speak(clip, voice)
        yield Recorded(str(clip.seed), clip.sentences, tuple(spans)), wave
