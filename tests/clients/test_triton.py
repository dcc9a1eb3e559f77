"""NVIDIA Triton's clients, which send and want binary data unless they are told otherwise."""

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.unit.serving.support import MODEL, PATIENT, VERSION, Server, named, outputs

PATIENTS = [PATIENT | {"age": age, "oldpeak": age / 20} for age in (40, 55, 70)]


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, server: Server, grpc_address: str) -> Any:
    """The client's module and a client."""
    if request.param == "http":
        return tritonclient.http, tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
    return tritonclient.grpc, tritonclient.grpc.InferenceServerClient(grpc_address)


def columns(module: Any, patients: list[dict[str, Any]], number: Any = np.float64, **how: bool) -> list[Any]:
    """A tensor for each feature, numbers as ``number``."""
    inputs = []
    for name, first in PATIENT.items():
        text = isinstance(first, str)
        values = np.array([patient[name] for patient in patients], object if text else number)
        datatype = "BYTES" if text else {np.float64: "FP64", np.float32: "FP32"}[number]
        tensor = module.InferInput(name, [len(patients)], datatype)
        tensor.set_data_from_numpy(values, **how)
        inputs.append(tensor)
    return inputs


def expected(server: Server, patients: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What the same patients get over plain JSON."""
    return outputs(server.infer(named(*patients)))


def test_the_server_and_its_model_are_described(triton: Any) -> None:
    _, client = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, VERSION)
    assert not client.is_model_ready("other") if triton[0] is tritonclient.http else True
    over_grpc = {"as_json": True} if triton[0] is tritonclient.grpc else {}
    assert client.get_server_metadata(**over_grpc)["name"] == "perennial"
    described = client.get_model_metadata(MODEL, **over_grpc)
    assert described["versions"] == [VERSION]
    assert [item["name"] for item in described["inputs"]] == list(PATIENT)
    assert described["inputs"][7]["datatype"] == "BYTES"
    assert [item["name"] for item in described["outputs"]] == ["predicted", "probability", "feedback_token"]


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_binary_tensors_are_scored_as_json_is(triton: Any, server: Server, number: Any) -> None:
    module, client = triton
    result = client.infer(MODEL, columns(module, PATIENTS, number), request_id="r7")
    wanted = expected(server, PATIENTS)
    assert result.as_numpy("probability").tolist() == pytest.approx(wanted["probability"], abs=1e-6)
    assert [value.decode() for value in result.as_numpy("predicted")] == wanted["predicted"]
    assert [len(value) > 20 for value in result.as_numpy("feedback_token")] == [True] * 3
    response = result.get_response()
    answered = response if isinstance(response, dict) else {"id": response.id, "model_version": response.model_version}
    assert (answered["id"], answered["model_version"]) == ("r7", VERSION)


def test_one_tensor_of_all_features(triton: Any, server: Server) -> None:
    module, client = triton
    rows = np.array([[float(value) for value in patient.values()] for patient in PATIENTS], np.float32)
    tensor = module.InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    found = client.infer(MODEL, [tensor], VERSION).as_numpy("probability")
    assert found.tolist() == pytest.approx(expected(server, PATIENTS)["probability"], abs=1e-6)


def test_nan_and_empty_text_are_missing(triton: Any, server: Server) -> None:
    module, client = triton
    unknown = PATIENT | {"chol": None, "thal": None}
    sent = PATIENT | {"chol": np.nan, "thal": ""}
    found = client.infer(MODEL, columns(module, [sent])).as_numpy("probability")
    assert found.tolist() == pytest.approx(expected(server, [unknown])["probability"], abs=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_only_the_outputs_asked_for_in_the_form_asked_for(server: Server, binary: bool) -> None:
    module = tritonclient.http
    client = module.InferenceServerClient(f"127.0.0.1:{server.port}")
    wanted = [module.InferRequestedOutput("probability", binary_data=binary)]
    result = client.infer(MODEL, columns(module, PATIENTS, binary_data=not binary), outputs=wanted)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["probability"]
    assert ("data" in result.get_output("probability")) is not binary
    assert result.as_numpy("probability").shape == (3,)
    assert result.as_numpy("predicted") is None


def test_mistakes_are_explained(triton: Any) -> None:
    module, client = triton
    with pytest.raises(InferenceServerException, match='cp: "9" is no known category; allowed: "1", "2", "3", "4"'):
        client.infer(MODEL, columns(module, [PATIENT | {"cp": "9"}]))
    with pytest.raises(InferenceServerException, match='missing input "thal"'):
        client.infer(MODEL, columns(module, [PATIENT])[:-1])
    with pytest.raises(InferenceServerException, match='unknown output "label"'):
        client.infer(MODEL, columns(module, [PATIENT]), outputs=[module.InferRequestedOutput("label")])
    with pytest.raises(InferenceServerException, match=f"this is model {MODEL}"):
        client.infer("other", columns(module, [PATIENT]))


def test_the_model_repository_lists_the_model(triton: Any) -> None:
    module, client = triton
    if module is tritonclient.grpc:
        [found] = client.get_model_repository_index(as_json=True)["models"]
        assert found == {"name": MODEL, "version": VERSION, "state": "READY"}
    else:
        assert client.get_model_repository_index() == [
            {"name": MODEL, "version": VERSION, "state": "READY", "reason": ""}
        ]  # fmt: skip
