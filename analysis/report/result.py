"""Separation scores with what they were made from: filtered, drawn, and handed on to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.config import settings_from
from analysis.embeddings.types import SyllableEmbeddings
from analysis.encoders.types import layer_name
from analysis.errors import ConfigurationError, Failure, SeparationError
from analysis.markup import counted, failures_in_words, html_summary
from analysis.phonology.composition import composed
from analysis.report.assembly import EncoderRun, headline_of, histograms, null_draws, pairs_with_distances
from analysis.report.display import SeparationTable
from analysis.report.figures import draw
from analysis.report.model import ReportData
from analysis.separation.settings import SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings
from analysis.wav2sem.meaning import as_variants
from analysis.wav2sem.types import UtteranceVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.separation import Separation

__all__ = ["Result", "score"]

# Rows of a net that people mean unless they name others.
_USUAL = {"relation": "near_homophone", "vectors": "raw", "average": "macro"}


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What :func:`score` found, with its vectors, pairs and settings.

    Attributes
    ----------
    separation : Separation
        The scores; ``table``, ``per_pair``, ``nulls``, ``curves``, ``verdicts``, ``notes`` and ``published`` are here too.
    embeddings : SyllableEmbeddings
        Of the tokens that were scored.
    semantics : dict of str to UtteranceVectors
        By variant.
    pairs : DataFrame
    settings : SeparationSettings
    failures : tuple of Failure
        Of every stage that the arguments came through.
    """

    separation: Separation
    embeddings: SyllableEmbeddings
    semantics: dict[str, UtteranceVectors]
    pairs: pd.DataFrame
    settings: SeparationSettings
    failures: tuple[Failure, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """:data:`analysis.separation.types.SEPARATION_COLUMNS`, one number a row."""
        return self.separation.table

    @property
    def per_pair(self) -> pd.DataFrame:
        """Mean distance of each type pair."""
        return self.separation.per_pair

    @property
    def nulls(self) -> dict[str, dict[str, Any]]:
        """Draws of each null for each macro average."""
        return self.separation.nulls

    @property
    def curves(self) -> list[dict[str, Any]]:
        """Layer curves."""
        return self.separation.curves

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """What the scores support, in sentences."""
        return self.separation.verdicts

    @property
    def notes(self) -> list[str]:
        """What was cut to a sample or left out, in words."""
        return self.separation.notes

    @property
    def published(self) -> pd.DataFrame:
        """The paper's figures beside these."""
        return self.separation.published

    @property
    def encoder(self) -> str:
        """The encoder's name."""
        return str(self.embeddings.provenance.get("encoder", {}).get("name", ""))

    def net(self, **where: Any) -> SeparationTable:
        """The gain with the module less what the null gains, with intervals.

        Parameters
        ----------
        **where
            Values of columns of the table, one or a list: ``distance="l2"``, ``layer=4``, ``split="different_text"``,
            ``variant="wav2sem"``, ``null="shuffled"``. Near-homophones, raw vectors and macro averages unless ``relation``,
            ``vectors`` or ``average`` are named.

        Raises
        ------
        ConfigurationError
            If there is no such column, or no net with that value; the message lists what there is.

        Examples
        --------
        >>> result.net(distance="l2", layer=4).frame["estimate"]  # doctest: +SKIP
        """
        return self._rows("net", where)

    def _rows(self, statistic: str, where: Mapping[str, Any]) -> SeparationTable:
        rows = self.table[self.table["statistic"] == statistic]
        if rows.empty:
            raise SeparationError(
                f"The result has no {statistic}: no semantic vectors were given to score(vectors, meaning, pairs)."
            )
        usual = {name: value for name, value in _USUAL.items() if name not in where and (rows[name] == value).any()}
        for name, value in (usual | dict(where)).items():
            if name not in rows:
                raise ConfigurationError(f"{statistic}: there is no column {name!r}; there are {', '.join(rows.columns)}.")
            wanted = list(value) if isinstance(value, list | tuple | set) else [value]
            found = rows[rows[name].isin(wanted)]
            if found.empty:
                there = ", ".join(str(one) for one in rows[name].unique())
                raise ConfigurationError(f"{statistic}: no row has {name}={value!r}; there are {there}.")
            rows = found
        return SeparationTable(rows)

    def plot(self, name: str = "headline", *, venue: str = "screen") -> Figure:
        """One figure of :data:`analysis.report.figures.FIGURES`.

        Parameters
        ----------
        name : str
            ``headline``, ``layers``, ``distances``, ``pairs``, ``heatmap`` or ``nulls``; ``map`` needs a report.
        venue : str
            Width and font size.

        Raises
        ------
        ConfigurationError
            If there is no such figure or venue.
        SeparationError
            If the result lacks the figure's data.

        Examples
        --------
        >>> result.plot("layers").savefig("layers.pdf")  # doctest: +SKIP
        """
        figure = draw(self.drawn(), name, venue=venue)
        if figure is None:
            hint = "report(result, corpus=corpus) makes the map" if name == "map" else "its rows are not in result.table"
            raise SeparationError(f"The result holds no data for the figure {name!r}: {hint}.")
        return figure

    def drawn(self) -> ReportData:
        """What the figures read, as a report without a corpus and without maps."""
        config, run = self.configuration(), self.as_run()
        return ReportData(
            title=f"Near-homophone separation: {self.encoder}",
            corpus={},
            provenance={"encoders": {run.name: dict(self.embeddings.provenance.get("encoder", {}))}},
            configuration={},
            tables={"separation": self.table, "pairs": pairs_with_distances(config, run)},
            verdicts=list(self.verdicts),
            figures={
                "headline": headline_of(config, [run]),
                "nulls": null_draws(config, run),
                "histograms": histograms(config, run),
            },
        )

    def as_run(self) -> EncoderRun:
        """This as one encoder's part of a report, without maps."""
        return EncoderRun(
            name=self.encoder or "unnamed",
            embeddings=self.embeddings,
            semantics=self.semantics,
            pairs=self.pairs,
            separation=self.separation,
            projections={},
            on_map=np.empty(0, dtype=np.int64),
            headline_layer=self.headline_layer,
        )

    def configuration(self, corpus: str = "", projection: ProjectionSettings | None = None) -> DecoupleConfig:
        """The settings of a run that would score the same."""
        provenance = self.embeddings.provenance
        return DecoupleConfig(
            corpus=corpus,
            encoder=[self.encoder or "unnamed"],
            layers=",".join(map(str, self.embeddings.layers)),
            wav2sem="bundled" if "wav2sem" in self.semantics else "none",
            oracle="mean" if "oracle" in self.semantics else "none",
            fusion_weights=self.settings.fusion_weights or None,
            separation=self.settings,
            projection=projection or ProjectionSettings(),
            **{name: provenance[name] for name in ("unit", "pooling", "slicing") if name in provenance},
            **{name: getattr(self.settings, name) for name in ("seed", "share", "scale", "fusion")},
        )

    @property
    def headline_layer(self) -> int:
        """The last layer: what an animation model reads."""
        return self.embeddings.layers[-1]

    def _facts(self) -> list[str]:
        layers = ", ".join(layer_name(self.embeddings.provenance.get("encoder", {}), layer) for layer in self.embeddings.layers)
        scored = int(((self.pairs["relation"] == "near_homophone") & (self.pairs.get("pairs_of", "all") != "")).sum())
        with_ = f"with {', '.join(self.semantics)}" if self.semantics else "without semantics"
        return [f"layer {layers}", with_, counted(scored, "near-homophone pair"), counted(len(self.table), "row")]

    def __repr__(self) -> str:
        facts = ", ".join(filter(None, [*self._facts(), failures_in_words(self.failures)]))
        texts = "".join(f"\n  {verdict['text']}" for verdict in self._last_verdicts())
        return f"<Separation of {self.encoder}: {facts}>{texts}"

    def _repr_html_(self) -> str:
        from html import escape

        items = "".join(f"<li>{escape(str(verdict['text']))}</li>" for verdict in self._last_verdicts())
        rows = self.table[
            (self.table["statistic"] == "net") & (self.table["distance"] == next(iter(self.settings.distances), ""))
        ]
        for name, value in _USUAL.items():
            rows = rows[rows[name] == value] if (rows[name] == value).any() else rows
        nets = SeparationTable(rows)._repr_html_() if len(rows) else ""
        table = (f"<ul>{items}</ul>\n" if items else "") + nets
        return html_summary(f"Separation of {self.encoder}", self._facts(), self.failures, table)

    def _last_verdicts(self) -> list[dict[str, Any]]:
        """Those on the last layer, which an animation model reads."""
        return [verdict for verdict in self.verdicts if verdict["layer"] == self.headline_layer]


def score(
    vectors: SyllableEmbeddings,
    semantics: Any = None,
    pairs: pd.DataFrame | None = None,
    *,
    settings: SeparationSettings | Mapping[str, Any] | None = None,
    frames: Mapping[int, Sequence[np.ndarray]] | None = None,
) -> Result:
    """How far near-homophones lie apart, with and without semantics, against nulls, with intervals.

    Parameters
    ----------
    vectors : SyllableEmbeddings
        What :func:`analysis.embed` gives. Tokens whose type stands in no pair are left out, as in a run.
    semantics : UtteranceVectors, DataFrame, (ids, ndarray), or mapping of str to these, optional
        What :func:`analysis.semantics` gives, or vectors of your own with utterance ids. A mapping names the variants. Tokens of
        utterances that a module gave no vector (its ``failures`` name them) are left out.
    pairs : DataFrame
        What :func:`analysis.near_homophones` gives.
    settings : SeparationSettings or mapping, optional
        ``settings={"n_nulls": 99}``.
    frames : mapping of int to sequence of ndarray, optional
        As :func:`analysis.separation.score` takes them.

    Returns
    -------
    Result

    Raises
    ------
    ConfigurationError
        If an argument is of another kind; the message names it.
    SeparationError
        If no pair has tokens on both sides, or an utterance has no semantic vector and no failure says why.

    Examples
    --------
    >>> result = score(vectors, meaning, pairs)  # doctest: +SKIP
    >>> result.net(distance="l2")  # doctest: +SKIP
    """
    from analysis.separation import rows_to_score
    from analysis.separation import score as separation_of

    vectors = getattr(vectors, "embeddings", vectors)  # what extract gives holds them
    if not isinstance(vectors, SyllableEmbeddings):
        raise ConfigurationError(f"score: vectors is a {type(vectors).__name__}; give what embed(corpus, tokens) returns.")
    if not isinstance(pairs, pd.DataFrame) or not {"type_a", "type_b", "relation"} <= set(pairs.columns):
        raise ConfigurationError(
            f"score: pairs is a {type(pairs).__name__}{' without type_a, type_b and relation' * isinstance(pairs, pd.DataFrame)}; "
            "give what near_homophones(tokens) returns."
        )
    chosen = SeparationSettings() if settings is None else settings_from(SeparationSettings, settings, "score: settings")
    variants = as_variants(semantics)
    kept, frames = _chosen(vectors, frames, _rows_with_all(vectors, pairs, variants))
    failures = [
        *vectors.failures,
        *(one for given in variants.values() for one in given.failures),
        *getattr(pairs, "failures", ()),
    ]
    table = pd.DataFrame(pairs)
    drawn: list[str] = []
    if "pairs_of" in table:  # added vectors are sized by the tokens that are scored, as in a run
        rows, drawn = rows_to_score(kept.tokens, table, chosen)
        kept, frames = _chosen(kept, frames, rows)
    separation = separation_of(kept, variants, table, settings=chosen, frames=frames)
    separation = replace(separation, notes=[*drawn, *separation.notes])
    if "pairs_of" not in table:  # as the scores took them
        table, _ = composed(table, kept.tokens, enough=chosen.min_type_pairs, speakers=chosen.min_speakers)
    return Result(separation, kept, variants, table, chosen, tuple(dict.fromkeys(failures)))


_Frames = Mapping[int, Sequence[np.ndarray]] | None


def _chosen(vectors: SyllableEmbeddings, frames: _Frames, rows: np.ndarray) -> tuple[SyllableEmbeddings, _Frames]:
    """These tokens with their frames; both as they are where that is all, or where frames are not of every token."""
    if len(rows) == len(vectors) or any(len(of_layer) != len(vectors) for of_layer in (frames or {}).values()):
        return vectors, frames
    return vectors.select(rows), frames and {layer: [of_layer[row] for row in rows] for layer, of_layer in frames.items()}


def _rows_with_all(vectors: SyllableEmbeddings, pairs: pd.DataFrame, variants: Mapping[str, UtteranceVectors]) -> np.ndarray:
    """Rows of the tokens whose type stands in a pair, of utterances that no module's failures name."""
    lost = {failure.item for given in variants.values() for failure in given.failures if failure.severity == "error"}
    known = [set(given.utterances) for given in variants.values()]
    lost = {name for name in lost if not all(name in names for names in known)}
    types = set(pairs["type_a"]) | set(pairs["type_b"])
    paired = vectors.tokens["type"].isin(types).to_numpy()
    if not paired.any():
        raise SeparationError("score: no token of vectors is of a type of pairs. Are both of the same corpus and the same unit?")
    kept = paired & ~vectors.tokens["utterance"].isin(lost).to_numpy()
    if not kept.any():
        raise SeparationError("score: semantics has no vector for any utterance with a token; its failures say why.")
    return np.flatnonzero(kept)
