"""The predictor by gRPC: what it takes, what it refuses with which code, and how it is protected and ends."""

import json
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from perennial_serving.counters import Counters
from perennial_serving.grpc_generated import open_inference_pb2 as messages
from perennial_serving.grpc_server import Calls
from perennial_serving.model import Model
from perennial_serving.settings import Settings
from perennial_serving.state import State
from tests.unit.serving.support import (
    CLIENT,
    MODEL,
    PATIENT,
    VERSION,
    Server,
    free_port,
    named,
    outputs,
    serving,
    total,
    until,
)

NAMES = {
    "ModelInfer": messages.ModelInferResponse,
    "ModelMetadata": messages.ModelMetadataResponse,
    "ModelReady": messages.ModelReadyResponse,
    "ServerLive": messages.ServerLiveResponse,
    "ServerMetadata": messages.ServerMetadataResponse,
    "ServerReady": messages.ServerReadyResponse,
    "RepositoryIndex": messages.RepositoryIndexResponse,
}
FIELDS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "INT32": "int_contents",
          "INT8": "int_contents", "UINT8": "uint_contents", "UINT64": "uint64_contents"}  # fmt: skip


class Caller:
    """A channel to a predictor."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        if credentials is None:
            self.channel = grpc.insecure_channel(address)
        else:
            self.channel = grpc.secure_channel(address, credentials)

    def call(self, method: str, request: Any, *metadata: tuple[str, str]) -> Any:
        payload = request if isinstance(request, bytes) else request.SerializeToString()
        stub = self.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        return NAMES.get(method, messages.ServerLiveResponse).FromString(stub(payload, timeout=10, metadata=metadata))

    def refused(self, method: str, request: Any, *metadata: tuple[str, str]) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, *metadata)
        return caught.value.code(), caught.value.details()


def request(
    *patients: dict[str, Any], numbers: str = "FP64", model: str = MODEL, version: str = ""
) -> messages.ModelInferRequest:
    """A request of typed contents; None is NaN or an empty text."""
    asked = messages.ModelInferRequest(model_name=model, model_version=version, id="r7")
    for name, example in PATIENT.items():
        values = [patient[name] for patient in patients]
        if isinstance(example, str):
            tensor = asked.inputs.add(name=name, datatype="BYTES", shape=[len(values)])
            tensor.contents.bytes_contents.extend((value or "").encode() for value in values)
        else:
            tensor = asked.inputs.add(name=name, datatype=numbers, shape=[len(values)])
            kind = float if numbers.startswith("FP") else int
            field = getattr(tensor.contents, FIELDS[numbers])
            field.extend(float("nan") if value is None else kind(value) for value in values)
    return asked


def probabilities(answer: messages.ModelInferResponse) -> list[float]:
    [tensor] = [tensor for tensor in answer.outputs if tensor.name == "probability"]
    return list(tensor.contents.fp64_contents)


class Started:
    """A predictor with gRPC, and a way to call it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server, self.address = server, f"localhost:{port}"
        self.caller = Caller(self.address)


def start(stack: ExitStack, folder: Path, **more: str) -> Started:
    port = free_port()
    return Started(stack.enter_context(serving(folder, PERENNIAL_GRPC_PORT=str(port), **more)), port)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("grpc")
    (folder / "current").write_bytes(b"the key that signs in these tests")
    with ExitStack() as stack:
        yield start(stack, folder, PERENNIAL_FEEDBACK_KEYS=str(folder), PERENNIAL_MAX_BODY_BYTES="100000")


def counted(started: Started, code: str) -> float:
    return total(started.server.metrics(), "perennial_requests_total", code=code)


@pytest.mark.parametrize("numbers", FIELDS)
def test_every_typed_number_is_scored_as_json_is(started: Started, numbers: str) -> None:
    patients = [PATIENT | {"oldpeak": 2, "age": age, "chol": 100} for age in (40, 55, 70)]
    patients = [patient | {"trestbps": 90, "thalach": 99} for patient in patients]
    before = counted(started, "200")
    answer = started.caller.call("ModelInfer", request(*patients, numbers=numbers))
    assert counted(started, "200") == before + 1
    wanted = outputs(started.server.infer(named(*patients)))
    assert probabilities(answer) == pytest.approx(wanted["probability"], abs=1e-6)
    predicted, _, tokens = answer.outputs
    assert [value.decode() for value in predicted.contents.bytes_contents] == wanted["predicted"]
    assert [list(tensor.shape) for tensor in answer.outputs] == [[3], [3], [3]]
    assert (answer.model_name, answer.model_version, answer.id) == (MODEL, VERSION, "r7")
    token = tokens.contents.bytes_contents[0].decode()
    labels = CLIENT.post(started.server.feedback_url, json={"feedback": [{"token": token, "actual": 1}]})
    assert labels.json()["accepted"] == 1


def test_nan_and_empty_text_are_missing(started: Started) -> None:
    unknown = PATIENT | {"chol": None, "thal": None}
    answer = started.caller.call("ModelInfer", request(unknown))
    wanted = outputs(started.server.infer(named(unknown)))["probability"]
    assert probabilities(answer) == pytest.approx(wanted, abs=1e-6)


def test_a_copied_request_gets_no_token(started: Started) -> None:
    answer = started.caller.call("ModelInfer", request(PATIENT), ("x-perennial-shadow", "v0"))
    assert [tensor.name for tensor in answer.outputs] == ["predicted", "probability"]


def broken(change: str) -> Any:
    asked = request(PATIENT)
    if change == "category":
        asked.inputs[7].contents.bytes_contents[0] = b"9"
    elif change == "text":
        asked.inputs[7].contents.bytes_contents[0] = b"\xff"
    elif change == "half":
        asked.inputs[0].datatype = "FP16"
    elif change == "column":
        del asked.inputs[-1]
    elif change == "count":
        asked.inputs[0].contents.fp64_contents.append(1)
    elif change == "both":
        asked.raw_input_contents.extend([b"\0" * 8] * 13)
    elif change == "fewer":
        asked.raw_input_contents.append(b"\0" * 8)
    elif change == "output":
        asked.outputs.add(name="label")
    return asked if change != "bytes" else b"\xff\xff no message"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("category", 'cp: "9" is no known category; allowed: "1", "2", "3", "4"'),
        ("text", "cp: BYTES that are no UTF-8"),
        ("half", "age: datatype 'FP16' has no typed contents; there are BOOL"),
        ("column", 'missing input "thal"'),
        ("count", "age: 2 values do not fill shape [1]"),
        ("both", "age: has contents and raw_input_contents"),
        ("fewer", "1 raw_input_contents for 13 inputs"),
        ("output", 'unknown output "label"'),
        ("bytes", "no ModelInferRequest"),
    ],
)
def test_a_mistake_is_explained_and_counted(started: Started, change: str, says: str) -> None:
    before = counted(started, "400")
    code, details = started.caller.refused("ModelInfer", broken(change))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in details
    assert counted(started, "400") == before + 1


@pytest.mark.parametrize(
    ("place", "data", "says"),
    [
        (0, b"\0" * 7, "age: 7 bytes are no whole number of FP64 values"),
        (0, b"", "age: 0 values do not fill shape [1]"),
        (0, b"\0" * 16, "age: 2 values do not fill shape [1]"),
        (7, b"\x09\0\0\x001", "cp: its BYTES are cut short"),
        (7, b"\x01\0\0\x00\xff", "cp: BYTES that are no UTF-8"),
    ],
)
def test_raw_contents_must_be_whole_and_fill_the_shape(started: Started, place: int, data: bytes, says: str) -> None:
    asked = request(PATIENT)
    for tensor in asked.inputs:
        tensor.ClearField("contents")
        asked.raw_input_contents.append(b"\0" * 8 if tensor.datatype == "FP64" else b"\x01\0\0\x001")
    asked.raw_input_contents[place] = data
    code, details = started.caller.refused("ModelInfer", asked)
    assert (code, says in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details


@pytest.mark.parametrize(("model", "version"), [("other", ""), (MODEL, "v9")])
def test_another_model_is_not_found_and_not_counted(started: Started, model: str, version: str) -> None:
    before = total(started.server.metrics(), "perennial_requests_total")
    for method, asked in (
        ("ModelInfer", request(PATIENT, model=model, version=version)),
        ("ModelReady", messages.ModelReadyRequest(name=model, version=version)),
        ("ModelMetadata", messages.ModelMetadataRequest(name=model, version=version)),
    ):
        code, details = started.caller.refused(method, asked)
        assert code == grpc.StatusCode.NOT_FOUND
        assert f"this is model {MODEL}" in details
    assert total(started.server.metrics(), "perennial_requests_total") == before


def test_what_is_too_large_or_not_there_is_refused(started: Started) -> None:
    before = counted(started, "413")
    for size in (100_001, 200_000, 200_001):
        code, _ = started.caller.refused("ModelInfer", b"\0" * size)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert counted(started, "413") == before + 2, "what is over twice the limit never reaches us"
    code, _ = started.caller.refused("RepositoryModelLoad", b"")
    assert code == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("name", "value", "code", "label"),
    [
        ("MAX_WAITING", "0", grpc.StatusCode.RESOURCE_EXHAUSTED, "429"),
        ("DEADLINE_SECONDS", "0.0000001", grpc.StatusCode.DEADLINE_EXCEEDED, "504"),
    ],
)
def test_too_much_and_too_late(tmp_path: Path, name: str, value: str, code: grpc.StatusCode, label: str) -> None:
    with ExitStack() as stack:
        started = start(stack, tmp_path, **{f"PERENNIAL_{name}": value})
        assert started.caller.refused("ModelInfer", request(PATIENT))[0] == code
        assert counted(started, label) == 1


def test_the_repository_has_one_model(started: Started) -> None:
    [model] = started.caller.call("RepositoryIndex", messages.RepositoryIndexRequest(ready=True)).models
    assert (model.name, model.version, model.state) == (MODEL, VERSION, "READY")
    assert "model_repository" in started.caller.call("ServerMetadata", messages.ServerMetadataRequest()).extensions
    code, _ = started.caller.refused("RepositoryIndex", b"\xff\xff")
    assert code == grpc.StatusCode.INVALID_ARGUMENT


async def test_what_nobody_foresaw_is_a_counted_500(model: Model, counters: Counters) -> None:
    class Ended(Exception):
        pass

    class Context:
        @staticmethod
        def invocation_metadata() -> list[Any]:
            return []

        @staticmethod
        async def abort(code: grpc.StatusCode, details: str) -> None:
            raise Ended(code, details)

    settings = Settings(artifacts=(), model=MODEL, version=VERSION, deployment="a/b")
    inference: Any = Namespace(settings=settings, model=model)
    state = State(room=1)
    calls = Calls(inference, counters, state, None)
    handler = calls.service(Namespace(method="/inference.GRPCInferenceService/ModelInfer"))
    with pytest.raises(Ended) as caught:
        await handler.unary_unary(request(PATIENT).SerializeToString(), Context())
    assert caught.value.args == (grpc.StatusCode.INTERNAL, "the predictor could not answer; its log says why")
    with pytest.raises(Ended) as caught:
        await handler.unary_unary(request(*[PATIENT] * 2000).SerializeToString(), Context())
    assert caught.value.args[0] == grpc.StatusCode.RESOURCE_EXHAUSTED, "there is no room for large ones"
    assert state.room == 1
    text = counters.render(scraper=False).decode()
    assert [total(text, "perennial_requests_total", code=code) for code in ("500", "429")] == [1, 1]


def test_without_a_port_its_library_is_not_even_loaded(server: Server, started: Started) -> None:
    def loaded(one: Server) -> bool:
        return "cygrpc" in Path(f"/proc/{one.process.pid}/maps").read_text()

    assert loaded(started.server)
    assert not loaded(server)


def test_connections_are_renewed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        asking = Asking(start(stack, tmp_path, PERENNIAL_CONNECTION_MAX_AGE="0.3"))
        asking.join(20)
        assert asking.answered > 0
        assert asking.failed == []


class Asking(threading.Thread):
    """Asks without pause, on one connection, until the server ends it."""

    def __init__(self, started: Started) -> None:
        super().__init__()
        self._caller, self._states = Caller(started.address), list[grpc.ChannelConnectivity]()
        self.answered, self.failed = 0, list[grpc.StatusCode]()
        self._caller.channel.subscribe(self._states.append)
        self.start()

    def run(self) -> None:
        while not ended(self._states) and not self.failed:
            try:
                self._caller.call("ModelInfer", request(PATIENT))
            except grpc.RpcError as error:
                self.failed.append(error.code())
            else:
                self.answered += 1


def ended(states: list[grpc.ChannelConnectivity]) -> bool:
    """Whether a connection that was ready has been closed."""
    ready, idle = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE
    return ready in states and idle in states[states.index(ready) :]


def test_leaving_loses_no_call(tmp_path: Path) -> None:
    with ExitStack() as stack:
        age, drain = {"PERENNIAL_CONNECTION_MAX_AGE": "1"}, {"PERENNIAL_DRAIN_SECONDS": "3"}
        started = start(stack, tmp_path, **age, **drain)
        asking = [Asking(started) for _ in range(4)]
        until(lambda: all(one.answered for one in asking))
        started.server.terminate()
        until(lambda: CLIENT.get(f"{started.server.metrics_url}/readyz").status_code == 503)
        assert not started.caller.call("ServerReady", messages.ServerReadyRequest()).ready
        assert started.caller.call("ModelInfer", request(PATIENT)).outputs, "who comes late is answered"
        for one in asking:
            one.join(20)
        assert [one.failed for one in asking] == [[], [], [], []]
        assert started.server.process.poll() is None, "all connections were ended before their server"
        assert started.server.process.wait(10) == 0


def test_a_bearer_token_is_needed(tmp_path: Path) -> None:
    tokens = tmp_path / "bearer"
    tokens.mkdir()
    (tokens / "clinic").write_text("a token\n")
    with ExitStack() as stack:
        started = start(stack, tmp_path, PERENNIAL_BEARER_DIR=str(tokens))
        code, details = started.caller.refused("ModelInfer", request(PATIENT))
        assert (code, "a token is needed" in details) == (grpc.StatusCode.UNAUTHENTICATED, True)
        code, _ = started.caller.refused("ModelInfer", request(PATIENT), ("authorization", "Bearer another"))
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert counted(started, "401") == 2
        assert started.caller.call("ModelInfer", request(PATIENT), ("authorization", "Bearer a token")).outputs
        assert started.caller.call("ServerLive", messages.ServerLiveRequest()).live
        code, _ = started.caller.refused("ModelMetadata", messages.ModelMetadataRequest(name=MODEL))
        assert code == grpc.StatusCode.UNAUTHENTICATED


def test_the_access_log_has_a_line_a_call(tmp_path: Path) -> None:
    with ExitStack() as stack:
        started = start(stack, tmp_path, PERENNIAL_ACCESS_LOG="true")
        started.caller.call("ModelInfer", request(PATIENT))
        started.caller.refused("ModelInfer", broken("category"))
        lines = [json.loads(line) for line in started.server.log.read_text().splitlines()]
        calls = [line for line in lines if line.get("path") == "/inference.GRPCInferenceService/ModelInfer"]
        assert [(call["status"], call["bytes"] > 0) for call in calls] == [(200, True), (400, False)]


def mount(folder: Path, authority: trustme.CA, clients: trustme.CA) -> None:
    """The files of a TLS Secret."""
    certificate = authority.issue_cert("localhost")
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    (folder / "ca.crt").write_bytes(clients.cert_pem.bytes())


def trusting(authority: trustme.CA, own: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    if own is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    )


def test_tls_asks_for_the_clients_certificate_and_follows_the_secret(tmp_path: Path) -> None:
    folder, first, second, clients = tmp_path / "tls", trustme.CA(), trustme.CA(), trustme.CA()
    folder.mkdir()
    mount(folder, first, clients)
    own = clients.issue_cert("clinic@example.com")
    with ExitStack() as stack:
        started = start(stack, tmp_path, PERENNIAL_TLS_DIR=str(folder), PERENNIAL_TLS_CLIENT_AUTH="Required")

        def code(credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode | None:
            try:
                Caller(started.address, credentials).call("ModelInfer", request(PATIENT))
            except grpc.RpcError as error:
                return error.code()
            return None

        assert code(trusting(first, own)) is None
        for stranger in (trusting(first), trusting(first, trustme.CA().issue_cert("x@example.com")), None):
            assert code(stranger) == grpc.StatusCode.UNAVAILABLE
        kept = Caller(started.address, trusting(first, own))
        kept.call("ModelInfer", request(PATIENT))
        mount(folder, second, clients)
        until(lambda: code(trusting(second, own)) is None)
        assert code(trusting(first, own)) == grpc.StatusCode.UNAVAILABLE
        kept.call("ModelInfer", request(PATIENT))
