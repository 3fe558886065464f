"""What is found out about a call that nobody answered, on the real records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import GIVEN_UP, Driver, calls, number, queue_of

from tuma_worker.core.answers import Quota, Traced
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.evidence import Decision, Found, Judgement
from tuma_worker.core.next_step import Policy
from tuma_worker.dispatch.resolving import Resolver
from tuma_worker.dispatch.sending import Outlet
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import push

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.queue.scripts import Claim

APART = 60.0


@dataclass
class EmptyBooks:
    """A provider whose books are complete and have no such call."""

    quotas: tuple[Quota, ...] = ()

    def trace(self, call: object, about: float) -> Traced:
        del call, about
        return Traced((), complete=True, quotas=self.quotas)


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of())


@pytest.fixture
def resolver(driver: Driver) -> Resolver:
    client: Any = EmptyBooks()
    outlet = Outlet(
        client, driver.attempts, Policy(resolve_after=APART), Breaker(), callbacks=None, sender_id=None, keeps_books=True
    )
    return Resolver(driver.redis, {driver.queue.account: outlet}, heed=lambda _account: None)


def given_up(driver: Driver) -> Claim:
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, GIVEN_UP)
    return batch


def look(driver: Driver, resolver: Resolver, batch: Claim) -> None:
    """Do a look that is due now."""
    push(driver.redis, driver.queue, f"trace.1.1.{batch.batch_id}", batch.batch_id, lane=batch.lane, source=batch.source)
    found = driver.taken()
    assert found.actor == "trace"
    resolver.trace(Held(driver.queue, found, until=1.0, clock=lambda: 0.0))


@pytest.mark.parametrize(("before", "state"), [(15.0, "sending"), (APART, "queued")])
def test_an_absence_is_proven_by_two_looks_that_are_as_far_apart_as_is_demanded(
    driver: Driver, resolver: Resolver, before: float, state: str
) -> None:
    intent = driver.enqueue(number(1))
    batch = given_up(driver)
    nothing = Judgement(Found.NOTHING, Decision.LOOK_AGAIN)
    driver.attempts.looked(batch.batch_id, "of a worker that died in it", driver.attempts.now() - before, nothing)
    look(driver, resolver, batch)
    assert driver.state_of(intent, number(1)) == state
    again = f"{batch.lane}|{batch.source}|trace.1.1.{batch.batch_id}|{batch.batch_id}"
    assert (driver.redis.zscore(driver.queue.keys.due, again) is not None) == (state == "sending"), "then it is looked again"


def test_what_the_books_say_is_left_of_the_limits_is_heeded(redis: Redis) -> None:
    driver = Driver(redis, queue_of(calls(10, 600)))
    (limit,) = driver.queue.limits
    client: Any = EmptyBooks((Quota(limit.name, 3),))
    outlet = Outlet(client, driver.attempts, Policy(), Breaker(), callbacks=None, sender_id=None, keeps_books=True)
    driver.enqueue()
    look(driver, Resolver(redis, {driver.queue.account: outlet}, heed=lambda _account: None), given_up(driver))
    assert driver.used(limit) == limit.count - 3
