"""Map a function over shards: in this process, in worker processes, or on a Ray cluster. Stages do not know which.

A stage is a function of one shard that can be pickled by reference (a module-level function, or ``functools.partial`` of one).
Results come back in the order of the shards, so the outcome does not depend on where it ran.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal, TypeVar

from analysis.errors import ConfigurationError

__all__ = ["PLACES", "at_once", "available_cores", "beside", "map", "one_thread_each", "shards_of"]

Shard = TypeVar("Shard")
Result = TypeVar("Result")

PLACES = ("local", "ray")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may use, as a batch system or a container limits them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shards_of(items: Sequence[Shard], n_shards: int) -> list[list[Shard]]:
    """``items`` dealt into at most ``n_shards`` contiguous shards whose sizes differ by one at most; empty ones are left out."""
    if n_shards < 1:
        raise ConfigurationError(f"The number of shards must be at least 1, not {n_shards}.")
    bounds = [len(items) * i // n_shards for i in range(n_shards + 1)]
    return [list(items[a:b]) for a, b in pairwise(bounds) if b > a]


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
        Local processes; 1 runs in this process. Ray schedules by itself, one core per shard.

    Raises
    ------
    ConfigurationError
        If the place is unknown, or Ray is asked for and not installed.
    """
    if where not in PLACES:
        raise ConfigurationError(f"Cannot run on {where!r}. Valid places: {', '.join(PLACES)}.")
    if where == "ray":
        yield from _map_on_ray(function, shards)
    elif workers <= 1 or len(shards) <= 1:
        for shard in shards:
            yield function(shard)
    else:
        yield from _map_in_processes(function, shards, min(workers, len(shards)))


def _map_in_processes(function: Callable[[Shard], Result], shards: Sequence[Shard], workers: int) -> Iterator[Result]:
    # spawn: forking a process whose libraries already run threads can deadlock
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread_each) as pool:
        with _without_the_script():
            futures = [pool.submit(function, shard) for shard in shards]
        try:
            for future in futures:
                yield future.result()
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


def _map_on_ray(function: Callable[[Shard], Result], shards: Sequence[Shard]) -> Iterator[Result]:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError("Running on Ray needs the `cluster` extra: pip install 'wav2sem-analysis[cluster]'.") from error
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, logging_level="ERROR")
    try:
        remote: Any = ray.remote(function)
        for reference in [remote.remote(shard) for shard in shards]:
            yield ray.get(reference)
    finally:
        if started_here:
            ray.shutdown()
