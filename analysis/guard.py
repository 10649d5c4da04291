"""One bad item is one row: what a step raises at one recording becomes a failure, and the recordings beside it go on.

Every step that is done item by item (read audio, normalise a transcript, align, cut tokens, encode, pool, embed text) runs its
items through :func:`attempt`. What nobody foresaw keeps its traceback in a log file, which the console names.
"""

from __future__ import annotations

import errno
import logging
import os
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from analysis.config import cache_folder
from analysis.errors import AnalysisError, Failure, StrictError

__all__ = [
    "attempt",
    "concerns_all",
    "failure_row",
    "first_line",
    "is_out_of_memory",
    "is_unforeseen",
    "log_path",
    "log_traceback",
]

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SQLITE_FULL = 13
# What torch and oneDNN say where the processor's memory is not enough: no class of its own, unlike on an accelerator.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "could not create a memory object")
_KEPT_LOGS = 30
_TRACEBACK = "The traceback is in"
_NO_LOG = "Its log could not be written."
_announced: set[Path] = set()


def attempt(stage: str, item: str, step: Callable[[], Result], remedy: str = "") -> Result | Failure:
    """``step()``, or the failure row for what it raised.

    Parameters
    ----------
    stage : str
        As in :class:`analysis.errors.Failure`.
    item : str
        Utterance id, or file where there is no utterance yet.
    step : callable
        Takes nothing.
    remedy : str
        What the user can do about an :class:`AnalysisError`; other exceptions bring one for their kind.

    Raises
    ------
    OSError, StrictError
        What concerns every item: a full disk, a strict run. Ctrl-C is no ``Exception`` and passes too.

    Examples
    --------
    >>> attempt("alignment", "u1", lambda: 1 + 1)
    2
    """
    try:
        return step()
    except Exception as error:
        return failure_row(stage, item, error, remedy)


def failure_row(stage: str, item: str, error: Exception, remedy: str = "") -> Failure:
    """The row for what one item raised; the traceback of what was not foreseen goes to the log.

    Raises
    ------
    Exception
        ``error`` itself, where it concerns every item.
    """
    if concerns_all(error):
        raise error
    if isinstance(error, AnalysisError):
        return Failure(stage, item, str(error), remedy)
    log = log_traceback(f"{stage}: {item}", error)
    where = f"{_TRACEBACK} {log}." if log else _NO_LOG
    if is_out_of_memory(error):
        reason = f"There is not enough memory for it ({first_line(error)})."
        return Failure(stage, item, reason, f"Cut the recording at its pauses, or use a machine with more memory. {where}")
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename} cannot be used" if error.filename is not None else "A file cannot be used"
        return Failure(stage, item, f"{place}: {error.strerror}.", f"Check its path, and that this user may read it. {where}")
    reason = f"{type(error).__name__}: {first_line(error)}".rstrip(".") + "."
    return Failure(
        stage, item, reason, f"Leave it out, or mend it where it is damaged. {where} Please report it where it is not."
    )


def concerns_all(error: BaseException) -> bool:
    """Whether an exception is about the whole run: no item after this one could do better."""
    if not isinstance(error, Exception) or isinstance(error, StrictError):
        return True
    full = isinstance(error, OSError) and error.errno in _FULL
    return full or getattr(error, "sqlite_errorcode", None) == _SQLITE_FULL


def is_unforeseen(failure: Failure) -> bool:
    """Whether a row stands for an error that nobody foresaw, which another machine or another day may not meet."""
    return _TRACEBACK in failure.remedy or _NO_LOG in failure.remedy


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was not enough, on the processor or on an accelerator."""
    if (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    ):  # torch's, which is not imported for its name
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _NO_MEMORY)


def log_path() -> Path:
    """Today's log of tracebacks, in the user's cache folder: one file for all processes of a machine."""
    return cache_folder("logs") / f"{datetime.now():%Y-%m-%d}.log"


def log_traceback(title: str, error: BaseException, *, announced: bool = True) -> Path | None:
    """Append a traceback under a title; the file, or None where it cannot be written. The console names it once a process,
    unless ``announced`` is false: the caller does.
    """
    told = "".join(traceback.format_exception(error))
    try:
        path = log_path()
        new = not path.exists()
        with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{datetime.now().isoformat(timespec='seconds')} process {os.getpid()}: {title}\n{told}\n")
        if new:
            for old in sorted(path.parent.glob("????-??-??.log"))[:-_KEPT_LOGS]:
                old.unlink(missing_ok=True)
    except OSError:
        _log.warning("%s\n%s", title, told)
        return None
    if announced and path not in _announced:
        _announced.add(path)
        _log.warning("Something failed in a way that was not foreseen; tracebacks are in %s", path)
    return path


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
