"""The shadow's mirror: a share of the answered requests is sent to another version as well, and the answers compared.

Nobody waits for it: what the other version does is counted, and what would have to wait is dropped.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import msgspec

from perennial.contracts.names import MIRROR_FILE
from perennial_serving.mirror_client import Lane
from perennial_serving.mirror_counts import COMPARED, DROPPED, FAILED, Incomparable, ShadowCounts, exposition
from perennial_serving.model import Prediction
from perennial_serving.protocol import InferRequest
from perennial_serving.settings import Settings
from perennial_serving.tls import Tls
from perennial_serving.watched import state

SHADOW = b"x-perennial-shadow"
"""Header of a copy: its receiver gives no feedback token, and sends no copy of the copy."""
_WAITING = 64
_WAITING_BYTES = 1024 * 1024
_COPY_BYTES = 256 * 1024
_LANES = 4
_SECONDS = 2.0
_SWEEP_SECONDS = 0.25
_PART = 0.05
"""Of the time, for copies, as far as it is measured here; with the loop's and the kernel's part a copy costs more than
twice as much. So callers wait an eighth longer at the worst, when requests come without a pause.
"""
_AHEAD_SECONDS = 0.00005
_LATER_SECONDS = 0.002
_REMEMBERED = 4
"""Shadow versions whose counts are kept: a pod's series stay bounded however often the setting changes."""
_AUTHORIZATION = b"authorization"
_name = itemgetter(0)
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger(__name__)
Headers = Iterable[tuple[bytes, bytes]]


class MirrorSettings(msgspec.Struct, frozen=True):
    """``share`` percent of the requests go to ``target`` (http[s]://host[:port]), which serves ``version``.

    ``revision``: the target's, which tells two configurations of one version apart.
    """

    target: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/:]+(:[1-9][0-9]{0,4})?/?)?$")] = ""
    share: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0
    version: str = ""
    revision: str = ""


class _Copy(NamedTuple):
    request: InferRequest | bytes
    prediction: Prediction
    authorization: bytes
    size: int


def is_copy(headers: Headers) -> bool:
    """Whether a request with these headers was mirrored to us."""
    return SHADOW in map(_name, headers)


class Mirror:
    """Follows ``mirror.json`` in ``settings.watched_dir``. ``stream`` is None while nothing is to be mirrored."""

    def __init__(self, *, settings: Settings, classes: tuple[str, ...], tls: Tls | None, spread: float = 1.0) -> None:
        """``classes`` are none of a Regression, whose predictions have the ``spread``."""
        self._settings, self._classes, self._tls, self._spread = settings, classes, tls, spread
        self._file = Path(settings.watched_dir) / MIRROR_FILE if settings.watched_dir else None
        self._seen: object = None
        self._head = (
            f"POST /v2/models/{settings.model}/infer HTTP/1.1\r\n"
            f"host: {settings.model}\r\n{SHADOW.decode()}: {settings.version}\r\ncontent-type: application/json\r\n"
        ).encode()
        revision = {"revision": settings.revision} if settings.revision else {}
        self._base = {"deployment": settings.deployment, **revision, "version": settings.version}
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
        if wanted.target and wanted.share and wanted.version and not self._is_us(wanted):
            self.stream = self._start(wanted)
            _logger.info("%g %% of the requests are mirrored to %s", wanted.share, wanted.version)

    def _is_us(self, wanted: MirrorSettings) -> bool:
        """All pods of the deployment watch the same setting, the shadow's too."""
        if wanted.revision and self._settings.revision:
            return wanted.revision == self._settings.revision
        return wanted.version == self._settings.version

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
        context: Callable[[], ssl.SSLContext | None] = _plain
        if wanted.target.startswith("https:"):
            context = self._tls.client if self._tls else cache(ssl.create_default_context)
        return Stream(
            wanted, head=self._head, context=context, counts=counts, classes=self._classes, spread=self._spread
        )

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


class Allowance:
    """Time that may be spent: ``part`` of all that goes by, at most ``ahead`` (s) at once."""

    def __init__(self, part: float, ahead: float, now: float) -> None:
        self._part, self._ahead, self._left, self._looked = part, ahead, ahead, now

    def has(self, now: float) -> bool:
        """Whether there is any left at ``now`` (s)."""
        self._left = min(self._ahead, self._left + (now - self._looked) * self._part)
        self._looked = now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        """Takes off what was spent, be it more than was left."""
        self._left -= seconds


class Stream:
    """Copies on their way to one target, some at a time, each given two seconds."""

    def __init__(
        self,
        wanted: MirrorSettings,
        *,
        head: bytes,
        context: Callable[[], ssl.SSLContext | None],
        counts: ShadowCounts,
        classes: tuple[str, ...],
        spread: float,
    ) -> None:
        """``head``: request line and headers of every copy; ``classes``: by the index that is predicted, and none of a
        Regression, whose predictions have the ``spread``.
        """
        parts = urlsplit(wanted.target)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._share, self._head, self._counts = wanted.share, head, counts
        self._classes, self._spread = classes, spread
        self._credit = 0.0
        self._told = False
        self._waiting: deque[_Copy] = deque()
        self._waiting_bytes = 0
        self._idle = [Lane(host, port, context, self._answered) for _ in range(_LANES)]
        self._sent: dict[Lane, tuple[_Copy, float]] = {}
        self._done = asyncio.Event()
        self._allowance = Allowance(_PART, _AHEAD_SECONDS, perf_counter())
        self._later: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def offer(self, request: InferRequest | bytes, prediction: Prediction, headers: Headers, size: int) -> None:
        """Takes its share of the answered requests, read or as v2 JSON; ``headers`` are their callers', ``size`` the
        bytes that came.
        """
        self._credit += self._share
        if self._credit < 100:
            return
        self._credit -= 100
        if len(self._waiting) >= _WAITING or size > _COPY_BYTES or (size > _WAITING_BYTES - self._waiting_bytes):
            self._counts.requests[DROPPED] += 1
            return
        authorization = next((value for name, value in headers if name == _AUTHORIZATION), b"")
        self._waiting.append(_Copy(request, prediction, authorization, size))
        self._waiting_bytes += size
        self._soon()

    def stop(self) -> None:
        """Ends at once; what has no answer yet counts as dropped."""
        self._sweeping.cancel()
        if self._later is not None:
            self._later.cancel()
        for lane in (*self._idle, *self._sent):
            lane.close()
        self._counts.requests[DROPPED] += len(self._waiting) + len(self._sent)
        self._idle, self._sent = [], {}
        self._waiting.clear()
        self._waiting_bytes = 0

    async def finish(self) -> None:
        """Ends when all is answered, or after two seconds."""
        if self._waiting or self._sent:
            self._done.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), _SECONDS)
        self.stop()

    def _soon(self) -> None:
        """One copy in the loop's next turn: answers go first, and none of them waits for more than one copy."""
        if self._waiting and self._idle and self._later is None:
            self._later = self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._later = None
        if not (self._waiting and self._idle):
            return
        began = perf_counter()
        if not self._allowance.has(began):
            self._later = self._loop.call_later(_LATER_SECONDS, self._send)
            return
        lane, copy = self._idle.pop(), self._waiting.popleft()
        self._waiting_bytes -= copy.size
        self._sent[lane] = copy, self._loop.time() + _SECONDS
        lane.ask(self._bytes(copy))
        self._allowance.spend(perf_counter() - began)
        self._soon()

    def _bytes(self, copy: _Copy) -> bytes:
        request = copy.request
        # Whatever outputs it asked for: what is compared is both versions' predictions.
        body = request if isinstance(request, bytes) else _encode(InferRequest(request.inputs))
        shown = b"authorization: %b\r\n" % copy.authorization if copy.authorization else b""
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (self._head, shown, len(body), body)

    def _answered(self, lane: Lane, status: int, body: bytes, why: str) -> None:
        began = perf_counter()
        copy, _ = self._sent.pop(lane)
        self._idle.append(lane)
        if status == 200:
            try:
                self._compare(copy.prediction, body)
            except Incomparable as error:
                why = f"its answer cannot be compared: {error}"
        else:
            why = why or f"it answered {status}"
        self._count(why)
        self._allowance.spend(perf_counter() - began)
        self._soon()
        if not self._sent and not self._waiting:
            self._done.set()

    def _compare(self, prediction: Prediction, theirs: bytes) -> None:
        if not self._classes:
            self._counts.compare_numbers(prediction.probability, self._spread, theirs)
            return
        predicted = [self._classes[place] for place in prediction.predicted]
        self._counts.compare(predicted, prediction.probability, theirs)

    def _count(self, why: str) -> None:
        self._counts.requests[FAILED if why else COMPARED] += 1
        if why and not self._told:
            self._told = True
            _logger.warning("a copy failed; those that fail from now on are only counted: %s", why)

    def _sweep(self) -> None:
        """Gives up what has waited too long for its answer."""
        now = self._loop.time()
        for lane, (_, until) in list(self._sent.items()):
            if until <= now:
                lane.close()
                self._answered(lane, 0, b"", f"no answer in {_SECONDS:g} s")
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
