"""One layer with and without semantics, and with every null in their place: sums of distances over cells of token pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import SeparationError
from analysis.separation import nulls as null_makers
from analysis.separation.distances import Added, Moments, PairGeometry, Whitening, mapped, principal_components
from analysis.separation.dprime import DPrime
from analysis.separation.fusions import module_fusion
from analysis.separation.headline import Headline
from analysis.separation.permutation import PairSample, sampled_pairs, shuffle_test
from analysis.separation.relations import TokenPairs, speaker_of_utterance, split_mask
from analysis.separation.selections import Selection
from analysis.separation.settings import SeparationSettings
from analysis.separation.threads import Workers

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.wav2sem.fusion import AffineFusion
    from analysis.wav2sem.types import UtteranceVectors

__all__ = ["LayerVariants", "added_scale", "vectors_in_use"]

#: Draws that tell how cells vary by chance alone; their mean is what counts, and more of them hardly move it.
REFERENCE_DRAWS = 10

#: d' and its value in each cell (:meth:`analysis.separation.dprime.DPrime.of`).
_DPrimeFound = tuple[float, np.ndarray]
#: Sums over cells by distance, and d' by distance where it was taken.
_Draw = tuple[dict[str, np.ndarray], dict[str, _DPrimeFound]]


def vectors_in_use(name: str, given: UtteranceVectors, pairs: TokenPairs) -> np.ndarray:
    """Semantic vectors in the order of the utterances in use, shape (U, S), float64.

    Raises
    ------
    SeparationError
        If an utterance has none, or one is not finite.
    """
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


def added_scale(embeddings: SyllableEmbeddings, given: UtteranceVectors, layer: int, settings: SeparationSettings) -> float:
    """Factor on the semantic vectors of one layer: what scores, maps and histograms all take.

    Notes
    -----
    With the scale ``share``, the mean norm of the added vectors over the utterances that have a token is ``settings.share`` times
    the layer's mean frame norm. With ``as_is`` the factor is 1: the released module adds its vectors unscaled.
    """
    from analysis.wav2sem.fusion import semantic_scale

    if settings.scale == "as_is":
        return 1.0
    position = {utterance: row for row, utterance in enumerate(given.utterances)}
    scored = [position[name] for name in embeddings.tokens["utterance"].astype(str).unique() if name in position]
    frame_norm = mean_frame_norm(embeddings, layer)
    return semantic_scale(np.asarray(given.vectors, np.float64)[scored], share=settings.share, frame_norm=frame_norm)


def mean_frame_norm(embeddings: SyllableEmbeddings, layer: int) -> float:
    """Mean norm of the frames of one layer."""
    column = embeddings.layers.index(layer)
    norms = np.asarray(embeddings.frames.frame_norm, dtype=np.float64)[:, column]
    return float(np.average(norms, weights=np.asarray(embeddings.frames.n_frames, dtype=np.float64)))


class LayerVariants:
    """Every variant of one layer under one treatment of its vectors.

    Parameters
    ----------
    embeddings : SyllableEmbeddings
    layer : int
    kind : str
        ``raw``; ``utterance_centred``: less the mean frame of the token's utterance; ``top_pc_removed``: less the corpus mean
        and the first principal components of the tokens *without* semantics.
    pairs : TokenPairs
    semantics : mapping of str to ndarray, shape (U, S)
        By module, from :func:`vectors_in_use`.
    scales : mapping of str to float
        Factor on the vectors of each module, from :func:`added_scale`.
    settings : SeparationSettings
    workers : Workers
        What draws of nulls are handed to.

    Attributes
    ----------
    base : dict
        Columns that all rows of this layer and treatment share.
    x : ndarray, shape (n, D)
        Vectors of the tokens in use, as treated.
    offsets : dict of str to ndarray, shape (U, D)
        What each module adds to every token of an utterance.
    fusions : dict of str to ModuleFusion
        The maps of each module and its nulls, where vectors are not simply added.
    semantics : mapping of str to ndarray, shape (U, S)
        The vectors of each module, as given.
    sums : dict of (variant, distance) to ndarray, shape (cells,)
        Sum over each cell's token pairs; ``without`` and the modules.
    draws : dict of (null, module, distance) to ndarray, shape (draws, cells)
    permuted : dict of (module, distance) to ndarray, shape (1 + draws, P)
        Means over the sample of each type pair of the headline's split: with the module, then under each shuffle.
    null_vectors : dict of str to NullVectors
        What the nulls of each module are drawn from.
    d_prime : DPrime or None
        For raw vectors, if d' is asked for.
    d_primes : dict of (variant, module that a null stands in for or "", distance) to (ndarray, ndarray)
        d' of each draw, shape (draws,), and its value in each cell, shape (draws, cells), of the first :data:`REFERENCE_DRAWS`
        draws; without and with a module there is one.
    """

    def __init__(
        self,
        embeddings: SyllableEmbeddings,
        layer: int,
        kind: str,
        pairs: TokenPairs,
        semantics: Mapping[str, np.ndarray],
        scales: Mapping[str, float],
        settings: SeparationSettings,
        workers: Workers,
    ) -> None:
        self.pairs, self.settings, self.kind, self.layer, self.workers = pairs, settings, kind, layer, workers
        self.base = _shared_columns(embeddings, layer, kind, settings)
        x = embeddings.layer(layer)[pairs.rows].astype(np.float64)
        frames = embeddings.frames
        column = embeddings.layers.index(layer)
        n_frames = np.asarray(frames.n_frames, dtype=np.float64)
        if settings.fusion == "add":
            self.fusions = {}
            offsets = {name: _offsets(vectors, x.shape[1], scales[name], settings) for name, vectors in semantics.items()}
        else:
            place = {"layer": layer, "encoder": _encoder_of(embeddings)}
            self.fusions = {
                name: module_fusion(name, vectors, pairs.utterances, x.shape[1], settings, scale=scales[name], **place)
                for name, vectors in semantics.items()
            }
            offsets = {name: self.fusions[name].own.offsets(vectors) for name, vectors in semantics.items()}
        self.semantics = semantics
        self._axes = None
        if kind == "utterance_centred":
            position = {utterance: row for row, utterance in enumerate(frames.utterances)}
            means = np.asarray(frames.mean[:, column], dtype=np.float64)[[position[name] for name in pairs.utterances]]
            x = x - means[pairs.utterance]
            # The utterance's mean holds the added vector whole, so centring takes it out again.
            offsets = {name: np.zeros_like(vectors) for name, vectors in offsets.items()}
        if settings.fusion == "concat":
            # all variants in one space, so that the mean over dimensions in `mse` is over the same dimensions
            sizes = {vectors.shape[1] for vectors in semantics.values()}
            if len(sizes) > 1:
                raise SeparationError(
                    f"Modules of {', '.join(map(str, sorted(sizes)))} dims cannot be scored side by side under the fusion 'concat': "
                    "their fused vectors have different dims. Score one at a time."
                )
            x = next((fusion.own.frames(x) for fusion in self.fusions.values()), x)
        if kind == "top_pc_removed":
            mean, self._axes = principal_components(x, settings.removed_components)
            x = self._project(x - mean)
        tokens = embeddings.tokens
        self.token_frames = tokens["n_frames"].to_numpy()[pairs.rows] if "n_frames" in tokens else np.ones(len(pairs.rows))
        at = {utterance: row for row, utterance in enumerate(frames.utterances)}
        self.utterance_frames = n_frames[[at[name] for name in pairs.utterances]]
        self.x, self.offsets = x, offsets
        self.device = settings.device
        self.speaker_of_utterance = speaker_of_utterance(pairs)
        phone = "nucleus" if "nucleus" in tokens else "type"
        self.nucleus = tokens[phone].astype(str).to_numpy()[pairs.rows]
        self.d_prime = DPrime(pairs) if "d_prime" in settings.scale_free and kind == "raw" else None
        self.d_primes: dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]] = {}
        self.sums: dict[tuple[str, str], np.ndarray] = {}
        self.draws: dict[tuple[str, str, str], np.ndarray] = {}
        self.split_permuted = Headline.of(settings).split
        self.permuted: dict[tuple[str, str], np.ndarray] = {}
        self.null_vectors = {name: self._null_vectors(vectors) for name, vectors in self._added().items()}
        self._compute()

    @cached_property
    def sample(self) -> PairSample | None:
        """Token pairs of the headline's split that are permuted; drawn only where something is."""
        headline_cells = split_mask(self.pairs.cell_atom, self.split_permuted)
        return sampled_pairs(self.pairs, headline_cells, self.settings.max_pairs_permuted, self.settings.seed)

    def _added(self) -> Mapping[str, np.ndarray]:
        """What nulls take the place of: semantic vectors before a fusion with weights, otherwise what is added to every token."""
        return self.semantics if self.fusions else {name: vectors for name, vectors in self.offsets.items() if vectors.any()}

    def _null_vectors(self, vectors: np.ndarray) -> null_makers.NullVectors:
        return null_makers.NullVectors(
            vectors,
            self.speaker_of_utterance,
            self.pairs.text_of_utterance,
            self.utterance_frames,
            within=self.settings.shuffle_within,
        )

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        return vectors if self._axes is None else vectors - (vectors @ self._axes.T) @ self._axes

    def _compute(self) -> None:
        settings = self.settings
        plain = tuple(name for name in settings.distances if name not in ("l2_standardised", "l2_whitened"))
        spaces: list[tuple[tuple[str, ...], Any]] = [(plain, None)] if plain else []
        whitening = Whitening(self.x)
        spaces += [((name,), whitening.matrix(name)) for name in settings.distances if name not in plain]
        for names, matrix in spaces:
            geometry = PairGeometry(mapped(self.x, matrix), self.pairs, settings.device)
            alone = geometry.pair_distances(names)
            self._keep(geometry, "without", alone)
            for module in self.fusions:
                self._fused(geometry, module, names)
            for module, vectors in self.offsets.items():
                if module in self.fusions:
                    continue
                if not vectors.any():
                    self._keep(geometry, module, alone)
                    continue
                added = geometry.added(mapped(self._project(vectors), matrix), names)
                self._keep(geometry, module, added.pair_distances())
                self._draw_nulls(geometry, module, vectors, added, names, matrix)
                self._permute(module, vectors, names, matrix)

    def _keep(self, geometry: PairGeometry, variant: str, distances: Mapping[str, Any]) -> None:
        for name, values in distances.items():
            self.sums[variant, name] = geometry.cell_sums(values)
            if self.d_prime is not None:
                value, linear = self.d_prime.of(self.sums[variant, name], geometry.cell_sums(values**2))
                self.d_primes[variant, "", name] = np.array([value]), linear[None]

    def _drawn(self, added: Added, permutation: np.ndarray | None = None) -> _Draw:
        if self.d_prime is None:
            return added.sums(permutation), {}
        return self._with_d_prime(added.moments(permutation))

    def _with_d_prime(self, moments: Moments) -> _Draw:
        if self.d_prime is None:
            return moments.sums, {}
        return moments.sums, {name: self.d_prime.of(moments.sums[name], moments.squares[name]) for name in moments.sums}

    def _keep_draws(self, null: str, module: str, drawn: Sequence[_Draw]) -> None:
        for name in drawn[0][0]:
            self.draws[null, module, name] = np.stack([sums[name] for sums, _ in drawn])
            if self.d_prime is not None:
                found = [d_primes[name] for _, d_primes in drawn]
                linear = np.stack([linear for _, linear in found[:REFERENCE_DRAWS]])
                self.d_primes[f"null:{null}", module, name] = np.array([value for value, _ in found]), linear

    def _draw_nulls(
        self, geometry: PairGeometry, module: str, vectors: np.ndarray, added: Added, names: tuple[str, ...], matrix: Any
    ) -> None:
        settings, pairs = self.settings, self.pairs

        def with_added(made: np.ndarray) -> Added:
            return geometry.added(mapped(self._project(made), matrix), names)

        made_by = self.null_vectors[module]
        for null in settings.nulls:
            rng = np.random.default_rng([settings.seed, self.layer, *map(ord, null)])
            repeats = 1 if null == "constant" else settings.n_nulls
            if null == "frame_noise":
                # one at a time: each draw is as large as the corpus
                drawn = []
                for _ in range(repeats):
                    noise = null_makers.frame_noise(vectors, pairs.utterance, self.token_frames, rng)
                    drawn.append(self._with_d_prime(geometry.replaced(mapped(self.x + self._project(noise), matrix), names)))
            elif null == "constant":
                drawn = [self._drawn(with_added(null_makers.constant(vectors)))]
            else:
                # a few at a time: all draws of a large corpus would be several copies of its vectors
                drawn = []
                for begin in range(0, repeats, few := 2 * self.workers.n):
                    made = made_by.draws(null, min(few, repeats - begin), rng, settings.random_about)
                    drawn += self.workers.map(lambda one: self._drawn(with_added(one)), made)
            self._keep_draws(null, module, drawn)

    def _permute(self, module: str, vectors: np.ndarray, names: tuple[str, ...], matrix: Any) -> None:
        """Many shuffles on a sample of the token pairs of the headline's split."""
        settings = self.settings
        if "shuffled" not in settings.nulls or not settings.n_permutations or self.sample is None:
            return
        found = shuffle_test(
            names,
            mapped(self.x, matrix),
            vectors,
            self.null_vectors[module],
            self.pairs,
            self.sample,
            lambda made: mapped(self._project(made), matrix),
            settings.n_permutations,
            np.random.default_rng([settings.seed, self.layer, 31]),
            self.workers,
        )
        self.permuted |= {(module, name): values for name, values in found.items()}

    def permuted_averages(self, selection: Selection, module: str, distance: str) -> np.ndarray | None:
        """The average with the module and under each shuffle, shape (1 + draws,), on the sample; None where none was permuted."""
        if (module, distance) not in self.permuted or selection.split != self.split_permuted:
            return None
        weights = np.bincount(selection.cells.type_pair, selection.weights, len(self.pairs.type_pairs))
        return self.permuted[module, distance] @ weights[self.sample.type_pair]

    def _fused(self, geometry: PairGeometry, module: str, names: tuple[str, ...]) -> None:
        """A module and its nulls, each through its own map: trained with its own vectors, on the same budget."""
        settings, fusion = self.settings, self.fusions[module]

        def mapped_frames(one: AffineFusion) -> PairGeometry:
            return geometry if one.outer is None else PairGeometry(one.frames(self.x), self.pairs, settings.device)

        own = mapped_frames(fusion.own)
        if not self.offsets[module].any():
            self._keep(own, module, own.pair_distances(names))
            return
        self._keep(own, module, own.added(self.offsets[module], names).pair_distances())
        for null in settings.nulls:
            rng = np.random.default_rng([settings.seed, self.layer, *map(ord, null)])
            maps, made = fusion.nulls[null].maps, list(fusion.nulls[null].vectors)
            if not made:
                made = self.null_vectors[module].draws(null, settings.n_nulls, rng, settings.random_about)
            places = [(mapped_frames(one), one) for one in maps]
            self._keep_draws(null, module, self._through(places, made, names))

    def _through(
        self, places: Sequence[tuple[PairGeometry, AffineFusion]], made: Sequence[np.ndarray], names: tuple[str, ...]
    ) -> list[_Draw]:
        """Each draw through its own map; where there are more draws than maps, those take turns."""

        def through(task: tuple[int, np.ndarray]) -> _Draw:
            geometry, one = places[task[0] % len(places)]
            return self._drawn(geometry.added(one.offsets(task[1]), names))

        return self.workers.map(through, enumerate(made))


def _encoder_of(embeddings: SyllableEmbeddings) -> str:
    """``name@revision``; empty where the embeddings do not say."""
    card = embeddings.provenance.get("encoder", {})
    known = isinstance(card, Mapping) and card.get("name") and card.get("revision")
    return f"{card['name']}@{card['revision']}" if known else ""


def _shared_columns(embeddings: SyllableEmbeddings, layer: int, kind: str, settings: SeparationSettings) -> dict[str, Any]:
    provenance = embeddings.provenance
    card = provenance.get("encoder", {})
    return {
        "encoder": str(card.get("name", "") if isinstance(card, Mapping) else card),
        "layer": layer,
        "pooling": str(provenance.get("pooling", "mean")),
        "unit": str(provenance.get("unit", "")),
        "vectors": kind,
        "ci_level": settings.ci_level,
        "seed": settings.seed,
    }


def _offsets(vectors: np.ndarray, dims: int, scale: float, settings: SeparationSettings) -> np.ndarray:
    """What fusion adds to every frame of each utterance, shape (U, D)."""
    from analysis.wav2sem.fusion import fuse

    zeros = np.zeros((len(vectors), dims))
    return np.asarray(fuse(zeros, vectors, mode=settings.fusion, scale=scale, seed=settings.seed), dtype=np.float64)
