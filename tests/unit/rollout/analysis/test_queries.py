"""What is asked: one query for all metrics that live on it, each PromQL by the parser, text from users escaped."""

import dataclasses
import math

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.domain.analysis.judge import Observed
from perennial.domain.analysis.observed import Answer, read
from perennial.domain.analysis.queries import escaped, fill, questions
from tests.unit.rollout.analysis.support import NAN, NEW, SAME, STABLE, SUBJECT, metric, series

ALL = [
    metric(name, max=1)
    for name in ("ErrorRate", "LatencyP50", "LatencyP99", "Throughput", "PredictionShift", "Agreement", "Performance")
]


def test_seven_builtins_need_five_queries() -> None:
    asked = questions(ALL, SUBJECT)
    versions = 'deployment="clinic/heart",version=~"heart-v1|heart-v2"'
    new = 'deployment="clinic/heart",version="heart-v2"'
    assert asked == {
        "requests": f"sum by (version, revision, code) (increase(perennial_requests_total{{{versions}}}[30s]))",
        "durations": f"sum by (le) (increase(perennial_request_duration_seconds_bucket{{{new}}}[30s]))",
        "bins": "sum by (version, revision, bin) "
        f"(increase(perennial_prediction_observations_total{{{versions}}}[30s]))",
        "rows": "sum by (result) (increase(perennial_shadow_rows_total"
        '{deployment="clinic/heart",version="heart-v1",shadow="heart-v2"}[30s]))',
        "labels": f"sum by (version, predicted, actual) (increase(perennial_feedback_total{{{versions}}}[300s]))",
    }
    for query in asked.values():
        assert isinstance(promql_parser.parse(query), promql_parser.AggregateExpr)


def test_only_what_is_needed_is_asked_and_requests_always() -> None:
    assert list(questions([], SUBJECT)) == ["requests"]
    assert list(questions([metric("Performance", min=0.9)], SUBJECT)) == ["requests", "labels"]
    error = questions([metric("Performance", metric="mae", max=9)], SUBJECT)
    assert list(error) == ["requests", "labels", "label errors"]
    assert error["label errors"] == (
        "sum by (version, error) (increase(perennial_feedback_error_sum_total"
        '{deployment="clinic/heart",version=~"heart-v1|heart-v2"}[300s]))'
    )
    assert list(questions([metric(query="up", max=1)], SUBJECT)) == ["requests", "query it"]


def test_two_configurations_of_one_version_are_told_apart_by_their_revision() -> None:
    asked = questions(ALL, SAME)
    assert 'version="heart-v1",revision="b2"' in asked["durations"]
    assert 'version=~"heart-v1"' in asked["requests"]


def test_placeholders_are_filled_in() -> None:
    query = "{{deployment}} {{ namespace }} {{name}} {{version}} {{revision}} {{stable}} x[{{interval}}] {{what}} {{}}"
    assert fill(query, SUBJECT) == "clinic/heart clinic heart heart-v2 b2 heart-v1 x[30s] {{what}} {{}}"


@pytest.mark.parametrize("text", ['a"b', "a'b", "a\\b", "a\nb", 'x"} or vector(1) # '])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_value_never_leaves_its_quotes(text: str, quote: str) -> None:
    query = fill(f"x{{v={quote}{{{{version}}}}{quote}}}", dataclasses.replace(SUBJECT, version=text))
    expression = promql_parser.parse(query)
    assert isinstance(expression, promql_parser.VectorSelector)
    assert [each.value for each in expression.matchers.matchers] == [text]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_escaped_text_is_the_text(text: str) -> None:
    expression = promql_parser.parse(f'"{escaped(text)}"')
    assert isinstance(expression, promql_parser.StringLiteral)
    assert expression.val == text


# --- what is answered ---------------------------------------------------------------------------------------------


def told(**answers: Answer) -> dict[str, Answer]:
    return {"requests": [], **answers}


def test_counts_are_read_by_version_and_nan_counts_nothing() -> None:
    requests = [
        series(200, version=STABLE, code="200"), series(90, version=NEW, code="200"),
        series(6, version=NEW, code="500"), series(4, version=NEW, code="503"), series(NAN, version=NEW, code="400"),
    ]  # fmt: skip
    bins = [series(3, version=NEW, bin="a"), series(5, version=STABLE, bin="a"), series(0, version=STABLE, bin="b")]
    found = read(SUBJECT, told(requests=requests, bins=bins))
    assert isinstance(found, Observed)
    assert found.requests == {STABLE: 200, NEW: 100}
    assert found.errors == {NEW: 10}
    assert (found.bins, found.stable_bins) == ({"a": 3}, {"a": 5, "b": 0})


def test_of_one_version_the_new_revision_alone_is_judged() -> None:
    requests = [
        series(900, version=STABLE, revision="a1", code="200"), series(100, version=STABLE, revision="b2", code="500"),
        series(50, version=STABLE, code="200"),
    ]  # fmt: skip
    bins = [series(9, version=STABLE, revision="a1", bin="a"), series(1, version=STABLE, revision="b2", bin="a")]
    found = read(SAME, told(requests=requests, bins=bins))
    assert isinstance(found, Observed)
    assert (found.requests, found.errors) == ({STABLE: 100}, {STABLE: 100})
    assert (found.bins, found.stable_bins) == ({"a": 1}, {"a": 9})


def test_durations_labels_rows_and_answers() -> None:
    found = read(
        SUBJECT,
        {
            "requests": [],
            "durations": [series(3, le="0.01"), series(4, le="+Inf")],
            "labels": [
                series(2, version=NEW, predicted="1", actual="0"), series(5, version=STABLE, predicted="1", actual="1"),
                series(9, version="heart-v0", predicted="1", actual="1"),
            ],
            "label errors": [
                series(3.5, version=NEW, error="absolute"), series(NAN, version=NEW, error="squared"),
                series(1, version=STABLE, error="absolute"),
            ],
            "rows": [series(7, result="agree"), series(1, result="differ")],
            "query mine": [series(1.5), series(NAN)],
        },
    )  # fmt: skip
    assert isinstance(found, Observed)
    assert found.durations == {0.01: 3, float("inf"): 4}
    assert (found.labels, found.stable_labels) == ({("1", "0"): 2}, {("1", "1"): 5})
    assert (found.label_errors["absolute"], found.stable_label_errors) == (3.5, {"absolute": 1})
    assert math.isnan(found.label_errors["squared"]), "a sum without what is no number would be too small"
    assert found.rows == {"agree": 7, "differ": 1}
    assert found.answers["mine"][0] == 1.5
    assert len(found.answers["mine"]) == 2
