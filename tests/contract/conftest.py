"""What contract tests run over: the providers, the sandbox as its own process, and a little receiver of webhooks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tuma_worker.providers import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LISOLOO = "/lisoloo/api/v1/lisoloo/sms-api"
LINESERVE = "/lineserve/v1"
LISOLOO_KEY = "sk_test_Sandbox0000000000000000000000000"
LINESERVE_KEY = "lineserve-sandbox-key"
PATIENCE = 20.0
_FAST = {
    "webhook_factor": 0.001,
    "steps": {"queued": 0.0, "processing": 0.01, "sent": 0.02, "final": 0.02},
}


class Sandbox:
    """The sandbox of one test: its address, a client for each provider, and what the test may ask of it."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)

    def lisoloo(self, method: str, path: str, body: object = None, *, key: str = LISOLOO_KEY) -> httpx.Response:
        return self.http.request(method, LISOLOO + path, json=body, headers={"app-key": key} if key else {})

    def lineserve(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str = LINESERVE_KEY,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        given = {"Authorization": f"Bearer {key}"} if key else {}
        return self.http.request(method, LINESERVE + path, json=body, headers={**given, **(headers or {})})

    def config(self, **patch: object) -> dict[str, Any]:
        answer = self.http.post("/_sandbox/config", json=patch)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def arm(self, kind: str, **more: object) -> None:
        answer = self.http.post("/_sandbox/faults", json={"kind": kind, **more})
        assert answer.status_code == 201, answer.text

    def faults(self) -> list[dict[str, Any]]:
        return list(self.http.get("/_sandbox/faults").json())

    def ledger(self) -> dict[str, Any]:
        return dict(self.http.get("/_sandbox/ledger?detail=1").json())

    def until(self, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first ledger that is good."""
        deadline = time.monotonic() + PATIENCE
        while not good(ledger := self.ledger()):
            assert time.monotonic() < deadline, ledger
        return ledger

    def reset(self) -> None:
        for place in ("ledger", "config", "faults"):
            assert self.http.delete(f"/_sandbox/{place}").status_code == 204


def _start(*arguments: str) -> Sandbox:
    """A sandbox process on a free port, once it has said that it listens."""
    command = [sys.executable, "-m", "tuma_worker.sandbox", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("sandbox listening on http://127.0.0.1:"), said
    return Sandbox(said.split()[-1], process)


def _stop(sandbox: Sandbox) -> None:
    sandbox.http.close()
    sandbox.process.kill()
    sandbox.process.communicate()


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> str:
    """The name of each provider of the registry."""
    return str(request.param)


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    started = _start("--config", json.dumps(_FAST))
    yield started
    _stop(started)


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start further sandboxes with the given arguments; they end with the test."""
    started: list[Sandbox] = []

    def start(*arguments: str) -> Sandbox:
        started.append(_start(*arguments))
        return started[-1]

    yield start
    for one in started:
        _stop(one)


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The real sandbox, as new: nothing sent, the first settings (fast steps), no faults."""
    sandbox_process.reset()
    yield sandbox_process
    sandbox_process.reset()


@dataclass(frozen=True)
class Received:
    """One webhook as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """A real HTTP receiver. `answers` are the statuses of the next webhooks (then 200; 0: hang up without an answer)."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.received: list[Received] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def wait(self, good: Callable[[list[Received]], bool]) -> list[Received]:
        """What has come once that is good."""
        with self._changed:
            assert self._changed.wait_for(lambda: good(self.received), PATIENCE), [r.event for r in self.received]
            return list(self.received)

    def wait_for(self, count: int) -> list[Received]:
        return self.wait(lambda received: len(received) >= count)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, received: Received) -> int:
        with self._changed:
            self.received.append(received)
            self._changed.notify_all()
            return self.answers.pop(0) if self.answers else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver._take(Received(self.path, headers, body, time.time()))
                if status:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                else:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Keep numbers out of the test's output."""

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server that takes webhooks."""
    made = Receiver()
    yield made
    made.close()
