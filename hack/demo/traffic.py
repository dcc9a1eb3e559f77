"""Patients as traffic: a steady stream of predictions over keep-alive connections, and labels for those held out."""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from hack.demo.patients import Patient

RECENT_SECONDS = 10.0


class Traffic:
    """Sends ``rate`` requests a second, each one patient drawn with replacement from :attr:`patients`.

    The stream can be turned to other patients at any time. With :attr:`labelled`, the truth about held-out patients
    follows as feedback. :attr:`lost` lists what was not answered with 200.
    """

    def __init__(self, url: str, model: str, *, rate: float = 40.0, connections: int = 4, seed: int = 1) -> None:
        self.url, self.model, self.rate, self.connections = url, model, rate, connections
        self.patients: Sequence[Patient] = ()
        self.labelled = True
        self.answered: Counter[str] = Counter()
        self.lost: list[str] = []
        self.labels = 0
        self.recent: deque[tuple[float, str]] = deque()
        self.last_answer: dict[str, float] = {}
        self._tokens: list[tuple[str, str]] = []
        self._random = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        """The stream runs inside this block."""
        self._tasks = [asyncio.create_task(self._connection()) for _ in range(self.connections)]
        self._tasks.append(asyncio.create_task(self._feedback()))
        try:
            yield self
        finally:
            for task in self._tasks:
                task.cancel()

    def turn_to(self, patients: Sequence[Patient]) -> None:
        """From now on these patients are sent."""
        self.patients = patients

    def shares(self) -> dict[str, float]:
        """Each version's share of the answers of the last seconds, 0 to 1."""
        horizon = time.time() - RECENT_SECONDS
        while self.recent and self.recent[0][0] < horizon:
            self.recent.popleft()
        counts = Counter(version for _, version in self.recent)
        return {version: count / len(self.recent) for version, count in sorted(counts.items())}

    async def _connection(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=1)) as session:
            while True:
                due = time.monotonic() + self.connections / self.rate
                if self.patients:
                    await self._predict(session, self._random.choice(self.patients))
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _predict(self, session: aiohttp.ClientSession, patient: Patient) -> None:
        try:
            async with session.post(
                f"{self.url}/v2/models/{self.model}/infer", json={"inputs": patient.tensors()}
            ) as answer:
                if answer.status != 200:
                    self.lost.append(f"{answer.status} {(await answer.text())[:200]}")
                    return
                body: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.lost.append(f"{type(error).__name__} {error}")
            return
        version, now = body["model_version"], time.time()
        self.answered[version] += 1
        self.recent.append((now, version))
        self.last_answer[version] = now
        outputs = {each["name"]: each["data"][0] for each in body["outputs"]}
        if self.labelled and patient.held_out and "feedback_token" in outputs:
            self._tokens.append((outputs["feedback_token"], patient.sick))

    async def _feedback(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                await asyncio.sleep(1)
                batch, self._tokens = self._tokens, []
                if not batch:
                    continue
                items = [{"token": token, "actual": actual} for token, actual in batch]
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    url = f"{self.url}/v2/models/{self.model}/feedback"
                    async with session.post(url, json={"feedback": items}) as answer:
                        if answer.status == 200:
                            self.labels += (await answer.json())["accepted"]
