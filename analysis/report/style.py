"""Colours and sizes that every figure shares."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATEGORICAL", "RELATION_COLOURS", "SYMBOLS", "VARIANT_COLOURS", "VENUES", "Venue", "variant_colour"]

#: Okabe and Ito 2008, "Color universal design": distinct for all common forms of colour vision; without its yellow, which
#: vanishes on white; wine and brown are added. Any two are at least 15 apart in CIELAB for every simulated deficiency.
CATEGORICAL = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#882255", "#7A5C3E")
#: Marker shapes that go with the colours, so that no reading rests on colour alone: (plotly, matplotlib).
SYMBOLS = (
    ("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"),
    ("triangle-down", "v"), ("cross", "P"), ("x", "X"), ("star", "*"),
)  # fmt: skip
OTHER_COLOUR = "#9A9A9A"

VARIANT_COLOURS = {"without": "#4D4D4D", "wav2sem": "#0072B2", "oracle": "#009E73", "null": "#E69F00", "net": "#D55E00"}
RELATION_COLOURS = {
    "same_type": "#0072B2", "near_homophone": "#D55E00", "homophone": "#CC79A7", "synonym": "#009E73", "unrelated": "#8A8A8A",
}  # fmt: skip
NULL_COLOURS = {"null:shuffled": "#E69F00", "null:random": "#CC79A7", "null:constant": "#56B4E9", "null:frame_noise": "#882255"}


def variant_colour(variant: str) -> str:
    """The colour of a variant: nulls share warm tones, modules blue and green."""
    return NULL_COLOURS.get(variant) or VARIANT_COLOURS.get(variant) or VARIANT_COLOURS["wav2sem"]


@dataclass(frozen=True)
class Venue:
    """Widths in inches of one column and of the whole page, and the font size in points that goes with the text."""

    column: float
    page: float
    font: float
    family: str


#: Text widths of the official templates.
VENUES = {
    "acl": Venue(column=3.03, page=6.30, font=8.0, family="serif"),
    "cvpr": Venue(column=3.25, page=6.875, font=8.0, family="serif"),
    "interspeech": Venue(column=3.15, page=6.69, font=7.5, family="serif"),
    "icassp": Venue(column=3.39, page=7.0, font=8.0, family="serif"),
    "screen": Venue(column=5.0, page=9.0, font=10.0, family="sans-serif"),
}
