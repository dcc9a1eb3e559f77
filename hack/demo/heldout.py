"""Says for each patient whether the built-in pipeline holds the row out; runs in the components' environment.

``python -m hack.demo.heldout TEST SEED FILE…`` prints a JSON list of ``{"hospital", "held", "row": {column: text}}``.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from perennial_components.split.hashing import held_out


def main() -> None:
    """Reads the files as the pipeline does: text cells, empty ones missing."""
    test, seed, *files = sys.argv[1:]
    patients = []
    for file in map(Path, files):
        table = pd.read_csv(file, dtype=str)
        sides = held_out(table, test=float(test), seed=int(seed))
        rows = json.loads(table.to_json(orient="records"))
        patients += [
            {"hospital": file.stem, "held": bool(held), "row": row} for row, held in zip(rows, sides, strict=True)
        ]
    json.dump(patients, sys.stdout)


if __name__ == "__main__":
    main()
