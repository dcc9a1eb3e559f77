"""What a predictor's pod is made of: by default as little as can be, and what was asked for besides."""

import copy
from typing import Any

import pytest

from perennial.domain.plan import short_hash
from perennial.render import pod
from perennial.render.security import standard
from tests.unit.render.support import a_deployment, a_revision, a_template, an_owner, environment

Json = dict[str, Any]

USUAL = {
    "PERENNIAL_ARTIFACTS", "PERENNIAL_MODEL_DIR", "PERENNIAL_MODEL", "PERENNIAL_VERSION", "PERENNIAL_REVISION",
    "PERENNIAL_DEPLOYMENT", "PERENNIAL_FEEDBACK_KEYS", "PERENNIAL_WATCHED_DIR",
}  # fmt: skip


def test_without_options_there_is_nothing_of_them() -> None:
    template = a_template()
    spec = template["spec"]
    assert set(spec) == {
        "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds", "securityContext",
        "initContainers", "containers", "volumes",
    }  # fmt: skip
    assert set(environment(template)) == USUAL
    assert [each["name"] for each in spec["containers"][0]["ports"]] == ["http", "metrics"]
    settings = {each["name"]: each for each in spec["volumes"]}["settings"]
    assert settings["configMap"] == {"name": "heart-settings", "optional": True}


def test_what_was_recorded_before_an_option_came_is_rendered_as_ever() -> None:
    owner = an_owner()
    old = a_revision(owner).model_copy(update={"predictor": {"resources": {"cpu": "100m", "memory": "256Mi"}}})
    assert pod.template(owner, old, {}) == pod.template(owner, a_revision(owner), {})


@pytest.mark.parametrize(
    ("wanted", "added"),
    [
        ({"grpc": True}, {"PERENNIAL_GRPC_PORT": "8081"}),
        ({"tls": {"secret": "s"}}, {"PERENNIAL_TLS_DIR": "/etc/perennial/tls", "PERENNIAL_TLS_CLIENT_AUTH": "None"}),
        (
            {"tls": {"secret": "s", "clientAuth": "Required"}},
            {"PERENNIAL_TLS_DIR": "/etc/perennial/tls", "PERENNIAL_TLS_CLIENT_AUTH": "Required"},
        ),
        ({"bearer": {"secret": "s"}}, {"PERENNIAL_BEARER_DIR": "/etc/perennial/bearer"}),
        (
            {"tracing": {"endpoint": "http://otel:4318", "sample": 0.5}},
            {"PERENNIAL_TRACES_ENDPOINT": "http://otel:4318", "PERENNIAL_TRACES_SAMPLE": "0.5"},
        ),
        (
            {"requests": {"deadline": "1m30s", "maxBody": "1Mi", "maxWaiting": 9, "log": True}},
            {
                "PERENNIAL_DEADLINE_SECONDS": "90.0", "PERENNIAL_MAX_BODY_BYTES": "1048576",
                "PERENNIAL_MAX_WAITING": "9", "PERENNIAL_ACCESS_LOG": "true",
            },
        ),
        ({"requests": {"maxBody": "4096Ki"}}, {}),
    ],
)  # fmt: skip
def test_the_predictor_is_told_what_was_asked_for(wanted: Json, added: dict[str, str]) -> None:
    found = environment(a_template(wanted))
    assert {key: value for key, value in found.items() if key not in USUAL} == added


@pytest.mark.parametrize(("field", "folder"), [("tls", "tls"), ("bearer", "bearer")])
def test_secrets_that_protect_are_mounted_for_the_predictor_alone(field: str, folder: str) -> None:
    spec = a_template({field: {"secret": "mine"}})["spec"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == field]
    assert volume["secret"] == {"secretName": "mine", "defaultMode": 0o440}, "a missing Secret must keep the pod back"
    mount = {"name": field, "mountPath": f"/etc/perennial/{folder}", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]
    assert mount not in spec["initContainers"][0]["volumeMounts"]


def test_pods_are_placed_as_asked_for() -> None:
    spec = a_template({
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpread": [
            {"topologyKey": "zone"}, {"topologyKey": "node", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"},
        ],
        "priorityClassName": "high", "imagePullSecrets": ["registry"],
    })["spec"]  # fmt: skip
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    pods = {"matchLabels": {"perennial.dev/deployment": "heart", "perennial.dev/revision": "r1"}}
    assert spec["topologySpreadConstraints"] == [
        {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": pods},
        {"topologyKey": "node", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": pods},
    ]
    assert (spec["priorityClassName"], spec["imagePullSecrets"]) == ("high", [{"name": "registry"}])


def test_every_option_together_is_still_a_restricted_pod() -> None:
    everything = {
        "grpc": True,
        "tls": {"secret": "a"},
        "bearer": {"secret": "b"},
        "tolerations": [{"operator": "Exists"}],
    }
    assert not list(standard(a_template(everything)))
    assert not list(standard(a_template()))


def test_the_overlay_of_a_revision_is_rendered_and_names_another_rendering() -> None:
    plain, changed = a_deployment(), a_deployment(overlay='{"spec":{"runtimeClassName":"gvisor"}}')
    assert changed["spec"]["template"]["spec"]["runtimeClassName"] == "gvisor"
    names = [each["metadata"]["annotations"]["perennial.dev/template"] for each in (plain, changed)]
    assert names[0] != names[1]
    expected = copy.deepcopy(plain["spec"]["template"])
    expected["spec"]["runtimeClassName"] = "gvisor"
    assert changed["spec"]["template"] == expected
    assert len(names[0]) == len(short_hash(""))
