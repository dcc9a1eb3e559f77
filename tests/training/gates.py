"""What a version must show, who lets it serve, and who else is told."""

from typing import Any

import aiohttp

from hack.demo.stage import run
from tests.training.neighbours import mlflow
from tests.training.ward import School, said

Json = dict[str, Any]
APPROVAL = "perennial.dev/approval"


async def a_failed_gate_makes_a_rejected_version_that_says_why(school: School) -> None:
    """One gate holds; a bound for every value of a column does not, nor does fairness."""
    mine = school.story()
    await mine.apply(
        evaluation={
            "gates": [
                {"metric": "roc_auc", "min": 0.6},
                {"metric": "recall", "min": 0.995, "by": "sex", "minRows": 15},
            ],
            "fairness": [{"metric": "selection_rate", "by": "sex", "minRatio": 0.99, "minRows": 15}],
        }
    )
    found = await mine.ended()
    assert (found["phase"], found["outcome"]) == ("Succeeded", "GateFailed"), found
    version = await school.until("ModelVersion", found["version"], bool)
    assert version["spec"]["approval"] == "Rejected"
    gates = version["spec"]["record"]["gates"]
    assert [(each["metric"], each.get("by", ""), each["passed"]) for each in gates] == [
        ("roc_auc", "", True), ("recall", "sex", False), ("selection_rate", "sex", False),
    ]  # fmt: skip
    ready = said(await mine.until(lambda status: said(status).get("reason") == "GateFailed"))
    for gate in gates[1:]:
        assert gate["message"] in ready["message"], ready
    assert gates[0]["message"] not in ready["message"]
    told = await mine.say("lineage", found["version"])
    assert "1 of 3 passed" in told
    assert "Rejected by its gates" in told


async def a_challenger_has_to_be_better_for_sure(school: School) -> None:
    """One that looks at nothing serves. A model that looks is Better; asked for all that it gains, it is Unproven."""
    mine = school.story()
    await mine.apply(candidates=[{"algorithm": "Dummy"}])
    first = (await mine.registered())["metadata"]["name"]
    async with mine.served(version={"name": first}):
        await mine.apply(evaluation={"champion": {"confidence": 0.95}})
        champion = (await mine.registered(2))["spec"]["record"]["champion"]
        assert (champion["version"], champion["verdict"]) == (first, "Better")
        assert champion["gain"]["probability"] >= 0.95
        wanted = round(champion["gain"]["value"] - 0.005, 4)
        await mine.apply(evaluation={"champion": {"confidence": 0.95, "minImprovement": wanted}})
        found = await mine.ended(3)
    assert found["outcome"] == "ChampionKept", found
    version = await school.until("ModelVersion", found["version"], bool)
    champion = version["spec"]["record"]["champion"]
    assert (champion["verdict"], version["spec"]["approval"]) == ("Unproven", "Rejected")
    assert 0.3 < champion["gain"]["probability"] < 0.95
    assert "0.95 was asked for" in champion["message"]


async def a_namespace_insists_on_a_person_who_is_noted(school: School) -> None:
    """Its label has an Automatic version wait; the command approves it, and it serves."""
    other = school.other
    namespace = other.stage.namespace
    await run("kubectl", "label", "namespace", namespace, f"{APPROVAL}=Manual")
    mine = other.story()
    await mine.apply(data={"source": {"uri": f"{school.data}/cleveland.csv"}}, approval="Automatic")
    found = await mine.ended()
    status = await mine.until(lambda status: said(status).get("reason") == "ApprovalPending")
    assert found["version"] in said(status)["message"]
    version = await other.until("ModelVersion", found["version"], bool)
    assert version["spec"]["approval"] == "Pending"
    printed = await mine.say("approve", f"mv/{found['version']}", "--reason", "checked with the ward")
    assert "Approved by" in printed
    noted = (await other.until("ModelVersion", found["version"], lambda raw: raw["spec"]["approval"] == "Approved"))[
        "metadata"
    ]["annotations"]
    assert noted["perennial.dev/approval-reason"] == "checked with the ward"
    assert noted["perennial.dev/approved-by"] in printed
    told = await mine.say("lineage", found["version"])
    assert "checked with the ward" in told
    assert noted["perennial.dev/approved-by"] in told
    await mine.until(lambda status: said(status).get("status") == "True")
    async with mine.served() as served:
        assert served.url


async def mlflow_is_told_and_its_being_away_fails_nothing(school: School) -> None:
    """A run with its trials and a version, by a real server; and a training whose server is not there."""
    told, alone = school.story(), school.story()
    folder = school.folder / "mlflow"
    folder.mkdir()
    await alone.apply(tracking={"mlflow": {"uri": "http://127.0.0.1:9"}})
    async with mlflow(folder) as (uri, here):
        await told.apply(
            tracking={"mlflow": {"uri": uri, "experiment": "cardiology"}}, tuning={"trials": 2, "folds": 2}
        )
        record = (await told.registered())["spec"]["record"]
        assert record["mlflow"]["url"].startswith(uri)
        client = _MLflow(here)
        kept = (await client.get("runs/get", run_id=record["mlflow"]["run"]))["run"]
        metrics = {each["key"]: each["value"] for each in kept["data"]["metrics"]}
        assert metrics["roc_auc"] == record["metrics"]["roc_auc"]
        tags = {each["key"]: each["value"] for each in kept["data"]["tags"]}
        assert tags["perennial.training"] == f"{school.stage.namespace}/{told.name}"
        version = (await client.get("registered-models/alias", name=told.name, alias="challenger"))["model_version"]
        assert version["source"] == record["artifacts"]["model.onnx"]["uri"]
    await alone.registered()
    assert "MLflow" in await alone.event("NotTracked")


class _MLflow:
    def __init__(self, address: str) -> None:
        self._address = address

    async def get(self, what: str, **parameters: str) -> Json:
        url = f"{self._address}/api/2.0/mlflow/{what}"
        async with aiohttp.ClientSession() as session, session.get(url, params=parameters) as answer:
            body: Json = await answer.json()
        assert answer.status == 200, body
        return body
