"""A small demo for whoever looks at the dashboard: some of everything that it shows, with a worker that goes on all the while."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.support.houses import open_house

from tuma_producer import At, Every, Producer, Send
from tuma_worker.core.answers import Fault
from tuma_worker.core.next_step import Halt
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import servers
    from tests.support.houses import House, Settings

LISOLOO, LINESERVE, SPARE = "lisoloo-main", "lineserve-kenya", "lisoloo-spare"
APPROVED, REFUSED = "KITOKO", "GHOST"
CAMPAIGN = "spring-offer"
RECIPIENTS = 600  # of the campaign, each with a text of their own: a call for each, and five calls a second

_ACCOUNTS: dict[str, Settings] = {
    LISOLOO: {"provider": "lisoloo", "limits": ["5 calls/1s", "15000 calls/1h"]},
    LINESERVE: {"provider": "lineserve", "limits": ["100 calls/60s", "10000 messages/3600s"]},
    SPARE: {"provider": "lisoloo"},
}
_SANDBOX: Settings = {"outcomes": {"delivered": 0.96, "undelivered": 0.04}, "latency_ms": 500, "lineserve": {"senders": [APPROVED]}}


@contextmanager
def open_scene(server: servers.Server, *, before: Callable[[House], None] = lambda _: None) -> Iterator[House]:
    """The demo, which has just begun, after `before`: the campaign is in the line, and three messages have died."""
    with open_house(server, _ACCOUNTS, config=_SANDBOX) as house:
        before(house)
        house.worker(threads=4)
        house.all_done([house.send(LINESERVE, f"+25471100000{place}", sender_id=REFUSED) for place in range(3)])
        Steering(house.redis, SPARE, "send", "worker").halt(Halt(Fault.MONEY, "1501", operator=True, after=0.0))
        with _sources(server.url, "marketing", "billing", "login") as (marketing, billing, login):
            _campaigns(marketing)
            _schedules(billing, marketing)
            for place in range(40):
                billing.enqueue(Send(account=LINESERVE, to=_number("25473", place), message=f"Invoice {place} is ready."))
            for account, prefix in ((LISOLOO, "24397"), (LINESERVE, "25472")):
                login.enqueue(Send(account=account, to=_number(prefix, 0), message="Your code is 493201.", priority="otp"))
        yield house


@contextmanager
def _sources(url: str, *names: str) -> Iterator[list[Producer]]:
    producers = [Producer.from_url(url, source=name) for name in names]
    yield producers
    for producer in producers:
        producer.close()


def _number(prefix: str, place: int) -> str:
    return f"+{prefix}{place:07d}"


def _campaigns(marketing: Producer) -> None:
    sends = (
        Send(account=LISOLOO, to=_number("24399", place), message=f"Dear {place}, spring is here.", priority="bulk",
             campaign_name=CAMPAIGN)
        for place in range(RECIPIENTS)
    )  # fmt: skip
    list(marketing.enqueue_many(sends))
    crowd = [_number("25474", place) for place in range(600)]
    marketing.enqueue(
        Send(account=LINESERVE, to=crowd, message="We open on Saturday.", priority="bulk", campaign_name="opening-day")
    )


def _schedules(billing: Producer, marketing: Producer) -> None:
    start = (datetime.now(UTC) + timedelta(days=1)).date()
    daily = Every(frequency="daily", times=["08:00", "17:30"], start=start, tz="Africa/Kinshasa")
    weekly = Every(frequency="weekly", weekdays=["mon", "fri"], times=["10:00"], start=start, tz="Africa/Nairobi")
    once = At(times=[datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)])
    billing.enqueue(Send(account=LISOLOO, to=_number("24398", 1), message="Your balance", schedule=daily))
    billing.enqueue(Send(account=LINESERVE, to=_number("25475", 1), message="Your week", schedule=weekly))
    held = marketing.enqueue(Send(account=LISOLOO, to=_number("24398", 2), message="Market day", schedule=once))
    marketing.pause(held.id, by="asha")


def with_a_past(house: House) -> None:
    """Let the charts have something to show: events of the last quarter of an hour that never were. Before anything happens."""
    now = round(datetime.now(UTC).timestamp() * 1000)
    shape = itertools.cycle([3, 5, 8, 9, 7, 8, 11, 14, 12, 9, 6, 4])
    for account, scale in ((LISOLOO, 12), (LINESERVE, 18)):
        pipeline = house.redis.pipeline(transaction=False)
        for part, height in zip(range(58), shape, strict=False):
            at = now - 890_000 + part * 15_000
            for place in range(height * scale // 2):
                ended = "undelivered" if place % 23 == 7 else "delivered"
                for step, state in enumerate(("submitted", ended)):
                    pipeline.xadd(
                        f"tuma:{{{account}}}:events",
                        {"e": state, "i": "0" * 26, "s": "test", "q": "1", "r": "+2439", "v": "handset"},
                        id=f"{at}-{2 * place + step}",
                    )
        pipeline.execute()


def pause_a_source(house: House) -> None:
    """Let somebody have paused what one source sends."""
    Steering(house.redis, LINESERVE, "send", "asha").pause(Scope(source="billing"))
