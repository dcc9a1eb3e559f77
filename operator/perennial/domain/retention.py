"""Which versions of a model go: older than the newest that are kept, and needed by nobody."""

from collections.abc import Sequence

from perennial.api.deployment import ModelDeployment
from perennial.api.version import ModelVersion
from perennial.contracts.names import quarantine_annotation


def surplus(
    versions: Sequence[ModelVersion],
    deployments: Sequence[ModelDeployment],
    keep: int,
    pinned: frozenset[str] = frozenset(),
) -> tuple[ModelVersion, ...]:
    """The versions that may go, oldest first. ``versions`` and ``deployments`` are those of one model; ``pinned`` are
    the names of versions that DriftMonitors compare with.

    Versions that are being deleted already neither count nor go.
    """
    live = sorted(
        (each for each in versions if each.metadata.deletion_timestamp is None),
        key=lambda each: each.spec.record.number,
    )
    held = needed(live, deployments, pinned)
    return tuple(each for each in live[:-keep] if each.metadata.name not in held)


def needed(
    versions: Sequence[ModelVersion], deployments: Sequence[ModelDeployment], pinned: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The names of versions that stay however old they are.

    Those that wait for approval; the newest approved one, and the newest that is quarantined nowhere, for ``{latest:
    Approved}`` picks one of them; those that are ``pinned``; and those of each deployment, see :func:`used`.
    """
    found = {each.metadata.name for each in versions if each.spec.approval == "Pending"} | pinned
    approved = [each for each in versions if each.spec.approval == "Approved"]
    free = [each for each in approved if not _quarantined(each, deployments)]
    for pool in (approved, free):
        if pool:
            found.add(max(pool, key=lambda each: each.spec.record.number).metadata.name)
    by_name = {each.metadata.name: each for each in versions}
    for deployment in deployments:
        found |= used(deployment) | _way_back(deployment, by_name)
    return frozenset(found)


def used(deployment: ModelDeployment) -> frozenset[str]:
    """The versions that serve in ``deployment`` (so that challengers meet them), are on their way there, stand by, are
    held there, or are named by its spec.
    """
    status, spec = deployment.status, deployment.spec
    names = (
        status.stable and status.stable.version,
        status.rollout and status.rollout.target.version,
        status.standby and status.standby.revision.version,
        status.held and status.held.version,
        spec.version.name,
    )
    return frozenset(name for name in names if name)


def _way_back(deployment: ModelDeployment, versions: dict[str, ModelVersion]) -> frozenset[str]:
    """What a rollback there would go to: the last other version that was promoted and is not known to be bad."""
    mark, stable = quarantine_annotation(deployment.metadata.name), deployment.status.stable
    for revision in deployment.status.history:
        version = versions.get(revision.version)
        good = version and version.spec.approval != "Rejected" and mark not in version.metadata.annotations
        if good and (stable is None or revision.version != stable.version):
            return frozenset({revision.version})
    return frozenset()


def _quarantined(version: ModelVersion, deployments: Sequence[ModelDeployment]) -> bool:
    return any(quarantine_annotation(each.metadata.name) in version.metadata.annotations for each in deployments)
