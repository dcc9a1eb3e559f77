"""What keeps a rollout in the stage that it is in: a person, a clock, or an analysis that is not (yet) good.

A person's promotion goes past the hold, the pause, and measurements that say nothing; never past a bad one.
"""

from collections.abc import Sequence
from datetime import timedelta

from perennial.api.deployment import Measurement
from perennial.domain.analysis.judge import Unavailable, blind, next_analysis, satisfied, undecided
from perennial.domain.conditions import find
from perennial.domain.rollout.measure import comparison, failing
from perennial.domain.rollout.stages import Stage
from perennial.domain.rollout.state import Draft, Finding
from perennial.domain.rollout.wait import block


def may_begin(draft: Draft) -> bool:
    """Whether the first stage may begin as far as people and the analysis' own form are concerned."""
    finding = _paused(draft) or _unmeasurable(draft)
    if finding:
        block(draft, finding)
    return finding is None


def may_leave(draft: Draft, stage: Stage) -> bool:
    """Whether ``stage`` is over; otherwise what it waits for is said."""
    rollout = draft.under_way
    _wake(draft, stage)
    overruled = rollout.promote or rollout.past == rollout.step
    waits = _paused(draft) or _unmeasurable(draft)
    if not overruled:
        waits = waits or _awaiting(draft, stage) or _inconclusive(draft) or _blind(draft)
    if waits:
        block(draft, waits)
        return False
    if failing(draft) or not (overruled or _complete(draft, stage)):
        draft.progress = Finding("Holding", _place(draft, stage) + _failures(draft) + _unsure(draft))
        return False
    return True


def _complete(draft: Draft, stage: Stage) -> bool:
    rollout = draft.under_way
    over = stage.hold is not None and draft.now >= rollout.step_since + timedelta(seconds=stage.hold)
    return over and satisfied(rollout, draft.spec.rollout.analysis)


def _wake(draft: Draft, stage: Stage) -> None:
    rollout = draft.under_way
    draft.wakes.append(next_analysis(rollout, draft.spec.rollout.analysis))
    if stage.hold is not None:
        draft.wakes.append(rollout.step_since + timedelta(seconds=stage.hold))


def _place(draft: Draft, stage: Stage) -> str:
    rollout = draft.under_way
    return f"{rollout.target.version} {stage.words} (step {rollout.step + 1} of {len(draft.stages)})"


def _failures(draft: Draft) -> str:
    failed, limit = draft.under_way.failed, draft.spec.rollout.analysis.failure_limit
    return f"; {failed} of {limit} bad measurements let pass" if failed else ""


def _unsure(draft: Draft) -> str:
    unsure = undecided(draft.under_way, draft.spec.rollout.analysis)
    return f"; not decided: {'; '.join(map(comparison, unsure))}" if unsure else ""


def _paused(draft: Draft) -> Finding | None:
    rollout = draft.under_way
    if not rollout.paused:
        return None
    version = rollout.target.version
    return Finding("Paused", f"{version} was paused by a person; go on: {draft.command('resume', version)}")


def _unmeasurable(draft: Draft) -> Finding | None:
    """An analysis that can never be made: only a person who skips all stages goes past it."""
    return None if draft.under_way.promote else draft.snapshot.analysis_problem


def _awaiting(draft: Draft, stage: Stage) -> Finding | None:
    if stage.hold is not None:
        return None
    rollout = draft.under_way
    bad = ", ".join(map(comparison, failing(draft)))
    if bad:
        return Finding("AwaitingPromotion", f"{_place(draft, stage)}; it cannot be promoted now: {bad}")
    missing = blind(rollout, draft.spec.rollout.analysis)
    note = f"; no data for {_causes(missing)}" if missing else ""
    command = draft.command("promote", rollout.target.version)
    return Finding("AwaitingPromotion", f"{_place(draft, stage)}{note}{_failures(draft)}: {command}")


def _inconclusive(draft: Draft) -> Finding | None:
    rollout, limit = draft.under_way, draft.spec.rollout.analysis.inconclusive_limit
    if rollout.inconclusive <= limit:
        return None
    version = rollout.target.version
    unsure = {each.name: comparison(each) for each in reversed(rollout.measurements) if each.result == "Inconclusive"}
    text = f"{rollout.inconclusive} inconclusive measurements, {limit} are waited out ({'; '.join(unsure.values())})"
    return Finding(
        "Inconclusive",
        f"paused: {text}; measure on: {draft.command('resume', version)}, go on all the same: "
        f"{draft.command('promote', version)}, or end it: {draft.command('abort', version)}",
    )


def _blind(draft: Draft) -> Finding | None:
    rollout, analysis = draft.under_way, draft.spec.rollout.analysis
    missing = blind(rollout, analysis)
    return _blindness(draft, missing) if missing else None


def _blindness(draft: Draft, missing: Sequence[Measurement]) -> Finding:
    measured = draft.snapshot.measured
    if isinstance(measured, Unavailable):
        return Finding("PrometheusUnavailable", f"paused: Prometheus does not answer ({measured.message})")
    before = find(draft.snapshot.deployment.status.conditions, "Progressing")
    if measured is None and before and before.reason == "PrometheusUnavailable":
        return Finding(before.reason, before.message)
    version, interval = draft.under_way.target.version, draft.spec.rollout.analysis.interval
    return Finding("NoData", f"paused: no data of {version} in {interval} for {_causes(missing)}")


def _causes(missing: Sequence[Measurement]) -> str:
    return ", ".join(f"{each.name} ({each.message})" if each.message else each.name for each in missing)
