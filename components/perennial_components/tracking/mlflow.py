"""Records a run in MLflow: parameters, metrics, each trial as a child, the report, and a registered model version.

Nothing of it is needed by anybody here, so nothing of it fails a run: what cannot be recorded is said in the log and in
the result.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perennial.contracts.request import Artifact, Tracking
from perennial.contracts.result import Tracked
from perennial_components.failure import redact
from perennial_components.records import Account
from perennial_components.storage import store_message

ALIAS = "challenger"
"""Of the newest registered version; who is champion, the deployments say."""
LIMIT = 60.0
"""Seconds for everything; trials that are not recorded then are left out."""
_CALL_SECONDS = 10
_TEXT = 500


def track(
    account: Account,
    model: Artifact,
    page: str,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
) -> Tracked | None:
    """What MLflow knows the run as; None where ``account.request`` names no server. ``model`` is the file that is
    served, ``page`` the report.
    """
    wanted = account.request.tracking
    if wanted is None:
        return None
    try:
        with _client(wanted, environ) as client:
            return _Recorder(client, wanted, clock() + LIMIT, clock).record(account, model, page)
    except Exception as error:  # noqa: BLE001 - MLflow being down, or anything else of it, never fails a run
        problem = redact(store_message(error))
        print(f"MLflow: not recorded: {problem}")
        return Tracked(problem=problem)


@contextmanager
def _client(wanted: Tracking, environ: Mapping[str, str]) -> Iterator[Any]:
    """The client, told to give up soon and to tell nobody else of it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_CALL_SECONDS), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
        })  # fmt: skip
        if authority := environ.get("MLFLOW_CA"):
            path = Path(folder) / "ca.crt"
            path.write_text(authority)
            os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(path)
        from mlflow import MlflowClient  # noqa: PLC0415 - it reads the environment, and takes a second to import

        yield MlflowClient(tracking_uri=wanted.uri, registry_uri=wanted.uri)


class _Recorder:
    """Records one run until ``deadline``, a time of ``clock`` (s)."""

    def __init__(self, client: Any, wanted: Tracking, deadline: float, clock: Callable[[], float]) -> None:
        self._client, self._wanted, self._deadline, self._clock = client, wanted, deadline, clock

    def record(self, account: Account, model: Artifact, page: str) -> Tracked:
        """All of it."""
        request = account.request
        experiment = self._experiment()
        run = self._client.create_run(experiment, run_name=f"{request.training}-{request.run}", tags=_tags(account))
        identifier = run.info.run_id
        best = account.tuned.candidates[account.tuned.winner]
        parameters = {"algorithm": best.algorithm, **best.parameters}
        self._log(identifier, parameters, account.evaluation.metrics)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.html"
            path.write_text(page, encoding="utf-8")
            self._client.log_artifact(identifier, str(path))
        left_out = self._trials(experiment, identifier, account)
        version = self._register(request.model, identifier, model)
        self._client.set_terminated(identifier)
        url = f"{self._wanted.uri.rstrip('/')}/#/experiments/{experiment}/runs/{identifier}"
        problem = f"{left_out} trials were left out: it took longer than {LIMIT:.0f} s" if left_out else ""
        return Tracked(run=identifier, url=url, version=version, problem=problem)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._wanted.experiment)
        return str(found.experiment_id if found else self._client.create_experiment(self._wanted.experiment))

    def _log(self, run: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - see _client

        now = int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)[:_TEXT]) for name, value in parameters.items()],
        )

    def _trials(self, experiment: str, parent: str, account: Account) -> int:
        """How many were left out."""
        metric = account.request.metric
        for place, trial in enumerate(account.tuned.trials):
            if self._clock() > self._deadline:
                return len(account.tuned.trials) - place
            name = f"trial {trial.number} {trial.algorithm}"
            child = self._client.create_run(experiment, run_name=name, tags={"mlflow.parentRunId": parent})
            scored = {} if trial.score is None else {metric: trial.score}
            self._log(child.info.run_id, {"algorithm": trial.algorithm, **trial.parameters}, scored)
            self._client.set_terminated(child.info.run_id, "FAILED" if trial.state == "Failed" else "FINISHED")
        return 0

    def _register(self, name: str, run: str, model: Artifact) -> str:
        """The number of the registered version, which names the file that is served and its digest."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see _client

        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._client.create_registered_model(name)
        made = self._client.create_model_version(name, model.uri, run, tags={"sha256": model.sha256})
        self._client.set_registered_model_alias(name, ALIAS, made.version)
        return str(made.version)


def _tags(account: Account) -> dict[str, str]:
    """By which the run is found from the cluster, and the cluster from the run."""
    request = account.request
    return {
        "perennial.training": f"{request.namespace}/{request.training}",
        "perennial.run": str(request.run),
        "perennial.data_sha256": account.ingested.sha256,
        "perennial.output": request.output,
    }
