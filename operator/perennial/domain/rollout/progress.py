"""A new revision on its way to all of the traffic: first its pods, then its stages, then its promotion.

One flow for every strategy that has stages. It never goes back: what ends a rollout early takes the new version out of
the traffic in one write, and the next rollout begins at the first stage.
"""

from perennial.api.deployment import Revision, RolloutStatus, TrafficStatus
from perennial.domain.rollout.end import cancel, promote
from perennial.domain.rollout.measure import take_measurement
from perennial.domain.rollout.obstacles import may_begin, may_leave
from perennial.domain.rollout.recreate import recreate
from perennial.domain.rollout.stages import Stage
from perennial.domain.rollout.state import ROLLBACK_STALLED, Draft, Finding
from perennial.domain.rollout.traffic import traffic_status
from perennial.domain.rollout.wait import alone, await_pods, await_route, await_traffic, block

OFF_BY = 5.0
"""Percentage points between wanted and real share of pods that are worth a warning."""


def roll_out(draft: Draft, target: Revision | None) -> None:
    """Brings ``target`` one move nearer to serving; with None, or what serves already, ends what is under way."""
    _keep_what_serves(draft, target)
    if draft.stable and draft.restoring:
        _lead_out(draft, draft.stable, draft.restoring, target)
        return
    if target is None or (draft.stable and target.revision == draft.stable.revision):
        cancel(draft)
        return
    if draft.rollout is None or draft.rollout.target.revision != target.revision:
        replaced = f", in place of {draft.rollout.target.version}" if draft.rollout else ""
        begin(draft, target, replaced)
    elif draft.rollout.strategy != draft.spec.rollout.strategy:
        begin(draft, target, f", from the start: its strategy is {draft.spec.rollout.strategy} now")
    if draft.stable is None:
        if await_pods(draft, draft.replicas):
            promote(draft)
    elif draft.under_way.strategy == "Recreate":
        recreate(draft, draft.stable)
    else:
        _advance(draft, draft.stable)


def _lead_out(draft: Draft, bad: Revision, good: Revision, target: Revision | None) -> None:
    """A version that is wanted while a good one is awaited takes over from the bad one, whichever is complete first.

    It has no stages: there is nothing good to compare it with. Where there is no room for both (Recreate), it takes
    the place of the good one once that was late.
    """
    said, stopped, ending = draft.progress, draft.stopped, draft.ending
    recreate = draft.spec.rollout.strategy == "Recreate"
    early = recreate and said is not None and said.reason != ROLLBACK_STALLED
    if target is None or early or target.revision in {bad.revision, good.revision}:
        cancel(draft)
    else:
        if draft.rollout is None or draft.rollout.target.revision != target.revision or draft.rollout.step >= 0:
            begin(draft, target)
        if recreate:
            draft.restored_replicas = None
        if await_pods(draft, draft.replicas) and not draft.under_way.paused:
            promote(draft)
            draft.restoring = None
            return
    draft.progress, draft.stopped, draft.ending = said, stopped, ending
    if said and draft.rollout:
        newer = draft.rollout.target.version
        draft.progress = Finding(said.reason, f"{said.message}; {newer} takes over if it is first")


def begin(draft: Draft, target: Revision, note: str = "") -> None:
    """The rollout of ``target`` starts, with all counts at 0."""
    if draft.standby and draft.standby.revision.revision == target.revision:
        draft.standby = None
    draft.rollout = RolloutStatus(
        target=target, strategy=draft.spec.rollout.strategy, started_at=draft.now, step_since=draft.now
    )
    draft.traffic, draft.fresh = TrafficStatus(), True
    before = f" beside {draft.stable.version}" if draft.stable else ""
    draft.event("Normal", "RolloutStarted", f"rolling out {target.version}{before}{note}")


def _keep_what_serves(draft: Draft, target: Revision | None) -> None:
    """A first version that answers requests already is not taken away because another one is wanted now."""
    if draft.stable is None and draft.rollout and (target is None or target.revision != draft.rollout.target.revision):
        first = draft.rollout.target
        if draft.snapshot.ready(first) and first.version not in draft.quarantined:
            promote(draft)


def _advance(draft: Draft, stable: Revision) -> None:
    stages = draft.stages
    if draft.under_way.step < 0 or not stages or _differs(draft, stages[0]):
        _bring_up(draft)
        return
    if draft.under_way.step >= len(stages):  # the spec lost steps: the last one is watched anew
        draft.update(step=len(stages) - 1, step_since=draft.now)
    stage = stages[draft.under_way.step]
    if not take_measurement(draft, stable):
        return
    _show(draft, stage)
    if may_leave(draft, stage) and draft.snapshot.ready(draft.under_way.target) >= stage.pods:
        _go_to(draft, draft.under_way.step + 1)
        return
    said = draft.progress
    if draft.showing:
        _compare_weights(draft, stage)
    if await_pods(draft, stage.pods) or (draft.paused and draft.rollout):
        draft.progress = said


def _bring_up(draft: Draft) -> None:
    """Outside of the stages: nothing but pods, and what they are meant for once they are ready."""
    stages, promoted = draft.stages, draft.under_way.promote
    direct = promoted or not stages
    if not await_pods(draft, draft.replicas if direct else stages[0].pods):
        return
    differs = None if direct else _differs(draft, stages[0])
    if differs:
        block(draft, differs)
    elif not draft.fresh and (direct or may_begin(draft)):
        _go_to(draft, 0)


def _differs(draft: Draft, stage: Stage) -> Finding | None:
    """One Service has one port: behind it all pods speak TLS, or none does."""
    stable, target = draft.stable, draft.under_way.target
    spoken = [bool(each.predictor.get("tls")) for each in (stable, target) if each]
    if not stage.shared or len(set(spoken)) < 2:
        return None
    which = "speak TLS, those that serve do not" if spoken[-1] else "do not speak TLS, those that serve do"
    return Finding(
        "TlsDiffers",
        f"the new pods of {target.version} {which}: they cannot share a Service. For this one change set "
        "rollout.strategy BlueGreen or traffic.provider Gateway, or let it take over once it is complete: "
        f"{draft.command('promote-full', target.version)}",
    )


def _go_to(draft: Draft, index: int) -> None:
    """The stage ``index`` begins, or, after the last, the promotion: once all that it needs is there."""
    stages = draft.stages
    promoted = draft.under_way.promote
    if index >= len(stages) or promoted:
        # Grown first: an operator that ended in the middle of this must not find its pods too many.
        grown = await_pods(draft, draft.replicas)
        if draft.rollout and (promoted or await_route(draft)) and grown:
            promote(draft)
    elif await_pods(draft, stages[index].pods) and await_traffic(draft, stages[index]):
        _enter(draft, index, stages[index])


def _enter(draft: Draft, index: int, stage: Stage) -> None:
    draft.update(step=index, step_since=draft.now)
    draft.showing, draft.progress, draft.paused = stage, None, False
    version, place = draft.under_way.target.version, f"step {index + 1} of {len(draft.stages)}"
    draft.event("Normal", "StepStarted", f"{version} {stage.words} ({place})")
    if stage.shared:
        _compare_weights(draft, stage, entered=True)
    may_leave(draft, stage)


def _compare_weights(draft: Draft, stage: Stage, *, entered: bool = False) -> None:
    """Says that the real weight is not the wanted one, when that begins."""
    before, now = draft.snapshot.deployment.status.traffic, traffic_status(draft)
    if not _off(now) or (_off(before) and before.wanted_weight == stage.weight and not entered):
        return
    version, share = draft.under_way.target.version, now.real_weight
    real = f"the HTTPRoute says {share:g} %: it is written anew"
    if not draft.gateway:
        real = f"{share:g} % of the pods are {version}'s: more replicas come nearer"
    wanted = f"step {draft.under_way.step + 1} wants {stage.weight} % of the requests"
    draft.event("Warning", "WeightNotReached", f"{wanted}, {real}")


def _off(traffic: TrafficStatus) -> bool:
    return traffic.real_weight is not None and abs(traffic.real_weight - traffic.wanted_weight) > OFF_BY


def _show(draft: Draft, stage: Stage) -> None:
    """The new version gets what ``stage`` gives it: requests only while it can answer, and nobody else by mistake."""
    draft.canary_replicas = stage.pods
    if draft.snapshot.ready(draft.under_way.target) and (not stage.shared or alone(draft)):
        draft.showing = stage
