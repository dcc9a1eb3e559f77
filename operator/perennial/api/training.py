"""ModelTraining: the definition of how a model comes to be; each run is a recorded event of it."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from perennial.api.candidates import AutoFeatures, CandidateSpec, FeaturesSpec, Tuning
from perennial.api.common import Model, ModelName, Object, rules
from perennial.api.data import DataSpec
from perennial.api.evaluation import DEFAULT_METRIC, Evaluation, Metric, Retention
from perennial.api.pipeline import OwnPipeline
from perennial.api.prepare import VALUE_STEPS
from perennial.api.run import Engine, Retry, Schedule, TrainingStatus
from perennial.api.tracking import Tracking
from perennial.contracts.request import CLASSIFIERS, REGRESSORS
from perennial.contracts.result import CLASSIFICATION_METRICS, RATES, REGRESSION_METRICS
from perennial.contracts.signature import Task

_IN_TASK = f"(self.task == 'Regression' ? {list(REGRESSION_METRICS)} : {list(CLASSIFICATION_METRICS)})"
_WHICH = f"Classification has {', '.join(CLASSIFICATION_METRICS)}; Regression has {', '.join(REGRESSION_METRICS)}"
_TASK_RULES = (
    (
        "self.task != 'Regression' || !has(self.data.target.positive)",
        "data.target.positive is for Classification: the target of a Regression is a number",
    ),
    (
        "self.task != 'Regression' || self.imbalance == 'None'",
        "imbalance is for Classification: a Regression has no classes to weigh",
    ),
    (
        "self.task != 'Regression' || !has(self.data.require) || !has(self.data.require.minRowsPerClass)",
        "data.require.minRowsPerClass is for Classification: a Regression has no classes to count",
    ),
    (
        f"!has(self.tuning.metric) || self.tuning.metric in {_IN_TASK}",
        f"tuning.metric must be one of its task: {_WHICH}",
    ),
    (
        f"self.evaluation.gates.all(gate, gate.metric in {_IN_TASK})",
        f"a gate's metric must be one of its task: {_WHICH}",
    ),
    (
        (
            f"self.evaluation.fairness.all(gate, gate.metric in {_IN_TASK}"
            f" || (self.task == 'Classification' && gate.metric in {list(RATES)}))"
        ),
        f"a fairness gate's metric must be one of its task: {_WHICH}; Classification also {', '.join(RATES)}",
    ),
    (
        (
            "!has(self.evaluation.champion) || !has(self.evaluation.champion.metric)"
            f" || self.evaluation.champion.metric in {_IN_TASK}"
        ),
        f"evaluation.champion.metric must be one of its task: {_WHICH}",
    ),
    (
        (
            "self.candidates.all(each, !(each.algorithm in"
            f" (self.task == 'Regression' ? {list(CLASSIFIERS)} : {list(REGRESSORS)})))"
        ),
        (
            f"{', '.join(CLASSIFIERS)} are for Classification, {', '.join(REGRESSORS)} for Regression;"
            " the other algorithms are for both"
        ),
    ),
)


_IS_VALUE_STEP = " || ".join(f"has(step.{name})" for name in VALUE_STEPS)


class TrainingSpec(Model):
    """How a model comes to be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!(self.data.target.column in self.features.numeric)"
                    " && !(self.data.target.column in self.features.categorical)"
                    " && !self.features.datetime.exists(each, each.column == self.data.target.column)"
                    " && !self.features.text.exists(each, each.column == self.data.target.column)"
                ),
                "the target column must not be a feature",
            ),
            (
                (
                    "!has(self.data.time) || (self.data.time != self.data.target.column"
                    " && !(self.data.time in self.features.numeric) && !(self.data.time in self.features.categorical)"
                    " && !self.features.datetime.exists(each, each.column == self.data.time)"
                    " && !self.features.text.exists(each, each.column == self.data.time))"
                ),
                "data.time must be neither a feature nor the target",
            ),
            (
                f"!has(self.pipeline) || !self.data.prepare.exists(step, {_IS_VALUE_STEP})",
                f"data.prepare: {', '.join(VALUE_STEPS)} become part of our own models; a pipeline of yours does them",
            ),
            (
                "!has(self.pipeline) || has(self.pipeline.image) || self.engine.type == 'Kubeflow'",
                "pipeline.image is missing: the embedded engine runs all components in one image",
            ),
            (
                (
                    "!has(self.pipeline) || !has(self.engine.kubeflow) || (!has(self.engine.kubeflow.shards)"
                    " && !(has(self.engine.kubeflow.caching) && self.engine.kubeflow.caching))"
                ),
                "engine.kubeflow: shards and caching are for the built-in pipeline: yours says itself what is spread",
            ),
            (
                "!has(self.data.source.feast) || self.engine.type != 'Kubeflow'",
                "data.source.feast is for engine type Embedded: features are looked up before the run's own container",
            ),
            *_TASK_RULES,
        )
    )
    model: ModelName = Field(
        description="Name of the model; versions are <model>-v1, -v2, …",
        json_schema_extra=rules(("self == oldSelf", "model cannot be changed: make another ModelTraining")),
    )
    task: Task = Field(
        default="Classification",
        description="What kind of target it is: one of several classes, or a number (Regression).",
    )
    data: DataSpec
    features: FeaturesSpec = FeaturesSpec(auto=AutoFeatures())
    imbalance: Literal["None", "ClassWeight", "Oversample", "Undersample"] = Field(
        default="None",
        description="ClassWeight weighs rare classes up. Oversample repeats their rows, Undersample leaves rows of the "
        "others out: of those that a model is fitted on, never of those that it is measured on.",
    )
    candidates: list[CandidateSpec] = Field(
        default=[],
        max_length=10,
        description="The estimators that compete; the best one of a run is exported. Where unset, a linear model, "
        "HistGradientBoosting and, up to 50,000 training rows, ExtraTrees, each in its built-in space.",
    )
    tuning: Tuning = Tuning()
    evaluation: Evaluation = Evaluation()
    approval: Literal["Automatic", "Manual"] = Field(
        default="Automatic", description="Manual: a version waits for spec.approval: Approved."
    )
    engine: Engine = Engine()
    schedule: Schedule | None = None
    concurrency_policy: Literal["Queue", "Forbid", "Replace"] = Field(
        default="Queue",
        description="What a trigger does while a run is under way. Queue: it waits for that one's end. Forbid: the "
        "schedule's times and other data are dropped, the rest waits. Replace: that one is cancelled.",
    )
    suspend: bool = Field(
        default=False,
        description="No run starts and no data are polled; what asks for one waits, but a request is refused. A run "
        "under way is ended; once this is false, one begins anew.",
    )
    retry: Retry = Retry()
    pipeline: OwnPipeline | None = None
    retention: Retention | None = None
    tracking: Tracking | None = None

    @property
    def tuned_metric(self) -> Metric:
        """The metric that candidates are compared by."""
        return self.tuning.metric or DEFAULT_METRIC[self.task]


class ModelTraining(Object):
    """A ModelTraining as the API server holds it."""

    KIND: ClassVar[str] = "ModelTraining"
    PLURAL: ClassVar[str] = "modeltrainings"
    SHORT: ClassVar[str] = "mt"
    DOC: ClassVar[str] = (
        "How a model comes to be: data, checks, features, candidates, evaluation and gates. "
        "Each run that passes makes a ModelVersion."
    )
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Model", "string", ".spec.model"),
        ("Phase", "string", ".status.phase"),
        ("Progress", "string", ".status.runs[0].progress"),
        ("Runs", "integer", ".status.runCounter"),
        ("Latest", "string", ".status.latestVersion"),
        ("Score", "string", ".status.latestScore"),
        ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: TrainingSpec
    status: TrainingStatus = TrainingStatus()
