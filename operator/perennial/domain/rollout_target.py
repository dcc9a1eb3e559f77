"""Which revision is wanted: the version that the spec names, with the predictor's configuration that it asks for.

The image is not part of the wish: a revision keeps the image that it was rolled out with, so upgrading the operator
restarts no model; a rollout that is asked for takes the newest.
"""

import json
from typing import Any

from perennial.api.deployment import Held, Revision
from perennial.api.predictor import IN_PLACE, Predictor
from perennial.api.version import ModelVersion
from perennial.domain.plan import short_hash
from perennial.domain.rollout_quarantine import ROLLOUT_FAILED
from perennial.domain.rollout_state import REASON_LIMIT, Draft, Finding

REVISION_LENGTH = 10


def configuration(predictor: Predictor) -> dict[str, Any]:
    """What of the predictor makes a revision: all but what changes in place."""
    return {key: value for key, value in predictor.wire().items() if key not in IN_PLACE}


def recorded(revision: Revision) -> dict[str, Any]:
    """The configuration that ``revision`` was rolled out with; fields that came later have their defaults."""
    return configuration(Predictor.model_validate({**revision.predictor, "replicas": 1}))


def configuration_hash(value: dict[str, Any]) -> str:
    """The name of a configuration."""
    return short_hash(json.dumps(value, sort_keys=True), length=REVISION_LENGTH)


def choose(draft: Draft) -> Revision | None:
    """The revision that is to serve; None where nothing may change, with ``problem`` or ``held`` saying why."""
    version = _wanted_version(draft)
    before, draft.held = draft.held, None
    if version is None:
        return None
    if version.metadata.name in draft.quarantined:
        draft.held = _held(draft, version.metadata.name)
        version = _instead(draft)
        if version is None:
            return None
    config = configuration(draft.spec.predictor)
    if before and before.configuration == configuration_hash(config) and before.version == version.metadata.name:
        draft.held = before
        return None
    return _revision(draft, version.metadata.name, config)


def _wanted_version(draft: Draft) -> ModelVersion | None:
    versions, model, name = draft.snapshot.versions, draft.spec.model, draft.spec.version.name
    if name is None:
        approved = [each for each in versions if each.spec.approval == "Approved"]
        if not approved:
            draft.problem = Finding("NoVersion", f"model {model} has no approved version; see kubectl get mv")
            return None
        return max(approved, key=lambda each: each.spec.record.number)
    found = draft.snapshot.version(name)
    if found is None:
        draft.problem = Finding("VersionNotFound", f"model {model} has no version {name}; see kubectl get mv")
        return None
    if found.spec.approval != "Approved":
        draft.problem = Finding(
            "VersionNotApproved",
            f"{name} is {found.spec.approval}; approve it with: "
            f'kubectl patch mv {name} --type merge -p \'{{"spec":{{"approval":"Approved"}}}}\'',
        )
        return None
    return found


def _instead(draft: Draft) -> ModelVersion | None:
    """What serves in place of a quarantined version where nothing has served yet: better an older version than none."""
    if draft.stable is not None or draft.spec.version.name is not None:
        return None
    free = [
        each
        for each in draft.snapshot.versions
        if each.spec.approval == "Approved" and each.metadata.name not in draft.quarantined
    ]
    return max(free, key=lambda each: each.spec.record.number, default=None)


def _held(draft: Draft, version: str) -> Held:
    mark = draft.quarantined[version]
    return Held(version=version, reason=mark.reason[:REASON_LIMIT], since=mark.since)


def held_cause(draft: Draft) -> str:
    """The condition's reason for what is held."""
    if draft.held is None:
        return ""
    mark = draft.quarantined.get(draft.held.version)
    return ROLLOUT_FAILED if draft.held.configuration or mark is None else mark.cause


def _revision(draft: Draft, version: str, config: dict[str, Any]) -> Revision:
    known = [
        draft.stable,
        draft.rollout.target if draft.rollout else None,
        draft.standby.revision if draft.standby else None,
    ]
    for each in known:
        if each and each.version == version and recorded(each) == config:
            return each
    uid, image = draft.snapshot.deployment.metadata.uid, draft.snapshot.image
    name = short_hash(uid, version, image, configuration_hash(config), length=REVISION_LENGTH)
    return Revision(version=version, revision=name, image=image, predictor=config)
