"""`begin.lua`, an attempt written down before its call: what its worker learns, and what becomes of it where its reply is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import SECRET, Driver, VirtualClock, happened, number, numbers, queue_of, target_of, virtual_clock

from tuma_producer import Producer
from tuma_worker.core.answers import TryLater
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.queue.scripts import Release

if TYPE_CHECKING:
    from redis import Redis

LEASE = 15.0


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(batch_max=10, lease=LEASE))


def test_begin_writes_down_who_is_called_before_the_call(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2), message="Hello", sender_id="KITOKO")
    batch = driver.taken()
    found = driver.begin(batch, token="unguessable")
    assert found is not None
    assert (found.message, found.sender_id, max(found.tries.values())) == ("Hello", "KITOKO", 1)
    assert {target.number for target in found.targets} == set(numbers(2))
    attempt = driver.attempts.load(batch.batch_id)
    assert attempt is not None
    assert (attempt.token, attempt.phase, attempt.targets) == ("unguessable", "calling", found.targets)
    assert [driver.state_of(intent, recipient) for recipient in numbers(2)] == ["sending"] * 2
    assert happened(driver) == ["accepted", "sending", "sending"]


def test_begin_repeated_finds_the_attempt_and_writes_nothing(driver: Driver) -> None:
    driver.enqueue(*numbers(2))
    batch = driver.taken()
    first = driver.begin(batch)
    before = driver.snapshot()
    assert driver.begin(batch) == first
    assert driver.snapshot() == before


def test_begin_counts_the_calls_that_a_recipient_was_in(driver: Driver, clock: VirtualClock) -> None:
    driver.enqueue()
    for tried in (1, 2, 3):
        batch = driver.taken()
        found = driver.begin(batch)
        assert found is not None
        assert max(found.tries.values()) == tried
        driver.settle(batch, TryLater("busy", after=1.0))
        clock.forward(10)


def test_who_is_past_the_deadline_ends_expired_and_the_others_are_called(driver: Driver, clock: VirtualClock) -> None:
    late = driver.enqueue(number(1), message="The same", expires_in=5)
    live = driver.enqueue(number(2), message="The same", expires_in=50)
    batch = driver.taken()
    clock.forward(5)
    found = driver.begin(batch)
    assert found is not None
    assert [target.intent for target in found.targets] == [live]
    assert driver.state_of(late, number(1)) == "expired"
    assert sorted(happened(driver)) == ["accepted", "accepted", "done", "expired", "sending"]


def test_who_was_withdrawn_meanwhile_is_not_called(driver: Driver) -> None:
    intent = driver.enqueue(*numbers(2))
    batch = driver.taken()
    driver.attempts.end([target_of(f"{intent}:{number(0)}")], RecipientState.CANCELLED, reason="withdrawn")
    found = driver.begin(batch)
    assert found is not None
    assert [target.number for target in found.targets] == [number(1)]


def test_tries_are_counted_for_each_recipient_and_not_for_its_intent(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=1))
    driver.enqueue(*numbers(12))
    tried = []
    for _ in range(12):
        batch = driver.taken()
        begun = driver.begin(batch)
        assert begun is not None
        tried.append(max(begun.tries.values()))
        assert driver.settle(batch)
    assert tried == [1] * 12


def test_the_tries_of_a_recipient_that_went_back_are_remembered(driver: Driver) -> None:
    driver.enqueue(number(1))
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    driver.attempts.resend(batch.batch_id, begun.targets, Evidence.PROVIDER, reason="test")
    again = driver.begin(driver.taken())
    assert again is not None
    assert (max(begun.tries.values()), max(again.tries.values())) == (1, 2)


def test_begin_tells_how_long_the_earliest_deadline_is_away(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    driver.enqueue(number(1), message="The same", expires_in=60)
    driver.enqueue(number(2), message="The same", expires_in=30)
    begun = driver.begin(driver.taken())
    assert begun is not None
    assert begun.left is not None
    assert 0 < begun.left <= 30


def test_where_nobody_has_a_deadline_none_is_told(driver: Driver) -> None:
    driver.enqueue(number(1))
    begun = driver.begin(driver.taken())
    assert begun is not None
    assert begun.left is None


def test_a_worker_that_lost_the_reply_and_then_the_lease_says_that_it_made_no_call(driver: Driver, clock: VirtualClock) -> None:
    intent = driver.enqueue(number(1))
    batch = driver.taken()
    assert driver.begin(batch) is not None  # as if its reply had been lost
    clock.forward(LEASE + 1)
    assert driver.taken(worker="w2").actor == "resolve"
    assert driver.begin(batch) is None
    targets = [target_of(batch.jobs[0].subject)]
    assert driver.attempts.disown(batch.batch_id, "not the token", targets) == 0
    assert driver.attempts.disown(batch.batch_id, SECRET, targets) == 1
    assert driver.state_of(intent, number(1)) == "queued"
    assert driver.taken(worker="w2").actor == "send"


def test_whose_time_is_no_more_come_since_the_clock_stepped_back_waits_for_it_again(driver: Driver) -> None:
    """Another server has taken over between the claim and the call, and its clock is a little behind."""
    with virtual_clock(driver.redis) as clock:
        driver.enqueue(number(1))
        batch = driver.taken()
        assert driver.begin(batch) is not None
        driver.settle(batch, TryLater("503", after=5.0))
        put_off = driver.due()
        (at,) = put_off.values()
        clock.set(int(at) * 1000)
        again = driver.taken()
        clock.forward(-0.05)
        begun = driver.begin(again)
        assert begun is not None
        assert not begun.targets
        driver.release(again, Release.DONE)
        assert driver.due() == put_off
        clock.forward(0.05)
        begun = driver.begin(driver.taken())
        assert begun is not None
        assert [target.number for target in begun.targets] == [number(1)]


@pytest.mark.parametrize("length", [1, 44, 45, 200, 500, 1_600])
@pytest.mark.parametrize("letter", ["a", "é", "ሰ", "🙂"])
def test_a_text_comes_back_whole_wherever_its_record_was_cut(driver: Driver, letter: str, length: int) -> None:
    intent = driver.enqueue(number(1), message=letter * length, metadata={"said": letter})
    begun = driver.begin(driver.taken())
    assert begun is not None
    assert begun.message == letter * length
    assert Producer(driver.redis).get(f"{driver.queue.account}.{intent}").metadata == {"said": letter}


def test_the_record_of_a_usual_text_is_kept_in_the_compact_form(driver: Driver, redis: Redis) -> None:
    intent = driver.enqueue(number(1), message="Your parcel is ready at the counter of the main post office until Friday. " * 2)
    assert redis.object("encoding", driver.account.intent(intent)) in {b"listpack", b"ziplist"}


@pytest.mark.parametrize(("recipients", "commands"), [(1, 12), (2, 16), (5, 28)])
def test_what_an_attempt_costs_the_server_is_twelve_commands_and_four_for_each_further_single(
    redis: Redis, recipients: int, commands: int
) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    for one in numbers(recipients):
        driver.enqueue(one, message="The same")
    batch = driver.taken()
    redis.config_resetstat()
    assert driver.begin(batch) is not None
    ran: dict[str, dict[str, int]] = redis.info("commandstats")
    around = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_config|resetstat"}
    assert sum(figures["calls"] for name, figures in ran.items() if name not in around) == commands
