"""Records a run in MLflow: parameters, metrics, each trial as a child, the report, and a registered model version.

Nothing of it is needed by anybody here, so nothing of it fails a run: what cannot be recorded is said in the log and in
the result.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

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
_TRAINING, _OUTPUT = "perennial.training", "perennial.output"


@contextmanager
def tracking(
    account: Account,
    model: Artifact,
    page: str,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Tracked | None]:
    """Records the run and gives what MLflow knows it as; None where ``account.request`` names no server. ``model`` is
    the file that is served, ``page`` the report.

    The block is what is left of our run: with it the one in MLflow ends, as FINISHED, as FAILED where it raises, as
    KILLED where it is interrupted. What an attempt that was killed has left RUNNING, the next one ends as KILLED.
    """
    wanted = account.request.tracking
    if wanted is None:
        yield None
        return
    with ExitStack() as stack:
        recorder: _Recorder | None = None
        try:
            client = stack.enter_context(_client(wanted, environ))
            recorder = _Recorder(client, wanted, clock() + LIMIT, clock)
            told = recorder.record(account, model, page)
        except Exception as error:  # noqa: BLE001 - MLflow being down, or anything else of it, never fails a run
            problem = redact(store_message(error))
            print(f"MLflow: not recorded: {problem}")
            told = msgspec.structs.replace(recorder.known, problem=problem) if recorder else Tracked(problem=problem)
            _end(recorder, "FAILED")
        try:
            yield told
        except BaseException as error:
            _end(recorder, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        _end(recorder, "FINISHED")


def _end(recorder: "_Recorder | None", status: str) -> None:
    if recorder is None:
        return
    try:
        recorder.end(status)
    except Exception as error:  # noqa: BLE001 - see tracking
        print(f"MLflow: the run's end is not recorded: {redact(store_message(error))}")


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
        self._open: list[str] = []
        self.known = Tracked()

    def record(self, account: Account, model: Artifact, page: str) -> Tracked:
        """All of it but its end."""
        request = account.request
        experiment = self._experiment()
        self._end_left_over(experiment, account)
        run = self._client.create_run(experiment, run_name=f"{request.training}-{request.run}", tags=_tags(account))
        identifier = run.info.run_id
        self._open.append(identifier)
        self.known = Tracked(identifier, f"{self._wanted.uri.rstrip('/')}/#/experiments/{experiment}/runs/{identifier}")
        best = account.tuned.candidates[account.tuned.winner]
        parameters = {"algorithm": best.algorithm, **best.parameters}
        self._log(identifier, parameters, account.evaluation.metrics)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.html"
            path.write_text(page, encoding="utf-8")
            self._client.log_artifact(identifier, str(path))
        left_out = self._trials(experiment, identifier, account)
        version = self._register(request.model, identifier, model)
        problem = f"{left_out} trials were left out: it took longer than {LIMIT:.0f} s" if left_out else ""
        return msgspec.structs.replace(self.known, version=version, problem=problem)

    def end(self, status: str) -> None:
        """Ends the run, and a trial that is open, with this status of MLflow's; it is ended once."""
        while self._open:
            self._client.set_terminated(self._open.pop(), status)

    def _end_left_over(self, experiment: str, account: Account) -> None:
        """A ModelTraining has one run at a time: what is RUNNING of another one, or of another attempt, was killed."""
        tags = _tags(account)
        training, folder = tags[_TRAINING], tags[_OUTPUT].rpartition("/")[0]
        for run in self._running(experiment, _TRAINING, training):
            if run.data.tags.get(_OUTPUT, "").startswith(f"{folder}/"):
                for child in self._running(experiment, "mlflow.parentRunId", run.info.run_id):
                    self._client.set_terminated(child.info.run_id, "KILLED")
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _running(self, experiment: str, tag: str, value: str) -> list[Any]:
        wanted = f"attributes.status = 'RUNNING' and tags.`{tag}` = '{value}'"
        return list(self._client.search_runs([experiment], wanted, max_results=100))

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
            self._open.append(child.info.run_id)
            scored = {} if trial.score is None else {metric: trial.score}
            self._log(child.info.run_id, {"algorithm": trial.algorithm, **trial.parameters}, scored)
            self._client.set_terminated(child.info.run_id, "FAILED" if trial.state == "Failed" else "FINISHED")
            self._open.pop()
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
        _TRAINING: f"{request.namespace}/{request.training}",
        "perennial.run": str(request.run),
        "perennial.data_sha256": account.ingested.sha256,
        _OUTPUT: request.output,
    }
