"""Whatever happens, in whatever order, and wherever the process ends: what must never be, never is."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perennial.contracts.names import quarantine_annotation
from tests.unit.rollout.world import World

NUMBERS = st.integers(1, 5)


class Walk(RuleBasedStateMachine):
    """People, pods, time and an operator that may end after any write."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.was_served = False
        self.whole = True
        """Whether the last reconcile came to its end."""
        self.asked = 0

    @initialize()
    def begin(self) -> None:
        self.world.add(1)
        self.world.settle()

    @rule(number=NUMBERS, approval=st.sampled_from(["Approved", "Approved", "Pending", "Rejected"]))
    def approve(self, number: int, approval: str) -> None:
        name = f"heart-v{number}"
        old = self.world.versions.get(name)
        self.world.add(number, approval)
        if old:
            new = self.world.versions[name]
            self.world.versions[name] = new.model_copy(update={"metadata": old.metadata})

    @rule(number=st.none() | NUMBERS)
    def want(self, number: int | None) -> None:
        self.world.change(version={"name": f"heart-v{number}"} if number else {"latest": "Approved"})

    @rule(replicas=st.integers(1, 4), memory=st.sampled_from(["256Mi", "512Mi"]))
    def resize(self, replicas: int, memory: str) -> None:
        self.world.change(predictor={"replicas": replicas, "resources": {"memory": memory}})

    @rule()
    def upgrade(self) -> None:
        self.world.image += "+"

    @rule(number=NUMBERS)
    def start(self, number: int) -> None:
        self.world.start_pods(f"heart-v{number}")

    @rule()
    def start_all(self) -> None:
        self.world.start_pods()

    @rule(seconds=st.sampled_from([1, 10, 30, 60, 600]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule(up=st.booleans(), traffic=st.sampled_from([0.0, 1000.0]), bad=st.none() | NUMBERS)
    def measure(self, up: bool, traffic: float, bad: int | None) -> None:
        self.world.prometheus, self.world.traffic = up, traffic
        self.world.errors = {f"heart-v{bad}": 0.5} if bad else {}

    @rule(number=NUMBERS)
    def monitor_asks(self, number: int) -> None:
        self.asked += 1
        self.world.ask_rollback(f"heart-v{number}", identity=f"a{self.asked}")

    @precondition(lambda self: self.world.status.stable is not None)
    @rule()
    def monitor_asks_about_stable(self) -> None:
        assert self.world.status.stable is not None
        self.asked += 1
        self.world.ask_rollback(self.world.status.stable.version, identity=f"a{self.asked}")

    @rule(number=NUMBERS, verb=st.sampled_from(["release", "rollback", "abort"]))
    def person_asks(self, number: int, verb: str) -> None:
        self.world.request(verb, f"heart-v{number}")

    @rule()
    def settle(self) -> None:
        self._reconcile(None)
        self.world.settle()
        self.whole = True
        assert not self.world.reconcile(), "at rest nothing is written"

    @rule(writes=st.integers(1, 4))
    def end_after(self, writes: int) -> None:
        self._reconcile(writes)

    def _reconcile(self, writes: int | None) -> None:
        before = self.world.status
        self.world.reconcile(writes)
        self.whole = writes is None
        after, metrics = self.world.status, self.world.deployment.spec.rollout.analysis.metrics
        if before.stable and after.stable and before.stable.revision != after.stable.revision and metrics:
            back = after.stable.revision in {each.revision for each in before.history}
            passed = before.rollout is not None and before.rollout.measurements
            assert back or passed or self.world.snapshot().measured, "promoted without a look"
            assert back or self.world.prometheus or (passed and before.rollout), "promoted blind"

    @invariant()
    def somebody_serves(self) -> None:
        served = self.world.selected()
        if self.was_served:
            assert served, "what was ready once is always selected"
        self.was_served = self.was_served or bool(served)

    @invariant()
    def the_quarantined_get_no_requests(self) -> None:
        stable = self.world.status.stable
        key = quarantine_annotation("heart")
        marked = {name for name, each in self.world.versions.items() if key in each.metadata.annotations}
        if self.whole and stable:
            assert not (self.world.selected() & marked) - {stable.version}

    @invariant()
    def one_child_a_revision(self) -> None:
        revisions = [each["metadata"]["labels"]["perennial.dev/revision"] for each in self.world.deployments.values()]
        assert len(revisions) == len(set(revisions))
        assert len(revisions) <= 4

    @invariant()
    def shared_traffic_is_between_stable_and_canary_alone(self) -> None:
        status = self.world.status
        if self.whole and status.stable and status.rollout:
            assert self.world.selected() <= {status.stable.version, status.rollout.target.version}


Walk.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
