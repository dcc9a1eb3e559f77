"""Programs in environments of their own: peers cannot share one with us, nor with each other."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def prepare(environment: str) -> None:
    """Makes ``environment`` from its lock, unless it is there."""
    subprocess.run([ROOT / "hack" / "venv", environment], check=True, capture_output=True)


def run(
    program: tuple[str, str],
    arguments: Sequence[str | Path],
    progress: Callable[[], None] = lambda: None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Runs ``program`` (environment, module) to its end, and calls ``progress`` at each line that it prints; packages
    tell nobody that they were used. Raises RuntimeError where it fails.
    """
    environment, module = program
    python = ROOT / ".venvs" / environment / "bin" / "python"
    quiet = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=ROOT, env={**os.environ, **quiet, **(variables or {})},
            stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process:  # fmt: skip
            for _ in process.stdout or ():
                progress()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{module} failed:\n{errors.read()[-2000:]}")
