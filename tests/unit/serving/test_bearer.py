"""Bearer tokens: who is let in, and what the others are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial_serving.bearer import Bearer
from tests.unit.serving.mounted import mount
from tests.unit.serving.support import CLIENT, MODEL, PATIENT, Server, named, serving, total, until

TOKENS = {"clinic": b"c1inic-t0ken\n", "lab": b"lab-token"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bearer") / "tokens"


@pytest.fixture(scope="module")
def protected(folder: Path) -> Iterator[Server]:
    keys = folder.parent / "keys"
    keys.mkdir()
    (keys / "current").write_bytes(b"a key that signs")
    mount(folder, TOKENS)
    with serving(folder.parent, PERENNIAL_BEARER_DIR=str(folder), PERENNIAL_FEEDBACK_KEYS=str(keys)) as server:
        yield server


def status(server: Server, authorization: str) -> int:
    headers = {"authorization": authorization} if authorization else {}
    return CLIENT.post(server.infer_url, json=named(PATIENT), headers=headers).status_code


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer c1inic-t0ken", 200),
        ("bearer lab-token", 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer lab-toke", 401),
        ("Bearer clinic", 401),
        ("Basic lab-token", 401),
        ("lab-token", 401),
    ],
)
def test_a_known_token_is_let_in(authorization: str, expected: int, protected: Server) -> None:
    assert status(protected, authorization) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", f"/v2/models/{MODEL}"),
        ("POST", f"/v2/models/{MODEL}/feedback"),
        ("POST", f"/v1/models/{MODEL}:predict"),
        ("GET", "/nothing-here"),
    ],
)
def test_every_call_is_protected(method: str, path: str, protected: Server) -> None:
    response = CLIENT.request(method, protected.url + path, json={} if method == "POST" else None)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="perennial"'
    assert response.json() == {"error": "a token is needed: Authorization: Bearer <token>"}
    answered = CLIENT.request(method, protected.url + path, headers={"authorization": "Bearer lab-token"})
    assert answered.status_code != 401


def test_an_unknown_token_is_not_repeated(protected: Server) -> None:
    response = CLIENT.get(f"{protected.url}/v2", headers={"authorization": "Bearer guessed-token"})
    assert response.json() == {"error": "the token is not one of this deployment's"}
    assert "guessed" not in protected.log.read_text()


def test_health_is_open(protected: Server) -> None:
    for call in ("live", "ready"):
        assert CLIENT.get(f"{protected.url}/v2/health/{call}").status_code == 200
    assert CLIENT.get(f"{protected.url}/v2/health/../models/{MODEL}").status_code == 401


def test_refusals_are_counted_and_are_nobodys_latency(protected: Server) -> None:
    before = protected.metrics()
    status(protected, "")
    after = protected.metrics()
    count = "perennial_request_duration_seconds_count"
    assert total(after, "perennial_requests_total", code="401") == 1 + total(
        before, "perennial_requests_total", code="401"
    )
    assert total(after, count) == total(before, count)


def test_a_large_body_of_a_stranger_is_refused_all_the_same(protected: Server) -> None:
    response = CLIENT.post(protected.infer_url, content=b"x" * 3_000_000)
    assert response.status_code == 401


def test_tokens_are_renewed_while_it_serves(folder: Path, protected: Server) -> None:
    mount(folder, {**TOKENS, "ward": b"ward-token"})
    until(lambda: status(protected, "Bearer ward-token") == 200)
    assert status(protected, "Bearer lab-token") == 200
    mount(folder, {"ward": b"another-token"})
    until(lambda: status(protected, "Bearer another-token") == 200)
    assert status(protected, "Bearer ward-token") == status(protected, "Bearer lab-token") == 401
    mount(folder, TOKENS)
    until(lambda: status(protected, "Bearer lab-token") == 200)


@pytest.mark.parametrize("files", [{}, {"empty": b""}, {"blank": b" \n"}])
def test_without_a_token_nobody_is_let_in(files: dict[str, bytes], tmp_path: Path) -> None:
    bearer = Bearer(str(mount(tmp_path / "tokens", files)))
    for shown in (b"Bearer", b"Bearer ", b"Bearer \n", b""):
        assert bearer.refusal([(b"authorization", shown)])
    assert Bearer(str(tmp_path / "absent")).refusal([])
