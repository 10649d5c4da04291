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
from analysis.separation.variants import LayerVariants, added_scale, vectors_in_use
from analysis.wav2sem.types import SemanticsCard, UtteranceVectors

__all__ = [
    "CorpusPlan", "TextPlan", "simulated_averages", "simulated_cells", "simulated_corpus", "simulated_scale_free", "simulated_texts",
]  # fmt: skip


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
    norm = np.bincount(utterance, np.linalg.norm(x, axis=1), n_utterances) / np.bincount(utterance, minlength=n_utterances)
    return _packed(tokens, x, np.array(utterance_ids), utterance, offsets, table, norm)


@dataclass(frozen=True)
class TextPlan:
    """A simulated corpus of sentences: who reads which text, what the words are, and what the vectors go with.

    Attributes
    ----------
    speakers, texts : int
    readers : int
        Speakers who read each text, each once; 0 for all of them.
    repeated : float
        Share of the texts that one more speaker reads.
    cluster : int
        Texts come in clusters of this many that differ in one word, with nearly the same vector.
    families, family_size : int
        Words come in families of near-homophones. Every two words of a family are a pair.
    hubs : bool
        Only pairs of the first word of each family are near-homophones.
    length_sd : float
        Deviation of the logarithm of a text's length, whose median is six tokens.
    dims : int
    speaker_sd, utterance_sd, token_sd : float
        Deviations of what speaker, recording and token add to the word's vector, per dimension.
    noise_sd : float
        Deviation over speakers of the logarithm of ``token_sd``.
    share_power : float
        Speaker r (from 1) reads in proportion to ``r ** -share_power``.
    size_power : float
        The size of a vector goes with the text's length to this power.
    reading_sd : float
        What a reading adds to its text's vector, as a share of it.
    offset_speaker_share : float
        Share of the vectors' variance that all utterances of a speaker have in common.
    offset_axes : int
        Vectors keep to this many directions; 0, to none in particular.
    offset_mean : float
        Size of the direction that all vectors share, against that of what is their own.
    effect : float
        As in :class:`CorpusPlan`.
    seed : int
    """

    speakers: int = 8
    texts: int = 96
    readers: int = 1
    repeated: float = 0.0
    cluster: int = 1
    families: int = 24
    family_size: int = 2
    hubs: bool = False
    length_sd: float = 0.7
    dims: int = 24
    speaker_sd: float = 0.3
    utterance_sd: float = 0.2
    token_sd: float = 0.5
    noise_sd: float = 0.0
    share_power: float = 0.0
    size_power: float = 0.0
    reading_sd: float = 0.1
    offset_speaker_share: float = 0.0
    offset_axes: int = 0
    offset_mean: float = 0.0
    effect: float = 0.0
    seed: int = 0


def simulated_texts(plan: TextPlan) -> tuple[SyllableEmbeddings, UtteranceVectors, pd.DataFrame]:
    """Embeddings of one layer, module vectors and pair table of a corpus of sentences; the token table has a column ``text``.

    Notes
    -----
    Word frequencies follow ``rank ** -0.9``. With ``effect = 0`` a vector goes with its text, its reading and, where asked, with the
    speaker and the text's length, and with nothing that is pronounced: the true net is zero.
    """
    rng = np.random.default_rng([plan.seed, 78])
    n_words = plan.families * plan.family_size
    family = np.arange(n_words) // plan.family_size
    centre = rng.standard_normal((plan.families, plan.dims))
    means = centre[family] + 0.5 * rng.standard_normal((n_words, plan.dims))
    chance = rng.permutation(1.0 / np.arange(1, n_words + 1) ** 0.9)
    chance /= chance.sum()
    sentences: list[np.ndarray] = []
    group: list[int] = []
    while len(sentences) < plan.texts:
        length = max(2, round(6 * float(np.exp(plan.length_sd * rng.standard_normal()))))
        words = rng.choice(n_words, length, p=chance)
        for copy in range(min(plan.cluster, plan.texts - len(sentences))):
            one = words.copy()
            if copy:
                one[rng.integers(length)] = rng.choice(n_words, p=chance)
            sentences.append(one)
            group.append(len(sentences) - 1 if copy == 0 else group[-1])
    eager = np.arange(1, plan.speakers + 1) ** -plan.share_power
    read: list[tuple[int, int]] = []
    for text in range(plan.texts):
        n = min(plan.readers or plan.speakers, plan.speakers) + int(rng.random() < plan.repeated)
        readers = rng.choice(plan.speakers, min(n, plan.speakers), replace=False, p=eager / eager.sum())
        read += [(text, int(speaker)) for speaker in readers]
    order = rng.permutation(len(read))
    text_of, speaker_of = np.array(read)[order].T
    n_utterances = len(read)
    length_of = np.array([len(sentences[text]) for text in text_of])
    kind = np.concatenate([sentences[text] for text in text_of])
    utterance = np.repeat(np.arange(n_utterances), length_of)
    speaker = speaker_of[utterance]
    noise = plan.token_sd * np.exp(plan.noise_sd * rng.standard_normal(plan.speakers))
    x = means[kind] + plan.speaker_sd * rng.standard_normal((plan.speakers, plan.dims))[speaker]
    x = x + plan.utterance_sd * rng.standard_normal((n_utterances, plan.dims))[utterance]
    x = x + noise[speaker][:, None] * rng.standard_normal(x.shape)

    def directions(n: int) -> np.ndarray:
        found = rng.standard_normal((n, plan.dims))
        return found @ axes if plan.offset_axes else found

    axes = np.zeros((0, 0))
    if plan.offset_axes:
        basis = np.linalg.qr(rng.standard_normal((plan.dims, plan.offset_axes)))[0]
        axes = basis @ basis.T * np.sqrt(plan.dims / plan.offset_axes)
    of_text = directions(plan.texts)
    of_text = of_text[np.array(group)] + (0.3 * directions(plan.texts) if plan.cluster > 1 else 0.0)
    own = of_text[text_of] + plan.reading_sd * directions(n_utterances)
    if plan.offset_speaker_share:
        own = np.sqrt(1 - plan.offset_speaker_share) * own
        own = own + np.sqrt(plan.offset_speaker_share) * directions(plan.speakers)[speaker_of]
    own /= np.sqrt(plan.dims)
    partner = family * plan.family_size + (np.arange(n_words) % plan.family_size + 1) % plan.family_size
    if plan.effect:
        away = np.zeros((n_utterances, plan.dims))
        np.add.at(away, utterance, means[kind] - means[partner[kind]])
        away /= np.maximum(1e-12, np.linalg.norm(away, axis=1, keepdims=True))
        own = np.sqrt(1 - plan.effect**2) * own + plan.effect * away
    own = own + plan.offset_mean * rng.standard_normal(plan.dims) / np.sqrt(plan.dims)
    offsets = own * (length_of[:, None] / 6.0) ** plan.size_power

    words = np.array([f"W{code:03d}" for code in range(n_words)])
    ids = np.array([f"u{number:04d}" for number in range(n_utterances)])
    spelled = [" ".join(words[sentence]) for sentence in sentences]
    tokens = pd.DataFrame(
        {
            "token": np.arange(len(kind)),
            "utterance": ids[utterance],
            "speaker": np.array([f"s{code:02d}" for code in range(plan.speakers)])[speaker],
            "type": words[kind],
            "text": np.array(spelled, dtype=object)[text_of][utterance],
            "n_frames": 5,
        }
    )
    first, second = np.nonzero(np.triu(family[:, None] == family[None, :], 1))
    if plan.hubs:
        first, second = (side[first % plan.family_size == 0] for side in (first, second))
    other = rng.integers(0, n_words, len(first))
    apart = family[other] != family[first]
    unrelated = np.unique(np.sort(np.stack([first[apart], other[apart]], 1), axis=1), axis=0)
    table = pd.concat(
        [
            pd.DataFrame({"type_a": words[first], "type_b": words[second], "relation": "near_homophone"}),
            pd.DataFrame({"type_a": words[unrelated[:, 0]], "type_b": words[unrelated[:, 1]], "relation": "unrelated"}),
        ],
        ignore_index=True,
    )
    # the size of frames is given, not drawn with the words: gains are in its units
    norm = np.full(n_utterances, np.sqrt(plan.dims * (1.25 + plan.speaker_sd**2 + plan.utterance_sd**2 + plan.token_sd**2)))
    return _packed(tokens, x, ids, utterance, offsets, table, norm)


def _packed(
    tokens: pd.DataFrame,
    x: np.ndarray,
    ids: np.ndarray,
    utterance: np.ndarray,
    offsets: np.ndarray,
    table: pd.DataFrame,
    frame_norm: np.ndarray,
) -> tuple[SyllableEmbeddings, UtteranceVectors, pd.DataFrame]:
    """Vectors (N, D) of tokens of utterances, offsets (U, D) and norms (U,) of these, as what :func:`score` takes."""
    n, dims = len(ids), x.shape[1]
    size = np.bincount(utterance, minlength=n)
    sums = np.stack([np.bincount(utterance, x[:, axis], n) for axis in range(dims)], 1)
    frames = UtteranceFrames(
        utterances=tuple(ids.tolist()),
        n_frames=size * 5,
        mean=sums[:, None, :] / size[:, None, None],
        frame_norm=frame_norm[:, None],
    )
    provenance = {"encoder": {"name": "simulated"}, "pooling": "mean", "unit": "syllable", "configuration_hash": "simulated"}
    embeddings = SyllableEmbeddings(tokens, x[:, None, :].astype(np.float32), (0,), frames, provenance)
    card = SemanticsCard("simulated", "audio", dims, "simulated")
    semantics = UtteranceVectors(tuple(ids.tolist()), offsets.astype(np.float32), card)
    return embeddings, semantics, table.assign(phone_distance=0.33, viseme_distance=0.33, edit_class="")


def simulated_averages(
    plan: CorpusPlan | TextPlan, settings: SeparationSettings, relation: str = "near_homophone", statistic: str = "net"
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


def simulated_scale_free(plan: CorpusPlan | TextPlan, settings: SeparationSettings) -> list[dict[str, Any]]:
    """The same of the nets of scale-free statistics that the settings name."""
    state = _simulated_state(plan, settings)
    rows = scale_free_rows(state, tokens_in_use(state.pairs, settings), settings)
    return [row for row in rows if row["statistic"].endswith(":net")]


def _simulated_state(plan: CorpusPlan | TextPlan, settings: SeparationSettings) -> LayerVariants:
    embeddings, semantics, table = simulated_texts(plan) if isinstance(plan, TextPlan) else simulated_corpus(plan)
    pairs = pair_tokens(embeddings.tokens, table, relations=settings.relations, seed=settings.seed)
    vectors = {"module": vectors_in_use("module", semantics, pairs)}
    scales = {"module": added_scale(embeddings, semantics, 0, settings)}
    return LayerVariants(embeddings, 0, "raw", pairs, vectors, scales, settings, Workers(None, 1))


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
