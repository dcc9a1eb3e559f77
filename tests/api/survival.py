"""Whether a course of events comes out the same wherever the operator's process ends."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.api.apiserver import ApiServer
from tests.api.world import Controllers, Scenario, make_world, outcome_of

STRIDE = 5
AT_ONCE = 4
_HASH = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True)
class Course:
    """What came out, the operator's writes, and after how many of them its process ended, each time that it did."""

    outcome: list[str]
    writes: list[str]
    ends: list[int]


@dataclass(frozen=True)
class Survival:
    """Plays a scenario undisturbed, then so that the operator's process ends after each of its writes; a new one goes
    on from what the cluster holds. The outcome must be the undisturbed one: every object of the namespace with its spec
    and status, and not one more.

    A course in which it ends after the n-th write, and after every STRIDE-th from there, stands for as many writes
    where all that was written up to there is what is written undisturbed. For each other write there is a course in
    which it ends there alone. A scenario talks to its ``world`` alone: several courses are played at once, each in a
    namespace of its own.
    """

    server: ApiServer
    folder: Path
    fresh_namespace: Callable[[], str]
    controllers: Controllers

    async def check(self, scenario: Scenario) -> None:
        """Raises AssertionError with the write that it does not survive."""
        undisturbed = await self._play(scenario, range(0))
        number = len(undisturbed.writes)
        assert number, "the scenario makes the operator write nothing"
        strides = [range(after, number + 1, STRIDE) for after in range(1, min(STRIDE, number) + 1)]
        found = await self._all(self._ended(scenario, undisturbed, ends) for ends in strides)
        broken = [each for each in found if isinstance(each, AssertionError)]
        survived = {after for each in found if not isinstance(each, AssertionError) for after in each}
        alone = sorted({*range(1, number + 1)} - survived)
        found = await self._all(self._ended(scenario, undisturbed, range(after, after + 1)) for after in alone)
        for each in (*found, *broken):
            if isinstance(each, AssertionError):
                raise each

    async def _all(self, courses: Iterable[Awaitable[set[int]]]) -> list[set[int] | AssertionError]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(course: Awaitable[set[int]]) -> set[int] | AssertionError:
            async with turns:
                try:
                    return await course
                except AssertionError as error:
                    return error

        return await asyncio.gather(*map(in_turn, courses))

    async def _ended(self, scenario: Scenario, undisturbed: Course, ends: range) -> set[int]:
        """After which of the undisturbed course's writes the process has ended, without any harm."""
        found = await self._play(scenario, ends)
        first = f"{ends[0]} of {len(undisturbed.writes)} writes ({undisturbed.writes[ends[0] - 1]})"
        assert found.ends, f"it does not write so often: {first}"
        more = f", and after {found.ends[1:]}" if found.ends[1:] else ""
        assert found.outcome == undisturbed.outcome, f"ended after {first}{more}"
        if len(ends) == 1:
            return set(ends)
        return {each for each in found.ends if found.writes[:each] == undisturbed.writes[:each]}

    async def _play(self, scenario: Scenario, ends: range) -> Course:
        folder = self.folder / f"store-{ends.start:03}-{ends.step}-{len(ends):03}"  # of one length: it enters files
        folder.mkdir()
        namespace = self.fresh_namespace()
        async with make_world(self.server, folder, namespace, self.controllers, ends) as made:
            await scenario(made)
            await made.settle()
            writes = [_HASH.sub("HASH", each) for each in made.operator.writes]
            return Course(await outcome_of(made), writes, made.ends)
