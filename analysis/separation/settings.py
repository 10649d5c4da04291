"""Every choice that a separation score rests on, as plain values that a command line or a preset can carry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.config import check_kinds
from analysis.errors import ConfigurationError

__all__ = ["DISTANCES", "NULLS", "VECTORS", "SeparationSettings"]

#: Distances by name; :mod:`analysis.separation.distances` holds their formulas.
DISTANCES = ("l2", "l2_unit", "mse", "cosine", "angular", "l2_standardised", "l2_whitened")

#: What is done to the vectors before a distance is taken.
VECTORS = ("raw", "utterance_centred", "top_pc_removed")

#: What stands in for the semantic vectors; :mod:`analysis.separation.nulls` makes them.
NULLS = ("random", "shuffled", "constant", "frame_noise")


@dataclass(frozen=True)
class SeparationSettings:
    """What is scored, against what, and how sure one may be of it.

    Attributes
    ----------
    distances : tuple of str
        Any of ``l2``, ``l2_unit``, ``mse``, ``cosine``, ``angular``, ``l2_standardised``, ``l2_whitened``.
    vectors : tuple of str
        ``raw``, ``utterance_centred``, ``top_pc_removed``: the distances are taken on each.
    relations : tuple of str
        Relations of the pair table to score, beside ``same_type``, which needs no pair table; and classes of token pairs of
        near-homophone types (:data:`analysis.phonology.types.PAIR_CLASSES`), shown where they are not scored as near-homophones.
    edit_classes : bool
        Also score near-homophones by what tells them apart (``near_homophone:voicing``, ...).
    viseme_weighted : bool
        Also average near-homophones by how far their lip shapes differ (``near_homophone:viseme_weighted``).
    splits : tuple of str
        ``all``, ``same_utterance``, ``different_utterance``, ``same_text``, ``different_text``, ``same_speaker``,
        ``different_speaker``, ``matched_duration``, ``matched_neighbours``; two joined by ``+`` for both at once. Readings of one
        text, or of texts that differ in one word, are of the same text. The headline and the verdicts are of ``different_text``.
    duration_ratio : float
        Two tokens match in duration when the longer is at most this many times the shorter.
    scale_free : tuple of str
        Scale-free statistics: ``fisher_ratio``, ``d_prime``, ``silhouette``, ``davies_bouldin``, ``abx_error``, ``knn_purity``,
        ``phone_probe``. The between/within ratio is always there.
    abx : tuple of str
        ABX conditions: ``any``, ``within_speaker``, ``across_speaker``, each with tokens of different utterances.
    scale_free_draws : int
        Draws of each null for the scale-free statistics, which cost more than averages do; d' has those of the averages.
    max_tokens_scale_free : int
        Corpora with more tokens of near-homophones are cut to a seeded sample of this size for them.
    neighbours : int
        k of the k-NN purity.
    removed_components : int
        How many principal components ``top_pc_removed`` takes away.
    share : float
        Size of the added vectors: their mean norm over the utterances, as a share of the layer's mean frame norm.
    scale : str
        ``share``: vectors are sized by ``share``. ``as_is``: they are added unscaled, as the released module adds its own.
    fusion : str
        How semantics meet frames: ``add``; ``linear`` and ``paper``, with trained weights; ``concat``.
    fusion_weights : str
        Folder that ``python -m analysis.wav2sem fusion`` wrote: weights of ``linear`` and ``paper`` for each module and, trained
        with the same budget, for each of its nulls.
    nulls : tuple of str
        What stands in for the semantic vectors: any of ``random``, ``shuffled``, ``constant``, ``frame_noise``.
    n_nulls : int
        Draws of each null, from which nets and their intervals are made.
    n_permutations : int
        Shuffles of the permutation test of the headline's split; its p-value cannot fall below ``1 / (n_permutations + 1)``. 0: no test.
    n_permutations_scale_free : int
        The same of ABX errors, on a sample of triples.
    max_pairs_permuted : int
        Token pairs, at most, on a sample of which that test is made.
    random_about : str
        ``mean``: random directions about the module's mean vector, with the sizes of its deviations from it; ``zero``: random
        directions with the norms of the vectors themselves.
    shuffle_within : str
        ``blocks``: texts change places, and so do the voices that vectors tell; ``speaker``: texts change places only with texts
        of the same readers, and voices stay; ``corpus``: as ``blocks``, for modules whose vectors do not tell the speaker.
    interval : str
        ``crossed_t`` (default; ``null_t`` for a net), ``pigeonhole`` or ``speaker_bootstrap``: how intervals of averages are made.
    ci_level : float
        Coverage that the intervals aim at.
    n_bootstrap : int
        Resamples of the bootstraps.
    min_speakers : int
        With fewer, a row has no interval and its note says why.
    min_type_pairs : int
        With fewer pairs of types, a row has no interval and its note says why.
    weak_speakers : int
        Below it, an interval is given with the note that it is weak.
    max_tokens_per_type : int
        Types with more tokens of one kind are cut to a seeded sample of this size before tokens are paired; speakers, and each
        speaker's texts, take turns in it.
    max_type_pairs : int
        Relations with more type pairs are cut to a seeded sample of this size.
    best_layer : bool
        Choose the best layer on one half of the speakers and report it on the other.
    power : float
        Power at which the minimum detectable effect is stated.
    seed : int
        Of everything random here.
    device : str
        ``cpu``, ``cuda`` or ``auto``: where distances are computed.

    Examples
    --------
    >>> SeparationSettings(distances=("l2", "cosine"), n_nulls=99).nulls
    ('random', 'shuffled')
    """

    distances: tuple[str, ...] = ("l2", "l2_unit", "mse", "cosine")
    vectors: tuple[str, ...] = ("raw", "utterance_centred")
    relations: tuple[str, ...] = (
        "near_homophone", "unrelated", "homophone", "synonym", "variant_form", "inflection", "function_word", "unstressed",
        "word_part", "whole_word",
    )  # fmt: skip
    edit_classes: bool = True
    viseme_weighted: bool = True
    splits: tuple[str, ...] = ("all", "same_utterance", "same_text", "different_text")
    duration_ratio: float = 1.25
    scale_free: tuple[str, ...] = ("abx_error", "d_prime", "fisher_ratio", "silhouette")
    abx: tuple[str, ...] = ("any",)
    scale_free_draws: int = 8
    max_tokens_scale_free: int = 3000
    neighbours: int = 10
    removed_components: int = 3
    share: float = 0.5
    scale: str = "share"
    fusion: str = "add"
    fusion_weights: str = ""
    nulls: tuple[str, ...] = ("random", "shuffled")
    n_nulls: int = 20
    n_permutations: int = 999
    n_permutations_scale_free: int = 199
    max_pairs_permuted: int = 20000
    random_about: str = "mean"
    shuffle_within: str = "blocks"
    interval: str = "crossed_t"
    ci_level: float = 0.95
    n_bootstrap: int = 1000
    min_speakers: int = 3
    min_type_pairs: int = 3
    weak_speakers: int = 8
    max_tokens_per_type: int = 100
    max_type_pairs: int = 1000
    best_layer: bool = True
    power: float = 0.8
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_kinds(self, "Separation setting ")
        _check_names("distances", self.distances, DISTANCES)
        _check_names("vectors", self.vectors, VECTORS)
        _check_names("nulls", self.nulls, NULLS)
        _check_names("abx", self.abx, ("any", "within_speaker", "across_speaker"))
        _check_names("interval", (self.interval,), ("crossed_t", "pigeonhole", "speaker_bootstrap"))
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ConfigurationError(
                f"Separation setting device={self.device!r} is not known. Choose auto, cpu, cuda, cuda:1 or mps."
            )
        _check_names("fusion", (self.fusion,), ("add", "linear", "paper", "concat"))
        _check_names("scale", (self.scale,), ("share", "as_is"))
        _check_names("random_about", (self.random_about,), ("mean", "zero"))
        _check_names("shuffle_within", (self.shuffle_within,), ("blocks", "speaker", "corpus"))
        _check_names(
            "scale_free",
            self.scale_free,
            ("fisher_ratio", "d_prime", "silhouette", "davies_bouldin", "abx_error", "knn_purity", "phone_probe"),
        )
        parts = ("all", *(f"{kind}_{what}" for what in ("utterance", "text", "speaker") for kind in ("same", "different")))
        _check_names(
            "splits",
            tuple(part for split in self.splits for part in split.split("+")),
            (*parts, "matched_duration", "matched_neighbours"),
        )
        for name, low, high in (
            ("share", 0.0, 1e6),
            ("ci_level", 0.5, 0.9999),
            ("duration_ratio", 1.0, 1e6),
            ("power", 0.05, 0.9999),
            ("n_nulls", 1, 10**6),
            ("n_permutations", 0, 10**7),
            ("n_permutations_scale_free", 0, 10**7),
            ("max_pairs_permuted", 100, 10**8),
            ("n_bootstrap", 10, 10**7),
            ("neighbours", 1, 10**6),
            ("scale_free_draws", 1, 10**6),
            ("max_tokens_scale_free", 10, 10**9),
            ("removed_components", 1, 10**6),
            ("max_tokens_per_type", 2, 10**9),
            ("max_type_pairs", 1, 10**9),
            ("min_speakers", 2, 10**6),
            ("min_type_pairs", 2, 10**6),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"Separation setting {name}={value!r} is out of range; it must lie in [{low}, {high}].")
        if self.fusion != "add":
            _check_names(f"nulls with fusion={self.fusion!r}", self.nulls, ("random", "shuffled"))
            _check_names(f"vectors with fusion={self.fusion!r}", self.vectors, ("raw", "utterance_centred"))
            plain = tuple(name for name in DISTANCES if name not in ("l2_standardised", "l2_whitened"))
            _check_names(f"distances with fusion={self.fusion!r}", self.distances, plain)
        if self.fusion in ("linear", "paper") and not self.fusion_weights:
            raise ConfigurationError(
                f"The fusion {self.fusion!r} has weights that only a downstream task can train. Train them with "
                "`python -m analysis.wav2sem fusion wav2sem oracle:mean --corpus ... --out DIR` and give --fusion_weights DIR, or "
                "use the fusion 'add' or 'concat'."
            )
        if self.power <= 1 - self.ci_level:
            raise ConfigurationError(
                f"Separation setting power={self.power} is no larger than 1 - ci_level = {1 - self.ci_level:.4g}, the chance of "
                f"finding an effect where there is none. The usual value is 0.8."
            )


def _check_names(setting: str, values: tuple[str, ...], valid: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in valid]
    if unknown:
        raise ConfigurationError(
            f"Separation setting {setting} has unknown value {', '.join(map(repr, unknown))}. Valid: {', '.join(valid)}."
        )
