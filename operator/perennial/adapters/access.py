"""How a server is told who asks, and how it is known: from mounted Secrets, read again when they change."""

import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

CA, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
TOKEN, USERNAME, PASSWORD = "token", "username", "password"

T = TypeVar("T")


class AccessError(Exception):
    """A mounted file cannot be used; the message names it and never says what is in it."""


@dataclass(frozen=True)
class Access:
    """``ca`` is a folder with ``ca.crt``; ``auth`` one with ``token``, or ``username`` and ``password``, or ``tls.crt``
    and ``tls.key`` (these also beside the others). ``headers`` go with every request and are no secrets.
    """

    ca: Path | None = None
    auth: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Credentials:
    """The headers and the TLS context of this moment. A Secret's volume is replaced as a whole when it is rotated."""

    def __init__(self, access: Access) -> None:
        self._access = access
        ca = [access.ca / CA] if access.ca else []
        auth = [access.auth / name for name in (CERTIFICATE, KEY, TOKEN, USERNAME, PASSWORD)] if access.auth else []
        self._headers = _Reread([*auth], self._read_headers)
        self._tls = _Reread([*ca, *auth[:2]], self._make_context)

    def headers(self) -> dict[str, str]:
        """Those of the settings and Authorization. Raises AccessError."""
        return self._headers.get()

    def tls(self) -> ssl.SSLContext:
        """Trusts the private authority, or else the machine's. Raises AccessError."""
        return self._tls.get()

    def _read_headers(self) -> dict[str, str]:
        found = dict(self._access.headers)
        folder = self._access.auth
        if folder is None:
            return found
        token, username, password = (_text(folder / name) for name in (TOKEN, USERNAME, PASSWORD))
        if token is not None:
            if not token.isascii() or not token.isprintable():
                raise AccessError(f"{folder}/{TOKEN} is no token: not one line of plain characters")
            found["Authorization"] = f"Bearer {token}"
        elif username is not None and password is not None:
            found["Authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        elif username is not None or password is not None:
            raise AccessError(f"{folder} has one of {USERNAME} and {PASSWORD} without the other")
        elif not (folder / CERTIFICATE).exists():
            raise AccessError(f"{folder} has neither {TOKEN}, nor {USERNAME} and {PASSWORD}, nor {CERTIFICATE}")
        return found

    def _make_context(self) -> ssl.SSLContext:
        ca, auth = self._access.ca, self._access.auth
        try:
            context = ssl.create_default_context(cafile=str(ca / CA) if ca else None)
        except (OSError, ssl.SSLError) as error:
            raise AccessError(f"{ca}/{CA} cannot be used: {_kind(error)}") from None
        if auth and (auth / CERTIFICATE).exists():
            try:
                context.load_cert_chain(auth / CERTIFICATE, auth / KEY)
            except (OSError, ssl.SSLError) as error:
                raise AccessError(f"{auth}/{CERTIFICATE} and {KEY} cannot be used: {_kind(error)}") from None
        return context


class _Reread(Generic[T]):
    """What ``read`` makes of ``files``, made again once one of them is another one."""

    def __init__(self, files: list[Path], read: Callable[[], T]) -> None:
        self._files, self._read = files, read
        self._known: tuple[tuple[tuple[int, int, int] | None, ...], T] | None = None

    def get(self) -> T:
        marks = tuple(_mark(file) for file in self._files)
        if self._known is None or self._known[0] != marks:
            self._known = marks, self._read()
        return self._known[1]


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{file} cannot be read: {type(error).__name__}") from None


def _kind(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
