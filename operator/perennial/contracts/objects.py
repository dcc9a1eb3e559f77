"""Object stores by URL, through obstore: s3://, gs://, az://, https:// and file://."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.store import from_url

from perennial.contracts.request import Artifact

_PREFIXES = {"s3": "AWS_", "s3a": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "abfs": "AZURE_", "abfss": "AZURE_"}

_NOT_FOR_STORES = frozenset(
    f"AWS_{name}"
    for name in (
        "ALLOW_HTTP",
        "CA_BUNDLE",
        "CONFIG_FILE",
        "DEFAULT_OUTPUT",
        "EC2_METADATA_DISABLED",
        "MAX_ATTEMPTS",
        "PAGER",
        "PROFILE",
        "RETRY_MODE",
        "ROLE_SESSION_NAME",
        "SDK_LOAD_CONFIG",
        "SHARED_CREDENTIALS_FILE",
        "STS_REGIONAL_ENDPOINTS",
    )
)
"""Names that other AWS clients read and obstore refuses to know."""


class DigestMismatch(ValueError):
    """The bytes at an address are not the recorded ones."""


def open_store(uri: str, credentials: Mapping[str, str]) -> tuple[Any, str]:
    """The store that holds ``uri`` and the path in it. Raises ValueError when the URL names no store we know."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return from_url("file:///"), parts.path.lstrip("/")
    if parts.scheme in {"http", "https"}:
        return from_url(f"{parts.scheme}://{parts.netloc}"), parts.path.lstrip("/")
    if parts.scheme not in _PREFIXES:
        raise ValueError(f"{uri!r}: use an s3://, gs://, az://, https:// or file:// address")
    prefix = _PREFIXES[parts.scheme]
    config: Any = {
        key.lower(): value
        for key, value in credentials.items()
        if key.startswith(prefix) and key not in _NOT_FOR_STORES
    }
    client: Any = {
        "allow_http": credentials.get("AWS_ALLOW_HTTP", "") == "true",
        "timeout": "60s",
        "connect_timeout": "5s",
    }
    retry: Any = {"max_retries": 3}
    store = from_url(f"{parts.scheme}://{parts.netloc}", config=config, client_options=client, retry_config=retry)
    return store, parts.path.lstrip("/")


def read(uri: str, credentials: Mapping[str, str]) -> bytes:
    """The bytes at ``uri``. ``credentials`` are environment-style names (AWS_ENDPOINT_URL, …).

    Raises FileNotFoundError when nothing is there, and obstore's errors when the store cannot be reached.
    """
    store, path = open_store(uri, credentials)
    return bytes(obstore.get(store, path).bytes())


def read_verified(artifact: Artifact, credentials: Mapping[str, str]) -> bytes:
    """The bytes of ``artifact``; raises :class:`DigestMismatch` when their SHA-256 is not the recorded one."""
    data = read(artifact.uri, credentials)
    digest = sha256(data)
    if digest != artifact.sha256:
        raise DigestMismatch(f"{artifact.uri}: SHA-256 is {digest}, recorded is {artifact.sha256}")
    return data


def write(uri: str, data: bytes, credentials: Mapping[str, str]) -> Artifact:
    """Puts ``data`` at ``uri`` and returns its record."""
    store, path = open_store(uri, credentials)
    obstore.put(store, path, data)
    return Artifact(uri=uri, sha256=sha256(data), size=len(data))


def listing(uri_prefix: str, credentials: Mapping[str, str]) -> Iterator[str]:
    """The addresses of all objects under the folder ``uri_prefix`` (up to its last ``/``), in no order."""
    folder = uri_prefix[: uri_prefix.rindex("/") + 1]
    store, path = open_store(folder, credentials)
    base = folder[: len(folder) - len(path)]
    for batch in obstore.list(store, prefix=path or None):
        for entry in batch:
            yield base + entry["path"]


def sha256(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()
