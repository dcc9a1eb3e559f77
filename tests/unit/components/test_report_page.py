"""The page about a run: what a person finds in it, whatever the data are called."""

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts.baseline import Baseline, Distribution
from perennial.contracts.gates import evaluate
from perennial.contracts.names import FILE_MODEL
from perennial.contracts.request import Artifact, Champion, FairnessGate, Gate, Gates, Replay, RunRequest, Target
from perennial.contracts.result import CandidateScore, ChampionMetrics, Gain, Interval, SliceMetrics, Trial
from perennial.contracts.signature import Input, Signature
from perennial_components.records import (
    Account,
    ColumnProfile,
    Evaluation,
    Finding,
    Importance,
    Ingested,
    Parity,
    Profile,
    Tuned,
)
from perennial_components.register.core import result_of
from perennial_components.report.page import render
from perennial_components.report.verdict import Shown, verdict_of
from tests.unit.components.support import request

EVIL = "<script>alert(1)</script>"
LEAK = Finding("Leakage", EVIL, "it alone tells all")
BINS = Distribution("probability", "Numeric", ("__missing__", "[0,0.5)", "[0.5,1]"), (0, 30, 46), (0.0, 0.5, 1.0))


def account(asked: RunRequest | None = None) -> Account:
    """The account of a run on data with a column of an evil name."""
    columns = (
        ColumnProfile("num", "Target", "Categorical", 303, 0, 2, top=(("0", 164), ("1", 139))),
        ColumnProfile(EVIL, "Feature", "Numeric", 303, 3, 41, quantiles=(29, 48, 56, 61, 77), edges=(29, 53, 77),
                      counts=(120, 180), association=0.23, measure="pearson", alone=0.997),
    )  # fmt: skip
    trials = (
        Trial(1, "Ridge", {"alpha": 1.0}, score=0.81, deviation=0.02, seconds=1.5),
        Trial(2, "LogisticRegression", {"C": 0.31}, score=0.84, deviation=0.02),
        Trial(3, "LogisticRegression", {"C": 9.0}, state="Failed", message="it does not converge"),
    )
    champion = ChampionMetrics(
        "heart-v3", {"roc_auc": 0.88}, 76, gain=Gain("roc_auc", 0.02, -0.01, 0.05, 0.93, "PairedBootstrap")
    )
    return Account(
        request=asked or request(),
        ingested=Ingested(sha256="cd" * 32, rows=303, files=1, columns=(EVIL, "num")),
        signature=Signature("Classification", (Input(EVIL, "Numeric"),), "num", ("0", "1")),
        tuned=Tuned((CandidateScore("LogisticRegression", {"C": 0.31}, 0.84, 0.02, 2),), 0, trials),
        parity=Parity(1e-7, 303),
        evaluation=Evaluation(
            rows=76, metrics={"roc_auc": 0.9, "recall": 0.8}, slices=(), confusion=((30, 5), (4, 37)),
            roc=((0, 0), (0.2, 0.9), (1, 1)), precision_recall=((0, 1), (1, 0.5)), calibration=(), champion=champion,
            intervals={"roc_auc": Interval(0.85, 0.94)}, importance=(Importance(EVIL, 0.05, 0.01),),
        ),
        profile=Profile(303, 0, 76, 0, 0, (("0", 164), ("1", 139)), columns, (LEAK,)),
    )  # fmt: skip


def page(of: Account) -> str:
    """Its page, which is HTML."""
    text = render(of, Baseline(rows=303, features=(), prediction=BINS, predicted=BINS, calibration=(), metrics={}))
    HTMLParser().feed(text)
    return text


def test_what_decides_comes_first_with_how_sure_it_is() -> None:
    text = page(account())
    order = [
        "0.900",
        "0.850 to 0.940",
        "Against the model in service",
        "The data",
        "How it was chosen",
        "What it looks at",
    ]
    assert sorted(order, key=text.index) == order
    assert "93 %" in text
    assert "paired bootstrap" in text


def test_every_trial_is_there_and_says_how_it_ended() -> None:
    text = page(account())
    assert "All 3 trials" in text
    assert "failed" in text
    assert "it does not converge" in text
    assert text.count('class="dot c') == 2, "what has no score is not drawn"


def test_what_looks_wrong_about_the_data_is_told() -> None:
    text = page(account())
    assert "Leakage?" in text
    assert "it alone tells all" in text
    nothing = msgspec.structs.replace(account().profile, findings=())
    assert "Nothing in it looks wrong" in page(msgspec.structs.replace(account(), profile=nothing))


def test_names_are_text_and_nothing_is_loaded_from_anywhere() -> None:
    text = page(account())
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text
    assert "url(" not in text
    assert "<link" not in text


def test_names_with_braces_are_told_as_they_are() -> None:
    text = page(account(request(target=Target("price {usd}", equals="{0}"))))
    assert "of 100 rows with price {usd} = {0}, the model finds 80" in text
    numbers = msgspec.structs.replace(
        account(request(task="Regression", target=Target("price {usd}"), metric="mae")),
        signature=Signature("Regression", (Input(EVIL, "Numeric"),), "price {usd}", ()),
        evaluation=Evaluation(
            rows=2, metrics={"mae": 0.5, "mape": 0.12}, slices=(), confusion=(), roc=(), calibration=(), pairs=((1, 2),)
        ),
    )
    assert "a prediction of price {usd} is off by this much" in page(numbers)


def test_equal_accounts_give_equal_pages() -> None:
    assert page(account()) == page(account())


ALL = Gates(
    bounds=(Gate("roc_auc", min=0.8), Gate("recall", min=0.7, by="sex"), Gate("log_loss", max=1.0)),
    fairness=(FairnessGate("selection_rate", "sex", min_ratio=0.8),),
)
STORED = Artifact("s3://artifacts/m", "ab" * 32)
SERVING = Champion("heart-v3", STORED, STORED, request().split, confidence=0.95)


def judged(gates: Gates | None, serving: Champion | None = None, **evaluated: Any) -> Account:
    """The account of a run that was asked for this."""
    parts = tuple(
        SliceMetrics("sex", value, 38, {"recall": recall, "selection_rate": rate}, {"recall": Interval(0.4, 0.95)})
        for value, recall, rate in (("f", 0.61, 0.3), ("m", 0.9, 0.5))
    )
    made = account(request(gates=gates, champion=serving))
    return msgspec.structs.replace(
        made, evaluation=msgspec.structs.replace(made.evaluation, **{"slices": parts, **evaluated})
    )


def shown(of: Account) -> Shown:
    """Its verdict."""
    found = verdict_of(of)
    assert found is not None
    assert page(of).index(found.word) < page(of).index("this model gives"), "the verdict comes first"
    return found


def test_a_rejected_model_is_said_to_be_at_once_and_each_gate_says_what_it_asked_and_found() -> None:
    found = shown(judged(ALL, SERVING))
    assert (found.word, found.state) == ("Rejected", "failed")
    assert found.sentence == (
        "It does not meet 4 of the 5 things asked of it, so it will not serve. heart-v3 stays in service."
    )
    assert [line.state for line in found.lines] == ["failed", "failed", "failed", "failed", "passed"]
    by_sex, unknown, fair, champion, auc = found.lines
    assert (auc.asked, auc.found) == ("ROC AUC: at least 0.80", "0.900 (0.850 to 0.940)")
    assert by_sex.asked == "Recall (sensitivity) for every sex: at least 0.70"
    assert by_sex.found == "0.610 (0.400 to 0.950) for sex = f (38 rows)"
    assert by_sex.why == "under 0.70"
    assert (unknown.verdict, unknown.found) == ("could not be judged", "not known")
    assert fair.found == "0.300 for f (38 rows) and 0.500 for m (38 rows): the least is 0.600 of the greatest"
    assert champion.asked == "ROC AUC beside heart-v3, the model in service: better, with a probability of 95 %"
    assert champion.found == "0.900 beside 0.880 on the same 76 rows: a gain of 0.020 (-0.010 to 0.050)"
    assert champion.why == "the probability is 93 %"


@pytest.mark.parametrize(
    ("gates", "champion", "word", "says"),
    [
        (Gates(bounds=ALL.bounds[:1]), None, "Passed", "meets what was asked of it. It may serve."),
        (Gates(), None, "Passed", "No gate is set for it: nothing was asked of it"),
        (Gates(bounds=ALL.bounds[:1], approval="Manual"), None, "Waits for approval", "A person decides"),
        (Gates(), msgspec.structs.replace(SERVING, confidence=0.9), "Passed", "as well as was asked for beside heart"),
        (Gates(), msgspec.structs.replace(SERVING, metric="f1"), "Inconclusive", "could not be compared with heart-v3"),
    ],
)  # fmt: skip
def test_what_follows_from_the_verdict(gates: Gates, champion: Champion | None, word: str, says: str) -> None:
    found = shown(judged(gates, champion))
    assert found.word == word
    assert says in found.sentence


def test_a_figure_whose_interval_reaches_beyond_the_gate_has_passed_narrowly() -> None:
    [line] = shown(judged(Gates(bounds=(Gate("roc_auc", min=0.86),)))).lines
    assert (line.state, line.verdict) == ("narrow", "passed, narrowly")
    assert line.why == "with other rows it might as well be under 0.86"
    [line] = shown(judged(Gates(bounds=(Gate("roc_auc", min=0.85, max=0.93),)))).lines
    assert line.why == "with other rows it might as well be over 0.93"


def test_figures_are_told_apart_from_the_bound_that_they_miss() -> None:
    [line] = shown(judged(Gates(bounds=(Gate("roc_auc", min=0.9),)), metrics={"roc_auc": 0.89999})).lines
    assert line.found.startswith("0.89999 ")


def test_a_run_that_is_asked_for_nothing_says_no_verdict_and_one_that_fits_a_version_again_says_so() -> None:
    assert verdict_of(judged(None)) is None
    assert 'class="verdict' not in page(judged(None))
    again = request(replay=Replay("heart-v2", "LogisticRegression", {}, "", ""))
    assert "the recorded winner of heart-v2 again" in shown(account(again)).sentence


@settings(deadline=None)
@given(
    st.floats(0, 1), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1)), st.sampled_from([None, 0.9, 0.95]),
    st.sampled_from(["Automatic", "Manual"]),
)  # fmt: skip
def test_the_page_says_what_the_operator_finds(
    value: float, low: float, its: float | None, confidence: float | None, approval: Any
) -> None:
    champion = None if its is None else msgspec.structs.replace(SERVING, confidence=confidence)
    gates = Gates(bounds=(Gate("roc_auc", min=low),), approval=approval)
    gain = None if its is None else Gain("roc_auc", value - its, -1.0, 1.0, 0.92, "PairedBootstrap")
    met = None if its is None else ChampionMetrics("heart-v3", {"roc_auc": its}, 76, gain=gain)
    of = judged(gates, champion, metrics={"roc_auc": value}, champion=met)
    asked = None if champion is None else msgspec.structs.replace(champion, metric="roc_auc")
    by_operator = evaluate(gates, asked, of.request.split, result_of(of, {FILE_MODEL: STORED}))
    found = verdict_of(of)
    assert found is not None
    assert (found.word == "Rejected") is not by_operator.passed
    assert sum(line.state == "failed" for line in found.lines) == len(by_operator.failures) + by_operator.champion_kept
