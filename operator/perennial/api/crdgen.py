"""Writes the CustomResourceDefinitions from the models: ``python -m perennial.api.crdgen [--check] [FOLDER...]``.

The API server wants structural OpenAPI v3, pydantic writes JSON Schema. What differs: references are inlined, titles
dropped, "or null" taken away (an unset field is absent), unions become "anything scalar" (the structural dialect has no
unions), and ``additionalProperties: false`` goes (unknown fields are pruned, and refused to kubectl, without it).
Statuses get neither defaults nor required fields: a status that an older operator wrote must never stop a person from
changing the spec. Defaults inside list items are left to the operator: Argo CD would for ever show them as different.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from perennial.api import KINDS
from perennial.api.common import VERSION, Object, rules
from perennial.contracts.names import GROUP

FOLDERS = (Path("crds"), Path("charts/perennial/files/crds"))
LARGEST_FILE = 200 * 1024
PRESERVE = "x-kubernetes-preserve-unknown-fields"
_RULES = "x-kubernetes-validations"
SCALAR = {PRESERVE: True, "maxItems": 0, "maxProperties": 0, "maxLength": 128}
"""Any number, text or truth: without a type the limits of lists and objects leave only empty ones of those."""

_DROPPED = frozenset({"title", "$defs", "propertyNames"})
_SCALARS = frozenset({"number", "integer", "string", "boolean"})
_API_VERSION = f"The API group and version: {GROUP}/{VERSION}."
_KIND = "The kind of this object."

Json = dict[str, Any]


class SchemaError(Exception):
    """A model says something that a CustomResourceDefinition cannot, or leaves out what it needs."""


def definition(kind: type[Object]) -> Json:
    """The CustomResourceDefinition of one kind. Raises SchemaError naming the field."""
    source = kind.model_json_schema(by_alias=True)
    definitions = source["$defs"]
    parts = {name: _inline(source["properties"][name], definitions) for name in ("spec", "status")}
    schema = {
        "description": kind.DOC,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"type": "object"},
            "spec": _checked(_structural(parts["spec"]), f"{kind.KIND}.spec"),
            "status": _checked(_status(_structural(parts["status"])), f"{kind.KIND}.status"),
        },
        **_name_rule(kind),
    }
    names = {
        "kind": kind.KIND, "listKind": f"{kind.KIND}List", "plural": kind.PLURAL, "singular": kind.KIND.lower(),
        "shortNames": [kind.SHORT], "categories": ["mlops"],
    }  # fmt: skip
    version = {
        "name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}} | ({"scale": kind.SCALE} if kind.SCALE else {}),
        "additionalPrinterColumns": [
            *({"name": name, "type": type_, "jsonPath": path} for name, type_, path in kind.COLUMNS),
            *({"name": name, "type": type_, "jsonPath": path, "priority": 1} for name, type_, path in kind.WIDE),
        ],
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _name_rule(kind: type[Object]) -> Json:
    """What the API server does not ask of a custom resource's name, but of those that are made of it."""
    return rules(
        (
            f"size(self.metadata.name) <= {kind.LONGEST_NAME} && self.metadata.name.matches('{kind.NAME_PATTERN}')",
            f"metadata.name must have at most {kind.LONGEST_NAME} characters and match {kind.NAME_PATTERN}",
        )
    )


def _inline(node: Any, definitions: Json) -> Any:
    """The schema without references; what stands beside a reference holds over what it names."""
    if isinstance(node, list):
        return [_inline(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _inline(value, definitions) for key, value in node.items() if key != "$defs"}
    if reference := node.pop("$ref", None):
        return _inline(definitions[reference.rpartition("/")[2]], definitions) | node
    return node


def _structural(node: Json, *, in_list: bool = False) -> Json:
    """The schema as the API server takes it; ``in_list``: an item of a list, where no default may stand."""
    node = _without_union({key: value for key, value in node.items() if key not in _DROPPED})
    if "description" in node:
        node["description"] = " ".join(node["description"].replace("``", "").split())
    if node.get("default", "") is None or in_list:
        node.pop("default", None)
    if isinstance(default := node.get("default"), dict):
        # The rest fills itself, but a default is held against the rules as it stands.
        own = {} if _RULES in node else {key: field.get("default") for key, field in node.get("properties", {}).items()}
        node["default"] = _set({key: value for key, value in default.items() if value != own.get(key)})
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.pop("prefixItems", None):
        raise SchemaError("a tuple has no counterpart: use a list")
    if isinstance(inner := node.pop("additionalProperties", None), dict):
        node["additionalProperties"] = _structural(inner, in_list=True)
    elif inner is True:
        node[PRESERVE] = True
    if "items" in node:
        node["items"] = _structural(node["items"], in_list=True)
    if "properties" in node:
        node["properties"] = {
            key: _structural(value, in_list=in_list) for key, value in node["properties"].items()
        }  # fmt: skip
    _exclusive_bounds(node)
    return node


def _set(value: Any) -> Any:
    """The value without what is unset."""
    return {key: _set(each) for key, each in value.items() if each is not None} if isinstance(value, dict) else value


def _without_union(node: Json) -> Json:
    options = [each for each in node.pop("anyOf", []) if each.get("type") != "null"]
    if len(options) == 1:
        return {**{key: value for key, value in options[0].items() if key != "title"}, **node}
    if options and not all(each.get("type") in _SCALARS for each in options):
        raise SchemaError(f"a union of more than scalars: {json.dumps(options)}")
    return SCALAR | node if options else node


def _exclusive_bounds(node: Json) -> None:
    """OpenAPI v3.0 marks a bound as exclusive where JSON Schema has a bound of its own."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            node[bound], node[exclusive] = node[exclusive], True


def _status(node: Json) -> Json:
    """Without defaults, and with no required field but the keys of lists."""
    made = {key: value for key, value in node.items() if key not in {"default", "required"}}
    if "properties" in made:
        made["properties"] = {key: _status(value) for key, value in made["properties"].items()}
    if "items" in made:
        made["items"] = _status(made["items"])
        if keys := made.get("x-kubernetes-list-map-keys"):
            made["items"]["required"] = [*keys]
    return made


def _checked(node: Json, path: str) -> Json:
    """``node`` itself, when every field has a description and every size a limit (CEL's cost is counted with them)."""
    if not node.get("description") and not path.endswith(("[]", "{}")):
        raise SchemaError(f"{path}: no description")
    sizes = {"string": "maxLength", "array": "maxItems"}
    limit = sizes.get(node.get("type", ""))
    if limit and limit not in node and not {"enum", "format"} & node.keys():
        raise SchemaError(f"{path}: no {limit}")
    if "additionalProperties" in node:
        if "maxProperties" not in node:
            raise SchemaError(f"{path}: no maxProperties")
        _checked(node["additionalProperties"], path + "{}")
    if "items" in node:
        _checked(node["items"], path + "[]")
    for name, inner in node.get("properties", {}).items():
        _checked(inner, f"{path}.{name}")
    return node


def _text(kind: type[Object]) -> str:
    text = yaml.safe_dump(definition(kind), sort_keys=False, width=120, allow_unicode=True)
    text = f"# Generated by perennial.api.crdgen from perennial.api: edit the models.\n{text}"
    if len(text.encode()) > LARGEST_FILE:
        raise SchemaError(f"{kind.KIND}: {len(text.encode())} bytes; kubectl apply stops at 256 KiB of annotation")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes FOLDER/<plural>.yaml for each kind; with --check compares, and returns 1 where a file differs.

    Without folders they are those of this repository.
    """
    parser = argparse.ArgumentParser(prog="perennial.api.crdgen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file is not current")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    stale = []
    for kind in KINDS:
        text = _text(kind)
        for folder in options.folders or FOLDERS:
            path = folder / f"{kind.PLURAL}.yaml"
            if options.check:
                stale += [path] if not path.exists() or path.read_text() != text else []
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    for path in stale:
        print(f"{path} is not what the models say: run make crds", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
