"""From a report to the files of a run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from analysis.engine import at_once
from analysis.report.clips import AUDIO_BUDGET, Clips, make_clips
from analysis.report.export import csv_tables, write_tables
from analysis.report.figures import FORMATS, draw_figures
from analysis.report.markdown import render_markdown
from analysis.report.model import ReportData
from analysis.report.page import render_page

__all__ = ["write_report"]

logger = logging.getLogger(__name__)


def write_report(
    report: ReportData,
    folder: Path,
    *,
    audio: bool = True,
    audio_budget: int = AUDIO_BUDGET,
    venue: str = "acl",
    formats: Sequence[str] = FORMATS,
    start: Callable[..., Future] = at_once,
) -> dict[str, Path]:
    """Write every rendering of ``report`` into ``folder``; returns the paths by file name.

    Parameters
    ----------
    report : ReportData
    folder : Path
        Made where it does not exist. Written: ``report.json``, ``report.html``, ``report.md``, ``separation.csv``, ``tables/``,
        ``figures/`` and, where the clips are over the budget, ``audio/``.
    audio : bool
        Whether the page holds the sound of the utterances.
    audio_budget : int
        Bytes of sound that may be inside the page; beyond it the clips are files beside it, and the page says so.
    venue : str
        Whose column widths the figures have: ``acl``, ``cvpr``, ``interspeech``, ``icassp`` or ``screen``.
    formats : sequence of str
        Of ``png``, ``svg``, ``pdf``; empty for no figures.
    start : callable
        How the figures are drawn: before the rest is written, or beside it with the function that
        :func:`analysis.engine.beside` gives.

    Raises
    ------
    ConfigurationError
        If the venue or a format is unknown.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawing = start(partial(draw_figures, report, folder, venue=venue, formats=formats))
    written = {"report.json": report.write(folder / "report.json")}
    csv = csv_tables(report)
    written |= {f"tables/{name}": path for name, path in write_tables(report, folder, csv).items()}
    written["separation.csv"] = _write(folder / "separation.csv", csv["separation"])
    clips = make_clips(report, folder, _heard(report), budget=audio_budget) if audio else Clips(note="Sound was switched off.")
    written["report.html"] = _write(folder / "report.html", render_page(report, clips, csv))
    figures = drawing.result()
    written |= {f"figures/{name}": path for name, path in figures.items()}
    pictures = tuple(f"figures/{name}" for name in ("headline.png", "map.png") if name in figures)
    written["report.md"] = _write(folder / "report.md", render_markdown(report, pictures))
    size = written["report.html"].stat().st_size
    logger.info("report.html: %.1f MB. %s", size / 1e6, clips.note)
    return written


def _heard(report: ReportData) -> list[str]:
    """Utterances that the page can play: those with a token on the map, and the marked ones."""
    heard: list[str] = []
    tokens, quality = report.tables.get("tokens"), report.tables.get("quality")
    if tokens is not None and "utterance" in tokens:
        heard += tokens["utterance"].astype(str).tolist()
    if quality is not None and {"utterance", "marked"} <= set(quality.columns):
        heard += quality.loc[quality["marked"].astype(bool), "utterance"].astype(str).tolist()[:15]
    if not heard and quality is not None and "utterance" in quality:
        heard += quality["utterance"].astype(str).tolist()[:15]
    return heard


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
