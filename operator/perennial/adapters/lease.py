"""Leader election by a Lease, with client-go's rules and times.

The ``kubernetes`` package has an election too; it runs in a thread of its own, never gives the Lease back, and goes
through the typed client. This one shares the process' connection and releases, so that a successor starts at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perennial.adapters.kubernetes import ApiError, Conflict, KubernetesApi

API_VERSION = "coordination.k8s.io/v1"
DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY = 2.0

Json = dict[str, Any]
log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else holds the Lease, or it could not be renewed in time."""


@dataclass(frozen=True)
class _Sight:
    version: str
    at: float


class Lease:
    """``identity`` must differ between processes that live at the same time; a holder's restart takes it back at once.

    Clocks of different machines are not compared: a Lease has run out when nobody renewed it for DURATION seconds of
    our own ``clock``.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str, name: str, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._sight: _Sight | None = None
        self._renewed_at = float("-inf")

    async def acquire(self) -> None:
        """Returns when the Lease is ours; unreachable API servers are waited for."""
        while True:
            if await self._attempt():
                return
            await asyncio.sleep(RETRY)

    async def hold(self) -> None:
        """Renews for ever. Raises LeaseLost."""
        while True:
            await asyncio.sleep(RETRY)
            if await self._attempt():
                continue
            if self._clock() - self._renewed_at > RENEW_DEADLINE:
                raise LeaseLost(f"the Lease {self._namespace}/{self._name} could not be renewed")

    async def release(self) -> None:
        """Gives the Lease back where it is ours; best effort."""
        try:
            async with asyncio.timeout(RETRY):
                raw = await self._api.get(API_VERSION, "Lease", self._namespace, self._name)
                if raw and raw["spec"].get("holderIdentity") == self._identity:
                    spec = {**raw["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._api.replace({**raw, "spec": spec})
        except (ApiError, Conflict, TimeoutError) as error:
            log.warning("the Lease could not be given back, it runs out in %.0f s: %s", DURATION, error)

    async def _attempt(self) -> bool:
        try:
            async with asyncio.timeout(RENEW_DEADLINE / 2):
                held = await self._acquire_or_renew()
        except (ApiError, Conflict, TimeoutError) as error:
            log.warning("the Lease could not be taken or renewed: %s", error or type(error).__name__)
            return False
        if held:
            self._renewed_at = self._clock()
        return held

    async def _acquire_or_renew(self) -> bool:
        raw = await self._api.get(API_VERSION, "Lease", self._namespace, self._name)
        if raw is None:
            metadata = {"name": self._name, "namespace": self._namespace}
            spec = self._spec({}, acquired=True)
            return await self._api.create({
                "apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec,
            })  # fmt: skip
        holder = raw["spec"].get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._ran_out(raw):
            if self._renewed_at > float("-inf"):
                raise LeaseLost(f"{holder} holds the Lease {self._namespace}/{self._name}")
            return False
        await self._api.replace({**raw, "spec": self._spec(raw["spec"], acquired=holder != self._identity)})
        return True

    def _ran_out(self, raw: Json) -> bool:
        version = raw["metadata"]["resourceVersion"]
        if self._sight is None or self._sight.version != version:
            self._sight = _Sight(version, self._clock())
        return self._clock() - self._sight.at > float(raw["spec"].get("leaseDurationSeconds") or DURATION)

    def _spec(self, before: Json, *, acquired: bool) -> Json:
        changes = int(before.get("leaseTransitions") or 0) + (1 if acquired and before else 0)
        return {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": _now(),
            "acquireTime": _now() if acquired else before.get("acquireTime", _now()),
            "leaseTransitions": changes,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
