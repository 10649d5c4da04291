"""What every command line answers when it cannot do what it was asked: one message on standard error, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from analysis.engine import command_shards
from analysis.errors import AnalysisError, ConfigurationError

if TYPE_CHECKING:
    import argparse

__all__ = ["exit_code", "run_elsewhere"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def exit_code(command: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """The exit code of ``command()``, or 2 where the request cannot be met and 130 where the user stopped it.

    Parameters
    ----------
    command : callable
        Takes nothing, returns the exit code.
    interrupted : str
        What to say after Ctrl-C.

    Notes
    -----
    Files that cannot be read or written are the user's to mend, so what the system says of them is told without a traceback.
    Every other exception is a fault of this toolkit and keeps its traceback.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # words of other scripts on a console that cannot show them are written as \u5988; standard error does so by itself
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command()
        sys.stdout.flush()
        return code
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # what reads our output has seen enough, as `head` has; Python would complain once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        print(f"error: {_told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130


def run_elsewhere(module: str, arguments: Sequence[str], options: argparse.Namespace, *, cores: int) -> int:
    """Run every shard of a command where ``options.where`` says, and return the highest of their exit codes.

    Parameters
    ----------
    module : str
        Of the command: its ``main`` takes the arguments.
    arguments : sequence of str
        As they were given; ``options`` is what they mean, with ``where``, ``shard``, ``num_shards`` and ``device``.
    cores : int
        Of each shard.

    Raises
    ------
    ConfigurationError
        If one shard is asked for.

    Notes
    -----
    Each shard is heard when it ends. A request that one cannot meet (2) is one that the others cannot either: they are not
    waited for.
    """
    if options.shard:
        raise ConfigurationError(f"--where {options.where} makes every shard: leave out --shard {options.shard}.")
    once = [*arguments, "--where", "local", "--workers", str(cores)]
    gpus = 1 if options.device.startswith("cuda") else 0
    highest = 0
    for run in command_shards(module, once, options.num_shards, where=options.where, workers=cores, gpus=gpus):
        print(run.output, end="", flush=True)
        print(run.errors, end="", file=sys.stderr, flush=True)
        if run.code == 2:
            return 2
        highest = max(highest, run.code)
    return highest


def _told(error: OSError) -> str:
    if error.errno in _FULL:
        place = f" while {error.filename} was written" if error.filename is not None else ""
        return f"The disk is full{place}. Free some space and run the same command again."
    return (
        f"{error.filename} cannot be used: {error.strerror}. Check that the path is right, that its folder is one, and that this "
        "user may read or write there."
    )
