"""TLS and bearer tokens in pods on the node: who is let in, and a renewed token without a restart."""

import asyncio
import ssl
import time
from typing import Any

import aiohttp
import pytest
import trustme

from hack.demo.stage import run
from tests.api.process import free_port
from tests.rollouts.ward import Play, Ward

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]
KUBELET_SECONDS = 150
"""A mounted Secret follows within the kubelet's sync period."""


async def test_tls_and_tokens_decide_who_is_let_in(ward: Ward) -> None:
    authority = trustme.CA()
    await ward.apply(_certificate(authority), _tokens("first"))
    protection = {"tls": {"secret": "door"}, "bearer": {"secret": "guests"}}
    spec: dict[str, Any] = {"predictor": {"replicas": 1, "resources": {"cpu": "20m", "memory": "192Mi"}, **protection}}
    async with ward.play(spec) as play:
        await play.serving()
        (pod,) = await play.pods()
        url, context = await _way(play), ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        assert await _asked(play, url, context, "first") == 200
        assert await _asked(play, url, context, "second") == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await _asked(play, url, ssl.create_default_context(), "first")
        await ward.apply(_tokens("second"))
        deadline = time.monotonic() + KUBELET_SECONDS
        while await _asked(play, url, context, "second") != 200:
            assert time.monotonic() < deadline, "the renewed token is not taken"
            await asyncio.sleep(1)
        assert await _asked(play, url, context, "first") == 401
        assert [each["metadata"]["uid"] for each in await play.pods()] == [pod["metadata"]["uid"]]


async def _way(play: Play) -> str:
    """The Service's TLS port on this machine."""
    name, port = f"{play.ward.stage.namespace}-{play.name}-tls", free_port()
    await run("hack/cluster/forward", name, str(port), f"{play.ward.stage.namespace}/{play.name}:443")
    play.offered.append(name)
    return f"https://localhost:{port}/v2/models/{play.name}/infer"


async def _asked(play: Play, url: str, context: ssl.SSLContext, token: str) -> int:
    """The status of one request by a connection of its own."""
    content, headers = {"inputs": play.ward.everybody[0].tensors()}, {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=content, headers=headers, ssl=context) as answer,
    ):
        return answer.status


def _certificate(authority: trustme.CA) -> dict[str, Any]:
    made = authority.issue_cert("localhost")
    chain = "".join(each.bytes().decode() for each in made.cert_chain_pems)
    parts = {
        "tls.crt": chain, "tls.key": made.private_key_pem.bytes().decode(),
        "ca.crt": authority.cert_pem.bytes().decode(),
    }  # fmt: skip
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
    return {**secret, "metadata": {"name": "door"}, "stringData": parts}


def _tokens(token: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guests"}, "stringData": {"clinic": token}}
