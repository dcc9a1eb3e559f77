"""What a file of yours must be, looked at before a run does."""

from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from perennial.contracts.pipeline import Engine, Finding, lint

_STYLES = {"Error": "bold red", "Warning": "yellow"}


def pipeline(path: Path, image: str, engine: Engine) -> int:
    """Prints what keeps the compiled pipeline at ``path`` from being run; the exit code: 1 where anything does."""
    console = Console(highlight=False)
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        documents, found = [], [Finding("Error", "file", f"this is no YAML: {error}")]
    else:
        found = lint(documents, image, engine)
    for finding in found:
        console.print(Text.assemble((finding.level, _STYLES[finding.level]), f" {finding}"), soft_wrap=True)
    errors = [finding for finding in found if finding.level == "Error"]
    if not errors:
        console.print(f"{path} keeps the contract", soft_wrap=True)
    return 1 if errors else 0
