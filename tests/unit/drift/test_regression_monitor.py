"""The controller with a version that predicts a number: from the series to the status, the terminal and the report."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from perennial.adapters.prometheus import Prometheus
from perennial.api.drift import DriftMonitor
from perennial.cli import resources
from perennial.contracts import names
from perennial.contracts.baseline import ABOVE, BELOW, INVALID, MISSING, VALUE, Baseline, Distribution
from perennial.contracts.signature import Input, Signature
from perennial.domain.plan import Apply, Plan
from tests.unit.cli.support import read
from tests.unit.drift.prometheus_server import PrometheusServer, Traffic
from tests.unit.drift.support import AGE, NOW, SEX, STEP, monitor_json, signature
from tests.unit.drift.test_monitor import AGES_AGO, CALM_BINS, OLDER_BINS, Setting

BINS = (MISSING, INVALID, BELOW, "[0,100)", "[100,200]", ABOVE)
PREDICTED = Distribution("prediction", "Numeric", BINS, (0, 0, 0, 500, 500, 0), (0.0, 100.0, 200.0))
MAE, RMSE, ROWS = 40.0, 50.0, 10_000
AS_BEFORE = {"[0,100)": 0.5, "[100,200]": 0.5}
LOSSES = ((50.0, 30.0, 1500.0), (150.0, 50.0, 3500.0))


def baseline(losses: Any = LOSSES) -> bytes:
    counted = Distribution("predicted", "Categorical", (VALUE,), (1000,))
    return msgspec.json.encode(Baseline(1000, (AGE, SEX), PREDICTED, counted, (), {"mae": MAE}, losses=losses))


def of_numbers() -> bytes:
    return msgspec.json.encode(
        Signature(
            "Regression", (Input("age", "Numeric"), Input("sex", "Categorical", ("0", "1"))), "progression", (), 0
        )
    )


class Numbers(Setting):
    """What serves predicts a number, unless ``signed`` says otherwise."""

    signed: bytes = of_numbers()

    async def read(self, namespace: str, artifact: Any) -> bytes:
        return self.signed if artifact.uri.endswith("signature.json") else await super().read(namespace, artifact)

    def predict(
        self, mae: float, bins: Any = CALM_BINS, predicted: Any = AS_BEFORE, version: str = "heart-v1", **more: Any
    ) -> None:
        """20 rows a second, each labelled, from ages ago on unless ``start`` says otherwise."""
        rate, errors = 20.0, {names.ABSOLUTE: mae, names.SQUARED: mae**2 * 1.5625}
        others = {
            names.METRIC_PREDICTION_BINS: {(("bin", name),): rate * share for name, share in predicted.items()},
            names.METRIC_EXPECTED_LOSS: {(("loss", name),): rate * each for name, each in errors.items()},
            names.METRIC_FEEDBACK_ERROR: {(("error", name),): rate * each for name, each in errors.items()},
        }
        start, end = more.pop("start", AGES_AGO), more.pop("end", 1e12)
        feedback = {(VALUE, VALUE): more.pop("labels", rate)}
        self.server.traffic.append(Traffic(version, start, end, bins, {VALUE: rate}, feedback, others))

    def serve(self, version: str, *arguments: Any, **status: Any) -> None:
        super().serve(version, *arguments, **status)
        record = self.objects["ModelVersion", version]["spec"]["record"]
        record["metrics"] = {"mae": MAE, "rmse": RMSE}
        record["data"]["testRows"] = ROWS

    def wants(self, policy: Any = None, **spec: Any) -> None:
        self.raw = monitor_json(policy=policy or {}, **spec)

    @property
    def status(self) -> Any:
        return self.raw["status"]


def page_of(plan: Plan) -> str:
    """The report that it leaves."""
    [page] = [each.manifest["data"]["report.html"] for each in plan.steps if isinstance(each, Apply)]
    return str(page)


@pytest.fixture
async def numbers() -> AsyncIterator[Numbers]:
    async with PrometheusServer() as server, Prometheus(server.url) as prometheus:
        made = Numbers(server, prometheus, stored=baseline())
        made.serve("heart-v1", NOW - timedelta(hours=1))
        yield made


@pytest.mark.parametrize(("metric", "reference", "limit"), [(None, 40, 44.5), ("mae", 40, 44.5), ("rmse", 50, 55.7)])
@pytest.mark.parametrize("source", ["Labels", "Estimated", "Both"])
async def test_errors_are_read_and_judged(
    numbers: Numbers, metric: str | None, reference: float, limit: float, source: str
) -> None:
    numbers.wants(predictions={}, performance={"source": source, **({"metric": metric} if metric else {})})
    numbers.predict(MAE)
    assert await numbers.go_on(STEP) == ["Healthy"]
    found = numbers.status["estimated" if source == "Estimated" else "performance"]
    assert found["metric"] == (metric or "mae")
    assert (found["value"], found["reference"]) == (reference, reference)
    assert found["limit"] == pytest.approx(limit, rel=0.005), "a tenth over the upper bound of ten thousand rows"
    numbers.server.traffic.clear()
    numbers.predict(1.5 * MAE)
    await numbers.go_on(4 * STEP)
    assert numbers.status["verdict"] == "PerformanceLoss"


async def test_other_predictions_of_the_same_inputs_are_prediction_drift(numbers: Numbers) -> None:
    numbers.wants(predictions={}, performance={})
    numbers.predict(MAE, predicted={"[0,100)": 0.1, "[100,200]": 0.6, ABOVE: 0.3})
    plan = await numbers.look()
    assert numbers.status["verdict"] == "Drifting"
    assert (numbers.status["worst"], numbers.status["cause"]) == ("__prediction__", "PredictionDrift")
    assert "over 200: 0 % → 30 %" in page_of(plan), "training had values there, too: no bin reaches to its end"


async def test_replayed_labels_of_numbers_are_not_believed(numbers: Numbers) -> None:
    numbers.wants(performance={})
    numbers.predict(3 * MAE, labels=60.0)
    assert await numbers.go_on(STEP) == ["Healthy", "LabelsSuspect"]
    assert "performance" not in numbers.status


@pytest.mark.parametrize(
    ("signed", "stored", "performance", "says"),
    [
        (
            of_numbers(), baseline(), {"metric": "accuracy"},
            "performance.metric: accuracy does not fit heart-v1, which predicts a number, progression: take mae or",
        ),
        (
            signature(), baseline(), {"metric": "rmse"},
            "performance.metric: rmse does not fit heart-v1, which predicts classes: take accuracy or precision",
        ),
        (
            of_numbers(), baseline(()), {"source": "Estimated"},
            "performance.source: the baseline of heart-v1 does not say which errors to expect: take Labels",
        ),
    ],
)  # fmt: skip
async def test_what_does_not_fit_the_version_is_said_and_judged_by_nothing(
    numbers: Numbers, signed: bytes, stored: bytes, performance: Any, says: str
) -> None:
    numbers.signed, numbers.stored = signed, stored
    numbers.wants(performance=performance)
    numbers.predict(9 * MAE)
    await numbers.look()
    [ready] = [each for each in numbers.status["conditions"] if each["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "MetricUnsupported")
    assert ready["message"].startswith(says)
    assert numbers.status["verdict"] == "InsufficientData"


HOUR = timedelta(hours=1)
BEFORE = {"version": "heart-v0", "revision": "r0", "image": "serving:1"}


@pytest.mark.parametrize(("predecessor", "asked"), [(MAE, "Rollback"), (2 * MAE, "Retrain"), (None, "Rollback")])
async def test_auto_compares_with_the_errors_of_the_version_before(
    numbers: Numbers, predecessor: float | None, asked: str
) -> None:
    since, took_over = NOW - 3 * HOUR, NOW - timedelta(seconds=70)
    stamps = [each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (since, took_over)]
    history = [
        {**BEFORE, "version": "heart-v1", "since": stamps[1]},
        {**BEFORE, "since": stamps[0], "until": stamps[1]},
    ]
    numbers.serve("heart-v1", took_over, history=history)
    numbers.wants(performance={}, policy={"onPerformanceLoss": "Auto"})
    numbers.predict(2 * MAE)
    if predecessor is not None:
        numbers.predict(predecessor, version="heart-v0", end=took_over.timestamp(), start=since.timestamp())
    await numbers.go_on(6 * STEP)
    assert numbers.status["verdict"] == "PerformanceLoss"
    assert numbers.status["actions"][-1]["kind"] == asked, "at first"


async def test_the_terminal_and_the_report_tell_an_error_in_its_own_unit(numbers: Numbers) -> None:
    numbers.wants(performance={"maxDrop": 0.25})
    numbers.predict(2 * MAE, OLDER_BINS)
    plan = await numbers.look()
    text = read(resources.tree(DriftMonitor, numbers.raw, NOW), width=240)
    assert "mae ✖ 80 (80 to 80) 40 held out, up to 50.7 let pass 1200 labels" in text
    page = page_of(plan)
    assert "heart-v1 is worse than when it was tested: mean absolute error 80, not 40, and what comes in has" in page
    assert "on held-out rows, in the target&#39;s unit. A rise to 50.7 (25 % over the upper 95 % bound" in page
    assert "with its 95 % interval, against" not in page, "of one chunk's mean none is known"
    assert "mae from labels, a rise to 50.7 " in page
    assert "80 %" not in page
