"""A real Prometheus behind TLS and a password, and a gateway before it that wants to know the tenant."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from perennial.adapters.access import Access
from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable, QueryRejected
from perennial.domain.drift.queries import chunk_query
from tests.monitoring import servers

USER, PASSWORD = "perennial", "of-a-monitor"
HASH = "$2b$04$8pf1IUE9Vl5u/.WGRW2LcetwwCnzUdIMPO1dPrid/PwzDSwMNa1Xq"
"""bcrypt's, of the password."""
TENANT = "ward-7"
NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Guarded:
    """The gateway's address, and the folders that the chart mounts."""

    url: str
    ca: Path
    auth: Path

    @contextlib.asynccontextmanager
    async def client(self, tenant: str = TENANT) -> AsyncIterator[Prometheus]:
        headers = {"X-Scope-OrgID": tenant} if tenant else {}
        async with Prometheus(self.url, Access(ca=self.ca, auth=self.auth, headers=headers)) as client:
            yield client

    def say(self, password: str) -> None:
        """Puts ``password`` into the Secret."""
        (self.auth / "username").write_text(USER)
        (self.auth / "password").write_text(password)


def gateway(upstream: str, trust: ssl.SSLContext) -> web.Application:
    """Passes on what has the right tenant, credentials and all."""

    async def pass_on(request: web.Request) -> web.Response:
        if request.headers.get("X-Scope-OrgID") != TENANT:
            return web.Response(status=401, text="no org id")
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with (
            aiohttp.ClientSession() as session,
            session.post(upstream + request.path, data=await request.read(), headers=headers, ssl=trust) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", pass_on)
    return app


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    tls = {"cert_file": "tls.crt", "key_file": "tls.key", "min_version": "TLS12"}
    (tmp_path / "web.yml").write_text(yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": {USER: HASH}}))
    trust, own = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(trust)
    certificate.configure_cert(own)
    for name in ("ca", "auth"):
        (tmp_path / name).mkdir()
    authority.cert_pem.write_to_path(tmp_path / "ca" / "ca.crt")
    more = f"--web.config.file={tmp_path / 'web.yml'}"
    async with servers.prometheus(tmp_path, {}, more, trust=trust) as upstream:
        server = TestServer(gateway(upstream, trust), scheme="https")
        await server.start_server(ssl=own)
        try:
            made = Guarded(f"https://localhost:{server.port}", tmp_path / "ca", tmp_path / "auth")
            made.say(PASSWORD)
            yield made
        finally:
            await server.close()


async def test_a_monitors_queries_pass(guarded: Guarded) -> None:
    async with guarded.client() as client:
        assert (await client.query("vector(7)", NOW))[0].points == ((NOW, 7.0),)
        assert await client.query_range(chunk_query([("clinic/heart", "heart-v1")], 60_000), NOW - 600, NOW, 60) == []
        with pytest.raises(QueryRejected, match="parse error"):
            await client.query("sum(", NOW)


async def test_without_the_password_or_the_tenant_it_says_so_and_never_what_it_sent(guarded: Guarded) -> None:
    async with guarded.client("another") as client:
        with pytest.raises(PrometheusUnavailable, match="401: it does not take our credentials"):
            await client.query("1", NOW)
    async with guarded.client() as client:
        assert await client.query("vector(1)", NOW)
        guarded.say("wrong-word")
        with pytest.raises(PrometheusUnavailable, match="401: it does not take our credentials") as caught:
            await client.query("1", NOW)
        assert "wrong-word" not in str(caught.value)
        guarded.say(PASSWORD)
        assert await client.query("vector(1)", NOW), "it is read again"
