"""A search spread over pods: all candidates are tried, all settings counted, and the whole pipeline gives a model."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.contracts import pipelines
from perennial.contracts.names import STORE_ROOT
from perennial.contracts.request import Candidate
from perennial.contracts.result import CandidateScore, RunResult, Trial
from perennial_components.failure import RunError
from perennial_components.records import Tuned
from perennial_components.search import files
from perennial_components.tune.core import search, tune
from perennial_components.tune.shares import merged, share
from tests.unit.components.support import BOOSTING, LOGISTIC, prepared, request

ALGORITHMS = ("LogisticRegression", "HistGradientBoosting", "RandomForest", "ExtraTrees", "MLP")


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 60))
def test_shares_leave_out_no_candidate_and_no_setting(few: int, shares: int, trials: int) -> None:
    candidates = tuple(Candidate(name) for name in ALGORITHMS[:few])
    asked = request(trials=trials)
    all_of = [share(asked, candidates, number, shares) for number in range(shares)]
    assert {each.algorithm for one in all_of for each in one.candidates} == {each.algorithm for each in candidates}
    assert trials <= sum(one.trials for one in all_of) <= trials + max(shares, few) + few
    usual = [each for one in all_of if one.usual for each in one.candidates]
    assert sorted(usual, key=str) == sorted(candidates, key=str), "each usual setting is tried once"
    assert len({(str(one.candidates), one.seed) for one in all_of}) == shares, "no two draw alike"


def found(algorithm: str, score: float, state: str = "Complete") -> Tuned:
    """A share that tried one setting."""
    complete = state == "Complete"
    trial = Trial(1, algorithm, {}, state, score if complete else None, message="" if complete else "refused")  # type: ignore[arg-type]
    return Tuned((CandidateScore(algorithm, {}, score, 0.0, 1),) if complete else (), 0, (trial,))


def test_the_best_of_all_shares_wins_and_trials_are_counted_through() -> None:
    all_of = merged(
        [found("MLP", 0.7), found("SVC", math.nan, "Failed"), found("Ridge", 0.9), found("MLP", 0.8)], "roc_auc"
    )
    assert [trial.number for trial in all_of.trials] == [1, 2, 3, 4]
    assert [(each.algorithm, each.score, each.trials) for each in all_of.candidates] == [
        ("MLP", 0.8, 2),
        ("Ridge", 0.9, 1),
    ]
    assert all_of.candidates[all_of.winner].algorithm == "Ridge"
    lower = merged([found("MLP", 0.7), found("Ridge", 0.9)], "log_loss")
    assert lower.candidates[lower.winner].algorithm == "MLP"
    with pytest.raises(RunError, match="refused"):
        merged([found("SVC", math.nan, "Failed")], "roc_auc")


def test_what_shares_find_is_fitted_as_a_single_search_would() -> None:
    asked = request(candidates=(LOGISTIC, BOOSTING), trials=4)
    _, rows, signature = prepared(asked)
    shared = [search(asked, signature, rows, (number, 2)) for number in range(2)]
    _, tuned, out_of_fold = tune(asked, signature, rows, found=shared)
    winner = tuned.candidates[tuned.winner]
    assert winner.score == max(each.score for one in shared for each in one.candidates)
    only = request(candidates=(Candidate(winner.algorithm, dict(winner.parameters)),))  # type: ignore[arg-type]
    assert tune(only, signature, rows)[2].answers == pytest.approx(out_of_fold.answers)


def test_an_address_differs_by_what_the_search_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_ROOT, "s3://bucket")
    first = files.address(request(), b"rows", b"{}", 0, 2)
    assert first.startswith("s3://bucket/clinic/heart/search/")
    assert files.address(request(run=9, output="s3://other"), b"rows", b"{}", 0, 2) == first
    others = [
        files.address(request(), b"other", b"{}", 0, 2), files.address(request(seed=8), b"rows", b"{}", 0, 2),
        files.address(request(), b"rows", b"{}", 1, 2), files.address(request(), b"rows", b"{}", 0, 3),
    ]  # fmt: skip
    assert len({first, *others}) == 5


def test_the_pipeline_for_kubeflow_runs_in_the_local_runner_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp import components, local

    monkeypatch.setenv(STORE_ROOT, f"file://{tmp_path}/store")
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path / "artifacts"),
        workspace_root=str(tmp_path / "workspace"),
    )
    asked = request(output=f"file://{tmp_path}/store/clinic/heart/1", candidates=(LOGISTIC, BOOSTING), trials=3)
    definition = msgspec.structs.replace(asked, run=0, output="")
    pipeline = components.load_component_from_text(pipelines.compiled("kubeflow").decode())
    made = pipeline(
        request=msgspec.json.encode(asked).decode(),
        definition=msgspec.json.encode(definition).decode(),
        share_numbers=[0, 1],
        shares=2,
    ).output
    result = msgspec.json.decode(Path(made.path).read_bytes(), type=RunResult)
    assert result.metrics["roc_auc"] > 0.8
    assert {each.algorithm for each in result.candidates} == {"LogisticRegression", "HistGradientBoosting"}
    assert len(list((tmp_path / "store" / "clinic" / "heart" / "search").rglob("*.json"))) == 2
