"""The init container: brings the model's files, verified, from the store to the folder that the predictor reads.

It alone holds the store's credentials, and is gone before the first request.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from obstore.exceptions import BaseError

from perennial.contracts.objects import DigestMismatch, read_verified
from perennial.contracts.request import Artifact
from perennial_serving.artifacts import ArtifactError, address, leave_message, place
from perennial_serving.settings import TERMINATION_LOG, ArtifactFile, SettingsError, Store, load_store

_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL")
_REASON_CHARACTERS = 400


def redact(text: str, environment: Mapping[str, str]) -> str:
    """``text`` without the secrets of ``environment``, cut before a server's answer, which may repeat them."""
    reason = text.partition("<?xml")[0].partition("\n")[0]
    for name, value in environment.items():
        if value and any(word in name.upper() for word in _SECRET_WORDS):
            reason = reason.replace(value, "***")
    return reason[:_REASON_CHARACTERS].strip()


def _fetch(store: Store, artifact: ArtifactFile, environment: Mapping[str, str]) -> None:
    target = place(store, artifact)
    if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == artifact.sha256:
        return
    where = address(artifact.uri)
    try:
        data = read_verified(Artifact(uri=artifact.uri, sha256=artifact.sha256), environment)
    except DigestMismatch as error:
        digests = str(error).removeprefix(artifact.uri)
        raise ArtifactError(f"{artifact.file}: what is at {where} is not what was recorded{digests}") from None
    except FileNotFoundError:
        raise ArtifactError(f"{artifact.file}: nothing is at {where}") from None
    except (BaseError, ValueError, OSError) as error:
        raise ArtifactError(f"{artifact.file}: {where} cannot be read: {redact(str(error), environment)}") from None
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    partial.replace(target)


def fetch(store: Store, environment: Mapping[str, str]) -> None:
    """Puts every artifact into the model folder; what is there with the right digest stays.

    ``environment`` holds the store's credentials under their usual names. Raises :class:`ArtifactError`.
    """
    Path(store.model_dir).mkdir(parents=True, exist_ok=True)
    for artifact in store.artifacts:
        _fetch(store, artifact, environment)


def main() -> int:
    """Exit code 0 when all files are in place, 1 with a termination message otherwise."""
    log = os.environ.get("PERENNIAL_TERMINATION_LOG", TERMINATION_LOG)
    try:
        fetch(load_store(os.environ), os.environ)
    except (ArtifactError, SettingsError) as error:
        leave_message(log, str(error))
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
