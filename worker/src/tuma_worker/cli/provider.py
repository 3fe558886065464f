"""`tuma provider`: ask an account's provider, or have it keep something. What may be asked is the provider's to say."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer.errors import UnknownAccount
from tuma_producer.intents import mask
from tuma_worker import providers
from tuma_worker.bootstrap import parts
from tuma_worker.cli.asking import Asked, read_command
from tuma_worker.cli.meanwhile import meanwhile
from tuma_worker.cli.output import NOT_AS_WISHED, complain, count, say, say_json, screen, table
from tuma_worker.cli.reach import reach
from tuma_worker.providers.operations import NotDone, Number, Private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuma_worker.cli.meanwhile import Meanwhile
    from tuma_worker.providers.operations import Page
    from tuma_worker.providers.provider import Provider
    from tuma_worker.settings import Settings

# What stands behind the account is the provider's own command line, help included.
CONTEXT = {"ignore_unknown_options": True, "help_option_names": []}

SHOWN = 100  # lines for people, unless they ask for more: each hundred is a call
_HELP = ("-h", "--help")


def provider(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ACCOUNT [OPERATION] [OPTIONS]", help="The account, and what is asked.")
    ] = None,
) -> None:
    """Ask an account's provider, or have it keep something: balance, status, history, senders, templates, contacts and so on.

    Without an operation it shows those that the provider has. Each call takes its permit within the account's limits, as sends do;
    no worker is needed. Sends themselves are `tuma send`.

    Example: tuma provider lisoloo-main balance
    """
    account, *rest = words or ["--help"]
    if account in _HELP:
        say(context.get_help())
        return
    with reach() as store:
        asked_of = _provider(store.settings, account)
        if not rest:
            _show_operations(asked_of)
            return
        asked = read_command(f"tuma provider {account}", asked_of.operations, rest)
        with meanwhile() as progress, parts.errands(store.redis, store.settings, account, progress.waits) as exchange:
            try:
                found = asked.operation.do(exchange, **asked.parameters)
                _show(found, asked, progress)
            except NotDone as problem:
                complain(problem)
                raise typer.Exit(NOT_AS_WISHED) from None


def _provider(settings: Settings, account: str) -> Provider:
    if account not in settings.accounts:
        raise UnknownAccount(account, tuple(settings.accounts))
    return providers.named(settings.accounts[account].provider)


def _show_operations(asked_of: Provider) -> None:
    lines = [(one.name, one.summary, one.endpoint) for one in asked_of.operations]
    screen().print(table(("operation", "what it does", "endpoint"), lines, title=asked_of.name))


# ------------------------------------------------------------------------------------------------------------- what came of it


def _show(found: object, asked: Asked, progress: Meanwhile) -> None:
    if is_dataclass(found):
        _show_one(found, asked)
        return
    pages: Iterator[Page[Any]] = found  # type: ignore[assignment] # one result or pages of them
    if asked.as_json:
        for item in islice(_items(pages, progress), asked.most):
            say_json(_plain(item, asked))
    else:
        _show_table(list(islice(_items(pages, progress), (asked.most or SHOWN) + 1)), asked)


def _items(pages: Iterator[Page[Any]], progress: Meanwhile) -> Iterator[Any]:
    for page in pages:
        progress.advance(page.done, page.total)
        yield from page.items


def _show_one(found: Any, asked: Asked) -> None:  # noqa: ANN401 - a result of any kind
    plain = _plain(found, asked)
    if asked.as_json:
        say_json(plain)
    else:
        screen().print(table(("", ""), [(name.replace("_", " "), value) for name, value in plain.items()]))


def _show_table(items: Sequence[Any], asked: Asked) -> None:
    most = asked.most or SHOWN
    if not items:
        say("none")
        return
    rows = [_plain(item, asked) for item in items[:most]]
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    screen().print(table([name.replace("_", " ") for name in columns], [[row[name] for name in columns] for row in rows]))
    if len(items) > most:
        say(f"and more; --most {10 * most} shows more of them, --json all")


def _plain(item: Any, asked: Asked) -> dict[str, Any]:  # noqa: ANN401 - a result of any kind
    return {field.name: _seen(getattr(item, field.name), shown=asked.show_numbers) for field in fields(item)}


def _seen(value: object, *, shown: bool) -> object:
    """A value as it may be shown: numbers masked, and texts by their length."""
    if shown:
        return value
    match value:
        case Number():
            return mask(value)
        case Private():
            return f"({count(len(value), 'character')})"
        case _:
            return value
