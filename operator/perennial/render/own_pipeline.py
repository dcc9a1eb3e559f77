"""A pipeline of somebody's own and ours that measures what it made, as one for Kubeflow Pipelines.

Theirs becomes one task of ours, with all that it is made of: components, loops, exit handlers, importers. Names of
theirs get a prefix, for both have an ``ingest``.
"""

from collections.abc import Mapping
from typing import Any

PREFIX = "own-"
PARAMETER = "own_request"
"""Of the whole: what theirs gets as ``request``."""
TASK, READER = "pipeline", "claim"
"""The task that theirs is, and that of ours which reads what it left."""

Ir = Mapping[str, Any]
Json = dict[str, Any]


def composed(ours: Ir, theirs: Ir) -> Json:
    """Both in one; neither is changed."""
    component = f"comp-{PREFIX}{TASK}"
    tasks = ours["root"]["dag"]["tasks"]
    reader = {**tasks[READER], "dependentTasks": sorted({*tasks[READER].get("dependentTasks", ()), TASK})}
    task = {
        "cachingOptions": {},
        "componentRef": {"name": component},
        "inputs": {"parameters": {"request": {"componentInputParameter": PARAMETER}}},
        "taskInfo": {"name": TASK},
    }
    given = ours["root"].get("inputDefinitions", {}).get("parameters", {})
    root = {
        **ours["root"],
        "dag": {**ours["root"]["dag"], "tasks": {**tasks, READER: reader, TASK: task}},
        "inputDefinitions": {"parameters": {**given, PARAMETER: {"parameterType": "STRING"}}},
    }
    executors = {f"{PREFIX}{name}": each for name, each in (theirs["deploymentSpec"].get("executors") or {}).items()}
    components = {f"{PREFIX}{name}": _renamed(each) for name, each in (theirs.get("components") or {}).items()}
    return {
        **ours,
        "root": root,
        "components": {**ours["components"], **components, component: _component(theirs["root"])},
        "deploymentSpec": {"executors": {**ours["deploymentSpec"]["executors"], **executors}},
    }


def platform_of(documents: list[Any]) -> Json:
    """What theirs asks of Kubernetes, by executor, under the names that these have in the whole."""
    for each in documents:
        found = (((each or {}).get("platforms") or {}).get("kubernetes") or {}).get("deploymentSpec") or {}
        if found.get("executors"):
            return {f"{PREFIX}{name}": dict(given) for name, given in found["executors"].items()}
    return {}


def _component(root: Ir) -> Json:
    """Their pipeline as a component. What it returns is read from the store, so nothing need come out of it."""
    made = _renamed({"dag": root["dag"], "inputDefinitions": root.get("inputDefinitions", {})})
    made["dag"] = {name: value for name, value in made["dag"].items() if name != "outputs"}
    return made


def _renamed(component: Ir) -> Json:
    made = dict(component)
    if "executorLabel" in made:
        made["executorLabel"] = f"{PREFIX}{made['executorLabel']}"
    if "dag" in made:
        tasks = {
            name: {**task, "componentRef": {"name": f"{PREFIX}{task['componentRef']['name']}"}}
            for name, task in made["dag"]["tasks"].items()
        }
        made["dag"] = {**made["dag"], "tasks": tasks}
    return made
