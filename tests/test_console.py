"""Every command answers what it cannot do with one message and an exit code; faults of the toolkit keep their traceback."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys

import pytest

from analysis.console import exit_code
from analysis.errors import ConfigurationError


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
        (KeyboardInterrupt(), 130, "gone\n"),
    ],
)
def test_what_a_user_can_mend_is_one_message(error, code, message, capsys):
    assert exit_code(raising(error), interrupted="gone") == code
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("error", [ValueError("shapes"), OSError("no file is named"), KeyError("x")])
def test_a_fault_of_the_toolkit_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exit_code(raising(error))


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
