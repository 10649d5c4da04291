"""Scale-free statistics as means of parts, and the intervals that are made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.separation import SeparationSettings, score
from analysis.separation.clusters import (
    davies_bouldin,
    davies_bouldin_parts,
    fisher_parts,
    fisher_ratio,
    knn_parts,
    knn_purity,
    phone_probe,
    probe_parts,
    silhouette,
)  # fmt: skip
from analysis.separation.distances import PairGeometry
from analysis.separation.dprime import DPrime
from analysis.separation.intervals import Cells, CrossedDesign
from analysis.separation.relations import pair_tokens
from analysis.separation.simulation import CorpusPlan, simulated_corpus, simulated_scale_free

STATISTICS = ("abx_error", "d_prime", "fisher_ratio", "silhouette", "davies_bouldin", "knn_purity", "phone_probe")


def _clusters(n: int = 3000, kinds: int = 25):
    rng = np.random.default_rng(0)
    types = np.concatenate([np.arange(kinds), rng.integers(0, kinds, n - kinds)])
    spread = 0.4 + rng.random(kinds)
    x = 1.2 * rng.standard_normal((kinds, 5))[types] + spread[types, None] * rng.standard_normal((n, 5))
    return x, types


def test_a_tokens_part_is_what_leaving_it_out_takes_away():
    x, types = _clusters()
    n, kinds = len(x), types.max() + 1
    chosen = np.random.default_rng(1).choice(n, 80, replace=False)

    def left_out(statistic):
        whole = statistic(x, types)
        return np.array([(n - 1) * (whole - statistic(np.delete(x, row, 0), np.delete(types, row))) for row in chosen])

    parts = fisher_parts(x, types)
    assert parts.mean() == pytest.approx(fisher_ratio(x, types), rel=1e-9)
    # the factor (N - T) of the ratio falls with every token alike: that is no token's doing
    change = left_out(fisher_ratio)
    assert np.corrcoef(change, parts[chosen])[0, 1] > 0.9995
    assert np.polyfit(parts[chosen], change, 1)[0] == pytest.approx(1.0, abs=0.02)

    parts = davies_bouldin_parts(x, types)
    assert parts.mean() == pytest.approx(davies_bouldin(x, types), rel=1e-9)
    # beside its own doing a part holds its type's: how far that type's worst ratio lies from the mean of all
    centroids = np.array([x[types == kind].mean(0) for kind in range(kinds)])
    spread = [np.linalg.norm(x[types == kind] - centroids[kind], axis=1).mean() for kind in range(kinds)]
    worst = [
        max((spread[a] + spread[b]) / np.linalg.norm(centroids[a] - centroids[b]) for b in range(kinds) if b != a)
        for a in range(kinds)
    ]
    own_type = (np.array(worst) - np.mean(worst)) * n / (kinds * np.bincount(types))
    change, own = left_out(davies_bouldin), parts[chosen] - np.mean(worst) - own_type[types[chosen]]
    assert np.corrcoef(change, own)[0, 1] > 0.999
    assert np.polyfit(own, change, 1)[0] == pytest.approx(1.0, abs=0.02)


def test_parts_at_the_ends_of_scales():
    types = np.repeat([0, 1, 2], 4)
    same = np.eye(3)[types]
    assert np.isinf(fisher_parts(same, types)).all() and (davies_bouldin_parts(same, types) == 0).all()
    one_place = np.tile([[0.0], [1.0]], (6, 3))  # every type with the same centroid
    assert np.isinf(davies_bouldin_parts(one_place, types)).all()
    shares = knn_parts(same, types, np.array([*range(11), 9]), k=2)
    assert (shares[:8] == 1).all() and not np.isnan(shares).any()
    alone = knn_parts(same, types, np.repeat([0, 1, 2], 4), k=2)  # no type is in two utterances
    assert np.isnan(alone).all() and np.isnan(knn_purity(same, types, np.repeat([0, 1, 2], 4), k=2))
    right = probe_parts(100 * same, types, np.arange(12))
    assert (right == 1).all() and phone_probe(100 * same, types, np.arange(12)) == 1.0


@pytest.fixture(scope="module")
def corpus():
    return simulated_corpus(CorpusPlan(speakers=6, utterances=3, tokens=10, pairs=6, dims=5, seed=3))


def test_d_prime_of_cells(corpus):
    embeddings, _, pairs = corpus
    paired = pair_tokens(embeddings.tokens, pairs)
    x = embeddings.layer(0)[paired.rows].astype(float)
    values = PairGeometry(x, paired).pair_distances(["l2"])["l2"].numpy()
    found = DPrime(paired)
    starts = paired.starts
    value, cells = found.of(np.add.reduceat(values, starts), np.add.reduceat(values**2, starts))
    relation = paired.type_pairs["relation"].to_numpy()[np.repeat(paired.cell_type_pair, paired.cell_count)]
    elsewhere = paired.utterance[paired.a] != paired.utterance[paired.b]
    far, near = (values[(relation == name) & elsewhere] for name in ("near_homophone", "same_type"))

    def by_definition(far, near):
        return (far.mean() - near.mean()) / np.sqrt((far.var(ddof=1) + near.var(ddof=1)) / 2)

    assert value == pytest.approx(by_definition(far, near), rel=1e-9)
    assert cells @ found.design.weights == pytest.approx(value, rel=1e-9)
    assert found.counts["n_token_pairs"] == len(far) + len(near)
    # a cell's part: what d' gains per weight when its pairs count a little more
    cell = np.repeat(np.arange(len(starts)), paired.cell_count)
    order = np.concatenate([np.unique(cell[(relation == name) & elsewhere]) for name in ("near_homophone", "same_type")])
    step = 1e-5
    for place in (0, 5, len(order) - 1):
        samples = []
        for name in ("near_homophone", "same_type"):
            mine = (relation == name) & elsewhere
            weight = np.where(cell[mine] == order[place], 1 + step, 1.0)
            mean = np.average(values[mine], weights=weight)
            samples.append((mean, np.average((values[mine] - mean) ** 2, weights=weight) * mine.sum() / (mine.sum() - 1)))
        (mean_b, var_b), (mean_w, var_w) = samples
        moved = (mean_b - mean_w) / np.sqrt((var_b + var_w) / 2)
        gained = (moved - value) / (step * found.design.weights[place])
        assert cells[place] - value == pytest.approx(gained, rel=2e-3, abs=1e-3)


def test_d_prime_needs_two_pairs_that_vary(corpus):
    embeddings, _, pairs = corpus
    paired = pair_tokens(embeddings.tokens, pairs)
    found = DPrime(paired)
    value, cells = found.of(3.0 * paired.cell_count, 9.0 * paired.cell_count)
    assert np.isnan(value) and (cells == 0).all()
    one = embeddings.tokens.assign(utterance="u")  # no pair of different utterances
    assert DPrime(pair_tokens(one, pairs)).design is None


def test_intervals_of_silhouettes_are_those_of_their_cells(corpus):
    embeddings, semantics, pairs = corpus
    settings = SeparationSettings(distances=("l2",), vectors=("raw",), n_nulls=3, scale_free=("silhouette",), scale_free_draws=3)
    table = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).table
    table = table[table["statistic"].str.startswith("silhouette")].set_index(["statistic", "variant", "null"])

    paired = pair_tokens(embeddings.tokens, pairs)
    used = np.flatnonzero(np.isin(embeddings.tokens["type"], pairs[pairs["relation"] == "near_homophone"][["type_a", "type_b"]]))
    x, tokens = embeddings.layer(0).astype(float)[used], embeddings.tokens.iloc[used]
    types, speakers = (np.unique(tokens[name], return_inverse=True)[1] for name in ("type", "speaker"))
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    own = types[:, None] == types[None]
    values = []
    for row in range(len(x)):
        mates = own[row] & (np.arange(len(x)) != row)
        a = apart[row, mates].mean() if mates.any() else 0.0
        b = min(apart[row, types == kind].mean() for kind in set(types) - {types[row]})
        values.append((b - a) / max(a, b) if mates.any() else 0.0)
    assert np.mean(values) == pytest.approx(silhouette(x, types), abs=1e-9)
    code, cell, count = np.unique(speakers * 99 + types, return_inverse=True, return_counts=True)
    cells = Cells(code // 99, code // 99, code % 99, count)
    expected = CrossedDesign(cells, cells.weights("micro")).interval(np.bincount(cell, values) / count)
    found = table.loc["silhouette", "without", ""]
    assert found["method"] == "crossed_t" and len(paired.speakers) == 6
    for name, value in (("estimate", expected.estimate), ("ci_low", expected.low), ("ci_high", expected.high)):
        assert found[name] == pytest.approx(value, rel=1e-6)
    net = table.loc["silhouette:net", "wav2sem", "shuffled"]
    assert net["method"] == "null_t" and net["ci_low"] < net["estimate"] < net["ci_high"]
    assert (net["p_value"] < 0.05) == (net["ci_low"] > 0 or net["ci_high"] < 0) and net["minimum_detectable_effect"] > 0
    own, null = (
        table.loc["silhouette", variant, module]["estimate"]
        for variant, module in (("wav2sem", ""), ("null:shuffled", "wav2sem"))
    )
    assert net["estimate"] == pytest.approx(own - null)


def test_every_scale_free_row_has_an_interval_or_says_why(corpus):
    embeddings, semantics, pairs = corpus
    settings = SeparationSettings(
        distances=("l2",), vectors=("raw",), n_nulls=3, scale_free=STATISTICS, scale_free_draws=2, nulls=("shuffled", "constant")
    )
    table = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).table
    names = table["statistic"].str.split(":").str[0]
    table = table[names.isin((*STATISTICS, "phone_accuracy", "phone_error_rate"))]
    assert len(table) > 40 and (np.isfinite(table["ci_low"]) & (table["method"] != "none")).all()
    assert (table["ci_low"] <= table["estimate"]).all() and (table["estimate"] <= table["ci_high"]).all()
    # what is added to all tokens alike changes no distance, and nothing made of distances
    constant = table[(table["null"] == "constant") & table["statistic"].str.endswith(":net")].set_index("statistic")
    gain = table[table["statistic"].str.endswith(":gain")].set_index("statistic")["estimate"]
    for statistic in ("d_prime", "silhouette", "fisher_ratio"):
        assert constant.loc[f"{statistic}:net", "estimate"] == pytest.approx(gain[f"{statistic}:gain"], rel=1e-6)
    few = embeddings.select(np.flatnonzero(embeddings.tokens["speaker"].isin(embeddings.tokens["speaker"].unique()[:2])))
    few = score(few, {}, pairs, settings=settings).table
    few = few[few["statistic"].str.split(":").str[0].isin(STATISTICS)]
    assert few["note"].str.contains("2 speakers").all() and few["ci_low"].isna().all() and (few["method"] == "none").all()


def test_less_is_better_where_it_is():
    # a module that truly tells types apart: errors fall and accuracies rise beyond every draw
    plan = CorpusPlan(speakers=8, utterances=6, tokens=6, pairs=8, effect=0.9, seed=1)
    settings = SeparationSettings(
        distances=("l2",), vectors=("raw",), relations=("near_homophone",), splits=("different_text",),
        nulls=("shuffled",), n_nulls=5, scale_free=STATISTICS, scale_free_draws=5, share=2.0,
    )  # fmt: skip
    rows = {
        row["statistic"]: row
        for row in simulated_scale_free(plan, settings)
        if row["relation"] != "all" or row["statistic"] != "abx_error:net"
    }
    assert rows["abx_error:net"]["estimate"] < 0 and rows["d_prime:net"]["estimate"] > 0
    for row in rows.values():
        better = (
            row["estimate"] < 0
            if row["statistic"].split(":")[0] in ("abx_error", "davies_bouldin", "phone_error_rate")
            else row["estimate"] > 0
        )
        assert (row["p_value"] < 0.5) == better


def test_statistics_that_are_not_finite_say_so():
    embeddings, semantics, pairs = simulated_corpus(CorpusPlan(speakers=4, utterances=3, tokens=10, pairs=6, dims=5, seed=3))
    types = np.unique(embeddings.tokens["type"], return_inverse=True)[1]
    same = replace(embeddings, vectors=np.eye(types.max() + 1, dtype=np.float32)[types][:, None, :])
    nothing = replace(semantics, vectors=np.zeros((len(semantics.vectors), types.max() + 1), dtype=np.float32))
    settings = SeparationSettings(distances=("l2",), vectors=("raw",), n_nulls=2, scale_free=("fisher_ratio", "d_prime"))
    table = score(same, {"nothing": nothing}, pairs, settings=settings).table
    for statistic, value in (("fisher_ratio", np.inf), ("d_prime", np.nan)):
        rows = table[table["statistic"].str.startswith(statistic)]
        assert len(rows) >= 3 and rows[["ci_low", "ci_high"]].isna().all(axis=None)
        assert rows["note"].str.startswith("no interval: not finite").all()
        assert np.array_equal(rows[rows["statistic"] == statistic]["estimate"].unique(), [value], equal_nan=True)
        assert rows[rows["statistic"] == f"{statistic}:gain"]["estimate"].isna().all()
