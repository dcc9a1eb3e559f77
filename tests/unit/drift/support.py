"""Objects and evidence for the tests of a monitor, short to write."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from perennial.api.common import API_VERSION
from perennial.api.drift import DriftMonitor
from perennial.api.verdict import Action, MonitorStatus
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, OTHER, Baseline, Distribution
from perennial.contracts.signature import Input, Signature
from perennial.domain.drift.evidence import Evidence
from perennial.domain.drift.performance import Held
from perennial.domain.drift.reference import Reference, Usual, label_distribution
from perennial.domain.drift.window import Chunk, Layout

NOW = datetime(2026, 3, 2, 12, 0, 2, tzinfo=UTC)
STEP = 20
"""Seconds of a chunk of the monitor that :func:`monitor` makes: 60s in 3 chunks."""
DIGEST = "ab" * 32

AGE = Distribution(
    "age", "Numeric", (MISSING, INVALID, BELOW, "[20,40)", "[40,60)", "[60,80]", ABOVE), (0, 0, 0, 300, 400, 300, 0),
    (20.0, 40.0, 60.0, 80.0),
)  # fmt: skip
SEX = Distribution("sex", "Categorical", (MISSING, INVALID, "0", "1", OTHER), (0, 0, 320, 680, 0))
OUTCOME = Distribution("predicted", "Categorical", (MISSING, INVALID, "0", "1", OTHER), (0, 0, 500, 500, 0))

CALM = {"age": (0, 0, 0, 30, 40, 30, 0), "sex": (0, 0, 32, 68, 0)}
OLDER = {"age": (0, 0, 0, 10, 30, 60, 0), "sex": (0, 0, 32, 68, 0)}
EMPTY = {"age": (0,) * 7, "sex": (0,) * 5}


def chunk(
    counts: Mapping[str, tuple[float, ...]], feedback: Mapping[tuple[str, str], float] | None = None, **more: Any
) -> Chunk:
    """A chunk with these counts of age and sex."""
    flat = [value for name in ("age", "sex") for value in counts[name]]
    predicted = {"1": float(sum(counts["age"]))}
    made: dict[str, Any] = {"predicted": predicted, "feedback": dict(feedback or {}), "seen": True, **more}
    return Chunk(np.array(flat, dtype=np.float64), **made)


def held(figure: float | None = 0.9, confusion: tuple[tuple[int, ...], ...] = ()) -> Held:
    """Of a version that tells 0 from 1."""
    return Held(figure, ("0", "1"), "1", confusion)


def evidence(*chunks: Chunk, reference: float | None = None, **more: Any) -> Evidence:
    """Of age and sex, in these chunks; ``reference`` is the held-out figure."""
    known = more.pop("held", held(reference))
    made = Reference(
        Layout.of((AGE, SEX)),
        more.pop("usual", Usual()),
        more.pop("usual_fast", Usual()),
        known,
        label_distribution(known),
    )
    return Evidence(**{"reference": made, "chunks": chunks, **more})


def monitor_json(**spec: Any) -> dict[str, Any]:
    """A monitor of 60s in 3 chunks that retrains, as the API server holds it."""
    policy = {"onInputDrift": "Retrain", "consecutive": 1, "cooldown": "1m", **spec.pop("policy", {})}
    window = {"window": {"length": "60s", "chunks": 3}, "scrapeInterval": "1s"}
    return {
        "apiVersion": API_VERSION,
        "kind": "DriftMonitor",
        "metadata": {"name": "heart", "namespace": "ward", "uid": "u-1", "generation": 1},
        "spec": {"deployment": "heart", "training": "heart", **window, **spec, "policy": policy},
    }


def monitor(status: MonitorStatus | None = None, **spec: Any) -> DriftMonitor:
    """The same, parsed, with ``status``."""
    found = DriftMonitor.parse(monitor_json(**spec))
    return found.model_copy(update={"status": status}) if status else found


def action(kind: str, version: str = "heart-v1", *, ago: float = 0.0, id_: str = "a-1") -> Action:
    """Asked ``ago`` seconds before NOW."""
    return Action(id=id_, kind=kind, version=version, since=NOW - timedelta(seconds=ago))


def baseline() -> bytes:
    """baseline.json of a version trained on AGE and SEX."""
    made = Baseline(
        rows=1000, features=(AGE, SEX), prediction=OUTCOME, predicted=OUTCOME, calibration=(), metrics={"accuracy": 0.9}
    )
    return msgspec.json.encode(made)


def training_json(*handled: str, **status: Any) -> dict[str, Any]:
    """The ModelTraining that has heard of ``handled``."""
    spec = {
        "model": "heart", "data": {"source": {"uri": "s3://d/x.csv"}, "target": {"column": "num"}},
        "features": {"numeric": ["age"]}, "candidates": [{"algorithm": "LogisticRegression"}],
    }  # fmt: skip
    return {
        "apiVersion": API_VERSION, "kind": "ModelTraining", "metadata": {"name": "heart", "namespace": "ward"},
        "spec": spec, "status": {"handledActions": list(handled), **status},
    }  # fmt: skip


def signature() -> bytes:
    """signature.json of such a version."""
    inputs = (Input("age", "Numeric"), Input("sex", "Categorical", ("0", "1")))
    return msgspec.json.encode(Signature("Classification", inputs, "num", ("0", "1")))


def version_json(name: str = "heart-v1", *, approval: str = "Approved", **more: Any) -> dict[str, Any]:
    """A ModelVersion with an accuracy of 0.9 on held-out rows."""
    file = {"sha256": DIGEST, "size": 1}
    record = {
        "model": "heart", "number": 1, "training": "heart", "run": 1, "runUid": "t-1", "trigger": {"type": "Spec"},
        "created": "2026-03-01T00:00:00Z", "algorithm": "LogisticRegression", "parameters": {}, "seed": 7,
        "score": {"metric": "roc_auc", "value": 0.95, "text": "roc_auc 0.950"}, "metrics": {"accuracy": 0.9},
        "data": {"source": "s3://d/*", "sha256": DIGEST, "rows": 1000, "testRows": 250, "columns": ["age", "sex"]},
        "split": {"test": 0.25, "seed": 7}, "result": {"uri": "s3://a/result.json", **file},
        "artifacts": {
            "model.onnx": {"uri": "s3://a/m", **file}, "baseline.json": {"uri": "s3://a/baseline.json", **file},
            "signature.json": {"uri": "s3://a/signature.json", **file},
        },
    }  # fmt: skip
    return {
        "apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": name, "namespace": "ward"},
        "spec": {"approval": approval, "record": record}, **more,
    }  # fmt: skip


def deployment_json(version: str = "heart-v1", *, since: datetime | None = None, **status: Any) -> dict[str, Any]:
    """A ModelDeployment whose ``version`` serves since an hour before NOW."""
    moment = (since or NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stable = {"version": version, "revision": "r1", "image": "serving:1", "since": moment}
    return {
        "apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": {"name": "heart", "namespace": "ward"},
        "spec": {"model": "heart"}, "status": {"stable": stable, **status},
    }  # fmt: skip
