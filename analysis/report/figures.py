"""Figures for papers: vector files with real text, at the column widths of common venues.

Each ``*_figure`` function takes a :class:`ReportData` and gives a matplotlib figure, or None where the report lacks its data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.errors import ConfigurationError
from analysis.report.model import ReportData
from analysis.report.style import CATEGORICAL, OTHER_COLOUR, RELATION_COLOURS, VENUES, Venue, variant_colour
from analysis.report.summary import (
    Selection,
    full_null,
    headline_table,
    pair_labels,
    selection,
    spoken,
    type_labels,
    without_other_modules,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "FORMATS", "draw", "draw_figures"]

logger = logging.getLogger(__name__)

FORMATS = ("png", "svg", "pdf")
_DPI = 300
_PAIRS_ON_MAP = 4
_PAIRS_IN_FOREST = 24
_DASHES = {"same_type": "-", "near_homophone": (0, (4, 1)), "homophone": "-.", "unrelated": (0, (1, 1))}


def draw_figures(report: ReportData, folder: Path, *, venue: str = "acl", formats: Sequence[str] = FORMATS) -> dict[str, Path]:
    """Write every figure that the report has data for into ``folder/figures``; returns the paths by file name.

    Parameters
    ----------
    report : ReportData
    folder : Path
        The run folder.
    venue : str
        One of :data:`analysis.report.style.VENUES`: column width and font size.
    formats : sequence of str
        Of ``png`` (300 dpi), ``svg`` (text as text) and ``pdf`` (TrueType fonts embedded).

    Raises
    ------
    ConfigurationError
        If the venue or a format is unknown.
    """
    if venue not in VENUES:
        raise ConfigurationError(f"There is no venue {venue!r}. Choose one of {', '.join(VENUES)}.")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ConfigurationError(f"There is no figure format {unknown[0]!r}. Choose from {', '.join(FORMATS)}.")
    written: dict[str, Path] = {}
    if not formats:
        return written
    target = folder / "figures"
    target.mkdir(parents=True, exist_ok=True)
    with _paper_style(VENUES[venue]):
        for name, draw in FIGURES.items():
            figure = draw(report, VENUES[venue])
            if figure is None:
                logger.info("the report has no data for the figure %s", name)
                continue
            for path in _saved(figure, target / name, formats):
                written[path.name] = path
    return written


def _saved(figure: Figure, stem: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Write a figure in each format."""
    import matplotlib as mpl

    # Laid out once, at the resolution of the pictures: what holds for the first format holds for the others.
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
        for suffix in formats:
            path = stem.with_suffix(f".{suffix}")
            # Dates would make equal runs differ.
            stamp = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[suffix]
            figure.savefig(path, dpi=_DPI, metadata=stamp)
            yield path


def draw(report: ReportData, name: str, *, venue: str = "screen") -> Figure | None:
    """One figure of :data:`FIGURES`, for a notebook; None where the report lacks its data.

    Raises
    ------
    ConfigurationError
        If there is no such figure or venue.
    """
    if name not in FIGURES:
        raise ConfigurationError(f"There is no figure {name!r}. Choose one of {', '.join(FIGURES)}.")
    if venue not in VENUES:
        raise ConfigurationError(f"There is no venue {venue!r}. Choose one of {', '.join(VENUES)}.")
    with _paper_style(VENUES[venue]):
        if name == "layers":  # who asks for it sees one layer too; among the files it would say nothing
            return layers_figure(report, VENUES[venue], least=1)
        return FIGURES[name](report, VENUES[venue])


@contextmanager
def _paper_style(venue: Venue) -> Iterator[None]:
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "analysis",
        "font.family": venue.family,
        "font.serif": ["Times New Roman", "Nimbus Roman", "Liberation Serif", "STIX Two Text", "STIXGeneral", "DejaVu Serif"],
        "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
        "mathtext.fontset": "stix",
        "font.size": venue.font,
        "axes.titlesize": venue.font,
        "axes.labelsize": venue.font,
        "xtick.labelsize": venue.font - 1,
        "ytick.labelsize": venue.font - 1,
        "legend.fontsize": venue.font - 1,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.1,
        "lines.markersize": 3.2,
        "figure.constrained_layout.use": True,
        "savefig.facecolor": "white",
    }
    # Fonts that are not installed are skipped in turn, and glyphs subset, with many words that help nobody here.
    chatty = [logging.getLogger(name) for name in ("matplotlib.font_manager", "fontTools")]
    levels = [logger.level for logger in chatty]
    for logger in chatty:
        logger.setLevel(logging.ERROR)
    try:
        with mpl.rc_context(settings):
            yield
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)


def _figure(width: float, height: float) -> Figure:
    """An empty figure; a notebook shows it with or without ``%matplotlib inline``."""
    from io import BytesIO

    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            stream = BytesIO()
            self.savefig(stream, format="png", dpi=150)
            return stream.getvalue()

    return Shown(figsize=(width, height))


def _entries(figure: Figure) -> tuple[list[Any], list[str]]:
    """Legend entries of the only axes."""
    return figure.axes[0].get_legend_handles_labels()


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], *, ncols: int, **spacing: float) -> None:
    """A legend above the data, in smaller letters or fewer columns where the figure is too narrow for it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    size, room = mpl.rcParams["legend.fontsize"], 0.98 * figure.bbox.width
    for columns in range(ncols, 0, -1):
        for scale in (1.0, 0.9, 0.8):
            legend = figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=scale * size, **spacing)
            if legend.get_window_extent(renderer).width <= room or (columns, scale) == (1, 0.8):
                return
            legend.remove()


def _footnote(figure: Figure, report: ReportData, text: str = "") -> None:
    """A line under the figure: what it is, and that speech was synthetic where it was."""
    words = " ".join(part for part in (text, "Synthetic speech." if report.corpus.get("synthetic") else "") if part)
    if words:
        figure.supxlabel(_wrapped(figure, words), fontsize=_small(), color="#444444", x=0.01, ha="left")


def _small() -> float:
    import matplotlib as mpl

    return float(mpl.rcParams["font.size"]) - 1.5


def _wrapped(figure: Figure, words: str) -> str:
    """``words`` in lines that fit the figure, whatever font is there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import FontProperties

    renderer, font, room = FigureCanvasAgg(figure).get_renderer(), FontProperties(size=_small()), 0.97 * figure.bbox.width
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and renderer.get_text_width_height_descent(longer, font, ismath=False)[0] > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _plain_text(text: str) -> str:
    """Text that matplotlib shows as it is: a dollar sign starts no formula."""
    return text.replace("$", r"\$")


def headline_figure(report: ReportData, venue: Venue) -> Figure | None:
    """Gain with the module, gain with the null, and their difference, one row of dots per encoder."""
    chosen = selection(report)
    table = headline_table(report, chosen)
    table = table[table["gain"].notna()]
    if not len(table):
        return None
    figure = _figure(venue.column, 0.75 + 0.42 * len(table) + 0.5)
    axes = figure.subplots()
    parts = [(chosen.variant, "gain", "gain", "o", variant_colour("wav2sem"))]
    if chosen.null:
        parts.append((f"null: {chosen.null.removeprefix('null:')}", "null_gain", "null", "s", variant_colour("null")))
        parts.append(("net (difference)", "net", "net", "D", variant_colour("net")))
    for place, (label, column, prefix, marker, colour) in enumerate(parts):
        y = np.arange(len(table)) + (place - (len(parts) - 1) / 2) * 0.22
        _dots(axes, table[column], y, table[f"{prefix}_low"], table[f"{prefix}_high"], label, marker, colour)
    axes.axvline(0, color="#888888", linewidth=0.6, zorder=0)
    axes.set_yticks(
        range(len(table)),
        [_plain_text(f"{row.encoder}\nlayer {report.layer_name(row.encoder, row.layer)}") for row in table.itertuples()],
    )
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel(f"change of the {chosen.keys['distance']} distance")
    _legend(figure, *_entries(figure), ncols=len(parts), handletextpad=0.2, columnspacing=0.9)
    _footnote(figure, report, f"{chosen.sentence()}.".capitalize())
    return figure


def _dots(axes: Axes, x: Any, y: Any, low: Any, high: Any, label: str, marker: str, colour: str) -> None:
    x, low, high = (np.asarray(v, dtype=float) for v in (x, low, high))
    spread = np.nan_to_num(np.vstack([x - low, high - x]), nan=0.0).clip(min=0)
    axes.errorbar(x, y, xerr=spread, fmt=marker, color=colour, label=label, capsize=1.5, elinewidth=0.9, capthick=0.9)


def map_figure(report: ReportData, venue: Venue) -> Figure | None:
    """The tokens without and with the module, side by side; the most frequent near-homophone pairs stand out."""
    chosen = selection(report)
    panels = map_panels(report, chosen)
    if not panels:
        return None
    tokens = report.tables["tokens"].set_index("token")
    pairs, words = _frequent_pairs(report, tokens), type_labels(tokens)
    figure = _figure(venue.page, venue.page * 0.42 + 0.75)
    # The maps are laid onto each other: one frame for all shows what stayed in its place.
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (variant, coordinates) in zip(axes, panels.items(), strict=True):
        types = tokens["type"].reindex(coordinates["token"]).to_numpy()
        x, y = coordinates["x"].to_numpy(), coordinates["y"].to_numpy()
        named = np.isin(types, [name for pair in pairs for name in pair])
        ax.scatter(x[~named], y[~named], s=3, color="#CFCFCF", linewidths=0, rasterized=len(x) > 3000, label="other types")
        for (left, right), colour in zip(pairs, CATEGORICAL, strict=False):
            for name, filled in ((left, True), (right, False)):
                here = types == name
                ax.scatter(
                    x[here], y[here], s=11, marker="o" if filled else "^", facecolors=colour if filled else "none",
                    edgecolors=colour, linewidths=0.8, label=_plain_text(words.get(name, name)),
                )  # fmt: skip
        ax.set_title("without" if variant == "without" else f"with {variant}")
        ax.set_xticks([])
        ax.set_yticks([])
        for side in ("top", "right", "left", "bottom"):
            ax.spines[side].set_visible(True)
    handles, labels = axes[0].get_legend_handles_labels()
    handles, labels = handles[1:] + handles[:1], labels[1:] + labels[:1]  # one column per pair, the others last
    _legend(figure, handles, labels, ncols=len(pairs) + 1, handletextpad=0.1, columnspacing=1.0)
    _footnote(figure, report, map_caption(report, panels, chosen))
    return figure


def map_panels(report: ReportData, chosen: Selection) -> dict[str, pd.DataFrame]:
    """Coordinates of ``without`` and of the variant for the first encoder that is on a map, in one layer and method."""
    projection, tokens = report.tables.get("projection"), report.tables.get("tokens")
    if projection is None or tokens is None or not len(projection):
        return {}
    wanted = [encoder for encoder in chosen.layers if (projection["encoder"] == encoder).any()]
    here = projection[projection["encoder"] == (wanted or [projection["encoder"].iloc[0]])[0]]
    layer = chosen.layers.get(str(here["encoder"].iloc[0]))
    here = here[here["layer"] == (layer if (here["layer"] == layer).any() else here["layer"].iloc[0])]
    if "method" in here:
        here = here[here["method"] == here["method"].iloc[0]]
    names = [v for v in ("without", chosen.variant) if (here["variant"] == v).any()] or [str(here["variant"].iloc[0])]
    return {name: here[here["variant"] == name] for name in dict.fromkeys(names)}


def map_caption(report: ReportData, panels: dict[str, pd.DataFrame], chosen: Selection) -> str:
    """Encoder, layer, method and the trust that each panel deserves; and that claims rest on the scores."""
    first = next(iter(panels.values())).iloc[0]
    method = str(first.get("method", "umap"))
    words = [f"{first['encoder']}, layer {report.layer_name(first['encoder'], first['layer'])}, {method.upper()}."]
    for entry in report.figures.get("projections") or []:
        same = entry.get("encoder") == first["encoder"] and entry.get("layer") == first["layer"]
        if same and entry.get("method", "umap") == method and entry.get("variant") in panels:
            words.append(
                f"{entry['variant']}: trustworthiness {_three(entry.get('trustworthiness'))}, "
                f"continuity {_three(entry.get('continuity'))}."
            )
    return " ".join([*words, "Maps are for looking; claims rest on the scores."])


def _three(value: Any) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _frequent_pairs(report: ReportData, tokens: pd.DataFrame) -> list[tuple[str, str]]:
    """The near-homophone pairs whose rarer member has most tokens on the map; no type twice."""
    pairs = report.tables.get("pairs")
    counts = tokens["type"].value_counts()
    if pairs is None or not len(pairs) or "type_a" not in pairs:
        names = list(counts.index[: 2 * _PAIRS_ON_MAP])
        return list(zip(names[::2], names[1::2], strict=False))
    near = pairs[pairs["relation"].astype(str).str.startswith("near_homophone")][["type_a", "type_b"]].drop_duplicates()
    weight = np.minimum(near["type_a"].map(counts).fillna(0), near["type_b"].map(counts).fillna(0))
    near = near.assign(weight=weight).sort_values(["weight", "type_a", "type_b"], ascending=[False, True, True])
    found: list[tuple[str, str]] = []
    used: set[str] = set()
    for left, right, number in near.itertuples(index=False, name=None):
        if number > 0 and not {left, right} & used and len(found) < _PAIRS_ON_MAP:
            found.append((left, right))
            used |= {left, right}
    return found


def layers_figure(report: ReportData, venue: Venue, least: int = 2) -> Figure | None:
    """The distance without, with and with the null by layer, with bands, one panel per encoder that has ``least`` layers."""
    chosen = selection(report)
    rows = _selected(report.separation, chosen)
    encoders = [e for e in chosen.layers if rows[rows["encoder"] == e]["layer"].nunique() >= least]
    if not encoders:
        return None
    columns = min(3, len(encoders))
    lines = -(-len(encoders) // columns)
    figure = _figure(venue.page if columns > 1 else venue.column, 1.45 * lines + 0.75)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=False)
    curves = [
        ("without", "without", "#4D4D4D", ":"),
        (chosen.variant, f"with {chosen.variant}", variant_colour("wav2sem"), "-"),
        (chosen.null, f"null: {chosen.null.removeprefix('null:')}", variant_colour("null"), "--"),
    ]
    for ax in grid.flat[len(encoders) :]:
        ax.set_visible(False)
    for ax, encoder in zip(grid.flat, encoders, strict=False):
        for variant, label, colour, dash in curves:
            curve = rows[(rows["encoder"] == encoder) & (rows["statistic"] == "mean_distance") & (rows["variant"] == variant)]
            curve = curve.sort_values("layer")
            if not len(curve):
                continue
            marker = "o" if len(curve) == 1 else None
            ax.plot(curve["layer"], curve["estimate"], dash, color=colour, label=label, marker=marker)
            if len(curve) == 1:
                ax.vlines(curve["layer"], curve["ci_low"], curve["ci_high"], color=colour)
                continue
            ax.fill_between(curve["layer"], curve["ci_low"], curve["ci_high"], color=colour, alpha=0.15, linewidth=0)
        ax.set_title(_plain_text(encoder))
        ax.set_xlabel("layer")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.xaxis.set_major_formatter(lambda at, _, encoder=encoder: report.layer_name(encoder, round(at)))
    for ax in grid[:, 0]:
        ax.set_ylabel(f"{chosen.keys['distance']} distance")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    _legend(figure, handles, labels, ncols=len(handles), columnspacing=1.2)
    _footnote(figure, report, f"{chosen.sentence()}; bands: intervals.".capitalize())
    return figure


def _selected(table: pd.DataFrame, chosen: Selection) -> pd.DataFrame:
    for name, value in chosen.keys.items():
        table = table[table[name] == value]
    return without_other_modules(table, chosen.variant)


def distances_figure(report: ReportData, venue: Venue) -> Figure | None:
    """How token pairs of each relation are spread, without above and with below, one column per split."""
    chosen = selection(report)
    entries = [h for h in report.figures.get("histograms") or [] if h["distance"] == chosen.keys["distance"]]
    encoder = next((e for e in chosen.layers if any(h["encoder"] == e for h in entries)), None)
    entries = [h for h in entries if h["encoder"] == encoder and h["variant"] in ("without", chosen.variant)]
    if not entries:
        return None
    splits = list(dict.fromkeys(h["split"] for h in entries))[:3]
    variants = list(dict.fromkeys(h["variant"] for h in entries))
    figure = _figure(venue.page, 1.3 * len(variants) + 0.85)
    grid = figure.subplots(len(variants), len(splits), squeeze=False, sharex=True, sharey="col")
    for line, variant in zip(grid, variants, strict=True):
        for ax, split in zip(line, splits, strict=True):
            for entry in entries:
                if entry["split"] == split and entry["variant"] == variant:
                    edges, counts = np.asarray(entry["edges"], float), np.asarray(entry["counts"], float)
                    density = counts / max(counts.sum(), 1) / np.diff(edges)
                    colour = RELATION_COLOURS.get(entry["relation"], OTHER_COLOUR)
                    dash = _DASHES.get(entry["relation"], "-")
                    ax.stairs(density, edges, color=colour, label=spoken(entry["relation"]), linewidth=1.1, linestyle=dash)
            if ax in grid[0]:
                ax.set_title(spoken(split))
        line[0].set_ylabel("without" if variant == "without" else f"with {variant}")
    for ax in grid[-1]:
        ax.set_xlabel(f"{chosen.keys['distance']} distance")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    _legend(figure, handles, labels, ncols=len(handles))
    _footnote(
        figure,
        report,
        _plain_text(f"{encoder}, layer {report.layer_name(str(encoder), entries[0]['layer'])}; density over token pairs."),
    )
    return figure


def pairs_figure(report: ReportData, venue: Venue) -> Figure | None:
    """The gain of each near-homophone pair with its interval: the pairs with most token pairs, sorted by gain."""
    chosen = selection(report)
    table = headline_pairs(report, chosen)
    if table is None or not len(table):
        return None
    table = table.nlargest(_PAIRS_IN_FOREST, "n_token_pairs") if "n_token_pairs" in table else table.head(_PAIRS_IN_FOREST)
    table = table.sort_values("gain")
    figure = _figure(venue.column, 0.15 * len(table) + 1.0)
    axes = figure.subplots()
    y = np.arange(len(table))
    _dots(axes, table["gain"], y, table["ci_low"], table["ci_high"], "gain", "o", variant_colour("wav2sem"))
    if "net" in table and table["net"].notna().any():
        axes.plot(table["net"], y, "D", color=variant_colour("net"), label="net", markersize=2.5)
    axes.axvline(0, color="#888888", linewidth=0.6, zorder=0)
    null = _null_gain(report, chosen, str(table["encoder"].iloc[0]))
    if null is not None:
        axes.axvline(
            null, color=variant_colour("null"), linestyle="--", label=f"mean gain of {spoken(chosen.null)} vectors", zorder=0
        )
    axes.set_yticks(y, [_plain_text(label) for label in pair_labels(table)])
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.set_xlabel(f"change of the {chosen.keys['distance']} distance")
    _legend(figure, *_entries(figure), ncols=3)
    first = table.iloc[0]
    over = " Bars: intervals over speakers." if table["ci_low"].notna().any() else ""
    _footnote(
        figure, report,
        _plain_text(f"{first['encoder']}, layer {report.layer_name(first['encoder'], first['layer'])}; the {len(table)} pairs with most token pairs.{over}"),
    )  # fmt: skip
    return figure


def _null_gain(report: ReportData, chosen: Selection, encoder: str) -> float | None:
    """What the headline's null gains over all pairs; None where there is none."""
    rows = headline_table(report, chosen)
    rows = rows[(rows["encoder"] == encoder) & rows["null_gain"].notna()]
    return float(rows["null_gain"].iloc[0]) if len(rows) else None


def headline_pairs(report: ReportData, chosen: Selection, encoder: str | None = None) -> pd.DataFrame | None:
    """Near-homophone rows of the pair table in the headline's layer and distance; None where it has no gains."""
    pairs = report.tables.get("pairs")
    if pairs is None or "gain" not in pairs or "encoder" not in pairs:
        return None
    encoder = encoder or next((e for e in chosen.layers if (pairs["encoder"] == e).any()), None)
    here = pairs[
        (pairs["encoder"] == encoder) & pairs["relation"].astype(str).str.startswith("near_homophone") & pairs["gain"].notna()
    ]
    for name, value in (
        ("distance", chosen.keys["distance"]),
        ("split", chosen.keys["split"]),
        ("layer", chosen.layers.get(str(encoder))),
    ):
        if name in here and (here[name] == value).any():
            here = here[here[name] == value]
    return here.assign(**{name: np.nan for name in ("ci_low", "ci_high") if name not in here})


def heatmap_figure(report: ReportData, venue: Venue) -> Figure | None:
    """Mean gain of the pairs by phone distance and viseme distance, with the number of pairs in each cell."""
    chosen = selection(report)
    cells = heatmap_cells(headline_pairs(report, chosen))
    if cells is None:
        return None
    gains, counts = cells
    figure = _figure(venue.column, 2.5)
    axes = figure.subplots()
    limit = float(np.nanmax(np.abs(gains.to_numpy()))) or 1.0
    image = axes.imshow(gains.to_numpy(), cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", origin="lower")
    for i, j in np.argwhere(counts.to_numpy() > 0):
        strong = abs(gains.iloc[i, j]) > 0.6 * limit
        axes.text(
            j,
            i,
            f"{gains.iloc[i, j]:.2f}\nn={counts.iloc[i, j]}",
            ha="center",
            va="center",
            fontsize=_small(),
            color="white" if strong else "black",
        )
    axes.set_xticks(range(gains.shape[1]), [f"{v:.2f}" for v in gains.columns])
    axes.set_yticks(range(gains.shape[0]), [f"{v:.2f}" for v in gains.index])
    axes.set_xlabel("viseme distance")
    axes.set_ylabel("phone distance")
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label(f"mean gain ({chosen.keys['distance']})")
    bar.outline.set_linewidth(0.5)
    _footnote(figure, report)
    return figure


def heatmap_cells(pairs: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Mean gain and number of pairs by phone distance (rows) and viseme distance (columns), to tenths where there are many."""
    if pairs is None or not len(pairs) or "viseme_distance" not in pairs:
        return None
    table = pairs[["phone_distance", "viseme_distance", "gain"]].dropna()
    if not len(table):
        return None
    if table["phone_distance"].nunique() > 8 or table["viseme_distance"].nunique() > 8:
        table = table.assign(**{name: (table[name] / 0.1).round() * 0.1 for name in ("phone_distance", "viseme_distance")})
    grouped = table.round({"phone_distance": 3, "viseme_distance": 3}).groupby(["phone_distance", "viseme_distance"])["gain"]
    return grouped.mean().unstack(), grouped.size().unstack(fill_value=0)


def nulls_figure(report: ReportData, venue: Venue) -> Figure | None:
    """The draws of the headline null as a histogram with the observed value, one panel per encoder."""
    chosen = selection(report)
    entries = [n for n in report.figures.get("nulls") or [] if n.get("draws")]
    entries = [
        n for n in entries if full_null(n.get("null")) == chosen.null and n.get("layer") == chosen.layers.get(n.get("encoder"))
    ]
    entries = [n for n in entries if n.get("variant", chosen.variant) == chosen.variant]
    entries = [n for n in entries if n.get("distance", chosen.keys["distance"]) == chosen.keys["distance"]][:6]
    if not entries:
        return None
    columns = min(3, len(entries))
    lines = -(-len(entries) // columns)
    figure = _figure(venue.page if columns > 1 else venue.column, 1.35 * lines + 0.7)
    grid = figure.subplots(lines, columns, squeeze=False)
    for ax in grid.flat[len(entries) :]:
        ax.set_visible(False)
    for ax, entry in zip(grid.flat, entries, strict=False):
        ax.hist(entry["draws"], bins=20, color=variant_colour("null"), alpha=0.75, label=f"{len(entry['draws'])} null draws")
        ax.axvline(entry["observed"], color=variant_colour("wav2sem"), label="observed")
        ax.set_title(_plain_text(f"{entry['encoder']} (layer {report.layer_name(entry['encoder'], entry['layer'])})"))
        ax.set_xlabel(f"{spoken(entry.get('statistic', 'gain'))} ({chosen.keys['distance']})")
        ax.yaxis.get_major_locator().set_params(integer=True)
    grid[0, 0].set_ylabel("draws")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    _legend(figure, handles, labels, ncols=2)
    _footnote(figure, report, f"Null: {chosen.null.removeprefix('null:')}.")
    return figure


#: Every figure by its file name.
FIGURES: dict[str, Callable[[ReportData, Venue], Figure | None]] = {
    "headline": headline_figure,
    "map": map_figure,
    "layers": layers_figure,
    "distances": distances_figure,
    "pairs": pairs_figure,
    "pair_heatmap": heatmap_figure,
    "nulls": nulls_figure,
}
