"""The estimators that a ModelTraining may name, each made so that its ONNX export answers alike.

Known traps: HistGradientBoosting(categorical_features=...) exports to a model that is silently wrong, trees behind a
scaler differ where float32 rounds across a threshold, and an encoder fitted with NaN does not export at all. So the
boosted trees see the numbers as they are, and categories enter both as one-hot columns of their indices.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from perennial.contracts.request import Candidate
from perennial.contracts.signature import MISSING_CATEGORY, Signature, Task
from perennial_components.failure import RunError, nearest

Value = float | int | str | bool | None
Weight = Literal["None", "ClassWeight"]

PARAMETERS: dict[str, dict[str, type]] = {
    "LogisticRegression": {"C": float, "fit_intercept": bool, "max_iter": int, "tol": float},
    "HistGradientBoosting": {
        "early_stopping": bool,
        "l2_regularization": float,
        "learning_rate": float,
        "max_bins": int,
        "max_depth": int,
        "max_features": float,
        "max_iter": int,
        "max_leaf_nodes": int,
        "min_samples_leaf": int,
    },
    "Ridge": {"alpha": float, "fit_intercept": bool, "max_iter": int, "tol": float},
}
"""The parameters that may be set or searched, by algorithm."""

_TASK: dict[str, Task] = {"LogisticRegression": "Classification", "Ridge": "Regression"}
"""Of the algorithms that know one task only."""


def require_known(candidate: Candidate, task: Task) -> None:
    """Raises RunError (TrainingFailed) for an algorithm of another task, and for a parameter that it does not have or
    that is of another kind.
    """
    if _TASK.get(candidate.algorithm, task) != task:
        raise RunError("TrainingFailed", f"{candidate.algorithm} is for {_TASK[candidate.algorithm]}, not for {task}")
    known = PARAMETERS[candidate.algorithm]
    for name in (*candidate.parameters, *candidate.search):
        if name not in known:
            raise RunError(
                "TrainingFailed",
                f"{candidate.algorithm} has no parameter {name!r}{nearest(name, known)}; it has: {', '.join(known)}",
            )
    for name in candidate.search:
        if known[name] is bool:
            raise RunError("TrainingFailed", f"{candidate.algorithm}: {name!r} is true or false and cannot be searched")
    for name, value in candidate.parameters.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, bool) != (known[name] is bool) or (known[name] is not bool and not number):
            raise RunError("TrainingFailed", f"{candidate.algorithm}: {name!r} cannot be {value!r}")


def as_parameter(algorithm: str, name: str, value: float | str | bool) -> Value:
    """``value`` in the type that the parameter takes: whole numbers are rounded."""
    if PARAMETERS[algorithm][name] is int:
        return round(float(value))
    return value if isinstance(value, bool) else float(value)


def make(
    algorithm: str,
    parameters: dict[str, Value],
    signature: Signature,
    features: NDArray[np.float32],
    *,
    weight: Weight,
    seed: int,
) -> Pipeline:
    """An unfitted pipeline from the tensor ``features`` [N, F] to class probabilities, or to a Regression's number.

    Columns without any value in ``features``, the rows it will be fitted on, take no part in it.
    """
    balance = "balanced" if weight == "ClassWeight" else None
    model: Any
    if algorithm == "HistGradientBoosting":
        if signature.task == "Regression":
            model = HistGradientBoostingRegressor(random_state=seed, **parameters)
        else:
            model = HistGradientBoostingClassifier(class_weight=balance, random_state=seed, **parameters)
        return Pipeline([("features", _columns(signature, features, "passthrough")), ("model", model)])
    if algorithm == "Ridge":
        model = Ridge(random_state=seed, **parameters)
    else:
        settings: dict[str, Any] = {"max_iter": 1000, **parameters}
        model = LogisticRegression(class_weight=balance, random_state=seed, **settings)
    steps = [("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())]
    return Pipeline([("features", _columns(signature, features, Pipeline(steps))), ("model", model)])


def _columns(signature: Signature, features: NDArray[np.float32], numeric: Any) -> ColumnTransformer:
    places = range(len(signature.inputs))
    # HistGradientBoosting of scikit-learn 1.9 fails on a column of nothing but NaN, and no median comes of it either.
    numbers = [i for i in places if signature.inputs[i].kind == "Numeric" and np.isfinite(features[:, i]).any()]
    categories = [i for i in places if signature.inputs[i].kind == "Categorical"]
    known = [np.arange(MISSING_CATEGORY, len(signature.inputs[i].categories), dtype=np.float32) for i in categories]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    parts = [("numbers", numeric, numbers), ("categories", encoder, categories)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)
