"""Renders a run's account as one HTML page that loads nothing from anywhere."""

from typing import Any

import jinja2

from perennial.contracts.baseline import Baseline
from perennial.contracts.result import LOWER_IS_BETTER, METRICS
from perennial_components.check.alone import RANKED
from perennial_components.records import Account, Evaluation
from perennial_components.report import shapes
from perennial_components.report.verdict import verdict_of
from perennial_components.report.words import KINDS, TITLES, metric_words, percent, positive_words, settings

_SHOWN = {"Regression": ("mae", "rmse", "r2"), "Classification": ("roc_auc", "recall", "precision", "accuracy")}


def render(account: Account, reference: Baseline) -> str:
    """The page. Equal accounts give equal pages: there is no date on it. ``reference`` is the run's baseline."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("perennial_components", "report"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html").render(
        account=account,
        request=account.request,
        profile=account.profile,
        reference=reference,
        evaluation=account.evaluation,
        best=account.tuned.candidates[account.tuned.winner],
        counts=_counts(account),
        slices=_by_column(account.evaluation),
        verdict=verdict_of(account),
        ranked=RANKED,
        **_said(account),
        **_drawn(account, reference),
    )


def _said(account: Account) -> dict[str, Any]:
    """Words, and figures as people read them."""
    task, metrics = account.signature.task, account.evaluation.metrics
    regression = task == "Regression"
    digits = "{:.5g}" if regression else "{:.3f}"
    return {
        "regression": regression,
        "positive": "" if regression else positive_words(account),
        "words": metric_words(account),
        "titles": TITLES,
        "kinds": KINDS,
        "names": [name for name in METRICS[task] if name in metrics],
        "shown": _SHOWN[task],
        "lower": LOWER_IS_BETTER,
        "number": digits.format,
        "signed": digits.replace(":", ":+").format,
        "percent": percent,
        "settings": settings,
    }


def _drawn(account: Account, reference: Baseline) -> dict[str, Any]:
    """Plots."""
    evaluation = account.evaluation
    edges = reference.prediction.edges or (0.0, 1.0)
    return {
        "size": shapes.SIZE,
        "plot": shapes.scatter(evaluation.pairs) if evaluation.pairs else None,
        "roc": shapes.polyline(evaluation.roc),
        "precision_recall": shapes.polyline(evaluation.precision_recall),
        "calibration": [
            (shapes.along(b.predicted), shapes.up(b.observed), shapes.radius(b.rows, evaluation.rows), b)
            for b in evaluation.calibration
        ],
        "trials": shapes.trials_of(account.tuned.trials, account.request.metric),
        "bars_of": shapes.bars_of,
        "predicted": shapes.prediction_bars(reference.prediction),
        "ends": (f"{edges[0]:.4g}", f"{edges[-1]:.4g}"),
    }


def _counts(account: Account) -> dict[str, int]:
    held = account.evaluation.rows
    rows = account.profile.rows if account.profile else account.ingested.rows
    return {"all": rows, "held": held, "trained": rows - held}


def _by_column(evaluation: Evaluation) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for found in evaluation.slices:
        columns.setdefault(found.column, []).append(found)
    return columns
