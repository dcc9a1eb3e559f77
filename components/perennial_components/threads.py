"""How many threads numeric libraries may use."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from threadpoolctl import threadpool_limits

_MANY_ROWS = 20_000
_MOST_WORKERS = 4
"""Each holds its rows once more."""


def threads_for(rows: int) -> AbstractContextManager[Any]:
    """One thread for few rows: boosted trees on some hundred rows otherwise spend their time waiting for each other.

    Seen on two busy cores: 100 fits of 180 rows took 11 s with one thread and 236 s with two.
    """
    return nullcontext() if rows >= _MANY_ROWS else threadpool_limits(1)


def single_threads() -> AbstractContextManager[Any]:
    """One thread in every numeric library: with more, sums are put together otherwise and their last digits differ.

    Of OpenMP that holds for the thread that asks for it: others ask for themselves.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def workers_for(rows: int) -> int:
    """How many models of so many rows are fitted at a time: one a core; where a fit takes next to no time, only one."""
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS) if rows >= _MANY_ROWS else 1
