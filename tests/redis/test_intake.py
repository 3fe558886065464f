"""The door that receipts come through: who is believed, what is bounded, and that nothing is answered before it is written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError
from tests.contract.canned import InventedAccount
from tests.redis.driver import SECRET, Driver, queue_of
from tests.support import servers

from tuma_producer.contract.connection import REDIS_ERRORS, connect_async
from tuma_producer.contract.keys import AccountKeys
from tuma_worker.providers import named
from tuma_worker.receipts.intake import Door, Intake, Reception, Webhook
from tuma_worker.receipts.trips import Trips, ask_together
from tuma_worker.store.inbox import Arriving, stage_backlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis import Redis
    from redis.asyncio.client import Pipeline

ACCOUNT = "lisoloo-main"
BODY = b'{"event_type": "sms.delivered", "data": {"recipient_phone": "+243990000000"}}'
READ = named("lisoloo").receipts(InventedAccount("https://provider.example"))
DOOR = Door(READ, networks=(ip_network("203.0.113.0/24"),))


@dataclass
class Entrance:
    """An intake for one account, with one call under way."""

    driver: Driver
    url: str
    ticket: str

    def webhook(self, **other: Any) -> Webhook:  # noqa: ANN401 - fields of what is made
        return Webhook(ACCOUNT, self.ticket, "203.0.113.7", {}, BODY)._replace(**other)

    def ask(self, do: Callable[[Intake], Awaitable[Any]], **more: Any) -> Any:  # noqa: ANN401 - whatever that gives
        async def run() -> Any:  # noqa: ANN401 - as above
            redis = connect_async(self.url)
            try:
                return await do(Intake(redis, {ACCOUNT: DOOR}, lambda: 0.0, **more))
            finally:
                await redis.aclose()

        return asyncio.run(run())

    def take(self, *webhooks: Webhook, **more: Any) -> list[Reception]:  # noqa: ANN401 - fields of the intake
        async def all_together(intake: Intake) -> list[Reception]:
            return list(await asyncio.gather(*map(intake.take, webhooks)))

        found: list[Reception] = self.ask(all_together, **more)
        return found

    def written(self) -> int:
        return int(self.driver.redis.xlen(self.driver.account.inbox))


@pytest.fixture
def entrance(redis: Redis, redis_url: str) -> Entrance:
    driver = Driver(redis, queue_of())
    driver.enqueue()
    return Entrance(driver, redis_url, f"{driver.send().batch_id}.{SECRET}")


def test_what_comes_together_is_written_down_and_each_is_answered(entrance: Entrance) -> None:
    assert entrance.take(*[entrance.webhook()] * 50) == [Reception.TAKEN] * 50
    assert entrance.written() == 50
    (_, fields), *_ = entrance.driver.redis.xrange(entrance.driver.account.inbox)  # type: ignore[misc] # a synchronous client
    assert fields == {b"b": entrance.ticket.partition(".")[0].encode(), b"d": BODY}


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ({"address": "198.51.100.1"}, Reception.FORBIDDEN),
        ({"address": ""}, Reception.FORBIDDEN),
        ({"address": "2001:db8::1"}, Reception.FORBIDDEN),
        ({"headers": {"authorization": "Basic d3Jvbmc6d3Jvbmc="}}, Reception.UNAUTHENTIC),
        ({"ticket": None}, Reception.UNAUTHENTIC),
        ({"ticket": "no-such-call.token"}, Reception.UNKNOWN),
        ({"ticket": ""}, Reception.UNKNOWN),
        ({"account": "nobody"}, Reception.UNKNOWN),
        ({"body": b"hello"}, Reception.UNREADABLE),
        ({"body": b'{"event_type": "sms.queued", "data": ' + b"[" * 20 + b"]" * 20 + b"}"}, Reception.UNREADABLE),
        ({"body": b'{"event_type": "sms.queued", "data": {"text": "' + b"[{" * 99 + b'"}}'}, Reception.TAKEN),
        ({"body": b'{"event_type": "sms.queued", "data": [' + b"{}," * 99 + b"{}]}"}, Reception.TAKEN),
    ],
)
def test_what_is_not_to_be_believed_or_cannot_be_read_is_not_written_down(
    entrance: Entrance, other: dict[str, Any], verdict: Reception
) -> None:
    assert entrance.take(entrance.webhook(**other)) == [verdict]
    assert entrance.written() == (verdict is Reception.TAKEN)


def test_a_server_that_forgot_the_script_is_told_it_again(entrance: Entrance) -> None:
    async def story(intake: Intake) -> list[Reception]:
        first = await intake.take(entrance.webhook())
        entrance.driver.redis.script_flush()
        return [first, *await asyncio.gather(*[intake.take(entrance.webhook()) for _ in range(3)])]

    assert entrance.ask(story) == [Reception.TAKEN] * 4
    assert entrance.written() == 4


def test_what_redis_refuses_is_told_to_each_who_waits_and_to_nobody_as_taken(entrance: Entrance) -> None:
    entrance.driver.redis.set(entrance.driver.account.inbox, "no stream")

    async def story(intake: Intake) -> list[object]:
        return await asyncio.gather(*[intake.take(entrance.webhook()) for _ in range(3)], return_exceptions=True)

    found = entrance.ask(story)
    assert [isinstance(one, ResponseError) for one in found] == [True] * 3
    entrance.driver.redis.delete(entrance.driver.account.inbox)


def test_receipts_of_several_accounts_share_a_trip_and_an_error_is_told_to_those_of_its_own(entrance: Entrance) -> None:
    other = AccountKeys("lineserve-main").inbox
    entrance.driver.redis.set(other, "no stream")

    async def story(intake: Intake) -> list[object]:
        arriving = [Arriving(account, "", BODY) for account in (ACCOUNT, "lineserve-main", ACCOUNT)]
        return list(await asyncio.gather(*map(intake.writing.take, arriving), return_exceptions=True))

    first, refused, second = entrance.ask(story)
    assert (first, second, entrance.written()) == (None, None, 2)
    assert isinstance(refused, ResponseError)
    entrance.driver.redis.delete(other)


def test_a_token_that_is_wrong_in_one_letter_is_nobodys_also_where_the_right_one_is_known(entrance: Entrance) -> None:
    async def one_by_one(intake: Intake) -> list[Reception]:
        return [await intake.take(entrance.webhook(ticket=ticket)) for ticket in (entrance.ticket, entrance.ticket + "x")]

    assert entrance.ask(one_by_one) == [Reception.TAKEN, Reception.UNKNOWN]


def test_where_too_much_waits_to_be_applied_receipts_must_come_again_until_there_is_room(entrance: Entrance) -> None:
    async def story(intake: Intake) -> list[Reception]:
        receptions = []
        entrance.driver.redis.xadd(entrance.driver.account.inbox, {"b": "", "d": "waiting"}, id="1-1")
        receptions.append(await intake.take(entrance.webhook()))
        entrance.driver.redis.delete(entrance.driver.account.inbox)
        receptions.append(await intake.take(entrance.webhook()))
        return receptions

    assert entrance.ask(story, backlog=1) == [Reception.BUSY, Reception.TAKEN]


def test_in_a_flood_those_for_whom_there_is_no_place_are_told_at_once(entrance: Entrance) -> None:
    async def flood(intake: Intake) -> list[Reception]:
        first = await intake.take(entrance.webhook())  # its token is known from then on
        intake.writing.most = 10
        return [first, *await asyncio.gather(*[intake.take(entrance.webhook()) for _ in range(30)])]

    receptions = entrance.ask(flood)
    assert receptions.count(Reception.BUSY) == 20
    assert receptions.count(Reception.TAKEN) == entrance.written() == 11


def test_nobody_is_told_that_it_is_written_down_where_redis_is_away() -> None:
    server = servers.start()
    server.stop()

    async def ask() -> None:
        redis = connect_async(server.url)
        try:
            await Trips(partial(ask_together, redis), within=1.0).take(_backlog)
        finally:
            await redis.aclose()

    with pytest.raises((*REDIS_ERRORS, TimeoutError)):
        asyncio.run(ask())


def test_who_goes_away_before_the_answer_leaves_the_others_theirs(entrance: Entrance) -> None:
    async def story(intake: Intake) -> Reception:
        gone = asyncio.create_task(intake.take(entrance.webhook()))
        await asyncio.sleep(0)
        gone.cancel()
        return await intake.take(entrance.webhook())

    assert entrance.ask(story) is Reception.TAKEN


def _backlog(pipeline: Pipeline) -> None:
    stage_backlog(pipeline, ACCOUNT)
