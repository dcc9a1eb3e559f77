"""A new revision on its way to all of the traffic: first its pods, then its steps, then its promotion.

The Service is widened to both revisions only once the canary is ready and nothing else of the deployment runs; it is
narrowed to one revision again by promotion, and by whatever ends the rollout.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.api.common import seconds
from perennial.api.deployment import Held, Measurement, Revision, RolloutStatus, Standing, TrafficStatus
from perennial.domain.analysis import KEPT, Unavailable, blind, judge, next_analysis, request_share, satisfied
from perennial.domain.rollout_quarantine import ROLLOUT_FAILED, Quarantined
from perennial.domain.rollout_state import REASON_LIMIT, Draft, Finding
from perennial.domain.rollout_target import configuration_hash, recorded

CANARY_LIMIT = 4
"""A canary by replicas has at most so many times the stable replicas: weights over 80 % are not worth more."""
OFF_BY = 5.0
"""Percentage points between wanted and real share of pods that are worth a warning."""


def canary_replicas(weight: int, stable: int) -> int:
    """The number of pods beside ``stable`` ones whose share is nearest to ``weight`` percent, at least 1."""
    exact = weight * stable / (100 - weight)
    options = range(max(1, int(exact)), int(exact) + 2)
    nearest = min(options, key=lambda count: abs(100 * count / (count + stable) - weight))
    return min(nearest, CANARY_LIMIT * stable)


def roll_out(draft: Draft, target: Revision | None) -> None:
    """Brings ``target`` one move nearer to serving; with None, or what serves already, ends what is under way."""
    _keep_what_serves(draft, target)
    if target is None or (draft.stable and target.revision == draft.stable.revision):
        _cancel(draft)
        return
    if draft.rollout is None or draft.rollout.target.revision != target.revision:
        _begin(draft, target)
    steps, rollout = draft.spec.rollout.steps, _under_way(draft)
    if draft.stable is None or not steps or rollout.promote or rollout.step < 0:
        _bring_up(draft)
        return
    if rollout.step >= len(steps):  # the spec lost steps: the last one is watched anew
        _update(draft, step=len(steps) - 1, step_since=draft.now)
    _hold(draft, draft.stable)


def _keep_what_serves(draft: Draft, target: Revision | None) -> None:
    """A first version that answers requests already is not taken away because another one is wanted now."""
    if draft.stable is None and draft.rollout and (target is None or target.revision != draft.rollout.target.revision):
        first = draft.rollout.target
        if draft.snapshot.ready(first) and first.version not in draft.quarantined:
            promote(draft)


def _under_way(draft: Draft) -> RolloutStatus:
    if draft.rollout is None:
        raise AssertionError("no rollout is under way")
    return draft.rollout


def _update(draft: Draft, **changes: object) -> None:
    draft.rollout = _under_way(draft).model_copy(update=changes)


def _cancel(draft: Draft) -> None:
    if draft.rollout is None:
        return
    version = draft.rollout.target.version
    draft.unwanted = draft.rollout.target
    draft.rollout, draft.traffic = None, TrafficStatus()
    draft.event("Normal", "RolloutCancelled", f"the rollout of {version} ended: it is no longer wanted")
    draft.outcomes["rollout"] = "Cancelled"


def _begin(draft: Draft, target: Revision) -> None:
    replaced = f", in place of {draft.rollout.target.version}" if draft.rollout else ""
    if draft.standby and draft.standby.revision.revision == target.revision:
        draft.standby = None
    draft.rollout = RolloutStatus(target=target, started_at=draft.now, step_since=draft.now)
    draft.traffic = TrafficStatus()
    before = f" beside {draft.stable.version}" if draft.stable else ""
    draft.event("Normal", "RolloutStarted", f"rolling out {target.version}{before}{replaced}")


# --- its pods -----------------------------------------------------------------------------------------------------


def _bring_up(draft: Draft) -> None:
    """Outside of the steps: the canary gets its pods, and what it is meant for once they are ready."""
    steps, rollout = draft.spec.rollout.steps, _under_way(draft)
    whole = draft.stable is None or not steps or rollout.promote
    wanted = draft.replicas if whole else canary_replicas(steps[0].weight, draft.replicas)
    draft.wide = rollout.step >= 0 and draft.stable is not None
    if not _await_pods(draft, wanted):
        return
    if whole:
        promote(draft)
        return
    if not _alone(draft):
        return
    _enter(draft, 0)


def _await_pods(draft: Draft, wanted: int) -> bool:
    """Asks for ``wanted`` canary pods; whether they are ready. Not ready by the deadline is a failure."""
    rollout = _under_way(draft)
    draft.canary_replicas = wanted
    version = rollout.target.version
    ready = draft.snapshot.ready(rollout.target)
    if ready >= wanted:
        _update(draft, waiting_since=None)
        return True
    since = rollout.waiting_since or draft.now
    _update(draft, waiting_since=since)
    deadline = since + timedelta(seconds=seconds(draft.spec.rollout.progress_deadline))
    late = draft.now >= deadline
    trouble = draft.snapshot.trouble(rollout.target)
    if trouble:
        finding = Finding(trouble.reason, f"{version} is not ready: {trouble.message}")
    else:
        reason = "ProgressDeadlineExceeded" if late else "WaitingForPods"
        finding = Finding(reason, f"{version} is not ready: {ready} of {wanted} pods")
    if late and draft.stable:
        within = f"not ready within {draft.spec.rollout.progress_deadline}"
        fail(draft, finding.reason, f"{within}: {trouble.message}" if trouble else within)
        return False
    draft.progress = finding
    if not late:
        draft.wakes.append(deadline)
    return False


def _alone(draft: Draft) -> bool:
    """Whether nothing but stable and canary runs: a wide Service would send requests to the rest, too."""
    draft.standby = None
    mine = {each.revision for each in (draft.stable, _under_way(draft).target) if each}
    others = {each.revision for each in draft.snapshot.children} | {each.revision for each in draft.snapshot.pods}
    if others <= mine:
        return True
    draft.progress = Finding("WaitingForOldPods", "the pods of former versions must be gone before requests are shared")
    return False


# --- its steps ----------------------------------------------------------------------------------------------------


def _enter(draft: Draft, index: int) -> None:
    """The step ``index`` begins, or, after the last, the promotion."""
    steps = draft.spec.rollout.steps
    if index >= len(steps):
        promote(draft)
        return
    step = steps[index]
    _update(draft, step=index, step_since=draft.now)
    draft.wide = True
    share = pod_share(draft)
    version = _under_way(draft).target.version
    draft.event(
        "Normal", "StepStarted", f"{version} takes {step.weight} % for {step.hold} (step {index + 1} of {len(steps)})"
    )
    if share is not None and abs(share - step.weight) > OFF_BY:
        draft.event(
            "Warning",
            "WeightNotReached",
            f"step {index + 1} wants {step.weight} % of the requests, {share:g} % of the pods are {version}'s: "
            "more replicas come nearer",
        )
    _settle_step(draft)


def _hold(draft: Draft, stable: Revision) -> None:
    """Within a step: measure, wait, and go on only when every metric's newest measurement in this step is good."""
    draft.wide = True
    if not _measure(draft, stable):
        return
    steps, rollout, analysis = draft.spec.rollout.steps, _under_way(draft), draft.spec.rollout.analysis
    over = draft.now >= rollout.step_since + timedelta(seconds=seconds(steps[rollout.step].hold))
    complete = over and satisfied(rollout, analysis)
    if not _await_pods(draft, _wanted(draft, rollout.step + 1 if complete else rollout.step)):
        _settle_step(draft)
    elif complete:
        _enter(draft, rollout.step + 1)
    else:
        _settle_step(draft)


def _wanted(draft: Draft, index: int) -> int:
    steps = draft.spec.rollout.steps
    return canary_replicas(steps[index].weight, draft.replicas) if index < len(steps) else draft.replicas


def _settle_step(draft: Draft) -> None:
    """What is said of a step that goes on, and when it is looked at again."""
    if draft.rollout is None:
        return
    rollout, steps, analysis = draft.rollout, draft.spec.rollout.steps, draft.spec.rollout.analysis
    step = steps[rollout.step]
    draft.canary_replicas = draft.canary_replicas or _wanted(draft, rollout.step)
    draft.wakes += [next_analysis(rollout, analysis), rollout.step_since + timedelta(seconds=seconds(step.hold))]
    missing = blind(rollout, analysis)
    if missing:
        draft.paused = True
        draft.progress = _blindness(draft, missing)
    elif draft.progress is None:
        failed = f"; {rollout.failed} of {analysis.failure_limit} bad measurements let pass" if rollout.failed else ""
        draft.progress = Finding(
            "Holding",
            f"{rollout.target.version} takes {step.weight} % for {step.hold} "
            f"(step {rollout.step + 1} of {len(steps)}){failed}",
        )


def _blindness(draft: Draft, missing: Sequence[str]) -> Finding:
    if isinstance(draft.snapshot.measured, Unavailable):
        return Finding(
            "PrometheusUnavailable", f"paused: Prometheus does not answer ({draft.snapshot.measured.message})"
        )
    before = next((c for c in draft.snapshot.deployment.status.conditions if c.type == "Progressing"), None)
    if draft.snapshot.measured is None and before and before.reason == "PrometheusUnavailable":
        return Finding(before.reason, before.message)
    least = draft.spec.rollout.analysis.min_requests
    return Finding(
        "NoData",
        f"paused: no data for {', '.join(missing)}; {_under_way(draft).target.version} needs {least} requests in "
        f"{draft.spec.rollout.analysis.interval}",
    )


def _measure(draft: Draft, stable: Revision) -> bool:
    """Takes the measurement that was made, if one was due. False when it ended the rollout."""
    rollout, analysis, measured = _under_way(draft), draft.spec.rollout.analysis, draft.snapshot.measured
    if measured is None or measured.revision != rollout.target.revision or draft.now < next_analysis(rollout, analysis):
        return True
    found = judge(analysis, measured, rollout.target.version, draft.now)
    bad = [each for each in found if each.result == "Fail"]
    good = bool(found) and all(each.result == "Pass" for each in found)
    _update(
        draft,
        last_analysis=draft.now,
        measurements=[*found, *rollout.measurements][:KEPT],
        passed=rollout.passed + (1 if good else 0),
        failed=rollout.failed + (1 if bad else 0),
    )
    share = request_share(measured, stable.version, rollout.target.version)
    draft.traffic = draft.traffic.model_copy(update={"request_share": share})
    failed = _under_way(draft).failed
    if not bad:
        return True
    text = ", ".join(_comparison(each) for each in bad)
    if failed <= analysis.failure_limit:
        draft.event(
            "Warning",
            "MeasurementFailed",
            f"{rollout.target.version}: {text}; {failed} of {analysis.failure_limit} let pass",
        )
        return True
    fail(draft, ROLLOUT_FAILED, f"{text} in {failed} measurements, {analysis.failure_limit} let pass")
    return False


def _comparison(measurement: Measurement) -> str:
    value = "nothing" if measurement.value is None else f"{measurement.value:g}"
    return f"{measurement.name} was {value}, limit {measurement.max:g}"


def pod_share(draft: Draft) -> float | None:
    """Percent of the ready pods behind the Service that are the canary's; None without a rollout or without pods."""
    if draft.rollout is None:
        return None
    new = draft.snapshot.ready(draft.rollout.target) if draft.wide or draft.stable is None else 0
    old = draft.snapshot.ready(draft.stable)
    return round(100 * new / (new + old), 1) if new + old else None


# --- its end ------------------------------------------------------------------------------------------------------


def promote(draft: Draft) -> None:
    """The canary is the stable revision from now on; the one before stands by."""
    target, before = _under_way(draft).target, draft.stable
    draft.serve(target)
    draft.wide = False
    keep = seconds(draft.spec.standby.keep)
    if before and keep:
        until: datetime = draft.now + timedelta(seconds=keep)
        draft.standby = Standing(revision=before, until=until)
    replaced = f"; {before.version} stands by for {draft.spec.standby.keep}" if before and keep else ""
    draft.event("Normal", "Promoted", f"{target.version} serves all requests{replaced}")
    draft.outcomes["rollout"] = "Promoted"
    draft.progress = None


def fail(draft: Draft, cause: str, reason: str) -> None:
    """The rollout ends, stable keeps the traffic, and what was rolled out stays out until someone lets it in.

    A version that is stable already, with another configuration, is no bad version: the configuration alone is held.
    """
    target = _under_way(draft).target
    version = target.version
    what = version
    if draft.stable and draft.stable.version == version:
        what = f"the new configuration of {version}"
        draft.held = Held(
            version=version,
            reason=reason[:REASON_LIMIT],
            since=draft.now,
            configuration=configuration_hash(recorded(target)),
        )
    else:
        draft.quarantine(version, Quarantined(reason[:REASON_LIMIT], draft.now, cause))
        draft.held = Held(version=version, reason=reason[:REASON_LIMIT], since=draft.now)
    draft.rollout, draft.traffic = None, TrafficStatus()
    draft.wide, draft.progress, draft.paused = False, None, False
    serving = draft.stable.version if draft.stable else "nothing"
    draft.event("Warning", "RolloutFailed", f"{what} was taken back, {serving} serves: {reason}")
    draft.outcomes["rollout"] = "Failed"
