"""kopf watches our four kinds and passes on what it sees; it writes nothing and decides nothing.

It runs in a thread with an event loop of its own: at its end it cancels every task of the loop that it runs in, and it
takes over the process' signals where it can.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import kopf

from perennial.adapters.connection import Connection
from perennial.api import KINDS, VERSION
from perennial.contracts.names import GROUP

PLURALS = tuple(each.PLURAL for each in KINDS)
WATCH_SECONDS = 290

Json = dict[str, Any]
Seen = Callable[[str | None, Json], None]
log = logging.getLogger(__name__)


class Watcher:
    """kopf in a thread. ``seen(type, object)`` is called in the loop that made it; type None is from a list."""

    def __init__(self, connection: Connection, namespaces: tuple[str, ...], seen: Seen) -> None:
        self._connection = connection
        self._namespaces = namespaces
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    async def run(self) -> None:
        """Until cancelled. Raises RuntimeError when kopf ends by itself; its log says why."""
        self._thread.start()
        try:
            await self._ended.wait()
        finally:
            self._stop.set()
        raise RuntimeError("kopf stopped watching")

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except Exception:
            log.exception("kopf failed")
        finally:
            with contextlib.suppress(RuntimeError):  # the process is ending: nobody waits any more
                self._loop.call_soon_threadsafe(self._ended.set)

    async def _operate(self) -> None:
        await kopf.operator(
            registry=registry(self._connection, self._pass_on),
            settings=settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            # kopf would ask for the user's name, which a container's user does not have.
            identity=cast("Any", "perennial"),
            stop_flag=self._stop,
        )

    def _pass_on(self, type_: str | None, raw: Json) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._seen, type_, raw)


def settings() -> kopf.OperatorSettings:
    """kopf without anything that writes: no Events, no peering; nor does it scan other resources."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.scanning.disabled = True
    made.watching.server_timeout = WATCH_SECONDS
    made.watching.client_timeout = WATCH_SECONDS + 15
    made.watching.connect_timeout = 5
    made.networking.request_timeout = 30
    return made


def registry(connection: Connection, seen: Seen) -> kopf.OperatorRegistry:
    """The handlers: a login by our own configuration, and one observer for each kind."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_kwargs: Any) -> kopf.ConnectionInfo:
        configuration = connection.configuration
        scheme, _, token = connection.headers().get("Authorization", "").partition(" ")
        return kopf.ConnectionInfo(
            server=connection.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme.capitalize() or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=connection.proxy,
        )

    for plural in PLURALS:

        @kopf.on.event(GROUP, VERSION, plural, registry=made)
        async def observe(*, event: kopf.RawEvent, **_kwargs: Any) -> None:
            seen(event["type"], dict(event["object"]))

    return made
