"""Callers known by a token: ``Authorization: Bearer <token>``."""

import logging
import secrets
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from perennial_serving.watched import files, fingerprint

_logger = logging.getLogger(__name__)
CHALLENGE = 'Bearer realm="perennial"'
"""The value of ``WWW-Authenticate`` in a 401."""


class Bearer:
    """The tokens in ``folder``: each file holds one and is named for who uses it. No token: nobody is let in.

    Only keyed digests stay in memory. Their key is this process's own, so that the time of a look-up says nothing about
    a token: a caller cannot know which digest was looked for.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._key = secrets.token_bytes(32)
        self._seen: object = None
        self._known: frozenset[bytes] = frozenset()
        self.look()

    def look(self) -> None:
        """Takes the tokens that are mounted now."""
        seen = fingerprint(self._folder)
        if seen == self._seen:
            return
        tokens = [path.read_bytes().strip() for path in files(self._folder).values()]
        self._seen = seen
        self._known = frozenset(self._digest(token) for token in tokens if token)
        _logger.info("%d bearer tokens are known", len(self._known))

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Why a caller with these headers (names in lower case) is not let in; "" when they are."""
        shown = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = shown.partition(b" ")
        if scheme.lower() != b"bearer":
            return "a token is needed: Authorization: Bearer <token>"
        return "" if self._digest(token.strip()) in self._known else "the token is not one of this deployment's"

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._key, digest_size=32).digest()
