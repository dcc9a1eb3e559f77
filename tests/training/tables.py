"""What is checked, prepared, held out, chosen and searched."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hack.demo import patients
from tests.training.ward import FEATURES, School, Served, run_of, said

Json = dict[str, Any]


async def all_that_fails_is_told_at_once_and_nothing_is_tried_again(school: School) -> None:
    """Four checks fail by themselves, and there are fewer rows than are required."""
    mine = school.story()
    await mine.apply(
        data={
            "checks": [
                {"column": "age", "min": 30, "max": 60},
                {"column": "sex", "allowed": ["1"]},
                {"column": "ca", "maxMissing": 0},
                {"column": "chol", "unique": True},
                {"column": "thalach", "type": "Integer"},
            ],
            "require": {"minRows": 1000},
        }
    )
    found = await mine.ended()
    assert (found["outcome"], found["attempt"]) == ("DataRejected", 1), found
    told = found["message"]
    for words in ("'age'", "'sex'", "'ca'", "'chol'", "1000"):
        assert words in told, told
    assert "thalach" not in told, "that one holds"
    ready = said(await mine.until(lambda status: status.get("phase") == "Failed"))
    assert (ready["status"], ready["reason"]) == ("False", "DataRejected")
    assert "'chol'" in await mine.kubectl("get", "mt", mine.name, "-o", "jsonpath={.status.conditions[*].message}")


async def what_is_done_to_values_is_done_to_those_of_a_request(school: School) -> None:
    """The predictor answers held-out rows as the run did: renamed, filtered, clipped, in buckets, by a ratio."""
    mine = school.story()
    await mine.apply(
        data={
            "prepare": [
                {"rename": {"from": "thalach", "to": "rate"}},
                {"filter": {"column": "age", "min": 35}},
                {"clip": {"column": "chol", "max": 300}},
                {"ratio": {"name": "rate_by_age", "numerator": "rate", "denominator": "age"}},
                {"log": {"column": "oldpeak", "offset": 1}},
                {"bucket": {"column": "age", "edges": [45, 55, 65]}},
            ]
        },
        features={"numeric": ["age", "chol", "rate", "oldpeak"], "categorical": ["sex", "cp"]},
    )
    record = (await mine.registered())["spec"]["record"]
    held = [
        each for each in school.everybody
        if each.hospital == "cleveland" and each.held_out and float(each.features["age"] or 0) >= 35
    ]  # fmt: skip
    assert record["data"]["testRows"] == len(held)
    rows = [_renamed(each.features) for each in held]
    async with mine.served() as served:
        assert sorted(await served.inputs()) == sorted(rows[0]), "a ratio is made of what is sent, and is not asked for"
        answers = await served.answers(*rows)
        right = sum(answer["predicted"] == each.sick for answer, each in zip(answers, held, strict=True))
        assert right / len(held) == record["metrics"]["accuracy"]
        await _same(served, {**rows[0], "chol": "300"}, {**rows[0], "chol": "600"})
        await _same(served, {**rows[0], "chol": "310"}, {**rows[0], "chol": "600"})


async def rows_that_belong_together_stay_together_and_the_future_is_held_out(school: School) -> None:
    """By group: 43 patients with seven rows each. By time: the rows from a day on, and no others."""
    groups, times = school.story(), school.story()
    source = await _dated(school)
    await groups.apply(data={"source": source, "split": {"group": "patient"}})
    await times.apply(data={"source": source, "time": "seen", "split": {"byTime": {"from": "2026-03-01"}}})
    by_group = (await groups.registered())["spec"]["record"]
    by_time = (await times.registered())["spec"]["record"]
    assert by_group["data"]["rows"] == by_time["data"]["rows"] == 301
    assert by_group["data"]["testRows"] % 7 == 0
    assert 0.1 < by_group["data"]["testRows"] / 301 < 0.4
    assert by_group["split"]["group"] == "patient"
    # A row is seen each 12 hours from 1 January: 59 days are before March.
    assert by_time["data"]["testRows"] == 301 - 2 * 59
    assert by_time["split"]["byTime"] == {"column": "seen", "from": "2026-03-01"}


async def dates_and_words_tell_what_numbers_do_not(school: School) -> None:
    """Nights and a word make people sick here. What learned of them serves, and meets one that knows the age alone."""
    mine = school.story()
    rows = [_visit(place) for place in range(400)]
    await school.stage.upload("visits.csv", _csv(rows, list(rows[0])))
    source = {"source": {"uri": f"{school.data}/visits.csv"}}
    features = {
        "numeric": ["age"], "categorical": [], "datetime": [{"column": "seen", "parts": ["Hour"]}],
        "text": [{"column": "complaint", "maxTerms": 20}],
    }  # fmt: skip
    await mine.apply(data=source, features=features)
    first = (await mine.registered())["metadata"]["name"]
    async with mine.served(version={"name": first}) as served:
        kinds = await served.inputs()
        assert kinds == {"age": "FP64", "seen": "BYTES", "complaint": "BYTES"}
        usual = {"age": "50", "seen": "2026-03-01T23:10:00Z", "complaint": "PAIN, chest"}
        sick, same, well, unknown = await served.answers(
            usual,
            {**usual, "seen": "2026-03-02T01:10:00+02:00"},
            {**usual, "seen": "2026-03-01T12:00:00Z", "complaint": "cough"},
            {**usual, "seen": None, "complaint": None},
        )
        assert sick["probability"] == same["probability"], "one moment is one moment"
        assert (sick["predicted"], well["predicted"]) == ("1", "0")
        assert 0 < float(unknown["probability"]) < 1
        await mine.apply(data=source, features={"numeric": ["age"]}, evaluation={"champion": {}})
        found = await mine.ended(2)
        champion = (await school.until("ModelVersion", found["version"], bool))["spec"]["record"]["champion"]
        assert champion["version"] == first
        assert champion["gain"]["value"] < -0.2, "it was asked about dates and words"


def _visit(place: int) -> dict[str, str]:
    night, pain = place % 3 == 0, place % 5 < 2
    at = datetime(2026, 1, 1, 22 if night else 11, place % 60, tzinfo=UTC) + timedelta(days=place % 90)
    words = f"{'chest pain' if pain else 'cough'} since {place % 7} days"
    return {
        "age": str(30 + place * 7 % 50), "seen": at.isoformat(), "complaint": words,
        "num": str(int(night and pain if place % 20 else not (night and pain))),
    }  # fmt: skip


async def nothing_named_is_everything_tried_until_the_time_is_over(school: School) -> None:
    """No features and no candidates; rare classes' rows are repeated; far more trials than there is time for."""
    mine = school.story()
    await mine.apply(
        features=None, candidates=None, imbalance="Oversample",
        tuning={"trials": 1000, "folds": 2, "timeout": "25s", "pruning": "None"},
    )  # fmt: skip
    status = await mine.until(lambda status: "trial " in run_of(status, 1).get("progress", ""))
    progress = run_of(status, 1)["progress"]
    assert "best roc_auc 0." in progress, progress
    assert "tune" in await mine.kubectl("get", "mt", mine.name)
    record = (await mine.registered())["spec"]["record"]
    tried = {row["algorithm"]: row["trials"] for row in record["leaderboard"]}
    assert set(tried) == {"LogisticRegression", "HistGradientBoosting", "ExtraTrees"}
    assert 3 <= sum(tried.values()) < 1000
    assert record["metrics"]["roc_auc"] > 0.8
    async with mine.served() as served:
        kinds = await served.inputs()
    assert set(kinds) == set(patients.load()[0].features)
    assert not run_of(await mine.until(bool), 1)["progress"], "nothing is under way any more"


def _renamed(features: dict[str, str | None]) -> Json:
    wanted = {**{name: name for name in (*FEATURES["categorical"], "age", "chol", "oldpeak")}, "rate": "thalach"}
    return {name: features[column] for name, column in wanted.items()}


async def _same(served: Served, one: Json, two: Json) -> None:
    first, second = await served.answers(one, two)
    assert first["probability"] == second["probability"]


async def _dated(school: School) -> Json:
    """Cleveland's first 301 rows, each seven of one patient, and each seen 12 hours after the one before."""
    rows = list(csv.DictReader(io.StringIO(patients.table("cleveland").decode())))[:301]
    for place, row in enumerate(rows):
        row["patient"] = f"p{place // 7}"
        row["seen"] = _moment(place)
    await school.stage.upload("dated.csv", _csv(rows, list(rows[0])))
    return {"uri": f"{school.data}/dated.csv"}


def _moment(place: int) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + place * timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv(rows: Iterable[dict[str, str]], header: Sequence[str]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
