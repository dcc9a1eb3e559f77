"""ModelTrainings that run in a Kubeflow Pipelines, of which a given number is under way at a time.

The server is the tests': held against the published client's models, it executes nothing. What a run's pods would do is
played here: each run has tasks once it was taken, and a result in the store when it ends.
"""

import asyncio
import base64
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from perennial.adapters.kubernetes import KubernetesApi
from perennial.api.common import API_VERSION
from perennial.contracts.names import (
    ANNOTATION_REQUEST,
    FILE_RESULT,
    LABEL_TRAINING,
    STORE_READ_SECRET,
    STORE_ROOT,
    STORE_SECRET,
)
from perennial.contracts.pipelines import Component
from perennial.contracts.request import RunRequest
from tests.unit.kubeflow.conftest import Contract
from tests.unit.training.support import result, spec

LOOK_SECONDS = 0.5
"""So often it is looked for runs that Kubeflow was given."""

Json = dict[str, Any]
Training = tuple[str, str]
"""Namespace and name of a ModelTraining."""


@dataclass(frozen=True)
class Begun:
    """A run in Kubeflow: its name there, and the address of what it makes."""

    name: str
    output: str


@dataclass
class Waits:
    """Seconds, by when each was over: from asking for a run to the run, and from its end to its ModelVersion."""

    begun: list[tuple[float, float]] = field(default_factory=list)
    registered: list[tuple[float, float]] = field(default_factory=list)


class Fleet:
    """``size`` ModelTrainings over ``namespaces``; ``under_way`` are the runs, the oldest first."""

    def __init__(self, api: KubernetesApi, contract: Contract, store: Path, size: int, namespaces: int) -> None:
        self._api, self._contract, self._store = api, contract, store
        self._new = deque((f"bench-{number % namespaces}", f"training-{number:04}") for number in range(size))
        self.namespaces = tuple(f"bench-{number}" for number in range(namespaces))
        self.under_way: OrderedDict[Training, Begun] = OrderedDict()
        self.waits = Waits()
        self._idle: deque[Training] = deque()
        self._asked: dict[Training, float] = {}
        self._ended: dict[Training, float] = {}
        self._requests = 0

    async def prepare(self) -> None:
        """Gives each namespace the Secrets of its store."""
        root = base64.b64encode(f"file://{self._store}".encode()).decode()
        for namespace in self.namespaces:
            for name in (STORE_SECRET, STORE_READ_SECRET):
                metadata = {"name": name, "namespace": namespace}
                secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {STORE_ROOT: root}}
                await self._api.create(secret)

    async def follow(self) -> None:
        """Takes up runs that Kubeflow was given, and notes versions, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_up())
            group.create_task(self._note())

    async def train_all(self, at_once: int, tell: Callable[[int], None]) -> None:
        """Makes the ModelTrainings and has each run once, each run over at once; ``tell`` hears how many are done."""
        size = len(self._new)
        while len(self._idle) < size:
            while self._new and len(self._asked) + len(self.under_way) + len(self._ended) < at_once:
                training = self._new.popleft()
                self._asked[training] = time.monotonic()
                await self._api.create(manifest(*training))
            for training in list(self.under_way):
                await self.end(training)
            tell(len(self._idle))
            await asyncio.sleep(LOOK_SECONDS)

    async def ask(self) -> None:
        """Asks for a run of the ModelTraining that had none for longest."""
        training = self._idle.popleft()
        self._requests += 1
        self._asked[training] = time.monotonic()
        namespace, name = training
        annotation: dict[str, str | None] = {ANNOTATION_REQUEST: f"train/{name}/{self._requests}"}
        await self._api.annotate(API_VERSION, "ModelTraining", namespace, name, annotation)

    async def end(self, training: Training) -> None:
        """The training's run ends well."""
        begun = self.under_way.pop(training)
        _put_result(begun.output)
        self._ended[training] = time.monotonic()
        await self.control("run", name=begun.name, state="SUCCEEDED", fields={"run_details": _tasks("SUCCEEDED")})

    async def control(self, what: str = "", **given: Any) -> Json:
        """Steers the server; returns its counts, and the runs in ``states``."""
        return await asyncio.to_thread(self._contract.control, what, **{"states": [], **given})

    async def _take_up(self) -> None:
        while True:
            for run in (await self.control(states=["PENDING"]))["runs"]:
                request = msgspec.json.decode(run["runtime_config"]["parameters"]["request"], type=RunRequest)
                namespace, name = request.output.removeprefix(f"file://{self._store}/").split("/")[:2]
                now, training = time.monotonic(), (namespace, name)
                self.waits.begun.append((now, now - self._asked.pop(training)))
                self.under_way[training] = Begun(run["display_name"], request.output)
                fields = {"run_details": _tasks("RUNNING")}
                await self.control("run", name=run["display_name"], state="RUNNING", fields=fields)
            await asyncio.sleep(LOOK_SECONDS)

    async def _note(self) -> None:
        async for change in self._api.watch(API_VERSION, "ModelVersion", None, LABEL_TRAINING):
            if change.type != "Applied":
                continue
            metadata = change.object["metadata"]
            training = metadata["namespace"], metadata["labels"][LABEL_TRAINING]
            if (ended := self._ended.pop(training, None)) is not None:
                now = time.monotonic()
                self.waits.registered.append((now, now - ended))
                self._idle.append(training)


def manifest(namespace: str, name: str) -> Json:
    """A ModelTraining whose runs Kubeflow runs."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelTraining",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec(model=name, engine={"type": "Kubeflow"}),
    }


def _put_result(output: str) -> None:
    file = Path(output.removeprefix("file://")) / FILE_RESULT
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(result(output)))


def _tasks(state: str) -> Json:
    """As many as a run in Kubeflow has: each component's, its driver's, and the run's own."""
    names = ["root", "root-driver", *(each + end for each in get_args(Component) for end in ("", "-driver"))]
    return {"task_details": [{"display_name": each, "state": state} for each in names]}
