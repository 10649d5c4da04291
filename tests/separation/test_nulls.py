"""Nulls keep what they promise to keep and lose the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from analysis.separation.nulls import NullVectors

SPEAKERS = np.repeat(np.arange(6), [2, 3, 3, 4, 5, 1])


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def own():
    rng = np.random.default_rng(0)
    n = len(SPEAKERS)
    return rng.standard_normal((n, 12)) * np.exp(0.7 * rng.standard_normal((n, 1))) + rng.standard_normal((6, 12))[SPEAKERS] + 3.0


def test_without_voices_a_shuffle_permutes_directions_and_leaves_sizes():
    rng = np.random.default_rng(1)
    own = rng.standard_normal((20, 12)) * np.exp(0.7 * rng.standard_normal((20, 1))) + 3.0
    nulls = NullVectors(own, np.repeat(np.arange(4), 5), within="corpus")
    before = own - nulls.mean
    for _ in range(20):
        drawn = nulls.reassigned(rng)
        assert sorted(drawn.utterance) == list(range(20))
        after = nulls.shuffled(drawn) - nulls.mean
        assert np.allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1))
        assert np.allclose(_unit(after), _unit(before)[drawn.utterance])


def test_every_order_of_texts_is_as_likely():
    rng = np.random.default_rng(9)
    nulls = NullVectors(rng.standard_normal((4, 3)))
    count = Counter(tuple(nulls.reassigned(rng).utterance.tolist()) for _ in range(24000))
    assert len(count) == 24 and max(abs(n - 1000) for n in count.values()) < 4.5 * np.sqrt(1000)


def test_readings_of_one_text_are_given_readings_of_one_other_text():
    rng = np.random.default_rng(2)
    texts = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4])
    nulls = NullVectors(rng.standard_normal((9, 5)), texts=texts)
    seen = set()
    for _ in range(200):
        donor = nulls.reassigned(rng).utterance
        given = texts[donor]
        for text in range(5):
            assert len(set(given[texts == text])) == 1
        if given[0] == 3:  # three readings are given the two there are, and one of them again
            assert set(donor[:3]) == {6, 7}
        assert len(set(given)) == 5
        seen.add(tuple(given))
    assert len(seen) > 60


def test_within_the_speaker_texts_change_places_with_texts_of_the_same_readers():
    rng = np.random.default_rng(3)
    speakers, texts = np.array([0, 1, 0, 1, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 3, 4, 5])
    nulls = NullVectors(rng.standard_normal((8, 5)), speakers, texts, within="speaker")
    for _ in range(100):
        drawn = nulls.reassigned(rng)
        assert (speakers[drawn.utterance] == speakers).all() and (drawn.speaker == np.arange(2)).all()
        assert (np.isin(texts[drawn.utterance[:4]], [0, 1])).all()


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("null", ["shuffled", "random"])
def test_draws_are_as_alike_within_a_speaker_and_within_a_text_as_the_vectors_are(null, crossed):
    """Mean inner products of directions, over many corpora, for voices that are half of the vectors and readings that differ."""
    rng = np.random.default_rng(4)
    n_speakers, n_texts = 8, 12
    if crossed:
        speakers, texts = np.tile(np.arange(n_speakers), n_texts), np.repeat(np.arange(n_texts), n_speakers)
    else:  # each text by two speakers
        texts = np.repeat(np.arange(48), 2)
        speakers = (texts + np.tile([0, 3], 48) + texts // n_speakers) % n_speakers
    same_speaker = speakers[:, None] == speakers[None, :]
    same_text = texts[:, None] == texts[None, :]
    kinds = {
        "voice": same_speaker & ~same_text,
        "text": same_text & ~same_speaker,
        "nothing": ~same_speaker & ~same_text,
    }
    found = {name: [] for name in kinds}
    for _ in range(60):
        vectors = rng.standard_normal((n_speakers, 40))[speakers] + rng.standard_normal((n_texts if crossed else 48, 40))[texts]
        vectors = vectors + 0.3 * rng.standard_normal(vectors.shape) + 2.0
        nulls = NullVectors(vectors, speakers, texts)
        made = nulls.draws(null, 4, rng)
        alike = [_unit(one - nulls.mean) @ _unit(one - nulls.mean).T for one in (vectors, *made)]
        for name, kind in kinds.items():
            found[name].append([one[kind].mean() for one in alike])
    found = {name: np.array(values) for name, values in found.items()}
    for name in ("voice", "nothing"):  # what the headline compares
        assert found[name][:, 1:].mean() == pytest.approx(found[name][:, 0].mean(), abs=0.02), name
    assert 0.9 < found["text"][:, 1:].mean() / found["text"][:, 0].mean() < 1.02
    # the same draws, a free shuffle of vectors: neither voices nor texts hold together
    assert found["voice"][:, 0].mean() > 0.3 and found["text"][:, 0].mean() > 0.3


def test_what_goes_with_the_length_stays(own):
    rng = np.random.default_rng(5)
    lengths = rng.integers(20, 400, len(own))
    slope = rng.standard_normal(12)
    with_length = own + np.outer(np.log(lengths), slope)
    nulls = NullVectors(with_length, SPEAKERS, lengths=lengths)
    design = np.stack([np.ones(len(own)), np.log(lengths)], 1)
    fitted = np.linalg.lstsq(design, nulls.mean, rcond=None)[0]
    assert np.allclose(nulls.mean, design @ fitted) and np.abs(fitted[1] - slope).max() < 1.0
    # about it directions sum to zero, and so do their products with the length
    directions = _unit(with_length - nulls.mean)
    assert np.linalg.norm(design.T @ directions, axis=1).max() < 0.05 * len(own)
    for made in (*nulls.draws("shuffled", 5, rng), *nulls.draws("random", 5, rng)):
        assert np.allclose(np.linalg.norm(made - nulls.mean, axis=1), np.linalg.norm(with_length - nulls.mean, axis=1))


def test_random_directions_have_none_in_common_with_the_vectors(own):
    rng = np.random.default_rng(6)
    nulls = NullVectors(own, SPEAKERS)
    drawn = np.array(nulls.draws("random", 2000, rng)) - nulls.mean
    cosine = np.einsum("kud,ud->ku", drawn, own - nulls.mean) / np.linalg.norm(own - nulls.mean, axis=1) ** 2
    assert (np.abs(cosine.mean(0)) < 4.5 * cosine.std(0) / np.sqrt(2000)).all()


def test_readings_of_a_text_keep_their_angles_under_random_directions():
    rng = np.random.default_rng(7)
    texts = np.array([0, 0, 0, 1, 1, 2, 3, 4])
    own = rng.standard_normal((5, 6))[texts] + 0.1 * rng.standard_normal((8, 6))
    nulls = NullVectors(own, texts=texts)
    made = _unit(nulls.random(rng) - nulls.mean)
    assert (made[0] @ made[1:3].T > 0.7).all() and made[3] @ made[4] > 0.7


def test_norms_of_their_own_about_zero(own):
    drawn = NullVectors(own, SPEAKERS).random(np.random.default_rng(5), "zero")
    assert np.allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(own, axis=1))
    assert np.abs(drawn.mean(0) - own.mean(0)).max() > 1.0


def test_vectors_that_are_all_alike_stay_what_they_are():
    same = np.ones((5, 3))
    nulls = NullVectors(same, np.array([0, 0, 1, 2, 2]))
    for null in ("shuffled", "random"):
        assert np.allclose(nulls.draws(null, 2, np.random.default_rng(0)), 1.0)
