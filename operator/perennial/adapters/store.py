"""The artifact stores of the namespaces, as far as the operator reads them: small files, verified and remembered."""

import asyncio
import base64
import re
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

from obstore.exceptions import BaseError

from perennial.adapters.kubernetes import KubernetesApi
from perennial.contracts import objects
from perennial.contracts.names import STORE_READ_SECRET, STORE_ROOT, STORE_SECRET
from perennial.contracts.request import Artifact

TIMEOUT_SECONDS = 20.0
CREDENTIALS_SECONDS = 30.0
CACHE_BYTES = 16 * 1024 * 1024
LARGEST_BYTES = 32 * 1024 * 1024
_THREADS, _THREADS_EACH = 32, 2
"""In all, and for one namespace: a store that does not answer must not keep the others' from being read."""
_ELAPSED = re.compile(r",? (?:in|after) [0-9.]+(?:ns|µs|ms|s)\b")
_MESSAGE_LIMIT = 400

Answer = TypeVar("Answer")


class StoreUnavailable(Exception):
    """The store cannot be read now; the message says why, without secrets."""


class StoreSecretMissing(StoreUnavailable):
    """The namespace has no usable Secret with the store's address and credentials; the message says what to create."""


class Store:
    """Reads with the credentials in each namespace's Secret ``perennial-store-read``."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._credentials: dict[str, tuple[float, dict[str, str]]] = {}
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_THREADS_EACH))

    async def read(self, namespace: str, artifact: Artifact) -> bytes:
        """The bytes of ``artifact``, verified; remembered by digest.

        Raises FileNotFoundError when nothing is there, :class:`objects.DigestMismatch` when it is something else, and
        :class:`StoreUnavailable`.
        """
        if (known := self._cache.get(artifact.sha256)) is not None:
            self._cache.move_to_end(artifact.sha256)
            return known
        data = await self._call(
            namespace, lambda credentials: objects.read_verified(artifact, credentials, LARGEST_BYTES)
        )
        self._remember(artifact.sha256, data)
        return data

    async def find(self, namespace: str, uri: str, most: int = LARGEST_BYTES) -> bytes | None:
        """The bytes at ``uri``, unverified; None when nothing is there. Raises :class:`StoreUnavailable`, also where
        they are more than ``most``.
        """
        try:
            return await self._call(namespace, lambda credentials: objects.read(uri, credentials, most))
        except FileNotFoundError:
            return None

    async def root(self, namespace: str) -> str:
        """The address under which the namespace's artifacts are, without a slash at its end.

        Raises :class:`StoreSecretMissing`.
        """
        return (await self._secret(namespace))[STORE_ROOT].rstrip("/")

    async def keys(self, namespace: str) -> tuple[str, ...]:
        """The entries of the namespace's Secret. Raises :class:`StoreSecretMissing`."""
        return tuple(sorted(await self._secret(namespace)))

    async def highest_run(self, namespace: str, training: str) -> int:
        """The greatest number of a run that left files, 0 where there is none. Raises :class:`StoreUnavailable`."""
        folder = f"{await self.root(namespace)}/{namespace}/{training}/"

        def numbers(credentials: Mapping[str, str]) -> int:
            parts = (uri[len(folder) :].split("/", 1)[0] for uri in objects.listing(folder, credentials))
            return max((int(part) for part in parts if part.isdecimal()), default=0)

        return await self._call(namespace, numbers)

    async def _call(self, namespace: str, work: Callable[[Mapping[str, str]], Answer]) -> Answer:
        credentials = await self._secret(namespace)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._in_turn(namespace, lambda: work(credentials))
        except (FileNotFoundError, objects.DigestMismatch):
            raise
        except TimeoutError as error:
            raise StoreUnavailable(f"{_place(credentials)} did not answer within {TIMEOUT_SECONDS:.0f} s") from error
        except (BaseError, OSError, ValueError) as error:
            self._credentials.pop(namespace, None)  # they may have been changed since
            raise StoreUnavailable(f"{_place(credentials)}: {_redacted(error, credentials)}") from error

    async def _in_turn(self, namespace: str, work: Callable[[], Answer]) -> Answer:
        """``work`` in a thread. One whose caller has given up keeps its turn until the thread comes back."""
        turns = self._turns[namespace]
        await turns.acquire()
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)

        def ended(call: asyncio.Future[Answer]) -> None:
            turns.release()
            if not call.cancelled():
                call.exception()  # it was looked at, though nobody waits for it any more

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    async def _secret(self, namespace: str) -> dict[str, str]:
        until, known = self._credentials.get(namespace, (0.0, {}))
        if self._clock() < until:
            return known
        raw = await self._api.get("v1", "Secret", namespace, STORE_READ_SECRET)
        if raw is None:
            raise StoreSecretMissing(missing_secret(namespace))
        values = _values(raw.get("data") or {})
        self._credentials[namespace] = self._clock() + CREDENTIALS_SECONDS, values
        return values

    def _remember(self, digest: str, data: bytes) -> None:
        self._cache[digest] = data
        while sum(map(len, self._cache.values())) > CACHE_BYTES:
            self._cache.popitem(last=False)


def _values(data: Mapping[str, str]) -> dict[str, str]:
    """A Secret's entries as text. Raises :class:`StoreSecretMissing` where they cannot be those of a store."""
    values = {}
    for key, value in data.items():
        try:
            values[key] = base64.b64decode(value).decode()
        except UnicodeDecodeError:
            raise StoreSecretMissing(f"Secret {STORE_READ_SECRET}: its entry {key} is no text in UTF-8") from None
    if not values.get(STORE_ROOT):
        raise StoreSecretMissing(f"Secret {STORE_READ_SECRET} lacks the key {STORE_ROOT}, such as s3://artifacts")
    if _password_in(values[STORE_ROOT]):
        raise StoreSecretMissing(
            f"Secret {STORE_READ_SECRET}: its entry {STORE_ROOT} is to be an address such as s3://artifacts, without a "
            "password in it: addresses are recorded, and shown"
        )
    return values


def _password_in(address: str) -> bool:
    """Also where it is no address at all."""
    try:
        return urlsplit(address).password is not None
    except ValueError:
        return True


def missing_secret(namespace: str) -> str:
    """What to do where the Secrets of the artifact store are not there."""
    return (
        f"create the Secrets {STORE_SECRET} (may write) and {STORE_READ_SECRET} (may read) in namespace {namespace} "
        f"with the keys {STORE_ROOT}, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION"
    )


def _place(credentials: Mapping[str, str]) -> str:
    parts = urlsplit(credentials[STORE_ROOT])
    return f"the store {parts.scheme}://{parts.hostname or ''}{parts.path}"


def _redacted(error: Exception, credentials: Mapping[str, str]) -> str:
    """The error's first line without the value of any credential, and without what differs each time it happens."""
    text = _ELAPSED.sub("", (str(error) or type(error).__name__).split("\n", 1)[0])
    for key, value in credentials.items():
        if value and ("KEY" in key or "TOKEN" in key or "SECRET" in key or "PASSWORD" in key):
            text = text.replace(value, "***")
    return text[:_MESSAGE_LIMIT]
