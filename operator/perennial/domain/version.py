"""Decides about a ModelVersion: where it serves, where it is kept out, and whether it may go."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.api.common import parse_time
from perennial.api.deployment import ModelDeployment
from perennial.api.version import ModelVersion, Quarantine, Serving, VersionStatus
from perennial.contracts.names import FINALIZER, QUARANTINE_GROUP
from perennial.domain.conditions import Truth, condition
from perennial.domain.plan import Event, Finalizer, Plan

GIVE_UP_AFTER = timedelta(minutes=10)
"""A version that is deleted while it is in use is held so long; then its deletion goes on, whatever still names it."""

_REASON_LIMIT = 512
_STATES = (("stable", "Serving"), ("canary", "Canary"), ("standby", "Standby"))


@dataclass(frozen=True)
class Snapshot:
    """The version, and the ModelDeployments of its model."""

    version: ModelVersion
    deployments: tuple[ModelDeployment, ...] = ()


def decide(snapshot: Snapshot, now: datetime) -> Plan:
    """The version's status, and its finalizer: there while it is in use."""
    version = snapshot.version
    serving = in_use(version.metadata.name, snapshot.deployments, now)
    status = _status(version, serving, now)
    deleted = version.metadata.deletion_timestamp
    held = FINALIZER in version.metadata.finalizers
    if deleted is None:
        return Plan(status=status, steps=_finalizer(held, wanted=bool(serving)))
    if not held:
        return Plan()
    where = ", ".join(f"{each.deployment} ({each.role})" for each in serving)
    if not serving:
        return Plan(steps=(Finalizer(FINALIZER, there=False),))
    left = (deleted + GIVE_UP_AFTER - now).total_seconds()
    if left > 0:
        message = f"it is deleted once it is out of use, or by {GIVE_UP_AFTER.seconds // 60} min after: {where}"
        return Plan(status=status, events=(Event("Warning", "StillInUse", message),), requeue=left)
    message = f"its deletion goes on though it is in use: {where}; its pods keep what they have until they restart"
    return Plan(steps=(Finalizer(FINALIZER, there=False),), events=(Event("Warning", "ReleasedInUse", message),))


def in_use(name: str, deployments: tuple[ModelDeployment, ...], now: datetime) -> list[Serving]:
    """Where the version serves, is on its way, or stands by; in the order of the deployments' names."""
    found: list[Serving] = []
    for deployment in sorted(deployments, key=lambda each: each.metadata.name):
        where, status = deployment.metadata.name, deployment.status
        if status.stable and status.stable.version == name:
            found.append(Serving(deployment=where, role="stable", since=_promoted(deployment, now)))
        if status.rollout and status.rollout.target.version == name:
            found.append(Serving(deployment=where, role="canary", since=status.rollout.started_at))
        if status.standby and status.standby.revision.version == name:
            since = status.standby.revision.since or status.standby.until
            found.append(Serving(deployment=where, role="standby", since=since))
    return found


def quarantines(version: ModelVersion, now: datetime) -> list[Quarantine]:
    """Where the version is kept out, from its annotations, in the order of the deployments' names."""
    found = []
    for key, value in sorted(version.metadata.annotations.items()):
        group, _, deployment = key.partition("/")
        if group != QUARANTINE_GROUP:
            continue
        try:
            mark = json.loads(value)
            reason, since = str(mark["reason"]), parse_time(mark["since"])
        except (ValueError, KeyError, TypeError):
            reason, since = (
                f"the annotation {key} is there, and cannot be read",
                version.metadata.creation_timestamp or now,
            )
        found.append(Quarantine(deployment=deployment, reason=reason[:_REASON_LIMIT], since=since))
    return found


def _status(version: ModelVersion, serving: list[Serving], now: datetime) -> VersionStatus:
    kept_out = quarantines(version, now)
    roles = {each.role for each in serving}
    states = [state for role, state in _STATES if role in roles][:1] + (["Quarantined"] if kept_out else [])
    generation = version.metadata.generation
    return version.status.model_copy(
        update={
            "observed_generation": generation,
            "serving": serving,
            "quarantined": kept_out,
            "state": ", ".join(states) or "Idle",
            "conditions": condition(
                version.status.conditions, "Ready", *_ready(version, kept_out), generation=generation, now=now
            ),
        }
    )


def _ready(version: ModelVersion, kept_out: list[Quarantine]) -> tuple[Truth, str, str]:
    """Whether a ModelDeployment may roll the version out."""
    name, approval = version.metadata.name, version.spec.approval
    if approval == "Pending":
        return "False", "ApprovalPending", f"it waits for a person: kubectl perennial approve {name}, or reject {name}"
    if approval == "Rejected":
        failed = [gate.message for gate in version.spec.record.gates if not gate.passed]
        champion = version.spec.record.champion
        if champion and champion.verdict in {"Worse", "Unproven"}:
            failed.append(champion.message)
        return "False", "Rejected", "; ".join(failed) or "rejected by spec.approval"
    if kept_out:
        where = "; ".join(f"{each.deployment}: {each.reason}" for each in kept_out)
        message = f"kept out of {where}; annotate the ModelDeployment perennial.dev/request: release/{name}/<a new id>"
        return "False", "Quarantined", message
    return "True", "Approved", version.spec.record.score.text


def _finalizer(held: bool, *, wanted: bool) -> tuple[Finalizer, ...]:
    return () if held == wanted else (Finalizer(FINALIZER, there=wanted),)


def _promoted(deployment: ModelDeployment, now: datetime) -> datetime:
    stable = deployment.status.stable
    return (stable and stable.since) or deployment.metadata.creation_timestamp or now
