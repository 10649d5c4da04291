"""The report for a pull request: the headline and what to doubt, as Markdown."""

from __future__ import annotations

import re

from analysis.report.export import markdown_table, markdown_text
from analysis.report.model import ReportData
from analysis.report.page import headline_cells, scale_free_cells
from analysis.report.summary import question, selection, synthetic_note, verdicts

__all__ = ["render_markdown"]

_SHOWN_FAILURES = 10


def render_markdown(report: ReportData, figures: tuple[str, ...] = ()) -> str:
    """The report as GitHub Markdown; ``figures`` are paths of pictures relative to the file."""
    chosen = selection(report)
    note = synthetic_note(report)
    parts = [f"# {markdown_text(report.title)}", *([f"> **{note}**"] if note else []), markdown_text(question(report))]
    parts.append("\n".join(f"- **{markdown_text(v['words'])}**: {markdown_text(v['text'])}" for v in verdicts(report)))
    names = {
        "encoder": "encoder", "layer": "layer", "without": "without", "with": f"with {chosen.variant}", "gain": "gain",
        "null": "gain of the null", "net": "net", "p": "p, two-sided", "p_adjusted": "p, adjusted", 
        "abx": "ABX error, without → with", "n": "over",
    }  # fmt: skip
    rows = headline_cells(report)
    if rows:
        parts.append(markdown_table({title: [row[key] for row in rows] for key, title in names.items()}))
        tag = "SYNTHETIC. " if note else ""
        parts.append(
            f"{tag}Mean distance of {markdown_text(chosen.sentence())}. Brackets: intervals. Net = gain − gain of the null."
        )
    parts += [markdown_text(str(text)) for text in report.figures.get("composition") or []]
    rows = scale_free_cells(report)
    if rows:
        names = {
            "encoder": "encoder", "layer": "layer", "statistic": "statistic", "distance": "distance", "relation": "pairs",
            "split": "split", "without": "without", "with": f"with {chosen.variant}", "null": "with the null", "net": "net",
        }  # fmt: skip
        parts.append("<details><summary>Scale-free statistics</summary>\n")
        parts.append(markdown_table({title: [row[key] for row in rows] for key, title in names.items()}))
        parts.append("</details>")
    parts += [f"![{path}]({path})" for path in figures]
    failures = report.tables.get("failures")
    if failures is not None and len(failures):
        shown = failures.head(_SHOWN_FAILURES)
        parts.append(f"<details><summary>{len(failures)} failures</summary>\n")
        parts.append(markdown_table({str(c): [str(v) for v in shown[c]] for c in shown.columns}))
        parts.append("</details>")
    corpus = report.corpus
    counted = ("n_utterances", "n_speakers", "n_tokens", "n_types")
    facts = ", ".join(f"{corpus[key]} {key.removeprefix('n_')}" for key in counted if corpus.get(key) is not None)
    provenance = {key: markdown_text(str(report.provenance.get(key, ""))) for key in ("aligner", "configuration_hash", "seed")}
    parts.append(
        f"Corpus {markdown_text(str(corpus.get('name', '')))}: {facts}; aligner {provenance['aligner']}; "
        f"configuration `{provenance['configuration_hash']}`, seed {provenance['seed']}."
    )
    command = str(report.provenance.get("command", ""))
    if command:
        longest = max(map(len, re.findall(r"`+", command)), default=0)
        fence = "`" * max(3, 1 + longest)
        parts.append(f"Repeat it:\n\n{fence}\n{command}\n{fence}")
    return "\n\n".join(parts) + "\n"
