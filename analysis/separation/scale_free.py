"""Scale-free statistics of every variant: rows of the separation table beside the averages of distances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.separation import nulls as null_makers
from analysis.separation.abx import Abx, AbxDesign, ordering
from analysis.separation.abx_triples import AbxTriples, sampled_triples
from analysis.separation.averages import difference
from analysis.separation.clusters import SilhouetteSum, davies_bouldin_parts, fisher_parts, knn_parts, probe_parts
from analysis.separation.distances import TokenDots
from analysis.separation.intervals import Cells, CrossedDesign, Interval
from analysis.separation.permutation import ShuffledDistances, named_distances, squared_distances
from analysis.separation.relations import TokenPairs
from analysis.separation.settings import SeparationSettings
from analysis.separation.significance import interval_p, permutation_p
from analysis.separation.uncertainty import detectable, interval_columns, too_few, weak, within_unit
from analysis.separation.variants import LayerVariants
from analysis.separation.warping import dtw_distances

if TYPE_CHECKING:
    import pandas as pd

    from analysis.wav2sem.fusion import AffineFusion

__all__ = ["ScaleFreeTokens", "scale_free_rows", "tokens_in_use"]

#: The split under which an ABX condition stands in the table.
ABX_SPLITS = {
    "any": "different_text",
    "within_speaker": "same_speaker+different_text",
    "across_speaker": "different_speaker+different_text",
}
#: Distances that order tokens differently; the others follow one of these.
_ORDERINGS = ("l2", "cosine")
#: Columns of rows that carry no test.
_NO_TEST = dict.fromkeys(("p_value", "p_permutation", "effect_size", "minimum_detectable_effect"), np.nan)


@dataclass(frozen=True)
class ScaleFreeTokens:
    """Tokens that stand in a near-homophone pair, at most as many as the settings allow, sorted by type.

    Attributes
    ----------
    chosen : ndarray of int, shape (n,)
        Positions among the tokens in use.
    types, speakers, utterances, texts : ndarray of int, shape (n,)
    near : set of (int, int)
        Near-homophone type pairs by code, lower code first; all tokens here of the one are near-homophones of all of the other.
    mixed : int
        Near-homophone type pairs of which that is not so: some of their tokens are of one word or lemma. ABX leaves them out.
    counts : dict of str to int
    note : str
    abx : dict of str to AbxDesign
        By condition.
    triples : dict of (condition, relation) to AbxTriples
        For the intervals and tests of ABX errors.
    """

    chosen: np.ndarray
    types: np.ndarray
    speakers: np.ndarray
    utterances: np.ndarray
    texts: np.ndarray
    near: set[tuple[int, int]]
    mixed: int
    counts: dict[str, int]
    note: str
    abx: Mapping[str, AbxDesign]
    triples: Mapping[tuple[str, str], AbxTriples]

    def comparable(self) -> bool:
        """Whether there are two types, and a type of two tokens."""
        n_types = len(np.unique(self.types))
        return 2 <= n_types < len(self.types)


def tokens_in_use(pairs: TokenPairs, settings: SeparationSettings) -> ScaleFreeTokens:
    """The tokens that scale-free statistics are taken on."""
    code = {name: number for number, name in enumerate(pairs.types)}
    table = pairs.type_pairs
    is_near = (table["relation"] == "near_homophone").to_numpy()
    is_near = is_near if is_near.any() else (table["relation"] != "same_type").to_numpy()
    # tokens that stand in a pair: a type may hold words that stand in none
    paired = np.repeat(is_near[pairs.cell_type_pair], pairs.cell_count)
    chosen = np.unique(np.concatenate([pairs.a[paired], pairs.b[paired]]))
    near, mixed = _pairs_of_types(pairs, table, is_near, chosen, code)
    note = ""
    if len(chosen) > settings.max_tokens_scale_free:
        note = f"on a sample of {settings.max_tokens_scale_free} of {len(chosen)} tokens"
        rng = np.random.default_rng([settings.seed, 13])
        chosen = np.sort(rng.choice(chosen, settings.max_tokens_scale_free, replace=False))
    chosen = chosen[np.argsort(pairs.type[chosen], kind="stable")]
    types, speakers, utterances = pairs.type[chosen], pairs.speaker[chosen], pairs.utterance[chosen]
    texts = pairs.text[chosen]
    counts = {
        "n_tokens": len(chosen),
        "n_token_pairs": 0,
        "n_type_pairs": len(near),
        "n_speakers": len(np.unique(speakers)),
        "n_utterances": len(np.unique(utterances)),
    }
    conditions = settings.abx if "abx_error" in settings.scale_free else ()
    designs = {condition: AbxDesign(types, speakers, texts, condition) for condition in conditions}
    triples = {}
    for condition in conditions:
        for relation, wanted in (("near_homophone", near), ("all", None)):
            found = sampled_triples(types, speakers, texts, condition, wanted, settings.seed)
            if found is not None:
                triples[condition, relation] = found
    return ScaleFreeTokens(chosen, types, speakers, utterances, texts, near, mixed, counts, note, designs, triples)


def _pairs_of_types(
    pairs: TokenPairs, table: pd.DataFrame, is_near: np.ndarray, chosen: np.ndarray, code: Mapping[str, int]
) -> tuple[set[tuple[int, int]], int]:
    """Type pairs all of whose chosen tokens are near-homophones of one another, and how many are not: ABX knows types only."""
    count = np.bincount(pairs.type[chosen], minlength=len(pairs.types))
    held = np.bincount(pairs.cell_type_pair, pairs.cell_count, minlength=len(table))
    near, mixed = set(), 0
    for row in np.flatnonzero(is_near):
        a, b = code[table["type_a"].iat[row]], code[table["type_b"].iat[row]]
        if held[row] == count[a] * count[b]:
            near.add((min(a, b), max(a, b)))
        else:
            mixed += 1
    return near, mixed


@dataclass(frozen=True)
class _Variant:
    """One set of vectors: how frames are mapped, if at all, and what is then added by utterance or by token, if anything."""

    by_utterance: np.ndarray | None = None
    by_token: np.ndarray | None = None
    fusion: AffineFusion | None = None

    def frames(self, vectors: np.ndarray) -> np.ndarray:
        """What becomes of frames, or of means of them, shape (N, D), before anything is added."""
        return vectors if self.fusion is None else self.fusion.frames(vectors)


@dataclass(frozen=True)
class _Measured:
    """Statistics of one variant.

    Attributes
    ----------
    parts : dict of (statistic, distance, split) to ndarray, shape (n,)
        One part per token, whose mean is the statistic; NaN for tokens that it does not ask.
    abx : dict of (condition, distance) to Abx
    lost : dict of (condition, relation, distance) to ndarray, shape (C,)
        Mean error of the sampled triples of each cell of :attr:`AbxTriples.design`.
    """

    parts: dict[tuple[str, str, str], np.ndarray]
    abx: dict[tuple[str, str], Abx]
    lost: dict[tuple[str, str, str], np.ndarray]


@dataclass(frozen=True)
class _Drawn:
    """A statistic of one variant, or of the draws of a null.

    Attributes
    ----------
    values : ndarray, shape (K,)
    cells : ndarray, shape (J, C)
        Of the first J <= K draws, the statistic in each cell of a design: under its weights they average to the value.
    """

    values: np.ndarray
    cells: np.ndarray


def scale_free_rows(
    state: LayerVariants,
    tokens: ScaleFreeTokens,
    settings: SeparationSettings,
    frames: Sequence[np.ndarray] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of every variant of one layer; with the frames of each token in use, ABX of warped frames too."""
    variants: dict[tuple[str, str], list[_Variant]] = {("without", ""): [_Variant()]}
    for module, vectors in state.offsets.items():
        fusion = state.fusions.get(module)
        variants[module, ""] = [_Variant(by_utterance=vectors, fusion=None if fusion is None else fusion.own)]
        for null in settings.nulls:
            variants[f"null:{null}", module] = list(_null_variants(null, module, state, tokens, settings))
    dots = TokenDots(state.x[tokens.chosen], tokens.utterances, state.device)
    tasks = [(key, variant) for key, drawn in variants.items() for variant in drawn]
    spoken = None if frames is None else [np.asarray(frames[place]) for place in tokens.chosen]
    measured = state.workers.map(lambda task: _measure(task[1], dots, state, tokens, settings, spoken), tasks)
    found: dict[tuple[str, str], list[_Measured]] = {}
    for (key, _), one in zip(tasks, measured, strict=True):
        found.setdefault(key, []).append(one)
    yield from _abx_rows(state, found, tokens, settings)
    yield from _part_rows(state, {key: [one.parts for one in drawn] for key, drawn in found.items()}, tokens, settings)
    if state.d_prime is not None:
        yield from _d_prime_rows(state, settings)


def _null_variants(
    null: str, module: str, state: LayerVariants, tokens: ScaleFreeTokens, settings: SeparationSettings
) -> Iterator[_Variant]:
    """Draws of a null in a module's place; under a fusion with weights, each through weights that were trained for the null."""
    rng = np.random.default_rng([settings.seed, state.layer, 17, *map(ord, null)])
    n = 1 if null == "constant" else settings.scale_free_draws
    if module in state.fusions:
        own = state.fusions[module].nulls[null]
        made = own.vectors[:n] or state.null_vectors[module].draws(null, n, rng, settings.random_about)
        for k, vectors in enumerate(made):
            fusion = own.maps[k % len(own.maps)]
            yield _Variant(by_utterance=fusion.offsets(vectors), fusion=fusion)
    elif null == "frame_noise":
        frames = state.token_frames[tokens.chosen]
        for _ in range(n):
            yield _Variant(by_token=null_makers.frame_noise(state.offsets[module], tokens.utterances, frames, rng))
    elif null == "constant" or module not in state.null_vectors:
        yield _Variant(by_utterance=null_makers.constant(state.offsets[module]))
    else:
        for vectors in state.null_vectors[module].draws(null, n, rng, settings.random_about):
            yield _Variant(by_utterance=vectors)


def _measure(
    variant: _Variant,
    dots: TokenDots,
    state: LayerVariants,
    tokens: ScaleFreeTokens,
    settings: SeparationSettings,
    frames: Sequence[np.ndarray] | None,
) -> _Measured:
    """Every statistic of one variant; those made of distances in one pass over blocks of inner products."""
    wanted, offsets = settings.scale_free, variant.by_utterance
    vectors = variant.frames(state.x[tokens.chosen])
    if variant.by_token is not None:
        vectors = vectors + variant.by_token
    if variant.by_token is not None or (variant.fusion is not None and variant.fusion.outer is not None):
        # not the vectors that the other variants share
        dots = TokenDots(vectors, tokens.utterances, state.device, keep=False)
    if offsets is not None:
        vectors = vectors + offsets[tokens.utterances]
    orderings = [name for name in _ORDERINGS if name in settings.distances]
    counters = {(condition, name): design.counter() for condition, design in tokens.abx.items() for name in orderings}
    lost = {(*key, name): np.zeros(len(one)) for key, one in tokens.triples.items() for name in orderings}
    silhouettes = {}
    if "silhouette" in wanted and tokens.comparable():
        silhouettes = {name: SilhouetteSum(tokens.types) for name in orderings or ["l2"]}
    if counters or silhouettes:
        squares = dots.squares(offsets)
        for rows, block in dots.blocks(offsets):
            for name, one in silhouettes.items():
                one.see(rows, block, squares, name)
            for name in orderings if counters else ():
                values = ordering(block, squares, name)
                for condition in tokens.abx:
                    counters[condition, name].see(rows, values)
                for key, one in tokens.triples.items():
                    here, part = one.lost(rows, values)
                    lost[(*key, name)][here] = part
    if frames is not None and tokens.abx and variant.by_token is None:
        added = (variant.frames(one) for one in frames)
        if offsets is not None:
            added = (one + offsets[own] for one, own in zip(added, tokens.utterances, strict=True))
        warped = dtw_distances(added, distance="angular")
        for condition, design in tokens.abx.items():
            counters[condition, "dtw_angular"] = design.counter()
            counters[condition, "dtw_angular"].see(np.arange(len(warped)), warped)
        for key, one in tokens.triples.items():
            lost[(*key, "dtw_angular")] = one.lost(np.arange(len(warped)), warped)[1]
    parts = {("silhouette", name, "all"): one.values for name, one in silhouettes.items()}
    if tokens.comparable():
        parts |= dict(_of_vectors(vectors, state, tokens, settings))
    means = {key: tokens.triples[key[:2]].means(values) for key, values in lost.items()}
    return _Measured(parts, {key: counter.result() for key, counter in counters.items()}, means)


def _of_vectors(
    vectors: np.ndarray, state: LayerVariants, tokens: ScaleFreeTokens, settings: SeparationSettings
) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """((statistic, distance, split), parts by token) of what is made from the vectors themselves."""
    wanted = settings.scale_free
    if "fisher_ratio" in wanted:
        yield ("fisher_ratio", "l2", "all"), fisher_parts(vectors, tokens.types)
    if "davies_bouldin" in wanted:
        yield ("davies_bouldin", "l2", "all"), davies_bouldin_parts(vectors, tokens.types)
    if "knn_purity" in wanted:
        for distance in [name for name in _ORDERINGS if name in settings.distances] or ["l2"]:
            shares = knn_parts(vectors, tokens.types, tokens.texts, k=settings.neighbours, distance=distance, device=state.device)
            yield ("knn_purity", distance, "different_text"), shares
    if "phone_probe" in wanted and len(np.unique(tokens.texts)) > 1:
        right = probe_parts(vectors, state.nucleus[tokens.chosen], tokens.texts, seed=settings.seed)
        yield ("phone_accuracy", "none", "different_text"), right
        yield ("phone_error_rate", "none", "different_text"), 1 - right


def _abx_rows(
    state: LayerVariants,
    found: Mapping[tuple[str, str], list[_Measured]],
    tokens: ScaleFreeTokens,
    settings: SeparationSettings,
) -> Iterator[dict[str, Any]]:
    """Errors of every condition, distance and relation, and their changes.

    The errors are the published means of all triples. Their intervals come from a sample of triples, whose cells hold three speakers and
    two types.
    """
    permuted = _permuted_abx(state, tokens, settings)
    for condition, distance in found["without", ""][0].abx:
        for relation in ("near_homophone", "all"):
            if (condition, relation) not in tokens.triples:
                continue
            design = tokens.triples[condition, relation].design
            near = tokens.near if relation == "near_homophone" else None
            drawn = {}
            for key, ones in found.items():
                ones = [one for one in ones if (condition, distance) in one.abx]
                if ones:
                    kept = ones[0].abx[condition, distance].among(near)
                    values = [one.abx[condition, distance].mean("cells", kept) for one in ones]
                    cells = [one.lost[condition, relation, distance] for one in ones]
                    drawn[key] = _Drawn(np.array(values), np.stack(cells))
            shared = {**state.base, **tokens.counts, "n_type_pairs": design.n_type_pairs, "average": "macro"}
            shared |= {"distance": distance, "split": ABX_SPLITS[condition], "relation": relation}
            remark = tokens.note
            if tokens.mixed and relation == "near_homophone":
                whole = tokens.mixed + len(tokens.near)
                left = f"{tokens.mixed} of {whole} type pairs, some of whose tokens are of one word or lemma, are left out"
                remark = "; ".join(part for part in (remark, left) if part)
            tested = permuted.get((condition, distance), {}) if relation == "near_homophone" else {}
            yield from _rows("abx_error", drawn, design, shared, settings, remark, tested)


def _permuted_abx(
    state: LayerVariants, tokens: ScaleFreeTokens, settings: SeparationSettings
) -> dict[tuple[str, str], dict[str, float]]:
    """p-values of the ABX errors of near-homophones, by (condition, distance) and module, from shuffles on the sampled triples."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    if "shuffled" not in settings.nulls or not settings.n_permutations_scale_free or state.fusions:
        return found
    orderings = [name for name in _ORDERINGS if name in settings.distances]
    for condition in tokens.abx:
        triples = tokens.triples.get((condition, "near_homophone"))
        for module in state.null_vectors if triples is not None else ():
            drawn = _shuffled_triples(state, tokens, triples, module, orderings, settings)
            for name, errors in drawn.items():
                found.setdefault((condition, name), {})[module] = permutation_p(-float(errors[0]), -errors[1:])
    return found


def _shuffled_triples(
    state: LayerVariants,
    tokens: ScaleFreeTokens,
    triples: AbxTriples,
    module: str,
    orderings: Sequence[str],
    settings: SeparationSettings,
) -> dict[str, np.ndarray]:
    """The error on the sampled triples with the module and under each shuffle, shape (1 + draws,), by distance."""
    near, far, x = (tokens.chosen[places] for places in (triples.a, triples.b, triples.x))
    first, second = np.concatenate([near, far]), np.concatenate([x, x])
    nulls = state.null_vectors[module]
    shuffles = ShuffledDistances(state.x, nulls, state.pairs.utterance, first, second, lambda vectors: vectors)
    weights = triples.design.weights

    def errors(apart: np.ndarray, norms_a: np.ndarray, norms_b: np.ndarray) -> list[float]:
        found = []
        for _, values in named_distances(orderings, apart, norms_a, norms_b, shuffles.dims):
            own, other = values[: len(x)], values[len(x) :]
            found.append(float(triples.means((other < own) + 0.5 * (other == own)) @ weights))
        return found

    fused = state.x + state.offsets[module][state.pairs.utterance]
    squares = (fused**2).sum(1)
    observed = errors(squared_distances(fused, first, second), squares[first], squares[second])
    rng = np.random.default_rng([settings.seed, state.layer, 41])
    drawn = [nulls.reassigned(rng) for _ in range(settings.n_permutations_scale_free)]
    found = np.array([observed, *state.workers.map(lambda one: errors(*shuffles.of(one)), drawn)])
    return {name: found[:, column] for column, name in enumerate(orderings)}


def _part_rows(
    state: LayerVariants,
    found: Mapping[tuple[str, str], list[Mapping[tuple[str, str, str], np.ndarray]]],
    tokens: ScaleFreeTokens,
    settings: SeparationSettings,
) -> Iterator[dict[str, Any]]:
    """Means over tokens, whose cells hold the tokens of one speaker and one type."""
    for key, base in found["without", ""][0].items():
        statistic, distance, split = key
        shared = {**state.base, **tokens.counts, "distance": distance, "split": split, "relation": "all", "average": "micro"}
        asked = np.flatnonzero(~np.isnan(base))
        if not len(asked):
            for variant, module in found:
                yield {**shared, **_named(statistic, variant, module), **interval_columns(Interval(float("nan"))), **_NO_TEST}
            continue
        n_types = int(tokens.types.max()) + 1
        code, cell, count = np.unique(
            tokens.speakers[asked] * n_types + tokens.types[asked], return_inverse=True, return_counts=True
        )
        cells = Cells(code // n_types, code // n_types, code % n_types, count)
        design = CrossedDesign(cells, cells.weights("micro"))
        drawn = {}
        for name, ones in found.items():
            parts = [one[key][asked] for one in ones]
            means = np.stack([np.bincount(cell, part) / count for part in parts])
            drawn[name] = _Drawn(np.array([part.mean() for part in parts]), means)
        yield from _rows(statistic, drawn, design, shared, settings, tokens.note)


def _d_prime_rows(state: LayerVariants, settings: SeparationSettings) -> Iterator[dict[str, Any]]:
    """d' between near-homophones and the same type over token pairs of different utterances."""
    shared = {**state.base, **state.d_prime.counts, "average": "micro"}
    shared |= {"relation": "near_homophone", "split": "different_text"}
    for distance in dict.fromkeys(distance for *_, distance in state.d_primes):
        drawn = {(variant, module): _Drawn(*found) for (variant, module, of), found in state.d_primes.items() if of == distance}
        yield from _rows("d_prime", drawn, state.d_prime.design, {**shared, "distance": distance}, settings, "")


def _rows(
    statistic: str,
    drawn: Mapping[tuple[str, str], _Drawn],
    design: CrossedDesign | None,
    shared: Mapping[str, Any],
    settings: SeparationSettings,
    remark: str,
    tested: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """A statistic without, with every module and under every null, and what each module changes, also net of each null.

    All variants share their tokens, so that cells are compared one by one. Against several draws of a null the interval is that of
    :meth:`CrossedDesign.net_intervals`; all others are crossed variance components of the cells.
    """
    base, short = drawn["without", ""], too_few(shared, settings)
    made: list[tuple[dict[str, str], float, np.ndarray]] = []
    nets: dict[int, tuple[_Drawn, _Drawn]] = {}
    for (variant, module), one in drawn.items():
        made.append((_named(statistic, variant, module), float(one.values.mean()), one.cells.mean(axis=0)))
    for (variant, module), one in drawn.items():
        if variant.startswith("null:"):
            own = drawn[module, ""]
            nets[len(made)] = own, one
            names = _named(f"{statistic}:net", module, variant.removeprefix("null:"))
            made.append((names, *_changed(own, one)))
        elif variant != "without":
            made.append((_named(f"{statistic}:gain", variant, ""), *_changed(one, base)))
    if not short and design is None:
        short = "no interval: fewer than two token pairs of a relation"
    if not short and not all(np.isfinite(estimate) and np.isfinite(cells).all() for _, estimate, cells in made):
        short = "no interval: not finite, as where tokens of a type do not differ"
    usable = not short
    found = [Interval(estimate, note=short) for _, estimate, _ in made]
    if usable:
        found = design.intervals(np.stack([cells for *_, cells in made]), settings.ci_level)
        for place, (own, null) in nets.items():
            if len(null.values) > 1:
                found[place] = design.net_intervals(own.cells[:1], null.values[None], [null.cells], settings.ci_level)[0]
    for place, ((names, estimate, _), interval) in enumerate(zip(made, found, strict=True)):
        note = "; ".join(part for part in (interval.note or (weak(shared, settings) if usable else ""), remark) if part)
        interval = replace(interval.about(estimate) if usable else interval, note=note)
        if names["statistic"] == "abx_error":
            interval = within_unit(interval, settings.ci_level)
        row = {**shared, **names, **interval_columns(interval), **_NO_TEST}
        if place in nets:
            _, null = nets[place]
            row["minimum_detectable_effect"] = detectable(interval, settings)
            if names["null"] == "shuffled":
                row["p_permutation"] = tested.get(names["variant"], np.nan)
            if len(null.values) > 1:
                row["p_value"] = interval_p(interval.estimate, interval.se, interval.df)
        yield row


def _changed(own: _Drawn, other: _Drawn) -> tuple[float, np.ndarray]:
    """A variant's value and cells, less the means of another's draws; NaN where both are infinite."""
    with np.errstate(invalid="ignore"):
        value = difference(own.values[0], other.values.mean())
        return float(value), difference(own.cells[0], other.cells.mean(axis=0))


def _named(statistic: str, variant: str, null: str) -> dict[str, str]:
    return {"statistic": statistic, "variant": variant, "null": null}
