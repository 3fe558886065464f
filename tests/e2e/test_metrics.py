"""What the worker counts, as a Prometheus server would read it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import servers
from tests.support.cluster import until
from tests.support.houses import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.houses import House, Settings

ACCOUNTS: dict[str, Settings] = {"lineserve": {"provider": "lineserve"}, "lisoloo": {"provider": "lisoloo"}}
Counted = dict[tuple[str, ...], float]


@pytest.fixture
def house(server: servers.Server) -> Iterator[House]:
    sandbox = {"latency_ms": 100, "lineserve": {"rate_code": "slow_down", "retry_after": True}}
    with open_house(server, ACCOUNTS, config=sandbox) as found:
        yield found


def counted(url: str, name: str, *labels: str) -> Counted:
    """The samples of a counter by these labels."""
    # The process that answers starts after the workers and has nobody to tell that it is there.
    with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
        text = client.get(url).raise_for_status().text
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_calls_and_answers_that_no_table_knows_are_summed_over_all_processes(house: House, tmp_path: Path) -> None:
    port = servers.closed_port()
    worker = house.start("worker", "--processes", "2", "--threads", "1", TUMA_METRICS_PORT=str(port), TMPDIR=str(tmp_path))
    for process in range(2):
        worker.until(f"WorkerProcess({process})", "ready for action")
    house.sandbox.arm("rate_limit", provider="lineserve", retry_after=1)
    house.sandbox.arm("wrong_counts", to=["+243990000005"])
    refused = house.send("lineserve", "+254990000001", "+254990000002")
    house.all_done([refused])
    house.all_done([house.send("lisoloo", f"+24399000{index:04}") for index in range(20)])
    url = f"http://127.0.0.1:{port}/metrics"
    # A receipt may end an intent before the worker that made the call has counted it.
    until(lambda: sum(counted(url, "tuma_calls_total", "account", "answer").values()) >= 22, "the last call is counted")
    assert counted(url, "tuma_calls_total", "account", "operation", "answer") == {
        ("lineserve", "send", "TryLater"): 1,
        ("lineserve", "send", "Accepted"): 1,
        ("lisoloo", "send", "Accepted"): 20,
    }
    assert counted(url, "tuma_call_seconds_count", "account") == {("lineserve",): 2, ("lisoloo",): 20}
    assert counted(url, "tuma_accept_to_call_seconds_count", "account", "priority") == {
        ("lineserve", "transactional"): 2,
        ("lisoloo", "transactional"): 20,
    }
    receipts = "tuma_call_to_receipt_seconds_count"
    until(lambda: sum(counted(url, receipts, "account", "priority").values()) >= 22, "the last receipt is counted")
    assert counted(url, receipts, "account", "priority") == {("lineserve", "transactional"): 2, ("lisoloo", "transactional"): 20}
    assert counted(url, "tuma_call_recipients_sum", "account") == {("lineserve",): 4, ("lisoloo",): 20}
    assert counted(url, "tuma_answers_unrecognised_total", "account", "status", "code") == {
        ("lineserve", "429", "slow_down"): 1,
        ("lisoloo", "201", "recipient-count"): 1,
    }
    assert counted(url, "tuma_retries_total", "account") == {("lineserve",): 2}
    assert {queue for (queue,) in counted(url, "dramatiq_messages_total", "queue_name")} == {"lisoloo.send", "lineserve.send"}
    assert len(list(tmp_path.glob("tuma-metrics-*/counter_*.db"))) == 2, "one process has done all the work"


def test_a_worker_whose_port_is_taken_says_so_in_one_line_and_does_not_start(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = house.tuma("worker", TUMA_METRICS_PORT=str(port))
    assert ran.status == 2
    assert ran.err == (
        f"error: TUMA_METRICS_PORT: cannot listen on 127.0.0.1:{port} (Address already in use); set another, or 0 for none\n"
    )
