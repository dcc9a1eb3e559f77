"""A version's lineage as a person and a program read it, and what is noted of a decision."""

import copy
from typing import Any

import pytest

from perennial.api.version import ModelVersion
from perennial.cli.approve import decided
from perennial.cli.lineage import lineage, tree
from tests.unit.cli.support import NOW, read

Json = dict[str, Any]
DIGEST = "ab" * 32
VERSION: Json = {
    "metadata": {"name": "heart-v2", "namespace": "clinic", "annotations": {"other": "kept"}},
    "spec": {
        "approval": "Approved",
        "record": {
            "model": "heart", "number": 2, "training": "heart", "run": 5, "runUid": "u", "approval": "Automatic",
            "trigger": {"type": "Drift", "id": "act-1", "by": "DriftMonitor/heart"}, "created": "2026-11-24T10:00:00Z",
            "algorithm": "LogisticRegression", "parameters": {"C": "0.5"}, "seed": 7,
            "score": {"metric": "roc_auc", "value": 0.9, "text": "roc_auc 0.900"},
            "metrics": {"roc_auc": 0.9}, "intervals": {"roc_auc": {"low": 0.85, "high": 0.94}},
            "gates": [{"metric": "roc_auc", "limit": "at least 0.80", "passed": True, "message": "0.90 is fine"}],
            "champion": {
                "version": "heart-v1", "metrics": {"roc_auc": 0.88}, "rows": 76, "verdict": "Better", "message": "m",
                "gain": {"metric": "roc_auc", "value": 0.02, "low": 0.001, "high": 0.04, "probability": 0.98,
                         "method": "PairedBootstrap"},
            },
            "data": {"source": "s3://data/*.csv", "sha256": DIGEST, "rows": 303, "testRows": 76, "columns": ["a", "b"]},
            "split": {"test": 0.25, "seed": 7, "key": []}, "image": f"reg/perennial/components@sha256:{DIGEST}",
            "pipeline": "cd" * 32, "packages": {"numpy": "2"},
            "artifacts": {"model.onnx": {"uri": "s3://a/m", "sha256": DIGEST}},
            "result": {"uri": "s3://a/result.json", "sha256": DIGEST},
        },
    },
    "status": {"serving": [{"deployment": "heart", "role": "stable", "since": "2026-11-24T11:00:00Z"}]},
}  # fmt: skip
BEFORE = {"version": "heart-v2", "revision": "r", "image": "i", "since": "2026-11-01T00:00:00Z"}
DEPLOYMENTS: list[Json] = [
    {"metadata": {"name": "shadow"}, "status": {"history": [{**BEFORE, "until": "2026-11-02T00:00:00Z"}]}},
    {"metadata": {"name": "heart"}, "status": {"history": [BEFORE, {**BEFORE, "version": "heart-v1", "until": "x"}]}},
    {"metadata": {"name": "new"}},
]


def version(state: str = "Approved", *, annotations: dict[str, str] | None = None, **record: Any) -> Json:
    made = copy.deepcopy(VERSION)
    made["metadata"]["annotations"] = annotations or {}
    made["spec"]["approval"] = state
    made["spec"]["record"] |= record
    return made


def test_the_tree_names_everything_from_the_data_to_where_it_serves() -> None:
    ModelVersion.parse(VERSION)
    text = read(tree(lineage(VERSION, DEPLOYMENTS)))
    for part in (
        "clinic/heart-v2 roc_auc 0.900", "5 of ModelTraining heart, triggered by DriftMonitor/heart (Drift)",
        "s3://data/*.csv 303 rows, 2 columns", f"sha256 {DIGEST}", "76 rows (test 0.25, seed 7)",
        f"image reg/perennial/components@sha256:{DIGEST}", f"pipeline sha256 {'cd' * 32}",
        "LogisticRegression(C=0.5) seed 7", "roc_auc 0.9 (95 %: 0.85 to 0.94)", "1 of 1 passed",
        "heart-v1 Better", "+0.02 (95 %: +0.001 to +0.04), probability 0.98 by PairedBootstrap",
        "Approved by its gates, for approval is Automatic", "stable in heart since 2026-11-24T11:00:00Z",
        "served in shadow from 2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z",
    ):  # fmt: skip
        assert part in text, part
    assert "served in heart" not in text, "it serves there now"


@pytest.mark.parametrize(
    ("made", "by"),
    [
        (version(), "its gates, for approval is Automatic"),
        (version("Pending", approval="Manual"), "nobody yet"),
        (version("Approved", approval="Manual"), "somebody who is not noted: not by kubectl perennial"),
        (version("Rejected"), "somebody who is not noted: not by kubectl perennial"),
        (version("Rejected", gates=[{"metric": "f1", "limit": "", "passed": False}]), "its gates"),
        (version("Rejected", champion={"version": "heart-v1", "verdict": "Unproven"}), "its gates"),
        (version(annotations={"perennial.dev/approved-by": "alice"}), "alice"),
    ],
)
def test_who_decided(made: Json, by: str) -> None:
    assert lineage(made, [])["approval"]["by"] == by


def test_a_decision_notes_who_when_and_why_and_forgets_the_one_before() -> None:
    first = decided(VERSION, "Rejected", "alice", "too few women in the data", NOW)
    assert lineage(first, [])["approval"] == {
        "state": "Rejected", "by": "alice", "at": "2026-11-24T12:00:00Z", "reason": "too few women in the data",
    }  # fmt: skip
    second = decided(first, "Approved", "bob", "", NOW)
    assert second["metadata"]["annotations"] == {
        "other": "kept", "perennial.dev/approved-by": "bob", "perennial.dev/approved-at": "2026-11-24T12:00:00Z",
    }  # fmt: skip
    unknown = decided(second, "Rejected", "", "", NOW)
    assert unknown["metadata"]["annotations"] == {"other": "kept"}, "nobody stands for what somebody else decided"
    assert unknown["spec"]["record"] == VERSION["spec"]["record"]
