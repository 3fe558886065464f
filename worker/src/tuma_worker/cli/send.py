"""`tuma send`: one message, or a list of them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuma_producer import Receipt, Send, TumaError
from tuma_producer.contract.bundles import CHUNK
from tuma_producer.text import substitute as substituted
from tuma_worker.cli import rows, schedule
from tuma_worker.cli.follow import Followed, changes
from tuma_worker.cli.foresee import foresee, gathered
from tuma_worker.cli.output import MISTAKE, NOT_AS_WISHED, Json, complain, count, progress, say, say_json, screen
from tuma_worker.cli.reach import SOURCE, Reach, reach
from tuma_worker.cli.reading import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuma_producer.contract.routing import Route

_ACCENTS = {"safe": False, "accents": True}  # ways of --substitute, and whether letters lose their accents

Result = tuple[int, Receipt | TumaError]


@dataclass
class _Task:
    """What was asked for on the command line. `fields` are those of every `Send`, as far as they were given."""

    fields: dict[str, Any]
    as_json: bool
    wait: bool
    route: Route | None = None
    substitute: str | None = None
    dry_run: bool = False
    accepted: int = 0
    refused: int = 0
    ids: list[str] = field(default_factory=list)  # only where somebody waits for them: a list may be long


def send(
    *,
    account: Annotated[str | None, typer.Option(help="The account to send through.", show_default=False)] = None,
    route: Annotated[
        str | None, typer.Option(help="The route to send by: it names the accounts, by the numbers' prefixes.", show_default=False)
    ] = None,
    failover: Annotated[
        list[str] | None, typer.Option(help="Another account that carries it while the first is halted (repeatable, in order).")
    ] = None,
    to: Annotated[list[str] | None, typer.Option(help="A recipient's number, such as +243990000001 (repeatable).")] = None,
    message: Annotated[str | None, typer.Option(help="The text.", show_default=False)] = None,
    template: Annotated[
        str | None, typer.Option(help="The account's template that the text is made of, instead of --message.", show_default=False)
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What stands in one of the template's places (repeatable).")
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read numbers from standard input, one a line.")] = False,
    csv: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"Read rows from a CSV file, '-' for standard input; columns: {', '.join(rows.COLUMNS)}, {rows.VARIABLE}NAME.",
        ),
    ] = None,
    sender_id: Annotated[str | None, typer.Option(help="What the handset shows as the sender.", show_default=False)] = None,
    priority: Annotated[str | None, typer.Option(help="otp, transactional (the default) or bulk.", show_default=False)] = None,
    source: Annotated[str, typer.Option(help="The service that asks; the allowance is shared fairly between sources.")] = SOURCE,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="The same key is the same send, however often. Rows of a list get KEY/LINE.", show_default=False),
    ] = None,
    expires_in: Annotated[
        float | None, typer.Option(parser=seconds, help="Seconds after which it must not be sent any more.")
    ] = None,
    refuse_if_late: Annotated[
        bool, typer.Option("--refuse-if-late", help="Refuse it where it cannot make its deadline at the present backlog.")
    ] = False,
    ignore_quiet: Annotated[bool, typer.Option("--ignore-quiet", help="Send it in the account's quiet hours too.")] = False,
    on_unknown: Annotated[
        str | None, typer.Option(help="When nobody can tell whether it was sent: hold (the default) or resend.", show_default=False)
    ] = None,
    callback_url: Annotated[
        str | None, typer.Option(help="Where its events are posted; see: tuma subscriptions add --help.", show_default=False)
    ] = None,
    at: schedule.AtTimes = None,
    every: schedule.Frequency = None,
    interval: schedule.Interval = None,
    times: schedule.Times = None,
    start: schedule.Start = None,
    end: schedule.End = None,
    end_exclusive: schedule.EndExclusive = False,
    weekdays: schedule.Weekdays = None,
    tz: schedule.Zone = None,
    gap: schedule.GapRule = None,
    misfire: schedule.Misfire = None,
    custody: Annotated[
        str | None,
        typer.Option(help="Who keeps a schedule: worker (the default) or provider, to whom it is handed over.", show_default=False),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="A label to find it by.", show_default=False)] = None,
    substitute: Annotated[
        str | None,
        typer.Option(
            help="Replace what makes a text UCS-2: 'safe' (quotes, dashes, spaces), or 'accents' too.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would come to. Status 1: not all would go in time.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Follow it to its end. Status 1: not all were delivered in time.")] = False,
    timeout: Annotated[float, typer.Option(parser=seconds, help="Seconds to wait at most.")] = 60,
    json: Json = False,
) -> None:
    """Send a message, or a list of messages.

    Returns once they are in Redis; workers send them from there. A list sends what is right in it and reports the rest by line.

    Example: tuma send --account lisoloo-main --to +243990000001 --message "Your invoice is ready." --wait

    Example: tuma send --account lisoloo-main --csv customers.csv --priority bulk --dry-run

    Example: tuma send --route everybody --to +243990000001 --to +254700000001 --message "Good day."

    Example: tuma send --account lisoloo-main --to +243990000001 --message "Good day." --at 2026-12-24T18:00 --tz Africa/Kinshasa
    """
    given: dict[str, Any] = {
        "account": account, "message": message, "sender_id": sender_id, "priority": priority, "idempotency_key": idempotency_key,
        "expires_in": expires_in, "on_unknown": on_unknown, "campaign_name": campaign, "failover": tuple(failover or ()) or None,
        "refuse_if_late": refuse_if_late or None, "ignore_quiet": ignore_quiet or None, "custody": custody,
        "callback_url": callback_url, "template_id": template, "variables": _variables(var or ()) or None,
    }  # fmt: skip
    described = schedule.described_by(interval, times, start, end, weekdays, end_exclusive=end_exclusive)
    both = schedule.given(tz=tz, gap=gap, misfire=misfire)
    if at or every or described or both:
        _check_wait(wait=wait)
        given["schedule"] = schedule.chosen_schedule(at, every, described, both)
    _check_substitute(substitute)
    fields = {name: value for name, value in given.items() if value is not None}
    task = _Task(fields, json, wait, substitute=substitute, dry_run=dry_run)
    _check_options(to=bool(to), stdin=stdin, csv=csv is not None)
    _check_way(task, by_route=route is not None)
    with reach(source) as store:
        store.register()
        task.route = None if route is None else store.route(route)
        if to:
            _send_to(store, task, to)
        else:
            with rows.sheet(csv) if csv is not None else nullcontext(rows.numbers()) as listing:
                _send_list(store, task, listing)
        if wait and task.ids:
            _follow(store, task, timeout)
    if task.refused:
        raise typer.Exit(MISTAKE)


def _check_options(*, to: bool, stdin: bool, csv: bool) -> None:
    if to + stdin + csv != 1:
        message = "give the recipients in one way: --to (as often as needed), --stdin, or --csv FILE"
        raise TumaError(message)


def _check_substitute(way: str | None) -> None:
    if way not in {None, *_ACCENTS}:
        message = f"--substitute: must be {' or '.join(_ACCENTS)}"
        raise TumaError(message)


def _check_way(task: _Task, *, by_route: bool) -> None:
    for name in ("account", "failover"):
        if by_route and name in task.fields:
            message = f"--{name} cannot go with --route, which names the accounts; give one of the two"
            raise TumaError(message)


def _check_wait(*, wait: bool) -> None:
    if wait:
        message = "--wait cannot go with a schedule, which may go on for years; see: tuma get ID"
        raise TumaError(message)


def _need(task: _Task, given: frozenset[str]) -> None:
    if task.route is None and "account" not in task.fields.keys() | given:
        message = "--account is missing, or --route"
        raise TumaError(message)
    if {"message", "template_id"}.isdisjoint(task.fields.keys() | given):
        message = "--message is missing, or --template"
        raise TumaError(message)


def _variables(given: Iterable[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, there, value = one.partition("=")
        if not there or name in found:
            message = f"--var: give each variable once, as NAME=VALUE ({name!r})"
            raise TumaError(message)
        found[name] = value
    return found


def _sends(task: _Task, to: str | list[str], fields: dict[str, Any]) -> list[Send]:
    """One send, or by a route one for each list of its accounts."""
    if task.substitute is not None and "message" in fields:
        fields = fields | {"message": substituted(fields["message"], accents=_ACCENTS[task.substitute]).text}
    if task.route is None or "account" in fields:
        return [Send(to=to, **fields)]
    return task.route.sends(to, fields)


# ---------------------------------------------------------------------------------------------------------- one message


def _send_to(store: Reach, task: _Task, to: list[str]) -> None:
    _need(task, frozenset())
    sends = _sends(task, to, task.fields)
    _tell_changes(task)
    if task.dry_run:
        foresee(store, sends, as_json=task.as_json)
        return
    for send, result in zip(sends, store.producer.enqueue_many(sends, return_errors=True), strict=True):
        if isinstance(result, TumaError):
            task.refused += 1
            complain(result if len(sends) == 1 else f"{send.account}: {result}")
            continue
        _accept(task, result)
        if task.as_json:
            say_json(asdict(result))
        else:
            say(_in_words(result))


def _tell_changes(task: _Task) -> None:
    """What --substitute makes of --message."""
    if task.substitute is not None and "message" in task.fields:
        for change in substituted(task.fields["message"], accents=_ACCENTS[task.substitute]).diff():
            screen(stderr=True).print(f"substituted: {change}", markup=False)


def _in_words(receipt: Receipt) -> str:
    facts = [count(receipt.recipients, "recipient"), count(receipt.segments, "segment") + " each"]
    facts += [f"{count(receipt.dropped, 'duplicate number')} dropped"] if receipt.dropped else []
    facts += ["accepted before under this key"] if receipt.duplicate else []
    facts += [f"expected at {receipt.eta.isoformat(timespec='seconds')}"] if receipt.eta else []
    return f"{receipt.id}: {', '.join(facts)}"


def _accept(task: _Task, receipt: Receipt) -> None:
    task.accepted += 1
    if task.wait:
        task.ids.append(receipt.id)


# --------------------------------------------------------------------------------------------------------------- a list


def _send_list(store: Reach, task: _Task, listing: rows.Listing) -> None:
    _need(task, listing.columns)
    if "account" in task.fields:
        store.expect([task.fields["account"]])
    _tell_changes(task)
    if task.dry_run:
        _foresee_list(store, task, listing)
        return
    try:
        with progress(lambda: _summary(task), listing.size, listing.position) as advance:
            for done, (line, result) in enumerate(_results(store, task, listing.rows), start=1):
                _tell(task, line, result)
                if done % CHUNK == 0:  # drawing for each row would take as long as sending it
                    advance()
            advance()
    finally:
        # Also where Redis goes away half-way: what was accepted until then will be sent.
        if task.as_json:
            screen(stderr=True).print(_summary(task))
        else:
            say(_summary(task))


def _foresee_list(store: Reach, task: _Task, listing: rows.Listing) -> None:
    sends = gathered(_right(task, listing.rows))
    if sends:
        foresee(store, sends, as_json=task.as_json)


def _right(task: _Task, found: Iterator[rows.Row]) -> Iterator[Send]:
    """The rows that can be sent; what is wrong with the others is told as ever."""
    for row in found:
        offer = _offer(task, row)
        if isinstance(offer, Send):
            yield offer
        else:
            _tell(task, row.line, offer)


def _summary(task: _Task) -> str:
    return f"accepted {task.accepted}, refused {task.refused}"


def _results(store: Reach, task: _Task, found: Iterator[rows.Row]) -> Iterator[Result]:
    """What became of each row, in order. A pipeline's worth of rows is read at a time."""
    while chunk := [(row.line, _offer(task, row)) for row in islice(found, CHUNK)]:
        replies = store.producer.enqueue_many((offer for _, offer in chunk if isinstance(offer, Send)), return_errors=True)
        for line, offer in chunk:
            yield line, next(replies) if isinstance(offer, Send) else offer


def _offer(task: _Task, row: rows.Row) -> Send | TumaError:
    if isinstance(row.cells, TumaError):
        return row.cells
    fields = dict(task.fields)
    if "idempotency_key" in fields:
        fields["idempotency_key"] += f"/{row.line}"
    variables = {name.removeprefix(rows.VARIABLE): cell for name, cell in row.cells.items() if name.startswith(rows.VARIABLE)}
    fields |= {name: cell for name, cell in row.cells.items() if not name.startswith(rows.VARIABLE)}
    if variables:
        fields["variables"] = fields.get("variables", {}) | variables
    try:
        (send,) = _sends(task, fields.pop("to", []), fields)  # a row is one number, which goes one way
    except TumaError as error:
        return error
    return send


def _tell(task: _Task, line: int, result: Receipt | TumaError) -> None:
    if isinstance(result, Receipt):
        _accept(task, result)
        if task.as_json:
            say_json({"line": line, **asdict(result)})
        return
    task.refused += 1
    if task.as_json:
        say_json({"line": line, "error": str(result)})
    else:
        complain(f"line {line}: {result}")


# ------------------------------------------------------------------------------------------------------------- its end


def _follow(store: Reach, task: _Task, timeout: float) -> None:
    followed = Followed(store, task.ids)
    about = task.ids[0] if len(task.ids) == 1 else "all"
    with changes(as_json=task.as_json, about=about) as show:
        for together in followed.rounds(within=timeout):
            show(together)
            if halted := followed.halted():
                account, why = halted
                message = f"account {account} is halted: {why}; put it right, then: tuma accounts resume {account}"
                raise TumaError(message)
    if not together.done:
        screen(stderr=True).print(f"not ended after {timeout:g} seconds; it goes on, see: {_how_to_see(task)}")
    if not together.delivered and not task.refused:
        raise typer.Exit(NOT_AS_WISHED)


def _how_to_see(task: _Task) -> str:
    return f"tuma get {task.ids[0]}" if len(task.ids) == 1 else "tuma accounts"
