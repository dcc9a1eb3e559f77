"""What the operator makes of a ModelTraining whose task is Regression, and that classifications stay what they were."""

from typing import Any

import msgspec
import pytest

from perennial.api.run import Run
from perennial.api.training import ModelTraining
from perennial.contracts.request import Artifact, Champion, RunRequest, Split
from perennial.contracts.result import CandidateScore, ChampionMetrics, RunResult
from perennial.contracts.signature import Input, Signature
from perennial.domain.gates import judged
from perennial.domain.training.record import Malformed, read_result, score
from perennial.domain.training.request import Started, spec_hash, started
from tests.unit.training.support import NOW, ROOT, Cluster, a_training, result

SPLIT = Split(0.25, 7)
CHAMPION = Champion("d-v1", Artifact("s3://m", "a"), Artifact("s3://s", "b"), SPLIT)
SIGNATURE = Signature("Regression", (Input("age", "Numeric"),), "progression", (), positive=0)


def a_regression(**more: Any) -> ModelTraining:
    """One that names no metric."""
    spec = {
        "task": "Regression",
        "data": {"source": {"uri": "s3://data/*.csv"}, "target": {"column": "progression"}},
        "candidates": [{"algorithm": "Ridge"}],
        "evaluation": {"gates": [{"metric": "mae", "max": 60}], "champion": {}},
    }
    return a_training(**(spec | more))


def begun(training: ModelTraining) -> Started:
    """Its first run."""
    run = Run(number=1, trigger={"type": "Spec"}, phase="Running", job="j", started_at=NOW)
    return started(training, run, ROOT, None)


def measured(champion: ChampionMetrics | None = None, **metrics: float) -> RunResult:
    """A run's result with these errors."""
    return msgspec.structs.replace(result(champion=champion, **metrics), signature=SIGNATURE)


def test_a_run_is_asked_for_numbers_by_the_metric_of_its_task() -> None:
    request = msgspec.json.decode(begun(a_regression()).data()["request.json"], type=RunRequest)
    assert (request.task, request.metric) == ("Regression", "rmse")
    assert begun(a_regression(tuning={"metric": "mae"})).request.metric == "mae"
    assert begun(a_training()).request.metric == "roc_auc"


def test_the_score_is_in_the_targets_unit() -> None:
    found = score(measured(rmse=54231.5, mae=9.0), begun(a_regression()))
    assert (found.metric, found.text) == ("rmse", "rmse 54231.5")


def test_a_result_of_the_other_task_is_malformed() -> None:
    output = begun(a_regression()).request.output
    with pytest.raises(Malformed, match="of a Classification, a Regression was asked for"):
        read_result(msgspec.json.encode(result(output, rmse=1.0)), begun(a_regression()))


def test_the_smaller_error_wins_and_a_greater_one_than_the_gate_fails() -> None:
    spec = a_regression().spec
    worse = judged(spec, measured(ChampionMetrics("d-v1", {"rmse": 50.0}, 76), rmse=55.0, mae=61.0), CHAMPION, SPLIT)
    assert [gate.passed for gate in worse.gates] == [False]
    assert worse.champion is not None
    assert worse.champion.verdict == "Worse"
    assert worse.champion.message.startswith("rmse 55.000 against d-v1's 50.000")
    better = judged(spec, measured(ChampionMetrics("d-v1", {"rmse": 56.0}, 76), rmse=55.0, mae=59.0), CHAMPION, SPLIT)
    assert better.passed
    by_share = a_regression(evaluation={"champion": {"metric": "r2"}}).spec
    lost = judged(by_share, measured(ChampionMetrics("d-v1", {"r2": 0.5}, 76), r2=0.4), CHAMPION, SPLIT)
    assert lost.champion is not None
    assert lost.champion.verdict == "Worse", "of R2, more is better"


def test_a_metric_that_an_older_schema_wrote_into_the_object_retrains_nothing() -> None:
    """The hashes are those of the operator before: its schema had roc_auc as a default."""
    plain = {"evaluation": {"gates": [{"metric": "roc_auc", "min": 0.8}], "champion": {}}}
    written = {
        "tuning": {"metric": "roc_auc", "trials": 20, "folds": 5},
        "evaluation": {"gates": [{"metric": "roc_auc", "min": 0.8}], "champion": {"metric": "roc_auc"}},
    }
    assert spec_hash(a_training().spec) == "6779734816732e44"
    assert spec_hash(a_training(**plain).spec) == spec_hash(a_training(**written).spec) == "88deb907805c376f"
    other = {"tuning": {"metric": "f1", "trials": 5}, "evaluation": {"champion": {"metric": "f1"}}}
    assert spec_hash(a_training(**other).spec) == "d578e8f04532755b"
    assert spec_hash(a_regression().spec) == spec_hash(a_regression(tuning={"metric": "rmse"}).spec)


def test_the_least_error_leads_the_leaderboard() -> None:
    cluster = Cluster(a_regression())
    cluster.settle()
    scores = tuple(CandidateScore(f"c{number}", {}, float(number), 0.01, 1) for number in (3, 1, 2))
    cluster.end_run(made=msgspec.structs.replace(measured(rmse=50.0, mae=40.0), candidates=scores))
    cluster.settle()
    assert [(row.algorithm, row.score) for row in cluster.run.leaderboard] == [("c1", 1.0), ("c2", 2.0), ("c3", 3.0)]
