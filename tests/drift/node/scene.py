"""A deployment on the node with monitors that watch it, and a record of all that they ever said."""

import asyncio
import contextlib
import copy
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hack.demo.patients import Patient
from hack.demo.stage import Stage, run
from perennial.api.common import API_VERSION, parse_time
from tests.drift.node.stream import Draw, Label, Stream, nobody_knows
from tests.rollouts.ward import TRAINED, Play, Ward

Json = dict[str, Any]
PREDICTOR: Json = {"replicas": 1, "resources": {"cpu": "20m", "memory": "192Mi"}}
WINDOW: Json = {"window": {"length": "60s", "chunks": 3}, "scrapeInterval": "1s"}
ACTS: Json = {"consecutive": 1, "cooldown": "1s"}
LABELS: Json = {"metric": "accuracy", "maxDrop": 0.1, "minLabels": 100}
PATIENCE = 240.0
_numbers = itertools.count(1)


@dataclass
class Neighbours(Stage):
    """A stage whose operator looks after a second namespace, too: another tenant's."""

    @property
    def neighbour(self) -> "Stage":
        """The other tenant's."""
        return Stage(
            namespace=f"{self.namespace}-other", api=self.api, folder=f"{self.folder}-other", release=self.release,
            system=self.system,
        )  # fmt: skip

    async def upload(self, name: str, content: bytes, *, folder: str | None = None) -> None:
        """The table three times over: it takes 200 held-out rows to judge how often each class is true. Copies of a row
        are on one side of the split.
        """
        for number in range(3):
            await super().upload(f"{number}-{name}", content, folder=folder)

    async def install(self, *values: str) -> None:
        """The operator, for both namespaces."""
        await self.neighbour.open()
        await super().install(*values, f"namespaces={{{self.namespace},{self.neighbour.namespace}}}")

    async def uninstall(self) -> None:
        """Takes both tenants and their operator away."""
        await self.neighbour._sweep()
        await super().uninstall()
        await self._delete_namespaces(self.neighbour.namespace)


@dataclass
class Scene:
    """One deployment, and what its monitors' statuses were, each one that was ever written."""

    play: Play
    written: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def ward(self) -> Ward:
        return self.play.ward

    @property
    def name(self) -> str:
        """Of the deployment."""
        return self.play.name

    async def monitor(self, name: str, **spec: Any) -> None:
        """Applies a monitor of the deployment, ``name`` behind the deployment's. ``policy`` is added to ACTS."""
        policy = {**ACTS, **spec.pop("policy", {})}
        made = {"deployment": self.name, "training": TRAINED, **WINDOW, **spec, "policy": policy}
        metadata = {"name": f"{self.name}-{name}", "labels": self.play.labels}
        await self.ward.apply({"apiVersion": API_VERSION, "kind": "DriftMonitor", "metadata": metadata, "spec": made})

    async def until(self, name: str, wanted: Callable[[Json], Any], patience: float = PATIENCE) -> Json:
        """The status of the monitor once it is as ``wanted``. Raises AssertionError with its last state."""
        found = await self.ward.until(
            "DriftMonitor", f"{self.name}-{name}", lambda raw: bool(wanted(raw.get("status") or {})), patience=patience
        )
        return dict(found["status"])

    async def status(self, name: str) -> Json:
        """Of the monitor, now."""
        return dict((await self.ward.stage.get("DriftMonitor", f"{self.name}-{name}"))["status"])

    async def verdict(self, name: str, verdict: str, *, after: float = 0.0, patience: float = PATIENCE) -> Json:
        """The status once a window that began ``after`` then (Unix s) has this verdict."""
        return await self.until(
            name, lambda status: status.get("verdict") == verdict and began(status) >= after, patience=patience
        )

    async def stream(self, draw: Draw, label: Label = nobody_knows, *, preview: bool = False, **more: Any) -> Stream:
        """Patients for the deployment's Service, or for the preview one."""
        url = await self.play._offer(f"{self.name}-preview" if preview else self.name)
        return Stream(url, self.name, draw, label, **more)

    def verdicts(self, name: str, since: float = 0.0) -> set[str]:
        """All that the monitor found in windows that ended after ``since`` (Unix s)."""
        written = self.written[f"{self.name}-{name}"]
        return {each["verdict"] for each in written if "verdict" in each and ended(each) > since}

    async def kept(self, name: str) -> Json:
        """The ConfigMap."""
        found = await self.ward.stage.api.get("v1", "ConfigMap", self.ward.stage.namespace, f"{self.name}-{name}")
        assert found is not None, f"there is no ConfigMap {self.name}-{name}"
        return found

    async def container(self, selector: str = "") -> tuple[str, list[int]]:
        """The only pod (of the deployment) and its processes on this machine."""
        chosen = selector or f"perennial.dev/deployment={self.name}"
        [pod] = await self.ward.stage.api.list("v1", "Pod", self.ward.stage.namespace, labels=chosen)
        name = pod["metadata"]["name"]
        return name, _processes_of(name)

    async def _record(self) -> None:
        watch = self.ward.stage.api.watch(
            API_VERSION, "DriftMonitor", self.ward.stage.namespace, metadata_only=False
        )  # fmt: skip
        async for change in watch:
            if change.type != "Applied" or not change.object["metadata"]["name"].startswith(f"{self.name}-"):
                continue
            if status := change.object.get("status"):
                self.written.setdefault(change.object["metadata"]["name"], []).append(status)


@contextlib.asynccontextmanager
async def scene(ward: Ward, spec: Json | None = None, *, name: str = "") -> AsyncIterator[Scene]:
    """A deployment of a model of its own, recorded; all of it is gone afterwards."""
    made = {"predictor": PREDICTOR, "rollout": {"strategy": "Recreate"}, "standby": {"keep": "5m"}, **(spec or {})}
    found = Scene(Play(ward, name or f"d{next(_numbers)}", copy.deepcopy(made)))
    recording = asyncio.create_task(found._record())
    try:
        yield found
    finally:
        recording.cancel()
        [ended_by] = await asyncio.gather(recording, return_exceptions=True)
        for port in found.play.offered:
            await run("hack/cluster/forward", port, "stop")
        for kinds in ("dm", "md,mv"):
            await ward.delete(kinds, "--selector", f"test={found.name}")
    assert isinstance(ended_by, asyncio.CancelledError), f"the record is not whole: {ended_by}"


def known(ward: Ward) -> list[Patient]:
    """Those that the model was trained on."""
    return [each for each in ward.everybody if each.hospital == "cleveland" and not each.held_out]


def others(ward: Ward) -> list[Patient]:
    """Those of other hospitals: older, sicker, and with empty fields."""
    return [each for each in ward.everybody if each.hospital != "cleveland"]


def began(status: Json) -> float:
    """When the window that was judged began (Unix s); 0 before there is one."""
    end = status.get("windowEnd")
    return parse_time(end).timestamp() - 60 if end else 0.0


def condition(status: Json, type_: str = "Ready") -> Json:
    """A condition; {} where it is not set."""
    return next((dict(each) for each in status.get("conditions", []) if each["type"] == type_), {})


def kinds(status: Json, which: str = "actions") -> list[str]:
    """The actions asked for (or ``observed``), oldest first."""
    return [each["kind"] for each in reversed(status.get(which, []))]


def _processes_of(pod: str) -> list[int]:
    """Those of the pod's containers: a container's host name is its pod's."""
    mark, found = f"HOSTNAME={pod}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def kill(processes: list[int]) -> float:
    """SIGKILL; when that was (Unix s)."""
    assert processes, "nothing runs that could be killed"
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return time.time()


def ended(status: Json) -> float:
    """When the window that was judged ended (Unix s)."""
    return began(status) + 60


def moment() -> float:
    """Now, as statuses have it: whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).timestamp()
