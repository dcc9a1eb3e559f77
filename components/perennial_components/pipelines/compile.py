"""Compiles the pipelines to the files that the image brings: ``python -m perennial_components.pipelines.compile``."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from kfp import compiler

from perennial.contracts import pipelines
from perennial_components.pipelines.kubeflow import kubeflow
from perennial_components.pipelines.own import own
from perennial_components.pipelines.tabular import tabular

PIPELINES = {"tabular": tabular, "own": own, "kubeflow": kubeflow}


def path_of(name: str) -> Path:
    """The compiled file of the pipeline ``name``."""
    return Path(pipelines.__file__).with_name(f"{name}.yaml")


def compiled(pipeline: Any) -> bytes:
    """The pipeline's intermediate representation; the same sources give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_bytes()


def main(arguments: list[str] | None = None) -> int:
    """Writes the files, or with ``--check`` says by the exit code whether they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is not current")
    check = parser.parse_args(arguments).check
    old = []
    for name, pipeline in PIPELINES.items():
        path, content = path_of(name), compiled(pipeline)
        if path.exists() and path.read_bytes() == content:
            continue
        old.append(path.name)
        if not check:
            path.write_bytes(content)
    if not (check and old):
        return 0
    said = f"{', '.join(old)}: not current: run python -m perennial_components.pipelines.compile"
    print(said, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
