"""What a worker answers to probes and to whoever scales, as a kubelet and an autoscaler would ask it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support import servers
from tests.support.cluster import until
from tests.support.houses import open_house

from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import House


PROBED_FOR = 6.0  # seconds that the chart's readiness probe waits for an answer


@pytest.fixture
def house(server: servers.Server) -> Iterator[House]:
    config = {"latency_ms": 1500}
    with open_house(server, {"lisoloo": {"provider": "lisoloo", "limits": ["2/10s"], "batch_max": 1}}, config=config) as found:
        yield found


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """The status and what was said; status 0 where nobody listens."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=PROBED_FOR)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


def test_a_worker_tells_its_probes_how_it_is_and_scalers_what_would_help(house: House) -> None:
    port = servers.closed_port()
    worker = house.worker(threads=2, TUMA_OPS_PORT=str(port))
    until(lambda: asked(port, "readyz")[0] == 200, "the worker is ready")
    assert asked(port, "startupz")[0] == asked(port, "livez")[0] == 200
    assert asked(port, "scaling/lisoloo") == (200, {"useful_slots": 0, "provider_bound": False, "backlog_seconds": 0.0})
    assert asked(port, "scaling/lisolo")[0] == asked(port, "metrics")[0] == 404
    for index in range(40):
        house.send("lisoloo", f"+2439900001{index:02}")
    until(lambda: asked(port, "scaling/lisoloo")[1]["provider_bound"], "the limit is what holds the backlog")
    scaling = asked(port, "scaling/lisoloo")[1]
    assert 1 <= scaling["useful_slots"] <= 2
    assert scaling["backlog_seconds"] > 60
    (shown,) = [line for line in house.tuma("queue", "--json").json if line["queue"] == "lisoloo.send"]
    assert shown["provider_bound"]
    assert 1 <= shown["useful_slots"] <= 2
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: asked(port, "readyz")[0] != 200, "it takes no more work")
    assert asked(port, "livez")[0] in {0, 200}, "a worker that ends its calls is not ended for it"
    worker.until("Worker has been shut down")
    assert not house.redis.exists(AccountKeys("lisoloo").applier), "another one may apply receipts at once"


def test_a_worker_without_redis_is_not_ready_but_alive(house: House, server: servers.Server) -> None:
    port = servers.closed_port()
    house.worker(TUMA_OPS_PORT=str(port))
    until(lambda: asked(port, "readyz")[0] == 200, "the worker is ready")
    server.process.send_signal(signal.SIGSTOP)
    try:
        assert asked(port, "readyz") == (503, {"detail": "no usable Redis"})
        assert asked(port, "livez")[0] == 200
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_probes_of_several_processes_are_refused(house: House) -> None:
    ran = house.tuma("worker", "--processes", "2", TUMA_OPS_PORT="9000")
    assert ran.status != 0
    assert "TUMA_OPS_PORT: probes are about one process" in ran.err
