"""One bad item is one row: what a step raises becomes a failure with its traceback in a log; what concerns all items stops."""

from __future__ import annotations

import errno
import logging
import sqlite3

import pytest

from analysis import guard
from analysis.errors import AudioError, Failure, StrictError


@pytest.fixture(autouse=True)
def own_log(tmp_path, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path))
    monkeypatch.setattr(guard, "_announced", set())


def raising(error):
    def step():
        raise error

    return step


def test_a_result_comes_back():
    assert guard.attempt("alignment", "u1", lambda: 7) == 7


def test_an_error_that_explains_itself_is_a_row_without_a_log(tmp_path):
    row = guard.attempt("corpus", "u1", raising(AudioError("a.wav is silent.")), "Record it again.")
    assert row == Failure("corpus", "u1", "a.wav is silent.", "Record it again.")
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (
            KeyError("coda"),
            "KeyError: 'coda'.",
            "Leave it out, or mend it where it is damaged. The traceback is in {log}. Please report it where it is not.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.lab"),
            "a.lab cannot be used: Permission denied.",
            "Check its path, and that this user may read it. The traceback is in {log}.",
        ),
        (
            MemoryError("Unable to allocate 25.0 GiB"),
            "There is not enough memory for it (Unable to allocate 25.0 GiB).",
            "Cut the recording at its pauses, or use a machine with more memory. The traceback is in {log}.",
        ),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:126] data. DefaultCPUAllocator: can't allocate memory: 9 bytes."),
            "There is not enough memory for it ([enforce fail at alloc_cpu.cpp:126] data. DefaultCPUAllocator: can't allocate "
            "memory: 9 bytes.).",
            "Cut the recording at its pauses, or use a machine with more memory. The traceback is in {log}.",
        ),
    ],
)
def test_any_other_error_is_a_row_whose_traceback_is_logged(error, reason, remedy, caplog):
    with caplog.at_level(logging.WARNING):
        row = guard.attempt("alignment", "u1", raising(error), "unused")
        guard.attempt("alignment", "u2", raising(error))
    log = guard.log_path()
    assert row == Failure("alignment", "u1", reason, remedy.format(log=log))
    text = log.read_text(encoding="utf-8")
    assert ": alignment: u1\nTraceback (most recent call last):" in text and ": alignment: u2\n" in text
    # the console names the file once, not once an item
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"Something failed in a way that was not foreseen; tracebacks are in {log}"]


def full_database():
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        StrictError("stop"),
        OSError(errno.ENOSPC, "No space left on device", "x.json"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        full_database(),
    ],
)
def test_what_concerns_every_item_stops(error):
    with pytest.raises(type(error)) as caught:
        guard.attempt("alignment", "u1", raising(error))
    assert caught.value is error


def test_a_log_that_cannot_be_written_hides_nothing(monkeypatch, caplog):
    monkeypatch.setattr(guard, "cache_folder", raising(OSError(errno.EROFS, "Read-only file system")))
    monkeypatch.setattr(guard, "log_path", raising(OSError(errno.EROFS, "Read-only file system")))
    row = guard.attempt("alignment", "u1", raising(KeyError("coda")))
    assert row.reason == "KeyError: 'coda'." and "Its log could not be written." in row.remedy
    assert "Traceback (most recent call last):" in caplog.text
