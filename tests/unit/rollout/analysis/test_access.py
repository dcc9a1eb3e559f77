"""A Prometheus behind TLS and credentials, by a real server with certificates; Secrets that are rotated."""

import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from perennial.adapters.access import Access
from perennial.adapters.prometheus import Prometheus, PrometheusUnavailable
from perennial.settings import Settings

ANSWER = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}})
TOKEN, OTHER = "first-token", "second-token"


@dataclass
class Guarded:
    """Answers https with the certificate of ``authority``, and only those who say ``wanted``."""

    authority: trustme.CA
    port: int = 0
    wanted: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if any(request.headers.get(name) != value for name, value in self.wanted.items()):
            return web.Response(status=401, text=f"no: {request.headers.get('Authorization')}")
        return web.Response(text=ANSWER)

    async def start(self, *, clients: bool = False) -> TestServer:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("localhost").configure_cert(context)
        if clients:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app.router.add_post("/api/v1/query", self.answer)
        server = TestServer(app, scheme="https", port=self.port or None)
        await server.start_server(ssl=context)
        self.port = server.port or 0
        return server


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def guarded(authority: trustme.CA) -> AsyncIterator[Guarded]:
    guarded = Guarded(authority)
    server = await guarded.start()
    yield guarded
    await server.close()


def folder(root: Path, **files: str) -> Path:
    """A Secret's volume: its files under other names than their keys."""
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        part = root / f".{name}"
        part.write_text(text)
        part.rename(root / name.replace("_", "."))
    return root


def ca(root: Path, authority: trustme.CA) -> Path:
    return folder(root, ca_crt=authority.cert_pem.bytes().decode())


async def test_a_private_authority_is_trusted_and_no_other(
    guarded: Guarded, authority: trustme.CA, tmp_path: Path
) -> None:
    async with Prometheus(guarded.url, Access(ca=ca(tmp_path / "ca", authority))) as prometheus:
        assert (await prometheus.query("x", 0))[0].points == ((1.0, 1.0),)
    async with Prometheus(guarded.url) as prometheus:
        with pytest.raises(PrometheusUnavailable, match="certificate verify failed"):
            await prometheus.query("x", 0)
    assert guarded.asked == 1


async def test_an_authority_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    guarded = Guarded(new)
    server = await guarded.start()
    try:
        async with Prometheus(guarded.url, Access(ca=ca(tmp_path / "ca", old))) as prometheus:
            with pytest.raises(PrometheusUnavailable):
                await prometheus.query("x", 0)
            ca(tmp_path / "ca", new)
            assert await prometheus.query("x", 0)
    finally:
        await server.close()


async def test_a_client_certificate_is_shown(authority: trustme.CA, tmp_path: Path) -> None:
    guarded = Guarded(authority)
    server = await guarded.start(clients=True)
    trusted = ca(tmp_path / "ca", authority)
    try:
        async with Prometheus(guarded.url, Access(ca=trusted)) as prometheus:
            with pytest.raises(PrometheusUnavailable):
                await prometheus.query("x", 0)
        mine = authority.issue_cert("operator")
        auth = folder(
            tmp_path / "auth", tls_crt=mine.cert_chain_pems[0].bytes().decode(),
            tls_key=mine.private_key_pem.bytes().decode(),
        )  # fmt: skip
        async with Prometheus(guarded.url, Access(ca=trusted, auth=auth)) as prometheus:
            assert await prometheus.query("x", 0)
    finally:
        await server.close()


async def test_a_token_is_sent_and_rotated_and_never_said(
    guarded: Guarded, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    access = Access(ca=ca(tmp_path / "ca", authority), auth=folder(tmp_path / "auth", token=TOKEN + "\n"))
    guarded.wanted = {"Authorization": f"Bearer {TOKEN}"}
    async with Prometheus(guarded.url, access) as prometheus:
        assert await prometheus.query("x", 0)
        guarded.wanted = {"Authorization": f"Bearer {OTHER}"}
        with pytest.raises(PrometheusUnavailable, match="answered 401: it does not take our credentials") as caught:
            await prometheus.query("x", 0)
        folder(tmp_path / "auth", token=OTHER)
        assert await prometheus.query("x", 0)
    assert TOKEN not in str(caught.value) + caplog.text
    assert TOKEN not in repr(access)


async def test_a_password_and_a_tenant(guarded: Guarded, authority: trustme.CA, tmp_path: Path) -> None:
    auth = folder(tmp_path / "auth", username="operator", password="pässword:")
    access = Access(ca=ca(tmp_path / "ca", authority), auth=auth, headers={"X-Scope-OrgID": "ward"})
    said = base64.b64encode("operator:pässword:".encode()).decode()
    guarded.wanted = {"Authorization": f"Basic {said}", "X-Scope-OrgID": "ward"}
    async with Prometheus(guarded.url, access) as prometheus:
        assert await prometheus.query("x", 0)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"username": "operator"}, "one of username and password without the other"),
        ({"token": "two\nlines"}, "is no token: not one line"),
        ({}, "neither token, nor username and password, nor tls.crt"),
        ({"tls_crt": "no certificate", "tls_key": "secret-key"}, "tls.crt and tls.key cannot be used"),
        ({"token": TOKEN, "tls_crt": "no certificate"}, "tls.crt and tls.key cannot be used"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_an_outage_that_names_it(
    files: dict[str, str], words: str, tmp_path: Path
) -> None:
    auth = folder(tmp_path / "auth", **files)
    async with Prometheus("https://localhost:9", Access(auth=auth)) as prometheus:
        with pytest.raises(PrometheusUnavailable, match=words) as caught:
            await prometheus.query("x", 0)
    assert str(auth) in str(caught.value)
    assert not [text for text in files.values() if text in str(caught.value)]


async def test_a_missing_authority_is_an_outage_that_names_it(tmp_path: Path) -> None:
    async with Prometheus("https://localhost:9", Access(ca=tmp_path)) as prometheus:
        with pytest.raises(PrometheusUnavailable, match=r"ca\.crt cannot be used: FileNotFoundError"):
            await prometheus.query("x", 0)


async def test_credentials_follow_no_redirect(tmp_path: Path) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPTemporaryRedirect("/stolen") if request.path != "/stolen" else web.HTTPOk()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    async with TestServer(app) as server:
        access = Access(auth=folder(tmp_path / "auth", token=TOKEN))
        async with Prometheus(str(server.make_url("")), access) as prometheus:
            with pytest.raises(PrometheusUnavailable, match="answered 307"):
                await prometheus.query("x", 0)
    assert seen == ["/api/v1/query"]


def test_the_settings_name_the_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMPONENTS_IMAGE", "SERVING_IMAGE", "PROMETHEUS_URL", "LEASE_NAMESPACE"):
        monkeypatch.setenv(f"PERENNIAL_{name}", "x")
    assert Settings.from_environment().prometheus_access == Access()
    monkeypatch.setenv("PERENNIAL_PROMETHEUS_CA", "/ca")
    monkeypatch.setenv("PERENNIAL_PROMETHEUS_AUTH", "/auth")
    monkeypatch.setenv("PERENNIAL_PROMETHEUS_HEADERS", '{"X-Scope-OrgID":"ward"}')
    found = Settings.from_environment().prometheus_access
    assert found == Access(Path("/ca"), Path("/auth"), {"X-Scope-OrgID": "ward"})
