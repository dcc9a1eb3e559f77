"""How features reach an estimator: missing numbers filled, numbers scaled, categories as numbers.

Known traps, each measured: an encoder fitted with NaN does not export at all, nor does an indicator of missing values;
trees behind a scaler answer otherwise where float32 rounds across a threshold, so trees see numbers unscaled whatever
is asked for.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler, TargetEncoder

from perennial.contracts.request import Preprocessing
from perennial.contracts.signature import MISSING_CATEGORY, Signature
from perennial_components.tune.catalog import Family

_STRATEGY = {"": "median", "Median": "median", "Mean": "mean", "MostFrequent": "most_frequent", "Constant": "constant"}
_SCALER = {"": StandardScaler, "Standard": StandardScaler, "MinMax": MinMaxScaler, "Robust": RobustScaler}


def columns(
    signature: Signature, features: NDArray[np.float32], family: Family, wanted: Preprocessing, seed: int
) -> ColumnTransformer:
    """The unfitted step in front of an estimator, from the tensor ``features`` [N, F] of the rows to fit on.

    Numeric columns without any value in these rows take no part.
    """
    places = range(len(signature.inputs))
    # HistGradientBoosting of scikit-learn 1.9 fails on a column of nothing but NaN, and no median comes of it either.
    numbers = [i for i in places if signature.inputs[i].kind == "Numeric" and np.isfinite(features[:, i]).any()]
    categories = [i for i in places if signature.inputs[i].kind == "Categorical"]
    known = [np.arange(MISSING_CATEGORY, len(signature.inputs[i].categories), dtype=np.float32) for i in categories]
    texts = dict.fromkeys(item.name for item in signature.inputs if item.kind == "Text")
    parts = [
        ("numbers", _numeric(family, wanted), numbers),
        ("categories", _categorical(signature, known, family, wanted, seed), categories),
        *((f"text{at}", _text(family), _of(signature, name)) for at, name in enumerate(texts)),
    ]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)


def _numeric(family: Family, wanted: Preprocessing) -> Any:
    steps: list[tuple[str, Any]] = []
    if wanted.imputation or family != "Raw":
        steps.append(("impute", SimpleImputer(strategy=_STRATEGY[wanted.imputation], fill_value=wanted.fill)))
    if scaler := _scaler(family, wanted):
        steps.append(("scale", scaler))
    return Pipeline(steps) if steps else "passthrough"


def _text(family: Family) -> Any:
    """Of the counts of a text's terms, 0 where it is missing: TF-IDF with unit length, fitted on the rows of a fold."""
    counts = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)  # a fold may have no text
    return Pipeline([("impute", counts), ("weigh", TfidfTransformer())]) if family == "Scaled" else counts


def _of(signature: Signature, name: str) -> list[int]:
    return [place for place, item in enumerate(signature.inputs) if item.kind == "Text" and item.name == name]


def _scaler(family: Family, wanted: Preprocessing) -> Any:
    return _SCALER[wanted.scaling]() if family == "Scaled" and wanted.scaling != "None" else None


def _categorical(
    signature: Signature, known: list[NDArray[np.float32]], family: Family, wanted: Preprocessing, seed: int
) -> Any:
    if wanted.encoding == "OneHot":
        return OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    scaler = _scaler(family, wanted)
    if wanted.encoding == "Ordinal":
        return scaler or "passthrough"
    kind = {0: "continuous", 2: "binary"}.get(len(signature.classes), "multiclass")
    encoder = TargetEncoder(categories=known, target_type=kind, random_state=seed)
    return Pipeline([("encode", encoder), ("scale", scaler)]) if scaler else encoder
