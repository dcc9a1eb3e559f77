"""What a run is asked to do, and the definition it was started for: both stand in one ConfigMap that never changes.

So a run is judged by the spec of its start. What the spec says meanwhile is another run's business.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from perennial.api.candidates import CandidateSpec, FeaturesSpec
from perennial.api.common import seconds
from perennial.api.data import DataSpec, EntityRows, Source
from perennial.api.evaluation import DEFAULT_METRIC, Evaluation
from perennial.api.run import Run
from perennial.api.training import ModelTraining, TrainingSpec
from perennial.api.version import ArtifactRecord, ModelVersion
from perennial.contracts import request as contract
from perennial.contracts.names import FILE_SIGNATURE, model_file
from perennial.contracts.result import FILE_REQUEST
from perennial.domain.gates import gates_of, met_by
from perennial.domain.plan import short_hash
from perennial.domain.split import recorded_split
from perennial.domain.training import preparation

REQUEST_KEY = "request.json"
SPEC_KEY = "training.json"
_HASH_LENGTH = 16
_ATTEMPT = re.compile(r"-r\d+$")
_NOT_HASHED: dict[str, Any] = {
    **dict.fromkeys(
        ("approval", "engine", "tracking", "schedule", "concurrency_policy", "suspend", "retry", "retention"), True
    ),
    "data": {"poll"},
}
"""When, where and with what approval a run runs, and who is told, changes nothing about the model that it makes."""


@dataclass(frozen=True)
class Started:
    """A run as it was started."""

    request: contract.RunRequest
    spec: TrainingSpec

    @property
    def spec_hash(self) -> str:
        """Of the spec that it was started for."""
        return spec_hash(self.spec)

    def data(self) -> dict[str, str]:
        """The ConfigMap's entries."""
        request = msgspec.json.encode(self.request, order="deterministic").decode()
        return {REQUEST_KEY: request, SPEC_KEY: json.dumps(self.spec.wire(), sort_keys=True)}


def read_started(config_map: dict[str, Any] | None) -> Started | None:
    """The run as its ConfigMap tells; None when there is none that can be read."""
    data = (config_map or {}).get("data") or {}
    try:
        request = msgspec.json.decode(data[REQUEST_KEY], type=contract.RunRequest)
        return Started(request=request, spec=TrainingSpec.model_validate_json(data[SPEC_KEY]))
    except (KeyError, msgspec.DecodeError, ValidationError):
        return None


def spec_hash(spec: TrainingSpec) -> str:
    """Changes with all that makes another model of the same data; fields at their defaults do not enter.

    So an operator that knows more fields than the one before retrains nothing.
    """
    plain = _without_default_metrics(spec).model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_HASHED
    )
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


def _without_default_metrics(spec: TrainingSpec) -> TrainingSpec:
    """Older schemas wrote their default, roc_auc, into the objects: it means what nothing means."""
    usual = DEFAULT_METRIC[spec.task]
    tuning, champion = spec.tuning, spec.evaluation.champion
    if tuning.metric == usual:
        spec = spec.model_copy(update={"tuning": tuning.model_copy(update={"metric": None})})
    if champion and champion.metric == usual:
        plain = spec.evaluation.model_copy(update={"champion": champion.model_copy(update={"metric": None})})
        spec = spec.model_copy(update={"evaluation": plain})
    return spec


def job_name(training: ModelTraining, number: int) -> str:
    """The name of the ConfigMap of run ``number``, and of its first attempt's Job."""
    metadata = training.metadata
    return f"{metadata.name[:40].rstrip('-.')}-{number}-{short_hash(metadata.uid, str(number))}"


def attempt_name(run: Run, attempt: int) -> str:
    """The name of the Job that is the ``attempt``-th attempt of ``run``."""
    return request_of(run.job) + (f"-r{attempt}" if attempt > 1 else "")


def request_of(job: str) -> str:
    """The name of the ConfigMap that a run's Job ``job`` reads: one for all attempts of the run."""
    return _ATTEMPT.sub("", job)


def poll_name(training: ModelTraining, number: int) -> str:
    """The name of the ConfigMap and the Job that poll ``number`` of the data is made of, for the spec as it is."""
    metadata = training.metadata
    unique = short_hash(metadata.uid, "poll", str(number), spec_hash(training.spec))
    return f"{metadata.name[:40].rstrip('-.')}-poll-{unique}"


def output(root: str, namespace: str, training: str, number: int) -> str:
    """The store address of a run's files, without a slash at its end."""
    return f"{root}/{namespace}/{training}/{number}"


def started(
    training: ModelTraining,
    run: Run,
    root: str,
    champion: ModelVersion | None,
    feast_image: str = "",
    *,
    insists: bool = False,
) -> Started:
    """The run ``run`` as it starts now. ``champion`` is the deployed version, met where the spec asks for it;
    ``feast_image`` reads Feast repositories where the spec names no other; the namespace ``insists`` on a person's
    approval, which the run's report is to say.
    """
    spec, metadata = training.spec, training.metadata
    request = contract.RunRequest(
        namespace=metadata.namespace,
        training=metadata.name,
        run=run.number,
        model=spec.model,
        task=spec.task,
        source=spec.data.source.uri or "",
        target=_target(spec.data),
        numeric=tuple(spec.features.numeric),
        categorical=tuple(spec.features.categorical),
        datetime=tuple(contract.DatetimeFeature(each.column, tuple(each.parts)) for each in spec.features.datetime),
        text=tuple(contract.TextFeature(each.column, each.max_terms, each.min_rows) for each in spec.features.text),
        checks=_checks(spec.data),
        split=split(spec),
        imbalance=spec.imbalance,
        candidates=tuple(map(_candidate, spec.candidates)),
        metric=spec.tuned_metric,
        trials=spec.tuning.trials,
        folds=spec.tuning.folds,
        slices=_slices(spec.evaluation),
        seed=spec.data.split.seed if spec.tuning.seed is None else spec.tuning.seed,
        output=output(root, metadata.namespace, metadata.name, run.number),
        time=spec.data.time or "",
        require=preparation.require(spec.data),
        prepare=preparation.steps(spec.data.prepare),
        tracking=_tracking(training),
        pipeline=_pipeline(spec),
        champion=_champion(champion, spec) if champion and spec.evaluation.champion else None,
        auto=contract.AutoFeatures(tuple(spec.features.auto.exclude)) if spec.features.auto else None,
        preprocessing=_preprocessing(spec.features),
        timeout=seconds(spec.tuning.timeout) if spec.tuning.timeout else 0.0,
        pruning=spec.tuning.pruning,
        format=spec.data.source.format,
        sql=_sql(spec.data.source),
        gates=gates_of(spec, insists=insists),
        feast=_feast(spec.data.source, feast_image),
    )
    return Started(request=request, spec=spec)


def _feast(source: Source, image: str) -> contract.FeastSource | None:
    given = source.feast
    if given is None:
        return None
    return contract.FeastSource(
        secret=given.store_secret.name,
        key=given.store_secret.key,
        image=given.image or image,
        features=tuple(given.features),
        service=given.feature_service or "",
        full_names=given.full_feature_names,
        rows=given.entities.uri or "",
        format=given.entities.format,
        sql=_sql(given.entities),
    )


def _sql(source: Source | EntityRows) -> contract.SqlSource | None:
    given = source.sql
    if given is None:
        return None
    return contract.SqlSource(given.connection_secret.name, given.connection_secret.key, given.query)


def _slices(evaluation: Evaluation) -> tuple[str, ...]:
    """The columns by whose values gates judge."""
    found = {gate.by for gate in evaluation.gates if gate.by}
    return tuple(sorted(found | {gate.by for gate in evaluation.fairness}))


def _tracking(training: ModelTraining) -> contract.Tracking | None:
    wanted = training.spec.tracking
    if wanted is None:
        return None
    given, metadata = wanted.mlflow, training.metadata
    return contract.Tracking(uri=given.uri, experiment=given.experiment or f"{metadata.namespace}/{metadata.name}")


def _pipeline(spec: TrainingSpec) -> contract.OwnPipeline | None:
    own = spec.pipeline
    return contract.OwnPipeline(own.url, own.sha256, own.image or "") if own else None


def split(spec: TrainingSpec) -> contract.Split:
    """How the spec holds rows out."""
    return preparation.split(spec.data)


def _target(data: DataSpec) -> contract.Target:
    positive = data.target.positive
    return contract.Target(
        column=data.target.column,
        above=positive.above if positive else None,
        equals=positive.equals if positive else None,
    )


def _checks(data: DataSpec) -> tuple[contract.Check, ...]:
    return tuple(
        contract.Check(
            column=check.column,
            min=check.min,
            max=check.max,
            max_missing=check.max_missing,
            allowed=tuple(check.allowed or ()),
            type=check.type,
            unique=check.unique,
            pattern=check.pattern,
        )
        for check in data.checks
    )


def _candidate(candidate: CandidateSpec) -> contract.Candidate:
    ranges = {
        name: contract.SearchRange(
            low=given.low or 0.0,
            high=given.high or 0.0,
            scale=given.scale or "Linear",
            step=given.step,
            choices=tuple(given.choices or ()),
        )
        for name, given in candidate.search.items()
    }
    return contract.Candidate(candidate.algorithm, dict(candidate.parameters), ranges, candidate.space)


def _preprocessing(features: FeaturesSpec) -> contract.Preprocessing:
    return contract.Preprocessing(
        imputation=features.imputation or "",
        fill=features.fill or 0.0,
        scaling=features.scaling or "",
        encoding=features.encoding,
    )


def _champion(version: ModelVersion, spec: TrainingSpec) -> contract.Champion | None:
    record = version.spec.record
    model = model_file(record.artifacts)
    if model not in record.artifacts or FILE_SIGNATURE not in record.artifacts:
        return None
    asked = record.artifacts.get(FILE_REQUEST)
    champion = contract.Champion(
        version=version.metadata.name,
        model=_artifact(record.artifacts[model]),
        signature=_artifact(record.artifacts[FILE_SIGNATURE]),
        split=recorded_split(record.split),
        request=_artifact(asked) if asked else None,
    )
    return met_by(champion, spec)


def _artifact(record: ArtifactRecord) -> contract.Artifact:
    return contract.Artifact(uri=record.uri, sha256=record.sha256, size=record.size)


def replay_of(original: contract.RunRequest, version: ModelVersion, run: int, folder: str) -> contract.RunRequest:
    """Run ``run``, which fits the recorded winner of ``version`` again and writes into ``folder``. ``original`` is what
    the run that made the version was asked, its file request.json.
    """
    record = version.spec.record
    replay = contract.Replay(
        version=version.metadata.name,
        algorithm=record.algorithm,
        parameters=record.parameters,
        data_sha256=record.data.sha256,
        model_sha256=record.artifacts[model_file(record.artifacts)].sha256,
    )
    return msgspec.structs.replace(
        original, run=run, output=folder, seed=record.seed, replay=replay, champion=None, tracking=None, gates=None
    )
