"""What a ModelTraining says of its data is taken, or refused with what is wrong about it."""

from typing import Any

from perennial.adapters.kubernetes import KubernetesApi
from tests.api.test_admission import changed, refusal

EVERY_STEP: list[dict[str, Any]] = [
    {"dropDuplicates": {}}, {"filter": {"column": "age", "missing": "Drop"}},
    {"cast": {"column": "sex", "type": "Boolean"}}, {"rename": {"from": "cholesterol", "to": "chol"}},
    {"clip": {"column": "age", "max": 90}}, {"log": {"column": "chol", "offset": 1}},
    {"ratio": {"name": "rate", "numerator": "chol", "denominator": "age"}},
    {"bucket": {"column": "age", "edges": [40, 60.5]}},
]  # fmt: skip
BY_TIME = {"column": "day", "from": "2026-05-31T12:00:00+02:00"}
MISTAKES: list[tuple[str, Any, str]] = [
    ("prepare", EVERY_STEP[::-1], "steps on rows (dropDuplicates, filter, cast, rename) come before those on values"),
    ("prepare", [{**EVERY_STEP[0], **EVERY_STEP[1]}], "a step is one of dropDuplicates, filter, cast, rename, clip"),
    ("prepare", [{"bucket": {"column": "age", "edges": [60, 40]}}], "edges must ascend"),
    ("prepare", [{"filter": {"column": "age"}}], "give at least one of equals, notEquals, min, max, missing: Drop"),
    ("checks", [{"column": "age", "pattern": "[0-9"}], "missing closing ]"),
    ("checks", [{"column": "age", "type": "Text", "min": 0}], "type must be Number or Integer"),
    ("checks", [{"column": "age", "unique": False}], "give at least one of type, min, max"),
    ("split", {"key": ["a"], "group": "b"}, "give one of key and group"),
    ("split", {"group": "b", "byTime": BY_TIME}, "byTime holds rows out by their time alone"),
    ("split", {"byTime": {"from": "2026-01-01"}}, "split.byTime needs a column: its own, or data.time"),
    ("split", {"byTime": {**BY_TIME, "from": "2026-13-01"}}, "must be a date or a time"),
]


async def test_what_is_said_of_the_data_is_taken_or_refused(api: KubernetesApi, namespace: str) -> None:
    """One test for all: a namespace costs more than what is asked in it."""
    good = changed("ModelTraining", "spec.data.prepare", EVERY_STEP)
    good["spec"]["data"] |= {
        "split": {"byTime": BY_TIME}, "require": {"minRows": 50, "minRowsPerClass": 5},
        "checks": [{"column": "age", "type": "Integer", "min": 0, "unique": True, "pattern": "[0-9]+"}],
    }  # fmt: skip
    good["metadata"] = {**good["metadata"], "namespace": namespace}
    taken = await api._write("create", "POST", good, good, params={"fieldValidation": "Strict"})
    assert taken["spec"]["data"]["prepare"] == EVERY_STEP
    for field, value, message in MISTAKES:
        assert message in await refusal(api, namespace, changed("ModelTraining", f"spec.data.{field}", value))
