"""Where the API server is and how to speak to it, by the configuration that every Kubernetes client reads.

The ``kubernetes`` package finds and parses it (in-cluster service account or KUBECONFIG, exec plugins included); its
typed client stays unused, for small raw requests cost a fifth of its CPU.
"""

import os
import ssl
from dataclasses import dataclass

from kubernetes import client, config


@dataclass(frozen=True)
class Connection:
    """``host`` without a trailing slash; ``server_name`` overrides the name that TLS expects."""

    host: str
    tls: ssl.SSLContext | None
    server_name: str | None
    proxy: str | None
    configuration: client.Configuration

    @classmethod
    def load(cls) -> "Connection":
        """From the service account in a pod, otherwise from KUBECONFIG.

        Raises kubernetes.config.ConfigException when there is neither.
        """
        configuration = client.Configuration()
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(client_configuration=configuration)
        return cls.of(configuration)

    @classmethod
    def of(cls, configuration: client.Configuration) -> "Connection":
        """From a loaded configuration of the ``kubernetes`` package."""
        host = configuration.host.rstrip("/")
        return cls(
            host=host,
            tls=_tls(configuration) if host.startswith("https") else None,
            server_name=getattr(configuration, "tls_server_name", None) or None,
            proxy=configuration.proxy or None,
            configuration=configuration,
        )

    def headers(self) -> dict[str, str]:
        """The Authorization header of this moment: tokens rotate, and the package reads the file again as they do."""
        token = self.configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}


def _tls(configuration: client.Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
