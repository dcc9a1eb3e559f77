"""A poll says what the data is, in the words that the operator reads, or why it has not seen it."""

from pathlib import Path

import msgspec

from perennial.contracts.result import DataSeen, RunOutcome
from perennial_components import poll
from perennial_components.ingest.core import ingest
from tests.unit.components.support import request


def looked(folder: Path, asked: object) -> tuple[int, bytes]:
    (folder / "request.json").write_bytes(msgspec.json.encode(asked))
    log = folder / "termination-log"
    environ = {"PERENNIAL_REQUEST_FILE": str(folder / "request.json"), "PERENNIAL_TERMINATION_LOG": str(log)}
    code = poll.main(environ)
    return code, log.read_bytes()


def test_it_leaves_the_digest_that_a_run_would_record(tmp_path: Path) -> None:
    code, message = looked(tmp_path, request())
    _, recorded = ingest(request(), {})
    assert code == 0
    assert msgspec.json.decode(message, type=DataSeen) == DataSeen(recorded.sha256, recorded.rows)


def test_what_it_cannot_see_is_told_as_by_a_run(tmp_path: Path) -> None:
    code, message = looked(tmp_path, request(source=f"file://{tmp_path}/no.csv"))
    outcome = msgspec.json.decode(message, type=RunOutcome)
    assert code == 1
    assert (outcome.succeeded, outcome.reason) == (False, "SourceInvalid")
    assert outcome.message == f"there is nothing at file://{tmp_path}/no.csv"


def test_a_request_that_cannot_be_read_is_told_too(tmp_path: Path) -> None:
    code, message = looked(tmp_path, {"namespace": "clinic"})
    assert code == 1
    assert msgspec.json.decode(message, type=RunOutcome).reason == "InternalError"
