"""`tuma suppress`: the numbers that an account must not call, whoever asks for it."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tuma_producer.contract.suppression import PAGE
from tuma_producer.errors import TumaError, UnknownAccount
from tuma_producer.intents import mask, normalise_number
from tuma_worker import providers
from tuma_worker.bootstrap import parts
from tuma_worker.cli import rows
from tuma_worker.cli.meanwhile import meanwhile
from tuma_worker.cli.output import (
    MISTAKE,
    NOT_AS_WISHED,
    Json,
    ShowNumbers,
    complain,
    count,
    progress,
    say,
    say_json,
    screen,
    table,
)
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import Reach, reach
from tuma_worker.dispatch import opting_out
from tuma_worker.providers.operations import NotDone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_worker.providers.provider import OptOuts

_SHOWN = 100  # numbers in a table for people

app = typer.Typer(no_args_is_help=True, help="The numbers that an account must not call.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")]
Numbers = Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Numbers such as +243990000001.")]


@app.command("list")
def list_(account: Account, *, show_numbers: ShowNumbers = False, json: Json = False) -> None:
    """Show who is on an account's suppression list, and since when. With --json a line for each.

    Example: tuma suppress list lisoloo-main
    """
    with reach() as store:
        store.expect([account])
        found = ((one.number if show_numbers else mask(one.number), one.since) for one in store.producer.suppressions(account))
        if json:
            for number, since in found:
                say_json({"number": number, "since": since})
            return
        shown = list(islice(found, _SHOWN))
        more = sum(1 for _ in found)
    screen().print(table(["number", "since (UTC)"], shown))
    say(f"{count(len(shown) + more, 'number')} in all" + ("; see: tuma suppress export" if more else ""))


@app.command()
def add(account: Account, numbers: Numbers, *, by: By = None, json: Json = False) -> None:
    """Put numbers on an account's suppression list. From then on no call begins with them.

    Recipients that wait for a call already end `suppressed`, those of later sends at once.

    Example: tuma suppress add lisoloo-main +243990000001
    """
    with reach() as store:
        added = store.producer.suppress(account, numbers, by=who(by))
    _tell(account, "added", added, json=json)


@app.command()
def remove(account: Account, numbers: Numbers, *, by: By = None, json: Json = False) -> None:
    """Take numbers off an account's suppression list. Who ended for it stays ended.

    Example: tuma suppress remove lisoloo-main +243990000001
    """
    with reach() as store:
        removed = store.producer.unsuppress(account, numbers, by=who(by))
    _tell(account, "removed", removed, json=json)


def _tell(account: str, done: str, changed: int, *, json: bool) -> None:
    if json:
        say_json({"account": account, done: changed})
    else:
        say(f"account {account}: {count(changed, 'number')} {done}")


@app.command()
def export(account: Account) -> None:
    """Write an account's suppression list to standard output, whole and as CSV: number, since. `tuma suppress import` reads it.

    Example: tuma suppress export lisoloo-main
    """
    with reach() as store:
        store.expect([account])
        sheet = csv.writer(sys.stdout, lineterminator="\n")
        sheet.writerow(["number", "since"])
        for one in store.producer.suppressions(account):
            sheet.writerow([one.number, one.since.isoformat(timespec="milliseconds")])


@app.command()
def sync(account: Account, *, by: By = None, json: Json = False) -> None:
    """Put whoever opted out at the provider on an account's list, and tell the provider of the others on it.

    Each page that is read and each number that is told is a call, within the account's limits.

    Example: tuma suppress sync lineserve-main
    """
    with reach() as store:
        opt_outs = _kept_by_provider(store, account)
        store.expect([account])
        with meanwhile() as shown, parts.errands(store.redis, store.settings, account, shown.waits) as exchange:
            try:
                synced = opting_out.sync(
                    store.producer, account, opt_outs, exchange, lambda one: shown.advance(one.told, None), by=who(by)
                )
            except NotDone as problem:
                complain(problem)
                raise typer.Exit(NOT_AS_WISHED) from None
    if json:
        say_json({"account": account, "taken": synced.taken, "told": synced.told})
    else:
        say(f"account {account}: {count(synced.taken, 'number')} taken over, {count(synced.told, 'number')} told to the provider")


def _kept_by_provider(store: Reach, account: str) -> OptOuts:
    if account not in store.settings.accounts:
        raise UnknownAccount(account, tuple(store.settings.accounts))
    provider = providers.named(store.settings.accounts[account].provider)
    if provider.opt_outs is None:
        message = f"{provider.name} keeps no list of who opted out; there is nothing to be the same as"
        raise TumaError(message)
    return provider.opt_outs


# --------------------------------------------------------------------------------------------------------- from a file


@dataclass
class _Imported:
    """What has become of a file's lines so far."""

    added: int = 0
    known: int = 0
    refused: int = 0

    def __str__(self) -> str:
        return f"added {self.added}, on the list before {self.known}, refused {self.refused}"


@app.command("import")
def import_(
    account: Account,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Numbers, one a line, or a CSV file with them in front; '-': standard input.")
    ],
    *,
    by: By = None,
    json: Json = False,
) -> None:
    """Put a file's numbers on an account's suppression list: what is right in it is added, and the rest reported by line.

    Example: tuma suppress import lisoloo-main optouts.csv
    """
    with reach() as store, rows.numbers_of(file) as listing:
        store.expect([account])
        done = _Imported()
        with progress(lambda: str(done), listing.size, listing.position) as advance:
            for page in _pages(listing.rows, done):
                _add(store, account, page, done, who(by))
                advance()
    if json:
        say_json({"account": account, "added": done.added, "known": done.known, "refused": done.refused})
    else:
        say(f"account {account}: {done}")
    if done.refused:
        raise typer.Exit(MISTAKE)


def _pages(found: Iterator[rows.Row], done: _Imported) -> Iterator[list[str]]:
    """The numbers that are right, a page at a time; what is wrong with the others is said."""
    while page := list(islice(found, PAGE)):
        yield list(dict.fromkeys(number for row in page if (number := _number(row, done)) is not None))


def _number(row: rows.Row, done: _Imported) -> str | None:
    try:
        if isinstance(row.cells, rows.BadRow):
            raise row.cells
        return normalise_number(row.cells["to"])
    except (rows.BadRow, ValueError) as error:
        done.refused += 1
        complain(f"line {row.line}: {error}")
        return None


def _add(store: Reach, account: str, page: list[str], done: _Imported, by: str) -> None:
    added = store.producer.suppress(account, page, by=by) if page else 0
    done.added += added
    done.known += len(page) - added
