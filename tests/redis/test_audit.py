"""What somebody steers is in the account's audit: who, what, and how it stood before and after, once, and without numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.redis.acts import dead_letter, redriver
from tests.redis.driver import Driver, calls, number, numbers, queue_of
from tests.redis.keeping import Keeping
from tests.support.proxy import LossyProxy

from tuma_producer import At, Producer
from tuma_producer.contract.connection import connect
from tuma_worker.bootstrap.parts import build_tokens
from tuma_worker.core import tokens
from tuma_worker.core.answers import Fault
from tuma_worker.core.budgets import Budget
from tuma_worker.core.next_step import Halt
from tuma_worker.dispatch.redriving import Redriven
from tuma_worker.store import bad_numbers
from tuma_worker.store.audit import acts
from tuma_worker.store.budgets import Budgets
from tuma_worker.store.dead import Choice, Leaving, LetterFilter
from tuma_worker.store.forgetting import Forgetting
from tuma_worker.store.outcomes import Stream
from tuma_worker.store.steering import Scope, Steering
from tuma_worker.store.subscriptions import Key, Subscription, Subscriptions, disabled

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.servers import Server

    from tuma_worker.store.audit import Act


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(calls(10, 60)))


def steering(redis: Redis, driver: Driver, by: str = "amani") -> Steering:
    return Steering(redis, driver.queue.account, "send", by)


def audit(driver: Driver) -> list[Act]:
    return list(acts(driver.redis, [driver.queue.account]))


def full(driver: Driver, short_id: str) -> str:
    return f"{driver.queue.account}.{short_id}"


def told(driver: Driver) -> list[tuple[str, str, str, str, str | None, str | None]]:
    return [(one.by, one.action, one.kind, one.name, one.before, one.after) for one in audit(driver)]


def test_pauses_limits_and_halts_are_told_with_what_stood_before(driver: Driver) -> None:
    one, send = steering(driver.redis, driver, "juma ali"), f"{driver.queue.account}.send"
    one.pause(Scope(source="a:b c"))
    one.resume(Scope(source="a:b c"))
    one.set_limit(calls(5, 60))
    one.set_limit(calls(7, 60))
    one.unset_limit("calls-60s")
    one.halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    one.lift_halt()
    assert told(driver) == [
        ("juma ali", "paused", "queue", f"{send} a:b c", None, "paused"),
        ("juma ali", "resumed", "queue", f"{send} a:b c", "paused", None),
        ("juma ali", "limit-set", "limit", f"{send} calls-60s", None, "5 per 60 s"),
        ("juma ali", "limit-set", "limit", f"{send} calls-60s", "5 per 60 s", "7 per 60 s"),
        ("juma ali", "limit-unset", "limit", f"{send} calls-60s", "7 per 60 s", None),
        ("juma ali", "resumed", "account", f"{send} halt", "halted: money 1202", None),
    ]


def test_verbs_of_an_intent_are_told_and_who_changed_nothing_is_not(driver: Driver) -> None:
    intent = full(driver, driver.enqueue(*numbers(2)))
    producer = Producer(driver.redis, source="billing")
    producer.pause(intent, by="amani")
    producer.pause(intent, by="baraka")
    producer.resume(intent)
    producer.cancel(intent, by="amani")
    producer.cancel(intent, by="amani")
    assert told(driver) == [
        ("amani", "paused", "intent", intent, "active", "paused"),
        ("billing", "resumed", "intent", intent, "paused", "active"),
        ("amani", "cancelled", "intent", intent, "active", "cancelled"),
    ]


def test_verbs_and_edits_of_a_schedule_are_told_without_its_occurrences_and_without_texts_and_numbers(driver: Driver) -> None:
    first, last = (datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) for days in (1, 9))
    schedule = full(driver, driver.enqueue(number(1), schedule=At(times=[first])))
    producer = Producer(driver.redis, source="billing")
    producer.edit(schedule, message="A secret", to=numbers(3), schedule=At(times=[last]), by="amani")
    producer.pause(schedule, by="amani")
    producer.resume(schedule, by="amani")
    producer.cancel(schedule, by="amani")
    assert told(driver) == [
        ("amani", "edited", "schedule", schedule, f"recipients: 1, next: {first.isoformat()}",
         f"recipients: 3, next: {last.isoformat()}, new: message schedule to"),
        ("amani", "paused", "schedule", schedule, "scheduled", "paused"),
        ("amani", "resumed", "schedule", schedule, "paused", "scheduled"),
        ("amani", "cancelled", "schedule", schedule, "scheduled", "cancelled"),
    ]  # fmt: skip


def test_a_verb_of_a_campaign_is_one_act_however_many_intents_it_has(driver: Driver) -> None:
    driver.enqueue_singles(3, campaign_name="spring")
    for verb in ("pause", "resume", "cancel"):
        getattr(Producer(driver.redis), f"{verb}_campaign")(driver.queue.account, "spring", by="amani")
    assert told(driver) == [
        ("amani", "paused", "campaign", "spring", "active", "paused"),
        ("amani", "resumed", "campaign", "spring", "paused", "active"),
        ("amani", "cancelled", "campaign", "spring", "active", "cancelled"),
    ]


def test_what_a_provider_is_asked_for_is_told_once(redis: Redis) -> None:
    driver = Keeping(redis, queue_of(batch_max=10))
    intent = driver.handed_over()
    for _ in range(2):
        driver.ask("pause", intent)
    assert told(driver) == [("default", "pause-requested", "intent", full(driver, intent), "handed-over", "pausing")]


def test_lists_and_budgets_are_told_by_how_much_is_on_them(driver: Driver) -> None:
    account, producer = driver.queue.account, Producer(driver.redis, source="billing")
    producer.suppress(account, numbers(3), by="amani")
    producer.suppress(account, number(0), by="amani")
    producer.unsuppress(account, number(0))
    budgets = Budgets(driver.redis, account)
    budgets.set("shop", Budget.parse("5 recipients/day", None), by="amani")
    budgets.set("shop", Budget.parse("7.5 messages/day", None), by="amani")
    budgets.remove("shop", "day", by="amani")
    assert told(driver) == [
        ("amani", "added", "suppressions", "", "numbers: 0", "numbers: 3"),
        ("billing", "removed", "suppressions", "", "numbers: 3", "numbers: 2"),
        ("amani", "set", "budget", "shop day", None, "5 recipients"),
        ("amani", "set", "budget", "shop day", "5 recipients", "7.5 messages"),
        ("amani", "removed", "budget", "shop day", "7.5 messages", None),
    ]


def test_dead_letters_that_leave_together_are_one_act_with_the_first_of_them(redis: Redis) -> None:
    driver = Driver(redis, queue_of(batch_max=10))
    letters, first = dead_letter(driver, *numbers(2))
    others = [dead_letter(driver, number(index))[1] for index in (5, 6)]
    (found,) = [letters.of_intent(first)]
    redriver(driver, letters).redrive(found, Choice(driver.queue.account), Redriven())
    leaving = Leaving("amani", str(LetterFilter(source="default")))
    for intent in others:
        letters.drop(intent, [one.number for one in letters.of_intent(intent)], leaving)
    letters.drop(first, numbers(2), Leaving("amani", "nobody is left"))
    assert told(driver) == [
        ("test", "redriven", "dead", "all", "letters: 4", "letters: 2"),
        ("amani", "dropped", "dead", "of default", "letters: 2", "letters: 1"),
    ]


def test_what_becomes_of_subscriptions_is_told_without_secrets_and_paths(driver: Driver) -> None:
    found = Subscriptions(driver.redis, driver.queue.account)
    found.add(Subscription("one", "billing", "https://example.com/secret", (Key("whsec_A"),), created=1), "$", by="amani")
    found.change("one", lambda one: one.rotated("whsec_B", 1, 1000), by="amani", act="rotated")
    found.change("one", lambda one: disabled(one, "gone"), "subscription-disabled", by="a worker")
    found.change("one", lambda one: disabled(one, None), "subscription-enabled", by="amani", act="enabled")
    found.remove("one", by="amani")
    stood = "billing to example.com, secrets: 2"
    assert told(driver) == [
        ("amani", "added", "subscription", "one", None, "billing to example.com, secrets: 1"),
        ("amani", "rotated", "subscription", "one", "billing to example.com, secrets: 1", stood),
        ("amani", "enabled", "subscription", "one", f"{stood}, disabled: gone", stood),
        ("amani", "removed", "subscription", "one", "there", None),
    ]


def test_whom_somebody_forgets_is_told_without_the_number_and_before_anything_is_taken_out(
    driver: Driver, redis_server: Server
) -> None:
    account, him = driver.queue.account, number(0)
    dead_letter(driver, him)
    with LossyProxy(redis_server.port) as proxy, connect(proxy.url) as redis:
        redis.ping()
        proxy.lose(b":0\r\n")
        assert Forgetting(redis, account, him, "5eed").forget(by="amani").recipients == 1
        assert proxy.lost == 1
    assert told(driver) == [("amani", "forget-requested", "number", "", "sends: 1", None)]
    assert him.removeprefix("+") not in str(driver.redis.xrange(driver.account.audit))


def test_bad_numbers_and_groups_that_somebody_forgets_are_told_and_none_where_there_was_none(driver: Driver) -> None:
    account = driver.queue.account
    driver.redis.zadd(driver.account.bad_numbers, dict.fromkeys(numbers(3), 1))
    assert [bad_numbers.forget(driver.redis, account, one, by="amani") for one in (number(0), number(0), None)] == [1, 0, 2]
    driver.enqueue()
    assert list(Producer(driver.redis, source="billing").outcomes("report", all_sources=True, wait=0.01))
    assert [Stream(driver.redis, account).forget("report", by="amani") for _ in range(2)] == [True, False]
    assert told(driver) == [
        ("amani", "forgotten", "bad-numbers", "", "numbers: 3", "numbers: 2"),
        ("amani", "forgotten", "bad-numbers", "", "numbers: 2", "numbers: 0"),
        ("amani", "forgotten", "group", "report", "there", None),
    ]


def test_tokens_are_told_beside_all_accounts_and_never_shown(driver: Driver) -> None:
    kept = build_tokens(driver.redis)
    made = kept.add("shop", "shop", [tokens.Scope.SEND], rate="5/s", by="amani")
    again = kept.rotate("shop", 60, by="amani")
    kept.remove("shop", by="amani")
    found = list(acts(driver.redis, [driver.queue.account, None]))
    assert [(one.account, one.by, one.action, one.kind, one.name, one.before, one.after) for one in found] == [
        (None, "amani", "added", "token", "shop", None, "send for shop, 5/s"),
        (None, "amani", "rotated", "token", "shop", "send for shop, 5/s", "send for shop, 5/s, 60 s with the old one"),
        (None, "amani", "removed", "token", "shop", "send for shop, 5/s", None),
    ]
    assert not any(secret in str(found) for secret in (made, again) if secret)


def test_it_does_not_grow_without_end(driver: Driver) -> None:
    pipeline = driver.redis.pipeline(transaction=False)
    for _ in range(10_200):
        pipeline.xadd(driver.account.audit, {"by": "", "action": "", "kind": "", "name": "", "before": "", "after": ""})
    pipeline.execute()
    steering(driver.redis, driver).pause(Scope())
    assert driver.redis.xlen(driver.account.audit) < 10_200


def test_what_changes_nothing_is_no_act_and_a_lost_reply_makes_no_second_one(driver: Driver, redis_server: Server) -> None:
    assert not steering(driver.redis, driver).resume(Scope())
    with LossyProxy(redis_server.port) as proxy, connect(proxy.url) as redis:
        redis.ping()
        proxy.lose(b":1\r\n")
        steering(redis, driver).pause(Scope())
        assert proxy.lost == 1
    assert [one.action for one in audit(driver)] == ["paused"]


def test_it_is_read_from_an_instant_on_and_over_accounts_in_the_order_of_time(driver: Driver) -> None:
    other = Steering(driver.redis, "other", "send", "baraka")
    for one in (steering(driver.redis, driver), other, steering(driver.redis, driver)):
        one.pause(Scope())
    both = list(acts(driver.redis, [driver.queue.account, "other"]))
    assert sorted(both, key=lambda act: act.at) == both
    assert {act.by for act in both} == {"amani", "baraka"}
    last = both[-1].at
    assert list(acts(driver.redis, [driver.queue.account, "other"], last)) == [act for act in both if act.at >= last]
    assert list(acts(driver.redis, ["other"], last + timedelta(seconds=1))) == []
