"""How often intervals of net decoupling hold the truth, how p-values fall without an effect, and what power there is with one.

`--parts texts` is of corpora of sentences: texts that several speakers read, near-duplicates, vectors whose size goes with the length,
families of near-homophones that share types, speakers of different noise, and all of it together. Everything there comes from
`analysis.separation.score`, with the verdicts. `--jobs 2` takes two processes.

`python benchmarks/coverage.py` takes 1,000 simulated corpora a line (70 to 250 s of processor
a line with default draws, about an hour and a half in all on one core);
`--corpora 100` a tenth of that; `--only NAME ...` some of the lines; `--parts texts null power scale_free cells` some of the tables.
Every number comes from the code that scores a real corpus (analysis.separation.simulation.simulated_averages).
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # matrices are small: more threads would wait for each other

import numpy as np

from analysis.separation import SeparationSettings
from analysis.separation.intervals import CrossedDesign
from analysis.separation.simulation import (
    CorpusPlan,
    TextPlan,
    simulated_averages,
    simulated_cells,
    simulated_scale_free,
    simulated_texts,
)

DISTANCES = ("l2", "mse", "cosine", "l2_unit")


@dataclass(frozen=True)
class Line:
    """One condition: what the corpora are like, and the size of the added vectors as a share of the frames'."""

    name: str
    plan: dict[str, Any] = field(default_factory=dict)
    share: float = 0.5


_UNEVEN = {"unbalanced": True}
#: Without an effect: 10 speakers, 60 pairs, unless said otherwise.
NULL_LINES = (
    Line("balanced"),
    Line("unbalanced", _UNEVEN),
    Line("heavy-tailed norms", _UNEVEN | {"offset_norm_sd": 0.8}),
    Line("norms by speaker", _UNEVEN | {"speaker_norm_sd": 0.6}),
    Line("vectors tell the speaker", _UNEVEN | {"offset_speaker_share": 0.6}),
    Line("vectors tell the speaker, balanced", {"offset_speaker_share": 0.6}),
    Line("large common mean", _UNEVEN | {"offset_mean": 3.0}),
    Line("tiny vectors", _UNEVEN, 0.01),
    Line("huge vectors", _UNEVEN, 5.0),
    Line("strong speakers and pairs", _UNEVEN | {"speaker_sd": 1.0, "pair_sd": 0.5}),
    Line("tokens vary most", _UNEVEN | {"speaker_sd": 0.0, "utterance_sd": 0.0, "token_sd": 1.0}),
    Line("few directions", _UNEVEN | {"offset_axes": 4}),
    Line("20 speakers, 60 pairs", _UNEVEN | {"speakers": 20, "utterances": 4, "offset_norm_sd": 0.5}),
    Line("20 speakers, 120 pairs", _UNEVEN | {"speakers": 20, "utterances": 4, "pairs": 120, "offset_speaker_share": 0.3}),
    Line("40 speakers, 120 pairs", {"speakers": 40, "utterances": 2, "pairs": 120, "offset_norm_sd": 0.5}),
    Line("40 speakers, one utterance each", {"speakers": 40, "utterances": 1, "pairs": 60}),
)


#: Corpora of sentences, without an effect unless the name says so: 8 speakers and 96 texts unless said otherwise.
TEXT_LINES: dict[str, dict[str, Any]] = {
    "texts once": {},
    "texts once, 10 speakers": {"speakers": 10},
    "texts once, 20 speakers": {"speakers": 20, "texts": 160},
    "5 % read twice": {"repeated": 0.05},
    "a third read twice": {"repeated": 0.33},
    "2 readers a text": {"readers": 2},
    "12 texts by all": {"texts": 12, "readers": 0},
    "near-duplicate texts": {"cluster": 4},
    "size ~ length^-0.5": {"size_power": -0.5},
    "size ~ length^-0.15": {"size_power": -0.15},
    "size ~ length^0.25": {"size_power": 0.25},
    "size ~ length^0.5": {"size_power": 0.5},
    "size ~ length^-0.5, 2 readers": {"size_power": -0.5, "readers": 2},
    "size ~ length^0.25, 2 readers": {"size_power": 0.25, "readers": 2},
    "size ~ length^0.5, 2 readers": {"size_power": 0.5, "readers": 2},
    "size ~ length^0.25, 12 texts by all": {"size_power": 0.25, "texts": 12, "readers": 0},
    "families of 4": {"family_size": 4, "families": 12},
    "hubs of 6": {"family_size": 7, "families": 6, "hubs": True},
    "speakers differ in noise": {"noise_sd": 0.3},
    "voices": {"offset_speaker_share": 0.6},
    "voices, 2 readers": {"offset_speaker_share": 0.6, "readers": 2},
    "low rank, large mean": {"offset_axes": 4, "offset_mean": 3.0},
    "all together": {
        "readers": 2, "repeated": 0.3, "family_size": 4, "families": 12, "noise_sd": 0.3, "size_power": 0.25,
        "offset_speaker_share": 0.3, "offset_mean": 1.0, "share_power": 0.5,
    },
    "effect 0.3": {"effect": 0.3},
    "effect 0.3, 2 readers": {"effect": 0.3, "readers": 2},
    "effect 0.3, 12 texts by all": {"effect": 0.3, "texts": 12, "readers": 0},
}  # fmt: skip

#: What is looked at of each corpus of sentences: a short name, the statistic and the null.
TEXT_STATISTICS = tuple(
    (f"{short}{' ' + null if null else ''}", statistic, null)
    for short, statistic, nulls in (
        ("net", "net", ("shuffled", "random")),
        ("ratio net", "between_within_ratio:net", ("shuffled", "random")),
        ("ABX net", "abx_error:net", ("shuffled", "random")),
        ("gain", "gain", ("",)),
        ("ratio gain", "between_within_ratio:gain", ("",)),
        ("ABX gain", "abx_error:gain", ("",)),
        ("ABX", "abx_error", ("",)),
    )
    for null in nulls
)


def _planted(speakers: int, pairs: int, effect: float, varies: float = 0.0) -> Line:
    name = f"{speakers} speakers, {pairs} pairs, effect {effect}" + (f", over speakers {varies}" if varies else "")
    plan = {"speakers": speakers, "pairs": pairs, "utterances": 4, "effect": effect, "effect_speaker_sd": varies, "pair_sd": 0.3}
    return Line(name, _UNEVEN | plan)


#: With one: the share of each vector that points from the utterance's types away from their near-homophones, and its deviation.
POWER_LINES = (
    *(_planted(*size, effect) for size in ((10, 60), (20, 60), (20, 120)) for effect in (0.1, 0.2, 0.4)),
    _planted(20, 60, 0.4, 0.3),
)


def settings(share: float, draws: int = 20, distances: tuple[str, ...] = DISTANCES) -> SeparationSettings:
    return SeparationSettings(
        distances=distances, vectors=("raw",), relations=("near_homophone",), edit_classes=False, viseme_weighted=False,
        splits=("different_text",), scale_free=(), n_nulls=draws, n_permutations=0, share=share,
    )  # fmt: skip


def collected(line: Line, corpora: int, chosen: SeparationSettings) -> dict[tuple[str, str, str], np.ndarray]:
    """Estimate, bounds, p-value and minimum detectable effect by (null, distance, average), shape (corpora, 5)."""
    found: dict[tuple[str, str, str], list[tuple[float, ...]]] = {}
    names = ("estimate", "ci_low", "ci_high", "p_value", "minimum_detectable_effect")
    for seed in range(corpora):
        for row in simulated_averages(CorpusPlan(seed=seed, **line.plan), chosen):
            key = (row["null"], row["distance"], row["average"])
            found.setdefault(key, []).append(tuple(row[name] for name in names))
    return {key: np.array(values) for key, values in found.items()}


def held(values: np.ndarray, truth: float = 0.0) -> float:
    return float(np.mean((values[:, 1] <= truth) & (truth <= values[:, 2])))


def null_tables(lines: list[Line], corpora: int) -> None:
    """Coverage of zero and p-values, from the same corpora, with the draws of the default settings."""
    draws = SeparationSettings().n_nulls
    print(f"Share of 95 % intervals that hold zero, {corpora} corpora a line, {draws} draws of each null (binomial standard error "
          f"{np.sqrt(0.05 * 0.95 / corpora):.3f}).\n")  # fmt: skip
    columns = [f"{distance} {average}" for distance in DISTANCES for average in ("macro", "micro")]
    print("| corpora | null | " + " | ".join(columns) + " | s per corpus |\n|" + " --- |" * (len(columns) + 3))
    p_values = []
    for line in lines:
        began = time.process_time()
        found = collected(line, corpora, settings(line.share, draws))
        seconds = (time.process_time() - began) / corpora
        for null in ("shuffled", "random"):
            shares = [f"{held(found[null, d, a]):.3f}" for d in DISTANCES for a in ("macro", "micro")]
            print(f"| {line.name} | {null} | " + " | ".join(shares) + f" | {seconds:.3f} |", flush=True)
        p_values += _p_value_rows(line, found)
    print("\nTheir p-values, macro: two-sided, of the intervals' t.\n")
    print(P_VALUE_HEADER, *p_values, sep="\n", flush=True)


P_VALUE_HEADER = "| corpora | null | distance | p <= 0.05 | p <= 0.01 | p > 0.95 | KS distance | its p |\n|" + " --- |" * 8


def _p_value_rows(line: Line, found: dict[tuple[str, str, str], np.ndarray]) -> list[str]:
    from scipy import stats

    rows = []
    for null in ("shuffled", "random"):
        for distance in ("l2", "cosine"):
            p = found[null, distance, "macro"][:, 3]
            ks = stats.kstest(p, "uniform")
            shares = f"{np.mean(p <= 0.05):.3f} | {np.mean(p <= 0.01):.3f} | {np.mean(p > 0.95):.3f}"
            rows.append(f"| {line.name} | {null} | {distance} | {shares} | {ks.statistic:.3f} | {ks.pvalue:.2f} |")
    return rows


def power_table(lines: list[Line], corpora: int) -> None:
    print(f"\nWith a planted effect (the share of each vector that points from the utterance's types away from their "
          f"near-homophones), {corpora} corpora a line, l2, macro. The truth is the mean net of all of them.\n")  # fmt: skip
    print("| corpora | null | mean net | deviation | power of the interval | power of p <= 0.05 | interval holds the truth | "
          "median minimum detectable effect |\n|" + " --- |" * 8)  # fmt: skip
    for line in lines:
        found = collected(line, corpora, settings(line.share, distances=("l2",)))
        for null in ("shuffled", "random"):
            values = found[null, "l2", "macro"]
            truth = values[:, 0].mean()
            told = np.mean((values[:, 1] > 0) | (values[:, 2] < 0))
            print(f"| {line.name} | {null} | {truth:.3f} | {values[:, 0].std():.3f} | {told:.3f} | "
                  f"{np.mean(values[:, 3] <= 0.05):.3f} | {held(values, truth):.3f} | {np.median(values[:, 4]):.3f} |",
                  flush=True)  # fmt: skip


SCALE_FREE = ("abx_error", "d_prime", "fisher_ratio", "silhouette", "davies_bouldin", "knn_purity", "phone_probe")


def scale_free_table(lines: list[Line], corpora: int) -> None:
    """Coverage of zero by nets of scale-free statistics, with the draws of the default settings."""
    print(f"\nShare of 95 % intervals of scale-free nets that hold zero, {corpora} corpora a line (binomial standard error "
          f"{np.sqrt(0.05 * 0.95 / corpora):.3f}), l2.\n")  # fmt: skip
    header = False
    for line in lines:
        began = time.process_time()
        chosen = replace(settings(line.share, SeparationSettings().n_nulls, ("l2",)), scale_free=SCALE_FREE)
        held: dict[str, dict[str, list[bool]]] = {}
        for seed in range(corpora):
            for row in simulated_scale_free(CorpusPlan(seed=seed, **line.plan), chosen):
                name = row["statistic"].removesuffix(":net") + (" near" if row["relation"] == "near_homophone" else "")
                held.setdefault(row["null"], {}).setdefault(name, []).append(row["ci_low"] <= 0 <= row["ci_high"])
        seconds = (time.process_time() - began) / corpora
        for null, found in held.items():
            if not header:
                print("| corpora | null | " + " | ".join(found) + " | s per corpus |\n|" + " --- |" * (len(found) + 3))
                header = True
            shares = " | ".join(f"{np.mean(values):.3f}" for values in found.values())
            print(f"| {line.name} | {null} | {shares} | {seconds:.3f} |", flush=True)


def _one_corpus(plan: dict[str, Any], permutations: int = 999) -> tuple[str, dict[str, tuple[float, ...]]]:
    """The verdict's rule, and (estimate, low, high, p, p of the permutation) of everything in :data:`TEXT_STATISTICS`."""
    import torch

    from analysis.separation import score

    torch.set_num_threads(1)
    embeddings, semantics, pairs = simulated_texts(TextPlan(**plan))
    chosen = SeparationSettings(
        distances=("l2",), vectors=("raw",), relations=("near_homophone",), edit_classes=False, viseme_weighted=False,
        splits=("different_text",), scale_free=("abx_error",), best_layer=False, n_permutations=permutations,
        n_permutations_scale_free=min(199, permutations),
    )  # fmt: skip
    found = score(embeddings, {"module": semantics}, pairs, settings=chosen)
    table = found.table
    table = table[(table["relation"] == "near_homophone") & (table["variant"] == "module") & (table["average"] == "macro")]
    names = ["estimate", "ci_low", "ci_high", "p_value", "p_permutation"]
    values = {}
    for name, statistic, null in TEXT_STATISTICS:
        row = table[(table["statistic"] == statistic) & (table["null"] == null)]
        values[name] = tuple(row[names].iloc[0]) if len(row) else (np.nan,) * 5
    return found.verdicts[0]["rule"], values


def text_table(names: list[str], corpora: int, jobs: int, permutations: int) -> None:
    from collections import Counter
    from multiprocessing import get_context

    from scipy import stats

    columns = [name for name, _, _ in TEXT_STATISTICS]
    print(f"Share of 95 % intervals that hold the truth (zero for nets without an effect; otherwise the mean over the corpora), "
          f"{corpora} corpora a line (binomial standard error {np.sqrt(0.05 * 0.95 / corpora):.3f}).\n")  # fmt: skip
    print("| corpora | " + " | ".join(columns) + " | supported | s per corpus |\n|" + " --- |" * (len(columns) + 3), flush=True)
    tests, power = [], []
    with get_context("spawn").Pool(jobs) as pool:
        for name in names:
            plan = TEXT_LINES[name]
            began = time.perf_counter()
            made = pool.map(
                partial(_one_corpus, permutations=permutations), [{"seed": seed, **plan} for seed in range(corpora)], chunksize=4
            )
            seconds = (time.perf_counter() - began) / corpora
            rules = Counter(rule for rule, _ in made)
            shares = []
            for column in columns:
                values = np.array([found[column] for _, found in made])
                usable = np.isfinite(values[:, 1])
                net = "net" in column and not plan.get("effect")
                truth = 0.0 if net else values[usable, 0].mean()
                shares.append(f"{held(values[usable], truth):.3f}" if usable.any() else "-")
                if net and "random" not in column:
                    tests.append(_tests_row(name, column, values, stats))
                elif plan.get("effect") and "net" in column and "random" not in column:
                    power.append(
                        f"| {name} | {column} | {truth:.4f} | {values[usable, 0].std():.4f} | "
                        f"{np.mean(values[usable, 3] <= 0.05):.3f} | {np.mean(values[:, 4] <= 0.05):.3f} |"
                    )
            print(f"| {name} | " + " | ".join(shares) + f" | {rules['separates'] / corpora:.3f} | {seconds:.2f} |", flush=True)
    if tests:
        print("\np-values without an effect: two-sided of the interval's t, and one-sided of the permutation test; KS: p-value of the "
              "Kolmogorov-Smirnov test of uniformity.\n")  # fmt: skip
        print(
            "| corpora | statistic | t <= 0.05 | t <= 0.01 | t <= 0.001 | KS | permuted <= 0.05 | <= 0.01 | <= 0.001 | KS |\n|"
            + " --- |" * 10
        )
        print(*tests, sep="\n", flush=True)
    if power:
        print(
            "\nWith an effect.\n\n| corpora | statistic | mean | deviation | power of the interval | of the permutation test |\n|"
            + " --- |" * 6
        )
        print(*power, sep="\n", flush=True)


def _tests_row(name: str, column: str, values: np.ndarray, stats: Any) -> str:
    cells = [name, column]
    for p in (values[:, 3], values[:, 4]):
        p = p[np.isfinite(p)]
        if not len(p):
            cells += ["-"] * 4
            continue
        cells += [f"{np.mean(p <= level):.3f}" for level in (0.05, 0.01, 0.001)] + [f"{stats.kstest(p, 'uniform').pvalue:.2f}"]
    return "| " + " | ".join(cells) + " |"


def cell_table(corpora: int) -> None:
    """Averages that have no null (mean distances, gains): crossed variance components alone."""
    print(f"\nWithout a null: 95 % intervals of a mean over cells, {corpora} sets a line.\n")
    print("| speakers, pairs | deviations of speaker, pair, residual | balanced | unbalanced |\n| --- | --- | --- | --- |")
    for speakers, pairs in ((10, 60), (20, 60), (40, 120)):
        for deviations in ((1, 1, 1), (0.3, 1, 1), (1, 0.3, 1), (0, 0, 1)):
            shares = []
            for unbalanced in (False, True):
                count = 0
                for seed in range(corpora):
                    rng = np.random.default_rng([seed, speakers])
                    cells, values = simulated_cells(speakers, pairs, deviations, unbalanced=unbalanced, rng=rng)
                    found = CrossedDesign(cells, cells.weights("macro")).interval(values)
                    count += found.low <= 0 <= found.high
                shares.append(f"{count / corpora:.3f}")
            print(f"| {speakers}, {pairs} | {', '.join(map(str, deviations))} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=int, default=1000, help="simulated corpora per line")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of lines, with and without an effect")
    parser.add_argument("--permutations", type=int, default=999, help="shuffles of the permutation test of corpora of sentences")
    parser.add_argument("--jobs", type=int, default=1, help="processes for the corpora of sentences")
    parts = ("texts", "null", "power", "scale_free", "cells")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    given = parser.parse_args()
    every = [line.name for line in NULL_LINES + POWER_LINES] + list(TEXT_LINES)
    unknown = sorted(set(given.only or ()) - set(every))
    if unknown:
        parser.error(f"no line is named {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, every))}")
    without, planted = (
        [line for line in lines if not given.only or line.name in given.only] for lines in (NULL_LINES, POWER_LINES)
    )
    sentences = [name for name in TEXT_LINES if not given.only or name in given.only]
    if "texts" in given.parts and sentences:
        text_table(sentences, given.corpora, given.jobs, given.permutations)
    if "null" in given.parts and without:
        null_tables(without, given.corpora)
    if "power" in given.parts and planted:
        power_table(planted, given.corpora)
    if "scale_free" in given.parts and without:
        scale_free_table(without, given.corpora)
    if "cells" in given.parts and not given.only:
        cell_table(given.corpora)


if __name__ == "__main__":
    main()
