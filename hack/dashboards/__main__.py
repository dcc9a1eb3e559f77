"""Writes the dashboards into the chart: python -m hack.dashboards [--check]."""

import json
import sys
from pathlib import Path

from hack.dashboards import drift, models

FOLDER = Path(__file__).parents[2] / "charts/perennial/files/dashboards"


def main(arguments: list[str]) -> int:
    """0; with --check 1 where a file is not as it would be written."""
    stale = 0
    for made in (models.made(), drift.made()):
        path = FOLDER / f"{made['uid']}.json"
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if "--check" in arguments:
            if not path.exists() or path.read_text() != text:
                print(f"{path.name} is not current: run python -m hack.dashboards", file=sys.stderr)
                stale = 1
        else:
            path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
