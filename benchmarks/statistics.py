"""Speed of the statistics against peers in one run: `python benchmarks/statistics.py [--tokens 10000]`."""

from __future__ import annotations

import argparse
import sys
import time

# A script's own folder comes first on the path, and this one would stand in for the standard library's `statistics`.
sys.path.pop(0)

import numpy as np

from analysis.separation.distances import type_distances
from analysis.separation.intervals import pigeonhole
from analysis.separation.simulation import simulated_cells


def _seconds(function, *arguments, **options) -> float:
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10_000)
    n = parser.parse_args().tokens
    from sklearn.metrics import pairwise_distances

    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 768)).astype(np.float32)
    types = np.concatenate([np.arange(200), rng.integers(0, 200, n - 200)])
    type_distances(x[:2000], np.unique(types[:2000], return_inverse=True)[1])

    def by_sklearn() -> None:
        member = np.eye(200, dtype=np.float32)[types]
        member.T @ pairwise_distances(x) @ member

    print("| statistic | peer, s | here, s | ratio |\n| --- | --- | --- | --- |")
    peer, here = _seconds(by_sklearn), _seconds(type_distances, x, types, "l2")
    print(f"| L2 means of all type pairs (sklearn) | {peer:.2f} | {here:.2f} | {peer / here:.1f} |")
    squares = _seconds(type_distances, x, types, "mse")
    print(f"| mse means by sums (sklearn) | {peer:.2f} | {squares:.3f} | {peer / squares:.0f} |", flush=True)

    cells, values = simulated_cells(20, 100, (1, 1, 1), across=True, rng=rng)

    def loop(resamples: int) -> None:
        for _ in range(resamples):
            often = np.bincount(rng.integers(0, 20, 20), minlength=20)
            drawn = np.bincount(rng.integers(0, 100, 100), minlength=100)
            means = []
            for pair in range(100):
                here = cells.type_pair == pair
                weight = cells.count[here] * often[cells.speaker_a[here]] * often[cells.speaker_b[here]]
                means.append(np.average(values[here], weights=weight) if weight.sum() else np.nan)
            np.average(means, weights=drawn)

    peer, here = _seconds(loop, 20) * 50, _seconds(pigeonhole, cells, values, resamples=1000)
    print(f"| pigeonhole bootstrap, 1,000 resamples (loop, from 20) | {peer:.2f} | {here:.3f} | {peer / here:.0f} |")


if __name__ == "__main__":
    main()
