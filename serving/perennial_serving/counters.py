"""What the predictor counts, and the text in which Prometheus reads it.

Plain numbers, one place a series; text is put together at a scrape alone. Every series is there at 0 from
the start, and Prometheus is shown that 0 before anything: ``increase()`` sees only what grows between two scrapes, and
would otherwise miss all that a fresh pod counted before its first one.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from perennial.contracts import names
from perennial.contracts.baseline import JOINT, PREDICTION, Baseline, Distribution, Joint
from perennial.contracts.joint import JointError
from perennial.contracts.signature import Input, apart, starts
from perennial_serving.bins import CategoryBins, NumericBins, ValidBins
from perennial_serving.exposition import family, header, rows, series
from perennial_serving.model import Model, Prediction
from perennial_serving.usage import Usage

CODES = (200, 400, 401, 408, 413, 429, 499, 500, 504)
REASONS = (
    "malformed",
    "unknown_key",
    "forged",
    "expired",
    "wrong_deployment",
    "unknown_class",
    "not_a_number",
    "replayed",
    "too_many_versions",
)
BUCKETS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_ERRORS = (names.ABSOLUTE, names.SQUARED)
MAX_SERIES = 2000
SETTLED_ROWS = 512
"""Answered rows that are put into their bins at once."""
MAX_OTHER_VERSIONS = 16
"""Versions beside our own for which feedback is counted, fewer where so many would be over :data:`MAX_SERIES`: a pod's
series stay bounded whatever tokens come back."""
SHADOW_SERIES = 60
"""What the shadows' counts take at most."""


class Calibration:
    """A probability's calibrated value by linear interpolation between the points (x, y); none leave it as it is."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._x = [x for x, _ in points]
        self._y = [y for _, y in points]

    def __call__(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """The calibrated values of ``p`` [n]; outside of the points it is the nearest one's."""
        return np.interp(p, self._x, self._y) if self._x else p


class ExpectedErrors:
    """Sums of the error that is expected of predicted numbers, absolute and squared, by interpolation in the baseline's
    points.
    """

    def __init__(self, points: Sequence[tuple[float, float, float]]) -> None:
        self._at, *self._losses = np.array(points).T
        self.sums = [0.0, 0.0]

    def add(self, values: NDArray[np.float64]) -> None:
        """Counts numbers [n]."""
        for place, losses in enumerate(self._losses):
            self.sums[place] += float(np.interp(values, self._at, losses).sum())


class FeedbackTable:
    """True classes by predicted class, of one version; how late they came (s), and how bad the predictions were: by
    their log loss, or by a Regression's ``errors``, absolute and squared.
    """

    def __init__(self, classes: int) -> None:
        self.counts = [0] * (classes * classes)
        self.delay_sum, self.delays = 0.0, 0
        self.loss_sum, self.losses = 0.0, 0
        self.errors = [0.0, 0.0]
        self.shown = False


class JointBins:
    """Counts rows by how far they lie from where training rows lie."""

    def __init__(self, joint: Joint) -> None:
        self._error, self._bins = JointError(joint), NumericBins(joint.distribution)

    @property
    def counts(self) -> list[int]:
        """By the bins of the baseline's distribution."""
        return self._bins.counts

    def add(self, matrix: NDArray[np.float64]) -> None:
        """Counts rows [n,F]."""
        self._bins.add(self._error(matrix))


class Counters:
    """All counts of one predictor. Not for threads: the event loop alone touches them."""

    def __init__(
        self, model: Model, deployment: str, version: str, revision: str = "", usage: Usage | None = None
    ) -> None:
        signature, baseline, labels = model.signature, model.baseline, model.labels
        by_name = {item.name: item for item in baseline.features}
        self._features = [_bins(item, by_name[item.name]) for item in signature.inputs]
        self._places = starts(signature.inputs)[:-1]
        self._apart = apart(signature.inputs)
        self._prediction = NumericBins(baseline.prediction)
        self._joint = JointBins(baseline.joint) if baseline.joint else None
        self._calibration = Calibration(baseline.calibration)
        self._expected = ExpectedErrors(baseline.losses) if model.regression else None
        self._predicted = np.zeros(len(labels), dtype=np.int64)
        self._calibrated = np.zeros(len(labels))
        self._answered: list[tuple[NDArray[np.float64], Prediction]] = []
        self._rows = 0
        self._requests = dict.fromkeys(CODES, 0)
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self._rejected = dict.fromkeys(REASONS, 0)
        self._width = len(labels)
        self._feedback = {version: FeedbackTable(self._width)}
        features = [by_name[item.name] for item in signature.inputs]
        # Two configurations of one version are told apart by their revision alone.
        pod = {"deployment": deployment, **({"revision": revision} if revision else {})}
        self._keys = _Keys(pod, version, labels, features, baseline)
        self._usage = usage or Usage()
        self._shown = self._counted = False
        self._shares: list[str] = []
        room = MAX_SERIES - SHADOW_SERIES - self.series
        self._others = min(MAX_OTHER_VERSIONS, max(0, room // self._keys.feedback_series))
        shares = self._keys.shares(features, baseline)
        if len(shares) <= room - self._others * self._keys.feedback_series:
            self._shares = shares

    @property
    def series(self) -> int:
        """How many series a scrape reads."""
        return sum(not line.startswith("#") for line in self._lines(zero=True))

    @property
    def unread(self) -> bool:
        """Whether Prometheus, which has been here, has not read yet what was counted since."""
        return self._shown and self._counted

    def request(self, code: int, seconds: float) -> None:
        """Counts an infer request; what the caller got wrong tells nothing about our latency."""
        self._counted = True
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
        matrix = np.concatenate([matrix for matrix, _ in self._answered])
        predicted = np.array([label for _, prediction in self._answered for label in prediction.predicted])
        positive = np.array([p for _, prediction in self._answered for p in prediction.positive])
        self._answered, self._rows = [], 0
        for counter, place in zip(self._features, self._places, strict=True):
            counter.add(matrix[:, place])
        if self._joint:
            if self._apart:
                matrix[:, self._apart] = np.nan  # as in training
            self._joint.add(matrix)
        self._prediction.add(positive)
        self._predicted += np.bincount(predicted, minlength=self._width)
        if self._expected:
            self._expected.add(positive)
            return
        self._calibrated += np.bincount(predicted, self._calibration(positive), minlength=self._width)

    def invalid(self, by_feature: dict[int, int]) -> None:
        """Counts refused values by feature index."""
        for feature, count in by_feature.items():
            self._features[feature].counts[1] += count

    def feedback(
        self,
        version: str,
        predicted: int,
        actual: int,
        delay: float = 0.0,
        loss: float | None = None,
        error: float | None = None,
    ) -> bool:
        """Counts a true class that came ``delay`` seconds after its prediction, and the prediction's log ``loss`` where
        it is known, of a Regression its ``error``; False when there is no room for one more version.
        """
        table = self._feedback.get(version)
        if table is None:
            if len(self._feedback) > self._others:
                return False
            table = self._feedback[version] = FeedbackTable(self._width)
        table.counts[predicted * self._width + actual] += 1
        table.delay_sum += delay
        table.delays += 1
        if loss is not None:
            table.loss_sum += loss
            table.losses += 1
        if error is not None:
            table.errors[0] += abs(error)
            table.errors[1] += error * error
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
            self._counted = self._counted and not self._shown
            self._shown = True
            for table in self._feedback.values():
                table.shown = True
        return body.encode()

    def _lines(self, *, zero: bool, hold: bool = True) -> Iterator[str]:
        keys = self._keys
        yield from family(names.METRIC_REQUESTS, keys.requests, self._requests.values(), zero=zero)
        yield from self._histogram(zero=zero)
        yield from header(names.METRIC_FEATURES)
        for prefixes, counter in zip(keys.features, self._features, strict=True):
            yield from rows(prefixes, counter.counts, zero=zero)
        yield from family(names.METRIC_PREDICTION_BINS, keys.prediction, self._prediction.counts, zero=zero)
        if self._joint:
            yield from family(names.METRIC_JOINT, keys.joint, self._joint.counts, zero=zero)
        yield from family(names.METRIC_PREDICTED, keys.predicted, self._predicted.tolist(), zero=zero)
        if self._expected:
            yield from family(names.METRIC_EXPECTED_LOSS, keys.expected, self._expected.sums, zero=zero)
        else:
            yield from family(names.METRIC_CALIBRATED, keys.calibrated, self._calibrated.tolist(), zero=zero)
        yield from self._feedback_lines(zero=zero, hold=hold)
        yield from family(names.METRIC_FEEDBACK_REJECTED, keys.rejected, self._rejected.values(), zero=zero)
        if self._shares:
            yield from header(names.METRIC_BASELINE)
            yield from self._shares
        for name, value in self._usage.read():
            yield from family(name, [keys.usage(name)], [value], zero=False)

    def _feedback_lines(self, *, zero: bool, hold: bool) -> Iterator[str]:
        keys = self._keys
        tables = [(version, table, zero or (hold and not table.shown)) for version, table in self._feedback.items()]
        yield from header(names.METRIC_FEEDBACK)
        for version, table, blank in tables:
            yield from rows(keys.feedback(version), table.counts, zero=blank)
        yield from header(names.METRIC_FEEDBACK_DELAY)
        for version, table, blank in tables:
            prefixes = keys.summary(names.METRIC_FEEDBACK_DELAY, version)
            yield from rows(prefixes, [table.delay_sum, table.delays], zero=blank)
        if self._expected:
            yield from header(names.METRIC_FEEDBACK_ERROR)
            for version, table, blank in tables:
                yield from rows(keys.errors(version), table.errors, zero=blank)
        if self._width != 2:
            return
        yield from header(names.METRIC_FEEDBACK_LOSS)
        for version, table, blank in tables:
            prefixes = keys.summary(names.METRIC_FEEDBACK_LOSS, version)
            yield from rows(prefixes, [table.loss_sum, table.losses], zero=blank)

    def _histogram(self, *, zero: bool) -> Iterator[str]:
        yield from header(names.METRIC_DURATION)
        total, cumulative = 0, []
        for count in self._durations:
            total += count
            cumulative.append(total)
        yield from rows(self._keys.durations, [*cumulative, self._duration_sum, total], zero=zero)


def _bins(item: Input, distribution: Distribution) -> NumericBins | CategoryBins:
    if item.kind == "Numeric":
        return NumericBins(distribution)
    return ValidBins(distribution) if item.wide else CategoryBins(distribution, item.categories)


class _Keys:
    """Each series' name and labels as text, in the order of its count."""

    def __init__(
        self,
        pod: dict[str, str],
        version: str,
        labels: tuple[str, ...],
        features: Sequence[Distribution],
        baseline: Baseline,
    ) -> None:
        base = {**pod, "version": version}
        self._pod, self._base, self._labels = pod, base, labels
        self.requests = [series(names.METRIC_REQUESTS, **base, code=str(code)) for code in CODES]
        limits = [*map(repr, BUCKETS), "+Inf"]
        self.durations = [series(f"{names.METRIC_DURATION}_bucket", **base, le=limit) for limit in limits]
        self.durations += [series(f"{names.METRIC_DURATION}_{part}", **base) for part in ("sum", "count")]
        self.features = [
            [series(names.METRIC_FEATURES, **base, feature=item.name, bin=name) for name in item.bins]
            for item in features
        ]
        self.prediction = [series(names.METRIC_PREDICTION_BINS, **base, bin=name) for name in baseline.prediction.bins]
        joint = baseline.joint.distribution.bins if baseline.joint else ()
        self.joint = [series(names.METRIC_JOINT, **base, bin=name) for name in joint]
        self.predicted = [series(names.METRIC_PREDICTED, **base, predicted=name) for name in labels]
        self.calibrated = [series(names.METRIC_CALIBRATED, **base, predicted=name) for name in labels]
        self.expected = [series(names.METRIC_EXPECTED_LOSS, **base, loss=kind) for kind in _ERRORS]
        self.rejected = [series(names.METRIC_FEEDBACK_REJECTED, **base, reason=reason) for reason in REASONS]

    @property
    def feedback_series(self) -> int:
        """How many series one version's feedback is."""
        return len(self._labels) ** 2 + (4 if len(self._labels) < 3 else 2)

    def feedback(self, version: str) -> list[str]:
        """By predicted and true class."""
        base = {**self._pod, "version": version}
        return [
            series(names.METRIC_FEEDBACK, **base, predicted=predicted, actual=actual)
            for predicted in self._labels
            for actual in self._labels
        ]

    def errors(self, version: str) -> list[str]:
        """Absolute and squared."""
        return [series(names.METRIC_FEEDBACK_ERROR, **self._pod, version=version, error=kind) for kind in _ERRORS]

    def summary(self, name: str, version: str) -> list[str]:
        """Sum and count."""
        return [series(f"{name}_{part}", **self._pod, version=version) for part in ("sum", "count")]

    def usage(self, name: str) -> str:
        """The process's one series of a metric."""
        return series(name, **self._base)

    def shares(self, features: Sequence[Distribution], baseline: Baseline) -> list[str]:
        """What was in each bin in training, which never changes, with the values."""
        counted = [(item.name, item) for item in features] + [(PREDICTION, baseline.prediction)]
        counted += [(JOINT, baseline.joint.distribution)] if baseline.joint else []
        return [
            series(names.METRIC_BASELINE, **self._base, feature=name, bin=bin_name) + f"{count / sum(item.counts):.6g}"
            for name, item in counted
            if any(item.counts)
            for bin_name, count in zip(item.bins, item.counts, strict=True)
        ]
