"""Random courses of events, the operator ending after any write: what must hold whatever happens."""

from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import given, settings

from perennial.contracts.result import RunOutcome
from tests.unit.training.support import (
    ROOT,
    Cluster,
    a_deployment,
    a_job,
    a_monitor,
    a_training,
    an_action,
    result,
    spec,
)

FAILED = RunOutcome(succeeded=False, component="tune", reason="TrainingFailed", message="no convergence")
EVENTS = (
    "good",
    "good",
    "request",
    "request",
    "good",
    "bad",
    "gate",
    "gone",
    "action",
    "stale action",
    "request",
    "spec",
    "store away",
    "store back",
    "version deleted",
    "hours",
    "hours",
    "lost",
    "lost",
    "other data",
    "cancel",
    "Forbid",
    "Replace",
    "Queue",
    "suspend",
    "go on",
    "reproduce",
    "nonsense",
)


class Walk:
    """A cluster to which things happen, and what it has been through."""

    def __init__(self) -> None:
        polled = {**spec()["data"], "poll": "1h"}
        training = a_training(schedule={"cron": "0 */3 * * *"}, data=polled)
        self.cluster = Cluster(training, deployments=[a_deployment("heart-v1")])
        self.actions: list[dict] = []
        self.asked = 0
        self.seen: dict[str, tuple[str, int]] = {}

    def happen(self, event: str) -> None:
        self.asked += 1
        runs = self.cluster.status.runs
        if runs and runs[0].phase == "Running" and runs[0].launched:
            self._to_the_run(event)
        self._to_the_rest(event)

    def _to_the_run(self, event: str) -> None:
        cluster, job = self.cluster, self.cluster.run.job
        if event == "gone":
            cluster.pods.pop(job, None)
            cluster.jobs.pop(job, None)
        elif job in cluster.pods:
            return
        elif event == "good":
            cluster.end_run()
        elif event == "gate":
            cluster.end_run(made=result(f"{ROOT}/cardio/heart/{cluster.run.number}", roc_auc=0.5))
        elif event == "bad":
            cluster.end_run(FAILED)
        elif event == "lost" and job in cluster.jobs:
            cluster.jobs[job]["status"] = a_job(job, condition="Failed")["status"]

    def _to_the_rest(self, event: str) -> None:
        cluster = self.cluster
        match event:
            case "action" | "stale action":
                version = "heart-v1" if event == "action" else "heart-v0"
                self.actions.insert(0, an_action(f"a{self.asked}", version, minute=self.asked))
                cluster.monitors = [a_monitor("watch", *self.actions[:20])]
            case "request":
                cluster.request(f"train/heart/u{self.asked}")
            case "spec":
                cluster.change(tuning={"trials": self.asked})
            case "version deleted" if cluster.versions:
                cluster.versions.popitem()
            case "store away":
                cluster.trouble = ("StoreUnavailable", "connection refused")
            case "store back":
                cluster.trouble = None
            case _:
                self._to_the_times(event)

    def _to_the_times(self, event: str) -> None:
        cluster = self.cluster
        match event:
            case "cancel":
                cluster.request(f"cancel/heart/u{self.asked}")
            case "hours":
                cluster.now += timedelta(hours=2)
            case "other data" if cluster.status.data.job in cluster.jobs:
                cluster.end_poll(f"{self.asked:064}")
            case "Forbid" | "Replace" | "Queue":
                cluster.change(concurrencyPolicy=event)
            case "reproduce":
                cluster.request(f"reproduce/heart-v1/u{self.asked}")
            case "nonsense":
                cluster.request(f"stop/heart/u{self.asked}")
            case "suspend" | "go on":
                cluster.change(suspend=event == "suspend")

    def check(self) -> None:
        cluster, runs = self.cluster, self.cluster.status.runs
        assert [run.phase for run in runs].count("Running") <= 1
        numbers = [run.number for run in runs]
        assert numbers == sorted(set(numbers), reverse=True)
        reserved = [run.reserved for run in runs if run.reserved]
        assert reserved == sorted(set(reserved), reverse=True), "a version's number is never used twice"
        triggers = [(run.trigger.type, run.trigger.id) for run in runs if run.outcome != "Suspended"]
        assert len(triggers) == len(set(triggers)), "a trigger starts one run"
        for name, version in cluster.versions.items():
            made = (version.spec.record.wire()["created"], version.spec.record.run)
            assert self.seen.setdefault(name, made) == made, "a version is written once"
        assert len({version.spec.record.run for version in cluster.versions.values()}) == len(cluster.versions)
        assert {name.partition("-r")[0] for name in cluster.jobs} <= set(cluster.config_maps)
        ended = {run.job for run in runs if run.phase == "Cancelled"}
        assert not ended & set(cluster.jobs), "a cancelled run has no Job"
        assert len(cluster.polls) <= 1


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 4), st.booleans()), max_size=40))
def test_whatever_happens_runs_are_one_at_a_time_and_numbers_are_used_once(
    course: list[tuple[str, int, bool]],
) -> None:
    walk = Walk()
    for event, steps, status in course:
        walk.happen(event)
        walk.cluster.step(steps=steps, status=status and steps >= 4)  # the process ends in the middle of a plan
        walk.cluster.step() if steps % 2 else walk.cluster.settle()
        walk.check()
    walk.cluster.trouble = None
    walk.cluster.change(suspend=False)
    for _ in range(10):  # everything that was asked for is answered in the end, by one run each at most
        walk.cluster.settle()
        walk.check()
        if walk.cluster.run.not_before:
            walk.cluster.now = walk.cluster.run.not_before
        elif walk.cluster.run.phase == "Running" and walk.cluster.run.job not in walk.cluster.pods:
            walk.cluster.end_run()
    status = walk.cluster.status
    assert status.runs[0].phase != "Running"
    assert {each["id"] for each in walk.actions[:20]} <= set(status.handled_actions)
