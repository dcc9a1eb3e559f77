"""TLS on the serving port: what is refused, and renewal while it serves."""

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trustme

from tests.unit.serving.mounted import client_context, mount, secret
from tests.unit.serving.support import CLIENT, MODEL, PATIENT, Server, environment, named, run, serving, total, until

BODY = json.dumps(named(PATIENT))
PATH = f"/v2/models/{MODEL}/infer"


def ask(server: Server, context: ssl.SSLContext) -> int:
    with httpx.Client(verify=context) as client:
        return client.post(f"https://127.0.0.1:{server.port}{PATH}", content=BODY).status_code


def refused(server: Server, context: ssl.SSLContext) -> bool:
    try:
        ask(server, context)
    except httpx.TransportError:
        return True
    return False


def shown(server: Server) -> bytes:
    """The certificate that a new connection is shown (DER)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port)) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True) or b""


class Protected(NamedTuple):
    """A predictor by TLS: its authority, that of its clients, and where its Secret is mounted."""

    server: Server
    ca: trustme.CA
    clients: trustme.CA
    folder: Path


@contextmanager
def protected(root: Path, **settings: str) -> Iterator[Protected]:
    ca, clients = trustme.CA(), trustme.CA()
    folder = mount(root / "tls", secret(ca, clients))
    with serving(root, PERENNIAL_TLS_DIR=str(folder), PERENNIAL_CONNECTION_MAX_AGE="0", **settings) as server:
        yield Protected(server, ca, clients, folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    with protected(tmp_path_factory.mktemp("plain")) as started:
        yield started


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    with protected(tmp_path_factory.mktemp("mutual"), PERENNIAL_TLS_CLIENT_AUTH="Required") as started:
        yield started


def test_it_serves_by_tls_alone_and_shows_metrics_in_plain(plain: Protected) -> None:
    server, ca, *_ = plain
    assert ask(server, client_context(ca)) == 200
    assert refused(server, client_context(trustme.CA())), "another authority's client does not trust us"
    with pytest.raises(httpx.TransportError):
        CLIENT.get(server.url + "/v2")
    assert total(server.metrics(), "perennial_requests_total", code="200") == 1


@pytest.mark.filterwarnings("ignore:ssl")
def test_old_tls_is_refused(plain: Protected) -> None:
    server, ca, *_ = plain
    old = client_context(ca)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    assert refused(server, old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(server, old) == 200


def test_a_renewed_certificate_is_taken_while_connections_stay(plain: Protected) -> None:
    server, ca, _, folder = plain
    kept = http.client.HTTPSConnection("127.0.0.1", server.port, context=client_context(ca))
    kept.request("GET", "/v2")
    kept.getresponse().read()
    connected, before = kept.sock, shown(server)
    mount(folder, secret(ca))
    until(lambda: shown(server) != before)
    kept.request("POST", PATH, BODY)
    assert kept.getresponse().status == 200
    assert kept.sock is connected
    assert ask(server, client_context(ca)) == 200


def _another_key(ca: trustme.CA) -> dict[str, bytes]:
    return secret(ca) | {"tls.key": secret(ca)["tls.key"]}


def _half(ca: trustme.CA) -> dict[str, bytes]:
    files = secret(ca)
    return files | {"tls.crt": files["tls.crt"][:200]}


def _no_key(ca: trustme.CA) -> dict[str, bytes]:
    return {"tls.crt": secret(ca)["tls.crt"]}


def test_a_broken_renewal_leaves_the_old_certificate(plain: Protected) -> None:
    server, ca, _, folder = plain
    before = shown(server)
    for number, broken in enumerate((_another_key, _half, _no_key), 1):
        mount(folder, broken(ca))
        until(lambda told=number: server.log.read_text().count("the old one stays") == told)
        assert shown(server) == before
    assert ask(server, client_context(ca)) == 200
    mount(folder, secret(ca))
    until(lambda: shown(server) != before)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (lambda _: {}, "not in the TLS Secret: tls.crt, tls.key"),
        (lambda ca: _another_key(ca) | {"ca.crt": b"x"}, "tls.crt and tls.key are no PEM certificate with its key"),
        (secret, "not in the TLS Secret: ca.crt"),
    ],
)
def test_it_does_not_start_without_what_it_needs(
    files: Callable[[trustme.CA], dict[str, bytes]], told: str, tmp_path: Path
) -> None:
    folder = mount(tmp_path / "tls", files(trustme.CA()))
    settings = {"PERENNIAL_TLS_DIR": str(folder), "PERENNIAL_TLS_CLIENT_AUTH": "Required"}
    assert run("perennial_serving", environment(tmp_path, **settings)).returncode == 1
    assert told in (tmp_path / "termination-log").read_text()


def test_clients_show_a_certificate_where_it_is_required(mutual: Protected) -> None:
    server, ca, clients, _ = mutual
    assert ask(server, client_context(ca, clients)) == 200
    assert refused(server, client_context(ca))
    assert refused(server, client_context(ca, trustme.CA()))


def test_a_renewed_authority_of_the_clients_shuts_the_old_ones_out(mutual: Protected) -> None:
    server, ca, old, folder = mutual
    new = trustme.CA()
    known = client_context(ca, old)
    assert ask(server, known) == 200
    mount(folder, secret(ca, new))
    until(lambda: refused(server, known))
    assert ask(server, client_context(ca, new)) == 200
    mount(folder, secret(ca, old))
    until(lambda: not refused(server, known))


def test_clients_that_show_a_certificate_speak_tls_1_3(mutual: Protected) -> None:
    """TLS 1.2 resumes sessions by an id, and whom they were given to is not looked at again."""
    server, ca, clients, _ = mutual
    context = client_context(ca, clients)
    assert ask(server, context) == 200
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refused(server, context)


def test_a_session_is_not_resumed_past_its_authority(mutual: Protected) -> None:
    server, ca, clients, _ = mutual
    context = client_context(ca, clients)

    def connect(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure,
        ):
            secure.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            while secure.recv(4096):
                pass
            return bool(secure.session_reused), secure.session

    _, session = connect(None)
    assert connect(session)[0] is False
