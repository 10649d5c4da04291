"""Scores under fusions with weights: each variant as if its tokens had been fused one by one, each null with its own weights."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from analysis.errors import ConfigurationError, SemanticsError, SeparationError
from analysis.separation import SeparationSettings, score
from analysis.separation.abx import abx_of_matrix
from analysis.separation.clusters import phone_probe
from analysis.separation.nulls import NullVectors, frame_noise
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


def _lengths(embeddings, used):
    """Frames of each utterance in use."""
    frames = dict(zip(embeddings.frames.utterances, embeddings.frames.n_frames, strict=True))
    return np.array([frames[name] for name in used])


def _average(embeddings, pairs, vectors, distance, split="different_text"):
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

    nulls = NullVectors(own, speakers, lengths=_lengths(embeddings, used))
    given = {"module": own} | {null: nulls.draws(null, 1, rng(null))[0] for null in ("shuffled", "random")}
    frames = embeddings.frames
    norm = np.average(frames.frame_norm[:, 0], weights=frames.n_frames)
    scale = 0.5 * norm / np.linalg.norm(own, axis=1).mean()
    for distance in DISTANCES:
        common = {"vectors": "raw", "distance": distance, "relation": "near_homophone", "split": "different_text"}
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
    said = f"The weights of the fusion {mode!r} for wav2sem were trained on utterances that are scored"
    assert any(note.startswith(said) for note in scored.notes)
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
            if (entry["null"], entry["relation"], entry["split"]) == (null, "near_homophone", "different_text")
        ]
        assert found == [pytest.approx(expected, rel=1e-5)]


ALL_SCALE_FREE = ("abx_error", "fisher_ratio", "silhouette", "davies_bouldin", "knn_purity", "phone_probe", "d_prime")


@pytest.fixture(scope="module")
def few():
    """36 tokens, so that all triples and all ways of warping can be walked through, with one to three frames each."""
    embeddings, semantics, pairs = simulated_corpus(CorpusPlan(speakers=2, utterances=3, tokens=6, pairs=2, dims=6, seed=5))
    rng = np.random.default_rng(2)
    frames = [one + rng.standard_normal((rng.integers(1, 4), 6)) for one in embeddings.layer(0).astype(float)]
    return embeddings, replace(semantics, vectors=semantics.vectors[:, :4]), pairs, frames


def _macro_abx(distances, *labels):
    """ABX error of a distance matrix: all triples of an ordered pair of types, then such pairs."""
    found = abx_of_matrix(distances, *labels)
    table = pd.DataFrame({"a": found.type_a, "b": found.type_b, "lost": found.error * found.triples, "n": found.triples})
    sums = table.groupby(["a", "b"])[["lost", "n"]].sum()
    return (sums["lost"] / sums["n"]).mean()


def _plain(vectors, frames, tokens, near, seed):
    """Every scale-free statistic of tokens that stand as they are, from loops and scikit-learn."""
    types, utterances, speakers = (tokens[name].tolist() for name in ("type", "utterance", "speaker"))
    warped = np.array([[0.0 if a is b else reference.dtw(a.tolist(), b.tolist(), "angular") for b in frames] for a in frames])
    codes = [np.unique(labels, return_inverse=True)[1] for labels in (types, speakers, utterances)]
    listed = vectors.tolist()
    found = {
        ("abx_error", name): reference.abx_error(listed, types, speakers, utterances, name, "any") for name in ("l2", "cosine")
    }
    phones = tokens["nucleus" if "nucleus" in tokens else "type"].to_numpy()
    right = phone_probe(vectors, phones, codes[2], seed=seed)
    return found | {
        ("abx_error", "dtw_angular"): _macro_abx(warped, *codes),
        ("silhouette", "l2"): silhouette_score(vectors, types),
        ("silhouette", "cosine"): silhouette_score(vectors, types, metric="cosine"),
        ("fisher_ratio", "l2"): calinski_harabasz_score(vectors, types),
        ("davies_bouldin", "l2"): davies_bouldin_score(vectors, types),
        ("knn_purity", "l2"): reference.knn_purity(listed, types, utterances, 3),
        ("phone_accuracy", "none"): right,
        ("phone_error_rate", "none"): 1 - right,
        ("d_prime", "l2"): _prime(vectors, tokens, near),
    }


def _prime(vectors, tokens, near):
    types, utterances, listed = tokens["type"].tolist(), tokens["utterance"].tolist(), vectors.tolist()
    elsewhere = [(i, j) for i in range(len(types)) for j in range(len(types)) if utterances[i] != utterances[j]]
    return reference.d_prime(
        [reference.distance(listed[i], listed[j], "l2") for i, j in elsewhere if (types[i], types[j]) in near],
        [reference.distance(listed[i], listed[j], "l2") for i, j in elsewhere if types[i] == types[j] and i < j],
    )


@pytest.mark.parametrize(
    ("fusion", "seen"),
    [("add", False), ("concat", False), ("linear", False), ("linear", True), ("paper", False), ("paper", True)],
)
def test_scale_free_statistics_equal_those_of_tokens_fused_by_hand(few, fusion, seen, tmp_path):
    embeddings, semantics, pairs, frames = few
    x = embeddings.layer(0).astype(float)
    trained = fusion in ("linear", "paper")
    if trained:
        _save_all(tmp_path, fusion, semantics.utterances if seen else ("elsewhere",) * 6, semantics.vectors, 3)
    settings = SeparationSettings(
        distances=("l2", "cosine"), vectors=("raw",), n_nulls=3, scale_free=ALL_SCALE_FREE, scale_free_draws=2, neighbours=3,
        fusion=fusion, fusion_weights=str(tmp_path) if trained else "",
    )  # fmt: skip
    scored = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings, frames={0: frames})

    paired = pair_tokens(embeddings.tokens, pairs, relations=settings.relations)
    used, speakers = list(paired.utterances), speaker_of_utterance(paired)
    own = semantics.vectors[[semantics.utterances.index(name) for name in used]].astype(float)
    place = [used.index(name) for name in embeddings.tokens["utterance"]]
    norm = np.average(embeddings.frames.frame_norm[:, 0], weights=embeddings.frames.n_frames)
    scale = 0.5 * norm / np.linalg.norm(own, axis=1).mean()
    if fusion == "add":  # nulls stand in for what is added, not for what a map makes of it
        own, scale = fuse(np.zeros((len(own), 6)), own, mode="add", scale=scale), 1.0

    nulls = NullVectors(own, speakers, lengths=_lengths(embeddings, used))

    def draws(variant, n, *stream):
        """(weights, vectors) of n draws; averages of distances and d' have another stream of draws than the other statistics."""
        if variant == "module":
            return [(TrainedFusion.load(tmp_path / fusion / "wav2sem" / "module").weights if trained else None, own)]
        rng = np.random.default_rng([settings.seed, 0, *stream, *map(ord, variant)])
        found = []
        for k in range(n):
            known = TrainedFusion.load(tmp_path / fusion / "wav2sem" / f"{variant}-{k}") if trained else None
            if seen:
                made = known.vectors[[known.utterances.index(name) for name in used]].astype(float)
            else:
                made = nulls.draws(variant, 1, rng)[0]
            found.append((known.weights if trained else None, made))
        return found

    near = pairs[pairs["relation"] == "near_homophone"]
    near = set(zip(near["type_a"], near["type_b"], strict=True))
    wide = own.shape[1] if fusion == "concat" else 0

    def fused(made, weights):
        return fuse(x, made[place], mode=fusion, weights=weights, scale=scale)

    expected = {"without": [_plain(np.pad(x, ((0, 0), (0, wide))), frames, embeddings.tokens, near, settings.seed)]}
    for variant in ("module", "shuffled", "random"):
        expected["wav2sem" if variant == "module" else f"null:{variant}"] = [
            _plain(
                fused(made, weights),
                [
                    fuse(one, np.repeat(made[[row]], len(one), axis=0), mode=fusion, weights=weights, scale=scale)
                    for one, row in zip(frames, place, strict=True)
                ],
                embeddings.tokens,
                near,
                settings.seed,
            )
            for weights, made in draws(variant, 2, 17)
        ]
        if variant != "module":
            primes = [_prime(fused(made, weights), embeddings.tokens, near) for weights, made in draws(variant, 3)]
            for one in expected[f"null:{variant}"]:  # over all draws, as averages are
                one["d_prime", "l2"] = np.mean(primes)
    table = scored.table[scored.table["relation"] == "all"]
    primes = scored.table[scored.table["statistic"] == "d_prime"]
    for variant, drawn in expected.items():
        for statistic, distance in drawn[0]:
            rows = primes if statistic == "d_prime" else table
            rows = rows[(rows["statistic"] == statistic) & (rows["distance"] == distance) & (rows["variant"] == variant)]
            value = np.mean([one[statistic, distance] for one in drawn])
            assert rows["estimate"].tolist() == [pytest.approx(value, abs=1e-6)], (variant, statistic, distance)
    for statistic, distance in expected["without"][0]:
        means = {name: np.mean([one[statistic, distance] for one in drawn]) for name, drawn in expected.items()}
        relation = "near_homophone" if statistic == "d_prime" else "all"
        rows = scored.table[(scored.table["relation"] == relation) & (scored.table["distance"] == distance)]
        net = rows[rows["statistic"] == f"{statistic}:net"].set_index("null")["estimate"]
        assert sorted(net.index) == ["random", "shuffled"]
        for null in ("shuffled", "random"):
            assert net[null] == pytest.approx(means["wav2sem"] - means[f"null:{null}"], abs=1e-6)
        gain = rows[rows["statistic"] == f"{statistic}:gain"]
        assert gain["estimate"].tolist() == [pytest.approx(means["wav2sem"] - means["without"], abs=1e-6)]


def test_d_prime_of_the_other_nulls(few):
    embeddings, semantics, pairs, _ = few
    settings = SeparationSettings(
        distances=("l2",),
        vectors=("raw",),
        n_nulls=3,
        scale_free_draws=2,
        scale_free=("d_prime",),
        nulls=("constant", "frame_noise"),
    )
    table = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).table
    found = table[table["statistic"] == "d_prime"].set_index("variant")["estimate"]
    assert found["null:constant"] == pytest.approx(found["without"], rel=1e-9), "no distance changes"
    paired = pair_tokens(embeddings.tokens, pairs, relations=settings.relations)
    x, norms = embeddings.layer(0).astype(float), embeddings.frames
    place = {name: row for row, name in enumerate(semantics.utterances)}
    own = semantics.vectors[[place[name] for name in paired.utterances]].astype(float)
    norm = np.average(norms.frame_norm[:, 0], weights=norms.n_frames)
    added = fuse(np.zeros((len(own), 6)), own, mode="add", frame_norm=norm)
    near = pairs[pairs["relation"] == "near_homophone"]
    near = set(zip(near["type_a"], near["type_b"], strict=True))
    rng = np.random.default_rng([settings.seed, 0, *map(ord, "frame_noise")])
    expected = []
    for _ in range(3):
        noisy = x.copy()
        noisy[paired.rows] += frame_noise(added, paired.utterance, embeddings.tokens["n_frames"].to_numpy()[paired.rows], rng)
        expected.append(_prime(noisy, embeddings.tokens, near))
    assert found["null:frame_noise"] == pytest.approx(np.mean(expected), rel=1e-6) and expected[0] != expected[1]


@pytest.mark.parametrize("fusion", ["linear", "paper", "concat"])
def test_every_fusion_has_the_rows_that_addition_has(few, fusion, tmp_path):
    embeddings, semantics, pairs, frames = few
    _save_all(tmp_path, "paper", ("elsewhere",) * 6, semantics.vectors, 2)
    _save_all(tmp_path, "linear", ("elsewhere",) * 6, semantics.vectors, 2)
    names = ["statistic", "distance", "relation", "split", "variant", "null", "vectors", "average"]
    found = {}
    for mode in ("add", fusion):
        weights = str(tmp_path) if mode in ("linear", "paper") else ""
        settings = SeparationSettings(
            distances=("l2", "cosine"), n_nulls=2, scale_free=ALL_SCALE_FREE, fusion=mode, fusion_weights=weights
        )
        scored = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings, frames={0: frames})
        found[mode] = sorted(scored.table[names].itertuples(index=False, name=None))
        assert not any("trained on" in note for note in scored.notes)
    assert found["add"] == found[fusion]


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
