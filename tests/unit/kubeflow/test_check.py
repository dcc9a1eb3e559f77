"""What comes of a person's request to ask Kubeflow: from the API's answers, and for the ModelTraining."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perennial.adapters.access import Access
from perennial.adapters.kubernetes import ApiError
from perennial.api.kubeflow import KubeflowRun
from perennial.api.run import Run, TrainingStatus, Trigger
from perennial.domain.plan import Plan
from perennial.domain.training.check import CONDITION
from perennial.domain.training.decide import decide
from perennial.domain.training.kubeflow import Checked, Defaults, Server, Side
from perennial.domain.training.state import Snapshot
from perennial.reconcile.kubeflow import Kubeflow
from tests.unit.kubeflow.conftest import Contract
from tests.unit.training.support import NOW, RENDER, Cluster, a_training

Json = dict[str, Any]
ASKED = {"perennial.dev/request": "check/heart/c1"}
DENIED = Checked(False, "KubeflowForbidden", "http://k: 403")


class Secrets:
    """Of the Kubernetes API the Secret perennial-kubeflow: its token, or why it cannot be read."""

    def __init__(self, found: str | ApiError = "") -> None:
        self.found = found

    async def get(self, *_: Any) -> Json | None:
        if isinstance(self.found, ApiError):
            raise self.found
        return {"data": {"token": base64.b64encode(self.found.encode()).decode()}}


async def ask(server: Server, secrets: Secrets | None = None, access: Access | None = None) -> Checked:
    engine = Kubeflow(secrets or Secrets(), access or Access())  # type: ignore[arg-type]
    try:
        return await engine.check(server)
    finally:
        await engine.close()


async def test_a_check_makes_nothing(server: Contract) -> None:
    found = await ask(Server(server.url))
    assert found == Checked(True, "KubeflowAnswers", f"{server.url} answers, and shows its experiments")
    assert set(server.calls) == {"GET /healthz", "GET /experiments"}


@pytest.mark.parametrize(
    ("multi_user", "namespace", "secret_in", "words"),
    [
        (True, "", "", "set the chart's kubeflow.multiUser to true"),
        (False, "cardio", "", "set the chart's kubeflow.multiUser to false"),
        (True, "", "cardio", "set spec.engine.kubeflow.namespace"),
        (False, "team", "cardio", "leave out spec.engine.kubeflow.namespace"),
        (True, "team", "cardio", ""),
        (True, "cardio", "", ""),
    ],
)
async def test_whether_it_has_users_is_held_against_the_settings(
    server: Contract, multi_user: bool, namespace: str, secret_in: str, words: str
) -> None:
    server.control("set", multi_user=multi_user)
    found = await ask(Server(server.url, namespace, secret_in), Secrets("t"))
    assert words in found.message
    assert (found.works, found.reason) == ((False, "KubeflowMultiUser") if words else (True, "KubeflowAnswers"))


@pytest.mark.parametrize("call", ["GET /healthz", "GET /experiments"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "status", "status": 401}, "KubeflowUnauthorized"),
        ({"kind": "status", "status": 403, "body": {"code": 7, "message": "no"}}, "KubeflowForbidden"),
        ({"kind": "status", "status": 404, "body": {}}, "KubeflowNotFound"),
        ({"kind": "status", "status": 400, "body": {"code": 3, "message": "no"}}, "KubeflowRefused"),
        ({"kind": "status", "status": 503}, "KubeflowUnavailable"),
        ({"kind": "page"}, "KubeflowUnauthorized"),
    ],
)
async def test_what_goes_wrong_has_the_reason_that_a_run_would_have(
    server: Contract, call: str, fault: Json, reason: str
) -> None:
    server.fault(call, **fault)
    found = await ask(Server(server.url))
    assert (found.works, found.reason) == (False, reason)
    assert server.url in found.message or "no" in found.message


async def test_nobody_there_is_said() -> None:
    found = await ask(Server("http://127.0.0.1:9"))
    assert (found.works, found.reason) == (False, "KubeflowUnavailable")
    assert "cannot be reached" in found.message


async def test_each_asks_as_who_it_is(server: Contract, tmp_path: Path) -> None:
    """The operator's own token, or that of the namespace's Secret, which is read anew by each check."""
    server.control("reset", token="secret")
    (tmp_path / "token").write_text("secret")
    assert (await ask(Server(server.url), access=Access(auth=tmp_path))).works
    assert not (await ask(Server(server.url, secret_in="cardio"), Secrets("other"), Access(auth=tmp_path))).works
    secrets = Secrets("wrong")
    engine = Kubeflow(secrets, Access())  # type: ignore[arg-type]
    own = Server(server.url, secret_in="cardio")
    assert (await engine.check(own)).reason == "KubeflowUnauthorized"
    secrets.found = "secret"
    assert (await engine.check(own)).works
    secrets.found = ApiError(403, "Forbidden", "may not")
    assert "Secret perennial-kubeflow of namespace cardio cannot be read" in (await engine.check(own)).message
    await engine.close()


# --- what becomes of the ModelTraining ----------------------------------------------------------------------------


def decided(training: Any, checked: Checked | None = None) -> Plan:
    return decide(Snapshot(training, kubeflow=Side(checked=checked)), NOW, RENDER)


def kubeflow(**more: Any) -> Any:
    return a_training(engine={"type": "Kubeflow"}, annotations=ASKED, **more)


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize("checked", [DENIED, Checked(True, "KubeflowAnswers", "http://k answers")])
def test_an_answer_is_a_condition_and_starts_nothing(checked: Checked, suspend: bool) -> None:
    plan = decided(kubeflow(suspend=suspend), checked)
    (said,) = (each for each in plan.status.conditions if each.type == CONDITION)
    assert (said.status, said.reason, said.message) == (str(checked.works), checked.reason, checked.message)
    assert (plan.status.handled_request, plan.status.runs, plan.steps, plan.requeue) == ("c1", [], (), 0.0)


def test_a_run_under_way_goes_on_and_takes_no_answer_away() -> None:
    """A step of it that Kubeflow refuses would undo the status: it is not in the same plan."""
    there = KubeflowRun(endpoint="http://k")
    run = Run(number=1, trigger=Trigger(type="Spec", id="s"), phase="Running", job="heart-1", started_at=NOW)
    status = TrainingStatus(runs=[run.model_copy(update={"kubeflow": there})])
    side = Side(Defaults("http://k"), checked=DENIED)
    plan = decide(Snapshot(kubeflow(status=status), kubeflow=side), NOW, RENDER)
    assert (plan.status.runs, plan.steps, plan.status.handled_request) == (status.runs, (), "c1")


def test_it_is_answered_once_and_the_answer_stays() -> None:
    status = decided(kubeflow(), DENIED).status
    after = decided(kubeflow(status=status), replace(DENIED, message="another")).status
    assert [each.message for each in after.conditions if each.type == CONDITION] == [DENIED.message]


def test_with_the_embedded_engine_there_is_none_to_ask() -> None:
    plan = decided(a_training(annotations=ASKED))
    assert "no Kubeflow is used" in plan.events[0].message
    assert plan.status.handled_request == "c1"
    assert CONDITION not in {each.type for each in plan.status.conditions}


def test_the_condition_goes_with_the_engine() -> None:
    status = decided(kubeflow(), DENIED).status
    cluster = Cluster(training=a_training(annotations=ASKED, status=status))
    cluster.step()
    assert {each.type for each in cluster.status.conditions} == {"Ready", "Running"}
