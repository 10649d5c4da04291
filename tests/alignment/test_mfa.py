"""The MFA aligner against a stand-in that does what the real command was seen to do: arguments, files in and out, failures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, align_cached, make_aligner, quality_table
from analysis.alignment.__main__ import main
from analysis.alignment.mfa_command import Finished
from analysis.alignment.mfa_files import read_content, read_measures
from analysis.alignment.textgrid import alignment_of
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


MODELS = {
    "english_us_arpa": {"sheep": "SH IY1 P", "ship": "SH IH1 P", "the": "DH AH0", "two": "T UW1"},
    "english_mfa": {"sheep": "ʃ iː p", "ship": "ʃ ɪ p", "the": "ð ə", "two": "tʰ ʉː"},
}


@pytest.fixture
def mfa(tmp_path, monkeypatch):
    """The command on the PATH, and models as `mfa model download` leaves them."""
    command(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "root"))
    for name, words in MODELS.items():
        for kind, content in (
            ("acoustic", "model"),
            ("dictionary", "\n".join(f"{word} {phones}" for word, phones in words.items())),
        ):
            path = tmp_path / "root" / "pretrained_models" / kind / (name + (".zip" if kind == "acoustic" else ".dict"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
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


def runs(work, kind="run"):
    """Folders of the runs, oldest first."""
    return sorted((path for path in work.glob(f"{kind}-*")), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("output", ["textgrid", "json", "csv"])
def test_words_phones_and_mfa_s_own_measures_come_back(mfa, utterances, output):
    found = list(make_aligner("mfa", output=output).align(utterances))
    assert all(isinstance(one, Alignment) for one in found)
    assert [one.utterance_id for one in found] == [one.id for one in utterances]
    first = found[0]
    assert [(word.label, round(word.start, 3), round(word.end, 3)) for word in first.words] == [
        ("the", 0.1, 0.47), ("sheep", 0.5, 0.87)
    ]  # fmt: skip
    assert [phone.label for phone in first.phones] == ["DH", "AH0", "SH", "IY1", "P"]
    assert [word.label for word in found[1].words] == ["two", "ship"], "numbers are written out"
    assert (first.source, first.inventory, first.confidence) == ("mfa 3.4.3 english_us_arpa", "arpabet", -45.25)
    assert first.warnings == (), "pauses are no faults, whether MFA writes them or leaves them out"
    assert dict(first.measures) == {"overall_log_likelihood": -50.5, "phone_duration_deviation": 2.0, "snr": 12.5}
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
    (run,) = runs(work)
    assert json.loads((run / "temporary" / "given.json").read_text()) == [
        "align", str(run / "corpus"), str(dictionary), "english_us_arpa", str(run / "output"),
        "--output_format", "json", "--temporary_directory", str(run / "temporary"), "--num_jobs", "3", "--clean", "--overwrite",
        "--single_speaker", "--g2p_model_path", str(g2p), "--beam", "100", "--retry_beam", "400",
    ]  # fmt: skip
    laid = {path.relative_to(run / "corpus").as_posix() for path in (run / "corpus").rglob("*.*")}
    assert laid == {f"s0000{s}/u00000{u}.{kind}" for s, u in ((0, 0), (0, 1), (1, 2)) for kind in ("wav", "lab")}
    assert (run / "corpus/s00000/u000000.wav").is_symlink(), "mono audio is linked"
    assert soundfile.info(run / "corpus/s00001/u000002.wav").channels == 1, "stereo is mixed down"
    assert (run / "corpus/s00001/u000002.lab").read_text() == "two ship\n"


def test_no_more_jobs_than_speakers(mfa, utterances, tmp_path):
    found = list(make_aligner("mfa", num_jobs=8, folder=tmp_path / "work").align(utterances))
    (run,) = runs(tmp_path / "work")
    given = json.loads((run / "temporary" / "given.json").read_text())
    assert given[given.index("--num_jobs") + 1] == "2"
    assert [one.warnings for one in found] == [()] * 3


def test_shards_keep_speakers_together(mfa, utterances, tmp_path):
    list(make_aligner("mfa", shard=1, folder=tmp_path / "work").align(utterances))
    found = [sorted(path.name for path in run.glob("corpus/*/*.lab")) for run in runs(tmp_path / "work")]
    assert found == [["u000000.lab", "u000001.lab"], ["u000000.lab"]]


def test_a_shard_is_run_when_its_first_utterance_is_due(mfa, utterances, tmp_path):
    found = make_aligner("mfa", shard=1, folder=tmp_path / "work").align(utterances)
    next(found)
    assert len(runs(tmp_path / "work")) == 1, "what is finished can be kept before all is"


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
    assert isinstance(next(make_aligner("mfa", beam=100, retry_beam=400).align(bad[:1])), Alignment)


def test_a_transcript_of_signs_is_no_transcript_as_written_either(mfa, utterances):
    bare, good = make_aligner("mfa", text="as_written").align([replace(utterances[0], id="z", text="... -"), utterances[2]])
    assert bare.reason == "The transcript '... -' has no words."
    assert isinstance(good, Alignment)


def test_causes_are_told_apart(mfa, utterances, tmp_path):
    """Sound that cannot be used is found before MFA is asked; what MFA leaves out is explained by its table and its warnings."""
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    good = utterances[2]
    nan, mute, fine = make_aligner("mfa").align([replace(good, id="n", audio=broken), replace(good, id="s", audio=silent), good])
    assert nan.reason.startswith(f"{broken} holds 16000 samples that are not finite numbers (NaN or infinite)")
    assert mute.reason.startswith(f"{silent} is silent")
    assert isinstance(fine, Alignment)

    mend = "Is the recording whole? Look at it, export it again, or leave it out."
    belongs = "Does the transcript belong to this recording, and is it complete? Else try beam=100 and retry_beam=400."
    dull, _ = make_aligner("mfa").align([replace(good, id="f", text="featureless"), good])
    assert (dull.reason, dull.remedy) == (
        "MFA wrote no alignment for it: it could compute no features, so the sound is damaged or too short.", mend
    )  # fmt: skip
    dull, hard, _ = make_aligner("mfa").align(
        [replace(good, id="f", text="featureless"), replace(good, id="h", text="unalignable"), good]
    )
    assert (
        dull.reason
        == hard.reason
        == (
            "MFA wrote no alignment for it: no path through the words of the transcript fits within its beams, or it could compute no "
            "features. The latter holds for 1 of the 2 utterances that its run left out, and it does not name them."
        )
    )
    assert dull.remedy == f"{mend} {belongs}"


def test_mfa_s_warnings_reach_the_table_once_a_run(mfa, utterances):
    warned = [replace(one, text=f"{one.text} warn") for one in utterances]
    found = list(make_aligner("mfa", g2p="english_us_arpa").align(warned))
    assert found[0].warnings == (
        "MFA warns (the run of this utterance and 2 others): There were 3 pronunciations in the dictionary that were ignored for "
        "containing one of 2 phones not present in the trained acoustic model. Please run `mfa validate` to get more details.",
    )
    assert [one.warnings for one in found[1:]] == [(), ()]


def test_nothing_aligned_is_a_row_each_and_the_other_runs_go_on(mfa, utterances, tmp_path):
    bad = [replace(utterances[1], id="x", text="unalignable"), replace(utterances[1], id="y", text="unalignable sheep")]
    first, second, good = make_aligner("mfa", shard=1).align([*bad, utterances[0]])
    reason = (
        "MFA aligned none of the 2 utterances of its run: no path through the words of the transcripts fits within its beams "
        "(beam 10, retry beam 40)."
    )
    remedy = "Do the transcripts, the dictionary and the acoustic model belong to these recordings? Else try beam=100 and retry_beam=400."
    assert [first, second] == [Failure("alignment", name, reason, remedy) for name in ("x", "y")]
    assert isinstance(good, Alignment)


def test_what_could_not_be_aligned_is_not_asked_again(mfa, utterances, tmp_path):
    """The same command again: MFA would be given the failures alone, align none of them, and end with exit code 1."""
    mixed = [replace(utterances[0], id="x", text="unalignable"), utterances[2]]
    first = list(align_cached(make_aligner("mfa"), mixed, tmp_path / "cache"))
    command(mfa, body="#!/bin/sh\n[ $1 = version ] && echo 3.4.3 || exit 9\n")
    assert list(align_cached(make_aligner("mfa"), mixed, tmp_path / "cache")) == first
    with pytest.raises(ExternalProgramError):
        list(align_cached(make_aligner("mfa", beam=100, retry_beam=400), mixed, tmp_path / "cache"))


def test_a_run_reads_what_it_wrote_itself(mfa, utterances, tmp_path):
    """A second run in the same folder must not take the first one's TextGrids for its own."""
    work = tmp_path / "work"
    first = list(make_aligner("mfa", folder=work).align(utterances[:1]))
    lost = replace(utterances[0], id="lost", text="unalignable")
    (failure,) = make_aligner("mfa", folder=work).align([lost])
    assert isinstance(failure, Failure)
    again = list(make_aligner("mfa", folder=work).align(utterances[:1]))
    assert again == first
    names = sorted(path.name for path in runs(work))
    assert len(names) == 3, "one folder a run"
    assert sum(name.endswith("-2") for name in names) == 1, "named by what is aligned; the same again gets a number"


def test_runs_side_by_side_do_not_take_each_other_s_models(mfa, utterances):
    """Each deletes and unpacks the acoustic model below its MFA root."""
    aligner = make_aligner("mfa")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: next(iter(aligner.align([one]))), utterances * 2))
    assert all(isinstance(one, Alignment) for one in found)


def test_a_corpus_beside_the_mfa_root(mfa, utterances, tmp_path, monkeypatch):
    """MFA refuses corpora whose path begins with that of its root: /tmp/mfa and /tmp/mfa-x1."""
    (tmp_path / "root").rename(tmp_path / "mfa")
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "mfa"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert isinstance(next(make_aligner("mfa").align(utterances)), Alignment)


def test_commas_are_refused_before_kaldi_splits_at_them(mfa, utterances, tmp_path, monkeypatch):
    comma = tmp_path / "a,b"
    comma.mkdir()
    with pytest.raises(ConfigurationError) as error:
        make_aligner("mfa", folder=comma / "work")
    assert str(error.value) == (
        f"MFA cannot work in {comma}/work: Kaldi, which does its work, splits paths at commas. Give a folder without one."
    )
    monkeypatch.setattr("tempfile.tempdir", str(comma))
    with pytest.raises(ConfigurationError) as error:
        next(make_aligner("mfa").align(utterances))
    assert str(error.value) == (
        f"MFA cannot work in {comma}: Kaldi, which does its work, splits paths at commas. "
        f"Set TMPDIR to a folder without one, or give folder=DIR."
    )
    recording = comma / "x.wav"
    shutil.copyfile(utterances[0].audio, recording)
    found = next(make_aligner("mfa", folder=tmp_path / "work").align([replace(utterances[0], audio=recording)]))
    assert isinstance(found, Alignment), "in the corpus's own paths they do no harm"


def test_sigterm_ends_mfa_and_leaves_nothing(mfa, utterances, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = tmp_path / "align.py"
    script.write_text(
        "from pathlib import Path\n"
        "from analysis.alignment import make_aligner\n"
        "from analysis.corpus.utterance import Utterance\n"
        f"next(make_aligner('mfa').align([Utterance('a', Path({str(utterances[0].audio)!r}), 'sheep', 's', 1.0, 16000)]))\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "MFA_STAND_IN_SLEEP": "300"}
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        for _ in range(600):
            started = list(temporary.glob("mfa-*/temporary/asleep"))
            if started and started[0].read_text():
                break
            assert process.poll() is None
            time.sleep(0.1)
        child = int(started[0].read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        process.kill()
    assert list(temporary.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_words_without_pronunciation_are_named(mfa, utterances):
    (found,) = make_aligner("mfa").align([replace(utterances[0], text="zorblax sheep")])
    assert [phone.label for phone in found.phones] == ["SH", "IY1", "P"]
    assert found.warnings == ("1 stretches of speech have no phones (spn): words outside the dictionary. Give a g2p model.",)


def test_a_failing_mfa_shows_command_exit_code_and_last_lines(mfa, utterances, tmp_path):
    work = tmp_path / "work"
    with pytest.raises(ExternalProgramError) as error:
        list(make_aligner("mfa", folder=work).align([replace(utterances[0], text="crash")]))
    (run,) = runs(work)
    assert str(error.value).startswith(
        f"The command\n    mfa align {run}/corpus english_us_arpa english_us_arpa {run}/output --output_format long_textgrid "
        f"--temporary_directory {run}/temporary --num_jobs 1 --clean --overwrite\nended with exit code 1. Its last lines:\n"
    )
    assert str(error.value).endswith(
        "    montreal_forced_aligner.exceptions.KalpyError: KalpyError:\n    \n    The decoder broke.\n    It said why in the log.\n"
        "Its last lines say why; `mfa validate` on the same corpus and dictionary says more."
    )
    assert "100%" not in str(error.value), "no progress bars"
    with pytest.raises(ExternalProgramError) as error:
        list(make_aligner("mfa", acoustic="klingon_mfa").align(utterances))
    assert "Invalid value for 'DICTIONARY_PATH': PretrainedModelNotFoundError:" in str(error.value)
    assert 'Could not find a model named "klingon_mfa" for dictionary.' in str(error.value)
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
    for kind, name, content in (("acoustic", "english_us_arpa.zip", ""), ("dictionary", "english_us_arpa.dict", "the DH AH0\n")):
        path = tmp_path / "root" / "pretrained_models" / kind / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "root"))
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

    assert message(output="ctm") == "The mfa aligner has no output 'ctm'. Choose one of textgrid, json, csv."
    assert message(num_jobs=0) == "The mfa aligner's num_jobs must be a whole number of at least 1, not 0."
    assert message(beam=0) == "The mfa aligner's beam must be a whole number of at least 1, not 0."
    for beam, retry_beam in ((None, 39), (3, 7), (100, 100)):
        assert message(beam=beam, retry_beam=retry_beam) == (
            f"The mfa aligner's retry_beam must be at least 40 and wider than beam, not {retry_beam} with beam {beam or 10}: MFA "
            f"replaces it in silence. Give the usual four times beam."
        )
    assert message(beeam=20).startswith(
        "The aligner mfa has no option 'beeam'. Its options: acoustic, dictionary, g2p, environment,"
    )
    assert message(train="true", adapt="true") == (
        "The mfa aligner either trains a model or adapts one. Give train or adapt, not both."
    )
    assert message(acoustic="/models/own.zip") == (
        "The acoustic model /models/own.zip is a file, and the name of a file does not say which dictionary goes with it. Give "
        "dictionary=NAME (one of `mfa model list dictionary`) or dictionary=FILE, in the phones of the model."
    )
    assert message(beam="wide") == "The mfa aligner's beam must be a whole number of at least 1, not 'wide'."
    assert message(single_speaker="perhaps") == "The mfa aligner's single_speaker is true or false, not 'perhaps'."
    assert message(text="german") == "The mfa aligner has no text 'german'. Choose one of auto, english, as_written."
    command(mfa, body="#!/bin/sh\necho 4.0.0\n")
    assert message() == (
        "The mfa aligner speaks to MFA 3.x, and `mfa version` says 4.0.0. "
        "Install montreal-forced-aligner=3 from conda-forge in an environment of its own, and name it."
    )


def test_the_cache_key_changes_with_models_and_options(mfa, utterances, tmp_path, monkeypatch):
    dictionary = tmp_path / "own.dict"
    dictionary.write_text("sheep SH IY1 P\n")
    aligners = [
        make_aligner("mfa"),
        make_aligner("mfa", acoustic="english_mfa"),
        make_aligner("mfa", dictionary=dictionary),
        make_aligner("mfa", beam=20),
        make_aligner("mfa", single_speaker=True),
        make_aligner("mfa", g2p="english_us_arpa"),
    ]
    keys = [aligner.cache_key(utterances[0]) for aligner in aligners]
    dictionary.write_text("sheep SH IH1 P\n")
    keys.append(make_aligner("mfa", dictionary=dictionary).cache_key(utterances[0]))
    downloaded = tmp_path / "root" / "pretrained_models" / "acoustic" / "english_us_arpa.zip"
    downloaded.write_text("another version of the model")
    keys.append(make_aligner("mfa").cache_key(utterances[0]))
    assert len(set(keys)) == len(keys)
    assert make_aligner("mfa", num_jobs=2).cache_key(utterances[0]) == keys[-1], "how fast it runs changes nothing"


def test_cached_alignments_keep_the_measures(mfa, utterances, tmp_path):
    first = list(align_cached(make_aligner("mfa"), utterances, tmp_path))
    command(mfa, body="#!/bin/sh\n[ $1 = version ] && echo 3.4.3 || exit 9\n")
    assert list(align_cached(make_aligner("mfa"), utterances, tmp_path)) == first


@pytest.mark.parametrize("output", ["textgrid", "json", "csv"])
def test_a_conversation_is_one_file_with_a_tier_for_each_speaker(mfa, utterances, tmp_path, output):
    """MFA's own input for several speakers; times of each utterance come back on its own clock."""
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, 0.1 * np.random.default_rng(0).normal(size=5 * 16000), 16000)
    turns = [
        Utterance(name, talk, text, speaker, end - start, 16000, start=start)
        for name, text, speaker, start, end in (
            ("t1", "the sheep", "anna b", 0.0, 1.0), ("t2", "two ship", "bert", 0.8, 1.8), ("t3", "ship", "anna b", 2.0, 3.0),
            ("t4", "the", "anna b", 2.5, 3.5), ("t5", "unalignable", "bert", 4.0, 4.9),
        )
    ]  # fmt: skip
    work = tmp_path / "work"
    found = list(make_aligner("mfa", output=output, folder=work).align([*turns, utterances[2]]))
    (run,) = runs(work)
    laid = sorted(path.relative_to(run / "corpus").as_posix() for path in (run / "corpus").rglob("*.*"))
    assert laid == [f"s00000/u000000.{kind}" for kind in ("TextGrid", "wav")] + [
        f"s00000/u000002.{kind}" for kind in ("TextGrid", "wav")
    ] + [f"s00000/u000003.{kind}" for kind in ("lab", "wav")], "what overlaps within one speaker is in a second link"
    assert (run / "corpus/s00000/u000000.wav").is_symlink(), "audio is not copied"
    assert [[(word.label, word.start, word.end) for word in one.words] for one in (*found[:4], found[5])] == [
        [("the", 0.1, 0.47), ("sheep", 0.5, 0.87)], [("two", 0.1, 0.47), ("ship", 0.5, 0.87)], [("ship", 0.1, 0.87)],
        [("the", 0.1, 0.87)], [("ship", 0.1, 0.87)],
    ]  # fmt: skip
    assert [dict(one.measures)["phone_duration_deviation"] for one in found[:4]] == [2.0, 4.0, 2.5, 1.5]
    assert found[4].reason.startswith("MFA wrote no alignment for it: no path")
    assert all(one.warnings == () for one in found[:4])


@pytest.mark.parametrize("how", ["train", "adapt"])
def test_a_model_made_on_the_corpus_is_made_once_and_aligned_with(mfa, utterances, tmp_path, monkeypatch, how):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("analysis.alignment.mfa.cache_folder", lambda name: _made(tmp_path / "cache" / name))
    work = tmp_path / "work"
    options = {how: "true", "folder": work, "dictionary": "english_us_arpa"}
    first = list(align_cached(make_aligner("mfa", **options), utterances, tmp_path / "alignments"))
    assert all(isinstance(one, Alignment) for one in first)
    expected = {"train": "mfa 3.4.3 trained with english_us_arpa", "adapt": "mfa 3.4.3 english_us_arpa adapted"}[how]
    assert first[0].source == expected
    (trained,), (run,) = runs(work, "train"), runs(work)
    (model,) = (tmp_path / "cache" / "mfa-models").iterdir()
    models = ["english_us_arpa"] if how == "train" else ["english_us_arpa"] * 2
    assert json.loads((trained / "temporary" / "given.json").read_text()) == [
        how, str(trained / "corpus"), *models, str(trained / "model.zip"),
        "--temporary_directory", str(trained / "temporary"), "--num_jobs", "1", "--clean", "--overwrite",
    ]  # fmt: skip
    assert json.loads((run / "temporary" / "given.json").read_text())[1:4] == [
        str(run / "corpus"), "english_us_arpa", str(model)
    ]  # fmt: skip
    # again, with one recording that was not finished: the model is that of all of them
    (tmp_path / "alignments").rename(tmp_path / "kept")
    assert list(align_cached(make_aligner("mfa", **options), utterances, tmp_path / "alignments")) == first
    assert len(runs(work, "train")) == 1
    # other recordings make another model, and so other alignments
    other = make_aligner("mfa", **options)
    other.prepare(utterances[:2])
    assert len(runs(work, "train")) == 2
    again = make_aligner("mfa", **options)
    again.prepare(utterances)
    assert other.cache_key(utterances[0]) != again.cache_key(utterances[0])


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_corpus_without_a_usable_recording_trains_nothing(mfa, utterances, tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.alignment.mfa.cache_folder", lambda name: _made(tmp_path / "cache" / name))
    aligner = make_aligner("mfa", train=True)
    with pytest.raises(ConfigurationError) as error:
        aligner.prepare([replace(utterances[0], id="z", text="...")])
    assert str(error.value) == (
        "Not one of 1 utterances can be used to train a model. The first, z: The transcript '...' has no words."
    )


class TestStandIn:
    """The stand-in does what MFA 3.4.3 was seen to do; otherwise the tests above would show nothing."""

    @pytest.fixture
    def call(self, mfa, utterances, tmp_path):
        corpus = tmp_path / "corpus" / "s"
        corpus.mkdir(parents=True)
        for number, text in enumerate(("the sheep", "unalignable", "ship")):
            shutil.copyfile(utterances[0].audio, corpus / f"u{number}.wav")
            (corpus / f"u{number}.lab").write_text(text)
        places = [str(tmp_path / "corpus"), "english_us_arpa", "english_us_arpa", str(tmp_path / "out")]

        def run(*extra, before=(), places=places, temporary=tmp_path / "work"):
            given = [sys.executable, str(STAND_IN), "align", *before, *places, "--temporary_directory", str(temporary), *extra]
            return subprocess.run(given, capture_output=True, text=True)

        run.corpus, run.out, run.places = corpus, tmp_path / "out", places
        return run

    @pytest.mark.parametrize("extra", [["--jobs", "2"], ["--format", "json"], ["more"], ["--beeam", "7"]])
    def test_unknown_options_and_further_positionals_are_ignored(self, call, extra):
        assert call(*extra).returncode == 0

    def test_wrong_values_are_not(self, call):
        assert call("--output_format", "textgrid").returncode == 2
        assert call("--beam", "wide").returncode == 1
        assert call("--g2p_model", "x").returncode == 1
        assert call(before=["--beam", "100"]).returncode == 2

    def test_usage_errors_are_boxed_on_standard_error(self, call, tmp_path):
        done = call(places=[str(tmp_path / "none"), *call.places[1:]])
        assert (done.returncode, done.stdout) == (2, "")
        assert "│ Invalid value for 'CORPUS_DIRECTORY': Corpus directory does not exist.       │" in done.stderr
        done = call(places=[call.places[0], "klingon", *call.places[2:]])
        assert 'Could not find a model named "klingon" for dictionary.' in done.stderr

    def test_nothing_aligned_is_exit_1_and_some_is_exit_0(self, call):
        assert call().returncode == 0
        rows = (call.out / "alignment_analysis.csv").read_text().splitlines()
        assert rows[1].startswith("u0,0.0,1.0,s,-50.5,-45.25,2.0,"), "largest deviation first"
        assert rows[3] == "u1,0.0,1.0,s,,,,,,", "what is not aligned comes last, with empty cells"
        assert not (call.out / "s" / "u1.TextGrid").exists()
        for name in ("u0", "u2"):
            (call.corpus / f"{name}.wav").unlink()
        shutil.rmtree(call.out)
        done = call()
        assert (done.returncode, call.out.exists()) == (1, False)
        assert (
            "montreal_forced_aligner.exceptions.NoAlignmentsError: NoAlignmentsError:\n\nThere were no successful" in done.stderr
        )

    def test_what_lies_in_the_output_folder_stays(self, call):
        (call.out / "s").mkdir(parents=True)
        (call.out / "s" / "u1.TextGrid").write_text("older")
        assert call("--overwrite").returncode == 0
        assert (call.out / "s" / "u1.TextGrid").read_text() == "older"

    def test_nan_has_no_features(self, call):
        soundfile.write(call.corpus / "u0.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
        done = call()
        assert done.returncode == 0 and not (call.out / "s" / "u0.TextGrid").exists()
        assert " WARNING  There were 1 utterances ignored due to an issue in feature generation," in done.stderr

    def test_commas_and_the_root_s_prefix(self, call, monkeypatch, tmp_path):
        done = call(temporary=tmp_path / "a,b")
        assert done.returncode == 1 and "KaldiFatalError" in done.stderr
        (tmp_path / "root").rename(tmp_path / "corp")
        monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "corp"))
        done = call()
        assert done.returncode == 2 and "must be outside" in done.stderr

    def test_json_leaves_pauses_out_and_textgrids_have_them(self, call):
        call()
        assert (call.out / "s" / "u0.TextGrid").read_text().count('text = ""') == 6
        call("--output_format", "json")
        words = json.loads((call.out / "s" / "u0.json").read_text())["tiers"]["words"]["entries"]
        assert [label for *_, label in words] == ["the", "sheep"] and words[0][1] < words[1][0]
        assert words[0][0] == 0.10000000149011612


class TestFilesOfTheRealCommand:
    """What MFA 3.4.3 itself printed and wrote."""

    def finished(self, folder, name, returncode=1):
        return Finished(["mfa"], returncode, "", (folder / name).read_text(encoding="utf-8"))

    def test_its_warnings_are_read_unwrapped(self, shared_cases):
        done = self.finished(shared_cases / "mfa", "align_stderr.txt", 0)
        assert done.warnings == [
            "Number of jobs was specified as 3, but due to only having 2 speakers, MFA will only use 2 jobs. Use the --single_speaker "
            "flag if you would like to split utterances across jobs regardless of their speaker.",
            "There were 1 utterances ignored due to an issue in feature generation, see the log file for full details or run `mfa "
            "validate` on the corpus.",
        ]
        assert done.without_features == 1 and len(done.remarks) == 1
        assert done.exception == ("", "")

    def test_its_exceptions_are_known(self, shared_cases):
        name, explanation = self.finished(shared_cases / "mfa", "nothing_aligned_stderr.txt").exception
        assert name == "NoAlignmentsError"
        assert explanation.startswith(
            "There were no successful alignments for 1 utterances. The current set up used a beam of 10 and a retry beam of 40."
        )
        log = (shared_cases / "mfa" / "concurrent_shard_failed.log").read_text(encoding="utf-8")
        assert Finished(["mfa"], 1, "", log).exception[0] == "PronunciationAcousticMismatchError"
        assert self.finished(shared_cases / "mfa", "usage_error_stderr.txt", 2).exception == ("", "")

    def test_json_and_textgrid_hold_the_same(self, shared_cases):
        grid, data = (read_content(shared_cases / "mfa" / f"good.{kind}") for kind in ("TextGrid", "json"))
        alignments = [alignment_of(content, Path("good"), utterance_id="good", inventory="arpabet") for content in (grid, data)]
        assert alignments[0] == alignments[1] and alignments[0].warnings == ()
        assert [word.label for word in alignments[0].words] == "the goat jumped out of the boat".split()
        assert min(phone.duration for phone in alignments[0].phones) == pytest.approx(0.01)

    def test_its_table_tells_what_was_not_aligned(self, shared_cases):
        rows = read_measures(shared_cases / "mfa" / "alignment_analysis.csv")
        assert len(rows) == 17 and sum(not numbers for numbers in rows.values()) == 5
        assert rows[("u000010", "s00001", 0.0)] == {
            "speech_log_likelihood": -96.26356620788575, "overall_log_likelihood": -108.06019592285156,
            "phone_duration_deviation": 3.136679242255081, "snr": 21.787179442490796,
        }  # fmt: skip

    def test_an_unknown_word_keeps_its_spelling_and_has_no_phones(self, shared_cases):
        content = read_content(shared_cases / "mfa" / "oov_word.TextGrid")
        found = alignment_of(content, Path("oov"), utterance_id="oov", inventory="arpabet")
        word = next(word for word in found.words if word.label == "zorblax")
        assert found.phones_of(word) == ()


def test_nothing_aligned_from_the_command_line_is_tables_and_exit_0(mfa, utterances, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    corpus = tmp_path / "corpus" / "ann"
    corpus.mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copyfile(utterances[0].audio, corpus / f"{name}.wav")
        (corpus / f"{name}.lab").write_text("unalignable sheep")
    for _ in range(2):  # the same command again
        assert main([str(tmp_path / "corpus"), "--aligner", "mfa", "--out", str(tmp_path / "out")]) == 0
        assert "0 utterances aligned by mfa 3.4.3 english_us_arpa, 2 failed, 0 marked" in capsys.readouterr().out
        rows = (tmp_path / "out" / "failures.csv").read_text().splitlines()
        assert len(rows) == 3 and rows[1].startswith('alignment,a,"MFA aligned none of the 2 utterances of its run:')
        assert (tmp_path / "out" / "quality.csv").is_file() and (tmp_path / "out" / "alignment.csv").is_file()
        command(mfa, body="#!/bin/sh\n[ $1 = version ] && echo 3.4.3 || exit 9\n")
