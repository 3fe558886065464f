"""`tuma watch`: an intent until it ends, or all accounts until Ctrl-C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from tuma_worker.cli.accounts import COLUMNS, as_json, as_row, standings
from tuma_worker.cli.follow import Followed, changes
from tuma_worker.cli.output import Json, clock, say, say_json, screen, table
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.core.states import in_words
from tuma_worker.store.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuma_worker.store.accounts import Standing
    from tuma_worker.store.tail import Seen

_LOOK_EVERY = 0.5  # seconds


def watch(
    intent_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An intent; without one, all accounts.", show_default=False)
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Show an intent until it ends, or all accounts until Ctrl-C.

    On a terminal the picture changes in place; elsewhere there is a line for each change.

    Example: tuma watch lisoloo-main.019d2a1b3c4d5e6f7a8b9c0d1e
    """
    with reach() as store:
        if intent_id is None:
            _watch_accounts(store, json=json)
            return
        with changes(as_json=json, about=intent_id) as show:
            for together in Followed(store, [intent_id]).rounds(within=None):
                show(together)


# ---------------------------------------------------------------------------------------------------------- all accounts

Picture = list[tuple["Standing", "Seen"]]


def _watch_accounts(store: Reach, *, json: bool) -> None:
    console = screen()
    if json or not console.is_terminal:
        show = _lines(json=json)
        for picture in _pictures(store):
            show(picture)
        return
    with Live(console=console, auto_refresh=False) as live:
        for picture in _pictures(store):
            rows = [(*as_row(standing), in_words(seen)) for standing, seen in picture]
            live.update(table([*COLUMNS, "since the start"], rows), refresh=True)


def _pictures(store: Reach) -> Iterator[Picture]:
    """How all accounts stand and what has happened since the first picture, again and again."""
    tail = Tail(store.redis, store.producer.accounts())
    while True:
        tail.read(store.producer.accounts())
        yield [(standing, tail.seen(standing.account)) for standing in standings(store)]
        time.sleep(_LOOK_EVERY)


def _lines(*, json: bool) -> Callable[[Picture], None]:
    """A function that writes a line for each account that has changed since the last picture."""
    last: dict[str, dict[str, Any]] = {}

    def show(picture: Picture) -> None:
        for standing, seen in picture:
            whole = as_json(standing) | {"events": dict(seen)}
            if last.get(standing.account) != whole:
                last[standing.account] = whole
                _write(standing, seen, whole, json=json)

    return show


def _write(standing: Standing, seen: Seen, whole: dict[str, Any], *, json: bool) -> None:
    if json:
        say_json(whole)
        return
    now = f"waiting {standing.waiting}, later {standing.due_later}, in flight {standing.in_flight}"
    halted = f"; halted: {standing.halted}" if standing.halted else ""
    say(f"{clock()} {standing.account}: {now}; since the start: {in_words(seen)}{halted}")
