"""A pod overlay: a strategic merge patch of a pod template, as ``kubectl patch`` takes it.

Lists are merged by the keys of the core API (``patchMergeKey`` in k8s.io/api/core/v1/types.go) and replaced where it
names none; ``null`` deletes a field, ``$patch: delete`` an item or an object, ``$patch: replace`` keeps nothing of what
was there. Other directives are refused.
"""

import json
from typing import Any

import yaml

LARGEST = 8 * 1024
"""Characters of a patch: it stands in the status with each revision that was made with it."""

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
_DIRECTIVE = "$patch"
_DEEPEST = 40
_LARGEST_NUMBER = 2**63

Json = dict[str, Any]


class OverlayError(Exception):
    """The text is no strategic merge patch of a pod template; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """YAML without aliases, of which a few lines can stand for gigabytes, and no deeper than a pod template gets."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise OverlayError("aliases (*name) are not allowed: write the value out")
        if self._depth == _DEEPEST:
            raise OverlayError(f"it is nested more than {_DEEPEST} levels deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> Json:
    """The patch that YAML ``text`` holds. Raises :class:`OverlayError`."""
    if len(text) > LARGEST:
        raise OverlayError(f"it has {len(text)} characters, {LARGEST} are allowed")
    try:
        patch = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise OverlayError(f"it is not YAML: {' '.join(str(error).split())}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What a value makes of PyYAML that its tag promised, or its look, and that it is not: 0b_, !!bool maybe.
        raise OverlayError(f"it is not YAML: a value is not of its type ({type(error).__name__}: {error})") from error
    if not isinstance(patch, dict):
        raise OverlayError("it is not an object with metadata or spec, as a pod template has them")
    if unknown := sorted(str(key) for key in patch if key not in {"metadata", "spec"}):
        raise OverlayError(f"{unknown[0]}: a pod template has metadata and spec alone")
    _check(patch, "")
    if len(canonical(patch)) > LARGEST:
        raise OverlayError(f"it has {len(canonical(patch))} characters as JSON, {LARGEST} are allowed")
    return patch


def canonical(patch: Json) -> str:
    """The one JSON text of ``patch``."""
    return json.dumps(patch, sort_keys=True, separators=(",", ":"))


def _check(value: Any, path: str) -> None:
    """Raises OverlayError for what JSON, or a merge, cannot say."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise OverlayError(f"{path or 'top level'}: the key {key!r} is not text")
            if key.startswith("$") and (key != _DIRECTIVE or each not in ("delete", "replace")):
                raise OverlayError(f"{_join(path, key)}: only $patch: delete and $patch: replace are known")
            _check(each, _join(path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _check(each, f"{path}[{number}]")
    elif not isinstance(value, str | int | float | None) or value in {float("inf"), float("-inf")} or value != value:  # noqa: PLR0124 - NaN
        raise OverlayError(f"{path}: {value!r} cannot stand in JSON")
    elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise OverlayError(f"{path}: the number is larger than Kubernetes takes")


def merge(template: Json, patch: Json) -> Json:
    """``template`` with ``patch`` applied; neither is changed. Raises :class:`OverlayError`."""
    return _merge_object(template, patch, "") or {}


def _merge_object(current: Any, patch: Json, path: str) -> Json | None:
    """None: it is deleted."""
    directive, fields = patch.get(_DIRECTIVE), {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return None
    made: Json = dict(current) if isinstance(current, dict) and directive != "replace" else {}
    for key, value in fields.items():
        merged = _merge_value(made.get(key), value, key, _join(path, key))
        if merged is None:
            made.pop(key, None)
        else:
            made[key] = merged
    return made


def _merge_value(current: Any, value: Any, key: str, path: str) -> Any:
    if isinstance(value, dict):
        return _merge_object(current, value, path)
    if isinstance(value, list):
        return _merge_list(current, value, key, path)
    return value


def _merge_list(current: Any, items: list[Any], key: str, path: str) -> list[Any]:
    merge_key = MERGE_KEYS.get(key)
    if merge_key is None:
        return [_fresh(each, f"{path}[{number}]") for number, each in enumerate(items)]
    made: list[Any] = [] if {_DIRECTIVE: "replace"} in items else list(current or ())
    for number, item in enumerate(items):
        if item == {_DIRECTIVE: "replace"}:
            continue
        if not isinstance(item, dict) or item.get(merge_key) is None:
            raise OverlayError(f"{path}[{number}]: {merge_key} is missing, which says what it is merged with")
        name = item[merge_key]
        index = next((at for at, each in enumerate(made) if each.get(merge_key) == name), None)
        merged = _merge_object({} if index is None else made[index], item, f"{path}[{name}]")
        if index is None:
            made += [merged] if merged is not None else []
        else:
            made[index : index + 1] = [merged] if merged is not None else []
    return made


def _fresh(value: Any, path: str) -> Any:
    """An item of a list that is replaced as a whole: nothing is there to be merged with."""
    return _merge_object(None, value, path) if isinstance(value, dict) else value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
