"""What can go wrong that a user can mend, and how it is told.

Two forms, one vocabulary. An :class:`AnalysisError` stops the run: the request itself cannot be met. A :class:`Failure` is a
row in the failures table: one recording (or one word, one pair) could not be used, and the good ones beside it go on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

__all__ = [
    "FAILURE_COLUMNS",
    "AlignmentError",
    "AnalysisError",
    "AudioError",
    "BaselineError",
    "CheckpointError",
    "ConfigurationError",
    "CorpusError",
    "EncoderError",
    "ExternalProgramError",
    "FaceError",
    "Failure",
    "Ledger",
    "LexiconError",
    "NotComparableError",
    "SemanticsError",
    "SeparationError",
    "StoreError",
    "StrictError",
    "WorkerError",
    "failure_rows",
    "write_failures",
]


class AnalysisError(Exception):
    """An error that the user can mend. The message says what is wrong, the likely cause, and what to do."""


class ConfigurationError(AnalysisError):
    """A setting is unknown, out of range, or contradicts another."""


class CorpusError(AnalysisError):
    """The corpus as a whole cannot be read: no such folder, no audio, no transcripts."""


class AudioError(AnalysisError):
    """One audio file cannot be used: missing, truncated, silent, NaN samples."""


class AlignmentError(AnalysisError):
    """Words and phones of one utterance are missing, contradictory or outside the audio."""


class LexiconError(AnalysisError):
    """A pronunciation, inventory or pair list cannot be read or used."""


class EncoderError(AnalysisError):
    """A speech encoder cannot be found, loaded or run."""


class CheckpointError(EncoderError):
    """A checkpoint has missing, unexpected or ill-shaped entries, or is of another family."""


class SemanticsError(AnalysisError):
    """Semantic vectors cannot be made or do not fit the frames they are fused with."""


class StoreError(AnalysisError):
    """A store of embeddings on disk is incomplete, of another version or of another configuration."""


class SeparationError(AnalysisError):
    """A separation score is not defined for this corpus: too few pairs, tokens, speakers or utterances."""


class FaceError(AnalysisError):
    """Vertex sequences, templates or regions do not fit together."""


class NotComparableError(AnalysisError):
    """A report and a baseline were made under different settings, so a verdict would mean nothing."""


class BaselineError(AnalysisError):
    """A baseline holds nothing that a verdict could rest on: the gate neither passes nor fails, as for other settings."""


class ExternalProgramError(AnalysisError):
    """An external program is absent or failed.

    Parameters
    ----------
    command : list of str
        The command as it was run.
    returncode : int or None
        Its exit code; None when it could not be started.
    output : str
        What it printed; the last 20 lines are shown.
    remedy : str
        What the user can do.
    """

    def __init__(self, command: list[str], returncode: int | None, output: str, remedy: str) -> None:
        self.command, self.returncode, self.output, self.remedy = command, returncode, output, remedy
        state = "could not be started" if returncode is None else f"ended with exit code {returncode}"
        tail = "\n".join("    " + line for line in output.strip().splitlines()[-20:]) or "    (it printed nothing)"
        super().__init__(f"The command\n    {' '.join(command)}\n{state}. Its last lines:\n{tail}\n{remedy}")


class WorkerError(AnalysisError):
    """A worker process ended without an answer: the system stopped it, mostly for want of memory."""


class StrictError(AnalysisError):
    """``--strict`` was given and something failed that would otherwise be a row in the failures table."""


@dataclass(frozen=True)
class Failure:
    """One row of the failures table: what was left out, at which stage, why, and what mends it.

    Attributes
    ----------
    stage : str
        ``corpus``, ``alignment``, ``phonology``, ``embeddings``, ``semantics``, ``separation`` or ``face``.
    item : str
        Utterance id, or file path where there is no utterance yet.
    reason : str
        What is wrong, with the values seen.
    remedy : str
        What the user can do about it.
    severity : str
        ``error``: the item was left out; ``warning``: it was kept, with the stated doubt.

    Examples
    --------
    >>> Failure("corpus", "a.wav", "It is silent.", "Record it again.").as_row()["severity"]
    'error'
    """

    stage: str
    item: str
    reason: str
    remedy: str = ""
    severity: str = "error"

    def as_row(self) -> dict[str, str]:
        """The failure as a flat dictionary, as it stands in the report."""
        return asdict(self)


@dataclass
class Ledger:
    """Failures in the order in which they happened.

    Attributes
    ----------
    strict : bool
        Raise at the first failure that loses something.
    failures : list of Failure
    """

    strict: bool = False
    failures: list[Failure] = field(default_factory=list)

    def add(self, failures: Iterable[Failure]) -> None:
        """Append them.

        Raises
        ------
        StrictError
            If ``strict`` and one has the severity ``error``.
        """
        for failure in failures:
            if self.strict and failure.severity == "error":
                raise StrictError(f"{failure.stage}: {failure.item}: {failure.reason} {failure.remedy}".rstrip())
            self.failures.append(failure)


#: Columns of the failures table.
FAILURE_COLUMNS = tuple(item.name for item in fields(Failure))


def failure_rows(failures: Iterable[Failure]) -> list[dict[str, str]]:
    """Rows for the failures table, in the order in which they happened."""
    return [failure.as_row() for failure in failures]


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write the failures table as CSV, with its line of column names even where there is none."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FAILURE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(failure_rows(failures))
