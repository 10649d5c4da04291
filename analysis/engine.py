"""Map a function over shards: in this process, in worker processes, or on a Ray cluster. Stages do not know which.

A stage is a function of one shard that can be pickled by reference (a module-level function, or ``functools.partial`` of one).
Results come back in the order of the shards, so the outcome does not depend on where it ran. What a cluster is given is a command
that can be asked for one of its shards and asked again: :func:`command_shards`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from analysis.errors import ConfigurationError, WorkerError

__all__ = [
    "PLACES",
    "ShardRun",
    "at_once",
    "available_cores",
    "beside",
    "command_shards",
    "map",
    "one_thread_each",
]

Shard = TypeVar("Shard")
Result = TypeVar("Result")

PLACES = ("local", "ray")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may use, as a batch system or a container limits them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread_each() -> None:
    """Keep a worker process to one thread: two one-thread workers beat two threads on the models used here."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def map(
    function: Callable[[Shard], Result],
    shards: Sequence[Shard],
    *,
    where: Literal["local", "ray"] = "local",
    workers: int = 1,
    gpus: float = 0,
) -> Iterator[Result]:
    """Yield ``function(shard)`` for every shard, in order.

    Parameters
    ----------
    function : callable
        Importable by name where there is more than one worker.
    shards : sequence
    where : {'local', 'ray'}
        ``ray`` uses the cluster that ``RAY_ADDRESS`` names, or starts one on this machine.
    workers : int
        Local processes; 1 runs in this process. Ray runs as many shards at once as it has room for, each with this many cores.
    gpus : float
        Accelerators that Ray keeps for each shard; of no meaning elsewhere.

    Raises
    ------
    ConfigurationError
        If the place is unknown, or Ray is asked for and not installed.
    WorkerError
        If a local process ended without an answer.
    """
    if where not in PLACES:
        raise ConfigurationError(f"Cannot run on {where!r}. Valid places: {', '.join(PLACES)}.")
    if where == "ray":
        yield from _map_on_ray(function, shards, workers, gpus)
    elif workers <= 1 or len(shards) <= 1:
        for shard in shards:
            yield function(shard)
    else:
        yield from _map_in_processes(function, shards, min(workers, len(shards)))


def _map_in_processes(function: Callable[[Shard], Result], shards: Sequence[Shard], workers: int) -> Iterator[Result]:
    # spawn: forking a process whose libraries already run threads can deadlock
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread_each) as pool:
        with _without_the_script():
            futures = [pool.submit(function, shard) for shard in shards]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                f"One of {workers} worker processes ended without an answer; systems stop processes when memory runs out. "
                f"Give fewer workers, or a machine with more memory. What was finished is kept."
            ) from error
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def beside(workers: int = 2) -> Iterator[Callable[..., Future]]:
    """A function that starts work whose result is wanted later: ``start(function, *arguments)`` gives its future.

    Parameters
    ----------
    workers : int
        From 2 on the work runs, piece after piece, in one process beside this one, which begins with the first piece; otherwise
        at once, here. Functions are importable by name; arguments and results can be pickled.
    """
    if workers < 2:
        yield at_once
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    def start(function: Callable[..., Any], *arguments: Any) -> Future:
        with _without_the_script():
            return pool.submit(function, *arguments)

    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=one_thread_each)
    try:
        yield start
    finally:
        pool.shutdown(cancel_futures=True)


def at_once(function: Callable[..., Any], *arguments: Any) -> Future:
    """Work that is done when this returns, as a future: what :func:`beside` gives where there is one core."""
    done: Future = Future()
    try:
        done.set_result(function(*arguments))
    except Exception as error:
        done.set_exception(error)
    return done


@contextmanager
def _without_the_script() -> Iterator[None]:
    """Start processes that do not run the user's script again.

    A new process imports the script of its parent, for functions that the script defines. The functions mapped here are found
    by name in modules, and a script that runs an analysis at its top level would start it again in every process.
    """
    import sys

    script = sys.modules["__main__"]
    kept = {name: getattr(script, name) for name in ("__spec__", "__file__") if hasattr(script, name)}
    for name in kept:
        setattr(script, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(script, name, value)


def _map_on_ray(function: Callable[[Shard], Result], shards: Sequence[Shard], cores: int, gpus: float) -> Iterator[Result]:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError("Running on Ray needs the `cluster` extra: pip install 'wav2sem-analysis[cluster]'.") from error
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, logging_level="ERROR")
    try:
        # Ray takes functions as they are defined only, no partial ones
        remote: Any = ray.remote(num_cpus=cores, num_gpus=gpus)(_called)
        waiting = [remote.remote(function, shard) for shard in shards]
        try:
            while waiting:
                yield ray.get(waiting[0])
                waiting.pop(0)
        finally:
            for reference in waiting:
                ray.cancel(reference)
    finally:
        if started_here:
            ray.shutdown()


def _called(function: Callable[[Shard], Result], shard: Shard) -> Result:
    return function(shard)


@dataclass(frozen=True)
class ShardRun:
    """What a command did with one of its shards.

    Attributes
    ----------
    code : int
        Its exit code.
    output, errors : str
        What it wrote to standard output and standard error.
    """

    code: int
    output: str
    errors: str


def command_shards(
    module: str,
    arguments: Sequence[str],
    n_shards: int,
    *,
    where: Literal["local", "ray"] = "local",
    workers: int = 1,
    gpus: float = 0,
) -> Iterator[ShardRun]:
    """Run ``python -m module arguments --shard I --num-shards N`` for every shard, in order.

    Parameters
    ----------
    module : str
        Its ``main`` takes the arguments and returns the exit code.
    arguments : sequence of str
    n_shards : int
    where, workers, gpus
        As in :func:`map`.

    Notes
    -----
    Paths mean what they mean here: every shard runs in the folder of this process, which a cluster must share.
    """
    run = partial(_run_shard, module, tuple(arguments), os.getcwd(), n_shards)
    yield from map(run, range(n_shards), where=where, workers=workers, gpus=gpus)


def _run_shard(module: str, arguments: Sequence[str], folder: str, n_shards: int, shard: int) -> ShardRun:
    import io
    from contextlib import chdir, redirect_stderr, redirect_stdout
    from importlib import import_module

    if not os.path.isdir(folder):
        raise ConfigurationError(
            f"The folder {folder}, from which the command was given, is not on {os.uname().nodename}. Machines that share the work "
            "need a folder that all of them see: give the command from there."
        )
    output, errors = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(output), redirect_stderr(errors):
        code = import_module(module).main([*arguments, "--shard", str(shard), "--num-shards", str(n_shards)])
    return ShardRun(code, output.getvalue(), errors.getvalue())
