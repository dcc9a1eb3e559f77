"""A revision's pods: an apps/v1 Deployment, with the Secret that signs its feedback tokens."""

import json
from typing import Any

from perennial.api.common import seconds
from perennial.api.deployment import ModelDeployment, Revision
from perennial.contracts.names import GROUP, LABEL_REVISION, LABEL_VERSION
from perennial.domain.plan import short_hash
from perennial.render import overlay, pod
from perennial.render.children import child_name, key_secret_name, metadata, selector

ANNOTATION_RENDERED = f"{GROUP}/template"
"""On a Deployment: the name of the rendering of its pod template, so that a newer operator restarts nothing by its own
rendering, and still puts right what somebody else changed."""

KEY_ENTRY = "current"

Json = dict[str, Any]


def key_secret(owner: ModelDeployment) -> Json:
    """The Secret without its key: that is made where it is created."""
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata(owner, key_secret_name(owner)),
    }  # fmt: skip


def deployment(owner: ModelDeployment, revision: Revision, artifacts: pod.Artifacts, replicas: int) -> Json:
    """The Deployment of ``revision`` with its annotation ``ANNOTATION_RENDERED``.

    Raises :class:`overlay.OverlayError` for a pod overlay that is no patch of a pod template.
    """
    own = {LABEL_VERSION: revision.version, LABEL_REVISION: revision.revision}
    template = pod.template(owner, revision, artifacts)
    if revision.overlay:
        template = overlay.merge(template, json.loads(revision.overlay))
    meta = metadata(owner, child_name(owner, revision), **own)
    rendered = short_hash(json.dumps(template, sort_keys=True))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "annotations": {ANNOTATION_RENDERED: rendered}},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": max(1, int(seconds(owner.spec.rollout.progress_deadline))),
            "selector": {"matchLabels": selector(owner, revision.revision)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }
