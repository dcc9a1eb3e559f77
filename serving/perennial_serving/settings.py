"""The predictor's configuration, from its environment alone."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from perennial.contracts.names import PORT_METRICS, PORT_SERVE

_PREFIX = "PERENNIAL_"
TERMINATION_LOG = "/dev/termination-log"


class SettingsError(ValueError):
    """An environment variable is missing or does not parse; the message names it."""


class ArtifactFile(msgspec.Struct, frozen=True):
    """A file to serve: where it is stored, its SHA-256 (hex) and its name in the model folder."""

    uri: str
    sha256: str
    file: str


class Store(msgspec.Struct, frozen=True):
    """What the init container needs: ``PERENNIAL_ARTIFACTS`` (JSON) and ``PERENNIAL_MODEL_DIR``."""

    artifacts: tuple[ArtifactFile, ...]
    model_dir: str = "/model"
    termination_log: str = TERMINATION_LOG


class Settings(Store, frozen=True, kw_only=True):
    """Each field is the environment variable ``PERENNIAL_<NAME>``; seconds and bytes where the name says so.

    ``deployment`` is "namespace/name"; ``revision`` is the hash of version, image and configuration, a label of the
    metrics. ``connection_max_age`` (s, 0 for no limit): kube-proxy balances connections, not requests, so a canary's
    weight holds for keep-alive clients only if their connections are renewed.
    ``drain_seconds``: for so long it answers after it was told to leave; then Prometheus has ``last_scrape_seconds``.
    ``max_waiting``: requests accepted and not yet answered, beyond which callers are told to come back.
    ``deadline_seconds`` (0 for none): a request that could not be answered by then is not scored any more.
    ``access_log``: a line for each request, never what was sent.
    """

    model: str
    version: str
    deployment: str
    revision: str = ""
    feedback_keys: str = ""
    feedback_ttl_seconds: int = 30 * 24 * 3600
    connection_max_age: float = 5.0
    drain_seconds: float = 5.0
    last_scrape_seconds: float = 20.0
    max_body_bytes: int = 4 * 1024 * 1024
    max_waiting: int = 128
    deadline_seconds: float = 10.0
    access_log: bool = False
    tls_dir: str = ""
    tls_client_auth: Literal["None", "Required"] = "None"
    bearer_dir: str = ""
    watched_dir: str = ""
    traces_endpoint: str = ""
    traces_sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    host: str = "0.0.0.0"  # noqa: S104 - a pod's address is not known beforehand
    port: int = PORT_SERVE
    metrics_port: int = PORT_METRICS
    grpc_port: int = 0


_Kind = TypeVar("_Kind", bound=Store)


def _load(kind: type[_Kind], environment: Mapping[str, str]) -> _Kind:
    values: dict[str, object] = {}
    for field in kind.__struct_fields__:
        name = _PREFIX + field.upper()
        if name in environment:
            values[field] = environment[name]
    try:
        artifacts = msgspec.json.decode(environment.get("PERENNIAL_ARTIFACTS", "null"))
        return msgspec.convert({**values, "artifacts": artifacts}, kind, strict=False)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"the environment does not describe a predictor: {_by_variable(str(error))}") from None


def _by_variable(message: str) -> str:
    """msgspec's message with the variables' names in place of our fields'."""
    named = re.sub(r"\$\.(\w+)", lambda match: _PREFIX + match[1].upper(), message)
    return re.sub(r"required field `(\w+)`$", lambda match: f"`{_PREFIX}{match[1].upper()}`", named)


def load_store(environment: Mapping[str, str]) -> Store:
    """The init container's part of the environment. Raises :class:`SettingsError`."""
    return _load(Store, environment)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The predictor's environment. Raises :class:`SettingsError`."""
    return _load(Settings, environment)
