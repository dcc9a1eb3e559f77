"""Compiles the pipelines to the files that the image brings: ``python -m perennial_components.pipelines.compile``."""

import argparse
import sys
import tempfile
from pathlib import Path

from kfp import compiler

from perennial_components.pipelines.tabular import tabular

COMPILED = Path(__file__).parent / "tabular.yaml"


def compiled() -> bytes:
    """The pipeline's intermediate representation; the same sources give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(tabular, str(path))
        return path.read_bytes()


def main(arguments: list[str] | None = None) -> int:
    """Writes the file, or with ``--check`` says by the exit code whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the file is not current")
    content = compiled()
    if not parser.parse_args(arguments).check:
        COMPILED.write_bytes(content)
        return 0
    if COMPILED.exists() and COMPILED.read_bytes() == content:
        return 0
    print(f"{COMPILED.name} is not current: run python -m perennial_components.pipelines.compile", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
