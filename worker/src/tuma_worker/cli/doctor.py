"""`tuma doctor`: is everything that Tuma rests on as it should be, and what mends what is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from tuma_producer.errors import StoreUnavailable
from tuma_worker.bootstrap import parts
from tuma_worker.cli.output import NOT_AS_WISHED, Json, say, say_json
from tuma_worker.cli.reach import reach
from tuma_worker.core import checkup
from tuma_worker.core.checkup import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuma_worker.core.checkup import Finding

_MARKS = {Mark.FINE: "✓", Mark.WRONG: "✗", Mark.UNSEEN: "?"}


def doctor(*, json: Json = False) -> None:
    """Look at Redis, at this user's rights, at the accounts and their workers, and at the way in of receipts.

    Each line is a tick, a cross with what mends it, or a question mark where it could not be looked at. Exit status 1 where there
    is a cross. Workers are looked for by ringing their bell, which changes nothing else.

    Example: tuma doctor
    """
    found = []
    for finding in _findings():
        found.append(finding)
        if not json:
            _show(finding)
    well = all(finding.mark is not Mark.WRONG for finding in found)
    if json:
        say_json({"ok": well, "findings": [asdict(finding) for finding in found]})
    if not well:
        raise typer.Exit(NOT_AS_WISHED)


def _findings() -> Iterator[Finding]:
    try:
        with reach() as store:
            store.redis.ping()
            yield from parts.build_examiner(store.redis, store.settings, store.producer.accounts()).examine()
    except StoreUnavailable as error:
        yield checkup.wrong("server", str(error), "start it, or set TUMA_REDIS_URL; docs/redis.md says how")


def _show(finding: Finding) -> None:
    say(f"{_MARKS[finding.mark]} {finding.about}: {finding.said}")
    if finding.mend:
        say(f"  mend: {finding.mend}")
