"""The tracking of a ModelTraining's runs: where else than in the cluster they are recorded."""

from pydantic import Field

from perennial.api.common import Model, Name


class MLflow(Model):
    """An MLflow tracking server. What it does not take is lost to it alone: it never fails a run."""

    uri: str = Field(
        min_length=8,
        max_length=1024,
        pattern=r"^https?://[^@\s]+$",
        description="Address of the tracking server, without a name and a password in it: they are the secret's.",
    )
    experiment: str | None = Field(
        default=None, min_length=1, max_length=256, description="The experiment; unset: <namespace>/<name>."
    )
    secret: Name | None = Field(
        default=None,
        description="A Secret of this namespace with any of MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, "
        "MLFLOW_TRACKING_TOKEN, and MLFLOW_CA, the certificates (PEM) of the authority that has signed the server's.",
    )


class Tracking(Model):
    """Where runs are recorded beside the cluster: parameters, metrics, trials, the report and the model's version."""

    mlflow: MLflow
