"""``kubectl perennial approve`` and ``reject``: a decision about a version, with who made it, when and why."""

from datetime import UTC, datetime
from typing import Any

from perennial.adapters.kubernetes import Conflict
from perennial.api.common import format_time
from perennial.api.version import ModelVersion
from perennial.cli.cluster import Target, connect
from perennial.contracts.names import ANNOTATION_APPROVAL_REASON, ANNOTATION_APPROVED_AT, ANNOTATION_APPROVED_BY

Json = dict[str, Any]


async def decide(target: Target, name: str, approval: str, reason: str) -> str:
    """Sets the approval of the ModelVersion ``name``; what came of it, in one sentence. Raises click.ClickException."""
    async with connect(target) as cluster:
        who = await cluster.whoami()
        while True:
            raw = await cluster.read(ModelVersion, name)
            before = raw["spec"]["approval"]
            if before == approval and not reason:
                return f"{name} was {approval} already"
            try:
                await cluster.api.replace(decided(raw, approval, who, reason, datetime.now(UTC)))
            except Conflict:
                continue
            by = f" by {who}" if who else ""
            return f"{name}: {approval}{by} (was {before})"


def decided(raw: Json, approval: str, who: str, reason: str, now: datetime) -> Json:
    """The version with the decision, and without what was noted of the one before."""
    noted = {
        ANNOTATION_APPROVED_BY: who, ANNOTATION_APPROVED_AT: format_time(now) if who else "",
        ANNOTATION_APPROVAL_REASON: reason,
    }  # fmt: skip
    others = {key: value for key, value in (raw["metadata"].get("annotations") or {}).items() if key not in noted}
    annotations = others | {key: value for key, value in noted.items() if value}
    return {
        **raw,
        "metadata": {**raw["metadata"], "annotations": annotations},
        "spec": {**raw["spec"], "approval": approval},
    }
