"""The Gateway API's HTTPRoute on the test's API server, and a Gateway that answers as the test says."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.api.apiserver import ApiServer
from tests.api.world import Nature, World

ROUTE = ("HTTPRoute", "heart", "gateway.networking.k8s.io/v1")
CRD = "httproutes.gateway.networking.k8s.io"

Json = dict[str, Any]


def definition() -> Json:
    """The project's own definition of HTTPRoute, as ``hack/cluster/build`` has got it."""
    documents = yaml.safe_load_all(Path(os.environ["GATEWAY_API_DEFINITIONS"]).read_text())
    return next(each for each in documents if each and each["metadata"]["name"] == CRD)


@contextlib.contextmanager
def installed(server: ApiServer) -> Iterator[None]:
    """HTTPRoute is there, and gone again at the end."""
    server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(definition()))
    deadline = time.monotonic() + 30
    while server.kubectl("get", "--raw", f"/apis/{ROUTE[2]}/httproutes", check=False).returncode:
        assert time.monotonic() < deadline, "the API server does not take up the definition"
    shutil.rmtree(server.cache, ignore_errors=True)  # kubectl remembers for hours which kinds there were
    yield
    server.kubectl("delete", "crd", CRD, "--timeout=30s")


def gateway(accepted: str = "True", reason: str = "Accepted", message: str = "") -> Nature:
    """Answers each generation of the route."""

    async def act(world: World) -> None:
        route = await world.get(*ROUTE) if await world.user.serves(ROUTE[2], ROUTE[0], world.namespace) else None
        if route is None:
            return
        generation = route["metadata"]["generation"]
        moment = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        common = {"observedGeneration": generation, "lastTransitionTime": moment}
        conditions = [
            {"type": "Accepted", "status": accepted, "reason": reason, "message": message, **common},
            {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": "", **common},
        ]
        parent = {
            "parentRef": route["spec"]["parentRefs"][0], "controllerName": "test/gateway", "conditions": conditions,
        }  # fmt: skip
        if (route.get("status") or {}).get("parents") != [parent]:
            await world.user.put_status(route, {"parents": [parent]})

    return act
