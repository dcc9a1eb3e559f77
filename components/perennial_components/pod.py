"""What a component that Kubeflow Pipelines runs knows of its run: from the arguments of its own process."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perennial.contracts import names
from perennial.contracts.request import RunRequest

_EXECUTOR_INPUT = "--executor_input"
_RUN_ID = re.compile(r"(?<=/)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=/)")
"""In the addresses that Kubeflow gives artifacts the run's id comes first: <root>/<pipeline>/<run id>/<task>/…"""


def folder(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> str | None:
    """Where the run tells of itself (contracts.names.kubeflow_folder); None where Kubeflow does not run this."""
    environ = os.environ if environ is None else environ
    arguments = sys.argv if arguments is None else arguments
    if environ.get(names.ENGINE) != names.KUBEFLOW or _EXECUTOR_INPUT not in arguments:
        return None
    try:
        given: dict[str, Any] = msgspec.json.decode(arguments[arguments.index(_EXECUTOR_INPUT) + 1])
        request = msgspec.json.decode(given["inputs"]["parameterValues"]["request"], type=RunRequest)
    except (LookupError, msgspec.MsgspecError):
        return None
    # What a component is given may come from an earlier run's cache; what it makes is its own run's.
    found = [match for address in (*_addresses(given, "outputs"), *_addresses(given, "inputs"))
             if (match := _RUN_ID.search(address))]  # fmt: skip
    root = environ.get(names.STORE_ROOT, "").rstrip("/")
    if not found or not root:
        return None
    return names.kubeflow_folder(f"{root}/{request.namespace}/{request.training}/0", found[0].group())


def _addresses(given: dict[str, Any], side: str) -> list[str]:
    artifacts = (given.get(side) or {}).get("artifacts") or {}
    return [str(each.get("uri", "")) for one in artifacts.values() for each in one.get("artifacts") or ()]
