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
from perennial.domain.rollout.quarantine import ROLLED_BACK, ROLLOUT_FAILED
from perennial.domain.rollout.state import REASON_LIMIT, Draft, Finding

REVISION_LENGTH = 10


def configuration(predictor: Predictor) -> dict[str, Any]:
    """What of the predictor makes a revision: all but what changes in place."""
    return {key: value for key, value in predictor.wire().items() if key not in IN_PLACE}


def recorded(revision: Revision) -> dict[str, Any]:
    """The configuration that ``revision`` was rolled out with; fields that came later have their defaults."""
    return configuration(Predictor.model_validate({**revision.predictor, "replicas": 1}))


def configuration_hash(value: dict[str, Any], overlay: str = "") -> str:
    """The name of a configuration with its pod overlay."""
    return short_hash(json.dumps(value, sort_keys=True), overlay, length=REVISION_LENGTH)


def configuration_of(revision: Revision) -> str:
    """The name of the configuration that ``revision`` was rolled out with."""
    return configuration_hash(recorded(revision), revision.overlay)


def held_configuration(draft: Draft, revision: Revision) -> Held | None:
    """What holds the configuration of ``revision``."""
    return _hold_of(draft, revision.version, configuration_of(revision))


def _hold_of(draft: Draft, version: str, hash_: str) -> Held | None:
    held = draft.held_configurations
    return next((each for each in held if (each.version, each.configuration) == (version, hash_)), None)


def known_bad(draft: Draft, revision: Revision) -> bool:
    """Whether ``revision`` is kept out: its version, or its configuration."""
    return revision.version in draft.quarantined or held_configuration(draft, revision) is not None


def choose(draft: Draft) -> Revision | None:
    """The revision that is to serve; None where nothing may change, with ``problem`` or ``held`` saying why."""
    version = _wanted_version(draft)
    before, draft.held = draft.held, None
    if version is None:
        draft.held = before if before and before.configuration else None
        return None
    if version.metadata.name in draft.quarantined:
        draft.held = _held(draft, version.metadata.name)
        version = _instead(draft)
        if version is None:
            return None
    return _revision(draft, version.metadata.name, before)


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
    """The condition's reason for what is held; a configuration that served here before was rolled back."""
    if draft.held is None:
        return ""
    if draft.held.configuration:
        served = {(each.version, configuration_of(each)) for each in draft.history}
        return ROLLED_BACK if (draft.held.version, draft.held.configuration) in served else ROLLOUT_FAILED
    mark = draft.quarantined.get(draft.held.version)
    return mark.cause if mark else ROLLOUT_FAILED


def _revision(draft: Draft, version: str, before: Held | None) -> Revision | None:
    """``version`` as the spec wants it, or None where that configuration is held or cannot be told.

    An overlay that cannot be used lets what is known go on as it is, and nothing new begin.
    """
    config, overlay = configuration(draft.spec.predictor), draft.snapshot.overlay
    target, standby = draft.rollout and draft.rollout.target, draft.standby and draft.standby.revision
    if overlay.problem:
        draft.problem, draft.held = overlay.problem, before
        return next((each for each in (target, draft.stable) if each and _is(each, version, config)), None)
    hash_ = configuration_hash(config, overlay.patch)
    if hold := _hold_of(draft, version, hash_):
        draft.held = hold
        return None
    for each in (draft.stable, target, standby):
        if each and _is(each, version, config) and each.overlay == overlay.patch:
            return each
    uid, image = draft.snapshot.deployment.metadata.uid, draft.snapshot.image
    name = short_hash(uid, version, image, hash_, length=REVISION_LENGTH)
    return Revision(version=version, revision=name, image=image, predictor=config, overlay=overlay.patch)


def _is(revision: Revision, version: str, config: dict[str, Any]) -> bool:
    return revision.version == version and recorded(revision) == config
