"""The interactive page: one HTML file that needs nothing beside it and asks nothing of the network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.clips import Clips
from analysis.report.export import csv_tables, tables_archive
from analysis.report.model import ReportData
from analysis.report.style import CATEGORICAL, NULL_COLOURS, OTHER_COLOUR, RELATION_COLOURS, SYMBOLS, VARIANT_COLOURS
from analysis.report.summary import (
    Selection,
    averaged,
    headline_table,
    interval,
    number,
    p_value,
    pair_labels,
    question,
    scale_free_table,
    selection,
    spoken,
    synthetic_note,
    type_labels,
    verdicts,
    without_other_modules,
)

__all__ = ["headline_cells", "render_page", "safe_json", "scale_free_cells", "stylesheet", "template"]

# More rows than this of one table make a page slow to open; the complete table is in the archive that the page carries.
_SHOWN_ROWS = 200
_SEPARATION_ROWS = 40_000
_PAIR_ROWS = 5_000
_WORST = 15
_KNOWN_TABLES = ("separation", "pairs", "composition", "tokens", "projection", "utterances", "quality", "failures")


# More points than these are drawn by the graphics card, fewer as shapes.
_WEBGL_POINTS = 1500


def render_page(report: ReportData, clips: Clips, csv: Mapping[str, str] | None = None) -> str:
    """The whole page as HTML text: styles, scripts, data and embedded sound included.

    ``csv`` are the texts of :func:`analysis.report.export.csv_tables`, where they are at hand.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    chosen = selection(report)
    view = {
        "synthetic": bool(report.corpus.get("synthetic")),
        "headline": {"variant": chosen.variant, "null": chosen.null, "layers": dict(chosen.layers), **chosen.keys},
        "summary": _records(headline_table(report, chosen)),
        "final": _final_layers(report),
        "colours": {
            "categorical": CATEGORICAL, "other": OTHER_COLOUR, "relation": RELATION_COLOURS, "variant": VARIANT_COLOURS,
            "nulls": NULL_COLOURS, "symbols": [plotly for plotly, _ in SYMBOLS],
        },
        **_token_view(report),
        "separation": _separation_view(report),
        "pairs": _pair_view(report),
        "histograms": report.figures.get("histograms") or [],
        "nulls": [n for n in report.figures.get("nulls") or [] if n.get("variant", chosen.variant) == chosen.variant],
    }  # fmt: skip
    view["webgl"] = len(view["tokens"]["id"]) > _WEBGL_POINTS
    made_of = [str(text) for text in report.figures.get("composition") or []]
    archive = tables_archive(csv_tables(report) if csv is None else csv)
    return template("report.html").render(
        report=report,
        question=question(report),
        verdicts=verdicts(report),
        note=synthetic_note(report),
        notes=[str(text) for text in report.figures.get("notes") or [] if str(text) not in made_of],
        made_of=made_of,
        permuted=_permuted(report, chosen),
        headline=headline_cells(report),
        scale_free=scale_free_cells(report),
        selection=chosen,
        has_map=bool(view["maps"]),
        has_layers=view["separation"]["n_layers"] > 1,
        has_histograms=bool(view["histograms"]),
        has_pairs=bool(view["pairs"]),
        has_nulls=any(entry.get("draws") for entry in view["nulls"]),
        quality=_quality(report),
        failures=_cells(_errors_first(report.tables.get("failures"))),
        composition=_records(composition) if (composition := report.tables.get("composition")) is not None else [],
        others={name: _cells(table, _SHOWN_ROWS) for name, table in report.tables.items() if name not in _KNOWN_TABLES},
        table_sizes={name: table.shape for name, table in report.tables.items()},
        cards=_cards(report),
        clips=clips,
        configuration=json.dumps(_jsonable(report.configuration), indent=2, ensure_ascii=False),
        versions=report.provenance.get("versions") or {},
        corpus_facts=_corpus_facts(report),
        # plotly makes the programs of the graphics card from text, which is what this word of the policy allows
        webgl=view["webgl"],
        archive_size=len(archive),
        archive=base64.b64encode(archive).decode(),
        data=Markup(safe_json(view)),
        sound=Markup(safe_json(clips.sources)),
        plotly=Markup(get_plotlyjs()),
        css=stylesheet(),
        script=Markup(_template_text("report.js")),
    )


def template(name: str) -> Any:
    """A template of this package with every value escaped unless it is marked as markup."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, interval=interval, p_value=p_value)
    return environment.get_template(name)


def _template_text(name: str) -> str:
    return resources.files("analysis.report").joinpath("templates", name).read_text(encoding="utf-8")


def stylesheet() -> Any:
    """The styles of every page, as markup."""
    from markupsafe import Markup

    return Markup(_template_text("report.css"))


def safe_json(value: Any) -> str:
    """JSON that may stand inside a script element: no ``<`` in it, so no text can close the element; NaN becomes null."""
    text = json.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def headline_cells(report: ReportData) -> list[dict[str, str]]:
    """The headline's rows as rounded text, for every rendering."""
    rows = []
    for row in headline_table(report).to_dict("records"):
        cells = {"encoder": str(row["encoder"]), "layer": report.layer_name(row["encoder"], row["layer"])}
        for name, first in (("without", "without"), ("with", "with"), ("gain", "gain"), ("null", "null_gain"), ("net", "net")):
            cells[name] = interval(row[first], row[f"{name}_low"], row[f"{name}_high"])
        cells["p"], cells["p_adjusted"] = p_value(row["p_value"]), p_value(row["p_adjusted"])
        abx = (row["abx_without"], row["abx_with"])
        cells["abx"] = " → ".join(map(number, abx)) if any(map(math.isfinite, abx)) else "–"
        cells["n"] = f"{_counted(row['n_type_pairs'], 'pair')}, {_counted(row['n_speakers'], 'speaker')}"
        cells["level"] = row["level"]
        rows.append(cells)
    return rows


def scale_free_cells(report: ReportData) -> list[dict[str, str]]:
    """The rows of the scale-free statistics as rounded text, for every rendering."""
    rows = []
    for row in scale_free_table(report).to_dict("records"):
        cells = {name: str(row[name]) for name in ("encoder", "statistic", "distance")}
        cells["layer"] = report.layer_name(row["encoder"], row["layer"])
        cells |= {name: spoken(row[name]) for name in ("relation", "split")}
        for name in ("without", "with", "null", "net"):
            cells[name] = interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
        rows.append(cells)
    return rows


def _final_layers(report: ReportData) -> dict[str, int]:
    """The number of the layer that is called ``final``, of the encoders that have one."""
    cards = dict(report.provenance.get("encoders") or {})
    return {str(name): int(card["layers"]) - 1 for name, card in cards.items() if card.get("final")}


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _token_view(report: ReportData) -> dict[str, Any]:
    """Tokens as columns of codes, and every map's coordinates in the order of the tokens."""
    tokens, projection = report.tables.get("tokens"), report.tables.get("projection")
    if tokens is None or projection is None or not len(tokens) or not len(projection):
        return {
            "tokens": {"id": []},
            "types": [],
            "labels": [],
            "utterances": _utterance_view(report, []),
            "maps": [],
            "relations": [],
        }
    type_codes, types = _codes(tokens["type"])
    labels = type_labels(tokens)
    utterance_codes, utterances = _codes(tokens["utterance"])
    speaker_codes, speakers = _codes(tokens["speaker"])
    view: dict[str, Any] = {
        "tokens": {
            "id": tokens["token"].tolist(),
            "word": (tokens["word"] if "word" in tokens else tokens["type"]).astype(str).tolist(),
            "type": type_codes, "utterance": utterance_codes, "speaker": speaker_codes,
            "start": tokens["start"].round(4).tolist(), "end": tokens["end"].round(4).tolist(),
        },
        "types": types, "labels": [labels[name] for name in types], "speakers": speakers, "utterances": _utterance_view(report, utterances),
    }  # fmt: skip
    view["groups"] = {}
    for name, visemes in _viseme_labels(tokens).items():
        view["tokens"][name], view["groups"][name] = _codes(visemes)
    view["maps"] = _map_view(report, tokens, projection)
    pairs = report.tables.get("pairs")
    relations: list[list[Any]] = []
    if pairs is not None and {"type_a", "type_b", "relation"} <= set(pairs.columns):
        place = {name: index for index, name in enumerate(types)}
        known = pairs[["type_a", "type_b", "relation"]].drop_duplicates()
        for left, right, relation in known.itertuples(index=False, name=None):
            kind = str(relation).split(":")[0]
            if left in place and right in place and kind != "unrelated":
                relations.append([place[left], place[right], kind])
    view["relations"] = relations
    return view


def _viseme_labels(tokens: pd.DataFrame) -> dict[str, list[str]]:
    """What is seen of each token: the viseme classes of its nucleus and of its onset's first phone, with their phones."""
    if "viseme" in tokens:
        return {"viseme": tokens["viseme"].astype(str).tolist()}
    if "phones" not in tokens:
        return {}
    from analysis.phonology import load_visemes

    classes = load_visemes()
    members: dict[str, list[str]] = {}
    for phone, viseme in classes.items():
        members.setdefault(viseme, []).append(phone)

    def label(phone: str) -> str:
        viseme = classes.get(phone, "")
        return f"{viseme} ({' '.join(members[viseme])})" if viseme else "none"

    phones = tokens["phones"].astype(str).str.split()
    nuclei = [
        n or (p[0] if p else "") for n, p in zip(tokens.get("nucleus", pd.Series("", index=tokens.index)), phones, strict=True)
    ]
    return {
        "viseme": [label(str(n).split(" ")[0]) for n in nuclei],
        "onset_viseme": [label(str(o).split(" ")[0]) for o in tokens.get("onset", pd.Series("", index=tokens.index))],
    }


def _map_view(report: ReportData, tokens: pd.DataFrame, projection: pd.DataFrame) -> list[dict[str, Any]]:
    if "method" not in projection:
        projection = projection.assign(method="umap")
    known = {
        (e.get("encoder"), e.get("layer"), e.get("method", "umap"), e.get("variant")): e
        for e in report.figures.get("projections") or []
    }
    maps = []
    for key, rows in projection.groupby(["encoder", "layer", "method", "variant"], sort=False):
        placed = rows.drop_duplicates("token").set_index("token").reindex(tokens["token"])
        entry = known.get((str(key[0]), int(key[1]), str(key[2]), str(key[3])), {})
        maps.append(
            {
                "encoder": str(key[0]), "layer": int(key[1]), "method": str(key[2]), "variant": str(key[3]),
                "x": _short(placed["x"]), "y": _short(placed["y"]),
                "trustworthiness": entry.get("trustworthiness"), "continuity": entry.get("continuity"),
                "parameters": entry.get("parameters") or {}, "quality": entry.get("quality") or {},
            }
        )  # fmt: skip
    return maps


def _utterance_view(report: ReportData, needed: Sequence[str]) -> list[dict[str, Any]]:
    """Id, transcript and speaker: first those of the tokens in their order, then the others."""
    table = report.tables.get("utterances")
    known: dict[str, dict[str, Any]] = {}
    if table is not None and len(table):
        column = "utterance" if "utterance" in table else "id"
        for row in table.to_dict("records"):
            known[str(row[column])] = {
                "id": str(row[column]),
                "text": str(row.get("text", "")),
                "speaker": str(row.get("speaker", "")),
            }
    rest = [name for name in known if name not in set(needed)]
    return [known.get(name, {"id": name, "text": "", "speaker": ""}) for name in [*needed, *rest]]


def _separation_view(report: ReportData) -> dict[str, Any]:
    """The separation table as codes and rounded numbers, for the curves; its widest part is left to the archive."""
    table = report.separation
    chosen = selection(report)
    table = without_other_modules(averaged(table, chosen), chosen.variant)
    # A null's row names its module where a net's row names its null: only the latter is shown.
    table = table.assign(null=table["null"].where(~table["variant"].str.startswith("null:"), ""))
    complete = len(table) <= _SEPARATION_ROWS
    if not complete:
        table = table[(table["distance"] == chosen.keys["distance"])].head(_SEPARATION_ROWS)
    view: dict[str, Any] = {
        "complete": complete,
        "n_layers": int(table["layer"].nunique()),
        "layer": table["layer"].tolist(),
        "levels": {},
    }
    for name in ("encoder", "distance", "relation", "split", "variant", "statistic", "null"):
        view[name], view["levels"][name] = _codes(table[name])
    for name in ("estimate", "ci_low", "ci_high"):
        view[name] = _short(table[name], 6)
    return view


def _pair_view(report: ReportData) -> dict[str, Any]:
    """The pair table at each encoder's headline layer and distance, as columns."""
    pairs = report.tables.get("pairs")
    if pairs is None or not {"encoder", "gain", "type_a", "type_b", "relation"} <= set(pairs.columns) or not len(pairs):
        return {}
    chosen = selection(report)
    for name in ("distance", "split"):
        if name in pairs and (pairs[name] == chosen.keys[name]).any():
            pairs = pairs[pairs[name] == chosen.keys[name]]
    if "layer" in pairs:
        wanted = pairs["encoder"].map(chosen.layers)
        pairs = pairs[(pairs["layer"] == wanted) | wanted.isna()]
    n_all = len(pairs)
    if n_all > _PAIR_ROWS:
        order = pairs["n_token_pairs"] if "n_token_pairs" in pairs else pd.Series(range(n_all, 0, -1), index=pairs.index)
        near = pairs["relation"].astype(str).str.startswith("near_homophone")
        pairs = pairs.loc[
            pd.DataFrame({"near": near, "order": order}).sort_values(["near", "order"], ascending=False).index[:_PAIR_ROWS]
        ]
    view: dict[str, Any] = {"n_all": n_all, "label": pair_labels(pairs)}
    for name in ("encoder", "type_a", "type_b", "relation", "edit_class", "words_a", "words_b", "made_of"):
        if name in pairs:
            view[name] = pairs[name].astype(str).tolist()
    for name in (
        "phone_distance",
        "viseme_distance",
        "without",
        chosen.variant,
        "gain",
        "ci_low",
        "ci_high",
        "net",
        "n_token_pairs",
    ):
        if name and name in pairs:
            view["with" if name == chosen.variant else name] = _short(pairs[name])
    return view


def _quality(report: ReportData) -> dict[str, Any] | None:
    """The worst utterances first (marked ones), with their transcripts; None without a quality table."""
    table = report.tables.get("quality")
    if table is None or not len(table):
        return None
    column = "utterance" if "utterance" in table else str(table.columns[0])
    marked = table["marked"].astype(bool) if "marked" in table else pd.Series(False, index=table.index)
    order = table.assign(_marked=marked)
    by = ["_marked"] + (["confidence"] if "confidence" in table else [])
    order = order.sort_values(by, ascending=[False, True][: len(by)], kind="stable", na_position="last")
    texts = {u["id"]: u["text"] for u in _utterance_view(report, [])}
    measures = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c]) and not pd.api.types.is_bool_dtype(table[c])]
    rows = [
        {
            "utterance": str(row[column]), "text": texts.get(str(row[column]), ""), "marked": bool(row["_marked"]),
            "reasons": str(row.get("reasons", "") or ""), "measures": [number(row[m]) for m in measures],
        }
        for row in order.head(_WORST).to_dict("records")
    ]  # fmt: skip
    middle = [
        {
            "measure": m,
            "median": number(float(table[m].median())),
            "worst": number(float(table[m].min())),
            "most": number(float(table[m].max())),
        }
        for m in measures
    ]
    return {"rows": rows, "measures": measures, "n": len(table), "n_marked": int(marked.sum()), "summary": middle}


def _errors_first(failures: pd.DataFrame | None) -> pd.DataFrame | None:
    """What lost something before what is only doubtful."""
    if failures is None or "severity" not in failures:
        return failures
    return failures.sort_values("severity", key=lambda column: column != "error", kind="stable")


def _cells(table: pd.DataFrame | None, rows: int = 1000) -> dict[str, Any]:
    if table is None:
        return {"columns": [], "rows": [], "n": 0}
    return {
        "columns": [str(c) for c in table.columns],
        "rows": [
            [number(v) if not isinstance(v, str) else v for v in row]
            for row in table.head(rows).itertuples(index=False, name=None)
        ],
        "n": len(table),
    }


def _cards(report: ReportData) -> list[tuple[str, str, list[tuple[str, str]]]]:
    found = []
    for kind in ("encoders", "semantics"):
        for name, card in dict(report.provenance.get(kind) or {}).items():
            facts = (
                [(str(k), number(v) if isinstance(v, int | float) else str(v)) for k, v in dict(card).items()]
                if isinstance(card, Mapping)
                else [("", str(card))]
            )
            found.append((kind, str(name), facts))
    return found


def _permuted(report: ReportData, chosen: Selection) -> str:
    """The permutation test of the headline's net, in words; empty where there was none."""
    table = report.separation
    if "p_permutation" not in table:
        return ""
    rows = table[(table["statistic"] == "net") & (table["variant"] == chosen.variant) & table["p_permutation"].notna()]
    for name in ("relation", "split", "distance", "vectors", "average"):
        rows = rows[rows[name] == chosen.keys[name]]
    draws = (report.configuration.get("separation") or {}).get("n_permutations")
    found = [
        f"{row.encoder} {p_value(row.p_permutation)}" for row in rows.itertuples() if chosen.layers.get(row.encoder) == row.layer
    ]
    return f"One-sided p of {draws} shuffles: {', '.join(found)}." if found else ""


def _corpus_facts(report: ReportData) -> list[tuple[str, str]]:
    c = report.corpus
    facts = [("corpus", str(c.get("name", "")))]
    for key, words in (
        ("n_utterances", "utterances"),
        ("n_speakers", "speakers"),
        ("n_texts", "texts"),
        ("n_tokens", "tokens"),
        ("n_types", "types"),
    ):
        if c.get(key) is not None:
            facts.append((words, f"{int(c[key]):,}".replace(",", "\u202f")))
    if c.get("speakers_from"):
        facts.append(("speakers from", str(c["speakers_from"])))
    if c.get("duration") is not None:
        facts.append(("speech", f"{float(c['duration']) / 60:.1f} min"))
    facts.append(("aligner", str(report.provenance.get("aligner", ""))))
    return facts


def _codes(values: Iterable[Any]) -> tuple[list[int], list[str]]:
    codes, levels = pd.factorize(pd.Series(list(values), dtype="object").astype(str))
    return codes.tolist(), [str(level) for level in levels]


def _short(values: pd.Series, digits: int = 5) -> list[float | None]:
    """Numbers with ``digits`` significant digits: half the bytes, no visible difference."""
    array = np.asarray(values, dtype=float)
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in array]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")
