"""Quiet hours: nobody is called in them, nothing is lost, and no permit is spent on waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, VirtualClock, calls, number, numbers, queue_of, target_of

from tuma_producer import At, Producer
from tuma_producer.contract.wire import LANES
from tuma_producer.quiet import Hours, Quiet
from tuma_worker.core.answers import TryLater
from tuma_worker.core.next_step import Policy, next_step
from tuma_worker.core.states import RecipientState
from tuma_worker.queue.scripts import Claim, Release, Wait, push

if TYPE_CHECKING:
    from redis import Redis

    from tuma_producer import Intent

# Virtual time begins on 15 January 2027 at 08:00 UTC: 09:00 in Kinshasa, 11:00 in Nairobi, 17:00 in Tokyo.
NIGHT = Quiet(Hours.parse("21:00-07:00"))
EVENING, MORNING = 11 * 3600, 22 * 3600  # seconds from then: when it becomes quiet in the DRC, and when it is over
KENYA, JAPAN = "+254712345678", "+81312345678"


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    assert clock.ms
    return Driver(redis, queue_of(calls(1000, 60), batch_max=10, quiet=NIGHT))


def get(driver: Driver, intent: str) -> Intent:
    return Producer(driver.redis).get(f"{driver.queue.account}.{intent}")


def called(driver: Driver) -> list[str]:
    """Whom a worker calls before it has to wait, in order."""
    found: list[str] = []
    while isinstance(batch := driver.claim(), Claim):
        assert batch.actor == "send"
        begun = driver.begin(batch)
        assert begun is not None
        assert driver.settle(batch)
        found += [target.number for target in begun.targets]
    return found


def test_by_day_it_goes_and_in_quiet_hours_it_waits_until_they_are_over(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue(number(1), priority="bulk")
    assert called(driver) == [number(1)]
    clock.forward(EVENING)
    start = clock.ms
    waiting = driver.enqueue(*numbers(25, 100), priority="bulk")
    assert called(driver) == []
    assert set(driver.due().values()) == {start + 1000 * (MORNING - EVENING)}
    assert len(driver.due()) == 25
    assert get(driver, waiting).counts == {"queued": 25}
    clock.forward(MORNING - EVENING - 0.001)
    assert called(driver) == []
    clock.forward(0.001)
    assert sorted(called(driver)) == sorted(numbers(25, 100))


def test_waiting_for_the_morning_spends_no_permit_and_asks_again_only_then(driver: Driver, clock: VirtualClock) -> None:
    clock.forward(EVENING)
    driver.enqueue(*numbers(25), priority="bulk")
    wait = driver.refused()
    assert wait.milliseconds == 5000  # the longest wait on the bell
    assert driver.used(driver.queue.limits[0]) == 0
    assert driver.redis.hget(driver.queue.keys.state, "pace:2:calls-60s") is None


@pytest.mark.parametrize("priority", ["otp", "transactional"])
def test_other_priorities_go_at_any_hour(driver: Driver, clock: VirtualClock, priority: str) -> None:
    clock.forward(EVENING)
    driver.enqueue(number(1), priority=priority)
    assert called(driver) == [number(1)]


def test_which_priorities_keep_quiet_is_set(redis: Redis, clock: VirtualClock) -> None:
    quiet = Quiet(NIGHT.hours, priorities=("transactional", "bulk"))
    driver = Driver(redis, queue_of(quiet=quiet))
    clock.forward(EVENING)
    for place, priority in enumerate(LANES):
        driver.enqueue(number(place), priority=priority)
    assert called(driver) == [number(0)]


def test_a_probe_of_a_halted_account_knows_no_quiet_hours(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), quiet=Quiet(NIGHT.hours, priorities=("otp", "transactional", "bulk"))))
    clock.forward(EVENING)
    push(redis, driver.queue, "probe.1.1.-", "account", source="~probe")
    driver.enqueue(number(1), priority="otp")
    assert driver.taken().actor == "probe"
    assert isinstance(driver.claim(), Wait)


def test_each_country_has_its_own_night_also_in_one_call(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue(number(1), KENYA, JAPAN, number(2), priority="bulk")
    clock.forward(4 * 3600)  # 21:00 in Tokyo
    assert called(driver) == sorted([number(1), KENYA, number(2)])
    driver.enqueue(number(3), KENYA, JAPAN, priority="bulk")
    clock.forward(EVENING - 4 * 3600)
    assert called(driver) == []
    clock.forward(3 * 3600)  # 22:00 UTC, 07:00 in Tokyo
    assert called(driver) == [JAPAN, JAPAN]
    clock.forward(6 * 3600)
    assert called(driver) == [KENYA]


def test_who_is_to_ignore_them_is_called_and_it_is_told(driver: Driver, clock: VirtualClock) -> None:
    clock.forward(EVENING)
    loud = driver.enqueue(number(1), priority="bulk", message="The same", ignore_quiet=True)
    still = driver.enqueue(number(2), priority="bulk", message="The same")
    assert called(driver) == [number(1)]
    assert (get(driver, loud).ignore_quiet, get(driver, still).ignore_quiet) == (True, False)


def test_an_occurrence_of_a_schedule_ignores_them_as_its_schedule_does(driver: Driver, clock: VirtualClock) -> None:
    clock.forward(EVENING)
    soon = datetime.fromtimestamp(clock.ms / 1000 + 60, UTC)
    for place, ignores in enumerate((True, False)):
        driver.enqueue(number(place), priority="bulk", schedule=At(times=soon), ignore_quiet=ignores)
    clock.forward(60)
    driver.fire_all()
    assert called(driver) == [number(0)]


def test_a_backlog_that_the_evening_finds_is_put_off_in_bounded_steps_behind_others(driver: Driver, clock: VirtualClock) -> None:
    clock.forward(EVENING)
    driver.enqueue(*numbers(1200), priority="bulk")
    driver.enqueue(KENYA[:-1] + "9", priority="otp")
    assert driver.taken().lane == 0
    steps = 0
    while (wait := driver.refused()).why == "quiet":
        assert wait.milliseconds == 1
        steps += 1
    assert steps == 2
    assert len(driver.due()) == 1200
    assert driver.waiting() == []


def test_with_expire_it_ends_and_takes_no_permit(redis: Redis, clock: VirtualClock) -> None:
    driver = Driver(redis, queue_of(calls(10, 60), batch_max=10, quiet=Quiet(NIGHT.hours, action="expire")))
    clock.forward(4 * 3600)
    intent = driver.enqueue(JAPAN, number(2), priority="bulk")
    batch = driver.taken()
    assert (batch.actor, [job.subject for job in batch.jobs]) == ("quiet", [f"{intent}:{JAPAN}"])
    assert driver.used(driver.queue.limits[0]) == 0
    assert driver.attempts.end([target_of(job.subject) for job in batch.jobs], RecipientState.EXPIRED, reason="quiet") == 1
    assert driver.release(batch, Release.DONE)
    assert called(driver) == [number(2)]
    (ended,) = [one for one in get(driver, intent).recipients if one.state == "expired"]
    assert (ended.number, ended.reason) == (JAPAN, "quiet")


def test_what_is_put_off_can_be_cancelled_paused_and_expires_at_its_deadline(driver: Driver, clock: VirtualClock) -> None:
    clock.forward(EVENING)
    cancelled, expiring = driver.enqueue(number(1), priority="bulk"), driver.enqueue(number(2), priority="bulk", expires_in=60)
    assert isinstance(driver.claim(), Wait)
    assert Producer(driver.redis).cancel(f"{driver.queue.account}.{cancelled}").outcome == "done"
    assert len(driver.due()) == 1
    clock.forward(61)
    batch = driver.taken()
    assert batch.actor == "expire"
    assert driver.attempts.expire([job.subject for job in batch.jobs]) == 1
    assert driver.state_of(expiring, number(2)) == "expired"


def test_a_call_that_the_evening_overtook_spends_no_retry_and_no_permit(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1), priority="bulk")
    clock.forward(EVENING - 0.001)
    batch = driver.taken()
    assert driver.begin(batch) is not None
    clock.forward(0.001)
    step = next_step(TryLater("quiet", after=0.0, left=False, counts=False), {number(1): 99}, Policy(), lambda _most: 0.0)
    assert driver.settle(batch, step)
    assert called(driver) == []
    assert driver.state_of(intent, number(1)) == "queued"
    assert driver.used(driver.queue.limits[0]) == 0
    clock.forward(MORNING - EVENING)
    assert called(driver) == [number(1)]


def test_get_tells_until_when_it_is_quiet_for_how_many(redis: Redis) -> None:
    now = datetime.now(UTC)
    # Two hours ago it became quiet in the west of the DRC; in five hours it is over there, and an hour sooner in the east.
    begin, end = ((now + timedelta(hours=hours)).replace(second=0, microsecond=0).time() for hours in (-1, 6))
    driver = Driver(redis, queue_of(quiet=Quiet(Hours(begin, end))))
    intent = driver.enqueue(number(1), number(2), priority="bulk")
    until = (now.replace(second=0, microsecond=0) + timedelta(hours=5)).isoformat(timespec="seconds")
    assert f"quiet hours until {until}: 2 recipients wait" in get(driver, intent).holds
    loud, urgent = driver.enqueue(number(1), priority="bulk", ignore_quiet=True), driver.enqueue(number(1), priority="otp")
    assert all("quiet" not in hold for one in (loud, urgent) for hold in get(driver, one).holds)


def test_a_table_that_is_not_of_this_hour_is_made_anew_by_the_servers_clock(driver: Driver, clock: VirtualClock) -> None:
    hours = driver.queue.hours
    assert hours is not None
    driver.enqueue(number(1), priority="bulk")
    hours.renew(clock.ms + 12 * 3_600_000)  # as by a worker whose clock is wrong
    assert called(driver) == [number(1)]
    before = hours.text
    clock.forward(60)
    assert isinstance(driver.claim(), Wait)
    assert hours.text == before  # it is right for longer than that
