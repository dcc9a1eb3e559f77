"""Looks at everything once in a while, and finds out what no event told.

Events get lost: kopf lists again after a watch has expired, but reports no deletion that happened meanwhile.
"""

import asyncio
import logging
import random

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.api import KINDS as RESOURCES
from perennial.api.common import API_VERSION
from perennial.reconcile.queue import Queue
from perennial.reconcile.watch import Index, key_of

KINDS = tuple(each.KIND for each in RESOURCES)
AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class Resync:
    """``interval`` is seconds; ``synced`` is set once everything has been listed for the first time."""

    def __init__(
        self, api: KubernetesApi, index: Index, queue: Queue, namespaces: tuple[str, ...], interval: float
    ) -> None:
        self._api = api
        self._index = index
        self._queue = queue
        self._namespaces = namespaces
        self._interval = interval
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.once(spread=self._interval / 10 if self.synced.is_set() else 0.0)
            except ApiError as error:
                log.warning("the objects could not be listed, again in %.0f s: %s", AGAIN_SECONDS, error)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.synced.set()
            await asyncio.sleep(self._interval * random.uniform(0.9, 1.1))  # noqa: S311 - spreads the load

    async def once(self, spread: float = 0.0) -> None:
        """Enqueues every object within ``spread`` seconds and drops what is no longer there. Raises ApiError."""
        before = self._index.keys()
        present = set()
        for namespace in self._namespaces or (None,):
            for kind in KINDS:
                items = await self._api.list(API_VERSION, kind, namespace, metadata_only=True)
                present |= {key_of(raw) for raw in items}
        for key in present:
            self._queue.add(key, random.uniform(0, spread))  # noqa: S311
        for ghost in before - present:
            for key in self._index.gone(ghost):
                self._queue.add(key)
        self._queue.prune()
