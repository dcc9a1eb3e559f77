"""Many monitors share one query; each still gets its own chunks, whoever asked for them."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.domain.drift.window import Chunk, Layout
from perennial.reconcile.counters import TOGETHER, ChunkCache, CounterReader, size_of
from tests.unit.drift.prometheus_server import PrometheusServer, Traffic
from tests.unit.drift.support import AGE, CALM, SEX, chunk

STEP = 20_000
LAYOUT = Layout.of((AGE, SEX))


class Fleet:
    """``size`` monitors of as many deployments, of which each has as many predictions a second as its number."""

    def __init__(self, server: PrometheusServer, prometheus: Prometheus, size: int) -> None:
        self.server, self.prometheus, self.reader = server, prometheus, CounterReader()
        self.versions = [f"m{at}-v1" for at in range(1, size + 1)]
        self.server.traffic = [
            Traffic(version, 0, 1e12, {("age", "[20,40)"): float(at)}, {"1": float(at)})
            for at, version in enumerate(self.versions, start=1)
        ]

    async def look(self, end: int, chunks: int = 3) -> dict[str, tuple[Chunk, ...]]:
        """Each monitor's chunks up to ``end`` s; ``self.queries`` is how many queries that took."""
        before = len(self.server.asked)
        starts = [end * 1000 - STEP * at for at in range(chunks, 0, -1)]
        found = {}
        for version in self.versions:
            subject = f"ns/{version.removesuffix('-v1')}", version
            found[version] = await self.reader.chunks(self.prometheus, version, subject, LAYOUT, STEP, starts)
        self.queries = len(self.server.asked) - before
        return found


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        yield Fleet(server, prometheus, 2 * TOGETHER)


async def test_a_hundred_monitors_need_few_queries_for_their_newest_chunk(fleet: Fleet) -> None:
    await fleet.look(6000)
    assert fleet.queries == 2 * TOGETHER, "each reads its window back once"
    found = await fleet.look(6020)
    assert fleet.queries == 2
    assert [each.predictions for each in found["m7-v1"]] == [140.0] * 3
    assert [each[-1].predictions for each in found.values()] == [20.0 * at for at in range(1, 2 * TOGETHER + 1)]
    await fleet.look(6040)
    assert fleet.queries == 2
    await fleet.look(6040)
    assert fleet.queries == 0, "what is known is not asked again"


async def test_one_that_missed_a_chunk_asks_for_itself(fleet: Fleet) -> None:
    await fleet.look(6000)
    everybody, fleet.versions = fleet.versions, fleet.versions[1:]
    await fleet.look(6020)
    fleet.versions = everybody
    found = await fleet.look(6040)
    assert fleet.queries == 3
    assert [each.predictions for each in found["m1-v1"]] == [20.0] * 3


async def test_an_empty_newest_chunk_is_looked_at_once_more(fleet: Fleet) -> None:
    fleet.versions, fleet.server.traffic = ["m1-v1"], [Traffic("m1-v1", 0, 6000, {("age", "[20,40)"): 1.0}, {"1": 1.0})]
    await fleet.look(6000)
    fleet.server.asked.clear()
    for end, first in ((6020, 6020), (6040, 6020), (6060, 6040)):
        await fleet.look(end)
        assert float(fleet.server.asked[-1]["start"]) == first
        assert float(fleet.server.asked[-1]["end"]) == end


async def test_two_tenants_with_one_name_never_see_each_other() -> None:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        reader, starts = CounterReader(), [40_000, 60_000]
        flows = {"a/heart": 1.0, "b/heart": 5.0}
        server.traffic = [
            Traffic("heart-v1", 0, 1e12, {("age", "[20,40)"): rate}, {"1": rate}, deployment=name)
            for name, rate in flows.items()
        ]
        for end in range(80_000, 200_000, STEP):
            starts = [end - 2 * STEP, end - STEP]
            for name, rate in flows.items():
                found = await reader.chunks(prometheus, name, (name, "heart-v1"), LAYOUT, STEP, starts)
                assert [each.predictions for each in found] == [20 * rate] * 2


def test_the_memory_is_bounded_and_about_one_thing() -> None:
    cache = ChunkCache(limit=4 * size_of(chunk(CALM)))
    for uid in ("a", "b", "c"):
        known = cache.of(uid, "v1", 20_000, ("age",))
        known.update({start: chunk(CALM) for start in (0, 20_000)})
        cache.trim(uid)
    assert len(cache.of("c", "v1", 20_000, ("age",))) == 2
    assert len(cache.of("b", "v1", 20_000, ("age",))) == 2
    assert len(cache.of("a", "v1", 20_000, ("age",))) == 0, "the least lately used went"
    assert len(cache.of("b", "v2", 20_000, ("age",))) == 0, "another version was not counted"


def test_there_is_room_for_a_thousand_monitors_of_twenty_features_and_a_day_of_chunks() -> None:
    counts = np.zeros(20 * 14 + 20 + 14)
    cache = ChunkCache()
    for uid in map(str, range(1000)):
        cache.of(uid).update({start: Chunk(counts) for start in range(24)})
        cache.trim(uid)
    assert all(len(cache.of(uid)) == 24 for uid in map(str, range(1000)))


def test_what_was_forgotten_takes_no_room() -> None:
    cache = ChunkCache(limit=2 * size_of(chunk(CALM)))
    for version in range(5):
        for uid in ("a", "b"):
            cache.of(uid, version)[0] = chunk(CALM)
            cache.trim(uid)
    assert [len(cache.of(uid, 4)) for uid in ("a", "b")] == [1, 1]
