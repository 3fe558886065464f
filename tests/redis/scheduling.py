"""Schedules of an account, as tests make, steer and watch them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuma_producer import At, Every, Producer
from tuma_producer.contract.times import moment

if TYPE_CHECKING:
    from tests.redis.driver import Driver, VirtualClock

    from tuma_producer import ControlResult, Intent
    from tuma_producer.results import Verb

LEASE = 15.0  # seconds


def in_seconds(clock: VirtualClock, *seconds: float, **more: Any) -> At:  # noqa: ANN401 - fields of At
    """At these times from now."""
    return At(times=[moment(clock.ms) + timedelta(seconds=later) for later in seconds], **more)


def every_minute(clock: VirtualClock, **more: Any) -> Every:  # noqa: ANN401 - fields of Every
    """Every minute from the next on."""
    return Every(frequency="seconds", interval=60, start=moment(clock.ms) + timedelta(seconds=60), **more)


def get(driver: Driver, intent: str) -> Intent:
    return Producer(driver.redis).get(f"{driver.queue.account}.{intent}")


def ask(driver: Driver, verb: Verb, intent: str) -> ControlResult:
    result: ControlResult = getattr(Producer(driver.redis), verb)(f"{driver.queue.account}.{intent}")
    return result


def told(driver: Driver, intent: str) -> list[str]:
    return [event["e"] for event in driver.events() if event.get("i") == intent]


def fired_at(driver: Driver, schedule: str) -> list[int]:
    """The times of the schedule's occurrences, as its events tell them."""
    return [int(event["t"]) for event in driver.events() if event["e"] == "fired" and event["i"] == schedule]


def children(driver: Driver, schedule: str) -> list[str]:
    """The short ids of the schedule's occurrences."""
    return [event["o"] for event in driver.events() if event["e"] == "fired" and event["i"] == schedule]
