"""The duties of a worker go on, whatever goes wrong at one of its accounts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from structlog.testing import capture_logs
from tests.contract.canned import InventedAccount
from tests.redis.driver import Driver, number, queue_of
from tests.redis.test_unowned import lose_the_job
from tests.support import servers

from tuma_worker.dispatch.carrying import Mover
from tuma_worker.dispatch.sweeping import Sweeper
from tuma_worker.logs import Event
from tuma_worker.providers import lisoloo
from tuma_worker.queue.leases import Held, Leases
from tuma_worker.queue.scripts import Claim
from tuma_worker.receipts.applying import Applier, Box
from tuma_worker.rounds import one_by_one
from tuma_worker.store.carried import Carried
from tuma_worker.store.inbox import Inbox
from tuma_worker.store.unowned import Unowned

if TYPE_CHECKING:
    from collections.abc import Iterator


class Rounds(threading.Event):
    """A signal to stop that comes after so many rounds."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._left -= 1
        return self.is_set()

    def is_set(self) -> bool:
        return self._left < 0


@pytest.fixture
def broken(redis: Redis) -> Driver:
    """An account with a record that nobody can read."""
    driver = Driver(redis, queue_of(account="broken"))
    intent = driver.enqueue(number(0))
    redis.hset(driver.account.intent(intent), "next", "nonsense")
    return driver


def test_a_record_that_cannot_be_read_keeps_no_other_account_from_being_swept(broken: Driver) -> None:
    driver = Driver(broken.redis, queue_of(account="sound"))
    intent = driver.enqueue(number(0))
    lose_the_job(driver, f"{intent}:{number(0)}")
    sweeper = Sweeper([Unowned(one.redis, one.queue) for one in (broken, driver)], "w1", every=60)
    with capture_logs() as told:
        sweeper.keep_sweeping(Rounds(2))
    assert isinstance(driver.claim(), Claim)
    assert [line["account"] for line in told if line["event"] == Event.SWEEP_FAILED] == ["broken", "broken"]
    assert [line["account"] for line in told if line["event"] == Event.DELIVERY_STRANDED] == ["sound"]
    with pytest.raises(ValueError, match="nonsense"):
        sweeper.run_once()  # whoever asks by hand sees it


def test_the_mover_goes_on_too(redis: Redis) -> None:
    accounts = [Carried(redis, queue_of(account=name)) for name in ("broken", "sound")]
    redis.set(accounts[0].queue.keys.state, "no hash")
    mover = Mover(accounts, "w1", every=1.0, clock=lambda: 0.0)
    with capture_logs() as told:
        mover.keep_moving(Rounds(2))
        assert [one.account for one in mover.run_once()] == ["sound"]
    assert [line["account"] for line in told] == ["broken"] * 3


def test_receipts_of_other_accounts_are_applied_where_one_has_nothing_that_can_be_read(redis: Redis) -> None:
    boxes = [
        Box(Inbox(redis, name, 60.0), lisoloo.PROVIDER.receipts(InventedAccount("http://provider.test")))
        for name in ("broken", "sound")
    ]
    broken, sound = (box.inbox.keys for box in boxes)
    for key in (broken.parked, broken.inbox):
        redis.set(key, "neither a set nor a stream", px=60_000)
    redis.xadd(sound.inbox, {"b": "", "d": "{}"})
    applier = Applier(redis, redis, boxes, "w1", clock=lambda: 0.0)
    with capture_logs() as told:
        applier.keep_applying(Rounds(3))
    assert {line["account"] for line in told} == {"broken"}
    assert redis.xlen(sound.inbox) == 0


def test_where_redis_is_away_the_round_ends_with_the_first_account_that_says_so() -> None:
    away = Redis.from_url(f"redis://127.0.0.1:{servers.closed_port()}")
    accounts = [Unowned(away, queue_of(account=name)) for name in ("a", "b")]
    with capture_logs() as told:
        assert not list(one_by_one(accounts, lambda one: one.queue.account, lambda one: one.look(), Event.SWEEP_FAILED))
    assert [(line["account"], line["error"]) for line in told] == [("a", "ConnectionError")]


@pytest.fixture
def leases(redis: Redis) -> Iterator[Leases]:
    """A batch in hand, whose lease somebody renews."""
    driver = Driver(redis, queue_of(lease=0.5))
    driver.enqueue(number(0))
    claim = driver.claim()
    assert isinstance(claim, Claim)
    leases = Leases(redis, clock=lambda: 0.0, shortest=0.03)
    leases.add(Held(driver.queue, claim, 1.0, leases.clock))
    yield leases
    leases.stop()


def test_leases_are_renewed_again_after_whatever_kept_them_from_it(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    once, renewed, renew = threading.Event(), threading.Event(), leases._renew

    def fail_once(held_here: list[Held]) -> None:
        if not once.is_set():
            once.set()
            raise ValueError
        renew(held_here)
        renewed.set()

    monkeypatch.setattr(Leases, "_renew", lambda _self, held_here: fail_once(held_here))
    assert renewed.wait(5)
