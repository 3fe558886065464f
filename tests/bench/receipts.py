"""How fast receipts are taken in, and told on: by one gateway process, beside a bare receiver.

Every round posts the receipts of a campaign to the gateway and as many to a bare receiver, one after another on the same server, so
that a busy machine is busy for both. Each has one core, where there are two; the server and what posts have the other. The figures
are medians over the rounds, and so is the ratio. Then what the gateway wrote down is applied by one `tuma worker` and read by a
consumer of the events.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.support import house, output, processes
from tests.bench.support.figures import milliseconds, percentile, ratio, rounded
from tests.bench.support.posting import Posted, post_all, request
from tests.redis.driver import Driver, queue_of
from tests.support import servers

from tuma_producer import Producer
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tests.bench.support.house import Store
    from tests.bench.support.processes import Program, Programs

USER, PASSWORD = "webhooks", "invented-webhook-password"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CONNECTIONS = 32
CALL = 1000  # recipients
RECIPIENTS = 10_000
ROUNDS = 9
EVENTS = ("sms.sent", "sms.delivered")
SETTINGS = {
    "provider": "lisoloo",
    "base_url": "http://127.0.0.1:9",  # nobody is called
    "api_key": "sk_test_bench",
    "environment": "sandbox",
    "sender_id": house.SENDER,
    "webhook_username": USER,
    "webhook_password": PASSWORD,
}


def campaign(driver: Driver, recipients: int) -> list[bytes]:
    """Send to so many, and return the requests by which a provider tells of each of them that it was sent and delivered."""
    requests = []
    for first in range(0, recipients, CALL):
        to = [house.number(place) for place in range(first, min(first + CALL, recipients))]
        driver.enqueue(to=to)
        batch = driver.send()
        path = f"/receipts/{house.ACCOUNT}/{batch.batch_id}.{_token(driver, batch.batch_id)}"
        requests += [request(path, _body(event, number), {"authorization": AUTHORIZATION}) for event in EVENTS for number in to]
    return requests


def _token(driver: Driver, batch_id: str) -> str:
    token: Any = driver.redis.hget(driver.account.batch(batch_id), "token")
    return str(token.decode())


def _body(event: str, number: str) -> bytes:
    at = "2026-01-05T10:00:00Z"
    told = {"recipient_phone": number, "carrier": "vodacom_cd", "sent_at": at, "segments": 1}
    event_id = f"{number[1:]}-4000-{event}-8000-000000000000"
    body = {"event_id": event_id, "event_type": event, "timestamp": at, "message_id": "65f1c0ffee0000000000a001", "data": told}
    return json.dumps(body).encode()


def _round(store: Store, ports: dict[str, int], pids: dict[str, int], requests: list[bytes]) -> dict[str, dict[str, float]]:
    """Post everything to each."""
    found = {}
    for name, port in ports.items():
        before = _cpu(pids[name])
        posted = post_all(port, requests, CONNECTIONS)
        cpu = _cpu(pids[name]) - before
        _check(name, posted, len(requests))
        found[name] = {
            "per_s": len(requests) / posted.seconds,
            "per_core_s": len(requests) / cpu if cpu else 0.0,
            "p50": percentile(posted.answers, 0.5) or 0.0,
            "p99": percentile(posted.answers, 0.99) or 0.0,
        }
        written: Any = store.redis.xlen(_stream(name))
        if written != len(requests):
            message = f"{name}: {written} of {len(requests)} receipts are written down"
            raise RuntimeError(message)
    return found


def _cpu(pid: int) -> float:
    """The seconds of CPU that a process has used; 0 where the system does not tell in Linux's way."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _check(name: str, posted: Posted, count: int) -> None:
    if posted.statuses != {200: count}:
        message = f"{name}: not every receipt was taken: {dict(posted.statuses)}"
        raise RuntimeError(message)


def _stream(name: str) -> str:
    return AccountKeys(house.ACCOUNT).inbox if name == "gateway" else "bare"


def _start(programs: Programs, store: Store) -> tuple[dict[str, int], dict[str, int]]:
    """The gateway and the bare receiver: where they listen and which processes they are."""
    ports = {"gateway": servers.closed_port(), "bare": servers.closed_port()}
    gateway = programs.start(
        "gateway", [sys.executable, "-m", "tuma_worker.cli", "gateway", "--port", str(ports["gateway"])], **_environment(store)
    )
    gateway.until("gateway.started")
    command = [sys.executable, "-m", "tests.bench.support.bare_receiver", store.url, str(ports["bare"]), AUTHORIZATION]
    bare = programs.start("bare", command)
    processes.wait_until(lambda: _listens(ports["bare"]), "the bare receiver listens")
    return ports, {"gateway": gateway.pid, "bare": bare.pid}


def _environment(store: Store) -> dict[str, str]:
    return {
        "TUMA_REDIS_URL": store.url,
        "TUMA_ACCOUNTS": json.dumps({house.ACCOUNT: SETTINGS}),
        "TUMA_LOG_FORMAT": "json",
        "TUMA_LOG_LEVEL": "info",
    }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _share_out(pids: dict[str, int], server: int) -> None:
    """One core for what is measured, the other for the server and for us; where there is one, all share it."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        for pid in pids.values():
            os.sched_setaffinity(pid, {cores[0]})
        for pid in (0, server):
            os.sched_setaffinity(pid, set(cores[1:]))


def _told_on(programs: Programs, store: Store, expected: int) -> float:
    """Apply what the gateway wrote down, and read of it; events per second from the worker's first to the consumer's last."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with closing(Producer.from_url(store.url, source="billing")) as producer:
        events = producer.outcomes("bench", wait=processes.PATIENCE)
        worker = _worker(programs, store)
        seen, began = 0, 0.0
        for event in _of_receipts(events):
            seen += event
            began = began or time.perf_counter()
            if seen == expected:
                break
        seconds = time.perf_counter() - began
        worker.end()
    if seen != expected:
        message = f"{seen} of {expected} events came"
        raise RuntimeError(message)
    return expected / seconds


def _of_receipts(events: Iterator[Any]) -> Iterator[int]:
    return (1 for event in events if event.type in {"tuma.recipient.sent", "tuma.recipient.delivered"})


def _worker(programs: Programs, store: Store) -> Program:
    command = [sys.executable, "-m", "tuma_worker.cli", "worker", "--processes", "1", "--threads", "1"]
    return programs.start("worker", command, **_environment(store))


def measure(recipients: int, rounds: int) -> dict[str, Any]:
    """All rounds on one server; the receipts of the last one are told on."""
    with ExitStack() as stack:
        programs = stack.enter_context(processes.programs())
        store = stack.enter_context(house.store())
        driver = Driver(store.redis, queue_of(account=house.ACCOUNT, batch_max=CALL))
        requests = campaign(driver, recipients)
        ports, pids = _start(programs, store)
        info: Any = store.redis.info("server")
        _share_out(pids, int(info["process_id"]))
        for name, port in ports.items():  # warm, as a process that has run for a while is
            post_all(port, requests[:2000], CONNECTIONS)
            store.redis.delete(_stream(name))
        found = []
        for _ in range(rounds):
            store.redis.delete(_stream("gateway"), _stream("bare"))
            found.append(_round(store, ports, pids, requests))
        told = _told_on(programs, store, len(requests))
        raw = store.weight(AccountKeys(house.ACCOUNT).raw_receipts("*"))
    output.table(
        [{"receiver": name} | {figure: rounded(_middle(found, name, figure), 4) for figure in found[0][name]} for name in ports]
    )
    return _summary(found, len(requests)) | {"events_per_s": round(told), "bytes_per_raw_receipt": round(raw / len(requests))}


def _middle(rounds: list[dict[str, dict[str, float]]], name: str, figure: str) -> float:
    return float(median(one[name][figure] for one in rounds))


def _summary(rounds: list[dict[str, dict[str, float]]], receipts: int) -> dict[str, Any]:
    return {
        "receipts": receipts,
        "receipts_per_s": round(_middle(rounds, "gateway", "per_s")),
        "ceiling_per_s": round(_middle(rounds, "bare", "per_s")),
        "of_ceiling": rounded(median(ratio(one["gateway"]["per_s"], one["bare"]["per_s"]) or 0.0 for one in rounds), 3),
        "receipts_per_core_s": round(_middle(rounds, "gateway", "per_core_s")),
        "ceiling_per_core_s": round(_middle(rounds, "bare", "per_core_s")),
        "ack_p50_ms": milliseconds(_middle(rounds, "gateway", "p50")),
        "ack_p99_ms": milliseconds(_middle(rounds, "gateway", "p99")),
        "ceiling_ack_p99_ms": milliseconds(_middle(rounds, "bare", "p99")),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures. There are no peers: what is compared with is the ceiling."""
    machine = output.machine()
    return {"bench": "receipts", **measure(options.size, options.rounds), "machine": machine}


def main() -> None:
    """The command."""
    parser = output.options(__doc__.splitlines()[0], seconds=0)
    parser.add_argument("--size", type=int, default=RECIPIENTS, help="recipients of the campaign, two receipts each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds, of which the median counts (%(default)s)")
    output.measure(parser, run)


if __name__ == "__main__":
    main()
