"""Trainings, runs and results for the tests of decisions, and a small world that plays Jobs, pods and the store."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from perennial.api.common import format_time
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.run import Run, TrainingStatus
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import FILE_BASELINE, FILE_MODEL, FILE_RESULT, FILE_SIGNATURE
from perennial.contracts.objects import sha256
from perennial.contracts.progress import Progress
from perennial.contracts.request import Artifact
from perennial.contracts.result import ChampionMetrics, DataSeen, DataSummary, RunOutcome, RunResult, SliceMetrics
from perennial.contracts.signature import Input, Signature
from perennial.domain.plan import Create, Delete, Event, Plan
from perennial.domain.training import decide as training
from perennial.domain.training import polling
from perennial.domain.training.request import Started, read_started, request_of
from perennial.domain.training.run import Lost, Reported, observe, observe_poll
from perennial.domain.training.state import Beginning, Fetched, Following, Polling, Render, Snapshot, finished, running
from perennial.render.kubeflow import submission
from perennial.render.removal_job import removal
from perennial.render.run_job import POLL, launch, launch_poll

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ROOT = "s3://artifacts"
RENDER = Render(run=launch, submission=submission, poll=launch_poll, removal=removal)
Json = dict[str, Any]


def spec(**changes: Any) -> Json:
    """A small, valid spec."""
    return {
        "model": "heart",
        "data": {"source": {"uri": "s3://data/heart/*.csv"}, "target": {"column": "num", "positive": {"above": 0}}},
        "features": {"numeric": ["age"], "categorical": ["sex"]},
        "candidates": [{"algorithm": "LogisticRegression"}],
        "evaluation": {"gates": [{"metric": "roc_auc", "min": 0.8}]},
    } | changes


def a_training(
    name: str = "heart", uid: str = "uid-1", *, status: TrainingStatus | None = None, **more: Any
) -> ModelTraining:
    """A ModelTraining; ``more`` changes the spec, but for ``annotations`` and ``created``."""
    metadata = {
        "name": name, "namespace": "cardio", "uid": uid, "generation": 1, "annotations": more.pop("annotations", {}),
        "creationTimestamp": format_time(more.pop("created", NOW)),
    }  # fmt: skip
    made = ModelTraining.parse({"metadata": metadata, "spec": spec(**more)})
    return made.model_copy(update={"status": status}) if status else made


def result(
    output: str = f"{ROOT}/cardio/heart/1", *, champion: ChampionMetrics | None = None, **metrics: float
) -> RunResult:
    """A good result; ``metrics`` are the overall ones (roc_auc 0.9 where none are given)."""
    files = (FILE_MODEL, FILE_SIGNATURE, FILE_BASELINE)
    return RunResult(
        data=DataSummary(sha256="d" * 64, rows=303, test_rows=76, columns=("age", "sex", "num"), files=1),
        algorithm="LogisticRegression",
        parameters={"C": 0.5, "fit_intercept": True},
        candidates=(),
        metrics=metrics or {"roc_auc": 0.9},
        slices=(
            SliceMetrics("sex", "0", 38, {"recall": 0.61}),
            SliceMetrics("sex", "1", 38, {"recall": 0.9}),
            SliceMetrics("sex", "2", 3, {"recall": 0.0}),
        ),
        artifacts={name: Artifact(f"{output}/{name}", sha256(name.encode()), 10) for name in files},
        signature=Signature(
            "Classification", (Input("age", "Numeric"), Input("sex", "Categorical", ("0", "1"))), "num", ("0", "1")
        ),
        parity=1e-7,
        seed=7,
        packages={"scikit-learn": "1.9.1"},
        pipeline_sha256="e" * 64,
        champion=champion,
    )


def a_job(name: str, *, condition: str = "", reason: str = "", created: datetime = NOW) -> Json:
    """A Job, ended by ``condition`` (Complete or Failed) if that is given."""
    ended = {"type": condition, "status": "True", "reason": reason, "lastTransitionTime": format_time(NOW)}
    return {
        "metadata": {"name": name, "creationTimestamp": format_time(created)},
        "status": {"conditions": [ended] if condition else []},
    }


def a_pod(state: Json, *, conditions: tuple[Json, ...] = (), **status: Any) -> Json:
    """A run's pod whose container is in ``state``."""
    container = {"name": "run", "image": "components:1", "imageID": "components@sha256:" + "a" * 64, "state": state}
    return {
        "metadata": {"name": "p", "creationTimestamp": format_time(NOW)},
        "status": {"containerStatuses": [container], "conditions": list(conditions), **status},
    }


def ended_pod(outcome: RunOutcome | str, *, exit_code: int | None = None, reason: str = "Completed") -> Json:
    """A pod that ended with this termination message."""
    message = outcome if isinstance(outcome, str) else msgspec.json.encode(outcome).decode()
    good = not isinstance(outcome, str) and outcome.succeeded
    code = exit_code if exit_code is not None else (0 if good else 1)
    terminated = {"exitCode": code, "reason": reason, "message": message, "finishedAt": format_time(NOW)}
    return a_pod({"terminated": terminated})


def a_monitor(name: str, *actions: Json, training_name: str = "heart") -> DriftMonitor:
    """A DriftMonitor of the deployment ``heart`` with these actions."""
    return DriftMonitor.parse({
        "metadata": {"name": name, "namespace": "cardio"},
        "spec": {"deployment": "heart", "training": training_name},
        "status": {"actions": list(actions)},
    })  # fmt: skip


def an_action(identity: str, version: str = "heart-v1", *, kind: str = "Retrain", minute: int = 0) -> Json:
    """A DriftMonitor's action."""
    since = format_time(NOW + timedelta(minutes=minute))
    return {"id": identity, "kind": kind, "version": version, "since": since, "reason": "age drifts"}


def a_deployment(version: str = "heart-v1", name: str = "heart", **status: Any) -> ModelDeployment:
    """A ModelDeployment of the model ``heart`` that serves ``version`` (none where it is empty)."""
    stable = {"version": version, "revision": "r", "image": "i", "since": format_time(NOW)}
    return ModelDeployment.parse({
        "metadata": {"name": name, "namespace": "cardio", "creationTimestamp": format_time(NOW)},
        "spec": {"model": "heart"},
        "status": ({"stable": stable} if version else {}) | status,
    })  # fmt: skip


@dataclass
class Cluster:
    """One training and all around it; ``step`` decides once and carries the plan out, as the loop would."""

    training: ModelTraining = field(default_factory=a_training)
    now: datetime = NOW
    monitors: list[DriftMonitor] = field(default_factory=list)
    deployments: list[ModelDeployment] = field(default_factory=list)
    others: list[ModelTraining] = field(default_factory=list)
    config_maps: dict[str, Json] = field(default_factory=dict)
    jobs: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, list[Json]] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    progress: Progress | None = None
    trouble: tuple[str, str] | None = None
    feast_image: str = "feast:1"

    @property
    def status(self) -> TrainingStatus:
        """What the operator last wrote."""
        return self.training.status

    @property
    def run(self) -> Run:
        """The newest run."""
        return self.status.runs[0]

    def condition(self, type_: str = "Ready") -> tuple[str, str, str]:
        """(status, reason, message)."""
        found = next(each for each in self.status.conditions if each.type == type_)
        return found.status, found.reason, found.message

    def snapshot(self) -> Snapshot:
        """What gather would read."""
        run, last = running(self.status.runs), finished(self.status.runs)
        begun = read_started(self.config_maps.get(request_of(run.job))) if run else None
        numbers = [int(uri.split("/")[5]) for uri in self.store]
        serving = next((each.status.stable.version for each in self.deployments if each.status.stable), "")
        made = Snapshot(
            training=self.training,
            image="components:1",
            feast_image=self.feast_image,
            monitors=tuple(self.monitors),
            deployments=tuple(self.deployments),
            jobs=tuple(
                (int(job["metadata"]["labels"]["perennial.dev/run"]), name)
                for name, job in self.jobs.items()
                if name not in self.polls
            ),
            polling=self._polling(),
            started=begun,
            store=self.trouble,
            beginning=Beginning(
                others=(self.training, *self.others),
                versions=tuple(self.versions.values()),
                root=ROOT,
                highest_run=max(numbers, default=0),
                champion=self.versions.get(serving),
                **self._reproduced(run),
            ),
            latest=self.versions.get(last.version) if last else None,
        )
        return replace(made, following=self._following(run, begun)) if run and run.launched else made

    @property
    def polls(self) -> list[str]:
        """The names of the polls' Jobs."""
        return [
            name for name, job in self.jobs.items() if job["metadata"]["labels"].get("app.kubernetes.io/name") == POLL
        ]

    def _polling(self) -> Polling:
        name = self.status.data.job
        if name:
            ending = observe_poll(self.jobs.get(name), self.pods.get(name, []), self.now)
            return Polling(jobs=tuple(self.polls), ending=ending)
        if polling.wait(self.training, self.now) != 0:
            return Polling(jobs=tuple(self.polls))
        return Polling(jobs=tuple(self.polls), root="" if self.trouble else ROOT, store=self.trouble)

    def _reproduced(self, run: Run | None) -> dict[str, Any]:
        version = self.versions.get(run.reproduces) if run else None
        asked = version.spec.record.artifacts.get("request.json") if version else None
        return {"reproduced": version, "original": self.store.get(asked.uri) if asked else None}

    def _following(self, run: Run, begun: Started | None) -> Following:
        engine = self.training.spec.engine
        ending = observe(self.jobs.get(run.job), self.pods.get(run.job, []), engine, self.now)
        if begun is None or self.trouble or not (run.result or isinstance(ending, Reported | Lost)):
            return Following(ending, progress=self.progress)
        address = f"{begun.request.output}/{FILE_RESULT}"
        data = self.store.get(address)
        fetched = Fetched(data, Artifact(address, sha256(data), len(data))) if data is not None else Fetched()
        return Following(ending, fetched, tuple(self.versions.values()))

    def step(self, *, steps: int | None = None, status: bool = True) -> Plan:
        """Decides; carries out the first ``steps`` (None: all), then writes the status if ``status``."""
        plan = training.decide(self.snapshot(), self.now, RENDER)
        for each in plan.steps[:steps]:
            self._carry_out(each)
        if status and plan.status is not None:
            self.events += [event for event in plan.events if event not in self.events]
            written = TrainingStatus.model_validate(plan.status.wire())
            self.training = self.training.model_copy(update={"status": written})
        return plan

    def _carry_out(self, step: Any) -> None:
        places = {"ConfigMap": self.config_maps, "Job": self.jobs}
        match step:
            case Create(manifest) if manifest["kind"] == "ModelVersion":
                self.versions.setdefault(manifest["metadata"]["name"], ModelVersion.parse(manifest))
            case Create(manifest):
                places[manifest["kind"]].setdefault(manifest["metadata"]["name"], manifest)
            case Delete(_, kind, _, name):
                places[kind].pop(name, None)

    def settle(self) -> None:
        """Decides until nothing changes."""
        for _ in range(12):
            before = self.status.wire()
            plan = self.step()
            if self.status.wire() == before and not plan.steps:
                return
        raise AssertionError("it does not come to rest")

    def end_run(
        self, outcome: RunOutcome | str | None = None, *, made: RunResult | None = None, data: bytes | None = None
    ) -> None:
        """Ends the run under way: well, with ``made`` (or ``data``) in the store, or as ``outcome`` says."""
        run = self.run
        output = f"{ROOT}/cardio/{self.training.metadata.name}/{run.number}"
        if outcome is None:
            content = data if data is not None else msgspec.json.encode(made or result(output))
            self.store[f"{output}/{FILE_RESULT}"] = content
            outcome = RunOutcome(
                succeeded=True, result=Artifact(f"{output}/{FILE_RESULT}", sha256(content), len(content))
            )
        self.pods[run.job] = [ended_pod(outcome)]

    def end_poll(self, sha256: str = "", *, rows: int = 303, failure: RunOutcome | None = None) -> None:
        """Ends the poll under way: it has seen this, or it failed."""
        told = msgspec.json.encode(failure or DataSeen(sha256=sha256, rows=rows)).decode()
        self.pods[self.status.data.job] = [ended_pod(told, exit_code=1 if failure else 0)]

    def change(self, **spec_changes: Any) -> None:
        """Edits the spec."""
        changed = {**self.training.spec.wire(), **spec_changes}
        self.training = ModelTraining.parse({
            "metadata": self.training.metadata.model_dump(mode="json", by_alias=True, exclude_none=True),
            "spec": changed, "status": self.status.wire(),
        })  # fmt: skip

    def request(self, value: str) -> None:
        """Writes the request annotation."""
        metadata = self.training.metadata.model_copy(update={"annotations": {"perennial.dev/request": value}})
        self.training = self.training.model_copy(update={"metadata": metadata})

    def said(self, reason: str) -> list[str]:
        """The messages of all Events with this reason."""
        return [event.message for event in self.events if event.reason == reason]
