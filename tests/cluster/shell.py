"""Running the scripts that a person runs."""

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

HACK = Path(__file__).parents[2] / "hack"


@cache
def environment() -> dict[str, str]:
    """What `eval "$(hack/cluster/env)"` sets, on top of this process's environment."""
    names = re.findall(r"^export (\w+)=", run(HACK / "cluster" / "env"), flags=re.MULTILINE)
    shown = "; ".join(f'printf "%s\\0" "${{{name}}}"' for name in names)
    script = f'eval "$({shlex.quote(str(HACK / "cluster" / "env"))})"; {shown}'
    values = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.split("\0")
    return os.environ | dict(zip(names, values, strict=False))


def run(*command: str | Path, seconds: float = 900) -> str:
    """Runs a command to its end; fails with what it said."""
    result = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode == 0, f"{command[0]} ended with {result.returncode}:\n{result.stderr[-2000:]}"
    return result.stdout


def kubectl(*arguments: str) -> str:
    result = subprocess.run(
        ["kubectl", *arguments], check=False, capture_output=True, text=True, env=environment(), timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
