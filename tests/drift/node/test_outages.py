"""Predictors are killed, Prometheus is restarted, away and empty: the patients are as ever, and no monitor errs."""

import asyncio

import pytest

from tests.drift.node.outages import (
    POD,
    find_predictors,
    lose_predictors,
    only,
    own_prometheus,
    prometheus_away,
    prometheus_runs,
)
from tests.drift.node.scene import Scene, condition, ended, kill, known, moment, scene
from tests.drift.node.stream import Stream, anyone
from tests.rollouts.ward import PATIENCE, Ward

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]
RETRAIN = {"onInputDrift": "Retrain"}


async def test_no_outage_is_drift_or_health(ward: Ward) -> None:
    await own_prometheus(ward)
    async with scene(ward) as here:
        await here.play.serving()
        await here.monitor("watch", policy=RETRAIN)
        stream = await here.stream(anyone(known(ward)))
        async with stream.flowing():
            await here.verdict("watch", "Healthy")
            await _killed(here, stream)
            await _away_and_empty(here)
        assert here.verdicts("watch") <= {"Healthy", "InsufficientData", "NoMetrics"}
        assert all(not status.get("actions") for status in here.written[f"{here.name}-watch"])


async def _killed(here: Scene, stream: Stream) -> None:
    """The predictor, and Prometheus, each once in the midst of a window: it counts on, and nearly to the row."""
    since = kill(only((await here.container())[1], "perennial_serving"))
    await _goes_on(here, stream, since)
    kill(only((await here.container(POD))[1], "config.file"))
    found = await here.verdict("watch", "Healthy", after=since - 30)
    assert condition(found)["status"] == "True"
    end = ended(found)
    asked = stream.rows(f"{here.name}-v1", end - 60, end)
    # What came after the predictor's last scrape is lost: a second of 40 rows; and so is what came while Prometheus
    # was away and the predictor ended.
    assert asked * 0.85 < found["observations"] < asked * 1.1, (asked, found["observations"])


async def _goes_on(here: Scene, stream: Stream, since: float) -> None:
    """Waits until the predictor answers again, by a pod that was started once more."""
    async with asyncio.timeout(PATIENCE):
        # Answers come without any change of an object that could be watched.
        while not stream.rows(f"{here.name}-v1", since):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await here.ward.until("ModelDeployment", here.name, lambda raw: raw["status"].get("readyReplicas", 0) > 0)


async def _away_and_empty(here: Scene) -> None:
    """While it is away the verdict stands and says why there is no new one; an empty one is no health."""
    await lose_predictors(here.ward)
    await prometheus_away(here.ward)
    away = await here.until("watch", lambda status: condition(status)["reason"] == "PrometheusUnavailable")
    assert (away["verdict"], condition(away)["status"]) == ("Healthy", "False")
    await prometheus_runs(here.ward)
    empty = await here.verdict("watch", "NoMetrics")
    assert "are its predictors' pods scraped?" in condition(empty)["message"]
    since = moment()
    await find_predictors(here.ward)
    await here.verdict("watch", "Healthy", after=since - 40)
