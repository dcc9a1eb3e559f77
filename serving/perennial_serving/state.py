"""What the process as a whole knows: whether it is leaving, how much is waiting, how old a connection is."""

import asyncio
from collections.abc import MutableMapping
from math import inf
from time import perf_counter
from types import MappingProxyType
from typing import Any

_NO_STATE: MappingProxyType[str, Any] = MappingProxyType({})


def _nothing_waits() -> int:
    return 0


class State:
    """Shared by the two ports. ``waiting`` gives the number of requests accepted and not yet answered; ``room`` is how
    many bytes of large bodies may come before some of them are answered; ``scraped`` is set by each of Prometheus'
    visits.
    """

    def __init__(self, room: float = inf) -> None:
        self.ready = True
        self.room = room
        self.waiting = _nothing_waits
        self.scraped = asyncio.Event()

    def closes(self, scope: MutableMapping[str, Any], began: float) -> bool:
        """Whether the answer to what ``began`` then ends its connection: it is old enough, or we are leaving."""
        closes_at: float = scope.get("state", _NO_STATE).get("closes_at", inf)
        return not self.ready or began >= closes_at

    @staticmethod
    def began(scope: MutableMapping[str, Any]) -> float:
        """When the request's first byte was read (s, ``perf_counter``): waiting for the loop is latency too."""
        began: float = scope.get("state", _NO_STATE).get("began", 0.0)
        return began or perf_counter()
