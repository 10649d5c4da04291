"""The examples of CONTRIBUTING.md do what they say, and packages of other people are found by their entry points."""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest
import soundfile as sf

import analysis as wa
from analysis.errors import ConfigurationError

QUICK = {"distances": ("l2",), "vectors": ("raw",), "n_nulls": 5, "scale_free": ("fisher_ratio",), "n_permutations": 0}


@pytest.fixture(scope="module")
def examples(repository):
    """The code of each example, by its heading."""
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for part in text.split("\n### ")[1:]:
        found[part.splitlines()[0]] = dict(re.findall(r"```(\w+)\n(.*?)```", part, re.DOTALL))
    assert list(found) == ["An encoder", "An aligner", "A statistic", "A corpus reader", "A data set of vertices"]
    assert all(len(code.splitlines()) < 20 for codes in found.values() for code in codes.values())
    return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs a package with code and entry points, as pip would, for one test."""
    import importlib

    def install(name, code, points):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", points).replace('"', "")
        (info / "entry_points.txt").write_text(lines, encoding="utf-8")
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def few():
    return wa.open_corpus("demo")[:40]


def test_an_encoder_and_an_aligner_of_another_package(examples, installed, few):
    code = examples["An encoder"]["python"] + examples["An aligner"]["python"]
    installed("my_package", code, examples["An encoder"]["toml"] + examples["An aligner"]["toml"])
    aligned = wa.align(few, "even", keep_marked=True)
    assert aligned.source == "even 1" and set(aligned) == {one.id for one in few}
    tokens = wa.syllables(few, aligned, unit="word")
    vectors = wa.embed(few, tokens, encoder="energy")
    assert len(vectors) == len(tokens) and vectors.vectors.shape[1:] == (1, 2)
    assert (vectors.layer(0) >= 0).all() and vectors.layer(0).max() > 0.05
    assert wa.DecoupleConfig(aligner="even", encoder="energy").aligner == "even"


def test_what_is_wrong_with_another_package_is_said(installed):
    installed(
        "broken",
        "number = 3\nclass Wrong:\n    def __init__(self, target, *, device):\n        pass\n",
        "[analysis.encoders]\nnumber = broken:number\nwrong = broken:Wrong\nnothing = broken:nothing\n[analysis.aligners]\nnumber = broken:number\n",
    )

    def message(call, *arguments):
        with pytest.raises(ConfigurationError) as caught:
            call(*arguments)
        return str(caught.value)

    what = "broken announces 'number' in analysis.{} as broken:number, which is a int and cannot be called."
    assert message(wa.load_encoder, "number") == what.format("encoders")
    assert message(wa.make_aligner, "number") == what.format("aligners")
    assert message(wa.load_encoder, "wrong") == (
        "Encoder 'wrong': the package that announces 'wrong' gave a Wrong without an EncoderCard as card and a method encode(waveforms, "
        "layers)."
    )
    assert message(wa.load_encoder, "wrong?colour=red").startswith(
        "Encoder 'wrong?colour=red': the package that announces 'wrong' does not take this ("
    )
    assert message(wa.load_encoder, "nothing") == (
        "broken announces 'nothing' in analysis.encoders as broken:nothing, which cannot be loaded (AttributeError: module 'broken' has no "
        "attribute 'nothing'). Mend or uninstall the package."
    )
    assert message(wa.make_aligner, "nobody") == (
        "There is no aligner 'nobody'. Valid aligners: textgrid, pocketsphinx, mfa, labels, ctc, number."
    )
    installed("other", "number = 3\n", "[analysis.encoders]\nnumber = other:number\n")
    assert message(wa.load_encoder, "number") == (
        "Several installed packages announce 'number' in analysis.encoders: broken, other. Uninstall all but one."
    )


def test_a_statistic_of_parts_has_gains_nets_and_intervals(examples, few, monkeypatch):
    scope: dict = {}
    exec(examples["A statistic"]["python"], scope)
    monkeypatch.setattr("analysis.separation.scale_free.fisher_parts", scope["centroid_parts"])
    tokens = wa.syllables(few, wa.align(few))
    vectors = wa.embed(few, tokens, encoder="mfcc")
    meaning = wa.semantics(few, np.random.default_rng(0).normal(size=(len(few), 4)))
    result = wa.score(vectors, meaning, wa.near_homophones(tokens), settings=QUICK)
    rows = result.table[result.table["statistic"].str.startswith("fisher_ratio")]
    assert {"fisher_ratio", "fisher_ratio:gain", "fisher_ratio:net"} <= set(rows["statistic"])
    without = rows[(rows["statistic"] == "fisher_ratio") & (rows["variant"] == "without")]["estimate"].iloc[0]
    assert np.isfinite(without) and without > 0


def test_a_corpus_reader(examples, tmp_path, monkeypatch):
    from analysis.corpus import opening

    module = types.ModuleType("piped_lines")
    exec(examples["A corpus reader"]["python"], module.__dict__)
    monkeypatch.setitem(sys.modules, "piped_lines", module)
    monkeypatch.setattr(opening, "LAYOUTS", (opening.Layout("piped", "lines.psv", "piped_lines"), *opening.LAYOUTS))
    sf.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=16000), 16000)
    (tmp_path / "lines.psv").write_text("a|ann|the ship\nb|bob|the sheep\n", encoding="utf-8")
    corpus = wa.open_corpus(tmp_path)
    assert [(one.id, one.speaker, one.text) for one in corpus] == [("a", "ann", "the ship")]
    assert [failure.severity for failure in corpus.failures] == ["error"]


def test_a_data_set(examples, tmp_path):
    from analysis.face.datasets import find_dataset

    path = tmp_path / "mine.yaml"
    path.write_text(examples["A data set of vertices"]["yaml"], encoding="utf-8")
    found = find_dataset(str(path))
    assert (found.name, found.n_vertices, found.fps, found.units) == ("mine", 6172, 30, "mm")
