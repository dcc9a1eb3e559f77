"""What a compiled Kubeflow pipeline must be for a run to execute it: the contract of ``spec.pipeline``.

It takes the run's request, ends with one artifact, which is ``result.json``, and every component of it is a lightweight
Python component of one image, because the run's pod is of that image and starts no other. Where Kubeflow Pipelines runs
it, each component has its own pod, and only the first of these holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

PARAMETER = "request"
SCHEMA = "2.1"
_LIGHTWEIGHT = "kfp.dsl.executor_main"
_IGNORED = ("resources",)
_INSTALLS = "pip install"

Ir = Mapping[str, Any]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong at ``place`` of the file (an Error), or is there and has no effect (a Warning)."""

    level: Literal["Error", "Warning"]
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


Engine = Literal["Embedded", "Kubeflow"]


def lint(documents: list[Any], image: str = "", engine: Engine = "Embedded") -> list[Finding]:
    """All that keeps the compiled pipeline, the YAML ``documents`` of its file, from being run: by the embedded engine
    in ``image`` (without an image its components must agree on one), or by Kubeflow. Errors come first.
    """
    if not documents or not _compiled(documents[0]):
        said = "this is no compiled pipeline: write it with kfp.compiler.Compiler().compile(pipeline, FILE)"
        return [Finding("Error", "file", said)]
    ir: Ir = documents[0]
    found = [*_schema(ir), *_inputs(ir)]
    if engine == "Embedded":
        found += [*_outputs(ir), *_executors(ir, image), *_platform(documents[1:])]
    return sorted(found, key=lambda finding: finding.level)


def _compiled(document: Any) -> bool:
    parts = ("root", "deploymentSpec", "components")
    return isinstance(document, Mapping) and all(isinstance(document.get(part), Mapping) for part in parts)


def _schema(ir: Ir) -> Iterator[Finding]:
    version = str(ir.get("schemaVersion", ""))
    if not version.startswith(SCHEMA):
        yield Finding("Error", "schemaVersion", f"{version or 'none'} is not {SCHEMA}: compile it with kfp 2")


def _inputs(ir: Ir) -> Iterator[Finding]:
    inputs = ir["root"].get("inputDefinitions") or {}
    parameters = inputs.get("parameters") or {}
    if (parameters.get(PARAMETER) or {}).get("parameterType") != "STRING":
        said = f"the pipeline must take {PARAMETER}: str, the JSON of the run's request"
        yield Finding("Error", f"root.inputDefinitions.parameters.{PARAMETER}", said)
    for name, given in parameters.items():
        if name != PARAMETER and "defaultValue" not in given and not given.get("isOptional"):
            said = f"nobody gives a value for it: {PARAMETER} is all that a run passes; give it a default"
            yield Finding("Error", f"root.inputDefinitions.parameters.{name}", said)
    for name in inputs.get("artifacts") or {}:
        yield Finding("Error", f"root.inputDefinitions.artifacts.{name}", "a run passes no artifacts")


def _outputs(ir: Ir) -> Iterator[Finding]:
    outputs = ir["root"].get("outputDefinitions") or {}
    artifacts = list(outputs.get("artifacts") or {})
    if len(artifacts) != 1 or outputs.get("parameters"):
        said = "the pipeline must return one artifact, the result.json that its last component wrote"
        yield Finding("Error", "root.outputDefinitions", said)


def _executors(ir: Ir, image: str) -> Iterator[Finding]:
    executors = ir["deploymentSpec"].get("executors") or {}
    images = {}
    for name, executor in executors.items():
        place = f"deploymentSpec.executors.{name}"
        container = executor.get("container")
        if container is None:
            kind = next(iter(executor), "nothing")
            yield Finding("Error", place, f"a run executes Python components alone, this is: {kind}")
            continue
        images[name] = str(container.get("image", ""))
        if not any(_LIGHTWEIGHT in str(part) for part in container.get("command") or ()):
            said = "a container component: the run's pod starts no other container; make it a @dsl.component"
            yield Finding("Error", place, said)
        if any(_INSTALLS in str(part) for part in container.get("command") or ()):
            said = "it installs packages when it begins, and a run's pod has no pip: the image must have them; write"
            yield Finding(
                "Error", place, f"{said} @dsl.component(install_kfp_package=False), without packages_to_install"
            )
        for ignored in _IGNORED:
            if container.get(ignored):
                said = f"{ignored} of a component have no effect here: spec.engine.resources are the whole run's"
                yield Finding("Warning", f"{place}.container.{ignored}", said)
    wanted = image or next(iter(images.values()), "")
    for name, its in images.items():
        if its != wanted:
            said = f"{its} is not {wanted}: all components must be of the one image that spec.pipeline.image names"
            yield Finding("Error", f"deploymentSpec.executors.{name}.container.image", said)


def _platform(documents: list[Any]) -> Iterator[Finding]:
    if any(documents):
        said = "what kfp-kubernetes has set (volumes, secrets, node selectors, …) has no effect here"
        yield Finding("Warning", "platforms", said)
