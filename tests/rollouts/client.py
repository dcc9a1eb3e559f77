"""Keep-alive clients: who answered each request and when, and which requests were lost."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from hack.demo.patients import Patient

_PATIENCE = 120.0


@dataclass(frozen=True)
class Answer:
    """One answer: by which version (empty where an error does not say) and how."""

    at: float
    version: str
    code: int


@dataclass
class Client:
    """Sends ``rate`` requests a second over kept connections inside an ``async with`` block.

    A request is ``lost`` when no answer came, or one that the model did not give (a gateway's, or a pod's on its way
    out). A bad model's own 500 is an answer.
    """

    url: str
    model: str
    patients: Sequence[Patient]
    rate: float = 20.0
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 6
    answers: list[Answer] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        await self._arrive()
        dice = random.Random(1)
        self._tasks = [
            asyncio.create_task(self._connection(random.Random(dice.random()))) for _ in range(self.connections)
        ]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    @property
    def versions(self) -> set[str]:
        """Those that have answered."""
        return {answer.version for answer in self.answers if answer.version}

    def count(self, version: str, since: float = 0.0) -> int:
        """Answers of ``version`` since then (time.time())."""
        return sum(answer.version == version and answer.at >= since for answer in self.answers)

    def shares(self, since: float) -> dict[str, float]:
        """Percent of the answers since then, by version."""
        counts = Counter(answer.version for answer in self.answers if answer.at >= since)
        return {version: 100 * count / counts.total() for version, count in counts.items()}

    def last(self, wanted: Callable[[Answer], bool]) -> float:
        """When the last answer that is as ``wanted`` came."""
        return max((answer.at for answer in self.answers if wanted(answer)), default=0.0)

    async def until(self, wanted: Callable[[Self], bool], patience: float = _PATIENCE) -> None:
        """Waits for answers until it is as ``wanted``."""
        try:
            async with asyncio.timeout(patience):
                while not wanted(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            tail = Counter((answer.version, answer.code) for answer in self.answers[-200:])
            raise AssertionError(f"not within {patience:g} s; of late {tail}, lost {self.lost[-3:]}") from None

    async def answered(self, *versions: str, times: int = 20) -> None:
        """Waits until each of these versions has answered so often from now on."""
        since = time.time()
        await self.until(lambda me: all(me.count(version, since) >= times for version in versions))

    async def only(self, version: str, times: int = 100) -> None:
        """Waits until so many answers in a row are of ``version``: kept connections move within seconds."""
        await self.until(lambda me: [each.version for each in me.answers[-times:]] == [version] * times)

    async def _arrive(self) -> None:
        """Waits for the way to be open: a Gateway learns of ready pods a moment after the deployment's status does."""
        async with asyncio.timeout(_PATIENCE), self._session() as session:
            while not self.answers:
                await self._ask(session, self.patients[0])
        self.answers.clear()
        self.lost.clear()

    def _session(self) -> aiohttp.ClientSession:
        timeout, connector = aiohttp.ClientTimeout(total=15), aiohttp.TCPConnector(limit=1)
        return aiohttp.ClientSession(timeout=timeout, connector=connector, headers=self.headers)

    async def _connection(self, dice: random.Random) -> None:
        async with self._session() as session:
            while True:
                due = time.monotonic() + self.connections / self.rate
                await self._ask(session, dice.choice(self.patients))
                self._changed.set()
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self, session: aiohttp.ClientSession, patient: Patient) -> None:
        address = f"{self.url}/v2/models/{self.model}/infer"
        try:
            async with session.post(address, json={"inputs": patient.tensors()}) as answer:
                text, version = await answer.text(), ""
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    version = (await answer.json(content_type=None))["model_version"]
        except (aiohttp.ClientError, TimeoutError) as error:
            self.lost.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__} {error}")
            return
        if answer.status not in {200, 500}:
            self.lost.append(f"{time.strftime('%H:%M:%S')} {answer.status} {text[:200]}")
            return
        self.answers.append(Answer(time.time(), version, answer.status))


TALLY: Counter[str] = Counter()
"""Requests of the tests of this process, since somebody last looked."""
ANSWERED = "requests answered"
LOST = "requests lost"


@contextlib.asynccontextmanager
async def nothing_lost(client: Client) -> AsyncIterator[Client]:
    """Requests flow inside this block, and each is answered."""
    try:
        async with client:
            yield client
    finally:
        TALLY[ANSWERED] += len(client.answers)
        TALLY[LOST] += len(client.lost)
    assert client.lost == [], f"{len(client.lost)} of {len(client.answers)} requests lost: {client.lost[:5]}"
