"""The search: seeded, each trial recorded, what cannot be fitted passed over, time and hopeless trials cut short."""

from typing import Any

import numpy as np
import pytest
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from perennial.contracts.request import Candidate, RunRequest, SearchRange
from perennial.contracts.signature import Input, Signature
from perennial_components.baseline.calibration import calibration_points
from perennial_components.failure import RunError
from perennial_components.storage import Encoded
from perennial_components.tune import core
from perennial_components.tune.catalog import CATALOG, default_candidates, rows_of_table
from perennial_components.tune.core import tune
from perennial_components.tune.estimators import resampled
from perennial_components.tune.parameters import space_of
from perennial_components.tune.search import Proposal, Search
from tests.unit.components.support import DATA, LOGISTIC, request

DOCS = DATA.parents[1] / "docs" / "candidates.md"
TREE = Candidate("DecisionTree", search={"max_depth": SearchRange(1, 9, step=2)})
SIGNATURE = Signature("Classification", tuple(Input(f"x{i}", "Numeric") for i in range(3)), "y", ("0", "1"))


def made(share: float = 0.5, count: int = 160) -> Encoded:
    """Rows of two classes that are nearly told apart by the first number."""
    random = np.random.default_rng(0)
    features = random.normal(size=(count, 3)).astype(np.float32)
    noisy = features[:, 0] + 0.5 * random.normal(size=count)
    target = (noisy > np.quantile(noisy, 1 - share)).astype(np.int64)
    return Encoded(features, target, np.arange(count) % 4 == 0)


def asked(*candidates: Candidate, **changes: Any) -> RunRequest:
    """A search on them."""
    return request(**{"candidates": candidates, "imbalance": "None", "trials": 8, **changes})


def proposed(search: Search, scores: dict[str, float]) -> list[Proposal]:
    """All proposals, each answered by its candidate's score."""
    found = []
    for proposal in search.proposals():
        found.append(proposal)
        search.told(proposal, scores["LogisticRegression" if proposal.place == 0 else "DecisionTree"])
    return found


def test_each_candidate_begins_with_its_usual_setting_then_they_take_turns() -> None:
    search = Search(asked(LOGISTIC, TREE, trials=12), (LOGISTIC, TREE))
    found = proposed(search, {"LogisticRegression": 0.9, "DecisionTree": 0.5})
    assert [found[0].parameters, found[1].parameters] == [{"C": 1.0}, {"max_depth": 5}]
    assert len(found) <= 12
    assert {proposal.place for proposal in found[2:6]} == {0, 1}
    assert len({proposal.key for proposal in found}) == len(found), "nothing is tried twice"
    assert {proposal.parameters["max_depth"] for proposal in found if proposal.place == 1} <= {1, 3, 5, 7, 9}


def test_the_same_seed_proposes_the_same_and_another_one_other_settings() -> None:
    keys = [
        [proposal.key for proposal in proposed(Search(asked(LOGISTIC, TREE, seed=seed), (LOGISTIC, TREE)), scores)]
        for seed in (1, 1, 2)
        for scores in [{"LogisticRegression": 0.8, "DecisionTree": 0.7}]
    ]
    assert keys[0] == keys[1] != keys[2]


def test_choices_and_a_small_space_end_the_search() -> None:
    few = Candidate("LogisticRegression", search={"C": SearchRange(choices=(0.1, 1, 10))})
    words = Candidate("RandomForest", {"n_estimators": 3}, {"max_features": SearchRange(choices=("sqrt", 0.5))})
    found = tune(asked(few, words, trials=30), SIGNATURE, made())[1].trials
    assert {trial.parameters["C"] for trial in found if trial.algorithm == "LogisticRegression"} == {0.1, 1.0, 10.0}
    assert {trial.parameters["max_features"] for trial in found if trial.algorithm == "RandomForest"} == {"sqrt", 0.5}
    assert len(found) == 5


def test_every_trial_is_recorded_and_the_best_complete_one_wins() -> None:
    told: list[tuple[int, int, float | None]] = []
    _, tuned, out_of_fold = tune(asked(LOGISTIC, TREE), SIGNATURE, made(), lambda *each: told.append(each))
    assert [trial.number for trial in tuned.trials] == list(range(1, len(tuned.trials) + 1))
    best = max(trial.score or 0 for trial in tuned.trials if trial.state == "Complete")
    winner = tuned.candidates[tuned.winner]
    assert winner.score == best
    record = next(trial for trial in tuned.trials if trial.score == best)
    assert np.mean(record.folds) == pytest.approx(best)
    assert (record.algorithm, record.parameters) == (winner.algorithm, winner.parameters)
    assert sum(each.trials for each in tuned.candidates) == len(tuned.trials)
    assert told[0] == (1, 8, None)
    assert told[-1][2] == max(trial.score or 0 for trial in tuned.trials[:-1] if trial.state == "Complete")
    assert out_of_fold.answers.shape == (120, 2)


def test_out_of_fold_predictions_are_in_the_order_of_the_rows() -> None:
    rows = made()
    _, _, out_of_fold = tune(asked(Candidate("LogisticRegression")), SIGNATURE, rows)
    trained = rows.features[~rows.held]
    np.testing.assert_array_equal(out_of_fold.target, rows.target[~rows.held])
    assert np.corrcoef(trained[:, 0], out_of_fold.answers[:, 1])[0, 1] > 0.8


def test_a_trial_that_an_estimator_refuses_is_passed_over() -> None:
    bad = Candidate("SVC", {"kernel": "poly", "degree": 3, "gamma": 1e300})
    _, tuned, _ = tune(asked(bad, Candidate("DecisionTree")), SIGNATURE, made())
    assert [trial.state for trial in tuned.trials] == ["Failed", "Complete"]
    assert tuned.trials[0].message.startswith("SVC refuses {'degree': 3, 'gamma': 1e+300, 'kernel': 'poly'}: ")
    assert (len(tuned.candidates), tuned.winner) == (1, 0)
    with pytest.raises(RunError, match="SVC refuses") as error:
        tune(asked(bad), SIGNATURE, made())
    assert error.value.reason == "TrainingFailed"


def test_a_hopeless_trial_ends_early_unless_pruning_is_none() -> None:
    searched = Candidate("LogisticRegression", search={"C": SearchRange(1e-9, 1, "Log")})
    for pruning, states in (("Median", {"Complete", "Pruned"}), ("None", {"Complete"})):
        found = tune(asked(searched, metric="log_loss", trials=14, pruning=pruning), SIGNATURE, made())[1].trials
        assert {trial.state for trial in found} == states
        for trial in found:
            assert len(trial.folds) == 3 if trial.state == "Complete" else len(trial.folds) == 2


def test_no_trial_starts_once_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr(core.time, "monotonic", lambda: float(next(now)))
    _, tuned, _ = tune(asked(LOGISTIC, trials=50, timeout=100.0), SIGNATURE, made())
    assert 1 <= len(tuned.trials) < 10
    assert tuned.trials[0].state == "Complete", "the first is never cut short"


@pytest.mark.parametrize("imbalance", ["Oversample", "Undersample", "ClassWeight"])
def test_resampling_moves_the_fit_and_touches_no_row_that_is_predicted(
    monkeypatch: pytest.MonkeyPatch, imbalance: Any
) -> None:
    rows, scored = made(share=0.1), []
    real = core.score
    monkeypatch.setattr(core, "score", lambda *given: scored.append(given[1]) or real(*given))
    _, plain, plainly = tune(asked(Candidate("LogisticRegression")), SIGNATURE, rows)
    _, tuned, weighed = tune(asked(Candidate("LogisticRegression"), imbalance=imbalance), SIGNATURE, rows)
    trained = rows.target[~rows.held]
    assert weighed.answers[:, 1].mean() > 2 * plainly.answers[:, 1].mean()
    assert len(weighed.answers) == len(trained)
    for parts in (scored[:3], scored[3:]):
        assert sum(len(part) for part in parts) == len(trained), "each training row is measured once"
        assert sum(int(part.sum()) for part in parts) == trained.sum()
    assert plain.trials[0].parameters == tuned.trials[0].parameters


def test_resampling_repeats_or_leaves_out_whole_rows() -> None:
    target = np.array([0] * 90 + [1] * 10)
    over, under = (resampled(target, weight, 1) for weight in ("Oversample", "Undersample"))
    assert np.bincount(target[over]).tolist() == [90, 90]
    assert set(over[over < 90]) == set(range(90))
    assert np.bincount(target[under]).tolist() == [10, 10]
    assert len(set(under)) == 20
    assert resampled(target, "ClassWeight", 1) == slice(None)


@pytest.mark.parametrize("name", ["GradientBoosting", "GaussianNB", "MLP", "SVC", "ExtraTrees"])
@pytest.mark.filterwarnings("ignore")
def test_class_weights_reach_every_classifier(name: Any) -> None:
    fixed: dict[str, Any] = {"GradientBoosting": {"n_estimators": 10}, "MLP": {"hidden_layer_sizes": 4}}
    candidate = Candidate(name, fixed.get(name, {}))
    plain, weighed = (
        tune(asked(candidate, imbalance=imbalance, metric="recall"), SIGNATURE, made(share=0.15))[2].answers[:, 1]
        for imbalance in ("None", "ClassWeight")
    )
    # SVC's probabilities are calibrated to the classes as they are; what its weights move is the line between them.
    assert not np.allclose(plain, weighed)
    assert name == "SVC" or weighed.mean() > plain.mean()


def test_default_candidates_are_of_the_task_and_leave_forests_out_where_rows_are_many() -> None:
    for task in ("Classification", "Regression"):
        few, many = default_candidates(task, 50_000), default_candidates(task, 50_001)
        assert len(few) == len(many) + 1
        assert all(CATALOG[each.algorithm].knows(task) and space_of(each) for each in few)  # type: ignore[arg-type]
    _, tuned, _ = tune(asked(trials=3), SIGNATURE, made())
    assert {each.algorithm for each in tuned.candidates} == {"LogisticRegression", "HistGradientBoosting", "ExtraTrees"}


def test_a_built_in_space_is_of_what_is_neither_fixed_nor_given_a_range() -> None:
    mine = SearchRange(0.1, 0.2)
    space = space_of(Candidate("HistGradientBoosting", {"max_iter": 10}, {"learning_rate": mine}, "Builtin"))
    assert space["learning_rate"] is mine
    assert "max_iter" not in space
    assert "max_leaf_nodes" in space


def test_folds_side_by_side_answer_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = asked(Candidate("HistGradientBoosting", {"max_iter": 5}), LOGISTIC, trials=6)
    alone = tune(wanted, SIGNATURE, made())
    threads, real = [], core._fitted

    def fitted(*given: Any) -> Any:
        threads.append(_openmp_effective_n_threads())
        return real(*given)

    monkeypatch.setattr(core, "_fitted", fitted)
    monkeypatch.setattr(core, "workers_for", lambda _: 2)
    beside = tune(wanted, SIGNATURE, made())
    assert [trial.folds for trial in alone[1].trials] == [trial.folds for trial in beside[1].trials]
    np.testing.assert_array_equal(alone[2].answers, beside[2].answers)
    assert set(threads) == {1}


def test_many_rows_are_searched_by_a_sample_and_the_winner_is_fitted_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = core._fitted

    def counted(work: Any, algorithm: str, parameters: Any, places: Any) -> Any:
        seen.append(len(work.target[places]))
        return real(work, algorithm, parameters, places)

    monkeypatch.setattr(core, "_fitted", counted)
    monkeypatch.setattr(core, "SEARCH_ROWS", 60)
    monkeypatch.setattr(core, "_LEAST_OF_CLASS", 20)
    wanted = asked(Candidate("LogisticRegression"), Candidate("DecisionTree"))
    _, _, out_of_fold = tune(wanted, SIGNATURE, made())
    assert seen == [40] * 6 + [80] * 3 + [120]
    assert ((out_of_fold.answers.sum(axis=1) - 1) ** 2 < 1e-12).all(), "every row is predicted"
    seen.clear()
    tune(wanted, SIGNATURE, made(share=0.1))
    assert seen == [80] * 6 + [120], "a rare class would be left with too few rows"


def test_calibration_takes_out_what_resampling_did() -> None:
    rows = made(share=0.15, count=1200)
    _, _, found = tune(asked(Candidate("LogisticRegression"), imbalance="Oversample"), SIGNATURE, rows)
    happened = found.target == 1
    raw, calibrated = zip(*calibration_points(found.answers[:, 1], happened), strict=True)
    assert found.answers[:, 1].mean() > 1.5 * happened.mean()
    assert np.interp(found.answers[:, 1], raw, calibrated).mean() == pytest.approx(happened.mean(), abs=0.02)


def test_the_documents_table_is_the_catalogs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert "\n".join(rows_of_table()) in text
