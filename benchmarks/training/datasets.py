"""The data sets: where they come from, and what is to be predicted of them. Of the standard library alone."""

from dataclasses import dataclass
from typing import Literal

MEASURED = "data.csv"
TRAIN, TEST = "train.csv", "test.csv"


@dataclass(frozen=True)
class Dataset:
    """A table whose columns but ``target`` are features, all of them numbers but ``categorical``.

    ``metric`` is what is tuned and compared; ``environment`` has the package that ships the rows.
    """

    name: str
    task: Literal["Classification", "Regression"]
    target: str
    metric: Literal["roc_auc", "log_loss", "rmse"]
    environment: str = "components"
    categorical: tuple[str, ...] = ()


_HEART = ("sex", "cp", "fbs", "restecg", "exang", "slope", "thal")
_EMPLOYMENT = (
    "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM", "SEX", "RAC1P",
)  # fmt: skip

DATASETS = (
    Dataset("breast_cancer", "Classification", "target", "roc_auc"),
    Dataset("digits", "Classification", "target", "log_loss"),
    Dataset("diabetes", "Regression", "target", "rmse"),
    Dataset("heart_disease", "Classification", "target", "roc_auc", categorical=_HEART),
    Dataset("california_housing", "Classification", "clf_target", "roc_auc", "bench-nannyml"),
    Dataset("employment_MA", "Classification", "employed", "roc_auc", "bench-nannyml", _EMPLOYMENT),
)
LOWER_IS_BETTER = frozenset({"log_loss", "rmse"})


def named(name: str) -> Dataset:
    """The data set of this name."""
    return next(each for each in DATASETS if each.name == name)
