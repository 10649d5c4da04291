"""A module that diverged is never kept, never scored well and never evaluated; an utterance without a vector is one row."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from analysis.corpus.utterance import Utterance
from analysis.errors import Failure, SemanticsError, StrictError
from analysis.wav2sem.data import FrameData
from analysis.wav2sem.evaluation import ranks, scores
from analysis.wav2sem.recipe import evaluate, score_vectors
from analysis.wav2sem.training import TrainingSettings
from analysis.wav2sem.types import SemanticsCard
from analysis.wav2sem.vectors import embed
from tests.wav2sem.test_training import WordSums, _cache, _train

REMEDY = (
    "the training has diverged. What {out} holds is of before. Train again into another --out with a lower --learning-rate, a longer "
    "--warmup, --clip 1, or --precision no."
)


@pytest.fixture(autouse=True)
def own_log(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return _cache(tmp_path_factory.mktemp("frames") / "train", 12, 0)


class Spoilt(FrameData):
    """Frames of which some batch, counted from 1, holds NaN."""

    def __init__(self, caches, bad: int) -> None:
        super().__init__(caches)
        self.bad, self.given = bad, 0

    def batch(self, items):
        made = super().batch(items)
        self.given += 1
        if self.given == self.bad:
            made.inputs[0][0, :, 0] = torch.nan
        return made


def test_a_loss_that_is_no_number_stops_and_the_best_module_before_it_is_kept(cache, tmp_path):
    settings = TrainingSettings(epochs=9, max_steps=12, warmup=0, batch_seconds=4.0, validate_every=2, save_every=2)
    with pytest.raises(SemanticsError) as caught:
        _train(cache, tmp_path, settings, data=Spoilt([cache], 4))
    assert str(caught.value) == f"The loss is nan at update 3 (epoch 0): {REMEDY.format(out=tmp_path)}"
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / "model.safetensors").values())
    assert json.loads((tmp_path / "latest.json").read_text())["checkpoint"] == "checkpoint-2"


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_rate_that_is_too_high_ends_with_no_module(cache, tmp_path, clip):
    settings = TrainingSettings(loss="l1", epochs=4, warmup=0, learning_rate=1e30, batch_seconds=4.0, clip=clip)
    with pytest.raises(SemanticsError, match=r" at update \d+ \(epoch 0\): the training has diverged\. What "):
        _train(cache, tmp_path, settings)
    assert not (tmp_path / "model.safetensors").exists()


def test_the_last_update_may_be_the_one_that_diverges(cache, tmp_path):
    settings = TrainingSettings(loss="l1", max_steps=1, warmup=0, learning_rate=1e30, batch_seconds=4.0, validate_every=100)
    with pytest.raises(SemanticsError) as caught:
        _train(cache, tmp_path, settings)
    assert str(caught.value) == (
        f"Vectors of held-out utterances are no finite numbers at update 1 (epoch 0): {REMEDY.format(out=tmp_path)}"
    )
    assert not (tmp_path / "model.safetensors").exists()


def test_vectors_that_are_no_numbers_score_worst():
    gallery = np.eye(4)
    vectors = gallery.copy()
    vectors[1, 0] = np.nan
    vectors[2, 3] = np.inf
    assert ranks(vectors, gallery, np.arange(4)).tolist() == [1, np.inf, np.inf, 1]
    found = scores(vectors, gallery, gallery, np.arange(4))
    assert found == {
        "l1": np.inf, "cosine": 0.0, "r1": 0.5, "r5": 0.5, "r10": 0.5, "mrr": 0.5, "utterances": 4, "texts": 4,
    }  # fmt: skip
    nothing = scores(np.full((4, 4), np.nan), gallery, gallery, np.arange(4))
    assert (nothing["r1"], nothing["r10"], nothing["mrr"], nothing["cosine"]) == (0.0, 0.0, 0.0, -1.0)


def refusal(count: int, total: int) -> str:
    return (
        f"The module odd gives vectors with NaN or infinite values for {count} of {total} utterances, so it has no score. Its training "
        "diverged or its weights are damaged: train it again with a lower learning rate, or fetch them again."
    )


def test_evaluation_refuses_vectors_that_are_no_numbers(tmp_path):
    texts = ["batan kires", "lovil", "mudop"]
    vectors = WordSums().embed(texts, pooling="mean")
    vectors[1] = np.nan
    with pytest.raises(SemanticsError) as caught:
        score_vectors(vectors, texts, [1.0] * 3, name="odd", text_model=WordSums(), pooling="mean")
    assert str(caught.value) == refusal(1, 3)
    module = Module(lambda one: np.full(24, np.nan if one.text == "lovil" else 1.0))
    with pytest.raises(SemanticsError) as caught:
        evaluate(module, [spoken(text) for text in texts], text_model=WordSums())
    assert str(caught.value) == refusal(1, 3)


def test_evaluation_leaves_out_what_cannot_be_used(caplog):
    def vector(one):
        if one.text == "lovil":
            raise SemanticsError("lovil is too long.")
        return WordSums().embed([one.text], pooling="mean")[0]

    texts = ["batan kires", "lovil", "mudop"]
    with caplog.at_level("WARNING"):
        (row,) = evaluate(Module(vector), [spoken(text) for text in texts], text_model=WordSums())
    assert (row["utterances"], row["r1"]) == (2, 1.0)
    assert caplog.messages == ["left out: lovil: lovil is too long."]


# -- vectors of many utterances --------------------------------------------------------------------------------------------


def spoken(text: str) -> Utterance:
    return Utterance(text, f"{text}.wav", text, "s", 1.0, 16000)


class Module:
    """A semantic module that fails as a whole where one utterance fails, and counts how often it is asked."""

    def __init__(self, vector) -> None:
        self.vector, self.asked = vector, 0
        self.card = SemanticsCard(name="odd", source="audio", dims=24, revision="1", target="")

    def semantics(self, utterances):
        self.asked += 1
        return np.stack([self.vector(one) for one in utterances]).astype(np.float32)

    def from_states(self, states, host):
        return None


def number(one: Utterance) -> np.ndarray:
    value = int(one.text)
    if value == 37:
        raise KeyError("token")
    if value == 11:
        raise SemanticsError("It is too long.")
    return np.full(24, np.nan if value == 20 else value)


@pytest.mark.parametrize("batch", [None, 16])
def test_utterances_without_a_vector_are_rows_and_the_others_keep_theirs(batch):
    module = Module(number)
    found, failures = embed(module, [spoken(str(i)) for i in range(50)], batch=batch)
    assert [int(name) for name in found.utterances] == [i for i in range(50) if i not in (11, 20, 37)]
    assert [int(value) for value in found.vectors[:, 0]] == [int(name) for name in found.utterances]
    assert [(failure.item, failure.reason) for failure in failures] == [
        ("11", "It is too long."),
        ("20", "The module odd gives a vector with NaN or infinite values."),
        ("37", "KeyError: 'token'."),
    ]
    assert failures[0] == Failure("semantics", "11", "It is too long.", "Mend it, or leave it out.")
    assert module.asked < 30


def test_strict_stops_at_the_first():
    with pytest.raises(StrictError) as caught:
        embed(Module(number), [spoken(str(i)) for i in range(50)], strict=True)
    assert str(caught.value) == "semantics: 11: It is too long. Mend it, or leave it out."


def test_a_module_that_says_the_same_of_every_utterance_is_what_is_wrong():
    def missing(one):
        raise SemanticsError("The text model needs a package.")

    module = Module(missing)
    with pytest.raises(SemanticsError, match=r"^The text model needs a package\.$"):
        embed(module, [spoken(str(i)) for i in range(1000)])
    assert module.asked < 40


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_concerns_every_utterance_stops(error):
    def stop(one):
        raise error

    with pytest.raises(type(error)):
        embed(Module(stop), [spoken("1"), spoken("2")])
