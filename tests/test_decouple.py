"""The command line: one source for flags, YAML and notebooks; answers that a stranger can act on."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis import decouple
from analysis.errors import ConfigurationError
from analysis.report.document import Report
from analysis.separation.settings import DISTANCES, NULLS, VECTORS, SeparationSettings
from analysis.settings import DecoupleConfig, ProjectionSettings


def run_cli(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "analysis.decouple", *arguments], cwd=cwd, capture_output=True, text=True)


def test_no_arguments_means_the_demo_with_the_defaults():
    config, options = decouple.parse([])
    assert config == DecoupleConfig()
    assert config.corpus == "demo"
    assert options.check is None


def test_flags_that_users_were_promised():
    config, options = decouple.parse(
        "--corpus c --alignments a --aligner textgrid --encoder x --encoder y --wav2sem none --fusion add --unit word --layers 0,2 "
        "--lexicon l --device cpu --dtype bfloat16 --out o --seed 3 --strict --check b.json".split()
    )
    assert (config.corpus, config.alignments, config.aligner, config.encoder) == ("c", "a", "textgrid", ["x", "y"])
    assert (config.wav2sem, config.fusion, config.unit, config.layers) == ("none", "add", "word", "0,2")
    assert (config.lexicon, config.device, config.dtype, config.out) == ("l", "cpu", "bfloat16", "o")
    assert (config.seed, config.strict, options.check) == (3, True, "b.json")


def test_yaml_and_flags_and_nested_settings_come_from_one_place(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("unit: word\nseed: 5\nseparation:\n  n_nulls: 7\n", encoding="utf-8")
    config, _ = decouple.parse(["--config", str(path), "--seed", "6", "--separation.ci_level", "0.9"])
    assert (config.unit, config.seed, config.separation.n_nulls, config.separation.ci_level) == ("word", 6, 7, 0.9)
    assert config.separation.seed == 6, "the run's seed is the seed of its scores"


SETTINGS = "`python -m analysis.decouple --help` lists the settings and what they take."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} holds no setting. Write one a line, as NAME: VALUE."),
        (b"# nothing\n", "{path} holds no setting. Write one a line, as NAME: VALUE."),
        (b"just words\n", "{path}, line 1: lines of NAME: VALUE are expected."),
        (b"- a\n- b\n", "{path}, line 1: lines of NAME: VALUE are expected."),
        (b"corpus: d\xe9mo\n", "{path} is not UTF-8: byte 10 is 0xe9 (is it another encoding, such as Latin-1?). Save it as UTF-8."),
        ("seed: 1\n".encode("utf-16"), "{path} is not UTF-8: byte 1 is 0xff (is it UTF-16?). Save it as UTF-8."),
        (b"corpus: demo\0\n", "{path}, line 1: it is no YAML (the character '\\x00' may not stand in it)."),
        (b"seed: 1\ncorpus: [" + b"[" * 100_000, "{path}, line 2: it is nested more than 50 levels deep."),
        (b"projection: " + b"{a: " * 100_000, "{path}, line 1: it is nested more than 50 levels deep."),
        (b"corpus: &a [*a]\n", "{path}, line 1: *a is a reference. Write the value itself."),
        (b"seed: 1\nunit: word\nseed: 2\n", "{path}, line 3: seed stands in line 1 already."),
        (b"separation:\n  power: 1\n  power: 2\n", "{path}, line 3: separation.power stands in line 2 already."),
        (b"? [a]\n: 1\n", "{path}, line 1: a name is expected before the colon."),
        (b"out: 2020-02-31\n", "{path} cannot be read (day is out of range for month)."),
        (
            b"corpus: !!python/object/apply:os.system [ls]\n",
            "{path}, line 1: it is no YAML (could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system').",
        ),
        (b"seed: 1\nmin-tokens: 3\n", "{path}, line 2: there is no setting min-tokens; did you mean min_tokens?"),
        (b"1: 2\n", "{path}, line 1: there is no setting 1."),
        (b"\xef\xbb\xbfunit: word\nseed: x\n", "{path}, line 2: seed takes a whole number, not x."),
        (b"seed: null\n", "{path}, line 1: seed takes a whole number, not null."),
        (b"strict: 7\n", "{path}, line 1: strict takes true or false, not 7."),
        (b"dtype: float64\n", "{path}, line 1: dtype takes float32, bfloat16, float16, int8, fastest, not float64."),
        (b"encoder: mfcc\n", "{path}, line 1: encoder takes a sequence of texts, not mfcc. Write [mfcc]."),
        (b"layers: 3\n", '{path}, line 1: layers takes a text, not 3. Write "3", with quotation marks.'),
        (b"out: 2020-01-01\n", '{path}, line 1: out takes a text or null, not "2020-01-01". Write "2020-01-01", with quotation marks.'),
        (b"separation: 3\n", "{path}, line 1: separation takes lines of NAME: VALUE below it, not 3."),
        (b"separation:\nunit: word\n", "{path}, line 1: separation takes lines of NAME: VALUE below it, not null."),
        (b"separation:\n  power: high\n", "{path}, line 2: separation.power takes a number, not high."),
        (b"separation:\n  distances: l2\n", "{path}, line 2: separation.distances takes a sequence of texts, not l2. Write [l2]."),
        (b"separation:\n  powr: 1\n", "{path}, line 2: there is no setting separation.powr; did you mean power?"),
        (b"separation:\n  seed: 3\n", "{path}, line 2: separation.seed follows seed, which stands outside separation. Set that."),
        (b"separation: {scale: as_is}\n", "{path}, line 1: separation.scale follows scale, which stands outside separation. Set that."),
        (b"corpus: [" + b"a, " * 100 + b"b]\n", "{path}, line 1: corpus takes a text, not [" + '"a", ' * 11 + '"....'),
    ],
)
def test_a_foreign_file_of_settings_is_one_line_with_file_place_and_remedy(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    for words in (["--config", str(path)], [f"--config={path}"]):
        with pytest.raises(ConfigurationError) as caught:
            decouple.parse(words)
        assert str(caught.value) == f"{message.format(path=path)} {SETTINGS}"


def test_a_file_of_settings_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        decouple.parse(["--config", str(tmp_path)])
    assert str(caught.value) == f"There is no file {tmp_path} for --config. Give a YAML file with settings."


def test_a_file_for_one_group_of_settings(tmp_path):
    path = tmp_path / "scores.yaml"
    path.write_text("# mine\nn_nulls: 7\n", encoding="utf-8")
    assert decouple.parse(["--separation", str(path)])[0].separation.n_nulls == 7
    path.write_text("# mine\nn_nulls: few\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        decouple.parse(["--separation", str(path)])
    assert str(caught.value) == f"{path}, line 2: separation.n_nulls takes a whole number, not few. {SETTINGS}"


def test_the_gate_may_stand_in_a_file_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("check: b.json\naccept: [a/b]\nreason: known\naligner_options: {beam: 3}\n", encoding="utf-8")
    config, options = decouple.parse(["--config", str(path)])
    assert (options.check, options.accept, config.aligner_options) == ("b.json", ["a/b"], {"beam": 3})


def test_hyphens_are_as_good_as_underscores():
    assert decouple.parse(["--min-tokens", "9"])[0].min_tokens == 9


@pytest.mark.parametrize("name", decouple.preset_names())
def test_every_preset_is_a_valid_configuration(name):
    config, _ = decouple.parse(["--preset", name])
    assert config != DecoupleConfig()


def test_several_names_are_written_with_commas_or_as_a_list():
    for value in ("l2,cosine", "[l2, cosine]", '["l2", "cosine"]'):
        for words in (["--separation.distances", value], [f"--separation.distances={value}"]):
            assert decouple.parse(words)[0].separation.distances == ("l2", "cosine")
    found = decouple.parse(["--separation.splits", "same_speaker+different_utterance", "--separation.abx="])[0].separation
    assert (found.splits, found.abx) == (("same_speaker+different_utterance",), ())


def test_notebooks_may_write_one_encoder_and_paths():
    config = DecoupleConfig(encoder="mfcc", corpus=Path("speech"), out=Path("out"))
    assert (config.encoder, config.corpus, config.out) == (["mfcc"], "speech", "out")
    config.hash()
    for settings, message in (
        ({"unit": "phoneme"}, "--unit takes syllable, word, not 'phoneme'."),
        ({"dtype": "float64"}, "--dtype takes float32, bfloat16, float16, int8, fastest, not 'float64'."),
        ({"separation": 3}, "separation takes a dict of settings or SeparationSettings(...), not a int."),
    ):
        with pytest.raises(ConfigurationError) as raised:
            DecoupleConfig(**settings)
        assert str(raised.value) == message


def test_a_preset_yields_to_flags():
    assert decouple.parse(["--preset", "quick", "--layers", "all"])[0].layers == "all"


def test_layers_by_number_and_by_name():
    from analysis.settings import DecoupleConfig

    for text, numbers in (("all", [0, 1, 2]), ("last", [2]), ("final", ["final"]), ("final, 1,0", [0, 1, "final"])):
        assert DecoupleConfig(layers=text).layer_numbers(3) == numbers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "nope"], "There is no preset 'nope'. Presets: gate, paper, quick."),
        (["--encoder"], "--encoder needs a value."),
        (["--encoder", "a", "--encoder", "a"], "An encoder is named twice: a, a."),
        (["--threshold", "1.5"], "--threshold must lie between 0 and 1, not 1.5; the usual value is 0.4."),
        (["--layers", "x"], "--layers takes `all`, `last`, `final` or numbers such as 0,6,12, not 'x'."),
        (["--share", "0"], "--share must be positive (at most 10), not 0.0; the usual value is 0.5."),
        (["--aligner", "textgrid"], "--aligner textgrid reads existing files: name their folder with --alignments DIR."),
        (["--min_tokens", "0"], "--min_tokens must be at least 1, not 0."),
        (["--max_pairs", "-1"], "--max_pairs must be 0 or more, not -1."),
        (["--workers", "-2"], "--workers must be 0 or more, not -2."),
        (
            ["--separation.distances", "l2,l3"],
            "Separation setting distances has unknown value 'l3'. Valid: l2, l2_unit, mse, cosine, angular, l2_standardised, "
            "l2_whitened.",
        ),
        (
            ["--dtw", "--vectors", "store"],
            "--dtw aligns the frames of tokens, and store holds one pooled vector a token. Leave --vectors out, so that the corpus is "
            "aligned and encoded here, or leave --dtw out.",
        ),
        (
            ["--dtw", "--pooling", "parts"],
            "--dtw adds semantic vectors to frames, and --pooling parts has three times their dimensions. Use --pooling mean, or leave "
            "--dtw out.",
        ),
        *(
            (
                ["--dtw", setting],
                "--dtw takes ABX errors of warped frames, but these settings take none: abx_error must be among "
                "--separation.scale_free, a condition in --separation.abx and raw among --separation.vectors.",
            )
            for setting in (
                '--separation.scale_free=["silhouette"]',
                "--separation.abx=[]",
                '--separation.vectors=["utterance_centred"]',
            )
        ),
    ],
)
def test_settings_out_of_range_say_what_is_valid(arguments, message):
    with pytest.raises(ConfigurationError) as raised:
        decouple.parse(arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize("name, value", [("seed", "3"), ("share", "0.7"), ("fusion", "concat")])
def test_what_the_whole_run_shares_is_not_set_for_the_separation_alone(name, value, capsys):
    with pytest.raises(SystemExit) as ended:
        decouple.parse([f"--separation.{name}={value}"])
    assert ended.value.code == 2
    assert f'"separation.{name}" must be given via "{name}"' in capsys.readouterr().err
    config, _ = decouple.parse([f"--{name}={value}"])
    assert str(getattr(config.separation, name)) == str(getattr(config, name)) == value


def test_layers_that_the_encoder_lacks_are_named():
    with pytest.raises(ConfigurationError) as raised:
        DecoupleConfig(layers="0,12").layer_numbers(5)
    assert str(raised.value) == "--layers 0,12 asks for layers that do not exist; this encoder has layers 0 to 4."
    assert DecoupleConfig(layers="last").layer_numbers(5) == [4]
    assert DecoupleConfig().layer_numbers(3) == [0, 1, 2]


def test_a_folder_that_is_not_there_ends_with_exit_code_2(repository, tmp_path):
    done = run_cli("--corpus", str(tmp_path / "nowhere"), cwd=repository)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_answers_without_loading_anything_heavy(repository):
    code = (
        "import sys, contextlib, io\n"
        "from analysis import decouple\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    decouple.main(['--help'])\n"
        "assert '--encoder' in out.getvalue()\n"
        "print(sorted({'torch', 'transformers', 'umap', 'sklearn', 'matplotlib', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_says_what_every_setting_means_and_names_what_it_takes():
    settings = {
        "": DecoupleConfig,
        "separation.": SeparationSettings,
        "projection.": ProjectionSettings,
    }
    told = {action.dest: action.help or "" for action in decouple.parser()._actions}
    silent = [
        prefix + item.name
        for prefix, settings_class in settings.items()
        for item in dataclasses.fields(settings_class)
        if prefix or item.name not in ("separation", "projection")
        if not re.match(r"\w|`", told[prefix + item.name])
    ]
    assert not silent, "jsonargparse reads the help from docstrings where docstring-parser is installed"
    for name, valid in (("distances", DISTANCES), ("vectors", VECTORS), ("nulls", NULLS)):
        assert [one for one in valid if f"``{one}``" not in told[f"separation.{name}"]] == []


def test_what_sets_no_number_does_not_change_the_hash():
    assert DecoupleConfig().hash() == DecoupleConfig(out="elsewhere", workers=7, device="cpu", audio=False).hash()
    assert DecoupleConfig().hash() != DecoupleConfig(seed=1).hash()
    assert DecoupleConfig().hash() != DecoupleConfig(unit="word").hash()
    assert DecoupleConfig().hash() == DecoupleConfig(dtw=False).hash() != DecoupleConfig(dtw=True).hash()


def test_the_console_names_what_was_lost_first_and_says_where_there_is_no_interval(tmp_path):
    rows = [("alignment", f"u{i}", f"doubt {i}", "", "warning") for i in range(9)] + [("corpus", "u10", "gone", "", "error")]
    keys = {"relation": "near_homophone", "vectors": "raw", "average": "macro", "encoder": "mfcc", "layer": 0, "distance": "l2"}
    keys |= {"split": "different_utterance", "p_value": float("nan"), "ci_low": float("nan"), "ci_high": float("nan")}
    separation = [
        keys | {"variant": variant, "statistic": statistic, "null": null, "estimate": estimate}
        for variant, statistic, null, estimate in [
            ("without", "mean_distance", "", 10.0), ("wav2sem", "mean_distance", "", 12.5), ("wav2sem", "gain", "", 2.5),
            ("null:shuffled", "gain", "wav2sem", 3.0), ("wav2sem", "net", "shuffled", -0.5),
        ]
    ]  # fmt: skip
    report = Report(
        title="Title", corpus={}, provenance={}, configuration={"separation": {"ci_level": 0.9}},
        tables={
            "separation": pd.DataFrame(separation),
            "failures": pd.DataFrame(rows, columns=["stage", "item", "reason", "remedy", "severity"]),
        },
        figures={"headline": {"layers": {"mfcc": 0}}},
    )  # fmt: skip
    said = decouple._console(report, tmp_path)
    assert "net [90 % interval]" in said and "-0.5 [no interval]" in said
    found = said[said.index("1 left out, 9 warnings") :].splitlines()
    assert found[1] == "  corpus: u10: gone" and found[2] == "  alignment: u0: doubt 0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--check {folder}/none.json", "There is no baseline at {folder}/none.json. Write one with --accept-baseline."),
        ("--check {folder}/empty.json", "{folder}/empty.json is no JSON: line 1, column 1: Expecting value. Write one with --accept-baseline."),
        ("--accept row --reason because", "--accept ROW needs --check BASELINE.json: which baseline shall accept it?"),
        ("--accept row --check {folder}/none.json", "--accept ROW needs --reason TEXT: why is the lower score right?"),
        (
            "--check a.json --accept-baseline a.json",
            "--check compares with a baseline and --accept-baseline writes one: give one of",
        ),
    ],
)
def test_what_the_gate_cannot_do_is_told_before_anything_is_analysed(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "empty.json").touch()
    monkeypatch.setattr("analysis.pipeline.run", lambda *_: pytest.fail("analysed"))
    assert decouple.main(arguments.format(folder=tmp_path).split()) == 2
    assert capsys.readouterr().err.startswith(f"error: {message.format(folder=tmp_path)}")


def test_a_fusion_with_weights_takes_them_from_the_command_line():
    config, _ = decouple.parse(["--fusion", "linear", "--fusion_weights", "runs/fusion", "--layers", "4", "--scale", "as_is"])
    assert (config.separation.fusion, config.separation.fusion_weights) == ("linear", "runs/fusion")
    assert config.separation.scale == "as_is"
    assert decouple.parse([])[0].separation.fusion_weights == ""
