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
from typing import Literal, get_args

import msgspec

from perennial.contracts import names
from perennial.contracts.request import SQL_URL
from perennial.contracts.result import RunOutcome
from perennial_components import pod, progress

Reason = Literal[
    "SourceInvalid",
    "DataUnavailable",
    "DataRejected",
    "TrainingFailed",
    "ExportMismatch",
    "StoreUnavailable",
    "InternalError",
]
"""SourceInvalid: the data cannot be had, and no other attempt changes that; DataUnavailable: another one may."""

MESSAGE_BYTES = 3072
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


def account(component: str, reason: str, message: str) -> RunOutcome:
    """How a run that failed accounts for itself."""
    known: Reason = reason if reason in get_args(Reason) else "InternalError"  # type: ignore[assignment]
    return RunOutcome(succeeded=False, component=component, reason=known, message=shortened(message))


def shortened(message: str, limit: int = MESSAGE_BYTES) -> str:
    """``message`` so that its JSON takes at most ``limit`` bytes; the beginning is kept, where the cause is named."""
    while len(msgspec.json.encode(message)) > limit:
        message = message[: int(len(message) * 0.9) - 3].rstrip(".") + "..."
    return message


def _record(failure: Failure) -> None:
    if path := os.environ.get(FAILURE_FILE):
        Path(path).write_bytes(msgspec.json.encode(failure))
    if failure.reason:
        print(f"{failure.component}: {failure.reason}: {failure.message}", file=sys.stderr)
        if folder := pod.folder():
            _tell(f"{folder}/{names.FILE_FAILURE}", account(failure.component, failure.reason, failure.message))


def _tell(uri: str, told: RunOutcome) -> None:
    """Leaves the account in the store, where the operator looks for it: of a pod of Kubeflow's it learns nothing."""
    from perennial.contracts import objects  # noqa: PLC0415 - only runs that fail in Kubeflow pay for it

    try:
        objects.write(uri, msgspec.json.encode(told), dict(os.environ))
    except Exception as error:  # noqa: BLE001 - the component fails of its own cause, not of this
        print(f"the operator is not told: {type(error).__name__}", file=sys.stderr)


def _forget() -> None:
    if path := os.environ.get(FAILURE_FILE):
        Path(path).unlink(missing_ok=True)
