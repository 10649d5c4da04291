"""Semantic modules: batches, conversion, plug-in, resumption, fusion, retrieval, and what is refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2Model

from analysis.encoders.products import has_onednn
from analysis.errors import CheckpointError, ConfigurationError, SemanticsError
from analysis.wav2sem import fuse, load_semantics, normalized, plug
from analysis.wav2sem.conversion import convert
from analysis.wav2sem.evaluation import ranks
from analysis.wav2sem.fusion import FusionWeights, isometry
from analysis.wav2sem.module import SharedConfig, SharedModule, averaged
from analysis.wav2sem.quick import QuickModule

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


@pytest.fixture
def released(tmp_path):
    """A file as the release has it, the stock model behind it, and the module converted from it."""
    model = Wav2Vec2Model(Wav2Vec2Config(**SMALL)).eval()
    names = {"feature_extractor": "FeatureExtractor", "feature_projection": "FeatureProjection", "encoder": "Encoder"}
    state = {}
    for key, value in model.state_dict().items():
        if key != "masked_spec_embed":
            first, rest = key.split(".", 1)
            rest = rest.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            )
            state[f"{names[first]}.{rest}"] = value
    path, config = tmp_path / "model.pth.tar", tmp_path / "heads.json"
    torch.save({"state_dict": state}, path)
    config.write_text(json.dumps({"num_attention_heads": 4}))
    convert(path, tmp_path / "module", config=config)
    return model, load_semantics(str(tmp_path / "module"), device="cpu"), path, state, config


def _waves(*lengths):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in lengths]


def test_a_converted_release_gives_what_the_stock_model_gives(released):
    model, module, *_ = released
    (wave,) = _waves(16000)
    with torch.no_grad():
        expected = model(torch.tensor((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]).last_hidden_state.mean(1)
    torch.testing.assert_close(module.from_waveforms([wave]), expected, atol=1e-5, rtol=0)


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(released):
    waves = _waves(16000, 9000, 20000, 4000, 400, 16000, 7001, 12345)
    module = released[1]
    alone = torch.cat([module.from_waveforms([wave]) for wave in waves])
    torch.testing.assert_close(module.from_waveforms(waves), alone, atol=1e-5, rtol=0)


def test_missing_entries_are_refused_by_name(released, tmp_path):
    *_, path, state, config = released
    state.pop("Encoder.layers.1.final_layer_norm.bias")
    torch.save({"state_dict": state}, path)
    with pytest.raises(CheckpointError, match=r"missing: encoder\.layers\.1\.final_layer_norm\.bias"):
        convert(path, tmp_path / "other", config=config)


def test_a_checkpoint_of_something_else_is_refused_with_what_it_lacks_and_what_to_do(tmp_path):
    state = {"fc.weight": torch.zeros(2, 2), "feature_extractor.conv_layers.0.conv.weight": torch.zeros(2, 1, 3)}
    torch.save({"state_dict": state | {f"decoder.{i}.weight": torch.zeros(1) for i in range(9)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as told:
        convert(tmp_path / "x.pth", tmp_path / "out")
    assert str(told.value) == (
        f"{tmp_path / 'x.pth'} is no Wav2Sem checkpoint: it lacks feature_projection.projection.weight, "
        "encoder.layers.0.feed_forward.intermediate_dense.weight, encoder.pos_conv_embed.conv.parametrizations.weight.original1; "
        "of its 11 entries, unexpected: decoder.0.weight, decoder.1.weight, decoder.2.weight, decoder.3.weight, "
        "decoder.4.weight, decoder.5.weight and 4 more. It is a checkpoint of something else, or a part of one. Give the "
        "model.pth.tar of the release. A folder that `train` wrote needs no conversion; an animation model's own encoder is "
        "measured with `python -m analysis.decouple --encoder FRAMEWORK:CHECKPOINT`."
    )
    assert not (tmp_path / "out").exists()


def test_a_head_on_top_of_a_wav2sem_checkpoint_is_refused_by_name(released, tmp_path):
    *_, path, state, config = released
    torch.save({"state_dict": state | {"lm_head.weight": torch.zeros(32, 32)}}, path)
    with pytest.raises(CheckpointError) as told:
        convert(path, tmp_path / "other", config=config)
    assert str(told.value) == (
        f"{path} does not fit Wav2Vec2Model: unexpected: lm_head.weight. It is a checkpoint of something else, or its "
        "configuration is another one. Give the weights and the configuration that were written together."
    )


@pytest.mark.parametrize("architecture", ["shared", "reference"])
def test_a_folder_whose_weights_are_of_something_else_is_refused_when_loaded(released, tmp_path, architecture):
    folder = tmp_path / "module"
    if architecture == "shared":
        SharedModule(SharedConfig(host="x@1", host_dims=16, layers=(0,), dims=8, width=16, hidden=32, heads=2)).save(folder)
    weights = load_file(folder / "model.safetensors")
    lost, shape = next((name, tuple(value.shape)) for name, value in sorted(weights.items()) if value.ndim > 1)
    save_file(weights | {lost: torch.zeros(5, 7), "fc.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as told:
        load_semantics(str(folder), device="cpu")
    assert str(told.value) == (
        f"{folder / 'model.safetensors'} does not fit {'SharedModule' if architecture == 'shared' else 'Wav2Vec2Model'}: "
        f"unexpected: fc.weight; of another shape: {lost} (5, 7) for {shape}. It is a checkpoint of something else, or its "
        "configuration is another one. Give the weights and the configuration that were written together."
    )


def test_a_plug_is_frozen_and_leaves_no_trace(released):
    module = released[1]

    class Host(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.audio_encoder = Wav2Vec2Model(Wav2Vec2Config(**SMALL))

        def forward(self, audio):
            return self.audio_encoder(audio).last_hidden_state

    host = Host().eval()
    audio = torch.from_numpy(np.stack(_waves(8000, 8000)))
    before, keys = host(audio), set(host.state_dict())
    plugged = plug(host, module)
    added = host(audio) - before
    host.train()
    assert not module.module.training and not any(p.requires_grad for p in module.module.parameters())
    host.eval()
    torch.testing.assert_close(added, module.from_waveforms(audio)[:, None].expand_as(added), atol=1e-5, rtol=0)
    plugged.remove()
    assert torch.equal(host(audio), before) and set(host.state_dict()) == keys


class Face(torch.nn.Module):
    """A stand-in for an animation model: an encoder that it trains, and a head."""

    def __init__(self):
        super().__init__()
        self.audio_encoder = Wav2Vec2Model(Wav2Vec2Config(**SMALL))
        self.head = torch.nn.Linear(32, 5)

    def forward(self, audio):
        return self.head(self.audio_encoder(audio).last_hidden_state)


@pytest.mark.parametrize("fusion", ["add", "linear", "paper"])
def test_a_plug_stays_as_it_is_while_its_host_trains(released, fusion):
    module = released[1]
    torch.manual_seed(0)
    host = Face()
    audio = torch.from_numpy(np.stack(_waves(8000, 8000)))
    plug(host, module, fusion=fusion)
    kept = {name: value.clone() for name, value in module.module.state_dict().items()}
    heard = []
    host.audio_encoder.register_forward_hook(lambda *_: heard.append(module.from_waveforms(audio)), prepend=True)
    optimizer = torch.optim.SGD(host.parameters(), lr=0.1)
    begun = {name: value.clone() for name, value in host.state_dict().items()}
    for _ in range(2):
        host.train()
        optimizer.zero_grad()
        host(audio).square().mean().backward()
        optimizer.step()
    assert torch.equal(*heard)
    assert all(torch.equal(value, kept[name]) for name, value in module.module.state_dict().items())
    assert all(p.grad is None for p in module.module.parameters())
    trained = {name for name, value in host.state_dict().items() if not torch.equal(value, begun[name])}
    assert "head.weight" in trained
    assert ("audio_encoder.semantic_fusion.inner.weight" in trained) == (fusion != "add")


@pytest.mark.parametrize("configured", [True, False])
def test_concatenation_that_no_layer_takes_is_refused_in_words(released, configured):
    module = released[1]
    audio = torch.from_numpy(np.stack(_waves(8000)))
    host = Face()
    if not configured:  # then the dims are seen at the first forward pass
        host.audio_encoder = _Bare(host.audio_encoder)
    with pytest.raises(ConfigurationError) as error:
        plug(host, module, fusion="concat")
        host(audio)
    assert str(error.value) == (
        "The fusion 'concat' gives frames of 32 + 32 = 64 dims, and no layer of Face behind its encoder takes as many; head takes "
        "32. Build the model with that layer for 64 dims, or choose the fusion add, linear or paper."
    )
    wide = Face()
    wide.head = torch.nn.Linear(64, 5)
    with plug(wide, module, fusion="concat"):
        assert wide(audio).shape == (1, 24, 5)


class _Bare(torch.nn.Module):
    """An encoder that states no sizes."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, audio):
        return self.inner(audio)


def test_a_module_is_taken_out_of_the_animation_model_that_it_was_saved_with(released, tmp_path):
    """The released CodeTalker integration keeps it as Wav2Bert, and the linear map that trained beside it."""
    _, module, _, state, config = released
    weight, bias = torch.randn(32, 32), torch.randn(32)
    whole = {"audio_encoder.masked_spec_embed": torch.zeros(32), "feat_map.weight": torch.randn(3, 4)}
    whole |= {f"module.Wav2Bert.{key}": value for key, value in state.items()}
    whole |= {"module.bert_feature_map.weight": weight, "module.bert_feature_map.bias": bias}
    torch.save({"state_dict": whole}, tmp_path / "codetalker.pth.tar")
    told = convert(tmp_path / "codetalker.pth.tar", tmp_path / "taken", config=config)
    assert (told["inside"], told["fusion"]) == ("module.Wav2Bert.", str(tmp_path / "taken" / "fusion"))
    taken = load_semantics(str(tmp_path / "taken"), device="cpu")
    waves = _waves(9000)
    torch.testing.assert_close(taken.from_waveforms(waves), module.from_waveforms(waves))
    fusion = FusionWeights.load(tmp_path / "taken" / "fusion")
    assert (fusion.mode, fusion.trained_on) == ("linear", "the animation model in codetalker.pth.tar")
    np.testing.assert_array_equal(fusion.inner, weight.numpy())
    np.testing.assert_array_equal(fusion.inner_bias, bias.numpy())
    del whole["module.bert_feature_map.bias"]
    torch.save({"state_dict": whole}, tmp_path / "codetalker.pth.tar")
    with pytest.raises(CheckpointError) as error:
        convert(tmp_path / "codetalker.pth.tar", tmp_path / "other", config=config)
    assert str(error.value) == (
        f"{tmp_path / 'codetalker.pth.tar'}: module.bert_feature_map.weight and module.bert_feature_map.bias do not belong "
        "together. The checkpoint is not whole."
    )


def test_what_a_module_does_not_take_is_refused(released, tmp_path):
    from pathlib import Path

    from analysis.corpus.utterance import Utterance
    from analysis.wav2sem.recipe import text_space

    def utterance(text="a ship", seconds=1.0):
        return Utterance("u7", Path("u7.wav"), text, "s", seconds, 16000)

    oracle, bundled = load_semantics("oracle:mean", device="cpu"), load_semantics("wav2sem", device="cpu")
    cases = [
        (
            lambda: oracle.semantics([utterance(text=" - !")]),
            "Utterance u7 has the transcript ' - !', which holds no words. Correct it or leave the utterance out.",
        ),
        (
            lambda: bundled.semantics([utterance(seconds=41.0)]),
            "Utterance u7 lasts 41.0 s; the module 'wav2sem' takes at most 40 s. Cut the recording into utterances at its pauses.",
        ),
        (
            lambda: bundled.from_waveforms([np.zeros(41 * 16000, np.float32)]),
            "The clip lasts 41.0 s; the module 'wav2sem' takes at most 40 s. Cut the recording into utterances at its pauses.",
        ),
        (
            lambda: released[1].from_waveforms([np.zeros(399, np.float32)]),
            "A clip of 399 samples gives no frame: the model needs at least 400 (25 ms at 16 kHz). Leave it out or join it to its "
            "neighbour.",
        ),
        (
            lambda: text_space(released[1], oracle._model),
            f"The module '{tmp_path / 'module'}' has 32 dims and the text model 'minilm' 384. Evaluate with the text model that it "
            "was trained on: unknown.",
        ),
        (
            lambda: load_semantics(str(tmp_path)),
            f"{tmp_path} holds no semantic module: config.json cannot be read ([Errno 2] No such file or directory: "
            f"'{tmp_path / 'config.json'}'). Give a folder made by `python -m analysis.wav2sem train` or `convert`.",
        ),
    ]
    for call, message in cases:
        with pytest.raises(SemanticsError) as told:
            call()
        assert str(told.value) == message


def test_the_shared_module_masks_padding():
    module = SharedModule(SharedConfig(host="x", host_dims=16, layers=(0, 1), dims=8, width=16, hidden=32)).eval()
    lengths = [5, 9, 1, 2, 9, 7, 3, 8]
    states = [torch.randn(2, n, 16) for n in lengths]
    padded = torch.stack([torch.nn.functional.pad(s, (0, 0, 0, 9 - s.shape[1]), value=7.0) for s in states])
    together = module(padded, torch.tensor(lengths))
    alone = torch.cat([module(s[None], torch.tensor([s.shape[1]])) for s in states])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_ranks_at_both_ends_of_the_scale():
    gallery = np.eye(5)
    assert (ranks(gallery, gallery, np.arange(5)) == 1).all()
    assert (ranks(-gallery, gallery, np.arange(5)) == 5).all()
    assert (ranks(np.ones((5, 5)), gallery, np.arange(5)) == 3).all()


def test_a_map_between_dims_is_told_once(caplog):
    rng = np.random.default_rng(0)
    with caplog.at_level("INFO", logger="analysis"):
        for _ in range(3):
            fuse(rng.standard_normal((2, 7)), rng.standard_normal((2, 31)), share=0.5, frame_norm=1.0, seed=11)
    told = [record.message for record in caplog.records if "31 dims go to 7 dims" in record.message]
    assert len(told) == 1 and told[0].endswith("which keeps their distances only on average")


def test_fusion_scales_and_keeps_distances():
    rng = np.random.default_rng(0)
    x, s = rng.standard_normal((6, 12)), rng.standard_normal((2, 4))
    added = fuse(x, s[[0, 0, 0, 0, 1, 1]], share=0.5, frame_norm=10.0) - x
    assert np.linalg.norm(added[[0, 4]], axis=1).mean() == pytest.approx(5.0)
    q = isometry(4, 12)
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-12)
    with pytest.raises(SemanticsError, match="weights that only a downstream task can train"):
        fuse(x, x, mode="paper")


def test_words_are_the_same_in_every_spelling():
    assert normalized("It´s a ship") == normalized("It&#39;s a sh\u00adip") == "it's a ship"
    assert normalized("IT'S A SHIP SHE SAID") == normalized("It’s a 'ship', she said.\n") == "it's a ship she said"


def test_the_bundled_module_knows_its_host():
    module = load_semantics("wav2sem", device="cpu")
    assert module.card.source == "frames" and module.host.startswith("bundled@")
    assert module.from_states(torch.zeros(5, 40, 384), "other@1") is None
    assert module.from_states(torch.randn(5, 40, 384), module.host).shape == (384,)


@pytest.fixture(scope="module")
def bundled():
    return load_semantics("wav2sem", device="cpu")


@pytest.mark.parametrize("frames", [1, 4, 5, 41, 1999])  # of the host; the last are the longest clip's
def test_means_of_frames_in_a_row(frames):
    states = torch.randn(2, frames, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(frames))
    expected = [[layer[start : start + 4].mean(0) for start in range(0, frames, 4)] for layer in states]
    found = averaged(states, 4)
    torch.testing.assert_close(found, torch.stack([torch.stack(layer) for layer in expected]), atol=1e-12, rtol=0)
    assert torch.equal(averaged(list(states), 4), found)


@pytest.mark.skipif(not has_onednn(), reason="the quick module needs oneDNN's products")
@pytest.mark.parametrize("frames", [1, 2, 31, 127, 128, 500])
def test_the_quick_module_gives_the_vectors_of_the_plain_one(bundled, frames):
    means = torch.randn(2, frames, 384, generator=torch.Generator().manual_seed(frames))
    expected = copy.deepcopy(bundled.module).double()(means[None].double(), torch.tensor([frames]))[0]
    found = QuickModule(bundled.module)(means)
    assert torch.linalg.vector_norm(found - expected) < 2e-6 * torch.linalg.vector_norm(expected)


@pytest.mark.skipif(not has_onednn(), reason="the quick module needs oneDNN's products")
def test_the_quick_module_follows_every_setting():
    config = SharedConfig(
        host="x", host_dims=24, layers=(1,), dims=8, width=32, depth=2, heads=2, hidden=48, queries=3, norm=0.0, dropout=0.5
    )
    module = SharedModule(config).eval()
    for norm in (*module.layer_norms, module.pool_norm, *(block.attention_norm for block in module.blocks)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    for frames in (1, 9, 140):
        means = torch.randn(1, frames, 24)
        with torch.no_grad():
            expected = module(means[None], torch.tensor([frames]))[0]
        torch.testing.assert_close(QuickModule(module)(means), expected, atol=1e-5, rtol=1e-5)


def test_vectors_of_hidden_states_are_those_of_the_plain_module(bundled):
    states = torch.randn(5, 41, 384, generator=torch.Generator().manual_seed(0))
    means = averaged(states[[2, 4]], 4)
    expected = bundled.module(means[None], torch.tensor([means.shape[1]]))[0]
    torch.testing.assert_close(bundled.from_states(states, bundled.host), expected, atol=1e-5, rtol=0)
    other = load_semantics("wav2sem", device="cpu").to("cpu", torch.float64)
    found = other.from_states(states.double(), bundled.host)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=0)
