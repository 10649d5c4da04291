"""Which corpus it was: a hash of what was said, by whom, and of the audio itself, wherever the files lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from analysis.corpus.audio import audio_digest
from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import AudioError, ConfigurationError

__all__ = ["corpus_hash"]


def corpus_hash(corpus: Corpus | Iterable[Utterance], *, audio: Literal["content", "header"] = "content") -> str:
    """64 hexadecimal digits that change with any id, transcript, speaker or audio, and with nothing else.

    Neither the order of the utterances nor the place, name or date of the files matters. Memory does not grow with the corpus.

    Parameters
    ----------
    corpus : Corpus or iterable of Utterance
    audio : str
        ``content`` reads every byte of the audio files; ``header`` takes duration and rate instead, for corpora of many
        gigabytes. The two never give the same hash.

    Raises
    ------
    AudioError
        If an audio file is gone.

    Notes
    -----
    The sum of the sha256 of all utterances modulo 2**256, hashed with their number: a sum does not depend on order.
    """
    if audio not in ("content", "header"):
        raise ConfigurationError(f"corpus_hash reads the audio's 'content' or its 'header', not {audio!r}.")
    total, count = 0, 0
    for utterance in corpus:
        sound = _content(utterance) if audio == "content" else f"{utterance.duration:.6f} {utterance.sampling_rate}"
        digest = hashlib.sha256()
        for part in (utterance.id, utterance.text, utterance.speaker, sound):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        total = (total + int.from_bytes(digest.digest(), "little")) % 2**256
        count += 1
    return hashlib.sha256(f"{audio} {count} {total:064x}".encode("ascii")).hexdigest()


def _content(utterance: Utterance) -> str:
    try:
        return audio_digest(utterance)
    except OSError as error:
        raise AudioError(
            f"{utterance.audio} cannot be read: {error.strerror}. It was there when the corpus was opened; restore it."
        ) from error
