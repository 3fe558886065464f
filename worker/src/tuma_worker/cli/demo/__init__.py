"""`tuma demo`: the whole road on this machine, with real parts, live, and a summary that has to add up."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from tuma_producer import Producer
from tuma_producer.contract.connection import connect
from tuma_worker.bootstrap.parts import build_tokens
from tuma_worker.cli.demo.scene import scene, shown
from tuma_worker.cli.demo.stage import LIMITS, Stage, stage
from tuma_worker.cli.demo.story import Story
from tuma_worker.cli.demo.summary import Summary, add_up
from tuma_worker.cli.output import NOT_AS_WISHED, say, screen
from tuma_worker.core.tokens import Scope
from tuma_worker.store.accounts import Standing, standing

if TYPE_CHECKING:
    from types import FrameType

    from redis import Redis
    from rich.console import Console

END_WITHIN = 45.0  # seconds from the first send until everything must have ended
KILL_AFTER = 1.0  # seconds from then until a worker is killed, where that is asked for


def demo(
    *,
    kill_worker: Annotated[bool, typer.Option("--kill-worker", help="SIGKILL one of the two workers in the middle.")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running at the end, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the summary as one JSON object on the last line.")] = False,
) -> None:
    """Show the whole road on this machine, in under a minute.

    Starts an embedded server, the providers' sandbox, a gateway and two workers; sends a campaign, a crowd of equal texts, some
    personal ones and one-time passwords all the while; and holds what became of them against the sandbox's own books. Needs nothing
    and touches nothing else. The dashboard may be looked at meanwhile. The exit status is 1 if anything does not add up.

    Example: tuma demo --kill-worker

    Example: tuma demo --stay
    """
    console = screen(stderr=as_json)
    console.print("Starting a server, the sandbox, a gateway and two workers ...")
    signal.signal(signal.SIGTERM, _break_off)
    with stage() as found, connect(found.redis_url) as redis:
        console.print(f"Dashboard: {found.gateway_url}/ with the token {_token(redis)}")
        summary = _Play(found, redis).perform(console, kill_worker=kill_worker)
        _tell(console, summary, as_json=as_json)
        if stay:
            _wait(console)
    if summary.problems:
        raise typer.Exit(NOT_AS_WISHED)


def _token(redis: Redis) -> str | None:
    """A token with which all may be seen and done."""
    return build_tokens(redis).add("demo", "demo", [Scope.READ, Scope.CONTROL, Scope.OPERATE], by="demo")


def _tell(console: Console, summary: Summary, *, as_json: bool) -> None:
    console.print(shown(summary))
    for problem in summary.problems:
        console.print(f"[red]does not add up:[/red] {problem}")
    if not summary.problems:
        console.print("[green]Everything adds up.[/green]")
    if as_json:
        say(json.dumps(summary.as_json()))


def _wait(console: Console) -> None:
    with suppress(KeyboardInterrupt):
        console.print("Everything goes on until Ctrl-C.")
        threading.Event().wait()


def _break_off(_signum: int, _frame: FrameType | None) -> None:
    """End by unwinding, as Ctrl-C does: the stage takes its processes down with it."""
    raise KeyboardInterrupt


class _Play:
    """One performance: the story is told, the events are counted, and the audience watches."""

    def __init__(self, found: Stage, redis: Redis) -> None:
        self._stage = found
        self._redis = redis
        self._producer = Producer(redis, source="demo")
        self._story = Story(found.redis_url)
        self._events: Counter[str] = Counter()
        self._finished: set[str | None] = set()
        self._enough = threading.Event()  # no further one-time passwords
        self._over = threading.Event()
        self._started = time.monotonic()

    def perform(self, console: Console, *, kill_worker: bool) -> Summary:
        """Play it to its end, or until time is up, and add up."""
        threads = [
            threading.Thread(target=self._story.tell, daemon=True),
            threading.Thread(target=self._story.keep_asking, args=(self._enough,), daemon=True),
            threading.Thread(target=self._count, daemon=True),
        ]
        for thread in threads:
            thread.start()
        with Live(console=console, refresh_per_second=8) as live:
            killed = self._watch(live, kill_worker=kill_worker)
        if not console.is_terminal:
            console.line()  # the last picture ends without one
        self._enough.set()
        self._over.set()
        for thread in threads:
            thread.join()
        intents = (self._producer.get(receipt.id) for receipt in self._story.receipts)
        seconds = self._elapsed()
        return add_up(intents, self._events, self._story.otps, self._stage.ledger(), seconds=seconds, worker_killed=killed)

    def _watch(self, live: Live, *, kill_worker: bool) -> bool:
        killed = False
        while not self._done() and self._elapsed() < END_WITHIN:
            accounts = [standing(self._redis, account) for account in LIMITS]
            if kill_worker and not killed and self._elapsed() > KILL_AFTER:
                killed = self._kill_a_holder(accounts)
            if self._handed_over(accounts):
                self._enough.set()
            live.update(scene(accounts, self._story, self._events, self._elapsed()))
            time.sleep(0.05)
        return killed

    def _kill_a_holder(self, accounts: list[Standing]) -> bool:
        """Kill a worker that has a call in flight, if there is one right now."""
        for holder in (holder for account in accounts for holder in account.holders):
            self._stage.kill(int(holder.rpartition(":")[2]))
            return True
        return False

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _handed_over(self, accounts: list[Standing]) -> bool:
        return self._story.told.is_set() and not any(one.waiting + one.due_later + one.in_flight for one in accounts)

    def _done(self) -> bool:
        return self._enough.is_set() and len(self._finished) >= len(self._story.receipts)

    def _count(self) -> None:
        while not self._over.is_set():
            for event in self._producer.outcomes("demo", all_sources=True, wait=0.2):
                self._events[event.type] += 1
                if event.type == "tuma.intent.done":
                    self._finished.add(event.intent)
