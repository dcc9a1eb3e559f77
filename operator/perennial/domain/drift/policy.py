"""What is done about a verdict: the table in docs/drift-policy.md, row by row. The first row that applies decides.

Nothing here reads a clock or a cluster: the same status and situation give the same reaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.api.common import format_time, seconds
from perennial.api.deployment import DeploymentStatus
from perennial.api.drift import MonitorSpec
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.api.verdict import Action, MonitorStatus, PerformanceEvidence, Verdict
from perennial.api.version import ModelVersion
from perennial.domain.drift.breaker import Last, uncured
from perennial.domain.drift.decision import SIGNAL, Call, Kind, Past, calls
from perennial.domain.drift.maintenance import maintained_until
from perennial.domain.plan import short_hash

ACTIONS_KEPT, OBSERVED_KEPT = 120, 20
REASON_LIMIT, NAMED_LIMIT = 512, 512
BUDGET_SPENT = "BudgetSpent"
_STRICT: dict[Verdict, int] = {"Healthy": 0, "NoTraffic": 1, "Drifting": 2, "PerformanceLoss": 3}
"""What a monitor has found, the strictest last; the other verdicts say that it could not tell."""


@dataclass(frozen=True)
class Sibling:
    """Another DriftMonitor of the same deployment.

    ``verdict`` is its verdict on the version that serves; None where it has none, or it is about another version.
    ``actions`` are all that its status has.
    """

    name: str
    verdict: Verdict | None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Situation:
    """What a reaction depends on, besides the spec and the monitor's status.

    ``digest`` is the serving version's model digest, ``stable_since`` its promotion, ``window`` the time before the
    window's end that the version must have served throughout. ``predecessor`` is how good the version before it was at
    the same age, by labels and by the same metric; None where that is not known.

    The others tell of the last Retrain that this monitor asked for (:func:`last_retrain`), whichever version served
    then: ``retraining`` is what is still to be expected of it (:func:`retraining`); ``made`` names the version that the
    last run after it made, empty while there is none; ``rejected`` is whether that version has been rejected, by its
    gates or a person, or is kept out here; ``training_changed`` whether the ModelTraining's spec has changed since.

    ``siblings`` are the other monitors of the deployment.
    """

    uid: str
    version: str
    digest: str
    stable_since: datetime | None
    rolling_out: bool
    window: timedelta
    retraining: str = ""
    predecessor: PerformanceEvidence | None = None
    made: str = ""
    rejected: bool = False
    training_changed: bool = False
    siblings: tuple[Sibling, ...] = ()


@dataclass(frozen=True)
class Reaction:
    """``actions`` are to be asked for now, ``observed`` would be were the monitor not told to watch only.

    ``waiting``: why nothing is done; ``human``: (reason, message) of HumanNeeded, where a person has to decide;
    ``disagreement``: which monitor of the deployment decides where they differ.
    """

    actions: tuple[Action, ...] = ()
    observed: tuple[Action, ...] = ()
    waiting: str = ""
    human: tuple[str, str] | None = None
    disagreement: str = ""


@dataclass(frozen=True)
class _Case:
    """All that the rows of the table look at."""

    spec: MonitorSpec
    status: MonitorStatus
    situation: Situation
    now: datetime
    watching: str = ""

    @property
    def end(self) -> datetime:
        """The end of the window; ``now`` before the first."""
        return self.status.window_end or self.now

    @property
    def asked(self) -> list[Action]:
        """What any monitor of the deployment has asked for."""
        return [*self.status.actions, *(each for sibling in self.situation.siblings for each in sibling.actions)]

    @property
    def imagined(self) -> list[Action]:
        """Mode Observe: what would have been asked for before, so that cooldown and budget are as they would be."""
        return self.status.observed if self.spec.mode == "Observe" else []


def react(spec: MonitorSpec, status: MonitorStatus, situation: Situation, reason: str, now: datetime) -> Reaction:
    """The reaction to ``status``, which is about the window that ends at ``status.window_end``.

    ``reason`` says in words what the verdict rests on.
    """
    case = _Case(spec, status, situation, now, _watching(spec, now))
    differs = _disagreement(spec, status, situation)
    if status.window_end is None:
        return Reaction(disagreement=differs)
    past = Past(situation.stable_since, situation.predecessor, _rolled_back(situation, case.asked))
    found = calls(spec, status, past, reason)
    ripe = [each for each in found if each.agreed >= spec.policy.consecutive]
    if ripe and situation.rolling_out:
        return Reaction(waiting="a rollout is under way", disagreement=differs)
    kinds: tuple[Kind, ...] = ("Rollback", "Retrain")
    decided = [_of_kind(case, [each for each in ripe if each.kind == kind]) for kind in kinds]
    early = [
        f"{each.agreed} of {spec.policy.consecutive} {each.subject}"
        for each in found
        if each not in ripe and not any(other.kind == each.kind for other in ripe)
    ]
    return Reaction(
        actions=tuple(action for each in decided for action in each.actions),
        observed=tuple(action for each in decided for action in each.observed),
        waiting="; ".join(dict.fromkeys([*(each.waiting for each in decided if each.waiting), *early])),
        human=next((each.human for each in decided if each.human), None),
        disagreement=differs,
    )


def _of_kind(case: _Case, called: Sequence[Call]) -> Reaction:
    """The rows of the table for the ``called``, which are all of one kind and long enough so."""
    since, version = case.situation.stable_since, case.situation.version
    # A signal's chunks are the version's own from the first on, so it need not wait for a whole window.
    mixed = since is not None and since > case.end - case.situation.window
    full = [each for each in called if each.verdict == SIGNAL or not mixed]
    if called and not full:
        return Reaction(waiting=f"{version} took over within the window")
    if not full:
        return Reaction()
    held = _rollback_held(case) if full[0].kind == "Rollback" else _retrain_held(case, full)
    return held or _asked_for(case, full[0])


def _rollback_held(case: _Case) -> Reaction | None:
    """Once a promotion: a deployment that could not roll back says why, and asking again changes nothing."""
    if _rolled_back(case.situation, case.asked) is not None:
        return Reaction(waiting=f"the rollback of {case.situation.version} has been asked for")
    if _rolled_back(case.situation, case.imagined) is not None:
        return Reaction(waiting=case.watching)
    # A retrain may run for hours; it is no reason to leave a bad version in service.
    return _cooling(case, [each for each in (*case.asked, *case.imagined) if each.kind == "Rollback"])


def _retrain_held(case: _Case, called: Sequence[Call]) -> Reaction | None:
    if case.situation.retraining:
        return Reaction(waiting=case.situation.retraining)
    human = _uncured(case, called)
    if human is None:
        if cooling := _cooling(case, [*case.asked, *case.imagined]):
            return cooling
        spent = _budget_spent(case)
        human = (BUDGET_SPENT, spent) if spent else None
    if human is None:
        return None
    if case.spec.mode == "Observe":
        return Reaction(waiting=f"a person would be asked ({human[0]}): {human[1]}")
    return Reaction(human=human)


def _uncured(case: _Case, called: Sequence[Call]) -> tuple[str, str] | None:
    situation, action = case.situation, last_retrain(case.status)
    if action is None:
        return None
    last = Last(action, situation.made, situation.rejected, situation.training_changed)
    return uncured(case.spec, case.status, last, situation.version, situation.stable_since, called)


def _cooling(case: _Case, holding: Sequence[Action]) -> Reaction | None:
    cooldown = timedelta(seconds=seconds(case.spec.policy.cooldown))
    if holding and case.now < max(each.since for each in holding) + cooldown:
        return Reaction(waiting=f"cooldown of {case.spec.policy.cooldown} since the last action")
    return None


def _asked_for(case: _Case, call: Call) -> Reaction:
    """The action; where the monitor is to watch only, a note of it, once as long as what calls for it goes on."""
    version = case.situation.version
    if case.watching and any(
        each.kind == call.kind and each.version == version and each.since >= _began(case, call)
        for each in case.status.observed
    ):
        return Reaction(waiting=case.watching)
    key = short_hash(case.situation.uid, call.kind, version, case.end.isoformat(), length=12)
    action = Action(
        id=f"{call.kind.lower()}-{key}",
        kind=call.kind,
        version=version,
        digest=case.situation.digest,
        since=case.now,
        reason=call.reason[:REASON_LIMIT],
        verdict=call.verdict,
    )
    return Reaction(observed=(action,), waiting=case.watching) if case.watching else Reaction(actions=(action,))


def _began(case: _Case, call: Call) -> datetime:
    """Whole seconds, as a status has them: what was noted then counts."""
    since = case.situation.stable_since
    return (max(call.began, since) if since else call.began).replace(microsecond=0)


def _watching(spec: MonitorSpec, now: datetime) -> str:
    """Why nothing may be done at all."""
    if spec.mode == "Observe":
        return "mode is Observe: status.observed has what would be done"
    until = maintained_until(spec.policy.maintenance, now)
    return f"maintenance until {format_time(until)}: status.observed has what would be done" if until else ""


def _rolled_back(situation: Situation, asked: Sequence[Action]) -> datetime | None:
    """When a Rollback of the version was last asked for since its promotion."""
    since = situation.stable_since
    found = [
        each.since
        for each in asked
        if each.kind == "Rollback" and each.version == situation.version and (since is None or each.since >= since)
    ]
    return max(found, default=None)


def _budget_spent(case: _Case) -> str:
    budget = case.spec.policy.retrain_budget
    since = case.now - timedelta(budget.days)
    own = [*case.status.actions, *case.imagined]
    if sum(each.kind == "Retrain" and each.since > since for each in own) < budget.max:
        return ""
    return (
        f"the retrain budget of {budget.max} in {budget.days} days is spent: look at why retraining does not help, "
        "then raise policy.retrainBudget.max or train by hand"
    )


# --- several monitors ---------------------------------------------------------------------------------------------


def _disagreement(spec: MonitorSpec, status: MonitorStatus, situation: Situation) -> str:
    """Whose verdict counts where monitors of one deployment differ; empty where those that can tell agree."""
    own = status.verdict
    told = [(_STRICT[each.verdict], each) for each in situation.siblings if each.verdict in _STRICT]
    if own not in _STRICT or all(each.verdict == own for _, each in told):
        return ""
    others = [f"{each.verdict} by DriftMonitor {each.name}" for _, each in told if each.verdict != own]
    rank, strictest = max(told, key=lambda each: each[0])
    counts = strictest.name if _STRICT[own] < rank else "this one"
    if _STRICT[own] == rank:
        counts = f"this one and {strictest.name}"
    return f"{spec.deployment} is found {own} here, {', '.join(others)[:NAMED_LIMIT]}; the stricter counts: {counts}"


# --- the status ---------------------------------------------------------------------------------------------------


def with_actions(status: MonitorStatus, reaction: Reaction) -> MonitorStatus:
    """``status`` with the reaction's actions in front, and with those observed that it does not have yet."""
    known = {each.id for each in status.observed}
    observed = [each for each in reaction.observed if each.id not in known]
    if not reaction.actions and not observed:
        return status
    said = _named(reaction.actions) if reaction.actions else f"would {_named(observed)}"
    return status.model_copy(
        update={
            "actions": [*reversed(reaction.actions), *status.actions][:ACTIONS_KEPT],
            "observed": [*reversed(observed), *status.observed][:OBSERVED_KEPT],
            "last_action": said[:128],
        }
    )


def _named(actions: Sequence[Action]) -> str:
    return f"{' and '.join(each.kind for each in actions)} {actions[0].version}"


# --- what became of a retrain -------------------------------------------------------------------------------------


def last_retrain(status: MonitorStatus) -> Action | None:
    """The newest Retrain that the monitor asked for, whichever version served then."""
    return max((each for each in status.actions if each.kind == "Retrain"), key=lambda each: each.since, default=None)


def answering_run(action: Action, training: ModelTraining) -> Run | None:
    """The last run that began after ``action``: a run answers all that waited when it started, but a reproduction makes
    no model.
    """
    asked = action.since.replace(microsecond=0)
    later = [run for run in training.status.runs if run.started_at >= asked and not run.reproduces]
    return max(later, key=lambda run: run.number, default=None)


def retraining(
    action: Action | None,
    training: ModelTraining | None,
    made: ModelVersion | None,
    deployment: str,
    serving: str,
) -> str:
    """What is still to be expected of ``action``; empty when nothing is: it has been answered, or another one may be
    asked for, if the budget allows. ``made`` is the version that :func:`answering_run` made, ``serving`` the one that
    serves.
    """
    if action is None:
        return ""
    if training is None:
        gone = "the ModelTraining that was asked to retrain does not exist"
        return gone if action.version == serving else ""
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
    if _overtaken(made.metadata.name, serving):
        return ""
    wait = "is to be approved" if made.spec.approval == "Pending" else "is to take over"
    return f"{made.metadata.name} {wait}"


def _overtaken(made: str, serving: str) -> bool:
    """Whether ``made`` serves, or a later version of its model does: it is not to be waited for any more."""
    (model, _, number), (other, _, later) = made.rpartition("-v"), serving.rpartition("-v")
    numbered = number.isdecimal() and later.isdecimal()
    return made == serving or (model == other and numbered and int(later) > int(number))


def kept_out(version: ModelVersion, deployment: str) -> bool:
    """Whether ``version`` is in quarantine for ``deployment``."""
    return any(each.deployment == deployment for each in version.status.quarantined)


def is_rolling_out(status: DeploymentStatus) -> bool:
    """Whether traffic is on its way to another version."""
    return status.rollout is not None
