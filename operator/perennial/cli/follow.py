"""``kubectl perennial status``: once, live, or until a state is reached."""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from perennial.api.common import Object
from perennial.api.deployment import ModelDeployment
from perennial.api.version import ModelVersion
from perennial.cli import deployment, resources, tree
from perennial.cli.cluster import Target, connect
from perennial.cli.objects import Objects, Source
from perennial.contracts.names import LABEL_DEPLOYMENT
from perennial.domain.training.reproduce import REPRODUCED
from perennial.domain.training.status import REGISTERED

ENDED_OTHERWISE, TIMED_OUT = 1, 3
WIDTH_OF_A_PIPE = 240
_GOOD = frozenset({REGISTERED, REPRODUCED})
_CALM_SECONDS = 0.1
"""Changes come in swarms; so long they are gathered before the next drawing."""
_WITHOUT_TIMES = re.compile(r", \S+ left")

Json = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What ``status`` is asked for. ``until`` is a phase; ``settled`` waits for whatever is under way to end; ``run``
    is the number of a ModelTraining's run, whose end is waited for.
    """

    kind: type[Object] = ModelDeployment
    name: str | None = None
    watch: bool = False
    settled: bool = False
    until: str | None = None
    version: str | None = None
    run: int | None = None
    timeout: float | None = None
    as_json: bool = False

    @property
    def waits(self) -> bool:
        """Whether it ends by itself."""
        return self.settled or self.until is not None or self.run is not None


class Subject:
    """What is shown: one object with what belongs to it, or all ModelDeployments."""

    def __init__(self, wish: Wish, objects: Objects) -> None:
        self.wish, self.objects = wish, objects

    def render(self) -> RenderableType:
        """For the terminal. Raises click.ClickException when the object is gone."""
        now, wish = datetime.now(UTC), self.wish
        if wish.name is None:
            shown = resources.table(self.views(), now, namespaces=self.objects.everywhere)
        elif wish.kind is ModelDeployment:
            shown = tree.tree(self.view(), now)
        else:
            shown = resources.tree(wish.kind, self.raw(), now)
        return Group(shown, Text(self.objects.trouble, "red")) if self.objects.trouble else shown

    def line(self) -> str:
        """In one sentence."""
        if self.objects.trouble:
            return self.objects.trouble
        if self.wish.run is not None:
            return resources.run_sentence(self._run())
        if self.wish.name is None:
            return "\n".join(f"{view.deployment.metadata.name}: {_headline(view)}" for view in self.views())
        return (
            _headline(self.view())
            if self.wish.kind is ModelDeployment
            else resources.sentence(self.wish.kind, self.raw())
        )

    def document(self) -> Json:
        """For programs: the object's status with the sentence, its pods and what is kept out of it."""
        if self.wish.name is None:
            return {"items": [_document(view, self._status(view)) for view in self.views()]}
        raw = self.raw()
        if self.wish.kind is ModelDeployment:
            return _document(self.view(), raw.get("status") or {})
        metadata = raw["metadata"]
        return {
            "kind": self.wish.kind.KIND, "namespace": metadata["namespace"], "name": metadata["name"],
            "summary": resources.sentence(self.wish.kind, raw), "status": raw.get("status") or {},
        }  # fmt: skip

    def ended(self) -> int | None:
        """The exit code once what is waited for has come, or cannot come any more; None before."""
        if self.wish.run is not None:
            return self._run_ended()
        view, wish = self.view(), self.wish
        status = view.deployment.status
        if (status.observed_generation or 0) < view.deployment.metadata.generation:
            return None
        if wish.until:
            return 0 if status.phase == wish.until else None
        if wish.version and status.held and status.held.version == wish.version:
            return ENDED_OTHERWISE
        if wish.version and (status.stable is None or status.stable.version != wish.version):
            return ENDED_OTHERWISE if wish.version in (view.quarantined or {}) and not status.rollout else None
        if status.phase in {"Progressing", "Paused", "Pending", ""}:
            return None
        return 0 if status.phase == "Healthy" else ENDED_OTHERWISE

    def _run_ended(self) -> int | None:
        run = self._run()
        if run.get("phase") == "Running":
            return None
        return 0 if run.get("outcome") in _GOOD else ENDED_OTHERWISE

    def _run(self) -> Json:
        """The run that is followed; {} once later ones have taken its place in the status."""
        runs: list[Json] = (self.raw().get("status") or {}).get("runs") or []
        return next((run for run in runs if run["number"] == self.wish.run), {})

    def raw(self) -> Json:
        """The object as the API server holds it."""
        found = self.objects.one(self.wish.kind.KIND, self.wish.name or "")
        if found is None:
            place = self.objects.cluster.namespace
            raise click.ClickException(f"there is no {self.wish.kind.KIND} {self.wish.name} in the namespace {place}")
        return found

    def view(self) -> deployment.View:
        """The ModelDeployment."""
        return self._view(self.raw())

    def views(self) -> list[deployment.View]:
        """All ModelDeployments."""
        return [self._view(raw) for raw in self.objects.all(ModelDeployment.KIND)]

    def _view(self, raw: Json) -> deployment.View:
        return deployment.view(raw, *(self.objects.all(kind) for kind in ("Pod", "Deployment", ModelVersion.KIND)))

    def _status(self, view: deployment.View) -> Json:
        found = self.objects.all(ModelDeployment.KIND)
        metadata = view.deployment.metadata
        return next(
            raw.get("status") or {}
            for raw in found
            if (raw["metadata"]["namespace"], raw["metadata"]["name"]) == (metadata.namespace, metadata.name)
        )


def _headline(view: deployment.View) -> str:
    return deployment.headline(view, datetime.now(UTC))


def _document(view: deployment.View, status: Json) -> Json:
    metadata = view.deployment.metadata
    return {
        "kind": ModelDeployment.KIND, "namespace": metadata.namespace, "name": metadata.name,
        "summary": _headline(view), "status": status,
        "pods": [
            {"name": pod.name, "version": pod.version, "revision": pod.revision, "state": pod.state,
             "ready": pod.ready, "restarts": pod.restarts, "node": pod.node}
            for pod in view.pods
        ],
        "quarantined": {name: mark.reason for name, mark in (view.quarantined or {}).items()},
    }  # fmt: skip


def sources(kind: type[Object], name: str | None) -> tuple[Source, ...]:
    """What has to be read for a view of ``name``, or of all ModelDeployments."""
    if kind is not ModelDeployment or name is None:
        return (Source(kind.KIND),)
    mine = f"{LABEL_DEPLOYMENT}={name}"
    return (
        Source(kind.KIND), Source("Pod", "v1", mine), Source("Deployment", "apps/v1", mine), Source(ModelVersion.KIND),
    )  # fmt: skip


async def status(target: Target, wish: Wish) -> int:
    """Shows it; the exit code. Raises click.ClickException."""
    async with connect(target) as cluster:
        objects = Objects(cluster, sources(wish.kind, wish.name), everywhere=target.everywhere)
        await objects.read()
        subject = Subject(wish, objects)
        if not wish.watch and not wish.waits:
            _print(subject)
            return 0
        show = _live if sys.stdout.isatty() and not wish.as_json else _lines
        async with objects.following():
            code = await show(subject)
        if wish.as_json:
            _print(subject)
        return code


def console() -> Console:
    """The terminal, or a pipe whose lines are not broken."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


def _print(subject: Subject) -> None:
    if subject.wish.as_json:
        click.echo(json.dumps(subject.document(), indent=2))
    else:
        console().print(subject.render())


async def _live(subject: Subject) -> int:
    """Draws it again with every change, and every second, for times go by."""
    with Live(console=console(), auto_refresh=False) as live:
        return await _until_ended(subject, lambda: live.update(subject.render(), refresh=True))


async def _lines(subject: Subject) -> int:
    """Where there is no terminal: the sentence whenever it says something new."""
    said = ""

    def say() -> None:
        nonlocal said
        line = _WITHOUT_TIMES.sub("", subject.line())
        if line != said:
            said = line
            click.echo(f"{datetime.now(UTC):%H:%M:%S} {line}", err=subject.wish.as_json)

    return await _until_ended(subject, say)


async def _until_ended(subject: Subject, show: Callable[[], None]) -> int:
    wish, changed = subject.wish, subject.objects.changed
    deadline = time.monotonic() + wish.timeout if wish.timeout is not None else None
    while True:
        changed.clear()
        show()
        code = subject.ended() if wish.waits else None
        if code is not None:
            return code
        if deadline is not None and time.monotonic() >= deadline:
            return TIMED_OUT
        await asyncio.sleep(_CALM_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), 1 - _CALM_SECONDS)
