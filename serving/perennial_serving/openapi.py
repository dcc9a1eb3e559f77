"""The predictor's OpenAPI 3.1 document, made from the model's signature: its names, types and categories."""

import json
import shlex
from typing import Any

from perennial.contracts.signature import Input
from perennial_serving import described
from perennial_serving.inference import OUTPUTS, Inference
from perennial_serving.inputs import FLOAT32_MAX, TENSOR, numbers_like

Schema = dict[str, Any]
_NUMBERS = ["FP64", "FP32", "INT64", "INT32"]
_JSON = "application/json"
_BYTES = "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"
_NUMBER = {"type": ["number", "null"], "minimum": -FLOAT32_MAX, "maximum": FLOAT32_MAX}
_WHY = {
    400: "The request is refused as a whole; the error names all that is wrong.",
    401: "The token is missing, or not one of this deployment's.",
    408: "The body was not complete after 10 s.",
    413: "The body is too large.",
    429: "Too many requests are waiting.",
    500: "The model failed; its log says why.",
    503: "Not now.",
    504: "There was no answer before the deadline.",
}
_BODY = (400, 408, 413)
_SCORED = (*_BODY, 429, 500, 504)


def document(inference: Inference, base: str) -> Schema:
    """The document of what ``inference`` serves. ``base`` is the URL (scheme and host) of its examples."""
    settings = inference.settings
    samples = _Samples(base, guarded=bool(settings.bearer_dir))
    paths = {**_server_paths(), **_v1_paths(inference, samples), **_v2_paths(inference, samples)}
    if settings.bearer_dir:
        for path, item in paths.items():
            for operation in item.values():
                _guard(operation, everybody=path.startswith("/v2/health/"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.model,
            "version": settings.version,
            "description": f"Predicts {inference.model.signature.target}. A missing value is null; a column that is "
            "left out is an error.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(inference),
            **({"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}} if settings.bearer_dir else {}),
        },
    }


def example(inference: Inference) -> dict[str, Any]:
    """A v2 request of one row, the signature's examples."""
    return {
        "inputs": [
            {"name": item.name, "shape": [1], "datatype": _datatypes(item)[0], "data": [item.example]}
            for item in inference.model.signature.inputs
        ]
    }


def rows_example(inference: Inference) -> dict[str, Any]:
    """The same as a v1 request."""
    return {"instances": [{item.name: item.example for item in inference.model.signature.inputs}]}


class _Samples:
    """Commands that work when they are pasted."""

    def __init__(self, base: str, *, guarded: bool) -> None:
        self._base = base
        self._token = ' -H "Authorization: Bearer $TOKEN"' if guarded else ""

    def curl(self, path: str, body: Any) -> dict[str, Any]:
        """The operation's field with the command."""
        url, data = shlex.quote(self._base + path), shlex.quote(json.dumps(body, ensure_ascii=False))
        command = f"curl {url}{self._token} -H 'Content-Type: {_JSON}' -d {data}"
        return {"x-codeSamples": [{"lang": "Shell", "source": command}]}


def _guard(operation: Schema, *, everybody: bool) -> None:
    operation["security"] = [] if everybody else [{"bearer": []}]
    if not everybody:
        operation["responses"] |= {"401": _failure(401)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: Schema) -> Schema:
    return {"content": {_JSON: {"schema": schema}}}


def _failure(status: int, why: str = "") -> Schema:
    header = {"Retry-After": {"schema": {"type": "string"}}} if status == 429 else {}
    return {"description": why or _WHY[status], **({"headers": header} if header else {}), **_content(_ref("Failure"))}


def _operation(summary: str, answer: Schema, *failures: int, body: Schema | None = None, **more: Any) -> Schema:
    """``answer`` is the schema of 200, ``body`` the request's."""
    responses = {"200": {"description": "OK", **_content(answer)}} | {str(code): _failure(code) for code in failures}
    request = {"requestBody": {"required": True, **_content(body)}} if body else {}
    return {"summary": summary, **request, "responses": responses, **more}


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _ready(name: str) -> Schema:
    operation = _operation("Whether the model is ready", _ref("ModelReady"))
    operation["responses"]["503"] = {"description": f"{name} is leaving", **_content(_ref("ModelReady"))}
    return operation


def _server_paths() -> Schema:
    state, string = {"type": "boolean"}, {"type": "string"}
    ready = _operation("Whether the predictor is ready", _object({"ready": state}))
    ready["responses"]["503"] = {"description": "It is leaving", **_content(_object({"ready": state}))}
    index = _operation(
        "The models that are served", _list(_ref("IndexEntry")), *_BODY, body=_object({}, ready={"type": "boolean"})
    )
    index["requestBody"]["required"] = False
    return {
        "/": {"get": _operation("Whether the predictor lives (v1)", _object({"status": {"const": "alive"}}))},
        "/v2": {"get": _operation("Name, version and extensions", _ref("Server"))},
        "/v2/health/live": {"get": _operation("Whether the predictor lives", _object({"live": state}))},
        "/v2/health/ready": {"get": ready},
        "/v2/repository/index": {"post": index},
        "/v1/models": {"get": _operation("The models that are served (v1)", _object({"models": _list(string)}))},
        "/v2/models": {"get": _operation("The models that are served", _object({"models": _list(string)}))},
        "/openapi.json": {"get": _operation("This document", {"type": "object"})},
        "/docs": {"get": {"summary": "This document for people", "responses": {"200": _page()}}},
    }


def _page() -> Schema:
    return {"description": "OK", "content": {"text/html": {"schema": {"type": "string"}}}}


def _v1_paths(inference: Inference, samples: _Samples) -> Schema:
    model = inference.settings.model
    predict, asked = f"/v1/models/{model}:predict", rows_example(inference)
    operation = _operation(
        "Predict, a row an instance",
        _ref("Predictions"),
        *_SCORED,
        body=_ref("Instances"),
        **samples.curl(predict, asked),
    )
    operation["requestBody"]["content"][_JSON]["example"] = asked
    return {f"/v1/models/{model}": {"get": _ready(model)}, predict: {"post": operation}}


def _v2_paths(inference: Inference, samples: _Samples) -> Schema:
    base = f"/v2/models/{inference.settings.model}"
    version = f"{base}/versions/{inference.settings.version}"
    paths: Schema = {}
    for place in (base, version):
        paths[place] = {"get": _operation("The model's inputs and outputs", _ref("Model"))}
        paths[f"{place}/ready"] = {"get": _ready(inference.settings.model)}
        paths[f"{place}/infer"] = {"post": _infer(inference, samples.curl(f"{place}/infer", example(inference)))}
    label = {"feedback": [{"token": "<feedback_token of an answer>", "actual": _truth(inference)}]}
    feedback = _operation(
        "Say what turned out to be true",
        _ref("FeedbackResult"),
        408,
        413,
        503,
        body=_ref("Feedback"),
        **samples.curl(f"{base}/feedback", label),
    )
    either = {"anyOf": [_ref("FeedbackResult"), _ref("Failure")]}
    feedback["responses"] |= {
        "400": {"description": "No feedback request, or nothing in it could be counted", **_content(either)},
        "401": {"description": "No token of it is good", **_content(either)},
    }
    paths[f"{base}/feedback"] = {"post": feedback}
    return paths


def _truth(inference: Inference) -> str | float:
    """What a label may be, for an example."""
    signature, known = inference.model.signature, inference.model.baseline.prediction.quantiles
    if signature.classes:
        return signature.classes[0]
    return float(f"{known[len(known) // 2]:.4g}") if known else 0.0


def _infer(inference: Inference, sample: Schema) -> Schema:
    operation = _operation("Predict", _ref("Prediction"), *_SCORED, body=_ref("Inference"), **sample)
    binary = {"schema": {"type": "string", "format": "binary"}}
    asked, answered = operation["requestBody"]["content"], operation["responses"]["200"]
    asked[_JSON]["example"] = example(inference)
    asked[_BYTES] = binary
    answered["content"][_BYTES] = binary
    answered["headers"] = {_LENGTH: {"schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    about = "Where binary tensors follow it: the length of the JSON part (the binary tensor data extension)."
    operation["parameters"] = [{"name": _LENGTH, "in": "header", "description": about, "schema": {"type": "string"}}]
    return operation


def _datatypes(item: Input) -> list[str]:
    return _NUMBERS if item.kind == "Numeric" else ["BYTES", *_NUMBERS]


def value(item: Input) -> Schema:
    """The schema of one value of a feature."""
    if item.kind == "Categorical":
        return {"enum": [*item.categories, None]}
    if item.kind == "Datetime":
        dates = [{"type": "string", "format": form} for form in ("date-time", "date")]
        return {"anyOf": [*dates, {"type": "null"}]}
    if item.kind == "Text":
        return {"type": ["string", "null"]}
    return _NUMBER


def _columns(inference: Inference) -> Schema:
    """One tensor for each feature."""
    shape = _list({"type": "integer", "minimum": 1}, minItems=1, maxItems=2)
    inputs = inference.model.signature.inputs
    tensors = [
        _object(
            {
                "name": {"const": item.name},
                "shape": shape,
                "datatype": {"enum": _datatypes(item)},
                "data": _list(value(item), minItems=1),
            }
        )
        for item in inputs
    ]
    return {
        "title": "A tensor [N] or [N,1] for each feature, in any order",
        **_list({"anyOf": tensors}, minItems=len(inputs), maxItems=len(inputs)),
    }


def _matrix(inference: Inference) -> Schema:
    """One tensor of all features."""
    inputs = inference.model.signature.inputs
    shape: list[Schema] = [{"type": "integer", "minimum": 1}, {"const": len(inputs)}]
    tensor = _object(
        {
            "name": {"const": TENSOR},
            "shape": _row(shape),
            "datatype": {"enum": _NUMBERS},
            "data": _list(_row([_number(item) for item in inputs]), minItems=1),
        }
    )
    return {"title": "One tensor [N,F] of numbers in this order", **_list(tensor, minItems=1, maxItems=1)}


def _row(items: list[Schema]) -> Schema:
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _number(item: Input) -> Schema:
    """The schema of one value of a feature among numbers: a category there is the number that it reads as."""
    if item.kind == "Categorical":
        return {"enum": [*(number for category in item.categories for number in numbers_like(category)), None]}
    return _NUMBER


def _schemas(inference: Inference) -> Schema:
    inputs, string, number = inference.model.signature.inputs, {"type": "string"}, {"type": "integer"}
    names = [tensor["name"] for tensor in described.outputs(inference)]
    classes: Schema = {"enum": list(inference.model.signature.classes)}
    actual = {**classes, "title": "The class"}
    if inference.model.regression:
        actual = {**_NUMBER, "type": "number", "title": "The number"}
    every: dict[str, tuple[str, Schema]] = {
        "prediction": ("FP64", {"type": "number"}),
        "predicted": ("BYTES", classes),
        "probability": ("FP64", {"type": "number"}),
        "feedback_token": ("BYTES", string),
    }
    outputs = {name: every[name] for name in OUTPUTS[inference.model.signature.task]}
    row = {name: value(item) for name, item in zip((item.name for item in inputs), inputs, strict=True)}
    wide = any(item.wide for item in inputs)  # no matrix of numbers holds a date or a text
    instances = [_list(items, minItems=1) for items in (_object(row), _row(list(row.values())))]
    wanted = _object({"name": {"enum": list(outputs)}}, parameters={"type": ["object", "null"]})
    return {
        "Failure": _object({"error": string}),
        "Server": _object({"name": string, "version": string, "extensions": _list(string)}),
        "Model": _object(
            {
                "name": {"const": inference.settings.model},
                "versions": _list(string),
                "platform": string,
                "inputs": _list(_ref("Tensor")),
                "outputs": _list(_ref("Tensor")),
            }
        ),
        "Tensor": _object(
            {"name": string, "datatype": string, "shape": _list(number)},
            parameters=_object({}, categories=_list(string)),
        ),
        "ModelReady": _object({"name": string, "ready": {"type": "boolean"}}),
        "IndexEntry": _object({"name": string, "version": string, "state": string, "reason": string}),
        "Inference": _object(
            {"inputs": {"anyOf": [_columns(inference)] if wide else [_columns(inference), _matrix(inference)]}},
            id={"type": ["string", "null"]},
            outputs={"anyOf": [_list(wanted), {"type": "null"}]},
            parameters={"type": ["object", "null"]},
        ),
        "Prediction": _object(
            {
                "model_name": {"const": inference.settings.model},
                "model_version": {"const": inference.settings.version},
                "outputs": _list({"anyOf": [_output(name, *outputs[name]) for name in names]}),
            },
            id=string,
        ),
        "Instances": _object({"instances": {"anyOf": instances}}),
        "Predictions": _object({"predictions": _list(_object({name: outputs[name][1] for name in names}))}),
        "Feedback": _object({"feedback": _list(_object({"token": string, "actual": actual}))}),
        "FeedbackResult": _object(
            {"accepted": number, "rejected": number}, reasons=_list(_object({"index": number, "reason": string}))
        ),
    }


def _output(name: str, datatype: str, schema: Schema) -> Schema:
    return _object(
        {
            "name": {"const": name},
            "datatype": {"const": datatype},
            "shape": _list({"type": "integer"}, minItems=1, maxItems=1),
            "data": _list(schema),
        }
    )
