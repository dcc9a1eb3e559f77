"""The loop: an object's key in, a decision made and carried out, and the time of the next look."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from perennial import telemetry
from perennial.adapters.kubernetes import ApiError, Conflict
from perennial.api.common import API_VERSION
from perennial.domain import unreadable
from perennial.domain.plan import Event, Plan
from perennial.domain.refusal import Refusal, apply_refusals
from perennial.reconcile.apply import Applier, thing_of
from perennial.reconcile.controller import Context, Controller
from perennial.reconcile.queue import Key, Queue

LONGEST_RECONCILE = 180.0
AFTER_CONFLICT = 0.05
AFTER_ERROR = 1.0
REFUSALS = frozenset({400, 403, 422})
"""HTTP statuses by which the API server says that the object will not do as it is."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """``requeue`` seconds to the next look (None: when something happens); ``changed``: a status was written.

    ``refused`` is why a step was refused, empty where none was: it is tried again, later each time.
    """

    requeue: float | None = None
    changed: bool = False
    refused: str = ""


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


class Reconciler:
    """Gathers, decides, carries out. ``controllers`` are by kind."""

    def __init__(
        self,
        context: Context,
        controllers: Mapping[str, Controller[Any]],
        applier: Applier,
        metrics: "telemetry.Metrics",
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._context = context
        self._controllers = controllers
        self._applier = applier
        self._metrics = metrics
        self._now = now

    async def reconcile(self, key: Key) -> Result:
        """One look at one object. Raises what gathering, deciding and writing raise, Conflict among them."""
        kind, namespace, name = key
        raw = await self._context.api.get(API_VERSION, kind, namespace, name)
        if raw is None:
            return Result()
        now = self._now()
        plan = await self._plan(self._controllers[kind], raw, now)
        raw, refusals = await self._carry_out(raw, plan)
        if refusals:
            plan = _as_refused(raw, plan, refusals, now)
        for event in plan.events:
            await self._applier.event(raw, event, now)
        changed = await self._write_status(raw, plan)
        refused = refusals[0].message if refusals else ""
        if changed:
            for subject, outcome in plan.outcomes.items():
                self._metrics.outcome(subject, outcome)
            return Result(0.0, changed=True, refused=refused)
        return Result(plan.requeue, refused=refused)

    async def _plan(self, controller: Controller[Any], raw: dict[str, Any], now: datetime) -> Plan:
        try:
            return controller.decide(await controller.gather(self._context, raw, now), now)
        except ValidationError:
            told = unreadable.plan_for(controller.kind, raw, now)
            if told is None:  # it is about another object
                raise
            return told

    async def _carry_out(self, raw: dict[str, Any], plan: Plan) -> tuple[dict[str, Any], list[Refusal]]:
        """The object after the steps, and those that the API server refused; see :class:`Plan` for what is left out."""
        refusals: list[Refusal] = []
        for step in plan.steps:
            apart: str = getattr(step, "apart", "")
            if apart and any(each.apart == apart for each in refusals):
                continue
            try:
                raw = await self._applier.step(raw, step)
            except ApiError as error:
                if error.status not in REFUSALS:
                    raise
                refusals.append(Refusal.of(thing_of(raw, step), apart, error.reason, error.message))
                if not apart:
                    break
        return raw, refusals

    async def _write_status(self, raw: dict[str, Any], plan: Plan) -> bool:
        if plan.status is None or (wanted := plan.status.wire()) == raw.get("status", {}):
            return False
        try:
            written = await self._context.api.put_status(raw, wanted)
        except ApiError as error:
            if error.status == 404:  # the step before it let go of an object that was being deleted
                return False
            raise
        if written.get("status") != wanted:
            log.warning("the API server keeps another status than was written: is its CustomResourceDefinition old?")
        return bool(written["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"])


def _as_refused(raw: dict[str, Any], plan: Plan, refusals: list[Refusal], now: datetime) -> Plan:
    """What may be said and written; nothing but a refusal is said of what has not come about."""
    whole = all(each.apart for each in refusals)
    events = plan.events if whole else ()
    status = plan.status
    said: tuple[Event, ...] = (Event("Warning", refusals[0].reason, refusals[0].message),)
    if status is not None:
        before = type(status).model_validate(raw.get("status") or {})
        status, said = apply_refusals(before, status, refusals, raw["metadata"].get("generation", 0), now)
    return Plan(
        status=status,
        events=(*events, *said),
        requeue=plan.requeue if whole else None,
        outcomes=plan.outcomes if whole else {},
    )


class Loop:
    """Workers that take keys from the queue until they are cancelled."""

    def __init__(self, queue: Queue, reconciler: Reconciler, metrics: "telemetry.Metrics", workers: int) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._workers = workers
        self._last_progress = time.monotonic()

    async def run(self) -> None:
        """For ever; a worker that ends by anything but cancellation ends all."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    def stalled_for(self) -> float:
        """Seconds for which keys have been due and no worker has finished anything; 0 while all is well."""
        return min(self._queue.overdue(), time.monotonic() - self._last_progress)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with telemetry.about(key):
                    await self._turn(key)
            finally:
                self._queue.done(key)
                self._last_progress = time.monotonic()

    async def _turn(self, key: Key) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_RECONCILE):
                result = await self._reconciler.reconcile(key)
        except Conflict:
            self._metrics.error(key[0], "Conflict")
            self._queue.retry(key, AFTER_CONFLICT)
        except Exception as error:
            reason = error.reason if isinstance(error, ApiError) else type(error).__name__
            self._metrics.error(key[0], reason)
            delay = self._queue.retry(key, AFTER_ERROR)
            log.exception("reconcile failed, again in %.0f s: %s", delay, error)  # noqa: TRY401 - the one-line cause
        else:
            if result.refused:
                self._metrics.error(key[0], "Refused")
                delay = self._queue.retry(key, AFTER_ERROR)
                log.warning("%s; again in %.0f s", result.refused, delay)
            else:
                self._queue.succeeded(key)
            if result.requeue is not None:
                self._queue.add(key, result.requeue)
        self._metrics.reconciled(key[0], time.perf_counter() - started)
