"""The report of scores that were made piece by piece, as a run makes it of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.alignment import Aligned, quality_table
from analysis.config import content_hash, settings_from
from analysis.corpus.utterance import Corpus
from analysis.engine import at_once
from analysis.errors import ConfigurationError
from analysis.report.assembly import assemble
from analysis.report.document import Report
from analysis.report.maps import rows_on_the_map, start_map
from analysis.report.result import Result
from analysis.settings import ProjectionSettings

__all__ = ["report_of"]


def report_of(
    result: Result,
    *,
    corpus: Corpus,
    aligned: Aligned | None = None,
    projection: ProjectionSettings | Mapping[str, Any] | None = None,
) -> Report:
    """The report of scores: tables, figures, maps and verdicts; ``save`` writes its page.

    Parameters
    ----------
    result : Result
        What :func:`analysis.score` gives.
    corpus : Corpus
        That the vectors are of: it gives texts and recordings.
    aligned : Aligned, optional
        Gives the table of alignment quality.
    projection : ProjectionSettings or mapping, optional
        Of the map: ``projection={"method": "pca"}``.

    Returns
    -------
    Report

    Raises
    ------
    ConfigurationError
        If an argument is of another kind, or the corpus lacks utterances of the vectors.

    Examples
    --------
    >>> report_of(result, corpus=corpus).save("reports/mine")  # doctest: +SKIP
    """
    if isinstance(result, str | Path):
        raise ConfigurationError(f"report: result is {str(result)!r}; a report that was written is read by Report.read(folder).")
    if not isinstance(result, Result):
        raise ConfigurationError(
            f"report: result is a {type(result).__name__}; give what score(vectors, meaning, pairs) returns."
        )
    if not isinstance(corpus, Corpus):
        raise ConfigurationError(f"report: corpus is a {type(corpus).__name__}; give what open_corpus(...) returns.")
    if aligned is not None and not isinstance(aligned, Aligned):
        raise ConfigurationError(f"report: aligned is a {type(aligned).__name__}; give what align(corpus) returns.")
    known = {utterance.id for utterance in corpus}
    strange = [name for name in result.embeddings.tokens["utterance"].unique() if name not in known]
    if strange:
        raise ConfigurationError(
            f"report: corpus {corpus.name} has no utterance {strange[0]!r}, and {len(strange)} such have vectors. Give the corpus that "
            "was embedded."
        )
    started = datetime.now(UTC)
    config = result.configuration(corpus.place, settings_from(ProjectionSettings, projection or {}, "report: projection"))
    embeddings, layer = result.embeddings, result.headline_layer
    on_map = rows_on_the_map(config, result.pairs, embeddings)
    maps = start_map(config, embeddings, result.semantics, layer, on_map, at_once)
    run = replace(result.as_run(), projections=maps.result() if maps else {}, on_map=on_map)
    quality = aligned.quality if aligned is not None else quality_table([])
    failures = [*corpus.failures, *(aligned.failures if aligned is not None else ()), *result.failures]
    made = assemble(config, corpus, quality, embeddings.tokens, [run], list(dict.fromkeys(failures)), started)
    # No command line makes this report, and its settings may be of objects that none can name.
    provenance = dict(made.provenance) | {
        "command": "composed in Python: analysis.report(result, corpus=...)",
        "configuration_hash": content_hash(
            {"composed": config.hash(), "vectors": str(embeddings.provenance.get("configuration_hash"))}
        ),
    }
    return replace(made, provenance=provenance)
