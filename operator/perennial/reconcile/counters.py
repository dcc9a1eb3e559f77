"""Chunks of counts from Prometheus: closed ones are asked for once, and the first monitor to ask asks for others too.

Monitors with chunks of one length all look at the same moment. So whoever finds its newest chunk missing asks for it
together with up to :data:`TOGETHER` - 1 others that will ask for the same next.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from perennial.adapters.prometheus import Prometheus, QueryRejected, Series
from perennial.domain.drift.queries import Family, Subject, chunk_query
from perennial.domain.drift.window import Chunk, Layout, read_chunks

BYTES_KEPT = 192 * 2**20
"""1,000 monitors of 20 features and 24 chunks need 65 MiB; where not all fit, all are asked for at each close."""
CHUNK_BYTES = 1830
"""Of a chunk beside its counts by bin, about."""
TOGETHER = 25
FORGOTTEN_STEPS = 3
"""A monitor that has not asked for so many chunks is none any more."""


@dataclass(frozen=True)
class Span:
    """Chunks of ``step`` from the one that begins at ``first`` to the one that ends at ``end``, Unix ms."""

    step: int
    first: int
    end: int


@dataclass
class _Memory:
    """Closed chunks of one monitor by start; ``about`` is what they were counted for, ``size`` their bytes."""

    about: tuple[object, ...]
    chunks: dict[int, Chunk] = field(default_factory=dict)
    size: int = 0


class ChunkCache:
    """Closed chunks by monitor; those least lately used go first when there are more than ``limit`` bytes in all."""

    def __init__(self, limit: int = BYTES_KEPT) -> None:
        self._limit = limit
        self._held = 0
        self._memories: OrderedDict[str, _Memory] = OrderedDict()

    def of(self, uid: str, *about: object) -> dict[int, Chunk]:
        """What is remembered of the monitor ``uid``, to be added to; empty where it is ``about`` something else."""
        memory = self._memories.get(uid)
        if memory is None or memory.about != about:
            self._held -= memory.size if memory else 0
            memory = self._memories[uid] = _Memory(about)
        self._memories.move_to_end(uid)
        return memory.chunks

    def trim(self, uid: str) -> None:
        """Keeps within the limit, now that the monitor ``uid`` has others."""
        if (memory := self._memories.get(uid)) is not None:
            size = sum(size_of(chunk) for chunk in memory.chunks.values())
            self._held += size - memory.size
            memory.size = size
        while self._held > self._limit and len(self._memories) > 1:
            _, oldest = self._memories.popitem(last=False)
            self._held -= oldest.size


def size_of(chunk: Chunk) -> int:
    """Bytes of memory, about."""
    return chunk.counts.nbytes + CHUNK_BYTES


class CounterReader:
    """One for all monitors of the process."""

    def __init__(self) -> None:
        self._cache = ChunkCache()
        self._next: dict[tuple[int, Subject], int] = {}
        self._answers: dict[tuple[Span, Subject], list[Series]] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def chunks(
        self, prometheus: Prometheus, uid: str, subject: Subject, layout: Layout, step: int, starts: Sequence[int]
    ) -> tuple[Chunk, ...]:
        """The closed chunks that begin at ``starts`` (Unix ms).

        Asks from the first that is not remembered; the newest is not while it is empty, for it may be late. Raises
        PrometheusUnavailable and QueryRejected.
        """
        known = self._cache.of(uid, subject, step, [(each.name, each.bins) for each in layout.features])
        for start in set(known) - set(starts):
            del known[start]
        missing = [start for start in starts if start not in known]
        if not missing:
            return tuple(known[start] for start in starts)
        span = Span(step, missing[0], starts[-1] + step)
        lines = await self._lines(prometheus, subject, span)
        wanted = [start for start in starts if start >= span.first]
        fresh = read_chunks(layout, wanted, step, lines)
        known.update({start: each for start, each in fresh.items() if start != starts[-1] or each.predictions > 0})
        for start in starts[:-1]:
            known[start].settle()
        self._next[step, subject] = span.end if starts[-1] in known else starts[-1]
        self._cache.trim(uid)
        return tuple(known[start] if start in known else fresh[start] for start in starts)

    async def _lines(self, prometheus: Prometheus, subject: Subject, span: Span) -> list[Series]:
        async with self._turns[span.step]:
            if (answer := self._answers.pop((span, subject), None)) is not None:
                return answer
            mates = self._mates(subject, span)
            try:
                answers = await ask(prometheus, (subject, *mates), span)
            except QueryRejected:
                if not mates:
                    raise
                answers = await ask(prometheus, (subject,), span)
                mates = ()
            self._answers.update({(span, mate): answers.get(mate, []) for mate in mates})
            return answers.get(subject, [])

    def _mates(self, subject: Subject, span: Span) -> tuple[Subject, ...]:
        """Who will ask for ``span`` too; forgets who has not asked for long, and answers that nobody came for."""
        oldest = span.end - FORGOTTEN_STEPS * span.step
        for key in [key for key, first in self._next.items() if key[0] == span.step and first < oldest]:
            del self._next[key]
        for held in [key for key in self._answers if key[0].step == span.step and key[0].end < span.end]:
            del self._answers[held]
        waiting = (
            mate
            for (step, mate), first in self._next.items()
            if step == span.step and first == span.first and mate != subject and (span, mate) not in self._answers
        )
        return tuple(mate for mate, _ in zip(waiting, range(TOGETHER - 1), strict=False))


async def ask(
    prometheus: Prometheus, subjects: Sequence[Subject], span: Span, families: Sequence[Family] = tuple(Family)
) -> dict[Subject, list[Series]]:
    """One range query for all ``subjects``; the answer's series by subject."""
    query = chunk_query(subjects, span.step, families)
    first, end = (span.first + span.step) / 1000, span.end / 1000
    answer = await prometheus.query_range(query, first, end, span.step / 1000)
    found: dict[Subject, list[Series]] = {}
    for series in answer:
        subject = series.labels.get("deployment", ""), series.labels.get("version", "")
        found.setdefault(subject, []).append(series)
    return found
