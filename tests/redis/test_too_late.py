"""What has become too late in a worker's hands is not handed to the provider: the worker refuses the call itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, VirtualClock, number, queue_of

from tuma_worker.core.answers import Accepted, Reply, TryLater
from tuma_worker.core.breaker import Breaker
from tuma_worker.core.next_step import Policy
from tuma_worker.dispatch.sending import Outlet, Sender
from tuma_worker.queue.leases import Held
from tuma_worker.store.attempts import Attempts

if TYPE_CHECKING:
    from redis import Redis

    from tuma_worker.core.answers import Answer
    from tuma_worker.providers.base import Call
    from tuma_worker.store.attempts import Begun

LIFE = 5  # seconds
ALL_BUT = LIFE - 0.001
TOO_LATE = TryLater("deadline", after=0.0, left=False, counts=False)


@dataclass
class Provider:
    """Has a connection after so many seconds, and asks then whether the call may still be made."""

    clock: VirtualClock
    connecting: float = 0.0
    asked: list[Answer | None] = field(default_factory=list)

    def send(self, call: Call) -> Reply:
        self.clock.forward(self.connecting)
        assert call.barred is not None
        self.asked.append(answer := call.barred())
        return Reply(answer or Accepted("provider-1"))


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    del clock
    return Driver(redis, queue_of(lease=600.0))


def sent(driver: Driver, clock: VirtualClock, provider: Provider) -> str:
    """An intent that expires in so many seconds, in the hands of a worker that keeps its lease."""
    intent = driver.enqueue(number(1), expires_in=LIFE)
    client: Any = provider
    outlet = Outlet(client, driver.attempts, Policy(), Breaker(), callbacks=None, sender_id=None, keeps_books=False)
    sender = Sender({driver.queue.account: outlet}, choose=lambda most: most, secret=lambda: "token", pause=lambda _: None)
    sender.send(Held(driver.queue, driver.taken(), until=clock.now / 1e6 + 600, clock=lambda: clock.now / 1e6))
    return intent


def ends(driver: Driver, clock: VirtualClock, intent: str) -> str:
    """How it ends, once its deadline has passed for everybody."""
    clock.forward(LIFE)
    driver.attempts.expire([intent])
    return driver.state_of(intent, number(1))


@pytest.mark.parametrize(("held_up", "asked", "end"), [(ALL_BUT, [None], "submitted"), (LIFE, [], "expired")])
def test_a_worker_that_is_held_up_before_the_call_until_the_deadline_does_not_turn_to_the_provider(
    driver: Driver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, *, held_up: float, asked: list[Answer | None], end: str
) -> None:
    begin = Attempts.begin

    def slowly(attempts: Attempts, *told: Any, **more: Any) -> Begun | None:  # noqa: ANN401 - as the real one's
        found = begin(attempts, *told, **more)
        clock.forward(held_up)
        return found

    monkeypatch.setattr(Attempts, "begin", slowly)
    provider = Provider(clock)
    intent = sent(driver, clock, provider)
    assert provider.asked == asked
    assert ends(driver, clock, intent) == end


@pytest.mark.parametrize(("connecting", "asked", "end"), [(ALL_BUT, [None], "submitted"), (LIFE, [TOO_LATE], "expired")])
def test_a_call_whose_connection_stands_only_at_the_deadline_is_forbidden(
    driver: Driver, clock: VirtualClock, connecting: float, asked: list[Answer | None], end: str
) -> None:
    provider = Provider(clock, connecting)
    intent = sent(driver, clock, provider)
    assert provider.asked == asked
    assert ends(driver, clock, intent) == end
