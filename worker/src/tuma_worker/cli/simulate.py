"""`tuma simulate`: what so many accounts would need, and what runs out first."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from tuma_producer.errors import TumaError
from tuma_worker.cli.output import Json, say, say_json, screen, table
from tuma_worker.core.capacity import GIB, LEVERS, Load, Site, demand
from tuma_worker.core.limits import Counted, Limit

if TYPE_CHECKING:
    from tuma_worker.core.capacity import Demand

_SERIES = (1, 10, 100, 1000, 5000)
_COLUMNS = (
    "accounts",
    "calls/s",
    "recipients/s",
    "workers",
    "worker cores",
    "gateway cores",
    "redis cores",
    "memory",
    "connections",
)


def simulate(
    *,
    accounts: Annotated[list[int] | None, typer.Option(min=1, help="How many accounts (repeatable).", show_default=False)] = None,
    limit: Annotated[str, typer.Option(help="The calls that each is allowed, and uses.")] = "60/min",
    recipients: Annotated[float, typer.Option(min=1, help="Recipients to a call.")] = 1,
    call_seconds: Annotated[float, typer.Option(min=0.001, help="How long a call keeps its thread.")] = 0.5,
    receipts: Annotated[float, typer.Option(min=0, help="Receipts that come of a recipient.")] = 2,
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Hours of a day at that rate.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a worker.")] = 8,
    per_worker: Annotated[int, typer.Option(min=1, help="Accounts that one worker serves at the most.")] = 100,
    masters: Annotated[int, typer.Option(min=1, help="Masters of Redis: more than one is a cluster.")] = 1,
    records_days: Annotated[float, typer.Option(min=0, max=7, help="Days for which records are kept (records_for).")] = 7,
    events_days: Annotated[float, typer.Option(min=0, max=7, help="Days for which events are kept (events_for).")] = 7,
    receipts_days: Annotated[float, typer.Option(min=0, help="Days for which receipts are kept (raw_receipts_for).")] = 3,
    memory: Annotated[float, typer.Option(min=0.1, help="GiB that each master may use.")] = 16,
    json: Json = False,
) -> None:
    """Reckon what accounts at their full allowance need of workers, gateways and Redis, from measured costs.

    Asks nobody and needs no settings.

    Example: tuma simulate --accounts 1000 --masters 3
    """
    load = {
        "calls": _per_second(limit), "recipients": recipients, "seconds": call_seconds, "receipts": receipts, "hours": hours,
        "records_days": records_days, "events_days": events_days, "receipts_days": receipts_days,
    }  # fmt: skip
    site = Site(threads=threads, per_worker=per_worker, nodes=masters, node_memory=round(memory * GIB))
    found = [demand(Load(accounts=count, **load), site) for count in accounts or _SERIES]
    if json:
        say_json([asdict(one) | {"first": one.first, "lever": LEVERS[one.first]} for one in found])
        return
    screen().print(table([*_COLUMNS, "first", "room"], [_row(one) for one in found]))
    for first in dict.fromkeys(one.first for one in found):
        say(f"{first}: {LEVERS[first]}")


def _per_second(text: str) -> float:
    try:
        found = Limit.parse(text)
    except ValueError as error:
        message = f"--limit: {error}"
        raise TumaError(message) from None
    if found.counted is not Counted.CALLS:
        message = f"--limit: {text!r} counts messages; give the calls that it comes to, and --recipients"
        raise TumaError(message)
    return found.count / found.window


def _rough(number: float) -> str:
    """Two digits of it, and its size, however large or small it is."""
    return f"{Decimal(f'{number:.2g}'):,f}"


def _row(one: Demand) -> tuple[object, ...]:
    cores = (one.worker_cores, one.gateway_cores, one.redis_cores)
    return (
        one.accounts, f"{one.calls_per_s:,.0f}", f"{one.recipients_per_s:,.0f}", one.workers, *(f"{core:.2f}" for core in cores),
        f"{one.redis_bytes / GIB:,.1f} GiB", f"{one.connections:,}", one.first, _rough(one.room[one.first]),
    )  # fmt: skip
