"""What the process as a whole knows: whether it is leaving, how much is waiting, how old a connection is."""

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any


def _nothing_waits() -> int:
    return 0


class State:
    """Shared by the two ports. ``waiting`` gives the number of requests accepted and not yet answered."""

    def __init__(self) -> None:
        self.ready = True
        self.waiting = _nothing_waits

    def closes(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether this request's answer ends its connection: it is old enough, or the process is leaving."""
        connection = scope.get("state", {})
        return not self.ready or self.began(scope) >= connection.get("closes_at", float("inf"))

    @staticmethod
    def began(scope: MutableMapping[str, Any]) -> float:
        """When the request's first byte was read (s, ``perf_counter``): waiting for the loop is latency too."""
        began: float = scope.get("state", {}).get("began", 0.0)
        return began or perf_counter()
