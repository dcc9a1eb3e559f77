"""TLS of the serving ports, from a mounted Secret that may be renewed at any time."""

import logging
import ssl
from pathlib import Path
from typing import Any

import msgspec

from perennial_serving.watched import files, fingerprint

_CERTIFICATE, _KEY, _CA = "tls.crt", "tls.key", "ca.crt"
REQUIRED = "Required"
_logger = logging.getLogger(__name__)


class TlsError(RuntimeError):
    """The Secret's files cannot protect a port; the message says which and why."""


class Material(msgspec.Struct, frozen=True):
    """PEM: the certificate with its chain, its key, and the authority of the clients (empty when none is mounted)."""

    certificate: bytes
    key: bytes
    ca: bytes


class Tls:
    """What the Secret in ``folder`` says now. ``client_auth``: "None", or "Required" for mTLS by ``ca.crt``."""

    def __init__(self, folder: str, client_auth: str) -> None:
        """Raises :class:`TlsError`."""
        self._folder = Path(folder)
        self.client_auth = client_auth == REQUIRED
        self._seen = fingerprint(self._folder)
        self._load()
        self._door = self._server_context(files(self._folder))
        # Asked at every handshake, with or without a server name: a live context could be given a new certificate, but
        # would go on trusting the clients' old authority.
        self._door.sni_callback = self._choose

    @property
    def door(self) -> ssl.SSLContext:
        """The context to listen with, for good; each handshake takes what is mounted then."""
        return self._door

    def look(self) -> None:
        """Takes renewed files; those that are broken are logged and leave the old ones in use."""
        seen = fingerprint(self._folder)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._load()
        except TlsError as error:
            _logger.error("the renewed certificate is not taken, the old one stays: %s", error)  # noqa: TRY400
        else:
            _logger.info("a renewed certificate is in use")

    def client(self) -> ssl.SSLContext:
        """A context for asking another predictor with the same Secret.

        It is known by the certificate, or its authority, not by its host name; and shown our own, should it ask.
        """
        return self._client

    def _load(self) -> None:
        found = files(self._folder)
        absent = [name for name in (_CERTIFICATE, _KEY) if name not in found]
        if self.client_auth and _CA not in found:
            absent.append(_CA)
        if absent:
            raise TlsError(f"not in the TLS Secret: {', '.join(absent)}")
        try:
            material = Material(
                *(found[name].read_bytes() if name in found else b"" for name in (_CERTIFICATE, _KEY, _CA))
            )
        except OSError as error:
            raise TlsError(f"the TLS Secret cannot be read: {error}") from None
        server = self._server_context(found)
        self._server, self._client, self.material = server, self._client_context(found, material), material

    def _server_context(self, found: dict[str, Path]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _load_pair(context, found)
        if self.client_auth:
            _load_authority(context, found[_CA].read_bytes(), _CA)
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would let in a client whose authority has been taken away since. TLS 1.3 resumes by
            # tickets alone, which are not given; TLS 1.2 also by an id that cannot be withheld.
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.num_tickets = 0
        return context

    def _client_context(self, found: dict[str, Path], material: Material) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _load_authority(context, material.certificate, _CERTIFICATE)
        if material.ca:
            _load_authority(context, material.ca, _CA)
        if self.client_auth:
            _load_pair(context, found)
        return context

    def _choose(self, connection: Any, _name: str | None, _door: ssl.SSLContext) -> None:
        connection.context = self._server


def _load_pair(context: ssl.SSLContext, found: dict[str, Path]) -> None:
    try:
        # Without a password OpenSSL would ask a terminal for one.
        context.load_cert_chain(found[_CERTIFICATE], found[_KEY], password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(f"{_CERTIFICATE} and {_KEY} are no PEM certificate with its key: {error}") from None


def _load_authority(context: ssl.SSLContext, pem: bytes, name: str) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"{name} is no PEM certificate: {error}") from None
