"""How often intervals of net decoupling hold the truth, on simulated corpora: `python benchmarks/coverage.py [--corpora 1000]`."""

from __future__ import annotations

import argparse

import numpy as np

from analysis.separation import SeparationSettings, score
from analysis.separation.intervals import CrossedDesign
from analysis.separation.simulation import CorpusPlan, simulated_cells, simulated_corpus

PLANS = {
    "balanced": {},
    "unbalanced": {"unbalanced": True},
    "unbalanced, norms differ": {"unbalanced": True, "offset_norm_sd": 0.7},
    "unbalanced, shared direction": {"unbalanced": True, "offset_mean": 2.0},
    "unbalanced, norms by speaker": {"unbalanced": True, "speaker_norm_sd": 0.5},
    "20 speakers, norms differ": {"speakers": 20, "unbalanced": True, "offset_norm_sd": 0.5},
    "planted effect 0.2": {"effect": 0.2},
    "planted effect 0.4": {"effect": 0.4},
}
SETTINGS = SeparationSettings(
    distances=("l2",), vectors=("raw",), relations=("near_homophone",), edit_classes=False, viseme_weighted=False,
    splits=("different_utterance",), scale_free=(),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=int, default=1000, help="simulated corpora per line")
    corpora = parser.parse_args().corpora
    print("| cells: speakers, pairs | deviations | balanced | unbalanced |\n| --- | --- | --- | --- |")
    for speakers, pairs in ((10, 60), (20, 60), (40, 200)):
        for deviations in ((1, 1, 1), (0.3, 1, 1), (1, 0.3, 1), (0, 0, 1)):
            shares = []
            for unbalanced in (False, True):
                held = 0
                for seed in range(corpora):
                    rng = np.random.default_rng([seed, speakers])
                    cells, values = simulated_cells(speakers, pairs, deviations, unbalanced=unbalanced, rng=rng)
                    found = CrossedDesign(cells, cells.weights("macro")).interval(values)
                    held += found.low <= 0 <= found.high
                shares.append(f"{held / corpora:.3f}")
            print(f"| {speakers}, {pairs} | {', '.join(map(str, deviations))} | {' | '.join(shares)} |", flush=True)
    print("\n| corpora | null | interval holds zero | p <= 0.1 | p <= 0.5 |\n| --- | --- | --- | --- | --- |")
    for name, plan in PLANS.items():
        found: dict[str, list[tuple[bool, float]]] = {}
        for seed in range(corpora):
            embeddings, semantics, pairs_table = simulated_corpus(CorpusPlan(seed=seed, **plan))
            table = score(embeddings, {"module": semantics}, pairs_table, settings=SETTINGS).table
            rows = table.query("statistic == 'net' and average == 'macro' and relation == 'near_homophone'")
            for row in rows.itertuples():
                found.setdefault(row.null, []).append((row.ci_low <= 0 <= row.ci_high, row.p_value))
        for null, values in found.items():
            held, p = (np.array(column, dtype=float) for column in zip(*values, strict=True))
            print(f"| {name} | {null} | {held.mean():.3f} | {(p <= 0.1).mean():.3f} | {(p <= 0.5).mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
