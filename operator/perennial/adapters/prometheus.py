"""Prometheus' HTTP API: instant and range queries, with what can be repeated told from what cannot."""

from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self, TypeVar

import aiohttp
import msgspec

from perennial.adapters.access import Access, AccessError, Credentials

_BODY_SHOWN = 300
T = TypeVar("T")
_REPEATABLE = frozenset({"timeout", "canceled", "unavailable", "internal", "not_found", ""})


class PrometheusUnavailable(Exception):
    """No answer, or none that says anything about the query: ask again later. Never a reason to act."""


class QueryRejected(Exception):
    """Prometheus understood the request and refuses the query: asking again changes nothing."""


@dataclass(slots=True)
class Series:
    """One time series of an answer: ``points`` are (Unix s, value) in time order; values may be NaN or infinite."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class _Result(msgspec.Struct):
    metric: dict[str, str] = {}
    value: tuple[float, float] | None = None
    values: tuple[tuple[float, float], ...] = ()


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct, rename="camel"):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error_type: str = ""
    error: str = ""


class Prometheus:
    """A client of the server at ``url`` (such as ``http://prometheus:9090``, a path prefix included).

    One session for the process, opened with the first query; ``timeout`` is seconds for a whole query.
    """

    def __init__(self, url: str, access: Access | None = None, *, timeout: float = 15.0) -> None:
        self._url = url.rstrip("/")
        self._credentials = Credentials(access or Access())
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; a later query opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def query(self, expr: str, at: float) -> list[Series]:
        """``expr`` at ``at`` (Unix s): one point a series; a scalar is one series without labels.

        Raises PrometheusUnavailable and QueryRejected.
        """
        return await self._ask("query", {"query": expr, "time": f"{at:.3f}"})

    async def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """``expr`` at start, start + step, … up to and including end (Unix s, step in s).

        Raises PrometheusUnavailable and QueryRejected.
        """
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return await self._ask("query_range", {"query": expr, **span})

    async def parse(self, expr: str) -> None:
        """Nothing when ``expr`` is PromQL. Raises QueryRejected with the place and the cause, and PrometheusUnavailable
        also where the server (one that speaks Prometheus' API, but is none) does not offer this.
        """
        status, answer = await self._answer("format_query", {"query": expr})
        if answer.status != "success":
            self._refuse(status, answer)

    async def _ask(self, path: str, form: dict[str, str]) -> list[Series]:
        form["timeout"] = f"{self._timeout:.0f}s"
        status, answer = await self._answer(path, form)
        if answer.status != "success":
            self._refuse(status, answer)
        try:
            return _series(msgspec.json.decode(answer.data, type=_Data))
        except msgspec.MsgspecError as error:
            raise PrometheusUnavailable(f"{self._url} answered with no result: {_shown(bytes(answer.data))}") from error

    async def _answer(self, path: str, form: dict[str, str]) -> tuple[int, _Answer]:
        status, body = await self._post(f"{self._url}/api/v1/{path}", form)
        if status in {401, 403}:
            raise PrometheusUnavailable(f"{self._url} answered {status}: it does not take our credentials")
        try:
            return status, msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError as error:
            raise PrometheusUnavailable(f"{self._url} answered {status} with no result: {_shown(body)}") from error

    def _refuse(self, status: int, answer: _Answer) -> NoReturn:
        if answer.error_type in _REPEATABLE or (status >= 500 and answer.error_type != "execution"):
            raise PrometheusUnavailable(f"{self._url}: {answer.error_type or status}: {answer.error}")
        raise QueryRejected(f"{answer.error_type}: {answer.error}")

    async def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        if self._session is None:
            # A little above the query's own limit, so that Prometheus says itself what took so long.
            limits = aiohttp.ClientTimeout(total=self._timeout + 2, sock_connect=5)
            self._session = aiohttp.ClientSession(timeout=limits)
        try:
            tls = self._credentials.tls() if self._url.startswith("https:") else True
            # A redirect would carry the credentials to where nobody said that they belong.
            async with self._session.post(
                url, data=form, headers=self._credentials.headers(), ssl=tls, allow_redirects=False
            ) as response:
                return response.status, await response.read()
        except AccessError as error:
            raise PrometheusUnavailable(f"{self._url}: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PrometheusUnavailable(f"{self._url}: {type(error).__name__}: {error}") from error


def _series(data: _Data) -> list[Series]:
    if data.result_type == "scalar":
        return [Series({}, (_read(data.result, tuple[float, float]),))]
    results = _read(data.result, list[_Result])
    return [Series(each.metric, each.values if each.value is None else (each.value,)) for each in results]


def _read(text: msgspec.Raw, type_: type[T]) -> T:
    """Numbers stand in strings. Thousands come at once, so that they are read while the text is decoded; of those
    decoding does not know "+Inf", which stands like this nowhere but in a point.
    """
    return msgspec.json.decode(bytes(text).replace(b',"+Inf"]', b',"Infinity"]'), type=type_, strict=False)


def _shown(body: bytes) -> str:
    return body[:_BODY_SHOWN].decode(errors="replace")
