"""``kubectl perennial`` against a real API server, the operator as a process of its own beside it."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner

from perennial.cli import group
from tests.api.apiserver import ApiServer
from tests.api.process import StartOperator, free_port
from tests.api.test_deployment import DEPLOYMENT, version
from tests.api.world import World, deployment_controller

PLUGIN = Path(sys.executable).with_name("kubectl-perennial")
PATIENCE = 90
Json = dict[str, Any]


@dataclass
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Person:
    """Somebody with kubectl and the plugin, at work in the world's namespace."""

    world: World

    async def start(self, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
        """The plugin as a process of its own."""
        environment = {**os.environ, "KUBECONFIG": str(self.world.server.kubeconfig), "COLUMNS": "200"}
        command = [PLUGIN, *arguments, "-n", self.world.namespace]
        return await asyncio.create_subprocess_exec(*map(str, command), env=environment, **streams)

    async def run(self, *arguments: str, kubeconfig: Path | None = None) -> Answer:
        """The plugin with these arguments, in this process: it starts at once."""
        place = ["-n", self.world.namespace, "--kubeconfig", str(kubeconfig or self.world.server.kubeconfig)]
        result = await asyncio.to_thread(CliRunner().invoke, group, [*arguments, *place])
        return Answer(result.exit_code, result.stdout, result.stderr)

    async def said(self, *arguments: str) -> str:
        """The same, which must go well."""
        answer = await self.run(*arguments)
        assert answer.code == 0, answer
        return answer.out

    async def status(self) -> Json:
        found: Json = (await self.world.read("ModelDeployment", "heart")).get("status", {})
        return found

    async def until(self, wanted: Callable[[Json], bool]) -> None:
        """Waits until the deployment's status is as wanted."""
        async with asyncio.timeout(PATIENCE):
            async for change in self.world.user.watch(
                "perennial.dev/v1alpha1", "ModelDeployment", self.world.namespace, metadata_only=False
            ):
                if change.type == "Applied" and wanted(change.object.get("status", {})):
                    return


@pytest.fixture
async def person(world: World, start_operator: StartOperator) -> AsyncIterator[Person]:
    """v1 serves; the operator runs, and pods become ready by themselves."""
    async with alive(world):
        await start_operator("cli", PERENNIAL_NAMESPACES=world.namespace, PERENNIAL_LEASE_NAMESPACE=world.namespace)
        await world.apply(version(1))
        spec = {
            **DEPLOYMENT["spec"],
            "rollout": {"steps": [{"weight": 33, "hold": "1h"}, {"weight": 50, "hold": "1h"}]},
        }
        await world.apply({**DEPLOYMENT, "spec": spec})
        made = Person(world)
        await made.until(lambda status: status.get("phase") == "Healthy")
        yield made


@contextlib.asynccontextmanager
async def alive(world: World) -> AsyncIterator[None]:
    """The Deployment controller's work is done again and again inside this block."""

    async def live() -> None:
        while True:
            await deployment_controller(world)
            await asyncio.sleep(0.2)

    task = asyncio.create_task(live())
    try:
        yield
    finally:
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError), ended


async def begin(person: Person) -> None:
    """v2 is in the first step of its canary."""
    await person.world.apply(version(2))
    await person.until(lambda status: (status.get("rollout") or {}).get("step") == 0)


async def test_kubectl_finds_the_plugin_and_shows_what_serves(person: Person) -> None:
    path = f"{person.world.server.binaries}:{PLUGIN.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(person.world.server.kubeconfig), "PATH": path}
    process = await asyncio.create_subprocess_exec(
        "kubectl", "perennial", "status", "md/heart", "--namespace", person.world.namespace,
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out = (await process.communicate())[0].decode()
    assert out.splitlines()[0] == "heart-v1 serves"
    assert len(re.findall(r"✔ heart-\S+ +Ready", out)) == 2
    table = await person.said("status")
    assert table.splitlines()[1].split()[:3] == ["heart", "heart-v1", "Healthy"]
    document = json.loads(await person.said("status", "heart", "-o", "json"))
    assert (document["summary"], document["status"]["stable"]["version"]) == ("heart-v1 serves", "heart-v1")
    assert [each["ready"] for each in document["pods"]] == [True, True]


async def test_a_rollout_is_aborted_and_its_version_released(person: Person) -> None:
    await begin(person)
    assert "rollout →  heart-v2" in await person.said("status", "heart")
    assert "heart-v1 serves" in await person.said("abort", "heart")
    assert "held  heart-v2" in await person.said("status", "heart")
    assert (await person.run("status", "heart", "--wait")).code == 1, "it holds, which is not healthy"
    await person.said("release", "heart")
    await person.until(lambda status: bool(status.get("rollout")))


async def test_a_rollout_is_promoted_and_rolled_back(person: Person) -> None:
    await begin(person)
    await person.said("promote", "heart", "--full")
    assert (await person.run("status", "heart", "--wait", "--version", "heart-v2")).code == 0
    assert (await person.said("rollback", "md/heart")).startswith("rollback heart-v2: heart-v1 serves")
    assert (await person.status())["stable"]["version"] == "heart-v1"


async def test_a_rollout_is_paused_resumed_and_begun_anew(person: Person) -> None:
    await begin(person)
    await person.said("pause", "heart")
    assert (await person.status())["phase"] == "Paused"
    assert "paused by a person" in await person.said("status", "heart")
    await person.said("resume", "heart")
    assert (await person.status())["phase"] == "Progressing"
    await person.said("promote", "heart")
    await person.until(lambda status: (status.get("rollout") or {}).get("step") == 1)
    await person.said("retry", "heart")
    await person.until(lambda status: (status.get("rollout") or {}).get("step") == 0)


async def test_a_refused_request_says_why_and_fails(person: Person) -> None:
    for verb, version_, reason in (
        ("abort", "heart-v7", "no rollout of heart-v7 is under way"),
        ("rollback", "heart-v1", "no earlier version"),
        ("abort", "heart-v7", "no rollout of heart-v7 is under way"),
    ):
        answer = await person.run(verb, "heart", "--version", version_)
        assert answer.code == 1
        assert answer.err.startswith("Error: refused: ")
        assert reason in answer.err


async def test_what_cannot_be_asked_is_said_at_once(person: Person) -> None:
    for arguments, code, words in (
        (("pause", "heart"), 1, "no rollout of heart is under way: heart-v1 serves"),
        (("release", "heart"), 1, "no version is held or quarantined in heart"),
        (("pause", "hart"), 1, f"no ModelDeployment hart in the namespace {person.world.namespace}"),
        (("status", "mv/nobody"), 1, "no ModelVersion nobody"),
        (("pause", "mv/heart-v1"), 2, "asked of a ModelDeployment"),
        (("status", "--wait"), 2, "need the name"),
        (("status", "heart", "--context", "elsewhere"), 1, "elsewhere"),
    ):
        answer = await person.run(*arguments)
        assert (answer.code, words in answer.err) == (code, True), answer
        assert "Traceback" not in answer.err


async def test_versions_are_approved_and_rejected(person: Person) -> None:
    await person.world.apply(version(2, approval="Pending"))
    said = await person.said("approve", "mv/heart-v2", "--reason", "checked with the ward")
    decided = json.loads(await person.said("lineage", "heart-v2", "-o", "json"))["approval"]
    assert (decided["state"], decided["reason"]) == ("Approved", "checked with the ward")
    assert f"Approved by {decided['by']} (was Pending)" in said
    assert f"Approved by {decided['by']} at " in await person.said("lineage", "mv/heart-v2")
    await person.until(lambda status: bool(status.get("rollout")))
    assert "(was Approved)" in await person.said("reject", "heart-v2")
    assert "approval" in await person.said("status", "mv/heart-v2")


async def test_without_an_operator_that_is_what_is_said(world: World) -> None:
    await world.apply(DEPLOYMENT)
    answer = await Person(world).run("rollback", "heart", "--version", "heart-v1", "--timeout", "1")
    assert answer.code == 1
    assert "no operator answered within 1 s: is it running?" in answer.err


def guest(world: World) -> Path:
    """The kubeconfig of somebody without rights."""
    world.server.kubectl("-n", world.namespace, "create", "serviceaccount", "guest")
    token = world.server.kubectl("-n", world.namespace, "create", "token", "guest").stdout.strip()
    config = world.folder / "guest"
    config.write_text(world.server.kubeconfig.read_text())
    world.server.kubectl(f"--kubeconfig={config}", "config", "set-credentials", "admin", f"--token={token}")
    return config


def allow(world: World, role: str, verbs: str, resources: str) -> None:
    """Gives the guest these rights."""
    kubectl, account = world.server.kubectl, f"--serviceaccount={world.namespace}:guest"
    kubectl("-n", world.namespace, "create", "role", role, f"--verb={verbs}", f"--resource={resources}")
    kubectl("-n", world.namespace, "create", "rolebinding", role, f"--role={role}", account)


async def test_who_may_not_is_told_what(world: World) -> None:
    await world.apply(DEPLOYMENT)
    config = guest(world)
    allow(world, "look", "get,list,watch", "md.perennial.dev")
    answer = await Person(world).run("rollback", "heart", "--version", "heart-v1", kubeconfig=config)
    assert (answer.code, "not allowed: modeldeployments" in answer.err) == (1, True), answer


async def test_a_refusal_is_never_taken_for_success_whatever_the_person_may_read(person: Person) -> None:
    asked = ("abort", "heart", "--version", "heart-v7")
    config = guest(person.world)
    allow(person.world, "ask", "get,list,watch,patch", "md.perennial.dev")
    allow(person.world, "look", "list", "mv.perennial.dev,pods,deployments.apps")
    answer = await person.run(*asked, kubeconfig=config)
    assert answer.code == 1
    assert "whether it refused cannot be told, for you may not read Events here" in answer.err
    allow(person.world, "view", "list", "events")  # the core group's, as the cluster's own view and edit have them
    answer = await person.run(*asked, kubeconfig=config)
    assert (answer.code, "refused: no rollout of heart-v7 is under way" in answer.err) == (1, True), answer


@pytest.mark.parametrize("way", ["pipe", "terminal"])
async def test_watching_follows_the_rollout_to_its_end(person: Person, way: str) -> None:
    ours, theirs = pty.openpty() if way == "terminal" else os.pipe()
    process = await person.start("status", "heart", "--watch", stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = Screen(ours)
    try:
        await screen.shows("heart-v1 serves")
        await begin(person)
        await screen.shows("heart-v2")
        await person.said("promote", "heart", "--full")
        await screen.shows("heart-v2 serves")
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
        screen.close()
    assert "Traceback" not in screen.text


class Screen:
    """What a command has written so far."""

    def __init__(self, descriptor: int) -> None:
        self.text = ""
        self._descriptor, self._grown = descriptor, asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            self.text += os.read(self._descriptor, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._grown.set()

    async def shows(self, words: str) -> None:
        """Waits until ``words`` stand there."""
        async with asyncio.timeout(PATIENCE):
            while words not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text):
                self._grown.clear()
                await self._grown.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


async def test_watching_survives_a_lost_connection(person: Person) -> None:
    async with Line(person.world.server) as line:
        ours, theirs = os.pipe()
        process = await person.start("status", "heart", "-w", "--kubeconfig", str(line.kubeconfig), stdout=theirs)
        os.close(theirs)
        screen = Screen(ours)
        try:
            await screen.shows("heart-v1 serves")
            await line.cut()
            await screen.shows("the API server does not answer")
            await begin(person)
            await line.open()
            await screen.shows("heart-v2")
        finally:
            process.kill()
            await process.wait()
            screen.close()


class Line:
    """A way to the API server that can be cut."""

    def __init__(self, server: ApiServer) -> None:
        self._target = server.host.rpartition(":")[2]
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self.kubeconfig = server.kubeconfig.with_name(f"line-{self._port}")
        self.kubeconfig.write_text(server.kubeconfig.read_text().replace(f":{self._target}", f":{self._port}"))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Ends what goes through, and refuses what would begin."""
        if self._server:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(self._target))
        self._ends |= {writer, far_writer}
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    @staticmethod
    async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()
