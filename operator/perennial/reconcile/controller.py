"""What a controller is: it gathers a snapshot of all that a decision needs, and decides on it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from perennial.adapters.kubernetes import KubernetesApi
from perennial.adapters.prometheus import Prometheus
from perennial.adapters.store import Store
from perennial.api.common import Object
from perennial.domain.plan import Plan
from perennial.reconcile.kubeflow import Kubeflow
from perennial.settings import Settings

Snapshot = TypeVar("Snapshot")


@dataclass(frozen=True)
class Context:
    """The world that a controller gathers from."""

    api: KubernetesApi
    prometheus: Prometheus
    store: Store
    settings: Settings
    kubeflow: Kubeflow


class Controller(Protocol[Snapshot]):
    """One kind's gather and decide. ``decide`` is pure; ``gather`` reads and never writes."""

    @property
    def kind(self) -> type[Object]:
        """The model of the reconciled kind."""
        ...

    async def gather(self, context: Context, raw: dict[str, Any], now: datetime) -> Snapshot:
        """All that the decision needs; ``raw`` is the reconciled object as the API server holds it."""
        ...

    def decide(self, snapshot: Snapshot, now: datetime) -> Plan:
        """What is to be done."""
        ...
