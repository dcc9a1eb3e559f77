"""KServe's v1, and tensors as bytes over HTTP."""

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial_serving.raw import pack, unpack
from tests.unit.serving.support import CLIENT, MODEL, PATIENT, VERSION, Server, named, outputs, total

ROW = list(PATIENT.values())


def predict(server: Server, body: Any) -> httpx.Response:
    return CLIENT.post(f"{server.url}/v1/models/{MODEL}:predict", content=json.dumps(body))


@pytest.mark.parametrize("row", [ROW, PATIENT, dict(reversed(PATIENT.items()))])
def test_a_row_is_scored_and_counted(server: Server, row: Any) -> None:
    before = total(server.metrics(), "perennial_requests_total", code="200")
    [predicted] = predict(server, {"instances": [row]}).raise_for_status().json()["predictions"]
    assert total(server.metrics(), "perennial_requests_total", code="200") == before + 1
    wanted = outputs(server.infer(named(PATIENT)))
    assert [predicted["predicted"], predicted["probability"]] == [wanted["predicted"][0], wanted["probability"][0]]
    label = {"token": predicted["feedback_token"], "actual": "1"}
    assert CLIENT.post(server.feedback_url, json={"feedback": [label]}).json()["accepted"] == 1


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_value_is_null_or_nan(server: Server, missing: Any) -> None:
    [predicted] = predict(server, {"instances": [PATIENT | {"chol": missing}]}).json()["predictions"]
    assert predicted["probability"] == outputs(server.infer(named(PATIENT | {"chol": None})))["probability"][0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"instances": []}, "instances: there is no row"),
        ({"instances": [ROW, ROW[1:]]}, "instances[1] is no list of 13 values: age, trestbps"),
        ({"instances": [ROW, PATIENT]}, "instances[1] is no list of 13 values"),
        ({"instances": [PATIENT, ROW]}, "instances[1] has not the columns of instances[0]; a missing value is null"),
        ({"instances": [PATIENT, {"age": 1}]}, "instances[1] has not the columns of instances[0]"),
        ({"instances": [{"age": 1}]}, 'missing input "trestbps"'),
        ({"instances": [PATIENT | {"cholesterol": 1}]}, 'unknown input "cholesterol"; the nearest is "chol"'),
        ({"instances": [PATIENT | {"cp": "9"}]}, 'cp: "9" is no known category; allowed: "1", "2", "3", "4"'),
        ({"instances": [PATIENT | {"age": {"years": 63}}]}, 'age: {"years":63} is not a number'),
        ({"instances": 1}, "the body is no v1 prediction request"),
        ({"inputs": []}, "missing required field `instances`"),
        ([float("nan")], "the body is no v1 prediction request"),
    ],
)
def test_a_mistake_in_rows_is_explained(server: Server, body: Any, says: str) -> None:
    response = predict(server, body)
    assert (response.status_code, says in response.json()["error"]) == (400, True), response.text


def test_v1_lists_its_model(server: Server) -> None:
    assert CLIENT.get(f"{server.url}/v1/models").json() == {"models": [MODEL]}
    assert CLIENT.get(f"{server.url}/v1/models/{MODEL}").json() == {"name": MODEL, "ready": True}
    assert CLIENT.get(f"{server.url}/v1/models/other").status_code == 404
    assert CLIENT.post(f"{server.url}/v1/models/other:predict", json={}).status_code == 404
    refused = CLIENT.get(f"{server.url}/v1/models/{MODEL}:predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}'])
def test_the_repository_has_one_model(server: Server, body: bytes) -> None:
    found = CLIENT.post(f"{server.url}/v2/repository/index", content=body)
    assert found.json() == [{"name": MODEL, "version": VERSION, "state": "READY", "reason": ""}]
    assert CLIENT.post(f"{server.url}/v2/repository/index", content=b"[").status_code == 400


def binary(change: dict[str, Any], data: bytes) -> tuple[bytes, dict[str, str]]:
    """A request whose ``age`` is ``data`` after the JSON, its tensor changed by ``change``; and its header."""
    age = {"name": "age", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [age | change, *named(PATIENT)["inputs"][1:]]}).encode()
    return head + data, {"Inference-Header-Content-Length": str(len(head))}


@pytest.mark.parametrize("length", ["1" * 20, "1" * 5000, "-1", "²"])
def test_a_length_that_is_none_is_a_400(server: Server, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode()}
    response = CLIENT.post(server.infer_url, content=b'{"inputs": []}..', headers=headers)
    assert (response.status_code, "inference-header-content-length" in response.text) == (400, True)


def test_binary_and_json_tensors_may_be_mixed(server: Server) -> None:
    body, headers = binary({}, struct.pack("<d", PATIENT["age"]))
    found = outputs(CLIENT.post(server.infer_url, content=body, headers=headers))
    assert found["probability"] == outputs(server.infer(named(PATIENT)))["probability"]


@pytest.mark.parametrize(
    ("change", "data", "says"),
    [
        ({}, b"", "binary_data_size is 8 bytes in all, 0 came"),
        ({}, bytes(9), "binary_data_size is 8 bytes in all, 9 came"),
        ({"parameters": {"binary_data_size": -8}}, bytes(8), "binary_data_size is -8 bytes"),
        ({"parameters": {"binary_data_size": "8"}}, bytes(8), "age: has neither data nor the parameter"),
        ({"parameters": {}}, bytes(8), "age: has neither data nor the parameter binary_data_size"),
        ({"datatype": "BF16"}, bytes(8), "age: datatype 'BF16' has no binary form here; there are BOOL"),
        ({"datatype": "BYTES"}, b"\xff\xff\xff\xff1234", "age: its BYTES are cut short"),
        ({"shape": [2]}, bytes(8), "age: "),
    ],
)
def test_a_mistake_in_bytes_is_explained(server: Server, change: dict[str, Any], data: bytes, says: str) -> None:
    body, headers = binary(change, data)
    response = CLIENT.post(server.infer_url, content=body, headers=headers)
    assert (response.status_code, says in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize("length", ["x", "-1", "99999", "10", ""])
def test_a_wrong_length_is_explained(server: Server, length: str) -> None:
    body, _ = binary({}, bytes(8))
    response = CLIENT.post(server.infer_url, content=body, headers={"Inference-Header-Content-Length": length})
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]},
    ],
)
def test_binary_outputs_follow_the_json(server: Server, asked: dict[str, Any]) -> None:
    response = server.infer(named(PATIENT, PATIENT) | asked)
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    head, data = json.loads(response.content[:length]), response.content[length:]
    assert sum(output["parameters"]["binary_data_size"] for output in head["outputs"]) == len(data)
    sizes = {output["name"]: output["parameters"]["binary_data_size"] for output in head["outputs"]}
    assert sizes["probability"] == 16
    place = 0 if len(sizes) == 1 else sizes["predicted"]
    wanted = outputs(server.infer(named(PATIENT, PATIENT)))["probability"]
    assert list(struct.unpack("<2d", data[place : place + 16])) == wanted


@given(st.lists(st.text(min_size=1), max_size=5), st.lists(st.floats(width=32), max_size=5))
def test_what_is_packed_is_unpacked(texts: list[str], numbers: list[float]) -> None:
    assert unpack("x", "BYTES", pack("BYTES", texts)) == texts
    for datatype in ("FP32", "FP64"):
        np.testing.assert_array_equal(unpack("x", datatype, pack(datatype, numbers)), numbers)
