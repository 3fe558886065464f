"""Acts of a queue's life that together run every script of the tree: for tests of where and by whom scripts may be run."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any

from tests.redis.driver import Driver

from tuma_producer import At, Producer
from tuma_producer.contract.custody import Terms
from tuma_worker.bootstrap.parts import build_tokens
from tuma_worker.core.answers import Fault, Rejected
from tuma_worker.core.budgets import Budget
from tuma_worker.core.custody import Conclusion, Custody, Result, Told
from tuma_worker.core.failover import SOON
from tuma_worker.core.funds import Balance
from tuma_worker.core.next_step import Halt
from tuma_worker.core.receipts import Inbound, Receipt
from tuma_worker.core.states import Evidence, RecipientState
from tuma_worker.core.tokens import Scope as ApiScope
from tuma_worker.dispatch.carrying import Mover
from tuma_worker.dispatch.redriving import Redriven, Redriver
from tuma_worker.events.replaying import replay
from tuma_worker.queue.scripts import Release, permit, push, release, renew
from tuma_worker.store import accounts, bad_numbers
from tuma_worker.store.ages import Ages
from tuma_worker.store.budgets import Budgets
from tuma_worker.store.campaigns import Campaigns
from tuma_worker.store.carried import Carried
from tuma_worker.store.custody import Custodies, tally_request
from tuma_worker.store.dead import Choice, DeadLetters, Leaving
from tuma_worker.store.feed import Feed, Trouble
from tuma_worker.store.forgetting import Forgetting
from tuma_worker.store.funds import Became, Funds
from tuma_worker.store.inbox import Arriving, Filed, Inbox, arrive_request, kept
from tuma_worker.store.outcomes import Group, Stream
from tuma_worker.store.servers import refused_commands
from tuma_worker.store.steering import Scope, Steering
from tuma_worker.store.subscriptions import Key, Subscription, Subscriptions, disabled, of_accounts
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def scripts() -> list[tuple[str, str]]:
    """Every script of the tree, by package and name. What is only included in others has no keys of its own."""
    return [found for package in ("tuma_producer", "tuma_worker") for found in _scripts_below(package)]


def _scripts_below(package: str) -> Iterator[tuple[str, str]]:
    with resources.as_file(resources.files(package)) as root:
        for path in sorted(root.rglob("lua/*.lua")):
            if "\n-- KEYS" in path.read_text(encoding="utf-8"):
                yield ".".join([package, *path.relative_to(root).parts[:-2]]), path.stem


def _resend(driver: Driver) -> None:
    driver.enqueue()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    assert driver.attempts.resend(batch.batch_id, begun.targets, Evidence.ASSUMED, reason="test") == 1


def _apply(driver: Driver) -> None:
    driver.enqueue()
    batch = driver.taken()
    begun = driver.begin(batch)
    assert begun is not None
    assert driver.attempts.apply(batch.batch_id, begun.targets, RecipientState.SUBMITTED, Evidence.PROVIDER) == 1
    driver.attempts.awaits(batch.batch_id, 1.0)
    assert driver.redis.hget(driver.account.batch(batch.batch_id), "awaits") == b"1000"


def _expire(driver: Driver) -> None:
    intent = driver.enqueue(expires_in=0.05)
    driver.until(driver.server_ms() + 100)
    assert driver.attempts.expire([intent]) == 1


def _send(driver: Driver) -> None:
    driver.enqueue()
    driver.send()


def _release(driver: Driver) -> None:
    driver.enqueue()
    assert driver.release(driver.taken())


def _renew(driver: Driver) -> None:
    driver.enqueue()
    batch = driver.taken()
    assert renew(driver.redis, driver.queue, [batch.batch_id, "unknown"]) == ["unknown"]


def _suppress(driver: Driver) -> None:
    producer, account = Producer(driver.redis), driver.queue.account
    assert producer.suppress(account, "+243990000000") == 1
    assert [one.number for one in producer.suppressions(account)] == ["+243990000000"]
    intent = driver.enqueue()
    assert producer.get(f"{account}.{intent}").counts == {"suppressed": 1}
    assert producer.unsuppress(account, "+243990000000") == 1


def _permit(driver: Driver) -> None:
    assert permit(driver.redis, driver.queue, "call-1", "operator", lane=1, lease=1.0) is None
    assert release(driver.redis, driver.queue, "call-1", Release.CALLED, blocked=1.0)


def _reckon(driver: Driver) -> None:
    funds = Funds(driver.redis, driver.queue.account)
    assert funds.lead("test", 1.0)
    assert funds.note(funds.asking(), Balance(Decimal(1), "CDF"), Decimal(2), "token-1") is Became.HELD
    assert funds.keep_nothing("token-2") is Became.RELEASED


def _steer(driver: Driver) -> None:
    steering = Steering(driver.redis, driver.queue.account, driver.queue.operation, "test")
    steering.pause(Scope(lane="bulk"))
    assert steering.resume(Scope(lane="bulk"))


def dead_letter(driver: Driver, *to: str, **more: Any) -> tuple[DeadLetters, str]:  # noqa: ANN401 - fields of Send
    """An intent whose recipients have all been rejected, and the letters of its account."""
    intent = driver.enqueue(*to, **more)
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert driver.settle(batch, Rejected("1103"))
    return DeadLetters(driver.redis, driver.queue.account), intent


def redriver(driver: Driver, letters: DeadLetters) -> Redriver:
    """Whoever sends these letters again."""
    leaving = Leaving("test", "all")
    return Redriver(Producer(driver.redis, source="cli"), letters, name=lambda: secrets.token_hex(8), leaving=leaving)


def _redrive(driver: Driver) -> None:
    letters, intent = dead_letter(driver)
    done = Redriven()
    redriver(driver, letters).redrive(letters.of_intent(intent), Choice(driver.queue.account), done)
    assert done.recipients == 1


def _withdraw(driver: Driver) -> None:
    producer, intent = Producer(driver.redis), f"{driver.queue.account}.{driver.enqueue()}"
    assert producer.pause(intent).outcome == "done"
    assert producer.resume(intent).outcome == "done"
    assert producer.cancel(intent).outcome == "done"


def _schedule(driver: Driver) -> None:
    soon = datetime.fromtimestamp(driver.server_ms() / 1000 + 0.5, UTC)
    schedule = At(times=[soon, soon + timedelta(days=1)])
    short_id = driver.enqueue(schedule=schedule)
    driver.until(driver.server_ms() + 510)
    driver.fire(driver.taken())
    producer, intent = Producer(driver.redis), f"{driver.queue.account}.{short_id}"
    assert producer.get(intent).fired == 1
    assert producer.edit(intent, message="Another text").state == "scheduled"
    assert [getattr(producer, verb)(intent).outcome for verb in ("pause", "resume", "cancel")] == ["done"] * 3


def _campaign(driver: Driver) -> None:
    producer, account = Producer(driver.redis), driver.queue.account
    intent = driver.enqueue(campaign_name="spring")
    results = [getattr(producer, f"{verb}_campaign")(account, "spring") for verb in ("pause", "resume", "cancel")]
    assert [(one.outcome, one.stopped) for one in results] == [("done", 1)] * 3
    driver.redis.delete(driver.account.intent(intent))
    driver.redis.hset(driver.account.campaigns, "spring", json.dumps({"at": 0, "held": 0}))
    assert Campaigns(driver.redis, account).forget() == 1


def _custody(driver: Driver) -> None:
    """A send that the provider keeps: handed over, told of, and cancelled by it."""
    queue, redis = driver.queue, driver.redis
    terms = Terms(tz="Africa/Kinshasa", lead=0, dates=20, dispatches=1000, recipients=1000)
    accounts.register(
        redis, queue.account, provider="lisoloo", environment="sandbox", queue=queue.for_claim, keeps=terms.published
    )  # fmt: skip
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)
    short_id = driver.enqueue(schedule=At(times=[tomorrow, tomorrow + timedelta(days=1)]), custody="provider")
    batch = driver.send()
    custodies, producer, intent = Custodies(redis, queue.account), Producer(redis), f"{queue.account}.{short_id}"
    custodies.keep(batch.batch_id, round(tomorrow.timestamp() * 1000))
    (one,) = producer.get(intent).recipients
    receipt = Receipt("sms", "provider-1", one.number, RecipientState.DELIVERED, Evidence.HANDSET, event_id="one")
    assert tally_request(driver.account, batch.batch_id, short_id, receipt).run(redis) == 1
    assert producer.cancel(intent).outcome == "requested"
    kept = custodies.load(short_id)
    assert kept is not None
    assert custodies.take_up(kept)
    custodies.told(kept, batch.batch_id, Told.DONE, last=True)
    assert custodies.conclude(kept, Conclusion(Custody.CANCELLED, Result.DONE), of=1, skipped=0, shows_pauses=False)
    assert producer.get(intent).counts == {"delivered": 1}


def _receipts(driver: Driver) -> None:
    driver.enqueue()
    batch = driver.send()
    inbox = Inbox(driver.redis, driver.queue.account, keep=60)
    arrive_request(inbox.account, [Arriving(inbox.account, batch.batch_id, b"news")] * 2).run(driver.redis)
    assert inbox.lead("test", 1.0)
    first, second = inbox.page()
    assert inbox.park([first]) == 0
    assert inbox.page() == [second]
    assert inbox.file([Filed(second, batch.batch_id, "digest")]) == 1
    assert [raw.body for raw in kept(inbox.redis, inbox.account, batch.batch_id)] == [b"news"]
    assert driver.redis.xlen(driver.account.inbox) == 0


def _subscribe(driver: Driver) -> None:
    """A subscription is made, disabled, told again what there is, and taken off; and a group is behind."""
    driver.enqueue()
    subscriptions, stream = Subscriptions(driver.redis, driver.queue.account), Stream(driver.redis, driver.queue.account)
    one = Subscription("test", "billing", "https://example.com", (Key("whsec_AAAA"),), created=1)
    subscriptions.add(one, "0", by="test")
    assert of_accounts(driver.redis, [driver.queue.account]) == {driver.queue.account: [one]}
    feed = Feed(driver.redis, driver.queue.account, one)
    ((entry_id, event),) = feed.news()
    assert event is not None
    assert feed.wants(event)
    assert (feed.place(), feed.waiting()) == (entry_id, 1)
    feed.note({entry_id: Trouble(1, 1)})
    feed.acknowledge([entry_id], troubled=[entry_id])
    assert replay(subscriptions, "test", "-", "+", by="test").events == 1
    assert [place for place, _ in feed.pending("0")] == [entry_id]
    assert subscriptions.change("test", lambda seen: disabled(seen, "gone"), "subscription-disabled", by="test").disabled == "gone"
    assert stream.lead("test", 1.0)
    assert stream.make_room() == []
    assert stream.warn(Group("@test", entry_id))
    assert not stream.warn(Group("@test", entry_id))
    stream.expire()
    assert stream.forget("@test", by="test")
    assert feed.news() == []
    assert feed.news()[0][0] == entry_id
    subscriptions.remove("test", by="test")
    assert stream.groups() == {}
    assert feed.news() == []
    assert stream.groups() == {}


def _receive(driver: Driver) -> None:
    inbox = Inbox(driver.redis, driver.queue.account, keep=60)
    driver.redis.xadd(driver.account.inbox, {"b": "", "d": "news"})
    (arrived,) = inbox.page()
    inbound = Inbound("+243990000000", "", "Stop")
    assert [inbox.receive(arrived, inbound, "digest", "STOP") for _ in range(2)] == [True, False]
    assert driver.redis.zcard(driver.account.suppressed) == 1


def _half_open(driver: Driver) -> None:
    steering = Steering(driver.redis, driver.queue.account, driver.queue.operation, "test")
    steering.halt(Halt(Fault.MONEY, "1202", operator=False, after=1.0))
    halted = accounts.halted(driver.redis, driver.queue.account)
    assert halted is not None
    assert steering.half_open(halted)
    assert steering.lift_halt()


def _push(driver: Driver) -> None:
    push(driver.redis, driver.queue, "dramatiq.0.1.one", "one", delay=0.0, message=b"{}")
    assert driver.taken().jobs[0].subject == "one"


def _restore(driver: Driver) -> None:
    driver.enqueue()
    driver.redis.delete(driver.queue.keys.entries, driver.queue.keys.groups)
    unowned = Unowned(driver.redis, driver.queue)
    assert unowned.lead("test", 1.0)
    assert unowned.restore(unowned.look().lost) == 1


def _fail_over(driver: Driver) -> None:
    spare = Driver(driver.redis, replace(driver.queue, account="spare"))
    intent = driver.enqueue(failover=["spare"])
    halted = Halt(Fault.MONEY, "1202", operator=False, after=1.0)
    steering = [Steering(driver.redis, one.queue.account, "send", "test") for one in (driver, spare)]
    mover = Mover([Carried(driver.redis, one.queue) for one in (driver, spare)], "test", 1.0, lambda: 0.0)
    steering[0].halt(halted)
    assert mover.run_once()[0].carried == {"spare": 1}
    steering[1].halt(halted)
    assert mover.run_once()[1].handed_back == 1
    assert Producer(driver.redis).cancel(f"{driver.queue.account}.{intent}").outcome == "done"
    assert [one.lift_halt() for one in steering] == [True, True]
    driver.until(driver.server_ms() + 1000 * SOON)
    assert mover.run_once()[0].told == 1


def _rights(driver: Driver) -> None:
    assert refused_commands(driver.redis) in (None, [])


def _set_tokens(driver: Driver) -> None:
    kept = build_tokens(driver.redis)
    assert kept.add("an-act", "billing", [ApiScope.SEND], by="test") is not None
    assert kept.remove("an-act", by="test")


def _set_budget(driver: Driver) -> None:
    budgets = Budgets(driver.redis, driver.queue.account)
    budgets.set("billing", Budget.parse("5 recipients/day", None), by="test")
    assert budgets.remove("billing", "day", by="test")


def _forget(driver: Driver) -> None:
    letters, _ = dead_letter(driver)
    assert Producer(driver.redis).suppress(driver.queue.account, "+243990000000") == 1
    done = Forgetting(driver.redis, driver.queue.account, "+243990000000", "5eed").forget(by="test")
    assert (done.recipients, done.waits, done.suppressed, letters.size()) == (1, (), True, 0)


def _forget_bad(driver: Driver) -> None:
    driver.redis.zadd(driver.account.bad_numbers, {"+243990000000": 1})
    assert bad_numbers.forget(driver.redis, driver.queue.account, by="test") == 1


def _forget_group(driver: Driver) -> None:
    driver.redis.xgroup_create(driver.account.events, "group", mkstream=True)
    assert Stream(driver.redis, driver.queue.account).forget("group", by="test")


def _age(driver: Driver) -> None:
    dead_letter(driver)
    assert Ages(driver.redis, driver.queue.account, records_for=60.0, texts_for=0.0).heed()


ACTS: dict[str, Callable[[Driver], None]] = {
    "enqueue": _send, "claim": _send, "begin": _send, "settle": _send, "apply": _apply, "note": _apply, "resend": _resend,
    "release": _release, "permit": _permit,
    "renew": _renew, "push": _push, "suppress": _suppress, "unsuppress": _suppress,
    "expire": _expire, "reckon": _reckon, "steer": _steer, "unowned": _restore, "restore": _restore,
    "plan": _redrive, "leave": _redrive,
    "carry": _fail_over, "handback": _fail_over, "relay": _fail_over,
    "schedule": _schedule, "fire": _schedule, "reschedule": _schedule, "edit": _schedule,
    "hold_campaign": _campaign, "page_campaign": _campaign, "forget_campaign": _campaign,
    **dict.fromkeys(("hand_over", "ask", "heard", "take_up", "conclude", "tally"), _custody),
    "arrive": _receipts, "file": _receipts, "park": _receipts, "receive": _receive,
    **dict.fromkeys(("lead", "subscribe", "regroup", "unsubscribe", "amend", "warn"), _subscribe),
    "half_open": _half_open, "rights": _rights, "age": _age,
    **dict.fromkeys(("forget", "hide", "note_forgetting"), _forget), "forget_bad": _forget_bad, "forget_group": _forget_group,
    "set_tokens": _set_tokens, "set_budget": _set_budget, "withdraw": _withdraw, "resume": _withdraw,
}  # fmt: skip
