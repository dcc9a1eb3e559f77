"""Looks up the features of a run's entity rows before the run begins: ``python -m perennial_components.feast``.

Reads the same request as the runner and writes the rows, and what was read, into the folder that both share. Of a
failure it leaves a RunOutcome at the pod's termination message path; of success nothing.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from pyarrow import parquet

from perennial.contracts.request import FEAST_FOLDER, FEAST_ROWS, FEAST_SEEN
from perennial.contracts.result import RunOutcome
from perennial_components.failure import RunError, account, last_lines, redact
from perennial_components.feast import repository
from perennial_components.feast.core import history
from perennial_components.runner import DEFAULT_TERMINATION_LOG, REQUEST_FILE, TERMINATION_LOG
from perennial_components.storage import read_request, write_json

COMPONENT = "feast"


def main(environ: Mapping[str, str] | None = None) -> int:
    """Looks up once; the exit code is 0 when the rows are written."""
    environ = os.environ if environ is None else environ
    failure = written(environ)
    if failure is None:
        return 0
    Path(environ.get(TERMINATION_LOG, DEFAULT_TERMINATION_LOG)).write_bytes(msgspec.json.encode(failure))
    print(f"failed: {failure.reason}: {failure.message}")
    return 1


def written(environ: Mapping[str, str]) -> RunOutcome | None:
    """Writes the rows of the request in ``environ``; how it failed, if it did, whatever went wrong."""
    hidden = repository.secrets(environ)
    try:
        request = read_request(Path(environ[REQUEST_FILE]).read_text(encoding="utf-8"))
        source = request.feast
        if source is None:
            return account(COMPONENT, "InternalError", "the run's request names no Feast repository")
        table, seen = history(source, environ)
        folder = Path(environ[FEAST_FOLDER])
        parquet.write_table(table, folder / FEAST_ROWS)
        write_json(str(folder / FEAST_SEEN), seen)
    except RunError as error:
        return account(COMPONENT, error.reason, repository.without(hidden, redact(error.message, environ)))
    except Exception as error:  # noqa: BLE001 - the operator must learn of it, whatever it is
        return account(COMPONENT, "InternalError", repository.without(hidden, redact(last_lines(error), environ)))
    print(f"{table.num_rows} rows, {len(seen.features)} features of {', '.join(view.name for view in seen.views)}")
    return None


if __name__ == "__main__":
    sys.exit(main())
