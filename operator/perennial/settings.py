"""The operator's settings, from the environment; the chart sets them."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perennial.adapters.access import Access
from perennial.contracts.names import GROUP
from perennial.domain.training.kubeflow import Defaults


@dataclass(frozen=True)
class Settings:
    """``namespaces`` empty means the whole cluster; times are seconds."""

    components_image: str
    serving_image: str
    prometheus_url: str
    namespaces: tuple[str, ...]
    lease_namespace: str
    identity: str
    prometheus_access: Access = field(default_factory=Access)
    feast_image: str = ""
    kubeflow: Defaults = field(default_factory=Defaults)
    kubeflow_namespace: str = ""
    kubeflow_access: Access = field(default_factory=Access)
    lease_name: str = f"{GROUP}-operator"
    resync: float = 300.0
    workers: int = 8
    port: int = 8080

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises KeyError naming the variable that is missing."""
        env = os.environ
        return cls(
            components_image=env["PERENNIAL_COMPONENTS_IMAGE"],
            serving_image=env["PERENNIAL_SERVING_IMAGE"],
            feast_image=env.get("PERENNIAL_FEAST_IMAGE", ""),
            prometheus_url=env["PERENNIAL_PROMETHEUS_URL"],
            prometheus_access=Access(
                ca=_folder("PERENNIAL_PROMETHEUS_CA"),
                auth=_folder("PERENNIAL_PROMETHEUS_AUTH"),
                headers=json.loads(env.get("PERENNIAL_PROMETHEUS_HEADERS") or "{}"),
            ),
            kubeflow=_kubeflow(env),
            kubeflow_namespace=env.get("PERENNIAL_KUBEFLOW_NAMESPACE", ""),
            kubeflow_access=Access(
                ca=_folder("PERENNIAL_KUBEFLOW_CA"),
                auth=_folder("PERENNIAL_KUBEFLOW_AUTH"),
                headers=json.loads(env.get("PERENNIAL_KUBEFLOW_HEADERS") or "{}"),
            ),
            namespaces=tuple(filter(None, env.get("PERENNIAL_NAMESPACES", "").split(","))),
            lease_namespace=env["PERENNIAL_LEASE_NAMESPACE"],
            identity=env.get("PERENNIAL_IDENTITY", socket.gethostname()),
            resync=float(env.get("PERENNIAL_RESYNC_SECONDS", "300")),
            port=int(env.get("PERENNIAL_PORT", "8080")),
        )


def _kubeflow(env: Mapping[str, str]) -> Defaults:
    def given(name: str) -> str:
        return env.get(f"PERENNIAL_KUBEFLOW_{name}", "")

    return Defaults(
        endpoint=given("ENDPOINT"),
        multi_user=given("MULTI_USER") == "true",
        experiment=given("EXPERIMENT"),
        pipeline_root=given("PIPELINE_ROOT"),
        service_account=given("SERVICE_ACCOUNT"),
        caching=given("CACHING") == "true",
        ui=given("UI"),
    )


def _folder(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
