"""The ModelVersion that a run makes: a function of what the run left, so that making it twice is making it once."""

import math
from datetime import datetime
from typing import Any, Literal

import msgspec

from perennial.api.common import API_VERSION
from perennial.api.data import EntityRows, Source
from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.api.version import (
    ArtifactRecord,
    DataRecord,
    FeastRecord,
    FeatureViewRecord,
    IntervalRecord,
    LeaderboardRow,
    MLflowRecord,
    ModelVersion,
    Record,
    Score,
    SliceRecord,
)
from perennial.contracts.gates import Verdict
from perennial.contracts.names import (
    FILE_BASELINE,
    FILE_SIGNATURE,
    GROUP,
    LABEL_MANAGED_BY,
    LABEL_TRAINING,
    MANAGED_BY,
    model_file,
)
from perennial.contracts.request import Artifact
from perennial.contracts.result import LOWER_IS_BETTER, FeastSeen, RunResult, Tracked
from perennial.domain.gates import champion_record, gate_records
from perennial.domain.split import split_record
from perennial.domain.training.request import Started

LABEL_MODEL = f"{GROUP}/model"
_COLUMNS = 1000
_SOURCE = 1024
_SLICES = _VIEWS = 200
_LEADERS = 5
_TEXT = 128


Approver = Literal["Automatic", "Manual"]


class Malformed(ValueError):
    """The run's result is not what the request asked for; the message says where."""


def read_result(data: bytes, begun: Started) -> RunResult:
    """The result from its JSON. Raises :class:`Malformed`, also when it claims files that are not the run's own."""
    try:
        result = msgspec.json.decode(data, type=RunResult)
    except msgspec.DecodeError as error:
        raise Malformed(f"result.json cannot be read: {error}") from error
    needed = (model_file(result.artifacts), FILE_SIGNATURE, FILE_BASELINE)
    if absent := [name for name in needed if name not in result.artifacts]:
        raise Malformed(f"result.json names no {', '.join(absent)}")
    for name, artifact in result.artifacts.items():
        if not artifact.uri.startswith(f"{begun.request.output}/") or "/../" in artifact.uri:
            raise Malformed(f"{name} is at {artifact.uri}, outside of the run's folder {begun.request.output}")
    if result.signature.task != begun.spec.task:
        raise Malformed(f"result.json is of a {result.signature.task}, a {begun.spec.task} was asked for")
    if not math.isfinite(result.metrics.get(begun.spec.tuned_metric, math.nan)):
        raise Malformed(f"result.json has no {begun.spec.tuned_metric} on the held-out rows")
    return result


def version_name(training: ModelTraining, number: int) -> str:
    """The ModelVersion with this number."""
    return f"{training.spec.model}-v{number}"


def score(result: RunResult, begun: Started) -> Score:
    """The tuned metric on the held-out rows."""
    metric = begun.spec.tuned_metric
    value = result.metrics[metric]
    # An error is in the target's unit, whatever that is.
    text = f"{value:.6g}" if begun.spec.task == "Regression" else f"{value:.3f}"
    return Score(metric=metric, value=value, text=f"{metric} {text}")


def is_ours(version: ModelVersion, training: ModelTraining, run: Run) -> bool:
    """Whether ``version`` is the one that this run made."""
    record = version.spec.record
    return record.run_uid == training.metadata.uid and record.run == run.number


def approval(verdict: Verdict, approver: Approver) -> str:
    """Rejected where a gate failed, otherwise what the ``approver`` makes of it."""
    if not verdict.passed:
        return "Rejected"
    return "Approved" if approver == "Automatic" else "Pending"


def manifest(
    training: ModelTraining, run: Run, begun: Started, result: RunResult, verdict: Verdict, *, insists: bool
) -> dict[str, Any]:
    """The ModelVersion of ``run``, which has its number reserved, its result recorded and its finish time set.

    ``insists``: the namespace wants a person's approval, whatever the spec says.
    """
    approver: Approver = "Manual" if insists else begun.spec.approval
    made = record(training, run, begun, result, verdict).model_copy(update={"approval": approver})
    return {
        "apiVersion": API_VERSION,
        "kind": ModelVersion.KIND,
        "metadata": {
            "name": version_name(training, made.number),
            "namespace": training.metadata.namespace,
            "labels": {
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_TRAINING: training.metadata.name,
                LABEL_MODEL: training.spec.model,
            },
        },
        "spec": {"record": made.wire(), "approval": approval(verdict, approver)},
    }


def record(training: ModelTraining, run: Run, begun: Started, result: RunResult, verdict: Verdict) -> Record:
    """What is true of the version for ever."""
    if run.reserved is None or run.result is None or run.finished_at is None:
        raise ValueError("a version is recorded after its number, result and finish time are")
    spec = begun.spec
    return Record(
        model=spec.model,
        number=run.reserved,
        training=training.metadata.name,
        run=run.number,
        run_uid=training.metadata.uid,
        trigger=run.trigger,
        created=run.finished_at,
        algorithm=result.algorithm[:64],
        parameters={key: _text(value) for key, value in result.parameters.items()},
        seed=result.seed,
        score=score(result, begun),
        leaderboard=_leaderboard(result, begun),
        metrics=result.metrics,
        intervals={name: IntervalRecord(low=each.low, high=each.high) for name, each in result.intervals.items()},
        slices=_slices(result),
        gates=gate_records(verdict),
        champion=champion_record(verdict),
        data=_data(_source(spec.data.source), result),
        split=split_record(begun.request.split),
        artifacts={name: _artifact(artifact) for name, artifact in sorted(result.artifacts.items())},
        result=ArtifactRecord.model_validate(run.result),
        image=run.image,
        pipeline=result.pipeline_sha256[:64],
        packages=dict(sorted(result.packages.items())),
        mlflow=_mlflow(result.tracking),
    )


def finish_time(at: datetime) -> datetime:
    """``at`` in whole seconds, as it is read back."""
    return at.replace(microsecond=0)


def _leaderboard(result: RunResult, begun: Started) -> list[LeaderboardRow]:
    lower = begun.spec.tuned_metric in LOWER_IS_BETTER
    ranked = sorted(result.candidates, key=lambda each: each.score if lower else -each.score)
    return [
        LeaderboardRow(
            algorithm=each.algorithm[:64],
            score=each.score,
            deviation=each.deviation,
            trials=each.trials,
            parameters={key: _text(value) for key, value in each.parameters.items()},
        )
        for each in ranked[:_LEADERS]
        if math.isfinite(each.score) and math.isfinite(each.deviation)
    ]


def _slices(result: RunResult) -> list[SliceRecord]:
    return [
        SliceRecord(column=each.column[:_TEXT], value=each.value[:_TEXT], rows=each.rows, metrics=each.metrics)
        for each in result.slices[:_SLICES]
    ]


def _source(source: Source | EntityRows) -> str:
    """The address, or the Secret and the query of it; the whole query stands in the run's request.json. Of Feast what
    was asked for, and in the same way its entity rows.
    """
    feast = source.feast if isinstance(source, Source) else None
    if feast is not None:
        secret, asked = feast.store_secret, feast.feature_service or ", ".join(feast.features)
        named = f"Feast, Secret {secret.name}/{secret.key}: {asked[: _SOURCE // 2]}"
        return f"{named}; entities: {_source(feast.entities)}"[:_SOURCE]
    if source.sql is None:
        return source.uri or ""
    connection = source.sql.connection_secret
    return f"Secret {connection.name}/{connection.key}: {' '.join(source.sql.query.split())}"[:_SOURCE]


def _data(source: str, result: RunResult) -> DataRecord:
    data = result.data
    return DataRecord(
        source=source,
        sha256=data.sha256,
        rows=data.rows,
        test_rows=data.test_rows,
        columns=[column[:_TEXT] for column in data.columns[:_COLUMNS]],
        types=list(data.types[:_COLUMNS]),
        feast=_feast(data.feast),
    )


def _feast(seen: FeastSeen | None) -> FeastRecord | None:
    if seen is None:
        return None
    views = [
        FeatureViewRecord(name=each.name, version=each.version, sha256=each.sha256, updated=each.updated)
        for each in seen.views[:_VIEWS]
    ]
    return FeastRecord(project=seen.project, service=seen.service, features=list(seen.features[:_COLUMNS]), views=views)


def _artifact(artifact: Artifact) -> ArtifactRecord:
    return ArtifactRecord(uri=artifact.uri, sha256=artifact.sha256, size=artifact.size)


def _mlflow(tracked: Tracked | None) -> MLflowRecord | None:
    if tracked is None or not tracked.run:
        return None
    return MLflowRecord(run=tracked.run, url=tracked.url, version=tracked.version)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
