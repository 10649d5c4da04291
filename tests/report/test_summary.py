from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report.summary import (
    HEADLINE_COLUMNS,
    SCALE_FREE_COLUMNS,
    headline_table,
    interval,
    number,
    p_value,
    question,
    scale_free_table,
    selection,
    synthetic_note,
    verdicts,
)


def looked_up(report, **wanted):
    """One number of the separation table, found by a plain loop."""
    found = [row for row in report.separation.to_dict("records") if all(row[k] == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_headline_holds_the_rows_that_the_run_names(report):
    table = headline_table(report)
    assert tuple(table.columns) == HEADLINE_COLUMNS
    assert list(table["encoder"]) == ["bundled", "random:bundled", "mfcc"]
    place = {"layer": 3, "distance": "l2", "relation": "near_homophone", "split": "different_utterance"}
    for row in table.to_dict("records"):
        here = {**place, "encoder": row["encoder"]}
        without = looked_up(report, **here, variant="without", statistic="mean_distance")
        gain = looked_up(report, **here, variant="wav2sem", statistic="gain")
        null = looked_up(report, **here, variant="null:shuffled", statistic="gain", null="wav2sem")
        net = looked_up(report, **here, variant="wav2sem", statistic="net", null="shuffled")
        assert [row["without"], row["without_low"], row["without_high"]] == [
            without[k] for k in ("estimate", "ci_low", "ci_high")
        ]
        assert row["gain"] == gain["estimate"] and row["null_gain"] == null["estimate"]
        assert [row["net"], row["p_value"], row["p_adjusted"]] == [net[k] for k in ("estimate", "p_value", "p_adjusted")]
        assert row["net"] == pytest.approx(row["gain"] - row["null_gain"])
        assert row["abx_with"] - row["abx_without"] == pytest.approx(0.01)
    assert list(table["level"]) == ["unclear", "not_supported", "supported"]


def with_warped_rows(report):
    """``report`` with ABX errors of near-homophones under time warping, of two modules and their nulls, in every layer."""
    rows = []
    for place in report.separation[["encoder", "layer"]].drop_duplicates().to_dict("records"):
        base = {**report.separation.iloc[0].to_dict(), **place, "distance": "dtw_angular", "split": "different_utterance"}
        base |= {"relation": "near_homophone", "ci_low": 0.1, "ci_high": 0.4, "null": "", "statistic": "abx_error"}
        off = place["layer"] / 1000
        rows.append({**base, "variant": "without", "estimate": 0.3 + off})
        for module, gain in (("wav2sem", 0.05), ("oracle", 0.09)):
            rows.append({**base, "variant": module, "estimate": 0.3 - gain + off})
            for null, of_null in (("random", 0.01), ("shuffled", 0.02)):
                rows.append({**base, "variant": f"null:{null}", "null": module, "estimate": 0.3 - gain * of_null + off})
                net = gain * (of_null - 1)
                rows.append({**base, "variant": module, "null": null, "statistic": "abx_error:net", "estimate": net})
    table = pd.concat([report.separation, pd.DataFrame(rows)], ignore_index=True)
    return replace(report, tables={**report.tables, "separation": table})


def test_scale_free_statistics_stand_with_their_null_and_net(report):
    table = scale_free_table(with_warped_rows(report))
    assert tuple(table.columns) == SCALE_FREE_COLUMNS
    keys = ["encoder", "statistic", "distance", "relation", "split"]
    expected = [
        (encoder, statistic, distance, relation, "different_utterance")
        for encoder in ("bundled", "random:bundled", "mfcc")
        for statistic, distance, relation in (
            ("abx_error", "dtw_angular", "near_homophone"),
            ("between_within_ratio", "l2", "all"),
            ("between_within_ratio", "cosine", "all"),
        )
    ]
    assert list(table[keys].itertuples(index=False, name=None)) == expected, (
        "pairs where the statistic knows them, else all types"
    )
    warped = table[table["distance"] == "dtw_angular"]
    assert warped[["layer", "without", "with", "null", "net"]].to_numpy() == pytest.approx(
        np.array([[3, 0.303, 0.253, 0.302, -0.049]] * 3)
    )
    assert (warped[["net_low", "net_high"]] == [0.1, 0.4]).all(axis=None)
    table = scale_free_table(report)
    for row in table.to_dict("records"):
        place = {name: row[name] for name in (*keys, "layer")}
        assert row["without"] == looked_up(report, **place, variant="without")["estimate"]
        assert row["with"] == looked_up(report, **place, variant="wav2sem")["estimate"]
    assert len(table) == 12 and table["null"].isna().all(), "what was not taken is absent"
    none = replace(report, tables={"separation": report.separation.query("statistic == 'gain'")})
    assert list(scale_free_table(none).columns) == list(SCALE_FREE_COLUMNS) and scale_free_table(none).empty


def test_without_wishes_the_selection_is_completed_from_the_table(report):
    bare = replace(report, figures={})
    chosen = selection(bare)
    assert dict(chosen.keys) == {
        "distance": "l2", "split": "different_utterance", "relation": "near_homophone", "vectors": "raw", "average": "macro",
        "pooling": "mean", "unit": "syllable",
    }  # fmt: skip
    assert (chosen.variant, chosen.null, set(chosen.layers.values())) == ("wav2sem", "null:shuffled", {6})
    assert headline_table(bare)["net"].notna().all()


def test_a_run_without_a_module_still_has_a_headline(report):
    table = report.separation
    plain = replace(report, tables={**report.tables, "separation": table[table["variant"] == "without"]}, figures={}, verdicts=[])
    assert selection(plain).variant == "" and selection(plain).null == ""
    found = headline_table(plain)
    assert found["without"].notna().all() and found["gain"].isna().all()
    assert verdicts(plain)[0]["text"] == "This run drew no verdict."
    assert question(plain) == "Does the module move near-homophones further apart?"


def test_a_run_whose_headline_has_no_pairs_says_why_there_is_no_verdict(report):
    headline = {**report.figures["headline"], "split": "different_text+different_speaker"}
    one_text = replace(report, figures={**report.figures, "headline": headline}, verdicts=[])
    assert verdicts(one_text)[0]["text"] == (
        "This run drew no verdict: no near-homophones of different texts and different speakers could be compared, and other "
        "comparisons cannot bear the claim. Add recordings of other sentences that hold the words."
    )


def test_verdicts_on_several_encoders_say_which(report):
    one, other = {"encoder": "mfcc", "text": "it rises", "level": "unclear"}, {"encoder": "bundled", "text": "it rises"}
    assert [found["text"] for found in verdicts(replace(report, verdicts=[one, one]))] == ["it rises", "it rises"]
    assert [found["text"] for found in verdicts(replace(report, verdicts=[one, other]))] == [
        "mfcc: it rises",
        "bundled: it rises",
    ]


def test_an_empty_table_gives_an_empty_headline(report):
    empty = replace(report, tables={"separation": report.separation.head(0), "failures": report.failures}, figures={})
    assert len(headline_table(empty)) == 0


def test_synthetic_speech_is_named_and_real_speech_is_not(report):
    assert synthetic_note(report).startswith("SYNTHETIC SPEECH: no person spoke these recordings.")
    assert synthetic_note(replace(report, corpus={**report.corpus, "synthetic": False})) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.123"), (-0.5, "−0.500"), (12345.6, "12346"), (0.0, "0.00"), (-1e-12, "0.00000000"), (3, "3"), (-3, "−3"),
        (math.nan, "–"), (None, "–"), (math.inf, "–"), (True, "yes"), ("text", "text"), (np.float32(0.25), "0.250"), (pd.NA, "–"),
        (np.bool_(False), "no"), (np.int64(7), "7"),
    ],
)  # fmt: skip
def test_numbers_as_shown(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.5, 0.41, 0.6501), "0.500 [0.410, 0.650]"), ((2.0, -0.5, 12.0), "2.0 [−0.5, 12.0]"),
        ((0.5, math.nan, math.nan), "0.500"),
        ((math.nan, 0.0, 1.0), "–"), ((None, None, None), "–"), ((0.0, 0.0, 0.0), "0.00 [0.00, 0.00]"),
    ],
)  # fmt: skip
def test_intervals_as_shown(values, shown):
    assert interval(*values) == shown


@given(st.floats(-1e6, 1e6))
def test_a_shown_number_is_near_the_number(value):
    read = float(number(value).replace("−", "-"))
    assert read == pytest.approx(value, rel=0.006, abs=1e-8)


def test_p_values_as_shown():
    assert [p_value(p) for p in (0.0001, 0.0336, 1.0, math.nan, None)] == ["< 0.001", "0.034", "1.000", "–", "–"]
