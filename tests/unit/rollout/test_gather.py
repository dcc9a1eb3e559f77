"""What is read of the cluster for a decision."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.contracts.names import LABEL_REVISION
from perennial.reconcile.deployment import DeploymentController
from tests.unit.rollout.world import BEGINNING


class Api:
    """Lists nothing but ``pods``."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = list(pods)

    async def list(self, _: str, kind: str, *__: Any, **___: Any) -> list[dict[str, Any]]:
        return self.pods if kind == "Pod" else []


def pod(phase: str) -> dict[str, Any]:
    evicted = {"name": "predictor", "ready": False, "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    return {
        "metadata": {"name": "heart-1", "labels": {LABEL_REVISION: "abc"}},
        "status": {"phase": phase, "containerStatuses": [evicted]},
    }


@pytest.mark.parametrize(("phase", "counts"), [("Running", True), ("Pending", True), ("Failed", False),
                                               ("Succeeded", False)])  # fmt: skip
def test_a_pod_that_was_evicted_is_no_pod(phase: str, counts: bool) -> None:
    """It stays in the API when its Deployment goes to 0: Recreate waited for its end for ever."""
    context: Any = SimpleNamespace(
        api=Api(pod(phase)), prometheus=None, settings=SimpleNamespace(serving_image="serving:1")
    )
    raw = {
        "metadata": {"name": "heart", "namespace": "clinic", "uid": "u", "generation": 1}, "spec": {"model": "heart"},
    }  # fmt: skip
    snapshot = asyncio.run(DeploymentController().gather(context, raw, BEGINNING))
    assert [each.revision for each in snapshot.pods] == (["abc"] if counts else [])
