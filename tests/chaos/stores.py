"""Servers that come to harm while all of Tuma works on them.

Each is a context manager's value with a `url`, and two verbs: `hurt` begins the harm, `heal` ends what is over. What they have
acknowledged they still have afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.support import cluster, servers

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

# Written down before it is answered for: a server that is killed, as by a power cut, has lost nothing that it acknowledged.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
# Under `always` a server that cannot write ends itself; so it refuses writes until it can again.
EVERY_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")
FULL_FOR = (2.0, 4.0)  # seconds
DISK = 512  # megabytes: the AOF of five minutes fills 64, and then there is no room again when the ballast has gone
JUMPS = (-90, -5, 5, 90)  # seconds by which the server's clock is wrong
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class MissingError(RuntimeError):
    """What a harm needs is not here; the message says what."""


class Store(Protocol):
    """A server, or several that are one store."""

    @property
    def url(self) -> str:
        """Where Tuma connects to."""

    def hurt(self, dice: random.Random) -> None:
        """Do it harm."""

    def heal(self, *, at_once: bool = False) -> None:
        """End the harm if it has lasted long enough, or at once."""


@dataclass
class Mortal:
    """Dies as by a power cut, and comes back at the same address with what it had written down."""

    directory: Path
    server: servers.Server

    @property
    def url(self) -> str:
        return self.server.url

    def hurt(self, _dice: random.Random) -> None:
        self.server.stop()
        self.server = servers.start(None, *DURABLE, port=self.server.port, directory=self.directory)

    def heal(self, *, at_once: bool = False) -> None:
        """It is well as soon as it is back."""


@contextmanager
def mortal() -> Iterator[Mortal]:
    """A server that outlives its own death."""
    with tempfile.TemporaryDirectory(prefix="tuma-chaos-", ignore_cleanup_errors=True) as home:
        store = Mortal(Path(home), servers.start(None, *DURABLE, directory=Path(home)))
        try:
            yield store
        finally:
            store.server.stop()


@dataclass
class Cramped:
    """Lives on a small disk that somebody else fills now and then. Until there is room again it refuses to write."""

    directory: Path
    server: servers.Server
    _until: float = 0.0

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def _ballast(self) -> Path:
        return self.directory / "ballast"

    def hurt(self, dice: random.Random) -> None:
        self._until = time.monotonic() + dice.uniform(*FULL_FOR)
        with suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            while True:  # until the disk says that it is full
                ballast.write(bytes(65_536))
        with suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1))

    def heal(self, *, at_once: bool = False) -> None:
        if self._until and (at_once or time.monotonic() > self._until):
            self._ballast.unlink(missing_ok=True)
            self._until = 0.0


@contextmanager
def cramped() -> Iterator[Cramped]:
    """A server on a disk of its own, in memory. Raises `MissingError` where none may be mounted."""
    home = Path(tempfile.mkdtemp(prefix="tuma-chaos-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(home)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    try:
        if mounted.returncode:
            message = f"no small disk may be mounted here: {mounted.stderr.strip()}"
            raise MissingError(message)
        store = Cramped(home, servers.start(None, *EVERY_SECOND, directory=home))
        try:
            yield store
        finally:
            store.server.stop()
            subprocess.run(["umount", str(home)], check=True)  # noqa: S607 - whichever is on PATH
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Guarded:
    """A master under the eyes of Sentinels. It dies once, when its replica has all that was acknowledged."""

    watched: cluster.Watched
    _dead: bool = False

    @property
    def url(self) -> str:
        return self.watched.url

    def hurt(self, _dice: random.Random) -> None:
        if not self._dead:
            self._dead = True
            self.watched.kill_master()

    def heal(self, *, at_once: bool = False) -> None:
        """The Sentinels do."""


@contextmanager
def guarded() -> Iterator[Guarded]:
    """A master, a replica and three Sentinels."""
    with cluster.watched() as found:
        yield Guarded(found)


@dataclass
class Confused:
    """A server whose clock is set wrong, and right again. Nothing else of the machine notices."""

    server: servers.Server
    offset: Path
    _wrong: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    def hurt(self, dice: random.Random) -> None:
        self._wrong.append(dice.choice(JUMPS))
        self.offset.write_text(f"{self._wrong[-1]:+}s\n", encoding="utf-8")

    def heal(self, *, at_once: bool = False) -> None:
        if at_once:
            self.offset.write_text("+0s\n", encoding="utf-8")


@contextmanager
def confused() -> Iterator[Confused]:
    """A server that asks libfaketime what the time is. Raises `MissingError` where that is not installed."""
    if not _FAKETIME.exists():
        message = "libfaketime is not installed (Debian: apt-get install faketime)"
        raise MissingError(message)
    with tempfile.TemporaryDirectory(prefix="tuma-chaos-", ignore_cleanup_errors=True) as home:
        offset = Path(home) / "offset"
        offset.write_text("+0s\n", encoding="utf-8")
        wrong = {
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        server = servers.start(None, *DURABLE, directory=Path(home), environment={**os.environ, **wrong})
        try:
            yield Confused(server, offset)
        finally:
            server.stop()
