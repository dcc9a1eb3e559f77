"""A predictor in a process of its own, on real ports, and a reader of what it exposes."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FIXTURE = Path(__file__).parent / "fixture"
FILES = ("model.onnx", "signature.json", "baseline.json")
DEPLOYMENT, MODEL, VERSION = "heart/heart-disease", "heart-disease", "heart-disease-v1"
PATIENT: dict[str, Any] = {
    "age": 63, "trestbps": 145, "chol": 233, "thalach": 150, "oldpeak": 2.3, "ca": 0,
    "sex": "1", "cp": "1", "fbs": "1", "restecg": "2", "exang": "0", "slope": "3", "thal": "6",
}  # fmt: skip
# One client: each would read all certificate authorities again.
CLIENT = httpx.Client(verify=False)
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def named(*patients: dict[str, Any], **datatypes: str) -> dict[str, Any]:
    """A request with one tensor a feature; a datatype may be given by name."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(patients)],
                "datatype": datatypes.get(name, "BYTES" if isinstance(PATIENT.get(name), str) else "FP64"),
                "data": [patient[name] for patient in patients],
            }
            for name in patients[0]
        ]
    }


def outputs(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Prometheus' text format; each series may be there once."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        assert match, line
        unescaped = {
            name: re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value)
            for name, value in _LABEL.findall(match[2])
        }
        key = (match[1], frozenset(unescaped.items()))
        assert key not in found, line
        found[key] = float(match[3])
    return found


def total(text: str, name: str, **labels: str) -> float:
    """The sum over the series ``name`` that have ``labels``; there must be one at least."""
    values = [value for (series, own), value in samples(text).items() if series == name and own >= labels.items()]
    assert values, f"no series {name} with {labels}"
    return sum(values)


def artifacts(folder: Path = FIXTURE, files: Iterable[str] = FILES) -> list[dict[str, str]]:
    return [
        {
            "uri": f"file://{folder / name}",
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "file": name,
        }
        for name in files
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What ``condition`` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)
    return result


class Server:
    """A started predictor. ``url`` serves, ``metrics_url`` has metrics and probes."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, metrics_port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.url, self.metrics_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}"
        self.infer_url = f"{self.url}/v2/models/{MODEL}/infer"
        self.feedback_url = f"{self.url}/v2/models/{MODEL}/feedback"

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return CLIENT.get(f"{self.metrics_url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def metrics(self, *, scraper: bool = False) -> str:
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": "5"} if scraper else {}
        return CLIENT.get(f"{self.metrics_url}/metrics", headers=headers).raise_for_status().text

    def infer(self, request: Any) -> httpx.Response:
        return CLIENT.post(self.infer_url, json=request)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "AWS_"))}
    root = Path(__file__).parents[3]
    return inherited | {
        "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("operator", "serving")),
        "PERENNIAL_ARTIFACTS": json.dumps(artifacts()),
        "PERENNIAL_MODEL_DIR": str(FIXTURE),
        "PERENNIAL_MODEL": MODEL,
        "PERENNIAL_VERSION": VERSION,
        "PERENNIAL_DEPLOYMENT": DEPLOYMENT,
        "PERENNIAL_TERMINATION_LOG": str(folder / "termination-log"),
        "PERENNIAL_HOST": "127.0.0.1",
        **more,
    }


@contextmanager
def serving(
    folder: Path, *, python: str | Path = sys.executable, ready_seconds: float = 20.0, **more: str
) -> Iterator[Server]:
    """A ready predictor, run by ``python``, killed at the end if it still runs."""
    port, metrics_port = free_port(), free_port()
    ports = {"PERENNIAL_PORT": str(port), "PERENNIAL_METRICS_PORT": str(metrics_port)}
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [python, "-m", "perennial_serving"],
            env=environment(folder, **ports, **more), stderr=errors, text=True,
        )  # fmt: skip
    server = Server(process, port, metrics_port, log)
    try:
        until(server.ready, ready_seconds)
        yield server
    finally:
        process.kill()
        process.wait()


def run(module: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A process that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", module], env=env, capture_output=True, text=True, timeout=60, check=False
    )
