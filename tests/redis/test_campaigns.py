"""Cancelling, pausing and resuming a campaign: true for all of it, whoever arrives meanwhile and whoever dies over it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, number, numbers, queue_of

from tuma_producer import At, CampaignResult, Producer, Send, UnknownAccount, UnknownCampaign
from tuma_producer.contract.campaigns import control_campaign
from tuma_producer.contract.times import moment
from tuma_producer.contract.wire import campaign_keys
from tuma_worker.core.answers import Rejected
from tuma_worker.queue.scripts import Claim, Wait
from tuma_worker.store import campaigns
from tuma_worker.store.campaigns import Campaigns, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from tests.support.producers import AnyProducer

    from tuma_producer.contract.scripts import ScriptCall
    from tuma_producer.results import Verb
    from tuma_worker.store.campaigns import Progress

NAME = "spring | Ünïcode"


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of(batch_max=10))


def ask(driver: Driver, verb: Verb, name: str = NAME) -> CampaignResult:
    result: CampaignResult = getattr(Producer(driver.redis), f"{verb}_campaign")(driver.queue.account, name)
    return result


def counts(result: CampaignResult) -> tuple[str, int, int, int, int]:
    return result.outcome, result.intents, result.stopped, result.with_provider, result.ended


def of_campaign(driver: Driver, count: int, name: str = NAME, **more: Any) -> list[str]:  # noqa: ANN401 - fields of Send
    return driver.enqueue_singles(count, campaign_name=name, **more)


def state(driver: Driver, intent: str) -> str:
    return Producer(driver.redis).get(f"{driver.queue.account}.{intent}").state


def told(driver: Driver, intent: str) -> list[str]:
    return [event["e"] for event in driver.events() if event.get("i") == intent]


def drain(driver: Driver) -> int:
    """How many recipients are sent to when a worker comes."""
    sent = 0
    while isinstance(batch := driver.claim(), Claim):
        begun = driver.begin(batch)
        assert begun is not None
        assert driver.settle(batch, Rejected("1103"))
        sent += len(begun.targets)
    return sent


def test_all_that_waits_is_cancelled_and_what_is_not_of_the_campaign_goes(driver: Driver) -> None:
    of_campaign(driver, 250)
    others = [driver.enqueue(number(900)), *of_campaign(driver, 1, "autumn")]
    assert counts(ask(driver, "cancel")) == ("done", 250, 250, 0, 0)
    assert counts(ask(driver, "cancel")) == ("done", 250, 250, 0, 0)
    assert drain(driver) == len(others)


def test_who_asks_is_told_how_far_it_is(driver: Driver) -> None:
    of_campaign(driver, 250)
    told: list[int] = []
    Producer(driver.redis).pause_campaign(driver.queue.account, NAME, progress=told.append)
    assert told == [100, 200, 250]


def test_the_answer_tells_what_is_with_the_provider_and_what_had_ended(driver: Driver) -> None:
    of_campaign(driver, 1)
    assert drain(driver) == 1
    of_campaign(driver, 1)
    batch = driver.taken()
    assert driver.begin(batch) is not None
    assert counts(ask(driver, "cancel")) == ("too-late", 2, 0, 1, 1)
    of_campaign(driver, 3)
    assert counts(ask(driver, "cancel")) == ("partly", 5, 3, 1, 1)


def test_a_paused_campaign_stays_paused_for_what_arrives_later_until_it_is_resumed(driver: Driver) -> None:
    (early,) = of_campaign(driver, 1)
    assert counts(ask(driver, "pause")) == ("done", 1, 1, 0, 0)
    late = driver.enqueue(*numbers(3), campaign_name=NAME, cancel_within=None)
    assert (state(driver, early), state(driver, late)) == ("paused", "paused")
    assert told(driver, late) == ["accepted", "paused"]
    assert isinstance(driver.claim(), Wait)
    assert counts(ask(driver, "resume")) == ("done", 2, 4, 0, 0)
    assert told(driver, late) == ["accepted", "paused", "resumed", *["queued"] * 3]
    (after,) = of_campaign(driver, 1)
    assert state(driver, after) == "active"
    assert drain(driver) == 5


def test_what_arrives_held_back_and_paused_is_held_back_when_it_is_resumed(driver: Driver) -> None:
    of_campaign(driver, 1)
    ask(driver, "pause")
    held = driver.enqueue(number(9), campaign_name=NAME, cancel_within=60)
    assert driver.due() == {}
    ask(driver, "resume")
    assert list(driver.due()) == [f"{held}:{number(9)}"]


def test_what_arrives_paused_expires_at_its_deadline(driver: Driver) -> None:
    of_campaign(driver, 1)
    ask(driver, "pause")
    late = driver.enqueue(number(9), campaign_name=NAME, expires_in=0.05)
    driver.until(driver.server_ms() + 100)
    assert driver.attempts.expire([late]) == 1
    assert driver.state_of(late, number(9)) == "expired"


def test_after_a_cancel_the_name_is_free_again(driver: Driver) -> None:
    of_campaign(driver, 2)
    ask(driver, "cancel")
    of_campaign(driver, 1)
    assert drain(driver) == 1


def test_a_campaign_that_was_paused_stays_paused_when_it_is_cancelled(driver: Driver) -> None:
    of_campaign(driver, 1)
    ask(driver, "pause")
    ask(driver, "cancel")
    (late,) = of_campaign(driver, 1)
    assert state(driver, late) == "paused"


def test_its_schedules_are_steered_with_their_occurrences_and_arrive_paused(driver: Driver) -> None:
    soon, later = (moment(driver.server_ms() + ms) for ms in (500, 1_000_000))
    schedule = driver.enqueue(number(1), schedule=At(times=[soon, later]), campaign_name=NAME)
    driver.until(driver.server_ms() + 510)
    driver.fire(driver.taken())
    assert counts(ask(driver, "pause")) == ("done", 1, 1, 0, 0)
    arrived = driver.enqueue(number(2), schedule=At(times=later + timedelta(seconds=1)), campaign_name=NAME, idempotency_key="k")
    assert (state(driver, schedule), state(driver, arrived)) == ("paused", "paused")
    assert told(driver, arrived) == ["scheduled", "paused"]
    assert driver.due() == {}
    assert counts(ask(driver, "resume")) == ("done", 2, 1, 0, 0)
    assert sorted(driver.due()) == sorted([schedule, arrived])
    assert counts(ask(driver, "cancel")) == ("done", 2, 1, 0, 0)
    assert driver.due() == {}


def test_a_key_that_is_used_again_arrives_once(driver: Driver) -> None:
    first, second = (
        driver.enqueue(number(1), message="Hello", campaign_name=NAME, idempotency_key="k"),
        driver.enqueue(number(1), message="Hello", campaign_name=NAME, idempotency_key="k"),
    )
    assert first == second
    assert ask(driver, "pause").intents == 1


def test_what_is_not_there_is_said(driver: Driver) -> None:
    producer, before = Producer(driver.redis), driver.snapshot()
    with pytest.raises(UnknownCampaign, match="'spring' is not known in lisoloo-main"):
        producer.cancel_campaign(driver.queue.account, "spring")
    with pytest.raises(UnknownAccount, match="known: lisoloo-main"):
        producer.pause_campaign("nobody", "spring")
    assert driver.snapshot() == before


def test_either_kind_of_producer_steers_campaigns_of_many(redis: Redis, producer_for: Callable[..., AnyProducer]) -> None:
    driver, producer = Driver(redis, queue_of()), producer_for()
    sends = [Send(account=driver.queue.account, to=number(one), message="Hello", campaign_name=NAME) for one in range(130)]
    assert len(list(producer.enqueue_many(sends))) == 130
    verbs: list[Verb] = ["pause", "resume", "cancel"]
    for verb in verbs:
        redis.script_flush()
        result = (
            getattr(producer, f"{verb}_campaign")(driver.queue.account, NAME)
            if isinstance(producer, Producer)
            else producer.control_campaign(verb, driver.queue.account, NAME)
        )
        assert counts(result) == ("done", 130, 130, 0, 0)


# --------------------------------------------------------------------------------------------- arrivals, deaths, two at once


class Operator:
    """Somebody who asks for a campaign to be steered, step by step, and may die between two."""

    def __init__(self, driver: Driver, verb: Verb, by: str) -> None:
        self._redis = driver.redis
        self._steps = control_campaign(driver.queue.account, NAME, verb, by)
        self._calls: list[ScriptCall] = next(self._steps)
        self.result: CampaignResult | None = None

    def step(self) -> bool:
        """Make the next calls. False when it has its answer."""
        if self.result is None:
            try:
                self._calls = self._steps.send([one.run(self._redis) for one in self._calls])
            except StopIteration as answered:
                self.result = answered.value
        return self.result is None


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_what_arrives_between_any_two_steps_is_held_and_a_cancel_reaches_it(driver: Driver, verb: Verb) -> None:
    of_campaign(driver, 130)
    operator = Operator(driver, verb, "ops")
    arrived: list[str] = []
    while operator.step():
        arrived += of_campaign(driver, 1, first=500 + len(arrived)) if len(arrived) < 12 else []
        assert {state(driver, one) for one in arrived} <= {"paused", "cancelled"}
    assert operator.result is not None
    assert drain(driver) == 0
    if verb == "cancel":
        assert {state(driver, one) for one in arrived} == {"cancelled"}
        assert operator.result.stopped == 130 + len(arrived)


@pytest.mark.parametrize("verb", ["cancel", "pause"])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 14])
def test_whoever_dies_between_two_steps_leaves_it_held_and_the_next_one_finishes_it(driver: Driver, verb: Verb, steps: int) -> None:
    intents = of_campaign(driver, 130)
    operator = Operator(driver, verb, "dies")
    for _ in range(steps):
        operator.step()
    late = of_campaign(driver, 1, first=800)
    result = ask(driver, verb)
    assert counts(result) == ("done", 131, 131, 0, 0)
    assert {state(driver, one) for one in [*intents, *late]} == {"cancelled" if verb == "cancel" else "paused"}
    if verb == "cancel":
        assert state(driver, *of_campaign(driver, 1, first=900)) == "active"


def test_of_two_who_cancel_at_once_the_later_one_lets_the_name_go(driver: Driver) -> None:
    of_campaign(driver, 30)
    first, second = Operator(driver, "cancel", "one"), Operator(driver, "cancel", "two")
    assert first.step()
    assert second.step()
    while first.step():
        pass
    (between,) = of_campaign(driver, 1, first=500)
    assert state(driver, between) == "paused"
    while second.step():
        pass
    assert state(driver, between) == "cancelled"
    assert state(driver, *of_campaign(driver, 1, first=501)) == "active"


def test_a_resume_lifts_what_somebody_left_half_cancelled(driver: Driver) -> None:
    of_campaign(driver, 1)
    Operator(driver, "cancel", "dies").step()
    (held,) = of_campaign(driver, 1, first=5)
    assert counts(ask(driver, "resume")) == ("done", 2, 2, 0, 0)
    assert state(driver, held) == "active"


# ------------------------------------------------------------------------------------------------------------- forgetting


def age(driver: Driver) -> None:
    """Let the last arrival be long ago."""
    stands = json.loads(driver.redis.hget(driver.account.campaigns, NAME) or b"")
    driver.redis.hset(driver.account.campaigns, NAME, json.dumps(stands | {"at": 0}))


def test_a_campaign_is_forgotten_with_the_last_of_its_intents(driver: Driver) -> None:
    first, *rest = of_campaign(driver, 3)
    campaigns = Campaigns(driver.redis, driver.queue.account)
    driver.redis.delete(driver.account.intent(first))
    assert campaigns.forget() == 0
    age(driver)
    assert campaigns.forget() == 0
    assert ask(driver, "pause").intents == 2
    ask(driver, "resume")
    driver.redis.delete(*map(driver.account.intent, rest))
    assert campaigns.forget() == 0  # it was looked at a moment ago
    age(driver)
    assert campaigns.forget() == 1
    with pytest.raises(UnknownCampaign):
        ask(driver, "pause")
    assert not driver.redis.exists(driver.account.campaigns)


def test_a_paused_campaign_is_not_forgotten(driver: Driver) -> None:
    (intent,) = of_campaign(driver, 1)
    ask(driver, "pause")
    driver.redis.delete(driver.account.intent(intent))
    age(driver)
    assert Campaigns(driver.redis, driver.queue.account).forget() == 0
    (late,) = of_campaign(driver, 1)
    assert state(driver, late) == "paused"


# --------------------------------------------------------------------------------------------------------------- how far


def test_the_latest_are_listed_with_how_they_stand(driver: Driver) -> None:
    for name in ("autumn", NAME, "winter"):
        of_campaign(driver, 1, name)
    age(driver)
    ask(driver, "pause", "winter")
    found, of = Campaigns(driver.redis, driver.queue.account).latest(2)
    assert ([one.name for one in found], of) == (["winter", "autumn"], 3)
    assert [(one.paused, one.cancelling) for one in found] == [("default", None), (None, None)]


def test_a_tally_counts_each_recipient_once_in_the_state_that_it_is_in(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "_PAGE", 2)
    of_campaign(driver, 5)
    driver.enqueue(*numbers(3), campaign_name=NAME)
    driver.enqueue(campaign_name=NAME, schedule=At(times=[moment(driver.server_ms()) + timedelta(days=1)]))
    tally = Tally(driver.queue.account, NAME)
    first = tally.read(driver.redis, 4)
    assert (first.intents, first.counted) == (7, 4)  # the rest at the next look
    full = until_counted(driver, tally)
    assert (full.counted, full.schedules, dict(full.states)) == (7, 1, {"queued": 8})
    drain(driver)
    rejected = [tally.read(driver.redis, 4).states["queued"] for _ in range(3)][-1]
    assert rejected == 0
    assert tally.read(driver.redis, 4).states.total() == 8


def until_counted(driver: Driver, tally: Tally) -> Progress:
    for _ in range(10):
        if (found := tally.read(driver.redis, 4)).counted == found.intents:
            return found
    raise AssertionError(tally)


def test_a_tally_meets_who_arrives_behind_what_it_has_read(driver: Driver) -> None:
    of_campaign(driver, 3)
    tally = Tally(driver.queue.account, NAME)
    assert tally.read(driver.redis, 4).counted == 3
    (late,) = of_campaign(driver, 1, "elsewhere")
    earlier = "0" + late[1:]  # as a producer whose clock is behind would call it
    driver.redis.rename(driver.account.intent(late), driver.account.intent(earlier))
    driver.redis.zadd(campaign_keys(driver.queue.account, NAME)[1], {earlier: 0})
    assert until_counted(driver, tally).states == {"queued": 4}
