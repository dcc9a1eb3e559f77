"""What is done about a verdict: the table in docs/drift-policy.md, row by row. The first row that applies decides."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from perennial.api.common import seconds
from perennial.api.deployment import DeploymentStatus
from perennial.api.drift import Policy
from perennial.api.training import ModelTraining, Run
from perennial.api.verdict import Action, MonitorStatus
from perennial.api.version import ModelVersion
from perennial.domain.plan import short_hash

ACTIONS_KEPT = 120
Kind = Literal["Retrain", "Rollback"]


@dataclass(frozen=True)
class Situation:
    """What a reaction depends on, besides the policy and the monitor's status.

    ``digest`` is the serving version's model digest, ``stable_since`` its promotion; ``retraining`` says what has
    become of the last Retrain that was asked for this version, empty when nothing is to be expected of it any more.
    """

    uid: str
    version: str
    digest: str
    stable_since: datetime | None
    rolling_out: bool
    window: timedelta
    retraining: str = ""


@dataclass(frozen=True)
class Reaction:
    """``actions`` to be asked for now; ``waiting``: why none is; ``exhausted``: why a person has to decide."""

    actions: tuple[Action, ...] = ()
    waiting: str = ""
    exhausted: str = ""


def react(policy: Policy, status: MonitorStatus, situation: Situation, reason: str, now: datetime) -> Reaction:
    """The reaction to ``status.verdict``, which is about the window that ends at ``status.window_end``."""
    kinds = _kinds(policy, status)
    if not kinds or status.window_end is None:
        return Reaction()
    if status.consecutive < policy.consecutive:
        return Reaction(waiting=f"{status.consecutive} of {policy.consecutive} windows in a row agree")
    if situation.rolling_out:
        return Reaction(waiting="a rollout is under way")
    if situation.stable_since and situation.stable_since > status.window_end - situation.window:
        return Reaction(waiting=f"{situation.version} took over within the window")
    decided = [_decide(kind, policy, status, situation, reason, now) for kind in kinds]
    return Reaction(
        actions=tuple(action for each in decided for action in each.actions),
        waiting="; ".join(each.waiting for each in decided if each.waiting),
        exhausted="; ".join(each.exhausted for each in decided if each.exhausted),
    )


def _kinds(policy: Policy, status: MonitorStatus) -> tuple[Kind, ...]:
    """Rollback before Retrain: what serves comes first. A loss does not hide drift: both are answered."""
    lost = status.verdict == "PerformanceLoss"
    drifted = status.verdict == "Drifting" or (lost and any(each.drifting for each in status.features))
    rollback = lost and policy.on_performance_loss in {"Rollback", "RollbackAndRetrain"}
    retrain = (lost and policy.on_performance_loss in {"Retrain", "RollbackAndRetrain"}) or (
        drifted and policy.on_input_drift == "Retrain"
    )
    wanted: tuple[tuple[Kind, bool], ...] = (("Rollback", rollback), ("Retrain", retrain))
    return tuple(kind for kind, is_wanted in wanted if is_wanted)


def _decide(
    kind: Kind, policy: Policy, status: MonitorStatus, situation: Situation, reason: str, now: datetime
) -> Reaction:
    if kind == "Rollback" and _rollback_asked(status, situation):
        return Reaction(waiting=f"the rollback of {situation.version} has been asked for")
    if kind == "Retrain" and situation.retraining:
        return Reaction(waiting=situation.retraining)
    # A retrain may run for hours; it is no reason to leave a bad version in service.
    holding = [each.since for each in status.actions if kind == "Retrain" or each.kind == "Rollback"]
    if holding and now < max(holding) + timedelta(seconds=seconds(policy.cooldown)):
        return Reaction(waiting=f"cooldown of {policy.cooldown} since the last action")
    if kind == "Retrain" and (spent := _budget_spent(policy, status, now)):
        return Reaction(exhausted=spent)
    end = status.window_end.isoformat() if status.window_end else ""
    identity = f"{kind.lower()}-{short_hash(situation.uid, kind, situation.version, end, length=12)}"
    action = Action(
        id=identity, kind=kind, version=situation.version, digest=situation.digest, since=now, reason=reason[:512]
    )
    return Reaction(actions=(action,))


def _rollback_asked(status: MonitorStatus, situation: Situation) -> bool:
    """Once a promotion: a deployment that could not roll back says why, and asking again changes nothing."""
    since = situation.stable_since
    return any(
        each.kind == "Rollback" and each.version == situation.version and (since is None or each.since >= since)
        for each in status.actions
    )


def _budget_spent(policy: Policy, status: MonitorStatus, now: datetime) -> str:
    budget = policy.retrain_budget
    recent = [each for each in status.actions if each.kind == "Retrain" and each.since > now - timedelta(budget.days)]
    if len(recent) < budget.max:
        return ""
    return (
        f"the retrain budget of {budget.max} in {budget.days} days is spent: look at why retraining does not help, "
        "then raise policy.retrainBudget.max or train by hand"
    )


def with_actions(status: MonitorStatus, actions: tuple[Action, ...]) -> MonitorStatus:
    """``status`` with ``actions`` in front."""
    if not actions:
        return status
    kept = [*reversed(actions), *status.actions][:ACTIONS_KEPT]
    said = " and ".join(each.kind for each in actions)
    return status.model_copy(update={"actions": kept, "last_action": f"{said} {actions[0].version}"[:128]})


# --- what became of a retrain -------------------------------------------------------------------------------------


def last_retrain(status: MonitorStatus, version: str) -> Action | None:
    """The newest Retrain asked for ``version``."""
    found = [each for each in status.actions if each.kind == "Retrain" and each.version == version]
    return max(found, key=lambda each: each.since, default=None)


def answering_run(action: Action, training: ModelTraining) -> Run | None:
    """The last run that began after ``action``: a run answers all that waited when it started."""
    later = [run for run in training.status.runs if run.started_at >= action.since.replace(microsecond=0)]
    return max(later, key=lambda run: run.number, default=None)


def retraining(
    action: Action | None, training: ModelTraining | None, made: ModelVersion | None, deployment: str
) -> str:
    """What is still to be expected of ``action``; empty when nothing is: another one may be asked for, if the budget
    allows. ``made`` is the version that :func:`answering_run` made.
    """
    if action is None:
        return ""
    if training is None:
        return "the ModelTraining that was asked to retrain does not exist"
    name = training.metadata.name
    if action.id not in training.status.handled_actions:
        return f"ModelTraining {name} has not yet taken up the retrain"
    run = answering_run(action, training)
    if run is None or run.phase == "Failed":
        return ""
    if run.phase == "Running":
        return f"run {run.number} of ModelTraining {name} is under way"
    if made is None or made.spec.approval == "Rejected" or kept_out(made, deployment):
        return ""
    wait = "is to be approved" if made.spec.approval == "Pending" else "is to take over"
    return f"{made.metadata.name} {wait}"


def kept_out(version: ModelVersion, deployment: str) -> bool:
    """Whether ``version`` is in quarantine for ``deployment``."""
    return any(each.deployment == deployment for each in version.status.quarantined)


def is_rolling_out(status: DeploymentStatus) -> bool:
    """Whether traffic is on its way to another version."""
    return status.rollout is not None
