"""Inner products and pair distances in blocks and chunks: the same numbers as all at once."""

import numpy as np
import pytest

from analysis.separation import distances
from analysis.separation.distances import PairGeometry, TokenDots
from analysis.separation.relations import pair_tokens
from analysis.separation.simulation import CorpusPlan, simulated_corpus

NAMES = ("l2", "mse", "cosine", "l2_unit", "angular")


@pytest.mark.parametrize("n_utterances", [3, 30, 4000])
@pytest.mark.parametrize("keep", [True, False])
def test_products_with_vectors_added_by_utterance(n_utterances, keep):
    # few utterances, almost as many as tokens, and far more than there are tokens of
    rng = np.random.default_rng(n_utterances)
    x, offsets = rng.standard_normal((40, 5)), 10 * rng.standard_normal((n_utterances, 5))
    utterance = rng.integers(0, n_utterances, 40)
    dots = TokenDots(x, utterance, keep=keep)
    for given, moved in ((None, x), (offsets, x + offsets[utterance]), (None, x)):
        assert dots.squares(given) == pytest.approx((moved**2).sum(1), rel=1e-12)
        blocks = list(dots.blocks(given))
        assert np.concatenate([rows for rows, _ in blocks]).tolist() == list(range(40))
        assert np.concatenate([block for _, block in blocks]) == pytest.approx(moved @ moved.T, rel=1e-9, abs=1e-9)


def test_blocks_cover_all_rows():
    rows = TokenDots(np.ones((300, 2)), np.zeros(300, dtype=int)).rows(300)
    assert [len(one) for one in rows] == [64, 64, 64, 64, 44]
    assert np.concatenate(rows).tolist() == list(range(300))


def test_the_size_of_chunks_changes_nothing(monkeypatch):
    embeddings, semantics, pairs = simulated_corpus(CorpusPlan(speakers=3, utterances=4, tokens=9, pairs=6, dims=7))
    token_pairs = pair_tokens(embeddings.tokens, pairs)
    x = embeddings.layer(0)[token_pairs.rows].astype(float)
    code = {name: number for number, name in enumerate(semantics.utterances)}
    offsets = semantics.vectors[[code[name] for name in token_pairs.utterances]].astype(float)
    permutation = np.random.default_rng(0).permutation(len(offsets))
    found = []
    for products in (2**17, 100, 1):
        monkeypatch.setitem(distances._PRODUCTS, "cpu", products)
        geometry = PairGeometry(x, token_pairs)
        added = geometry.added(offsets, NAMES)
        whole = {name: values.numpy() for name, values in added.pair_distances(permutation).items()}
        other = geometry.replaced(x[::-1], NAMES)
        moments = added.moments(permutation)
        found.append((geometry.pair_distances(NAMES), other.sums, other.squares, whole, moments.sums, moments.squares))
        moved = x + offsets[permutation][token_pairs.utterance]
        apart = np.linalg.norm(moved[token_pairs.a] - moved[token_pairs.b], axis=1)
        assert whole["l2"] == pytest.approx(apart, rel=1e-9)
        for name in NAMES:
            assert moments.sums[name] == pytest.approx(np.add.reduceat(whole[name], token_pairs.starts), rel=1e-12)
            assert moments.squares[name] == pytest.approx(np.add.reduceat(whole[name] ** 2, token_pairs.starts), rel=1e-12)
            assert (added.sums(permutation)[name] == moments.sums[name]).all()
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for name in NAMES:
                assert np.asarray(one[name]) == pytest.approx(np.asarray(two[name]), rel=1e-13, abs=1e-15)
