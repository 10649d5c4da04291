"""Scoring on all cores: many small tasks on threads of their own, each with numerical libraries that keep to one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from analysis.engine import available_cores

__all__ = ["Workers", "workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads that take items one by one; results come in the order of the items, so nothing depends on their number."""

    def __init__(self, pool: ThreadPoolExecutor | None, n: int) -> None:
        self._pool, self.n = pool, n
        self._owner = threading.current_thread()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """``function`` of each item. A worker that asks for workers works alone, so that tasks can be nested."""
        if self._pool is None or threading.current_thread() is not self._owner:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))


@contextmanager
def workers(device: str = "cpu") -> Iterator[Workers]:
    """Workers for the time of a ``with`` block, during which BLAS and torch use one thread per caller.

    Scoring is thousands of operations of a millisecond or less. Split over two threads they wait for each other longer than they
    work, and the thread pools of NumPy's and torch's libraries take each other's cores: the demo takes several times the CPU.
    """
    import torch
    from threadpoolctl import threadpool_limits

    n = available_cores() if device == "cpu" else 1
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            if n == 1:
                yield Workers(None, 1)
            else:
                # torch's number of threads is kept by each thread for itself
                with ThreadPoolExecutor(n, "separation", initializer=lambda: torch.set_num_threads(1)) as pool:
                    yield Workers(pool, n)
        finally:
            torch.set_num_threads(before)
