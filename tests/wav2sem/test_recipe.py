"""From a corpus of recordings to a trained module that loads, hears and is evaluated, in both architectures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem import load_semantics
from analysis.wav2sem.__main__ import main
from analysis.wav2sem.recipe import PRESETS, Recipe, run, with_settings

SMALL = {
    "model_type": "wav2vec2", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [8] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Twelve short recordings by three speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    lines = ["path,transcript,speaker"]
    for number in range(12):
        soundfile.write(folder / f"u{number}.wav", 0.1 * rng.standard_normal(int(rng.integers(8000, 16000))), 16000)
        lines.append(f"u{number}.wav,The ship number {number % 5} comes in.,s{number % 3}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "manifest.csv")


def _heard_and_evaluated(out, manifest, capsys, dims):
    module = load_semantics(str(out), device="cpu")
    vector = module.from_waveforms([np.random.default_rng(1).standard_normal(9000).astype(np.float32)])
    assert vector.shape == (1, dims) and bool(vector.isfinite().all())
    assert main(["evaluate", str(out), "--corpus", manifest, "--held-out"]) == 0
    printed = capsys.readouterr().out
    for part in ("new speaker", "new text"):
        assert f"{out} ({part})" in printed
        assert f"baseline: mean ({part})" in printed and f"baseline: length ({part})" in printed


def test_the_published_architecture_is_trained_on_a_corpus(manifest, tmp_path, capsys):
    size = tmp_path / "config.json"
    size.write_text(json.dumps(SMALL))
    paper = with_settings(PRESETS["paper"], {"size": str(size), "text_model": "minilm", "epochs": 1})
    scores = run(paper, tmp_path / "run", corpus=manifest, progress=False)
    assert 0 <= scores["r1"] <= 1 and np.isfinite(scores["l1"])
    _heard_and_evaluated(tmp_path / "run", manifest, capsys, 384)
    told = json.loads((tmp_path / "run" / "training.json").read_text())
    assert (told["loss"], told["target"], told["learning_rate"], told["batch_size"]) == ("l1", "cls", 1e-4, 1)


def test_the_shared_architecture_is_trained_on_a_corpus(manifest, tmp_path, capsys):
    recipe = Recipe(host="random:bundled", width=32, depth=1, hidden=32, settings={"epochs": 1, "loss": "l1"})
    run(recipe, tmp_path / "run", corpus=manifest, progress=False)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["layers"] == [2, 4] and config["host"].startswith("random:bundled@") and config["norm"] == 0.0
    _heard_and_evaluated(tmp_path / "run", manifest, capsys, 384)


def test_requests_that_cannot_be_met(manifest, tmp_path):
    for recipe, given, message in (
        (Recipe(), {}, "Give either --corpus (recordings) or --sentences (text for the synthesiser), not both or none."),
        (Recipe(settings={"speed": 1}), {"corpus": manifest}, "A recipe has a setting that training does not know: "),
        (Recipe(architecture="other"), {"corpus": manifest}, "The architecture is 'shared' or 'reference', not 'other'."),
        (Recipe(layers=(2, 9)), {"corpus": manifest}, "The encoder 'bundled' has layers 0 to 4, not 2, 9."),
        (
            Recipe(architecture="reference", size="huge"),
            {"corpus": manifest},
            "The size is 'base', 'large', 'release-large' or the path of a config.json, not 'huge'.",
        ),
    ):
        with pytest.raises(ConfigurationError) as told:
            run(recipe, tmp_path / "none", **given, progress=False)
        assert str(told.value).startswith(message)
    with pytest.raises(SemanticsError, match="The encoder 'nowhere' to begin with cannot be loaded: "):
        run(Recipe(architecture="reference", initialize="nowhere"), tmp_path / "none", corpus=manifest, progress=False)
