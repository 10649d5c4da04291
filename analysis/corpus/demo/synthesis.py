"""Speaking the demo corpus: one synthetic voice, changed into pseudo-speakers with the WORLD vocoder.

Run as a program (``python -m analysis.corpus.demo.synthesis FOLDER``) it takes utterance ids from standard input, one a
line, and answers each with ``sha256  file name`` once the file is in place. The demo corpus runs several of these side by
side: plain child processes, because multiprocessing would run the caller's own script again.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.corpus.demo.recipe import SAMPLING_RATE, VOICE, DemoUtterance, PseudoSpeaker, plan
from analysis.errors import CorpusError
from analysis.packaged import PackagedModel

if TYPE_CHECKING:
    from hibari import Hibari

__all__ = ["change_speaker", "load_voice", "speak", "write_utterance"]

_FRAME_PERIOD = 5.0  # ms
# The voice speaks at about 200 Hz; its creaks go down to 80 Hz.
_PITCH_FLOOR, _PITCH_CEILING = 75.0, 500.0
# Of the envelope that is resynthesised: impulse responses of 32 ms, three periods of the lowest voice.
_BINS = 257
_LOUDNESS = 0.06  # root mean square
_PEAK = 0.95


def _installed_voice() -> Path:
    import hibari

    return Path(hibari.__file__).parent / "assets"


_WEIGHTS = PackagedModel(
    title="The demo corpus' voice",
    package="hibari-tts==0.2.1",
    installed=_installed_voice,
    repository="maureesewilliams/hibari",
    file="hibari.onnx",
    sha256="5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
    by_hash=True,
    error=CorpusError,
)


def load_voice() -> Hibari:
    """The synthesiser with its voice, whose weights are inside its package; else the same file from the hub.

    Raises
    ------
    CorpusError
        If the packages that speak the demo corpus are not installed, or neither source has the voice.
    """
    try:
        import pyworld  # noqa: F401
        from hibari import Hibari
    except ImportError as error:
        raise CorpusError(
            f"The demo corpus cannot be spoken: {error}. Install its voice and vocoder with "
            f"`pip install hibari-tts==0.2.1 pyworld-prebuilt==0.3.6.post1` (the voice's source is also at "
            f"https://github.com/MMWilliams/hibari), or give a corpus of recordings with --corpus."
        ) from error
    return Hibari(voice=VOICE, model=str(_WEIGHTS.weights()), threads=1)


def change_speaker(samples: np.ndarray, rate: int, speaker: PseudoSpeaker) -> np.ndarray:
    """Speech of ``samples`` as if ``speaker`` had said it, float64, at 16 kHz.

    Fundamental frequency is moved and its range scaled in log frequency; the spectral envelope and the aperiodicity are
    stretched along the frequency axis by ``speaker.tract``, which is what another vocal-tract length does to formants.
    """
    import pyworld

    speech = np.ascontiguousarray(samples, dtype=np.float64)
    pitch, times = pyworld.dio(
        speech, rate, f0_floor=_PITCH_FLOOR, f0_ceil=_PITCH_CEILING, frame_period=_FRAME_PERIOD, allowed_range=0.1
    )
    pitch = pyworld.stonemask(speech, pitch, times, rate)
    envelope = pyworld.cheaptrick(speech, pitch, times, rate, f0_floor=_PITCH_FLOOR)
    # Aperiodicity moves slowly and costs as much as all the rest: every second frame is enough.
    aperiodicity = pyworld.d4c(speech, pitch[::2].copy(), times[::2].copy(), rate, fft_size=2 * (envelope.shape[1] - 1))
    aperiodicity = np.repeat(aperiodicity, 2, axis=0)[: len(envelope)]
    voiced = pitch > 0
    if voiced.any():
        centre = np.log(pitch[voiced]).mean()
        moved = centre + np.log(speaker.pitch) + speaker.pitch_range * (np.log(pitch[voiced]) - centre)
        pitch[voiced] = np.exp(moved)
    bins = envelope.shape[1]
    # Frequencies of the 16 kHz result, looked up at their unstretched place in the source.
    frequencies = np.linspace(0.0, SAMPLING_RATE / 2, _BINS) / speaker.tract
    position = np.minimum(frequencies / (rate / 2) * (bins - 1), bins - 1)
    lower = np.minimum(position.astype(np.int64), bins - 2)
    share = position - lower

    def stretched(spectrum: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(spectrum[:, lower] * (1.0 - share) + spectrum[:, lower + 1] * share)

    return pyworld.synthesize(pitch, stretched(envelope), stretched(aperiodicity), SAMPLING_RATE, _FRAME_PERIOD)


def speak(utterance: DemoUtterance, voice: Hibari) -> np.ndarray:
    """Samples of one utterance at 16 kHz, float64, all speakers equally loud; the same bits every time."""
    spoken = voice(utterance.sentence.text, speed=utterance.speaker.speed, seed=utterance.seed)
    speech = change_speaker(spoken, voice.sample_rate, utterance.speaker)
    loudness = np.sqrt(np.mean(speech**2))
    return speech * min(_LOUDNESS / loudness, _PEAK / np.abs(speech).max())


def write_utterance(utterance: DemoUtterance, voice: Hibari, folder: Path) -> str:
    """Speak into ``folder/<id>.flac`` and give back the sha256 of the file; a half-written file is never seen."""
    import soundfile

    path = folder / f"{utterance.id}.flac"
    part = folder / f".{utterance.id}.{os.getpid()}.part"
    try:
        soundfile.write(part, speak(utterance, voice), SAMPLING_RATE, format="FLAC", subtype="PCM_16")
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return digest


def _main() -> None:
    folder = Path(sys.argv[1])
    by_id = {utterance.id: utterance for utterance in plan()}
    voice = load_voice()
    for line in sys.stdin:
        digest = write_utterance(by_id[line.strip()], voice, folder)
        sys.stdout.write(f"{digest}  {line.strip()}.flac\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
