"""Permutation tests by look-up equal shuffles that are carried out, and the scores that they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.separation import SeparationSettings, score
from analysis.separation.nulls import NullVectors
from analysis.separation.permutation import ShuffledDistances, named_distances, sampled_pairs, squared_distances
from analysis.separation.relations import pair_tokens, split_mask
from analysis.separation.significance import interval_p
from analysis.separation.simulation import TextPlan, simulated_texts


@pytest.mark.parametrize("voices", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_distances_by_look_up_are_those_of_shuffled_vectors(voices, mapped):
    rng = np.random.default_rng(0)
    n_utterances, dims, n = 40, 12, 300
    speakers, texts = rng.integers(0, 5, n_utterances), rng.integers(0, 25, n_utterances)
    vectors = rng.standard_normal((n_utterances, dims)) + 1.0
    if voices:
        vectors += rng.standard_normal((5, dims))[speakers]
    nulls = NullVectors(vectors, speakers, texts, rng.integers(5, 50, n_utterances), within="blocks" if voices else "corpus")
    assert nulls.voice.any() == voices
    x, utterance = rng.standard_normal((n, dims)), rng.integers(0, n_utterances, n)
    a, b = rng.integers(0, n, 500), rng.integers(0, n, 500)
    matrix = rng.standard_normal((dims, dims)) if mapped else np.eye(dims)
    shuffles = ShuffledDistances(x @ matrix, nulls, utterance, a, b, lambda rows: rows @ matrix)
    for _ in range(3):
        drawn = nulls.reassigned(rng)
        fused = (x + nulls.shuffled(drawn)[utterance]) @ matrix
        apart, norms_a, norms_b = shuffles.of(drawn)
        expected = squared_distances(fused, a, b)
        assert np.allclose(apart, expected, rtol=1e-5, atol=1e-5 * expected.mean())
        assert np.allclose(norms_a, (fused[a] ** 2).sum(1), rtol=1e-5) and np.allclose(norms_b, (fused[b] ** 2).sum(1), rtol=1e-5)
    together = utterance[a] == utterance[b]
    assert together.any() and np.allclose(apart[together], squared_distances(x @ matrix, a, b)[together], rtol=1e-9)


def test_named_distances_equal_scipy():
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 5)), rng.standard_normal((6, 5))
    found = dict(
        named_distances(("l2", "mse", "cosine", "l2_unit", "angular"), ((x - y) ** 2).sum(1), (x**2).sum(1), (y**2).sum(1), 5)
    )
    cosine = np.diag(cdist(x, y, "cosine"))
    unit = np.linalg.norm(x / np.linalg.norm(x, axis=1)[:, None] - y / np.linalg.norm(y, axis=1)[:, None], axis=1)
    expected = {"l2": np.diag(cdist(x, y)), "mse": np.diag(cdist(x, y, "sqeuclidean")) / 5, "cosine": cosine, "l2_unit": unit}
    expected["angular"] = np.arccos(1 - cosine) / np.pi
    for name, values in expected.items():
        assert np.allclose(found[name], values, rtol=1e-9), name


def test_a_sample_takes_from_every_type_pair_and_all_where_there_is_room():
    embeddings, _, pairs = simulated_texts(TextPlan())
    paired = pair_tokens(embeddings.tokens, pairs)
    cells = split_mask(paired.cell_atom, "different_text")
    whole = sampled_pairs(paired, cells, 10**6, 0)
    assert len(whole.a) == whole.of_all == int(paired.cell_count[cells].sum())
    some = sampled_pairs(paired, cells, 2000, 0)
    assert 1500 < len(some.a) <= 2000 and some.type_pair.tolist() == whole.type_pair.tolist()
    count, all_of = (np.diff(np.append(one.starts, len(one.a))) for one in (some, whole))
    assert (count == np.minimum(all_of, count.max())).all()
    assert sampled_pairs(paired, np.zeros(len(cells), dtype=bool), 100, 0) is None


def test_p_values_resolve_a_thousandth_and_agree_with_the_interval():
    embeddings, semantics, pairs = simulated_texts(TextPlan(effect=0.6, speakers=10, texts=120, seed=1))
    settings = SeparationSettings(distances=("l2",), vectors=("raw",), scale_free=("abx_error",), best_layer=False)
    table = score(embeddings, {"m": semantics}, pairs, settings=settings).table
    nets = table[table["statistic"].str.endswith("net") & table["p_value"].notna()]
    assert len(nets) > 10
    outside = (nets["ci_low"] > 0) | (nets["ci_high"] < 0)
    assert (outside == (nets["p_value"] < 0.05)).all()
    headline = table[
        (table["split"] == "different_text") & (table["relation"] == "near_homophone") & (table["null"] == "shuffled")
    ]
    tested = headline[headline["p_permutation"].notna()].set_index(["statistic", "average"])["p_permutation"]
    assert tested["net", "macro"] == pytest.approx(0.001) and tested["between_within_ratio:net", "macro"] == pytest.approx(0.001)
    assert tested["abx_error:net", "macro"] == pytest.approx(0.005)
    # no other split, and no other null, is tested by permutation
    assert table[table["split"] != "different_text"]["p_permutation"].isna().all()
    assert table[table["null"] == "random"]["p_permutation"].isna().all()
    # what cannot change is no test: it has no p-value and is not in the family that is adjusted for
    inside = table[(table["split"] == "same_utterance") & table["statistic"].str.endswith("net")]
    assert len(inside) and inside["p_value"].isna().all() and inside["p_adjusted"].isna().all()


def test_the_random_null_alone_has_no_permutation_test():
    embeddings, semantics, pairs = simulated_texts(TextPlan(seed=2))
    settings = SeparationSettings(distances=("l2",), vectors=("raw",), nulls=("random",), scale_free=(), best_layer=False)
    found = score(embeddings, {"m": semantics}, pairs, settings=settings)
    assert found.table["p_permutation"].isna().all() and found.verdicts[0]["rule"] != "no_null"
    assert "random vectors" in found.verdicts[0]["text"]
    none = score(embeddings, {"m": semantics}, pairs, settings=replace(settings, nulls=("constant",)))
    assert none.verdicts[0]["rule"] == "no_null"


def test_interval_p_at_both_ends():
    assert interval_p(0.0, 1.0, 5) == 1.0
    assert interval_p(1.959964, 1.0, np.inf) == pytest.approx(0.05, abs=1e-6)
    assert np.isnan(interval_p(1.0, 0.0, 5)) and np.isnan(interval_p(np.nan, 1.0, 5))
