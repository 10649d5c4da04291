"""A stretch of a longer recording's tiers, on the clock of that stretch."""

from __future__ import annotations

from analysis.alignment.tiers import TextGridContent, Tier

__all__ = ["part_of", "without_gaps"]

# A cut closer than this to an interval's edge leaves the interval whole, s.
_EDGE = 0.0015


def part_of(content: TextGridContent, start: float, end: float) -> TextGridContent:
    """What lies between ``start`` and ``end`` (s), with times counted from ``start``.

    An interval or point belongs to the stretch in which its middle lies; what reaches over an edge is cut there.
    """
    tiers = []
    for tier in content.tiers:
        entries: list[tuple] = []
        for entry in tier.entries:
            first, last, label = (entry[0], entry[-2], entry[-1])
            middle = 0.5 * (first + last)
            if label.strip() and not start <= middle < end:
                continue
            first, last = max(first, start) - start, min(last, end) - start
            if tier.interval and last > first + (0.0 if label.strip() else _EDGE):
                entries.append((round(first, 6), round(last, 6), label))
            elif not tier.interval:
                entries.append((round(first, 6), label))
        tiers.append(Tier(tier.name, tier.interval, tuple(entries)))
    return TextGridContent(0.0, end - start, tuple(tiers), content.reader)


def without_gaps(tier: Tier, end: float) -> Tier:
    """The tier with an empty interval wherever it has none from 0 to ``end`` s: for formats that leave pauses out."""
    filled: list[tuple[float, float, str]] = []
    position = 0.0
    for first, last, label in sorted(tier.entries, key=lambda entry: (entry[0], entry[1])):
        if first > position:
            filled.append((position, first, ""))
        filled.append((first, last, label))
        position = max(position, last)
    if position < end:
        filled.append((position, end, ""))
    return Tier(tier.name, tier.interval, tuple(filled))
