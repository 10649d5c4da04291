"""Nulls keep what they promise to keep and lose the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from analysis.separation.nulls import random_directions, resized, shuffled


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(6), [2, 3, 3, 4, 5, 1])
    own = rng.standard_normal((len(speakers), 12)) * np.exp(0.7 * rng.standard_normal((len(speakers), 1)))
    return own + rng.standard_normal((6, 12))[speakers] + 3.0, speakers


@pytest.mark.parametrize("within", ["blocks", "speaker", "corpus"])
def test_a_shuffle_is_a_permutation(vectors, within):
    speakers = vectors[1]
    rng = np.random.default_rng(1)
    drawn = np.array([shuffled(len(speakers), rng, speakers, within=within) for _ in range(2000)])
    assert (np.sort(drawn, axis=1) == np.arange(len(speakers))).all()
    given = speakers[drawn]
    own = np.array([(given[:, speakers == speaker] == speaker).mean() for speaker in range(6)])
    together = (given[:, 3] == given[:, 4]).mean()
    if within == "speaker":
        assert (own == 1.0).all() and together == 1.0
    elif within == "corpus":  # a vector comes to rest with every speaker as often as they have utterances
        assert own == pytest.approx(np.bincount(speakers) / len(speakers), abs=0.02)
        assert together == pytest.approx(46 / 306, abs=0.02)  # ordered pairs of one speaker among all
    else:  # with those of about as many: two speakers of three utterances change places, the only one of a single hardly ever
        assert ((own[:5] > 0.25) & (own[:5] < 0.75)).all() and 0.9 < own[5] < 1.0
        assert 0.75 < together < 1.0
        assert (given[:, 2] == 2).mean() > 0.25 and (given[:, 2] == 5).mean() < 0.05


def test_every_order_is_as_likely_as_its_inverse():
    # what a test against draws rests on: the observed order is then as good a start as any
    speakers = np.repeat(np.arange(3), [1, 2, 2])
    rng = np.random.default_rng(9)
    count = Counter(tuple(shuffled(5, rng, speakers).tolist()) for _ in range(40000))
    inverse = {order: count[tuple(np.argsort(order).tolist())] for order in count}
    apart = [(count[order] - inverse[order]) / np.sqrt(count[order] + inverse[order]) for order in count]
    assert np.abs(apart).max() < 4.5 and count[0, 1, 2, 3, 4] > 0
    assert len(count) > 8  # more orders than those in which speakers of as many change places


def test_blocks_of_one_size_stay_whole():
    speakers = np.tile(np.arange(5), 4)
    rng = np.random.default_rng(2)
    moved = set()
    for _ in range(50):
        donor = speakers[shuffled(20, rng, speakers)]
        for speaker in range(5):
            assert len(set(donor[speakers == speaker])) == 1
        moved.add(tuple(donor[:5]))
    assert len(moved) > 20
    # one utterance each: whole speakers change places, which is a free shuffle
    drawn = np.array([shuffled(4, rng, np.arange(4)) for _ in range(4000)])
    assert np.allclose([(drawn[:, 0] == place).mean() for place in range(4)], 0.25, atol=0.03)


@pytest.mark.parametrize("by_speaker", [False, True])
def test_random_directions_of_a_corpus_of_two_speakers_keep_the_mean(by_speaker):
    own = np.random.default_rng(7).standard_normal((9, 4)) + 5.0
    made = random_directions(own, np.random.default_rng(8), speakers=np.repeat([0, 1], [4, 5]) if by_speaker else None)
    assert np.allclose(made.mean(0), own.mean(0)) and np.abs(made - own).max() > 0.1


@pytest.mark.parametrize("by_speaker", [False, True])
def test_random_directions_keep_mean_sizes_and_speakers(vectors, by_speaker):
    own, speakers = vectors
    rng = np.random.default_rng(3)
    chosen = speakers if by_speaker else None
    drawn = np.array([random_directions(own, rng, speakers=chosen) for _ in range(1000)])
    assert np.allclose(drawn.mean(1), own.mean(0))
    mean_square = ((drawn - own.mean(0)) ** 2).sum(2).mean(0)
    # the sum in every draw; each to first order in 1 / U
    assert np.allclose(((drawn - own.mean(0)) ** 2).sum((1, 2)), ((own - own.mean(0)) ** 2).sum())
    assert np.corrcoef(mean_square, ((own - own.mean(0)) ** 2).sum(1))[0, 1] > 0.99
    # directions are random: what is left of the deviations averages out
    assert (np.abs(drawn.mean(0) - own.mean(0)) < 5 * drawn.std(0) / np.sqrt(len(drawn))).all()
    apart = ((drawn[:, 0] - drawn[:, 1]) ** 2).sum(1)
    if by_speaker:
        assert apart.std() < 0.25 * apart.mean()  # two of one speaker turn together; only their sizes are corrected
    else:
        assert apart.std() > 0.25 * apart.mean()


def test_random_directions_of_independent_vectors_have_their_distribution():
    rng = np.random.default_rng(4)
    speakers = np.repeat(np.arange(8), 4)
    own, drawn = [], []
    for _ in range(600):
        vectors = rng.standard_normal((32, 5)) + 2.0
        made = random_directions(vectors, rng, speakers=speakers)
        # what a cosine sees: norms about zero, and how alike two speakers' vectors are
        own.append([(vectors**2).sum() / 32, vectors[0] @ vectors[4], vectors[0] @ vectors[1]])
        drawn.append([(made**2).sum() / 32, made[0] @ made[4], made[0] @ made[1]])
    own, drawn = np.array(own), np.array(drawn)
    error = np.sqrt((own.var(0) + drawn.var(0)) / len(own))
    assert (np.abs(own.mean(0) - drawn.mean(0)) < 4 * error + 0.02).all()


def test_norms_of_their_own_about_zero(vectors):
    own = vectors[0]
    drawn = random_directions(own, np.random.default_rng(5), "zero")
    assert np.allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(own, axis=1))
    assert np.abs(drawn.mean(0) - own.mean(0)).max() > 1.0


def test_resized_moves_directions_and_leaves_sizes(vectors):
    own, speakers = vectors
    permutation = shuffled(len(own), np.random.default_rng(6), speakers)
    made = resized(own, permutation)
    before, after = own - own.mean(0), made - own.mean(0)
    assert np.allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1))
    cosine = np.sum(after * before[permutation], axis=1)
    assert np.allclose(cosine, np.linalg.norm(after, axis=1) * np.linalg.norm(before[permutation], axis=1))
    assert np.allclose(resized(np.ones((4, 3)), np.array([1, 0, 3, 2])), 1.0)
