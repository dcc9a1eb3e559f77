"""The shadow's mirror: a share of the answered requests is sent to another version as well, and the answers compared.

Nobody waits for it: what the other version does is counted, and what would have to wait is dropped.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import msgspec

from perennial.contracts.names import MIRROR_FILE
from perennial_serving.mirror_client import Client, ClientError
from perennial_serving.mirror_counts import COMPARED, DROPPED, FAILED, Incomparable, ShadowCounts, exposition
from perennial_serving.model import Prediction
from perennial_serving.protocol import InferRequest
from perennial_serving.settings import Settings
from perennial_serving.tls import Tls
from perennial_serving.watched import state

SHADOW = b"x-perennial-shadow"
"""Header of a copy: its receiver gives no feedback token, and sends no copy of the copy."""
_WAITING = 64
_WORKERS = 4
_SECONDS = 2.0
_REMEMBERED = 4
"""Shadow versions whose counts are kept: a pod's series stay bounded however often the setting changes."""
_AUTHORIZATION = b"authorization"
_name = itemgetter(0)
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger(__name__)
Headers = Iterable[tuple[bytes, bytes]]


class MirrorSettings(msgspec.Struct, frozen=True):
    """``share`` percent of the requests go to ``target`` (http[s]://host[:port]), which serves ``version``."""

    target: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/:]+(:[1-9][0-9]{0,4})?/?)?$")] = ""
    share: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0
    version: str = ""


class _Copy(NamedTuple):
    request: InferRequest | bytes
    prediction: Prediction
    authorization: bytes


def is_copy(headers: Headers) -> bool:
    """Whether a request with these headers was mirrored to us."""
    return SHADOW in map(_name, headers)


class Mirror:
    """Follows ``mirror.json`` in ``settings.watched_dir``. ``stream`` is None while nothing is to be mirrored."""

    def __init__(self, *, settings: Settings, classes: tuple[str, ...], tls: Tls | None) -> None:
        folder, self._classes, self._tls, self._version = settings.watched_dir, classes, tls, settings.version
        self._file = Path(folder) / MIRROR_FILE if folder else None
        self._seen: object = None
        self._path = f"/v2/models/{settings.model}/infer"
        self._base = {"deployment": settings.deployment, "version": settings.version}
        self._counts: dict[str, ShadowCounts] = {}
        self.stream: Stream | None = None

    def look(self) -> None:
        """Takes the setting as it is now; without a file, or with one that says nothing sensible, the mirror is off."""
        if self._file is None or (seen := state(self._file)) == self._seen:
            return
        self._seen = seen
        wanted = self._read(self._file)
        if self.stream is not None:
            self.stream.stop()
            self.stream = None
            _logger.info("the mirror is off")
        # All versions of the deployment watch the same setting, the shadow too.
        if wanted.target and wanted.share and wanted.version not in {"", self._version}:
            self.stream = self._start(wanted)
            _logger.info("%g %% of the requests are mirrored to %s", wanted.share, wanted.version)

    async def leave(self) -> None:
        """Gives the copies that are left a moment, then ends."""
        if self.stream is not None:
            stream, self.stream = self.stream, None
            await stream.finish()

    def render(self, *, scraper: bool) -> bytes:
        """The shadows' metrics in Prometheus' text format; see :func:`exposition`."""
        return exposition(self._base, self._counts, scraper=scraper)

    def _start(self, wanted: MirrorSettings) -> "Stream":
        counts = self._counts.pop(wanted.version, None) or ShadowCounts()
        self._counts[wanted.version] = counts
        while len(self._counts) > _REMEMBERED:
            del self._counts[next(iter(self._counts))]
        parts = urlsplit(wanted.target)
        context: Callable[[], ssl.SSLContext | None] = _plain
        if parts.scheme == "https":
            context = self._tls.client if self._tls else cache(ssl.create_default_context)
        port = parts.port or (443 if parts.scheme == "https" else 80)

        def client() -> Client:
            return Client(parts.hostname or "", port, context)

        headers = [(SHADOW, self._version.encode()), (b"content-type", b"application/json")]
        return Stream(client, self._path, headers, wanted.share, counts, self._classes)

    @staticmethod
    def _read(file: Path) -> MirrorSettings:
        try:
            return msgspec.json.decode(file.read_bytes(), type=MirrorSettings)
        except FileNotFoundError:
            return MirrorSettings()
        except (OSError, ValueError) as error:
            _logger.warning("%s: %s; nothing is mirrored", file.name, error)
            return MirrorSettings()


def _plain() -> None:
    return None


class Stream:
    """Copies on their way to one target."""

    def __init__(
        self,
        client: Callable[[], Client],
        path: str,
        headers: list[tuple[bytes, bytes]],
        share: float,
        counts: ShadowCounts,
        classes: tuple[str, ...],
    ) -> None:
        """``path`` and ``headers`` of every copy; ``share`` in percent; ``classes`` by the index that is predicted."""
        self._client, self._path, self._headers, self._share = client, path, headers, share
        self._counts, self._classes = counts, classes
        self._credit = 0.0
        self._told = False
        self._queue: asyncio.Queue[_Copy] = asyncio.Queue(_WAITING)
        self._workers = [asyncio.create_task(self._work()) for _ in range(_WORKERS)]

    def offer(self, request: InferRequest | bytes, prediction: Prediction, headers: Headers) -> None:
        """Takes its share of the answered requests, read or as v2 JSON; what lets their callers in is in ``headers``."""
        self._credit += self._share
        if self._credit < 100:
            return
        self._credit -= 100
        try:
            authorization = next((value for name, value in headers if name == _AUTHORIZATION), b"")
            self._queue.put_nowait(_Copy(request, prediction, authorization))
        except asyncio.QueueFull:
            self._counts.requests[DROPPED] += 1

    def stop(self) -> None:
        """Ends at once; what had not been sent counts as dropped."""
        for worker in self._workers:
            worker.cancel()
        self._counts.requests[DROPPED] += self._queue.qsize()

    async def finish(self) -> None:
        """Ends when all is sent, or after two seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), _SECONDS)
        self.stop()

    async def _work(self) -> None:
        client = self._client()
        try:
            while True:
                copy = await self._queue.get()
                result = DROPPED  # unless it comes to an end below
                try:
                    result = await self._send(client, copy)
                finally:
                    self._counts.requests[result] += 1
                    self._queue.task_done()
        finally:
            client.close()

    async def _send(self, client: Client, copy: _Copy) -> str:
        headers = [*self._headers, (_AUTHORIZATION, copy.authorization)] if copy.authorization else self._headers
        request = copy.request
        # Whatever outputs it asked for: what is compared is both versions' predictions.
        body = request if isinstance(request, bytes) else _encode(InferRequest(request.inputs))
        try:
            async with asyncio.timeout(_SECONDS):
                status, answer = await client.post(self._path, headers, body)
            if status != 200:
                return self._failed(f"it answered {status}")
            predicted = [self._classes[place] for place in copy.prediction.predicted]
            self._counts.compare(predicted, copy.prediction.probability, answer)
        except Incomparable as error:
            return self._failed(f"its answer cannot be compared: {error}")
        except (ClientError, OSError) as error:
            client.close()
            return self._failed("no answer in time" if isinstance(error, TimeoutError) else str(error))
        return COMPARED

    def _failed(self, why: str) -> str:
        if not self._told:
            self._told = True
            _logger.warning("a copy failed; those that fail from now on are only counted: %s", why)
        return FAILED
