"""MLServer's types, the Open Inference Protocol as Seldon has written it down."""

import pytest
from mlserver import types

from tests.unit.serving.support import CLIENT, MODEL, PATIENT, VERSION, Server, named


def test_our_answers_are_theirs(server: Server) -> None:
    def get(path: str) -> str:
        return CLIENT.get(server.url + path).raise_for_status().text

    assert types.MetadataServerResponse.model_validate_json(get("/v2")).name == "perennial"
    described = types.MetadataModelResponse.model_validate_json(get(f"/v2/models/{MODEL}"))
    assert [item.name for item in described.inputs or []] == list(PATIENT)
    index = CLIENT.post(f"{server.url}/v2/repository/index", json={"ready": True}).text
    [item] = types.RepositoryIndexResponse.model_validate_json(index).root
    assert (item.name, item.version, item.state) == (MODEL, VERSION, "READY")
    answer = types.InferenceResponse.model_validate_json(server.infer(named(PATIENT) | {"id": "r7"}).text)
    assert (answer.model_name, answer.model_version, answer.id) == (MODEL, VERSION, "r7")
    assert [output.name for output in answer.outputs] == ["predicted", "probability", "feedback_token"]
    mistake = server.infer(named(PATIENT | {"cp": "9"})).text
    assert "no known category" in (types.InferenceErrorResponse.model_validate_json(mistake).error or "")


@pytest.mark.parametrize("nulls", [True, False])
def test_their_requests_are_ours(server: Server, nulls: bool) -> None:
    inputs = [
        types.RequestInput(
            name=tensor["name"],
            shape=tensor["shape"],
            datatype=tensor["datatype"],
            data=types.TensorData(root=tensor["data"]),
            parameters=types.Parameters(content_type="np"),
        )
        for tensor in named(PATIENT)["inputs"]
    ]
    request = types.InferenceRequest(inputs=inputs, outputs=[types.RequestOutput(name="probability")])
    body = request.model_dump_json(exclude_none=not nulls)
    found = CLIENT.post(server.infer_url, content=body)
    assert found.status_code == 200, found.text
    assert (
        found.json()["outputs"]
        == server.infer(named(PATIENT) | {"outputs": [{"name": "probability"}]}).json()["outputs"]
    )
