"""What a person sees who writes a manifest that cannot be right."""

import copy
from typing import Any

import pytest

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.api.common import API_VERSION
from tests.api.apiserver import ApiServer

Json = dict[str, Any]

TRAINING: Json = {
    "apiVersion": API_VERSION,
    "kind": "ModelTraining",
    "metadata": {"name": "heart-disease"},
    "spec": {
        "model": "heart-disease",
        "data": {
            "source": {"uri": "s3://data/heart/*.csv"},
            "target": {"column": "num", "positive": {"above": 0}},
            "checks": [{"column": "age", "min": 0, "max": 120}],
        },
        "features": {"numeric": ["age", "chol"], "categorical": ["sex"]},
        "candidates": [{"algorithm": "LogisticRegression", "search": {"C": {"low": 0.01, "high": 10, "scale": "Log"}}}],
        "evaluation": {"gates": [{"metric": "roc_auc", "min": 0.8}]},
    },
}
DEPLOYMENT: Json = {
    "apiVersion": API_VERSION,
    "kind": "ModelDeployment",
    "metadata": {"name": "heart-disease"},
    "spec": {
        "model": "heart-disease",
        "rollout": {
            "steps": [{"weight": 33, "hold": "5m"}],
            "analysis": {"metrics": [{"name": "errors", "builtin": "ErrorRate", "max": 0.01}]},
        },
    },
}
MONITOR: Json = {
    "apiVersion": API_VERSION,
    "kind": "DriftMonitor",
    "metadata": {"name": "heart-disease"},
    "spec": {"deployment": "heart-disease", "training": "heart-disease", "policy": {"onInputDrift": "Retrain"}},
}
DIGEST = "0" * 64
VERSION: Json = {
    "apiVersion": API_VERSION,
    "kind": "ModelVersion",
    "metadata": {"name": "heart-disease-v1"},
    "spec": {
        "approval": "Approved",
        "record": {
            "model": "heart-disease", "number": 1, "training": "heart-disease", "run": 1, "runUid": "a",
            "trigger": {"type": "Spec"}, "created": "2026-01-01T00:00:00Z", "algorithm": "LogisticRegression",
            "parameters": {}, "seed": 7, "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"},
            "metrics": {"roc_auc": 0.9},
            "data": {"source": "s3://data", "sha256": DIGEST, "rows": 9, "testRows": 2, "columns": ["age"]},
            "split": {"test": 0.25, "seed": 7}, "artifacts": {}, "result": {"uri": "s3://r", "sha256": DIGEST},
        },
    },
}  # fmt: skip
BY_KIND = {each["kind"]: each for each in (TRAINING, DEPLOYMENT, MONITOR, VERSION)}


def changed(kind: str, path: str, value: Any) -> Json:
    """A good manifest of ``kind`` with another value at ``path`` (a.b.0.c); None removes it."""
    made = copy.deepcopy(BY_KIND[kind])
    *parents, last = path.split(".")
    node: Any = made
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return made


async def refusal(api: KubernetesApi, namespace: str, manifest: Json) -> str:
    """The API server's message, as kubectl prints it; validates fields strictly, as kubectl does."""
    made = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    with pytest.raises(ApiError) as caught:
        await api._write("create", "POST", made, made, params={"fieldValidation": "Strict"})
    assert caught.value.status in {400, 422}
    return caught.value.message


@pytest.mark.parametrize("kind", sorted(BY_KIND))
async def test_good_manifests_are_taken(api: KubernetesApi, namespace: str, kind: str) -> None:
    manifest = copy.deepcopy(BY_KIND[kind])
    manifest["metadata"]["namespace"] = namespace
    assert await api.create(manifest)


def regression(**changes: Any) -> Json:
    """A good ModelTraining of a Regression, but for ``changes`` of its spec."""
    made = copy.deepcopy(TRAINING)
    made["spec"] |= {
        "task": "Regression",
        "data": {"source": {"uri": "s3://data/diabetes/*.csv"}, "target": {"column": "progression"}},
        "candidates": [{"algorithm": "Ridge"}, {"algorithm": "HistGradientBoosting"}],
        "evaluation": {"gates": [{"metric": "mae", "max": 60}], "champion": {}},
    } | changes
    return made


async def test_a_regression_is_taken_and_the_server_adds_no_metric(api: KubernetesApi, namespace: str) -> None:
    manifest = regression()
    manifest["metadata"]["namespace"] = namespace
    assert await api.create(manifest)
    stored = await api.get(API_VERSION, "ModelTraining", namespace, manifest["metadata"]["name"])
    assert stored is not None
    spec = stored["spec"]
    assert "metric" not in spec["tuning"]
    assert "metric" not in spec["evaluation"]["champion"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tuning": {"metric": "roc_auc"}}, "tuning.metric must be one of its task"),
        ({"evaluation": {"gates": [{"metric": "accuracy", "min": 0.8}]}}, "a gate's metric must be one of its task"),
        ({"evaluation": {"champion": {"metric": "brier"}}}, "evaluation.champion.metric must be one of its task"),
        (
            {"evaluation": {"fairness": [{"metric": "selection_rate", "by": "sex", "minRatio": 0.8}]}},
            "a fairness gate's metric must be one of its task",
        ),
        (
            {"evaluation": {"fairness": [{"metric": "mae", "by": "sex", "minRatio": 0.8, "maxDifference": 1}]}},
            "give one of maxDifference and minRatio",
        ),
        ({"evaluation": {"champion": {"confidence": 1}}}, "spec.evaluation.champion.confidence"),
        ({"imbalance": "ClassWeight"}, "imbalance is for Classification"),
        (
            {
                "data": {
                    "source": {"uri": "s3://data/x.csv"},
                    "target": {"column": "y"},
                    "require": {"minRowsPerClass": 5},
                }
            },
            "data.require.minRowsPerClass is for Classification",
        ),
        (
            {"candidates": [{"algorithm": "LogisticRegression"}]},
            "LogisticRegression, SVC, GaussianNB are for Classification",
        ),
        (
            {"data": {"source": {"uri": "s3://data/x.csv"}, "target": {"column": "y", "positive": {"above": 0}}}},
            "data.target.positive is for Classification",
        ),
        ({"task": "Classification"}, "a gate's metric must be one of its task: Classification has accuracy"),
        (
            {"task": "Classification", "evaluation": {}},
            "LogisticRegression, SVC, GaussianNB are for Classification, Ridge, Lasso, ElasticNet, SVR for Regression",
        ),
    ],
)
async def test_what_belongs_to_the_other_task_is_refused(
    api: KubernetesApi, namespace: str, changes: Json, said: str
) -> None:
    assert said in await refusal(api, namespace, regression(**changes))


GATEWAY: Json = {"provider": "Gateway", "parentRef": {"name": "gate", "namespace": "edge"}, "hostnames": ["*.example"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"rollout": {"strategy": "BlueGreen", "preview": {"pause": {}}}},
        {"rollout": {"strategy": "BlueGreen"}},
        {"rollout": {"strategy": "Recreate"}},
        {
            "rollout": {
                "strategy": "Shadow", "shadow": {"share": 10, "hold": "10m"},
                "analysis": {"metrics": [{"name": "agreement", "builtin": "Agreement", "min": 0.99, "failBelow": 0.9}]},
            }
        },
        {
            "traffic": GATEWAY,
            "rollout": {
                "steps": [{"weight": 0, "pause": {}}, {"weight": 10, "hold": "5m"}],
                "match": {"headers": [{"name": "x-group", "value": "b"}]},
                "analysis": {"metrics": [{"name": "gain", "query": "profit", "min": -0.5, "max": 9, "failAbove": 9.5}]},
            },
        },
        {
            "predictor": {
                "autoscaling": {"min": 2, "max": 8, "targetCPU": 60}, "grpc": True, "tls": {"secret": "heart-tls"},
                "bearer": {"secret": "tokens"}, "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tracing": {"endpoint": "http://otel:4318"}, "tolerations": [
                    {"operator": "Exists"}, {"key": "example.com/gpu", "operator": "Exists", "value": ""},
                    {"key": "gpu", "value": "A_1.b", "effect": "NoExecute", "tolerationSeconds": 5}, {"key": "spot"},
                ],
                "topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}],
                "imagePullSecrets": ["registry", "registry.example.com"],
                "priorityClassName": "high", "podOverlay": {"configMap": "overlay"}, "requests": {"maxWaiting": 5},
            }
        },
    ],
)  # fmt: skip
async def test_every_strategy_and_field_is_taken(api: KubernetesApi, namespace: str, spec: Json) -> None:
    manifest = {**DEPLOYMENT, "metadata": {"name": "heart", "namespace": namespace}, "spec": {"model": "heart", **spec}}
    await api._write("create", "POST", manifest, manifest, params={"fieldValidation": "Strict"})


async def test_every_field_of_a_monitor_is_taken(api: KubernetesApi, namespace: str) -> None:
    spec = {
        "deployment": "heart", "training": "heart", "mode": "Observe", "scrapeInterval": "5s",
        "window": {"length": "48h", "chunks": 48, "fast": "4h", "season": "24h"},
        "baseline": {"from": "Serving", "windows": 2},
        "inputs": {"alpha": 0.02, "exclude": ["sex"], "joint": False, "features": [{"name": "age", "maxMissing": 0.1}]},
        "predictions": {"tolerance": 0.1}, "performance": {"metric": "f1", "source": "Both", "maxDrop": 0.1},
        "signals": [
            {"name": "memory", "builtin": "Memory", "max": 0.9, "action": "Rollback"},
            {"name": "queue", "query": "sum(waiting)", "min": 0, "max": 9},
        ],
        "policy": {
            "onInputDrift": "Retrain", "onPredictionDrift": "Retrain", "onPerformanceLoss": "Auto", "fresh": "96h",
            "consecutive": 3, "cooldown": "0s", "retrainBudget": {"max": 0, "days": 1},
            "maintenance": [{"days": ["Sat"], "start": "22:00", "length": "4h", "timeZone": "Europe/Zurich"}],
        },
    }  # fmt: skip
    manifest = {**MONITOR, "metadata": {"name": "heart", "namespace": namespace}, "spec": spec}
    await api._write("create", "POST", manifest, manifest, params={"fieldValidation": "Strict"})


CASES: list[tuple[str, str, Any, str]] = [
    ("ModelTraining", "spec.candidates.0.algorithm", "DeepForest",
     ('spec.candidates[0].algorithm: Unsupported value: "DeepForest": '
     'supported values: "LogisticRegression", "Ridge"')),
    ("ModelTraining", "spec.evaluation.gates.0.metric", "aucroc",
     'spec.evaluation.gates[0].metric: Unsupported value: "aucroc": supported values: "accuracy", "balanced_accuracy"'),
    ("ModelTraining", "spec.evaluation.gates.0.min", None, "give min or max"),
    ("ModelTraining", "spec.data.target.positive", {"above": 0, "equals": "1"}, "give one of above and equals"),
    ("ModelTraining", "spec.data.target.column", "age", "the target column must not be a feature"),
    ("ModelTraining", "spec.data.source.uri", "/home/me/data.csv", "spec.data.source.uri in body should match"),
    ("ModelTraining", "spec.data.checks.0.max", -1, "min must not be above max"),
    ("ModelTraining", "spec.data.time", "age", "data.time must be neither a feature nor the target"),
    ("ModelTraining", "spec.data.time", "num", "data.time must be neither a feature nor the target"),
    ("ModelTraining", "spec.data.split.test", 1, "spec.data.split.test in body should be less than 1"),
    ("ModelTraining", "spec.features", {"numeric": [], "categorical": []},
     "name at least one feature in numeric, categorical, datetime or text"),
    ("ModelTraining", "spec.features.categorical", ["age"], "a feature is numeric or categorical, not both"),
    ("ModelTraining", "spec.features.datetime", [{"column": "age"}],
     "a feature of datetime is neither numeric nor categorical"),
    ("ModelTraining", "spec.features.text", [{"column": "age"}],
     "a feature of text is neither numeric, categorical nor datetime"),
    ("ModelTraining", "spec.features.datetime", [{"column": "num"}], "the target column must not be a feature"),
    ("ModelTraining", "spec.features.datetime", [{"column": "seen", "parts": []}], "should have at least 1 items"),
    ("ModelTraining", "spec.features.numeric", ["age", "age"], 'Duplicate value: "age"'),
    ("ModelTraining", "spec.candidates.0.search.C", {"low": 1}, "give low and high, or choices"),
    ("ModelTraining", "spec.candidates.0.search.C.low", 0, "a Log scale needs low above 0"),
    ("ModelTraining", "spec.candidates.0.search.C.low", 20, "low must be under high"),
    ("ModelTraining", "spec.candidates.0.parameters", {"C": {"a": 1}},
     "spec.candidates[0].parameters.C: Too many: 1: must have at most 0 items"),
    ("ModelTraining", "spec.engine.deadline", "1 day", "spec.engine.deadline in body should match"),
    ("ModelTraining", "spec.engine.deadline", "0s", "must be longer than 0s"),
    ("ModelTraining", "spec.model", "Heart Disease", "spec.model in body should match"),
    ("ModelTraining", "spec.tunning", {}, 'unknown field "spec.tunning"'),
    ("ModelTraining", "spec.data.source", None, "spec.data.source: Required value"),
    ("ModelTraining", "metadata.name", "heart.disease", "metadata.name must have at most 63 characters"),
    ("ModelDeployment", "spec.rollout.steps.0.weight", 100,
     "spec.rollout.steps[0].weight in body should be less than or equal to 99"),
    ("ModelDeployment", "spec.rollout.steps", [{"weight": 50, "hold": "1m"}, {"weight": 10, "hold": "1m"}],
     "weights must not fall from step to step"),
    ("ModelDeployment", "spec.rollout.steps.0.hold", "five minutes", "spec.rollout.steps[0].hold in body should match"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.max", None,
     "spec.rollout.analysis.metrics[0].max: Required value"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.max", "fast",
     "spec.rollout.analysis.metrics[0].max in body should match"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.failBelow", 0.5,
     "spec.rollout.analysis.metrics[0].min: Required value"),
    ("ModelDeployment", "spec.rollout.analysis.metrics",
     [{"name": "errors", "builtin": "ErrorRate", "min": 0, "failAbove": 0.5}],
     "spec.rollout.analysis.metrics[0].max: Required value"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.query", "up", "give one of builtin and query"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.builtin", None, "give one of builtin and query"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.metric", "mae", "metric goes with builtin Performance"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.maxDrop", 0.1, "maxDrop goes with builtin Performance"),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.builtin", "Latency",
     'supported values: "ErrorRate", "LatencyP50", "LatencyP99", "Throughput", "PredictionShift", "Agreement"'),
    ("ModelDeployment", "spec.rollout.analysis.metrics.0.builtin", "Agreement",
     "Agreement is measured by strategy Shadow only"),
    ("ModelDeployment", "spec.rollout.steps", None, "metrics are measured in steps, a preview or a shadow"),
    ("ModelDeployment", "spec.rollout.steps", [], "add the strategy's, or leave the metrics out"),
    ("ModelDeployment", "spec.rollout",
     {"strategy": "BlueGreen", "analysis": {"metrics": [{"name": "errors", "builtin": "ErrorRate", "max": 0.01}]}},
     "add the strategy's, or leave the metrics out"),
    ("ModelDeployment", "spec.rollout",
     {"strategy": "Recreate", "analysis": {"metrics": [{"name": "errors", "builtin": "ErrorRate", "max": 0.01}]}},
     "add the strategy's, or leave the metrics out"),
    ("ModelDeployment", "spec.rollout.strategy", "BlueGreen", "steps are a Canary's"),
    ("ModelDeployment", "spec.rollout.strategy", "Shadow", "strategy Shadow needs shadow, such as {hold: 10m}"),
    ("ModelDeployment", "spec.rollout.preview", {"hold": "5m"}, "preview is a BlueGreen's"),
    ("ModelDeployment", "spec.rollout.shadow", {"hold": "5m"}, "shadow is a Shadow's"),
    ("ModelDeployment", "spec.rollout", {"strategy": "BlueGreen", "match": {"headers": [{"name": "a", "value": "b"}]}},
     "match is a Canary's"),
    ("ModelDeployment", "spec.rollout", {"strategy": "BlueGreen", "preview": {}}, "give one of hold and pause"),
    ("ModelDeployment", "spec.rollout", {"strategy": "Shadow", "shadow": {"share": 10}}, "give one of hold and pause"),
    ("ModelDeployment", "spec.rollout.match", {"headers": [{"name": "a", "value": "b"}]},
     "rollout.match needs traffic.provider Gateway"),
    ("ModelDeployment", "spec.rollout.steps.0.pause", {}, "give one of hold and pause"),
    ("ModelDeployment", "spec.rollout.steps.0.hold", None, "give one of hold and pause"),
    ("ModelDeployment", "spec.rollout.steps.0.weight", 0, "a step with weight 0 needs traffic.provider Gateway"),
    ("ModelDeployment", "spec.traffic.provider", "Gateway", "parentRef goes with provider Gateway"),
    ("ModelDeployment", "spec.traffic.parentRef", {"name": "gate"}, "parentRef goes with provider Gateway"),
    ("ModelDeployment", "spec.traffic.hostnames", ["heart.example"], "hostnames go with provider Gateway"),
    ("ModelDeployment", "spec.traffic",
     {"provider": "Gateway", "parentRef": {"name": "gate"}, "hostnames": ["Heart.example"]},
     "spec.traffic.hostnames[0] in body should match"),
    ("ModelDeployment", "spec.predictor.autoscaling", {"min": 3, "max": 2}, "min must not be above max"),
    ("ModelDeployment", "spec.predictor.requests.deadline", "0s", "must be longer than 0s"),
    ("ModelDeployment", "spec.predictor.tls", {"secret": "s", "clientAuth": "Optional"},
     'supported values: "None", "Required"'),
    ("ModelDeployment", "spec.predictor.tracing.endpoint", "otel:4318",
     "spec.predictor.tracing.endpoint in body should match"),
    ("ModelDeployment", "spec.predictor.disruptionBudget.maxUnavailable", 0,
     "spec.predictor.disruptionBudget.maxUnavailable in body should be greater than or equal to 1"),
    ("ModelDeployment", "spec.predictor.tolerations", [{"key": "gpu", "operator": "Exists", "value": "a"}],
     "operator Exists goes without a value"),
    ("ModelDeployment", "spec.predictor.tolerations", [{"operator": "Equal", "value": "a"}],
     "without key, operator is Exists"),
    ("ModelDeployment", "spec.predictor.tolerations", [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
     "tolerationSeconds goes with effect NoExecute"),
    ("ModelDeployment", "spec.predictor.tolerations", [{"key": "g p u", "operator": "Exists"}],
     "spec.predictor.tolerations[0].key in body should match"),
    ("ModelDeployment", "spec.predictor.tolerations", [{"key": "gpu", "value": "-a"}],
     "spec.predictor.tolerations[0].value in body should match"),
    ("ModelDeployment", "spec.predictor.nodeSelector", {"a/b/c": "x"}, "a key is no label's"),
    ("ModelDeployment", "spec.predictor.nodeSelector", {"Zone.A/": "x"}, "a key is no label's"),
    ("ModelDeployment", "spec.predictor.nodeSelector", {"zone": "a b"},
     "spec.predictor.nodeSelector.zone in body should match"),
    ("ModelDeployment", "spec.predictor.topologySpread", [{"topologyKey": "the zone"}],
     "spec.predictor.topologySpread[0].topologyKey in body should match"),
    ("ModelDeployment", "spec.predictor.priorityClassName", "High", "spec.predictor.priorityClassName in body should"),
    ("ModelDeployment", "spec.predictor.imagePullSecrets", ["my_registry"],
     "spec.predictor.imagePullSecrets[0] in body should match"),
    ("ModelDeployment", "spec.version", {"latest": "Approved", "name": "heart-disease-v1"},
     "give one of latest and name"),
    ("ModelDeployment", "spec.predictor.replicas", 0,
     "spec.predictor.replicas in body should be greater than or equal to 1"),
    ("ModelDeployment", "spec.predictor.resources.memory", "lots",
     "spec.predictor.resources.memory in body should match"),
    ("ModelDeployment", "metadata.name", "9-lives", "metadata.name must have at most 52 characters and match ^[a-z]"),
    ("DriftMonitor", "spec.window", {"length": "60s", "chunks": 12},
     "window too short: each chunk (window.length / window.chunks) needs 20 scrapes (scrapeInterval)"),
    ("DriftMonitor", "spec.window.length", "0s", "must be longer than 0s"),
    ("DriftMonitor", "spec.training", None, "name the training that a Retrain policy retrains"),
    ("DriftMonitor", "spec.policy.onInputDrift", "Rollback", 'supported values: "Retrain", "Alert"'),
    ("DriftMonitor", "spec.inputs.alpha", 0, "spec.inputs.alpha in body should be greater than 0"),
    ("DriftMonitor", "spec.window", {"length": "24h", "chunks": 24, "fast": "24h"}, "fast must be shorter than length"),
    ("DriftMonitor", "spec.window", {"length": "24h", "chunks": 24, "fast": "90m"}, "and whole chunks"),
    ("DriftMonitor", "spec.window", {"length": "36h", "chunks": 36, "season": "24h"}, "length must be whole seasons"),
    ("DriftMonitor", "spec.window", {"length": "24h", "chunks": 24, "season": "90m"}, "and season whole chunks"),
    ("DriftMonitor", "spec.window.chunks", 1, "spec.window.chunks in body should be greater than or equal to 2"),
    ("DriftMonitor", "spec.baseline", {"from": "Version"}, "version goes with from: Version"),
    ("DriftMonitor", "spec.baseline", {"version": "heart-disease-v1"}, "version goes with from: Version"),
    ("DriftMonitor", "spec.baseline", {"windows": 3}, "windows goes with from: Serving"),
    ("DriftMonitor", "spec.performance", {"metric": "log_loss", "source": "Estimated"},
     "log_loss is known from labels only"),
    ("DriftMonitor", "spec.performance", {"metric": "log_loss", "source": "Both"},
     "log_loss is known from labels only"),
    ("DriftMonitor", "spec.signals", [{"name": "errors", "max": 1}], "give one of builtin and query"),
    ("DriftMonitor", "spec.signals", [{"name": "errors", "builtin": "ErrorRate", "query": "up", "max": 1}],
     "give one of builtin and query"),
    ("DriftMonitor", "spec.signals", [{"name": "errors", "builtin": "ErrorRate"}], "give max or min"),
    ("DriftMonitor", "spec.signals", [{"name": "up", "query": "up", "min": 1}] * 2, "Duplicate value"),
    ("DriftMonitor", "spec.inputs.features", [{"name": "age", "alpha": 0.1}, {"name": "age"}], "Duplicate value"),
    ("DriftMonitor", "spec",
     {"deployment": "heart-disease", "signals": [{"name": "up", "query": "up", "min": 1, "action": "Retrain"}]},
     "name the training that a Retrain policy retrains"),
    ("DriftMonitor", "spec", {"deployment": "heart-disease", "policy": {"onPredictionDrift": "Retrain"}},
     "name the training that a Retrain policy retrains"),
    ("DriftMonitor", "spec", {"deployment": "heart-disease", "policy": {"onPerformanceLoss": "Auto"}},
     "name the training that a Retrain policy retrains"),
    ("DriftMonitor", "spec.policy.maintenance", [{"days": ["Sat"], "start": "25:00", "length": "4h"}],
     "spec.policy.maintenance[0].start in body should match"),
    ("DriftMonitor", "spec.policy.maintenance", [{"days": [], "start": "22:00", "length": "4h"}],
     "spec.policy.maintenance[0].days in body should have at least 1 items"),
    ("DriftMonitor", "spec.policy.fresh", "24h", "policy.fresh must be longer than window.length"),
    ("DriftMonitor", "spec.mode", "Watch", 'supported values: "Act", "Observe"'),
    ("ModelVersion", "spec.approval", "Yes", 'supported values: "Pending", "Approved", "Rejected"'),
    ("ModelVersion", "spec.record.data.sha256", "abc", "spec.record.data.sha256 in body should match"),
    ("ModelVersion", "spec.record", None, "spec.record: Required value"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "message"), CASES, ids=[f"{c[0]}-{c[1]}-{c[2]}"[:70] for c in CASES])
async def test_a_mistake_is_refused_with_its_reason(
    api: KubernetesApi, namespace: str, kind: str, path: str, value: Any, message: str
) -> None:
    assert message in await refusal(api, namespace, changed(kind, path, value))


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("ModelVersion", "spec.record.metrics.roc_auc", 0.99, "a version's record cannot be changed"),
        ("ModelVersion", "spec.record.gitRevision", "abc", "a version's record cannot be changed"),
        ("ModelTraining", "spec.model", "other", "model cannot be changed: make another ModelTraining"),
        ("ModelDeployment", "spec.model", "other", "model cannot be changed: make another ModelDeployment"),
        ("DriftMonitor", "spec.deployment", "other", "deployment cannot be changed: make another DriftMonitor"),
    ],
)
async def test_what_may_never_change_does_not(
    api: KubernetesApi, namespace: str, kind: str, path: str, value: Any, message: str
) -> None:
    manifest = changed(kind, "metadata.namespace", namespace)
    assert await api.create(manifest)
    current = await api.get(API_VERSION, kind, namespace, manifest["metadata"]["name"])
    assert current is not None
    with pytest.raises(ApiError, match=message):
        await api.replace({**current, "spec": changed(kind, path, value)["spec"]})


async def test_the_approval_of_a_version_may_change(api: KubernetesApi, namespace: str) -> None:
    assert await api.create(changed("ModelVersion", "metadata.namespace", namespace))
    current = await api.get(API_VERSION, "ModelVersion", namespace, "heart-disease-v1")
    assert current is not None
    changed_by_a_person = await api.replace({**current, "spec": {**current["spec"], "approval": "Rejected"}})
    assert changed_by_a_person["spec"]["approval"] == "Rejected"


async def test_an_old_status_does_not_stop_a_person_from_changing_the_spec(api: KubernetesApi, namespace: str) -> None:
    assert await api.create(changed("ModelTraining", "metadata.namespace", namespace))
    current = await api.get(API_VERSION, "ModelTraining", namespace, "heart-disease")
    assert current is not None
    current = await api.put_status(current, {"runs": [{"number": 1}]})
    after = await api.replace({**current, "spec": {**current["spec"], "approval": "Manual"}})
    assert after["spec"]["approval"] == "Manual"


def test_kubectl_knows_the_short_names_and_explains(server: ApiServer) -> None:
    explained = " ".join(server.kubectl("explain", "md.spec.rollout.analysis").stdout.split())
    assert "How a new version is judged while it takes traffic. No data never counts as good." in explained
    for short in ("mt", "mv", "md", "dm"):
        assert server.kubectl("get", short).returncode == 0
