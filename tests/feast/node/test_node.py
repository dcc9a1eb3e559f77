"""Features of a real repository on the node: registry and history in the store, looked up in a run's own pod."""

import asyncio
import json
from typing import Any

import pytest
import yaml

from tests.feast.node.conftest import Clinic, settings
from tests.training.conftest import Story
from tests.training.sources import _all_that_is_told
from tests.training.ward import PATIENCE, Training, run_of, said

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]
PASSWORD = "pa-ss-word-7"
Json = dict[str, Any]


async def features_train_what_the_same_table_trains_and_are_looked_at_again(school: Clinic) -> None:
    """A file with the right values beside it tells whether each row has what was known then, and nothing later."""
    mine, plain = school.story(), school.story()
    await _secret(school, mine, school.settings)
    await mine.apply(data={**_feast(school, mine), "poll": "1m"})
    await plain.apply(data={"source": {"uri": f"{school.data}/joined.csv"}})
    made, alike = [(await each.registered())["spec"]["record"] for each in (mine, plain)]
    assert (made["data"]["rows"], made["data"]["sha256"]) == (303, alike["data"]["sha256"])
    assert made["artifacts"]["model.skops"]["sha256"] == alike["artifacts"]["model.skops"]["sha256"]
    feast = made["data"]["feast"]
    assert (feast["project"], feast["service"], [view["name"] for view in feast["views"]]) == (
        "clinic",
        "heart",
        ["patients"],
    )
    assert sorted(feast["features"]) == sorted(f"patients:{name}" for name in ("age", "sex", "cp", "chol", "thalach"))
    assert made["data"]["source"].startswith(
        f"Feast, Secret {mine.name}-feast/feature_store.yaml: heart; entities: s3://"
    )
    await mine.until(lambda status: said(status, "DataReachable").get("reason") == "Unchanged")
    fewer = (school.folder / "rows.csv").read_bytes().splitlines(keepends=True)[:-3]
    await school.stage.upload("rows.csv", b"".join(fewer))
    again = await mine.registered(2)
    assert (again["spec"]["record"]["trigger"]["type"], again["spec"]["record"]["data"]["rows"]) == ("Data", 300)


async def what_the_registry_has_not_is_named_at_once(school: Clinic) -> None:
    """No second attempt: it would find the same."""
    mine = school.story()
    await _secret(school, mine, school.settings)
    await mine.apply(data=_feast(school, mine, features=["patients:cholesterol", "patients:age"]))
    found = await mine.ended()
    assert (found["outcome"], found.get("attempt", 1)) == ("SourceInvalid", 1)
    assert "data.source.feast.features: the feature view 'patients' has no feature 'cholesterol'" in found["message"]
    assert "(did you mean 'chol'?)" in found["message"]


async def a_registry_that_is_away_is_asked_again_and_nobody_learns_its_password(school: Clinic) -> None:
    """No Secret at first, then one that names a database where none is, then the right one: the same run ends well."""
    mine = school.story()
    await mine.apply(data=_feast(school, mine), retry={"backoff": "2s", "limit": 8})
    missing = said(await mine.until(lambda status: said(status).get("reason") == "SourceSecretMissing"))
    assert missing["message"].startswith(
        f"data.source.feast.storeSecret: the Secret {mine.name}-feast must have the entry"
    )
    away = {"registry_type": "sql", "path": f"postgresql+psycopg://feast:{PASSWORD}@127.0.0.1:1/feast"}
    await _secret(school, mine, yaml.safe_dump(settings(away)))
    status = await mine.until(lambda status: status.get("phase") == "Retrying")
    assert run_of(status, 1)["outcome"] == "DataUnavailable"
    assert "the registry cannot be reached" in run_of(status, 1)["message"]
    told = await _all_that_is_told(mine)
    assert "the registry cannot be reached" in told
    assert PASSWORD not in told
    await _secret(school, mine, school.settings)
    await mine.registered()
    assert run_of(await mine.until(bool, PATIENCE), 1)["attempt"] > 1
    pods = json.loads(await mine.kubectl("get", "pods", "-l", f"perennial.dev/training={mine.name}", "-o", "json"))
    for pod in pods["items"]:
        [feast] = pod["spec"]["initContainers"]
        assert feast["securityContext"]["readOnlyRootFilesystem"]
        assert pod["spec"]["automountServiceAccountToken"] is False


STORIES: list[Story] = [
    features_train_what_the_same_table_trains_and_are_looked_at_again,  # type: ignore[list-item]
    a_registry_that_is_away_is_asked_again_and_nobody_learns_its_password,  # type: ignore[list-item]
    what_the_registry_has_not_is_named_at_once,  # type: ignore[list-item]
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_comes_true(story: Story, played: dict[str, asyncio.Task[None]]) -> None:
    await played[story.__name__]


def _feast(school: Clinic, mine: Training, **asked: Any) -> Json:
    features = asked or {"featureService": "heart"}
    entities = {"uri": f"{school.data}/rows.csv"}
    return {"source": {"feast": {"storeSecret": {"name": f"{mine.name}-feast"}, "entities": entities, **features}}}


async def _secret(school: Clinic, mine: Training, text: str) -> None:
    metadata = {"name": f"{mine.name}-feast"}
    entries = {"feature_store.yaml": text}
    await school.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries})
