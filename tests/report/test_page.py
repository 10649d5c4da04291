from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_report import HOSTILE, synthetic_report

from analysis.report import Report, write_report
from analysis.report.clips import Clips
from analysis.report.figures import FIGURES
from analysis.report.markdown import render_markdown
from analysis.report.page import headline_cells, render_page, safe_json, scale_free_cells


class Elements(html.parser.HTMLParser):
    """Every start tag with its attributes, and the text of each script element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = dict(attributes).get("id", str(len(self.tags))) if tag == "script" else None

    def handle_endtag(self, tag):
        if tag == "script":
            self._inside = None

    def handle_data(self, text):
        if self._inside is not None:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + text


@pytest.fixture(scope="module")
def page(silent_report):
    return render_page(silent_report, Clips())


def test_the_layer_final_is_called_so(silent_report):
    """Of an encoder whose last layer is the state after its last norm; tables keep its number."""
    layers = max(silent_report.separation["layer"]) + 1
    card = dict(silent_report.provenance["encoders"]["bundled"]) | {"layers": layers, "final": True}
    figures = dict(silent_report.figures) | {
        "headline": dict(silent_report.figures["headline"]) | {"layers": {"bundled": layers - 1}}
    }
    report = replace(silent_report, provenance=dict(silent_report.provenance) | {"encoders": {"bundled": card}}, figures=figures)
    assert report.layer_name("bundled", layers - 1) == "final" and report.layer_name("bundled", 0) == "0"
    assert [row["layer"] for row in headline_cells(report)] == ["final"]
    assert {row["layer"] for row in scale_free_cells(report)} == {"final"}
    assert [row["layer"] for row in headline_cells(silent_report)] != ["final"]
    assert "| bundled | final |" in render_markdown(report)
    view = json.loads(Elements(render_page(report, Clips())).scripts["data"])
    assert view["final"] == {"bundled": layers - 1}


def test_nothing_points_outside_the_file(page):
    for tag, attributes in Elements(page).tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, value[:80])
    assert "default-src 'none'" in page and "connect-src 'none'" in page
    own = re.sub(r"<script>/\*\*\s*\n\* plotly.*?</script>", "", page, flags=re.S)
    assert "http://www.w3.org/2000/svg" in own and not re.search(r"https?://(?!www\.w3\.org)", own)


def test_corpus_text_becomes_no_element(page):
    found = Elements(page)
    assert [t for t, _ in found.tags].count("script") == 4
    data = json.loads(found.scripts["data"])
    assert HOSTILE in [u["text"] for u in data["utterances"]]
    assert not any(tag == "b" for tag, _ in found.tags)


def test_hostile_names_everywhere_are_escaped(silent_report):
    bad = '"><img src=x onerror=alert(1)>{{ 7*7 }}'
    table = silent_report.separation.assign(encoder=bad)
    tokens = silent_report.tables["tokens"].assign(speaker=bad, word=bad, type=bad)
    hostile = replace(
        silent_report,
        title=bad,
        corpus={**silent_report.corpus, "name": bad},
        provenance={
            **silent_report.provenance,
            "command": bad,
            "aligner": bad,
            "encoders": {bad: {bad: bad}},
            "versions": {bad: bad},
        },
        configuration={bad: bad},
        tables={**silent_report.tables, "separation": table, "tokens": tokens, bad: pd.DataFrame({bad: [bad]})},
        verdicts=[{"rule": bad, "encoder": bad, "layer": 0, "text": bad, "level": bad}],
        figures={**silent_report.figures, "headline": {}, "notes": [bad]},
    )
    found = Elements(render_page(hostile, Clips(missing={bad: bad}, note=bad)))
    assert not [tag for tag, attributes in found.tags if tag == "img" or "onerror" in attributes]
    assert "<img" not in re.sub(r"^```\n.*?^```", "", render_markdown(hostile), flags=re.S | re.M)


def test_json_in_a_script_cannot_end_it():
    text = safe_json({"a": "</script><!--\u2028", "b": float("nan"), "c": np.array([1.5, np.inf]), "d": np.int64(3)})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--\u2028", "b": None, "c": [1.5, None], "d": 3}


def test_scale_free_statistics_are_shown(silent_report):
    table = silent_report.separation
    warped = table[table["statistic"] == "abx_error"].assign(distance="dtw_angular", estimate=0.2468)
    shown = replace(silent_report, tables={**silent_report.tables, "separation": pd.concat([table, warped], ignore_index=True)})
    text = render_page(shown, Clips())
    body = re.search(r'<section id="scale-free".*?</section>', text, flags=re.S).group()
    (row,) = [row for row in re.findall(r"<tr>.*?</tr>", body, flags=re.S) if "dtw_angular" in row]
    assert re.sub(r"<[^>]+>", "|", row).count("|0.247 [") == 2 and "abx_error" in row
    (row,) = [row for row in render_markdown(shown).splitlines() if "dtw" in row]
    assert row.startswith(r"| bundled | 1 | abx\_error | dtw\_angular | all | different utterance | 0.247 \[")
    without = replace(silent_report, tables={"separation": table.query("statistic == 'gain'")})
    assert 'id="scale-free"' not in render_page(without, Clips()) and "Scale-free" not in render_markdown(without)


def test_map_columns_follow_the_tokens(silent_report, page):
    data = json.loads(Elements(page).scripts["data"])
    tokens, projection = silent_report.tables["tokens"], silent_report.tables["projection"]
    assert data["tokens"]["id"] == tokens["token"].tolist()
    assert [data["types"][k] for k in data["tokens"]["type"]] == tokens["type"].tolist()
    assert [data["utterances"][k]["id"] for k in data["tokens"]["utterance"]] == tokens["utterance"].tolist()
    for drawn in data["maps"]:
        rows = projection[(projection["variant"] == drawn["variant"]) & (projection["method"] == drawn["method"])]
        np.testing.assert_allclose(drawn["x"], rows.set_index("token").loc[tokens["token"], "x"], rtol=1e-4)
    kinds = {(min(a, b), max(a, b)): kind for a, b, kind in data["relations"]}
    pairs = silent_report.tables["pairs"].drop_duplicates(["type_a", "type_b"])
    for row in pairs.to_dict("records"):
        places = sorted(data["types"].index(t) for t in (row["type_a"], row["type_b"]) if t in data["types"])
        if len(places) == 2:
            assert kinds.get(tuple(places), "unrelated") == row["relation"]


def test_visemes_come_from_the_phones(page):
    data = json.loads(Elements(page).scripts["data"])
    shown = {
        data["types"][t]: data["groups"]["onset_viseme"][v]
        for t, v in zip(data["tokens"]["type"], data["tokens"]["onset_viseme"], strict=True)
    }
    labels = {phones.split()[0]: label for phones, label in shown.items()}
    assert labels["P"] == labels["B"] and {"P", "B", "M"} <= set(re.findall("[A-Z]+", labels["P"]))
    assert labels["P"] != labels["S"]


def test_a_report_of_separation_alone_still_opens(silent_report, tmp_path):
    bare = Report(
        title="bare",
        corpus={"name": "bare", "synthetic": False},
        provenance={},
        configuration={},
        tables={"separation": silent_report.separation, "failures": silent_report.failures.head(0)},
    )
    written = write_report(bare, tmp_path, formats=("svg",))
    text = written["report.html"].read_text(encoding="utf-8")
    assert "SYNTHETIC" not in Elements(text).scripts and '<section id="map"' not in text
    assert "Nothing: every recording, word and pair was used." in text
    assert set(written) >= {
        "report.json",
        "report.html",
        "report.md",
        "separation.csv",
        "figures/headline.svg",
        "figures/layers.svg",
    }
    assert "figures/map.svg" not in written


def test_synthetic_is_marked_wherever_numbers_are(silent_report, tmp_path):
    written = write_report(silent_report, tmp_path, formats=("svg",))
    text = written["report.html"].read_text(encoding="utf-8")
    sections = re.findall(r'<section id="(\w+)".*?</section>', re.sub(r"<script.*?</script>", "", text, flags=re.S), flags=re.S)
    for name in sections:
        body = re.search(rf'<section id="{name}".*?</section>', text, flags=re.S).group()
        assert name in ("failures", "provenance") or "SYNTHETIC" in body, name
    assert written["report.md"].read_text(encoding="utf-8").count("SYNTHETIC") >= 2
    for name, path in written.items():
        if name.startswith("figures/"):
            assert "ynthetic speech" in " ".join(re.sub("<[^>]+>", " ", path.read_text(encoding="utf-8")).split()), name
    assert "Synthetic speech" in written["tables/headline.tex"].read_text()


def test_equal_reports_give_equal_files(tmp_path, monkeypatch):
    """Only the times of the run may differ between two equal runs; rendering adds nothing of its own."""
    monkeypatch.setattr("analysis.report.figures.FIGURES", {name: FIGURES[name] for name in ("headline", "map")})
    folders = []
    for name in ("one", "two"):
        speech = tmp_path / "speech"
        speech.mkdir(exist_ok=True)
        same = synthetic_report(speech, encoders=("bundled",), layers=(0, 1), n_tokens=40, n_utterances=4, n_speakers=2)
        folders.append({key: path.read_bytes() for key, path in write_report(same, tmp_path / name).items()})
    assert folders[0].keys() == folders[1].keys()
    assert [key for key in folders[0] if folders[0][key] != folders[1][key]] == []
