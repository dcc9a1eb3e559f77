"""Object stores by URL, through obstore: s3://, gs://, az://, https:// and file://."""

import hashlib
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from perennial.contracts.names import STORE_CA
from perennial.contracts.request import Artifact

_PREFIXES = {"s3": "AWS_", "s3a": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "abfs": "AZURE_", "abfss": "AZURE_"}

_UNTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w+)")

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


class TooLarge(ValueError):
    """There is more at an address than the reader takes; the message says how much."""


class StoreNotTrusted(OSError):
    """The server's certificate is by no authority that we trust, or not valid; the message says what to do."""


def open_store(uri: str, credentials: Mapping[str, str]) -> tuple[Any, str]:
    """The store that holds ``uri`` and the path in it.

    ``credentials`` may hold a private authority to be trusted beside the public ones, in ``PERENNIAL_STORE_CA`` (PEM).
    Raises ValueError when the URL names no store we know, or the authority is no certificate.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return from_url("file:///"), parts.path.lstrip("/")
    web = parts.scheme in {"http", "https"}
    if not web and parts.scheme not in _PREFIXES:
        raise ValueError(f"{uri!r}: use an s3://, gs://, az://, https:// or file:// address")
    client: Any = {"allow_http": web or credentials.get("AWS_ALLOW_HTTP", "") == "true"}
    if authority := credentials.get(STORE_CA, "").strip():
        client["root_certificate"] = _checked(authority)
    if web:
        return from_url(f"{parts.scheme}://{parts.netloc}", client_options=client), parts.path.lstrip("/")
    prefix = _PREFIXES[parts.scheme]
    config: Any = {
        key.lower(): value
        for key, value in credentials.items()
        if key.startswith(prefix) and key not in _NOT_FOR_STORES
    }
    client |= {"timeout": "60s", "connect_timeout": "5s"}
    retry: Any = {"max_retries": 3}
    store = from_url(f"{parts.scheme}://{parts.netloc}", config=config, client_options=client, retry_config=retry)
    return store, parts.path.lstrip("/")


def _checked(authority: str) -> str:
    """``authority`` when it is a certificate or several; what is none would be passed over in silence."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{STORE_CA} is no PEM certificate: {error}") from None
    return authority


@contextmanager
def _explained() -> Iterator[None]:
    """Raises :class:`StoreNotTrusted` for what obstore says about it at the end of many lines."""
    try:
        yield
    except BaseError as error:
        if (match := _UNTRUSTED.search(str(error))) is None:
            raise
        raise StoreNotTrusted(
            f"the certificate of its server is refused ({match[1]}); the entry {STORE_CA} of the store's Secrets "
            "takes a private authority (PEM)"
        ) from error


def read(uri: str, credentials: Mapping[str, str], most: int | None = None) -> bytes:
    """The bytes at ``uri``, of which there may be ``most``.

    ``credentials`` are environment-style names (AWS_ENDPOINT_URL, …). Raises FileNotFoundError when nothing is there,
    :class:`TooLarge`, :class:`StoreNotTrusted`, and obstore's errors when the store cannot be reached.
    """
    store, path = open_store(uri, credentials)
    with _explained():
        found = obstore.get(store, path)
        if most is not None and (size := found.meta["size"]) > most:
            raise TooLarge(f"{uri} has {size} bytes; {most} are read at most")
        return bytes(found.bytes())


def read_verified(artifact: Artifact, credentials: Mapping[str, str], most: int | None = None) -> bytes:
    """The bytes of ``artifact``, read as :func:`read` does; raises :class:`DigestMismatch` when their SHA-256 is not
    the recorded one.
    """
    data = read(artifact.uri, credentials, most)
    digest = sha256(data)
    if digest != artifact.sha256:
        raise DigestMismatch(f"{artifact.uri}: SHA-256 is {digest}, recorded is {artifact.sha256}")
    return data


def write(uri: str, data: bytes, credentials: Mapping[str, str]) -> Artifact:
    """Puts ``data`` at ``uri`` and returns its record."""
    store, path = open_store(uri, credentials)
    with _explained():
        obstore.put(store, path, data)
    return Artifact(uri=uri, sha256=sha256(data), size=len(data))


def delete(uri: str, credentials: Mapping[str, str]) -> None:
    """Deletes what is at ``uri``; that it is gone already is success. Raises as :func:`read` does otherwise."""
    store, path = open_store(uri, credentials)
    with _explained(), suppress(FileNotFoundError):
        obstore.delete(store, path)


def listing(uri_prefix: str, credentials: Mapping[str, str]) -> Iterator[str]:
    """The addresses of all objects under the folder ``uri_prefix`` (up to its last ``/``), in no order."""
    folder = uri_prefix[: uri_prefix.rindex("/") + 1]
    store, path = open_store(folder, credentials)
    base = folder[: len(folder) - len(path)]
    with _explained():
        for batch in obstore.list(store, prefix=path or None):
            for entry in batch:
                yield base + entry["path"]


def sha256(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()
