"""ModelDeployment: reads what a rollout depends on, and renders what was decided."""

import asyncio
from datetime import datetime
from typing import Any

from perennial.api.common import API_VERSION
from perennial.api.deployment import ModelDeployment
from perennial.api.drift import DriftMonitor
from perennial.api.version import ModelVersion
from perennial.contracts.names import LABEL_DEPLOYMENT, LABEL_REVISION
from perennial.domain.plan import Plan
from perennial.domain.rollout.decide import decide
from perennial.domain.rollout.pods import is_ready, trouble_of_deployment, trouble_of_pod
from perennial.domain.rollout.state import Asked, Child, Pod, Snapshot
from perennial.reconcile.controller import Context
from perennial.reconcile.measure import analysis_problem, measure
from perennial.reconcile.moves import steps
from perennial.reconcile.overlay import Overlays
from perennial.reconcile.route import route_of
from perennial.render.predictor import ANNOTATION_RENDERED

Json = dict[str, Any]


class DeploymentController:
    """One model in service."""

    kind = ModelDeployment

    def __init__(self) -> None:
        self._overlays = Overlays()

    async def gather(self, context: Context, raw: Json, now: datetime) -> Snapshot:
        """What there is: versions, actions, children, the Gateway's word; and a measurement where one is due."""
        owner = ModelDeployment.parse(raw)
        namespace, name = owner.metadata.namespace, owner.metadata.name
        mine = f"{LABEL_DEPLOYMENT}={name}"
        (versions, monitors, deployments, pods), (route, overlay, measured, problem) = await asyncio.gather(
            asyncio.gather(
                context.api.list(API_VERSION, ModelVersion.KIND, namespace),
                context.api.list(API_VERSION, DriftMonitor.KIND, namespace),
                context.api.list("apps/v1", "Deployment", namespace, labels=mine),
                context.api.list("v1", "Pod", namespace, labels=mine),
            ),
            asyncio.gather(
                route_of(context.api, owner),
                self._overlays.of(context.api, owner, context.settings.serving_image),
                measure(context.prometheus, owner, now),
                analysis_problem(context.prometheus, owner),
            ),
        )
        return Snapshot(
            deployment=owner,
            image=context.settings.serving_image,
            versions=tuple(
                ModelVersion.parse(each)
                for each in versions
                if ((each.get("spec") or {}).get("record") or {}).get("model") == owner.spec.model
            ),
            asked=tuple(_asked(monitors, name)),
            children=tuple(_child(each) for each in deployments if not _leaving(each)),
            pods=tuple(_pod(each) for each in pods if not _leaving(each) and not _ended(each)),
            measured=measured,
            analysis_problem=problem,
            route=route,
            overlay=overlay,
        )

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """The plan that makes the decision true; applying what is there already writes nothing."""
        if snapshot.deployment.metadata.deletion_timestamp:
            return Plan()
        decision = decide(snapshot, now)
        return Plan(
            status=decision.status,
            steps=tuple(step for move in decision.moves for step in steps(snapshot, decision.status, move)),
            events=decision.events,
            requeue=decision.requeue,
            outcomes=decision.outcomes,
        )


def _leaving(raw: Json) -> bool:
    return "deletionTimestamp" in raw["metadata"]


def _ended(pod: Json) -> bool:
    """An evicted pod stays in the API for ever, also where its Deployment wants none."""
    return (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def _asked(monitors: list[Json], name: str) -> list[Asked]:
    parsed = [DriftMonitor.parse(each) for each in monitors if (each.get("spec") or {}).get("deployment") == name]
    return [Asked(monitor.metadata.name, action) for monitor in parsed for action in monitor.status.actions]


def _child(raw: Json) -> Child:
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    return Child(
        name=metadata["name"],
        revision=(metadata.get("labels") or {}).get(LABEL_REVISION, ""),
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        observed=status.get("replicas", 0),
        rendered=(metadata.get("annotations") or {}).get(ANNOTATION_RENDERED, ""),
        trouble=trouble_of_deployment(raw),
        template=spec["template"],
    )


def _pod(raw: Json) -> Pod:
    revision = (raw["metadata"].get("labels") or {}).get(LABEL_REVISION, "")
    return Pod(revision=revision, ready=is_ready(raw), trouble=trouble_of_pod(raw))
