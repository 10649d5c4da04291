"""The score: how far near-homophones lie apart, with and without semantics, and what a null would have done as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.errors import SeparationError
from analysis.markup import counted
from analysis.separation.averages import average_rows, per_pair_distances
from analysis.separation.best_layer import best_layer_rows, halves, layer_candidates
from analysis.separation.curves import layer_curves
from analysis.separation.fusions import learnt_by_heart
from analysis.separation.headline import Headline
from analysis.separation.published import beside_published, published_sentences
from analysis.separation.ratios import ratio_rows, ratios
from analysis.separation.relations import TokenPairs, pair_tokens, sampled_tokens
from analysis.separation.scale_free import scale_free_rows, tokens_in_use
from analysis.separation.selections import selections
from analysis.separation.settings import SeparationSettings
from analysis.separation.significance import benjamini_hochberg
from analysis.separation.threads import Workers, workers
from analysis.separation.types import SEPARATION_COLUMNS
from analysis.separation.variants import LayerVariants, added_scale, vectors_in_use
from analysis.separation.verdicts import verdicts

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.wav2sem.types import UtteranceVectors

__all__ = ["Separation", "rows_of_abx", "rows_to_score", "score"]


@dataclass(frozen=True, repr=False)
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
        What was cut to a sample or left out, and what stands beside published figures, in words.
    published : DataFrame
        :func:`analysis.separation.published.beside_published`; no row unless an encoder of the paper was analysed.
    """

    table: pd.DataFrame
    per_pair: pd.DataFrame
    nulls: dict[str, dict[str, Any]]
    curves: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    published: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __repr__(self) -> str:
        encoders = ", ".join(map(str, self.table["encoder"].unique()))
        layers = self.table["layer"].nunique()
        return f"<Separation of {encoders}: {counted(len(self.table), 'score')} on {counted(layers, 'layer')}>"


@dataclass(frozen=True)
class _Found:
    """What one layer under one treatment gave."""

    rows: list[dict[str, Any]]
    per_pair: pd.DataFrame
    draws: dict[str, dict[str, Any]]
    candidates: list[tuple[float, dict[str, Any]]]


def score(
    embeddings: SyllableEmbeddings,
    semantics: Mapping[str, UtteranceVectors],
    pairs: pd.DataFrame,
    *,
    settings: SeparationSettings | None = None,
    frames: Mapping[int, Sequence[np.ndarray]] | None = None,
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
    frames : mapping of int to sequence of ndarray, optional
        By layer, the frames of every token of ``embeddings``, shape (frames, D) each: ABX is then also taken of frames aligned by
        dynamic time warping (distance ``dtw_angular``), which is how zero-resource ABX scores are published. Those of tokens that
        :func:`rows_of_abx` does not name are not looked at. Each thread that scores holds the frames of one variant once, in float64.

    Returns
    -------
    Separation

    Raises
    ------
    SeparationError
        If no type pair has tokens on both sides, vectors are not finite, or an utterance has no semantic vector.

    Notes
    -----
    Token i has vector ``x_i`` without, ``x_i + v_u(i)`` with a module (:func:`analysis.wav2sem.fusion.fuse`); other fusions map
    ``x_i`` and ``v_u`` first, a null through weights trained for it (:mod:`analysis.separation.fusions`). ``d`` is the
    distance, the average is over token pairs first, then over type pairs (``macro``), or over all token pairs (``micro``).

    =================  ============================================================================================
    ``mean_distance``  average of d
    ``gain``           average of d with the variant, less average of d without
    ``net``            gain with the module, less the mean gain over the draws of the null that the row names
    =================  ============================================================================================

    Every scale-free statistic ``s`` has the rows ``s``, ``s:gain`` and ``s:net``, which mean the same of it.

    The headline compares tokens of different texts, and a net is for speakers, type pairs and texts like these, at this size of the added
    vectors (docs/explanation/estimand.md). The nulls keep what goes with the length of an utterance, sizes, voices and repeated texts
    (:class:`analysis.separation.nulls.NullVectors`).

    A row of a null (variant ``null:random``) names in its ``null`` column the module whose vectors it stands in for. Inside
    one utterance both tokens get the same vector, so Euclidean gains there are exactly zero (facts of additive fusion).
    The p-value of ``net`` is two-sided, of the t distribution of its interval; ``p_permutation`` is one-sided towards the better, from
    many shuffles on a sample of token pairs of the headline's split. ``effect_size`` is the estimate over the standard deviation of the
    type pairs' means.
    """
    settings = settings or SeparationSettings()
    with workers(settings.device) as threads:
        return _scored(embeddings, semantics, pairs, settings, frames or {}, threads)


def rows_of_abx(tokens: pd.DataFrame, pairs: pd.DataFrame, settings: SeparationSettings) -> np.ndarray:
    """Rows of the token table that ABX looks at under these settings, ascending: those whose frames :func:`score` can use."""
    token_pairs = _paired(tokens, pairs, settings)
    return np.sort(token_pairs.rows[tokens_in_use(token_pairs, settings).chosen])


def rows_to_score(tokens: pd.DataFrame, pairs: pd.DataFrame, settings: SeparationSettings) -> tuple[np.ndarray, list[str]]:
    """Rows of the token table that :func:`score` needs under these settings, ascending, and notes on what is left out.

    Scores of the tokens at these rows are those of a sample that :func:`score` would draw itself; where it draws none, all rows.
    """
    return sampled_tokens(
        tokens,
        pairs,
        relations=settings.relations,
        max_tokens_per_type=settings.max_tokens_per_type,
        max_type_pairs=settings.max_type_pairs,
        seed=settings.seed,
    )


def _paired(tokens: pd.DataFrame, pairs: pd.DataFrame, settings: SeparationSettings) -> TokenPairs:
    features = tuple(part for split in settings.splits for part in split.split("+") if part.startswith("matched_"))
    return pair_tokens(
        tokens,
        pairs,
        relations=settings.relations,
        duration_ratio=settings.duration_ratio,
        features=features,
        max_tokens_per_type=settings.max_tokens_per_type,
        max_type_pairs=settings.max_type_pairs,
        seed=settings.seed,
    )


def _scored(
    embeddings: SyllableEmbeddings,
    semantics: Mapping[str, UtteranceVectors],
    pairs: pd.DataFrame,
    settings: SeparationSettings,
    frames: Mapping[int, Sequence[np.ndarray]],
    threads: Workers,
) -> Separation:
    from tqdm import tqdm

    for layer, of_tokens in frames.items():
        if len(of_tokens) != len(embeddings):
            raise SeparationError(
                f"Layer {layer} has frames of {len(of_tokens)} tokens, but the embeddings have {len(embeddings)}. Give the frames of "
                "every token, in the order of the token table."
            )
    token_pairs = _paired(embeddings.tokens, pairs, settings)
    chosen = list(selections(token_pairs, settings))
    compared = ratios(chosen)
    vectors = {name: vectors_in_use(name, given, token_pairs) for name, given in semantics.items()}
    scale_free_tokens = tokens_in_use(token_pairs, settings)
    split = halves(token_pairs, chosen, settings) if settings.best_layer and len(embeddings.layers) > 1 else None
    places = [(layer, kind) for layer in embeddings.layers for kind in settings.vectors]

    def of_place(place: tuple[int, str]) -> _Found:
        layer, kind = place
        scales = {name: added_scale(embeddings, given, layer, settings) for name, given in semantics.items()}
        state = LayerVariants(embeddings, layer, kind, token_pairs, vectors, scales, settings, threads)
        draws: dict[str, dict[str, Any]] = {}
        rows = [*average_rows(state, chosen, draws), *ratio_rows(state, compared)]
        if settings.scale_free and kind == "raw":
            spoken = [frames[layer][row] for row in token_pairs.rows] if layer in frames else None
            rows.extend(scale_free_rows(state, scale_free_tokens, settings, spoken))
        candidates = layer_candidates(state, split) if split is not None and kind == "raw" else []
        bar.update()
        return _Found(rows, per_pair_distances(state, chosen), draws, candidates)

    # With few layers to score, the draws of each are what is shared out.
    by_layer = len(embeddings.layers) >= threads.n
    with tqdm(total=len(places), desc="Scoring", unit="layer", disable=None, leave=False) as bar:
        found = threads.map(of_place, places) if by_layer else [of_place(place) for place in places]
    rows = [row for part in found for row in part.rows]
    if split is not None:
        rows.extend(best_layer_rows([part.candidates for part in found], split.note))
    draws = {name: entry for part in found for name, entry in part.draws.items()}
    table = pd.DataFrame(rows)
    table["p_adjusted"] = np.nan
    for _, group in table[table["p_value"].notna()].groupby(["distance", "variant", "statistic", "null", "vectors"]):
        table.loc[group.index, "p_adjusted"] = benjamini_hochberg(group["p_value"].to_numpy())
    table = table[list(SEPARATION_COLUMNS)].astype(SEPARATION_COLUMNS)
    beside = beside_published(table, embeddings.vectors.shape[-1])
    learnt = learnt_by_heart(vectors, token_pairs.utterances, settings)
    return Separation(
        table=table,
        per_pair=pd.concat([part.per_pair for part in found], ignore_index=True),
        nulls=draws,
        curves=layer_curves(table[~table["statistic"].str.endswith(":best_layer")]),
        verdicts=verdicts(table, learnt, Headline.of(settings, table)),
        notes=[*token_pairs.sampled, *_learnt_note(learnt, settings), *published_sentences(beside)],
        published=beside,
    )


def _learnt_note(learnt: Sequence[str], settings: SeparationSettings) -> list[str]:
    return [
        f"The weights of the fusion {settings.fusion!r} for {name} were trained on utterances that are scored here. What they "
        "separate among those may be learnt by heart and says nothing of other speech."
        for name in learnt
    ]
