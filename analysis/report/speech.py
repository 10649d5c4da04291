"""One utterance as a picture: waveform, spectrogram, words, phones and syllables on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.alignment.types import Alignment
from analysis.errors import ConfigurationError
from analysis.phonology.types import Syllable
from analysis.report.figures import _figure, _paper_style, _plain_text
from analysis.report.style import CATEGORICAL, VENUES
from analysis.timebase import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["speech_figure"]

_WINDOW = 0.025
_HOP = 0.005
_FLOOR = 80.0


def speech_figure(
    samples: np.ndarray,
    alignment: Alignment,
    syllables: Sequence[Syllable] = (),
    *,
    sampling_rate: int = 16_000,
    start: float = 0.0,
    end: float | None = None,
    venue: str = "screen",
) -> Figure:
    """Waveform above, spectrogram below it, then words, phones and syllables as labelled intervals.

    Parameters
    ----------
    samples : ndarray, shape (samples,)
        Mono.
    alignment : Alignment
    syllables : sequence of Syllable
        From :func:`analysis.phonology.syllables`.
    sampling_rate : int
        Hz.
    start, end : float
        The stretch shown, s; the whole utterance by default.
    venue : str
        One of :data:`analysis.report.style.VENUES`.

    Raises
    ------
    ConfigurationError
        If nothing lies between start and end.
    """
    end = min(end or np.inf, len(samples) / sampling_rate)
    if not 0 <= start < end:
        raise ConfigurationError(f"There is nothing to show from {start} s to {end:.3f} s of {alignment.utterance_id}.")
    tiers: dict[str, Sequence[Interval]] = {"words": alignment.words, "phones": alignment.phones}
    if syllables:
        tiers["syllables"] = [syllable.interval for syllable in syllables]
    with _paper_style(VENUES[venue]):
        figure = _figure(VENUES[venue].page, 2.6 + 0.32 * len(tiers))
        axes = figure.subplots(2 + len(tiers), 1, sharex=True, height_ratios=[1, 2, *[0.35] * len(tiers)])
        figure.set_layout_engine("constrained", h_pad=0.01, hspace=0)
        piece = np.asarray(samples[int(start * sampling_rate) : int(end * sampling_rate)], dtype=float)
        axes[0].plot(start + np.arange(len(piece)) / sampling_rate, piece, color="#4D4D4D", linewidth=0.4)
        axes[0].set_yticks([])
        axes[0].set_title(_plain_text(f"{alignment.utterance_id} ({alignment.source})"), loc="left")
        levels = _spectrogram(piece, sampling_rate)
        extent = (start, end, 0, sampling_rate / 2000)
        axes[1].imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="Greys", vmin=-_FLOOR, vmax=0)
        axes[1].set_ylabel("kHz")
        axes[1].set_ylim(0, min(8.0, sampling_rate / 2000))
        for ax, (name, intervals) in zip(axes[2:], tiers.items(), strict=True):
            _tier(ax, name, [i for i in intervals if i.end > start and i.start < end], start, end)
        for boundary in sorted({edge for word in alignment.words for edge in (word.start, word.end)}):
            for ax in axes[:2]:
                ax.axvline(boundary, color=CATEGORICAL[0], linewidth=0.6, alpha=0.8)
        axes[-1].set_xlim(start, end)
        axes[-1].set_xlabel("time (s)")
    return figure


def _spectrogram(samples: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Levels in dB below the loudest, frequencies by frames."""
    width, hop = round(_WINDOW * sampling_rate), round(_HOP * sampling_rate)
    padded = np.pad(samples, (width // 2, width // 2 + max(0, width - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), axis=1).T) ** 2
    loudest = power.max() or 1.0
    return 10 * np.log10(np.maximum(power / loudest, 10 ** (-_FLOOR / 10)))


def _tier(ax, name: str, intervals: Sequence[Interval], start: float, end: float) -> None:
    for number, interval in enumerate(intervals):
        left, right = max(interval.start, start), min(interval.end, end)
        ax.axvspan(left, right, color="#E8EEF4" if number % 2 else "#CFDDE8", linewidth=0)
        # A label that is wider than its interval is set smaller, down to what can still be read.
        room = (right - left) / (end - start) * ax.figure.get_figwidth() * 72 * 0.9
        size = min(8.0, room / (0.62 * max(1, len(interval.label))))
        if size >= 3.5:
            ax.text((left + right) / 2, 0.5, _plain_text(interval.label), ha="center", va="center", fontsize=size, clip_on=True)
    ax.set_ylim(0, 1)
    ax.set_yticks([0.5], [name])
    ax.tick_params(left=False)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
