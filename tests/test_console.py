"""Every command answers what it cannot do with one message and an exit code; what nobody foresaw is one line, and a log."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys

import pytest

from analysis.console import exit_code
from analysis.errors import ConfigurationError
from analysis.guard import log_path

posix = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell is used")


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigurationError("That is no setting."), 2, "error: That is no setting.\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/report.json"),
            2,
            "error: out/report.json cannot be used: Permission denied. Check that the path is right, that its folder is one, and that "
            "this user may read or write there.\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "error: The disk is full. Free some space and run the same command again.\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.csv"),
            2,
            "error: The disk is full while a.csv was written. Free some space and run the same command again.\n",
        ),
        (
            OSError(errno.EFBIG, "File too large", "a.npy"),
            2,
            "error: A file became larger than this system allows while a.npy was written (ulimit -f, or the kind of disk). Raise the "
            "limit, or write to another disk, and run the same command again.\n",
        ),
        (KeyboardInterrupt(), 130, "gone\n"),
    ],
)
def test_what_a_user_can_mend_is_one_message(error, code, message, capsys):
    assert exit_code(raising(error), interrupted="gone") == code
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ValueError("shapes\nof arrays"),
            "ValueError: shapes (nobody foresaw this). Its traceback is in {log}; please report it with that.",
        ),
        (
            OSError("no file is named"),
            "OSError: no file is named (nobody foresaw this). Its traceback is in {log}; please report it with that.",
        ),
        (KeyError("x"), "KeyError: 'x' (nobody foresaw this). Its traceback is in {log}; please report it with that."),
        (
            RecursionError(),
            "RecursionError: RecursionError (nobody foresaw this). Its traceback is in {log}; please report it with that.",
        ),
        (
            MemoryError("25 GiB"),
            "There is not enough memory (25 GiB). Use fewer workers or a machine with more memory. Its traceback is in {log}.",
        ),
    ],
)
def test_what_nobody_foresaw_is_one_line_and_never_the_code_of_a_regression(error, line, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path))
    assert exit_code(raising(error)) == 70
    assert capsys.readouterr() == ("", f"error: {line.format(log=log_path())}\n")
    kept = log_path().read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in kept and type(error).__name__ in kept


def test_a_traceback_that_cannot_be_kept_is_shown(tmp_path, monkeypatch, capsys, caplog):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path / "taken"))
    assert exit_code(raising(KeyError("x"))) == 70
    assert "Traceback (most recent call last)" in caplog.text
    assert capsys.readouterr().err == (
        "error: KeyError: 'x' (nobody foresaw this). Its traceback is above, since no log could be written; please report it with "
        "that.\n"
    )


ROOMS = ["", ".corpus", ".alignment", ".phonology", ".embeddings", ".wav2sem", ".face", ".report", ".decouple"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_entry_point_lets_a_traceback_out(room, tmp_path, monkeypatch, capsys):
    """Whatever happens first, even while arguments are read."""
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path))
    module = importlib.import_module(f"analysis{room}" if room == ".decouple" else f"analysis{room}.__main__")
    names = [name for name in ("_parser", "parser", "parse", "_align", "_print_commands") if hasattr(module, name)]
    assert names
    for name in names:
        monkeypatch.setattr(module, name, lambda *_: [][0])
    code = module.main() if room == "" else module.main(["x"])
    assert code == 70
    assert capsys.readouterr().err.startswith(
        "error: IndexError: list index out of range (nobody foresaw this). Its traceback is in"
    )


def shell(line, repository, **settings):
    """What a shell makes of a line in which PYTHON is ours."""
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path} | settings
    return subprocess.run(
        ["bash", "-c", line.replace("PYTHON", sys.executable)], capture_output=True, text=True, env=environment, timeout=120
    )


@posix
def test_closed_standard_output_is_one_line(repository):
    for room in ("analysis.corpus layouts", "analysis.decouple", "analysis"):
        done = shell(f"PYTHON -m {room} >&-", repository)
        assert (done.returncode, done.stderr) == (
            2,
            "error: Standard output is closed, so no result can be printed. Send it to a file, or to /dev/null where nobody reads "
            "it.\n",
        )
    assert shell("PYTHON -m analysis.corpus layouts 2>&-", repository).returncode == 0


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_output_that_nobody_has_room_for_is_one_line(repository):
    done = shell("PYTHON -m analysis.corpus layouts > /dev/full", repository)
    assert (done.returncode, done.stderr) == (2, "error: The disk is full. Free some space and run the same command again.\n")


@posix
def test_a_limit_on_files_is_one_line(repository, tmp_path):
    code = (
        "import sys; from analysis.console import exit_code\n"
        "def write():\n"
        "    with open(sys.argv[1], 'wb') as stream: stream.write(bytes(10**6))\n"
        "sys.exit(exit_code(write))\n"
    )
    done = shell(f'ulimit -f 10; PYTHON -c "{code}" {tmp_path / "large"}', repository)
    assert (done.returncode, done.stderr) == (
        2,
        "error: A file became larger than this system allows (ulimit -f, or the kind of disk). Raise the limit, or write to another "
        "disk, and run the same command again.\n",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited there")
def test_too_little_address_space_ends_at_once(repository):
    """The library of matrix products waited without an end for memory that it could not have."""
    done = shell("ulimit -v 1048576; PYTHON -m analysis.decouple --corpus demo --encoder mfcc", repository)
    assert (done.returncode, done.stderr) == (
        2,
        "error: This process may use 1.0 GiB of address space (ulimit -v), and the libraries that compute are not loaded in less than "
        "2 GiB. Raise the limit, or ask for a job with more memory.\n",
    )


def test_a_command_that_succeeds_keeps_its_code():
    assert exit_code(lambda: 3) == 3


def test_a_reader_that_has_seen_enough_is_no_error(repository):
    """As in ``python -m analysis.phonology pairs --corpus demo | head``."""
    code = (
        "import sys\n"
        "from analysis.console import exit_code\n"
        "def lines():\n"
        "    for number in range(10**6):\n"
        "        print(number)\n"
        "    return 0\n"
        "sys.exit(exit_code(lines))\n"
    )
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    )
    with writer:
        assert writer.stdout.readline() == b"0\n"
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.returncode == 141


def test_words_that_a_console_cannot_show_stop_no_command(repository):
    done = subprocess.run(
        [sys.executable, "-m", "analysis.phonology", "syllabify", "--lexicon", "mandarin", "大门"],
        cwd=repository, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\\u5927\\u95e8\tt a")


@pytest.mark.parametrize(
    "command",
    [
        "alignment show {grid} --json {out}",
        "corpus manifest {corpus} {out}/m.csv",
        "embeddings {corpus} --encoder mfcc --unit utterance --device cpu --out {out}",
        "face synthesize {out} --n-clips 1",
        "phonology pairs --corpus {corpus} --min-tokens 1 --out {out}/pairs.tsv",
        "wav2sem embed oracle:mean --corpus {corpus} --out {out}/v.parquet",
    ],
)
def test_an_output_that_cannot_be_written_is_told_by_every_room(command, tmp_path, capsys):
    import numpy as np
    import soundfile

    taken = tmp_path / "taken"
    taken.write_text("a file where a folder should be", encoding="utf-8")
    (tmp_path / "speech").mkdir()
    soundfile.write(tmp_path / "speech" / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    (tmp_path / "speech" / "a.txt").write_text("a sheep on a ship", encoding="utf-8")
    grid = tmp_path / "a.TextGrid"
    grid.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\ntiers? <exists>\nsize = 1\nitem []:\n'
        '    item [1]:\n        class = "IntervalTier"\n        name = "words"\n        xmin = 0\n        xmax = 1\n'
        '        intervals: size = 1\n        intervals [1]:\n            xmin = 0\n            xmax = 1\n            text = "a"\n',
        encoding="utf-8",
    )
    room, *arguments = command.format(grid=grid, corpus=tmp_path / "speech", out=taken / "x").split()
    assert importlib.import_module(f"analysis.{room}.__main__").main(arguments) == 2
    told = capsys.readouterr().err
    assert "error: " in told and str(taken) in told and "Traceback" not in told


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("decouple --corpus demo --seed -1", "error: --seed must be a whole number from 0 to 4294967295, not -1.\n"),
        (
            "embeddings demo --encoder mfcc --out x --layers 0-1000000000",
            "error: --layers '0-1000000000' names layers beyond 999, which no encoder has. Most have layers 0 to 12 or 0 to 24.\n",
        ),
        (
            "phonology pairs --corpus demo --seed -1 --out x",
            "argument --seed: '-1' is no seed; give a whole number from 0 to 4294967295\n",
        ),
        (
            "face study analyse a.json --key k --seed 1e999",
            "argument --seed: '1e999' is no seed; give a whole number from 0 to 4294967295\n",
        ),
        ("wav2sem train --out x --seed -1", "argument --seed: '-1' is no seed; give a whole number from 0 to 4294967295\n"),
        ("wav2sem train --out x --width 0", "argument --width: '0' is no whole number of at least 1\n"),
        ("wav2sem train --out x --heads -4", "argument --heads: '-4' is no whole number of at least 1\n"),
    ],
)
def test_numbers_out_of_range_are_told_at_once(command, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room, *arguments = command.split()
    module = importlib.import_module(f"analysis.{room}" if room == "decouple" else f"analysis.{room}.__main__")
    try:
        code = module.main(arguments)
    except SystemExit as ended:  # argparse
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err.endswith(message)
    assert not list(tmp_path.iterdir())


def test_one_command_line_reaches_every_command(capsys):
    from analysis.__main__ import _COMMANDS, main
    from analysis.version import __version__

    for name in _COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0 and f"python -m analysis.{name}" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wav2sem-analysis {__version__}\n"
    assert main(["corpus", "layouts"]) == 0 and "librispeech" in capsys.readouterr().out
    assert main(["decople"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no command 'decople'; did you mean 'decouple'?\n")


def test_the_installed_command_is_that_one(repository):
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["wav2sem-analysis"].split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_options_are_written_with_dashes_or_underscores():
    from analysis.console import Parser

    parser = Parser()
    parser.add_argument("--num-shards", type=int)
    parser.add_argument("--keep_all", action="store_true")
    parser.add_argument("rest", nargs="*")
    inner = parser.parse_args(["--num_shards=3", "--keep-all", "--", "--num_shards"])
    assert (inner.num_shards, inner.keep_all, inner.rest) == (3, True, ["--num_shards"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--num_shard_s", "3"])
    commands = Parser()
    one = commands.add_subparsers().add_parser("one")
    one.add_argument("--speaker-level", type=int)
    assert commands.parse_args(["one", "--speaker_level", "-1"]).speaker_level == -1


def test_settings_are_written_with_dashes_or_underscores():
    from analysis import decouple

    dashes, underscores = (
        decouple.parse(
            ["--min-tokens", "2", "--separation.n-nulls=7", "--projection.min-dist", "0.2", "--accept-baseline", "b.json"]
        ),
        decouple.parse(
            ["--min_tokens", "2", "--separation.n_nulls=7", "--projection.min_dist", "0.2", "--accept_baseline", "b.json"]
        ),
    )
    assert dashes[0] == underscores[0] and dashes[0].separation.n_nulls == 7 and dashes[0].projection.min_dist == 0.2
    assert dashes[1].accept_baseline == underscores[1].accept_baseline == "b.json"
