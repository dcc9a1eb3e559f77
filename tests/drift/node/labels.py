"""Labels: late, twice, forged, expired, replayed, under another key; and what they lead to."""

import base64
import json
import os
import time
from collections import Counter
from typing import Any

from hack.demo.stage import run
from perennial.adapters.prometheus import Prometheus
from perennial.contracts.names import METRIC_FEEDBACK, METRIC_FEEDBACK_REJECTED
from perennial.contracts.token import Claim, key_id, sign
from tests.drift.node.scene import LABELS, Scene, condition, kinds, known, moment, others, scene
from tests.drift.node.stream import Given, Stream, anyone, mistaken, truth
from tests.rollouts.ward import Ward

DAY = 86400


async def only_true_tokens_count_and_a_fresh_version_that_is_worse_goes_back(ward: Ward) -> None:
    """Version 1 is good. Version 2 is wrong, and comes with other hospitals' patients: input drift alone would have it
    retrained, so it goes back because its predecessor was better at that age.
    """
    async with scene(ward) as here:
        first = await here.play.serving()
        await here.monitor("auto", performance=LABELS, policy={"onPerformanceLoss": "Auto"})
        stream = await here.stream(anyone(known(ward)), truth)
        async with stream.flowing():
            refused = await _bad_tokens(here, stream)
            old = await stream.predict(200)
            await _rotate(here, stream)
            assert (await stream.feed(old[:100])).accepted == 100, "tokens under the key before count"
            healthy = await here.verdict("auto", "Healthy")
            assert healthy["performance"]["value"] > 0.75, healthy["performance"]
            assert healthy["performance"]["labels"] <= healthy["observations"] + 100
            await _are_counted(here, refused)

            second = await here.play.version("inverted")
            await here.play.stable(second)
            stream.draw = anyone(others(ward))
            late = await stream.feed(old[100:])
            assert (late.status, late.accepted) == (200, 100), "labels of version 1 come to a pod of version 2"
            lost = await here.until("auto", lambda status: kinds(status) == ["Rollback"])
            assert (lost["version"], lost["verdict"]) == (second, "PerformanceLoss")
            assert lost["performance"]["value"] < 0.5, "late labels of version 1 are none of version 2"
            assert lost["cause"] == "InputDrift", "Auto would have retrained it, had its predecessor been as bad"
            held = await here.play.until(lambda status: (status.get("held") or {}).get("version") == second)
            await here.play.stable(first)
            assert lost["actions"][0]["id"] in held["handledActions"]
            assert "accuracy" in (await here.play.quarantined())[second]


async def replayed_labels_are_suspect_and_nothing_is_done(ward: Ward) -> None:
    """Wrong labels, each sent again and again to both pods: believed, they would roll the version back."""
    async with scene(ward, {"predictor": {"replicas": 2, "resources": {"cpu": "20m", "memory": "192Mi"}}}) as here:
        first = await here.play.serving()
        await here.monitor("labels", performance=LABELS, policy={"onPerformanceLoss": "RollbackAndRetrain"})
        stream = await here.stream(anyone(known(ward)), mistaken(1.0), times=4)
        async with stream.flowing():
            suspect = await here.verdict("labels", "Healthy")
            assert suspect["version"] == first
            assert "tokens are being replayed" in condition(suspect, "LabelsSuspect")["message"]
            since = moment()
            await here.verdict("labels", "Healthy", after=since - 40)
        assert all(not status.get("actions") for status in here.written[f"{here.name}-labels"])


async def _bad_tokens(here: Scene, stream: Stream) -> Counter[str]:
    """Sends what is not to be believed; what was refused, by reason."""
    key = (await _keys(here))["current"]
    deployment, version = f"{here.ward.stage.namespace}/{here.name}", f"{here.name}-v1"
    good, again, forged = await stream.predict(3)

    def minted(name: str, **more: Any) -> Given:
        claim = {"deployment": deployment, "version": version, "predicted": "1", "expires": int(time.time()) + DAY}
        return Given(sign(key if name != "unknown" else b"another key", Claim(**{**claim, "row": name, **more})), "1")

    turned = forged.token[:-2] + ("AA" if not forged.token.endswith("AA") else "BA")
    for reason, item in (
        ("forged", Given(turned, "1")),
        ("expired", minted("expired", expires=int(time.time()) - 1)),
        ("unknown_key", minted("unknown")),
        ("wrong_deployment", minted("elsewhere", deployment=f"elsewhere/{here.name}")),
        ("malformed", Given("not a token", "1")),
    ):
        assert await stream.feed([item]) == (401, 0, Counter({reason: 1}))
    assert await stream.feed([good]) == (200, 1, Counter())
    assert await stream.feed([good, again, again]) == (200, 1, Counter(replayed=2))
    unknown = [minted(f"row{number}", version=f"{here.name}-v9") for number in range(300)]
    assert (await stream.feed(unknown)).accepted == 300, "they count, for the version that they name"
    return Counter(forged=1, expired=1, unknown_key=1, wrong_deployment=1, malformed=1, replayed=2)


async def _rotate(here: Scene, stream: Stream) -> None:
    """A new key signs, the one before still verifies; waits until the predictor signs with it."""
    keys, fresh = await _keys(here), os.urandom(32)
    data = {"current": base64.b64encode(fresh).decode(), "previous": base64.b64encode(keys["current"]).decode()}
    own = ("-n", here.ward.stage.namespace)
    await run("kubectl", *own, "patch", "secret", f"{here.name}-feedback", "-p", json.dumps({"data": data}))
    # The kubelet brings a changed Secret to a pod when it next looks at the pod, within a minute or two; now, so.
    chosen = f"perennial.dev/deployment={here.name}"
    await run("kubectl", *own, "annotate", "pods", "-l", chosen, "test=rotated", "--overwrite")
    deadline = time.monotonic() + 120
    while (await stream.predict())[0].token.split(".")[0] != key_id(fresh):
        assert time.monotonic() < deadline, "the new key is not taken"


async def _keys(here: Scene) -> dict[str, bytes]:
    found = await here.ward.stage.api.get("v1", "Secret", here.ward.stage.namespace, f"{here.name}-feedback")
    assert found is not None
    return {name: base64.b64decode(value) for name, value in found["data"].items()}


async def _are_counted(here: Scene, refused: Counter[str]) -> None:
    """Each refusal has been counted, and labels of another version are its own."""
    deployment = f"{here.ward.stage.namespace}/{here.name}"
    async with Prometheus(os.environ["PROMETHEUS_URL"]) as prometheus:
        rejected = await prometheus.query(f'{METRIC_FEEDBACK_REJECTED}{{deployment="{deployment}"}} > 0', time.time())
        selector = f'deployment="{deployment}",version="{here.name}-v9"'
        [unknown] = await prometheus.query(f"sum ({METRIC_FEEDBACK}{{{selector}}})", time.time())
    assert {each.labels["reason"]: each.points[-1][1] for each in rejected} == dict(refused)
    assert unknown.points[-1][1] == 300
