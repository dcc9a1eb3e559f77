"""The patients of four hospitals: as rows for the store, and as requests for the model."""

import csv
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
TARGET = "num"


@dataclass(frozen=True)
class Patient:
    """One row: the features as text (None where the hospital left the field empty), and the diagnosis "0" or "1"."""

    hospital: str
    held_out: bool
    features: dict[str, str | None]
    sick: str

    def tensors(self) -> list[dict[str, Any]]:
        """The features as Open Inference Protocol input tensors of one row."""
        return [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [None if text is None else float(text)]}
            for name, text in self.features.items()
        ]


def load(*, test: float = 0.25, seed: int = 7) -> list[Patient]:
    """All 920 patients; which of them a training with this split holds out is asked of the pipeline's own code."""
    command = [ROOT / ".venvs/components/bin/python", "-m", "hack.demo.heldout", str(test), str(seed)]
    files = [str(DATA / f"{name}.csv") for name in HOSPITALS]
    answer = subprocess.run([*map(str, command), *files], cwd=ROOT, check=True, capture_output=True)
    return [_patient(entry) for entry in json.loads(answer.stdout)]


def _patient(entry: dict[str, Any]) -> Patient:
    features = {name: text for name, text in entry["row"].items() if name != TARGET}
    sick = "1" if float(entry["row"][TARGET]) > 0 else "0"
    return Patient(hospital=entry["hospital"], held_out=entry["held"], features=features, sick=sick)


def table(hospital: str) -> bytes:
    """A hospital's CSV."""
    return (DATA / f"{hospital}.csv").read_bytes()


def mislabelled(hospital: str) -> bytes:
    """A hospital's CSV with the diagnosis turned round: what a join on the wrong key can do."""
    rows = list(csv.DictReader(io.StringIO(table(hospital).decode())))
    for row in rows:
        row[TARGET] = "0" if float(row[TARGET]) > 0 else "1"
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
