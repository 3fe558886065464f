"""A verb whose job kills its workers, or is lost, ends or goes on."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import number, queue_of
from tests.redis.keeping import STATUS, TERMS, Keeping, jobs

from tuma_worker.core.custody import Custody, Told
from tuma_worker.core.states import RecipientState
from tuma_worker.dispatch.custody import Keeper, Steerer
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.queue.config import CRASHES_TOLERATED
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, Release, claim, push, release
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer.results import Verb
    from tuma_producer.schedules import Schedule
    from tuma_worker.core.answers import Reply
    from tuma_worker.core.custody import Sighting, Steered
    from tuma_worker.providers.base import Call


@pytest.fixture
def driver(redis: Redis) -> Keeping:
    return Keeping(redis, queue_of(batch_max=1000))


LEASE = 0.05


class Nobody:
    """A provider that must not be called."""

    def hand_over(self, call: Call, schedule: Schedule) -> Reply:
        raise AssertionError((call, schedule))

    def steer(self, verb: Verb, provider_id: str) -> Steered:
        raise AssertionError((verb, provider_id))

    def standing(self, provider_id: str) -> Sighting:
        raise AssertionError(provider_id)


def held(redis: Redis, operation: str) -> Held:
    """The next job of a queue, in the hand of a worker."""
    queue = queue_of(operation=operation, lease=LEASE)
    found = claim(redis, queue, secrets.token_hex(8), "w1", last=False)
    assert isinstance(found, Claim), found
    return Held(queue, found, until=1.0, clock=lambda: 0.0)


def killing(driver: Keeping, operation: str) -> Held:
    """Let workers die over the job in a queue until another comes in its place."""
    for _ in range(CRASHES_TOLERATED):
        assert held(driver.redis, operation).claim.actor in {"steer", "look"}
        driver.until(driver.server_ms() + 1000 * LEASE + 1)
    return held(driver.redis, operation)


@pytest.mark.parametrize("operation", ["control", "status"])
def test_a_verb_that_kills_its_workers_ends_with_that_reason_and_may_be_asked_for_again(driver: Keeping, operation: str) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    if operation == "status":
        asking = held(driver.redis, "control")
        kept = driver.kept(intent)
        driver.custodies.told(kept, next(iter(kept.calls)), Told.DONE, last=True)
        assert release(driver.redis, asking.queue, asking.claim.batch_id, Release.CALLED)
    last = killing(driver, operation)
    steerer = Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)})
    steerer.abandon(last)
    custody = driver.get(intent).custody
    assert custody is not None
    assert (custody.state, custody.outcome) == ("unknown-at-provider", "worker-died")
    assert driver.events()[-1]["w"] == "worker-died"
    before = driver.snapshot()
    steerer.abandon(last)
    assert driver.snapshot() == before, "a repeat finds it concluded"
    assert release(driver.redis, last.queue, last.claim.batch_id, Release.DONE)
    assert driver.ask("pause", intent).outcome == "requested"
    again = held(driver.redis, "control")
    assert again.claim.actor == "steer"


def test_a_verb_that_kills_its_workers_before_the_hand_over_is_over_waits_for_that(driver: Keeping) -> None:
    intent = driver.kept_by_provider()
    batch = driver.taken()
    driver.begin(batch)
    driver.ask("cancel", intent)
    last = killing(driver, "control")
    steerer = Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)})
    steerer.abandon(last)
    assert last.settled
    assert driver.ask("cancel", intent).outcome == "requested"
    assert jobs(driver.redis, "control") == [intent]


def test_a_look_that_comes_late_says_nothing_of_the_next_verb(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    push(driver.redis, STATUS, "look.1.1.-", intent)
    found = held(driver.redis, "status")
    before = driver.kept(intent)
    Steerer(driver.redis, {driver.queue.account: Keeper(Nobody(), driver.custodies, TERMS)}).look(found)
    assert driver.kept(intent).shown == before.shown == {}


def lose(redis: Redis, operation: str) -> None:
    """Delete the jobs of a queue, as nobody ever should."""
    keys = queue_of(operation=operation).keys
    redis.delete(keys.entries, keys.groups, keys.due, *map(keys.sources, range(3)))


@pytest.mark.parametrize("operation", ["control", "status"])
def test_a_verb_whose_job_was_lost_is_found_at_the_second_look_and_goes_on(driver: Keeping, operation: str) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    if operation == "status":
        kept = driver.kept(intent)
        driver.custodies.told(kept, next(iter(kept.calls)), Told.DONE, last=True)
        lose(driver.redis, "control")
    lose(driver.redis, operation)
    sweeper = Sweeper([Unowned(driver.redis, driver.queue)], "w1", every=60)
    assert [(one.suspected, one.restored) for one in sweeper.run_once()] == [(1, 0)]
    assert [(one.restored, one.intents) for one in sweeper.run_once()] == [(1, (intent,))]
    assert (jobs(driver.redis, "control"), jobs(driver.redis, "status")) == (([intent], []), ([], [intent]))[operation == "status"]
    found = held(driver.redis, operation)
    assert found.claim.actor == ("look" if operation == "status" else "steer")
    assert [(one.suspected, one.restored) for one in sweeper.run_once()] == [(0, 0)], "a worker holds it"


def test_a_verb_that_has_ended_for_all_its_recipients_is_found_as_well(driver: Keeping) -> None:
    intent = driver.handed_over(days=(1,))
    driver.ask("pause", intent)
    driver.receipt(intent, number(0), RecipientState.DELIVERED, "e1")
    lose(driver.redis, "control")
    sweeper = Sweeper([Unowned(driver.redis, driver.queue)], "w1", every=60)
    sweeper.run_once()
    assert [one.restored for one in sweeper.run_once()] == [1]


def test_a_verb_that_moved_on_between_two_looks_is_not_given_a_job(driver: Keeping) -> None:
    intent = driver.handed_over()
    driver.ask("pause", intent)
    lose(driver.redis, "control")
    unowned = Unowned(driver.redis, driver.queue)
    lost = unowned.look().lost
    assert driver.conclude(intent, Custody.PAUSED)
    assert unowned.restore(lost) == 0
    assert jobs(driver.redis, "control") == []
