"""Fitted scikit-learn estimators as skops files: data that is read, never code that is run."""

from typing import Any

TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
"""Beyond what skops trusts by itself, which is scikit-learn's estimators and numpy's arrays and functions: parts of
estimators that are none themselves, and compiled ones, whose content skops cannot check. Files are believed by their
SHA-256 before they come here."""

_SHOWN = 5


class EstimatorError(ValueError):
    """The file is no estimator, or has types in it that nobody vouches for; the message names them."""


def load(data: bytes) -> Any:
    """The estimator in ``data`` (skops). Raises :class:`EstimatorError`."""
    import skops.io  # noqa: PLC0415 - and with it scikit-learn: who serves ONNX does not pay for it

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED)
        if not unknown:
            return skops.io.loads(data, trusted=sorted(TRUSTED))
    except Exception as error:
        raise EstimatorError(f"skops cannot read it: {error}") from error
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    raise EstimatorError(f"it holds types that are not trusted: {', '.join(unknown[:_SHOWN])}{more}")
