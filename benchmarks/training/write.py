"""Writes a data set as its package ships it: ``python -m benchmarks.training.write NAME FOLDER``."""

import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd

from benchmarks.training.datasets import MEASURED, Dataset, named

_HEART = Path(__file__).parents[2] / "examples" / "data"
_EMPLOYMENT_ROWS = 20_000


def rows_of(dataset: Dataset) -> pd.DataFrame:
    """Its features and target."""
    if dataset.name == "heart_disease":
        table = pd.concat([pd.read_csv(path) for path in sorted(_HEART.glob("*.csv"))])
        return table.assign(target=(table.pop("num") > 0).astype(int))
    if dataset.environment == "bench-nannyml":
        return _california() if dataset.name == "california_housing" else _employment()
    from sklearn import datasets  # noqa: PLC0415 - the other environments have one too, and need none

    return getattr(datasets, f"load_{dataset.name}")(as_frame=True).frame


def _california() -> pd.DataFrame:
    folder = files("nannyml") / "datasets" / "data"
    reference, analysis, truth = (
        pd.read_csv(str(folder / f"california_housing_{part}.csv")) for part in ("reference", "analysis", "analysis_gt")
    )
    table = pd.concat([reference, analysis.merge(truth, on="id")])
    return table.drop(columns=["id", "timestamp", "y_pred_proba", "y_pred"])


def _employment() -> pd.DataFrame:
    """Of 2015, which is what the package calls the reference."""
    folder = files("nannyml") / "datasets" / "data"
    table = pd.read_parquet(str(folder / "employment_MA_reference.pq")).head(_EMPLOYMENT_ROWS)
    return table.drop(columns=["id", "year", "prediction", "predicted_probability"])


if __name__ == "__main__":
    chosen = named(sys.argv[1])
    rows_of(chosen).to_csv(Path(sys.argv[2]) / MEASURED, index=False)
