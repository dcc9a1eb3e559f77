"""The moves of a rollout as steps: which child has to be there, and how it has to look."""

from typing import Any

from perennial.api.common import API_VERSION
from perennial.api.deployment import DeploymentStatus, ModelDeployment, Revision
from perennial.api.version import ModelVersion
from perennial.contracts.names import quarantine_annotation
from perennial.domain.plan import Annotate, Apply, CreateKey, Delete, Step
from perennial.domain.rollout.state import (
    Autoscale,
    Child,
    Mark,
    Mirror,
    Move,
    NoRoute,
    Preview,
    Protect,
    Remove,
    Route,
    Run,
    Snapshot,
    Weigh,
)
from perennial.reconcile.apply import holds
from perennial.reconcile.route import UNUSABLE
from perennial.render import predictor, scaling, traffic
from perennial.render.children import preview_name, settings_name

Json = dict[str, Any]


def steps(snapshot: Snapshot, status: DeploymentStatus, move: Move) -> list[Step]:
    """What makes ``move`` true; ``status`` is that of the decision.

    Marks and traffic come first, and what follows rests on them: no pods are started or ended while requests may still
    go where they should not. Pods, autoscaler and budget stand apart: that they are not there yet, or not as they are
    wanted, is what the next decision sees.
    """
    match move:
        case Mark(version, quarantined):
            value = quarantined.annotation() if quarantined else None
            owner = snapshot.deployment.metadata
            mark = {quarantine_annotation(owner.name): value}
            return [Annotate(API_VERSION, ModelVersion.KIND, owner.namespace, version, mark)]
        case Run():
            return _run(snapshot, move)
        case Autoscale(revision):
            return [_autoscale(snapshot.deployment, revision)]
        case Protect(revision):
            return [_protect(snapshot.deployment, revision)]
        case Remove(child):
            return [_delete(snapshot.deployment, ("apps/v1", "Deployment"), child, apart=child)]
        case _:
            return _traffic(snapshot, status, move)


def _traffic(snapshot: Snapshot, status: DeploymentStatus, move: Move) -> list[Step]:
    owner = snapshot.deployment
    target = status.rollout.target if status.rollout else None
    match move:
        case Route(revision):
            shown = _known(status, revision) if revision else status.stable or target
            return [Apply(traffic.service(owner, shown, revision))]
        case Preview(revision):
            if revision is None:
                return [_delete(owner, ("v1", "Service"), preview_name(owner))]
            return [Apply(traffic.preview(owner, _known(status, revision), revision))]
        case Weigh():
            unusable = snapshot.route and snapshot.route.trouble and snapshot.route.trouble.reason in UNUSABLE
            return [] if unusable else [Apply(traffic.route(owner, move, status.stable, target))]
        case NoRoute():
            return [_delete(owner, traffic.HTTP_ROUTE, owner.metadata.name)]
        case Mirror(0, _):
            return [_delete(owner, ("v1", "ConfigMap"), settings_name(owner))]
        case Mirror(share, version):
            return [Apply(traffic.settings(owner, share, version, target))]
    raise AssertionError(move)


def _delete(owner: ModelDeployment, kind: tuple[str, str], name: str, apart: str = "") -> Delete:
    return Delete(*kind, owner.metadata.namespace, name, owner=owner.metadata.uid, apart=apart)


def _known(status: DeploymentStatus, revision: str) -> Revision | None:
    """The revision by its hash."""
    known = (
        status.stable,
        status.rollout.target if status.rollout else None,
        status.standby.revision if status.standby else None,
        *status.history,
    )
    return next((each for each in known if each and each.revision == revision), None)


def _autoscale(owner: ModelDeployment, revision: Revision | None) -> Step:
    wanted = owner.spec.predictor.autoscaling
    if revision is None or wanted is None:
        return _delete(owner, scaling.AUTOSCALER, owner.metadata.name, scaling.AUTOSCALER[1])
    return Apply(scaling.autoscaler(owner, revision, wanted), apart=scaling.AUTOSCALER[1])


def _protect(owner: ModelDeployment, revision: Revision | None) -> Step:
    if revision is None:
        return _delete(owner, scaling.BUDGET, owner.metadata.name, scaling.BUDGET[1])
    return Apply(scaling.budget(owner, revision), apart=scaling.BUDGET[1])


def _run(snapshot: Snapshot, run: Run) -> list[Step]:
    """Nothing for a version that is gone: what runs of it stays as it is."""
    owner, version = snapshot.deployment, snapshot.version(run.revision.version)
    if version is None:
        return []
    child, scaled = snapshot.child(run.revision), run.replicas is None
    wanted = predictor.deployment(owner, run.revision, version.spec.record.artifacts, _replicas(owner, run, child))
    apart = wanted["metadata"]["name"]
    if child is None:
        key = CreateKey(predictor.key_secret(owner), predictor.KEY_ENTRY, apart)
        return [key, Apply(wanted, scaled, apart)]
    if child.rendered and child.rendered != wanted["metadata"]["annotations"][predictor.ANNOTATION_RENDERED]:
        wanted = _as_it_stands(wanted, child)
    return [Apply(wanted, scaled, apart)]


def _replicas(owner: ModelDeployment, run: Run, child: Child | None) -> int:
    if run.replicas is not None:
        return run.replicas
    predictor_ = owner.spec.predictor
    fewest = predictor_.autoscaling.min if predictor_.autoscaling else predictor_.replicas
    return (child.replicas if child else 0) or fewest


def _as_it_stands(wanted: Json, child: Child) -> Json:
    """``wanted`` with the pod template that another operator version rendered: upgrading restarts no model."""
    if holds(wanted["spec"]["template"], child.template):
        return wanted
    annotations = {**wanted["metadata"]["annotations"], predictor.ANNOTATION_RENDERED: child.rendered}
    return {
        **wanted,
        "metadata": {**wanted["metadata"], "annotations": annotations},
        "spec": {**wanted["spec"], "template": child.template},
    }
