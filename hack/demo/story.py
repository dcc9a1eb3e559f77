"""The story in steps: each ends when its state has been read back from the cluster, and fails when it does not come."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hack.demo import patients
from hack.demo.patients import HOSPITALS, Patient
from hack.demo.stage import Stage
from hack.demo.traffic import Traffic

NAME = "heart-disease"
Check = Callable[[], Awaitable[str]]


class StoryError(AssertionError):
    """A state was not reached in time."""


@dataclass
class Step:
    """A step of the story: ``evidence`` is what was read back from the cluster."""

    title: str
    waiting: str = ""
    evidence: str = ""
    began: float | None = None
    ended: float | None = None
    failed: bool = False


@dataclass
class Times:
    """The figures that the story measures, in seconds."""

    drift_to_verdict: float | None = None
    verdict_to_last_bad_answer: float | None = None


@dataclass
class Story:
    """One play. ``overlay`` and ``mistake`` are kustomizations; ``patience`` bounds each wait (seconds)."""

    stage: Stage
    overlay: str
    mistake: str
    port: int = 18080
    patience: float = 300.0
    rate: float = 40.0
    steps: list[Step] = field(default_factory=list)
    times: Times = field(default_factory=Times)
    traffic: Traffic | None = None
    _everybody: list[Patient] = field(default_factory=list)

    async def play(self) -> None:
        """All of it; raises :class:`StoryError` at the first state that does not come."""
        self._everybody = await asyncio.to_thread(patients.load)
        await self._step("Train on Cleveland's patients, register version 1", self._train)
        await self._step("Serve version 1", self._serve)
        url = await self.stage.offer(self.stage.namespace, self.port, f"{self.stage.namespace}/{NAME}:80")
        self.traffic = Traffic(url, NAME, rate=self.rate)
        with self.traffic.flowing():
            await self._step("Cleveland's patients come: the monitor stays calm", self._calm)
            await self._step("Other hospitals join: the monitor sees it", self._drift)
            await self._step("Retrained on all hospitals, the challenger beats the champion", self._retrained)
            await self._step("Version 2 takes over by canary", self._canary)
            await self._step("All hospitals' patients come: version 2 is healthy", self._healthy_again)
            await self._step(
                "Somebody trains on mislabelled data, gates taken out: version 3 gets through", self._mistake
            )
            await self._step("Labels show the loss: version 3 is rolled back and quarantined", self._rolled_back)
            await self._step("The same manifests are applied again: version 3 stays out", self._stays_out)

    async def _step(self, title: str, act: Callable[[Step], Awaitable[str]]) -> None:
        step = Step(title, began=time.time())
        self.steps.append(step)
        try:
            step.evidence = await act(step)
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended = time.time()
            step.waiting = ""

    async def _until(self, step: Step, what: str, check: Check) -> str:
        """Polls ``check`` until it answers with evidence; an empty answer means not yet."""
        step.waiting = what
        deadline = time.monotonic() + self.patience
        while True:
            evidence = await check()
            if evidence:
                return evidence
            if time.monotonic() > deadline:
                raise StoryError(
                    f"{step.title}: gave up after {self.patience:.0f} s waiting for {what}\n{await self.account()}"
                )
            await asyncio.sleep(0.5)

    async def account(self) -> str:
        """What the conditions of the four kinds say: the first thing to read when a state does not come."""
        lines = []
        for kind in ("ModelTraining", "ModelDeployment", "DriftMonitor"):
            conditions = (await self.stage.get(kind, NAME)).get("status", {}).get("conditions", [])
            lines += [f"{kind}: {c['type']}={c['status']} {c['reason']}: {c.get('message', '')}" for c in conditions]
        return "\n".join(lines)

    # ---- the steps -------------------------------------------------------------------------------------------------

    async def _train(self, step: Step) -> str:
        await self.stage.upload("cleveland.csv", patients.table("cleveland"))
        await self.stage.apply(self.overlay)
        return await self._until(step, "the run to end and its version to be approved", lambda: self._approved(1))

    async def _serve(self, step: Step) -> str:
        return await self._until(step, "ready predictors", lambda: self._stable(1))

    async def _calm(self, step: Step) -> str:
        self._flow().turn_to([each for each in self._everybody if each.hospital == "cleveland"])
        return await self._until(step, "a full window of traffic", lambda: self._verdict(1, "Healthy"))

    async def _drift(self, step: Step) -> str:
        self._flow().labelled = False  # a new patient's diagnosis takes its time
        self._flow().turn_to([each for each in self._everybody if each.hospital != "cleveland"])
        began = time.time()
        for hospital in HOSPITALS[1:]:
            await self.stage.upload(f"{hospital}.csv", patients.table(hospital))
        evidence = await self._until(step, "the verdict Drifting", lambda: self._verdict(1, "Drifting"))
        self.times.drift_to_verdict = time.time() - began
        return evidence

    async def _retrained(self, step: Step) -> str:
        async def check() -> str:
            approved = await self._approved(2)
            if not approved:
                return ""
            record = (await self.stage.versions())[1]["spec"]["record"]
            champion = record.get("champion") or {}
            asked_by_drift = record["trigger"]["type"] == "Drift" and champion.get("verdict") == "Better"
            if not asked_by_drift:
                raise StoryError(f"version 2 is not the drift's challenger that won: {record['trigger']} {champion}")
            was = champion["metrics"][record["score"]["metric"]]
            return f"{approved}, champion v1 {was:.3f} on the same {champion['rows']} unseen rows"

        return await self._until(step, "the monitor to ask for a run, and the run's gate", check)

    async def _canary(self, step: Step) -> str:
        seen: set[int] = set()

        async def check() -> str:
            status = (await self.stage.get("ModelDeployment", NAME)).get("status", {})
            if weight := status.get("traffic", {}).get("wantedWeight", 0):
                seen.add(weight)
            stable = await self._stable(2)
            return f"{stable}, by weights {sorted(seen)}" if stable else ""

        return await self._until(step, "the canary's steps and their analysis", check)

    async def _healthy_again(self, step: Step) -> str:
        self._flow().turn_to(self._everybody)
        self._flow().labelled = True
        return await self._until(step, "a full window on version 2", lambda: self._verdict(2, "Healthy"))

    async def _mistake(self, step: Step) -> str:
        for hospital in HOSPITALS:
            await self.stage.upload(
                f"{hospital}.csv", patients.mislabelled(hospital), folder=f"{self.stage.folder}-mislabelled"
            )
        await self.stage.apply(self.mistake)
        await self._until(step, "version 3", lambda: self._approved(3))
        return await self._until(step, "version 3's promotion", lambda: self._stable(3))

    async def _rolled_back(self, step: Step) -> str:
        async def asked() -> str:
            actions = (await self.stage.get("DriftMonitor", NAME)).get("status", {}).get("actions", [])
            return next((each["reason"] for each in actions if each["kind"] == "Rollback"), "")

        await self._until(step, "labels for held-out patients, and the verdict on them", asked)
        verdict_at = time.time()
        evidence = await self._until(step, "the rollback", lambda: self._back_on(2, 3))
        await self._until(step, "the last answer of version 3", self._silent(3))
        self.times.verdict_to_last_bad_answer = max(0.0, self._flow().last_answer[f"{NAME}-v3"] - verdict_at)
        return evidence

    async def _stays_out(self, step: Step) -> str:
        before = await self.stage.get("ModelDeployment", NAME)
        said = await self.stage.apply(self.mistake)
        if changed := [line for line in said.splitlines() if not line.endswith("unchanged")]:
            raise StoryError(f"applying the same manifests changed: {changed}")
        began = time.time()

        async def still() -> str:
            after = await self.stage.get("ModelDeployment", NAME)
            if after["spec"] != before["spec"] or not await self._back_on(2, 3):
                raise StoryError(f"version 3 came back: {after.get('status')}")
            if self._flow().last_answer[f"{NAME}-v3"] > began:
                raise StoryError("version 3 answered again")
            held = after["status"]["held"]
            return f"specs unchanged; held out: {held['version']}" if time.time() > began + 15 else ""

        return await self._until(step, "15 s in which nothing may change", still)

    # ---- what is read back -----------------------------------------------------------------------------------------

    def _flow(self) -> Traffic:
        assert self.traffic is not None
        return self.traffic

    async def _approved(self, number: int) -> str:
        await self._no_failed_run()
        for each in await self.stage.versions():
            record = each["spec"]["record"]
            if record["number"] == number and each["spec"]["approval"] == "Approved":
                return f"{each['metadata']['name']}: {record['score']['text']}, {record['data']['rows']} rows"
        return ""

    async def _no_failed_run(self) -> None:
        runs = (await self.stage.get("ModelTraining", NAME)).get("status", {}).get("runs", [])
        if runs and runs[0]["phase"] == "Failed":
            raise StoryError(f"run {runs[0]['number']} failed: {runs[0]['outcome']}: {runs[0]['message']}")

    async def _stable(self, number: int) -> str:
        status = (await self.stage.get("ModelDeployment", NAME)).get("status", {})
        is_it = (status.get("stable") or {}).get("version") == f"{NAME}-v{number}" and not status.get("rollout")
        return (
            f"{NAME}-v{number} on {status.get('readyReplicas')} pods" if is_it and status.get("readyReplicas") else ""
        )

    async def _verdict(self, number: int, wanted: str) -> str:
        status = (await self.stage.get("DriftMonitor", NAME)).get("status", {})
        if status.get("verdict") != wanted or status.get("version") != f"{NAME}-v{number}":
            return ""
        return f"{wanted}, n={status['observations']}" + (f", worst: {status['worst']}" if status.get("worst") else "")

    async def _back_on(self, good: int, bad: int) -> str:
        versions = {each["metadata"]["name"]: each for each in await self.stage.versions()}
        marks = versions[f"{NAME}-v{bad}"]["metadata"].get("annotations", {})
        stable = await self._stable(good)
        quarantined = any(key.startswith("quarantine.perennial.dev/") for key in marks)
        return f"{stable}; {NAME}-v{bad} quarantined" if stable and quarantined else ""

    def _silent(self, number: int) -> Check:
        async def check() -> str:
            last = self._flow().last_answer.get(f"{NAME}-v{number}", 0.0)
            return "silent" if time.time() - last > 8 else ""

        return check


def summary(steps: list[Step]) -> list[dict[str, Any]]:
    """The steps as rows: title, evidence, seconds since the first began, seconds taken."""
    start = steps[0].began or 0.0
    return [
        {
            "title": step.title,
            "evidence": step.evidence,
            "at": (step.began or start) - start,
            "took": (step.ended or time.time()) - (step.began or start),
        }
        for step in steps
    ]
