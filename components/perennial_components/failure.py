"""How a component says why it failed, in words for the person who wrote the ModelTraining."""

import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import msgspec

from perennial.contracts.request import SQL_URL
from perennial_components import progress

Reason = Literal[
    "DataUnavailable", "DataRejected", "TrainingFailed", "ExportMismatch", "StoreUnavailable", "InternalError"
]

FAILURE_FILE = "PERENNIAL_FAILURE_FILE"
"""Environment: where a component leaves a :class:`Failure`; unset outside the runner."""

_SECRET = ("AWS_", "AZURE_", "GOOGLE_", "MLFLOW_", SQL_URL)
_NOT_SECRET = frozenset({"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ALLOW_HTTP", "AWS_ENDPOINT_URL"})
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_SIGNED = re.compile(
    r"(?i)\b((?:x-amz-(?:signature|credential|security-token)|sig|signature|token|password)=)[^&\s\"']+"
)


class RunError(Exception):
    """A failure that a user can act on; ``message`` needs no stack trace beside it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Failure(msgspec.Struct, frozen=True):
    """Which component failed and why; an empty ``reason`` says that it started and has not ended."""

    component: str
    reason: str = ""
    message: str = ""


@contextmanager
def reported(component: str, unexpected: Reason = "InternalError") -> Iterator[None]:
    """Tells that the component starts and records the outcome of the block for the runner; exceptions pass on.
    ``unexpected`` classes unknown ones.
    """
    _record(Failure(component))
    progress.starts(component)
    began = time.perf_counter()
    try:
        yield
    except RunError as error:
        _record(Failure(component, error.reason, redact(error.message)))
        raise
    except Exception as error:
        _record(Failure(component, unexpected, redact(last_lines(error))))
        raise
    _forget()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{component}: {time.perf_counter() - began:.1f} s, {peak:.0f} MiB at most", flush=True)


def last_lines(error: BaseException, frames: int = 3) -> str:
    """The exception and, innermost last, where it came from; no source lines and no folders."""
    places = traceback.extract_tb(error.__traceback__)[-frames:]
    came = " > ".join(f"{Path(place.filename).name}:{place.lineno} {place.name}" for place in places)
    said = "".join(traceback.format_exception_only(error)).strip()
    return f"{said}\n(at {came})" if came else said


def redact(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``text`` without the values of credentials in ``environ``, user names in URLs and signed query parameters."""
    environ = os.environ if environ is None else environ
    secrets = {v for k, v in environ.items() if k.startswith(_SECRET) and k not in _NOT_SECRET}
    for value in sorted((v for v in secrets if len(v) >= 4), key=len, reverse=True):
        text = text.replace(value, "***")
    return _SIGNED.sub(r"\1***", _USERINFO.sub("***@", text))


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the known name that is most like ``name``, or nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _record(failure: Failure) -> None:
    if path := os.environ.get(FAILURE_FILE):
        Path(path).write_bytes(msgspec.json.encode(failure))
    if failure.reason:
        print(f"{failure.component}: {failure.reason}: {failure.message}", file=sys.stderr)


def _forget() -> None:
    if path := os.environ.get(FAILURE_FILE):
        Path(path).unlink(missing_ok=True)
