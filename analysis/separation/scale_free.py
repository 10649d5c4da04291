"""Scale-free statistics of every variant: rows of the separation table beside the averages of distances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.separation import nulls as null_makers
from analysis.separation.abx import Abx, abx
from analysis.separation.clusters import davies_bouldin, fisher_ratio, knn_purity, phone_probe, silhouette
from analysis.separation.intervals import CrossedDesign, Interval
from analysis.separation.relations import TokenPairs
from analysis.separation.settings import SeparationSettings
from analysis.separation.uncertainty import too_few, weak

__all__ = ["ScaleFreeTokens", "scale_free_rows", "tokens_in_use"]

#: The split under which an ABX condition stands in the table.
ABX_SPLITS = {
    "any": "different_utterance",
    "within_speaker": "same_speaker+different_utterance",
    "across_speaker": "different_speaker",
}
#: Distances that order tokens differently; the others follow one of these.
_ORDERINGS = ("l2", "cosine")


@dataclass(frozen=True)
class ScaleFreeTokens:
    """Tokens of the near-homophones, at most as many as the settings allow.

    Attributes
    ----------
    chosen : ndarray of int, shape (n,)
        Positions among the tokens in use.
    types, speakers, utterances : ndarray of int, shape (n,)
    near : set of (int, int)
        Near-homophone type pairs by code, lower code first.
    counts : dict of str to int
    note : str
    """

    chosen: np.ndarray
    types: np.ndarray
    speakers: np.ndarray
    utterances: np.ndarray
    near: set[tuple[int, int]]
    counts: dict[str, int]
    note: str


def tokens_in_use(pairs: TokenPairs, settings: SeparationSettings) -> ScaleFreeTokens:
    """The tokens that scale-free statistics are taken on."""
    code = {name: number for number, name in enumerate(pairs.types)}
    table = pairs.type_pairs
    near_rows = table[table["relation"] == "near_homophone"]
    near_rows = near_rows if len(near_rows) else table[table["relation"] != "same_type"]
    near = {(code[a], code[b]) for a, b in zip(near_rows["type_a"], near_rows["type_b"], strict=True)}
    near = {(min(pair), max(pair)) for pair in near}
    chosen = np.flatnonzero(np.isin(pairs.type, sorted({kind for pair in near for kind in pair})))
    note = ""
    if len(chosen) > settings.max_tokens_scale_free:
        note = f"on a sample of {settings.max_tokens_scale_free} of {len(chosen)} tokens"
        rng = np.random.default_rng([settings.seed, 13])
        chosen = np.sort(rng.choice(chosen, settings.max_tokens_scale_free, replace=False))
    counts = {
        "n_tokens": len(chosen),
        "n_token_pairs": 0,
        "n_type_pairs": len(near),
        "n_speakers": len(np.unique(pairs.speaker[chosen])),
        "n_utterances": len(np.unique(pairs.utterance[chosen])),
    }
    return ScaleFreeTokens(chosen, pairs.type[chosen], pairs.speaker[chosen], pairs.utterance[chosen], near, counts, note)


def scale_free_rows(state: Any, tokens: ScaleFreeTokens, settings: SeparationSettings) -> Iterator[dict[str, Any]]:
    """Rows of every variant of one layer; ``state`` is the layer's state of :mod:`analysis.separation.scoring`."""
    plain = state.x[tokens.chosen]
    variants: dict[tuple[str, str], list[np.ndarray]] = {("without", ""): [plain]}
    for module, vectors in state.offsets.items():
        variants[module, ""] = [plain + vectors[tokens.utterances]]
        for null in settings.nulls:
            draws = _null_vectors(null, vectors, state, tokens, settings)
            variants[f"null:{null}", module] = [plain + added for added in draws]
    if "abx_error" in settings.scale_free:
        yield from _abx_rows(state, variants, tokens, settings)
    for (variant, module), drawn in variants.items():
        found: dict[tuple[str, str, str], list[float]] = {}
        for vectors in drawn:
            for key, value in _statistics(vectors, state, tokens, settings):
                found.setdefault(key, []).append(value)
        for (statistic, distance, split), values in found.items():
            yield _row(
                state, tokens, Interval(float(np.mean(values)), note=tokens.note),
                statistic=statistic, distance=distance, split=split, relation="all", variant=variant, null=module,
                average="micro",
            )  # fmt: skip
    if "d_prime" in settings.scale_free:
        yield from _d_prime_rows(state)


def _null_vectors(null: str, vectors: np.ndarray, state: Any, tokens: ScaleFreeTokens, settings: SeparationSettings):
    rng = np.random.default_rng([settings.seed, state.layer, 17, *map(ord, null)])
    for _ in range(1 if null == "constant" else settings.scale_free_draws):
        if null == "shuffled":
            permutation = null_makers.shuffled(len(vectors), rng, state.speaker_of_utterance, within=settings.shuffle_within)
            yield vectors[permutation][tokens.utterances]
        elif null == "random":
            speakers = state.speaker_of_utterance
            yield null_makers.random_directions(vectors, rng, settings.random_about, speakers=speakers)[tokens.utterances]
        elif null == "constant":
            yield null_makers.constant(vectors)[tokens.utterances]
        else:
            yield null_makers.frame_noise(vectors, tokens.utterances, state.token_frames[tokens.chosen], rng)


def _statistics(
    vectors: np.ndarray, state: Any, tokens: ScaleFreeTokens, settings: SeparationSettings
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """((statistic, distance, split), value) for all that has one number and no interval."""
    wanted = settings.scale_free
    orderings = [name for name in _ORDERINGS if name in settings.distances] or ["l2"]
    if len(np.unique(tokens.types)) < 2 or len(tokens.types) <= len(np.unique(tokens.types)):
        return
    if "fisher_ratio" in wanted:
        yield ("fisher_ratio", "l2", "all"), fisher_ratio(vectors, tokens.types)
    if "davies_bouldin" in wanted:
        yield ("davies_bouldin", "l2", "all"), davies_bouldin(vectors, tokens.types)
    for distance in orderings:
        if "silhouette" in wanted:
            yield ("silhouette", distance, "all"), silhouette(vectors, tokens.types, distance=distance, device=state.device)
        if "knn_purity" in wanted:
            share = knn_purity(
                vectors, tokens.types, tokens.utterances, k=settings.neighbours, distance=distance, device=state.device
            )
            yield ("knn_purity", distance, "different_utterance"), share
    if "phone_probe" in wanted and len(np.unique(tokens.utterances)) > 1:
        right = phone_probe(vectors, state.nucleus[tokens.chosen], tokens.utterances, seed=settings.seed)
        yield ("phone_accuracy", "none", "different_utterance"), right
        yield ("phone_error_rate", "none", "different_utterance"), 1 - right


def _abx_rows(
    state: Any, variants: Mapping[tuple[str, str], list[np.ndarray]], tokens: ScaleFreeTokens, settings: SeparationSettings
) -> Iterator[dict[str, Any]]:
    for distance in [name for name in _ORDERINGS if name in settings.distances]:
        for condition in settings.abx:
            found: dict[tuple[str, str], list[Abx]] = {}
            for key, drawn in variants.items():
                found[key] = [
                    abx(vectors, tokens.types, tokens.speakers, tokens.utterances,
                        condition=condition, distance=distance, device=state.device)
                    for vectors in drawn
                ]  # fmt: skip
            for relation in ("near_homophone", "all"):
                yield from _abx_relation(state, found, relation, distance, ABX_SPLITS[condition], tokens, settings)


def _abx_relation(
    state: Any,
    found: Mapping[tuple[str, str], list[Abx]],
    relation: str,
    distance: str,
    split: str,
    tokens: ScaleFreeTokens,
    settings: SeparationSettings,
) -> Iterator[dict[str, Any]]:
    """Errors, and their changes: all variants share their triples, so cells are compared one by one."""
    errors: dict[tuple[str, str], np.ndarray] = {}
    cells = None
    for key, drawn in found.items():
        chosen = [one.chosen(tokens.near) if relation == "near_homophone" else one for one in drawn]
        made = [one.cells() for one in chosen]
        cells = made[0][0]
        errors[key] = np.mean([error for _, error in made], axis=0)
    if cells is None or not len(cells):
        return
    design = CrossedDesign(cells, cells.weights("macro"))
    counts = {**tokens.counts, "n_type_pairs": design.n_type_pairs}
    common = {"distance": distance, "split": split, "relation": relation, "average": "macro"}

    def row(values: np.ndarray, **named: Any) -> dict[str, Any]:
        short = too_few(counts, settings)
        interval = Interval(float(design.weights @ values), note=short) if short else design.interval(values, settings.ci_level)
        note = "; ".join(part for part in (interval.note or weak(counts, settings), tokens.note) if part)
        interval = Interval(interval.estimate, interval.low, interval.high, method=interval.method, note=note)
        return {**_row(state, tokens, interval, **common, **named), **counts}

    base = errors["without", ""]
    for (variant, module), error in errors.items():
        yield row(error, statistic="abx_error", variant=variant, null=module)
        if variant == "without" or variant.startswith("null:"):
            continue
        yield row(error - base, statistic="abx_error:gain", variant=variant, null="")
        for (other, stands_for), null_error in errors.items():
            if other.startswith("null:") and stands_for == variant:
                yield row(error - null_error, statistic="abx_error:net", variant=variant, null=other.removeprefix("null:"))


def _d_prime_rows(state: Any) -> Iterator[dict[str, Any]]:
    """d' between near-homophones and the same type over token pairs of different utterances."""
    for (variant, distance), (value, counts) in state.d_primes.items():
        yield {
            **state.base, **counts, "distance": distance, "relation": "near_homophone", "split": "different_utterance",
            "variant": variant, "statistic": "d_prime", "null": "", "average": "micro", "estimate": value, "ci_low": np.nan,
            "ci_high": np.nan, "method": "none", "p_value": np.nan, "effect_size": np.nan, "minimum_detectable_effect": np.nan, "note": "",
        }  # fmt: skip


def _row(state: Any, tokens: ScaleFreeTokens, found: Interval, **named: Any) -> dict[str, Any]:
    return {
        **state.base,
        **tokens.counts,
        **named,
        "estimate": found.estimate,
        "ci_low": found.low,
        "ci_high": found.high,
        "method": found.method,
        "p_value": np.nan,
        "effect_size": np.nan,
        "minimum_detectable_effect": np.nan,
        "note": found.note,
    }
