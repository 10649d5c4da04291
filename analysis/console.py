"""What every command line answers when it cannot do what it was asked: one message on standard error, and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from analysis.engine import command_shards
from analysis.errors import AnalysisError, BaselineError, ConfigurationError
from analysis.guard import first_line, is_out_of_memory, log_traceback

__all__ = ["UNFORESEEN", "Parser", "exit_code", "run_elsewhere", "seed"]

#: Exit code of an error that nobody foresaw: 1 is the gate's word for a regression.
UNFORESEEN = 70

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Below this, libraries that compute wait for memory, while they are loaded, without an end: no error could be caught then.
_LEAST_ADDRESS_SPACE = 2 << 30


class Parser(argparse.ArgumentParser):
    """A parser that takes ``--some_option`` for ``--some-option`` and the other way round; so do its subcommands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the parser of the standard library does, after options are spelled as they were declared."""
        given = sys.argv[1:] if args is None else list(args)
        end = given.index("--") if "--" in given else len(given)
        return super().parse_known_args([*map(self._spelled, given[:end]), *given[end:]], namespace)

    def _spelled(self, argument: str) -> str:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or name in self._option_string_actions:
            return argument
        for other in ("--" + name[2:].replace("_", "-"), "--" + name[2:].replace("-", "_")):
            if other in self._option_string_actions:
                return other + equals + value
        return argument


def exit_code(command: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """The exit code of ``command()``, or 2 where the request cannot be met, 3 where a baseline gives no verdict, 70 for an error that nobody foresaw, 130 for Ctrl-C.

    Parameters
    ----------
    command : callable
        Takes nothing, returns the exit code.
    interrupted : str
        What to say after Ctrl-C.

    Notes
    -----
    Files that cannot be read or written are the user's to mend, so what the system says of them is one line. Every other
    exception is one line too, which names the log that keeps the traceback.
    """
    if sys.stderr is None:  # closed: its number must not become that of a file that is written to
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if hasattr(sys.stdout, "reconfigure"):
        # words of other scripts on a console that cannot show them are written as \u5988; standard error does so by itself
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _check_process()
        code = command()
        sys.stdout.flush()
        return code
    except BaselineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _drop_output()  # what reads our output has seen enough, as `head` has
        return 141
    except OSError as error:
        told = _told(error)
        if told is None:
            return _unforeseen(error)
        print(f"error: {told}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except Exception as error:
        return _unforeseen(error)


def _check_process() -> None:
    """Raise for what no command can work with."""
    if sys.stdout is None:
        raise ConfigurationError(
            "Standard output is closed, so no result can be printed. Send it to a file, or to /dev/null where nobody reads it."
        )
    try:
        import resource
    except ImportError:  # not on Windows
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < _LEAST_ADDRESS_SPACE:
        raise ConfigurationError(
            f"This process may use {allowed / 2**30:.1f} GiB of address space (ulimit -v), and the libraries that compute are not "
            f"loaded in less than {_LEAST_ADDRESS_SPACE >> 30} GiB. Raise the limit, or ask for a job with more memory."
        )


def _unforeseen(error: Exception) -> int:
    # what the frames hold may be what filled the memory, and writing a traceback needs some
    traceback.clear_frames(error.__traceback__)
    try:
        log = log_traceback("command: " + " ".join(sys.argv), error, announced=False)
    except MemoryError:
        log = None
    where = f"Its traceback is in {log}" if log else "Its traceback is above, since no log could be written"
    if is_out_of_memory(error):
        told = f"There is not enough memory ({first_line(error)}). Use fewer workers or a machine with more memory. {where}."
    else:
        told = f"{type(error).__name__}: {first_line(error)} (nobody foresaw this). {where}; please report it with that."
    print(f"error: {told}", file=sys.stderr)
    return UNFORESEEN


def _drop_output() -> None:
    """Let what is still to be printed vanish; Python would complain of it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def seed(text: str) -> int:
    """A seed of random numbers as a command line gives it, for argparse: a whole number from 0 to 4294967295."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number from 0 to {2**32 - 1}")
    return int(text)


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


def _told(error: OSError) -> str | None:
    """What the system says of a file, with what to do; None where it is of no file that the user could know."""
    place = f" while {error.filename} was written" if error.filename is not None else ""
    if error.errno in _FULL:
        return f"The disk is full{place}. Free some space and run the same command again."
    if error.errno == errno.EFBIG:
        return (
            f"A file became larger than this system allows{place} (ulimit -f, or the kind of disk). Raise the limit, or write to "
            "another disk, and run the same command again."
        )
    if error.filename is None:
        return None
    return (
        f"{error.filename} cannot be used: {error.strerror}. Check that the path is right, that its folder is one, and that this "
        "user may read or write there."
    )
