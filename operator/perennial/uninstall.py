"""Lets go of our objects, so that nothing waits for an operator that is no longer there.

``python -m perennial.uninstall`` runs after a Helm release is deleted: a version in use bears a finalizer, as does a
ModelTraining that retires versions, and their namespace could never be deleted without it being taken off. It takes the
Lease first: no operator is at work then.
"""

import asyncio
import contextlib
import itertools
import logging

from perennial import telemetry
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import ApiError, Conflict, KubernetesApi
from perennial.adapters.lease import Lease
from perennial.api.common import API_VERSION, Object
from perennial.api.training import ModelTraining
from perennial.api.version import ModelVersion
from perennial.contracts.names import GROUP
from perennial.settings import Settings

ATTEMPTS = 5
_HELD: tuple[type[Object], ...] = (ModelVersion, ModelTraining)

log = logging.getLogger("perennial")


async def release(api: KubernetesApi, namespaces: tuple[str, ...]) -> int:
    """Takes our finalizers off every object (``namespaces`` empty: of the cluster); returns how many had one."""
    count = 0
    for namespace, kind in itertools.product(namespaces or (None,), _HELD):
        try:
            found = await api.list(API_VERSION, kind.KIND, namespace)
        except ApiError as error:
            if error.status == 404:  # the definitions are gone, and the objects with them
                return count
            raise
        for raw in found:
            if any(map(_is_ours, raw["metadata"].get("finalizers", ()))):
                await _release_one(api, kind.KIND, raw["metadata"]["namespace"], raw["metadata"]["name"])
                count += 1
    return count


def _is_ours(finalizer: str) -> bool:
    return finalizer.startswith(f"{GROUP}/")


async def _release_one(api: KubernetesApi, kind: str, namespace: str, name: str) -> None:
    for _ in range(ATTEMPTS):
        raw = await api.get(API_VERSION, kind, namespace, name)
        if raw is None:
            return
        others = tuple(each for each in raw["metadata"].get("finalizers", ()) if not _is_ours(each))
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
            log.info("released %d objects", count)
        finally:
            await lease.release()


if __name__ == "__main__":
    telemetry.log_as_json()
    asyncio.run(run(Settings.from_environment()))
