"""The work queue's promises, on a clock that the test moves."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perennial.reconcile.queue import BURST, INTERVAL, LONGEST_DELAY, Queue

A = ("ModelTraining", "ns", "a")
B = ("ModelTraining", "ns", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = Queue(Clock())
    queue.add(A)
    queue.add(A)
    assert queue.pop() == A
    queue.done(A)
    assert queue.pop() is None


def test_what_is_added_while_it_is_worked_on_comes_after() -> None:
    queue = Queue(Clock())
    queue.add(A)
    assert queue.pop() == A
    queue.add(A)
    assert queue.pop() is None, "two workers would have the same object"
    queue.done(A)
    assert queue.pop() == A


def test_the_earlier_of_two_times_holds() -> None:
    clock = Clock()
    queue = Queue(clock)
    queue.add(A, 60)
    queue.add(A, 10)
    queue.add(A, 300)
    clock.now += 9.9
    assert queue.pop() is None
    clock.now += 0.2
    assert queue.pop() == A
    queue.done(A)
    clock.now += 1000
    assert queue.pop() is None, "the later times were superseded"


def test_failures_in_a_row_wait_longer_until_one_succeeds() -> None:
    clock = Clock()
    queue = Queue(clock)
    delays = []
    for _ in range(10):
        queue.add(A)
        clock.now += LONGEST_DELAY
        assert queue.pop() == A
        delays.append(queue.retry(A, 1.0))
        queue.done(A)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]
    queue.succeeded(A)
    assert queue.retry(A, 1.0) == 1.0


def test_a_key_that_wakes_itself_for_ever_is_slowed_and_others_are_not() -> None:
    clock = Clock()
    queue = Queue(clock)
    turns = 0
    queue.add(A)
    while queue.pop() == A:
        queue.add(A)
        queue.done(A)
        turns += 1
    assert turns == BURST + 1
    queue.add(B)
    assert queue.pop() == B
    clock.now += INTERVAL
    assert queue.pop() == A


def test_overdue_is_the_wait_of_the_oldest_that_nobody_works_on() -> None:
    clock = Clock()
    queue = Queue(clock)
    assert queue.overdue() == 0
    queue.add(A)
    queue.add(B, 50)
    clock.now += 7
    assert queue.overdue() == 7
    assert queue.pop() == A
    queue.add(A)
    clock.now += 1
    assert queue.overdue() == 0


async def test_a_waiting_worker_gets_a_key_as_soon_as_it_is_added() -> None:
    queue = Queue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A, 3600)
    await asyncio.sleep(0)
    queue.add(B)
    assert await asyncio.wait_for(worker, 5) == B


async def test_workers_share_keys_and_none_is_lost() -> None:
    queue = Queue()
    keys = {("Kind", "ns", str(number)) for number in range(50)}
    seen: list[tuple[str, str, str]] = []
    everything = asyncio.Event()

    async def work() -> None:
        while True:
            key = await queue.get()
            seen.append(key)
            await asyncio.sleep(0)
            queue.done(key)
            if len(seen) == len(keys):
                everything.set()

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for key in keys:
        queue.add(key)
    await asyncio.wait_for(everything.wait(), 5)
    for worker in workers:
        worker.cancel()
    assert sorted(seen) == sorted(keys)


class Promises(RuleBasedStateMachine):
    """Any order of additions, turns and time: never twice at once, never lost, never early."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = Queue(self.clock)
        self.wanted: dict[tuple[str, str, str], float] = {}
        self.working: set[tuple[str, str, str]] = set()

    keys = st.sampled_from([A, B, ("DriftMonitor", "ns", "a")])

    @rule(key=keys, delay=st.sampled_from([0.0, 0.1, 5.0, 60.0]))
    def add(self, key: tuple[str, str, str], delay: float) -> None:
        self.queue.add(key, delay)
        due = self.clock.now + delay
        self.wanted[key] = min(due, self.wanted.get(key, due))

    @rule()
    def pop(self) -> None:
        key = self.queue.pop()
        if key is not None:
            assert key not in self.working
            assert self.wanted.pop(key) <= self.clock.now
            self.working.add(key)

    @rule(key=keys)
    def done(self, key: tuple[str, str, str]) -> None:
        self.queue.done(key)
        self.working.discard(key)

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def counts_each_key_once(self) -> None:
        assert len(self.queue) == len(self.wanted)

    def teardown(self) -> None:
        for key in list(self.working):
            self.done(key)
        self.clock.now += LONGEST_DELAY + 3600
        popped = set()
        while (due := self.queue.pop()) is not None:
            assert due not in popped
            popped.add(due)
        assert popped == set(self.wanted), "what was added is worked on in the end"


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
