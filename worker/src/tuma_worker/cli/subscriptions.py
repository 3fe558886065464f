"""`tuma subscriptions`: who is told of an account's events over HTTP."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.contract.callbacks import subscription_of
from tuma_producer.contract.streams import begins_after
from tuma_producer.contract.times import moment
from tuma_producer.errors import TumaError
from tuma_producer.intents import checked_source, web_address
from tuma_worker.cli.output import Json, count, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach
from tuma_worker.cli.reading import seconds
from tuma_worker.events import subscribing
from tuma_worker.events.places import beginning, entry
from tuma_worker.events.replaying import replay as replay_events
from tuma_worker.events.signing import new_secret
from tuma_worker.store.feed import Feed, Trouble
from tuma_worker.store.outcomes import Stream
from tuma_worker.store.subscriptions import GROUP, Key, Subscription, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

app = typer.Typer(no_args_is_help=True, help="Who is told of an account's events over HTTP.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The subscription's id, as `list` shows it.")]

_NOTHING = Trouble(0, 0)


@app.command()
def add(
    account: Account,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]", help="Where to post; without it, where the `callback_url` of each intent says.", show_default=False
        ),
    ] = None,
    *,
    source: Annotated[
        str | None, typer.Option(help="Only this source's events, and the account's own; without it, all.", show_default=False)
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="now|beginning|EVENT|TIME", help="Where it begins: TIME as 2026-12-01T08:00Z.")
    ] = "now",
    by: By = None,
    json: Json = False,
) -> None:
    """Tell somebody of an account's events from now on. Prints the secret with which they are signed: it is not shown again.

    Example: tuma subscriptions add lisoloo-main https://billing.example.com/sms --source billing
    """
    secret, after = new_secret(), begins_after(beginning(start), account)
    with _subscriptions(account) as found:
        one = Subscription(
            id=subscription_of(source) if url is None else secrets.token_hex(6),
            source=None if source is None else checked_source(source),
            url=None if url is None else _checked(url),
            keys=(Key(secret),),
            created=found.now(),
        )
        if not found.add(one, after, by=who(by)):
            message = f"subscription {one.id} is there already; for a new secret run: tuma subscriptions rotate {account} {one.id}"
            raise TumaError(message)
    _tell(_Row(account, one), json=json, secret=secret)


def _checked(url: str) -> str:
    try:
        return web_address(url)
    except ValueError as error:
        message = f"URL: {error}"
        raise TumaError(message) from None


@app.command("list")
def list_(account: Account, *, json: Json = False) -> None:
    """Show who is told of an account's events, how many they have not taken yet, and how many they are never told.

    Example: tuma subscriptions list lisoloo-main
    """
    with _subscriptions(account) as found:
        rows = [_seen(found, one) for one in found.all()]
    if json:
        say_json([row.as_json() for row in rows])
        return
    columns = ["id", "source", "url", "since (UTC)", "secrets", "not taken", "missed", "disabled"]
    screen().print(table(columns, [row.cells() for row in rows]))


def _seen(found: Subscriptions, one: Subscription) -> _Row:
    feed = Feed(found.redis, found.account, one)
    return _Row(found.account, one, feed.waiting(), feed.missed())


@app.command()
def remove(account: Account, subscription: Id, *, by: By = None, json: Json = False) -> None:
    """Tell somebody nothing more, and forget what they have been told.

    Example: tuma subscriptions remove lisoloo-main 5f2c9a0b1d3e
    """
    with _subscriptions(account) as found:
        found.remove(subscription, by=who(by))
    if json:
        say_json({"account": account, "id": subscription, "removed": True})
    else:
        say(f"subscription {subscription} removed")


@app.command()
def rotate(
    account: Account,
    subscription: Id,
    *,
    overlap: Annotated[float, typer.Option(parser=seconds, help="Seconds for which the old secret signs too.")] = 86_400.0,
    by: By = None,
    json: Json = False,
) -> None:
    """Sign with a new secret, and for a while with the old one beside it. Prints the new one: it is not shown again.

    Example: tuma subscriptions rotate lisoloo-main 5f2c9a0b1d3e --overlap 3600
    """
    with _subscriptions(account) as found:
        one, secret = subscribing.rotate(found, subscription, overlap, by=who(by))
    _tell(_Row(account, one), json=json, secret=secret)


@app.command()
def enable(account: Account, subscription: Id, *, by: By = None, json: Json = False) -> None:
    """Tell a subscriber again that was disabled: first what they were not told, as far as it is still there.

    Example: tuma subscriptions enable lisoloo-main 5f2c9a0b1d3e
    """
    with _subscriptions(account) as found:
        one = subscribing.enable(found, subscription, by=who(by))
    _tell(_Row(account, one), json=json)


@app.command()
def replay(
    account: Account,
    subscription: Id,
    *,
    event: Annotated[str | None, typer.Option(metavar="ID", help="This event.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="EVENT|TIME", help="All from this one or this time on.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="EVENT|TIME", help="And to this one or this time.", show_default=False)
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Tell a subscriber again what they have been told: one event, or all of some time; as far as it is still there.

    Example: tuma subscriptions replay lisoloo-main 5f2c9a0b1d3e --from 2026-12-01T08:00Z --to 2026-12-01T09:00Z
    """
    first, last = _range(account, event, since, until)
    with _subscriptions(account) as found:
        done = replay_events(found, subscription, first, last, by=who(by))
    if json:
        say_json({"account": account, "id": subscription, **asdict(done)})
        return
    say(f"subscription {subscription}: {count(done.events, 'event')} to be told again")
    if done.left is not None:
        say(f"these were too many at once; go on with --from {account}/{done.left}")


@app.command()
def groups(account: Account, *, json: Json = False) -> None:
    """Show who reads an account's events, consumers and subscriptions (@ID), and since when they are behind.

    Example: tuma subscriptions groups lisoloo-main
    """
    with reach() as store:
        store.expect([account])
        found = {name: _moment(needs) for name, needs in Stream(store.redis, account).groups().items()}
    if json:
        say_json([{"account": account, "group": name, "behind_since": since} for name, since in found.items()])
    else:
        screen().print(table(["group", "behind since (UTC)"], list(found.items())))


@app.command()
def forget(
    account: Account,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="As `groups` shows it.")],
    *,
    by: By = None,
    json: Json = False,
) -> None:
    """Let a group of consumers go that nobody reads for any more, so that it holds up and warns of nothing.

    Example: tuma subscriptions forget lisoloo-main billing:report
    """
    if group.startswith(GROUP):
        message = f"GROUP: {group} is a subscription's; run: tuma subscriptions remove {account} {group.removeprefix(GROUP)}"
        raise TumaError(message)
    with reach() as store:
        store.expect([account])
        if not Stream(store.redis, account).forget(group, by=who(by)):
            message = f"GROUP: {group!r} is none of {account}; see: tuma subscriptions groups {account}"
            raise TumaError(message)
    if json:
        say_json({"account": account, "group": group, "forgotten": True})
    else:
        say(f"group {group} forgotten")


def _moment(entry_id: str | None) -> datetime | None:
    return None if entry_id is None else moment(int(entry_id.partition("-")[0]))


def _range(account: str, event: str | None, since: str | None, until: str | None) -> tuple[str, str]:
    """The first and the last entry that is meant."""
    if (event is None) == (since is None) or (event is not None and until is not None):
        message = "replay: give either --event ID, or --from with or without --to"
        raise TumaError(message)
    return entry(account, event or since or ""), "+" if event is None and until is None else entry(account, event or until or "")


@contextmanager
def _subscriptions(account: str) -> Iterator[Subscriptions]:
    with reach() as store:
        store.expect([account])
        yield Subscriptions(store.redis, account)


@dataclass(frozen=True, slots=True)
class _Row:
    """A subscription as it is shown."""

    account: str
    one: Subscription
    waiting: int = 0
    missed: Trouble = _NOTHING

    def cells(self) -> tuple[object, ...]:
        one = self.one
        since, missed = moment(one.created), self.missed
        gap = f"{missed.tries}, last {self._last_missed:%Y-%m-%d %H:%M}" if missed.tries else 0
        return one.id, one.source or "(all)", one.url or "(callback_url)", since, len(one.keys), self.waiting, gap, one.disabled

    def as_json(self) -> dict[str, Any]:
        one = self.one
        return {
            "account": self.account, "id": one.id, "source": one.source, "url": one.url,
            "since": moment(one.created), "secrets": len(one.keys), "not_taken": self.waiting,
            "missed": self.missed.tries, "last_missed": self._last_missed, "disabled": one.disabled,
        }  # fmt: skip

    @property
    def _last_missed(self) -> datetime | None:
        return moment(self.missed.since) if self.missed.tries else None


def _tell(row: _Row, *, json: bool, secret: str | None = None) -> None:
    if json:
        say_json(row.as_json() | ({} if secret is None else {"secret": secret}))
        return
    say(f"subscription {row.one.id} of {row.account}: {row.one.disabled or 'is told'}")
    if secret is not None:
        say(f"  secret: {secret}")
