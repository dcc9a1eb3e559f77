"""Feedback tokens: a caller hands back what was predicted, signed, so that labels need no store of predictions.

Layout: ``key id (8 hex) . payload (base64url) . HMAC-SHA256 (base64url, first 16 bytes)``; the payload is
``deployment \\x1f version \\x1f predicted \\x1f expiry (Unix s) \\x1f row id``.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache

_SEPARATOR = "\x1f"
_SIGNATURE_BYTES = 16


class TokenError(ValueError):
    """The token cannot be trusted; ``reason`` is one of malformed, unknown_key, forged, expired, wrong_deployment."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"feedback token refused: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Claim:
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
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _mac(key: bytes, payload: bytes) -> bytes:
    mac = _keyed(key).copy()  # a third of the cost of a new one: predictors sign every row
    mac.update(payload)
    return mac.digest()[:_SIGNATURE_BYTES]


def sign(key: bytes, claim: Claim) -> str:
    """The token for ``claim`` under ``key`` (any length; 32 random bytes are usual)."""
    parts = (claim.deployment, claim.version, claim.predicted, str(claim.expires), claim.row)
    payload = _SEPARATOR.join(parts).encode()
    return f"{key_id(key)}.{urlsafe_b64encode(payload).decode()}.{urlsafe_b64encode(_mac(key, payload)).decode()}"


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
    if not hmac.compare_digest(_mac(keys[kid], payload), given):
        raise TokenError("forged")
    where, version, predicted, expires, row = payload.decode().split(_SEPARATOR)
    if int(expires) < now:
        raise TokenError("expired")
    if where != deployment:
        raise TokenError("wrong_deployment")
    return Claim(deployment=where, version=version, predicted=predicted, expires=int(expires), row=row)
