"""Pod overlays: a strategic merge patch as kubectl takes it, read from YAML that may be anything."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.render.overlay import LARGEST, OverlayError, canonical, merge, parse
from tests.unit.render.support import a_template

Json = dict[str, Any]

TEMPLATE: Json = {
    "metadata": {"labels": {"a": "1"}},
    "spec": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "one"}],
        "containers": [
            {
                "name": "predictor", "command": ["python"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"name": "http", "containerPort": 8080}], "volumeMounts": [{"name": "m", "mountPath": "/m"}],
                "resources": {"limits": {"memory": "1Gi"}},
            },
        ],
        "volumes": [{"name": "m", "emptyDir": {}}, {"name": "t", "emptyDir": {}}],
        "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}],
    },
}  # fmt: skip


def merged(yaml_text: str) -> Any:
    return merge(TEMPLATE, parse(yaml_text))["spec"]


@pytest.mark.parametrize(
    ("patch", "read", "expected"),
    [
        ("spec: {nodeSelector: {zone: a}}", lambda s: s["nodeSelector"], {"disk": "ssd", "zone": "a"}),
        ("spec: {nodeSelector: {disk: null}}", lambda s: s["nodeSelector"], {}),
        ("spec: {nodeSelector: null}", lambda s: "nodeSelector" in s, False),
        ("spec: {nodeSelector: {$patch: replace, zone: a}}", lambda s: s["nodeSelector"], {"zone": "a"}),
        ("spec: {nodeSelector: {$patch: delete}}", lambda s: "nodeSelector" in s, False),
        ("spec: {tolerations: [{key: two}]}", lambda s: s["tolerations"], [{"key": "two"}]),
        ("spec: {affinity: {a: {b: null, c: 1}}}", lambda s: s["affinity"], {"a": {"c": 1}}),
        (
            "spec: {topologySpreadConstraints: [{topologyKey: zone, maxSkew: 3}, {topologyKey: node}]}",
            lambda s: s["topologySpreadConstraints"], [{"topologyKey": "zone", "maxSkew": 3}, {"topologyKey": "node"}],
        ),
        (
            "spec: {volumes: [{name: t, emptyDir: {sizeLimit: 1Gi}}, {name: extra, configMap: {name: c}}]}",
            lambda s: [each["name"] for each in s["volumes"]], ["m", "t", "extra"],
        ),
        ("spec: {volumes: [{name: t, $patch: delete}]}", lambda s: [v["name"] for v in s["volumes"]], ["m"]),
        ("spec: {volumes: [{$patch: replace}, {name: x}]}", lambda s: s["volumes"], [{"name": "x"}]),
        (
            "spec: {containers: [{name: predictor, env: [{name: B, value: '3'}, {name: C, value: '4'}]}]}",
            lambda s: {e["name"]: e["value"] for e in s["containers"][0]["env"]}, {"A": "1", "B": "3", "C": "4"},
        ),
        (
            "spec: {containers: [{name: predictor, ports: [{containerPort: 8080, protocol: TCP}]}]}",
            lambda s: s["containers"][0]["ports"], [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        ),
        (
            "spec: {containers: [{name: predictor, volumeMounts: [{mountPath: /m, readOnly: true}]}]}",
            lambda s: s["containers"][0]["volumeMounts"], [{"name": "m", "mountPath": "/m", "readOnly": True}],
        ),
        (
            "spec: {containers: [{name: predictor, command: [sh]}]}", lambda s: s["containers"][0]["command"], ["sh"],
        ),
        (
            "spec: {containers: [{name: side, image: i}]}",
            lambda s: [each["name"] for each in s["containers"]], ["predictor", "side"],
        ),
        ("spec: {initContainers: [{name: warm}]}", lambda s: s["initContainers"], [{"name": "warm"}]),
    ],
)  # fmt: skip
def test_a_patch_is_merged_as_the_api_server_would(patch: str, read: Any, expected: Any) -> None:
    before = copy.deepcopy(TEMPLATE)
    assert read(merged(patch)) == expected
    assert before == TEMPLATE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spec: [", "it is not YAML"),
        ("- a", "it is not an object with metadata or spec"),
        ("", "it is not an object with metadata or spec"),
        ("template: {spec: {}}", "template: a pod template has metadata and spec alone"),
        ("spec: {a: &x 1, b: *x}", "aliases (*name) are not allowed"),
        ("spec: {1: a}", "spec: the key 1 is not text"),
        ("spec: {a: .nan}", "spec.a: nan cannot stand in JSON"),
        ("spec: {a: !!set {x}}", "cannot stand in JSON"),
        ("spec: {a: !!python/object:os.system {}}", "it is not YAML"),
        ("spec: {$setElementOrder/containers: []}", "spec.$setElementOrder/containers: only $patch: delete and"),
        ("spec: {volumes: [{name: a, $patch: merge}]}", "spec.volumes[0].$patch: only $patch: delete and"),
        (f"spec: {{a: {'x' * LARGEST}}}", f"{LARGEST} are allowed"),
        ("[" * LARGEST, "it is nested more than 40 levels deep"),
        ("- " * 2000, "it is nested more than 40 levels deep"),
        ("spec: {a: !!int foo}", "it is not YAML: a value is not of its type (ValueError"),
        ("spec: {a: 0b_}", "it is not YAML: a value is not of its type (ValueError"),
        (f"spec: {{a: {'9' * 5000}}}", "it is not YAML: a value is not of its type (ValueError"),
        ("spec: {a: !!bool maybe}", "it is not YAML: a value is not of its type (KeyError"),
        ("spec: {a: !!timestamp 'x'}", "it is not YAML: a value is not of its type (AttributeError"),
        (f"spec: {{a: 0x{'f' * 5000}}}", "spec.a: the number is larger than Kubernetes takes"),
        ("spec: {$patch: [delete]}", "spec.$patch: only $patch: delete and"),
    ],
)
def test_what_is_no_patch_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(OverlayError) as caught:
        parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("patch", ["spec: {containers: [{image: i}]}", "spec: {containers: [predictor]}"])
def test_an_item_without_its_key_is_refused(patch: str) -> None:
    with pytest.raises(OverlayError, match=r"spec\.containers\[0\]: name is missing"):
        merged(patch)


def test_a_date_is_text() -> None:
    assert parse("metadata: {annotations: {since: 2026-01-01}}")["metadata"]["annotations"]["since"] == "2026-01-01"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]), st.dictionaries(st.sampled_from("abc"), VALUES)))
def test_merging_the_same_patch_again_changes_nothing(patch: Json) -> None:
    once = merge(a_template(), patch)
    assert merge(once, patch) == once
    assert json.loads(canonical(patch)) == patch


PIECES = [
    "spec", "metadata", "$patch", "a", ": ", "- ", "? ", "\n", "\n  ", "{", "}", "[", "]", ", ", "'", '"', "|", ">",
    "!!int ", "!!bool ", "!!float ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "!!null ", "!x ", "&x ", "*x ",
    "0b_", "0x", "0o9", "1:60", "-.inf", ".nan", "1e9", "2026-01-01", "null", "=", "<<", "%YAML 1.1", "---", "\\", "\t",
    "\x85", "\ufeff",
]  # fmt: skip


@given(st.text(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except OverlayError:
        return
