"""Nulls keep what they promise to keep and lose the rest."""

from __future__ import annotations

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
    # a vector comes to rest with every speaker as often as they have utterances, and with its own just so
    share_own = (speakers[drawn] == speakers).mean()
    assert share_own == pytest.approx(1.0 if within == "speaker" else (speakers[:, None] == speakers).mean(), abs=0.02)
    together = (speakers[drawn][:, 3] == speakers[drawn][:, 4]).mean()
    assert {"blocks": 0.4, "speaker": 0.99, "corpus": 0.1}[within] < together
    assert within != "corpus" or together < 0.25


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
    # the sum to the error of the draws; each to first order in 1 / U
    assert mean_square.sum() == pytest.approx(((own - own.mean(0)) ** 2).sum(), rel=0.01)
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
