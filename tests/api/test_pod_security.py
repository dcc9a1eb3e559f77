"""Our rules for pod overlays against the API server's own: the two must never differ about a pod."""

from typing import Any

import pytest

from perennial.adapters.kubernetes import ApiError, KubernetesApi
from perennial.render.overlay import merge, parse
from perennial.render.security import standard
from tests.api.apiserver import ApiServer
from tests.unit.render.support import a_template
from tests.unit.render.test_security import ALLOWED, PREDICTOR, REFUSED

OURS_ALONE = ("automountServiceAccountToken", "serviceAccountToken", "podCertificate")
"""What the Standard lets pass."""


@pytest.fixture
def restricted(server: ApiServer, namespace: str) -> str:
    """A namespace that takes restricted pods alone."""
    server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


async def violated(api: KubernetesApi, namespace: str, template: dict[str, Any]) -> bool | None:
    """Whether the API server finds a pod insecure; None for one that is no valid pod either way."""
    metadata = {**(template.get("metadata") or {}), "name": "probe", "namespace": namespace}
    try:
        await api.try_create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    except ApiError as error:
        return None if error.status == 422 else "violates PodSecurity" in error.message
    return False


async def test_what_our_rules_say_of_a_pod_the_api_server_says_too(api: KubernetesApi, restricted: str) -> None:
    template = a_template(PREDICTOR)
    insecure = []
    for patch in (*ALLOWED, *(patch for patch, _ in REFUSED)):
        merged = merge(template, parse(patch))
        if not merged.get("spec", {}).get("containers"):
            continue
        ours = [each for each in standard(merged) if not any(word in each for word in OURS_ALONE)]
        theirs = await violated(api, restricted, merged)
        assert theirs is None or bool(ours) == theirs, (patch, ours)
        insecure += [patch] if theirs else []
    assert len(insecure) > 20
