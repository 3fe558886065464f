"""What may come over all of Tuma: each scenario is a server, what is done to it, and what happens around it meanwhile."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import stores
from tests.chaos.stores import MissingError
from tests.support.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.chaos.stores import Store

BEFORE = "HEAD~20"  # the release that is replaced, where none is named


@contextmanager
def ours_alone() -> Iterator[None]:
    """No other release takes part."""
    yield


def commit(revision: str) -> str:
    """The commit that a revision is today, by its short name."""
    wanted = ["git", "rev-parse", "--short", revision]
    return subprocess.run(wanted, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def release(revision: str) -> Iterator[Path]:
    """The code of another commit, in a folder. Raises `MissingError` where git does not know it."""
    wanted = ["git", "archive", revision, "producer/src", "worker/src"]
    archive = subprocess.run(wanted, cwd=ROOT, check=False, capture_output=True)
    if archive.returncode:
        message = f"git has no {revision} here: {archive.stderr.decode().strip()}"
        raise MissingError(message)
    with tempfile.TemporaryDirectory(prefix="tuma-former-", ignore_cleanup_errors=True) as home:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(home, filter="data")
        yield Path(home)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the storm's hands do (`weather.Storm`), each with the mean of its pauses in seconds, and what they do once.

    `minutes` is how long it lasts where nobody says. `excused` are promises that this harm lets nobody keep; they are counted
    all the same.
    """

    name: str
    about: str
    store: Callable[[], AbstractContextManager[Store]]
    duties: Mapping[str, float]
    in_the_middle: str = ""
    former: Callable[[], AbstractContextManager[Path | None]] = ours_alone
    minutes: float = 5.0
    excused: frozenset[str] = frozenset()


_WORK = {"send": 0.1, "operate": 0.5, "supervise": 1.0}


def scenarios(before: str = BEFORE) -> dict[str, Scenario]:
    """All of them; `before` is the commit whose workers an upgrade begins with."""
    known = (
        Scenario(
            "weather",
            "providers fail in every way that the sandbox knows, workers are killed, Redis is killed once",
            stores.mortal,
            {**_WORK, "strike": 0.7, "crowd": 5.0, "trouble": 12.0, "kill_a_worker": 4.0},
            "hurt_redis",
            minutes=20.0,  # until every kind of weather has come over every kind of call
        ),
        Scenario(
            "restarts",
            "Redis is killed again and again, and starts with what it had written down",
            stores.mortal,
            {**_WORK, "strike": 3.0, "kill_a_worker": 15.0, "hurt_redis": 10.0},
        ),
        Scenario(
            "upgrade",
            "workers of an earlier commit are replaced by ours and ours by those, one after another, while both work side by side",
            stores.mortal,
            {**_WORK, "strike": 1.5, "kill_a_worker": 15.0, "roll": 4.0},
            former=partial(release, before),
        ),
        Scenario(
            "sentinel",
            "the master dies, and Sentinels make a master of its replica, which has all that was acknowledged",
            stores.guarded,
            {**_WORK, "strike": 3.0, "kill_a_worker": 15.0},
            "hurt_redis",
        ),
        Scenario(
            "disk-full",
            "the disk of the AOF is full for seconds, again and again, and Redis refuses to write",
            stores.cramped,
            {**_WORK, "strike": 3.0, "kill_a_worker": 15.0, "hurt_redis": 12.0},
        ),
        Scenario(
            "clock",
            "the server's clock jumps by seconds and by more than a minute, to and fro",
            stores.confused,
            {**_WORK, "strike": 3.0, "kill_a_worker": 15.0, "hurt_redis": 10.0},
            excused=frozenset({"limit_violations"}),  # a window that the clock says is over is over
        ),
    )
    return {one.name: one for one in known}
