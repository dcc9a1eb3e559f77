"""The predictor over real HTTP: the Open Inference Protocol, its errors, and what is counted."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from perennial_serving.body import SMALL, BodyError, read_body, release
from perennial_serving.state import State
from tests.unit.serving.support import (
    CLIENT,
    DEPLOYMENT,
    MODEL,
    PATIENT,
    VERSION,
    Server,
    named,
    outputs,
    serving,
    total,
    until,
)


class Growth:
    """How much a sum of series has grown since the last look."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = server.metrics()

    def of(self, name: str, **labels: str) -> float:
        return total(self._server.metrics(), name, **labels) - total(self._before, name, **labels)


@pytest.fixture
def growth(server: Server) -> Growth:
    return Growth(server)


def test_a_patient_is_scored(server: Server, growth: Growth) -> None:
    response = server.infer(named(PATIENT) | {"id": "request-7"})
    found = outputs(response)
    assert found["predicted"] in (["0"], ["1"])
    assert (found["probability"][0] >= 0.5) == (found["predicted"] == ["1"])
    assert len(found["feedback_token"]) == 1
    body = response.json()
    assert (body["model_name"], body["model_version"], body["id"]) == (MODEL, VERSION, "request-7")
    assert [output["datatype"] for output in body["outputs"]] == ["BYTES", "FP64", "BYTES"]
    assert {tuple(output["shape"]) for output in body["outputs"]} == {(1,)}
    assert growth.of("perennial_requests_total", code="200") == 1
    assert growth.of("perennial_request_duration_seconds_count") == 1
    assert growth.of("perennial_predictions_total", predicted=found["predicted"][0]) == 1
    assert growth.of("perennial_feature_observations_total") == 13


def test_missing_values_are_scored_and_counted(server: Server, growth: Growth) -> None:
    nobody = dict.fromkeys(PATIENT)
    assert outputs(server.infer(named(nobody)))["predicted"] == ["0"]
    assert growth.of("perennial_feature_observations_total", bin="__missing__") == 13


def test_both_ways_to_send_a_batch_agree(server: Server) -> None:
    patients = [PATIENT | {"age": age, "chol": None} for age in range(40, 60)]
    columns = outputs(server.infer(named(*patients)))
    rows = [[None if value is None else float(value) for value in patient.values()] for patient in patients]
    tensor = {"name": "features", "shape": [len(rows), 13], "datatype": "FP64", "data": rows}
    together = outputs(server.infer({"inputs": [tensor]}))
    assert together["probability"] == columns["probability"]
    assert together["predicted"] == columns["predicted"]
    single = [outputs(server.infer(named(patient)))["probability"][0] for patient in patients]
    assert columns["probability"] == pytest.approx(single, abs=1e-6)


def test_only_the_outputs_asked_for(server: Server) -> None:
    found = outputs(server.infer(named(PATIENT) | {"outputs": [{"name": "probability"}]}))
    assert list(found) == ["probability"]


def test_a_named_version_answers_as_well(server: Server) -> None:
    url = f"{server.url}/v2/models/{MODEL}/versions/{VERSION}/infer"
    assert CLIENT.post(url, json=named(PATIENT)).status_code == 200


@pytest.mark.parametrize(
    ("request_body", "says", "invalid"),
    [
        (named(PATIENT | {"cp": "9"}), 'cp: "9" is no known category; allowed: "1", "2", "3", "4"', "cp"),
        (named(PATIENT | {"age": "old"}), 'age: "old" is not a number', "age"),
        (named(PATIENT, chol="BYTES"), 'chol: datatype "BYTES" does not fit', "chol"),
        (named({k: v for k, v in PATIENT.items() if k != "thal"}), 'missing input "thal"', ""),
        (named(PATIENT | {"cholesterol": 1}), 'unknown input "cholesterol"; the nearest is "chol"', ""),
        (named(PATIENT) | {"outputs": [{"name": "label"}]}, 'unknown output "label"; there are "predicted"', ""),
        ({"inputs": [{"name": "age"}]}, "missing required field `shape` - at `$.inputs[0]`", ""),
        ({"instances": [[1]]}, "missing required field `inputs`", ""),
        ([], "the body is no v2 inference request", ""),
    ],
)
def test_a_mistake_is_explained_and_is_no_error_of_the_model(
    server: Server, growth: Growth, request_body: Any, says: str, invalid: str
) -> None:
    response = server.infer(request_body)
    assert response.status_code == 400
    assert says in response.json()["error"]
    assert growth.of("perennial_requests_total", code="400") == 1
    assert growth.of("perennial_requests_total", code="500") == 0
    assert growth.of("perennial_request_duration_seconds_count") == 0
    assert growth.of("perennial_predictions_total") == 0
    for feature in PATIENT:
        counted = growth.of("perennial_feature_observations_total", feature=feature, bin="__invalid__")
        assert counted == (feature == invalid)
    assert growth.of("perennial_feature_observations_total") == bool(invalid)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"inputs": NaN', b"[" * 100_000, b'{"inputs": [NaN' + b"[" * 100_000]
)
def test_what_is_no_json_is_a_400(server: Server, body: bytes) -> None:
    response = CLIENT.post(server.infer_url, content=body)
    assert response.status_code == 400
    assert "the body is no v2 inference request" in response.json()["error"]


SURROGATES = [
    named(PATIENT) | {"id": "\ud800"},
    named(PATIENT | {"cp": "\ud800"}),
    {"inputs": [*named(PATIENT)["inputs"], named({"\udfff": 1})["inputs"][0]]},
    named(PATIENT) | {"outputs": [{"name": "\ud800"}]},
]


@pytest.mark.parametrize("nan", [True, False])
@pytest.mark.parametrize("sent", SURROGATES)
def test_half_a_character_is_a_400(server: Server, growth: Growth, sent: dict[str, Any], nan: bool) -> None:
    body = json.dumps(sent | ({"parameters": {"x": float("nan")}} if nan else {}))
    for content in (body, body.encode("ascii").decode("unicode_escape").encode("utf-8", "surrogatepass")):
        assert CLIENT.post(server.infer_url, content=content).status_code == 400
    assert growth.of("perennial_requests_total", code="400") == 2


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_an_integer_beyond_every_float_is_a_400(server: Server, growth: Growth, rows: int, value: int) -> None:
    for body in (named(*[PATIENT | {"age": value}] * rows), named(*[PATIENT | {"cp": value}] * rows)):
        assert server.infer(body).status_code == 400
    assert growth.of("perennial_requests_total", code="400") == 2
    assert growth.of("perennial_feature_observations_total", bin="__invalid__") == 2 * rows
    server.metrics()


def test_nan_in_a_body_is_missing(server: Server, growth: Growth) -> None:
    body = json.dumps(named(PATIENT | {"chol": float("nan")}))
    assert "NaN" in body
    assert CLIENT.post(server.infer_url, content=body).status_code == 200
    assert growth.of("perennial_feature_observations_total", feature="chol", bin="__missing__") == 1


@pytest.mark.parametrize("size", [300_000, 5_000_000])
def test_a_body_too_large_is_refused_and_the_caller_reads_why(server: Server, growth: Growth, size: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        caller.sendall(head + b" " * min(size, 900_000))
        assert b" 413 " in caller.recv(65536).partition(b"\r\n")[0]
    assert growth.of("perennial_requests_total", code="413") == 1


def test_a_caller_that_goes_away_is_no_error_of_the_model(server: Server, growth: Growth) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode())
    until(lambda: growth.of("perennial_requests_total", code="499") == 1)


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial_serving.body._SECONDS", 0.05)
    for messages in ([], [{"type": "http.request", "body": b"{", "more_body": True}]):
        with pytest.raises(BodyError) as caught:
            await asyncio.wait_for(read_body(receiving(*messages), 100, State()), 5)
        assert caught.value.status == 408


def receiving(*messages: dict[str, Any]) -> Any:
    """What an application is given to read a body of these messages, of which more never come."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else await asyncio.Future()

    return receive


def part(size: int, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": b" " * size, "more_body": more}


async def test_large_bodies_have_room_for_some_at_a_time() -> None:
    state = State(room=4 * SMALL)

    def read(*sizes: int, whole: bool = False) -> Any:
        messages = (part(size, more=place < len(sizes) - 1) for place, size in enumerate(sizes))
        return read_body(receiving(*messages), 3 * SMALL, state, whole=whole)

    first = await read(SMALL, SMALL, SMALL)
    await read(SMALL)
    with pytest.raises(BodyError) as caught:
        await read(SMALL, SMALL)
    assert caught.value.status == 429
    with pytest.raises(BodyError) as caught:
        await read(*[SMALL] * 5)
    assert caught.value.status == 413
    release(first, state)
    release(await read(3 * SMALL, whole=True), state)
    assert len(await read(SMALL, whole=True)) == SMALL
    with pytest.raises(BodyError) as caught:
        await read(4 * SMALL, whole=True)
    assert caught.value.status == 413
    assert state.room == 4 * SMALL


def test_beyond_its_limit_callers_are_told_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, PERENNIAL_MAX_WAITING="2") as server:
        head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode()
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        for caller in slow:
            caller.sendall(head)
        refused = until(lambda: (found := server.infer(named(PATIENT))).status_code == 429 and found)
        assert refused.headers["retry-after"] == "1"
        assert CLIENT.get(f"{server.metrics_url}/healthz").status_code == 200
        for caller in slow:
            caller.close()
        until(lambda: server.infer(named(PATIENT)).status_code == 200)
        assert total(server.metrics(), "perennial_requests_total", code="429") >= 1


def test_the_server_and_its_model_describe_themselves(server: Server) -> None:
    def get(path: str) -> Any:
        return CLIENT.get(server.url + path).raise_for_status().json()

    assert get("/v2")["name"] == "perennial"
    assert get("/v2/health/live") == {"live": True}
    assert get("/v2/health/ready") == {"ready": True}
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/{VERSION}"):
        assert get(f"{path}/ready") == {"name": MODEL, "ready": True}
        described = get(path)
        assert (described["name"], described["versions"]) == (MODEL, [VERSION])
        assert [item["name"] for item in described["inputs"]] == list(PATIENT)
        assert described["inputs"][7]["parameters"] == {"categories": ["1", "2", "3", "4"]}
        assert [item["name"] for item in described["outputs"]] == ["predicted", "probability", "feedback_token"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", f"/v2/models/{MODEL}/versions/v9", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", f"/v2/models/{MODEL}/versions/v9/infer", 404),
        ("GET", f"/v2/models/{MODEL}/infer", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_what_is_not_here(server: Server, growth: Growth, method: str, path: str, status: int) -> None:
    response = CLIENT.request(method, server.url + path)
    assert response.status_code == status
    assert response.json()["error"]
    assert growth.of("perennial_requests_total") == 0


def test_labels_come_back(server: Server, growth: Growth) -> None:
    found = outputs(server.infer(named(PATIENT)))
    item = {"token": found["feedback_token"][0], "actual": 1}
    first = CLIENT.post(server.feedback_url, json={"feedback": [item, {"token": "forged", "actual": 1}]})
    assert first.status_code == 200
    assert first.json() == {"accepted": 1, "rejected": 1, "reasons": [{"index": 1, "reason": "malformed"}]}
    again = CLIENT.post(server.feedback_url, json={"feedback": [item]})
    assert (again.status_code, again.json()["reasons"][0]["reason"]) == (200, "replayed")
    assert growth.of("perennial_feedback_total", predicted=found["predicted"][0], actual="1", version=VERSION) == 1
    assert growth.of("perennial_feedback_total") == 1
    assert growth.of("perennial_requests_total") == 1


def test_labels_that_are_refused(server: Server) -> None:
    forged = CLIENT.post(server.feedback_url, json={"feedback": [{"token": "a.b.c", "actual": 1}]})
    assert forged.status_code == 401
    token = outputs(server.infer(named(PATIENT)))["feedback_token"][0]
    no_class = CLIENT.post(server.feedback_url, json={"feedback": [{"token": token, "actual": "sick"}]})
    assert (no_class.status_code, no_class.json()["reasons"][0]["reason"]) == (400, "unknown_class")
    assert CLIENT.post(server.feedback_url, json={"labels": []}).status_code == 400
    assert CLIENT.post(server.feedback_url, content=b" " * 250_000).status_code == 413
    assert CLIENT.post(server.feedback_url, content=b'{"feedback":' + b"[" * 100_000).status_code == 400
    for actual in ("1" + "0" * 400, "1" + "0" * 5000, "1e400", "NaN", '"\\ud800"'):
        body = b'{"feedback":[{"token":"%b","actual":%b}]}' % (token.encode(), actual.encode())
        assert CLIENT.post(server.feedback_url, content=body).status_code == 400


def test_without_a_key_there_are_no_tokens_and_no_feedback(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert list(outputs(server.infer(named(PATIENT)))) == ["predicted", "probability"]
        refused = CLIENT.post(server.feedback_url, json={"feedback": []})
        assert (refused.status_code, refused.json()["error"]) == (503, "no feedback key is mounted")


def test_a_scrape_first_sees_zero(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        outputs(server.infer(named(PATIENT)))
        assert total(server.metrics(), "perennial_requests_total", deployment=DEPLOYMENT) == 1
        assert total(server.metrics(scraper=True), "perennial_requests_total") == 0
        assert total(server.metrics(scraper=True), "perennial_requests_total") == 1


def test_nothing_that_a_caller_sent_is_logged(server: Server) -> None:
    server.infer(named(PATIENT | {"thal": "a secret of the patient"}))
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line["message"].startswith(f"serving {MODEL}, version {VERSION}") for line in lines)
    assert "secret" not in server.log.read_text()
