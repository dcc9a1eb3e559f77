"""Features, candidates and tuning: from the spec to the request, the winner's neighbours, a replay."""

from typing import Any

import msgspec

from perennial.contracts import request as contract
from perennial.contracts.result import CandidateScore
from perennial.domain.training.request import read_started, replay_of, spec_hash
from tests.unit.training.support import Cluster, a_training, result


def asked(**changes: Any) -> contract.RunRequest:
    """What the first run of a training with these changes is asked."""
    cluster = Cluster(a_training(**changes))
    cluster.settle()
    begun = read_started(cluster.config_maps[cluster.run.job])
    assert begun is not None
    return begun.request


def test_what_is_left_out_of_the_spec_is_left_to_the_run() -> None:
    plain = asked(candidates=[], features={"auto": {"exclude": ["id"]}})
    assert (plain.candidates, plain.numeric, plain.auto) == ((), (), contract.AutoFeatures(("id",)))
    assert (plain.seed, plain.timeout, plain.pruning, plain.preprocessing) == (
        7,
        0.0,
        "Median",
        contract.Preprocessing(),
    )
    assert a_training().spec.features.auto is None


def test_a_training_without_features_or_candidates_chooses_them() -> None:
    training = a_training()
    bare = {k: v for k, v in training.spec.wire().items() if k not in {"features", "candidates"}}
    spec = type(training.spec).model_validate(bare)
    assert spec.features.auto is not None
    assert spec.candidates == []


def test_dates_and_texts_reach_the_run() -> None:
    found = asked(
        features={
            "datetime": [{"column": "seen"}, {"column": "born", "parts": ["Year"]}],
            "text": [{"column": "said"}, {"column": "note", "maxTerms": 20, "minRows": 5}],
        }
    )
    assert found.text == (contract.TextFeature("said", 100, 2), contract.TextFeature("note", 20, 5))
    usual = contract.DatetimeFeature("seen", ("Month", "Weekday", "Hour"))
    assert found.datetime == (usual, contract.DatetimeFeature("born", ("Year",)))


def test_searches_and_preprocessing_reach_the_run() -> None:
    found = asked(
        features={"numeric": ["age"], "imputation": "Constant", "fill": -1, "scaling": "Robust", "encoding": "Target"},
        imbalance="Oversample",
        candidates=[
            {
                "algorithm": "RandomForest",
                "space": "Builtin",
                "search": {"max_depth": {"low": 2, "high": 8, "step": 2}, "max_features": {"choices": ["sqrt", 0.5]}},
            }
        ],
        tuning={"timeout": "10m", "pruning": "None", "seed": 3},
    )
    (candidate,) = found.candidates
    assert (candidate.algorithm, candidate.space) == ("RandomForest", "Builtin")
    assert candidate.search["max_depth"] == contract.SearchRange(2, 8, "Linear", 2)
    assert candidate.search["max_features"] == contract.SearchRange(choices=("sqrt", 0.5))
    assert found.preprocessing == contract.Preprocessing("Constant", -1, "Robust", "Target")
    assert (found.imbalance, found.timeout, found.pruning) == ("Oversample", 600.0, "None")
    assert (found.seed, found.split.seed) == (3, 7), "what is held out does not move with the tuning's seed"


def test_new_fields_at_their_defaults_retrain_nothing() -> None:
    plain = spec_hash(a_training().spec)
    for same in (
        {"tuning": {"pruning": "Median"}},
        {"features": {"numeric": ["age"], "categorical": ["sex"], "encoding": "OneHot"}},
        {"candidates": [{"algorithm": "LogisticRegression", "space": "Given"}]},
    ):
        assert spec_hash(a_training(**same).spec) == plain
    assert spec_hash(a_training(tuning={"seed": 1}).spec) != plain


def test_a_version_records_its_runs_best_candidates() -> None:
    cluster = Cluster(a_training())
    cluster.settle()
    scores = tuple(CandidateScore(f"c{i}", {"x": True, "y": 0.1}, i / 8, 0.01, i + 1) for i in range(7))
    cluster.end_run(data=msgspec.json.encode(msgspec.structs.replace(result(), candidates=scores)))
    cluster.settle()
    rows = cluster.versions["heart-v1"].spec.record.leaderboard
    assert [row.algorithm for row in rows] == ["c6", "c5", "c4", "c3", "c2"]
    assert (rows[0].score, rows[0].trials, rows[0].parameters) == (0.75, 7, {"x": "true", "y": "0.1"})
    shown = [(row.algorithm, row.score, row.trials) for row in cluster.run.leaderboard]
    assert shown == [("c6", 0.75, 7), ("c5", 0.625, 6), ("c4", 0.5, 5)]


def test_a_replay_asks_for_the_recorded_winner_and_for_nothing_that_could_change_it() -> None:
    cluster = Cluster(a_training())
    cluster.settle()
    cluster.end_run(data=msgspec.json.encode(result()))
    cluster.settle()
    version = cluster.versions["heart-v1"]
    champion = contract.Champion(
        "heart-v0", contract.Artifact("s3://m", "a"), contract.Artifact("s3://s", "b"), asked().split
    )
    original = msgspec.structs.replace(asked(), champion=champion, seed=99)
    found = replay_of(original, version, 5, "s3://artifacts/cardio/heart/5")
    assert found.replay == contract.Replay(
        "heart-v1",
        "LogisticRegression",
        {"C": "0.5", "fit_intercept": "true"},
        "d" * 64,
        version.spec.record.artifacts["model.onnx"].sha256,
    )
    assert (found.run, found.output, found.seed) == (5, "s3://artifacts/cardio/heart/5", 7)
    assert (found.champion, found.tracking, found.gates) == (None, None, None)
    back = {"run": 1, "output": original.output, "seed": 99, "champion": champion, "gates": original.gates}
    assert msgspec.structs.replace(found, replay=None, **back) == original
