"""Averages, variants and ABX against loops; the ends of their scales; what the issue of additive fusion says must hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, SeparationError
from analysis.separation import KEY_COLUMNS, SeparationSettings, score
from analysis.separation.clusters import davies_bouldin, fisher_ratio, silhouette
from analysis.separation.distances import type_distances
from analysis.separation.simulation import CorpusPlan, simulated_corpus
from analysis.separation.verdicts import RULES, sign
from analysis.wav2sem.fusion import fuse

_path = Path(__file__).resolve().parents[1] / "reference" / "separation.py"
_spec = importlib.util.spec_from_file_location("reference_separation", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

PLAN = CorpusPlan(speakers=4, utterances=3, tokens=8, pairs=5, dims=6, seed=3)
DISTANCES = ("l2", "mse", "cosine", "l2_unit", "angular")


@pytest.fixture(scope="module")
def scored():
    embeddings, semantics, pairs = simulated_corpus(PLAN)
    settings = SeparationSettings(distances=DISTANCES, n_nulls=4)
    return embeddings, semantics, pairs, score(embeddings, {"wav2sem": semantics}, pairs, settings=settings)


def _one(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return float(table["estimate"].iat[0])


@pytest.mark.parametrize("split", ["all", "same_utterance", "different_text"])
@pytest.mark.parametrize("relation", ["near_homophone", "same_type", "unrelated"])
def test_averages_equal_a_loop(scored, relation, split):
    embeddings, semantics, pairs, separation = scored
    x = embeddings.layer(0).astype(float)
    frames = embeddings.frames
    norm = np.average(frames.frame_norm[:, 0], weights=frames.n_frames)
    added = fuse(np.zeros_like(semantics.vectors, dtype=float), semantics.vectors, share=0.5, frame_norm=norm)
    row = {name: number for number, name in enumerate(semantics.utterances)}
    fused = x + added[[row[name] for name in embeddings.tokens["utterance"]]]
    types, utterances = embeddings.tokens["type"].tolist(), embeddings.tokens["utterance"].tolist()
    if relation == "same_type":
        near = pairs[pairs["relation"] == "near_homophone"]
        found = sorted(set(near["type_a"]) | set(near["type_b"]))
        type_pairs = [(name, name) for name in found if name in types]
    else:
        chosen = pairs[pairs["relation"] == relation]
        type_pairs = list(zip(chosen["type_a"], chosen["type_b"], strict=True))
    for distance in DISTANCES:
        for average in ("macro", "micro"):
            common = {"vectors": "raw", "distance": distance, "relation": relation, "split": split, "average": average}
            for variant, vectors in (("without", x), ("wav2sem", fused)):
                expected = reference.average(vectors.tolist(), types, utterances, type_pairs, distance, split, average)
                got = _one(separation.table, **common, variant=variant, statistic="mean_distance")
                assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_gains_inside_one_utterance_are_zero(scored):
    table = scored[-1].table
    rows = table[
        (table["split"] == "same_utterance") & table["statistic"].isin(["gain", "net"]) & table["distance"].isin(["l2", "mse"])
    ]
    assert len(rows)
    assert (rows["estimate"].abs() < 1e-12).all()
    nets = rows[rows["statistic"] == "net"]
    assert len(nets) and (nets[["estimate", "ci_low", "ci_high"]] == 0).all(axis=None)  # exactly, whatever rounding says


def test_every_interval_holds_its_estimate(scored):
    rows = scored[-1].table.query("ci_low == ci_low")
    assert len(rows) > 100
    assert ((rows["ci_low"] <= rows["estimate"]) & (rows["estimate"] <= rows["ci_high"])).all()


def test_rows_have_one_key_each_and_centring_removes_the_module(scored):
    table = scored[-1].table
    assert not table.duplicated(list(KEY_COLUMNS)).any()
    centred = table[(table["vectors"] == "utterance_centred") & (table["statistic"] == "gain")]
    assert len(centred) and (centred["estimate"].abs() < 1e-9).all()


def test_net_is_the_gain_less_the_nulls_gain(scored):
    table = scored[-1].table
    common = {"vectors": "raw", "distance": "l2", "relation": "near_homophone", "split": "all", "average": "macro"}
    gain = _one(table, **common, variant="wav2sem", statistic="gain")
    for null in ("random", "shuffled"):
        other = _one(table, **common, variant=f"null:{null}", statistic="gain")
        assert _one(table, **common, variant="wav2sem", statistic="net", null=null) == pytest.approx(gain - other, abs=1e-9)


def test_cluster_statistics_agree_with_sklearn():
    from sklearn import metrics

    rng = np.random.default_rng(1)
    types = rng.integers(0, 5, 80)
    x = rng.standard_normal((80, 7)) + types[:, None]
    assert fisher_ratio(x, types) == pytest.approx(metrics.calinski_harabasz_score(x, types), rel=1e-9)
    assert davies_bouldin(x, types) == pytest.approx(metrics.davies_bouldin_score(x, types), rel=1e-6)
    assert silhouette(x, types) == pytest.approx(metrics.silhouette_score(x, types), abs=1e-6)
    whole = metrics.pairwise_distances(x)
    means = type_distances(x, types, "l2", chunk=17)
    assert means[1, 3] == pytest.approx(whole[np.ix_(types == 1, types == 3)].mean(), rel=1e-5)
    squares = type_distances(x, types, "mse")
    assert squares[0, 2] == pytest.approx((whole[np.ix_(types == 0, types == 2)] ** 2).mean() / 7, rel=1e-5)


def test_rules_at_their_edges():
    assert [sign(0.0, 1.0), sign(1e-12, 1.0), sign(-1.0, 0.0), sign(-1.0, -1e-12)] == ["unclear", "rises", "unclear", "falls"]
    assert sign(float("nan"), 1.0) == "none"
    assert RULES[-1].signs == {}


def test_too_few_speakers_say_so():
    embeddings, semantics, pairs = simulated_corpus(CorpusPlan(speakers=2, pairs=5, dims=4))
    table = score(embeddings, {"m": semantics}, pairs, settings=SeparationSettings(n_nulls=2, distances=("l2",))).table
    rows = table[table["statistic"] == "net"]
    assert rows["ci_low"].isna().all()
    assert set(rows["note"]) == {"no interval: 2 speakers (at least 3 needed)"}


def test_bad_requests_are_told():
    embeddings, _, pairs = simulated_corpus(PLAN)
    with pytest.raises(ConfigurationError, match="distances has unknown value 'l3'"):
        SeparationSettings(distances=("l3",))
    with pytest.raises(SeparationError, match="No type pair can be compared"):
        score(embeddings, {}, pairs.assign(type_a="x"))


def test_a_relation_that_nobody_knows_is_named():
    embeddings, _, pairs = simulated_corpus(CorpusPlan(speakers=3, utterances=2, tokens=6, pairs=3))
    with pytest.raises(SeparationError, match=r"There is no relation 'near_homophones'.* near_homophone, synonym, unrelated"):
        score(embeddings, {}, pairs, settings=SeparationSettings(relations=("near_homophones",)))
    own = pairs.assign(relation="minimal_pair")  # a user's table may have relations of its own
    table = score(embeddings, {}, own, settings=SeparationSettings(relations=("minimal_pair",), scale_free=())).table
    assert "minimal_pair" in set(table["relation"])
