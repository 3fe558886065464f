"""`tuma tokens`: who may use the gateway's HTTP API, in whose name and for what."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tuma_producer.contract.times import moment
from tuma_producer.errors import TumaError
from tuma_producer.intents import checked_source
from tuma_worker.bootstrap import parts
from tuma_worker.cli.output import NOT_AS_WISHED, Json, complain, say, say_json, screen, table
from tuma_worker.cli.queue import By, who
from tuma_worker.cli.reach import reach
from tuma_worker.cli.reading import seconds
from tuma_worker.core.limits import Counted, Limit
from tuma_worker.core.tokens import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from tuma_worker.core.tokens import Token

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

app = typer.Typer(no_args_is_help=True, help="Who may use the gateway's HTTP API, in whose name and for what.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name, such as billing-prod.")]


@app.command()
def add(
    name: Name,
    *,
    source: Annotated[str, typer.Option(help="The service in whose name it asks.")],
    scopes: Annotated[
        list[str], typer.Option("--scope", help=f"What it may do: {', '.join(Scope)} (repeatable).", show_default=False)
    ],
    expires_in: Annotated[
        float | None, typer.Option(parser=seconds, help="Seconds for which it holds; for ever where not given.", show_default=False)
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="How often it may ask each gateway, such as 50/s: requests, and lines of batches.", show_default=False),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Make a token and show it, this once: only its digest is kept.

    send: enqueue, and estimate. read: see intents and events of its source. control: cancel, pause and resume them. watch: see
    what belongs to no source, and with read what belongs to any. operate: steer it too, and with the others what belongs to any.

    Example: tuma tokens add billing-prod --source billing --scope send --scope read
    """
    wanted = _scopes(scopes)
    if not _NAME.fullmatch(name):
        message = "NAME: must be 1 to 32 of a-z, 0-9 and '-', the first a letter or digit"
        raise TumaError(message)
    with reach() as store:
        tokens = parts.build_tokens(store.redis)
        made = tokens.add(name, checked_source(source), wanted, by=who(by), lifetime=expires_in, rate=_rate(rate))
    if made is None:
        message = f"NAME: there is a token {name!r}; rotate it, or remove it first"
        raise TumaError(message)
    _show(name, made, json=json)


def _scopes(given: list[str]) -> list[Scope]:
    for scope in given:
        if scope not in set(Scope):
            message = f"--scope: {scope!r} is not one of {', '.join(Scope)}"
            raise TumaError(message)
    return [scope for scope in Scope if scope in given]


def _rate(given: str | None) -> str | None:
    try:
        if given is not None and Limit.parse(given).counted is not Counted.CALLS:
            message = "--rate: counts requests; give it such as 50/s"
            raise TumaError(message)
    except ValueError as error:
        message = f"--rate: {error}"
        raise TumaError(message) from None
    return given


@app.command()
def rotate(
    name: Name,
    *,
    overlap: Annotated[float, typer.Option(parser=seconds, help="Seconds for which the old one holds too.")] = 3600.0,
    by: By = None,
    json: Json = False,
) -> None:
    """Make another token that may do the same, and show it. The old one holds for a while, so that it can be replaced everywhere.

    Example: tuma tokens rotate billing-prod --overlap 86400
    """
    with reach() as store:
        made = parts.build_tokens(store.redis).rotate(name, overlap, by=who(by))
    if made is None:
        _unknown(name)
    _show(name, made, json=json)


def _show(name: str, token: str, *, json: bool) -> None:
    if json:
        say_json({"name": name, "token": token})
    else:
        say(token)


def _unknown(name: str) -> NoReturn:
    complain(f"token: {name!r} is not known")
    raise typer.Exit(NOT_AS_WISHED)


@app.command()
def remove(name: Name, *, by: By = None, json: Json = False) -> None:
    """Let a token hold no longer. The gateways know within five seconds.

    Example: tuma tokens remove billing-prod
    """
    with reach() as store:
        removed = parts.build_tokens(store.redis).remove(name, by=who(by))
    if not removed:
        _unknown(name)
    if json:
        say_json({"name": name, "removed": True})
    else:
        say(f"token {name} is removed")


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Show which tokens hold. One that is being replaced is there twice.

    Example: tuma tokens list
    """
    with reach() as store:
        found = parts.build_tokens(store.redis).all()
    if json:
        say_json([_as_json(token) for token in found])
    elif found:
        rows = [(one.name, one.source, one.scopes, one.rate, _instant(one.created), _instant(one.expires)) for one in found]
        screen().print(table(["name", "source", "scopes", "rate", "made (UTC)", "holds until (UTC)"], rows))
    else:
        say("there is no token yet; make one with: tuma tokens add")


def _as_json(token: Token) -> dict[str, Any]:
    return asdict(token) | {"created": _instant(token.created), "expires": _instant(token.expires)}


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)
