"""Workers in virtual time: they claim, call, die and lose replies as a script of fates says, against the real scripts.

What they do is written to a log that knows nothing of permits: when each call reached the provider, and what it weighed there.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import count, cycle
from typing import TYPE_CHECKING

from tests.redis.driver import GIVEN_UP, NEVER_LEFT, SUBMIT

from tuma_worker.core.limits import Counted
from tuma_worker.queue.scripts import Claim, Release, Wait, Why, renew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.redis.driver import Driver, VirtualClock

    from tuma_worker.core.limits import Limit

SECOND = 1_000_000  # microseconds


class End(StrEnum):
    """How a claimed batch fares."""

    SENT = "sent"
    GIVEN_UP = "given up"  # the call timed out; the provider may read it for a grace yet
    NEVER_LEFT = "never left"  # no connection was made
    PUT_BACK = "put back"  # no attempt was begun
    DIED_BEFORE = "died before begin"
    DIED_AFTER = "died after begin"
    SILENT = "silent"  # the lease is not renewed, and the answer is offered late


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one batch. Times in microseconds.

    `begin` from the claim to the attempt, `latency` of the call; `arrival` says where between the call's start and the last moment
    at which the provider may read it the call does arrive, from 0 to 1. `repeats`: so often is the claim's reply lost.
    """

    end: End = End.SENT
    begin: int = 0
    latency: int = 300_000
    arrival: float = 0.5
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as the provider counts it."""

    at: int
    lane: int
    messages: int
    batch: str

    def weight(self, limit: Limit) -> int:
        return 1 if limit.counted is Counted.CALLS else self.messages


@dataclass(slots=True)
class Permit:
    """A permit as an observer without access to the limiter may reckon it: counted until `ends` and a window.

    With a `grace` it is only a claim that finds it ended, which may be later.
    """

    lane: int
    messages: int
    lease: int
    begun: bool = False
    ends: int | None = None
    grace: bool = False
    void: bool = False


@dataclass
class Process:
    """A worker process: its configuration, its free threads, and until when it sleeps."""

    name: str
    free: int
    driver: Driver
    generation: int = 0
    asleep: bool = False


@dataclass
class Simulation:
    """Processes with their threads, all on one queue. `fates` are dealt to the batches in turn, again and again."""

    driver: Driver
    clock: VirtualClock
    fates: Iterable[Fate]
    threads: Sequence[int] = (1,)
    most_claims: int = 400

    arrivals: list[Arrival] = field(default_factory=list)
    claims: list[tuple[int, Claim]] = field(default_factory=list)
    waits: list[tuple[int, Wait]] = field(default_factory=list)
    permits: dict[str, Permit] = field(default_factory=dict)
    on_wait: Callable[[Wait], None] | None = None
    on_permit: Callable[[Claim], None] | None = None
    on_claim: Callable[[Process, Claim | Wait], None] | None = None

    def __post_init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()
        self._dealt = cycle(self.fates)
        self._processes = [Process(f"process-{index}", free, self.driver) for index, free in enumerate(self.threads)]
        self._sleepers: deque[Process] = deque()
        self.start = self.clock.now
        self.timer_refusals = 0
        for process in self._processes:
            self.at(0, partial(self._claim_all, process))

    def at(self, delay: int, act: Callable[[], object]) -> None:
        """Act `delay` microseconds from now."""
        heapq.heappush(self._heap, (self.clock.now + max(0, delay), next(self._order), act))

    def run(self, seconds: float) -> None:
        """Live through so much virtual time, or until the work is done or `most_claims` were asked for."""
        horizon = self.start + round(seconds * SECOND)
        while self._heap and len(self.claims) + len(self.waits) < self.most_claims:
            at, _, act = heapq.heappop(self._heap)
            if at > horizon:
                break
            self.clock.set(at)
            act()
            self._hear_the_bell()

    def reconfigure(self, index: int, driver: Driver) -> None:
        """Let a process go on with another configuration, under which it answers for what it holds too."""
        self._processes[index].driver = driver

    def knock(self) -> None:
        """Let a process that sleeps claim at this instant, as if somebody had rung for no reason."""
        if self._sleepers:
            process = self._sleepers.popleft()
            self._wake(process)
            self._claim_all(process)

    # -------------------------------------------------------------------------------------------------------------- claiming

    def _hear_the_bell(self) -> None:
        bell = self.driver.queue.keys.bell
        while self._sleepers and self.driver.redis.lpop(bell) is not None:
            process = self._sleepers.popleft()
            self._wake(process)
            self._claim_all(process)

    def _wake(self, process: Process) -> None:
        process.asleep = False
        process.generation += 1
        if process in self._sleepers:
            self._sleepers.remove(process)

    def _claim_all(self, process: Process) -> None:
        while process.free > 0:
            fate = next(self._dealt)
            token = f"{next(self._order):016x}"
            found = process.driver.claim(token, worker=process.name, last=process.free == 1)
            for _ in range(fate.repeats):
                again = process.driver.claim(token, worker=process.name, last=process.free == 1)
                assert isinstance(found, Wait) or again == found, "a claim whose reply was lost is another claim"
                found = again
            if self.on_claim is not None:
                self.on_claim(process, found)
            if isinstance(found, Wait):
                self._sleep(process, found)
                return
            process.free -= 1
            self._work(process, found, fate)

    def _sleep(self, process: Process, found: Wait) -> None:
        assert found.milliseconds >= 1, "a wait of nothing is a busy loop"
        self._reckon()
        self.waits.append((self.clock.now, found))
        if self.on_wait is not None:
            self.on_wait(found)
        process.asleep, generation = True, process.generation
        self._sleepers.append(process)

        def timer() -> None:
            if process.asleep and process.generation == generation:
                self._wake(process)
                before = len(self.claims)
                self._claim_all(process)
                if len(self.claims) == before and found.why is not Why.IDLE:
                    self.timer_refusals += 1

        self.at(found.milliseconds * 1000, timer)

    # --------------------------------------------------------------------------------------------------------------- working

    def _work(self, process: Process, batch: Claim, fate: Fate) -> None:
        self._reckon()
        self.claims.append((self.clock.now, batch))
        if batch.actor != "send":
            process.driver.release(batch, Release.DONE)
            self._free(process)
            return
        segments = int(batch.group.split(".")[1]) if self.driver.queue.count_segments else 1
        lease = self.clock.ms + round(self.driver.queue.lease * 1000)
        self.permits[batch.batch_id] = Permit(batch.lane, segments * len(batch.jobs), lease * 1000)
        if self.on_permit is not None:
            self.on_permit(batch)
        if fate.end is End.DIED_BEFORE:
            self._free(process)
        elif fate.end is End.PUT_BACK:
            self.at(max(1000, fate.begin), lambda: self._put_back(process, batch))
        else:
            self.at(fate.begin, lambda: self._begin(process, batch, fate))

    def _free(self, process: Process) -> None:
        process.free += 1
        if not process.asleep:
            self.at(0, lambda: self._claim_all(process))

    def _put_back(self, process: Process, batch: Claim, how: Release = Release.BACK) -> None:
        process.driver.release(batch, how)
        self.permits[batch.batch_id].void = True
        self._free(process)

    def _begin(self, process: Process, batch: Claim, fate: Fate) -> None:
        permit = self.permits[batch.batch_id]
        begun = process.driver.begin(batch)
        if begun is not None and not begun.targets:
            self._put_back(process, batch, Release.DONE)  # all are past their deadline: a worker lets go of such a batch
            return
        if begun is None or self.clock.now >= permit.lease:
            self._free(process)  # the lease was lost before the call, so the call is not made
            return
        permit.begun = True
        if fate.end is End.NEVER_LEFT:
            self.at(fate.latency, lambda: self._settle(process, batch, fate))
            return
        over = self.clock.now + fate.latency
        grace = round(self.driver.queue.grace * SECOND)
        last = {
            End.SENT: over,
            End.GIVEN_UP: over + grace,
            End.SILENT: min(over, permit.lease + grace),
            End.DIED_AFTER: permit.lease + grace,
        }[fate.end]
        arrival = self.clock.now + round((last - self.clock.now) * fate.arrival)
        self.arrivals.append(Arrival(arrival, batch.lane, permit.messages, batch.batch_id))
        if fate.end is End.DIED_AFTER:
            self._free(process)
            return
        if fate.end is not End.SILENT:
            self._renew(batch, over)
        self.at(fate.latency, lambda: self._settle(process, batch, fate))

    def _renew(self, batch: Claim, over: int) -> None:
        pause = round(self.driver.queue.lease * SECOND / 3)
        if self.clock.now + pause < over:
            self.at(pause, lambda: self._renew(batch, over))
        lost = renew(self.driver.redis, self.driver.queue, [batch.batch_id])
        assert not lost, "a lease that is renewed in time is never lost"
        lease = self.clock.ms + round(self.driver.queue.lease * 1000)
        self.permits[batch.batch_id].lease = lease * 1000

    def _settle(self, process: Process, batch: Claim, fate: Fate) -> None:
        step = {End.GIVEN_UP: GIVEN_UP, End.NEVER_LEFT: NEVER_LEFT}.get(fate.end, SUBMIT)
        settled = process.driver.settle(batch, step) is not None
        permit = self.permits[batch.batch_id]
        assert settled == (permit.ends is None) or fate.end in (End.SILENT, End.NEVER_LEFT), "a kept lease is never lost"
        if settled:
            permit.void = step is NEVER_LEFT
            permit.grace = step is GIVEN_UP
            permit.ends = self.clock.now + (round(self.driver.queue.grace * SECOND) if permit.grace else 0)
        self._free(process)

    # ------------------------------------------------------------------------------------------------------------- reckoning

    def _reckon(self) -> None:
        """A claim was answered: whose lease or grace was over has been taken back by it."""
        for permit in self.permits.values():
            if permit.grace and permit.ends is not None and permit.ends // 1000 <= self.clock.ms:
                permit.ends, permit.grace = self.clock.now, False
            elif permit.ends is None and not permit.void and permit.lease <= self.clock.ms * 1000:
                permit.void, permit.grace = not permit.begun, permit.begun
                permit.ends = self.clock.now + round(self.driver.queue.grace * SECOND)

    def counted(self, limit: Limit, slack: float = 0.0, below: int = -1) -> int:
        """What counts against a limit now, by the promise alone: permits from claim to end, a window, and `slack`.

        Only lanes below `below` are counted.
        """
        window = round((limit.window + slack) * SECOND)
        held = [
            one
            for one in self.permits.values()
            if one.lane > below and not one.void and (one.ends is None or one.ends + window > self.clock.now)
        ]
        return len(held) if limit.counted is Counted.CALLS else sum(one.messages for one in held)


def most_in_a_window(arrivals: Iterable[Arrival], limit: Limit) -> int:
    """The most that any interval of the limit's length has seen, as a provider with a sliding window counts."""
    line = sorted(arrivals, key=lambda one: one.at)
    window, most, total, first = round(limit.window * SECOND), 0, 0, 0
    for one in line:
        total += one.weight(limit)
        while line[first].at <= one.at - window:
            total -= line[first].weight(limit)
            first += 1
        most = max(most, total)
    return most


def most_in_a_fixed_window(arrivals: Iterable[Arrival], limit: Limit, offset: float) -> int:
    """The most in any window of a provider that counts from fixed times; `offset` shifts these by a share of the window."""
    window = round(limit.window * SECOND)
    shift = round(window * offset)
    totals: dict[int, int] = {}
    for one in arrivals:
        slot = (one.at - shift) // window
        totals[slot] = totals.get(slot, 0) + one.weight(limit)
    return max(totals.values(), default=0)
