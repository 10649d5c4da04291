"""The command ``mfa`` of MFA 3.x: how it is started, what it prints, how its failures are told apart, and how it is ended.

Written after MFA 3.4.3 (its command line and what it printed).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from analysis.errors import ConfigurationError, ExternalProgramError

__all__ = ["INSTALL", "Finished", "checked_place", "command_of", "ended_by_signals", "models_root", "private_root", "run"]

INSTALL = (
    "Install it: conda create -n aligner -c conda-forge montreal-forced-aligner; then give environment=aligner, or activate it. "
    "Models: mfa model download acoustic english_us_arpa; mfa model download dictionary english_us_arpa. Without it, take the "
    "aligner pocketsphinx, or read TextGrids that MFA wrote elsewhere."
)
# " WARNING  text", wrapped at 80 columns: further lines are indented as far as the text.
_LEVEL = re.compile(r" ?(DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)")
_EXCEPTION = re.compile(r"(?:[\w.]+\.)?(\w+(?:Error|Exception))(?:: \1)?:? *(.*)")
_NO_FEATURES = re.compile(r"There were (\d+) utterances ignored due to an issue in feature generation")
_SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class Finished:
    """What one run printed.

    Attributes
    ----------
    command : list of str
    returncode : int
    output, messages : str
        Standard output and standard error.
    """

    command: list[str]
    returncode: int
    output: str
    messages: str

    @property
    def warnings(self) -> list[str]:
        """MFA's warnings, unwrapped, each once."""
        found: list[str] = []
        current: list[str] | None = None
        for line in self.messages.splitlines():
            match = _LEVEL.fullmatch(line.rstrip())
            if match:
                if current:
                    found.append(" ".join(current))
                current = [match[2].strip()] if match[1] == "WARNING" else None
            elif current is not None and line.startswith(" " * 8):
                current.append(line.strip())
            elif current is not None:
                found.append(" ".join(current))
                current = None
        if current:
            found.append(" ".join(current))
        return list(dict.fromkeys(text for text in found if text))

    @property
    def remarks(self) -> list[str]:
        """The warnings but that of :attr:`without_features`, which concerns what was left out."""
        return [text for text in self.warnings if not _NO_FEATURES.match(text)]

    @property
    def without_features(self) -> int:
        """How many utterances got no features: their sound is damaged or too short."""
        counts = [int(match[1]) for text in self.warnings if (match := _NO_FEATURES.match(text))]
        return max(counts, default=0)

    @property
    def exception(self) -> tuple[str, str]:
        """Name and explanation of the exception that ended it; two empty strings where there was none."""
        lines = self.messages.splitlines()
        for number in range(len(lines) - 1, -1, -1):
            match = _EXCEPTION.fullmatch(lines[number].strip())
            if match:
                rest = " ".join(line.strip() for line in [match[2], *lines[number + 1 :]] if line.strip())
                return match[1], rest
        return "", ""

    def error(self, remedy: str) -> ExternalProgramError:
        """The run as an error; progress bars are left out of its last lines."""
        printed = [line for line in self.output.split("\n") if "\r" not in line and not re.match(r"\s*\d+%", line)]
        return ExternalProgramError(self.command, self.returncode, "\n".join([*printed, *self.messages.splitlines()]), remedy)


def command_of(environment: str | None) -> list[str]:
    """How MFA is started.

    Raises
    ------
    ExternalProgramError
        If it, or conda for an environment, is not there; the message says how to install it.
    """
    if not environment:
        if shutil.which("mfa") is None:
            raise ExternalProgramError(["mfa", "align"], None, "mfa: not found on PATH", INSTALL)
        return ["mfa"]
    for program, options in (("conda", ["--no-capture-output"]), ("mamba", []), ("micromamba", [])):
        if shutil.which(program):
            return [program, "run", "-n", environment, *options, "mfa"]
    raise ExternalProgramError(
        ["conda", "run", "-n", environment, "mfa", "align"], None, "conda, mamba, micromamba: none is on PATH", INSTALL
    )


def models_root() -> Path:
    """Where the user's MFA keeps downloaded models and settings."""
    return Path(os.environ.get("MFA_ROOT_DIR") or "~/Documents/MFA").expanduser()


def private_root(folder: Path) -> Path:
    """An MFA root for one run, in ``folder``, that sees the user's models and settings.

    Every run deletes and unpacks its models below its root: two runs with one root take them away from each other. MFA also
    refuses a corpus whose path begins like its root.
    """
    root, users = folder / "root", models_root()
    root.mkdir()
    if (users / "pretrained_models").is_dir():
        (root / "pretrained_models").symlink_to((users / "pretrained_models").resolve(), target_is_directory=True)
    if (users / "global_config.yaml").is_file():
        shutil.copyfile(users / "global_config.yaml", root / "global_config.yaml")
    return root


def checked_place(folder: Path, remedy: str) -> Path:
    """The folder, if MFA can work there.

    Raises
    ------
    ConfigurationError
        If its path holds a comma.
    """
    if "," in str(folder):
        raise ConfigurationError(f"MFA cannot work in {folder}: Kaldi, which does its work, splits paths at commas. {remedy}")
    return folder


def run(command: list[str], *, root: Path | None = None) -> Finished:
    """Run it to its end; whatever ends us ends it and its own processes too.

    Raises
    ------
    ExternalProgramError
        If it cannot be started.
    """
    environment: Mapping[str, str] = os.environ if root is None else {**os.environ, "MFA_ROOT_DIR": str(root)}
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ExternalProgramError(command, None, str(error), INSTALL) from error
    try:
        output, messages = process.communicate()
    except BaseException:
        _end(process)
        raise
    # as bytes until here: reading as text would take the carriage returns away by which progress bars are known
    return Finished(command, process.returncode, output.decode("utf-8", "replace"), messages.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with the children that it started: all are in its own session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM ends the program as Ctrl-C does, so that temporary folders go and started programs end; exit code 143.

    Only in the main thread, and only where nobody else handles that signal.
    """
    alone = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if alone:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
