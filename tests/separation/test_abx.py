"""ABX errors against a loop over triples, cell by cell."""

import numpy as np
import pytest

from analysis.errors import SeparationError
from analysis.separation import threads
from analysis.separation.abx import AbxDesign, abx, abx_of_matrix
from analysis.separation.ranks import places
from tests.reference import separation as reference

CONDITIONS = ("any", "within_speaker", "across_speaker")


def compare(found, x, types, speakers, utterances, distance, condition):
    lists = (one.tolist() for one in (x, types, speakers, utterances))
    expected = {}
    for (*cell, _), lost in reference.abx_cells(*lists, distance, condition).items():
        expected.setdefault(tuple(cell), []).append(lost)
    cells = list(zip(found.type_a.tolist(), found.type_b.tolist(), found.speaker.tolist(), strict=True))
    assert set(cells) == set(expected) and len(cells) == len(expected)
    assert found.triples.tolist() == [sum(map(len, expected[cell])) for cell in cells]
    # across speakers the mean over the speakers of a and b
    assert found.error == pytest.approx([np.mean([np.mean(lost) for lost in expected[cell]]) for cell in cells], abs=1e-7)
    lists = (one.tolist() for one in (x, types, speakers, utterances))
    if cells:
        assert found.mean() == pytest.approx(reference.abx_error(*lists, distance, condition), abs=1e-7)


def tokens(seed, n=44, n_types=4, n_speakers=3):
    """Types and speakers from one token to many; an utterance holds tokens of one or of several speakers."""
    rng = np.random.default_rng(seed)
    types = np.concatenate([[n_types], rng.integers(0, n_types, n - 1) // 2 * 2 % n_types + (rng.random(n - 1) < 0.2)])
    speakers = np.minimum(rng.geometric(0.4, n), n_speakers) * 10
    utterances = rng.integers(0, 9, n) if seed % 2 else speakers + rng.integers(0, 4, n)
    return rng, types, speakers, utterances


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("seed", range(4))
def test_every_cell_equals_a_loop_over_triples(seed, condition):
    rng, *labels = tokens(seed)
    y = rng.standard_normal((len(labels[0]), 4))
    for distance in ("l2", "cosine"):
        compare(abx(y, *labels, condition=condition, distance=distance), y, *labels, distance, condition)
    # small whole numbers: many exact ties
    x = rng.integers(1, 4, (len(y), 2)).astype(float)
    compare(abx(x, *labels, condition=condition, distance="l2"), x, *labels, "l2", condition)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_matrix_in_any_blocks_of_rows(condition):
    rng, *labels = tokens(5)
    x = rng.integers(1, 5, (len(labels[0]), 2)).astype(float)
    squares = ((x[:, None] - x[None]) ** 2).sum(2)
    compare(abx_of_matrix(squares, *labels, condition=condition), x, *labels, "l2", condition)
    counter = AbxDesign(*labels, condition).counter()
    rows = rng.permutation(len(x))
    for first in range(0, len(x), 7):
        counter.see(rows[first : first + 7], np.exp(squares[rows[first : first + 7]] / 10))
    compare(counter.result(), x, *labels, "l2", condition)


def test_abx_at_both_ends():
    types, speakers, utterances = np.repeat([0, 1], 20), np.zeros(40, int), np.arange(40)
    apart = np.where(types[:, None] == 0, [0.0, 1.0], [5.0, 1.0])
    assert abx(apart, types, speakers, utterances, distance="l2").error.tolist() == [0.0, 0.0]
    assert abx(np.ones((40, 2)), types, speakers, utterances, distance="l2").error.tolist() == [0.5, 0.5]
    # every token of one's own type is farther than all others
    wrong = np.where(types[:, None] == types[None, :], 2.0, 1.0)
    assert abx_of_matrix(wrong, types, speakers, utterances).error.tolist() == [1.0, 1.0]


def test_a_type_without_an_a_is_b_alone():
    # type 7 has one token, type 8 has two in one utterance: neither has an x with an a
    types, utterances = np.array([5, 5, 7, 8, 8]), np.array([0, 1, 2, 3, 3])
    x = np.array([[0.0], [1.0], [0.5], [3.0], [-1.0]])
    found = abx(x, types, np.zeros(5, int), utterances, distance="l2")
    assert found.type_a.tolist() == [5, 5] and found.type_b.tolist() == [7, 8]
    assert found.error.tolist() == [1.0, 0.125] and found.triples.tolist() == [2, 4]
    alone = abx(x[2:], types[2:], np.zeros(3, int), utterances[2:], distance="l2")
    assert len(alone.error) == 0 and np.isnan(alone.mean())
    for condition in CONDITIONS:
        assert np.isnan(abx(np.zeros((0, 3)), [], [], [], condition=condition).mean())


def test_the_number_of_threads_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    n = 3000  # several blocks of rows
    x = np.round(rng.standard_normal((n, 3)), 1)
    types, speakers, utterances = rng.integers(0, 20, n), rng.integers(0, 5, n), rng.integers(0, 300, n)
    for condition in CONDITIONS:
        found = []
        for cores in (1, 2, 3):
            monkeypatch.setattr(threads, "available_cores", lambda cores=cores: cores)
            found.append(abx(x, types, speakers, utterances, condition=condition).error)
        assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


@pytest.mark.parametrize("n_bounds", [0, 1, 8, 9, 40, 300])
@pytest.mark.parametrize("shape", ["apart", "tied", "all equal", "among the values", "tiny", "far", "one far off"])
def test_places_equal_comparisons(shape, n_bounds):
    rng = np.random.default_rng(n_bounds)
    values, bounds = rng.standard_normal((9, 200)), rng.standard_normal((9, n_bounds))
    if shape == "tied":
        values, bounds = np.round(values, 1), np.round(bounds, 1)
    elif shape == "all equal":
        values, bounds = np.sign(values), np.ones_like(bounds)
    elif shape == "among the values":
        bounds = values[:, rng.integers(0, 200, n_bounds)]
    elif shape == "tiny":
        values, bounds = values * 1e-320, bounds * 1e-320
    elif shape == "far":
        values, bounds = 1e9 + 1e-7 * values, 1e9 + 1e-7 * bounds
    elif shape == "one far off":
        bounds[:, :1] = -1e250
    held = np.concatenate([[0, min(1, n_bounds), n_bounds], rng.integers(0, n_bounds + 1, 6)])
    bounds = np.sort(np.where(np.arange(n_bounds) < held[:, None], bounds, np.inf), axis=1)
    below = bounds[:, :, None] < values[:, None, :]
    not_above = bounds[:, :, None] <= values[:, None, :]
    assert np.array_equal(places(values, bounds), below.sum(1) + not_above.sum(1))


def test_values_that_cannot_be_ordered_are_refused():
    x, labels = np.ones((4, 2)), (np.array([0, 0, 1, 1]), np.zeros(4, int), np.arange(4))
    x[2, 1] = np.nan
    with pytest.raises(SeparationError, match=r"^1 of 4 token vectors hold NaN .* the first at 2, .* dtype float32\.$"):
        abx(x, *labels)
    distances = np.ones((4, 4))
    distances[1:3, 0] = np.inf
    with pytest.raises(SeparationError, match=r"^2 of 4 rows of distances hold NaN or infinite values, the first at 1"):
        abx_of_matrix(distances, *labels)
    with pytest.raises(SeparationError, match="has no condition 'by_speaker'"):
        AbxDesign(*labels, "by_speaker")
