"""The estimators that a ModelTraining may name: their parameters with ranges, the built-in spaces, and what they need.

Only those are here whose ONNX form answers as they do (tests/unit/components/test_tune_parity.py measures each). Left
out for that reason: KNeighbors (rows that are equally near are chosen otherwise, and its file holds the training rows),
linear and quadratic discriminant analysis, and forests that take missing values themselves.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from perennial.contracts.request import Candidate, Scalar, SearchRange
from perennial.contracts.signature import Task

Kind = Literal["Number", "Whole", "Truth", "Word"]
Family = Literal["Raw", "Complete", "Scaled"]
"""What numbers an estimator takes: as they are, with none missing, or scaled besides."""


class Parameter(msgspec.Struct, frozen=True):
    """What a parameter may be: a number from ``low`` (more than that where ``above``) to ``high``, or one of ``words``.

    ``start`` is what a search tries first, ``space`` what the built-in one searches.
    """

    kind: Kind = "Number"
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    words: tuple[str, ...] = ()
    start: float | None = None
    space: SearchRange | None = None

    @property
    def meaning(self) -> str:
        """What it may be, in words."""
        if self.kind == "Truth":
            return "true or false"
        words = [" or ".join(self.words)] if self.words else []
        if self.kind == "Word":
            return words[0]
        named = "whole number" if self.kind == "Whole" else "number"
        low = "" if math.isinf(self.low) else f" {'above' if self.above else 'from'} {self.low:g}"
        high = "" if math.isinf(self.high) else f" to {self.high:g}"
        return " or ".join([f"a {named}{low}{high}", *words])


class Estimator(msgspec.Struct, frozen=True):
    """An algorithm. ``weighs`` says how it takes class weights. ``defaults`` are settings that differ from
    scikit-learn's; with ``standard`` the target is standardised while it is fitted, so that parameters do not depend on
    its unit.
    """

    family: Family
    classifier: Any = None
    regressor: Any = None
    weighs: Literal["Classes", "Rows"] = "Classes"
    seeded: bool = True
    standard: bool = False
    defaults: dict[str, Any] = {}
    parameters: dict[str, Parameter] = {}

    def knows(self, task: Task) -> bool:
        """Whether it is for this task."""
        return (self.regressor if task == "Regression" else self.classifier) is not None


def _log(low: float, high: float) -> SearchRange:
    return SearchRange(low, high, "Log")


def _whole(low: int, start: int | None = None, space: SearchRange | None = None) -> Parameter:
    return Parameter("Whole", low, start=start, space=space)


def _positive(start: float | None = None, space: SearchRange | None = None) -> Parameter:
    return Parameter(low=0, above=True, start=start, space=space)


_TRUTH = Parameter("Truth")
_SHARE = Parameter(low=0, high=1, above=True)
_LINEAR = {"fit_intercept": _TRUTH, "max_iter": _whole(1), "tol": _positive()}
_TREE = {
    "max_depth": _whole(1),
    "max_leaf_nodes": _whole(2),
    "min_samples_leaf": _whole(1, 1, _log(1, 20)),
    "max_features": Parameter(low=0, high=1, above=True, words=("sqrt", "log2")),
}
_FOREST = {
    **_TREE,
    "n_estimators": _whole(1),
    "max_features": Parameter(
        low=0, high=1, above=True, words=("sqrt", "log2"), start=0.5, space=SearchRange(0.1, 1.0)
    ),
}
_NO_MORE_LEAVES = {"n_estimators": 200, "max_leaf_nodes": 4096}

CATALOG: dict[str, Estimator] = {
    "LogisticRegression": Estimator(
        "Scaled",
        classifier=LogisticRegression,
        defaults={"max_iter": 1000},
        parameters={
            "C": _positive(1.0, _log(1e-3, 1e2)),
            "l1_ratio": Parameter(low=0, high=1),
            **_LINEAR,
        },
    ),
    "Ridge": Estimator(
        "Scaled",
        regressor=Ridge,
        parameters={"alpha": Parameter(low=0, start=1.0, space=_log(1e-3, 1e3)), **_LINEAR},
    ),
    "Lasso": Estimator(
        "Scaled",
        regressor=Lasso,
        standard=True,
        defaults={"alpha": 0.01, "max_iter": 5000},
        parameters={"alpha": _positive(0.01, _log(1e-5, 1)), **_LINEAR},
    ),
    "ElasticNet": Estimator(
        "Scaled",
        regressor=ElasticNet,
        standard=True,
        defaults={"alpha": 0.01, "max_iter": 5000},
        parameters={
            "alpha": _positive(0.01, _log(1e-5, 1)),
            "l1_ratio": Parameter(low=0, high=1, start=0.5, space=SearchRange(0.05, 1.0)),
            **_LINEAR,
        },
    ),
    "HistGradientBoosting": Estimator(
        "Raw",
        classifier=HistGradientBoostingClassifier,
        regressor=HistGradientBoostingRegressor,
        parameters={
            "learning_rate": Parameter(low=0, above=True, start=0.1, space=_log(0.02, 0.3)),
            "max_iter": _whole(1, 100, _log(50, 500)),
            "max_leaf_nodes": _whole(2, 31, _log(4, 127)),
            "min_samples_leaf": _whole(1, 20, _log(5, 60)),
            "l2_regularization": Parameter(low=0, start=1e-3, space=_log(1e-3, 10)),
            "max_features": Parameter(low=0, high=1, above=True, start=1.0, space=SearchRange(0.3, 1.0)),
            "max_depth": _whole(1),
            "max_bins": Parameter("Whole", 2, 255),
            "early_stopping": _TRUTH,
            "n_iter_no_change": _whole(1),
            "tol": Parameter(low=0),
        },
    ),
    "GradientBoosting": Estimator(
        "Complete",
        classifier=GradientBoostingClassifier,
        regressor=GradientBoostingRegressor,
        weighs="Rows",
        parameters={
            **_TREE,
            "learning_rate": Parameter(low=0, above=True, start=0.1, space=_log(0.02, 0.3)),
            "n_estimators": _whole(1, 100, _log(50, 400)),
            "max_depth": _whole(1, 3, SearchRange(2, 6)),
            "subsample": Parameter(low=0, high=1, above=True, start=1.0, space=SearchRange(0.5, 1.0)),
            "n_iter_no_change": _whole(1),
            "validation_fraction": _SHARE,
        },
    ),
    "RandomForest": Estimator(
        "Complete",
        classifier=RandomForestClassifier,
        regressor=RandomForestRegressor,
        defaults=_NO_MORE_LEAVES,
        parameters={**_FOREST, "max_samples": _SHARE},
    ),
    "ExtraTrees": Estimator(
        "Complete",
        classifier=ExtraTreesClassifier,
        regressor=ExtraTreesRegressor,
        defaults=_NO_MORE_LEAVES,
        parameters=_FOREST,
    ),
    "DecisionTree": Estimator(
        "Complete",
        classifier=DecisionTreeClassifier,
        regressor=DecisionTreeRegressor,
        parameters={
            **_TREE,
            "max_depth": _whole(1, 6, SearchRange(2, 12)),
            "ccp_alpha": Parameter(low=0),
        },
    ),
    "MLP": Estimator(
        "Scaled",
        classifier=MLPClassifier,
        regressor=MLPRegressor,
        weighs="Rows",
        standard=True,
        defaults={"max_iter": 300},
        parameters={
            "hidden_layer_sizes": _whole(1, 64, _log(8, 256)),
            "alpha": Parameter(low=0, start=1e-3, space=_log(1e-6, 1)),
            "learning_rate_init": _positive(3e-3, _log(1e-4, 3e-2)),
            "max_iter": _whole(1),
            "batch_size": _whole(1),
            "early_stopping": _TRUTH,
            "n_iter_no_change": _whole(1),
            "activation": Parameter("Word", words=("relu", "tanh", "logistic", "identity")),
            "tol": _positive(),
        },
    ),
    "SVC": Estimator(
        "Scaled",
        classifier=SVC,
        parameters={
            "C": _positive(1.0, _log(1e-2, 1e2)),
            "gamma": Parameter(low=0, above=True, words=("scale", "auto"), start=0.05, space=_log(1e-3, 1)),
            "kernel": Parameter("Word", words=("rbf", "linear", "poly", "sigmoid")),
            "degree": _whole(1),
            "tol": _positive(),
        },
    ),
    "SVR": Estimator(
        "Scaled",
        regressor=SVR,
        seeded=False,
        standard=True,
        parameters={
            "C": _positive(1.0, _log(1e-2, 1e2)),
            "gamma": Parameter(low=0, above=True, words=("scale", "auto"), start=0.05, space=_log(1e-3, 1)),
            "epsilon": Parameter(low=0, start=0.1, space=_log(1e-3, 1)),
            "kernel": Parameter("Word", words=("rbf", "linear", "poly", "sigmoid")),
            "degree": _whole(1),
            "tol": _positive(),
        },
    ),
    "GaussianNB": Estimator(
        "Scaled",
        classifier=GaussianNB,
        weighs="Rows",
        seeded=False,
        # Less of it, and a category that no row to fit on has takes float32 beyond what it can tell apart.
        defaults={"var_smoothing": 1e-3},
        parameters={"var_smoothing": _positive(1e-2, _log(1e-3, 1))},
    ),
    # scikit-learn's own dummies have no ONNX form; a tree of one leaf says the same: the classes' shares, or the mean.
    "Dummy": Estimator(
        "Complete",
        classifier=DecisionTreeClassifier,
        regressor=DecisionTreeRegressor,
        defaults={"max_depth": 1, "min_impurity_decrease": 1e30},
    ),
}

MANY_ROWS = 50_000
"""Training rows above which forests are no default: they would take most of the time and memory."""


def default_candidates(task: Task, rows: int) -> tuple[Candidate, ...]:
    """What competes on ``rows`` training rows where the ModelTraining names no candidates."""
    linear = "Ridge" if task == "Regression" else "LogisticRegression"
    names = (linear, "HistGradientBoosting", *(("ExtraTrees",) if rows <= MANY_ROWS else ()))
    return tuple(Candidate(name, space="Builtin") for name in names)


def rows_of_table() -> Iterator[str]:
    """The Markdown table of docs/candidates.md."""
    yield "| algorithm | parameter | may be | built-in space (first tried) |"
    yield "| --- | --- | --- | --- |"
    for name, estimator in CATALOG.items():
        for key, parameter in estimator.parameters.items():
            space = ""
            if found := parameter.space:
                log = ", Log" if found.scale == "Log" else ""
                space = f"{found.low:g} to {found.high:g}{log} ({parameter.start:g})"
            yield f"| {name} | `{key}` | {parameter.meaning} | {space} |"


def first_of(parameter: Parameter, space: SearchRange) -> Scalar:
    """What a search of ``space`` tries first: the parameter's usual value where it is in there, or the middle; the step
    that is nearest.
    """
    if space.choices:
        return parameter.start if parameter.start in space.choices else space.choices[0]
    value = (space.low * space.high) ** 0.5 if space.scale == "Log" else (space.low + space.high) / 2
    if parameter.start is not None and space.low <= parameter.start <= space.high:
        value = parameter.start
    if space.step:
        steps = min(round((value - space.low) / space.step), math.floor((space.high - space.low) / space.step))
        value = space.low + space.step * steps
    return value
