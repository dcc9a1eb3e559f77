"""Runs in Kubeflow Pipelines, from a real API server to one that is held against Kubeflow's published client."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

from perennial.adapters.kubeflow import KubeflowApi
from perennial.adapters.kubernetes import ApiError
from perennial.contracts.names import FILE_FAILURE, FILE_RESULT, FINALIZER_RUN, kubeflow_folder
from perennial.contracts.request import RunRequest
from perennial.contracts.result import RunOutcome
from perennial.domain.training.kubeflow import MISSING_GRACE
from perennial.reconcile.kubeflow import FRESH_SECONDS
from tests.api.world import Ended, Nature, Scenario, World
from tests.unit.kubeflow.conftest import Contract, started
from tests.unit.training.support import result, spec

Json = dict[str, Any]
Survives = Callable[[Scenario], Awaitable[None]]
REJECTED = RunOutcome(succeeded=False, component="check", reason="DataRejected", message="column age: 3 above 120")
AWAY = RunOutcome(succeeded=False, component="ingest", reason="StoreUnavailable", message="connection refused")


def training(**changes: Any) -> Json:
    """A ModelTraining whose runs Kubeflow runs."""
    return {
        "kind": "ModelTraining", "metadata": {"name": "heart"},
        "spec": spec(**{"engine": {"type": "Kubeflow"}} | changes),
    }  # fmt: skip


@pytest.fixture(scope="module")
def process() -> Iterator[Contract]:
    """The server's process."""
    running, contract = started()
    yield contract
    running.communicate(timeout=10)


@pytest.fixture
def kubeflow(process: Contract, world: World) -> Iterator[Contract]:
    """The operator's Kubeflow, empty; at the test's end nothing may have broken the contract."""
    process.control("reset")
    world.use_kubeflow(process.url)
    yield process
    assert process.control()["violations"] == []


def executes(contract: Contract, failing: RunOutcome | None = None) -> Nature:
    """Ends each run at once: with a result in the store, or as ``failing`` says, which a component left there."""

    async def act(world: World) -> None:
        for run in contract.runs:
            if run["state"] != "PENDING":
                continue
            request = msgspec.json.decode(run["runtime_config"]["parameters"]["request"], type=RunRequest)
            if not request.output.startswith(f"file://{world.folder}/"):
                continue
            if failing is None:
                folder = request.output.removeprefix(f"file://{world.folder}/")
                world.put(f"{folder}/{FILE_RESULT}", msgspec.json.encode(result(request.output)))
            else:
                folder = kubeflow_folder(request.output, run["run_id"]).removeprefix(f"file://{world.folder}/")
                world.put(f"{folder}/{FILE_FAILURE}", msgspec.json.encode(failing))
            contract.advance(run["display_name"], "FAILED" if failing else "SUCCEEDED")
            world.advance(FRESH_SECONDS)

    return act


async def begun(world: World, **changes: Any) -> Json:
    """A run under way; returns it as the status has it."""
    await world.apply(training(**changes))
    await world.settle()
    return await newest(world)


async def newest(world: World) -> Json:
    """The last run, as the status has it."""
    found: Json = (await world.read("ModelTraining", "heart"))["status"]["runs"][0]
    return found


async def later(world: World, seconds: float = FRESH_SECONDS) -> None:
    """Time passes, and everybody looks again."""
    world.advance(seconds)
    await world.settle()


async def done(world: World) -> None:
    """What runs comes to its end, and that is seen."""
    await later(world)
    await later(world)


async def ready(world: World) -> tuple[str, str]:
    """Reason and message of the condition Ready."""
    found = await world.condition("ModelTraining", "heart")
    return found["reason"], found["message"]


async def test_from_the_manifest_to_a_version(world: World, kubeflow: Contract) -> None:
    run = await begun(world)
    (there,) = kubeflow.runs
    assert (run["phase"], run["kubeflow"]["id"]) == ("Running", there["run_id"])
    assert run["kubeflow"]["url"] == f"http://ui.test/#/runs/details/{there['run_id']}"
    made = await world.read("ModelTraining", "heart")
    assert made["metadata"]["finalizers"] == [FINALIZER_RUN]
    assert there["description"] == (
        f"Run 1 of ModelTraining {world.namespace}/heart ({made['metadata']['uid']})"
    )  # fmt: skip
    assert await world.all("Job", "batch/v1") == []
    world.natures = [executes(kubeflow)]
    await done(world)
    assert (await newest(world))["version"] == "heart-v1"
    assert await ready(world) == ("Registered", "heart-v1 is registered: roc_auc 0.900")
    assert "finalizers" not in (await world.read("ModelTraining", "heart"))["metadata"]


async def test_how_far_it_is_shows(world: World, kubeflow: Contract) -> None:
    run = await begun(world)
    done = [{"display_name": each, "state": "SUCCEEDED"} for each in ("ingest", "check", "split")]
    tasks = [*done, {"display_name": "tune", "state": "RUNNING"}]
    kubeflow.advance(run["job"], "RUNNING", run_details={"task_details": tasks})
    await later(world)
    assert (await newest(world))["progress"] == "tune 4/8"


async def test_a_run_survives_every_write(
    assert_survives_every_write: Survives, process: Contract
) -> None:  # fmt: skip
    process.control("reset")

    async def scenario(world: World) -> None:
        world.use_kubeflow(process.url)
        world.natures = [executes(process)]
        await world.apply(training())
        await world.settle()
        await done(world)

    await assert_survives_every_write(scenario)
    names = [run["display_name"] for run in process.runs]
    assert len(names) == len(set(names)) > 3


async def test_the_process_ends_right_after_kubeflow_took_the_run(
    world: World, kubeflow: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, ends = KubeflowApi.create_run, []

    async def and_end(self: KubeflowApi, body: Json) -> Any:
        await create(self, body)
        ends.append(body)
        raise Ended

    monkeypatch.setattr(KubeflowApi, "create_run", and_end)
    run = await begun(world)
    assert (len(ends), len(kubeflow.runs)) == (1, 1)
    assert run["kubeflow"]["id"] == kubeflow.runs[0]["run_id"]


async def test_a_failure_is_told_in_the_components_own_words(world: World, kubeflow: Contract) -> None:
    world.natures = [executes(kubeflow, REJECTED)]
    await begun(world)
    await later(world)
    assert await ready(world) == ("DataRejected", "run 1: check failed: column age: 3 above 120")
    assert len(kubeflow.runs) == 1


async def test_what_the_store_let_down_is_tried_again_as_another_run(world: World, kubeflow: Contract) -> None:
    world.natures = [executes(kubeflow, AWAY)]
    await begun(world)
    await later(world)
    assert (await ready(world))[0] == "StoreUnavailable"
    world.natures = [executes(kubeflow)]
    await later(world, 3700)  # the server's clock is up to an hour ahead of the test's
    await done(world)
    assert [run["display_name"].endswith("-r2") for run in kubeflow.runs] == [False, True]
    assert (await newest(world))["version"] == "heart-v1"


async def test_a_run_that_says_nothing_is_tried_again(world: World, kubeflow: Contract) -> None:
    run = await begun(world)
    task = {"display_name": "tune", "state": "FAILED"}
    kubeflow.advance(run["job"], "FAILED", error={"code": 2, "message": "oom"}, run_details={"task_details": [task]})
    await later(world)
    reason, message = await ready(world)
    assert reason == "RunLost"
    assert "the run failed at tune: oom" in message
    assert (await newest(world))["attempt"] == 2


@pytest.mark.parametrize("how", ["suspend", "cancel", "deadline", "delete"])
async def test_a_run_is_ended_in_kubeflow_where_it_is_ended_here(world: World, kubeflow: Contract, how: str) -> None:
    run = await begun(world)
    match how:
        case "suspend":
            await world.apply(training(suspend=True))
        case "cancel":
            await world.annotate("ModelTraining", "heart", {"perennial.dev/request": "cancel/heart/u1"})
        case "deadline":
            world.advance(7300)  # the server's clock is up to an hour ahead of the test's
        case "delete":
            await world.delete("ModelTraining", "heart")
    await later(world)
    assert [each["state"] for each in kubeflow.runs] == ["CANCELED"]
    if how == "delete":
        assert await world.get("ModelTraining", "heart") is None
        return
    outcome = {"suspend": "Suspended", "cancel": "Cancelled", "deadline": "DeadlineExceeded"}[how]
    ended = await newest(world)
    assert (ended["number"], ended["job"], ended["outcome"]) == (1, run["job"], outcome)
    if how == "suspend":
        await world.apply(training())
        await later(world)
        assert [each["state"] for each in kubeflow.runs] == ["CANCELED", "PENDING"]


async def test_a_deletion_waits_for_kubeflow_and_not_for_ever(world: World, kubeflow: Contract) -> None:
    await begun(world)
    kubeflow.fault("GET /runs", "status", times=99, status=503)
    await world.delete("ModelTraining", "heart")
    await later(world)
    assert await world.get("ModelTraining", "heart") is not None
    world.advance(7300)
    await world.settle()
    assert await world.get("ModelTraining", "heart") is None
    assert "RunLeftBehind" in [reason for reason, _ in await world.events()]


async def test_somebody_ends_the_run_in_kubeflow(world: World, kubeflow: Contract) -> None:
    run = await begun(world)
    kubeflow.advance(run["job"], "CANCELED")
    await later(world)
    ended = await newest(world)
    assert (ended["phase"], ended["outcome"]) == ("Cancelled", "Cancelled")
    assert ended["message"] == "somebody terminated the run in Kubeflow"


async def test_a_run_that_has_vanished_is_lost_after_a_while(world: World, kubeflow: Contract) -> None:
    run = await begun(world)
    kubeflow.control("forget", name=run["job"])
    await later(world)
    assert (await ready(world))[0] == "KubeflowRunMissing"
    await later(world, MISSING_GRACE.total_seconds())
    assert (await newest(world))["outcome"] == "RunLost"


async def test_an_api_that_is_away_is_said_and_waited_for(world: World, kubeflow: Contract) -> None:
    kubeflow.fault("POST /experiments", "status", times=2, status=503)
    await begun(world)
    reason, message = await ready(world)
    assert reason == "KubeflowUnavailable"
    assert f"{kubeflow.url}/apis/v2beta1/experiments answered 503: told to fail" in message
    await later(world)
    await later(world)
    assert len(kubeflow.runs) == 1
    kubeflow.fault("GET /runs", "status", times=99, status=401)
    await later(world)
    assert (await ready(world))[0] == "KubeflowUnauthorized"
    kubeflow.control("set", faults=[])
    world.natures = [executes(kubeflow)]
    await later(world)
    await later(world)
    assert (await newest(world))["version"] == "heart-v1"


async def test_without_an_address_it_is_said_what_to_set(world: World) -> None:
    await world.apply(training())
    await world.settle()
    reason, message = await ready(world)
    assert reason == "KubeflowNotConfigured"
    assert "spec.engine.kubeflow.endpoint" in message


async def test_features_are_looked_up_for_the_embedded_engine_alone(world: World) -> None:
    feast = {"storeSecret": {"name": "feast"}, "features": ["a:b"], "entities": {"uri": "s3://data/x.csv"}}
    made = training()
    made["spec"]["data"]["source"] = {"feast": feast}
    with pytest.raises(ApiError, match="for engine type Embedded"):
        await world.apply(made)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"type": "Embedded", "kubeflow": {"caching": True}}, "engine.kubeflow is for type Kubeflow"),
        ({"type": "Kubeflow", "kubeflow": {"namespace": "team-b"}}, "goes with an endpoint of your own"),
        ({"type": "Kubeflow", "kubeflow": {"endpoint": "kubeflow:8888"}}, "endpoint"),
        ({"type": "Kubeflow", "kubeflow": {"endpoint": "https://ada:pw@kubeflow"}}, "endpoint"),
    ],
)
async def test_what_cannot_be_is_refused_at_admission(world: World, engine: Json, words: str) -> None:
    with pytest.raises(ApiError, match=words):
        await world.apply(training(engine=engine))
