"""Memory and time of `analysis.decouple --vectors` by the number of tokens stored; every measurement is a process of its own.

    python benchmarks/scale.py                                  # 10,000 and 100,000 tokens
    python benchmarks/scale.py --tokens 1000000 --layers 4      # 6 GB on disk for a while
    python benchmarks/scale.py --tokens 5000000 --layers 1

The demo's utterances, vectors and tokens are repeated under other ids, with other words at the end of each text, noise on every
vector and up to 200 speakers, and written as a store and a manifest into a temporary folder. The manifest names the demo's
recordings again and again, so that no audio is copied. No module is scored and the map is PCA. Memory is the largest sum
of resident sizes of the run and its worker processes, looked at ten times a second; pages that processes share count in each.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
SPEAKERS = 200
NOISE = 0.3


def resident(process: psutil.Process) -> int:
    """Bytes that the process and its descendants hold."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # it has ended meanwhile
            continue
    return total


def measured(command: list[str]) -> tuple[float, float, str]:
    """Seconds on the clock, peak memory in GB, and what the command writes to stderr."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        done = psutil.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.DEVNULL, stderr=errors)
        peak = 0
        while done.poll() is None:
            try:
                peak = max(peak, resident(done))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
        seconds = time.perf_counter() - began
        errors.seek(0)
        text = errors.read()
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{text}")
    return seconds, peak / 1e9, text


def small_store(folder: Path) -> None:
    """The demo under the bundled encoder: a token table, five layers."""
    command = [sys.executable, "-m", "analysis.embeddings", "demo", "--encoder", "bundled", "--out", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)


def multiplied(small: Path, folder: Path, tokens: int, layers: list[int]) -> int:
    """Write a store of at least so many tokens, and a manifest of its utterances beside it; how many tokens there are."""
    from analysis.corpus import open_corpus
    from analysis.embeddings import EmbeddingStore, SyllableEmbeddings
    from analysis.embeddings.store import ShardContent

    source = EmbeddingStore(small)
    base, configuration = SyllableEmbeddings.of_store(source, layers), source.open()["configuration"]
    corpus = {utterance.id: utterance for utterance in open_corpus("demo")}
    spoken = [name for name in base.frames.utterances if name in corpus]
    voices = sorted({corpus[name].speaker for name in spoken})
    copies = -(-tokens // len(base))
    store = EmbeddingStore(folder / "store")
    shards = [{"name": f"part-{copy:05d}", "utterances": len(spoken), "tokens": len(base)} for copy in range(copies)]
    store.begin({**configuration, "layers": layers, "corpus": "multiplied"}, shards)
    scale = NOISE * base.vectors.std(axis=0, dtype=np.float64).astype(np.float32)
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "id", "speaker", "transcript"])
        for copy in range(copies):
            # a text of its own for every copy: two words apart from all others
            end = f" {_word(copy)} {_word(copy + copies)}"
            speaker = {voice: f"s{(copy * len(voices) + number) % SPEAKERS:03d}" for number, voice in enumerate(voices)}
            for name in spoken:
                one = corpus[name]
                rows.writerow([one.audio, f"{name}-{copy}", speaker[one.speaker], one.text + end])
            table = base.tokens.assign(
                token=base.tokens["token"] + copy * len(base),
                row=np.arange(len(base)) + copy * len(base),
                utterance=base.tokens["utterance"] + f"-{copy}",
                speaker=base.tokens["speaker"].map(speaker),
                text=base.tokens["text"] + end,
            )
            noise = rng.standard_normal(base.vectors.shape, dtype=np.float32) * scale
            content = ShardContent(
                table, base.vectors + noise, [f"{name}-{copy}" for name in base.frames.utterances], base.frames.n_frames,
                base.frames.mean, base.frames.frame_norm, {}, [],
            )  # fmt: skip
            store.write(shards[copy]["name"], str(copy), content)
    return copies * len(base)


def _word(number: int) -> str:
    """A word that no dictionary holds: digits as letters."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def main() -> None:
    """Print one line for each number of tokens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[10_000, 100_000], help="tokens stored, at least")
    parser.add_argument("--layers", type=int, default=4, choices=range(1, 6), help="layers stored and scored")
    parser.add_argument("--folder", type=Path, help="where stores are made (default: the folder for temporary files)")
    parser.add_argument("--keep", action="store_true", help="leave the stores there, and use those that are there already")
    options = parser.parse_args()
    layers = list(range(5 - options.layers, 5))
    print(f"{'tokens':>10} {'on disk, GB':>12} {'scored':>8} {'seconds':>8} {'peak, GB':>9}  stages, s")
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        root = options.folder if options.keep else Path(temporary)
        small = root / "small"
        small_store(small)
        for tokens in options.tokens:
            folder = root / f"{tokens}-{options.layers}"
            if not (folder / "made").exists():
                folder.mkdir()
                (folder / "made").write_text(str(multiplied(small, folder, tokens, layers)))
            size = sum(path.stat().st_size for path in (folder / "store").rglob("*.parquet"))
            command = [sys.executable, "-m", "analysis.decouple", "--corpus", str(folder / "manifest.csv")]
            command += ["--vectors", str(folder / "store"), "--out", str(folder / "report"), "--projection.method", "pca"]
            seconds, peak, text = measured([*command, "--wav2sem", "none", "--oracle", "none"])
            found = re.search(r"^Vectors of .*: (\d+) of (\d+) tokens", text, flags=re.M)
            scored, stored = (int(part) for part in found.groups()) if found else (0, 0)
            stages = re.findall(r"^([A-Z][^:\n]*): .*\((\d+\.\d) s\)$", text, flags=re.M)
            named = ", ".join(f"{re.sub(' of .*', '', name)} {took}" for name, took in stages)
            print(f"{stored:>10,} {size / 1e9:>12.2f} {scored:>8,} {seconds:>8.1f} {peak:>9.2f}  {named}", flush=True)


if __name__ == "__main__":
    main()
