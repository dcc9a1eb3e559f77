"""Servers to measure: what each is started with; started on a core of its own, watched through /proc, ended."""

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MODEL = "heart-disease"
ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "unit" / "serving" / "fixture"
PEERS = Path(__file__).parent / "peers"
TRAINED = ROOT / "build" / "bench-serving" / "model.joblib"
VARIANTS = ("ours_no_counters", "constant")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Start:
    """A server's command line and environment; ``port`` is where it answers."""

    argv: list[str]
    env: dict[str, str]
    port: int


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(name: str, folder: Path) -> Start:
    """Our predictor, as shipped or a variant of it."""
    names = ("model.onnx", "signature.json", "baseline.json")
    digests = {file: hashlib.sha256((FILES / file).read_bytes()).hexdigest() for file in names}
    artifacts = [{"uri": f"file://{FILES / file}", "sha256": digests[file], "file": file} for file in names]
    (folder / "keys").mkdir(exist_ok=True)
    (folder / "keys" / "current").write_bytes(b"a key of thirty-two bytes or so.")
    port = _free_port()
    env = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "serving", ".")),
        "PERENNIAL_ARTIFACTS": json.dumps(artifacts),
        "PERENNIAL_MODEL_DIR": str(FILES),
        "PERENNIAL_MODEL": MODEL,
        "PERENNIAL_VERSION": f"{MODEL}-{name}",
        "PERENNIAL_DEPLOYMENT": f"heart/{MODEL}",
        "PERENNIAL_FEEDBACK_KEYS": str(folder / "keys"),
        "PERENNIAL_WATCHED_DIR": str(folder),
        "PERENNIAL_DRAIN_SECONDS": "0",
        "PERENNIAL_HOST": "127.0.0.1",
        "PERENNIAL_PORT": str(port),
        "PERENNIAL_METRICS_PORT": str(_free_port()),
        "PERENNIAL_TERMINATION_LOG": str(folder / "termination-log"),
    }
    module = ["benchmarks.serving.variant", name] if name in VARIANTS else ["perennial_serving"]
    return Start([sys.executable, "-m", *module], env, port)


def kserve(name: str, _: Path) -> Start:
    """KServe's Python server."""
    kind, port = name.removeprefix("kserve_"), _free_port()
    files = TRAINED.parent if kind == "sklearn" else FILES
    python = str(ROOT / ".venvs" / "bench-kserve" / "bin" / "python")
    return Start([python, str(PEERS / "kserve_server.py"), kind, str(files), str(port)], {}, port)


def mlserver(name: str, folder: Path) -> Start:
    """MLServer without workers beside it: each request would cross processes."""
    kind, port = name.removeprefix("mlserver_"), _free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    onnx = kind == "onnx"
    inputs = json.loads((FILES / "signature.json").read_bytes())["inputs"]
    model = {
        "name": MODEL,
        "implementation": "mlserver_onnx.Onnx" if onnx else "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(FILES if onnx else TRAINED)} | ({} if onnx else {"content_type": "pd"}),
        "inputs": [
            {"name": item["name"], "shape": [-1]}
            | (
                {"datatype": "BYTES", "parameters": {"content_type": "str"}}
                if item["categories"]
                else {"datatype": "FP64"}
            )
            for item in inputs
        ],
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    program = ROOT / ".venvs" / "bench-mlserver" / "bin" / "mlserver"
    return Start([str(program), "start", str(folder)], {"PYTHONPATH": str(PEERS)}, port)


def on_core(core: int, argv: list[str]) -> list[str]:
    """The command line, kept to one core where this machine has a second one for whoever is on the other side."""
    if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
        return ["taskset", "--cpu-list", str(core), *argv]
    return argv


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(
                f"GET /v2/models/{MODEL}/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            )
            return b" 200 " in probe.recv(256)
    except OSError:
        return False


class Server:
    """A context: the server's process, ready, kept to one core.

    ``ready_s`` is from its start to the first 200 of its readiness call; ``log`` is its output's file.
    """

    def __init__(self, name: str, folder: Path, core: int = 0, *, aside: bool = False) -> None:
        """``aside``: it runs when nobody else on its core wants to."""
        folder.mkdir(exist_ok=True)
        maker = {"kserve": kserve, "mlserver": mlserver}.get(name.partition("_")[0], ours)
        start = maker(name, folder)
        self.port = start.port
        began = time.perf_counter()
        self.folder = folder
        self.log = folder / "log"
        self._log = self.log.open("w")
        self._process = subprocess.Popen(
            on_core(core, [*(("chrt", "--idle", "0") if aside else ()), *start.argv]),
            env=os.environ | start.env,
            cwd=folder,
            stdout=self._log,
            stderr=self._log,
        )
        while not _answers(self.port):
            if self._process.poll() is not None or time.perf_counter() - began > 120:
                self._process.kill()
                raise SystemExit(f"{name} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.005)
        self.ready_s = time.perf_counter() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    def _family(self) -> list[Path]:
        """/proc of the process and of all below it."""
        found = [self._process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return [Path(f"/proc/{pid}") for pid in found]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = [(each / "stat").read_text().rpartition(")")[2].split() for each in self._family()]
        return sum(int(field[11]) + int(field[12]) for field in fields) / _TICKS

    def rss_mib(self) -> float:
        """Resident memory now."""
        lines = [line for each in self._family() for line in (each / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
