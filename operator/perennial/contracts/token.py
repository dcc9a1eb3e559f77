"""Feedback tokens: a caller hands back what was predicted, signed, so that labels need no store of predictions.

Layout: ``key id (8 hex) . payload (base64url) . HMAC-SHA256 (base64url, first 16 bytes)``; the payload is
``deployment \\x1f version \\x1f predicted \\x1f expiry (Unix s) \\x1f row id``.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from functools import lru_cache
from typing import Any

import msgspec

_SEPARATOR = "\x1f"
_SIGNATURE_BYTES = 16
_BLOCK_BYTES = 64
_URLSAFE = bytes.maketrans(b"+/", b"-_")


class TokenError(ValueError):
    """The token cannot be trusted; ``reason`` is one of malformed, unknown_key, forged, expired, wrong_deployment."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"feedback token refused: {reason}")
        self.reason = reason


class Claim(msgspec.Struct, frozen=True):
    """What a token says: ``deployment`` is "namespace/name", ``predicted`` the label, ``expires`` in Unix s."""

    deployment: str
    version: str
    predicted: str
    expires: int
    row: str


@lru_cache(maxsize=8)
def key_id(key: bytes) -> str:
    """The public name of a signing key: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


@lru_cache(maxsize=8)
def _pads(key: bytes) -> tuple[Any, Any]:
    """SHA-256 over the key's inner and outer padding (RFC 2104), begun once: predictors sign every row."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer


class Signer:
    """Signs under ``key`` (any length; 32 random bytes are usual) what differs from ``claim`` in its row alone."""

    def __init__(self, key: bytes, claim: Claim) -> None:
        parts = (claim.deployment, claim.version, claim.predicted, str(claim.expires), "")
        self._head = _SEPARATOR.join(parts).encode()
        inner, self._outer = _pads(key)
        self._inner = inner.copy()
        self._inner.update(self._head)
        self._key_id = key_id(key)

    def sign(self, row: str) -> str:
        """The token for ``row``. Copies of the two begun hashes cost half of a copied ``hmac.HMAC``."""
        tail = row.encode()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(tail)
        outer.update(inner.digest())
        return f"{self._key_id}.{_text(self._head + tail)}.{_text(outer.digest()[:_SIGNATURE_BYTES])}"


def sign(key: bytes, claim: Claim) -> str:
    """The token for ``claim`` under ``key``; for many, see :class:`Signer`."""
    return Signer(key, claim).sign(claim.row)


def _text(data: bytes) -> str:
    """``data`` in base64 for URLs."""
    return b2a_base64(data, newline=False).translate(_URLSAFE).decode()


def verify(keys: dict[str, bytes], token: str, now: float, deployment: str) -> Claim:
    """The claim in ``token``, checked against ``keys`` (by key id), the time ``now`` (Unix s) and the deployment.

    Raises :class:`TokenError`.
    """
    try:
        kid, body, mac = token.split(".")
        payload, given = urlsafe_b64decode(body), urlsafe_b64decode(mac)
    except ValueError as error:
        raise TokenError("malformed") from error
    if kid not in keys:
        raise TokenError("unknown_key")
    if not hmac.compare_digest(hmac.digest(keys[kid], payload, "sha256")[:_SIGNATURE_BYTES], given):
        raise TokenError("forged")
    where, version, predicted, expires, row = payload.decode().split(_SEPARATOR)
    if int(expires) < now:
        raise TokenError("expired")
    if where != deployment:
        raise TokenError("wrong_deployment")
    return Claim(deployment=where, version=version, predicted=predicted, expires=int(expires), row=row)
