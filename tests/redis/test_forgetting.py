"""A number is forgotten where all is over with it, wherever it was written, and nothing else is."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.acts import dead_letter
from tests.redis.driver import Driver, number, numbers, queue_of, target_of
from tests.redis.failing_over import HOME, LAST, SPARE, World, sent

from tuma_producer import At, Producer, Send, UnknownIntent
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.store.forgetting import Forgetting, Forgotten
from tuma_worker.store.inbox import Arrived, Filed, Inbox, kept
from tuma_worker.store.moves import Target
from tuma_worker.store.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

HIM, OTHER = number(0), number(1)
DIGITS = HIM.removeprefix("+").encode()


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=10))


@pytest.fixture
def producer(driver: Driver) -> Producer:
    return Producer(driver.redis)


def forget(driver: Driver) -> Forgotten:
    return Forgetting(driver.redis, driver.queue.account, HIM, secrets.token_hex(16)).forget(by="test")


def intent_id(driver: Driver, short_id: str) -> str:
    return f"{driver.queue.account}.{short_id}"


def places(driver: Driver) -> list[str]:
    """The keys that hold the number, in their names or in what they hold."""
    return [key.decode() for key, content in driver.snapshot().items() if DIGITS in key or DIGITS in _text(driver, key, content)]


def _text(driver: Driver, key: bytes, content: Any) -> bytes:  # noqa: ANN401 - by its type
    redis: Any = driver.redis
    read = {
        b"stream": lambda: redis.xrange(key), b"zset": lambda: redis.zrange(key, 0, -1), b"list": lambda: redis.lrange(key, 0, -1),
        b"string": lambda: redis.get(key),
    }  # fmt: skip
    kind = redis.type(key)
    return repr(read[kind]() if kind in read else content).encode()


def deliver(driver: Driver, *to: str) -> tuple[str, str]:
    """A send that was delivered to all, with the receipts that told of it; its short id and its attempt's."""
    short_id = driver.enqueue(*to)
    batch_id = driver.send().batch_id
    targets = [Target(short_id, one) for one in to]
    assert driver.attempts.apply(batch_id, targets, RecipientState.DELIVERED, Evidence.HANDSET) == len(to)
    inbox = Inbox(driver.redis, driver.queue.account, keep=60.0)
    for place, one in enumerate(to):
        inbox.file([Filed(Arrived(1, batch_id, receipt(one), entry=f"1-{place}"), batch_id, f"digest-{one}")])
    return short_id, batch_id


def receipt(to: str) -> bytes:
    return json.dumps({"event_type": "sms.delivered", "data": {"recipient_phone": to}}).encode()


def test_nothing_of_a_number_is_left_and_its_place_on_the_suppression_list_does_not_show_it(
    driver: Driver, producer: Producer
) -> None:
    short_id, batch_id = deliver(driver, HIM, OTHER)
    dead_letter(driver, HIM)
    inbox = Inbox(driver.redis, driver.queue.account, keep=60.0)
    driver.redis.xadd(driver.account.inbox, {"b": "", "d": receipt(HIM)})
    inbox.park(inbox.page())
    driver.redis.zadd(driver.account.bad_numbers, {HIM: driver.server_ms() + 60_000})
    driver.redis.pexpire(driver.account.bad_numbers, 60_000)
    assert producer.suppress(driver.queue.account, HIM) == 1
    assert forget(driver) == Forgotten(driver.queue.account, recipients=2, events=5, receipts=2, suppressed=True)
    assert places(driver) == []
    assert [one.number for one in producer.get(intent_id(driver, short_id)).recipients] == [OTHER]
    assert [event["e"] for event in driver.events() if event.get("r") == OTHER] == ["sending", "submitted", "delivered"]
    assert [raw.body for raw in kept(inbox.redis, inbox.account, batch_id)] == [receipt(OTHER)]
    assert forget(driver) == Forgotten(driver.queue.account, recipients=0, events=0, receipts=0, suppressed=True)


def test_a_record_goes_with_its_last_number(driver: Driver, producer: Producer) -> None:
    short_id, _ = deliver(driver, HIM)
    assert forget(driver).recipients == 1
    with pytest.raises(UnknownIntent):
        producer.get(intent_id(driver, short_id))


def test_where_something_may_still_come_of_it_everything_stays_and_is_told(driver: Driver, producer: Producer) -> None:
    ended, _ = deliver(driver, HIM)
    waiting = driver.enqueue(HIM)
    before = producer.get(intent_id(driver, waiting))
    done = forget(driver)
    assert (done.recipients, done.waits) == (1, (intent_id(driver, waiting),))
    assert producer.get(intent_id(driver, waiting)) == before
    driver.send()
    assert [event["e"] for event in driver.events() if event.get("r") == HIM] == ["sending", "submitted"]
    assert ended not in {event["i"] for event in driver.events() if "r" in event}


def test_nothing_is_taken_out_while_a_receipt_about_it_has_moved_nobody_yet(driver: Driver) -> None:
    """It may be the person's STOP, and applied a moment later it would be written down beside a call that names nobody."""
    deliver(driver, HIM)
    driver.redis.xadd(driver.account.inbox, {"b": "", "d": receipt(HIM)})
    before = driver.snapshot()
    assert forget(driver) == Forgotten(driver.queue.account, recipients=0, events=0, receipts=0, unapplied=1)
    assert driver.snapshot() == before
    driver.redis.delete(driver.account.inbox)
    assert forget(driver).recipients == 1


def test_a_send_that_comes_while_a_number_is_being_forgotten_is_left(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(driver, HIM)
    walk, come = Records.naming, dict[str, str]()

    def naming(records: Records, number: str) -> Iterator[tuple[str, list[str]]]:
        yield from list(walk(records, number))
        come["intent"], batch = driver.enqueue(HIM), driver.taken()
        come["batch"] = batch.batch_id
        assert driver.begin(batch) is not None

    monkeypatch.setattr(Records, "naming", naming)
    assert forget(driver).recipients == 1
    assert driver.redis.hget(driver.account.batch(come["batch"]), HIM) == come["intent"].encode()
    assert [event["e"] for event in driver.events() if event.get("r") == HIM] == ["sending"]


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis, *(Driver(redis, queue_of(account=name, batch_max=10)) for name in (HOME, SPARE, LAST)))


@pytest.mark.parametrize("told", [False, True], ids=["home knows nothing", "home knows that it was handed over"])
@pytest.mark.parametrize("others", [[OTHER], []], ids=["with another", "alone"])
def test_who_ended_at_another_account_is_left_there_until_home_was_told(world: World, others: list[str], *, told: bool) -> None:
    intent = world.enqueue(HIM, *others)
    world.halt(world.home)
    world.move()
    batch = world.spare.send()
    if told:
        world.move()
    targets = [target_of(job.subject) for job in batch.jobs]
    world.spare.attempts.apply(batch.batch_id, targets, RecipientState.DELIVERED, Evidence.HANDSET)
    accounts = (world.home, world.spare)
    assert [bool(forget(account).waits) for account in accounts] == [True, True]
    world.resume(world.home)
    world.move()
    assert world.states(intent) == dict.fromkeys([HIM, *others], "delivered")
    assert sent(world.home) == []
    assert [forget(account).recipients for account in accounts] == [1, 1]


def test_a_schedule_names_its_numbers_until_it_is_over(driver: Driver, producer: Producer) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    schedule, alone = (intent_id(driver, driver.enqueue(*to, schedule=At(times=tomorrow))) for to in (numbers(3), [HIM]))
    assert forget(driver).waits == tuple(sorted((schedule, alone)))
    for one in (schedule, alone):
        producer.cancel(one)
    assert forget(driver).recipients == 2
    assert DIGITS.decode() not in repr(producer.get(schedule))
    assert places(driver) == []


def test_a_forgotten_number_that_is_on_the_suppression_list_is_called_no_more_and_shown_nowhere(
    driver: Driver, producer: Producer
) -> None:
    account = driver.queue.account
    claimed = driver.enqueue(OTHER, HIM)
    batch = driver.taken()
    producer.suppress(account, [HIM, OTHER])
    assert forget(driver).suppressed
    assert [one.number for one in producer.suppressions(account)] == [OTHER]
    assert producer.estimate(Send(account=account, to=[HIM, OTHER, number(2)], message="hello")).suppressed == 2
    begun = driver.begin(batch)
    assert begun is not None
    assert begun.targets == ()
    later = driver.enqueue(HIM, number(2))
    assert [driver.state_of(claimed, HIM), driver.state_of(later, HIM), driver.state_of(later, number(2))] == [
        "suppressed", "suppressed", "queued",
    ]  # fmt: skip


def test_a_number_that_is_hidden_on_the_suppression_list_is_not_shown_by_being_added_again_and_may_be_taken_off(
    driver: Driver, producer: Producer
) -> None:
    account = driver.queue.account
    producer.suppress(account, HIM)
    forget(driver)
    assert producer.suppress(account, [HIM, OTHER]) == 1
    assert forget(driver).suppressed
    assert places(driver) == []
    assert producer.unsuppress(account, [HIM, OTHER]) == 2
    assert not forget(driver).suppressed
    assert not driver.redis.exists(driver.account.suppressed)
    assert driver.state_of(driver.enqueue(HIM), HIM) == "queued"


def test_where_its_record_was_kept_for_less_long_than_its_call_and_receipts_they_lose_the_number_too(driver: Driver) -> None:
    short_id, batch_id = deliver(driver, HIM, OTHER)
    alone_id, alone = deliver(driver, HIM)
    driver.redis.delete(driver.account.intent(short_id), driver.account.intent(alone_id), driver.account.batch(alone))
    assert forget(driver) == Forgotten(driver.queue.account, recipients=0, events=6, receipts=2)
    assert places(driver) == []
    assert driver.redis.hget(driver.account.batch(batch_id), OTHER) == short_id.encode()


def test_a_number_that_only_begins_like_it_is_another(driver: Driver) -> None:
    longer = HIM + "7"
    deliver(driver, longer)
    assert forget(driver) == Forgotten(driver.queue.account, recipients=0, events=0, receipts=0)
    assert len(places(driver)) == 4  # events, record, attempt, receipts
