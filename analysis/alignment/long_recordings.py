"""A long recording with a transcript without times: divided into utterances where both surely agree.

The recording is recognised with a language model of its own transcript; runs of words that the recogniser and the transcript have
in common are anchors; pauses inside anchors are where it is cut (Moreno, Joerg, Van Thong, Glickman 1998, A recursive algorithm
for the forced alignment of very long audio segments, ICSLP; one pass of it). English only, as the acoustic model is.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np

from analysis.alignment.boundaries import HOP, SAMPLING_RATE, levels
from analysis.alignment.pocketsphinx import PocketsphinxAligner
from analysis.alignment.transcript import spoken_words
from analysis.corpus.conversations import LONG, LONGEST, PAUSE
from analysis.corpus.recording import part_id
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure
from analysis.guard import attempt

__all__ = ["Heard", "divided", "language_model", "segments"]

# Words in common that make an anchor: three do not come together by chance in a transcript of thousands.
_ANCHOR = 3
# Pauses of an anchor that a cut may lie in, s.
_LEAST_PAUSE = 0.1
# The recogniser is given stretches of about this length, cut where it is quietest, s.
_STRETCH = 20.0
# Shares of the words of a segment that were recognised: below, transcript and sound do not belong together.
_LEAST_RECOGNISED = 0.5
# Words per second: no one speaks faster, and slower ones hold speech that the transcript lacks.
_SLOWEST, _FASTEST = 0.6, 7.0


@dataclass(frozen=True)
class Heard:
    """One recognised word with its times, s."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class _Cut:
    """Between two words of the transcript: how many stand before, when, and how long the pause is, s."""

    words: int
    time: float
    pause: float


def divided(
    items: Iterable[Utterance | Failure], aligner: PocketsphinxAligner, *, longer: float = LONG
) -> Iterator[Utterance | Failure]:
    """The items, with the segments of every utterance that lasts longer than ``longer`` s in its place."""
    for item in items:
        if isinstance(item, Failure) or item.duration <= longer:
            yield item
            continue
        found = attempt("alignment", item.id, lambda utterance=item: list(segments(utterance, aligner)), "Mend or leave it out.")
        yield from [found] if isinstance(found, Failure) else found


def segments(utterance: Utterance, aligner: PocketsphinxAligner) -> Iterator[Utterance | Failure]:
    """The parts of a long recording with their own words, or a failure for each stretch where it and its transcript differ.

    Parameters
    ----------
    utterance : Utterance
    aligner : PocketsphinxAligner
        Knows how words are pronounced.

    Notes
    -----
    Cuts lie in the middle of pauses between two anchored words: at every pause of half a second, and at the longest ones of what is
    still over 20 s. A stretch is a failure where fewer than half of its words were recognised, or where its words are too many or
    too few for its length.
    """
    from analysis.corpus.audio import read_audio

    samples = read_audio(utterance, SAMPLING_RATE)
    # what is spoken for each word as it is written: 1914 is three words, and belongs into one segment
    written = [(token, spoken_words(token, aligner.known)) for token in utterance.text.split()]
    written = [(token, spoken) for token, spoken in written if spoken]
    words = [word for _, spoken in written for word in spoken]
    if not words:
        yield Failure(
            "alignment", utterance.id, f"The transcript {utterance.text[:80]!r} has no words.", "Give the words that are spoken."
        )
        return
    heard = _recognised(samples, words, aligner)
    place = _matched(words, heard)
    cuts = _cuts(written, place, heard, len(samples) / SAMPLING_RATE)
    for first, last in pairwise(cuts):
        if first.words == last.words:
            continue
        yield _segment(utterance, written, place, first, last)


def _segment(
    utterance: Utterance, written: list[tuple[str, list[str]]], place: list[int], first: _Cut, last: _Cut
) -> Utterance | Failure:
    chosen = written[first.words : last.words]
    begin = sum(len(spoken) for _, spoken in written[: first.words])
    count = sum(len(spoken) for _, spoken in chosen)
    found = sum(one >= 0 for one in place[begin : begin + count])
    start, end = (utterance.start or 0.0) + first.time, (utterance.start or 0.0) + last.time
    name = part_id(utterance.id, start, end)
    text = " ".join(token for token, _ in chosen)
    rate = count / (last.time - first.time)
    if found < _LEAST_RECOGNISED * count or not _SLOWEST <= rate <= _FASTEST:
        return Failure(
            "alignment",
            name,
            f"From {start:.2f} to {end:.2f} s of {utterance.audio}, transcript and sound do not agree: {found} of {count} words "
            f"were recognised, and {rate:.1f} words a second would be spoken. The transcript there: {text[:120]!r}.",
            "Mend the transcript there, or leave this stretch out; what lies beside it was kept.",
        )
    return replace(utterance, id=name, text=text, start=start, duration=last.time - first.time)


# -- recognition ---------------------------------------------------------------------------------------------------------------


def _recognised(samples: np.ndarray, words: Sequence[str], aligner: PocketsphinxAligner) -> list[Heard]:
    """What is recognised with a language model of the words alone, in order."""
    from pocketsphinx import Decoder, NGramModel

    decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")
    known = {word: aligner.pronunciations(word) for word in dict.fromkeys(words)}
    names = {word: f"w{number}" for number, word in enumerate(known)}
    back = {name: word for word, name in names.items()}
    for word, variants in known.items():
        for number, phones in enumerate(dict.fromkeys(variants), start=1):
            decoder.add_word(names[word] if number == 1 else f"{names[word]}({number})", " ".join(phones), False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transcript.arpa"
        path.write_text(language_model([names[word] for word in words if known[word]]), encoding="utf-8")
        decoder.add_lm("transcript", NGramModel(decoder.config, decoder.logmath, str(path)))
    decoder.activate_search("transcript")
    pcm = np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)
    found: list[Heard] = []
    for first, last in _stretches(pcm):
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(pcm[first * HOP : last * HOP].tobytes(), full_utt=True)
        decoder.end_utt()
        for segment in decoder.seg() if decoder.hyp() is not None else ():
            name = segment.word.partition("(")[0]
            if name in back:
                start, end = ((first + frame) * HOP / SAMPLING_RATE for frame in (segment.start_frame, segment.end_frame + 1))
                found.append(Heard(back[name], start, end))
    return found


def _stretches(pcm: np.ndarray) -> list[tuple[int, int]]:
    """Frames from and to which the recogniser is run: about 20 s each, cut where the sound is quietest for 200 ms."""
    level = np.convolve(levels(pcm), np.ones(20) / 20, mode="same")
    step, found, first = round(_STRETCH * SAMPLING_RATE / HOP), [], 0
    while len(level) - first > 1.5 * step:
        window = level[first + step // 2 : first + step + step // 2]
        last = first + step // 2 + int(np.argmin(window))
        found.append((first, last))
        first = last
    return [*found, (first, len(level))]


def language_model(words: Sequence[str]) -> str:
    """A trigram model of a text in ARPA form, with backing off after Witten and Bell (1991).

    Parameters
    ----------
    words : sequence of str
        At least one.
    """
    text = ["<s>", *words, "</s>"]
    counts = [Counter(zip(*(text[i:] for i in range(n)), strict=False)) for n in (1, 2, 3)]
    del counts[0][("<s>",)]
    total, kinds = sum(counts[0].values()), len(counts[0])
    # every word may follow any other: recognition starts anywhere in the text
    single = {gram: (count + 1) / (total + kinds) for gram, count in counts[0].items()}
    orders: list[dict[tuple[str, ...], float]] = [single]
    backoffs: list[dict[tuple[str, ...], float]] = []
    for grams in counts[1:]:
        followers: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
        for gram, count in grams.items():
            followers[gram[:-1]][gram[-1]] = count
        here, weights = {}, {}
        lower = orders[-1]
        for history, seen in followers.items():
            mass = sum(seen.values()) + len(seen)
            for word, count in seen.items():
                here[(*history, word)] = count / mass
            left = 1.0 - sum(lower[(*history[1:], word)] for word in seen)  # the end of a seen gram was seen itself
            weights[history] = len(seen) / mass / max(left, 1e-6)
        orders.append(here)
        backoffs.append(weights)
    lines = ["\\data\\", *(f"ngram {n}={len(grams) + (n == 1)}" for n, grams in enumerate(orders, start=1)), ""]
    for n, grams in enumerate(orders, start=1):
        lines.append(f"\\{n}-grams:")
        if n == 1:
            lines.append(f"-99.0 <s> {math.log10(backoffs[0].get(('<s>',), 1.0)):.4f}")
        for gram, value in sorted(grams.items()):
            weight = f" {math.log10(backoffs[n - 1].get(gram, 1.0)):.4f}" if n < 3 and gram[-1] != "</s>" else ""
            lines.append(f"{math.log10(value):.4f} {' '.join(gram)}{weight}")
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""])


# -- from words to cuts --------------------------------------------------------------------------------------------------------


def _matched(words: Sequence[str], heard: Sequence[Heard]) -> list[int]:
    """For each word of the transcript, the recognised word that it is, or -1: runs of at least three."""
    place = [-1] * len(words)
    matcher = SequenceMatcher(None, list(words), [one.word for one in heard], autojunk=False)
    for block in matcher.get_matching_blocks():
        if block.size >= min(_ANCHOR, len(words)):
            place[block.a : block.a + block.size] = range(block.b, block.b + block.size)
    return place


def _cuts(written: list[tuple[str, list[str]]], place: list[int], heard: Sequence[Heard], duration: float) -> list[_Cut]:
    """Where the recording is cut, its start and end with them."""
    candidates, count = [], 0
    for number, (_, spoken) in enumerate(written[:-1], start=1):
        count += len(spoken)
        left, right = place[count - 1], place[count]
        if left >= 0 and right == left + 1:
            pause = heard[right].start - heard[left].end
            if pause >= _LEAST_PAUSE:
                candidates.append(_Cut(number, heard[left].end + 0.5 * pause, pause))
    cuts = [_Cut(0, 0.0, 0.0), *(cut for cut in candidates if cut.pause >= PAUSE), _Cut(len(written), duration, 0.0)]
    return [cut for first, last in pairwise(cuts) for cut in _divided(first, last, candidates)] + cuts[-1:]


def _divided(first: _Cut, last: _Cut, candidates: list[_Cut]) -> list[_Cut]:
    """``first`` and the cuts between it and ``last`` that leave no more than 20 s, where there are pauses for it."""
    inside = [cut for cut in candidates if first.words < cut.words < last.words]
    if last.time - first.time <= LONGEST or not inside:
        return [first]
    middle = max(inside, key=lambda cut: cut.pause)
    return [*_divided(first, middle, inside), *_divided(middle, last, inside)]
