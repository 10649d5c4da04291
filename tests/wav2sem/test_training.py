"""Training: resumption, learning, accumulation, schedules, presets, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.data import FrameData
from analysis.wav2sem.frames import FrameCache
from analysis.wav2sem.module import SharedConfig, SharedModule
from analysis.wav2sem.recipe import PRESETS, Recipe, run
from analysis.wav2sem.splits import held_out
from analysis.wav2sem.text import TextModelCard, normalized
from analysis.wav2sem.training import TrainingSettings, train

DIMS = 24
WORDS = [a + b for a in ("ba", "ki", "lo", "mu") for b in ("tan", "res", "vil", "dop")]


class WordSums:
    """A text model without weights: every word has a fixed vector, a text has their mean."""

    card = TextModelCard("sums", "1", DIMS, 512)

    def embed(self, texts, *, pooling, **_):
        return np.stack([np.mean([_vector(word, DIMS) for word in normalized(t).split()], 0) for t in texts]).astype(np.float32)


def _vector(word, dims):
    return np.random.default_rng(list(word.encode())).standard_normal(dims)


def _cache(folder, clips, seed):
    """Frames in which every word is three steps long and nothing else is said."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    told = {"host": "made@1", "layers": [0, 1], "stride": 4, "dims": 16, "rate": 12.5}
    (folder / "settings.json").write_text(json.dumps(told))
    rows, parts, at = [], [], 0
    for number in range(clips):
        sentences = [" ".join(rng.choice(WORDS, int(rng.integers(2, 5)))) for _ in range(1 + number % 2)]
        frames, spans = [], []
        for sentence in sentences:
            begin = len(frames)
            frames += [[_vector(word, 16), _vector(word + "x", 16)] for word in sentence.split() for _ in range(3)]
            spans.append([begin, len(frames)])
        rows.append({"key": str(number), "start": at, "frames": len(frames), "seconds": len(frames) / 12.5})
        rows[-1] |= {"sentences": sentences, "spans": spans}
        parts.append(np.asarray(frames, np.float16))
        at += len(frames)
    (folder / "frames.f16").write_bytes(np.concatenate(parts).tobytes())
    (folder / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FrameCache(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return _cache(tmp_path_factory.mktemp("frames") / "train", 24, 0)


def _module(dims=DIMS, dropout=0.1, norm=0.0):
    torch.manual_seed(3)
    return SharedModule(
        SharedConfig(
            "made@1", 16, (0, 1), dims=dims, width=32, depth=1, heads=2, hidden=48, queries=2, dropout=dropout, norm=norm
        )
    )


def _train(cache, out, settings, *, module=None, data=None, stop_at=None):
    return train(
        module or _module(),
        data or FrameData([cache], whole=0.5, augment=True),
        FrameData([cache]),
        WordSums(),
        settings,
        out,
        save_module=lambda module, folder: module.save(folder),
        progress=False,
        stop_at=stop_at,
    )


EVERYTHING = TrainingSettings(
    epochs=3, learning_rate=3e-3, warmup=3, batch_seconds=4.0, accumulate=2, ema=0.9, spelling=0.3, pieces=40, save_every=2,
    validate_every=3,
)  # fmt: skip


def _state(out):
    checkpoint = out / json.loads((out / "latest.json").read_text())["checkpoint"]
    return load_file(checkpoint / "state.safetensors"), json.loads((checkpoint / "state.json").read_text())


def _assert_same(one, other):
    (tensors, state), (others, told) = _state(one), _state(other)
    assert state == told
    assert tensors.keys() == others.keys()
    for name in tensors:
        assert torch.equal(tensors[name], others[name]), name
    best, again = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert all(torch.equal(best[name], again[name]) for name in best)


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "whole"
    _train(cache, out, EVERYTHING)
    return out


def test_a_stopped_run_goes_on_to_the_same_weights(cache, undisturbed, tmp_path):
    steps = _state(undisturbed)[1]["step"]
    assert steps > 6
    for stop_at in (1, 4, steps - 1):
        _train(cache, tmp_path / "stopped", EVERYTHING, stop_at=stop_at)
        assert _state(tmp_path / "stopped")[1]["step"] == stop_at
    _train(cache, tmp_path / "stopped", EVERYTHING)
    _assert_same(undisturbed, tmp_path / "stopped")


def test_a_killed_run_goes_on_to_the_same_weights_and_log(cache, undisturbed, tmp_path):
    class Killed(BaseException):
        pass

    class Dying(FrameData):
        left = 11

        def batch(self, items):
            self.left -= 1
            if not self.left:
                raise Killed
            return super().batch(items)

    with pytest.raises(Killed):
        _train(cache, tmp_path / "killed", EVERYTHING, data=Dying([cache], whole=0.5, augment=True))
    (tmp_path / "killed" / "checkpoint-999").mkdir()  # a checkpoint that the kill left half-written
    before = _state(tmp_path / "killed")[1]["step"]
    assert before == 4  # five updates were done, two a checkpoint
    _train(cache, tmp_path / "killed", EVERYTHING)
    _assert_same(undisturbed, tmp_path / "killed")
    logs = [(out / "log.csv").read_text().splitlines() for out in (undisturbed, tmp_path / "killed")]
    assert [line.split(",")[0] for line in logs[0]] == [line.split(",")[0] for line in logs[1]]


def test_other_settings_do_not_go_on_with_a_run(cache, undisturbed):
    from dataclasses import replace

    with pytest.raises(SemanticsError) as told:
        _train(cache, undisturbed, replace(EVERYTHING, ema=0.5))
    assert str(told.value) == (
        f"{undisturbed} holds a run with other settings (ema: 0.9 is now 0.5). Go on with the same settings, or choose another "
        "--out."
    )


@pytest.mark.parametrize("loss", ["infonce", "l1"])
def test_a_tiny_set_is_learned_by_heart(cache, tmp_path, loss):
    settings = TrainingSettings(
        loss=loss, epochs=50, learning_rate=5e-3, warmup=5, batch_seconds=8.0, validate_every=1000, weight_decay=0.0
    )
    module = _module(dropout=0.0)
    before = _scored(module, cache)
    assert before["r1"] < 0.5
    found = _train(cache, tmp_path / loss, settings, module=module, data=FrameData([cache]))
    assert found["r1"] == 1.0
    assert found["cosine"] > 0.9 > before["cosine"]


def _scored(module, cache):
    from analysis.wav2sem.training import validated

    return validated(module, FrameData([cache]), WordSums(), TrainingSettings(), torch.device("cpu"))


def test_accumulated_batches_are_one_batch(cache, tmp_path):
    common = {"loss": "l1", "max_steps": 4, "epochs": 1, "learning_rate": 1e-3, "warmup": 0, "batch_seconds": 1e6, "clip": 0.0}
    for name, size, accumulate in (("one", 8, 1), ("four", 2, 4)):
        settings = TrainingSettings(**common, batch_size=size, accumulate=accumulate)
        _train(cache, tmp_path / name, settings, module=_module(dropout=0.0), data=FrameData([cache]))
    one, four = (_state(tmp_path / name)[0] for name in ("one", "four"))
    begun = _module().state_dict()
    for name in begun:
        a, b = one[f"learner.module.{name}"], four[f"learner.module.{name}"]
        # What a softmax does not feel has gradients of mere rounding, which Adam makes large: the keys' bias, the queries' bias.
        if name == "pool_queries.bias":
            continue
        if name.endswith("qkv.bias"):
            a, b = (torch.cat([part[:32], part[64:]]) for part in (a, b))
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4)
    assert not torch.equal(one["learner.module.pool_out.weight"], begun["pool_out.weight"])


def test_every_batch_is_used_once_and_none_is_too_long(cache):
    from analysis.wav2sem.data import plan_batches

    durations = np.random.default_rng(0).uniform(0.5, 20, 1000)
    batches = plan_batches(durations, seconds=100, seed=[0, 1])
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    assert all(len(batch) * max(durations[i] for i in batch) <= 100 for batch in batches)
    assert batches == plan_batches(durations, seconds=100, seed=[0, 1]) != plan_batches(durations, seconds=100, seed=[0, 2])


def test_the_paper_preset_has_the_published_values():
    paper, release = PRESETS["paper"], PRESETS["release"]
    for preset in (paper, release):
        assert (preset.architecture, preset.size, preset.initialize) == ("reference", "base", "scratch")
        assert preset.text_model == "bert-base-uncased"
    settings = TrainingSettings(**paper.settings)
    assert (settings.loss, settings.target, settings.epochs, settings.batch_size) == ("l1", "cls", 200, 1)
    assert (settings.accumulate, settings.clip, settings.ema, settings.spelling) == (1, 0.0, 0.0, 0.0)
    assert settings.weight_decay == 0 and settings.beta2 == 0.999  # AdamW without decay is Adam
    assert {settings.rate(step, 20000, 100) for step in (0, 1, 9999, 19999)} == {1e-4}
    settings = TrainingSettings(**release.settings)
    assert [settings.rate(epoch * 100, 20000, 100) for epoch in (0, 19.99, 20, 40, 199)] == [
        1e-5, 1e-5, 5e-6, 2.5e-6, 1e-5 / 2**9,
    ]  # fmt: skip


def test_cosine_schedule_warms_up_and_ends_at_nothing():
    settings = TrainingSettings(learning_rate=2.0, warmup=10)
    assert [settings.rate(step, 110, 10) for step in (0, 4, 9, 10, 60)] == pytest.approx([0.2, 1.0, 2.0, 2.0, 1.0])
    assert settings.rate(110, 110, 10) == pytest.approx(0.0)


def test_dims_of_text_model_and_module_must_agree(cache, tmp_path):
    with pytest.raises(SemanticsError) as told:
        _train(cache, tmp_path / "run", TrainingSettings(), module=_module(dims=7))
    assert str(told.value) == (
        "The text model 'sums' gives 24 dims and the module 7. Give the module a projection to the text space, or another "
        "--text-model."
    )


def test_a_module_begins_where_another_ended(cache, undisturbed):
    from dataclasses import replace

    from analysis.wav2sem.recipe import _shared

    told = json.loads((undisturbed / "config.json").read_text()) | {"target": "sums@1:mean"}
    (undisturbed / "config.json").write_text(json.dumps(told))
    recipe = Recipe(initialize=str(undisturbed))
    module, *_ = _shared(recipe, TrainingSettings(), WordSums(), [cache], cache)
    assert module.training
    begun = load_file(undisturbed / "model.safetensors")
    assert all(torch.equal(value, begun[name]) for name, value in module.state_dict().items())
    with pytest.raises(SemanticsError, match=r"gives vectors of sums@1:mean; this run has .* the target sums@1:cls\. Give the"):
        _shared(recipe, TrainingSettings(target="cls"), WordSums(), [cache], cache)
    with pytest.raises(SemanticsError, match="holds no module to begin with"):
        _shared(replace(recipe, initialize="nowhere"), TrainingSettings(), WordSums(), [cache], cache)


def test_blending_keeps_what_validation_likes_best(cache, undisturbed, tmp_path):
    import shutil

    from analysis.wav2sem.training import blend

    shutil.copytree(undisturbed, tmp_path / "run")
    state = _state(undisturbed)[0]
    end = {name.removeprefix("mean."): value for name, value in state.items() if name.startswith("mean.")}
    begun = {name: torch.randn_like(value) for name, value in end.items()}
    kept = load_file(undisturbed / "model.safetensors")
    common = {"save_module": lambda module, folder: module.save(folder), "shares": (0.01,)}
    best = blend(_module(), begun, FrameData([cache]), WordSums(), EVERYTHING, tmp_path / "run", **common)
    assert "share" not in best  # weights that mean nothing do not help
    assert all(torch.equal(value, kept[name]) for name, value in load_file(tmp_path / "run" / "model.safetensors").items())
    learned = _module(dropout=0.0)
    settings = TrainingSettings(epochs=40, learning_rate=5e-3, warmup=5, batch_seconds=8.0)
    _train(cache, tmp_path / "learned", settings, module=learned, data=FrameData([cache]))
    begun = {name: 4 * value - 3 * end[name] for name, value in learned.state_dict().items()}  # three quarters on lies `learned`
    common["shares"] = (0.75,)
    best = blend(_module(), begun, FrameData([cache]), WordSums(), EVERYTHING, tmp_path / "run", **common)
    assert best["share"] == 0.75 and best["r1"] > 0.9
    for name, value in load_file(tmp_path / "run" / "model.safetensors").items():
        torch.testing.assert_close(value, learned.state_dict()[name], atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigurationError, match="Only a shared module that began with another's weights can be blended"):
        run(Recipe(blend=True), tmp_path / "x", corpus="demo")


def test_frames_of_different_hosts_do_not_mix(cache, tmp_path):
    other = _cache(tmp_path / "other", 2, 1)
    told = other.settings | {"host": "other@2"}
    (other.folder / "settings.json").write_text(json.dumps(told))
    with pytest.raises(SemanticsError, match="hold frames of different encoders or layers"):
        FrameData([cache, other])


def test_held_out_speakers_and_texts_are_new():
    from pathlib import Path

    from analysis.corpus.utterance import Utterance

    said = [(f"s{speaker}", f"text number {text}") for speaker in range(6) for text in range(20)]
    utterances = [Utterance(f"u{i}", Path("x.wav"), text, speaker, 1.0, 16000) for i, (speaker, text) in enumerate(said)]
    split = held_out(utterances, share=0.2)
    assert sum(map(len, split.values())) == len(utterances)
    speakers = {part: {u.speaker for u in split[part]} for part in split}
    texts = {part: {u.text for u in split[part]} for part in split}
    assert not speakers["speaker"] & (speakers["train"] | speakers["text"])
    assert not texts["text"] & texts["train"]
    assert {u.id for u in held_out(utterances[::-1], share=0.2)["text"]} == {u.id for u in split["text"]}
    with pytest.raises(SemanticsError, match="too few to hold some out"):
        held_out(utterances[:1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "linear"}, "The schedule is 'cosine' or 'step', not 'linear'."),
        ({"precision": "int8"}, "The precision is 'no', 'fp16' or 'bf16', not 'int8'."),
        ({"epochs": 0}, "epochs must be at least 1, not 0."),
        ({"ema": 1.0}, "The decay of the running mean must be in [0, 1), not 1.0."),
        ({"learning_rate": 0.0}, "The learning rate and the audio per batch must be positive."),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(ConfigurationError) as told:
        TrainingSettings(**given)
    assert str(told.value) == message
