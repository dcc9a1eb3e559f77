"""A day of one model as the operator tells it: calm, drift, a retrain, a rollout, a loss, a rollback, drift again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from perennial.reconcile.watch import Index
from perennial.telemetry import Metrics

Json = dict[str, Any]
HOUR = 3600.0
NAMESPACE, DEPLOYMENT, MONITOR = "clinic", "heart", "watch"
V1, V2 = "heart-v1", "heart-v2"
RETRAIN, BEGUN, PROMOTED, ROLLBACK, END = 9.0, 10.0, 11.0, 19.0, 26.0
"""Hours from the beginning."""
VERDICTS: tuple[tuple[float, str, str], ...] = (
    (0, "InsufficientData", V1), (2, "Healthy", V1), (8, "Drifting", V1), (PROMOTED, "InsufficientData", V2),
    (13, "Healthy", V2), (18, "PerformanceLoss", V2), (ROLLBACK, "InsufficientData", V1), (21, "Drifting", V1),
)  # fmt: skip


def stamp(at: float) -> str:
    """Unix seconds as Kubernetes writes them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type_: str, status: str, reason: str, since: float = 0.0) -> Json:
    return {"type": type_, "status": status, "reason": reason, "lastTransitionTime": stamp(since)}


def monitor(name: str = MONITOR, deployment: str = DEPLOYMENT, status: Json | None = None, window: str = "2h") -> Json:
    return {
        "apiVersion": "perennial.dev/v1alpha1", "kind": "DriftMonitor",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"deployment": deployment, "window": {"length": window}}, "status": status or {},
    }  # fmt: skip


def deployment(name: str = DEPLOYMENT, status: Json | None = None) -> Json:
    return {
        "apiVersion": "perennial.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"namespace": NAMESPACE, "name": name}, "spec": {"model": "heart"}, "status": status or {},
    }  # fmt: skip


def revision(version: str, since: float) -> Json:
    return {"version": version, "revision": "r1", "image": "i", "since": stamp(since)}


def evidence(verdict: str, version: str, since: float) -> Json:
    """A monitor's status with all that it may hold."""
    drifting, loss = verdict == "Drifting", verdict == "PerformanceLoss"
    value = 0.71 if loss else 0.84
    figure = {"metric": "accuracy", "reference": 0.85, "value": value, "low": value - 0.04, "high": value + 0.04}
    return {
        "verdict": verdict, "since": stamp(since), "version": version, "windowEnd": stamp(since), "observations": 4321,
        "cause": "InputDrift" if drifting else "ConceptDrift" if loss else None,
        "features": [
            {"feature": name, "psi": psi if drifting else 0.004, "threshold": 0.02, "pValue": 0.0,
             "drifting": drifting and psi > 0.02}
            for name, psi in (("age", 0.31), ("chol", 0.12), ("sex", 0.001))
        ],
        "performance": {**figure, "source": "Labels", "labels": 300, "loss": loss},
        "estimated": {**figure, "source": "Estimated", "labels": 4000},
        "signals": [
            {"name": "errors", "value": 0.02, "max": 0.01, "breached": True, "consecutive": 2},
            {"name": "rate", "value": 0.9, "min": 0.1, "max": 5.0},
        ],
    }  # fmt: skip


@dataclass
class Story:
    """The objects at any time; ``begin`` is Unix seconds."""

    begin: float
    index: Index = field(default_factory=Index)

    def at(self, hour: float) -> str:
        """The operator's metrics."""
        self.index.seen(self._monitor(hour))
        self.index.seen(self._deployment(hour))
        return scrape(self.index)

    def _moment(self, hour: float) -> float:
        return self.begin + hour * HOUR

    def _monitor(self, hour: float) -> Json:
        since, verdict, version = [each for each in VERDICTS if each[0] <= hour][-1]
        actions = [
            {"id": kind, "kind": kind, "version": about, "since": stamp(self._moment(at))}
            for kind, about, at in (("Rollback", V2, ROLLBACK), ("Retrain", V1, RETRAIN))
            if at <= hour
        ]
        conditions = [condition("Ready", "True", "Judged"), condition("SignalsBreached", "True", "OutOfBounds")]
        if hour > ROLLBACK:
            conditions.append(condition("HumanNeeded", "True", "RetrainBudgetSpent"))
        status = {**evidence(verdict, version, self._moment(since)), "actions": actions, "conditions": conditions}
        return monitor(status=status)

    def _deployment(self, hour: float) -> Json:
        back = hour >= ROLLBACK
        serving, since = (V2, PROMOTED) if PROMOTED <= hour < ROLLBACK else (V1, ROLLBACK if back else 0.0)
        status: Json = {
            "stable": revision(serving, self._moment(since)), "conditions": [condition("Ready", "True", "Serving")],
        }  # fmt: skip
        if BEGUN <= hour < PROMOTED:
            begun = stamp(self._moment(BEGUN))
            status["rollout"] = {"target": revision(V2, 0.0), "startedAt": begun, "stepSince": begun}
        if back:
            status["held"] = {"version": V2, "reason": "rolled back", "since": stamp(self._moment(ROLLBACK))}
        return deployment(status=status)


def scrape(index: Index) -> str:
    """What the operator that leads exposes."""
    metrics = Metrics()
    metrics.leads()
    metrics.follow_queue(lambda: 3, lambda: 0.0)
    metrics.follow_roles(index.roles)
    metrics.follow_objects(index.exposition)
    return metrics.exposition().decode()


def timed(text: str, at: float) -> Iterator[str]:
    """Each sample of an exposition with its time."""
    return (f"{line} {at:.0f}" for line in text.splitlines() if line and not line.startswith("#"))


def scraped(lines: Iterable[str], namespace: str, pod: str) -> Iterator[str]:
    """With a pod's labels, as a scrape without honor_labels gives them."""
    for line in lines:
        name, brace, rest = line.partition("{")
        if not brace:
            name, _, rest = line.partition(" ")
            rest = "} " + rest
        rest = rest.replace('namespace="', 'exported_namespace="')
        comma = "" if rest.startswith("}") else ","
        yield f'{name}{{namespace="{namespace}",pod="{pod}"{comma}{rest}'
