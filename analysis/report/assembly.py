"""The report of a run from what the stages left: tables, what figures need, and where every number came from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.config import content_hash
from analysis.corpus.utterance import Corpus
from analysis.encoders.types import layer_name
from analysis.errors import FAILURE_COLUMNS, Failure, failure_rows
from analysis.phonology.composition import composition_sentences, composition_table
from analysis.report.document import Report
from analysis.separation.headline import Headline
from analysis.settings import DecoupleConfig

if TYPE_CHECKING:
    from analysis.embeddings.types import SyllableEmbeddings
    from analysis.projection import Projection
    from analysis.separation import Separation
    from analysis.wav2sem.types import UtteranceVectors

__all__ = [
    "EncoderRun",
    "assemble",
    "fused",
    "headline_of",
    "histograms",
    "null_draws",
    "pairs_with_distances",
    "write_syllables",
]


@dataclass(frozen=True)
class EncoderRun:
    """What one encoder left.

    Attributes
    ----------
    name : str
        As asked for.
    embeddings : SyllableEmbeddings
    semantics : mapping of str to UtteranceVectors
        By variant: ``wav2sem``, ``oracle``.
    pairs : DataFrame
        What was scored.
    separation : Separation
    projections : mapping of str to Projection
        Map coordinates by variant, of the tokens at ``on_map``.
    on_map : ndarray of int
        Rows of the token table.
    headline_layer : int
        The last layer stored: what an animation model reads.
    """

    name: str
    embeddings: SyllableEmbeddings
    semantics: Mapping[str, UtteranceVectors]
    pairs: pd.DataFrame
    separation: Separation
    projections: Mapping[str, Projection]
    on_map: np.ndarray
    headline_layer: int


def fused(
    config: DecoupleConfig, embeddings: SyllableEmbeddings, semantics: UtteranceVectors, layer: int, variant: str
) -> np.ndarray:
    """Vectors of one layer with the semantics of a variant, exactly as they are scored, shape (tokens, dims)."""
    from analysis.separation.variants import added_scale
    from analysis.wav2sem.fusion import TRAINED_MODES, fuse, trained_fusions

    position = {name: row for row, name in enumerate(semantics.utterances)}
    scale = added_scale(embeddings, semantics, layer, config.separation)
    rows = embeddings.tokens["utterance"].map(position).to_numpy()
    weights = None
    if config.fusion in TRAINED_MODES:
        weights = trained_fusions(Path(config.separation.fusion_weights), config.fusion, variant)[0].weights
    vectors = embeddings.layer(layer)
    return fuse(vectors, semantics.vectors[rows], mode=config.fusion, scale=scale, seed=config.seed, weights=weights)


def assemble(
    config: DecoupleConfig,
    corpus: Corpus,
    quality: pd.DataFrame,
    tokens: pd.DataFrame,
    runs: list[EncoderRun],
    failures: list[Failure],
    started: datetime,
) -> Report:
    """The report of one run."""
    from analysis.corpus import corpus_hash

    utterances = pd.DataFrame(
        {
            "utterance": [utterance.id for utterance in corpus],
            "speaker": [utterance.speaker for utterance in corpus],
            "text": [utterance.text for utterance in corpus],
            "audio": [str(utterance.audio) for utterance in corpus],
            "duration": [utterance.duration for utterance in corpus],
        }
    )
    if any(utterance.is_part for utterance in corpus):
        utterances["start"] = [utterance.start for utterance in corpus]
        utterances["channel"] = [utterance.channel for utterance in corpus]
    on_map = pd.concat([run.embeddings.tokens.iloc[run.on_map] for run in runs])
    return Report(
        title=f"Near-homophone separation: {corpus.name}" + (" (synthetic speech)" if corpus.synthetic else ""),
        corpus={
            "name": corpus.name,
            "synthetic": corpus.synthetic,
            "hash": corpus_hash(corpus),
            "transcripts": content_hash(sorted((utterance.id, utterance.speaker, utterance.text) for utterance in corpus)),
            "n_utterances": len(corpus),
            "n_speakers": int(utterances["speaker"].nunique()),
            "speakers_from": corpus.speakers_from,
            **_texts(corpus),
            "duration": float(utterances["duration"].sum()),
            "n_tokens": len(tokens),
            "n_types": int(tokens["type"].nunique()),
        },
        provenance={
            "versions": _versions(),
            "encoders": {
                run.name: {**found["encoder"], "precision": found["precision"]}
                for run in runs
                if (found := run.embeddings.provenance)
            },
            "semantics": {name: asdict(vectors.card) for run in runs for name, vectors in run.semantics.items()},
            "aligner": str(runs[0].embeddings.provenance.get("aligner", "")),
            "configuration_hash": config.hash(),
            "seed": config.seed,
            "command": command_of(config),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        configuration=config.as_dict(),
        tables={
            "separation": pd.concat([run.separation.table for run in runs], ignore_index=True),
            "pairs": pd.concat([pairs_with_distances(config, run) for run in runs], ignore_index=True),
            "tokens": on_map.drop_duplicates("token").sort_values("token").reset_index(drop=True),
            "projection": pd.concat([_coordinates(config, run) for run in runs], ignore_index=True),
            "utterances": utterances,
            "quality": quality,
            "composition": composition_table(runs[0].pairs),
            "failures": pd.DataFrame(failure_rows(failures), columns=list(FAILURE_COLUMNS)),
            **_beside_published(runs),
        },
        verdicts=[verdict for run in runs for verdict in _headline_verdicts(run)],
        figures={
            "headline": headline_of(config, runs),
            "projections": [card for run in runs for card in _projection_cards(config, run)],
            "nulls": [draws for run in runs for draws in null_draws(config, run)],
            "histograms": [counts for run in runs for counts in histograms(config, run)],
            "composition": composition_sentences(runs[0].pairs),
            "notes": list(dict.fromkeys(note for run in runs for note in run.separation.notes)),
        },
    )


def headline_of(config: DecoupleConfig, runs: list[EncoderRun]) -> dict[str, Any]:
    """Which rows of the separation table the headline is, and on which layer of each encoder."""
    headline = Headline.of(config.separation, runs[0].separation.table)
    return asdict(headline) | {
        "null": f"null:{headline.null}" if headline.null else "",
        "layers": {run.name: run.headline_layer for run in runs},
        "pooling": config.pooling,
        "unit": config.unit,
        "variant": next(iter(runs[0].semantics), ""),
    }


def _texts(corpus: Corpus) -> dict[str, int]:
    """How many texts there are, equal ones and those that differ in one word counted once, and the most readings of one."""
    from analysis.separation.texts import text_blocks

    blocks, _ = text_blocks([utterance.text for utterance in corpus])
    readings = np.bincount(blocks) if len(blocks) else np.zeros(1, dtype=int)
    return {"n_texts": int((readings > 0).sum()), "most_readings": int(readings.max())}


def _beside_published(runs: list[EncoderRun]) -> dict[str, pd.DataFrame]:
    """The paper's figures beside one's own, nearest first, as a table of the report; nothing where its encoders were not analysed."""
    found = [run.separation.published for run in runs if len(run.separation.published)]
    if not found:
        return {}
    return {"published": pd.concat(found, ignore_index=True).sort_values(["encoder", "log_ratio"], ignore_index=True)}


def _headline_verdicts(run: EncoderRun) -> list[dict[str, Any]]:
    """Verdicts on the headline's layer, each naming the variant that it is about."""
    found = []
    for verdict in run.separation.verdicts:
        if verdict["layer"] == run.headline_layer:
            variant = verdict.get("variant")
            found.append(verdict | ({"text": f"{variant}: {verdict['text']}"} if variant else {}))
    return found


def pairs_with_distances(config: DecoupleConfig, run: EncoderRun) -> pd.DataFrame:
    """Every near-homophone pair with its mean distance under each variant, at the headline's layer, distance and split.

    The gain of the first module has an interval over speakers, which holds for this pair of words only.
    """
    from analysis.separation.pair_intervals import pair_gains

    headline = asdict(Headline.of(config.separation, run.separation.table))
    found = run.separation.per_pair
    found = found[found["layer"] == run.headline_layer]
    for name in ("distance", "split", "vectors", "relation"):
        found = found[found[name] == headline[name]]
    keys = ["type_a", "type_b"]
    wide = found.pivot(index=keys, columns="variant", values="mean_distance").reset_index()
    wide.columns.name = None
    # where every pair is said within one utterance only, none has a distance at the headline's split
    wide = wide.reindex(columns=list(dict.fromkeys([*wide.columns, "without", *run.semantics])))
    counts = found[found["variant"] == "without"][[*keys, "n_token_pairs"]]
    near = run.pairs[run.pairs["relation"] == headline["relation"]]
    wide = wide.merge(counts, on=keys).merge(near[[*keys, "pairs_of"]], on=keys)
    first = next(iter(run.semantics), None)
    if first is not None:
        wide["gain"] = wide[first] - wide["without"]
        before = run.embeddings.layer(run.headline_layer)
        after = fused(config, run.embeddings, run.semantics[first], run.headline_layer, first)
        intervals = pair_gains(run.embeddings.tokens, wide, before, after, level=config.separation.ci_level)
        wide = wide.merge(intervals[[*keys, "ci_low", "ci_high", "n_speakers"]], on=keys, how="left")
    place = {name: headline[name] for name in ("distance", "split")}
    table = near.merge(wide.drop(columns="pairs_of"), on=keys)
    return table.assign(encoder=run.name, layer=run.headline_layer, **place)


def _coordinates(config: DecoupleConfig, run: EncoderRun) -> pd.DataFrame:
    token = run.embeddings.tokens["token"].to_numpy()[run.on_map]
    place = {"encoder": run.name, "layer": run.headline_layer, "method": config.projection.method}
    tables = [
        pd.DataFrame({**place, "variant": variant, "token": token, "x": found.coordinates[:, 0], "y": found.coordinates[:, 1]})
        for variant, found in run.projections.items()
    ]
    columns = [*place, "variant", "token", "x", "y"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _projection_cards(config: DecoupleConfig, run: EncoderRun) -> list[dict[str, Any]]:
    """What must be known of each map to look at it."""
    cards = []
    for variant, found in run.projections.items():
        card = {"encoder": run.name, "layer": run.headline_layer, "variant": variant, "method": config.projection.method}
        cards.append(card | {item.name: getattr(found, item.name) for item in fields(found) if item.name != "coordinates"})
    return cards


def null_draws(config: DecoupleConfig, run: EncoderRun) -> list[dict[str, Any]]:
    """Every draw of each null at the headline, with the value that the module reached."""
    table, headline = run.separation.table, asdict(Headline.of(config.separation, run.separation.table))
    found = []
    for entry in run.separation.nulls.values():
        wanted = {"layer": run.headline_layer} | {name: headline[name] for name in ("relation", "split", "vectors")}
        if any(entry[name] != value for name, value in wanted.items()):
            continue
        keys = {name: entry[name] for name in ("layer", "vectors", "distance", "relation", "split", "variant", "null")}
        keys |= {"statistic": "net", "average": "macro"}
        row = table[np.logical_and.reduce([table[name] == value for name, value in keys.items()])]
        p_value = float(row["p_permutation"].iloc[0]) if len(row) else float("nan")
        found.append({**entry, "statistic": "mean_distance", "p_value": p_value})
    return found


def histograms(config: DecoupleConfig, run: EncoderRun) -> list[dict[str, Any]]:
    from analysis.separation.histograms import distance_histograms

    variants = {"without": run.embeddings.layer(run.headline_layer)}
    for name, vectors in run.semantics.items():
        variants[name] = fused(config, run.embeddings, vectors, run.headline_layer, name)
    place = {"encoder": run.name, "layer": run.headline_layer}
    return [place | counts for counts in distance_histograms(run.embeddings, variants, run.pairs, settings=config.separation)]


def _versions() -> dict[str, str]:
    """Versions of what sets the numbers."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from analysis.version import __version__

    found = {"analysis": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "numpy", "scipy", "scikit-learn", "umap-learn", "pocketsphinx", "hibari-tts", "soxr"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command_of(config: DecoupleConfig) -> str:
    """The command line that makes this report again: every setting that is not the default."""
    words = ["python", "-m", "analysis.decouple"]
    # what follows the run's own settings is not said twice
    follows = ("seed", "share", "scale", "fusion", "fusion_weights")
    default, chosen = DecoupleConfig(**{name: getattr(config, name) for name in follows}), config.as_dict()
    for name, value in default.as_dict().items():
        if chosen[name] == value and name not in ("corpus", "seed"):
            continue
        if isinstance(value, dict) and name in ("separation", "projection"):
            words += [f"--{name}.{key}={json.dumps(item)}" for key, item in chosen[name].items() if item != value[key]]
        elif name == "encoder":
            words += [part for encoder in chosen[name] for part in ("--encoder", encoder)]
        else:
            words += [f"--{name}", value if isinstance(value := chosen[name], str) else json.dumps(value)]
    if config.share != DecoupleConfig.share:
        words += ["--share", str(config.share)]
    if config.scale != DecoupleConfig.scale:
        words += ["--scale", config.scale]
    if config.fusion != DecoupleConfig.fusion:
        words += ["--fusion", config.fusion]
    if config.fusion_weights:
        words += ["--fusion_weights", config.fusion_weights]
    return shlex.join(words)


def write_syllables(path: Path, runs: list[EncoderRun]) -> None:
    """One row per token with its vector of the headline layer of each encoder, half precision, for other programs to read."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    tokens = runs[0].embeddings.tokens
    table = pa.Table.from_pandas(tokens, preserve_index=False)
    for run in runs:
        vectors = run.embeddings.layer(run.headline_layer).astype(np.float16)
        position = pd.Series(np.arange(len(vectors)), index=run.embeddings.tokens["token"])
        rows = position.reindex(tokens["token"]).to_numpy()
        known = ~np.isnan(rows)
        full = np.full((len(tokens), vectors.shape[1]), np.nan, dtype=np.float16)
        full[known] = vectors[rows[known].astype(int)]
        column = pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), full.shape[1])
        table = table.append_column(
            f"{run.name}_layer_{layer_name(run.embeddings.provenance.get('encoder', {}), run.headline_layer)}", column
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)
