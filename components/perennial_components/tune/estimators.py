"""Makes and fits the estimators of the catalog, so that each answers alike once it is exported."""

from typing import Any, Literal

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight

from perennial.contracts.request import Preprocessing
from perennial.contracts.signature import Signature
from perennial_components.tune.catalog import CATALOG
from perennial_components.tune.columns import columns
from perennial_components.tune.parameters import Value

Imbalance = Literal["None", "ClassWeight", "Oversample", "Undersample"]
REFUSALS = (ValueError, ArithmeticError, np.linalg.LinAlgError)
"""What estimators raise for values that they do not take."""

_CALIBRATION_FOLDS = 5


def make(
    algorithm: str,
    parameters: dict[str, Value],
    signature: Signature,
    features: NDArray[np.float32],
    *,
    weight: Imbalance,
    seed: int,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
) -> Pipeline:
    """An unfitted pipeline from the tensor ``features`` [N, F] to class probabilities, or to a Regression's number.

    Columns without any value in ``features``, the rows it will be fitted on, take no part in it.
    """
    estimator = CATALOG[algorithm]
    settings: dict[str, Any] = {**estimator.defaults, **parameters}
    if estimator.seeded:
        settings["random_state"] = seed
    if weight == "ClassWeight" and estimator.weighs == "Classes":
        settings["class_weight"] = "balanced"
    if settings.get("l1_ratio") and algorithm == "LogisticRegression":
        settings["solver"] = "saga"
    model = (estimator.regressor if signature.task == "Regression" else estimator.classifier)(**settings)
    if algorithm == "SVC":
        model = CalibratedClassifierCV(model, ensemble=False, cv=_CALIBRATION_FOLDS)
    front = columns(signature, features, estimator.family, preprocessing, seed)
    return Pipeline([("features", front), ("model", model)])


def fit(
    model: Pipeline,
    algorithm: str,
    features: NDArray[np.float32],
    target: NDArray[Any],
    *,
    weight: Imbalance = "None",
    seed: int = 0,
) -> Pipeline:
    """Fits what :func:`make` made on these rows, resampled where ``weight`` says so; returns ``model``.

    Raises one of ``REFUSALS``.
    """
    places = resampled(target, weight, seed)
    features, target = features[places], target[places]
    estimator = CATALOG[algorithm]
    if estimator.standard and model[-1].__class__ is estimator.regressor:
        middle, spread = float(target.mean()), float(target.std()) or 1.0
        model.fit(features, (target - middle) / spread)
        _in_units(model[-1], middle, spread)
        return model
    rows = {}
    if weight == "ClassWeight" and estimator.weighs == "Rows":
        rows = {"model__sample_weight": compute_sample_weight("balanced", target)}
    model.fit(features, target, **rows)
    _settle(model[-1])
    return model


def resampled(target: NDArray[Any], weight: Imbalance, seed: int) -> Any:
    """The places of the rows to fit on, of a Classification's ``target`` [N]: all of them, or as many of each class.

    Whole rows are repeated or left out. SMOTE's mixtures would be rows between two categories' indices.
    """
    if weight not in {"Oversample", "Undersample"}:
        return slice(None)
    kind = RandomOverSampler if weight == "Oversample" else RandomUnderSampler
    places, _ = kind(random_state=seed).fit_resample(np.arange(len(target))[:, None], target)
    return np.sort(places[:, 0])


def _in_units(model: Any, middle: float, spread: float) -> None:
    """Puts the target's unit into the last, linear step of a model that was fitted on a standardised target."""
    if hasattr(model, "coefs_"):
        model.coefs_[-1] = model.coefs_[-1] * spread
        model.intercepts_[-1] = model.intercepts_[-1] * spread + middle
    elif hasattr(model, "dual_coef_"):
        model.dual_coef_ = model._dual_coef_ = model.dual_coef_ * spread
        model.intercept_ = model._intercept_ = model.intercept_ * spread + middle
    else:
        model.coef_, model.intercept_ = model.coef_ * spread, model.intercept_ * spread + middle


def _settle(model: Any) -> None:
    """Moves the thresholds of boosted trees down to float32 numbers, which changes no answer to float32 features.

    ONNX has float32 thresholds: the middle between two neighbours would be rounded up to the upper one, which then went
    the other way.
    """
    for predictors in getattr(model, "_predictors", []):
        for predictor in predictors:
            thresholds = predictor.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                near = thresholds.astype(np.float32)
            lower = np.nextafter(near, np.float32(-np.inf))
            predictor.nodes["num_threshold"] = np.where(near > thresholds, lower, near)
