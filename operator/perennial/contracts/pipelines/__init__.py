"""The compiled pipelines: what runs in a run pod, and what is handed to Kubeflow Pipelines."""

from importlib import resources
from typing import Literal

Name = Literal["tabular", "own", "kubeflow"]
Component = Literal["ingest", "check", "split", "tune", "export", "evaluate", "baseline", "register"]
"""Those of tabular, in the order in which they run."""

_DOES = {"look": "ingest", "known": "ingest", "search": "tune", "choose": "tune"}


def stands_for(task: str) -> str:
    """The component of tabular whose work ``task`` does, of any of our pipelines; other names stay as they are."""
    return _DOES.get(task, task)


def compiled(name: Name) -> bytes:
    """The intermediate representation (YAML) of the pipeline ``name``."""
    return (resources.files(__name__) / f"{name}.yaml").read_bytes()
