"""A run's components in this process, one after another as its compiled pipeline has them: seconds where the runner's
processes take half a minute. That the runner runs the same pipeline, test_runner.py says.
"""

import importlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from kfp import dsl

from perennial.contracts import pipelines
from perennial.contracts.request import RunRequest
from perennial.contracts.result import RunResult

_HERE = {"claim": "own"}
"""Where a component is that is called otherwise than its package."""
_KINDS: dict[str, type[dsl.Artifact]] = {"system.ClassificationMetrics": dsl.ClassificationMetrics}


def run_here(folder: Path, asked: RunRequest, pipeline: Literal["tabular", "own"] = "tabular") -> RunResult:
    """The result of ``pipeline``, which keeps its artifacts in ``folder``. Raises what a component raises."""
    [compiled, *_] = yaml.safe_load_all(pipelines.compiled(pipeline))
    tasks = dict(compiled["root"]["dag"]["tasks"])
    request = msgspec.json.encode(asked).decode()
    made: dict[str, dict[str, Any]] = {}
    while tasks:
        name = next(each for each, task in tasks.items() if set(task.get("dependentTasks", ())) <= set(made))
        component = compiled["components"][f"comp-{name}"]
        given = {
            key: made[origin["taskOutputArtifact"]["producerTask"]][origin["taskOutputArtifact"]["outputArtifactKey"]]
            for key, origin in tasks.pop(name)["inputs"].get("artifacts", {}).items()
        }
        (folder / name).mkdir(parents=True)
        made[name] = {
            key: _KINDS.get(defined["artifactType"]["schemaTitle"], dsl.Metrics)(uri=str(folder / name / key))
            for key, defined in component["outputDefinitions"]["artifacts"].items()
        }
        module = importlib.import_module(f"perennial_components.{_HERE.get(name, name)}.component")
        getattr(module, name).python_func(request=request, **given, **made[name])
    return msgspec.json.decode(Path(made["register"]["result"].path).read_bytes(), type=RunResult)
