"""What a notebook shows for an alignment: words and phones on a time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from analysis.timebase import Interval

__all__ = ["tiers_html"]

_PIXELS_PER_SECOND = 260
_ROW = 26


def tiers_html(title: str, tiers: Mapping[str, Sequence[Interval]], duration: float) -> str:
    """The tiers as an SVG picture with a line of text above; every label is escaped."""
    width = max(200, round(duration * _PIXELS_PER_SECOND))
    shapes = []
    for row, (name, intervals) in enumerate(tiers.items()):
        top = row * _ROW
        for number, interval in enumerate(intervals):
            left, right = interval.start * _PIXELS_PER_SECOND, interval.end * _PIXELS_PER_SECOND
            label = escape(interval.label)
            shapes.append(
                f"<g><title>{name}: {label} {interval.start:.3f}–{interval.end:.3f} s</title>"
                f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{_ROW - 2}" '
                f'fill="{"#CFDDE8" if number % 2 else "#E8EEF4"}"/>'
                f'<text x="{(left + right) / 2:.1f}" y="{top + 16}" text-anchor="middle" font-size="11" fill="#1b1b1b">'
                f"{label}</text></g>"
            )
    ticks = "".join(
        f'<text x="{second * _PIXELS_PER_SECOND}" y="{len(tiers) * _ROW + 12}" font-size="10" fill="currentColor">{second} s</text>'
        for second in range(int(duration) + 1)
    )
    summary = escape(title)
    return (
        f"<p>{summary}</p>"
        f'<div style="overflow-x:auto"><svg role="img" aria-label="{summary}" width="{width}" height="{len(tiers) * _ROW + 16}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(shapes)}{ticks}</svg></div>'
    )
