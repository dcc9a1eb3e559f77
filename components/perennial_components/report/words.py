"""What figures and findings are called, and what they mean for somebody who does not compute them."""

from collections.abc import Mapping

from perennial_components.records import Account

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
    "selection_rate": "Share that is called positive",
    "false_positive_rate": "False alarms (false positive rate)",
}
KINDS = {
    "Leakage": "Leakage?",
    "SplitDuplicates": "Rows on both sides",
    "Duplicates": "Duplicates",
    "Identifier": "An identifier?",
    "Constant": "Always the same",
    "Missing": "Mostly missing",
    "Imbalance": "A rare class",
}
"""Of findings about the data."""


def settings(parameters: Mapping[str, float | int | str | bool | None]) -> str:
    """An estimator's parameters in a line."""
    return ", ".join(f"{name} = {_value(value)}" for name, value in parameters.items())


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(part: float, whole: float) -> str:
    """A share, for people."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 1 or not part else f"{share:.1g} %"


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
        "calibration_error": "how far probabilities are from what happens as often, on average; 0 is perfect",
    }
    if not binary:
        said["brier"] = "mean squared distance of the probabilities from what happened; 0 is perfect"
    return _filled(said, metrics)


def _error_words(account: Account) -> dict[str, str]:
    metrics, target = account.evaluation.metrics, account.signature.target
    said = {
        "mae": f"a prediction of {target} is off by this much on average",
        "rmse": "the same with large errors weighing more; never under the mean absolute error",
        "r2": "share of the target's variance that the model explains; 0 is as good as always saying the mean",
        "mape": "a prediction is off by {0:.0f} % of the true value on average",
    }
    return _filled(said, metrics)


def _filled(said: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, str]:
    """The words of each figure, its hundredfold in them. Names of columns and classes may hold any brace."""
    return {
        name: text.replace("{0:.0f}", f"{100 * metrics[name]:.0f}") for name, text in said.items() if name in metrics
    }
