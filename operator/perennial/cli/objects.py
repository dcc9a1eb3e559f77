"""The objects that a view shows: read once, or kept up to date by watches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from perennial.adapters.kubernetes import ApiError
from perennial.api.common import API_VERSION
from perennial.cli.cluster import Cluster

Json = dict[str, Any]
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Source:
    """Objects of one kind; ``labels`` is a selector."""

    kind: str
    api_version: str = API_VERSION
    labels: str = ""


@dataclass
class Objects:
    """What is known of the cluster, by kind. ``trouble`` is why it may be out of date, empty while it is not."""

    cluster: Cluster
    sources: tuple[Source, ...]
    everywhere: bool = False
    trouble: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _found: dict[str, dict[tuple[str, str], Json]] = field(default_factory=dict)

    @property
    def namespace(self) -> str | None:
        """Where to look; None: everywhere."""
        return None if self.everywhere else self.cluster.namespace

    def all(self, kind: str) -> list[Json]:
        """Every object of ``kind``, by namespace and name."""
        return [raw for _, raw in sorted(dict(self._found.get(kind, {})).items())]

    def one(self, kind: str, name: str) -> Json | None:
        """The object ``name``."""
        return self._found.get(kind, {}).get((self.cluster.namespace, name))

    async def read(self) -> None:
        """Reads all of it once. Raises ApiError."""
        await asyncio.gather(*map(self._read, self.sources))

    async def _read(self, source: Source) -> None:
        found = await self.cluster.api.list(source.api_version, source.kind, self.namespace, labels=source.labels)
        self._found[source.kind] = {_place(raw): raw for raw in found}

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Inside this block the objects stay up to date; ``changed`` is set by every change."""
        tasks = [asyncio.create_task(self._follow(source)) for source in self.sources]
        tasks.append(asyncio.create_task(self._recover()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, source: Source) -> None:
        watch = self.cluster.api.watch(
            source.api_version, source.kind, self.namespace, source.labels, metadata_only=False
        )
        known = self._found.setdefault(source.kind, {})
        async for change in watch:
            if change.type == "Applied":
                known[_place(change.object)] = change.object
            elif change.type == "Deleted":
                known.pop(_place(change.object), None)
            self.changed.set()

    async def _recover(self) -> None:
        """The watches come back by themselves; this says meanwhile that they are away, and reads what they missed."""
        while True:
            await self.cluster.lost.wait()
            self.cluster.lost.clear()
            try:
                await self.read()
                self.trouble = ""
            except ApiError as error:
                self.trouble = f"the API server does not answer ({error.message})"
                self.cluster.lost.set()
                await asyncio.sleep(RETRY_SECONDS)
            self.changed.set()


def _place(raw: Json) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]
