"""Labels that come back: a signed token says what was predicted, so no prediction is stored.

A token counts once in this process. Another pod, or this one after a restart, would count it again: whoever reads the
counters holds feedback against predictions and doubts labels that outnumber them.
"""

import secrets
import time
from pathlib import Path

from perennial.contracts.signature import Signature, category_of
from perennial.contracts.token import Claim, Signer, TokenError, key_id, verify
from perennial_serving.counters import Counters
from perennial_serving.protocol import FeedbackItem, FeedbackResponse, Refusal
from perennial_serving.watched import state

_LOOK_SECONDS = 1.0
_REMEMBERED = 16384
TOKEN_REASONS = frozenset({"malformed", "unknown_key", "forged", "expired", "wrong_deployment"})


class KeyRing:
    """The signing keys in ``folder``: ``current`` signs, ``current`` and ``previous`` verify.

    Kubernetes replaces a mounted Secret in place, so the files are looked at again, once a second at most.
    """

    def __init__(self, folder: str) -> None:
        self._files = {name: Path(folder) / name for name in ("current", "previous")} if folder else {}
        self._looked = -_LOOK_SECONDS
        self._seen: tuple[object, ...] = ()
        self._current = b""
        self._all: dict[str, bytes] = {}

    @property
    def current(self) -> bytes:
        """The key that signs; empty when none is mounted."""
        self._refresh()
        return self._current

    @property
    def all(self) -> dict[str, bytes]:
        """The keys that verify, by key id."""
        self._refresh()
        return self._all

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        seen = tuple(state(path) for path in self._files.values())
        if seen != self._seen:
            keys = {name: _content(path) for name, path in self._files.items()}
            self._seen, self._current = seen, keys["current"]
            self._all = {key_id(key): key for key in keys.values() if key}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Feedback:
    """Gives a token with each prediction, and counts what comes back with one."""

    def __init__(
        self, *, keys: KeyRing, counters: Counters, signature: Signature, deployment: str, version: str, lifetime: int
    ) -> None:
        """``deployment`` is "namespace/name"; a token is good for ``lifetime`` seconds."""
        self._keys, self._counters = keys, counters
        self._classes = {label: place for place, label in enumerate(signature.classes)}
        self._labels = signature.classes
        self._deployment, self._version, self._lifetime = deployment, version, lifetime
        self._process = secrets.token_hex(6)
        self._row = 0
        self._signers: list[Signer] = []
        self._signers_of: tuple[bytes, int] = (b"", 0)
        self._counted: dict[tuple[str, str], None] = {}

    @property
    def enabled(self) -> bool:
        """Whether a key is mounted."""
        return bool(self._keys.current)

    def tokens(self, predicted: list[int]) -> list[str]:
        """One token for each predicted class index."""
        tokens, signers = [], self._signers_now()
        for label in predicted:
            self._row += 1
            tokens.append(signers[label].sign(f"{self._process}{self._row:x}"))
        return tokens

    def _signers_now(self) -> list[Signer]:
        """One signer for each class; good for this second."""
        now = (self._keys.current, int(time.time()))
        if now != self._signers_of:
            key, expires = now[0], now[1] + self._lifetime
            claims = (Claim(self._deployment, self._version, label, expires, "") for label in self._labels)
            self._signers, self._signers_of = [Signer(key, claim) for claim in claims], now
        return self._signers

    def take(self, items: list[FeedbackItem]) -> FeedbackResponse:
        """Counts what can be trusted and says for each of the others why not."""
        reasons = []
        for index, item in enumerate(items):
            reason = self._take(item)
            if reason:
                self._counters.feedback_rejected(reason)
                reasons.append(Refusal(index, reason))
        return FeedbackResponse(accepted=len(items) - len(reasons), rejected=len(reasons), reasons=reasons)

    def _take(self, item: FeedbackItem) -> str:
        """The reason for which ``item`` is refused; "" when it was counted."""
        try:
            claim = verify(self._keys.all, item.token, time.time(), self._deployment)
        except TokenError as error:
            return error.reason
        predicted, actual = self._classes.get(claim.predicted), self._classes.get(category_of(item.actual))
        if predicted is None or actual is None:
            return "unknown_class"
        once = (claim.version, claim.row)
        if once in self._counted:
            return "replayed"
        if not self._counters.feedback(claim.version, predicted, actual):
            return "too_many_versions"
        self._counted[once] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        return ""


def status_of(response: FeedbackResponse) -> int:
    """200 when anything was counted, now or before; 401 when no token was good; 400 otherwise."""
    reasons = {refusal.reason for refusal in response.reasons}
    if response.accepted or "replayed" in reasons or not reasons:
        return 200
    return 401 if reasons <= TOKEN_REASONS else 400
