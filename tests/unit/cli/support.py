"""Objects as the API server holds them, and what a person reads of them."""

import copy
import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console, RenderableType

from perennial.api.common import format_time
from perennial.cli.deployment import View, view

Json = dict[str, Any]
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def before(**time: float) -> str:
    """The moment so long before NOW."""
    return format_time(NOW - timedelta(**time))


def revision(number: int, **more: Any) -> Json:
    image = "localhost/perennial/serving:abc123"
    return {"version": f"heart-v{number}", "revision": f"rev{number}", "image": image, "predictor": {}, **more}


def condition(type_: str, status: str, reason: str, message: str = "") -> Json:
    return {
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": before(minutes=3), "observedGeneration": 1,
    }  # fmt: skip


def pod(number: int, letter: str, *, ready: bool = True, restarts: int = 0, status: Json | None = None) -> Json:
    labels = {
        "perennial.dev/deployment": "heart", "perennial.dev/revision": f"rev{number}",
        "perennial.dev/version": f"heart-v{number}",
    }  # fmt: skip
    containers = [{"name": "predictor", "restartCount": restarts, "ready": ready}]
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {
            "name": f"heart-rev{number}-{letter}", "namespace": "clinic", "labels": labels,
            "creationTimestamp": before(hours=5),
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": containers, **(status or {})},
    }  # fmt: skip


def deployment(number: int, replicas: int, **status: Any) -> Json:
    labels = pod(number, "a")["metadata"]["labels"]
    metadata = {"name": f"heart-rev{number}", "namespace": "clinic", "labels": labels}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": status}


def version(number: int, **annotations: str) -> Json:
    digest = "0" * 64
    return {
        "metadata": {"name": f"heart-v{number}", "namespace": "clinic", "annotations": annotations},
        "spec": {
            "approval": "Approved",
            "record": {
                "model": "heart", "number": number, "training": "heart", "run": number, "runUid": "u",
                "trigger": {"type": "Spec"}, "created": before(days=1), "algorithm": "LogisticRegression",
                "parameters": {}, "seed": 1, "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"},
                "metrics": {}, "split": {"test": 0.25, "seed": 1}, "artifacts": {},
                "data": {"source": "s3://d", "sha256": digest, "rows": 10, "testRows": 3, "columns": ["a"]},
                "result": {"uri": "s3://r", "sha256": digest},
            },
        },
    }  # fmt: skip


METRICS = [
    {"name": "errors", "builtin": "ErrorRate", "max": 0.01},
    {"name": "latency", "builtin": "LatencyP99", "max": "50ms"},
    {"name": "revenue", "query": "x", "min": 0.9},
]
SERVING: Json = {
    "apiVersion": "perennial.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "heart", "namespace": "clinic", "generation": 1, "creationTimestamp": before(days=2)},
    "spec": {
        "model": "heart",
        "rollout": {
            "steps": [{"weight": 25, "hold": "1m"}, {"weight": 50, "pause": {}}],
            "analysis": {"interval": "30s", "metrics": METRICS, "failureLimit": 1},
        },
    },
    "status": {
        "observedGeneration": 1,
        "phase": "Healthy",
        "stable": revision(3, since=before(hours=5)),
        "readyReplicas": 2,
        "history": [revision(3, since=before(hours=5)), revision(2, since=before(days=1))],
        "conditions": [
            condition("Ready", "True", "Serving", "heart-v3 serves"),
            condition("Progressing", "False", "Settled"),
            condition("Degraded", "False", "AsWanted"),
        ],
    },
}


def changed(*, spec: Json | None = None, phase: str = "Healthy", said: list[Json] | None = None, **status: Any) -> Json:
    """SERVING with another status; ``said`` are conditions in the place of those of their type."""
    raw = copy.deepcopy(SERVING)
    raw["spec"] |= spec or {}
    raw["status"] |= {"phase": phase, **status}
    types = {each["type"] for each in said or []}
    raw["status"]["conditions"] = [
        *(each for each in raw["status"]["conditions"] if each["type"] not in types), *(said or []),
    ]  # fmt: skip
    return raw


def measurement(name: str, value: float | None, result: str, seconds: float = 12, **bounds: Any) -> Json:
    found = {"name": name, "result": result, "at": before(seconds=seconds), **bounds}
    return found if value is None else {**found, "value": value}


def canary(step: int = 0, *, spec: Json | None = None, phase: str = "Progressing", **rollout: Any) -> Json:
    """v4 in a step of its canary; v3 serves."""
    progress = condition("Progressing", "True", "Holding", "heart-v4 takes 25 % (step 1 of 2)")
    made = {
        "target": revision(4), "strategy": "Canary", "startedAt": before(minutes=1), "step": step,
        "stepSince": before(seconds=18), **rollout,
    }  # fmt: skip
    traffic = {"wantedWeight": 25, "realWeight": 33.3, "requestShare": 31.2}
    return changed(spec=spec, phase=phase, said=[progress], rollout=made, traffic=traffic)


def seen(raw: Json, *, pods: list[Json] | None = None, versions: list[Json] | None = None, **more: Any) -> View:
    """The view of ``raw``, with the two pods of v3 unless others are given."""
    found = [pod(3, "a"), pod(3, "b", restarts=2)] if pods is None else pods
    return view(raw, found, more.get("deployments", []), versions or [])


def read(shown: RenderableType, width: int = 160) -> str:
    """What stands in the terminal, without colours; runs of blanks are one."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(" ".join(line.split()) for line in console.file.getvalue().splitlines())
