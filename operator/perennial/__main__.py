"""The operator's process: waits for the Lease, then works until it is told to end.

Whatever ends unexpectedly ends the process, and its successor starts from what the cluster holds: nothing is kept here
that a decision needs.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from perennial import telemetry
from perennial.adapters.connection import Connection
from perennial.adapters.kubernetes import KubernetesApi
from perennial.adapters.lease import Lease, LeaseLost
from perennial.adapters.prometheus import Prometheus
from perennial.adapters.store import Store
from perennial.handlers import Watcher
from perennial.reconcile.apply import Applier
from perennial.reconcile.controller import Context, Controller
from perennial.reconcile.deployment import DeploymentController
from perennial.reconcile.drift import MonitorController
from perennial.reconcile.kubeflow import Kubeflow
from perennial.reconcile.loop import Loop, Reconciler
from perennial.reconcile.queue import Queue
from perennial.reconcile.resync import Resync
from perennial.reconcile.training import TrainingController
from perennial.reconcile.version import VersionController
from perennial.reconcile.watch import Index, key_of, watch_children
from perennial.settings import Settings

SHUTDOWN_SECONDS = 5.0

log = logging.getLogger("perennial")


def controllers() -> dict[str, Controller[Any]]:
    """Each kind's controller."""
    made: tuple[Controller[Any], ...] = (
        TrainingController(), VersionController(), DeploymentController(), MonitorController(),
    )  # fmt: skip
    return {each.kind.KIND: each for each in made}


async def lead(settings: Settings, context: Context, connection: Connection, probes: "Probes") -> None:
    """Watches and reconciles for ever; raises what any part of it raises."""
    queue, index = Queue(), Index()
    metrics, health = probes
    reconciler = Reconciler(context, controllers(), Applier(context.api, context.kubeflow, settings.identity), metrics)
    loop = Loop(queue, reconciler, metrics, settings.workers)
    resync = Resync(context.api, index, queue, settings.namespaces, settings.resync)

    def seen(type_: str | None, raw: dict[str, Any]) -> None:
        for key in index.gone(key_of(raw)) if type_ == "DELETED" else index.seen(raw):
            queue.add(key)

    metrics.follow_queue(lambda: len(queue), queue.overdue)
    metrics.follow_roles(index.roles)
    metrics.follow_objects(index.exposition)
    health.synced, health.stalled_for = resync.synced.is_set, loop.stalled_for

    async def watch() -> None:
        # kopf looks once for the kinds that it is to watch: the first list has shown that they are there.
        await resync.synced.wait()
        await Watcher(connection, settings.namespaces, seen).run()

    async with asyncio.TaskGroup() as group:
        for part in (
            watch(),
            watch_children(context.api, queue, settings.namespaces),
            resync.run(),
            loop.run(),
        ):
            group.create_task(part)


Probes = tuple[telemetry.Metrics, telemetry.Health]


async def run(settings: Settings) -> int:
    """The exit code, when SIGTERM or SIGINT came (0) or something broke (1)."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    metrics, health = telemetry.Metrics(), telemetry.Health()
    connection = Connection.load()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(telemetry.serving(metrics, health, settings.port))
        api = await stack.enter_async_context(KubernetesApi(connection, metrics.api_request))
        lease = Lease(api, settings.lease_namespace, settings.lease_name, settings.identity)
        health.role = "standby"
        log.info("waiting for the Lease %s/%s", settings.lease_namespace, settings.lease_name)
        if not await _unless(told, lease.acquire()):
            return 0
        log.info("leading as %s", settings.identity)
        health.role = "leader"
        metrics.leads()
        prometheus = await stack.enter_async_context(Prometheus(settings.prometheus_url, settings.prometheus_access))
        kubeflow = Kubeflow(api, settings.kubeflow_access, settings.kubeflow_namespace)
        stack.push_async_callback(kubeflow.close)
        context = Context(api, prometheus, Store(api), settings, kubeflow)
        try:
            await _unless(told, _lead_while_held(lease, lead(settings, context, connection, (metrics, health))))
        finally:
            await lease.release()
        log.info("ending")
    return 0


async def _lead_while_held(lease: Lease, work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)
        group.create_task(_hold(lease))


async def _hold(lease: Lease) -> None:
    """A process without the Lease writes nothing more, not even what it has begun: another one is at work."""
    try:
        await lease.hold()
    except LeaseLost as error:
        log.critical("%s: ending at once", error)
        sys.stderr.flush()
        os._exit(1)


async def _unless(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether ``work`` ended before the process was told to end; it is cancelled then."""
    task, end = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    done, pending = await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()
    await asyncio.wait({task}, timeout=SHUTDOWN_SECONDS)
    if task in done:
        task.result()
    return task in done


async def _process() -> None:
    code = 1
    try:
        code = await run(Settings.from_environment())
    except Exception:
        log.critical("ending: a part of the operator failed", exc_info=True)
    # Threads may be in the middle of a request (kopf's watches, reads from a store) and nothing of theirs needs an end;
    # Python would wait for them past the time that a pod is given.
    logging.shutdown()
    os._exit(code)


def main() -> None:
    """Runs the operator; it does not return."""
    telemetry.log_as_json(os.environ.get("PERENNIAL_LOG_LEVEL", "INFO"))
    asyncio.run(_process())


if __name__ == "__main__":
    main()
