"""What is there already is not written again; what differs is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from perennial.domain.plan import Event
from perennial.reconcile.apply import event_manifest, holds

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OWNER: dict[str, Any] = {
    "apiVersion": "perennial.dev/v1alpha1", "kind": "ModelDeployment",
    "metadata": {"name": "heart", "namespace": "clinic", "uid": "1234"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"a": 1}, {"a": 1, "added": "by the server"}),
        ({"a": {"b": [{"name": "x"}]}}, {"a": {"b": [{"name": "x", "protocol": "TCP"}]}}),
        ({"cpu": "0.5"}, {"cpu": "500m"}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}),
        ({"cpu": 1}, {"cpu": "1"}),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"emptyDir": {}}, {"emptyDir": {}}),
        ({"args": []}, {}),
        ({"hostNetwork": False}, {}),
    ],
)
def test_what_the_server_added_or_wrote_its_own_way_does_not_differ(wanted: Any, live: Any) -> None:
    assert holds(wanted, live)


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": "one"}, {"a": "two"}),
        ({"cpu": "0.5"}, {"cpu": "50m"}),
        ({"ports": [1, 2]}, {"ports": [1]}),
        ({"ports": [1]}, {"ports": [1, 2]}),
        ({"flag": True}, {"flag": False}),
        ({"a": {"b": 1}}, {"a": "text"}),
        ({"selector": {"deployment": "heart"}}, {"selector": {"deployment": "heart", "revision": "1"}}),
    ],
)
def test_what_somebody_changed_differs(wanted: Any, live: Any) -> None:
    assert not holds(wanted, live)


def test_the_same_event_has_the_same_name_and_another_one_has_not() -> None:
    event = Event("Normal", "Promoted", "heart-v2 serves")
    first = event_manifest(OWNER, event, NOW, "pod-1")
    again = event_manifest(OWNER, event, datetime.now(UTC), "pod-2")
    other = event_manifest(OWNER, Event("Normal", "Promoted", "heart-v3 serves"), NOW, "pod-1")
    assert first["metadata"] == again["metadata"]
    assert first["metadata"] != other["metadata"]


def test_what_is_said_again_of_another_state_of_the_object_is_another_event() -> None:
    """The second rollout of an hour says what the first one said."""
    event = Event("Normal", "Promoted", "heart-v2 serves")
    names = [
        event_manifest({**OWNER, "metadata": {**OWNER["metadata"], "resourceVersion": each}}, event, NOW, "pod-1")
        for each in ("7", "7", "8")
    ]
    first, again, later = (each["metadata"]["name"] for each in names)
    assert first == again, "the process ended before the status was written"
    assert first != later


def test_a_long_message_is_cut_to_what_the_api_server_takes() -> None:
    manifest = event_manifest(OWNER, Event("Warning", "Failed", "ü" * 2000), NOW, "pod")
    assert len(manifest["note"].encode()) <= 1024
