"""Renders a run's account as one HTML page that loads nothing from anywhere."""

import math
from collections.abc import Iterable
from importlib import resources
from typing import Any

import jinja2

from perennial.contracts.result import LOWER_IS_BETTER, METRICS
from perennial_components.records import Account, Evaluation

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "r2": "R²",
    "mape": "Mean absolute percentage error",
}
_SIZE = 240


def render(account: Account) -> str:
    """The page. Equal accounts give equal pages: there is no date on it."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((resources.files(__package__) / "report.html").read_text(encoding="utf-8"))
    evaluation = account.evaluation
    return template.render(
        account=account,
        request=account.request,
        evaluation=evaluation,
        best=account.tuned.candidates[account.tuned.winner],
        regression=account.signature.task == "Regression",
        positive="" if account.signature.task == "Regression" else positive_words(account),
        plot=scatter(evaluation.pairs) if evaluation.pairs else None,
        counts=_counts(account),
        words=metric_words(account),
        titles=TITLES,
        names=[name for name in METRICS[account.signature.task] if name in evaluation.metrics],
        lower=LOWER_IS_BETTER,
        roc=polyline(evaluation.roc),
        calibration=[
            (_x(b.predicted), _y(b.observed), _radius(b.rows, evaluation.rows), b) for b in evaluation.calibration
        ],
        size=_SIZE,
        slices=_by_column(evaluation),
    )


def positive_words(account: Account) -> str:
    """What the positive class is, as it was declared."""
    target, signature = account.request.target, account.signature
    if target.above is not None:
        return f"{target.column} > {target.above:g}"
    wanted = target.equals if target.equals is not None else signature.classes[signature.positive]
    return f"{target.column} = {wanted}"


def metric_words(account: Account) -> dict[str, str]:
    """What each figure means for somebody who does not compute it."""
    if account.signature.task == "Regression":
        return _error_words(account)
    metrics, positive = account.evaluation.metrics, positive_words(account)
    binary = len(account.signature.classes) == 2
    which = f"rows with {positive}" if binary else "rows of a class"
    said = {
        "accuracy": "of 100 rows, {0:.0f} are put in the right class",
        "balanced_accuracy": "the share of each class that is recognised, averaged: rare ones weigh as much as others",
        "precision": f"of 100 rows that the model calls positive, {{0:.0f}} are {which}",
        "recall": f"of 100 {which}, the model finds {{0:.0f}}",
        "f1": "precision and recall in one figure (their harmonic mean)",
        "roc_auc": f"given one of the {which} and one other, the model ranks the first higher {{0:.0f}} times in 100",
        "average_precision": "precision averaged over all thresholds; 1 is perfect",
        "log_loss": "how surprised the probabilities are by what happened; 0 is perfect",
        "brier": "mean squared distance of the probability from what happened; 0 is perfect, 0.25 is a coin",
        "calibration_error": "by how much the probability differs from the share that happened, on average; 0 is perfect",
    }
    if not binary:
        said["brier"] = "mean squared distance of the probabilities from what happened; 0 is perfect"
    return {name: text.format(100 * metrics[name]) for name, text in said.items() if name in metrics}


def _error_words(account: Account) -> dict[str, str]:
    metrics, target = account.evaluation.metrics, account.signature.target
    said = {
        "mae": f"a prediction of {target} is off by this much on average",
        "rmse": "the same with large errors weighing more; never under the mean absolute error",
        "r2": "share of the target's variance that the model explains; 0 is as good as always saying the mean",
        "mape": "a prediction is off by {0:.0f} % of the true value on average",
    }
    return {name: text.format(100 * metrics[name]) for name, text in said.items() if name in metrics}


def scatter(pairs: Iterable[tuple[float, float]]) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """(predicted, actual) as places in the plot, both on one scale, and the scale's ends."""
    points = list(pairs)
    low, high = min(map(min, points)), max(map(max, points))
    wide = (high - low) or 1.0
    return [(_x((a - low) / wide), _y((b - low) / wide)) for a, b in points], (low, low + wide)


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """SVG points of a curve in the unit square."""
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)


def _counts(account: Account) -> dict[str, int]:
    held = account.evaluation.rows
    return {"all": account.ingested.rows, "held": held, "trained": account.ingested.rows - held}


def _x(share: float) -> float:
    return _SIZE * share


def _y(share: float) -> float:
    return _SIZE * (1 - share)


def _radius(rows: int, of: int) -> float:
    return 2.5 + 8 * math.sqrt(rows / max(of, 1))


def _by_column(evaluation: Evaluation) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for found in evaluation.slices:
        columns.setdefault(found.column, []).append(found)
    return columns
