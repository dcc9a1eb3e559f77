"""What a worker does with a look at an object, on a clock that the test moves."""

from typing import Any, cast

from perennial.reconcile.loop import AFTER_ERROR, Loop, Reconciler, Result
from perennial.reconcile.queue import Key, Queue
from perennial.telemetry import Metrics

KEY = ("ModelDeployment", "clinic", "heart")


class Scripted:
    """Looks that end as they are told."""

    def __init__(self, *results: Result) -> None:
        self._results = list(results)

    async def reconcile(self, _key: Key) -> Result:
        return self._results.pop(0)


async def delays(*results: Result) -> list[float]:
    """Seconds after each look until the next one is due, up to an hour."""
    now = 1000.0
    queue = Queue(lambda: now)
    loop = Loop(queue, cast("Reconciler", Scripted(*results)), cast("Any", Metrics()), 1)
    found = []
    for _ in results:
        await loop._turn(KEY)
        began = now
        while queue.pop() is None and now < began + 3600:
            now += 0.25
        queue.done(KEY)
        found.append(now - began)
    return found


async def test_what_is_refused_is_tried_again_later_each_time() -> None:
    refused = Result(refused="Deployment heart-1 was refused: exceeded quota")
    assert await delays(refused, refused, refused) == [AFTER_ERROR, 2 * AFTER_ERROR, 4 * AFTER_ERROR]
    assert await delays(refused, Result(), refused) == [AFTER_ERROR, 3600, AFTER_ERROR]


async def test_a_time_that_was_asked_for_holds_though_a_step_was_refused() -> None:
    refused = Result(refused="Deployment heart-1 was refused: exceeded quota")
    timed = Result(requeue=2.0, refused=refused.refused)
    assert await delays(refused, refused, refused, timed) == [1, 2, 4, 2]
