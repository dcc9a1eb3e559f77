"""The page about a run: what a person finds in it, whatever the data are called."""

from html.parser import HTMLParser

import msgspec

from perennial.contracts.baseline import Baseline, Distribution
from perennial.contracts.request import RunRequest, Target
from perennial.contracts.result import CandidateScore, ChampionMetrics, Gain, Interval, Trial
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
from perennial_components.report.page import render
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
