"""Who has to look again when something changes."""

from typing import Any

from perennial.reconcile.queue import Key, Queue
from perennial.reconcile.resync import Resync
from perennial.reconcile.watch import Index

Json = dict[str, Any]


def made(kind: str, name: str, spec: Json, status: Json | None = None, namespace: str = "clinic") -> Json:
    return {"kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec, "status": status or {}}


def training(name: str = "heart", model: str = "heart", namespace: str = "clinic") -> Json:
    return made("ModelTraining", name, {"model": model}, namespace=namespace)


def version(number: int, model: str = "heart") -> Json:
    return made("ModelVersion", f"{model}-v{number}", {"record": {"model": model}})


def deployment(
    name: str = "serve", stable: str | None = None, canary: str | None = None, namespace: str = "clinic"
) -> Json:
    status: Json = {}
    if stable:
        status["stable"] = {"version": stable}
    if canary:
        status["rollout"] = {"target": {"version": canary}}
    return made("ModelDeployment", name, {"model": "heart"}, status, namespace)


def monitor(name: str = "watch", watches: str = "serve", retrains: str = "heart") -> Json:
    return made("DriftMonitor", name, {"deployment": watches, "training": retrains})


def key(raw: Json) -> Key:
    return raw["kind"], raw["metadata"]["namespace"], raw["metadata"]["name"]


def index_of(*objects: Json) -> Index:
    index = Index()
    for raw in objects:
        index.seen(raw)
    return index


def test_a_new_version_wakes_who_deploys_and_who_trains_its_model() -> None:
    index = index_of(training(), deployment(), monitor(), training("other", "lungs"))
    assert index.seen(version(1)) == {key(version(1)), key(training()), key(deployment())}


def test_a_deployment_wakes_its_versions_monitors_and_trainings() -> None:
    index = index_of(training(), version(1), version(2), monitor(), monitor("elsewhere", watches="other"))
    now = deployment(stable="heart-v1")
    assert index.seen(now) == {key(now), key(training()), key(version(1)), key(monitor())}


def test_a_version_that_is_no_longer_in_use_is_woken_too() -> None:
    index = index_of(version(1), version(2), deployment(stable="heart-v1"))
    assert key(version(1)) in index.seen(deployment(stable="heart-v2"))
    assert key(version(1)) not in index.seen(deployment(stable="heart-v2"))


def test_a_monitor_wakes_the_deployment_it_watches_and_the_training_that_retrains() -> None:
    index = index_of(training(), deployment())
    assert index.seen(monitor()) == {key(monitor()), key(training()), key(deployment())}


def test_trainings_of_one_model_hear_of_each_other() -> None:
    second = training("second")
    index = index_of(training(), second)
    assert index.gone(key(training())) == {key(second)}, "the name is free now"


def test_namespaces_do_not_hear_each_other() -> None:
    index = index_of(training(namespace="surgery"), deployment(namespace="surgery"))
    assert index.seen(version(1)) == {key(version(1))}


def test_what_is_gone_wakes_its_users_and_is_forgotten() -> None:
    index = index_of(version(1), monitor(), deployment(stable="heart-v1"))
    assert index.gone(key(deployment())) == {key(version(1)), key(monitor())}
    assert index.keys() == {key(version(1)), key(monitor())}
    assert list(index.roles()) == []


def test_roles_are_those_of_the_statuses() -> None:
    index = index_of(deployment(stable="heart-v1", canary="heart-v2"))
    assert sorted(index.roles()) == [("clinic/serve", "heart-v1", "stable"), ("clinic/serve", "heart-v2", "canary")]
    index.seen(deployment(stable="heart-v2"))
    assert list(index.roles()) == [("clinic/serve", "heart-v2", "stable")]


def verdict_of(index: Index) -> list[str]:
    return [line for line in index.exposition().splitlines() if line.startswith("perennial_monitor_verdict{")]


def test_a_monitor_is_exported_as_it_is_and_not_when_it_is_gone() -> None:
    index = index_of(monitor())
    assert [line for line in verdict_of(index) if line.endswith(" 1.0")] == []
    index.seen({**monitor(), "status": {"verdict": "Drifting", "version": "heart-v1"}})
    [line] = [line for line in verdict_of(index) if line.endswith(" 1.0")]
    assert 'deployment="clinic/serve",version="heart-v1",verdict="Drifting"' in line
    index.gone(key(monitor()))
    assert index.exposition() == ""


def test_a_count_of_actions_goes_on_when_the_status_forgets_old_ones() -> None:
    def having(*ids: int) -> Json:
        actions = [
            {"id": f"a{each}", "kind": "Retrain", "version": "heart-v1", "since": f"2026-01-01T00:00:0{each}Z"}
            for each in ids
        ]
        return {**monitor(), "status": {"actions": actions}}

    def counted(index: Index) -> list[str]:
        return [line[-3:] for line in index.exposition().splitlines() if "actions_total{" in line and "Retrain" in line]

    index = index_of(having(2, 1))
    index.seen(having(2, 1))
    assert counted(index) == ["2.0"]
    index.seen(having(4, 3))
    assert counted(index) == ["4.0"]
    index.gone(key(monitor()))
    index.seen(having())
    assert counted(index) == ["0.0"], "another monitor of that name"


class Lists:
    """An API server that holds these objects."""

    def __init__(self, *objects: Json) -> None:
        self.objects = objects

    async def list(self, _api_version: str, kind: str, _namespace: str | None, **_: Any) -> list[Json]:
        return [each for each in self.objects if each["kind"] == kind]


async def test_a_deletion_that_no_event_told_is_found_and_told() -> None:
    index, queue = index_of(version(1), deployment(stable="heart-v1")), Queue()
    resync = Resync(Lists(version(1)), index, queue, (), 300)  # type: ignore[arg-type]
    await resync.once()
    assert index.keys() == {key(version(1))}
    assert queue.pop() == key(version(1))
    assert queue.pop() is None
