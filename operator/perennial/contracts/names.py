"""Names that more than one process writes or reads: labels, annotations, metrics, environment, files."""

from collections.abc import Container

GROUP = "perennial.dev"

LABEL_TRAINING = f"{GROUP}/training"
LABEL_RUN = f"{GROUP}/run"
LABEL_DEPLOYMENT = f"{GROUP}/deployment"
LABEL_VERSION = f"{GROUP}/version"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_MONITOR = f"{GROUP}/monitor"
LABEL_REMOVES_FOR = f"{GROUP}/removes-for"
"""On the Job that deletes a retired version's files: its ModelTraining."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_NAME = "app.kubernetes.io/name"
MANAGED_BY = "perennial"

ANNOTATION_REQUEST = f"{GROUP}/request"
"""``<verb>/<target version>/<uuid>``: an imperative request; the handled uuid stands in the status. On a ModelTraining
``/<user>`` may follow: who asks.
"""
QUARANTINE_GROUP = f"quarantine.{GROUP}"
"""``quarantine.perennial.dev/<deployment>`` on a ModelVersion: JSON with reason and since."""
LABEL_APPROVAL = f"{GROUP}/approval"
"""On a Namespace: :data:`MANUAL` has every version wait for a person, whatever the ModelTraining says."""
MANUAL = "Manual"
ANNOTATION_APPROVED_BY, ANNOTATION_APPROVED_AT = f"{GROUP}/approved-by", f"{GROUP}/approved-at"
"""On a ModelVersion: the user who last decided about its approval, and when."""
ANNOTATION_APPROVAL_REASON = f"{GROUP}/approval-reason"
ENGINE, KUBEFLOW = "PERENNIAL_ENGINE", "Kubeflow"
PIPELINE = "PERENNIAL_PIPELINE"
"""Environment of a component's pod that Kubeflow Pipelines runs: by what, and which of our pipelines it is."""
CLAIMED = "claimed"
"""Under a run's output: where a pipeline of somebody's own writes."""
FILE_FAILURE = "failure.json"
SECRET_KUBEFLOW = "perennial-kubeflow"  # noqa: S105 - the name of a Secret
FINALIZER = f"{GROUP}/in-use"
FINALIZER_RUN = f"{GROUP}/run"
"""On a ModelTraining while Kubeflow Pipelines runs a run of it."""
FINALIZER_FILES = f"{GROUP}/files"
"""On a ModelTraining while versions that it has retired are on their way out: their files go before it."""

STORE_SECRET = "perennial-store"  # noqa: S105 - the name of a Secret
STORE_READ_SECRET = "perennial-store-read"  # noqa: S105 - the name of a Secret
STORE_ROOT = "PERENNIAL_STORE_ROOT"
STORE_CA = "PERENNIAL_STORE_CA"
"""Entry of the store's Secrets: certificates (PEM) of a private authority that has signed the store's own."""
ENV_REMOVED_FOLDER = "PERENNIAL_REMOVED_FOLDER"
"""Of that Job: the address of the run's files."""

PORT_SERVE = 8080
PORT_METRICS = 9090
PORT_GRPC = 8081

METRIC_REQUESTS = "perennial_requests_total"
METRIC_DURATION = "perennial_request_duration_seconds"
METRIC_FEATURES = "perennial_feature_observations_total"
METRIC_PREDICTION_BINS = "perennial_prediction_observations_total"
METRIC_JOINT = "perennial_joint_observations_total"
METRIC_BASELINE = "perennial_baseline_share"
"""Shares of the baseline by feature and bin, for dashboards."""
METRIC_CPU, METRIC_CPU_LIMIT = "process_cpu_seconds_total", "perennial_cpu_limit_cores"
METRIC_MEMORY, METRIC_MEMORY_LIMIT = "process_resident_memory_bytes", "perennial_memory_limit_bytes"
METRIC_PREDICTED = "perennial_predictions_total"
METRIC_CALIBRATED = "perennial_calibrated_probability_sum_total"
METRIC_FEEDBACK = "perennial_feedback_total"
METRIC_FEEDBACK_DELAY = "perennial_feedback_delay_seconds"
"""Summary (_sum, _count) of the time from prediction to label, by version."""
METRIC_FEEDBACK_LOSS = "perennial_feedback_log_loss"
"""Summary (_sum, _count) of the log loss of labelled predictions, by version."""
METRIC_EXPECTED_LOSS = "perennial_expected_loss_sum_total"
"""Of a Regression, by ``loss`` (:data:`ABSOLUTE`, :data:`SQUARED`): sums of the error expected of predictions."""
METRIC_FEEDBACK_ERROR = "perennial_feedback_error_sum_total"
"""Of a Regression, by ``error`` (:data:`ABSOLUTE`, :data:`SQUARED`): sums of the error of labelled predictions."""
ABSOLUTE, SQUARED = "absolute", "squared"
METRIC_FEEDBACK_REJECTED = "perennial_feedback_rejected_total"
METRIC_SHADOW_REQUESTS = "perennial_shadow_requests_total"
METRIC_SHADOW_ROWS = "perennial_shadow_rows_total"
METRIC_SHADOW_DIFFERENCE = "perennial_shadow_score_difference"
METRIC_ROLE = "perennial_deployment_role"
METRIC_VERDICT = "perennial_monitor_verdict"
METRIC_PSI, METRIC_PSI_THRESHOLD = "perennial_monitor_feature_psi", "perennial_monitor_feature_psi_threshold"
METRIC_PERFORMANCE = "perennial_monitor_performance"
METRIC_ACTIONS = "perennial_monitor_actions_total"

OWN_PIPELINE = "PERENNIAL_OWN_PIPELINE"
"""Set in the container of a pipeline of somebody's own: it writes into a folder of its own, for ours to measure."""

MIRROR_FILE = "mirror.json"
"""Entry of a deployment's settings that its predictors watch: {"target": URL, "share": percent, "version": name,
"revision": the target's}."""

FILE_MODEL = "model.onnx"
FILE_SIGNATURE = "signature.json"
FILE_BASELINE = "baseline.json"
FILE_RESULT = "result.json"
FILE_PROGRESS = "progress.json"
FILE_REPORT = "report.html"
FILE_SKOPS = "model.skops"


def quarantine_annotation(deployment: str) -> str:
    """The annotation key on a ModelVersion that keeps it out of ``deployment`` (a name in the same namespace)."""
    return f"{QUARANTINE_GROUP}/{deployment}"


def report_configmap(monitor: str) -> str:
    """The ConfigMap with the newest drift report of ``monitor``, as FILE_REPORT."""
    return f"{monitor}-drift-report"


def model_file(artifacts: Container[str]) -> str:
    """Which of a version's files is served: the ONNX model, or the estimator where it has no such form."""
    return FILE_SKOPS if FILE_SKOPS in artifacts and FILE_MODEL not in artifacts else FILE_MODEL


def kubeflow_folder(output: str, run: str) -> str:
    """Where the components of the Kubeflow run with the id ``run`` tell how far they are, and why they failed.
    ``output`` is the address of the files of a run of the same ModelTraining.
    """
    return f"{output.rstrip('/').rpartition('/')[0]}/kubeflow/{run}"
