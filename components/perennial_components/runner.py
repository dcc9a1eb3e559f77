"""Runs the compiled pipeline in this pod with Kubeflow's local runner: ``python -m perennial_components.runner``.

The outcome is one JSON document (contracts.result.RunOutcome) at the pod's termination message path. Needs no network
but the store's, and no writable folder but the temporary one.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import obstore.exceptions
import yaml

from perennial.contracts import names, objects, pipelines
from perennial.contracts.pipeline import lint
from perennial.contracts.request import Artifact, RunRequest
from perennial.contracts.result import RunOutcome, RunResult
from perennial_components import progress
from perennial_components.failure import FAILURE_FILE, Failure, RunError, account, last_lines, redact
from perennial_components.own import FOLDER
from perennial_components.storage import read_request, store_message
from perennial_components.tune.replay import words

REQUEST_FILE = "PERENNIAL_REQUEST_FILE"
TERMINATION_LOG = "PERENNIAL_TERMINATION_LOG"
DEFAULT_TERMINATION_LOG = "/dev/termination-log"


def main(environ: Mapping[str, str] | None = None) -> int:
    """Runs once; the exit code is 0 when the run succeeded."""
    environ = os.environ if environ is None else environ
    with tempfile.TemporaryDirectory(prefix="perennial-run-") as folder:
        outcome = run(environ, Path(folder))
    Path(environ.get(TERMINATION_LOG, DEFAULT_TERMINATION_LOG)).write_bytes(msgspec.json.encode(outcome))
    print("succeeded" if outcome.succeeded else f"failed: {outcome.component}: {outcome.reason}: {outcome.message}")
    return 0 if outcome.succeeded else 1


def run(environ: Mapping[str, str], folder: Path) -> RunOutcome:
    """The outcome of the request in ``environ``; whatever goes wrong is an outcome too. ``folder`` is for its files."""
    failure_file = folder / "failure.json"
    os.environ[FAILURE_FILE] = str(failure_file)
    os.environ["TMPDIR"] = str(folder)  # Kubeflow's entry point makes a folder for each component and leaves it there
    try:
        text = Path(environ[REQUEST_FILE]).read_text(encoding="utf-8")
        request = read_request(text)
        if environ.get(names.OWN_PIPELINE):
            folder_of_its_own = f"{request.output.rstrip('/')}/{FOLDER}"
            request = msgspec.structs.replace(request, output=folder_of_its_own, tracking=None)
        result = _execute(request, _compiled(request, environ), folder)
    except Exception as error:  # noqa: BLE001 - the operator must learn of it, whatever it is
        return failed(failure_file, error)
    finally:
        del os.environ[FAILURE_FILE]
        progress.end()
    content = Path(result.path).read_bytes()
    return RunOutcome(succeeded=True, result=_recorded(request, content), message=_replayed(request, content))


def failed(failure_file: Path, error: Exception) -> RunOutcome:
    """The outcome of a failed run: the failing component's own account where it left one, otherwise ``error``."""
    if failure_file.exists():
        failure = msgspec.json.decode(failure_file.read_bytes(), type=Failure)
        if failure.reason:
            return account(failure.component, failure.reason, failure.message)
        message = f"{failure.component} ended without a word: it was killed, most often for want of memory"
        return account(failure.component, "InternalError", message)
    if isinstance(error, RunError):
        return account("", error.reason, redact(error.message))
    return account("", "InternalError", redact(last_lines(error)))


def _compiled(request: RunRequest, environ: Mapping[str, str]) -> str:
    """The pipeline: ours, or in the container of somebody's own that one, verified and held against its contract."""
    own = request.pipeline
    if own is None or not environ.get(names.OWN_PIPELINE):
        return pipelines.compiled("own" if own else "tabular").decode()
    try:
        content = objects.read(own.url, environ)
    except FileNotFoundError as error:
        raise RunError("TrainingFailed", f"spec.pipeline.url: there is nothing at {own.url}") from error
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise RunError("DataUnavailable", f"spec.pipeline.url: {own.url}: {store_message(error)}") from error
    if (found := objects.sha256(content)) != own.sha256:
        raise RunError("TrainingFailed", f"spec.pipeline.sha256: the file at {own.url} has {found}: it is another one")
    try:
        findings = lint(list(yaml.safe_load_all(content)), own.image)
    except yaml.YAMLError as error:
        raise RunError("TrainingFailed", f"spec.pipeline.url: {own.url} is no YAML: {error}") from error
    if errors := [str(finding) for finding in findings if finding.level == "Error"]:
        raise RunError("TrainingFailed", "spec.pipeline: " + "\n".join(errors))
    return content.decode()


def _execute(request: RunRequest, compiled: str, folder: Path) -> Any:
    """Runs the pipeline and returns its output artifact."""
    from kfp import components, local  # noqa: PLC0415 - components in this process's children need no kfp compiler

    # The components run as processes of this very environment: the image's name says nothing here.
    warnings.filterwarnings("ignore", message="You may be attemping to run a task")
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "artifacts"),
        workspace_root=str(folder / "workspace"),
    )
    pipeline = components.load_component_from_text(compiled)
    progress.begin(request.output, len(pipeline.pipeline_spec.root.dag.tasks), folder)
    return pipeline(request=msgspec.json.encode(request, order="deterministic").decode()).output


def _recorded(request: RunRequest, content: bytes) -> Artifact:
    uri = f"{request.output.rstrip('/')}/{names.FILE_RESULT}"
    return Artifact(uri=uri, sha256=objects.sha256(content), size=len(content))


def _replayed(request: RunRequest, result: bytes) -> str:
    """What became of a replay; "" where it is none."""
    found = msgspec.json.decode(result, type=RunResult).reproduction if request.replay else None
    return words(found) if found else ""


if __name__ == "__main__":
    sys.exit(main())
