"""Whatever happens, in whatever order, and wherever the process ends: what must never be, never is.

Every walk has a strategy, a traffic provider and an autoscaler to begin with, and may change any of them on its way.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perennial.api.deployment import DeploymentStatus, Held, Revision
from perennial.contracts.names import LABEL_REVISION, LABEL_VERSION, quarantine_annotation
from perennial.domain.rollout.state import Finding, Overlay
from perennial.domain.rollout.target import configuration_of
from tests.unit.rollout.world import GATEWAY, ROLLOUTS, World

NUMBERS = st.integers(1, 5)
STRATEGIES = st.sampled_from(sorted(ROLLOUTS))
PAUSING: dict[str, dict[str, Any]] = {
    "Canary": {"steps": [{"weight": 33, "pause": {}}]},
    "BlueGreen": {"preview": {"pause": {}}},
    "Shadow": {"shadow": {"pause": {}}},
    "Recreate": {},
}
VERBS = ["release", "rollback", "abort", "promote", "promote-full", "pause", "resume", "retry"]
TROUBLE = Finding("ErrImagePull", "container predictor: no such image")


class Walk(RuleBasedStateMachine):
    """People, pods, time, an autoscaler, a Gateway, and an operator that may end after any write."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.was_served = False
        self.whole = True
        """Whether the last reconcile came to its end, and nothing that it has to put right happened since."""
        self.asked = 0

    @initialize(
        strategy=STRATEGIES, gateway=st.booleans(), autoscaled=st.booleans(), keep=st.sampled_from(["0s", "10m"])
    )
    def begin(self, strategy: str, gateway: bool, autoscaled: bool, keep: str) -> None:
        self.world.change(standby={"keep": keep})
        self.follow(strategy, pausing=False)
        self.share(gateway)
        self.size(2, "256Mi", autoscaled)
        self.world.add(1)
        self.world.settle()

    # --- people ---------------------------------------------------------------------------------------------------

    @rule(number=NUMBERS, approval=st.sampled_from(["Approved", "Approved", "Pending", "Rejected"]))
    def approve(self, number: int, approval: str) -> None:
        old = self.world.versions.get(f"heart-v{number}")
        self.world.add(number, approval)
        if old:
            new = self.world.versions[f"heart-v{number}"]
            self.world.versions[f"heart-v{number}"] = new.model_copy(update={"metadata": old.metadata})

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        """Its finalizer holds a version that is in use."""
        status, name = self.world.status, f"heart-v{number}"
        used = [status.stable, status.rollout and status.rollout.target, status.standby and status.standby.revision]
        if name not in {each.version for each in used if each}:
            self.world.versions.pop(name, None)

    @rule(number=st.none() | NUMBERS)
    def want(self, number: int | None) -> None:
        self.world.change(version={"name": f"heart-v{number}"} if number else {"latest": "Approved"})

    @rule(replicas=st.integers(1, 4), memory=st.sampled_from(["256Mi", "512Mi"]), autoscaled=st.booleans())
    def size(self, replicas: int, memory: str, autoscaled: bool) -> None:
        scaling = {"autoscaling": {"min": replicas, "max": 6}} if autoscaled else {}
        self.world.change(predictor={"replicas": replicas, "resources": {"memory": memory}, **scaling})

    @rule(strategy=STRATEGIES, pausing=st.booleans())
    def follow(self, strategy: str, pausing: bool) -> None:
        self.world.change(rollout={**ROLLOUTS[strategy], **(PAUSING[strategy] if pausing else {})})

    @rule(gateway=st.booleans())
    def share(self, gateway: bool) -> None:
        self.world.change(traffic=GATEWAY if gateway else {"provider": "Replicas"})

    @rule(text=st.sampled_from(["", '{"spec": {"hostname": "a"}}', '{"spec": {"hostname": "b"}}']), bad=st.booleans())
    def overlay(self, text: str, bad: bool) -> None:
        self.world.overlay = Overlay("", Finding("OverlayInvalid", "no such ConfigMap")) if bad else Overlay(text)

    @rule(number=NUMBERS, verb=st.sampled_from(VERBS))
    def person_asks(self, number: int, verb: str) -> None:
        self.world.request(verb, f"heart-v{number}")

    @precondition(lambda self: self.world.status.rollout is not None)
    @rule(verb=st.sampled_from(VERBS))
    def person_asks_about_the_rollout(self, verb: str) -> None:
        self.world.request(verb, self.world.rollout.target.version)

    @rule(number=NUMBERS)
    def monitor_asks(self, number: int) -> None:
        self.asked += 1
        self.world.ask_rollback(f"heart-v{number}", identity=f"a{self.asked}")

    @precondition(lambda self: self.world.status.stable is not None)
    @rule(by_hand=st.booleans())
    def stable_is_bad(self, by_hand: bool) -> None:
        self.asked += 1
        if by_hand:
            self.world.request("rollback", self.world.serves)
        else:
            self.world.ask_rollback(self.world.serves, identity=f"a{self.asked}")

    # --- the cluster ----------------------------------------------------------------------------------------------

    @rule()
    def upgrade(self) -> None:
        self.world.image += "+"

    @rule(number=NUMBERS)
    def start(self, number: int) -> None:
        self.world.start_pods(f"heart-v{number}")

    @rule()
    def start_all(self) -> None:
        self.world.start_pods()

    @rule(number=NUMBERS, can_start=st.booleans())
    def break_images(self, number: int, can_start: bool) -> None:
        """New pods of the version cannot start; those that run go on."""
        self.world.cluster.troubles.pop(f"heart-v{number}", None)
        if not can_start:
            self.world.cluster.troubles[f"heart-v{number}"] = TROUBLE

    @precondition(lambda self: self.world.status.stable is not None and self.world.status.rollout is not None)
    @rule()
    def crash(self) -> None:
        """All pods of the new version end."""
        for name, manifest in self.world.cluster.deployments.items():
            if manifest["metadata"]["labels"][LABEL_REVISION] == self.world.rollout.target.revision:
                self.world.cluster.ready[name] = 0
        self.whole = False

    @rule(replicas=st.integers(1, 6))
    def scale(self, replicas: int) -> None:
        self.world.cluster.scale(replicas)

    @rule(mood=st.sampled_from(["Takes", "Takes", "Late", "Refuses"]))
    def gateway_is(self, mood: Any) -> None:
        self.world.cluster.gateway = mood
        self.world.cluster.take_route()

    @rule(seconds=st.sampled_from([1, 10, 30, 60, 600]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule(up=st.booleans(), traffic=st.sampled_from([0.0, 1000.0]), bad=st.none() | NUMBERS, broken=st.booleans())
    def measure(self, up: bool, traffic: float, bad: int | None, broken: bool) -> None:
        self.world.prometheus, self.world.traffic = up, traffic
        self.world.errors = {f"heart-v{bad}": 0.5} if bad else {}
        self.world.analysis_problem = Finding("AnalysisInvalid", "errors: bad PromQL") if broken and not up else None

    # --- the operator ---------------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        for _ in range(20):
            if not self._reconcile(None) and not self.world.cluster.take_route():
                break
        assert not self.world.reconcile(), "at rest nothing is written"
        self.whole = True

    @rule()
    def look(self) -> None:
        self._reconcile(None)

    @rule(writes=st.integers(1, 8))
    def end_after(self, writes: int) -> None:
        self._reconcile(writes)

    def _reconcile(self, writes: int | None) -> bool:
        world, before, sizes = self.world, self.world.status, self._scaled_sizes()
        measured = world.snapshot().measured
        changed = world.reconcile(writes)
        self.whole = writes is None
        after = self._scaled_sizes()
        assert all(after[name] == size for name, size in sizes.items() if name in after), "the autoscaler's alone"
        self._promotion_was_earned(before, measured)
        self._what_failed_stays_out(before)
        return changed

    def _scaled_sizes(self) -> dict[str, int]:
        """The number of pods where the autoscaler sees to it."""
        autoscaler = self.world.cluster.objects.get(("HorizontalPodAutoscaler", "heart"))
        name = autoscaler["spec"]["scaleTargetRef"]["name"] if autoscaler else ""
        live = self.world.cluster.deployments.get(name)
        return {name: live["spec"]["replicas"]} if live and self.world.deployment.spec.predictor.autoscaling else {}

    def _promotion_was_earned(self, before: DeploymentStatus, measured: object) -> None:
        after, rollout = self.world.status, before.rollout
        if not (before.stable and after.stable and rollout and after.stable.revision == rollout.target.revision):
            return
        if before.stable.revision == after.stable.revision:
            return
        spec = self.world.deployment.spec.rollout
        newest: dict[str, str] = {}
        for each in rollout.measurements:
            newest.setdefault(each.name, each.result)
        bad = measured is not None and self.world.errors.get(rollout.target.version, 0.0) > 0 and self.world.traffic
        back = after.stable.revision in {each.revision for each in before.history}
        if self._known_bad(before):  # whatever is complete first leads out of it
            return
        if spec.strategy == "Recreate" or not (spec.steps or spec.preview or spec.shadow) or back:
            return
        by_hand = rollout.promote or rollout.past == rollout.step or "/promote" in f"/{self._request()}"
        assert by_hand or newest.get("errors") == "Pass" or (measured and self.world.prometheus), "promoted blind"
        assert not (rollout.step >= 0 and bad and self.world.prometheus), "promoted in spite of a bad measurement"

    def _what_failed_stays_out(self, before: DeploymentStatus) -> None:
        """A configuration that is held is not rolled out again, and only a release (or the version's end) frees it."""
        after = self.world.status
        assert after.rollout is None or not _is_in(after.held_configurations, after.rollout.target)
        lost = _names(before.held_configurations) - _names(after.held_configurations)
        asked = self._request().startswith(("release/", "retry/"))
        assert asked or not {version for version, _ in lost} & set(self.world.versions)

    def _known_bad(self, before: DeploymentStatus) -> bool:
        """Whether what served is marked, or its configuration held, by now."""
        stable = before.stable
        found = self.world.versions.get(stable.version) if stable else None
        marked = found is not None and quarantine_annotation("heart") in found.metadata.annotations
        held = self.world.status.held_configurations
        return marked or (stable is not None and _is_in(held, stable))

    def _request(self) -> str:
        return next(iter(self.world.annotations.values()), "")

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def somebody_serves(self) -> None:
        """From the first promotion on; but for Recreate, which says what it costs."""
        rollout = self.world.status.rollout
        served = bool(self.world.selected()) and self.world.status.stable is not None
        recreate = "Recreate" in (rollout.strategy if rollout else "", self.world.deployment.spec.rollout.strategy)
        if self.was_served and not recreate:
            assert served, "what was ready once is always selected"
        self.was_served = served or (self.was_served and not recreate)

    @invariant()
    def every_way_of_the_gateway_leads_to_a_pod(self) -> None:
        weights = self.world.cluster.weights()
        assert not weights or sum(weights.values()) == 100
        if self.whole and self.world.selected() and self.world.deployment.spec.traffic.provider == "Gateway":
            for service, weight in weights.items():
                assert not weight or self.world.cluster.behind(service), f"{weight} % of the requests get no answer"

    @invariant()
    def the_quarantined_get_no_requests(self) -> None:
        world, stable = self.world, self.world.status.stable
        key = quarantine_annotation("heart")
        marked = {name for name, each in world.versions.items() if key in each.metadata.annotations}
        if self.whole and stable:
            reached = world.selected() | world.previewed() | set(world.cluster.matched())
            assert not reached & (marked - {stable.version})
            assert world.cluster.mirrored().get("version") not in marked - {stable.version}

    @invariant()
    def the_copies_are_the_shadows(self) -> None:
        mirrored, rollout = self.world.cluster.mirrored(), self.world.status.rollout
        if self.whole and mirrored:
            assert rollout is not None
            assert (rollout.strategy, rollout.target.version) == ("Shadow", mirrored["version"])
            assert self.world.previewed() == {rollout.target.version}

    @invariant()
    def one_child_a_revision(self) -> None:
        children = self.world.cluster.deployments.values()
        revisions = [each["metadata"]["labels"][LABEL_REVISION] for each in children]
        assert len(revisions) == len(set(revisions))
        assert len(revisions) <= 4

    @invariant()
    def the_autoscaler_is_the_stable_ones(self) -> None:
        if self.whole and self.world.status.stable:
            assert self.world.cluster.scaled() <= {self.world.serves}

    @invariant()
    def shared_traffic_is_between_stable_and_canary_alone(self) -> None:
        status = self.world.status
        if self.whole and status.stable:
            new = {status.rollout.target.version} if status.rollout else set()
            assert self.world.selected() <= {status.stable.version} | new
            assert self.world.previewed() <= {status.stable.version} | new

    @invariant()
    def shares_are_told(self) -> None:
        told = self.world.status.traffic
        assert 0 <= told.wanted_weight <= 99
        assert told.real_weight is None or 0 <= told.real_weight <= 100

    @invariant()
    def versions_run_with_their_name(self) -> None:
        for manifest in self.world.cluster.deployments.values():
            assert manifest["metadata"]["labels"][LABEL_VERSION].startswith("heart-v")


def _names(held: list[Held]) -> set[tuple[str, str]]:
    return {(each.version, each.configuration) for each in held}


def _is_in(held: list[Held], revision: Revision) -> bool:
    return (revision.version, configuration_of(revision)) in _names(held)


Walk.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
