"""What every worker shows of how its accounts' sends stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from tests.redis.driver import Driver, VirtualClock, calls, numbers, queue_of

from tuma_worker.dispatch.gauging import Gauger
from tuma_worker.store.steering import Scope, Steering

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis, clock: VirtualClock) -> Driver:
    """Ten of bulk wait, and one password."""
    driver = Driver(redis, queue_of(calls(10, 10), batch_max=1))
    driver.enqueue(*numbers(10), priority="bulk")
    driver.enqueue(*numbers(1), priority="otp", source="shop")
    clock.forward(60)
    return driver


def shown(driver: Driver, name: str, **labels: str) -> float | None:
    Gauger(driver.redis, [driver.queue], dict, shows=True).run_once()
    return REGISTRY.get_sample_value(name, {"account": driver.queue.account, **labels})


def pause(driver: Driver, scope: Scope) -> None:
    Steering(driver.redis, driver.queue.account, driver.queue.operation, "ops").pause(scope)


def held(driver: Driver) -> dict[str, float]:
    """How many jobs wait for what, where any do."""
    causes = (
        "blocked", "breaker", "halted", "later", "limit", "priority-paused", "probing", "queue-paused", "reserve", "source-paused"
    )  # fmt: skip
    found = {cause: shown(driver, "tuma_jobs_held", cause=cause) for cause in causes}
    assert None not in found.values()
    return {cause: jobs for cause, jobs in found.items() if jobs}


def test_who_could_go_and_does_not_is_late(driver: Driver) -> None:
    assert shown(driver, "tuma_oldest_waiting_seconds", priority="bulk") == pytest.approx(60, abs=1)
    assert shown(driver, "tuma_oldest_waiting_seconds", priority="transactional") == 0
    assert held(driver) == {}


@pytest.mark.parametrize(
    ("scope", "cause"),
    [(Scope(lane="bulk"), "priority-paused"), (Scope(source="billing"), "source-paused")],
    ids=["lane", "source"],
)
def test_what_an_operator_holds_is_not_late_and_is_counted_by_its_cause(driver: Driver, scope: Scope, cause: str) -> None:
    pause(driver, scope)
    assert shown(driver, "tuma_oldest_waiting_seconds", priority="bulk") == 0
    assert shown(driver, "tuma_oldest_waiting_seconds", priority="otp") == pytest.approx(60, abs=1)
    assert held(driver) == {cause: 10}


def test_what_waits_for_the_limit_or_for_a_time_is_counted_so(driver: Driver) -> None:
    for _ in range(10):
        driver.taken()
    driver.refused()
    driver.enqueue(*numbers(2), cancel_within=600)
    assert held(driver) == {"limit": 1, "later": 2}
    assert shown(driver, "tuma_provider_bound") == 1
