"""Three accounts that may carry for each other, driven by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.redis.driver import Driver, target_of

from tuma_producer import Producer
from tuma_producer.contract import ids
from tuma_worker.core.answers import Fault
from tuma_worker.core.failover import CarrierTerms
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.carrying import Moved, Mover
from tuma_worker.queue.scripts import Claim, Release
from tuma_worker.store import accounts
from tuma_worker.store.carried import Carried, Plan
from tuma_worker.store.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tuma_worker.core.states import Evidence, RecipientState

HOME, SPARE, LAST = "home", "spare", "last"
NO_MONEY = Halt(Fault.MONEY, "1202", operator=False, after=60.0)


@dataclass
class World:
    """Three accounts, one mover for all of them, and the ways to make an account stop and go on."""

    redis: Redis
    home: Driver
    spare: Driver
    last: Driver

    def carried(self, driver: Driver) -> Carried:
        return Carried(self.redis, driver.queue)

    def move(self) -> list[Moved]:
        """One look at each account; plans are looked at again however short ago they were."""
        for driver in (self.home, self.spare, self.last):
            for member, _ in self.redis.zscan_iter(driver.account.carried):
                self.redis.zadd(driver.account.carried, {member: 0})
        watched = [self.carried(driver) for driver in (self.home, self.spare, self.last)]
        return Mover(watched, "w1", 1.0, lambda: 0.0).run_once()

    def halt(self, driver: Driver) -> None:
        Steering(self.redis, driver.queue.account, "send", "test").halt(NO_MONEY)

    def resume(self, driver: Driver) -> None:
        assert Steering(self.redis, driver.queue.account, "send", "test").lift_halt()

    def terms(self, driver: Driver, *, environment: str = "sandbox", **terms: Any) -> None:  # noqa: ANN401 - fields of CarrierTerms
        account = driver.queue.account
        accounts.register(
            self.redis,
            account,
            provider="lisoloo",
            environment=environment,
            queue=driver.queue.for_claim,
            terms=CarrierTerms(**terms),
        )

    def enqueue(self, *to: str, failover: tuple[str, ...] = (SPARE, LAST), **more: Any) -> str:  # noqa: ANN401 - fields of Send
        return self.home.enqueue(*to, failover=failover, **more)

    def part(self, intent: str, account: str = SPARE, turn: int = 1) -> str:
        return ids.carrier_id(account, HOME, intent, turn)

    def states(self, intent: str) -> dict[str, str]:
        return {one.number: one.state for one in Producer(self.redis).get(f"{HOME}.{intent}").recipients}

    def told(self, driver: Driver, intent: str) -> list[str]:
        return [event["e"] for event in driver.events() if event.get("i") == intent]


def sent(driver: Driver) -> list[str]:
    """Send all that may go from this account; the numbers that the provider took."""
    found = []
    while isinstance(batch := driver.claim(), Claim):
        if batch.actor != "send":
            driver.release(batch, Release.DONE)
            continue
        begun = driver.begin(batch)
        assert begun is not None
        found += [target.number for target in begun.targets]
        if begun.targets:
            assert driver.settle(batch)
        else:
            driver.release(batch, Release.DONE)
    return sorted(found)


def evidence(world: World, state: RecipientState, by: Evidence, reason: str = "") -> Callable[[Claim], None]:
    """News of a call that the spare account has made."""

    def come(batch: Claim) -> None:
        targets = [target_of(job.subject) for job in batch.jobs]
        assert world.spare.attempts.apply(batch.batch_id, targets, state, by, reason=reason) == len(targets)

    return come


def planned(world: World, intent: str) -> Plan:
    """The first step alone: a worker died right after it."""
    world.halt(world.home)
    carried = world.carried(world.home)
    (waiting,) = carried.waiting()
    plan = carried.carry(waiting, carried.record(intent), SPARE, sorted(waiting.times), own_sender=False)
    assert plan is not None
    return plan
