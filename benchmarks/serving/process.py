"""A predictor to measure: started, watched through /proc, ended."""

import hashlib
import json
import os
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
_TICKS = os.sysconf("SC_CLK_TCK")


def _environment(variant: str, port: int, metrics_port: int, folder: Path) -> dict[str, str]:
    names = ("model.onnx", "signature.json", "baseline.json")
    digests = {name: hashlib.sha256((FILES / name).read_bytes()).hexdigest() for name in names}
    artifacts = [{"uri": f"file://{FILES / name}", "sha256": digests[name], "file": name} for name in names]
    (folder / "current").write_bytes(b"a key of thirty-two bytes or so.")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("operator", "serving", ".")),
        "PERENNIAL_ARTIFACTS": json.dumps(artifacts),
        "PERENNIAL_MODEL_DIR": str(FILES),
        "PERENNIAL_MODEL": MODEL,
        "PERENNIAL_VERSION": f"{MODEL}-v1",
        "PERENNIAL_DEPLOYMENT": f"heart/{MODEL}",
        "PERENNIAL_FEEDBACK_KEYS": "" if variant == "no-tokens" else str(folder),
        "PERENNIAL_CONNECTION_MAX_AGE": "0.05" if variant == "renewed-often" else "5",
        "PERENNIAL_DRAIN_SECONDS": "0",
        "PERENNIAL_HOST": "127.0.0.1",
        "PERENNIAL_PORT": str(port),
        "PERENNIAL_METRICS_PORT": str(metrics_port),
        "PERENNIAL_TERMINATION_LOG": str(folder / "termination-log"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in probe.recv(256)
    except OSError:
        return False


class Predictor:
    """A context: the variant's process, ready. ``ready_seconds`` is from its start to the first 200 of /readyz."""

    def __init__(self, variant: str, folder: Path) -> None:
        self.port, metrics_port = _free_port(), _free_port()
        module = (
            ["benchmarks.serving.variant", variant] if variant in {"no-counters", "constant"} else ["perennial_serving"]
        )
        env = _environment(variant, self.port, metrics_port, folder)
        began = time.perf_counter()
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen([sys.executable, "-m", *module], env=env, stderr=self._log)
        while not _answers(metrics_port):
            if self._process.poll() is not None:
                raise SystemExit(f"{variant} did not start: {(folder / 'log').read_text()}")
            time.sleep(0.005)
        self.ready_seconds = time.perf_counter() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mib(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
