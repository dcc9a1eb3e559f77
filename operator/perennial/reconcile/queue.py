"""The work queue: which object is to be looked at next, and when.

A key is in the queue at most once and is never worked on twice at a time: what is added while it is worked on comes
after. Of two times wanted for a key the earlier one holds. Failures of a key push its next turn out exponentially, and
no key takes more than BURST turns at once and then one each INTERVAL seconds, whatever wakes it.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

Key = tuple[str, str, str]
"""(kind, namespace, name)."""

LONGEST_DELAY = 120.0
BURST = 20
INTERVAL = 0.5


class Queue:
    """Times are seconds of ``clock``, which only moves forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._paid_until: dict[Key, float] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """``key`` is due in ``delay`` seconds, or earlier where it already was."""
        earliest = self._paid_until.get(key, 0.0) - BURST * INTERVAL
        due = max(self._clock() + delay, earliest)
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        if key not in self._working:
            self._push(key)

    def retry(self, key: Key, first: float) -> float:
        """Adds ``key`` after a failure: ``first`` seconds, doubled with each failure in a row. Returns the delay."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LONGEST_DELAY, first * 2.0 ** min(failures - 1, 20))
        self.add(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Ends a row of failures."""
        self._failures.pop(key, None)

    def pop(self) -> Key | None:
        """A key that is due, to be given back with :meth:`done`; None when none is due."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if key in self._working or self._due.get(key) != due:
                continue
            del self._due[key]
            self._working.add(key)
            self._pay(key, now)
            return key
        return None

    async def get(self) -> Key:
        """As :meth:`pop`, when one becomes due."""
        while (key := self.pop()) is None:
            self._wake.clear()
            timeout = None if not self._heap else max(0.0, self._heap[0][0] - self._clock())
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return key

    def done(self, key: Key) -> None:
        """The work on ``key`` has ended; what was added meanwhile takes its turn."""
        self._working.discard(key)
        if key in self._due:
            self._push(key)

    def overdue(self) -> float:
        """Seconds that the oldest key which could be worked on has been waiting; 0 when none is due."""
        now = self._clock()
        waits = (now - due for key, due in self._due.items() if key not in self._working)
        return max(0.0, max(waits, default=0.0))

    def prune(self) -> None:
        """Forgets the rate limits that no longer limit anything."""
        moment = self._clock()
        self._paid_until = {key: until for key, until in self._paid_until.items() if until > moment}

    def _push(self, key: Key) -> None:
        heapq.heappush(self._heap, (self._due[key], next(self._order), key))
        self._wake.set()

    def _pay(self, key: Key, now: float) -> None:
        self._paid_until[key] = max(self._paid_until.get(key, 0.0), now) + INTERVAL
