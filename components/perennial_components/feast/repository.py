"""Opens a Feast repository by its feature_store.yaml, which is in the environment and goes nowhere but to Feast."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from feast import FeatureStore
from feast import errors as its
from feast.infra.registry.registry import Registry
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from perennial.contracts import objects
from perennial.contracts.request import FEAST_STORE, FeastSource
from perennial.contracts.result import SeenView
from perennial_components.failure import Reason, RunError, last_lines, nearest

FIELD = "data.source.feast"
_HIDDEN = re.compile(r"password|secret|token|key|credential|passphrase|user", re.IGNORECASE)
_URL = re.compile(r"://[^/\s:@]*:([^@\s]+)@")
_SECRET = 4
"""Characters from which a value is looked for in what Feast says."""
_SETTINGS = (
    its.FeastRegistryNotSetError,
    its.FeastRegistryTypeInvalidError,
    its.FeastModuleImportError,
    its.FeastClassImportError,
    its.FeastExtrasDependencyImportError,
    its.FeastOfflineStoreInvalidName,
    its.FeastOnlineStoreInvalidName,
    its.FeastInvalidBaseClass,
    its.FeastInvalidAuthConfigClass,
    its.FeastProviderNotImplementedError,
    its.S3RegistryBucketNotExist,
    its.S3RegistryBucketForbiddenAccess,
    ArgumentError,
    NoSuchModuleError,
)


class Absent(Exception):
    """There is no registry where the configuration says that one is."""


class Lookup(NamedTuple):
    """What is asked of Feast at once: ``features`` (view:feature) of one view, which is called ``name``.

    ``keys`` are the columns that it needs beside event_timestamp, with their Feast value types; ``names`` are what the
    view calls those of them that it calls otherwise. ``several``: it is computed from more than one other view.
    """

    name: str
    features: tuple[str, ...]
    keys: dict[str, Any]
    names: dict[str, str]
    several: bool


class Asked(NamedTuple):
    """All that is asked for, the ``features`` (view:feature) of all lookups, and their views as they are now."""

    lookups: list[Lookup]
    features: tuple[str, ...]
    views: tuple[SeenView, ...]


class _Part(NamedTuple):
    """Features of one view, which is called ``name`` and takes keys from the columns ``columns`` (by join key)."""

    name: str
    view: str
    version: int | None
    features: tuple[str, ...]
    columns: dict[str, str]


def secrets(environ: Mapping[str, str]) -> list[str]:
    """The values of the configuration that nobody may be told, the longest first."""
    text = environ.get(FEAST_STORE, "")
    try:
        found = set(_hidden(yaml.safe_load(text)))
    except yaml.YAMLError:
        found = set()
    found |= set(_URL.findall(text))
    return sorted((each for each in found if len(each) >= _SECRET), key=len, reverse=True)


def without(hidden: Iterable[str], text: str) -> str:
    """``text`` without these values."""
    for value in hidden:
        text = text.replace(value, "***")
    return text


def _hidden(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _hidden(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _hidden(each, name)
    elif isinstance(value, str | int) and not isinstance(value, bool) and _HIDDEN.search(name):
        yield str(value)


@contextmanager
def opened(source: FeastSource, environ: Mapping[str, str]) -> Iterator[FeatureStore]:
    """The repository whose configuration is in ``environ``; it is only read.

    Raises RunError: SourceInvalid when the configuration is none or there is no registry, DataUnavailable when the
    registry cannot be reached.
    """
    where = f"{FIELD}.storeSecret (Secret {source.secret}, key {source.key})"
    text = environ.get(FEAST_STORE, "")
    _require_settings(text, where)
    endpoint = environ.get("AWS_ENDPOINT_URL")
    if endpoint:  # The registry's client has a variable of its own for it.
        os.environ.setdefault("FEAST_S3_ENDPOINT_URL", endpoint)
    with tempfile.TemporaryDirectory(prefix="perennial-feast-") as folder, _never_written():
        settings = Path(folder) / "feature_store.yaml"
        settings.write_text(text, encoding="utf-8")
        settings.chmod(0o600)
        try:
            store = FeatureStore(repo_path=folder)
            store.registry.get_project(store.project)
        except Absent:
            raise RunError(
                "SourceInvalid",
                f"{where}: there is no registry at the address that it names, or it may not be read: run feast apply "
                "against it first",
            ) from None
        except its.ProjectObjectNotFoundException:
            raise RunError(
                "SourceInvalid", f"{where}: the registry has no project {store.project!r}: run feast apply for it first"
            ) from None
        except Exception as error:  # noqa: BLE001 - what each kind of registry raises is its own
            raise RunError(*_unopened(where, error)) from None
        yield store


def _require_settings(text: str, where: str) -> None:
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1}" if place else ""
        raise RunError("SourceInvalid", f"{where}: the entry is no YAML: there is an error{line}") from None
    if not isinstance(given, dict):
        raise RunError("SourceInvalid", f"{where}: the entry is no feature_store.yaml: it has no fields")
    if absent := [name for name in ("project", "registry") if name not in given]:
        raise RunError("SourceInvalid", f"{where}: the entry is no feature_store.yaml: it lacks {' and '.join(absent)}")


@contextmanager
def _never_written() -> Iterator[None]:
    """Feast makes an empty registry where it finds none, and writes it to the store: a reader must not."""

    def refused(_: Any) -> None:
        raise Absent

    usual = Registry.commit
    Registry.commit = refused
    try:
        yield
    finally:
        Registry.commit = usual


def _unopened(where: str, error: Exception) -> tuple[Reason, str]:
    if isinstance(wrong := error.__context__ or error, ValidationError):
        # Its own words hold what was given, cut short: a part of a secret is not known for one.
        found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors(include_input=False))
        return "SourceInvalid", f"{where}: Feast does not take this configuration: {'; '.join(found)[:800]}"
    said = " ".join(last_lines(error, 1).split("\n(at ")[0].split())[:800]
    if isinstance(error, _SETTINGS):
        return "SourceInvalid", f"{where}: Feast does not take this configuration: {said}"
    return "DataUnavailable", f"{where}: the registry cannot be reached: {said}"


def asked_for(store: FeatureStore, source: FeastSource) -> Asked:
    """What ``source`` asks the repository for.

    Each view is looked up by itself: asked for several at once, Feast's file store keeps one of the rows that are alike
    in the first view's keys. Raises RunError (SourceInvalid) for what the registry does not have.
    """
    field = f"{FIELD}.featureService: {source.service}" if source.service else f"{FIELD}.features"
    lookups, views = [], []
    for part in _of_service(store, source.service) if source.service else _of_references(source.features):
        view = _view(store, part.view, part.version, field)
        _require_features(view, part.features, field)
        keys = keys_of(view, store.registry, store.project)
        tag = part.view if part.version is None else f"{part.view}@v{part.version}"
        lookups.append(
            Lookup(
                name=part.name,
                features=tuple(f"{tag}:{feature}" for feature in part.features),
                keys={part.columns.get(key, key): kind for key, kind in keys.items()},
                names={column: key for key, column in part.columns.items()},
                several=len(getattr(view, "source_feature_view_projections", ())) > 1,
            )
        )
        views.append(view)
    features = tuple(f"{each.name}:{name.rpartition(':')[2]}" for each in lookups for name in each.features)
    return Asked(lookups, features, seen(views, store.registry, store.project))


def _of_references(references: Iterable[str]) -> list[_Part]:
    """By view, of view:feature or view@v2:feature."""
    found: dict[str, list[str]] = {}
    for reference in dict.fromkeys(references):
        name, _, feature = reference.rpartition(":")
        found.setdefault(name, []).append(feature)
    parts = []
    for name, features in found.items():
        view, _, version = name.partition("@")
        number = re.fullmatch(r"[vV](\d+)", version)
        parts.append(_Part(name, view, int(number[1]) if number else None, tuple(features), {}))
    return parts


def _of_service(store: FeatureStore, name: str) -> list[_Part]:
    return [
        _Part(
            each.name_to_use(),
            each.name,
            each.version_tag,
            tuple(field.name for field in each.features),
            dict(each.join_key_map),
        )
        for each in _service(store, name).feature_view_projections
    ]


def _service(store: FeatureStore, name: str) -> Any:
    try:
        return store.registry.get_feature_service(name, store.project)
    except its.FeastObjectNotFoundException:
        known = [each.name for each in store.registry.list_feature_services(store.project)]
        raise RunError(
            "SourceInvalid",
            f"{FIELD}.featureService: the registry has no feature service {name!r}{nearest(name, known)}",
        ) from None


def _view(store: FeatureStore, name: str, version: int | None, where: str) -> Any:
    registry, project = store.registry, store.project
    try:
        if version is None:
            return registry.get_any_feature_view(name, project)
        return registry.get_feature_view_by_version(name, project, version)
    except its.FeatureViewVersionNotFound:
        raise RunError("SourceInvalid", f"{where}: the feature view {name!r} has no version {version}") from None
    except its.FeastObjectNotFoundException:
        known = [each.name for each in registry.list_all_feature_views(project)]
        raise RunError(
            "SourceInvalid", f"{where}: the registry has no feature view {name!r}{nearest(name, known)}"
        ) from None
    except NotImplementedError:
        raise RunError(
            "SourceInvalid", f"{where}: this kind of registry has no numbered versions: leave out @v{version}"
        ) from None


def _require_features(view: Any, features: Iterable[str], where: str) -> None:
    known = [field.name for field in view.features]
    if absent := [each for each in features if each not in known]:
        lines = "\n".join(
            f"{where}: the feature view {view.name!r} has no feature {each!r}{nearest(each, known)}" for each in absent
        )
        raise RunError("SourceInvalid", f"{lines}\nits features are: {', '.join(known)}")


def keys_of(view: Any, registry: Any, project: str) -> dict[str, Any]:
    """The columns by which ``view`` is looked up and their Feast value types: join keys, and what an on-demand view
    takes from the request.
    """
    if not hasattr(view, "source_feature_view_projections"):
        return {field.name: field.dtype.to_value_type() for field in view.entity_columns if field.name != "__dummy_id"}
    found: dict[str, Any] = {}
    for projection in view.source_feature_view_projections.values():
        found |= keys_of(registry.get_any_feature_view(projection.name, project), registry, project)
    for request in view.source_request_sources.values():
        found |= {field.name: field.dtype.to_value_type() for field in request.schema}
    return found


def seen(views: Iterable[Any], registry: Any, project: str) -> tuple[SeenView, ...]:
    """The views as they are now, and those that on-demand ones are computed from, by name."""
    found: dict[tuple[str, int | None], SeenView] = {}
    for view in views:
        own = SeenView(view.name, _definition(view), _time(view), getattr(view, "current_version_number", None))
        found[own.name, own.version] = own
        sources = getattr(view, "source_feature_view_projections", {}).values()
        for each in seen((registry.get_any_feature_view(p.name, project) for p in sources), registry, project):
            found.setdefault((each.name, each.version), each)
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0)))


def _definition(view: Any) -> str:
    """The SHA-256 of what defines the view; when its sources were applied is no part of it."""
    spec = view.to_proto().spec
    for source in ("batch_source", "stream_source"):
        if source in spec.DESCRIPTOR.fields_by_name and spec.HasField(source):
            getattr(spec, source).ClearField("meta")
    return objects.sha256(spec.SerializeToString(deterministic=True))


def _time(view: Any) -> str:
    at: datetime | None = view.last_updated_timestamp
    if at is None:
        return ""
    zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
    return zoned.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
