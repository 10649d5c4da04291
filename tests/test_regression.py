"""The gate: what passes, what fails, what cannot be compared, and that a worse encoder does not get through."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import BaselineError, ConfigurationError, StoreError
from analysis.regression import accept_row, compare, read_baseline, write_baseline
from analysis.report.document import Report
from analysis.separation import SeparationSettings, score
from analysis.separation.simulation import CorpusPlan, simulated_corpus


def _report(noise: float = 0.0, **provenance) -> Report:
    embeddings, semantics, pairs = simulated_corpus(CorpusPlan(speakers=8, pairs=20, dims=12))
    rng = np.random.default_rng(1)
    embeddings = replace(
        embeddings, vectors=(embeddings.vectors + noise * rng.standard_normal(embeddings.vectors.shape)).astype("f4")
    )
    settings = SeparationSettings(n_nulls=5, distances=("l2",), vectors=("raw",), scale_free=("abx_error",))
    table = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings).table
    return Report("t", {"name": "c"}, {"configuration_hash": "h", **provenance}, {"seed": 0}, {"separation": table})


@pytest.fixture(scope="module")
def report() -> Report:
    return _report()


def test_the_same_report_passes_and_a_worse_encoder_fails(report, tmp_path, monkeypatch):
    path = tmp_path / "baseline" / "b.json"
    written = write_baseline(report, path)
    assert read_baseline(path) == written
    assert compare(report, written).exit_code == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    comparison = compare(_report(noise=1.5), written)
    assert comparison.exit_code == 1
    failed = {found.row.statistic for found in comparison.rows if found.verdict == "regression"}
    assert {"between_within_ratio", "abx_error"} <= failed
    assert "REGRESSION" in (tmp_path / "summary.md").read_text()
    assert 0 < len(comparison.annotations()) <= 10


def test_missing_rows_fail_and_other_settings_are_not_comparable(report, tmp_path):
    baseline = write_baseline(report, tmp_path / "b.json")
    other = replace(report, tables={"separation": report.separation.assign(encoder="another")})
    assert {found.verdict for found in compare(other, baseline).rows} == {"missing"}
    changed = replace(report, provenance={"configuration_hash": "x"}, configuration={"seed": 1})
    comparison = compare(changed, baseline)
    assert (comparison.exit_code, "seed (0 -> 1)" in comparison.message) == (3, True)


def test_another_corpus_is_not_comparable(report, tmp_path):
    path = tmp_path / "b.json"
    write_baseline(replace(report, corpus={"name": "c", "transcripts": "aa"}), path)
    same = compare(replace(report, corpus={"name": "moved", "transcripts": "aa"}), read_baseline(path))
    assert same.exit_code == 0
    other = compare(replace(report, corpus={"name": "c", "transcripts": "bb"}), read_baseline(path))
    assert other.exit_code == 3
    assert other.message == (
        "Not comparable: the baseline was made on the corpus 'c', this report on 'c'; their utterances, speakers or transcripts "
        "differ. Analyse the baseline's corpus, or write a new baseline with --accept-baseline."
    )


def test_one_row_is_accepted_with_its_reason(report, tmp_path):
    path = tmp_path / "b.json"
    baseline = write_baseline(report, path)
    worse = _report(noise=1.5)
    name = next(found.row.name for found in compare(worse, baseline).rows if found.verdict == "regression")
    with pytest.raises(ConfigurationError, match="needs --reason TEXT"):
        accept_row(path, worse, name, reason=" ")
    changed = accept_row(path, worse, name, reason="a smaller encoder on purpose")
    assert [row.reason for row in changed.rows if row.name == name] == ["a smaller encoder on purpose"]
    assert name not in {found.row.name for found in compare(worse, read_baseline(path)).rows if found.verdict == "regression"}


def test_no_baseline_is_told(tmp_path):
    with pytest.raises(StoreError, match="There is no baseline at"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.slow
def test_a_worse_encoder_fails_the_projects_own_baseline(repository, monkeypatch):
    """The gate's own settings on the demo corpus, its vectors blurred by noise of their own size."""
    import analysis
    from analysis.decouple import parse
    from analysis.embeddings import extraction

    config, _ = parse(["--preset", "gate"])
    baseline = read_baseline(repository / "reports" / "baseline" / "demo.json")
    extract = extraction.extract

    def blurred(*arguments, **options):
        found = extract(*arguments, **options)
        vectors = found.embeddings.vectors
        noise = np.random.default_rng(0).standard_normal(vectors.shape) * vectors.std()
        return replace(found, embeddings=replace(found.embeddings, vectors=(vectors + noise).astype(vectors.dtype)))

    monkeypatch.setattr("analysis.embeddings.extract", blurred)
    comparison = compare(analysis.run(config, write=False), baseline)
    assert comparison.exit_code == 1, comparison.message
    assert "between_within_ratio" in {found.row.statistic for found in comparison.rows if found.verdict == "regression"}


def test_the_fixture_writes_holds_and_tells_in_words_of_pytest(report, tmp_path, repository):
    report.write(tmp_path / "good.json")
    _report(noise=1.5).write(tmp_path / "worse.json")
    write_baseline(report, tmp_path / "kept.json")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["analysis.pytest_plugin"]\n', encoding="utf-8")
    (tmp_path / "test_gate.py").write_text(
        "from pathlib import Path\nimport pytest\nfrom analysis.report.document import Report\n"
        "@pytest.mark.parametrize(('baseline', 'report'), [('kept', 'good'), ('kept', 'worse'), ('missing', 'good')])\n"
        "def test_gate(separation_baseline, baseline, report):\n"
        "    separation_baseline(f'{baseline}.json', Report.read(Path(f'{report}.json')))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])}

    def run_pytest(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout

    held = run_pytest()
    assert "1 passed" in held and "2 failed" in held and "Traceback" not in held and "REGRESSION" in held
    assert f"There is no baseline at {tmp_path}/missing.json. Write one with --accept-separation-baseline." in held
    assert "3 passed" in run_pytest("--accept-separation-baseline")
    assert read_baseline(tmp_path / "missing.json") == write_baseline(report, tmp_path / "again.json")


def test_a_report_fits_into_a_console(report):
    shown = repr(replace(report, verdicts=[{"text": "It does not."}]))
    assert shown == f"<Report: t\n  It does not.\n  tables: separation ({len(report.separation)})>"


GATE_CASES = Path(__file__).parents[2] / "shared" / "cases" / "robust" / "gate"


def edited(path, **changes):
    document = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        if name.startswith("row_"):
            document["rows"][0][name.removeprefix("row_")] = value
        else:
            document[name] = value
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": []}, "it holds no row"),
        ({"row_ci_low": math.nan}, "row 1, {row}: estimate {estimate:g}, interval [nan, {high:g}] is not of finite numbers"),
        ({"row_ci_low": -math.inf}, "row 1, {row}: estimate {estimate:g}, interval [-inf, {high:g}] is not of finite numbers"),
        ({"row_estimate": math.inf}, "row 1, {row}: estimate inf, interval [{low:g}, {high:g}] is not of finite numbers"),
        ({"row_ci_low": 1e9}, "row 1, {row}: estimate {estimate:g}, interval [1e+09, {high:g}] begins above its end"),
        ({"row_key": ["a"]}, "the key of row 1 has 1 parts, not {columns}"),
        ({"configuration": None}, "its configuration is null, not the settings of a run"),
        ({"configuration_hash": None}, "its configuration_hash is None"),
        ({"configuration_hash": ""}, "its configuration_hash is ''"),
    ],
)
def test_a_baseline_that_anything_would_pass_gives_no_verdict(report, tmp_path, changes, reason, capsys):
    path = tmp_path / "b.json"
    row = write_baseline(report, path).rows[0]
    edited(path, **changes)
    with pytest.raises(BaselineError) as raised:
        read_baseline(path)
    reason = reason.format(row=row.name, estimate=row.estimate, low=row.ci_low, high=row.ci_high, columns=len(row.key))
    assert str(raised.value) == (
        f"The baseline at {path} allows no verdict: {reason}. Was it edited, or merged with a conflict? Take it from version control "
        "again, or write a new one with --accept-baseline."
    )
    # before anything is analysed, and with the code that is neither a pass nor a regression
    from analysis.decouple import main

    assert main(["--corpus", "demo", "--check", str(path)]) == 3
    assert capsys.readouterr().err == f"error: {raised.value}\n"


def test_a_baseline_made_in_memory_fails_closed_too(report, tmp_path):
    baseline = write_baseline(report, tmp_path / "b.json")
    comparison = compare(report, replace(baseline, rows=()))
    assert (comparison.exit_code, comparison.message.partition(". ")[0]) == (3, "The baseline allows no verdict: it holds no row")


def test_an_infinite_score_is_no_better_score(report, tmp_path):
    baseline = write_baseline(report, tmp_path / "b.json")
    table = report.separation.assign(estimate=np.inf)
    comparison = compare(replace(report, tables={"separation": table}), baseline)
    assert (comparison.exit_code, {found.verdict for found in comparison.rows}) == (1, {"missing"})


@pytest.mark.skipif(not GATE_CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("norows", BaselineError, "allows no verdict: it holds no row."),
        ("nanlow", BaselineError, "is not of finite numbers."),
        ("inf", BaselineError, "is not of finite numbers."),
        ("confignull", BaselineError, "allows no verdict: its configuration is null, not the settings of a run."),
        ("conflict", StoreError, " is no JSON: line 136, column 2: Expecting property name enclosed in double quotes."),
    ],
)
def test_damaged_baselines_that_passed(name, error, message):
    with pytest.raises(error) as raised:
        read_baseline(GATE_CASES / f"{name}.json")
    assert message in str(raised.value)
    assert read_baseline(GATE_CASES / "ok.json").rows
