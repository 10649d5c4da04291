"""Scores under fusions with weights: each variant as if its tokens had been fused one by one, each null with its own weights."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, SemanticsError, SeparationError
from analysis.separation import SeparationSettings, score
from analysis.separation.nulls import random_directions, shuffled
from analysis.separation.relations import pair_tokens, speaker_of_utterance
from analysis.separation.simulation import CorpusPlan, simulated_corpus
from analysis.wav2sem.fusion import AffineFusion, FusionWeights, TrainedFusion, fuse

_path = Path(__file__).resolve().parents[1] / "reference" / "separation.py"
_spec = importlib.util.spec_from_file_location("reference_separation", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

PLAN = CorpusPlan(speakers=4, utterances=3, tokens=8, pairs=5, dims=6, seed=3)
DISTANCES = ("l2", "mse", "cosine")


def _weights(mode, dims, wide, seed, **told):
    rng = np.random.default_rng(seed)
    parts = {"inner": rng.standard_normal((dims, wide)), "inner_bias": rng.standard_normal(dims)}
    if mode == "paper":
        parts |= {"outer": rng.standard_normal((dims, dims)), "outer_bias": rng.standard_normal(dims)}
    return FusionWeights(mode, **parts, **({"layer": 0} | told))


@pytest.fixture(scope="module")
def corpus():
    embeddings, semantics, pairs = simulated_corpus(PLAN)
    return embeddings, replace(semantics, vectors=semantics.vectors[:, :4]), pairs


def _average(embeddings, pairs, vectors, distance, split="different_utterance"):
    near = pairs[pairs["relation"] == "near_homophone"]
    types, utterances = (embeddings.tokens[name].tolist() for name in ("type", "utterance"))
    type_pairs = list(zip(near["type_a"], near["type_b"], strict=True))
    return reference.average(vectors.tolist(), types, utterances, type_pairs, distance, split, "macro")


@pytest.mark.parametrize("fusion", ["linear", "paper", "concat"])
def test_every_variant_equals_a_loop_over_fused_tokens(corpus, fusion, tmp_path):
    embeddings, semantics, pairs = corpus
    x = embeddings.layer(0).astype(float)
    dims, wide = x.shape[1], semantics.vectors.shape[1]
    weights = {}
    for seed, name in enumerate(("module", "shuffled", "random")):
        weights[name] = None if fusion == "concat" else _weights(fusion, dims, wide, seed)
        if weights[name] is not None:
            folder = tmp_path / fusion / "wav2sem" / (name if name == "module" else f"{name}-0")
            TrainedFusion(weights[name], ("elsewhere",), np.zeros((1, wide))).save(folder)
    settings = SeparationSettings(
        distances=DISTANCES, n_nulls=1, fusion=fusion, fusion_weights="" if fusion == "concat" else str(tmp_path)
    )
    table = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).table
    # the order in which the scores hold utterances decides what a draw of a null puts where
    paired = pair_tokens(embeddings.tokens, pairs, relations=settings.relations)
    used, speakers = list(paired.utterances), speaker_of_utterance(paired)
    place = {name: row for row, name in enumerate(semantics.utterances)}
    own = semantics.vectors[[place[name] for name in used]].astype(float)
    rows = [used.index(name) for name in embeddings.tokens["utterance"]]

    def rng(null):
        return np.random.default_rng([settings.seed, 0, *map(ord, null)])

    given = {
        "module": own,
        "shuffled": own[shuffled(len(own), rng("shuffled"), speakers)],
        "random": random_directions(own, rng("random"), speakers=speakers),
    }
    frames = embeddings.frames
    norm = np.average(frames.frame_norm[:, 0], weights=frames.n_frames)
    scale = 0.5 * norm / np.linalg.norm(own, axis=1).mean()
    for distance in DISTANCES:
        common = {"vectors": "raw", "distance": distance, "relation": "near_homophone", "split": "different_utterance"}
        common |= {"average": "macro", "statistic": "mean_distance"}
        padded = np.pad(x, ((0, 0), (0, wide))) if fusion == "concat" else x
        expected = {"without": _average(embeddings, pairs, padded, distance)}
        for name, vectors in given.items():
            fused = fuse(x, vectors[rows], mode=fusion, weights=weights[name], scale=scale)
            expected["wav2sem" if name == "module" else f"null:{name}"] = _average(embeddings, pairs, fused, distance)
        for variant, value in expected.items():
            found = table[
                np.logical_and.reduce([table[key] == wanted for key, wanted in (common | {"variant": variant}).items()])
            ]
            assert found["estimate"].tolist() == pytest.approx([value], rel=1e-6), (variant, distance)
    net = table[(table["statistic"] == "net") & (table["vectors"] == "raw")]
    assert set(net["null"]) == {"random", "shuffled"} and net["p_value"].isna().all()
    centred = table[(table["vectors"] == "utterance_centred") & (table["statistic"] == "gain") & (table["distance"] == "l2")]
    if fusion != "paper":  # the map of the frames stays
        assert (centred["estimate"].abs() < 1e-9).all()
    assert not set(table["statistic"]) & {"fisher_ratio", "abx_error", "silhouette", "d_prime"}


@pytest.mark.parametrize("mode", ["linear", "paper"])
def test_the_affine_map_is_the_fusion(mode):
    rng = np.random.default_rng(0)
    x, semantics, weights = rng.standard_normal((7, 6)), rng.standard_normal((7, 4)), _weights(mode, 6, 4, 1)
    affine = AffineFusion.of_weights(weights)
    fused = fuse(x, semantics, mode=mode, weights=weights)
    np.testing.assert_allclose(affine.frames(x) + affine.offsets(semantics), fused, atol=1e-12)


def _save_all(folder, mode, utterances, vectors, draws, **told):
    """Weights of a module and of draws of its nulls, each with the vectors that it was trained with."""
    rng = np.random.default_rng(7)
    wide = told.pop("wide", vectors.shape[1])
    for number, name in enumerate(["module", *(f"{null}-{k}" for null in ("shuffled", "random") for k in range(draws))]):
        given = vectors if name == "module" else rng.standard_normal(vectors.shape)
        TrainedFusion(_weights(mode, 6, wide, number, **told), tuple(utterances), given).save(folder / mode / "wav2sem" / name)


@pytest.mark.parametrize("mode", ["linear", "paper"])
def test_on_its_training_utterances_a_null_has_the_vectors_that_its_weights_know(corpus, mode, tmp_path):
    embeddings, semantics, pairs = corpus
    _save_all(tmp_path, mode, semantics.utterances, semantics.vectors, 2)
    settings = SeparationSettings(distances=("l2",), n_nulls=5, fusion=mode, fusion_weights=str(tmp_path))
    scored = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings)
    assert scored.notes[0].startswith(f"Scale-free statistics are taken of additive fusion only, not of {mode!r}.")
    assert scored.notes[1].startswith(
        f"The weights of the fusion {mode!r} for wav2sem were trained on utterances that are scored"
    )
    assert all(verdict["level"] != "supported" for verdict in scored.verdicts)
    nulls = scored.nulls
    place = {name: row for row, name in enumerate(semantics.utterances)}
    rows = [place[name] for name in embeddings.tokens["utterance"]]
    for null in ("shuffled", "random"):
        expected = []
        for k in range(2):
            trained = TrainedFusion.load(tmp_path / mode / "wav2sem" / f"{null}-{k}")
            fused = fuse(
                embeddings.layer(0).astype(float), trained.vectors[rows].astype(float), mode=mode, weights=trained.weights
            )
            expected.append(_average(embeddings, pairs, fused, "l2"))
        found = [
            entry["draws"]
            for entry in nulls.values()
            if (entry["null"], entry["relation"], entry["split"]) == (null, "near_homophone", "different_utterance")
        ]
        assert found == [pytest.approx(expected, rel=1e-5)]


def test_weights_for_something_else_are_refused(corpus, tmp_path):
    embeddings, semantics, pairs = corpus
    settings = SeparationSettings(distances=("l2",), n_nulls=1, fusion="linear", fusion_weights=str(tmp_path))

    def scored():
        return score(embeddings, {"wav2sem": semantics}, pairs, settings=settings)

    with pytest.raises(
        SemanticsError, match=r"There are no weights of the fusion 'linear' for wav2sem \(module\) in .* fusion wav2sem"
    ):
        scored()
    _save_all(tmp_path, "linear", semantics.utterances, semantics.vectors, 1, layer=3, encoder="made@1")
    with pytest.raises(SeparationError, match=r"are for layer 3 of made@1, and layer 0 of .* \(--layers 3\), or train weights"):
        scored()
    _save_all(tmp_path, "linear", semantics.utterances, semantics.vectors, 1, wide=5)
    with pytest.raises(SeparationError, match="map 5 to 6 dims, but its vectors have 4 and the frames 6"):
        scored()
    _save_all(tmp_path, "linear", semantics.utterances[:5], semantics.vectors[:5], 1)
    with pytest.raises(SeparationError, match="were trained on 5 of the 12 utterances that are scored"):
        scored()


def test_what_trained_fusions_cannot_be_scored_with():
    with pytest.raises(ConfigurationError, match=r"weights that only a downstream task can train\. Train them with `python -m"):
        SeparationSettings(fusion="paper")
    with pytest.raises(
        ConfigurationError, match=r"nulls with fusion='concat' has unknown value 'constant'\. Valid: random, shuffled"
    ):
        SeparationSettings(fusion="concat", nulls=("constant",))
    with pytest.raises(ConfigurationError, match="vectors with fusion='concat' has unknown value 'top_pc_removed'"):
        SeparationSettings(fusion="concat", vectors=("top_pc_removed",))
    with pytest.raises(ConfigurationError, match="distances with fusion='concat' has unknown value 'l2_whitened'"):
        SeparationSettings(fusion="concat", distances=("l2_whitened",))
