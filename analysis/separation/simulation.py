"""Corpora whose truth is known, to see whether intervals hold what they promise and what a corpus of a given size can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.embeddings.types import SyllableEmbeddings, UtteranceFrames
from analysis.separation.averages import average_rows
from analysis.separation.intervals import Cells
from analysis.separation.relations import pair_tokens
from analysis.separation.scale_free import scale_free_rows, tokens_in_use
from analysis.separation.selections import selections
from analysis.separation.settings import SeparationSettings
from analysis.separation.threads import Workers
from analysis.separation.variants import LayerVariants, vectors_in_use
from analysis.wav2sem.types import SemanticsCard, UtteranceVectors

__all__ = ["CorpusPlan", "simulated_averages", "simulated_cells", "simulated_corpus", "simulated_scale_free"]


@dataclass(frozen=True)
class CorpusPlan:
    """A simulated corpus: its size, its noise, and what its module truly does.

    Attributes
    ----------
    speakers, utterances, tokens : int
        Speakers, utterances per speaker, tokens per utterance.
    pairs : int
        Near-homophone type pairs; there are as many unrelated ones.
    dims : int
    unbalanced : bool
        Speakers have between a third and all of the utterances, types follow Zipf's law, and half of the speakers never say
        a quarter of the types.
    speaker_sd, utterance_sd, token_sd : float
        Deviations of what speaker, utterance and token add to the type's vector, per dimension.
    offset_norm_sd : float
        Deviation of the logarithm of the offsets' norms over utterances: 0, all alike; 1, one in six is e times the median.
    offset_mean : float
        Size of the direction that all offsets share, against that of what is their own.
    speaker_norm_sd : float
        Deviation, over speakers, of the logarithm of the offsets' norms.
    offset_speaker_share : float
        Share of the offsets' variance that all utterances of a speaker have in common.
    offset_axes : int
        Offsets keep to this many directions; 0, to none in particular.
    pair_sd : float
        Deviation, over near-homophone pairs, of the logarithm of how far their types lie apart.
    effect : float
        0: offsets know nothing of the speech. Otherwise the share of each offset that points along the difference between the
        utterance's own types and their near-homophones, which is what truly moves near-homophones apart.
    effect_speaker_sd : float
        Deviation of the effect over speakers (kept within 0 and 0.95).
    seed : int
    """

    speakers: int = 10
    utterances: int = 6
    tokens: int = 20
    pairs: int = 60
    dims: int = 24
    unbalanced: bool = False
    speaker_sd: float = 0.3
    utterance_sd: float = 0.2
    token_sd: float = 0.5
    offset_norm_sd: float = 0.0
    offset_mean: float = 0.0
    speaker_norm_sd: float = 0.0
    offset_speaker_share: float = 0.0
    offset_axes: int = 0
    pair_sd: float = 0.0
    effect: float = 0.0
    effect_speaker_sd: float = 0.0
    seed: int = 0


def simulated_corpus(plan: CorpusPlan) -> tuple[SyllableEmbeddings, UtteranceVectors, pd.DataFrame]:
    """Embeddings of one layer, module vectors and pair table under the plan.

    Notes
    -----
    Types come in near-homophone pairs (2i, 2i + 1) whose means are close; unrelated pairs join types of different pairs. With
    ``effect = 0`` the offsets are independent of everything but the speaker's norm, so the true net decoupling is zero.
    """
    rng = np.random.default_rng([plan.seed, 77])
    n_types = 2 * plan.pairs
    base = rng.standard_normal((plan.pairs, plan.dims))
    apart = np.exp(plan.pair_sd * rng.standard_normal(plan.pairs)) if plan.pair_sd else np.ones(plan.pairs)
    means = np.repeat(base, 2, axis=0) + 0.5 * np.repeat(apart, 2)[:, None] * rng.standard_normal((n_types, plan.dims))
    speaker_part = plan.speaker_sd * rng.standard_normal((plan.speakers, plan.dims))
    popularity = np.ones(n_types)
    if plan.unbalanced:
        popularity = rng.permutation(1.0 / np.arange(1, n_types + 1) ** 0.7)
    rows, utterance_ids, speaker_of_utterance = [], [], []
    for speaker in range(plan.speakers):
        n = int(rng.integers(max(2, plan.utterances // 3), plan.utterances + 1)) if plan.unbalanced else plan.utterances
        chance = popularity.copy()
        if plan.unbalanced and speaker % 2:
            chance[rng.choice(n_types, n_types // 4, replace=False)] = 0
        for _ in range(n):
            utterance = len(utterance_ids)
            utterance_ids.append(f"s{speaker:02d}-u{utterance:04d}")
            speaker_of_utterance.append(speaker)
            rows += [(utterance, speaker, int(kind)) for kind in rng.choice(n_types, plan.tokens, p=chance / chance.sum())]
    utterance, speaker, kind = np.array(rows).T
    speaker_of_utterance = np.array(speaker_of_utterance)
    n_utterances = len(utterance_ids)
    utterance_part = plan.utterance_sd * rng.standard_normal((n_utterances, plan.dims))
    noise = plan.token_sd * rng.standard_normal((len(rows), plan.dims))
    x = means[kind] + speaker_part[speaker] + utterance_part[utterance] + noise

    own = rng.standard_normal((n_utterances, plan.dims))
    if plan.offset_speaker_share:
        common = rng.standard_normal((plan.speakers, plan.dims))[speaker_of_utterance]
        own = np.sqrt(1 - plan.offset_speaker_share) * own + np.sqrt(plan.offset_speaker_share) * common
    if plan.offset_axes:
        axes = np.linalg.qr(rng.standard_normal((plan.dims, plan.offset_axes)))[0]
        own = (own @ axes) @ axes.T * np.sqrt(plan.dims / plan.offset_axes)
    own /= np.sqrt(plan.dims)
    if plan.effect:
        contrast = means - means[np.arange(n_types) ^ 1]
        told = np.zeros((n_utterances, plan.dims))
        np.add.at(told, utterance, contrast[kind])
        told /= np.linalg.norm(told, axis=1, keepdims=True)
        effect = np.full((plan.speakers, 1), plan.effect)
        if plan.effect_speaker_sd:
            effect = np.clip(effect + plan.effect_speaker_sd * rng.standard_normal(effect.shape), 0.0, 0.95)
        effect = effect[speaker_of_utterance]
        own = np.sqrt(1 - effect**2) * own + effect * told
    shared = rng.standard_normal(plan.dims) / np.sqrt(plan.dims)
    log_norm = plan.offset_norm_sd * rng.standard_normal(n_utterances)
    log_norm += plan.speaker_norm_sd * rng.standard_normal(plan.speakers)[speaker_of_utterance]
    offsets = np.exp(log_norm)[:, None] * own + plan.offset_mean * shared

    names = np.array([f"T{code:03d}" for code in range(n_types)])
    tokens = pd.DataFrame(
        {
            "token": np.arange(len(rows)),
            "utterance": np.array(utterance_ids)[utterance],
            "speaker": np.array([f"s{code:02d}" for code in range(plan.speakers)])[speaker],
            "type": names[kind],
            "n_frames": 5,
        }
    )
    norm = np.linalg.norm(x, axis=1)
    frames = UtteranceFrames(
        utterances=tuple(utterance_ids),
        n_frames=np.bincount(utterance, minlength=n_utterances) * 5,
        mean=np.stack([np.bincount(utterance, x[:, d], n_utterances) for d in range(plan.dims)], 1)[:, None, :]
        / np.bincount(utterance, minlength=n_utterances)[:, None, None],
        frame_norm=(np.bincount(utterance, norm, n_utterances) / np.bincount(utterance, minlength=n_utterances))[:, None],
    )
    provenance = {"encoder": {"name": "simulated"}, "pooling": "mean", "unit": "syllable", "configuration_hash": "simulated"}
    embeddings = SyllableEmbeddings(tokens, x[:, None, :].astype(np.float32), (0,), frames, provenance)
    card = SemanticsCard("simulated", "audio", plan.dims, "simulated")
    semantics = UtteranceVectors(tuple(utterance_ids), offsets.astype(np.float32), card)
    near = np.arange(0, n_types, 2)
    other = (near + 2 * rng.integers(1, plan.pairs, plan.pairs)) % n_types
    low, high = np.minimum(near, other), np.maximum(near, other)
    table = pd.concat(
        [
            pd.DataFrame({"type_a": names[near], "type_b": names[near + 1], "relation": "near_homophone"}),
            pd.DataFrame({"type_a": names[low], "type_b": names[high], "relation": "unrelated"}).drop_duplicates(),
        ],
        ignore_index=True,
    )
    table["phone_distance"], table["viseme_distance"], table["edit_class"] = 0.33, 0.33, ""
    return embeddings, semantics, table


def simulated_averages(
    plan: CorpusPlan, settings: SeparationSettings, relation: str = "near_homophone", statistic: str = "net"
) -> list[dict[str, Any]]:
    """Rows of an average over one simulated corpus (``mean_distance``, ``gain``, ``net``), made as those of a real one are.

    Only the averages of one relation are taken, and nothing else of the report, so that thousands of corpora can be.

    Returns
    -------
    list of dict
        Keys as in the separation table.
    """
    state = _simulated_state(plan, settings)
    chosen = [selection for selection in selections(state.pairs, settings) if selection.relation == relation]
    return [row for row in average_rows(state, chosen, {}) if row["statistic"] == statistic]


def simulated_scale_free(plan: CorpusPlan, settings: SeparationSettings) -> list[dict[str, Any]]:
    """The same of the nets of scale-free statistics that the settings name."""
    state = _simulated_state(plan, settings)
    rows = scale_free_rows(state, tokens_in_use(state.pairs, settings), settings)
    return [row for row in rows if row["statistic"].endswith(":net")]


def _simulated_state(plan: CorpusPlan, settings: SeparationSettings) -> LayerVariants:
    embeddings, semantics, table = simulated_corpus(plan)
    pairs = pair_tokens(embeddings.tokens, table, relations=settings.relations, seed=settings.seed)
    vectors = {"module": vectors_in_use("module", semantics, pairs)}
    return LayerVariants(embeddings, 0, "raw", pairs, vectors, settings, Workers(None, 1))


def simulated_cells(
    speakers: int,
    pairs: int,
    deviations: tuple[float, float, float],
    *,
    across: bool = False,
    unbalanced: bool = False,
    truth: float = 0.0,
    rng: np.random.Generator,
) -> tuple[Cells, np.ndarray]:
    """Cells of a crossed design and their values, drawn with given deviations of speaker, type pair and residual.

    Parameters
    ----------
    across : bool
        Cells of two speakers too: a cell of (s, s') holds the mean of both speakers' effects.
    unbalanced : bool
        Half of the cells are missing, unevenly over speakers and type pairs, and the rest hold 1 to 20 token pairs each.
    """
    first, second = np.triu_indices(speakers) if across else (np.arange(speakers), np.arange(speakers))
    dyad, pair = (grid.ravel() for grid in np.meshgrid(np.arange(len(first)), np.arange(pairs), indexing="ij"))
    count = np.full(len(dyad), 4)
    if unbalanced:
        eager, common = rng.uniform(0.3, 1, speakers), rng.uniform(0.4, 1, pairs)
        keep = rng.random(len(dyad)) < np.sqrt(eager[first[dyad]] * eager[second[dyad]]) * common[pair]
        dyad, pair = dyad[keep], pair[keep]
        count = rng.integers(1, 21, len(dyad))
    a = deviations[0] * rng.standard_normal(speakers)
    b = deviations[1] * rng.standard_normal(pairs)
    noise = deviations[2] * rng.standard_normal(len(dyad)) / np.sqrt(count / 4)
    values = truth + (a[first[dyad]] + a[second[dyad]]) / 2 + b[pair] + noise
    return Cells(first[dyad], second[dyad], pair, count), values
