"""Makes the regression that the serving tests use, as a run makes it: ridge regression on the diabetes patients.

Run with the components environment: ``python -m tests.unit.serving.fixture_regression.make_model``. The files are
committed; the serving environment can read ONNX, not write it.
"""

import shutil
import tempfile
from pathlib import Path

from perennial.contracts.request import Candidate, Target
from tests.unit.components.support import request, run

HERE = Path(__file__).parent
DATA = HERE.parents[3] / "examples" / "diabetes" / "diabetes.csv"


def main() -> None:
    """Writes the files beside this one."""
    with tempfile.TemporaryDirectory() as folder:
        asked = request(
            source=f"file://{DATA}", task="Regression", metric="rmse", target=Target("progression"),
            numeric=("age", "bmi", "bp", "s1", "s5"), categorical=("sex",), slices=(), imbalance="None",
            candidates=(Candidate("Ridge"),), trials=1, output=f"file://{folder}/made",
        )  # fmt: skip
        code, outcome = run(Path(folder), asked)
        assert code == 0, outcome.message
        for name in ("model.onnx", "model.skops", "signature.json", "baseline.json"):
            shutil.copy(Path(folder) / "made" / name, HERE / name)


if __name__ == "__main__":
    main()
