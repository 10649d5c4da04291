"""Fusions trained on phones: who gains and who must not, the same budget, and weights that say what the training said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.fusion import FusionWeights, fuse
from analysis.wav2sem.fusion_training import FusionSettings, PhoneFrames, compare, cross_validated, fit, trained_weights

QUICK = FusionSettings(epochs=15, batch=8, hidden=16, folds=3, learning_rate=1e-2)
DIMS, WIDE = 6, 5


@pytest.fixture(scope="module")
def task():
    """Four phones of which the frames tell two apart; which of the other two it is, the sentence's vector knows, by its sign."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, WIDE)).astype(np.float32) + 1
    vectors[:, 0] += np.where(rng.permutation(60) < 30, 4, -4)
    frames, phones = [], []
    for vector in vectors:
        count = int(rng.integers(10, 20))
        heard = rng.integers(0, 2, count)
        states = rng.standard_normal((count, DIMS)) * [1, 1, 1, 5, 5, 5] + 2
        states[:, 0] = 2 + 4 * heard + rng.standard_normal(count) * 0.2
        labels = 2 * heard + int(vector[0] > 1)
        labels[:2] = -100
        frames.append(states.astype(np.float32))
        phones.append(labels)
    names = tuple(f"u{i}" for i in range(60))
    return PhoneFrames(
        names, tuple(f"text {i // 2}" for i in range(60)), tuple(frames), tuple(phones), ("B", "D", "P", "T"), "made@1", 4
    ), vectors


@pytest.mark.parametrize("fusion", ["linear", "paper", "concat"])
def test_a_vector_that_knows_raises_accuracy_and_its_nulls_do_not(task, fusion):
    task, vectors = task
    rng = np.random.default_rng(1)
    nulls = {"shuffled": [vectors[rng.permutation(60)]], "random": [rng.standard_normal((60, WIDE))]}
    table = compare(task, {"module": vectors}, {"module": nulls}, fusions=(fusion,), settings=QUICK, progress=False)
    rows = {(row["variant"], row["statistic"], row["null"]): row for row in table.to_dict("records")}
    alone = rows["without", "accuracy", ""]["estimate"]
    assert 0.4 < alone < 0.62
    assert rows["module", "accuracy", ""]["estimate"] > 0.85
    for null in ("shuffled", "random"):
        assert rows[f"null:{null}", "accuracy", "module"]["estimate"] < 0.65
        net = rows["module", "net", null]
        assert 0.2 < net["ci_low"] < net["estimate"] < net["ci_high"]
    gain = rows["module", "gain", ""]
    assert gain["estimate"] == pytest.approx(rows["module", "accuracy", ""]["estimate"] - alone)
    assert set(table["n_frames"]) == {sum(int((phones >= 0).sum()) for phones in task.phones)}


def test_no_group_is_in_training_and_test(task):
    task, _ = task
    folds = task.folds(3)
    assert set(folds) == {0, 1, 2}
    assert all(len({fold for fold, name in zip(folds, task.groups, strict=True) if name == group}) == 1 for group in task.groups)
    with pytest.raises(SemanticsError, match="30 different groups of utterances cannot make 31 folds"):
        task.folds(31)


@pytest.mark.parametrize("fusion", ["linear", "paper"])
def test_weights_fuse_as_the_training_did(task, fusion, tmp_path):
    task, vectors = task
    model = fit(task, vectors, fusion, QUICK)
    trained_weights(task, vectors, fusion, QUICK, trained_on="here").save(tmp_path)
    weights = FusionWeights.load(tmp_path)
    assert (weights.mode, weights.trained_on, weights.encoder, weights.layer) == (fusion, "here", "made@1", 4)
    with torch.no_grad():
        expected = model(torch.from_numpy(task.frames[7])[None], torch.from_numpy(vectors[7:8]))[0]
        fused = fuse(task.frames[7], np.repeat(vectors[7:8], len(task.frames[7]), 0), mode=fusion, weights=weights)
        found = model.head((torch.from_numpy(fused) - model.mean) / model.spread)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    means = fuse(task.frames[7].mean(0, keepdims=True), vectors[7:8], mode=fusion, weights=weights)
    np.testing.assert_allclose(means[0], fused.mean(0), atol=1e-4)  # fusing what was pooled is pooling what was fused


def test_everything_begins_alike_and_the_seed_decides(task):
    task, vectors = task
    none = replace(QUICK, epochs=1, learning_rate=1e-30)
    heads = [fit(task, given, "linear", none).head.state_dict() for given in (None, vectors, vectors[::-1].copy())]
    assert all(torch.equal(heads[0][name], head[name]) for head in heads for name in heads[0])
    small = replace(QUICK, epochs=2)
    first, again = (cross_validated(task, vectors, "paper", small) for _ in range(2))
    assert (first == again).all()


def test_what_cannot_be_trained_is_refused(task):
    task, vectors = task
    with pytest.raises(ConfigurationError, match="A fusion to train is one of linear, paper, concat"):
        fit(task, vectors, "add", QUICK)
    with pytest.raises(ConfigurationError, match=r"a vector for each of 60 utterances, not 'linear' with 59\."):
        fit(task, vectors[1:], "linear", QUICK)
    with pytest.raises(ConfigurationError, match="Only the fusions linear and paper have weights, not 'concat'"):
        trained_weights(task, vectors, "concat", QUICK, trained_on="")
    with pytest.raises(ConfigurationError, match=r"^folds must be at least 2, not 1\.$"):
        FusionSettings(folds=1)
