"""Workers come, go and are replaced under load: nothing is lost, nothing is sent twice, and no call is over the limit."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support import servers
from tests.support.cluster import until
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House
    from tests.support.programs import Running

pytestmark = pytest.mark.long  # a dozen processes are started

LIMIT, WINDOW = 8, 1  # calls in so many seconds
USED = 7  # of them: a floor of a twentieth keeps one for passwords
LATENCY = 0.3  # seconds of each call


@pytest.fixture
def house(server: servers.Server) -> Iterator[House]:
    settings = {"provider": "lisoloo", "limits": [f"{LIMIT}/{WINDOW}s"], "batch_max": 1, "paced": []}
    config = {"latency_ms": round(1000 * LATENCY), "lisoloo": {"limits": {"send": [{"count": LIMIT, "seconds": WINDOW}]}}}
    with open_house(server, {"lisoloo": settings}, config=config) as found:
        yield found


def started(house: House, count: int) -> list[Running]:
    """So many further workers, once all of them take jobs."""
    workers = [house.start("worker", "--threads", "2") for _ in range(count)]
    for worker in workers:
        worker.until("ready for action")
    return workers


def end(worker: Running) -> None:
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0


def counts(house: House, intents: list[str]) -> None:
    """Every intent has ended, and the provider's own books say that each was sent once and within the limit."""
    house.all_done(intents)
    books = house.sandbox.books()
    assert books["recipients"] == len(intents), "nothing is lost"
    assert books["duplicates"] == 0, "nothing is sent twice"
    assert (books["violations"], books["rate_limited"]) == (0, 0), "no call is over the limit"


def sent(house: House, count: int) -> list[str]:
    return [house.send("lisoloo", f"+2439900{index:05}") for index in range(count)]


def test_four_workers_are_replaced_one_after_another(house: House) -> None:
    workers = started(house, 4)
    intents = sent(house, 60)
    for old in workers:
        house.worker(threads=2)
        end(old)
    counts(house, intents)


def test_workers_are_scaled_up_and_down_and_the_rate_is_the_same(house: House) -> None:
    port = servers.closed_port()
    first = house.worker(threads=4, TUMA_OPS_PORT=str(port))
    intents = sent(house, 160)

    def scaling() -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/scaling/lisoloo").json()
        return answer

    until(lambda: scaling()["provider_bound"], "the limit is what holds")
    alone = len(house.sandbox.until_calls("lisoloo", 3 * LIMIT))
    more = started(house, 3)
    assert scaling()["useful_slots"] <= 8, "more threads ask for no more than the limit keeps busy"
    together = len(house.sandbox.calls("lisoloo"))
    for one in more:
        end(one)
    left = len(house.sandbox.calls("lisoloo"))
    counts(house, intents)
    end(first)
    assert alone < together < left <= len(intents) - 2 * LIMIT, "there was a backlog before, during and after"
    times = [call["arrived_at"] for call in house.sandbox.calls("lisoloo")]
    beyond = [later - earlier for earlier, later in zip(times, times[LIMIT:], strict=False)]
    assert min(beyond) >= WINDOW, "never more than the limit"
    # With one worker, with four and with one again, as many calls follow in the time for which permits are held. Where that worker
    # has gone which was to wake the others, they do so by themselves half a second later.
    rounds = [later - earlier for earlier, later in zip(times, times[USED:], strict=False)]
    told = f"{alone}, {together}, {left} of {[round(one - times[0], 2) for one in times]}"
    assert max(rounds) <= 1.2 * (WINDOW + LATENCY) + 0.5, told
    assert sum(rounds) / len(rounds) <= 1.1 * (WINDOW + LATENCY), told
