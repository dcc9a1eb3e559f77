"""The request that the tests vary, and the data they run on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from perennial.contracts.request import Candidate, RunRequest, SearchRange, Split, Target
from perennial.contracts.result import RunOutcome
from perennial.contracts.signature import Signature
from perennial_components.export.core import export
from perennial_components.ingest.core import ingest
from perennial_components.records import Parity
from perennial_components.split.core import split
from perennial_components.storage import Encoded

DATA = Path(__file__).parents[3] / "examples" / "data"
NUMERIC = ("age", "trestbps", "chol", "thalach", "oldpeak", "ca")
CATEGORICAL = ("sex", "cp", "fbs", "restecg", "exang", "slope", "thal")
LOGISTIC = Candidate("LogisticRegression", search={"C": SearchRange(0.01, 10, "Log")})
BOOSTING = Candidate("HistGradientBoosting", {"max_iter": 30}, {"learning_rate": SearchRange(0.02, 0.3, "Log")})


def request(**changes: Any) -> RunRequest:
    """A run on Cleveland's patients."""
    base = RunRequest(
        namespace="clinic",
        training="heart",
        run=1,
        model="heart-disease",
        task="Classification",
        source=f"file://{DATA}/cleveland.csv",
        target=Target("num", above=0),
        numeric=NUMERIC,
        categorical=CATEGORICAL,
        checks=(),
        split=Split(0.25, 7),
        imbalance="ClassWeight",
        candidates=(LOGISTIC,),
        metric="roc_auc",
        trials=3,
        folds=3,
        slices=("sex",),
        seed=7,
        output="file:///nowhere",
    )
    return msgspec.structs.replace(base, **changes)


def prepared(asked: RunRequest) -> tuple[pd.DataFrame, Encoded, Signature]:
    """The table of a request, its rows encoded, and their signature."""
    table, _ = ingest(asked, {})
    rows, signature = split(asked, table)
    return table, rows, signature


def text_table(**columns: list[Any]) -> pd.DataFrame:
    """A table of text as ingest makes it; None is missing."""
    return pd.DataFrame({name: pd.array(cells, dtype="str") for name, cells in columns.items()})


def export_of(model: Any, features: Any, spread: float | None = None) -> tuple[bytes | None, Parity]:
    """What export makes of a fitted model whose values nothing prepares."""
    return export(request(model="m"), Signature("Classification", (), "num", ("0", "1")), model, features, spread)


def run(folder: Path, asked: RunRequest, **environ: str) -> tuple[int, RunOutcome]:
    """A run as its pod runs it: nothing writable but its temporary folder, nothing in the environment but its own."""
    (folder / "tmp").mkdir()
    (folder / "request.json").write_bytes(msgspec.json.encode(asked))
    clean = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "LANG", "PYTHON"))}
    own = {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp")}
    where = {
        "PERENNIAL_REQUEST_FILE": str(folder / "request.json"),
        "PERENNIAL_TERMINATION_LOG": str(folder / "termination-log"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "perennial_components.runner"],
        env={**clean, **own, **where, **environ},
        cwd=folder / "tmp",
        capture_output=True,
        check=False,
    )
    message = (folder / "termination-log").read_bytes()
    assert len(message) <= 4096
    return done.returncode, msgspec.json.decode(message, type=RunOutcome)
