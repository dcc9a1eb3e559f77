"""Tokens out, labels in."""

import hmac
import math
import os
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perennial.contracts.signature import Signature
from perennial.contracts.token import Claim, sign, verify
from perennial_serving import feedback as module
from perennial_serving.counters import REASONS, Counters
from perennial_serving.feedback import Feedback, KeyRing, status_of
from perennial_serving.model import Model, Prediction
from perennial_serving.protocol import FeedbackItem, FeedbackResponse, Refusal
from tests.unit.serving.conftest import KEY
from tests.unit.serving.support import DEPLOYMENT, VERSION, total

SIGNATURE = Signature(task="Classification", inputs=(), target="num", classes=("0", "1"))
OTHER_KEY = b"another key, unknown here"
NOW = 1_800_000_000.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return NOW + self.now

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("length", [0, 1, 32, 64, 65, 200])
def test_a_token_is_signed_by_hmac_sha256(length: int) -> None:
    key = b"k" * length
    token = sign(key, Claim(DEPLOYMENT, VERSION, "1", int(NOW), "row"))
    _, payload, mac = token.split(".")
    expected = hmac.digest(key, urlsafe_b64decode(payload), "sha256")
    assert urlsafe_b64decode(mac) == expected[:16]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def feedback(keys: Path, counters: Counters, clock: Clock) -> Feedback:
    names = {"deployment": DEPLOYMENT, "version": VERSION}
    return Feedback(keys=KeyRing(str(keys)), counters=counters, signature=SIGNATURE, lifetime=60, **names)


def made(*predicted: int, p: float = 0.75) -> Prediction:
    """Rows of ``predicted`` classes, each with the probability ``p``."""
    positive = [p if label else 1 - p for label in predicted]
    return Prediction(list(predicted), positive, positive)


def token(key: bytes = KEY, **more: Any) -> str:
    return sign(key, msgspec.structs.replace(Claim(DEPLOYMENT, VERSION, "1", int(NOW) + 60, "r1"), **more))


def reason(feedback: Feedback, text: str, actual: Any = "1") -> str:
    response = feedback.take([FeedbackItem(text, actual)])
    assert response.accepted + response.rejected == 1
    return response.reasons[0].reason if response.reasons else ""


@pytest.mark.parametrize("actual", ["0", 0, 0.0, False, "0.0"])
def test_a_label_counts_against_what_was_predicted(feedback: Feedback, counters: Counters, actual: Any) -> None:
    (given,) = feedback.tokens(made(1))
    assert reason(feedback, given, actual) == ""
    text = counters.render(scraper=False).decode()
    assert total(text, "perennial_feedback_total", version=VERSION, predicted="1", actual="0") == 1
    assert total(text, "perennial_feedback_total") == 1


def test_each_row_has_its_own_token(feedback: Feedback) -> None:
    tokens = feedback.tokens(made(0, 0, 1))
    claims = [verify({token.partition(".")[0]: KEY for token in tokens}, token, NOW, DEPLOYMENT) for token in tokens]
    assert [claim.predicted for claim in claims] == ["0", "0", "1"]
    assert len({claim.row for claim in claims}) == 3
    assert {claim.expires for claim in claims} == {int(NOW) + 60}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nonsense", "malformed"),
        ("a.b", "malformed"),
        (token(OTHER_KEY), "unknown_key"),
        (token()[:-8] + "AAAAAA==", "forged"),
        (token(expires=int(NOW) - 1), "expired"),
        (token(deployment="elsewhere/heart-disease"), "wrong_deployment"),
        (token(predicted="9"), "unknown_class"),
    ],
)
def test_a_token_that_cannot_be_trusted(feedback: Feedback, counters: Counters, given: str, expected: str) -> None:
    assert reason(feedback, given) == expected
    text = counters.render(scraper=False).decode()
    assert total(text, "perennial_feedback_rejected_total", reason=expected) == 1
    assert total(text, "perennial_feedback_total") == 0


def test_a_token_grows_old(feedback: Feedback, clock: Clock) -> None:
    given = feedback.tokens(made(1))
    clock.now = 61.5
    assert reason(feedback, given[0]) == "expired"


def test_an_actual_that_is_no_class_does_not_spend_the_token(feedback: Feedback) -> None:
    assert reason(feedback, token(), "sick") == "unknown_class"
    assert reason(feedback, token(), "1") == ""


def test_a_replayed_token_counts_once_however_it_is_spelt(feedback: Feedback, counters: Counters) -> None:
    assert reason(feedback, token()) == ""
    assert reason(feedback, token()) == "replayed"
    assert reason(feedback, token(expires=int(NOW) + 90)) == "replayed"
    assert total(counters.render(scraper=False).decode(), "perennial_feedback_total") == 1


def test_what_is_remembered_is_bounded(feedback: Feedback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    for row in ("a", "b", "c"):
        assert reason(feedback, token(row=row)) == ""
    assert reason(feedback, token(row="c")) == "replayed"
    assert reason(feedback, token(row="a")) == ""


def figures(counters: Counters, metric: str, version: str = VERSION) -> tuple[float, float]:
    text = counters.render(scraper=False).decode()
    return total(text, f"{metric}_sum", version=version), total(text, f"{metric}_count", version=version)


def test_a_label_says_how_late_it_came(feedback: Feedback, counters: Counters, clock: Clock) -> None:
    first, second = feedback.tokens(made(1, 0))
    clock.now = 20
    assert reason(feedback, first) == ""
    clock.now = 50
    assert reason(feedback, second) == ""
    assert figures(counters, "perennial_feedback_delay_seconds") == (70, 2)


def test_a_token_of_a_longer_life_counts_no_negative_delay(feedback: Feedback, counters: Counters) -> None:
    assert reason(feedback, token(expires=int(NOW) + 90)) == ""
    assert figures(counters, "perennial_feedback_delay_seconds") == (0, 1)


@pytest.mark.parametrize(
    ("predicted", "p", "actual", "loss"),
    [
        (1, 0.75, "1", -math.log(0.75)),
        (1, 0.75, "0", -math.log(0.25)),
        (0, 0.9, "0", -math.log(0.9)),
        (0, 0.9, "1", -math.log(0.1)),
        (1, 0.12344, "1", -math.log(0.1234)),  # predicted by a threshold of its own
        (1, 1.00005, "1", -math.log(0.99995)),  # as a float32 softmax may have it
        (1, 1.0, "0", -math.log(0.00005)),  # surely right, and wrong: bad, but not infinitely so
    ],
)
def test_a_label_says_how_bad_the_prediction_was(
    feedback: Feedback, counters: Counters, predicted: int, p: float, actual: str, loss: float
) -> None:
    assert reason(feedback, feedback.token(made(predicted, p=p)), actual) == ""
    assert figures(counters, "perennial_feedback_log_loss") == pytest.approx((loss, 1))


def test_a_token_from_before_probabilities_counts_but_no_loss(feedback: Feedback, counters: Counters) -> None:
    assert reason(feedback, token(row="0123456789ab4f")) == ""
    assert figures(counters, "perennial_feedback_log_loss") == (0, 0)
    assert total(counters.render(scraper=False).decode(), "perennial_feedback_total", version=VERSION) == 1


def test_loss_and_delay_are_their_versions(feedback: Feedback, counters: Counters) -> None:
    assert reason(feedback, token(version="heart-disease-v0", row="r.7500")) == ""
    for metric in ("perennial_feedback_log_loss", "perennial_feedback_delay_seconds"):
        assert figures(counters, metric)[1] == 0
        assert figures(counters, metric, "heart-disease-v0")[1] == 1


def test_more_than_two_classes_have_no_loss(keys: Path, model: Model, clock: Clock) -> None:
    signature = msgspec.structs.replace(model.signature, classes=("0", "1", "2"))
    counters = Counters(Model(model.scorer, signature, model.baseline), DEPLOYMENT, VERSION)
    names = {"deployment": DEPLOYMENT, "version": VERSION}
    feedback = Feedback(keys=KeyRing(str(keys)), counters=counters, signature=signature, lifetime=60, **names)
    given = [*feedback.tokens(Prediction([2], [0.6], [0.1])), token(row="r.7500")]
    assert [reason(feedback, each, "2") for each in given] == ["", ""]
    text = counters.render(scraper=False).decode()
    assert total(text, "perennial_feedback_delay_seconds_count") == 2
    assert "perennial_feedback_log_loss" not in text


def test_labels_of_an_earlier_version_carry_its_name(feedback: Feedback, counters: Counters) -> None:
    assert reason(feedback, token(version="heart-disease-v0")) == ""
    text = counters.render(scraper=False).decode()
    assert total(text, "perennial_feedback_total", version="heart-disease-v0") == 1
    assert total(text, "perennial_feedback_total", version=VERSION) == 0


def test_keys_rotate_without_a_restart(feedback: Feedback, keys: Path, clock: Clock) -> None:
    (before,) = feedback.tokens(made(1))
    (keys / "previous").write_bytes(KEY)
    (keys / "new").write_bytes(OTHER_KEY)
    (keys / "new").replace(keys / "current")
    clock.now = 1.5
    (after,) = feedback.tokens(made(1))
    assert after.partition(".")[0] != before.partition(".")[0]
    assert [reason(feedback, given) for given in (before, after)] == ["", ""]
    (keys / "previous").unlink()
    clock.now = 3
    (late,) = feedback.tokens(made(0))
    assert reason(feedback, token(row="late")) == "unknown_key"
    assert reason(feedback, late) == ""


def test_the_files_are_looked_at_once_a_second_at_most(
    keys: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    real = os.stat
    ring = KeyRing(str(keys))

    def stat(path: Path) -> os.stat_result:
        looks.append(path)
        return real(path)

    monkeypatch.setattr(Path, "stat", stat)
    for _ in range(100):
        assert ring.current == KEY
    assert len(looks) == 2


def test_without_a_key_nothing_is_signed() -> None:
    assert KeyRing("").current == b""
    assert KeyRing("/nowhere").all == {}


@pytest.mark.parametrize(
    ("accepted", "reasons", "status"),
    [
        (1, [], 200), (0, [], 200), (1, ["forged"], 200), (0, ["replayed"], 200), (0, ["forged", "expired"], 401),
        (0, ["unknown_class"], 400), (0, ["forged", "unknown_class"], 400), (0, ["too_many_versions"], 400),
    ],
)  # fmt: skip
def test_the_status_says_whose_fault_it_is(accepted: int, reasons: list[str], status: int) -> None:
    assert set(reasons) <= set(REASONS)
    refusals = [Refusal(index, reason) for index, reason in enumerate(reasons)]
    assert status_of(FeedbackResponse(accepted, len(reasons), refusals)) == status
