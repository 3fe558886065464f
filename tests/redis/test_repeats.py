"""A request that is repeated because its reply was lost is told its first answer, and undoes nothing that others did in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.redis.driver import Driver, number, queue_of
from tests.support.producers import configure

from tuma_producer import At, Producer
from tuma_producer.contract.campaigns import control_campaign
from tuma_producer.contract.control import control
from tuma_producer.contract.custody import Terms
from tuma_producer.contract.editing import edit
from tuma_producer.contract.suppression import suppress, unsuppress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from redis import Redis

    from tuma_producer.contract.scripts import ScriptCall
    from tuma_producer.results import Verb

TERMS = Terms(tz="Africa/Kinshasa", lead=0, dates=20, dispatches=1000, recipients=1000)


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of())


@pytest.fixture
def producer(driver: Driver) -> Producer:
    return Producer(driver.redis)


def with_lost_replies(redis: Redis, steps: Generator[list[ScriptCall], list[Any], Any], between: Callable[[], object]) -> Any:  # noqa: ANN401 - what the steps come to
    """What the steps come to where the first reply to each call is lost, and `between` happens before it is made again."""
    calls = next(steps)
    while True:
        for call in calls:
            call.run(redis)
        between()
        try:
            calls = steps.send([call.run(redis) for call in calls])
        except StopIteration as done:
            return done.value


def tomorrow() -> datetime:
    return (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)


def plain(driver: Driver) -> str:
    return driver.enqueue(number(1))


def scheduled(driver: Driver) -> str:
    return driver.enqueue(number(1), schedule=At(times=tomorrow()))


KINDS = pytest.mark.parametrize("kind", [plain, scheduled])
VERBS = pytest.mark.parametrize(("verb", "other"), [("pause", "resume"), ("resume", "pause")])


@VERBS
@KINDS
def test_a_verb_does_not_undo_the_one_that_came_between_it_and_its_repeat(
    driver: Driver, producer: Producer, kind: Callable[[Driver], str], verb: Verb, other: Verb
) -> None:
    intent = f"{driver.queue.account}.{kind(driver)}"
    getattr(producer, other)(intent)
    result = with_lost_replies(driver.redis, control(intent, verb, "test"), lambda: getattr(producer, other)(intent))
    assert result.outcome == "done"
    assert (producer.get(intent).state == "paused") == (other == "pause")


@VERBS
def test_nor_does_one_for_what_the_provider_keeps(driver: Driver, producer: Producer, verb: Verb, other: Verb) -> None:
    configure(driver.redis, driver.queue.account, keeps=TERMS.published)
    short_id = driver.enqueue(number(1), schedule=At(times=tomorrow()), custody="provider")
    driver.send()
    intent = f"{driver.queue.account}.{short_id}"
    getattr(producer, other)(intent)
    with_lost_replies(driver.redis, control(intent, verb, "test"), lambda: getattr(producer, other)(intent))
    under_way, wish = cast("list[bytes | None]", driver.redis.hmget(driver.account.intent(short_id), ["verb", "wish"]))
    assert (wish or under_way) == other.encode()


@VERBS
def test_nor_does_one_for_a_campaign(driver: Driver, producer: Producer, verb: Verb, other: Verb) -> None:
    account, name = driver.queue.account, "spring"
    driver.enqueue(number(1), campaign_name=name)
    getattr(producer, f"{other}_campaign")(account, name)
    (hold,) = next(control_campaign(account, name, verb, "test"))
    first = hold.run(driver.redis)
    getattr(producer, f"{other}_campaign")(account, name)
    assert hold.run(driver.redis) == first
    late = driver.enqueue(number(2), campaign_name=name)
    assert (producer.get(f"{account}.{late}").state == "paused") == (other == "pause")


def test_nor_does_a_change_of_the_suppression_list(driver: Driver, producer: Producer) -> None:
    account = driver.queue.account
    steps = with_lost_replies(driver.redis, suppress(account, number(1), "test"), lambda: producer.unsuppress(account, number(1)))
    assert (steps, [*producer.suppressions(account)]) == (1, [])
    producer.suppress(account, number(1))
    steps = with_lost_replies(driver.redis, unsuppress(account, number(1), "test"), lambda: producer.suppress(account, number(1)))
    assert (steps, [one.number for one in producer.suppressions(account)]) == (1, [number(1)])


def test_nor_does_an_edit(driver: Driver, producer: Producer) -> None:
    short_id = scheduled(driver)
    intent = f"{driver.queue.account}.{short_id}"
    mine = edit(intent, {"message": "Mine"}, "test")
    look = next(mine)
    calls = mine.send([call.run(driver.redis) for call in look])
    first = [call.run(driver.redis) for call in calls]
    producer.edit(intent, message="Yours")
    assert [call.run(driver.redis) for call in calls] == first
    assert b"Yours" in cast("bytes", driver.redis.hget(driver.account.intent(short_id), "body"))
