"""What starts a run, what ends it before its time, and what has it tried again.

Runs that are to last read a query that sleeps: they take no processor from the others.
"""

import asyncio
import json
import re
from typing import Any

import pytest

from hack.demo import patients
from hack.demo.stage import StageError
from tests.training.neighbours import PASSWORD, postgres
from tests.training.ward import School, Training, run_of, said

Json = dict[str, Any]
MINUTELY: Json = {"cron": "* * * * *"}


async def the_clock_starts_runs_and_replaces_one_that_is_under_way(school: School) -> None:
    """Replace, each minute. Then the training is suspended: its run ends, and nothing starts any more."""
    mine = school.story()
    async with postgres() as url:
        await _sleeping(mine, url, 600, schedule=MINUTELY, concurrencyPolicy="Replace")
        status = await mine.until(lambda status: run_of(status, 2).get("launched"))
        first, second = run_of(status, 1), run_of(status, 2)
        assert (first["trigger"]["type"], first["phase"], first["outcome"]) == ("Spec", "Cancelled", "Replaced")
        assert second["trigger"]["type"] == "Schedule"
        assert second["trigger"]["id"] < status["nextRun"]
        labels = f"perennial.dev/training={mine.name},perennial.dev/run=1"
        await mine.kubectl("wait", "--for=delete", "pod", "--selector", labels, "--timeout=120s")
        await mine.apply(**{**mine.spec, "suspend": True})
        await mine.until(lambda status: said(status, "Scheduled").get("reason") == "Suspended")
        status = await mine.until(lambda status: status.get("phase") == "Suspended")
        assert run_of(status, status["runCounter"])["outcome"] == "Suspended"
        assert (said(status, "Running")["reason"], said(status, "Running")["status"]) == ("Suspended", "False")
        with pytest.raises(StageError, match="suspend"):
            await mine.say("train", mine.name)
    await school.delete("mt", mine.name)


async def the_clock_waits_for_no_run_where_that_is_forbidden(school: School) -> None:
    """Forbid: the time that comes while a run is under way is dropped and said; a person ends the run."""
    mine = school.story()
    async with postgres() as url:
        await _sleeping(mine, url, 600, schedule=MINUTELY, concurrencyPolicy="Forbid")
        await mine.until(lambda status: run_of(status, 1).get("launched"))
        assert "run 1 is under way" in await mine.event("ScheduleSkipped")
        status = await mine.until(bool)
        assert (status["runCounter"], run_of(status, 1)["phase"]) == (1, "Running")
        assert "run 1" in await mine.say("cancel", mine.name)
        found = await mine.ended()
        assert (found["phase"], found["outcome"]) == ("Cancelled", "Cancelled")
        assert "was cancelled by request" in found["message"]
        await school.delete("mt", mine.name)


async def other_data_start_a_run_and_the_same_start_none(school: School) -> None:
    """A poll a minute: what was trained on starts nothing; Hungarian patients join, and one run comes of it."""
    mine = school.story()
    folder = f"{school.stage.folder}/{mine.name}"
    await school.stage.upload("one.csv", patients.table("cleveland"), folder=folder)
    await mine.apply(data={"source": {"uri": f"s3://data/{folder}/*.csv"}, "poll": "1m"})
    first = (await mine.registered())["spec"]["record"]
    status = await mine.until(lambda status: status["data"].get("polls", 0) >= 1 and status["data"].get("seenAt"))
    assert status["data"]["sha256"] == status["data"]["trained"] == first["data"]["sha256"]
    assert (status["data"]["rows"], status["runCounter"]) == (303, 1)
    await school.stage.upload("two.csv", patients.table("hungarian"), folder=folder)
    second = (await mine.registered(2))["spec"]["record"]
    assert (second["trigger"]["type"], second["trigger"]["id"]) == ("Data", second["data"]["sha256"])
    assert second["data"]["rows"] == 303 + 294
    polls = (await mine.until(lambda status: status["data"].get("trained") == second["data"]["sha256"]))["data"][
        "polls"
    ]
    status = await mine.until(lambda status: status["data"]["polls"] > polls and not status["data"].get("job"))
    assert (status["runCounter"], status["data"]["sha256"]) == (2, second["data"]["sha256"]), "seen again, and known"
    assert said(status, "DataReachable")["status"] == "True"


async def an_evicted_pod_is_no_end_of_its_run(school: School) -> None:
    """The node is drained, as it seems to the pod; the second attempt ends well."""
    mine = school.story()
    async with postgres() as url:
        await _sleeping(mine, url, 10)
        await _evict(mine, await mine.pod())
        status = await mine.until(lambda status: run_of(status, 1).get("attempt") == 2)
        assert run_of(status, 1)["outcome"] in {"Evicted", "RunLost"}
        assert "attempt 1 of 6" in await mine.event("RunRetried")
        await mine.registered()
    status = await mine.until(lambda status: status.get("phase") == "Succeeded")
    assert (status["runCounter"], len(status["runs"])) == (1, 1)


async def versions_come_of_each_change_and_each_request_and_old_ones_go(school: School) -> None:
    """Two are kept: the first one's files leave the store with it. The last one's lineage is told, it is reproduced."""
    mine = school.story()
    await mine.apply(retention={"versions": 2}, approval="Automatic")
    first = (await mine.registered())["metadata"]["name"]
    kept = await mine.stored(1)
    assert any(each.endswith("/model.onnx") for each in kept)
    await mine.apply(retention={"versions": 2}, tuning={"trials": 1, "folds": 3})
    second = await mine.registered(2)
    assert second["spec"]["record"]["trigger"]["type"] == "Spec"
    printed = await mine.say("train", mine.name, "--watch")
    assert f"run 3 of {mine.name} has started" in printed
    third = (await mine.registered(3))["spec"]["record"]
    assert third["trigger"]["type"] == "Request"
    assert third["artifacts"]["model.onnx"]["sha256"] == second["spec"]["record"]["artifacts"]["model.onnx"]["sha256"]
    assert first in await mine.event("VersionRetired")
    assert await mine.stored(1) == []
    assert len(await mine.stored(2)) >= len(kept) - 1
    names = (await mine.kubectl("get", "mv", "-o", "name")).split()
    assert [each.rpartition("/")[2] for each in names if f"/{mine.name}-" in each] == [
        f"{mine.name}-v2", f"{mine.name}-v3",
    ]  # fmt: skip
    status = await mine.until(lambda status: not status.get("retired"))
    assert status["latestVersion"] == f"{mine.name}-v3"
    await _lineage(mine, third)
    await _reproduced(mine, third)


async def _lineage(mine: Training, record: Json) -> None:
    found = json.loads(await mine.say("lineage", f"{mine.name}-v3", "-o", "json"))
    assert found["run"]["trigger"]["type"] == "Request"
    assert found["data"]["sha256"] == record["data"]["sha256"]
    assert found["code"]["image"].startswith("localhost/perennial/components:")
    assert found["approval"]["by"] == "its gates, for approval is Automatic"
    told = await mine.say("lineage", f"mv/{mine.name}-v3")
    for words in (record["data"]["sha256"], "303 rows", "LogisticRegression", "model.onnx", "Approved"):
        assert words in told, told


async def _reproduced(mine: Training, record: Json) -> None:
    printed = await mine.say("reproduce", f"mv/{mine.name}-v3")
    digest = record["artifacts"]["model.onnx"]["sha256"]
    found = await mine.ended(4)
    assert (found["outcome"], found["reproduces"]) == ("Reproduced", f"{mine.name}-v3"), found
    assert re.search(rf"same SHA-256, {digest}", found["message"])
    assert f"run 4 of {mine.name} has started" in printed
    status = await mine.until(lambda status: status.get("phase") == "Succeeded")
    assert (status["versionCounter"], said(status)["status"]) == (3, "True"), "it makes no version"


async def _sleeping(mine: Training, url: Any, seconds: int, **spec: Any) -> None:
    """Applies a training whose query takes so long."""
    name = f"{mine.name}-db"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url(PASSWORD)}}
    await mine.school.apply(secret)
    query = f"SELECT patients.* FROM patients, (SELECT pg_sleep({seconds})) AS asleep"
    await mine.apply(data={"source": {"sql": {"connectionSecret": {"name": name}, "query": query}}}, **spec)


async def _evict(mine: Training, pod: str) -> None:
    """As `kubectl drain` does."""
    namespace = mine.school.stage.namespace
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = mine.school.folder / f"{pod}.json"
    await asyncio.to_thread(path.write_text, json.dumps(eviction))
    await mine.kubectl("create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", str(path))
