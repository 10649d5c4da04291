"""The stages in order: speech and transcripts in, a report out."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from analysis.alignment import quality_table
from analysis.config import cache_folder, no_such_setting
from analysis.corpus.utterance import Corpus, Utterance
from analysis.encoders import check_encoder
from analysis.engine import available_cores, beside
from analysis.errors import ConfigurationError, CorpusError, Failure, Ledger, SemanticsError, SeparationError
from analysis.report.assembly import EncoderRun, assemble, write_syllables
from analysis.report.document import Report
from analysis.report.maps import rows_on_the_map, start_map
from analysis.settings import DecoupleConfig, Settings

if TYPE_CHECKING:
    from analysis.alignment import Aligned
    from analysis.embeddings import EmbeddingStore
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.encoders.types import Encoder
    from analysis.phonology.tables import TokenTable
    from analysis.wav2sem.types import Semantics, UtteranceVectors

__all__ = ["run"]

log = logging.getLogger(__name__)

#: By layer, frames of the tokens, shape (frames, dims) each, in the order of the token table.
_Frames = dict[int, list[np.ndarray]]


def run(config: DecoupleConfig | None = None, *, write: bool = True, **settings: Unpack[Settings]) -> Report:
    """The report of one analysis, from audio to verdict.

    Parameters
    ----------
    config : DecoupleConfig, optional
        The defaults analyse the demo corpus with the bundled encoder and the bundled Wav2Sem module.
    write : bool
        Write the report folder; False only returns the report.
    **settings
        Fields of the configuration to change, as in ``run(encoder="mfcc", unit="word", separation={"n_nulls": 99})``. All of
        them, with their defaults, are in the signature; :class:`analysis.DecoupleConfig` explains each.

    Raises
    ------
    AnalysisError
        If the request cannot be met: no such corpus or encoder, too few pairs. One bad recording never raises: it is a row
        in ``report.failures`` (unless ``strict``).
    """
    from analysis.phonology import from_corpus, tables
    from analysis.separation import rows_to_score

    config = _with(config or DecoupleConfig(), settings)
    _check(config)
    started = datetime.now(UTC)
    ledger = Ledger(config.strict)
    stored = None
    if config.vectors:
        config, stored = _stored(config, ledger)
    else:
        for name in config.encoder:  # what cannot be loaded must not cost hours of alignment first
            check_encoder(name, device=config.device, dtype=config.dtype, revision=config.revision)

    corpus = _read_corpus(config, ledger)
    if write:
        _claim(output_folder(config, corpus.name))
    modules = _modules(config)
    if stored is not None:
        quality, tokens = quality_table([]), tokens_of(stored.tokens, corpus, ledger)
        pairs = _pairs(config, corpus, tables.TokenTable(tokens, inventory=_inventory_of(config)), ledger)
        embed = partial(_chosen, stored)
    else:
        aligned = _align(config, corpus, ledger)
        spoken = from_corpus.syllables(
            corpus, aligned, unit=config.unit, lexicon=config.lexicon, inventory=config.inventory, strict=config.strict
        )
        ledger.add(spoken.failures[len(aligned.failures) :])
        pairs = _pairs(config, corpus, spoken, ledger)
        quality, tokens = aligned.quality, spoken.plain()
        embed = partial(_extract, config, corpus, next(iter(aligned.values())).source, ledger, pairs)
    scored, notes = _scored(tokens, pairs), []
    if stored is not None:  # vectors that no score looks at stay on disk
        rows, notes = rows_to_score(scored, pairs, config.separation)
        scored = scored.iloc[rows].reset_index(drop=True)
    # Maps and figures are made in a process beside this one, where there are cores for it.
    with beside(config.workers or available_cores()) as start:
        runs = []
        for name in config.encoder:
            embeddings, found, frames = embed(name, scored, modules)
            lost = len(scored) - len(embeddings)
            require_pairs(name, embeddings, pairs, len(scored), ledger)
            embeddings, frames, drawn = _sampled(config, embeddings, frames, pairs)
            asked = lost + len(embeddings)
            semantics = _semantics(modules, found, corpus, embeddings, ledger)
            embeddings, frames = _with_vectors(embeddings, frames, semantics, ledger)
            require_pairs(name, embeddings, pairs, asked, ledger)
            runs.append(_analyse(config, name, embeddings, semantics, pairs, frames, [*notes, *drawn], ledger, start))
        report = assemble(config, corpus, quality, tokens, runs, ledger.failures, started)
        if write:
            _write(config, report, runs, start)
    return report


def _with_keywords() -> inspect.Signature:
    """The signature of :func:`run` with every setting, its annotation and its default: what completion and help show."""
    signature = inspect.signature(run)
    keywords = [one for one in inspect.signature(DecoupleConfig).parameters.values() if one.name not in signature.parameters]
    defaults = DecoupleConfig()
    named = [one.replace(kind=one.KEYWORD_ONLY, default=getattr(defaults, one.name)) for one in keywords]
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    return signature.replace(parameters=[*own, *named])


setattr(run, "__signature__", _with_keywords())  # noqa: B010  (functions are not typed as having one)


def _with(config: DecoupleConfig, settings: Mapping[str, Any]) -> DecoupleConfig:
    if not isinstance(config, DecoupleConfig):
        raise ConfigurationError(f"run: config is a {type(config).__name__}; give DecoupleConfig(...), or settings by name.")
    names = {item.name for item in fields(DecoupleConfig)}
    for name in settings:
        if name not in names:
            raise no_such_setting(name, DecoupleConfig)
    return replace(config, **settings)


def _check(config: DecoupleConfig) -> None:
    """Raise for lists and packages that are not there, before anything is aligned."""
    from importlib.util import find_spec

    from analysis.phonology import load_lexicon, load_pairs

    load_lexicon(config.lexicon, inventory=config.inventory)
    if config.pairs:
        load_pairs(config.pairs, lexicon=config.lexicon, inventory=config.inventory, threshold=config.threshold)
    if config.projection.method == "pacmap" and find_spec("pacmap") is None:
        raise ConfigurationError("The projection 'pacmap' needs the package pacmap: pip install pacmap.")


def output_folder(config: DecoupleConfig, corpus_name: str) -> Path:
    """Where the report of this run goes."""
    return Path(config.out) if config.out else Path("reports") / corpus_name


def _claim(folder: Path) -> None:
    """Make the report's folder, and know that it can be written to before hours of work."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"The report cannot be written to {folder}: {error.strerror}. Choose another folder with --out."
        ) from error


# ---------------------------------------------------------------------------------------------------------------- bookkeeping


def _stage(title: str) -> Callable[[str], None]:
    """Say that a stage begins; the returned function says what came of it and how long it took."""
    began = time.perf_counter()
    log.info("%s ...", title)
    return lambda outcome: log.info("%s: %s (%.1f s)", title, outcome, time.perf_counter() - began)


# --------------------------------------------------------------------------------------------------------------------- stages


def _read_corpus(config: DecoupleConfig, ledger: Ledger) -> Corpus:
    from analysis.corpus import open_corpus

    done = _stage("Corpus")
    corpus = open_corpus(config.corpus, speaker_level=config.speaker_level, speaker_pattern=config.speaker_pattern)
    ledger.add(corpus.failures)
    if not corpus.utterances:
        reasons = "".join(f"\n  {failure.item}: {failure.reason}" for failure in corpus.failures[:5])
        raise CorpusError(
            f"No utterance of {config.corpus} can be used.{reasons}\nGive audio that libsndfile reads and a transcript for each."
        )
    seconds = sum(utterance.duration for utterance in corpus)
    speakers = len({utterance.speaker for utterance in corpus})
    lost = sum(failure.severity == "error" for failure in corpus.failures)
    kind = "synthetic utterances" if corpus.synthetic else "utterances"
    done(f"{len(corpus)} {kind} by {speakers} speakers, {seconds / 60:.1f} minutes, {lost} not usable")
    log.info("Speakers' names come from %s.", corpus.speakers_from)
    return corpus


def _align(config: DecoupleConfig, corpus: Corpus, ledger: Ledger) -> Aligned:
    """The alignments within the quality limits."""
    from analysis.alignment import align

    done = _stage("Alignment")
    options = config.aligner_options | ({"folder": config.alignments} if config.alignments else {})
    aligned = align(
        corpus,
        "textgrid" if config.alignments else config.aligner,
        options=options,
        lexicon=config.lexicon,
        inventory=config.inventory,
        workers=config.workers,
        device=config.device,
        keep_marked=config.keep_marked,
        strict=config.strict,
    )
    ledger.add(aligned.failures)
    failed, marked = len(corpus) - len(aligned.quality), int(aligned.quality["marked"].sum())
    done(f"{len(aligned)} aligned by {aligned.source}, {failed} failed, {marked} beyond the quality limits")
    return aligned


@dataclass(frozen=True)
class _Stored:
    """A store of embeddings, of which nothing but the token table is read yet."""

    store: EmbeddingStore
    tokens: pd.DataFrame
    layers: Sequence[int]


def _stored(config: DecoupleConfig, ledger: Ledger) -> tuple[DecoupleConfig, _Stored]:
    """The token table of a store, and the configuration with what the store says of itself."""
    from analysis.embeddings import EmbeddingStore
    from analysis.phonology import with_words

    done = _stage(f"Tokens of {config.vectors}")
    store = EmbeddingStore(Path(config.vectors or ""), trust=config.trust_store)
    ledger.add(store.failures())
    held = store.layers
    layers = store.numbers({"all": held, "last": held[-1:]}.get(config.layers) or config.layer_numbers())
    tokens = store.tokens()
    if "word_class" not in tokens:  # written by an earlier version
        tokens = with_words(tokens, _inventory_of(config))
    provenance = store.open()["configuration"]
    told = {"unit": provenance["unit"], "pooling": provenance["pooling"], "slicing": provenance["slicing"]}
    done(f"{len(tokens)} tokens of {provenance['encoder']['name']}")
    return replace(config, encoder=[provenance["encoder"]["name"]], **told), _Stored(store, tokens, layers)


def _chosen(
    stored: _Stored, name: str, tokens: pd.DataFrame, modules: Mapping[str, Semantics]
) -> tuple[SyllableEmbeddings, dict[str, UtteranceVectors], _Frames]:
    """The embeddings of these tokens, as :func:`_extract` would leave them; no module's vectors and no frames."""
    from analysis.embeddings import SyllableEmbeddings

    done = _stage(f"Vectors of {stored.store.folder}")
    rows = np.flatnonzero(stored.tokens["token"].isin(tokens["token"]))
    found = SyllableEmbeddings.of_store(stored.store, stored.layers, rows)
    done(f"{len(rows)} of {len(stored.tokens)} tokens, layers {', '.join(map(str, found.layers))}")
    return replace(found, tokens=stored.tokens.iloc[rows].reset_index(drop=True)), {}, {}


def _sampled(
    config: DecoupleConfig, embeddings: SyllableEmbeddings, frames: _Frames, pairs: pd.DataFrame
) -> tuple[SyllableEmbeddings, _Frames, list[str]]:
    """The tokens that scores look at, and what was drawn in words; everything as it is where nothing is drawn."""
    from analysis.separation import rows_to_score

    rows, notes = rows_to_score(embeddings.tokens, pairs, config.separation)
    if len(rows) == len(embeddings):
        return embeddings, frames, notes
    return embeddings.select(rows), {layer: [of_layer[row] for row in rows] for layer, of_layer in frames.items()}, notes


def tokens_of(stored: pd.DataFrame, corpus: Corpus, ledger: Ledger) -> pd.DataFrame:
    """The stored tokens, of utterances of the corpus alone; a warning where utterances have none."""
    if not len(stored):
        lost = [failure for failure in ledger.failures if failure.severity == "error"]
        first = f" The first failure, {lost[0].item}: {lost[0].reason} {lost[0].remedy}" if lost else ""
        raise CorpusError(f"The store holds not one vector.{first}")
    known = {utterance.id for utterance in corpus}
    ours = stored["utterance"].isin(known)
    tokens = stored if ours.all() else stored[ours].reset_index(drop=True)
    if tokens.empty:
        raise CorpusError(
            f"The stored vectors and the corpus {corpus.name} share no utterance: the store holds "
            f"{stored['utterance'].iloc[0]!r}, the corpus {corpus.utterances[0].id!r}. Name the corpus that was extracted."
        )
    silent = sorted(known - set(tokens["utterance"]))
    if silent:
        reason = f"The store holds no token of {len(silent)} of the {len(corpus)} utterances, such as {silent[0]!r}."
        remedy = "failures.csv in the store's folder says why; where the corpus has grown since, extract it again."
        ledger.add([Failure("embeddings", corpus.name, reason, remedy, "warning")])
    return tokens


def _pairs(config: DecoupleConfig, corpus: Corpus, tokens: TokenTable, ledger: Ledger) -> pd.DataFrame:
    """The pair table with what its near-homophones are made of, and the classes that are scored."""
    from analysis.phonology import near_homophones
    from analysis.phonology.composition import count_scored

    done = _stage(f"{config.unit.capitalize()}s and near-homophones")
    pairs = near_homophones(
        tokens,
        config.pairs,
        threshold=config.threshold,
        pairs_of=config.pairs_of,
        min_tokens=config.min_tokens,
        max_pairs=config.max_pairs,
        lexicon=config.lexicon,
        inventory=config.inventory,
        seed=config.seed,
        min_type_pairs=config.separation.min_type_pairs,
        min_speakers=config.separation.min_speakers,
        corpus=corpus.name,
    )
    ledger.add(pairs.failures)
    scored, near = count_scored(pairs), int((pairs["relation"] == "near_homophone").sum())
    of = "" if scored == near else f" of {near}"
    done(f"{len(tokens)} tokens of {tokens['type'].nunique()} types, {scored}{of} near-homophone pairs scored")
    return pairs.plain()


def _scored(tokens: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The tokens whose types stand in a pair."""
    types = set(pairs["type_a"]) | set(pairs["type_b"])
    return tokens[tokens["type"].isin(types)].reset_index(drop=True)


def _inventory_of(config: DecoupleConfig) -> str:
    """The inventory in which stored tokens are written: that of the settings, as when they were aligned."""
    from analysis.alignment.pronunciation import find_lexicon
    from analysis.phonology.from_corpus import inventory_of_tokens

    return inventory_of_tokens(find_lexicon(config.lexicon, config.inventory)[1])


def _modules(config: DecoupleConfig) -> dict[str, Semantics]:
    """Sources of semantic vectors by variant.

    Asked for before anything is aligned, as the weights of their fusions are: what is missing must not cost hours first.
    """
    from analysis.wav2sem import load_semantics
    from analysis.wav2sem.fusion import TRAINED_MODES, trained_fusions

    modules = {}
    if config.wav2sem != "none":
        modules["wav2sem"] = load_semantics("wav2sem" if config.wav2sem == "bundled" else config.wav2sem, device=config.device)
    if config.oracle != "none":
        modules["oracle"] = load_semantics(f"oracle:{config.oracle}", device=config.device)
    if config.fusion in TRAINED_MODES:
        for variant in modules:
            for stand_in in ("module", *config.separation.nulls):
                trained_fusions(Path(config.separation.fusion_weights), config.fusion, variant, stand_in)
    return modules


def _extract(
    config: DecoupleConfig,
    corpus: Corpus,
    source: str,
    ledger: Ledger,
    pairs: pd.DataFrame,
    name: str,
    tokens: pd.DataFrame,
    modules: Mapping[str, Semantics],
) -> tuple[SyllableEmbeddings, dict[str, UtteranceVectors], _Frames]:
    """Encode once; also the vectors of modules that sit on this encoder's frames, by variant, and the frames of :func:`_frames`."""
    from analysis.embeddings import extract
    from analysis.encoders import deferred_encoder

    done = _stage(f"Embeddings of {name}")
    encoder = deferred_encoder(name, device=config.device, dtype=config.dtype, revision=config.revision)
    extraction = extract(
        encoder,
        _speaking(corpus, tokens),
        tokens,
        layers=config.layer_numbers(encoder.card.layers),
        pooling=config.pooling,
        slicing=config.slicing,
        semantics=tuple(modules.values()),
        workers=config.workers or None,
        cache=cache_folder("embeddings"),
        alignment_source=source,
        corpus=corpus.name,
    )
    ledger.add(extraction.failures)
    found = {variant: extraction.semantics.get(module.card.name) for variant, module in modules.items()}
    done(f"{len(extraction.embeddings)} tokens, {len(extraction.embeddings.layers)} layers of {encoder.card.dims} dimensions")
    known = {variant: vectors for variant, vectors in found.items() if vectors is not None}
    return extraction.embeddings, known, _frames(config, corpus, encoder, extraction.embeddings, pairs) if config.dtw else {}


def _frames(
    config: DecoupleConfig, corpus: Corpus, encoder: Encoder, embeddings: SyllableEmbeddings, pairs: pd.DataFrame
) -> _Frames:
    """By layer, the frames of the tokens that ABX looks at, none for the others, in the order of the token table.

    A second pass over their utterances: which tokens they are is known only once the first has said which have a vector, and
    vectors that lie in the cache come without frames. See :func:`analysis.embeddings.token_frames` for the memory.
    """
    from analysis.embeddings import token_frames
    from analysis.separation import rows_of_abx

    done = _stage(f"Frames of {embeddings.provenance['encoder']['name']}")
    rows = rows_of_abx(embeddings.tokens, pairs, config.separation)
    tokens = embeddings.tokens.iloc[rows]
    found = token_frames(
        encoder,
        _speaking(corpus, tokens),
        tokens,
        layers=embeddings.layers,
        slicing=config.slicing,
        workers=config.workers or None,
    )
    held = sum(frames.nbytes for of_layer in found.values() for frames in of_layer)
    done(f"{len(rows)} tokens, {len(found)} layers, {held / 1e6:.0f} MB")
    nothing = np.empty((0, encoder.card.dims), dtype=np.float32)
    by_row = {layer: [nothing] * len(embeddings) for layer in found}
    for layer, of_layer in found.items():
        for row, frames in zip(rows, of_layer, strict=True):
            by_row[layer][row] = frames
    return by_row


def _speaking(corpus: Corpus, tokens: pd.DataFrame) -> list[Utterance]:
    """The utterances that hold a token."""
    spoken = set(tokens["utterance"])
    return [utterance for utterance in corpus if utterance.id in spoken]


def _analyse(
    config: DecoupleConfig,
    name: str,
    embeddings: SyllableEmbeddings,
    semantics: Mapping[str, UtteranceVectors],
    pairs: pd.DataFrame,
    frames: _Frames,
    notes: Sequence[str],
    ledger: Ledger,
    start: Callable[..., Future],
) -> EncoderRun:
    """Every semantic variant from the one pass, scored and mapped."""
    from analysis.report.result import score

    # An animation model reads the encoder's last hidden state, so that is the layer of the headline and of the map.
    layer = embeddings.layers[-1]
    on_map = rows_on_the_map(config, pairs, embeddings)
    mapping = start_map(config, embeddings, semantics, layer, on_map, start)
    if mapping is None:
        reason = f"{len(on_map)} tokens of near-homophones are too few for a map."
        ledger.add([Failure("projection", name, reason, "Use a larger corpus.", "warning")])

    done = _stage(f"Separation of {name}")
    result = score(embeddings, semantics, pairs, settings=config.separation, frames=frames)
    done(f"{len(result.table)} rows")

    done = _stage(f"Map of {name}")
    projections = mapping.result() if mapping else {}
    done(f"{len(on_map)} tokens by {config.projection.method}")
    separation = replace(result.separation, notes=[*notes, *result.separation.notes])
    return EncoderRun(name, embeddings, semantics, pairs, separation, projections, on_map, layer)


def _semantics(
    modules: Mapping[str, Semantics],
    found: Mapping[str, UtteranceVectors],
    corpus: Corpus,
    embeddings: SyllableEmbeddings,
    ledger: Ledger,
) -> dict[str, UtteranceVectors]:
    """Vectors of every variant; modules that had none from the encoder's own frames hear the recordings themselves."""
    from analysis.wav2sem import semantics as vectors_of

    heard = replace(corpus, utterances=tuple(_speaking(corpus, embeddings.tokens)))
    semantics = {}
    for variant, module in modules.items():
        if variant in found:
            semantics[variant] = found[variant]
            continue
        semantics[variant] = vectors_of(heard, module)
        ledger.add(semantics[variant].failures)
    return semantics


def _with_vectors(
    embeddings: SyllableEmbeddings, frames: _Frames, semantics: Mapping[str, UtteranceVectors], ledger: Ledger
) -> tuple[SyllableEmbeddings, _Frames]:
    """The tokens of utterances that have a vector of every variant: what is compared must be the same tokens throughout."""
    known = [set(vectors.utterances) for vectors in semantics.values()]
    kept = embeddings.tokens["utterance"].map(lambda name: all(name in names for names in known)).to_numpy(dtype=bool)
    if kept.all():
        return embeddings, frames
    if not kept.any():
        failure = next(failure for failure in ledger.failures if failure.stage == "semantics")
        raise SemanticsError(
            f"No utterance has a vector of every semantic module ({', '.join(semantics)}). The first failure, {failure.item}: "
            f"{failure.reason} {failure.remedy}"
        )
    rows = np.flatnonzero(kept)
    return embeddings.select(rows), {layer: [of_layer[row] for row in rows] for layer, of_layer in frames.items()}


def require_pairs(name: str, embeddings: SyllableEmbeddings, pairs: pd.DataFrame, asked: int, ledger: Ledger) -> None:
    """Raise where what failed has left no near-homophone pair with tokens of both sides."""
    left = set(embeddings.tokens["type"])
    near = pairs[pairs["relation"] == "near_homophone"]
    if (near["type_a"].isin(left) & near["type_b"].isin(left)).any():
        return
    lost = [
        failure for failure in ledger.failures if failure.severity == "error" and failure.stage in ("embeddings", "semantics")
    ]
    first = f" The first failure, {lost[0].item}: {lost[0].reason} What to do: {lost[0].remedy}" if lost else ""
    raise SeparationError(
        f"{name}: no near-homophone pair has tokens of both sides left, as {asked - len(embeddings)} of {asked} tokens have no "
        f"vector.{first}"
    )


def _write(config: DecoupleConfig, report: Report, runs: list[EncoderRun], start: Callable[..., Future]) -> None:
    from analysis.report import write_report

    done = _stage("Report")
    folder = output_folder(config, report.corpus["name"])
    write_syllables(folder / "syllables.parquet", runs)
    write_report(report, folder, audio=config.audio, start=start)
    done(str(folder))
