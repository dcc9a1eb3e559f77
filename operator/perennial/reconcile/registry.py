"""What is read of the registry for a ModelTraining: the namespace's policy, and what retention is decided from."""

from perennial.contracts.names import LABEL_APPROVAL, MANUAL
from perennial.reconcile.controller import Context


async def insists_on_approval(context: Context, namespace: str) -> bool:
    """Whether the namespace's label has every version wait for a person."""
    found = await context.api.get("v1", "Namespace", "", namespace)
    return found is not None and (found["metadata"].get("labels") or {}).get(LABEL_APPROVAL) == MANUAL
