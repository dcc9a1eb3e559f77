"""The operator's settings, from the environment; the chart sets them."""

import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from perennial.adapters.prometheus_access import Access
from perennial.contracts.names import GROUP


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
            prometheus_url=env["PERENNIAL_PROMETHEUS_URL"],
            prometheus_access=Access(
                ca=_folder("PERENNIAL_PROMETHEUS_CA"),
                auth=_folder("PERENNIAL_PROMETHEUS_AUTH"),
                headers=json.loads(env.get("PERENNIAL_PROMETHEUS_HEADERS") or "{}"),
            ),
            namespaces=tuple(filter(None, env.get("PERENNIAL_NAMESPACES", "").split(","))),
            lease_namespace=env["PERENNIAL_LEASE_NAMESPACE"],
            identity=env.get("PERENNIAL_IDENTITY", socket.gethostname()),
            resync=float(env.get("PERENNIAL_RESYNC_SECONDS", "300")),
            port=int(env.get("PERENNIAL_PORT", "8080")),
        )


def _folder(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
