"""What a predictor's counters say over some hours, as it would tell them at each scrape.

The serving environment runs ``python -m tests.monitoring.predictor VERSION BEGIN DRIFT END STEP`` (Unix seconds). Rows
come as in training until DRIFT, and older and with empty fields from then on. Writes "<series> <value> <time>" lines.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perennial.contracts.baseline import Distribution
from perennial_serving.counters import Counters
from perennial_serving.model import Model, load

FIXTURE = Path(__file__).parents[1] / "unit/serving/fixture"
ROWS = 12
"""Requests between two scrapes, of one row each."""


def column(feature: Distribution, shift: float, missing: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """[ROWS] values as in training, ``shift`` widths of its range further up, a share of them ``missing``."""
    shares = np.array(feature.counts) / sum(feature.counts)
    places = rng.choice(len(feature.bins), ROWS, p=shares)
    if feature.kind == "Categorical":
        values = (places - 2).astype(np.float64)
    else:
        edges = np.array(feature.edges)
        inside = np.clip(places - 3, 0, len(edges) - 2)
        values = edges[inside] + rng.random(ROWS) * (edges[inside + 1] - edges[inside])
        values = values + shift * (edges[-1] - edges[0])
    values[rng.random(ROWS) < missing] = np.nan if feature.kind == "Numeric" else -1
    return values


def serve(model: Model, counters: Counters, rng: np.random.Generator, *, drifted: bool) -> None:
    """The requests between two scrapes, with their labels."""
    by_name = {each.name: each for each in model.baseline.features}
    columns = [
        column(by_name[each.name], 0.2 * (each.name == "age") * drifted, 0.5 * (each.name == "chol") * drifted, rng)
        for each in model.signature.inputs
    ]
    matrix = np.stack(columns, axis=1)
    prediction = model.predict(matrix)
    counters.predictions(matrix, prediction)
    for row in range(ROWS):
        counters.request(200, float(rng.exponential(0.002)))
        label = prediction.predicted[row] if rng.random() < 0.85 else 1 - prediction.predicted[row]
        if rng.random() < 0.5:
            counters.feedback(version(), prediction.predicted[row], label, 3600.0, 0.4)
    if rng.random() < 0.1:
        counters.request(500, 0.02)


def version() -> str:
    """The version that serves."""
    return sys.argv[1]


def main() -> None:
    """Writes all scrapes."""
    begin, drift, end, step = map(float, sys.argv[2:6])
    model = load({name: (FIXTURE / name).read_bytes() for name in ("model.onnx", "signature.json", "baseline.json")})
    counters = Counters(model, "clinic/heart", version(), "r1")
    rng = np.random.default_rng(7)
    for at in np.arange(begin, end, step):
        for line in counters.render(scraper=True).decode().splitlines():
            if not line.startswith("#"):
                print(line, f"{at:.0f}")
        serve(model, counters, rng, drifted=bool(at >= drift))


if __name__ == "__main__":
    main()
