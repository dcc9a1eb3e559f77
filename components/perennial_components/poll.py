"""Looks whether the data of a ModelTraining have changed: ``python -m perennial_components.poll``.

Reads the same request as the runner, takes the data in as a run would, and leaves their digest at the pod's termination
message path: a contracts.result.DataSeen, or a RunOutcome that failed. Nothing is written to the store.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from perennial.contracts.result import DataSeen, RunOutcome
from perennial_components.failure import RunError, account, last_lines, redact
from perennial_components.ingest.core import ingest
from perennial_components.runner import DEFAULT_TERMINATION_LOG, REQUEST_FILE, TERMINATION_LOG
from perennial_components.storage import read_request


def main(environ: Mapping[str, str] | None = None) -> int:
    """Looks once; the exit code is 0 when the data was seen."""
    environ = os.environ if environ is None else environ
    found = seen(environ)
    Path(environ.get(TERMINATION_LOG, DEFAULT_TERMINATION_LOG)).write_bytes(msgspec.json.encode(found))
    if isinstance(found, DataSeen):
        print(f"{found.rows} rows, {found.sha256}")
        return 0
    print(f"failed: {found.reason}: {found.message}")
    return 1


def seen(environ: Mapping[str, str]) -> DataSeen | RunOutcome:
    """What the data of the request in ``environ`` is; whatever goes wrong is an outcome too."""
    try:
        request = read_request(Path(environ[REQUEST_FILE]).read_text(encoding="utf-8"))
        _, found = ingest(request, environ)
    except RunError as error:
        return account("poll", error.reason, redact(error.message, environ))
    except Exception as error:  # noqa: BLE001 - the operator must learn of it, whatever it is
        return account("poll", "InternalError", redact(last_lines(error), environ))
    return DataSeen(sha256=found.sha256, rows=found.rows)


if __name__ == "__main__":
    sys.exit(main())
