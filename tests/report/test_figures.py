"""Figures for papers: every label inside the picture, no legend over data, fonts that publishers accept."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import ConfigurationError
from analysis.report.figures import FIGURES, _paper_style, draw_figures
from analysis.report.style import CATEGORICAL, VENUES


@pytest.mark.parametrize("venue", ["acl", "interspeech", "screen"])
@pytest.mark.parametrize("name", list(FIGURES))
def test_no_label_is_clipped_and_no_legend_covers_data(report, name, venue):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _paper_style(VENUES[venue]):
        figure = FIGURES[name](report, VENUES[venue])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        drawn = figure.get_tightbbox(renderer)  # inches; everything that is drawn, ticks outside the limits left out
        assert drawn.x0 >= -0.01 and drawn.y0 >= -0.01, drawn
        assert drawn.x1 <= figure.get_figwidth() + 0.01 and drawn.y1 <= figure.get_figheight() + 0.01, drawn
        for legend in figure.legends:
            box = legend.get_window_extent(renderer)
            for axes in figure.axes:
                assert not box.overlaps(axes.get_window_extent(renderer)), "the legend lies over data"
    expected = (VENUES[venue].column, VENUES[venue].page)
    assert min(abs(figure.get_figwidth() - width) for width in expected) < 1e-9


def test_fonts_are_embedded_as_truetype_and_svg_text_is_text(silent_report, tmp_path):
    written = draw_figures(silent_report, tmp_path, formats=("svg", "pdf"))
    pdf = written["headline.pdf"].read_bytes()
    streams = b"".join(
        zlib.decompress(m) if m.startswith(b"x") else m for m in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.S)
    )
    assert b"/Type3" not in pdf + streams and b"/FontFile2" in pdf + streams
    svg = written["headline.svg"].read_text(encoding="utf-8")
    assert "<text" in svg and "bundled" in svg


def test_the_map_says_what_it_is_for(silent_report, tmp_path):
    svg = " ".join(re.sub("<[^>]+>", " ", draw_figures(silent_report, tmp_path, formats=("svg",))["map.svg"].read_text()).split())
    assert "Maps are for looking" in svg and "trustworthiness 0.951" in svg and "with wav2sem" in svg


def test_a_dollar_sign_starts_no_formula(silent_report, tmp_path):
    table = silent_report.separation.assign(encoder="a$b$")
    odd = replace(silent_report, tables={**silent_report.tables, "separation": table}, figures={})
    assert "a$b$" in draw_figures(odd, tmp_path, formats=("svg",))["headline.svg"].read_text(encoding="utf-8")


def test_colours_stay_apart_for_colour_blind_readers():
    """Simulated after Machado, Oliveira and Fernandes 2009 (full severity); colours at least 15 apart in CIELAB."""
    kinds = {
        "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    }

    def lab(linear):
        xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
        f = np.cbrt(np.clip(xyz / [0.9505, 1, 1.089], 1e-4, None))
        return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)

    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in CATEGORICAL])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for kind, matrix in kinds.items():
        seen = lab(np.clip(linear @ np.array(matrix).T, 0, 1))
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 1e9 * np.eye(len(seen))
        i, j = np.unravel_index(apart.argmin(), apart.shape)
        assert apart.min() > 15, (kind, CATEGORICAL[i], CATEGORICAL[j], apart.min())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"venue": "nature"}, "There is no venue 'nature'. Choose one of acl, cvpr, interspeech, icassp, screen."),
        ({"formats": ("gif",)}, "There is no figure format 'gif'. Choose from png, svg, pdf."),
    ],
)
def test_unknown_venues_and_formats_list_the_valid_ones(silent_report, tmp_path, options, message):
    with pytest.raises(ConfigurationError) as raised:
        draw_figures(silent_report, tmp_path, **options)
    assert str(raised.value) == message
