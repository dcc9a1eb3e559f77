"""Where the shares of a search leave what they found, for the component that chooses.

They leave it in the store, not with Kubeflow: servers of 2.0 hand nothing out of a loop. The address is made of all
that the search depends on, so that what a share found that Kubeflow's cache has answered for is still found.
"""

import os

import msgspec

from perennial.contracts import names, objects
from perennial.contracts.request import RunRequest
from perennial_components.failure import RunError
from perennial_components.records import Tuned
from perennial_components.storage import credentials, store_message

_DIGITS = 32


def address(request: RunRequest, rows: bytes, signature: bytes, number: int, shares: int) -> str:
    """Of what the ``number``-th of ``shares`` found. ``rows`` and ``signature`` are the content of their files."""
    root = os.environ[names.STORE_ROOT].rstrip("/")
    # Neither the run's number nor what only other components read makes it another search.
    alike = msgspec.structs.replace(request, run=0, output="", champion=None, tracking=None)
    parts = (msgspec.json.encode(alike, order="deterministic"), objects.sha256(rows).encode(), signature)
    key = objects.sha256(b"\x1f".join(parts))[:_DIGITS]
    return f"{root}/{request.namespace}/{request.training}/search/{key}/{number}-{shares}.json"


def leave(uri: str, found: Tuned) -> None:
    """Writes what was found. Raises RunError (StoreUnavailable)."""
    try:
        objects.write(uri, msgspec.json.encode(found, order="deterministic"), credentials())
    except Exception as error:  # each kind of store has its own
        raise RunError("StoreUnavailable", f"{uri} cannot be written: {store_message(error)}") from error


def collect(uri: str) -> Tuned | None:
    """Reads it; None where it is not there any more. Raises RunError (StoreUnavailable)."""
    try:
        return msgspec.json.decode(objects.read(uri, credentials()), type=Tuned)
    except FileNotFoundError:
        return None
    except Exception as error:  # each kind of store has its own
        raise RunError("StoreUnavailable", f"{uri} cannot be read: {store_message(error)}") from error
