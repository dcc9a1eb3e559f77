"""Labels that come back: a signed token says what was predicted, so no prediction is stored.

Where there are two classes it says how probable that was, too: "<row>.<probability in 1/10000>" in place of the row;
of a Regression "<row>.<number>".
A token counts once in this process. Another pod, or this one after a restart, would count it again: whoever reads the
counters holds feedback against predictions and doubts labels that outnumber them.
"""

import math
import secrets
import time
from pathlib import Path

from perennial.contracts.baseline import VALUE
from perennial.contracts.signature import Signature, category_of
from perennial.contracts.token import Claim, Signer, TokenError, key_id, verify
from perennial_serving.counters import Counters
from perennial_serving.inputs import FLOAT32_MAX
from perennial_serving.model import Prediction
from perennial_serving.protocol import FeedbackItem, FeedbackResponse, Refusal
from perennial_serving.watched import state

_LOOK_SECONDS = 1.0
_REMEMBERED = 16384
_SCALE = 10_000
_LARGEST = FLOAT32_MAX * (1 + 1e-8)
"""A token's nine digits may round float32's largest number up."""
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
        self._regression = signature.task == "Regression"
        self._labels, self._positive = signature.classes or (VALUE,), signature.positive
        self._classes = {label: place for place, label in enumerate(self._labels)}
        self._binary = len(signature.classes) == 2
        self._deployment, self._version, self._lifetime = deployment, version, lifetime
        self._process = secrets.token_hex(6)
        self._row = 0
        self._signers: list[Signer] = []
        self._second = 0
        self._counted: dict[tuple[str, str], None] = {}

    @property
    def enabled(self) -> bool:
        """Whether a key is mounted."""
        return bool(self._keys.current)

    def tokens(self, prediction: Prediction) -> list[str]:
        """One token for each row."""
        signers = self._signers_now()
        return [
            self._token(signers, label, p) for label, p in zip(prediction.predicted, prediction.positive, strict=True)
        ]

    def token(self, prediction: Prediction) -> str:
        """The token for the only row."""
        return self._token(self._signers_now(), prediction.predicted[0], prediction.positive[0])

    def _token(self, signers: list[Signer], label: int, p: float) -> str:
        """The token for a row of class ``label``; ``p`` is the positive class's probability, or the number."""
        self._row += 1
        if self._regression:
            return signers[label].sign(f"{self._process}{self._row}.{p:.9g}")
        if not self._binary:
            return signers[label].sign(f"{self._process}{self._row}")
        chosen = p if label == self._positive else 1 - p
        return signers[label].sign(f"{self._process}{self._row}.{int(chosen * _SCALE + 0.5)}")

    def _signers_now(self) -> list[Signer]:
        """One signer for each class; good for this second, in which the keys are not looked at again."""
        now = int(time.time())
        if now != self._second:
            key = self._keys.current
            claims = (Claim(self._deployment, self._version, label, now + self._lifetime, "") for label in self._labels)
            self._signers, self._second = [Signer(key, claim) for claim in claims], now
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
        now = time.time()
        try:
            claim = verify(self._keys.all, item.token, now, self._deployment)
        except TokenError as error:
            return error.reason
        actual, off = self._actual(item.actual, claim.row)
        predicted = self._classes.get(claim.predicted)
        if predicted is None or actual is None:
            return "not_a_number" if self._regression and predicted is not None else "unknown_class"
        once = (claim.version, claim.row)
        if once in self._counted:
            return "replayed"
        delay = max(0.0, now - (claim.expires - self._lifetime))
        loss = _loss(claim.row, right=predicted == actual) if self._binary else None
        if not self._counters.feedback(claim.version, predicted, actual, delay, loss, off):
            return "too_many_versions"
        self._counted[once] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        return ""

    def _actual(self, told: str | float | bool, row: str) -> tuple[int | None, float | None]:
        """The true class, and of a Regression how far off the prediction in ``row`` was; None for what is neither."""
        if not self._regression:
            return self._classes.get(category_of(told)), None
        true, predicted = _number(told), _number(row.partition(".")[2])
        return (None, None) if true is None or predicted is None else (0, predicted - true)


def _number(told: str | float | bool) -> float | None:
    """``told`` as a number; None for what is none, or beyond float32: its error squared would be infinite, and so would
    the sum of all errors from then on.
    """
    if isinstance(told, bool) or (isinstance(told, str) and "_" in told):  # Python alone reads 1_000
        return None
    try:
        value = float(told)
    except (ValueError, OverflowError):
        return None
    return value if abs(value) <= _LARGEST else None


def _loss(row: str, *, right: bool) -> float | None:
    """The log loss of a prediction between two classes, by its token's ``row``; None for a token that does not tell.

    A probability is known to half of its last digit, so none is 0 or 1.
    """
    _, _, scaled = row.partition(".")
    if not scaled.isdecimal():
        return None
    chosen = min(max(int(scaled), 0.5), _SCALE - 0.5) / _SCALE
    return -math.log(chosen if right else 1 - chosen)


def status_of(response: FeedbackResponse) -> int:
    """200 when anything was counted, now or before; 401 when no token was good; 400 otherwise."""
    reasons = {refusal.reason for refusal in response.reasons}
    if response.accepted or "replayed" in reasons or not reasons:
        return 200
    return 401 if reasons <= TOKEN_REASONS else 400
