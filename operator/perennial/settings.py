"""The operator's settings, from the environment; the chart sets them."""

import os
import socket
from dataclasses import dataclass

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
            namespaces=tuple(filter(None, env.get("PERENNIAL_NAMESPACES", "").split(","))),
            lease_namespace=env["PERENNIAL_LEASE_NAMESPACE"],
            identity=env.get("PERENNIAL_IDENTITY", socket.gethostname()),
            resync=float(env.get("PERENNIAL_RESYNC_SECONDS", "300")),
            port=int(env.get("PERENNIAL_PORT", "8080")),
        )
