"""`tuma audit`: who steered what, and how it stood before and after."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tuma_worker.cli.output import Json, say_json, screen, table
from tuma_worker.cli.reach import reach
from tuma_worker.cli.reading import instant_of
from tuma_worker.store.audit import acts

_COLUMNS = ("at (UTC)", "account", "by", "action", "kind", "name", "before", "after")


def audit(
    *,
    account: Annotated[str | None, typer.Option(help="Only of this account; of all where not given.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From this time on, such as 2026-12-01T08:00Z.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show who steered what, oldest first: when, and how it stood before and after. With --json a line for each.

    About the last ten thousand acts of an account are kept, and as many of what belongs to none: tokens.

    Example: tuma audit --account lisoloo-main --since 2026-12-01T08:00Z
    """
    first = None if since is None else instant_of("--since", since)
    with reach() as store:
        if account is not None:
            store.expect([account])
        found = acts(store.redis, [account] if account else [*store.producer.accounts(), None], first)
        if json:
            for act in found:
                say_json(asdict(act))
            return
        rows = [(act.at, act.account, act.by, act.action, act.kind, act.name, act.before, act.after) for act in found]
    screen().print(table(_COLUMNS, rows))
