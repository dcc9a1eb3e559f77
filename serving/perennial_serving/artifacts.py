"""The model's files on the pod's disk: named safely, believed only when their digest is the recorded one."""

import contextlib
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from perennial_serving.settings import ArtifactFile, Store

_MESSAGE_BYTES = 4096


class ArtifactError(RuntimeError):
    """A file cannot be served; the message is for people and holds no credentials."""


def place(store: Store, artifact: ArtifactFile) -> Path:
    """Where ``artifact`` lies in the model folder. Raises :class:`ArtifactError` for a name that would leave it."""
    if Path(artifact.file).name != artifact.file or artifact.file in {"", ".", ".."}:
        raise ArtifactError(f"{artifact.file!r} is no plain file name")
    return Path(store.model_dir) / artifact.file


def address(uri: str) -> str:
    """``uri`` without user, password and query, which may hold secrets."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def verify(store: Store) -> dict[str, bytes]:
    """The content of every artifact by file name, each with the recorded SHA-256.

    Raises :class:`ArtifactError` when a file is missing or is another one than recorded.
    """
    contents = {}
    for artifact in store.artifacts:
        path = place(store, artifact)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{artifact.file}: cannot be read ({error.strerror})") from None
        digest = hashlib.sha256(data).hexdigest()
        if digest != artifact.sha256:
            raise ArtifactError(
                f"{artifact.file}: its SHA-256 is {digest}, recorded is {artifact.sha256}; it is not served"
            )
        contents[artifact.file] = data
    return contents


def leave_message(store_path: str, message: str) -> None:
    """Writes ``message`` where Kubernetes reads a container's last words; outside of a pod there is no such file."""
    with contextlib.suppress(OSError):
        Path(store_path).write_bytes(message.encode()[:_MESSAGE_BYTES])
