"""What a notebook shows: escaped, with every headline number."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_report import HOSTILE

from analysis.alignment.types import Alignment
from analysis.errors import ConfigurationError
from analysis.report import SeparationTable, draw, speech_figure
from analysis.timebase import Interval


@pytest.fixture
def alignment():
    words = (Interval(0.1, 0.4, "ship"), Interval(0.4, 0.9, "<b>x</b>"))
    phones = (Interval(0.1, 0.2, "SH"), Interval(0.2, 0.3, "IH1"), Interval(0.3, 0.4, "P"), Interval(0.4, 0.9, "$AA1$"))
    return Alignment("u1", words, phones, 1.0, "by hand", confidence=0.5)


def test_alignment_shows_every_interval_as_text(alignment):
    shown = alignment._repr_html_()
    assert shown.count("<rect") == 6 and "&lt;b&gt;x&lt;/b&gt;" in shown and "<b>" not in shown
    assert "u1: 2 words, 4 phones, 1.00 s, by hand, confidence 0.5" in shown


def test_report_shows_headline_and_that_speech_is_synthetic(report):
    shown = report._repr_html_()
    assert "SYNTHETIC SPEECH" in shown and shown.count("<tr>") == 4 and "not supported" in shown


def test_separation_table_shows_what_differs_and_says_what_is_shared(report):
    table = SeparationTable(report.separation).where(statistic="net", distance="l2", layer=[3], relation="near_homophone")
    shown = table._repr_html_()
    assert len(table) == 3 * 3 * 2 * 2 and "The first 12 of 36 rows." in shown
    assert "relation: near_homophone" in shown and '<th scope="col">relation</th>' not in shown
    hostile = SeparationTable(report.separation.assign(note=HOSTILE))
    assert "<script" not in hostile._repr_html_()


def test_speech_figure_labels_words_phones_and_syllables(alignment):
    figure = speech_figure(np.random.default_rng(0).normal(size=16_000), alignment)
    texts = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"ship", "SH", "IH1", "P"} <= texts
    with pytest.raises(ConfigurationError) as raised:
        speech_figure(np.zeros(16_000), alignment, start=2.0)
    assert str(raised.value) == "There is nothing to show from 2.0 s to 1.000 s of u1."


def test_unknown_figures_list_the_valid_ones(report):
    with pytest.raises(ConfigurationError) as raised:
        draw(report, "umap")
    assert (
        str(raised.value)
        == "There is no figure 'umap'. Choose one of headline, map, layers, distances, pairs, pair_heatmap, nulls."
    )
