"""Boundary errors of the embedded aligner on every recording beside the checkout that has a reference, with and without the
change-point rule of analysis/alignment/boundaries.py; and which wrong alignments the quality limits find.

    python benchmarks/alignment.py [--data ../shared/data]             # boundary errors
    python benchmarks/alignment.py --wrong 200 [--noise 20 10 5]       # sentences removed, added, swapped; boundaries moved

The references are of different kinds: a hidden Markov model on 10 ms frames (autovot_1054), one on 5 ms frames (cmu_arctic), people
(praatio_examples), a neural network (ljspeech_bfa). Only the third is what one would call truth, and it has two recordings.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from analysis.alignment import Alignment, boundaries, boundary_errors, make_aligner, quality_table, read_textgrid
from analysis.alignment.agreement import agreement_table
from analysis.alignment.pocketsphinx import PocketsphinxAligner
from analysis.corpus.audio import read_audio, read_header
from analysis.corpus.labels import read_labels
from analysis.corpus.utterance import Utterance
from analysis.timebase import Interval

SETS = ("autovot_1054", "cmu_arctic", "praatio_examples", "ljspeech_bfa")
KINDS = ("right", "sentence removed", "sentence added", "swapped")


def references(data: Path, name: str) -> list[tuple[Utterance, Alignment]]:
    """Recordings of one set with their reference."""
    found = []
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"].startswith(name) and row["has_alignment"] == "yes":
                path, labels = data / row["path"], data / row["alignment_path"]
                header = read_header(path)
                utterance = Utterance(path.stem, path, row["transcript"], row["speaker"], header.duration, header.sampling_rate)
                if labels.suffix == ".lab":
                    reference = Alignment(utterance.id, (), tuple(read_labels(labels)), utterance.duration, "reference")
                else:
                    reference = read_textgrid(labels, utterance_id=utterance.id, duration=utterance.duration)
                found.append((utterance, reference))
    return found


# -- alignments that are wrong -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrase:
    """A stretch of one recording between two pauses, with its words; samples ``(n,)``, 16 kHz."""

    speaker: str
    samples: np.ndarray
    words: tuple[str, ...]


def phrases(data: Path, aligner: PocketsphinxAligner) -> list[Phrase]:
    """The shared recordings of sentences, cut at their pauses into pieces of at least four words."""
    found = []
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["path"].startswith("fsdd")]
    for row in rows:
        path = data / row["path"]
        header = read_header(path)
        utterance = Utterance(row["path"], path, row["transcript"], row["speaker"], header.duration, header.sampling_rate)
        samples = read_audio(utterance, 16000)
        words = aligner.align_one(utterance).words
        start, inside = 0.0, []
        for i, word in enumerate(words):
            inside.append(word.label)
            left = len(words) - i - 1
            until = words[i + 1].start if left else utterance.duration
            if not left or (until - word.end > 0.2 and len(inside) >= 4 and left >= 4 and word.end - start > 1.0):
                end = 0.5 * (word.end + until) if left else until
                found.append(Phrase(row["speaker"], samples[round(start * 16000) : round(end * 16000)], tuple(inside)))
                start, inside = end, []
    return found


def case(kind: str, pool: list[Phrase], rng: np.random.Generator) -> tuple[list[Phrase], list[Phrase]]:
    """Phrases that are spoken, and those that the transcript has: one to three of a speaker, one too few or too many, or others."""
    speakers = sorted({phrase.speaker for phrase in pool})

    def drawn(n: int) -> list[int]:
        speaker = speakers[rng.integers(len(speakers))]
        own = [i for i, phrase in enumerate(pool) if phrase.speaker == speaker]
        if len(own) < n:
            own = list(range(len(pool)))
        return [int(i) for i in rng.choice(own, n, replace=False)]

    if kind == "right":
        spoken = written = drawn(int(rng.integers(1, 4)))
    elif kind in ("sentence removed", "sentence added"):
        whole = drawn(int(rng.integers(2, 4)))
        gap = int(rng.integers(len(whole)))
        less = whole[:gap] + whole[gap + 1 :]
        spoken, written = (whole, less) if kind == "sentence removed" else (less, whole)
    else:  # swapped: the transcript of another recording, of about as many words
        spoken = drawn(int(rng.integers(1, 3)))
        n = sum(len(pool[i].words) for i in spoken)
        others = [drawn(len(spoken)) for _ in range(30)]
        others = [one for one in others if not {pool[i].words for i in one} & {pool[i].words for i in spoken}]
        written = min(others, key=lambda one: abs(np.log(sum(len(pool[i].words) for i in one) / n)))
    return [pool[i] for i in spoken], [pool[i] for i in written]


def with_noise(samples: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """The recording with steady noise of its own long-term spectrum, ``snr`` dB below its active frames."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    width = max(1, len(power) // 200)
    shape = np.sqrt(np.convolve(power, np.ones(width) / width, "same"))
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=len(samples))) * shape, len(samples))
    frames = (samples[: len(samples) // 400 * 400].reshape(-1, 400) ** 2).mean(axis=1)
    active = frames[frames >= np.percentile(frames, 95) / 1000].mean()
    return samples + noise * np.sqrt(active / 10 ** (snr / 10) / np.mean(noise**2))


def detection(data: Path, n: int, noises: Sequence[float | None]) -> None:
    """Shares of wrong alignments that are found, and of right ones that are marked, each recording judged alone."""
    aligner = make_aligner("pocketsphinx")
    pool = phrases(data, aligner)
    print(f"\n{len(pool)} phrases; {n} of each kind; marked, or no path found, each recording judged alone")
    print(f"{'noise':8} {'kind':18} {'found':>8} {'of these no path':>17}   which measures, alone")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.wav"
        for snr in noises:
            for number, kind in enumerate(KINDS):
                found, lost, why = 0, 0, Counter()
                for i in range(n):
                    rng = np.random.default_rng([i, number])
                    spoken, written = case(kind, pool, rng)
                    samples = np.concatenate([phrase.samples for phrase in spoken]).astype(np.float64)
                    if snr is not None:
                        samples = with_noise(samples, snr, rng)
                    soundfile.write(path, np.clip(samples, -1, 1), 16000)
                    text = " ".join(word for phrase in written for word in phrase.words)
                    utterance = Utterance(f"{kind}-{i}", path, text, "s", len(samples) / 16000, 16000)
                    outcome = aligner.align_one(utterance)
                    if not isinstance(outcome, Alignment):
                        found, lost = found + 1, lost + 1
                        continue
                    row = quality_table([outcome], [utterance]).iloc[0]
                    found += bool(row["marked"])
                    why.update(re.sub(r"[^a-z ]", "", reason)[:40].strip() for reason in row["reasons"].split("; ") if reason)
                label = "none" if snr is None else f"{snr:g} dB"
                reasons = ", ".join(f"{name} {count}" for name, count in why.most_common(4))
                print(f"{label:8} {kind:18} {found / n:8.1%} {lost:>17}   {reasons}", flush=True)


def drift(data: Path) -> None:
    """Shares of alignments marked when all are late by the same, or have boundaries that scatter, against those in place."""
    aligner = make_aligner("pocketsphinx")
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["path"].startswith("fsdd")]
    utterances = []
    for row in rows:
        header = read_header(data / row["path"])
        utterances.append(
            Utterance(row["path"], data / row["path"], row["transcript"], row["speaker"], header.duration, header.sampling_rate)
        )
    right = [one for one in aligner.align(utterances) if isinstance(one, Alignment)]
    print(f"\n{len(right)} recordings, boundaries moved; marked by the fit of boundaries to the spectrum")
    for name, late, scatter in (
        ("in place", 0.0, 0.0), ("20 ms scatter", 0.0, 0.02), ("40 ms scatter", 0.0, 0.04), ("60 ms scatter", 0.0, 0.06),
        ("30 ms late", 0.03, 0.0), ("50 ms late", 0.05, 0.0), ("50 ms early", -0.05, 0.0),
    ):  # fmt: skip
        moved = [_moved(one, late, scatter, np.random.default_rng(i)) for i, one in enumerate(right)]
        alone = [quality_table([one], utterances).iloc[0] for one in moved]
        together = quality_table(moved, utterances)
        by_fit = [table["reasons"].str.contains("fit the spectrum").mean() for table in (pd.DataFrame(alone), together)]
        print(f"{name:16} alone {by_fit[0]:7.1%}   the whole corpus {by_fit[1]:7.1%}", flush=True)


def _moved(one: Alignment, late: float, scatter: float, rng: np.random.Generator) -> Alignment:
    times = sorted({time for phone in one.phones for time in (phone.start, phone.end)})
    new = np.sort(np.clip(np.array(times) + late + rng.normal(0, scatter, len(times)), 0, one.duration))
    place = dict(zip(times, new.tolist(), strict=True))

    def moved(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        pairs = [(place[each.start], place[each.end], each.label) for each in intervals]
        return tuple(Interval(start, end, label) for start, end, label in pairs if end > start)

    return replace(one, words=moved(one.words), phones=moved(one.phones), word_confidence=None, source="moved")


def main() -> None:
    """Print one line for each set and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="wrong alignments of each kind, instead of errors")
    parser.add_argument("--noise", type=float, nargs="*", default=[], help="signal-to-noise ratios to measure them at too, dB")
    options = parser.parse_args()
    if options.wrong:
        detection(options.data, options.wrong, [None, *options.noise])
        drift(options.data)
        return
    aligner = make_aligner("pocketsphinx")
    reach = boundaries._REACH
    print(f"{'set':18} {'change point':>12} {'boundaries':>10} {'within 10':>9} {'within 20':>9} {'within 50':>9} {'mean':>7}")
    for name in SETS:
        pairs = references(options.data, name)
        for on in (False, True):
            boundaries._REACH = reach if on else 0
            found = list(aligner.align([utterance for utterance, _ in pairs]))
            errors = boundary_errors(zip((reference for _, reference in pairs), found, strict=True))
            row = agreement_table(errors).set_index(["tier", "group"]).loc[("phones", "all")]
            shares = "".join(f" {row[f'within_{t}']:7.1f} %" for t in (10, 20, 50))
            print(f"{name:18} {'yes' if on else 'no':>12} {row['n'] - row['unmatched']:>10.0f}{shares} {row['mean_ms']:4.1f} ms")


if __name__ == "__main__":
    main()
