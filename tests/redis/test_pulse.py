"""What became of recipients of late is counted from the events: each once, by whoever looks when."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, queue_of

from tuma_worker.store import pulse
from tuma_worker.store.pulse import PART_MS, PARTS, Pulse

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def driver(redis: Redis) -> Driver:
    return Driver(redis, queue_of())


def happen(driver: Driver, at: int, *states: str) -> None:
    """Recipients come into these states at this time."""
    for place, state in enumerate(states):
        driver.redis.xadd(driver.account.events, {"e": state, "r": "+243990000001"}, id=f"{at}-{place + 1}")


def total(parts: list[Counter[str]]) -> dict[str, int]:
    return dict(sum(parts, Counter()))


def test_each_event_is_in_the_part_in_which_it_happened(driver: Driver) -> None:
    now = driver.server_ms()
    happen(driver, now - PARTS * PART_MS - 1, "delivered")  # too long ago
    happen(driver, now - 2 * PART_MS, "submitted", "delivered")
    driver.redis.xadd(driver.account.events, {"e": "paused"}, id=f"{now - 5}-0")  # no recipient's
    happen(driver, now - 1, "failed")
    parts = Pulse(driver.queue.account).read(driver.redis, now)
    assert len(parts) == PARTS
    assert total(parts) == {"submitted": 1, "delivered": 1, "failed": 1}
    assert parts[PARTS - 3] == {"submitted": 1, "delivered": 1}


def test_a_look_goes_on_where_the_last_one_stopped_and_forgets_what_is_old(driver: Driver) -> None:
    now, found = driver.server_ms(), Pulse(driver.queue.account)
    assert total(found.read(driver.redis, now)) == {}
    for turn in range(3):
        happen(driver, now + turn, "submitted")
        assert total(found.read(driver.redis, now + turn)) == {"submitted": turn + 1}
    assert total(found.read(driver.redis, now + PARTS * PART_MS)) == {}
    assert found.since <= now - PARTS * PART_MS


def test_more_than_a_look_reads_is_counted_from_a_later_time_on(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_PAGE", 10)
    monkeypatch.setattr(pulse, "_MOST", 20)
    now = driver.server_ms()
    for turn in range(25):
        happen(driver, now - 100 + turn, "submitted")
    found = Pulse(driver.queue.account)
    assert total(found.read(driver.redis, now)) == {"submitted": 20}
    assert found.since == now - 100 + 5
    for turn in range(30):
        happen(driver, now + turn, "delivered")
    assert total(found.read(driver.redis, now + 100)) == {"delivered": 20}  # so much came that it began anew
