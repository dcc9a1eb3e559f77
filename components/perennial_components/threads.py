"""How many threads numeric libraries may use."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from threadpoolctl import threadpool_limits

_MANY_ROWS = 20_000


def threads_for(rows: int) -> AbstractContextManager[Any]:
    """One thread for few rows: boosted trees on some hundred rows otherwise spend their time waiting for each other.

    Seen on two busy cores: 100 fits of 180 rows took 11 s with one thread and 236 s with two.
    """
    return nullcontext() if rows >= _MANY_ROWS else threadpool_limits(1)
