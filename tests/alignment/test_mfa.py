"""The MFA aligner against a stand-in for the command: arguments, files in and out, failures. The real MFA cannot be had here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, align_cached, make_aligner, quality_table
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, ExternalProgramError, Failure

STAND_IN = Path(__file__).with_name("mfa_stand_in.py")


def command(folder, name="mfa", body=None):
    """An executable of that name; by default the stand-in."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(body or f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def mfa(tmp_path, monkeypatch):
    command(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "bin"


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    found = []
    for name, text, speaker, channels in (
        ("A/one two", "The sheep!", "anna b", 1), ("A/3", "2 ship", "bert", 2), ("B/one two", "ship", "anna b", 1)
    ):  # fmt: skip
        path = folder / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * rng.normal(size=(16000, channels)), 16000)
        found.append(Utterance(name, path, text, speaker, 1.0, 16000))
    return found


@pytest.mark.parametrize("output", ["textgrid", "json"])
def test_words_phones_and_mfa_s_own_measures_come_back(mfa, utterances, output):
    found = list(make_aligner("mfa", output=output).align(utterances))
    assert all(isinstance(one, Alignment) for one in found)
    assert [one.utterance_id for one in found] == [one.id for one in utterances]
    first = found[0]
    assert [(word.label, round(word.start, 3), round(word.end, 3)) for word in first.words] == [
        ("the", 0.1, 0.5), ("sheep", 0.5, 0.9)
    ]  # fmt: skip
    assert [phone.label for phone in first.phones] == ["DH", "AH0", "SH", "IY1", "P"]
    assert [word.label for word in found[1].words] == ["two", "ship"], "numbers are written out"
    assert (first.source, first.inventory, first.confidence) == ("mfa 3.4.3 english_us_arpa", "arpabet", -45.25)
    assert dict(first.measures) == {
        "overall_log_likelihood": -50.5, "phone_duration_deviation": 1.5, "max_running_short_interval": 0.0, "snr": 12.5
    }  # fmt: skip
    table = quality_table(found, utterances)
    assert table["aligner_snr"].tolist() == [12.5] * 3 and table["score_per_frame"].tolist() == [-45.25] * 3


def test_ipa_models_keep_their_phones(mfa, utterances):
    (found,) = make_aligner("mfa", acoustic="english_mfa").align(utterances[:1])
    assert found.inventory == "english_mfa"
    assert [phone.label for phone in found.phones] == ["ð", "ə", "ʃ", "iː", "p"]
    from analysis.phonology import syllables

    assert [syllable.type for syllable in syllables(found)] == ["DH AH", "SH IY P"]


def test_the_command_line_is_that_of_mfa_3(mfa, utterances, tmp_path):
    dictionary, g2p = tmp_path / "own.dict", tmp_path / "own.zip"
    dictionary.write_text("sheep SH IY1 P\n")
    g2p.write_text("")
    work = tmp_path / "work"
    aligner = make_aligner(
        "mfa",
        dictionary=dictionary,
        g2p=g2p,
        num_jobs="3",
        single_speaker="true",
        beam=100,
        retry_beam="400",
        output="json",
        folder=work,
    )
    list(aligner.align(utterances))
    run = work / "run-0000"
    assert json.loads((run / "temporary" / "given.json").read_text()) == [
        str(run / "corpus"), str(dictionary), "english_us_arpa", str(run / "output"),
        "--output_format", "json", "--temporary_directory", str(run / "temporary"), "--num_jobs", "3", "--clean", "--overwrite",
        "--g2p_model_path", str(g2p), "--single_speaker", "--beam", "100", "--retry_beam", "400",
    ]  # fmt: skip
    laid = {path.relative_to(run / "corpus").as_posix() for path in (run / "corpus").rglob("*.*")}
    assert laid == {f"s0000{s}/u00000{u}.{kind}" for s, u in ((0, 0), (0, 1), (1, 2)) for kind in ("wav", "lab")}
    assert (run / "corpus/s00000/u000000.wav").is_symlink(), "mono audio is linked"
    assert soundfile.info(run / "corpus/s00001/u000002.wav").channels == 1, "stereo is mixed down"
    assert (run / "corpus/s00001/u000002.lab").read_text() == "two ship\n"


def test_shards_keep_speakers_together(mfa, utterances, tmp_path):
    list(make_aligner("mfa", shard=1, folder=tmp_path / "work").align(utterances))
    runs = [sorted(path.name for path in run.glob("corpus/*/*.lab")) for run in sorted((tmp_path / "work").iterdir())]
    assert runs == [["u000000.lab", "u000001.lab"], ["u000000.lab"]]


def test_a_shard_is_run_when_its_first_utterance_is_due(mfa, utterances, tmp_path):
    found = make_aligner("mfa", shard=1, folder=tmp_path / "work").align(utterances)
    next(found)
    assert [run.name for run in (tmp_path / "work").iterdir()] == ["run-0000"], "what is finished can be kept before all is"


def test_what_mfa_leaves_out_is_a_failure(mfa, utterances):
    bad = [
        replace(utterances[0], id="x", text="unalignable sheep"),
        replace(utterances[0], id="y", audio=Path("/nowhere/y.wav")),
        replace(utterances[0], id="z", text="..."),
    ]
    hard, missing, bare, good = make_aligner("mfa").align([*bad, utterances[2]])
    assert hard == Failure(
        "alignment", "x", "MFA wrote no alignment for it: no path through the words of the transcript fits within its beams.",
        "Does the transcript belong to this recording, and is it complete? Else try beam=100 and retry_beam=400.",
    )  # fmt: skip
    assert missing.reason.startswith("/nowhere/y.wav does not exist.")
    assert bare.reason == "The transcript '...' has no words."
    assert isinstance(good, Alignment)
    assert isinstance(next(make_aligner("mfa", beam=100).align(bad[:1])), Alignment)


def test_words_without_pronunciation_are_named(mfa, utterances):
    (found,) = make_aligner("mfa").align([replace(utterances[0], text="zorblax sheep")])
    assert [phone.label for phone in found.phones] == ["SH", "IY1", "P"]
    assert found.warnings == ("1 stretches of speech have no phones (spn): words outside the dictionary. Give a g2p model.",)


def test_a_failing_mfa_shows_command_exit_code_and_last_lines(mfa, utterances, tmp_path):
    work = tmp_path / "work"
    with pytest.raises(ExternalProgramError) as error:
        list(make_aligner("mfa", folder=work).align([replace(utterances[0], text="crash")]))
    run = work / "run-0000"
    assert str(error.value) == (
        f"The command\n    mfa align {run}/corpus english_us_arpa english_us_arpa {run}/output --output_format long_textgrid "
        f"--temporary_directory {run}/temporary --num_jobs 1 --clean --overwrite\nended with exit code 1. Its last lines:\n"
        f"    Traceback (most recent call last):\n    kalpy.exceptions.DecodeError: it broke\n"
        f"Its last lines say why; `mfa validate` on the same corpus and dictionary says more."
    )
    with pytest.raises(ExternalProgramError) as error:
        list(make_aligner("mfa", acoustic="klingon_mfa").align(utterances))
    assert "Error: Invalid value for 'DICTIONARY_PATH': Could not find a model named \"klingon_mfa\"." in str(error.value)
    assert error.value.returncode == 2


INSTALL = (
    "Install it: conda create -n aligner -c conda-forge montreal-forced-aligner; then give environment=aligner, or activate it. "
    "Models: mfa model download acoustic english_us_arpa; mfa model download dictionary english_us_arpa. Without it, take the "
    "aligner pocketsphinx, or read TextGrids that MFA wrote elsewhere."
)


def test_without_mfa_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExternalProgramError) as error:
        make_aligner("mfa")
    assert str(error.value) == (
        f"The command\n    mfa align\ncould not be started. Its last lines:\n    mfa: not found on PATH\n{INSTALL}"
    )
    with pytest.raises(ExternalProgramError) as error:
        make_aligner("mfa", environment="aligner")
    assert str(error.value) == (
        f"The command\n    conda run -n aligner mfa align\ncould not be started. Its last lines:\n"
        f"    conda, mamba, micromamba: none is on PATH\n{INSTALL}"
    )


def test_a_conda_environment_by_name(tmp_path, monkeypatch, utterances):
    body = f"""#!/bin/sh
[ "$1 $2 $3 $4 $5" = "run -n aligner --no-capture-output mfa" ] || {{ echo "EnvironmentLocationNotFound: $3"; exit 1; }}
shift 5
exec "{sys.executable}" "{STAND_IN}" "$@"
"""
    command(tmp_path / "bin", "conda", body)
    (tmp_path / "bin" / "sh").symlink_to(shutil.which("sh"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (found,) = make_aligner("mfa", environment="aligner").align(utterances[:1])
    assert found.source == "mfa 3.4.3 english_us_arpa"
    with pytest.raises(ExternalProgramError) as error:
        make_aligner("mfa", environment="other")
    assert "    conda run -n other --no-capture-output mfa version\nended with exit code 1." in str(error.value)


def test_other_versions_and_options_are_refused(tmp_path, monkeypatch, mfa):
    def message(**options):
        with pytest.raises(ConfigurationError) as error:
            make_aligner("mfa", **options)
        return str(error.value)

    assert message(output="ctm") == "The mfa aligner has no output 'ctm'. Choose one of textgrid, json."
    assert message(num_jobs=0) == "The mfa aligner's num_jobs must be a whole number of at least 1, not 0."
    assert message(beam="wide") == "The mfa aligner's beam must be a whole number of at least 1, not 'wide'."
    assert message(single_speaker="perhaps") == "The mfa aligner's single_speaker is true or false, not 'perhaps'."
    assert message(text="german") == "The mfa aligner has no text 'german'. Choose one of auto, english, as_written."
    command(mfa, body="#!/bin/sh\necho 4.0.0\n")
    assert message() == (
        "The mfa aligner speaks to MFA 3.x, and `mfa version` says 4.0.0. "
        "Install montreal-forced-aligner=3 from conda-forge in an environment of its own, and name it."
    )


def test_the_cache_key_changes_with_models_and_options(mfa, utterances, tmp_path, monkeypatch):
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "root"))
    dictionary = tmp_path / "own.dict"
    dictionary.write_text("sheep SH IY1 P\n")
    aligners = [
        make_aligner("mfa"),
        make_aligner("mfa", acoustic="english_mfa"),
        make_aligner("mfa", dictionary=dictionary),
        make_aligner("mfa", beam=100),
        make_aligner("mfa", single_speaker=True),
        make_aligner("mfa", g2p="english_us_arpa"),
    ]
    keys = [aligner.cache_key(utterances[0]) for aligner in aligners]
    dictionary.write_text("sheep SH IH1 P\n")
    keys.append(make_aligner("mfa", dictionary=dictionary).cache_key(utterances[0]))
    downloaded = tmp_path / "root" / "pretrained_models" / "acoustic" / "english_us_arpa.zip"
    downloaded.parent.mkdir(parents=True)
    downloaded.write_text("another version of the model")
    keys.append(make_aligner("mfa").cache_key(utterances[0]))
    assert len(set(keys)) == len(keys)
    assert make_aligner("mfa", num_jobs=2).cache_key(utterances[0]) == keys[-1], "how fast it runs changes nothing"


def test_cached_alignments_keep_the_measures(mfa, utterances, tmp_path):
    first = list(align_cached(make_aligner("mfa"), utterances, tmp_path))
    command(mfa, body="#!/bin/sh\n[ $1 = version ] && echo 3.4.3 || exit 9\n")
    assert list(align_cached(make_aligner("mfa"), utterances, tmp_path)) == first


def test_the_stand_in_refuses_what_mfa_does_not_have(mfa, tmp_path):
    """Otherwise the tests above would show nothing about the arguments."""
    (tmp_path / "corpus").mkdir()
    places = [str(tmp_path / "corpus"), "english_us_arpa", "english_us_arpa", str(tmp_path / "out")]
    good = [sys.executable, str(STAND_IN), "align", *places, "--temporary_directory", str(tmp_path)]
    for extra in (["--g2p_model", "x"], ["--format", "json"], ["--output_format", "textgrid"], ["--jobs", "2"], ["more"]):
        done = subprocess.run([*good, *extra], capture_output=True, text=True)
        assert done.returncode == 2, extra
    assert subprocess.run(good, capture_output=True).returncode == 0
