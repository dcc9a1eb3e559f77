"""KServe's own clients, v1 and v2, by REST and gRPC."""

from typing import Any

import httpx
import numpy as np
import pytest
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import InferInput, InferRequest
from kserve.protocol.rest.v2_datamodels import ListModelsResponse

from tests.unit.serving.support import CLIENT, MODEL, PATIENT, Server, named, outputs

PATIENTS = [PATIENT | {"age": age} for age in (40, 55, 70)]


def rest(protocol: str) -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol=protocol, verify=False))


def request(*, binary: bool) -> InferRequest:
    inputs = []
    for name, first in PATIENT.items():
        text = isinstance(first, str)
        tensor = InferInput(name, [len(PATIENTS)], "BYTES" if text else "FP64")
        values = np.array([patient[name] for patient in PATIENTS], object if text else np.float64)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=MODEL, infer_inputs=inputs, request_id="r7")


def expected(server: Server) -> dict[str, list[Any]]:
    return outputs(server.infer(named(*PATIENTS)))


@pytest.mark.parametrize("rows", ["lists", "objects"])
async def test_v1_predictions(server: Server, rows: str) -> None:
    instances = [list(patient.values()) if rows == "lists" else patient for patient in PATIENTS]
    async with rest("v1") as client:
        assert await client.is_server_live(server.url)
        assert await client.is_model_ready(server.url, MODEL)
        answer = await client.infer(server.url, {"instances": instances}, MODEL)
    wanted = expected(server)
    assert [row["predicted"] for row in answer["predictions"]] == wanted["predicted"]
    assert [row["probability"] for row in answer["predictions"]] == wanted["probability"]
    assert all(row["feedback_token"] for row in answer["predictions"])


def test_the_models_are_listed_as_kserve_does(server: Server) -> None:
    found = CLIENT.get(f"{server.url}/v2/models").raise_for_status()
    assert ListModelsResponse.model_validate_json(found.text).models == [MODEL]


async def test_v1_mistakes_are_explained(server: Server) -> None:
    async with rest("v1") as client:
        with pytest.raises(httpx.HTTPStatusError, match="is no list of 13 values: age, trestbps"):
            await client.infer(server.url, {"instances": [[1, 2]]}, MODEL)
        with pytest.raises(httpx.HTTPStatusError, match=f"this is model {MODEL}"):
            await client.infer(server.url, {"instances": [[1, 2]]}, "other")


@pytest.mark.parametrize("binary", [True, False])
async def test_v2_predictions(server: Server, binary: bool) -> None:
    async with rest("v2") as client:
        assert await client.is_server_live(server.url)
        assert await client.is_server_ready(server.url)
        assert await client.is_model_ready(server.url, MODEL)
        answer = await client.infer(server.url, request(binary=binary), MODEL)
    assert (answer.model_name, answer.id) == (MODEL, "r7")
    found = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    wanted = expected(server)
    assert found["probability"] == wanted["probability"]
    assert found["predicted"] == wanted["predicted"]


@pytest.mark.parametrize("raw", [True, False])
async def test_v2_predictions_by_grpc(server: Server, grpc_address: str, raw: bool) -> None:
    async with InferenceGRPCClient(grpc_address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(MODEL)
        answer = await client.infer(request(binary=raw))
    assert (answer.model_name, answer.id) == (MODEL, "r7")
    found = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    wanted = expected(server)
    assert found["probability"] == wanted["probability"]
    assert [value.decode() if isinstance(value, bytes) else value for value in found["predicted"]] == wanted[
        "predicted"
    ]
