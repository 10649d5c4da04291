"""Commands and Python that people copy: all parse, and the commands of the README run, against small files where weights are missing."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(path for path in (REPOSITORY / "docs").rglob("*.md") if "_build" not in path.parts)]

# Stand for what only a user's machine has.
VARIABLES = {"$SHARD": "--shard 0 --num-shards 16", "$SLURM_ARRAY_TASK_ID": "0"}
# Too long for a test, or in need of weights that no test has: these are parsed only.
PARSED_ONLY = ("facebook/", "models/mine", "features:arrays/", "vectors/hubert")


def commands(path, language="bash"):
    """Command lines of the fenced blocks of a page, comments left out and continued lines joined."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield line, words


def of_the_toolkit(line):
    """The command and its arguments where the line is ``python -m analysis.COMMAND``, with variables filled in; else None."""
    for name, value in VARIABLES.items():
        line = line.replace(name, value)
    words = shlex.split(line, comments=True)
    if "-m" not in words or not words[words.index("-m") + 1].startswith("analysis."):
        return None
    place = words.index("-m") + 1
    return words[place].removeprefix("analysis."), words[place + 1 :]


def parse(command, arguments):
    """Raise SystemExit or an AnalysisError where the command does not take these arguments."""
    from importlib import import_module

    if command == "decouple":
        import_module("analysis.decouple").parse(arguments)
        return
    module = import_module(f"analysis.{command}.__main__")
    if hasattr(module, "parsers"):
        parsers = module.parsers()
        name = arguments[0] if arguments[0] in parsers else ""
        options = parsers[name].parse_args(arguments[1:] if name else arguments)
    else:
        options = module.parser().parse_args(arguments)
    assert isinstance(options, argparse.Namespace)


def all_commands():
    return [(path.relative_to(REPOSITORY), line) for path in PAGES for line, _ in commands(path) if of_the_toolkit(line)]


@pytest.mark.parametrize("page, line", all_commands(), ids=lambda value: str(value).strip()[:80])
def test_every_command_of_the_documentation_parses(page, line, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    command, arguments = of_the_toolkit(line)
    if "--config" in arguments:  # a file of the reader's
        place = arguments.index("--config")
        arguments[place : place + 2] = []
    if "--print_config" in arguments:
        arguments.remove("--print_config")
    try:
        parse(command, arguments)
    except SystemExit as stop:
        pytest.fail(f"{page}: {line}\n{capsys.readouterr().err}" if stop.code else f"{page}: {line} ends with help")


def test_every_make_target_of_the_documentation_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {target for path in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M)}
    assert {"demo", "test", "docs"} <= named <= targets


def test_python_of_the_documentation_compiles_and_its_imports_are_there():
    import ast

    seen = 0
    for path in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.S | re.M):
            tree = ast.parse(block, filename=str(path))
            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), str(path), "exec"), {})
            seen += 1
    assert seen > 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo):
    """What the README speaks of: ``speech/`` of three speakers and twelve pairs, and the release's checkpoint in small."""
    base = tmp_path_factory.mktemp("readme")
    speakers = sorted({utterance.speaker for utterance in demo})[:3]
    pairs = sorted({utterance.extra["pair"] for utterance in demo})[:12]
    for utterance in demo:
        if utterance.speaker in speakers and utterance.extra["pair"] in pairs:
            target = base / "speech" / utterance.speaker / utterance.audio.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(utterance.audio, target)
            target.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    _write_release(base / "model.pth.tar")
    return base


def _write_release(path):
    """A checkpoint with the names and the width of the released one and random weights of one layer."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    sizes = {
        "hidden_size": 768,
        "num_hidden_layers": 1,
        "num_attention_heads": 12,
        "intermediate_size": 64,
        "conv_dim": (16,) * 7,
    }
    torch.manual_seed(0)
    model = Wav2Vec2Model(Wav2Vec2Config(**sizes, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=16)).eval()
    names = {"feature_extractor": "FeatureExtractor", "feature_projection": "FeatureProjection", "encoder": "Encoder"}
    state = {}
    for key, value in model.state_dict().items():
        if key != "masked_spec_embed":
            first, rest = key.split(".", 1)
            rest = rest.replace("parametrizations.weight.original0", "weight_g")
            state[f"{names[first]}.{rest.replace('parametrizations.weight.original1', 'weight_v')}"] = value
    torch.save({"state_dict": state}, path)


@pytest.mark.filterwarnings("default")
def test_the_commands_of_the_readme_run(folder, monkeypatch, capsys):
    """One after the other, as they stand there; each has what those before it made."""
    from importlib import import_module

    monkeypatch.chdir(folder)
    ran = []
    for line, _ in commands(README):
        found = of_the_toolkit(line)
        if found is None or any(name in line for name in PARSED_ONLY):
            continue
        command, arguments = found
        main = import_module("analysis.decouple" if command == "decouple" else f"analysis.{command}.__main__").main
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code == 0, f"{line}\n{out}\n{err}"
        ran.append((command, out))
    assert [command for command, _ in ran] == [
        "corpus",
        "decouple",
        "corpus",
        "corpus",
        "wav2sem",
        "decouple",
        "decouple",
        "decouple",
    ]
    assert re.search(r"^speakers +3$", ran[0][1], re.M) and re.search(r"^left out +0$", ran[0][1], re.M)
    assert (folder / "reports" / "mine" / "report.html").is_file()
    assert (folder / "reports" / "released" / "report.html").is_file()
    assert (folder / "baseline.json").is_file() and "baseline" in ran[-1][1]


def test_the_figures_of_the_readme_are_those_that_its_command_prints(demo_run):
    """``make demo`` prints them; the README rounds to two decimals."""
    printed = (demo_run / "finished").read_text(encoding="utf-8")
    row = next(line for line in printed.splitlines() if re.match(r"l2 +different_text +wav2sem ", line))
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", row.split("wav2sem", 1)[1])][:7]
    line = next(line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| bundled Wav2Sem module"))
    stated = [float(number) for number in re.findall(r"-?\d+\.\d+", line.replace("−", "-"))]
    assert stated == pytest.approx(numbers, abs=0.02)


def test_the_readme_is_short_and_its_links_and_pictures_are_there():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (REPOSITORY / target).is_file(), target
