"""Lets go of every ModelVersion, so that nothing waits for an operator that is no longer there.

``python -m perennial.uninstall`` runs after a Helm release is deleted: a version in use bears a finalizer, and its
namespace could never be deleted without it being taken off. It takes the Lease first: no operator is at work then.
"""

import asyncio
import contextlib
import logging

from perennial import telemetry
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import ApiError, Conflict, KubernetesApi
from perennial.adapters.lease import Lease
from perennial.api.common import API_VERSION
from perennial.api.version import ModelVersion
from perennial.contracts.names import FINALIZER
from perennial.settings import Settings

ATTEMPTS = 5

log = logging.getLogger("perennial")


async def release(api: KubernetesApi, namespaces: tuple[str, ...]) -> int:
    """Takes our finalizer off every ModelVersion (``namespaces`` empty: of the cluster); returns how many had it."""
    count = 0
    for namespace in namespaces or (None,):
        try:
            found = await api.list(API_VERSION, ModelVersion.KIND, namespace)
        except ApiError as error:
            if error.status == 404:  # the definitions are gone, and the objects with them
                return count
            raise
        for raw in found:
            if FINALIZER in raw["metadata"].get("finalizers", ()):
                await _release_one(api, raw["metadata"]["namespace"], raw["metadata"]["name"])
                count += 1
    return count


async def _release_one(api: KubernetesApi, namespace: str, name: str) -> None:
    for _ in range(ATTEMPTS):
        raw = await api.get(API_VERSION, ModelVersion.KIND, namespace, name)
        if raw is None:
            return
        others = tuple(each for each in raw["metadata"].get("finalizers", ()) if each != FINALIZER)
        with contextlib.suppress(Conflict):
            await api.set_finalizers(raw, others)
            return
    log.warning("%s/%s changes all the time: its finalizer stays", namespace, name)


async def run(settings: Settings) -> None:
    """Waits for the Lease and releases. Raises what the API server refuses in the end."""
    async with KubernetesApi(Connection.load()) as api:
        lease = Lease(api, settings.lease_namespace, settings.lease_name, settings.identity)
        await lease.acquire()
        try:
            count = await release(api, settings.namespaces)
            log.info("released %d versions", count)
        finally:
            await lease.release()


if __name__ == "__main__":
    telemetry.log_as_json()
    asyncio.run(run(Settings.from_environment()))
