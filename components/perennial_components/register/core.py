"""Uploads what a run made, ``result.json`` last: where that exists, everything it names does too."""

import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import msgspec
import obstore.exceptions

from perennial.contracts import names, objects, pipelines
from perennial.contracts.request import Artifact
from perennial.contracts.result import DataSummary, RunResult, Tracked
from perennial_components.failure import RunError
from perennial_components.records import Account
from perennial_components.storage import store_message
from perennial_components.tracking.mlflow import tracking
from perennial_components.tune.replay import reproduction

PACKAGES = ("scikit-learn", "numpy", "pandas", "skl2onnx", "onnx", "onnxruntime", "skops", "kfp")


def register(
    account: Account, files: Mapping[str, bytes], credentials: Mapping[str, str], page: str
) -> tuple[bytes, Artifact]:
    """Writes ``files`` (content by name) under ``request.output``, tells MLflow where one is named (with ``page``, the
    report), then writes ``result.json``; its bytes and its record.

    Raises RunError (StoreUnavailable).
    """
    folder = account.request.output.rstrip("/")
    artifacts = {name: _write(f"{folder}/{name}", data, credentials) for name, data in sorted(files.items())}
    with tracking(account, artifacts[names.model_file(artifacts)], page, credentials) as tracked:
        result = result_of(account, artifacts, tracked)
        content = msgspec.json.format(msgspec.json.encode(result, order="deterministic"), indent=2)
        return content, _write(f"{folder}/{names.FILE_RESULT}", content, credentials)


def result_of(account: Account, artifacts: dict[str, Artifact], tracked: Tracked | None = None) -> RunResult:
    """The run's account in the form that the operator reads."""
    best = account.tuned.candidates[account.tuned.winner]
    ingested, evaluation = account.ingested, account.evaluation
    return RunResult(
        data=DataSummary(
            sha256=ingested.sha256,
            rows=ingested.rows,
            test_rows=evaluation.rows,
            columns=ingested.columns,
            files=ingested.files,
            types=ingested.types,
            feast=ingested.feast,
        ),
        algorithm=best.algorithm,
        parameters=best.parameters,
        candidates=account.tuned.candidates,
        metrics=evaluation.metrics,
        intervals=evaluation.intervals,
        slices=evaluation.slices,
        artifacts=artifacts,
        signature=account.signature,
        parity=account.parity.difference,
        seed=account.request.seed,
        packages=packages(),
        pipeline_sha256=_pipeline(account),
        champion=evaluation.champion,
        format="skops" if account.parity.reason else "onnx",
        format_reason=account.parity.reason,
        tracking=tracked,
        reproduction=reproduction(account.request, artifacts),
    )


def packages() -> dict[str, str]:
    """The versions of what shapes a model."""
    return {name: metadata.version(name) for name in PACKAGES}


def _pipeline(account: Account) -> str:
    own = account.request.pipeline
    ran: Any = os.environ.get(names.PIPELINE, "tabular")
    return own.sha256 if own else objects.sha256(pipelines.compiled(ran))


def _write(uri: str, data: bytes, credentials: Mapping[str, str]) -> Artifact:
    try:
        return objects.write(uri, data, credentials)
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise RunError("StoreUnavailable", f"{uri} cannot be written: {store_message(error)}") from error
