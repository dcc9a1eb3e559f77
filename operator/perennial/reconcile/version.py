"""ModelVersion: its status is a mirror of the ModelDeployments of its model and of its own annotations."""

from datetime import datetime
from typing import Any

from perennial.api.common import API_VERSION
from perennial.api.deployment import ModelDeployment
from perennial.api.version import ModelVersion
from perennial.domain import version
from perennial.domain.plan import Plan
from perennial.domain.version import Snapshot
from perennial.reconcile.controller import Context


class VersionController:
    """Gathers and decides for ModelVersions."""

    kind = ModelVersion

    async def gather(self, context: Context, raw: dict[str, Any], now: datetime) -> Snapshot:
        """The version and the ModelDeployments of its model."""
        mine = ModelVersion.parse(raw)
        found = await context.api.list(API_VERSION, ModelDeployment.KIND, mine.metadata.namespace)
        deployments = (ModelDeployment.parse(each) for each in found)
        return Snapshot(mine, tuple(each for each in deployments if each.spec.model == mine.spec.record.model))

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """See :func:`perennial.domain.version.decide`."""
        return version.decide(snapshot, now)
