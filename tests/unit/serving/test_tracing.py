"""Traces, as a collector receives them."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from perennial_serving.grpc_generated import open_inference_pb2 as messages
from tests.unit.serving.support import (
    CLIENT,
    DEPLOYMENT,
    FIXTURE,
    MODEL,
    PATIENT,
    VERSION,
    Server,
    environment,
    free_port,
    named,
    serving,
    until,
)
from tests.unit.serving.test_grpc import request as grpc_request

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Receives OTLP over HTTP. ``hangs``: it takes requests and answers none."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.exports: list[ExportTraceServiceRequest] = []
        self.hanging = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if hangs:
                    collector.hanging.wait(60)
                if self.path == "/v1/traces":
                    collector.exports.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for export in self.exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    collector = Collector(hangs=hangs)
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.01,))
    thread.start()
    yield collector
    collector.hanging.set()
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@contextmanager
def traced(folder: Path, collector: Collector, sample: str, **more: str) -> Iterator[Server]:
    with serving(
        folder,
        PERENNIAL_TRACES_ENDPOINT=collector.url,
        PERENNIAL_TRACES_SAMPLE=sample,
        PERENNIAL_DRAIN_SECONDS="0",
        OTEL_BSP_SCHEDULE_DELAY="50",
        **more,
    ) as server:
        yield server


def attributes(holder: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in holder.attributes}


def leave(server: Server) -> None:
    server.terminate()
    assert server.process.wait(20) == 0


def test_each_request_is_a_span(tmp_path: Path) -> None:
    with collecting() as collector:
        with traced(tmp_path, collector, "1") as server:
            assert server.infer(named(PATIENT, PATIENT)).status_code == 200
            assert server.infer({"inputs": []}).status_code == 400
            CLIENT.post(f"{server.url}/v1/models/{MODEL}:predict", json={"instances": [PATIENT]})
            CLIENT.get(f"{server.url}/v2/models/{MODEL}/versions/{VERSION}")
            CLIENT.get(f"{server.url}/v2/health/live")
            until(lambda: len(collector.spans) == 4)
            binary = {**named(PATIENT), "parameters": {"binary_data_output": True}}
            assert server.infer(binary).headers["content-type"] == "application/octet-stream"
            leave(server)
        found = [(span.name, attributes(span)["http.response.status_code"]) for span in collector.spans]
        infer, predict = "POST /v2/models/{model}/infer", "POST /v1/models/{model}:predict"
        metadata = "GET /v2/models/{model}/versions/{version}"
        assert found == [(infer, 200), (infer, 400), (predict, 200), (metadata, 200), (infer, 200)], "none for health"
        span, about = collector.spans[0], attributes(collector.spans[0])
        assert (
            about
            | {
                "http.request.method": "POST",
                "http.route": "/v2/models/{model}/infer",
                "url.path": f"/v2/models/{MODEL}/infer",
                "url.scheme": "http",
                "network.protocol.version": "1.1",
                "client.address": "127.0.0.1",
                "perennial.model": MODEL,
                "perennial.version": VERSION,
                "perennial.rows": 2,
            }
            == about
        )
        assert attributes(collector.spans[2])["perennial.rows"] == attributes(collector.spans[4])["perennial.rows"] == 1
        assert "perennial.rows" not in attributes(collector.spans[1])
        assert "perennial.rows" not in attributes(collector.spans[3]), "metadata predicts no row"
        assert span.kind == 2, "a server's"
        assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 10**9
        resource = attributes(collector.exports[0].resource_spans[0].resource)
        assert f"{resource['service.namespace']}/{resource['service.name']}" == DEPLOYMENT
        assert resource["service.version"] == VERSION


def test_the_callers_context_is_carried_on_and_decides(tmp_path: Path) -> None:
    with collecting() as collector:
        with traced(tmp_path, collector, "0") as server:
            for flag in ("01", "00"):
                parent = {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"}
                assert CLIENT.post(server.infer_url, json=named(PATIENT), headers=parent).status_code == 200
            assert server.infer(named(PATIENT)).status_code == 200
            strange = {"traceparent": "00-nonsense"}
            assert CLIENT.post(server.infer_url, json=named(PATIENT), headers=strange).status_code == 200
            leave(server)
        (span,) = collector.spans
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


def test_each_grpc_call_is_a_span(tmp_path: Path) -> None:
    port = free_port()
    with collecting() as collector:
        with (
            traced(tmp_path, collector, "0", PERENNIAL_GRPC_PORT=str(port)),
            grpc.insecure_channel(f"localhost:{port}") as channel,
        ):

            def call(method: str, payload: bytes, flag: str = "01") -> None:
                stub = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
                with suppress(grpc.RpcError):
                    stub(payload, timeout=10, metadata=[("traceparent", f"00-{TRACE}-{PARENT}-{flag}")])

            call("ModelInfer", grpc_request(PATIENT, PATIENT).SerializeToString())
            call("ModelInfer", grpc_request(PATIENT | {"cp": "9"}).SerializeToString())
            call("ModelMetadata", messages.ModelMetadataRequest(name=MODEL).SerializeToString())
            call("ServerLive", b"")
            call("ModelInfer", grpc_request(PATIENT).SerializeToString(), "00")
            until(lambda: len(collector.spans) == 3)
        found = [attributes(span) for span in collector.spans]
        told = [tuple(about.get(name) for name in ("rpc.method", "rpc.grpc.status_code")) for about in found]
        assert told == [("ModelInfer", 0), ("ModelInfer", 3), ("ModelMetadata", 0)]
        assert [about.get("perennial.rows") for about in found] == [2, None, None]
        span, about = collector.spans[0], found[0]
        assert (span.name, span.kind) == ("inference.GRPCInferenceService/ModelInfer", 2)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert (about["rpc.system"], about["perennial.version"]) == ("grpc", VERSION)


def test_a_share_of_the_requests_without_a_context_is_traced(tmp_path: Path) -> None:
    with collecting() as collector:
        with traced(tmp_path, collector, "0.5") as server:
            for _ in range(200):
                server.infer(named(PATIENT))
            leave(server)
        assert 60 < len(collector.spans) < 140, "six standard deviations"


@pytest.mark.parametrize("hangs", [True, False])
def test_a_collector_that_hangs_or_is_away_is_not_waited_for(hangs: bool, tmp_path: Path) -> None:
    with collecting(hangs=hangs) as collector:
        if not hangs:
            collector.url = "http://127.0.0.1:1"
        with traced(tmp_path, collector, "1") as server:
            slowest = 0.0
            for _ in range(300):
                began = time.monotonic()
                assert server.infer(named(PATIENT)).status_code == 200
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 2
            began = time.monotonic()
            leave(server)
            assert time.monotonic() - began < 8


def test_without_an_endpoint_opentelemetry_is_not_loaded(tmp_path: Path) -> None:
    told = (
        "import os, sys, perennial_serving.__main__ as p, perennial_serving.settings as s;"
        "p.build(s.load_settings(os.environ));"
        "import json; print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry')]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", told], env=environment(tmp_path), cwd=FIXTURE, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == []
