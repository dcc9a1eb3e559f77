"""Trains the scikit-learn pipeline that KServe and MLServer serve: the test model's own, on named columns.

``.venvs/components/bin/python benchmarks/serving/peers/train.py CLEVELAND.CSV SIGNATURE.JSON MODEL.JOBLIB``. Logistic
regression is convex and its solver starts from zero: the same data give the same model.
"""

import json
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def main(source: str, signature: str, target: str) -> None:
    """Writes the fitted pipeline; a kill leaves no half of it."""
    inputs = json.loads(Path(signature).read_text())["inputs"]
    numeric = [item["name"] for item in inputs if item["kind"] == "Numeric"]
    categorical = [item["name"] for item in inputs if item["kind"] == "Categorical"]
    table = pd.read_csv(source, na_values=["", "?"])
    for name in categorical:
        table[name] = ["missing" if pd.isna(value) else f"{value:g}" for value in table[name]]
    model = make_pipeline(
        ColumnTransformer(
            [
                ("numeric", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
                ("categorical", OneHotEncoder(handle_unknown="ignore"), categorical),
            ]
        ),
        LogisticRegression(C=0.1, max_iter=1000),
    ).fit(table[numeric + categorical], (table["num"] > 0).astype(int).astype(str))
    part = Path(target).with_suffix(".part")
    joblib.dump(model, part)
    part.rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
