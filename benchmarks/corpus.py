"""How long corpora take to open, and how much memory: prints a table, asserts nothing.

``python benchmarks/corpus.py`` builds LibriSpeech-like trees of two sizes in a temporary folder, writes a manifest of each in a
process of its own and prints its time and its peak memory; then speaks the demo corpus into an empty folder and opens it again.
``--full`` makes the larger tree as large as LibriSpeech-960: 281,241 utterances.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

LIBRISPEECH_960 = 281_241
_CHAPTER = 48  # utterances in a chapter of LibriSpeech, about
_WRITE = """
import resource, sys, time
from analysis.corpus import iter_corpus, write_manifest
start = time.perf_counter()
written = write_manifest(iter_corpus(sys.argv[1]), sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(written.n_utterances, written.n_failures, time.perf_counter() - start, peak)
"""


def build_tree(root: Path, size: int) -> None:
    """Lay out ``size`` utterances as LibriSpeech does; the audio files are links to one short recording a speaker."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(3200)
    source = root.parent / f"{root.name}-audio"
    source.mkdir(parents=True)
    for chapter in range((size + _CHAPTER - 1) // _CHAPTER):
        speaker = chapter // 2
        recording = source / f"{speaker}.flac"
        if not recording.exists():
            soundfile.write(recording, samples, 16000)
        folder = root / "train-other-500" / str(speaker) / str(chapter)
        folder.mkdir(parents=True)
        lines = []
        for number in range(min(_CHAPTER, size - chapter * _CHAPTER)):
            name = f"{speaker}-{chapter}-{number:04d}"
            os.link(recording, folder / f"{name}.flac")
            lines.append(f"{name} AND SO THE MATTER RESTED FOR THE WHOLE OF THAT LONG WINTER NUMBER {number}\n")
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{LIBRISPEECH_960:,} utterances in the larger tree")
    parser.add_argument("--workers", type=int, help="processes that speak the demo corpus")
    parser.add_argument("--only", choices=("manifest", "demo"), help="one of the two measurements")
    options = parser.parse_args()
    sizes = (LIBRISPEECH_960 // 10, LIBRISPEECH_960) if options.full else (LIBRISPEECH_960 // 100, LIBRISPEECH_960 // 10)
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "demo":
            _manifests(Path(folder), sizes)
        if options.only != "manifest":
            _demo(Path(folder) / "demo", options.workers)


def _manifests(folder: Path, sizes: tuple[int, ...]) -> None:
    print(f"{'utterances':>10} {'manifest':>9} {'seconds':>8} {'utt/s':>7} {'peak MiB':>9}")
    for size in sizes:
        root = folder / f"LibriSpeech-{size}"
        build_tree(root, size)
        for suffix in (".csv", ".parquet"):
            command = [sys.executable, "-c", _WRITE, str(root), str(folder / f"{size}{suffix}")]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parent.parent)
            n_utterances, n_failures, seconds, peak = map(float, done.stdout.split())
            if n_failures or n_utterances != size:
                print(f"expected {size} utterances, got {n_utterances:.0f} and {n_failures:.0f} failures")
            print(f"{size:>10,} {suffix:>9} {seconds:>8.1f} {size / seconds:>7,.0f} {peak:>9.0f}", flush=True)


def _demo(folder: Path, workers: int | None) -> None:
    from analysis.corpus import corpus_hash, demo_corpus, read_audio

    def timed(what: str, function):
        start = time.perf_counter()
        result = function()
        print(f"{what:32} {time.perf_counter() - start:8.2f} s", flush=True)
        return result

    corpus = timed("demo corpus, spoken", lambda: demo_corpus(folder, workers=workers, progress=False))
    timed("demo corpus, opened and checked", lambda: demo_corpus(folder))
    timed("its hash", lambda: corpus_hash(corpus))
    timed("its samples read", lambda: [read_audio(utterance) for utterance in corpus])
    spoken = os.times()
    print(f"{'processor time for all':32} {spoken.user + spoken.system + spoken.children_user + spoken.children_system:8.2f} s")


if __name__ == "__main__":
    main()
