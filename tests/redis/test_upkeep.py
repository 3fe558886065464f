"""The event stream stays within its bounds, and no group of consumers loses an event that it was not warned of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.redis.driver import Driver, queue_of

from tuma_producer.contract.ids import digest
from tuma_worker.events.upkeep import Upkeep
from tuma_worker.store import outcomes
from tuma_worker.store.outcomes import KEPT_FOR, Stream

if TYPE_CHECKING:
    from redis import Redis

MOST = 5000  # events, where the bounds are those of a test


@dataclass
class Brook:
    """An account's events, and who looks after them."""

    driver: Driver

    def __post_init__(self) -> None:
        self.stream = Stream(self.driver.redis, self.driver.queue.account)
        self.upkeep = Upkeep([self.stream], "test")
        self.key = self.driver.account.events

    def happen(self, count: int, *, ago: int = 0) -> None:
        """So many events come, so many milliseconds ago."""
        pipeline = self.driver.redis.pipeline()
        at = self.driver.server_ms() - ago
        for turn in range(count):
            pipeline.xadd(self.key, {"e": "resumed"}, id=f"{at}-{turn + 1}" if ago else "*")
        pipeline.execute()

    def join(self, group: str) -> None:
        self.driver.redis.xgroup_create(self.key, group, id="0", mkstream=True)

    def read(self, group: str, count: int, *, acknowledge: bool = True) -> None:
        reply: Any = self.driver.redis.xreadgroup(group, "one", {self.key: ">"}, count=count)
        for _, found in reply.items() if isinstance(reply, dict) else reply:
            entry_ids = [entry_id for entry_id, _ in found]
            if acknowledge:
                self.driver.redis.xack(self.key, group, *entry_ids)

    def look(self) -> list[str]:
        """Look after it once; the groups that were warned of."""
        return self.upkeep.run_once()[self.driver.queue.account]

    @property
    def length(self) -> int:
        return int(self.driver.redis.xlen(self.key))

    def warnings(self) -> list[str]:
        return [event["group"] for event in self.driver.events() if event["e"] == "consumers-behind"]


@pytest.fixture
def brook(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Brook:
    monkeypatch.setattr(outcomes, "EVENTS_KEPT", MOST)
    monkeypatch.setattr(outcomes, "KEPT_READ", MOST * 3 // 5)
    return Brook(Driver(redis, queue_of()))


def test_what_all_groups_have_read_is_trimmed_above_what_is_kept(brook: Brook) -> None:
    brook.join("one")
    brook.join("two")
    brook.happen(MOST)
    for group in ("one", "two"):
        brook.read(group, MOST)
    assert brook.look() == []
    assert MOST * 3 // 5 <= brook.length < MOST * 3 // 5 + 200


def test_without_groups_it_is_trimmed_as_well(brook: Brook) -> None:
    brook.happen(MOST)
    assert brook.look() == []
    assert MOST * 3 // 5 <= brook.length < MOST * 3 // 5 + 200


@pytest.mark.parametrize("acknowledge", [True, False], ids=["never read", "never acknowledged"])
def test_what_a_group_needs_is_kept_and_it_is_warned_of_once(brook: Brook, acknowledge: bool) -> None:  # noqa: FBT001 - a parameter of the test
    brook.join("slow")
    brook.join("quick")
    brook.happen(MOST)
    brook.read("quick", MOST)
    brook.read("slow", 200)
    if not acknowledge:
        brook.read("slow", MOST, acknowledge=False)
    assert brook.look() == ["slow"]
    assert MOST - 400 < brook.length <= MOST - 99  # all that it has done with is gone, but for the last few
    assert brook.look() == []
    assert brook.warnings() == ["slow"]


def test_who_reads_on_is_not_warned_of(brook: Brook) -> None:
    brook.join("steady")
    for _ in range(4):
        brook.happen(MOST // 2)
        brook.read("steady", MOST)
        assert brook.look() == []
    assert brook.length < MOST


def test_an_account_may_keep_events_for_less_long(brook: Brook) -> None:
    stream = Stream(brook.driver.redis, brook.driver.queue.account, kept_for=3_600_000)
    brook.happen(1000, ago=7_200_000)
    stream.expire()
    assert brook.length < 200
    brook.happen(10, ago=3_000_000)
    brook.join("asleep")
    assert [group.name for group in stream.make_room()] == ["asleep"]


def test_what_is_too_old_goes_and_who_has_not_read_it_is_warned_of_before(brook: Brook) -> None:
    brook.happen(1000, ago=KEPT_FOR - 3_600_000)
    brook.join("asleep")
    assert brook.look() == ["asleep"]
    assert brook.length == 1001  # the warning is an event
    brook.driver.redis.delete(brook.key, brook.driver.account.warned(digest("asleep")))
    brook.happen(1000, ago=KEPT_FOR + 3_600_000)
    brook.join("asleep")
    assert brook.look() == ["asleep"]
    assert brook.length < 200


def test_an_account_without_events_needs_no_care(brook: Brook) -> None:
    assert brook.look() == []
    assert brook.stream.groups() == {}
    assert not brook.stream.forget("nobody", by="test")


def test_one_worker_looks_after_an_account(brook: Brook) -> None:
    brook.happen(MOST)
    assert brook.stream.lead("another", 60.0)
    assert brook.look() == []
    assert brook.length == MOST
