"""What of an installation is wrong, and by which setting."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from perennial.api.common import format_time
from perennial.cli.installation import Seen, checks
from perennial.contracts.names import STORE_ROOT
from tests.unit.cli.support import NOW, Json, condition
from tests.unit.training.support import a_training

KEYS = frozenset({STORE_ROOT})


def operator(**kubeflow: str) -> Json:
    environment = [{"name": f"PERENNIAL_KUBEFLOW_{name}", "value": value} for name, value in kubeflow.items()]
    return {
        "metadata": {"namespace": "ops", "name": "perennial"}, "status": {"readyReplicas": 1},
        "spec": {"template": {"spec": {"containers": [{"env": environment}]}}},
    }  # fmt: skip


def training(reason: str = "Registered", status: str = "True", said: Json | None = None, **engine: Any) -> Any:
    made = a_training(engine=engine or {"type": "Embedded"})
    conditions = [condition("Ready", status, reason, "its words"), *([said] if said else [])]
    return type(made).parse({
        "metadata": {"name": "heart", "namespace": "cardio"}, "spec": made.spec.wire(),
        "status": {"conditions": conditions},
    })  # fmt: skip


WELL = Seen(
    "cardio", {"ModelTraining": True}, (operator(),), {"ops": {"spec": {"renewTime": format_time(NOW)}}},
    {"perennial-store": KEYS, "perennial-store-read": KEYS}, frozenset(), (training(),),
)  # fmt: skip


def wrong(seen: Seen) -> dict[str, str]:
    return {each.what: each.said for each in checks(seen, NOW) if each.level == "wrong"}


def test_where_all_is_well_nothing_is_wrong() -> None:
    assert wrong(WELL) == {}


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        ({"kinds": {"ModelTraining": False}}, "kind ModelTraining", "crds.install"),
        ({"operators": ()}, "operator", "install the chart"),
        ({"leases": {"ops": None}}, "operator ops/perennial: Lease", "no operator works"),
        (
            {"leases": {"ops": {"spec": {"renewTime": format_time(NOW - timedelta(minutes=5))}}}},
            "operator ops/perennial: Lease", "no operator works",
        ),
        ({"secrets": {"perennial-store": KEYS}}, "Secret perennial-store-read", "not there"),
        (
            {"secrets": {"perennial-store": frozenset(), "perennial-store-read": KEYS}}, "Secret perennial-store",
            f"lacks {STORE_ROOT}",
        ),
        (
            {"trainings": (training("KubeflowUnauthorized", "False", type="Kubeflow", kubeflow={"endpoint": "http://k:1"}),)},
            "mt/heart", "tokenAudience or authSecret, or the Secret perennial-kubeflow",
        ),
        ({"trainings": (training("Running", "Unknown", type="Kubeflow"),)}, "mt/heart: kubeflow", "kubeflow.endpoint"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_the_setting(change: Json, what: str, said: str) -> None:
    found = wrong(replace(WELL, **change))
    assert said in found[what], found


def test_pods_beside_kubeflow_need_the_stores_secret_there() -> None:
    seen = replace(
        WELL, operators=(operator(ENDPOINT="http://k:1", NAMESPACE="kubeflow"),),
        trainings=(training("Running", "Unknown", type="Kubeflow"),),
    )  # fmt: skip
    name = "Secret kubeflow/perennial-store-cardio"
    assert "not there" in wrong(seen)[name]
    assert wrong(replace(seen, secrets={**WELL.secrets, name.removeprefix("Secret "): KEYS})) == {}


def test_what_may_not_be_read_is_not_called_wrong() -> None:
    seen = replace(WELL, operators=None, secrets={}, forbidden=frozenset({"perennial-store", "perennial-store-read"}))
    assert wrong(seen) == {}
    assert {each.level for each in checks(seen, NOW)} == {"ok", "not known"}


ASKED = [
    ("False", "KubeflowForbidden", "wrong", "its words. Look at what that identity may do there"),
    ("False", "KubeflowMultiUser", "wrong", "KubeflowMultiUser: its words"),
    ("True", "KubeflowAnswers", "ok", "its words"),
]


@pytest.mark.parametrize(("status", "reason", "level", "words"), ASKED)
def test_what_kubeflow_told_the_operator_is_told(status: str, reason: str, level: str, words: str) -> None:
    told = training(said=condition("Kubeflow", status, reason, "its words"), type="Kubeflow")
    seen = replace(WELL, operators=(operator(ENDPOINT="http://k:1"),), trainings=(told,))
    (found,) = (each for each in checks(seen, NOW) if each.what == "mt/heart: Kubeflow")
    assert found.level == level
    assert words in found.said
    unasked = replace(seen, unasked={"heart": "you may not ask for it"})
    (found,) = (each for each in checks(unasked, NOW) if each.what == "mt/heart: Kubeflow")
    assert (found.level, found.said) == ("not known", "you may not ask for it")
