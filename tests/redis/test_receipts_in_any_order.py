"""Receipts in any order, ten times over and partly forged: a campaign ends as in the clean run, and each change is told once."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.contract.canned import InventedAccount
from tests.redis.driver import SECRET, Driver, numbers, queue_of, target_of

from tuma_producer.contract.connection import connect_async
from tuma_worker.providers import named
from tuma_worker.receipts.applying import Applier, Box
from tuma_worker.receipts.intake import Door, Intake, Reception, Webhook
from tuma_worker.store.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis import Redis

LONG = "TUMA_TEST_LONG" in os.environ
COPIES = 10
AT_ONCE = 1000  # webhooks under way at the same time
READ = named("lisoloo").receipts(InventedAccount("https://provider.example"))
DOOR = Door(READ)
FATES = {
    "delivered": ("sms.processing", "sms.sent", "sms.delivered"),
    "failed": ("sms.processing", "sms.failed"),
    "corrected": ("sms.sent", "sms.failed", "sms.delivered"),
    "silent": ("sms.sent",),
}
RANK = {state: rank for rank, state in enumerate(["sending", "submitted", "sent", "failed", "delivered"])}


@dataclass(frozen=True)
class Campaign:
    """One account with a campaign that the provider took in several calls, and what came of each recipient."""

    driver: Driver
    url: str
    intents: Sequence[str]
    calls: Mapping[str, str]  # by number
    fates: Mapping[str, str]

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(self.driver.redis, self.driver.queue.account, keep=60.0)

    @property
    def account(self) -> str:
        return self.driver.queue.account

    def receipts(self) -> Iterator[Webhook]:
        """What the provider has to tell, in its order and once."""
        for number, fate in self.fates.items():
            for event in FATES[fate]:
                yield self.webhook(number, event)

    def webhook(self, number: str, event: str, *, token: str = SECRET, headers: Mapping[str, str] | None = None) -> Webhook:
        body = {"event_id": f"{event} {number}", "event_type": event, "message_id": "m", "data": {"recipient_phone": number}}
        return Webhook(self.account, f"{self.calls[number]}.{token}", "203.0.113.7", headers or {}, json.dumps(body).encode())

    def forged(self) -> Iterator[Webhook]:
        """What others make up: each says of somebody what is not so, and lacks one of the things that make it believed."""
        wrong = {"authorization": "Basic d3Jvbmc6d3Jvbmc="}
        for number, fate in self.fates.items():
            lie = "sms.failed" if fate == "delivered" else "sms.delivered"
            guess = self.webhook(number, lie, token="guess")
            yield from (guess, self.webhook(number, lie, headers=wrong), Webhook(self.account, None, "", {}, guess.body))

    def take(self, webhooks: Iterable[Webhook]) -> Counter[Reception]:
        """Hand them to the gateway's intake, and apply what it took."""
        found = asyncio.run(self._take(list(webhooks)))
        applier = Applier(self.driver.redis, self.driver.redis, [Box(self.inbox, READ)], "w1", lambda: 0.0)
        while self.inbox.page():
            applier.drain(self.account)
        return found

    async def _take(self, webhooks: Sequence[Webhook]) -> Counter[Reception]:
        redis = connect_async(self.url)
        intake, found = Intake(redis, {self.account: DOOR}, lambda: 0.0), Counter[Reception]()
        try:
            for start in range(0, len(webhooks), AT_ONCE):
                found.update(await asyncio.gather(*map(intake.take, webhooks[start : start + AT_ONCE])))
        finally:
            await redis.aclose()
        return found

    def states(self) -> dict[str, str]:
        """Where everybody stands."""
        found: dict[str, str] = {}
        for intent in self.intents:
            record: Any = self.driver.redis.hgetall(self.driver.account.intent(intent))
            found |= {name.decode(): packed.decode().partition("|")[0] for name, packed in record.items() if name[:1] == b"+"}
        return found

    def stories(self) -> dict[str, list[str]]:
        """The states of each recipient in the order in which they were told. Sequences of intents have no gap and no repeat."""
        stories: dict[str, list[str]] = {number: [] for number in self.fates}
        sequences = dict.fromkeys(self.intents, 0)
        for event in self.driver.events():
            sequences[event["i"]] += 1
            assert int(event["q"]) == sequences[event["i"]]
            if "r" in event:
                stories[event["r"]].append(event["e"])
        return stories


def sent(redis: Redis, url: str, account: str, fates: Mapping[str, str]) -> Campaign:
    """A campaign that the provider took, in ten intents and ten calls or so, before any receipt."""
    driver = Driver(redis, queue_of(account=account, batch_max=max(1, len(fates) // 10)))
    intents = [driver.enqueue(*to, message="Karibu", priority="bulk") for to in batched(list(fates), driver.queue.batch_max)]
    calls: dict[str, str] = {}
    while len(calls) < len(fates):
        batch = driver.send()
        calls |= {target_of(job.subject).number: batch.batch_id for job in batch.jobs}
    return Campaign(driver, url, intents, calls, fates)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def shuffled(campaign: Campaign, dice: random.Random) -> tuple[list[Webhook], int]:
    """All of its receipts ten times over and all forged ones once, in any order; and how many are no forgeries."""
    genuine = [*campaign.receipts()] * COPIES
    webhooks = [*genuine, *campaign.forged()]
    dice.shuffle(webhooks)
    return webhooks, len(genuine)


def check(redis: Redis, url: str, fates: Mapping[str, str], dice: random.Random) -> None:
    redis.flushall()
    clean, wild = (sent(redis, url, account, fates) for account in ("clean", "wild"))
    assert set(clean.take(clean.receipts())) == {Reception.TAKEN}
    webhooks, genuine = shuffled(wild, dice)
    assert wild.take(webhooks)[Reception.TAKEN] == genuine
    assert wild.states() == clean.states()
    for number, story in wild.stories().items():
        ranks = [RANK[state] for state in story]
        assert ranks == sorted(set(ranks)), (number, story)


@settings(
    max_examples=100 if LONG else 15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    fates=st.lists(st.sampled_from(sorted(FATES)), min_size=1, max_size=30),
    dice=st.randoms(use_true_random=False),
)
def test_whatever_the_order_and_however_often_and_whoever_lies_the_end_is_that_of_the_clean_run(
    redis: Redis, redis_url: str, fates: list[str], dice: random.Random
) -> None:
    check(redis, redis_url, dict(zip(numbers(len(fates)), fates, strict=True)), dice)


@pytest.mark.skipif(not LONG, reason="takes two minutes; set TUMA_TEST_LONG")
def test_and_so_is_that_of_ten_thousand_recipients(redis: Redis, redis_url: str) -> None:
    dice = random.Random(7)  # noqa: S311 - the same shuffle each time
    check(redis, redis_url, {number: dice.choice(sorted(FATES)) for number in numbers(10_000)}, dice)
