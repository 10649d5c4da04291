"""Every statistic and every way to cut token pairs against a loop or another implementation, and at the ends of its scale."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import SeparationError
from analysis.separation import SeparationSettings, score
from analysis.separation.abx import abx_of_matrix
from analysis.separation.clusters import d_prime, knn_purity, phone_probe
from analysis.separation.published import PUBLISHED, arithmetic, beside_published, published_sentences
from analysis.separation.simulation import CorpusPlan, simulated_corpus
from analysis.separation.swap import swap, swap_effects
from analysis.separation.uncertainty import detectable
from analysis.separation.verdicts import RULES, verdicts
from analysis.separation.warping import dtw_distances

_path = Path(__file__).resolve().parents[1] / "reference" / "separation.py"
_spec = importlib.util.spec_from_file_location("reference_separation", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

PLAN = CorpusPlan(speakers=6, utterances=4, tokens=8, pairs=6, dims=6, seed=5)
SPLITS = (
    "all", "different_utterance", "same_text", "different_text", "same_speaker+different_utterance", "different_speaker", "matched_duration",
    "matched_neighbours", "different_text+matched_duration",
)  # fmt: skip
ALL = ("abx_error", "d_prime", "fisher_ratio", "silhouette", "davies_bouldin", "knn_purity", "phone_probe")


def tokens_text(utterance):
    number = np.unique(utterance, return_inverse=True)[1]
    return [f"Text {n % 18}" if n in (3, 19) else f"text  {n % 18}" for n in number]


@pytest.fixture(scope="module")
def corpus():
    embeddings, semantics, pairs = simulated_corpus(PLAN)
    rng = np.random.default_rng(2)
    n = len(embeddings)
    start = rng.uniform(0, 1, n)
    tokens = embeddings.tokens.assign(
        start=start, end=start + rng.choice([0.1, 0.115, 0.2], n), previous_phone=rng.choice(["T", "K"], n), next_phone="S",
        nucleus=rng.choice(["IY", "IH", "AE"], n),
        # six utterances read a text that another one reads, two of them with other capitals
        text=tokens_text(embeddings.tokens["utterance"]),
    )  # fmt: skip
    near = pairs["relation"] == "near_homophone"
    pairs = pairs.assign(
        edit_class=np.where(near, np.resize(["voicing", "place"], len(pairs)), ""),
        viseme_distance=np.where(near, np.resize([0.0, 0.2, 0.5], len(pairs)), 0.5),
    )
    return replace(embeddings, tokens=tokens), semantics, pairs


@pytest.fixture(scope="module")
def scored(corpus):
    embeddings, semantics, pairs = corpus
    settings = SeparationSettings(
        distances=("l2", "cosine", "angular", "l2_standardised", "l2_whitened"), splits=SPLITS, n_nulls=2, scale_free=ALL,
        vectors=("raw", "utterance_centred", "top_pc_removed"), neighbours=3, removed_components=2,
    )  # fmt: skip
    return score(embeddings, {"m": semantics}, pairs, settings=settings).table


def _one(table, **wanted):
    wanted = {"vectors": "raw", "variant": "without", "null": "", "average": "macro"} | wanted
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return float(table["estimate"].iat[0])


def _near(pairs):
    chosen = pairs[pairs["relation"] == "near_homophone"]
    return chosen, list(zip(chosen["type_a"], chosen["type_b"], strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_splits_equal_a_loop(corpus, scored, split):
    embeddings, _, pairs = corpus
    tokens = embeddings.tokens
    duration = (tokens["end"] - tokens["start"]).to_numpy()
    same = {name: tokens[name].to_numpy() for name in ("utterance", "speaker")}
    same["text"] = tokens["text"].str.lower().str.split().str.join(" ").to_numpy()
    context = (tokens["previous_phone"] + "|" + tokens["next_phone"]).to_numpy()

    def allowed(i, j):
        holds = {
            "all": True,
            "different_utterance": same["utterance"][i] != same["utterance"][j],
            "same_text": same["text"][i] == same["text"][j],
            "different_text": same["text"][i] != same["text"][j],
            "same_speaker": same["speaker"][i] == same["speaker"][j],
            "different_speaker": same["speaker"][i] != same["speaker"][j],
            "matched_duration": max(duration[i], duration[j]) <= 1.25 * min(duration[i], duration[j]),
            "matched_neighbours": context[i] == context[j],
        }
        return all(holds[part] for part in split.split("+"))

    _, type_pairs = _near(pairs)
    x = embeddings.layer(0).astype(float).tolist()
    names = tokens["type"].tolist()
    expected = reference.weighted_average(x, names, None, type_pairs, [1] * len(type_pairs), "l2", allowed)
    got = _one(scored, distance="l2", relation="near_homophone", split=split, statistic="mean_distance")
    assert got == pytest.approx(expected, rel=1e-6)


def test_edit_classes_and_viseme_weights_equal_a_loop(corpus, scored):
    embeddings, _, pairs = corpus
    chosen, type_pairs = _near(pairs)
    x, names = embeddings.layer(0).astype(float).tolist(), embeddings.tokens["type"].tolist()
    weights = {f"near_homophone:{name}": (chosen["edit_class"] == name).astype(float) for name in ("voicing", "place")}
    weights["near_homophone:viseme_weighted"] = chosen["viseme_distance"]
    for relation, weight in weights.items():
        expected = reference.weighted_average(x, names, None, type_pairs, list(weight), "l2", lambda i, j: True)
        got = _one(scored, distance="l2", relation=relation, split="all", statistic="mean_distance")
        assert got == pytest.approx(expected, rel=1e-6)


def test_mapped_distances_and_treatments_equal_scipy(corpus, scored):
    from scipy.spatial.distance import cdist

    embeddings, _, pairs = corpus
    x = embeddings.layer(0).astype(float)
    tokens = embeddings.tokens
    _, type_pairs = _near(pairs)
    groups = {name: (tokens["type"] == name).to_numpy() for name in tokens["type"].unique()}

    def mean(whole):
        return np.mean([whole[np.ix_(groups[a], groups[b])].mean() for a, b in type_pairs])

    values, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    inverse = axes @ np.diag(1 / np.maximum(values, values.mean() / 100)) @ axes.T
    frames = dict(zip(embeddings.frames.utterances, embeddings.frames.mean[:, 0].astype(float), strict=True))
    centred = x - np.stack([frames[name] for name in tokens["utterance"]])
    _, _, components = np.linalg.svd(x - x.mean(0), full_matrices=False)
    removed = (x - x.mean(0)) @ components[2:].T @ components[2:]
    expected = {
        ("raw", "l2_standardised"): cdist(x, x, "seuclidean", V=x.var(axis=0)),
        ("raw", "l2_whitened"): cdist(x, x, "mahalanobis", VI=inverse),
        ("raw", "angular"): np.arccos(np.clip(1 - cdist(x, x, "cosine"), -1, 1)) / np.pi,
        ("utterance_centred", "l2"): cdist(centred, centred),
        ("top_pc_removed", "l2"): cdist(removed, removed),
        ("top_pc_removed", "cosine"): cdist(removed, removed, "cosine"),
    }
    for (vectors, distance), whole in expected.items():
        names = {"relation": "near_homophone", "split": "all", "statistic": "mean_distance"}
        assert _one(scored, vectors=vectors, distance=distance, **names) == pytest.approx(mean(whole), rel=1e-6)


def test_scale_free_statistics_equal_loops(corpus, scored):
    embeddings, _, pairs = corpus
    x, tokens = embeddings.layer(0).astype(float), embeddings.tokens
    types, speakers = (tokens[name].tolist() for name in ("type", "speaker"))
    # nothing here compares readings of one text
    utterances = tokens["text"].str.lower().str.split().str.join(" ").tolist()
    expected = reference.knn_purity(x.tolist(), types, utterances, 3)
    shared = {"relation": "all", "average": "micro"}
    got = _one(scored, **shared, statistic="knn_purity", distance="l2", split="different_text")
    assert got == pytest.approx(expected, abs=1e-6)

    _, type_pairs = _near(pairs)
    elsewhere = [
        (i, j) for i in range(len(x)) for j in range(len(x)) if utterances[i] != utterances[j]
    ]  # fmt: skip
    far = [reference.distance(x[i], x[j], "l2") for i, j in elsewhere if (types[i], types[j]) in type_pairs]
    near = [reference.distance(x[i], x[j], "l2") for i, j in elsewhere if types[i] == types[j] and i < j]
    got = _one(scored, statistic="d_prime", distance="l2", relation="near_homophone", split="different_text", average="micro")
    assert got == pytest.approx(reference.d_prime(far, near), rel=1e-6)

    within = reference.average(
        x.tolist(), types, utterances, [(t, t) for t in sorted(set(types))], "l2", "different_utterance", "macro"
    )
    between = reference.average(x.tolist(), types, utterances, type_pairs, "l2", "different_utterance", "macro")
    names = {"relation": "near_homophone", "split": "different_text", "distance": "l2"}
    assert _one(scored, **names, statistic="between_within_ratio") == pytest.approx(between / within, rel=1e-6)

    error = reference.abx_error(x.tolist(), types, speakers, utterances, "l2", "any")
    got = _one(scored, statistic="abx_error", distance="l2", relation="all", split="different_text")
    assert got == pytest.approx(error, abs=1e-6)


def test_phone_probe_equals_ridge_of_sklearn_and_knows_both_ends():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    phones, utterances = rng.choice(["A", "B", "C"], 90), np.repeat(np.arange(10), 9)
    x = rng.standard_normal((90, 4)) + np.eye(4)[:3][np.unique(phones, return_inverse=True)[1]]
    fold = (np.random.default_rng(0).permutation(10) % 5)[utterances]
    codes = np.unique(phones, return_inverse=True)[1]
    right = 0
    for held_out in range(5):
        test = fold == held_out
        assert not set(utterances[test]) & set(utterances[~test])
        scaled = (x - x[~test].mean(0)) / x[~test].std(0)
        fitted = Ridge(alpha=(~test).sum() / 100).fit(scaled[~test], np.eye(3)[codes[~test]])
        right += np.sum(fitted.predict(scaled[test]).argmax(1) == codes[test])
    assert phone_probe(x, phones, utterances) == pytest.approx(right / 90)
    assert phone_probe(100 * np.eye(3)[codes], phones, utterances) == 1.0
    assert phone_probe(rng.standard_normal((90, 4)), phones, utterances) < 0.6


def test_ends_of_scales():
    types, utterances = np.repeat([0, 1], 6), np.arange(12)
    apart = np.where(types[:, None] == 0, 0.0, 9.0) + np.random.default_rng(0).standard_normal((12, 2)) * 1e-3
    assert knn_purity(apart, types, utterances, k=5) == 1.0
    assert d_prime(np.array([5.0, 5.1]), np.array([5.0, 5.1])) == 0.0
    assert np.isnan(d_prime(np.array([1.0]), np.array([1.0, 2.0])))


@pytest.mark.parametrize("distance", ["angular", "cosine", "l2"])
def test_warped_distances_equal_a_recursion(distance):
    rng = np.random.default_rng(1)
    sequences = [rng.standard_normal((n, 3)) for n in (1, 3, 4, 6)]
    sequences.append(np.repeat(sequences[1], 2, axis=0))
    found = dtw_distances(sequences, distance=distance)
    for i, a in enumerate(sequences):
        for j, b in enumerate(sequences):
            expected = 0.0 if i == j else reference.dtw(a.tolist(), b.tolist(), distance)
            assert found[i, j] == pytest.approx(expected, abs=2e-8)
    # the same syllable said at half the speed is no distance away
    assert found[1, 4] == pytest.approx(0.0, abs=2e-8)


@pytest.mark.parametrize("block", [1, 40, 2**17])
def test_warped_distances_do_not_depend_on_the_blocks_they_are_taken_in(block, monkeypatch):
    monkeypatch.setattr("analysis.separation.warping._BLOCK", block)
    rng = np.random.default_rng(4)
    sequences = [rng.standard_normal((n, 2)) for n in rng.permutation(np.repeat([1, 2, 4], 4))]
    found = dtw_distances(sequences, distance="cosine")
    expected = [[reference.dtw(a.tolist(), b.tolist(), "cosine") for b in sequences] for a in sequences]
    assert found == pytest.approx(np.array(expected) * (1 - np.eye(12)), abs=1e-12)


def test_frames_that_cannot_be_warped_are_named():
    frames = [np.ones((2, 3)), np.ones((1, 3)), np.ones((2, 3))]
    assert dtw_distances([]).shape == (0, 0)
    with pytest.raises(SeparationError, match="Sequence 1 has no frame, so it has no distance"):
        dtw_distances([frames[0], np.empty((0, 3))])
    frames[2][1, 0] = np.nan
    with pytest.raises(SeparationError, match="Sequence 2 holds frames that are NaN or infinite"):
        dtw_distances(frames)
    with pytest.raises(SeparationError, match=r"no frame distance 'mse'\. Valid: angular, cosine, l2"):
        dtw_distances(frames, distance="mse")


def test_abx_of_warped_frames_stands_in_the_table(corpus):
    embeddings, semantics, pairs = corpus
    rng = np.random.default_rng(3)
    x = embeddings.layer(0).astype(float)
    frames = [one + rng.standard_normal((rng.integers(1, 5), x.shape[1])) for one in x]
    settings = SeparationSettings(
        distances=("l2",), vectors=("raw",), n_nulls=2, scale_free_draws=1, scale_free=("abx_error",), nulls=("shuffled",)
    )
    table = score(embeddings, {"m": semantics}, pairs, settings=settings, frames={0: frames}).table
    rows = table[(table["distance"] == "dtw_angular") & (table["relation"] == "all")]
    assert {"abx_error", "abx_error:gain", "abx_error:net"} == set(rows["statistic"])
    names = ("type", "speaker", "utterance")
    types, speakers, utterances = (np.unique(embeddings.tokens[name], return_inverse=True)[1] for name in names)
    warped = [[reference.dtw(a.tolist(), b.tolist(), "angular") for b in frames[:40]] for a in frames[:40]]
    assert dtw_distances(frames[:40]) == pytest.approx(np.array(warped) * (1 - np.eye(40)), abs=2e-8)
    found = abx_of_matrix(dtw_distances(frames), types, speakers, utterances).mean()
    shown = _one(rows, vectors="raw", variant="without", statistic="abx_error")
    # the table averages both orders of two types within a speaker first
    assert shown == pytest.approx(found, abs=0.02) and 0 < shown < 0.5
    with pytest.raises(SeparationError, match="frames of 2 tokens"):
        score(embeddings, {}, pairs, settings=settings, frames={0: frames[:2]})


def test_the_best_layer_is_chosen_and_reported_on_different_speakers(corpus):
    embeddings, semantics, pairs = corpus
    rng = np.random.default_rng(0)
    noise = [scale * rng.standard_normal(embeddings.vectors[:, 0].shape) for scale in (1.0, 0.2, 2.0)]
    vectors = np.stack([embeddings.vectors[:, 0] + one for one in noise], axis=1).astype("f4")
    frames = embeddings.frames
    frames = replace(frames, mean=np.repeat(frames.mean, 3, axis=1), frame_norm=np.repeat(frames.frame_norm, 3, axis=1))
    several = replace(embeddings, vectors=vectors, layers=(0, 4, 7), frames=frames)
    settings = SeparationSettings(
        distances=("l2",), vectors=("raw",), splits=("different_text",), n_nulls=2, scale_free=(), edit_classes=False
    )
    table = score(several, {"m": semantics}, pairs, settings=settings).table
    row = table[table["statistic"] == "between_within_ratio:best_layer"]
    assert row["layer"].tolist() == [4] and row["n_speakers"].tolist() == [3]
    chose = set(row["note"].iat[0].split("(")[1].split(")")[0].split(", "))
    speakers = several.tokens["speaker"]
    assert len(chose) == 3 and chose < set(speakers)
    ratios = {}
    for name, chosen in (("chose", speakers.isin(chose)), ("reported", ~speakers.isin(chose))):
        own = score(several.select(chosen.to_numpy()), {}, pairs, settings=settings).table
        own = own[(own["statistic"] == "between_within_ratio") & (own["relation"] == "near_homophone")]
        ratios[name] = own.set_index("layer")["estimate"]
    assert ratios["chose"].idxmax() == 4
    assert row["estimate"].iat[0] == pytest.approx(ratios["reported"][4], rel=1e-9)
    none = score(several, {"m": semantics}, pairs, settings=replace(settings, best_layer=False)).table
    assert not none["statistic"].str.endswith(":best_layer").any()


def test_minimum_detectable_effects_stand_beside_nets_and_grow_with_power(corpus):
    embeddings, semantics, pairs = corpus
    found = {}
    for power in (0.5, 0.8):
        settings = SeparationSettings(distances=("l2",), vectors=("raw",), n_nulls=3, scale_free=(), power=power)
        table = score(embeddings, {"m": semantics}, pairs, settings=settings).table
        net = table["statistic"].isin(["net", "between_within_ratio:net"]) & (table["split"] == "different_text")
        assert table.loc[~table["statistic"].str.endswith("net"), "minimum_detectable_effect"].isna().all()
        found[power] = table.loc[net & table["ci_low"].notna(), "minimum_detectable_effect"].to_numpy()
    assert len(found[0.8]) and (found[0.8] > found[0.5]).all() and (found[0.5] > 0).all()


def test_detectable_effects_are_those_solved_for():
    from analysis.separation.intervals import Interval
    from analysis.separation.significance import minimum_detectable_effect

    settings = SeparationSettings()
    for se, df in ((1.0, 3.3), (0.2, 17.0), (2.0, np.inf)):
        expected = minimum_detectable_effect(se, df, level=0.95, power=0.8)
        assert detectable(Interval(0.0, se=se, df=df), settings) == pytest.approx(expected, rel=1e-4)
    assert np.isnan(detectable(Interval(0.0), settings))


def test_published_figures_stand_beside_the_same_encoders_only(corpus):
    embeddings, semantics, pairs = corpus
    settings = SeparationSettings(distances=("l2", "cosine"), vectors=("raw",), n_nulls=2, scale_free=())
    assert not len(score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).published)
    named = replace(embeddings, provenance={**embeddings.provenance, "encoder": {"name": "facebook/hubert-base-ls960"}})
    separation = score(named, {"wav2sem": semantics}, pairs, settings=settings)
    beside = separation.published
    ratios = {f"between_within_ratio of {name}" for name in ("l2", "cosine")}
    assert set(beside["distance"]) == {"l2", "cosine", "rms", *ratios} and beside["nearest"].sum() == 1
    place = ["layer", "split", "average", "variant"]
    root = beside[beside["distance"] == "rms"].set_index(place)["without"] * np.sqrt(embeddings.vectors.shape[2])
    assert np.allclose(root, beside[beside["distance"] == "l2"].set_index(place)["without"].loc[root.index])
    assert beside.loc[beside["nearest"], "log_ratio"].iat[0] == beside["log_ratio"].min()
    assert any("no reproduction" in note for note in separation.notes)
    exact = separation.table[separation.table["statistic"] == "mean_distance"].copy()
    exact["estimate"] = np.where(exact["variant"] == "without", PUBLISHED[1].without, PUBLISHED[1].with_module)
    assert beside_published(exact)["log_ratio"].max() == pytest.approx(0.0, abs=1e-12)
    assert published_sentences(beside_published(exact.iloc[:0])) == []


def test_arithmetic_on_a_printed_value_holds_of_vectors():
    rng = np.random.default_rng(0)
    x = 3.0 + rng.standard_normal((60, 8))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = 1 - (unit[:30] * unit[30:]).sum(1)
    apart = np.linalg.norm(unit[:30] - unit[30:], axis=1)
    assert apart.mean() <= arithmetic(float(cosine.mean()))["l2_unit"]
    assert cosine.mean() >= arithmetic(float(apart.mean()))["cosine"]
    assert arithmetic(0.0397)["l2_unit"] == pytest.approx(0.282, abs=5e-4)
    assert arithmetic(0.0397)["cosine"] == pytest.approx(0.0008, abs=5e-5)
    assert arithmetic(0.0397)["angular"] == pytest.approx(0.090, abs=5e-4)


def test_a_swap_separates_meaning_from_the_recording(corpus):
    embeddings, semantics, pairs = corpus
    names = semantics.utterances
    partners = dict(zip(names[::2], names[1::2], strict=True))
    shared = np.repeat(semantics.vectors[::2], 2, axis=0)
    settings = SeparationSettings(distances=("l2",), vectors=("raw",), splits=("different_text",), n_nulls=2, scale_free=())
    table = swap(embeddings, replace(semantics, vectors=shared), pairs, partners, settings=settings)
    assert set(zip(table["frames"], table["semantics"], strict=True)) == {
        (a, b) for a in ("natural", "synthetic") for b in ("natural", "synthetic")
    }
    effects = swap_effects(table, statistic="gain")
    assert len(effects) and np.allclose(effects[["interaction", "semantics_effect"]], 0, atol=1e-12)
    table = swap(embeddings, semantics, pairs, partners, settings=settings)
    own = table[(table["frames"] == "natural") & (table["semantics"] == "natural")].drop(columns=["frames", "semantics"])
    chosen = embeddings.select(embeddings.tokens["utterance"].isin(list(partners)).to_numpy())
    direct = score(chosen, {"swap": semantics}, pairs, settings=settings).table
    mine, theirs = (one[one["statistic"] == "gain"]["estimate"].to_numpy() for one in (own, direct))
    assert np.allclose(mine, theirs, rtol=1e-9)
    assert swap_effects(table, statistic="gain")["interaction"].abs().max() > 0
    with pytest.raises(SeparationError, match="named twice"):
        swap(embeddings, semantics, pairs, {names[0]: names[1], names[1]: names[2]})


@pytest.mark.parametrize(
    ("gain", "net", "ratio", "ratio_gain", "rule"),
    [
        ((1, 2), (np.nan, np.nan), (0, 1), (0, 1), "no_interval"),
        ((1, 2), (1e-9, 1), (1e-9, 1), (0, 1), "separates"),
        ((1, 2), (1e-9, 1), (0, 1), (1, 2), "net_but_no_ratio"),
        ((1, 2), (0, 1), (1, 2), (1, 2), "raw_only"),
        ((1, 2), (-1, 0), (1, 2), (1, 2), "raw_only"),
        ((1, 2), (-1, -1e-9), (1e-9, 2), (1e-9, 2), "below_null_but_sharper"),
        ((1, 2), (-1, -1e-9), (1e-9, 2), (0, 2), "below_null_ratio_above"),
        ((1, 2), (-1, -1e-9), (1e-9, 2), (-2, -1), "below_null_ratio_above"),
        ((1, 2), (-1, -1e-9), (0, 2), (1, 2), "below_null"),
        ((0, 2), (0, 1), (1, 2), (1, 2), "nothing"),
    ],
)
def test_verdicts_at_the_edges_of_their_rules(scored, gain, net, ratio, ratio_gain, rule):
    place = {"relation": "near_homophone", "split": "different_text", "distance": "l2", "variant": "m", "average": "macro"}
    rows = scored[(scored["vectors"] == "raw") & np.logical_and.reduce([scored[k] == v for k, v in place.items()])].copy()
    for statistic, null, (low, high) in (
        ("gain", "", gain), ("net", "shuffled", net), ("between_within_ratio:net", "shuffled", ratio),
        ("between_within_ratio:gain", "", ratio_gain),
    ):  # fmt: skip
        chosen = (rows["statistic"] == statistic) & (rows["null"] == null)
        assert chosen.sum() == 1
        rows.loc[chosen, ["ci_low", "ci_high"]] = float(low), float(high)
    found = verdicts(rows)
    assert [one["rule"] for one in found] == [rule]
    text = next(one.text for one in RULES if one.name == rule)
    assert found[0]["text"] == text.format(null="shuffled vectors", split="different texts")
    # on a fusion's training utterances the claim is never supported; every other verdict stays
    assert [one["rule"] for one in verdicts(rows, ["m"])] == ["learnt_by_heart" if rule == "separates" else rule]
