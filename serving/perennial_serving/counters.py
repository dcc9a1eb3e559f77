"""What the predictor counts, and the text in which Prometheus reads it.

Plain numbers, one place a series; text is put together at a scrape alone. Every series is there at 0 from
the start, and Prometheus is shown that 0 before anything: ``increase()`` sees only what grows between two scrapes, and
would otherwise miss all that a fresh pod counted before its first one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import names
from perennial.contracts.baseline import Distribution
from perennial_serving.bins import CategoryBins, NumericBins
from perennial_serving.model import Model, Prediction

CODES = (200, 400, 401, 408, 413, 429, 499, 500, 504)
REASONS = (
    "malformed",
    "unknown_key",
    "forged",
    "expired",
    "wrong_deployment",
    "unknown_class",
    "replayed",
    "too_many_versions",
)
BUCKETS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
MAX_SERIES = 2000
SETTLED_ROWS = 512
"""Answered rows that are put into their bins at once."""
MAX_OTHER_VERSIONS = 16
"""Versions beside our own for which feedback is counted, fewer where so many would be over :data:`MAX_SERIES`: a pod's
series stay bounded whatever tokens come back."""
SHADOW_SERIES = 60
"""What the shadows' counts take at most."""

_HELP = {
    names.METRIC_REQUESTS: ("counter", "Infer requests by status code."),
    names.METRIC_DURATION: (
        "histogram",
        "Seconds from an infer request's first byte to its answer, answered or failed by us.",
    ),
    names.METRIC_FEATURES: ("counter", "Feature values by the baseline's bins."),
    names.METRIC_PREDICTION_BINS: ("counter", "Probabilities of the positive class by the baseline's bins."),
    names.METRIC_PREDICTED: ("counter", "Predictions by predicted class."),
    names.METRIC_CALIBRATED: ("counter", "Sum of calibrated probabilities of the positive class by predicted class."),
    names.METRIC_FEEDBACK: ("counter", "True classes that came back, by what was predicted."),
    names.METRIC_FEEDBACK_REJECTED: ("counter", "Feedback that was refused."),
}


def labels(**values: str) -> str:
    """Label pairs in Prometheus' text format, escaped."""
    return ",".join(
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\""))
        for name, value in values.items()
    )


class Calibration:
    """A probability's calibrated value by linear interpolation between the points (x, y); none leave it as it is."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._x = [x for x, _ in points]
        self._y = [y for _, y in points]

    def __call__(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """The calibrated values of ``p`` [n]; outside of the points it is the nearest one's."""
        return np.interp(p, self._x, self._y) if self._x else p


class FeedbackTable:
    """True classes by predicted class, of one version."""

    def __init__(self, classes: int) -> None:
        self.counts = [0] * (classes * classes)
        self.shown = False


class Counters:
    """All counts of one predictor. Not for threads: the event loop alone touches them."""

    def __init__(self, model: Model, deployment: str, version: str, revision: str = "") -> None:
        signature, baseline = model.signature, model.baseline
        by_name = {item.name: item for item in baseline.features}
        self._features = [
            NumericBins(by_name[item.name])
            if item.kind == "Numeric"
            else CategoryBins(by_name[item.name], item.categories)
            for item in signature.inputs
        ]
        self._prediction = NumericBins(baseline.prediction)
        self._calibration = Calibration(baseline.calibration)
        self._predicted = np.zeros(len(signature.classes), dtype=np.int64)
        self._calibrated = np.zeros(len(signature.classes))
        self._answered: list[tuple[NDArray[np.float64], Prediction]] = []
        self._rows = 0
        self._requests = dict.fromkeys(CODES, 0)
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self._rejected = dict.fromkeys(REASONS, 0)
        self._width = len(signature.classes)
        self._feedback = {version: FeedbackTable(self._width)}
        features = [by_name[item.name] for item in signature.inputs]
        # Two configurations of one version are told apart by their revision alone.
        pod = {"deployment": deployment, **({"revision": revision} if revision else {})}
        self._keys = _Keys(pod, version, signature.classes, features, baseline.prediction)
        self._shown = False
        self._others = min(MAX_OTHER_VERSIONS, max(0, (MAX_SERIES - SHADOW_SERIES - self.series) // self._width**2))

    @property
    def series(self) -> int:
        """How many series a scrape reads."""
        return sum(not line.startswith("#") for line in self._lines(zero=True))

    def request(self, code: int, seconds: float) -> None:
        """Counts an infer request; what the caller got wrong tells nothing about our latency."""
        self._requests[code] += 1
        if code == 200 or code >= 500:
            self._durations[bisect_left(BUCKETS, seconds)] += 1
            self._duration_sum += seconds

    def predictions(self, matrix: NDArray[np.float64], prediction: Prediction) -> None:
        """Counts answered rows: each feature's bin, the prediction and its calibrated probability.

        ``matrix`` [N,F] is as :data:`Rows`; it is kept until enough has come for numpy to count at little cost a row.
        """
        if not len(matrix):
            return
        self._answered.append((matrix, prediction))
        self._rows += len(matrix)
        if self._rows >= SETTLED_ROWS:
            self._settle()

    def _settle(self) -> None:
        """Puts what was answered into its bins."""
        if not self._rows:
            return
        columns = np.concatenate([matrix for matrix, _ in self._answered]).T
        predicted = np.array([label for _, prediction in self._answered for label in prediction.predicted])
        positive = np.array([p for _, prediction in self._answered for p in prediction.positive])
        self._answered, self._rows = [], 0
        for counter, column in zip(self._features, columns, strict=True):
            counter.add(column)
        self._prediction.add(positive)
        self._predicted += np.bincount(predicted, minlength=self._width)
        self._calibrated += np.bincount(predicted, self._calibration(positive), minlength=self._width)

    def invalid(self, by_feature: dict[int, int]) -> None:
        """Counts refused values by feature index."""
        for feature, count in by_feature.items():
            self._features[feature].counts[1] += count

    def feedback(self, version: str, predicted: int, actual: int) -> bool:
        """Counts a true class; False when there is no room for one more version."""
        table = self._feedback.get(version)
        if table is None:
            if len(self._feedback) > self._others:
                return False
            table = self._feedback[version] = FeedbackTable(self._width)
        table.counts[predicted * self._width + actual] += 1
        return True

    def feedback_rejected(self, reason: str) -> None:
        """Counts a refusal, one of :data:`REASONS`."""
        self._rejected[reason] += 1

    def render(self, *, scraper: bool) -> bytes:
        """The exposition in Prometheus' text format 0.0.4.

        ``scraper``: this is Prometheus' own scrape, not somebody's look. A series that it has not read yet is shown to
        it as 0 this once and with its count from the next scrape on.
        """
        self._settle()
        body = "\n".join(self._lines(zero=scraper and not self._shown, hold=scraper)) + "\n"
        if scraper:
            self._shown = True
            for table in self._feedback.values():
                table.shown = True
        return body.encode()

    def _lines(self, *, zero: bool, hold: bool = True) -> Iterator[str]:
        keys = self._keys
        yield from _family(names.METRIC_REQUESTS, keys.requests, self._requests.values(), zero=zero)
        yield from self._histogram(zero=zero)
        yield from _header(names.METRIC_FEATURES)
        for prefixes, counter in zip(keys.features, self._features, strict=True):
            yield from _rows(prefixes, counter.counts, zero=zero)
        yield from _family(names.METRIC_PREDICTION_BINS, keys.prediction, self._prediction.counts, zero=zero)
        yield from _family(names.METRIC_PREDICTED, keys.predicted, self._predicted.tolist(), zero=zero)
        yield from _family(names.METRIC_CALIBRATED, keys.calibrated, self._calibrated.tolist(), zero=zero)
        yield from _header(names.METRIC_FEEDBACK)
        for version, table in self._feedback.items():
            yield from _rows(keys.feedback(version), table.counts, zero=zero or (hold and not table.shown))
        yield from _family(names.METRIC_FEEDBACK_REJECTED, keys.rejected, self._rejected.values(), zero=zero)

    def _histogram(self, *, zero: bool) -> Iterator[str]:
        yield from _header(names.METRIC_DURATION)
        total, cumulative = 0, []
        for count in self._durations:
            total += count
            cumulative.append(total)
        yield from _rows(self._keys.durations, [*cumulative, self._duration_sum, total], zero=zero)


class _Keys:
    """Each series' name and labels as text, in the order of its count."""

    def __init__(
        self,
        pod: dict[str, str],
        version: str,
        classes: tuple[str, ...],
        features: Sequence[Distribution],
        prediction: Distribution,
    ) -> None:
        base = {**pod, "version": version}
        self._pod, self._classes = pod, classes
        self.requests = [_series(names.METRIC_REQUESTS, **base, code=str(code)) for code in CODES]
        limits = [*map(repr, BUCKETS), "+Inf"]
        self.durations = [_series(f"{names.METRIC_DURATION}_bucket", **base, le=limit) for limit in limits]
        self.durations += [_series(f"{names.METRIC_DURATION}_{part}", **base) for part in ("sum", "count")]
        self.features = [
            [_series(names.METRIC_FEATURES, **base, feature=item.name, bin=name) for name in item.bins]
            for item in features
        ]
        self.prediction = [_series(names.METRIC_PREDICTION_BINS, **base, bin=name) for name in prediction.bins]
        self.predicted = [_series(names.METRIC_PREDICTED, **base, predicted=name) for name in classes]
        self.calibrated = [_series(names.METRIC_CALIBRATED, **base, predicted=name) for name in classes]
        self.rejected = [_series(names.METRIC_FEEDBACK_REJECTED, **base, reason=reason) for reason in REASONS]

    def feedback(self, version: str) -> list[str]:
        base = {**self._pod, "version": version}
        return [
            _series(names.METRIC_FEEDBACK, **base, predicted=predicted, actual=actual)
            for predicted in self._classes
            for actual in self._classes
        ]


def _series(name: str, /, **pairs: str) -> str:
    return f"{name}{{{labels(**pairs)}}} "


def _header(name: str) -> Iterator[str]:
    kind, text = _HELP[name]
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _rows(prefixes: Sequence[str], values: Iterable[float], *, zero: bool) -> Iterator[str]:
    if zero:
        return (prefix + "0" for prefix in prefixes)
    return (prefix + repr(value) for prefix, value in zip(prefixes, values, strict=True))


def _family(name: str, prefixes: Sequence[str], values: Iterable[float], *, zero: bool) -> Iterator[str]:
    yield from _header(name)
    yield from _rows(prefixes, values, zero=zero)
