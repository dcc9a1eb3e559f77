"""A run as a Job makes it, in this process and its children: ``python -m benchmarks.training.ours FOLDER``.

``FOLDER`` has request.json; the run's files come beside it, then the rows that it trained on and those that it held
out, for the others, and answer.json.
"""

import os
import resource
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.training.datasets import TEST, TRAIN
from perennial.contracts import objects
from perennial.contracts.result import RunResult
from perennial_components import runner
from perennial_components.ingest.core import ingest
from perennial_components.split.core import split
from perennial_components.storage import read_request


def measure(folder: Path) -> dict[str, object]:
    """The run's score on the rows that it held out, its time (s) and its largest process (MiB)."""
    environ = {**os.environ, runner.REQUEST_FILE: str(folder / "request.json")}
    began = time.perf_counter()
    outcome = runner.run(environ, folder)
    seconds = time.perf_counter() - began
    if outcome.result is None:
        raise RuntimeError(f"{outcome.component}: {outcome.message}")
    request = read_request((folder / "request.json").read_text())
    result = msgspec.json.decode(objects.read(outcome.result.uri, environ), type=RunResult)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "score": result.metrics[request.metric],
        "seconds": seconds,
        "peak_mib": children,
        "winner": result.algorithm,
        "trials": sum(each.trials for each in result.candidates),
    }


def share(folder: Path) -> None:
    """Writes the training rows and the held-out ones, which depend on nothing but the request."""
    request = read_request((folder / "request.json").read_text())
    table, _ = ingest(request, dict(os.environ))
    held = split(request, table)[0].held
    table[~held].to_csv(folder / TRAIN, index=False)
    table[held].to_csv(folder / TEST, index=False)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    answer = measure(where)
    share(where)
    (where / "ours.json").write_bytes(msgspec.json.encode(answer))
