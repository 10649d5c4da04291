"""The score: how far near-homophones lie apart, with and without semantics, and what a null would have done as well."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.errors import SeparationError
from analysis.separation import nulls as null_makers
from analysis.separation.clusters import d_prime
from analysis.separation.distances import PairGeometry, Whitening, mapped, principal_components
from analysis.separation.intervals import Cells, CrossedDesign, Interval, pigeonhole, speaker_bootstrap
from analysis.separation.relations import TokenPairs, pair_tokens, split_mask
from analysis.separation.scale_free import scale_free_rows, tokens_in_use
from analysis.separation.settings import SeparationSettings
from analysis.separation.significance import benjamini_hochberg, permutation_p
from analysis.separation.types import SEPARATION_COLUMNS

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.wav2sem.types import UtteranceVectors

__all__ = ["Separation", "score"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Separation:
    """What :func:`score` found.

    Attributes
    ----------
    table : DataFrame
        :data:`analysis.separation.types.SEPARATION_COLUMNS`, one number a row.
    per_pair : DataFrame
        Mean distance of each type pair: ``encoder``, ``layer``, ``vectors``, ``distance``, ``split``, ``relation``, ``type_a``,
        ``type_b``, ``variant``, ``mean_distance``, ``n_token_pairs``.
    nulls : dict of str to dict
        Draws of each null for each macro average: ``encoder``, ``layer``, ``vectors``, ``distance``, ``relation``, ``split``,
        ``variant``, ``null``, ``without``, ``observed``, ``draws`` (list).
    curves : list of dict
        Layer curves: ``encoder``, ``vectors``, ``distance``, ``relation``, ``split``, ``variant``, ``statistic``, ``null``,
        ``average``, ``layers``, ``estimate``, ``ci_low``, ``ci_high``.
    verdicts : list of dict
        ``rule``, ``encoder``, ``layer``, ``text``, ``level``.
    notes : list of str
        What was cut to a sample or left out, in words.
    """

    table: pd.DataFrame
    per_pair: pd.DataFrame
    nulls: dict[str, dict[str, Any]]
    curves: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Selection:
    """One average: which cells, weighted how, and what was counted."""

    relation: str
    split: str
    average: str
    positions: np.ndarray
    cells: Cells
    weights: np.ndarray
    design: CrossedDesign
    counts: dict[str, int]
    importance: np.ndarray | None = None
    base_relation: str = ""
    utterance_weights: np.ndarray | None = None


def score(
    embeddings: SyllableEmbeddings,
    semantics: Mapping[str, UtteranceVectors],
    pairs: pd.DataFrame,
    *,
    settings: SeparationSettings | None = None,
) -> Separation:
    """Separation of near-homophones, with and without semantics, against nulls, with intervals.

    Parameters
    ----------
    embeddings : SyllableEmbeddings
        Pooled vectors without semantics.
    semantics : mapping of str to UtteranceVectors
        By the name that the variant gets in the table, such as ``wav2sem`` or ``oracle``; may be empty. Every utterance with a
        token must have a vector.
    pairs : DataFrame
        :data:`analysis.phonology.types.PAIR_COLUMNS`.
    settings : SeparationSettings, optional

    Returns
    -------
    Separation

    Raises
    ------
    SeparationError
        If no type pair has tokens on both sides, vectors are not finite, or an utterance has no semantic vector.

    Notes
    -----
    Token i has vector ``x_i`` without, ``x_i + v_u(i)`` with a module (:func:`analysis.wav2sem.fusion.fuse`); ``d`` is the
    distance, the average is over token pairs first, then over type pairs (``macro``), or over all token pairs (``micro``).

    =================  ============================================================================================
    ``mean_distance``  average of d
    ``gain``           average of d with the variant, less average of d without
    ``net``            gain with the module, less the mean gain over the draws of the null that the row names
    =================  ============================================================================================

    A row of a null (variant ``null:random``) names in its ``null`` column the module whose vectors it stands in for. Inside
    one utterance both tokens get the same vector, so Euclidean gains there are exactly zero (facts of additive fusion).
    The p-value of ``net`` is that of a permutation test (:func:`permutation_p`), one-sided; ``effect_size`` is the estimate
    over the standard deviation of the type pairs' means.
    """
    settings = settings or SeparationSettings()
    features = tuple(part for split in settings.splits for part in split.split("+") if part.startswith("matched_"))
    token_pairs = pair_tokens(
        embeddings.tokens,
        pairs,
        relations=settings.relations,
        duration_ratio=settings.duration_ratio,
        features=features,
        max_tokens_per_type=settings.max_tokens_per_type,
        max_type_pairs=settings.max_type_pairs,
        seed=settings.seed,
    )
    selections = list(_selections(token_pairs, settings))
    vectors = {name: _of_utterances(name, given, token_pairs) for name, given in semantics.items()}
    scale_free_tokens = tokens_in_use(token_pairs, settings)
    rows: list[dict[str, Any]] = []
    per_pair: list[pd.DataFrame] = []
    draws: dict[str, dict[str, Any]] = {}
    for layer in embeddings.layers:
        for kind in settings.vectors:
            state = _LayerState(embeddings, layer, kind, token_pairs, vectors, settings)
            rows.extend(state.rows(selections, draws))
            rows.extend(state.ratio_rows(selections))
            if settings.scale_free and kind == "raw":
                rows.extend(scale_free_rows(state, scale_free_tokens, settings))
            per_pair.append(state.per_pair(selections))
    table = pd.DataFrame(rows)
    table["p_adjusted"] = np.nan
    for _, group in table[table["p_value"].notna()].groupby(["distance", "variant", "statistic", "null", "vectors"]):
        table.loc[group.index, "p_adjusted"] = benjamini_hochberg(group["p_value"].to_numpy())
    table = table[list(SEPARATION_COLUMNS)].astype(SEPARATION_COLUMNS)
    from analysis.separation.verdicts import verdicts

    return Separation(
        table=table,
        per_pair=pd.concat(per_pair, ignore_index=True),
        nulls=draws,
        curves=layer_curves(table),
        verdicts=verdicts(table),
        notes=list(token_pairs.sampled),
    )


def layer_curves(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every row key that has more than one layer, as one curve over its layers."""
    columns = ["encoder", "vectors", "distance", "relation", "split", "variant", "statistic", "null", "average"]
    if table["layer"].nunique() < 2:
        return []
    found: dict[tuple, list[tuple]] = {}
    values = table[["layer", "estimate", "ci_low", "ci_high"]].itertuples(index=False, name=None)
    for key, value in zip(table[columns].itertuples(index=False, name=None), values, strict=True):
        found.setdefault(key, []).append(value)
    curves = []
    for key, points in found.items():
        layers, estimate, low, high = (list(part) for part in zip(*sorted(points), strict=True))
        curve = dict(zip(columns, key, strict=True))
        curves.append(curve | {"layers": layers, "estimate": estimate, "ci_low": low, "ci_high": high})
    return curves


def _of_utterances(name: str, given: UtteranceVectors, pairs: TokenPairs) -> np.ndarray:
    """Semantic vectors in the order of the utterances in use, shape (U, S)."""
    position = {utterance: row for row, utterance in enumerate(given.utterances)}
    missing = [utterance for utterance in pairs.utterances if utterance not in position]
    if missing:
        raise SeparationError(
            f"The semantics {name!r} have no vector for {len(missing)} of {len(pairs.utterances)} utterances with tokens, such "
            f"as {missing[0]!r}. Likely they were computed on another corpus or some recordings failed. Compute them for the "
            f"same utterances, or leave those utterances out of the embeddings."
        )
    chosen = np.asarray(given.vectors, dtype=np.float64)[[position[utterance] for utterance in pairs.utterances]]
    if not np.isfinite(chosen).all():
        bad = int((~np.isfinite(chosen)).any(1).sum())
        raise SeparationError(f"The semantics {name!r} have NaN or infinite values in {bad} of {len(chosen)} utterances.")
    return chosen


def _selections(pairs: TokenPairs, settings: SeparationSettings) -> Iterator[_Selection]:
    """Every (relation, split, average) that has token pairs."""
    table = pairs.type_pairs
    relation_of_cell = table["relation"].to_numpy()[pairs.cell_type_pair]
    groups: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    for relation in [*dict.fromkeys(table["relation"])]:
        groups.append((relation, relation_of_cell == relation, None))
    near = relation_of_cell == "near_homophone"
    if settings.edit_classes:
        classes = table["edit_class"].astype(str).to_numpy()[pairs.cell_type_pair]
        for name in sorted(set(classes[near]) - {""}):
            groups.append((f"near_homophone:{name}", near & (classes == name), None))
    if settings.viseme_weighted and near.any():
        weight = table["viseme_distance"].to_numpy(dtype=float)
        if np.isfinite(weight[table["relation"] == "near_homophone"]).all():
            visible = near & (weight[pairs.cell_type_pair] > 0)
            groups.append(("near_homophone:viseme_weighted", visible, weight))
    cell_of_pair = pairs.cell_of_pair()
    same = split_mask(pairs.cell_atom, "same_utterance")
    for relation, chosen, importance in groups:
        for split in settings.splits:
            positions = np.flatnonzero(chosen & split_mask(pairs.cell_atom, split))
            if not len(positions):
                continue
            member = np.zeros(len(pairs.starts), dtype=bool)
            member[positions] = True
            used = member[cell_of_pair]
            tokens = np.unique(np.concatenate([pairs.a[used], pairs.b[used]]))
            counts = {
                "n_tokens": len(tokens),
                "n_token_pairs": int(pairs.cell_count[positions].sum()),
                "n_type_pairs": len(np.unique(pairs.cell_type_pair[positions])),
                "n_speakers": len(np.unique(pairs.speaker[tokens])),
                "n_utterances": len(np.unique(pairs.utterance[tokens])),
            }
            cells = pairs.cells(positions)
            averages = ("macro", "micro") if importance is None and ":" not in relation else ("macro",)
            for average in averages:
                weights = cells.weights(average, importance)
                design = CrossedDesign(cells, weights)
                spread = np.zeros(len(pairs.starts))
                spread[positions] = weights / cells.count
                spread[same] = 0.0
                by_utterance = pairs.by_utterance(spread[cell_of_pair])
                base = relation.partition(":")[0]
                yield _Selection(
                    relation, split, average, positions, cells, weights, design, counts, importance, base, by_utterance
                )


class _LayerState:
    """Cell sums of every variant for one layer and one treatment of the vectors."""

    def __init__(
        self,
        embeddings: SyllableEmbeddings,
        layer: int,
        kind: str,
        pairs: TokenPairs,
        semantics: Mapping[str, np.ndarray],
        settings: SeparationSettings,
    ) -> None:
        self.pairs, self.settings, self.kind, self.layer = pairs, settings, kind, layer
        provenance = embeddings.provenance
        card = provenance.get("encoder", {})
        self.base = {
            "encoder": str(card.get("name", "") if isinstance(card, Mapping) else card),
            "layer": layer,
            "pooling": str(provenance.get("pooling", "mean")),
            "unit": str(provenance.get("unit", "")),
            "vectors": kind,
            "ci_level": settings.ci_level,
            "seed": settings.seed,
        }
        x = embeddings.layer(layer)[pairs.rows].astype(np.float64)
        frames = embeddings.frames
        column = embeddings.layers.index(layer)
        n_frames = np.asarray(frames.n_frames, dtype=np.float64)
        frame_norm = float(np.average(np.asarray(frames.frame_norm, dtype=np.float64)[:, column], weights=n_frames))
        offsets = {name: _offsets(vectors, x.shape[1], frame_norm, settings) for name, vectors in semantics.items()}
        treat = None
        if kind == "utterance_centred":
            position = {utterance: row for row, utterance in enumerate(frames.utterances)}
            means = np.asarray(frames.mean[:, column], dtype=np.float64)[[position[name] for name in pairs.utterances]]
            x = x - means[pairs.utterance]
            # The utterance's mean holds the added vector whole, so centring takes it out again.
            offsets = {name: np.zeros_like(vectors) for name, vectors in offsets.items()}
        elif kind == "top_pc_removed":
            mean, axes = principal_components(x, settings.removed_components)
            x = x - mean
            treat = axes
            x = x - (x @ axes.T) @ axes
        self.token_frames = (
            embeddings.tokens["n_frames"].to_numpy()[pairs.rows] if "n_frames" in embeddings.tokens else np.ones(len(pairs.rows))
        )
        self.x, self.offsets, self._axes = x, offsets, treat
        self.device = settings.device
        self.speaker_of_utterance = _speaker_of_utterance(pairs)
        column = "nucleus" if "nucleus" in embeddings.tokens else "type"
        self.nucleus = embeddings.tokens[column].astype(str).to_numpy()[pairs.rows]
        #: d' by (variant, distance), with what was counted
        self.d_primes: dict[tuple[str, str], tuple[float, dict[str, int]]] = {}
        self.sums: dict[tuple[str, str, str], np.ndarray] = {}
        self.draws: dict[tuple[str, str, str], list[np.ndarray]] = {}
        self.sizes: dict[tuple[str, str], _VectorSizes] = {}
        self.same_size: dict[tuple[str, str], np.ndarray] = {}
        self.compute()

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        return vectors if self._axes is None else vectors - (vectors @ self._axes.T) @ self._axes

    def compute(self) -> None:
        """Fill ``sums[(variant, module, distance)]`` and, for nulls, ``draws`` with the cell sums of each draw."""
        settings = self.settings
        plain = tuple(name for name in settings.distances if name not in ("l2_standardised", "l2_whitened"))
        spaces: list[tuple[tuple[str, ...], Any]] = [(plain, None)] if plain else []
        whitening = Whitening(self.x)
        spaces += [((name,), whitening.matrix(name)) for name in settings.distances if name not in plain]
        for names, matrix in spaces:
            geometry = PairGeometry(mapped(self.x, matrix), self.pairs, settings.device)
            for name, values in geometry.pair_distances(names).items():
                self.sums["without", "", name] = geometry.cell_sums(values)
                self._d_prime("without", name, values)
            for module, vectors in self.offsets.items():
                added = geometry.added(mapped(self._project(vectors), matrix), names)
                for name, values in added.pair_distances().items():
                    self.sums[module, "", name] = geometry.cell_sums(values)
                    self._d_prime(module, name, values)
                if self.kind != "utterance_centred":
                    self._nulls(geometry, module, vectors, added, names, matrix)

    def _d_prime(self, variant: str, distance: str, values: Any) -> None:
        if "d_prime" not in self.settings.scale_free:
            return
        pairs = self.pairs
        relation = pairs.type_pairs["relation"].to_numpy()[pairs.cell_type_pair]
        elsewhere = ~split_mask(pairs.cell_atom, "same_utterance")
        chosen = [(relation == name) & elsewhere for name in ("near_homophone", "same_type")]
        of_cell = pairs.cell_of_pair()
        between, within = (values.cpu().numpy()[cells[of_cell]] for cells in chosen)
        counts = {
            "n_tokens": len(pairs.rows),
            "n_token_pairs": len(between) + len(within),
            "n_type_pairs": len(np.unique(pairs.cell_type_pair[chosen[0]])),
            "n_speakers": len(pairs.speakers),
            "n_utterances": len(pairs.utterances),
        }
        self.d_primes[variant, distance] = (d_prime(between, within), counts)

    def _nulls(self, geometry: PairGeometry, module: str, vectors: np.ndarray, added: Any, names: Any, matrix: Any) -> None:
        settings, pairs = self.settings, self.pairs
        for null in settings.nulls:
            rng = np.random.default_rng([settings.seed, self.layer, *map(ord, null)])
            repeats = 1 if null == "constant" else settings.n_nulls
            speakers = _speaker_of_utterance(pairs) if settings.shuffle_within == "speaker" else None
            sizes = _VectorSizes.empty(pairs, names) if null == "shuffled" and repeats > 1 else {}
            for _ in range(repeats):
                if null == "shuffled":
                    permutation = null_makers.shuffled(len(vectors), rng, speakers)
                    of_pairs = added.pair_distances(permutation)
                    values = {name: geometry.cell_sums(distances) for name, distances in of_pairs.items()}
                    for name, found in sizes.items():
                        found.see(permutation, of_pairs[name].cpu().numpy())
                elif null == "frame_noise":
                    noise = null_makers.frame_noise(vectors, pairs.utterance, self.token_frames, rng)
                    values = geometry.replaced(mapped(self.x + self._project(noise), matrix), names)
                else:
                    if null == "constant":
                        made = null_makers.constant(vectors)
                    else:
                        made = null_makers.random_directions(vectors, rng, settings.random_about)
                    values = geometry.added(mapped(self._project(made), matrix), names).sums()
                for name, value in values.items():
                    self.draws.setdefault((null, module, name), []).append(value)
            for name, found in sizes.items():
                found.finish()
                self.sizes[module, name] = found
        if settings.n_nulls > 1 and "shuffled" in settings.nulls:
            about_mean = "random" in settings.nulls and settings.random_about == "mean"
            rng = np.random.default_rng([settings.seed, self.layer, 5])
            matched: dict[str, list[np.ndarray]] = {name: self.draws["random", module, name] for name in names if about_mean}
            for _ in range(0 if about_mean else settings.n_nulls):
                made = null_makers.random_directions(vectors, rng)
                for name, value in geometry.added(mapped(self._project(made), matrix), names).sums().items():
                    matched.setdefault(name, []).append(value)
            for name, values in matched.items():
                self.same_size[module, name] = np.mean(values, axis=0)

    def rows(self, selections: list[_Selection], draws: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """All rows of the table for this layer and treatment."""
        null_means = {key: np.mean(values, axis=0) for key, values in self.draws.items()}
        for selection in selections:
            for distance in self.settings.distances:
                count = selection.cells.count
                base = self.sums["without", "", distance][selection.positions] / count
                common = {"distance": distance, "relation": selection.relation, "split": selection.split}
                yield self._row(selection, base, **common, variant="without", statistic="mean_distance")
                for module in self.offsets:
                    own = self.sums[module, "", distance][selection.positions] / count
                    yield self._row(selection, own, **common, variant=module, statistic="mean_distance")
                    yield self._row(selection, _difference(own, base), **common, variant=module, statistic="gain")
                    for null in self.settings.nulls:
                        if (null, module, distance) not in null_means:
                            continue
                        other = null_means[null, module, distance][selection.positions] / count
                        named = {**common, "variant": f"null:{null}", "null": module}
                        yield self._row(selection, other, **named, statistic="mean_distance")
                        sizes = None
                        if null == "shuffled" and (module, distance) in self.sizes:
                            matched = self.same_size[module, distance][selection.positions] / count
                            sizes = (self.sizes[module, distance], _difference(own, matched))
                        yield self._row(selection, _difference(other, base), **named, statistic="gain")
                        values = [
                            float(selection.weights @ (draw[selection.positions] / count))
                            for draw in self.draws[null, module, distance]
                        ]
                        observed = float(selection.weights @ own)
                        row = self._row(
                            selection, _difference(own, other), **common, variant=module, statistic="net", null=null, sizes=sizes
                        )
                        if len(values) > 1:
                            row["p_value"] = permutation_p(observed, np.array(values))
                        yield row
                        if selection.average == "macro":
                            entry = {**self.base, **common, "variant": module, "null": null}
                            entry |= {"without": float(selection.weights @ base), "observed": observed, "draws": values}
                            key = "|".join(str(entry[name]) for name in _DRAW_KEY)
                            draws[key] = {name: entry[name] for name in (*_DRAW_KEY, "without", "observed", "draws")}

    def _row(
        self,
        selection: _Selection,
        values: np.ndarray,
        *,
        variant: str,
        statistic: str,
        null: str = "",
        sizes: tuple[_VectorSizes, np.ndarray] | None = None,
        **common: Any,
    ) -> dict[str, Any]:
        found = self._interval(selection, values, sizes)
        return {
            **self.base,
            **common,
            "variant": variant,
            "statistic": statistic,
            "null": null,
            "average": selection.average,
            "estimate": found.estimate,
            "ci_low": found.low,
            "ci_high": found.high,
            "method": found.method,
            "p_value": np.nan,
            "effect_size": _effect_size(selection, values, found.estimate) if statistic in ("gain", "net") else np.nan,
            "note": found.note,
            **selection.counts,
        }

    def _interval(
        self, selection: _Selection, values: np.ndarray, sizes: tuple[_VectorSizes, np.ndarray] | None = None
    ) -> Interval:
        settings = self.settings
        short = self.too_few(selection.counts)
        if short:
            return Interval(float(selection.weights @ values), note=short)
        if settings.interval == "crossed_t" or selection.importance is not None:
            if sizes is None:
                found = selection.design.interval(values, settings.ci_level)
            else:
                vectors, same_size = sizes
                influence = vectors.influence(selection, within_speakers=settings.shuffle_within == "speaker")
                found = selection.design.interval(same_size, settings.ci_level, influence=influence)
                shift = float(selection.weights @ values) - found.estimate
                found = dataclasses.replace(
                    found, estimate=found.estimate + shift, low=found.low + shift, high=found.high + shift
                )
        else:
            resample = pigeonhole if settings.interval == "pigeonhole" else speaker_bootstrap
            options = {"resamples": settings.n_bootstrap, "level": settings.ci_level, "seed": settings.seed}
            found = resample(selection.cells, values, selection.average, **options)
        note = self.weak(selection.counts)
        if note:
            found = dataclasses.replace(found, note=note)
        return found

    def ratio_rows(self, selections: list[_Selection]) -> Iterator[dict[str, Any]]:
        """Between/within ratios of every split, and what each variant makes of them."""
        chosen = {(s.relation, s.split): s for s in selections if s.average == "macro" and s.importance is None}
        null_means = {key: np.mean(values, axis=0) for key, values in self.draws.items()}
        for (relation, split), between in chosen.items():
            within = chosen.get(("same_type", split))
            if relation not in ("near_homophone", "unrelated") or within is None:
                continue
            ratio = _Ratio(between, within)
            for distance in self.settings.distances:
                common = {"distance": distance, "relation": relation, "split": split}
                base = ratio.linear(self.sums["without", "", distance])
                name = "between_within_ratio"
                yield self._ratio_row(ratio, base, **common, variant="without", statistic=name)
                for module in self.offsets:
                    own = ratio.linear(self.sums[module, "", distance])
                    yield self._ratio_row(ratio, own, **common, variant=module, statistic=name)
                    yield self._ratio_row(ratio, own, base, **common, variant=module, statistic=f"{name}:gain")
                    for null in self.settings.nulls:
                        if (null, module, distance) not in null_means:
                            continue
                        other = ratio.linear(null_means[null, module, distance])
                        named = {**common, "variant": f"null:{null}", "null": module}
                        yield self._ratio_row(ratio, other, **named, statistic=name)
                        row = self._ratio_row(ratio, own, other, **common, variant=module, statistic=f"{name}:net", null=null)
                        draws = [ratio.linear(draw)[0] for draw in self.draws[null, module, distance]]
                        if len(draws) > 1:
                            row["p_value"] = permutation_p(own[0], np.array(draws))
                        yield row

    def _ratio_row(
        self,
        ratio: _Ratio,
        own: tuple[float, np.ndarray],
        other: tuple[float, np.ndarray] | None = None,
        *,
        null: str = "",
        **common: Any,
    ) -> dict[str, Any]:
        estimate, influence = own if other is None else (own[0] - other[0], _difference(own[1], other[1]))
        short = self.too_few(ratio.counts)
        found = Interval(estimate, note=short)
        if not short and np.isfinite(estimate):
            found = ratio.design.interval(2 * influence, self.settings.ci_level)
            found = dataclasses.replace(found, estimate=estimate, low=found.low + estimate, high=found.high + estimate)
            found = dataclasses.replace(found, note=self.weak(ratio.counts))
        return {
            **self.base,
            **common,
            "null": null,
            "average": "macro",
            "estimate": estimate,
            "ci_low": found.low,
            "ci_high": found.high,
            "method": found.method,
            "p_value": np.nan,
            "effect_size": np.nan,
            "note": found.note,
            **ratio.counts,
        }

    def too_few(self, counts: Mapping[str, int]) -> str:
        """Why no interval can be had, or nothing."""
        settings = self.settings
        short = []
        if counts["n_speakers"] < settings.min_speakers:
            short.append(f"{counts['n_speakers']} speakers (at least {settings.min_speakers} needed)")
        if counts["n_type_pairs"] < settings.min_type_pairs:
            short.append(f"{counts['n_type_pairs']} type pairs (at least {settings.min_type_pairs} needed)")
        return f"no interval: {' and '.join(short)}" if short else ""

    def weak(self, counts: Mapping[str, int]) -> str:
        speakers, needed = counts["n_speakers"], self.settings.weak_speakers
        return f"weak interval: {speakers} speakers, fewer than {needed}" if speakers < needed else ""

    def per_pair(self, selections: list[_Selection]) -> pd.DataFrame:
        """Mean distance of each type pair under each variant, without nulls' single draws."""
        parts = []
        sums = {(variant, distance): value for (variant, _, distance), value in self.sums.items()}
        table = self.pairs.type_pairs
        for selection in selections:
            if selection.average != "macro" or ":" in selection.relation or selection.split not in _PER_PAIR_SPLITS:
                continue
            codes = selection.cells.type_pair
            n = np.bincount(codes, selection.cells.count, minlength=len(table))
            present = np.flatnonzero(n)
            for (variant, distance), value in sums.items():
                total = np.bincount(codes, value[selection.positions], minlength=len(table))
                part = pd.DataFrame({name: self.base[name] for name in ("encoder", "layer", "vectors")}, index=present)
                part["distance"], part["split"], part["relation"] = distance, selection.split, selection.relation
                part["type_a"], part["type_b"] = table["type_a"].to_numpy()[present], table["type_b"].to_numpy()[present]
                part["variant"] = variant
                part["mean_distance"] = total[present] / n[present]
                part["n_token_pairs"] = n[present].astype(np.int64)
                parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_PER_PAIR_COLUMNS)


class _Ratio:
    """Macro mean of one relation over that of the same type, and its linearisation over the cells of both.

    Notes
    -----
    ``R = m_b / m_w``. A cell of the first adds ``w_c R (y_c / m_b - 1)`` to its error, one of the second
    ``-w_c R (y_c / m_w - 1)`` (delta method); the sums over speakers are taken over both together, so what a speaker does to all
    distances alike cancels, as it does in the ratio.
    """

    def __init__(self, between: _Selection, within: _Selection) -> None:
        self.between, self.within = between, within
        parts = zip(dataclasses.astuple(between.cells), dataclasses.astuple(within.cells), strict=True)
        cells = Cells(*(np.concatenate(pair) for pair in parts))
        self.design = CrossedDesign(cells, np.concatenate([between.weights, within.weights]) / 2)
        self.counts = {
            "n_tokens": max(between.counts["n_tokens"], within.counts["n_tokens"]),
            "n_token_pairs": between.counts["n_token_pairs"] + within.counts["n_token_pairs"],
            "n_type_pairs": between.counts["n_type_pairs"],
            "n_speakers": min(between.counts["n_speakers"], within.counts["n_speakers"]),
            "n_utterances": max(between.counts["n_utterances"], within.counts["n_utterances"]),
        }

    def linear(self, sums: np.ndarray) -> tuple[float, np.ndarray]:
        """The ratio and each cell's part in its error, from the sums over all cells."""
        values = [sums[part.positions] / part.cells.count for part in (self.between, self.within)]
        above, below = float(self.between.weights @ values[0]), float(self.within.weights @ values[1])
        if below <= 0 or above <= 0:
            return np.nan, np.zeros(len(values[0]) + len(values[1]))
        ratio = above / below
        return ratio, np.concatenate([ratio * (values[0] / above - 1), -ratio * (values[1] / below - 1)])


class _VectorSizes:
    """What each utterance's vector does to distances by its mere size, told from where a shuffle puts it.

    A long vector raises every distance that it takes part in, by ``h_z`` on average, wherever it goes. The module puts vector z
    on utterance z, with weight ``W_z`` in the average; a shuffle puts it everywhere, with weight ``W = sum W_u / U``: their
    difference holds ``sum_z (W_z - W) h_z`` of it and no more, while every single token pair holds it in full. Left in the
    cells, intervals of net decoupling would be several times too wide where norms differ. So the cells compare the module with
    random directions of the same sizes, which holds nothing of size, and what remains between those and the shuffle adds
    ``sum_{z of speaker s} (W_z - W) h_z`` to the error, speaker by speaker (a Hajek projection, exact to first order).
    """

    def __init__(self, pairs: TokenPairs) -> None:
        self.pairs = pairs
        relations = list(dict.fromkeys(pairs.type_pairs["relation"]))
        self.relations = {name: code for code, name in enumerate(relations)}
        relation = np.array([self.relations[name] for name in pairs.type_pairs["relation"]])
        different = ~split_mask(pairs.cell_atom, "same_utterance")
        per_type_pair = np.bincount(pairs.cell_type_pair[different], pairs.cell_count[different], len(pairs.type_pairs))
        weight = np.where(different, 1.0 / np.maximum(per_type_pair, 1)[pairs.cell_type_pair], 0.0)
        self.weight = weight[pairs.cell_of_pair()]
        code = relation[pairs.cell_type_pair][pairs.cell_of_pair()] * len(pairs.utterances)
        self.code_a, self.code_b = code + pairs.utterance[pairs.a], code + pairs.utterance[pairs.b]
        self.shape = (len(relations), len(pairs.utterances))
        self.total = self._by_utterance(self.weight)

    def _by_utterance(self, values: np.ndarray) -> np.ndarray:
        size = self.shape[0] * self.shape[1]
        return (np.bincount(self.code_a, values, size) + np.bincount(self.code_b, values, size)).reshape(self.shape)

    @classmethod
    def empty(cls, pairs: TokenPairs, names: Any) -> dict[str, _VectorSizes]:
        """One per distance, sharing what depends on the pairs alone."""
        first = cls(pairs)
        found = {}
        for name in names:
            own = cls.__new__(cls)
            own.__dict__.update(first.__dict__)
            own.seen = []
            found[name] = own
        return found

    def see(self, permutation: np.ndarray, distances: np.ndarray) -> None:
        """Take note of one draw: utterance u had the vector of ``permutation[u]``."""
        self.seen.append((permutation, self._by_utterance(self.weight * distances)))

    def finish(self) -> None:
        """Estimate ``h``, shape (relations, U), in the centre of its values."""
        n_draws = len(self.seen)
        mean = sum(totals for _, totals in self.seen) / n_draws
        excess, weight = np.zeros(self.shape), np.zeros(self.shape)
        for permutation, totals in self.seen:
            excess[:, permutation] += totals - mean
            weight[:, permutation] += self.total
        h = np.where(weight > 0, excess / np.where(weight > 0, weight, 1.0), 0.0) * n_draws / (n_draws - 1)
        self.h = h - h.mean(1, keepdims=True)
        self.seen = []

    def influence(self, selection: _Selection, *, within_speakers: bool) -> np.ndarray:
        """What size adds to the error of the selection's net average, by speaker, shape (S,)."""
        speaker = _speaker_of_utterance(self.pairs)
        weights = selection.utterance_weights
        if within_speakers:
            pooled = (np.bincount(speaker, weights) / np.bincount(speaker))[speaker]
        else:
            pooled = np.full(len(weights), weights.mean())
        h = self.h[self.relations[selection.base_relation]]
        return np.bincount(speaker, (weights - pooled) * h)


_PER_PAIR_SPLITS = ("all", "different_utterance")
_PER_PAIR_COLUMNS = [
    "encoder", "layer", "vectors", "distance", "split", "relation", "type_a", "type_b", "variant", "mean_distance",
    "n_token_pairs",
]  # fmt: skip
_DRAW_KEY = ("encoder", "layer", "vectors", "distance", "relation", "split", "variant", "null")


def _difference(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """``values - base`` with what is rounding alone set to zero, so that no interval is made of it."""
    difference = values - base
    return np.where(np.abs(difference) <= 1e-12 * np.abs(base), 0.0, difference)


def _effect_size(selection: _Selection, values: np.ndarray, estimate: float) -> float:
    """Estimate over the standard deviation of the type pairs' means (a paired Cohen's d over type pairs)."""
    codes = np.unique(selection.cells.type_pair, return_inverse=True)[1]
    count = selection.cells.count
    means = np.bincount(codes, values * count) / np.bincount(codes, count)
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return estimate / spread if spread > 1e-12 * max(1e-300, float(np.abs(means).max())) else np.nan


def _offsets(vectors: np.ndarray, dims: int, frame_norm: float, settings: SeparationSettings) -> np.ndarray:
    """What fusion adds to every frame of each utterance, shape (U, D)."""
    from analysis.wav2sem.fusion import fuse

    zeros = np.zeros((len(vectors), dims))
    return np.asarray(
        fuse(zeros, vectors, mode=settings.fusion, share=settings.share, frame_norm=frame_norm, seed=settings.seed),
        dtype=np.float64,
    )


def _speaker_of_utterance(pairs: TokenPairs) -> np.ndarray:
    speaker = np.zeros(len(pairs.utterances), dtype=np.int64)
    speaker[pairs.utterance] = pairs.speaker
    return speaker
