"""What Kubeflow's published client says of its API: routes, parameters and models, read out of its generated code."""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kfp_server_api
from kfp_server_api import models

_CALL = re.compile(r"self\.api_client\.call_api\(\s*'([^']+)', '([A-Z]+)'")
_QUERY = re.compile(r"query_params\.append\(\('([^']+)'")
_ANSWER = re.compile(r"response_type='([^']+)'")
_BODY = re.compile(r":param (\w+): .*\(required\)\n\s+:type \1: (V2beta1\w+)")
_FILES = re.compile(r"local_var_files\['([^']+)'\]")
_PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object}


class Violation(Exception):
    """A request or an answer that the client's models do not know."""


@dataclass(frozen=True)
class Route:
    """``path`` as a regular expression with named groups; ``body`` and ``answer`` are names of models, or ""."""

    method: str
    template: str
    path: re.Pattern[str]
    query: frozenset[str]
    body: str
    answer: str
    files: frozenset[str]


def routes() -> list[Route]:
    """Every call that the client can make."""
    found = []
    for _, api in inspect.getmembers(kfp_server_api, inspect.isclass):
        for name, method in inspect.getmembers(api, inspect.isfunction):
            if name.endswith("_with_http_info") and (call := _CALL.search(source := inspect.getsource(method))):
                template, verb = call.groups()
                body, answer = _BODY.search(source), _ANSWER.search(source)
                found.append(
                    Route(
                        verb,
                        template,
                        re.compile("^" + re.sub(r"\\{([a-z_.]+)\\}", _group, re.escape(template)) + "$"),
                        frozenset(_QUERY.findall(source)),
                        body.group(2) if body else "",
                        answer.group(1) if answer else "",
                        frozenset(_FILES.findall(source)),
                    )
                )
    # What has a fixed end comes before what has a parameter there.
    return sorted(found, key=lambda route: (route.template.count("{"), route.template))


def _group(match: re.Match[str]) -> str:
    return f"(?P<{match.group(1).replace('.', '_')}>[^/:]+)"


def find(known: list[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request. Raises Violation where the client knows none."""
    for route in known:
        if route.method == method and (match := route.path.match(path)):
            return route, match.groupdict()
    raise Violation(f"the client knows no {method} {path}")


def check_query(route: Route, query: Mapping[str, str]) -> None:
    """Raises Violation for a parameter that the client does not know."""
    if unknown := set(query) - route.query:
        raise Violation(f"{route.method} {route.template} has no parameters {sorted(unknown)}")
    if text := query.get("filter"):
        check_filter(text)


def check_filter(text: str) -> None:
    """Raises Violation for what is no V2beta1Filter; the client has its models, for the API has it as text."""
    check("V2beta1Filter", json.loads(text), "filter")


def check(kind: str, value: Any, where: str) -> None:  # noqa: C901 - one branch a kind of type
    """Raises Violation where ``value`` is no ``kind``: a model's name, or a type as the generated code writes it."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise Violation(f"{where} is no list")
        for index, each in enumerate(value):
            check(kind[5:-1], each, f"{where}[{index}]")
    elif kind.startswith("dict(str, "):
        if not isinstance(value, dict):
            raise Violation(f"{where} is no object")
        for name, each in value.items():
            check(kind[10:-1], each, f"{where}.{name}")
    elif kind == "datetime":
        datetime.fromisoformat(value)
    elif kind in _PLAIN:
        # int64 is written as text in Protocol Buffers' JSON.
        if kind == "int" and isinstance(value, str) and value.lstrip("-").isdecimal():
            return
        if not isinstance(value, _PLAIN[kind]):  # type: ignore[arg-type]
            raise Violation(f"{where} is no {kind}: {value!r}")
    else:
        _check_model(getattr(models, kind), value, where)


def _check_model(model: Any, value: Any, where: str) -> None:
    if not model.openapi_types:
        # An enumeration where it has names in capitals, otherwise an object of which nothing is said.
        allowed = {each for name, each in vars(model).items() if name.isupper() and isinstance(each, str)}
        if allowed and value not in allowed:
            raise Violation(f"{where}: {value!r} is none of {sorted(allowed)}")
        return
    if not isinstance(value, dict):
        raise Violation(f"{where} is no object")
    kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    if unknown := set(value) - set(kinds):
        raise Violation(f"{where}: {model.__name__} has no fields {sorted(unknown)}")
    for name, each in value.items():
        check(kinds[name], each, f"{where}.{name}")
