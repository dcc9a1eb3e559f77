"""What is done about a verdict, what is only noted, and when a person is asked."""

import signal
from os import kill as send
from typing import Any

from hack.demo.stage import run
from tests.drift.node.scene import began, condition, ended, kinds, moment, others, scene
from tests.drift.node.stream import anyone
from tests.rollouts.killing import operator_processes
from tests.rollouts.ward import TRAINED, Ward

EVERY_DAY = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
SIGNALS = [
    {"name": "errors", "builtin": "ErrorRate", "max": 0.05},
    {"name": "memory", "builtin": "Memory", "max": 0.001},
    {"name": "asked", "query": 'sum(perennial_predictions_total{deployment="{{deployment}}",version="{{version}}"})',
     "min": 1},
]  # fmt: skip


async def monitors_that_only_watch_disagree_learn_and_report(ward: Ward) -> None:
    """Other hospitals' patients come from the beginning: who learnt in service is used to them, who compares with the
    training is not. Nobody may do anything about it. In the end nobody comes.
    """
    async with scene(ward) as here:
        await here.play.serving()
        retrain = {"onInputDrift": "Retrain"}
        always = [{"days": EVERY_DAY, "start": "00:00", "length": "24h"}]
        await here.monitor("strict", mode="Observe", policy=retrain)
        await here.monitor("resting", policy={**retrain, "maintenance": always})
        await here.monitor("used", baseline={"from": "Serving", "windows": 1}, signals=SIGNALS)
        stream = await here.stream(anyone(others(ward)))
        async with stream.flowing():
            for name, why in (("strict", "mode is Observe"), ("resting", "maintenance until")):
                found = await here.until(name, lambda status: kinds(status, "observed") == ["Retrain"])
                assert (found["verdict"], found["cause"]) == ("Drifting", "InputDrift")
                assert why in condition(found)["message"]
            used = await here.verdict("used", "Healthy")
            assert used["baseline"] == {"source": "Serving", "version": f"{here.name}-v1", "windows": 1, "wanted": 1}
            assert [each["breached"] for each in used["signals"]] == [False, True, False], used["signals"]
            assert "memory" in condition(used, "SignalsBreached")["message"]
            stricter = f"the stricter counts: {here.name}-resting"
            await here.until(
                "used", lambda status: stricter in condition(status, "MonitorsDisagree").get("message", "")
            )
            await here.until("strict", lambda status: condition(status, "MonitorsDisagree"))
            await _knows_after_a_restart(here)
            await _reports(here)
        silent = await here.verdict("strict", "NoTraffic")
        assert "are its callers well?" in condition(silent)["message"]
        written = [status for name in ("strict", "resting", "used") for status in here.written[f"{here.name}-{name}"]]
        assert all(not status.get("actions") for status in written)
        noted = {each["id"] for status in written for each in status.get("observed", [])}
        handled = (await ward.stage.get("ModelTraining", TRAINED))["status"].get("handledActions", [])
        assert not noted & set(handled), "nobody heard of it"


async def _knows_after_a_restart(here: Any) -> None:
    """What was learnt in service outlives the operator."""
    learnt = await here.kept("used-drift-baseline")
    since = moment()
    for pid in operator_processes(here.ward.stage):
        send(pid, signal.SIGKILL)
    after = await here.until("used", lambda status: ended(status) > since)
    assert (after["verdict"], after["baseline"]["windows"]) == ("Healthy", 1)
    assert (await here.kept("used-drift-baseline"))["metadata"]["resourceVersion"] == (
        learnt["metadata"]["resourceVersion"]
    )


async def _reports(here: Any) -> None:
    """A change of verdict has left a page; a person gets a newer one."""
    kept = await here.kept("strict-drift-report")
    assert "Drifting" in kept["data"]["report.html"]
    page = here.ward.folder / "report.html"
    own = ("-n", here.ward.stage.namespace, "-o", str(page))
    said = await run("kubectl", "perennial", "report", f"dm/{here.name}-strict", *own)
    sentence = f"differ from the data that {here.name}-v1 was trained on"
    text = page.read_text()
    assert sentence in said, said
    assert sentence in text, "the page begins with what the terminal says"
    assert text != kept["data"]["report.html"]
    assert (await here.kept("strict-drift-report"))["data"]["report.html"] == text


async def a_retrain_that_cures_nothing_is_not_repeated(ward: Ward) -> None:
    """The training reads the same hospital whoever comes. The operator is killed between verdict and run."""
    async with scene(ward, name=TRAINED) as here:
        first, second = f"{TRAINED}-v1", f"{TRAINED}-v2"
        await here.play.apply()
        await here.play.stable(first)
        await here.monitor("watch", policy={"onInputDrift": "Retrain"})
        stream = await here.stream(anyone(others(ward)))
        async with stream.flowing():
            asked = await here.until("watch", lambda status: kinds(status) == ["Retrain"])
            for pid in operator_processes(ward.stage):
                send(pid, signal.SIGKILL)
            await here.play.stable(second)
            stuck = await here.until("watch", lambda status: condition(status, "HumanNeeded"))
            again = await here.until("watch", lambda status: began(status) > began(stuck))
        needed = condition(stuck, "HumanNeeded")
        assert (needed["reason"], stuck["version"]) == ("NotCured", second)
        assert f"another retrain would do no better. Look at the data that ModelTraining {TRAINED}" in needed["message"]
        assert kinds(again) == ["Retrain"], "it is asked for once"
        training = (await ward.stage.get("ModelTraining", TRAINED))["status"]
        assert [run["version"] for run in training["runs"]] == [second, first]
        assert training["handledActions"] == [asked["actions"][0]["id"]]
