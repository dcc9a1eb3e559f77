"""A real load tool on a deployment whose pods are restarted one after another: no request may be lost."""

import asyncio
import json
import re
from typing import Any

import pytest

from hack.demo.stage import run
from tests.rollouts.ward import Play, Ward

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
SECONDS = 60
CONNECTIONS = 8
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("requests %%d\\nfailed %%d\\np99 %%d us\\n",
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(99)))
end
"""
Json = dict[str, Any]


@pytest.mark.parametrize("how", ["rollout restart", "pods deleted one by one"])
async def test_a_rolling_restart_loses_no_request(ward: Ward, how: str, record_property: Any) -> None:
    spec = {"predictor": {"replicas": 2, "resources": {"cpu": "50m", "memory": "192Mi"}}}
    async with ward.play(spec) as play:
        await play.serving()
        before = {each["metadata"]["name"] for each in await play.pods()}
        load = asyncio.create_task(wrk(play))
        await (rollout_restart(play) if how == "rollout restart" else delete_one_by_one(play, before))
        assert not load.done(), "the load ended before the restart did"
        after = {each["metadata"]["name"] for each in await play.pods() if "deletionTimestamp" not in each["metadata"]}
        assert not before & after
        found = await load
    record_property(f"requests/s by wrk over {CONNECTIONS} kept connections, {how}", found["requests"] / SECONDS)
    record_property(f"of them failed, {how}", found["failed"])
    assert found["requests"] > 1000
    assert found["failed"] == 0


async def wrk(play: Play) -> dict[str, int]:
    """SECONDS of load as fast as it is answered: requests, and those that failed in any way."""
    client = await play.client()
    patient = next(each for each in play.ward.everybody if each.hospital == "cleveland")
    script = play.ward.folder / f"{play.name}.lua"
    script.write_text(SCRIPT % json.dumps({"inputs": patient.tensors()}))
    said = await run(
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "15s", "-s", str(script),
        f"{client.url}/v2/models/{play.name}/infer",
    )  # fmt: skip
    return {word: int(number) for word, number in re.findall(r"^(\w+) (\d+)", said, re.MULTILINE)}


async def rollout_restart(play: Play) -> None:
    """``kubectl rollout restart`` of the stable Deployment."""
    namespace, (name,) = play.ward.stage.namespace, await deployments(play)
    await run("kubectl", "-n", namespace, "rollout", "restart", f"deployment/{name}")
    await run("kubectl", "-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout", "90s")


async def delete_one_by_one(play: Play, pods: set[str]) -> None:
    """Deletes each pod once all the others are ready."""
    namespace, (name,) = play.ward.stage.namespace, await deployments(play)
    for pod in sorted(pods):
        await run("kubectl", "-n", namespace, "delete", "pod", pod)
        await run("kubectl", "-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout", "90s")


async def deployments(play: Play) -> list[str]:
    """The Deployments of the model."""
    selector = f"perennial.dev/deployment={play.name}"
    found = await play.ward.stage.api.list("apps/v1", "Deployment", play.ward.stage.namespace, labels=selector)
    return [each["metadata"]["name"] for each in found]
