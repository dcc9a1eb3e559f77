"""What the operator does with the API: each run once, all looked at together, and a defined end of each fault."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from perennial.adapters.access import Access
from perennial.adapters.kubeflow import KubeflowApi
from perennial.adapters.kubernetes import ApiError
from perennial.api.kubeflow import KubeflowRun
from perennial.domain.plan import Submit, Terminate
from perennial.domain.training.kubeflow import Look, Server
from perennial.reconcile.kubeflow import FRESH_SECONDS, SETTLE_SECONDS, Kubeflow
from tests.unit.kubeflow.conftest import Contract

NAME = "heart-1-abcdef12"
Json = dict[str, Any]


class Cluster:
    """Of the Kubernetes API a Secret, and the workflows that there are."""

    def __init__(self) -> None:
        self.secret: Json | None = None
        self.workflows: list[str] | None = None
        self.deadline: int | None = None
        self.listed = 0

    async def get(self, *_: Any) -> Json | None:
        return self.secret

    async def list(self, *_: Any, **__: Any) -> list[Json]:
        self.listed += 1
        if self.workflows is None:
            raise ApiError(403, "Forbidden", "workflows is forbidden")
        spec = {} if self.deadline is None else {"activeDeadlineSeconds": self.deadline}
        return [{"metadata": {"labels": {"pipeline/runid": each}}, "spec": spec} for each in self.workflows]


class World:
    """The operator's side, with a clock that a test moves."""

    def __init__(self, contract: Contract, access: Access | None = None, namespace: str = "") -> None:
        self.contract, self.cluster, self.now = contract, Cluster(), 1000.0
        self.access, self.namespace = access or Access(), namespace
        self.server = Server(contract.url)
        self.restart()

    def restart(self) -> None:
        """A new process: it remembers nothing."""
        self.engine = Kubeflow(self.cluster, self.access, self.namespace, lambda: self.now)  # type: ignore[arg-type]

    def step(self, name: str = NAME, content: str = "pipelineInfo: {}", server: Server | None = None) -> Submit:
        return Submit(
            server or self.server, name, "Run 1 of ModelTraining ml/heart", "ml.heart", "ml.heart", content,
            {"request": "{}"},
        )  # fmt: skip

    async def submit(self, **given: Any) -> None:
        await self.engine.submit(self.step(**given))

    async def look(self, run: str = "", name: str = NAME, server: Server | None = None) -> Look:
        known = KubeflowRun(endpoint=self.contract.url, id=run)
        return await self.engine.look(server or self.server, known, name)

    async def refused(self, **given: Any) -> tuple[str, str]:
        """Reason and message of a submission that cannot be carried out now."""
        with pytest.raises(ApiError) as error:
            await self.submit(**given)
        assert error.value.status == 422
        return error.value.reason, error.value.message


@asynccontextmanager
async def world(contract: Contract, **given: Any) -> AsyncIterator[World]:
    made = World(contract, **given)
    yield made
    await made.engine.close()


async def test_a_run_is_made_once_however_often_it_is_asked_for(server: Contract) -> None:
    async with world(server) as at:
        await at.submit()
        await at.submit()
        at.restart()
        await at.submit()
        (run,) = server.runs
        assert run["display_name"] == NAME
        assert run["runtime_config"] == {"parameters": {"request": "{}"}}
        found = server.control()
        assert [each["display_name"] for each in found["experiments"]] == ["ml.heart"]
        assert [each["display_name"] for each in found["pipelines"]] == ["ml.heart"]


async def test_a_pipeline_is_uploaded_once_for_each_content(server: Contract) -> None:
    async with world(server) as at:
        for number, content in enumerate(("a: 1", "a: 1", "a: 2", "a: 1")):
            at.restart()
            await at.submit(name=f"heart-{number}", content=content)
        found = server.control()
        assert (len(found["pipelines"]), len(found["versions"]), len(found["runs"])) == (1, 2, 4)
        assert found["calls"]["POST /pipelines/upload_version"] == 2


@pytest.mark.parametrize("kind", ["lost", "half"])
async def test_an_answer_that_is_lost_makes_no_second_run(server: Contract, kind: str) -> None:
    server.fault("POST /runs", kind)
    async with world(server) as at:
        reason, message = await at.refused()
        assert reason == "KubeflowUnavailable"
        assert server.url in message
        await at.submit()
        assert len(server.runs) == 1


async def test_a_run_that_may_still_come_is_waited_for_before_another_is_made(server: Contract) -> None:
    server.fault("POST /runs", "refused")
    async with world(server) as at:
        await at.refused()
        assert "not known" in (await at.refused())[1]
        at.now += SETTLE_SECONDS
        await at.submit()
        assert len(server.runs) == 1
        assert server.calls["POST /runs"] == 2


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ({"kind": "status", "status": 401}, "KubeflowUnauthorized", "credentials"),
        ({"kind": "status", "status": 403, "body": {"code": 7, "message": "no"}}, "KubeflowForbidden", "403: no"),
        ({"kind": "status", "status": 404, "body": {}}, "KubeflowNotFound", "path of the endpoint"),
        ({"kind": "status", "status": 429, "after": 7}, "KubeflowBusy", "429"),
        ({"kind": "status", "status": 500}, "KubeflowUnavailable", "500: told to fail"),
        ({"kind": "status", "status": 503}, "KubeflowUnavailable", "503"),
        ({"kind": "page"}, "KubeflowUnauthorized", "a page, as logins are"),
        ({"kind": "redirect"}, "KubeflowUnauthorized", "sends us elsewhere"),
        ({"kind": "refused"}, "KubeflowUnavailable", "did not answer"),
        ({"kind": "half"}, "KubeflowUnavailable", "did not answer"),
    ],
)
@pytest.mark.parametrize("call", ["GET /runs", "POST /experiments", "POST /pipelines/upload_version", "POST /runs"])
async def test_what_goes_wrong_is_said_and_tried_again(
    server: Contract, fault: Json, reason: str, words: str, call: str
) -> None:
    # Twice: aiohttp repeats by itself what only reads, where a connection that was kept is found closed.
    server.fault(call, times=2, **fault)
    async with world(server) as at:
        found, message = await at.refused()
        server.control("set", faults=[])
        assert found == reason
        assert words in message
        at.now += SETTLE_SECONDS
        await at.submit()
        assert len(server.runs) == 1
        assert len(server.control()["versions"]) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "invalid v2 pipeline spec"), (500, "InternalServerError: Failed to validate workflow: invalid dependency")],
)
async def test_what_it_does_not_take_is_told_by_the_next_look(server: Contract, status: int, words: str) -> None:
    server.fault("POST /runs", "status", status=status, body={"code": 13, "message": words})
    async with world(server) as at:
        await at.submit()
        assert words in (await at.look()).refused
        assert server.runs == []


async def test_a_server_that_cannot_be_reached_is_named() -> None:
    at = World(Contract(9))
    assert "http://127.0.0.1:9 cannot be reached" in (await at.refused())[1]
    assert (await at.look()).trouble == ("KubeflowUnavailable", (await at.refused())[1])
    await at.engine.close()


async def test_all_runs_are_looked_at_by_one_list(server: Contract) -> None:
    async with world(server) as at:
        names = [f"heart-{number}" for number in range(30)]
        for name in names:
            await at.submit(name=name)
        ids = {run["display_name"]: run["run_id"] for run in server.runs}
        before = server.calls["GET /runs"]
        await asyncio.gather(*(at.look(ids[name], name) for name in names))
        at.now += FRESH_SECONDS
        looks = await asyncio.gather(*(at.look(ids[name], name) for name in names))
        assert [look.run.name for look in looks if look.run] == names
        assert server.calls["GET /runs"] - before <= 3


async def test_a_run_that_has_begun_is_asked_for_alone(server: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, runs = [], KubeflowApi.runs

    async def noted(self: KubeflowApi, namespace: str, ids: list[str]) -> Any:
        asked.append(len(ids))
        return await runs(self, namespace, ids)

    monkeypatch.setattr(KubeflowApi, "runs", noted)
    async with world(server) as at:
        for name in ("heart-1", "heart-2", "heart-3"):
            await at.submit(name=name)
            ids = {run["display_name"]: run["run_id"] for run in server.runs}
            look = await at.look(ids[name], name)
            assert look.run
            assert look.run.name == name
        assert asked == [1, 1, 1]
        await at.submit(name="heart-4")
        ids["heart-4"] = found.id if (found := (await at.look(name="heart-4")).run) else ""
        assert (await at.look(ids["heart-4"], "heart-4")).run == found
        assert asked == [1, 1, 1], "it was found by its name a moment ago"
        at.now += FRESH_SECONDS
        for name, each in ids.items():
            look = await at.look(each, name)
            assert look.run
            assert look.run.name == name
        assert asked == [1, 1, 1, 4]


async def test_the_state_is_followed_and_a_run_that_is_gone_is_none(server: Contract) -> None:
    async with world(server) as at:
        await at.submit()
        first = (await at.look()).run
        assert first is not None
        assert first.state == "PENDING"
        task = {"display_name": "tune", "state": "FAILED"}
        server.advance(NAME, "FAILED", error={"code": 2, "message": "no"}, run_details={"task_details": [task]})
        seen = (await at.look(first.id)).run
        assert seen is not None
        assert (seen.state, seen.error, [each.name for each in seen.tasks]) == ("FAILED", "no", ["tune"])
        assert seen.finished_at is not None
        server.control("forget", name=NAME)
        at.now += FRESH_SECONDS
        assert (await at.look(first.id)).run is None


async def test_the_oldest_of_two_runs_of_a_name_counts(server: Contract) -> None:
    async with world(server) as at:
        await at.submit()
        (run,) = server.runs
        body = {key: run[key] for key in ("display_name", "experiment_id", "pipeline_version_reference")}
        await at.engine._api(at.server).create_run(body)
        look = await at.look()
        assert look.run is not None
        twin = next(each["run_id"] for each in server.runs if each["run_id"] != look.run.id)
        assert look.twins == (twin,)
        await at.engine.terminate(Terminate(at.server, NAME, look.twins))
        assert {each["run_id"]: each["state"] for each in server.runs}[twin] == "CANCELED"


@pytest.mark.parametrize("old", [False, True], ids=["2.17", "2.0"])
async def test_termination_ends_what_runs_and_takes_what_has_ended(server: Contract, old: bool) -> None:
    server.control("reset", old=old)
    async with world(server) as at:
        await at.submit()
        (run,) = server.runs
        await at.engine.terminate(Terminate(at.server, NAME))
        await at.engine.terminate(Terminate(at.server, NAME))
        await at.engine.terminate(Terminate(at.server, NAME, (run["run_id"], "none-there")))
        seen = (await at.look()).run
        assert seen is not None
        assert (seen.ended, "CANCELING" in seen.states) == (True, True)
        server.fault("GET /runs", "status", status=503)
        with pytest.raises(ApiError, match="503"):
            await at.engine.terminate(Terminate(at.server, NAME))


async def test_a_workflow_that_is_gone_is_noticed_where_it_may_be_looked_for(server: Contract) -> None:
    async with world(server, namespace="kubeflow") as at:
        await at.submit()
        (run,) = server.runs
        assert (await at.look(run["run_id"])).workflow is None
        at.cluster.workflows = [run["run_id"]]
        at.now += 700
        assert (await at.look(run["run_id"])).workflow is True
        at.cluster.workflows = []
        at.now += 30
        assert (await at.look(run["run_id"])).workflow is True
        at.now += 40
        assert (await at.look(run["run_id"])).workflow is False
        assert at.cluster.listed == 3


async def test_workflows_that_were_listed_before_a_run_was_made_say_nothing_of_it(server: Contract) -> None:
    async with world(server, namespace="kubeflow") as at:
        at.cluster.workflows = []
        for name in (NAME, "other"):
            await at.submit(name=name)
        first, other = (run["run_id"] for run in server.runs)
        await at.look(first)
        at.now += 10
        assert (await at.look(other, "other")).workflow is None


async def test_the_operators_token_is_read_again_and_goes_to_its_own_server_alone(
    server: Contract, tmp_path: Path
) -> None:
    server.control("reset", token="second")
    token = tmp_path / "token"
    token.write_text("first")
    async with world(server, access=Access(auth=tmp_path)) as at:
        reason, message = await at.refused()
        assert reason == "KubeflowUnauthorized"
        assert "first" not in message
        token.unlink()
        token.write_text("second")
        await at.submit()
        theirs = Server(server.url, "", secret_in="ml")
        assert (await at.refused(name="other", server=theirs))[0] == "KubeflowUnauthorized"
        data = {"token": base64.b64encode(b"second\n").decode()}
        at.cluster.secret = {"data": data}
        at.now += 60
        await at.submit(name="other", server=theirs)
        assert len(server.runs) == 2


async def test_a_secret_that_cannot_be_used_is_named_without_what_is_in_it(server: Contract) -> None:
    async with world(server) as at:
        at.cluster.secret = {"data": {"username": base64.b64encode(b"ada").decode()}}
        reason, message = await at.refused(server=Server(server.url, "", secret_in="ml"))
        assert reason == "KubeflowUnauthorized"
        assert "perennial-kubeflow of namespace ml has one of username and password" in message
        assert "ada" not in message


async def test_namespaces_and_a_path_prefix(server: Contract) -> None:
    server.control("reset", multi_user=True, prefix="/pipeline")
    async with world(server) as at:
        there = Server(f"{server.url}/pipeline", "team-a")
        await at.submit(server=there)
        look = await at.look(server=there)
        assert look.run is not None
        found = server.control()
        assert found["experiments"][0]["namespace"] == found["pipelines"][0]["namespace"] == "team-a"
        assert "path of the endpoint" in (await at.refused(name="x", server=Server(server.url, "team-a")))[1]


async def test_a_run_of_an_old_server_that_somebody_terminated_is_told_from_one_that_failed(server: Contract) -> None:
    async with world(server, namespace="kubeflow") as at:
        assert not await at.engine.terminated(at.server, "run"), "workflows may not be looked for"
        at.cluster.workflows = ["run"]
        assert not await at.engine.terminated(at.server, "run")
        at.cluster.deadline = 0
        assert await at.engine.terminated(at.server, "run")
