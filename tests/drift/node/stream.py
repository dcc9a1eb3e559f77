"""Patients who come all the time, and the truth about them that comes back: what a monitor's counters are made of."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from hack.demo.patients import Patient

ROWS = 8
"""Patients in a request: it is rows that are counted, and requests that cost."""
Draw = Callable[[random.Random], Patient]
Label = Callable[[Patient, random.Random], str | None]


class Given(NamedTuple):
    """A token that came with a prediction, and the true class that is to be said of it."""

    token: str
    actual: str


class Answered(NamedTuple):
    """Rows that one version predicted at ``at`` (Unix s)."""

    at: float
    version: str
    rows: int


class Reply(NamedTuple):
    """What the model said to feedback."""

    status: int
    accepted: int
    reasons: Counter[str]


def anyone(patients: Sequence[Patient]) -> Draw:
    """One of these, each as likely as the other."""
    return lambda dice: dice.choice(patients)


def truth(patient: Patient, _dice: random.Random) -> str:
    """What the patient had."""
    return patient.sick


def mistaken(share: float) -> Label:
    """The truth, but for this share of patients the opposite."""
    return lambda patient, dice: str(1 - int(patient.sick)) if dice.random() < share else patient.sick


def nobody_knows(_patient: Patient, _dice: random.Random) -> None:
    """No label."""


@dataclass
class Stream:
    """Asks for ``rate`` predictions a second inside :meth:`flowing`.

    Whom it sends (``draw``) and what it says of them (``label``) may change at any time. Feedback is sent ``times``
    times. Every token that was not sent is in ``held``. Each request has a connection of its own, so that all pods are
    met alike; what was not answered is in ``lost``.
    """

    url: str
    model: str
    draw: Draw
    label: Label = nobody_knows
    rate: float = 40.0
    times: int = 1
    answered: list[Answered] = field(default_factory=list)
    held: list[Given] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _dice: random.Random = field(default_factory=lambda: random.Random(1))

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator["Stream"]:
        """Patients come inside this block."""
        task = asyncio.create_task(self._flow())
        try:
            yield self
        finally:
            task.cancel()
            [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended

    def rows(self, version: str, since: float = 0.0, until: float = float("inf")) -> int:
        """Rows that ``version`` has answered between these times."""
        return sum(each.rows for each in self.answered if each.version == version and since <= each.at < until)

    async def feed(self, items: Sequence[Given]) -> Reply:
        """Sends feedback once, now."""
        async with self._session() as session:
            return await self._feed(session, items)

    async def predict(self, rows: int = ROWS) -> list[Given]:
        """Asks once, now; the tokens, of which nothing is said yet."""
        async with self._session() as session:
            return [Given(token, patient.sick) for token, patient in await self._predict(session, rows)]

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(force_close=True)
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), connector=connector)

    async def _flow(self) -> None:
        async with self._session() as session:
            while True:
                due = time.monotonic() + ROWS / self.rate
                try:
                    await self._turn(session)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self.lost.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__} {error}")
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _turn(self, session: aiohttp.ClientSession) -> None:
        label, times, items = self.label, self.times, []
        for token, patient in await self._predict(session, ROWS):
            actual = label(patient, self._dice)
            if actual is None:
                self.held.append(Given(token, patient.sick))
            else:
                items.append(Given(token, actual))
        for _ in range(times if items else 0):
            await self._feed(session, items)

    async def _predict(self, session: aiohttp.ClientSession, rows: int) -> list[tuple[str, Patient]]:
        patients = [self.draw(self._dice) for _ in range(rows)]
        async with session.post(f"{self.url}/v2/models/{self.model}/infer", json={"inputs": _tensors(patients)}) as raw:
            if raw.status != 200:
                self.lost.append(f"{time.strftime('%H:%M:%S')} {raw.status} {(await raw.text())[:200]}")
                return []
            body: dict[str, Any] = await raw.json()
        self.answered.append(Answered(time.time(), body["model_version"], rows))
        tokens = next(each["data"] for each in body["outputs"] if each["name"] == "feedback_token")
        return list(zip(tokens, patients, strict=True))

    async def _feed(self, session: aiohttp.ClientSession, items: Sequence[Given]) -> Reply:
        body = {"feedback": [{"token": each.token, "actual": each.actual} for each in items]}
        async with session.post(f"{self.url}/v2/models/{self.model}/feedback", json=body) as raw:
            answer: dict[str, Any] = await raw.json()
        reasons = Counter(each["reason"] for each in answer.get("reasons", []))
        return Reply(raw.status, answer.get("accepted", 0), reasons)


def _tensors(patients: Sequence[Patient]) -> list[dict[str, Any]]:
    """The patients as Open Inference Protocol input tensors of a row each."""
    single = [patient.tensors() for patient in patients]
    return [
        {**column[0], "shape": [len(patients)], "data": [each["data"][0] for each in column]}
        for column in zip(*single, strict=True)
    ]
