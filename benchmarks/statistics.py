"""Speed and memory of the statistics against peers, as ratios within one run: `python benchmarks/statistics.py`.

fastabx needs Python 3.12: `--fastabx PYTHON` names an interpreter that has it (`pip install fastabx`), which is then given the same
tokens. Without it ABX is compared with a loop over type pairs, vectorised inside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder comes first on the path, and this one would stand in for the standard library's `statistics`.
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np

DIMS, N_TYPES, N_SPEAKERS = 768, 200, 20

FASTABX = """
import json, sys, time
import numpy as np, torch
from fastabx import Dataset, Score, Task
given = np.load(sys.argv[1])
torch.set_num_threads(int(sys.argv[3]))
start = time.perf_counter()
labels = {"type": [f"t{t:03d}" for t in given["types"]], "speaker": [f"s{s:02d}" for s in given["speakers"]]}
speakers = {"any": {}, "within_speaker": {"by": ["speaker"]}, "across_speaker": {"across": ["speaker"]}}[sys.argv[2]]
task = Task(Dataset.from_numpy(given["x"], labels, device="cpu"), on="type", **speakers)
error = float(Score(task, "euclidean", progress=False).details(levels=[])["score"].mean())
print(json.dumps({"seconds": time.perf_counter() - start, "error": error}))
"""


def tokens(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, types and speakers of n tokens."""
    rng = np.random.default_rng(0)
    types = np.concatenate([np.arange(N_TYPES), rng.integers(0, N_TYPES, n - N_TYPES)])
    x = rng.standard_normal((n, DIMS), dtype=np.float32) + 0.2 * rng.standard_normal((N_TYPES, DIMS), dtype=np.float32)[types]
    return x, types, rng.integers(0, N_SPEAKERS, n)


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def l2_by_sklearn(x: np.ndarray, types: np.ndarray) -> None:
    """Means over type pairs from the whole distance matrix."""
    from sklearn.metrics import pairwise_distances

    member = np.eye(N_TYPES, dtype=np.float32)[types]
    member.T @ pairwise_distances(x) @ member


def l2_here(x: np.ndarray, types: np.ndarray) -> None:
    """The same means in blocks."""
    from analysis.separation.distances import type_distances

    type_distances(x, types, "l2")


def bundle(n: int, nulls: int = 20) -> tuple[float, float, float, int]:
    """All statistics of one layer with the default settings: seconds, seconds of CPU, GB at most (Linux), and rows."""
    from analysis.separation import SeparationSettings, score
    from analysis.separation.simulation import CorpusPlan, simulated_corpus

    plan = CorpusPlan(speakers=N_SPEAKERS, utterances=n // 400, tokens=20, pairs=N_TYPES // 2, dims=DIMS)
    embeddings, semantics, pairs = simulated_corpus(plan)
    # making the corpus takes more memory than scoring it: the peak is counted anew
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    found = score(embeddings, {"wav2sem": semantics}, pairs, settings=SeparationSettings(n_nulls=nulls))
    spent = time.perf_counter() - start, time.process_time() - cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return *spent, int(peak.split()[1]) * 1024 / 1e9, len(found.table)


def _watched(function: Callable[[], object]) -> tuple[object, float, float]:
    """What the call returned, its seconds, and by how much it raised the process's peak of memory, in GB."""
    import resource

    # what has to be imported, and the first call of everything, is not what is measured
    x, types, _ = tokens(2000)
    l2_here(x, types)
    l2_by_sklearn(x, types)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    returned = function()
    return returned, time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9


def apart(function: Callable[[], object]) -> tuple[object, float, float]:
    """:func:`_watched` in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_watched, (function,))


def bootstrap_ratio() -> tuple[float, float]:
    """Seconds of 1,000 pigeonhole resamples by a loop over precomputed distances (from 20 resamples), and here."""
    from analysis.separation.intervals import pigeonhole
    from analysis.separation.simulation import simulated_cells

    rng = np.random.default_rng(0)
    cells, values = simulated_cells(N_SPEAKERS, 100, (1, 1, 1), across=True, rng=rng)

    def loop() -> None:
        for _ in range(20):
            often = np.bincount(rng.integers(0, N_SPEAKERS, N_SPEAKERS), minlength=N_SPEAKERS)
            drawn = np.bincount(rng.integers(0, 100, 100), minlength=100)
            means = np.full(100, np.nan)
            for pair in range(100):
                here = cells.type_pair == pair
                a, b = cells.speaker_a[here], cells.speaker_b[here]
                weight = cells.count[here] * np.where(a == b, often[a], often[a] * often[b])
                if weight.sum():
                    means[pair] = np.average(values[here], weights=weight)
            np.nansum(means * drawn) / drawn[np.isfinite(means)].sum()

    return seconds(loop) * 50, min(seconds(partial(pigeonhole, cells, values, resamples=1000)) for _ in range(3))


def abx_by_loop(x: np.ndarray, types: np.ndarray, speakers: np.ndarray, share: int) -> tuple[float, float]:
    """Seconds of ABX within speakers by a loop over cells (one speaker in ``share``, times ``share``), and the mean error."""
    from scipy.spatial.distance import cdist

    start = time.perf_counter()
    errors = []
    asked = range(0, N_SPEAKERS, share)
    for speaker in asked:
        mine = [x[(types == kind) & (speakers == speaker)] for kind in range(N_TYPES)]
        within = [cdist(one, one) for one in mine]
        for one, own in zip(mine, within, strict=True):
            if len(one) < 2:
                continue
            np.fill_diagonal(own, np.nan)
            for other in mine:
                if other is one or not len(other):
                    continue
                far = cdist(one, other)
                lost = (far[:, None, :] < own[:, :, None]) + 0.5 * (far[:, None, :] == own[:, :, None])
                errors.append(lost[np.isfinite(own)].mean())
    return (time.perf_counter() - start) * N_SPEAKERS / len(asked), float(np.mean(errors))


def abx_rows(n: int, python: str | None) -> None:
    """ABX of Euclidean distances, pooled vectors, every token an utterance of its own."""
    import torch

    from analysis.separation.abx import Abx, abx

    x, types, speakers = tokens(n)
    # across speakers fastabx has a cell for every two speakers and two types: a part of both is all it can be asked
    few = (types < N_TYPES // 5) & (speakers < N_SPEAKERS // 2)
    given = {"within_speaker": np.ones(n, dtype=bool), "any": np.ones(n, dtype=bool), "across_speaker": few}
    here: dict[str, tuple[float, Abx]] = {}
    for condition, chosen in given.items():
        one = x[chosen], types[chosen], speakers[chosen]
        start = time.perf_counter()
        found = abx(*one, np.arange(len(one[0])), condition=condition, distance="l2")
        here[condition] = time.perf_counter() - start, found
    spent, error = abx_by_loop(x, types, speakers, 10)
    row(
        "ABX within speakers (loop over cells, scipy, from 2 speakers)", spent, here["within_speaker"][0], f"{error:.4f} on those"
    )
    if python is None:
        return
    names = {
        "within_speaker": "ABX within speakers",
        "any": "ABX any speaker",
        "across_speaker": f"ABX across {N_SPEAKERS // 2} speakers, {int(few.sum())} tokens of {N_TYPES // 5} types",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.npz"
        for condition, (mine, found) in here.items():
            chosen = given[condition]
            np.savez(path, x=x[chosen], types=types[chosen], speakers=speakers[chosen])
            command = [python, "-c", FASTABX, str(path), condition, str(torch.get_num_threads())]
            peer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
            note = f"errors {peer['error']:.6f} and {found.mean():.6f}"
            row(f"{names[condition]} (fastabx)", peer["seconds"], mine, note)


def row(name: str, peer: float, here: float, note: str = "") -> None:
    """One line of the table."""
    print(f"| {name} | {peer:.2f} | {here:.3f} | {peer / here:.1f} | {note} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="tokens of the memory test; 0 leaves it out")
    parser.add_argument("--fastabx", metavar="PYTHON", help="interpreter that has fastabx")
    chosen = parser.parse_args()
    n = chosen.tokens
    from analysis.separation.distances import type_distances

    print(f"{n} tokens, {DIMS} dims, {N_TYPES} types, {N_SPEAKERS} speakers\n")
    print("| statistic (peer) | peer, s | here, s | ratio | |\n| --- | --- | --- | --- | --- |", flush=True)
    x, types, _ = tokens(n)
    _, peer, peer_memory = apart(partial(l2_by_sklearn, x, types))
    _, here, memory = apart(partial(l2_here, x, types))
    row("L2 means of all type pairs (sklearn)", peer, here, f"memory {peer_memory:.2f} and {memory:.2f} GB")
    type_distances(x, types, "mse")  # the first call of all imports what it needs
    row("mse means of all type pairs by sums (sklearn)", peer, seconds(partial(type_distances, x, types, "mse")))
    row("pigeonhole bootstrap, 1,000 resamples (loop, from 20)", *bootstrap_ratio())
    abx_rows(n, chosen.fastabx)
    for size in (n, chosen.many) if chosen.many else (n,):
        (spent, cpu, memory, rows), _, _ = apart(partial(bundle, size))
        note = f"{cpu:.1f} s of CPU, {memory:.2f} GB in all, {rows} rows"
        print(f"| everything for one layer, 20 draws of each null, {size} tokens | - | {spent:.1f} | - | {note} |", flush=True)


if __name__ == "__main__":
    main()
