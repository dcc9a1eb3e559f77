"""The commands of the runbooks, typed as they stand there."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.contracts.names import quarantine_annotation
from tests.api.apiserver import ROOT, ApiServer
from tests.api.test_admission import DEPLOYMENT, MONITOR, VERSION

Json = dict[str, Any]
RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
SINCE = "2026-01-01T00:00:00Z"
CONDITION = {"type": "Ready", "status": "True", "reason": "Judged", "message": "m", "lastTransitionTime": SINCE}
FIGURE = {"metric": "accuracy", "reference": 0.85, "value": 0.8}
STATUS: Json = {
    "verdict": "Drifting", "cause": "InputDrift", "worst": "age", "observations": 4321, "conditions": [CONDITION],
    "features": [{"feature": "age", "psi": 0.3, "threshold": 0.02, "pValue": 0.0, "drifting": True}],
    "performance": FIGURE, "estimated": {**FIGURE, "source": "Estimated"},
    "signals": [{"name": "errors", "value": 0.2, "max": 0.1, "breached": True, "consecutive": 1}],
    "actions": [{"id": "a", "kind": "Retrain", "version": "heart-disease-v1", "since": SINCE, "reason": "drift"}],
}  # fmt: skip
HELD = {"version": "heart-disease-v2", "reason": "rolled back", "since": SINCE}
READS = re.compile(r"^kubectl .*\b(get|events)\b")
"""What the API server alone can answer: it has no pods, and a plugin's commands have tests of their own."""
ABSENT = ("httproute",)
TOLD = re.compile(r"jsonpath='(.*)'")


def commands(runbook: Path) -> list[str]:
    block = runbook.read_text().split("```")[1]
    return [line for line in block.splitlines() if READS.match(line) and not any(each in line for each in ABSENT)]


@pytest.fixture(scope="module")
def typed(server: ApiServer) -> dict[str, str]:
    """The environment of a shell that has the alert's labels, and the objects that they name."""
    namespace = f"runbooks-{os.getpid()}"
    server.create_namespace(namespace)
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "perennial.dev-operator"}}
    held = {"conditions": [CONDITION], "held": HELD}
    for manifest, status in ((MONITOR, STATUS), (DEPLOYMENT, held), (VERSION, None), (lease, None)):
        server.kubectl("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(manifest))
        if manifest is VERSION:
            mark = f"{quarantine_annotation('heart-disease')}={json.dumps(HELD)}"
            server.kubectl("annotate", "mv", "heart-disease-v1", mark, "-n", namespace)
        if status:
            about = (manifest["kind"], manifest["metadata"]["name"], "-n", namespace, "--subresource=status")
            server.kubectl("patch", *about, "--type=merge", "-p", json.dumps({"status": status}))
    return {
        **os.environ, "KUBECONFIG": str(server.kubeconfig), "NS": namespace, "MONITOR": "heart-disease",
        "MODEL": "heart-disease", "VERSION": "heart-disease-v1", "OPERATOR_NS": namespace,
        "PATH": f"{server.binaries}:{os.environ['PATH']}",
    }  # fmt: skip


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_what_a_runbook_says_can_be_typed(runbook: Path, typed: dict[str, str]) -> None:
    for command in commands(runbook):
        answer = subprocess.run(["bash", "-c", command], env=typed, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, (command, answer.stderr)
        assert "error" not in answer.stderr.lower(), (command, answer.stderr)
        if TOLD.search(command):
            assert answer.stdout.strip(), command
            assert "map[" not in answer.stdout, (command, answer.stdout)
