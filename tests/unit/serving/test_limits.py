"""What one pod takes upon itself: deadlines, sizes, crowds; and its access log."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from perennial_serving.app import Predictor
from perennial_serving.counters import Counters
from perennial_serving.model import Model
from perennial_serving.settings import Settings
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


def test_a_deadline_that_has_passed_is_a_504_and_no_prediction(tmp_path: Path) -> None:
    with serving(tmp_path, PERENNIAL_DEADLINE_SECONDS="0.000001") as server:
        for request in (named(PATIENT), named(PATIENT, PATIENT), named(*[PATIENT] * 5)):
            refused = server.infer(request)
            assert (refused.status_code, refused.json()["error"]) == (504, "there was no answer within 1e-06 s")
        text = server.metrics()
        assert total(text, "perennial_requests_total", code="504") == 3
        assert total(text, "perennial_requests_total", code="500") == 0
        assert total(text, "perennial_request_duration_seconds_count") == 3
        assert total(text, "perennial_predictions_total") == 0
        assert total(text, "perennial_feature_observations_total") == 0


async def test_what_nobody_foresaw_is_a_counted_500(model: Model, counters: Counters, caplog: Any) -> None:
    """A canary that crashes on some inputs is judged by its rate of errors."""

    async def crash(body: bytes, *_: Any) -> None:
        raise KeyError(body)

    settings = Settings(artifacts=(), model=MODEL, version=VERSION, deployment=DEPLOYMENT)
    inference: Any = Namespace(settings=settings, model=model, usual=crash)
    app = Predictor(settings=settings, inference=inference, counters=counters, state=State())
    sent = list[Any]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"a": "secret"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    for path in (f"/v2/models/{MODEL}/infer", f"/v2/models/{MODEL}/versions/{VERSION}/infer"):
        await app({"type": "http", "path": path, "method": "POST", "headers": []}, receive, send)
    assert [message["status"] for message in sent[::2]] == [500, 500]
    assert json.loads(sent[1]["body"])["error"]
    text = counters.render(scraper=False).decode()
    assert total(text, "perennial_requests_total", code="500") == 2
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_no_deadline_is_none(tmp_path: Path) -> None:
    with serving(tmp_path, PERENNIAL_DEADLINE_SECONDS="0") as server:
        assert server.infer(named(PATIENT)).status_code == 200


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ({"shape": [10**12, 13], "data": [1.0] * 13}, "features: 13 values do not fill shape [1000000000000, 13]"),
        ({"shape": [2, 13], "data": [[1.0] * 13, [1.0] * 12]}, "features: 25 values do not fill shape [2, 13]"),
        ({"shape": [-1, 13], "data": [1.0] * 13}, "Expected `int` >= 0 - at `$.inputs[0].shape[0]`"),
        ({"shape": [0, 13], "data": []}, "features: shape [0, 13] is not [N,13] with at least one row"),
        ({"shape": [10**30, 13], "data": []}, "at `$.inputs[0].shape[0]`"),
    ],
)
def test_shapes_that_lie_are_refused(server: Server, tensor: dict[str, object], says: str) -> None:
    refused = server.infer({"inputs": [{"name": "features", "datatype": "FP64", **tensor}]})
    assert refused.status_code == 400
    assert says in refused.json()["error"]


@pytest.mark.parametrize("size", [9 * 10**18, 10**400])
def test_a_shape_that_lies_counts_as_what_was_sent(server: Server, size: int) -> None:
    def invalid() -> float:
        return total(server.metrics(), "perennial_feature_observations_total", bin="__invalid__")

    before, lie = invalid(), named(PATIENT)
    lie["inputs"][0]["shape"] = [size]
    assert server.infer(lie).status_code == 400
    assert invalid() - before in {0, len(PATIENT)}, "one value a column, or none where it is no request"


def test_ragged_columns_and_columns_twice_are_refused(server: Server) -> None:
    ragged = named(PATIENT, PATIENT)
    ragged["inputs"][3] |= {"shape": [1], "data": [150]}
    refused = server.infer(ragged)
    assert refused.status_code == 400
    assert "thalach: shape [1] is neither [2] nor [2,1] as the first input's" in refused.json()["error"]
    twice = named(PATIENT)
    twice["inputs"].append(twice["inputs"][0])
    refused = server.infer(twice)
    assert (refused.status_code, refused.json()["error"]) == (400, "age: is there twice")
    twice = named(PATIENT)
    twice["inputs"][1] = twice["inputs"][0]
    refused = server.infer(twice)
    assert (refused.status_code, refused.json()["error"]) == (400, "age: is there twice")


def test_no_row_is_refused(server: Server) -> None:
    nobody = {"inputs": [item | {"shape": [0], "data": []} for item in named(PATIENT)["inputs"]]}
    refused = server.infer(nobody)
    assert refused.status_code == 400
    assert "age: shape [0] has no row" in refused.json()["error"]


def test_the_usual_way_and_the_general_one_answer_alike(server: Server) -> None:
    usual, general = named(PATIENT), named(PATIENT, age="FP32")
    assert general["inputs"][0]["datatype"] == "FP32"
    one, other = (outputs(server.infer(request)) for request in (usual, general))
    assert one["probability"] == other["probability"]
    assert one["predicted"] == other["predicted"]
    shuffled = {"inputs": usual["inputs"][::-1], "id": 'say "hello"\n', "parameters": {"content_type": "pd"}}
    response = server.infer(shuffled)
    assert outputs(response)["probability"] == one["probability"]
    assert response.json()["id"] == 'say "hello"\n'


def test_the_access_log_has_a_line_a_request_and_nothing_of_what_was_sent(tmp_path: Path) -> None:
    with serving(tmp_path, PERENNIAL_ACCESS_LOG="true") as server:
        server.infer(named(PATIENT | {"thal": "a secret of the patient"}))
        answer = server.infer(named(PATIENT))
        CLIENT.get(f"{server.url}/v2/health/live?name=secret")

        def lines() -> list[dict[str, object]]:
            found = [json.loads(line) for line in server.log.read_text().splitlines()]
            return [line for line in found if line["message"] == "request"]

        until(lambda: len(lines()) == 3)
        wrong, right, live = lines()
        assert (wrong["method"], wrong["path"], wrong["status"]) == ("POST", f"/v2/models/{MODEL}/infer", 400)
        assert (right["status"], right["bytes"]) == (200, len(answer.content))
        assert 0 < float(str(right["ms"])) < 10_000
        assert (live["path"], live["status"]) == ("/v2/health/live", 200)
        assert "secret" not in server.log.read_text()


def test_the_access_log_is_off_by_default(server: Server) -> None:
    server.infer(named(PATIENT))
    assert '"message":"request"' not in server.log.read_text()
