"""What the operator asks a run to do: everything a run may depend on, so that it can be replayed."""

from typing import Literal

import msgspec

from perennial.contracts.signature import Task


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A condition on a column of the data; ``max_missing`` is a share in [0, 1]."""

    column: str
    min: float | None = None
    max: float | None = None
    max_missing: float | None = None
    allowed: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The column to predict; ``above`` or ``equals`` make it binary (classes "0" and "1"), neither keeps its values.

    A Regression has neither: its values are numbers.
    """

    column: str
    above: float | None = None
    equals: str | None = None


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``test`` is the held-out share in (0, 1); the side of a row depends on its hash and ``seed`` alone."""

    test: float
    seed: int
    key: tuple[str, ...] = ()


class SearchRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Values tried for one parameter, from ``low`` to ``high``, spaced evenly on ``scale``."""

    low: float
    high: float
    scale: Literal["Linear", "Log"] = "Linear"


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An estimator of the allow-list with fixed parameters and ranges to search."""

    algorithm: Literal["LogisticRegression", "HistGradientBoosting", "Ridge"]
    parameters: dict[str, float | int | str | bool] = {}
    search: dict[str, SearchRange] = {}


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A file in the store: its address and the SHA-256 (hex) and size (bytes) of its content."""

    uri: str
    sha256: str
    size: int = 0


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The deployed version that a challenger meets; ``split`` is what it was trained with.

    They are compared by ``metric`` (empty: the run's own), in which the challenger is to gain ``min_improvement``.
    """

    version: str
    model: Artifact
    signature: Artifact
    split: Split
    metric: str = ""
    min_improvement: float = 0.0


class Tracking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An MLflow server, by its address, and the experiment in which runs are recorded."""

    uri: str
    experiment: str


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One run of a ModelTraining. ``output`` is the store address under which the run writes its files; ``time`` is the
    column that says when a row was.
    """

    namespace: str
    training: str
    run: int
    model: str
    task: Task
    source: str
    target: Target
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    checks: tuple[Check, ...]
    split: Split
    imbalance: Literal["None", "ClassWeight"]
    candidates: tuple[Candidate, ...]
    metric: str
    trials: int
    folds: int
    slices: tuple[str, ...]
    seed: int
    output: str
    time: str = ""
    champion: Champion | None = None
    tracking: Tracking | None = None
