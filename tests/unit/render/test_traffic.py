"""Services, HTTPRoute and the mirror's setting: ports and weights for each revision's own configuration."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.domain.rollout.state import Weigh
from perennial.reconcile.route import state_of
from perennial.render import traffic
from tests.unit.render.support import a_revision, an_owner

Json = dict[str, Any]

GATEWAY = {"provider": "Gateway", "parentRef": {"name": "edge", "namespace": "infra"}, "hostnames": ["heart.example"]}
MATCH = {"match": {"headers": [{"name": "x-group", "value": "b"}]}}
PLAIN, SECURE = an_owner(), an_owner({"tls": {"secret": "s"}})


@pytest.mark.parametrize(
    ("predictor", "ports"),
    [
        ({}, [("http", 80, "http", None)]),
        ({"grpc": True}, [("http", 80, "http", None), ("grpc", 8081, "grpc", "kubernetes.io/h2c")]),
        ({"tls": {"secret": "s"}}, [("https", 443, "http", "https")]),
        ({"tls": {"secret": "s"}, "grpc": True}, [("https", 443, "http", "https"), ("grpc", 8081, "grpc", "https")]),
    ],
)  # fmt: skip
def test_a_service_has_the_ports_of_the_revision_that_it_shows(predictor: Json, ports: list[Any]) -> None:
    shown = a_revision(an_owner(predictor))
    for service in (traffic.service(PLAIN, shown, "r1"), traffic.preview(PLAIN, shown, "r1")):
        found = service["spec"]["ports"]
        assert [(each["name"], each["port"], each["targetPort"], each.get("appProtocol")) for each in found] == ports
        assert service["spec"]["selector"] == {"perennial.dev/deployment": "heart", "perennial.dev/revision": "r1"}


def test_copies_go_to_the_preview_by_the_protocol_that_the_new_version_speaks() -> None:
    for owner, scheme in ((PLAIN, "http"), (SECURE, "https")):
        settings = traffic.settings(PLAIN, 40, "heart-v2", a_revision(owner))
        mirror = json.loads(settings["data"]["mirror.json"])
        assert (mirror["target"], mirror["share"]) == (f"{scheme}://heart-preview.clinic.svc", 40)


def test_a_route_sends_to_the_ports_that_each_service_has() -> None:
    owner = an_owner(traffic=GATEWAY)
    route = traffic.route(owner, Weigh(10, preview=True), a_revision(PLAIN), a_revision(SECURE))
    (rule,) = route["spec"]["rules"]
    assert [(each["name"], each["port"], each["weight"]) for each in rule["backendRefs"]] == [
        ("heart", 80, 90), ("heart-preview", 443, 10),
    ]  # fmt: skip


@given(weight=st.integers(0, 100), preview=st.booleans(), matched=st.booleans())
def test_the_weights_of_each_rule_sum_to_100_and_are_read_back(weight: int, preview: bool, matched: bool) -> None:
    owner = an_owner(traffic=GATEWAY, rollout=MATCH)
    weigh = Weigh(weight if preview else 0, preview=preview, matched=preview and matched)
    route = traffic.route(owner, weigh, a_revision(PLAIN), a_revision(PLAIN, "r2"))
    for rule in route["spec"]["rules"]:
        assert sum(each["weight"] for each in rule["backendRefs"]) == 100
    assert len(route["spec"]["rules"]) == 1 + weigh.matched
    state = state_of(route, owner)
    assert (state.weight, state.preview) == (weigh.weight, preview)


def told(*parents: Json, generation: int = 2) -> Json:
    owner = an_owner(traffic=GATEWAY)
    route = traffic.route(owner, Weigh(0), None, None)
    route["metadata"]["generation"] = generation
    return {**route, "status": {"parents": list(parents)}}


def parent(accepted: str = "True", resolved: str = "True", generation: int = 2, **ref: str) -> Json:
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": f"{kind}Is{status}",
            "message": "why",
            "observedGeneration": generation,
        }
        for kind, status in (("Accepted", accepted), ("ResolvedRefs", resolved))
    ]
    return {"parentRef": {"name": "edge", "namespace": "infra", **ref}, "conditions": conditions}


@pytest.mark.parametrize(
    ("route", "accepted", "reason"),
    [
        (told(), False, None),
        (told(parent()), True, None),
        (told(parent(generation=1)), False, None),
        (told(parent(accepted="False")), False, "AcceptedIsFalse"),
        (told(parent(resolved="False")), False, "ResolvedRefsIsFalse"),
        (told(parent(accepted="False", generation=1)), False, None),
        (told(parent(accepted="Unknown")), False, None),
        (told(parent(name="other")), False, None),
        (told(parent(namespace="clinic")), False, None),
        (told(parent(sectionName="web")), False, None),
        (told(parent(accepted="False"), parent()), True, None),
    ],
)
def test_a_route_is_accepted_when_our_parent_took_this_generation(route: Json, accepted: bool, reason: str) -> None:
    state = state_of(route, an_owner(traffic=GATEWAY))
    assert (state.accepted, state.trouble.reason if state.trouble else None) == (accepted, reason)
